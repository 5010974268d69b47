#include "facade.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"

enum { NETWORK, TIMEOUTS, THREADS };

struct sbi_life {
  sb_net *net;
  struct sbi_hooks *hooks;
  pthread_t threads[THREADS];
  atomic_bool stopping;
  int heir; /* ended from a callback of this thread, which frees it; THREADS: from none */
};

sb_net *sbi_facade_net(const struct sbi_facade *facade) {
  return facade->life != NULL ? facade->life->net : NULL;
}

sb_net *sbi_facade_enter(struct sbi_facade *facade) {
  pthread_rwlock_rdlock(&facade->lock);
  return sbi_facade_net(facade);
}

int sbi_facade_leave(struct sbi_facade *facade, int result) {
  pthread_rwlock_unlock(&facade->lock);
  return result;
}

/* ---- calling back ---------------------------------------------------------- */

static void call_trace(struct sbi_hooks *hooks, int error, const char *bytes, size_t size) {
  char text[SBI_TRACE_MAX];
  if (size >= sizeof text) size = sizeof text - 1;
  memcpy(text, bytes, size);
  text[size] = 0;
  smartbus_trace print = atomic_load(error ? &hooks->trace_error : &hooks->trace);
  smartbus_trace_str put = atomic_load(error ? &hooks->trace_str_error : &hooks->trace_str);
  if (print != NULL)
    print("%s", text);
  else if (put != NULL)
    put(text);
}

static void call_flow_hook(struct sbi_hooks *hooks, const sb_event *event,
                           SMARTBUS_PACKET_HEAD *head, const char *project, const char *text) {
  void *arg = atomic_load(&hooks->arg);
  smartbus_invokeflow_ack_cb ack = atomic_load(&hooks->flow_ack);
  smartbus_invokeflow_ret_cb ret = atomic_load(&hooks->flow_ret);
  if (event->kind == SB_EV_FLOW_ACK && ack != NULL)
    ack(arg, event->client, head, project, event->id, event->code, text);
  if (event->kind == SB_EV_FLOW_RETURN && ret != NULL)
    ret(arg, event->client, head, project, event->id, event->code, text);
}

static void call_hook(struct sbi_hooks *hooks, const sb_event *event, const uint8_t *payload) {
  void *arg = atomic_load(&hooks->arg);
  const char *text = (const char *)payload;
  SMARTBUS_PACKET_HEAD copy, *head = NULL;
  if (event->flags & 1) {
    memcpy(&copy, event->head, sizeof copy);
    head = &copy;
  }
  smartbus_cli_connection_cb connection = atomic_load(&hooks->connection);
  smartbus_cli_recvdata_cb recvdata = atomic_load(&hooks->recvdata);
  smartbus_cli_disconnect_cb disconnect = atomic_load(&hooks->disconnect);
  smartbus_global_connect_cb global_connect = atomic_load(&hooks->global_connect);
  switch (event->kind) {
    case SB_EV_CONNECTED:
      if (connection != NULL) connection(arg, event->client, event->id, event->code);
      break;
    case SB_EV_DISCONNECTED:
      if (disconnect != NULL) disconnect(arg, event->client);
      break;
    case SB_EV_DATA:
      if (recvdata != NULL)
        recvdata(arg, event->client, head, event->size > 0 ? (void *)(uintptr_t)payload : NULL,
                 (int)event->size);
      break;
    case SB_EV_FLOW_ACK:
    case SB_EV_FLOW_RETURN:
      call_flow_hook(hooks, event, head, text, text + strlen(text) + 1);
      break;
    case SB_EV_GLOBAL:
      if (global_connect != NULL)
        global_connect(arg, (char)event->head[0], (char)event->head[1], (char)event->head[2],
                       (char)event->head[3], (char)event->head[4], text);
      break;
    case SB_EV_TRACE:
      call_trace(hooks, event->code, text, event->size);
      break;
    default:
      break;
  }
}

/* ---- the threads ----------------------------------------------------------- */

static void stop(struct sbi_life *life) {
  atomic_store(&life->stopping, true);
  sb_net_wake(life->net);
  sbi_timeouts_wake(life->net);
}

