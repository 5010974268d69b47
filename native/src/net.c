#include "net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"

enum {
  INBOX_EVENTS = 65536,
  INBOX_BYTES = 64 << 20,
  MAX_FRAME = SBI_HEAD_SIZE + SBI_MAX_DATA + 3, /* what SendData can send, with its padding */
  TIMERS_PER_CLIENT = 4
};

const char *sb_version(void) {
  return SB_VERSION;
}

const char *sb_backend(void) {
#ifdef SBI_EPOLL
  return "epoll";
#else
  return "poll";
#endif
}

/* ---- life ------------------------------------------------------------------ */

static void nothing(struct sbi_watch *watch, unsigned events) {
  (void)watch; /* the step returns, that is all */
  (void)events;
}

/* The value of `key` in "key=value;key=value", spaces around both allowed. */
static bool parameter(const char *params, const char *key, char *value, size_t size) {
  size_t key_size = strlen(key);
  for (const char *p = params; p != NULL && *p != 0;) {
    p += strspn(p, " ;");
    size_t n = strcspn(p, ";");
    const char *equals = memchr(p, '=', n);
    if (equals != NULL && strncmp(p, key, key_size) == 0 &&
        p + key_size + strspn(p + key_size, " ") == equals) {
      const char *start = equals + 1 + strspn(equals + 1, " ");
      size_t length = start < p + n ? strcspn(start, "; ") : 0;
      snprintf(value, size, "%.*s", (int)length, start);
      return true;
    }
    p += n;
  }
  return false;
}

static enum sbi_wire wire_parameter(const char *params) {
  char value[16];
  if (!parameter(params, "Wire", value, sizeof value)) return SBI_WIRE_AUTO;
  if (strcmp(value, "2015") == 0) return SBI_WIRE_2015;
  if (strcmp(value, "2018") == 0) return SBI_WIRE_2018;
  return SBI_WIRE_AUTO;
}

static int ack_parameter(const char *params) {
  char value[16];
  if (!parameter(params, "FlowAckTimeout", value, sizeof value)) return 0;
  long ms = strtol(value, NULL, 10);
  return ms > 0 && ms < 86400000 ? (int)ms : 0;
}

static bool beats_parameter(const char *params) {
  char value[16];
  return parameter(params, "TraceHeartbeat", value, sizeof value) && strtol(value, NULL, 10) == 1;
}

sb_net *sb_net_new(int unit, const char *params, unsigned flags) {
  sb_net *net = sbi_calloc(1, sizeof *net);
  if (net == NULL) return NULL;
  net->local = (flags & SB_NET_LOCAL) != 0;
  net->unit = net->local ? -1 : (uint8_t)unit;
  net->wire = wire_parameter(params);
  net->ack_wait_ms = ack_parameter(params);
  net->trace_beats = beats_parameter(params);
  net->hear_acks = net->hear_returns = net->hear_globals = true;
  net->flow_tick.fire = sbi_net_flow_tick;
  net->keeper_read = net->keeper_write = -1;
  net->timeout_read = net->timeout_write = -1;
  pthread_mutex_init(&net->lock, NULL);
  bool ok = sbi_loop_init(&net->loop) == 0;
  ok = ok && sbi_hub_init(&net->hub, &net->loop, MAX_FRAME, &sbi_link_ops) == 0;
  ok = ok && (net->inbox = sb_inbox_new(INBOX_EVENTS, INBOX_BYTES)) != NULL;
  ok = ok && sbi_flows_init(&net->flows) && sbi_timers_reserve(&net->loop, 1);
  if (ok) {
    sbi_inbox_tell_room(net->inbox, net->loop.wake_write); /* links may be held back */
    net->inbox_watch = (struct sbi_watch){.fd = sb_inbox_fileno(net->inbox), .ready = nothing};
    ok = sbi_loop_watch(&net->loop, &net->inbox_watch, SBI_READ) == 0;
  }
  net->last_step = net->loop.now;
  if (ok && !(flags & SB_NET_NO_KEEPER)) {
    ok = sbi_wake_open(&net->keeper_read, &net->keeper_write) == 0 &&
         pthread_create(&net->keeper, NULL, sbi_net_keep, net) == 0;
    net->has_keeper = ok;
  }
  if (ok) return net;
  sb_net_free(net);
  return NULL;
}

