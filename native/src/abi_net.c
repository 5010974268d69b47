/* The vendor's NET functions: one process-wide sb_net and a thread that steps it and turns what
 * it finds in the inbox into callbacks. No lock is held while a callback runs. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "alloc.h"
#include "net.h"
#include "smartbus_abi.h"

enum { MIN_UNIT = 16, MAX_UNIT = 47 };

/* Slots that are written once and read by the thread at any time. */
static struct {
  _Atomic(smartbus_cli_connection_cb) connection;
  _Atomic(smartbus_cli_recvdata_cb) recvdata;
  _Atomic(smartbus_cli_disconnect_cb) disconnect;
  _Atomic(smartbus_invokeflow_ack_cb) flow_ack;
  _Atomic(smartbus_invokeflow_ret_cb) flow_ret;
  _Atomic(smartbus_global_connect_cb) global_connect;
  _Atomic(void *) arg;
  _Atomic(smartbus_trace) trace, trace_error;
  _Atomic(smartbus_trace_str) trace_str, trace_str_error;
} hooks;

struct life {
  sb_net *net;
  pthread_t thread;
  atomic_bool stopping;
  bool orphan; /* released from a callback: its own thread frees it */
};

/* `current` changes only under the write lock; callers use it under the read lock. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct life *current;

static sb_net *enter(void) {
  pthread_rwlock_rdlock(&lock);
  return current != NULL ? current->net : NULL;
}

static int leave(int result) {
  pthread_rwlock_unlock(&lock);
  return result;
}

/* ---- the thread ------------------------------------------------------------ */

static void call_trace(int error, const char *bytes, size_t size) {
  char text[1024];
  if (size >= sizeof text) size = sizeof text - 1;
  memcpy(text, bytes, size);
  text[size] = 0;
  smartbus_trace print = atomic_load(error ? &hooks.trace_error : &hooks.trace);
  smartbus_trace_str put = atomic_load(error ? &hooks.trace_str_error : &hooks.trace_str);
  if (print != NULL)
    print("%s", text);
  else if (put != NULL)
    put(text);
}

static void call_flow_hook(const sb_event *event, SMARTBUS_PACKET_HEAD *head, const char *text) {
  void *arg = atomic_load(&hooks.arg);
  const char *second = text + strlen(text) + 1;
  smartbus_invokeflow_ack_cb ack = atomic_load(&hooks.flow_ack);
  smartbus_invokeflow_ret_cb ret = atomic_load(&hooks.flow_ret);
  if (event->kind == SB_EV_FLOW_ACK && ack != NULL)
    ack(arg, event->client, head, text, event->id, event->code, second);
  if (event->kind == SB_EV_FLOW_RETURN && ret != NULL)
    ret(arg, event->client, head, text, event->id, event->code, second);
}

static void call_hook(const sb_event *event, const uint8_t *payload) {
  void *arg = atomic_load(&hooks.arg);
  SMARTBUS_PACKET_HEAD copy, *head = NULL;
  if (event->flags & 1) {
    memcpy(&copy, event->head, sizeof copy);
    head = &copy;
  }
  smartbus_cli_connection_cb connection = atomic_load(&hooks.connection);
  smartbus_cli_recvdata_cb recvdata = atomic_load(&hooks.recvdata);
  smartbus_cli_disconnect_cb disconnect = atomic_load(&hooks.disconnect);
  smartbus_global_connect_cb global_connect = atomic_load(&hooks.global_connect);
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
      call_flow_hook(event, head, (const char *)payload);
      break;
    case SB_EV_GLOBAL:
      if (global_connect != NULL)
        global_connect(arg, (char)event->head[0], (char)event->head[1], (char)event->head[2],
                       (char)event->head[3], (char)event->head[4], (const char *)payload);
      break;
    case SB_EV_TRACE:
      call_trace(event->code, (const char *)payload, event->size);
      break;
    default:
      break;
  }
}

static void end_life(struct life *life) {
  sb_net_free(life->net);
  sbi_free(life);
}

