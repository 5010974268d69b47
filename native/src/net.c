#include "net.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"

enum {
  INBOX_EVENTS = 65536,
  INBOX_BYTES = 64 << 20,
  FLUSH_BYTES = 32 * 1024, /* a sender writes by itself from here on */
  BURST_US = 50,           /* frames closer than this are a burst … */
  GATHER_US = 100,         /* … and leave together, so much later at most */
  KEEPER_MS = 500,
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

static void on_flow_tick(struct sbi_timer *timer);
static void *keep(void *arg);

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

sb_net *sb_net_new(int unit, const char *params, unsigned flags) {
  sb_net *net = sbi_calloc(1, sizeof *net);
  if (net == NULL) return NULL;
  net->local = (flags & SB_NET_LOCAL) != 0;
  net->unit = net->local ? -1 : (uint8_t)unit;
  net->wire = wire_parameter(params);
  net->ack_wait_ms = ack_parameter(params);
  net->hear_acks = net->hear_returns = net->hear_globals = true;
  net->flow_tick.fire = on_flow_tick;
  net->keeper_read = net->keeper_write = -1;
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
         pthread_create(&net->keeper, NULL, keep, net) == 0;
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

/* ---- stepping -------------------------------------------------------------- */

static void flush_dirty(sb_net *net) {
  while (net->dirty != NULL) {
    struct sbi_link *link = net->dirty;
    net->dirty = link->next_dirty;
    link->dirty = false;
    sbi_conn_flush(&link->conn);
  }
}

void sbi_net_dirty(sb_net *net, struct sbi_link *link) {
  if (link->dirty) return;
  link->dirty = true;
  link->next_dirty = net->dirty;
  net->dirty = link;
}

static void each_link(sb_net *net, void (*visit)(struct sbi_link *link)) {
  for (int i = 0; i < 256; i++) {
    if (net->clients[i] == NULL) continue;
    visit(&net->clients[i]->links[0]);
    visit(&net->clients[i]->links[1]);
  }
}

static void resume(struct sbi_link *link) {
  if (sbi_conn_open(&link->conn) && link->conn.paused) sbi_conn_resume(&link->conn);
}

/* Links that a full inbox held back go on where they stopped. */
static void resume_held(sb_net *net) {
  if (!net->holding || sbi_inbox_full(net->inbox)) return;
  net->holding = false; /* a link that is held back again says so again */
  each_link(net, resume);
}

static void end_grace(sb_net *net) {
  for (int i = 0; i < 256; i++)
    if (net->clients[i] != NULL) net->clients[i]->grace = false;
}

static void work(sb_net *net) {
  net->flush_soon = false;
  sbi_loop_dispatch(&net->loop);
  flush_dirty(net);
}

int sb_net_step(sb_net *net, int timeout_ms) {
  pthread_mutex_lock(&net->lock);
  net->loop.now = sbi_now_ms();
  sbi_inbox_quiet(net->inbox, true);
  /* The host has handled what it drained before, but not what the keeper added since. */
  if (sbi_inbox_count(net->inbox) == 0) end_grace(net);
  resume_held(net);
  flush_dirty(net);
  if (timeout_ms != 0 && sbi_inbox_count(net->inbox) > 0) timeout_ms = 0;
  int wait = sbi_loop_prepare(&net->loop, timeout_ms);
  if (timeout_ms == 0) {
    sbi_loop_wait(&net->loop, 0);
  } else {
    net->parked = true;
    sbi_inbox_quiet(net->inbox, false);
    pthread_mutex_unlock(&net->lock);
    sbi_loop_wait(&net->loop, wait);
    pthread_mutex_lock(&net->lock);
    sbi_inbox_quiet(net->inbox, true);
    net->parked = false;
  }
  work(net);
  sbi_inbox_quiet(net->inbox, false);
  net->last_step = net->loop.now;
  int count = (int)sbi_inbox_count(net->inbox);
  pthread_mutex_unlock(&net->lock);
  return count;
}

void sb_net_wake(sb_net *net) {
  sbi_loop_wake(&net->loop);
}

/* The keeper: does the host's step when the host is busy elsewhere. */
static void *keep(void *arg) {
  sb_net *net = arg;
  struct pollfd polled = {.fd = net->keeper_read, .events = POLLIN};
  for (bool stopping = false; !stopping;) {
    poll(&polled, 1, KEEPER_MS);
    pthread_mutex_lock(&net->lock);
    stopping = net->stopping;
    if (!stopping && !net->parked && sbi_now_ms() - net->last_step >= KEEPER_MS) {
      sbi_loop_prepare(&net->loop, 0);
      sbi_loop_wait(&net->loop, 0);
      work(net);
    }
    pthread_mutex_unlock(&net->lock);
  }
  return NULL;
}

void sb_net_cork(sb_net *net, int on) {
  pthread_mutex_lock(&net->lock);
  net->corked = on != 0;
  net->corked_thread = pthread_self();
  if (!net->corked) flush_dirty(net);
  pthread_mutex_unlock(&net->lock);
}

void sb_net_flush(sb_net *net) {
  pthread_mutex_lock(&net->lock);
  flush_dirty(net);
  pthread_mutex_unlock(&net->lock);
}

uint64_t sb_net_queued(sb_net *net) {
  uint64_t bytes = 0;
  pthread_mutex_lock(&net->lock);
  for (int i = 0; i < 256; i++) {
    const struct sbi_client *client = net->clients[i];
    if (client != NULL)
      bytes +=
          client->links[0].conn.out.bytes + client->links[1].conn.out.bytes + client->held.bytes;
  }
  pthread_mutex_unlock(&net->lock);
  return bytes;
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
  char text[512];
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
  int result = found != NULL && found->links[0].state == SBI_LINK_REFUSED &&
               (found->links[1].state == SBI_LINK_REFUSED || found->links[1].state == SBI_LINK_OFF);
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

/* ---- sending --------------------------------------------------------------- */

struct place {
  uint8_t *bytes;
  struct sbi_client *client;
  struct sbi_link *link; /* NULL: held for the next registration */
};

bool sbi_queue_takes(const struct sbi_outq *queue, size_t size) {
  return queue->frames < SBI_QUEUE_FRAMES &&
         (queue->bytes == 0 || queue->bytes + size <= SBI_QUEUE_BYTES);
}

/* The last checks of every sending function (S 5.1, 6 to 8) and room for a frame. */
static int reserve(sb_net *net, int id, size_t size, struct place *place) {
  struct sbi_client *client = net->clients[id & 0xFF];
  if (client == NULL) return net->local ? SB_ENOTCONN : SB_ENOCLIENT;
  struct sbi_link *link = sbi_client_link(client);
  if (link == NULL && !client->grace) return SB_ENOTCONN;
  struct sbi_outq *queue = link != NULL ? &link->conn.out : &client->held;
  if (!sbi_queue_takes(queue, size)) return SB_EFULL;
  *place = (struct place){sbi_outq_reserve(queue, size), client, link};
  return place->bytes == NULL ? SB_ENOMEM : SB_OK;
}

/* A frame was queued: see sb_net_cork for when it leaves. */
static void queued(sb_net *net, struct sbi_link *link) {
  if (link == NULL) return;
  if (link->conn.out.bytes >= FLUSH_BYTES) {
    sbi_conn_flush(&link->conn);
    return;
  }
  sbi_net_dirty(net, link);
  if (net->corked && pthread_equal(net->corked_thread, pthread_self())) return;
  int64_t now = sbi_now_us();
  bool burst = now - net->last_send_us < BURST_US;
  net->last_send_us = now;
  if (!burst || !net->parked) {
    flush_dirty(net);
  } else if (!net->flush_soon) {
    /* Waking the parked thread for each frame would cost more than the frame. */
    net->flush_soon = true;
    sbi_loop_soon(&net->loop, GATHER_US);
  }
}

static int check_data(const sb_net *net, int dst_unit, const void *data, int size) {
  if (net == NULL) return SB_ENOINIT; /* the order of S 5.1; IPC.md 7.2 has the same */
  if (dst_unit > SBI_MAX_UNIT) return SB_EUNIT;
  if (size > SBI_MAX_DATA) return SB_ETOOBIG;
  if (size < 0 ? net->local : size > 0 && data == NULL) return SB_EARGUMENT;
  return SB_OK;
}

/* Over TCP nobody may send within the own unit; a local client shares the server's unit with
 * others and may only not send to itself. */
static bool is_own(const sb_net *net, int client, int dst_unit, int dst_client) {
  return dst_unit == net->unit && (!net->local || dst_client == client);
}

/* Flows and notifies know this check over a local socket only (NET.md 7.1 and 8, IPC.md 7.2). */
static bool calls_itself(const sb_net *net, int client, int server_unit, int process) {
  return net->local && is_own(net, client, server_unit, process);
}

static int send_locked(sb_net *net, int id, uint8_t cmd, uint8_t cmd_type, struct sbi_addr dst,
                       const void *data, int size) {
  size_t n = size > 0 ? (size_t)size : 0;
  struct place place;
  int error = reserve(net, id, sbi_frame_size(n), &place);
  if (error != SB_OK) return error;
  sbi_frame_begin(place.bytes, cmd, cmd_type, sbi_client_addr(place.client), dst, n);
  if (n > 0) memcpy(place.bytes + SBI_HEAD_SIZE, data, n);
  queued(net, place.link);
  return SB_OK;
}

static struct sbi_addr address(int unit, int client, int type) {
  return (struct sbi_addr){(uint8_t)unit, (uint8_t)client, (uint8_t)type};
}

int sb_net_send(sb_net *net, int client, int cmd, int cmd_type, int dst_unit, int dst_client,
                int dst_type, const void *data, int size) {
  int result = check_data(net, dst_unit, data, size);
  if (result == SB_OK && (uint8_t)cmd_type == SBI_INTERNAL) result = SB_ECMDTYPE;
  if (result != SB_OK) return result;
  pthread_mutex_lock(&net->lock);
  if (is_own(net, client, dst_unit, dst_client))
    result = SB_EOWNUNIT;
  else
    result = send_locked(net, client, (uint8_t)cmd, (uint8_t)cmd_type,
                         address(dst_unit, dst_client, dst_type), data, size);
  pthread_mutex_unlock(&net->lock);
  return result;
}

int sb_net_ping(sb_net *net, int client, int dst_unit, int dst_client, int dst_type,
                const void *data, int size) {
  int result = check_data(net, dst_unit, data, size);
  if (result != SB_OK) return result;
  pthread_mutex_lock(&net->lock);
  if (is_own(net, client, dst_unit, dst_client))
    result = SB_EOWNUNIT;
  else
    result = send_locked(net, client, SBI_PING, SBI_SYSTEM, address(dst_unit, dst_client, dst_type),
                         data, size);
  pthread_mutex_unlock(&net->lock);
  return result;
}

/* ---- flows ----------------------------------------------------------------- */

static int32_t next_id(int32_t *id) {
  *id = *id == INT32_MAX ? 1 : *id + 1;
  return *id;
}

static void start_tick(sb_net *net) {
  if (net->flow_tick.place == 0 && (net->flows.acks > 0 || net->flows.returns > 0))
    sbi_timer_set(&net->loop, &net->flow_tick, sbi_now_ms() + SBI_FLOW_TICK_MS);
}

static void on_flow_tick(struct sbi_timer *timer) {
  sb_net *net = (sb_net *)((char *)timer - offsetof(sb_net, flow_tick));
  struct sbi_flow flow;
  bool ack;
  while (sbi_flows_expired(&net->flows, net->loop.now, &flow, &ack)) {
    sb_event event = {.kind = ack ? SB_EV_FLOW_ACK : SB_EV_FLOW_RETURN,
                      .client = flow.client,
                      .id = flow.id,
                      .code = SB_ETIMEOUT};
    struct sbi_part parts[] = {{flow.project, strlen(flow.project) + 1}, {"", 1}};
    sbi_inbox_force(net->inbox, &event, parts, 2);
  }
  start_tick(net);
}

static int clamp(int value, int low, int high) {
  return value < low ? low : value > high ? high : value;
}

static int call_flow_locked(sb_net *net, int client, int unit, int process,
                            struct sbi_flow_call *call, int timeout_ms) {
  bool returns = call->mode == 0 || call->mode == 2;
  if (net->hear_returns && returns && net->flows.returns >= SBI_FLOWS_MAX) return SB_EFULL;
  if (call->text_size > SBI_MAX_FLOW_TEXT) return SB_ETOOBIG;
  call->invoke_id = next_id(&net->flow_id);
  if (calls_itself(net, client, unit, process)) return SB_EOWNUNIT;
  if (net->hear_acks && net->flows.acks >= SBI_FLOWS_MAX) return SB_EFULL;
  int64_t now = sbi_now_ms();
  struct sbi_flow flow = {.id = call->invoke_id, .client = (uint8_t)client};
  sbi_text_copy(flow.project, sizeof flow.project, call->project);
  int ack_wait = net->ack_wait_ms > 0 ? net->ack_wait_ms : clamp(timeout_ms, 1000, 5000);
  if (net->hear_acks) flow.ack_due = now + ack_wait;
  if (net->hear_returns && returns) flow.return_due = now + clamp(timeout_ms, 0, INT32_MAX);
  /* The wait exists before the request can leave: no answer is too quick (S 7.4). */
  if (!sbi_flows_add(&net->flows, &flow)) return SB_ENOMEM;
  struct place place;
  int error = reserve(net, client, sbi_flow_call_size(call->text_size), &place);
  if (error != SB_OK) {
    sbi_flows_done(&net->flows, flow.id, true);
    sbi_flows_done(&net->flows, flow.id, false);
    return error;
  }
  sbi_flow_call_encode(place.bytes, sbi_client_addr(place.client),
                       address(unit, process, SBI_TYPE_IPSC), call);
  queued(net, place.link);
  start_tick(net);
  return call->invoke_id;
}

int sb_net_call_flow(sb_net *net, int client, int server_unit, int process, const char *project,
                     const char *flow, int mode, int timeout_ms, const char *params) {
  if (server_unit > SBI_MAX_SERVER_UNIT) return SB_EUNIT;
  bool local = net != NULL && net->local; /* NULL is empty there, IPC.md 7.2 */
  if (!local && (project == NULL || flow == NULL || params == NULL)) return SB_EARGUMENT;
  if (params == NULL) params = "";
  struct sbi_flow_call call = {
      .mode = (uint8_t)mode, .event_ch = -1, .text = params, .text_size = strlen(params)};
  sbi_text_copy(call.project, sizeof call.project, project);
  sbi_text_copy(call.flow, sizeof call.flow, flow);
  if (net == NULL) return call.text_size > SBI_MAX_FLOW_TEXT ? SB_ETOOBIG : SB_ENOINIT;
  pthread_mutex_lock(&net->lock);
  int result = call_flow_locked(net, client, server_unit, process, &call, timeout_ms);
  pthread_mutex_unlock(&net->lock);
  return result;
}

/* ---- notify ---------------------------------------------------------------- */

static int notify_locked(sb_net *net, int client, int unit, int process,
                         struct sbi_notify *notify) {
  notify->invoke_id = next_id(&net->notify_id);
  if (calls_itself(net, client, unit, process)) return SB_EOWNUNIT;
  struct place place;
  int error = reserve(net, client, sbi_notify_size(notify->text_size), &place);
  if (error != SB_OK) return error;
  sbi_notify_encode(place.bytes, sbi_client_addr(place.client),
                    address(unit, process, SBI_TYPE_IPSC), notify);
  queued(net, place.link);
  return notify->invoke_id;
}

int sb_net_notify(sb_net *net, int client, int server_unit, int process, const char *project,
                  const char *title, int mode, int expires, const char *param) {
  if (server_unit > SBI_MAX_SERVER_UNIT) return SB_EUNIT;
  bool local = net != NULL && net->local; /* NULL and empty texts are fine there, IPC.md 7.2 */
  bool empty = title == NULL || *title == 0 || param == NULL || *param == 0;
  if (empty && !local) return SB_EARGUMENT;
  size_t n = param != NULL ? strlen(param) : 0;
  if (n > SBI_MAX_NOTIFY_TEXT) return SB_ETOOBIG;
  if (net == NULL) return SB_ENOINIT;
  struct sbi_notify notify = {
      .mode = (uint8_t)mode, .expires = expires, .text = param, .text_size = n};
  sbi_text_copy(notify.project, sizeof notify.project, project);
  sbi_text_copy(notify.title, sizeof notify.title, title);
  pthread_mutex_lock(&net->lock);
  int result = notify_locked(net, client, server_unit, process, &notify);
  pthread_mutex_unlock(&net->lock);
  return result;
}

static int notify_item(sb_net *net, int client, const sb_notify_item *item, const char *text) {
  if (item->server_unit > SBI_MAX_SERVER_UNIT && item->server_unit != SBI_ANY) return SB_EUNIT;
  if (item->title_size == 0 || item->text_size == 0) return SB_EARGUMENT;
  if (item->text_size > SBI_MAX_NOTIFY_TEXT) return SB_ETOOBIG;
  if (net == NULL) return SB_ENOINIT;
  struct sbi_notify notify = {
      .expires = item->expires, .text = text + item->title_size, .text_size = item->text_size};
  size_t title = item->title_size;
  if (title >= sizeof notify.title) title = sizeof notify.title - 1;
  memcpy(notify.title, text, title);
  return notify_locked(net, client, item->server_unit, item->process, &notify);
}

int sb_net_notify_many(sb_net *net, int client, sb_notify_item *items, int count, const void *blob,
                       size_t blob_size) {
  const char *text = blob;
  size_t left = blob_size;
  int accepted = 0;
  if (net != NULL) pthread_mutex_lock(&net->lock);
  for (int i = 0; i < count; i++) {
    size_t title_size = items[i].title_size, text_size = items[i].text_size;
    if (text_size > left || title_size > left - text_size) {
      items[i].result = SB_EARGUMENT;
      continue;
    }
    items[i].result = notify_item(net, client, &items[i], text);
    accepted += items[i].result > 0;
    text += title_size + text_size;
    left -= title_size + text_size;
  }
  if (net != NULL) pthread_mutex_unlock(&net->lock);
  return accepted;
}