/* Wait for the threads, this one apart, and free. */
static void end_life(struct sbi_life *life) {
  for (int i = 0; i < THREADS; i++)
    if (i != life->heir) pthread_join(life->threads[i], NULL);
  sb_net_free(life->net);
  sbi_free(life);
}

static void *run_network(void *argument) {
  struct sbi_life *life = argument;
  while (!atomic_load(&life->stopping)) {
    sb_batch batch;
    sb_net_step(life->net, -1);
    sb_inbox_drain(sb_net_inbox(life->net), &batch);
    /* Frames sent by callbacks leave together after the batch; the keeper sees to it that a
     * callback that blocks delays them by half a second at most. */
    sb_net_cork(life->net, 1);
    for (uint64_t i = 0; i < batch.count && !atomic_load(&life->stopping); i++)
      call_hook(life->hooks, &batch.events[i], batch.data + batch.events[i].offset);
    sb_net_cork(life->net, 0);
  }
  if (life->heir == NETWORK) end_life(life);
  return NULL;
}

static void *run_timeouts(void *argument) {
  struct sbi_life *life = argument;
  while (!atomic_load(&life->stopping)) {
    char project[SBI_PROJECT_MAX];
    sb_event event;
    if (sbi_timeouts_step(life->net, &event, project))
      call_flow_hook(life->hooks, &event, NULL, project, "");
  }
  if (life->heir == TIMEOUTS) end_life(life);
  return NULL;
}

/* ---- life ------------------------------------------------------------------ */

static bool traced(struct sbi_hooks *hooks) {
  return atomic_load(&hooks->trace) != NULL || atomic_load(&hooks->trace_error) != NULL ||
         atomic_load(&hooks->trace_str) != NULL || atomic_load(&hooks->trace_str_error) != NULL;
}

/* With the write lock held. */
static void apply_hooks(struct sbi_facade *facade) {
  struct sbi_hooks *hooks = &facade->hooks;
  if (facade->life == NULL) return;
  sb_net_trace(facade->life->net, traced(hooks) ? 2 : 0);
  sb_net_listen(facade->life->net, atomic_load(&hooks->flow_ack) != NULL,
                atomic_load(&hooks->flow_ret) != NULL, atomic_load(&hooks->global_connect) != NULL);
}

/* False: none of them runs. */
static bool start_threads(struct sbi_life *life) {
  void *(*const runs[THREADS])(void *) = {run_network, run_timeouts};
  if (!sbi_timeouts_by_thread(life->net)) return false;
  for (int i = 0; i < THREADS; i++) {
    if (pthread_create(&life->threads[i], NULL, runs[i], life) == 0) continue;
    stop(life);
    while (i > 0) pthread_join(life->threads[--i], NULL);
    return false;
  }
  return true;
}

int sbi_facade_begin(struct sbi_facade *facade, sb_net *net) {
  struct sbi_life *life = net != NULL ? sbi_calloc(1, sizeof *life) : NULL;
  if (life != NULL) {
    life->net = net;
    life->hooks = &facade->hooks;
    life->heir = THREADS;
  }
  if (life == NULL || !start_threads(life)) {
    sb_net_free(net);
    sbi_free(life);
    return SB_ENOMEM;
  }
  facade->life = life;
  apply_hooks(facade);
  return SB_OK;
}

void sbi_facade_end(struct sbi_facade *facade) {
  pthread_rwlock_wrlock(&facade->lock);
  struct sbi_life *life = facade->life;
  facade->life = NULL;
  pthread_rwlock_unlock(&facade->lock);
  if (life == NULL) return;
  for (int i = 0; i < THREADS; i++) /* before the threads are told to end: they read it then */
    if (pthread_equal(life->threads[i], pthread_self())) life->heir = i;
  bool inside = life->heir != THREADS;
  if (inside) pthread_detach(pthread_self());
  stop(life);
  if (!inside) end_life(life);
}

/* ---- callbacks ------------------------------------------------------------- */

/* Set once: a place that is taken keeps what it has. */
#define SET_ONCE(slot, fn)                                       \
  do {                                                           \
    if (atomic_load(&(slot)) == NULL) atomic_store(&(slot), fn); \
  } while (0)