static void *run(void *argument) {
  struct life *life = argument;
  while (!atomic_load(&life->stopping)) {
    sb_batch batch;
    sb_net_step(life->net, -1);
    sb_inbox_drain(sb_net_inbox(life->net), &batch);
    /* Frames sent by callbacks leave together after the batch; the keeper sees to it that a
     * callback that blocks delays them by half a second at most. */
    sb_net_cork(life->net, 1);
    for (uint64_t i = 0; i < batch.count && !atomic_load(&life->stopping); i++)
      call_hook(&batch.events[i], batch.data + batch.events[i].offset);
    sb_net_cork(life->net, 0);
  }
  if (life->orphan) end_life(life);
  return NULL;
}

/* ---- life ------------------------------------------------------------------ */

/* With the write lock held. */
static void apply_hooks(void) {
  if (current == NULL) return;
  bool traced = atomic_load(&hooks.trace) != NULL || atomic_load(&hooks.trace_error) != NULL ||
                atomic_load(&hooks.trace_str) != NULL ||
                atomic_load(&hooks.trace_str_error) != NULL;
  sb_net_trace(current->net, traced ? 2 : 0);
  sb_net_listen(current->net, atomic_load(&hooks.flow_ack) != NULL,
                atomic_load(&hooks.flow_ret) != NULL, atomic_load(&hooks.global_connect) != NULL);
}

int SmartBusNetCli_InitEx(unsigned char unitid, const char *params) {
  if (unitid < MIN_UNIT || unitid > MAX_UNIT) return SB_EUNIT;
  pthread_rwlock_wrlock(&lock);
  int result = SB_OK;
  if (current != NULL) {
    sb_net_set_unit(current->net, unitid);
  } else {
    struct life *life = sbi_calloc(1, sizeof *life);
    if (life != NULL) life->net = sb_net_new(unitid, params, 0);
    if (life != NULL && life->net != NULL && pthread_create(&life->thread, NULL, run, life) == 0) {
      current = life;
      apply_hooks();
    } else {
      if (life != NULL) end_life(life);
      result = SB_ENOMEM;
    }
  }
  pthread_rwlock_unlock(&lock);
  return result;
}

int SmartBusNetCli_Init(unsigned char unitid) {
  return SmartBusNetCli_InitEx(unitid, NULL);
}

void SmartBusNetCli_Release(void) {
  pthread_rwlock_wrlock(&lock);
  struct life *life = current;
  current = NULL;
  pthread_rwlock_unlock(&lock);
  if (life == NULL) return;
  if (pthread_equal(life->thread, pthread_self())) {
    life->orphan = true;
    pthread_detach(life->thread);
    atomic_store(&life->stopping, true);
    return;
  }
  atomic_store(&life->stopping, true);
  sb_net_wake(life->net);
  pthread_join(life->thread, NULL);
  end_life(life);
}

/* ---- callbacks ------------------------------------------------------------- */

/* Set once: a place that is taken keeps what it has. */
#define SET_ONCE(slot, fn)                                       \
  do {                                                           \
    if (atomic_load(&(slot)) == NULL) atomic_store(&(slot), fn); \
  } while (0)

void SmartBusNetCli_SetCallBackFn(smartbus_cli_connection_cb connection,
                                  smartbus_cli_recvdata_cb recvdata,
                                  smartbus_cli_disconnect_cb disconnect,
                                  smartbus_invokeflow_ret_cb flow_ret,
                                  smartbus_global_connect_cb global_connect, void *arg) {
  pthread_rwlock_wrlock(&lock);
  atomic_store(&hooks.arg, arg);
  SET_ONCE(hooks.connection, connection);
  SET_ONCE(hooks.recvdata, recvdata);
  SET_ONCE(hooks.disconnect, disconnect);
  SET_ONCE(hooks.flow_ret, flow_ret);
  SET_ONCE(hooks.global_connect, global_connect);
  apply_hooks();
  pthread_rwlock_unlock(&lock);
}

