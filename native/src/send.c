#include <string.h>

#include "net.h"

enum {
  FLUSH_BYTES = 32 * 1024,        /* a sender writes by itself from here on */
  BATCH_FLUSH_BYTES = 128 * 1024, /* … and so often while it queues a batch */
  BURST_US = 20                   /* frames closer than this are a burst, and leave together */
};

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

/* Somebody flushes in a moment: the end of a burst must not wait for its next frame. */
static void flush_later(sb_net *net) {
  if (net->flush_soon) return;
  if (net->parked) {
    net->flush_soon = true;
    sbi_loop_soon(&net->loop, SBI_GATHER_US);
  } else if (net->has_keeper) {
    net->flush_soon = true;
    sbi_wake_signal(net->keeper_write);
  } else {
    sbi_net_flush(net);
  }
}

/* A frame was queued: see sb_net_cork for when it leaves. */
static void queued(sb_net *net, struct sbi_link *link) {
  if (link == NULL) return;
  bool much = link->conn.out.bytes >= FLUSH_BYTES, blocked = sbi_conn_blocked(&link->conn);
  sbi_net_dirty(net, link);
  if (!much && net->corked && pthread_equal(net->corked_thread, pthread_self())) return;
  if (blocked && net->parked) return; /* the parked thread writes when the socket takes more */
  int64_t now = sbi_now_us();
  bool burst = now - net->last_send_us < BURST_US;
  net->last_send_us = now;
  if (burst && (!much || blocked) && now - net->last_flush_us < SBI_GATHER_US) {
    flush_later(net);
    return;
  }
  net->last_flush_us = now;
  sbi_net_flush(net);
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

static void encode(const struct place *place, uint8_t cmd, uint8_t cmd_type, struct sbi_addr dst,
                   const void *data, size_t size) {
  sbi_frame_begin(place->bytes, cmd, cmd_type, sbi_client_addr(place->client), dst, size);
  if (size > 0) memcpy(place->bytes + SBI_HEAD_SIZE, data, size);
}

static int send_locked(sb_net *net, int id, uint8_t cmd, uint8_t cmd_type, struct sbi_addr dst,
                       const void *data, int size) {
  size_t n = size > 0 ? (size_t)size : 0;
  struct place place;
  int error = reserve(net, id, sbi_frame_size(n), &place);
  if (error != SB_OK) return error;
  encode(&place, cmd, cmd_type, dst, data, n);
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

static int check_batch(const uint32_t *sizes, int count, size_t blob_size) {
  uint64_t sum = 0;
  for (int i = 0; i < count; i++) {
    if (sizes[i] > SBI_MAX_DATA) return SB_ETOOBIG;
    sum += sizes[i];
  }
  return count < 0 || sum != blob_size ? SB_EARGUMENT : SB_OK;
}

/* Frames leave while others are still being queued, so that the receiver works meanwhile. */
static int send_many_locked(sb_net *net, int id, uint8_t cmd, uint8_t cmd_type, struct sbi_addr dst,
                            const uint32_t *sizes, int count, const uint8_t *data, int *sent) {
  struct place place = {0};
  size_t unflushed = 0;
  int error = SB_OK, i = 0;
  for (; i < count; i++) {
    error = reserve(net, id, sbi_frame_size(sizes[i]), &place);
    if (error != SB_OK) break;
    encode(&place, cmd, cmd_type, dst, data, sizes[i]);
    data += sizes[i];
    unflushed += sizes[i] + SBI_HEAD_SIZE;
    if (unflushed >= BATCH_FLUSH_BYTES && place.link != NULL) {
      sbi_conn_flush(&place.link->conn);
      unflushed = 0;
    }
  }
  *sent = i;
  if (unflushed > 0) queued(net, place.link);
  return error;
}

int sb_net_send_many(sb_net *net, int client, int cmd, int cmd_type, int dst_unit, int dst_client,
                     int dst_type, const uint32_t *sizes, int count, const void *blob,
                     size_t blob_size, int *sent) {
  *sent = 0;
  int result = check_data(net, dst_unit, blob, blob_size > 0);
  if (result == SB_OK && (uint8_t)cmd_type == SBI_INTERNAL) result = SB_ECMDTYPE;
  if (result == SB_OK) result = check_batch(sizes, count, blob_size);
  if (result != SB_OK) return result;
  pthread_mutex_lock(&net->lock);
  if (is_own(net, client, dst_unit, dst_client))
    result = SB_EOWNUNIT;
  else
    result = send_many_locked(net, client, (uint8_t)cmd, (uint8_t)cmd_type,
                              address(dst_unit, dst_client, dst_type), sizes, count, blob, sent);
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
  sbi_timeouts_start(net);
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