static void drop_client(sb_net *net, struct sbi_client *client) {
  for (int i = 0; i < 2; i++)
    if (client->links[i].state != SBI_LINK_OFF) sbi_link_stop(&client->links[i]);
  for (struct sbi_link **place = &net->dirty; *place != NULL;) {
    if ((*place)->client == client)
      *place = (*place)->next_dirty;
    else
      place = &(*place)->next_dirty;
  }
  if (net->flows.buckets != NULL) sbi_flows_forget(&net->flows, client->id);
  sbi_outq_clear(&client->held);
  net->clients[client->id] = NULL;
  net->client_count--;
  sbi_timers_release(&net->loop, TIMERS_PER_CLIENT);
  sbi_free(client);
}

void sb_net_free(sb_net *net) {
  if (net == NULL) return;
  if (net->has_keeper) {
    pthread_mutex_lock(&net->lock);
    net->stopping = true;
    pthread_mutex_unlock(&net->lock);
    sbi_wake_signal(net->keeper_write);
    pthread_join(net->keeper, NULL);
  }
  sbi_wake_close(net->keeper_read, net->keeper_write);
  sbi_wake_close(net->timeout_read, net->timeout_write);
  for (int i = 0; i < 256; i++)
    if (net->clients[i] != NULL) drop_client(net, net->clients[i]);
  sbi_flows_clear(&net->flows);
  if (net->inbox != NULL) sbi_loop_unwatch(&net->loop, &net->inbox_watch);
  sb_inbox_free(net->inbox);
  sbi_hub_close(&net->hub);
  sbi_loop_close(&net->loop);
  pthread_mutex_destroy(&net->lock);
  sbi_free(net);
}

/* Without the lock: a thread that is not here any more may have held it. */
void sb_net_abandon(sb_net *net) {
  for (int i = 0; i < 256; i++) {
    const struct sbi_client *client = net->clients[i];
    for (int k = 0; client != NULL && k < 2; k++)
      if (sbi_conn_open(&client->links[k].conn)) close(client->links[k].conn.watch.fd);
  }
  sbi_wake_close(net->keeper_read, net->keeper_write);
  sbi_inbox_abandon(net->inbox);
  sbi_loop_abandon(&net->loop);
}

sb_inbox *sb_net_inbox(sb_net *net) {
  return net->inbox;
}

int sb_net_fileno(const sb_net *net) {
  return sbi_loop_fileno(&net->loop);
}

/* ---- settings -------------------------------------------------------------- */

void sb_net_set_unit(sb_net *net, int unit) {
  pthread_mutex_lock(&net->lock);
  net->unit = (uint8_t)unit;
  pthread_mutex_unlock(&net->lock);
}

void sb_net_trace(sb_net *net, int level) {
  pthread_mutex_lock(&net->lock);
  net->trace_level = level;
  pthread_mutex_unlock(&net->lock);
}

void sb_net_listen(sb_net *net, int acks, int returns, int globals) {
  pthread_mutex_lock(&net->lock);
  net->hear_acks = acks != 0;
  net->hear_returns = returns != 0;
  net->hear_globals = globals != 0;
  pthread_mutex_unlock(&net->lock);
}

void sbi_net_trace(sb_net *net, int error, const char *format, ...) {
  if (net->trace_level < (error ? 1 : 2)) return;
  char text[SBI_TRACE_MAX];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n < 0) return;
  sb_event event = {.kind = SB_EV_TRACE, .code = error};
  struct sbi_part part = {text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1};
  sbi_inbox_offer(net->inbox, &event, &part, 1);
}

/* ---- connections ----------------------------------------------------------- */

struct sbi_addr sbi_client_addr(const struct sbi_client *client) {
  /* A local client has no unit before it is registered: 0 then. */
  uint8_t unit = client->net->unit >= 0 ? (uint8_t)client->net->unit : 0;
  return (struct sbi_addr){unit, client->id, client->type};
}

static bool usable_port(int port) {
  return port > 0 && port < 65535;
}

static enum sbi_form first_form(const sb_net *net) {
  if (net->local) return SBI_FORM_LOCAL;
  return net->wire == SBI_WIRE_2015 ? SBI_FORM_2015 : SBI_FORM_2018;
}