void SmartBusNetCli_SetCallBackFnArg(void *arg) {
  atomic_store(&hooks.arg, arg);
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

static bool set_named(const char *name, union hook fn) {
  if (strcmp(name, "smartbus_cli_connection_cb") == 0)
    SET_ONCE(hooks.connection, fn.connection);
  else if (strcmp(name, "smartbus_cli_recvdata_cb") == 0)
    SET_ONCE(hooks.recvdata, fn.recvdata);
  else if (strcmp(name, "smartbus_cli_disconnect_cb") == 0)
    SET_ONCE(hooks.disconnect, fn.disconnect);
  else if (strcmp(name, "smartbus_invokeflow_ack_cb") == 0)
    SET_ONCE(hooks.flow_ack, fn.flow_ack);
  else if (strcmp(name, "smartbus_invokeflow_ret_cb") == 0)
    SET_ONCE(hooks.flow_ret, fn.flow_ret);
  else if (strcmp(name, "smartbus_global_connect_cb") == 0)
    SET_ONCE(hooks.global_connect, fn.global_connect);
  else
    return false;
  return true;
}

void SmartBusNetCli_SetCallBackFnEx(const char *name, void *fn) {
  if (name == NULL || *name == 0) return;
  pthread_rwlock_wrlock(&lock);
  if (set_named(name, (union hook){fn}))
    apply_hooks();
  else if (current != NULL)
    sbi_net_trace(current->net, 1, "SetCallBackFnEx: no callback is called %s", name);
  pthread_rwlock_unlock(&lock);
}

void SmartBusNetCli_SetTrace(smartbus_trace info, smartbus_trace error) {
  pthread_rwlock_wrlock(&lock);
  atomic_store(&hooks.trace, info);
  atomic_store(&hooks.trace_error, error);
  apply_hooks();
  pthread_rwlock_unlock(&lock);
}

void SmartBusNetCli_SetTraceStr(smartbus_trace_str info, smartbus_trace_str error) {
  pthread_rwlock_wrlock(&lock);
  atomic_store(&hooks.trace_str, info);
  atomic_store(&hooks.trace_str_error, error);
  apply_hooks();
  pthread_rwlock_unlock(&lock);
}

/* ---- calls ----------------------------------------------------------------- */

int SmartBusNetCli_CreateConnect(unsigned char local_clientid, int local_clienttype,
                                 const char *masterip, unsigned short masterport,
                                 const char *slaverip, unsigned short slaverport,
                                 const char *author_username, const char *author_pwd,
                                 const char *add_info) {
  sb_net *net = enter();
  if (net == NULL) return leave(SB_ENOINIT);
  return leave(sb_net_connect(net, local_clientid, local_clienttype, masterip, masterport, slaverip,
                              slaverport, author_username, author_pwd, add_info));
}

int SmartBusNetCli_SendData(unsigned char local_clientid, unsigned char cmd, unsigned char cmdtype,
                            int dst_unitid, int dst_clientid, int dst_clienttype, const void *data,
                            int size) {
  return leave(sb_net_send(enter(), local_clientid, cmd, cmdtype, dst_unitid, dst_clientid,
                           dst_clienttype, data, size));
}

int SmartBusNetCli_SendPing(unsigned char local_clientid, int dst_unitid, int dst_clientid,
                            int dst_clienttype, const void *data, int size) {
  return leave(
      sb_net_ping(enter(), local_clientid, dst_unitid, dst_clientid, dst_clienttype, data, size));
}

int SmartBusNetCli_RemoteInvokeFlow(unsigned char local_clientid, int server_unitid, int ipscindex,
                                    const char *projectid, const char *flowid, int mode,
                                    int timeout, const char *in_valuelist) {
  return leave(sb_net_call_flow(enter(), local_clientid, server_unitid, ipscindex, projectid,
                                flowid, mode, timeout, in_valuelist));
}

int SmartBusNetCli_SendNotify(unsigned char local_clientid, int server_unitid, int processindex,
                              const char *projectid, const char *title, int mode, int expires,
                              const char *param) {
  return leave(sb_net_notify(enter(), local_clientid, server_unitid, processindex, projectid, title,
                             mode, expires, param));
}