void sbi_facade_set(struct sbi_facade *facade, smartbus_cli_connection_cb connection,
                    smartbus_cli_recvdata_cb recvdata, smartbus_cli_disconnect_cb disconnect,
                    smartbus_invokeflow_ret_cb flow_ret, smartbus_global_connect_cb global_connect,
                    void *arg) {
  pthread_rwlock_wrlock(&facade->lock);
  atomic_store(&facade->hooks.arg, arg);
  SET_ONCE(facade->hooks.connection, connection);
  SET_ONCE(facade->hooks.recvdata, recvdata);
  SET_ONCE(facade->hooks.disconnect, disconnect);
  SET_ONCE(facade->hooks.flow_ret, flow_ret);
  SET_ONCE(facade->hooks.global_connect, global_connect);
  apply_hooks(facade);
  pthread_rwlock_unlock(&facade->lock);
}

/* ISO C has no cast from an object pointer to a function pointer; the ABI needs one. */
union hook {
  void *object;
  smartbus_cli_connection_cb connection;
  smartbus_cli_recvdata_cb recvdata;
  smartbus_cli_disconnect_cb disconnect;
  smartbus_invokeflow_ack_cb flow_ack;
  smartbus_invokeflow_ret_cb flow_ret;
  smartbus_global_connect_cb global_connect;
};

static bool set_named(struct sbi_hooks *hooks, const char *name, union hook fn) {
  if (strcmp(name, "smartbus_cli_connection_cb") == 0)
    SET_ONCE(hooks->connection, fn.connection);
  else if (strcmp(name, "smartbus_cli_recvdata_cb") == 0)
    SET_ONCE(hooks->recvdata, fn.recvdata);
  else if (strcmp(name, "smartbus_cli_disconnect_cb") == 0)
    SET_ONCE(hooks->disconnect, fn.disconnect);
  else if (strcmp(name, "smartbus_invokeflow_ack_cb") == 0)
    SET_ONCE(hooks->flow_ack, fn.flow_ack);
  else if (strcmp(name, "smartbus_invokeflow_ret_cb") == 0)
    SET_ONCE(hooks->flow_ret, fn.flow_ret);
  else if (strcmp(name, "smartbus_global_connect_cb") == 0)
    SET_ONCE(hooks->global_connect, fn.global_connect);
  else
    return false;
  return true;
}

void sbi_facade_set_named(struct sbi_facade *facade, const char *name, void *fn) {
  if (name == NULL || *name == 0) return;
  pthread_rwlock_wrlock(&facade->lock);
  bool known = set_named(&facade->hooks, name, (union hook){fn});
  if (known) apply_hooks(facade);
  pthread_rwlock_unlock(&facade->lock);
  if (!known) sbi_facade_say(facade, 1, "SetCallBackFnEx: no callback is called %s", name);
}

/* ---- traces ---------------------------------------------------------------- */

void sbi_facade_say(struct sbi_facade *facade, int error, const char *format, ...) {
  if (!traced(&facade->hooks)) return;
  char text[SBI_TRACE_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  sb_net *net = sbi_facade_enter(facade);
  if (net != NULL) sbi_net_trace(net, error, "%s", text);
  sbi_facade_leave(facade, 0);
  if (net == NULL) call_trace(&facade->hooks, error, text, strlen(text));
}

void sbi_facade_trace(struct sbi_facade *facade, smartbus_trace info, smartbus_trace error) {
  pthread_rwlock_wrlock(&facade->lock);
  atomic_store(&facade->hooks.trace, info);
  atomic_store(&facade->hooks.trace_error, error);
  apply_hooks(facade);
  pthread_rwlock_unlock(&facade->lock);
}

void sbi_facade_trace_str(struct sbi_facade *facade, smartbus_trace_str info,
                          smartbus_trace_str error) {
  pthread_rwlock_wrlock(&facade->lock);
  atomic_store(&facade->hooks.trace_str, info);
  atomic_store(&facade->hooks.trace_str_error, error);
  apply_hooks(facade);
  pthread_rwlock_unlock(&facade->lock);
}