static void set_link(struct sbi_client *client, int index, const struct sbi_endpoint *at) {
  struct sbi_link *link = &client->links[index];
  link->client = client;
  link->index = (uint8_t)index;
  link->form = link->preferred = first_form(client->net);
  if (at != NULL) link->at = *at;
}

struct credentials {
  const char *user, *password, *info;
};

/* With a slave, if `slave` is not NULL. */
static int connect_locked(sb_net *net, int id, int type, const struct sbi_endpoint *master,
                          const struct sbi_endpoint *slave, const struct credentials *own) {
  if (net->clients[id & 0xFF] != NULL) return SB_EARGUMENT;
  if (net->client_count >= SBI_CLIENTS_MAX) return SB_ETOOMANY;
  struct sbi_client *client = sbi_calloc(1, sizeof *client);
  if (client == NULL) return SB_ENOMEM;
  if (!sbi_timers_reserve(&net->loop, TIMERS_PER_CLIENT)) {
    sbi_free(client);
    return SB_ENOMEM;
  }
  client->net = net;
  client->id = (uint8_t)id;
  client->type = (uint8_t)type;
  client->access_unit = -1;
  sbi_text_copy(client->user, sizeof client->user, own->user);
  sbi_text_copy(client->password, sizeof client->password, own->password);
  sbi_text_copy(client->info, sizeof client->info, own->info);
  net->clients[client->id] = client;
  net->client_count++;
  set_link(client, 0, master);
  set_link(client, 1, slave);
  sbi_link_start(&client->links[0]);
  if (slave != NULL) sbi_link_start(&client->links[1]);
  return SB_OK;
}

int sb_net_connect(sb_net *net, int client, int type, const char *master_ip, int master_port,
                   const char *slave_ip, int slave_port, const char *user, const char *password,
                   const char *info) {
  struct sbi_endpoint master, slave;
  struct credentials own = {user, password, info};
  bool two = slave_ip != NULL && *slave_ip != 0 && usable_port(slave_port);
  if (type <= 1) return SB_ECLIENTTYPE;
  if (master_ip == NULL || !usable_port(master_port) ||
      !sbi_endpoint_set(&master, master_ip, master_port) ||
      (two && !sbi_endpoint_set(&slave, slave_ip, slave_port)))
    return SB_EARGUMENT;
  pthread_mutex_lock(&net->lock);
  net->loop.now = sbi_now_ms(); /* the attempt's time limit counts from here */
  int result = connect_locked(net, client, type, &master, two ? &slave : NULL, &own);
  pthread_mutex_unlock(&net->lock);
  return result;
}

int sb_net_connect_local(sb_net *net, int client, int type, const char *path, const char *user,
                         const char *password, const char *info) {
  struct sbi_endpoint endpoint;
  struct credentials own = {user, password, info};
  if (type <= 1) return SB_ECLIENTTYPE;
  if (path == NULL || *path == 0 || !sbi_endpoint_set(&endpoint, path, SBI_LOCAL))
    return SB_EARGUMENT;
  pthread_mutex_lock(&net->lock);
  net->loop.now = sbi_now_ms();
  int result =
      net->client_count > 0 ? SB_EISCONN : connect_locked(net, client, type, &endpoint, NULL, &own);
  pthread_mutex_unlock(&net->lock);
  return result;
}

int sb_net_disconnect(sb_net *net, int client) {
  pthread_mutex_lock(&net->lock);
  struct sbi_client *found = net->clients[client & 0xFF];
  if (found != NULL) drop_client(net, found);
  pthread_mutex_unlock(&net->lock);
  return found != NULL ? SB_OK : SB_ENOCLIENT;
}

int sb_net_refused(sb_net *net, int client) {
  pthread_mutex_lock(&net->lock);
  const struct sbi_client *found = net->clients[client & 0xFF];
  int result = found != NULL && sbi_client_refused(found);
  pthread_mutex_unlock(&net->lock);
  return result;
}

int sb_net_connected(sb_net *net, int client) {
  pthread_mutex_lock(&net->lock);
  struct sbi_client *found = net->clients[client & 0xFF];
  int result = found != NULL && sbi_client_link(found) != NULL;
  pthread_mutex_unlock(&net->lock);
  return result;
}
