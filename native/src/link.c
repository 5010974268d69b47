/* One link of a client: connect, register, beat, supervise, retry, and what arrives on it. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

static const char version_text[] = "1.0.1.0465"; /* of the vendor's build whose form this is */

static struct sbi_link *other(struct sbi_link *link) {
  return &link->client->links[1 - link->index];
}

static void put_connected(struct sbi_client *client, int unit, int code) {
  sb_event event = {.kind = SB_EV_CONNECTED, .client = client->id, .id = unit, .code = code};
  sbi_inbox_force(client->net->inbox, &event, NULL, 0);
}

static void put_disconnected(struct sbi_client *client) {
  sb_event event = {.kind = SB_EV_DISCONNECTED, .client = client->id};
  client->grace = true;
  sbi_inbox_force(client->net->inbox, &event, NULL, 0);
}

/* ---- attempts -------------------------------------------------------------- */

static void connect_now(struct sbi_link *link);

/* Even with no delay the next attempt starts from the timer: the connection that is given up may
 * still be handing out frames further down the stack. */
static void retry_later(struct sbi_link *link, int64_t delay) {
  struct sbi_loop *loop = &link->client->net->loop;
  link->state = SBI_LINK_WAITING;
  sbi_timer_set(loop, &link->retry, loop->now + delay);
}

/* The next attempt is the first of two again. Returns what the server had said to this first one. */
static int end_attempts(struct sbi_link *link) {
  int refusal = link->refusal;
  link->form = link->preferred;
  link->other_form_tried = false;
  link->refusal = 0;
  return refusal;
}

static void connect_failed(struct sbi_link *link, const char *why) {
  struct sbi_client *client = link->client;
  char port[16] = "";
  if (!client->net->local) snprintf(port, sizeof port, ":%d", link->at.port);
  sbi_net_trace(client->net, 1, "client %u: connect to %s%s failed: %s", client->id, link->at.name,
                port, why);
  /* Of all failures of a client only the first is news, and only without the other link (S 9.4). */
  if (!client->has_failed && other(link)->state != SBI_LINK_OK)
    put_connected(client, client->access_unit, SB_ECONNECT);
  client->has_failed = true;
  end_attempts(link); /* a server that is down has refused no form */
  retry_later(link, SBI_RETRY_MS);
}

static void on_retry(struct sbi_timer *timer) {
  struct sbi_link *link = (struct sbi_link *)((char *)timer - offsetof(struct sbi_link, retry));
  if (link->state == SBI_LINK_CONNECTING) {
    sbi_conn_close(&link->conn);
    connect_failed(link, "timed out");
  } else {
    connect_now(link);
  }
}

static void connect_now(struct sbi_link *link) {
  sb_net *net = link->client->net;
  link->state = SBI_LINK_CONNECTING;
  int error = sbi_conn_connect(&link->conn, &net->hub, &link->at);
  if (error != 0)
    connect_failed(link, strerror(-error));
  else
    sbi_timer_set(&net->loop, &link->retry, net->loop.now + SBI_CONNECT_MS);
}

/* ---- registration and heartbeat -------------------------------------------- */

static void register_link(struct sbi_link *link) {
  struct sbi_client *client = link->client;
  struct sbi_registration reg = {.form = link->form,
                                 .addr = sbi_client_addr(client),
                                 .connect_index = link->index,
                                 .access_unit = client->access_unit,
                                 .pid = getpid()};
  sbi_text_copy(reg.version, sizeof reg.version, version_text);
  sbi_text_copy(reg.user, sizeof reg.user, client->user);
  sbi_text_copy(reg.password, sizeof reg.password, client->password);
  sbi_text_copy(reg.info, sizeof reg.info, client->info);
  uint8_t frame[SBI_REGISTRATION_MAX];
  size_t size = sbi_registration_encode(frame, &reg);
  uint8_t *place = sbi_conn_reserve(&link->conn, size);
  if (place == NULL) {
    sbi_timer_clear(&client->net->loop, &link->beat);
    sbi_conn_close(&link->conn);
    connect_failed(link, "no memory");
    return;
  }
  memcpy(place, frame, size);
  link->state = SBI_LINK_REGISTERING;
  sbi_net_trace(client->net, 0, "client %u: connected to %s, registering", client->id,
                link->at.name);
  sbi_conn_flush(&link->conn);
}

static void opened(struct sbi_conn *conn, int error) {
  struct sbi_link *link = (struct sbi_link *)conn;
  struct sbi_loop *loop = &link->client->net->loop;
  sbi_timer_clear(loop, &link->retry);
  if (error != 0) {
    connect_failed(link, strerror(error));
    return;
  }
  if (!link->client->net->local) {
    link->beats = 0;
    sbi_timer_set(loop, &link->beat, loop->now + SBI_BEAT_MS);
  }
  register_link(link);
}

/* A lost link is back at once (S 9.4), unless it is cut off again and again right after its
 * registration, as happens when two processes fight for one address. */
static int64_t after_life(struct sbi_link *link) {
  bool was_short = link->client->net->loop.now - link->registered_at < SBI_UNANSWERED_MS;
  link->short_lives = was_short ? link->short_lives + 1 : 0;
  return link->short_lives >= 2 ? SBI_UNANSWERED_MS : 0;
}

bool sbi_client_refused(const struct sbi_client *client) {
  return client->links[0].state == SBI_LINK_REFUSED &&
         (client->links[1].state == SBI_LINK_REFUSED || client->links[1].state == SBI_LINK_OFF);
}

/* When that was the last one, nothing will ever be sent again. */
static void refused_for_good(struct sbi_link *link) {
  struct sbi_client *client = link->client;
  link->state = SBI_LINK_REFUSED;
  if (!sbi_client_refused(client)) return;
  client->grace = false;
  sbi_outq_clear(&client->held);
}

/* The link is closed already. `code` != 0: it was refused with that. */
static void after_loss(struct sbi_link *link, int code) {
  struct sbi_client *client = link->client;
  sb_net *net = client->net;
  bool was_ok = link->state == SBI_LINK_OK;
  bool other_ok = other(link)->state == SBI_LINK_OK;
  sbi_timer_clear(&net->loop, &link->beat);
  link->state = SBI_LINK_WAITING;
  if (was_ok) {
    sbi_outq_rewind(&link->conn.out);
    sbi_outq_move(other_ok ? &other(link)->conn.out : &client->held, &link->conn.out);
    if (other_ok) sbi_net_dirty(net, other(link));
  } else {
    sbi_outq_clear(&link->conn.out); /* a registration and heartbeats */
  }
  if (code != 0 && (was_ok || !other_ok)) put_connected(client, link->refuser, code);
  if (was_ok && !other_ok) put_disconnected(client);
  bool again = code == SB_EISCONN && !net->local; /* a local client takes every refusal for final */
  if (code != 0 && !again)
    refused_for_good(link);
  else if (again)
    retry_later(link, SBI_RETRY_MS);
  else if (was_ok)
    retry_later(link, after_life(link));
  else
    retry_later(link, SBI_UNANSWERED_MS);
}

/* A server may know only the other generation's form: it then reads a wrong user name or password
 * and refuses, or closes. */
static bool try_other_form(struct sbi_link *link) {
  const sb_net *net = link->client->net;
  if (net->local || net->wire != SBI_WIRE_AUTO || link->other_form_tried) return false;
  link->other_form_tried = true;
  link->form = link->form == SBI_FORM_2018 ? SBI_FORM_2015 : SBI_FORM_2018;
  return true;
}

static void start_over(struct sbi_link *link) {
  sbi_timer_clear(&link->client->net->loop, &link->beat);
  sbi_outq_clear(&link->conn.out);
  retry_later(link, 0);
}

static void lost(struct sbi_conn *conn, int64_t bad, int error) {
  struct sbi_link *link = (struct sbi_link *)conn;
  struct sbi_client *client = link->client;
  if (bad != 0) {
    char text[SBI_BAD_TEXT];
    sbi_conn_bad_text(conn, bad, text);
    sbi_net_trace(client->net, 1, "client %u: %s; link closed", client->id, text);
  } else {
    sbi_net_trace(client->net, 0, "client %u: link closed: %s", client->id,
                  error != 0 ? strerror(error) : "end of stream");
  }
  if (link->state == SBI_LINK_REGISTERING && bad == 0 && try_other_form(link)) {
    start_over(link);
    return;
  }
  /* If it refused the first form and did not answer the second, the refusal counts. */
  after_loss(link, link->state == SBI_LINK_REGISTERING ? end_attempts(link) : 0);
}

static void on_beat(struct sbi_timer *timer) {
  struct sbi_link *link = (struct sbi_link *)((char *)timer - offsetof(struct sbi_link, beat));
  struct sbi_client *client = link->client;
  struct sbi_loop *loop = &client->net->loop;
  if (link->state == SBI_LINK_OK && !link->conn.paused &&
      loop->now - link->conn.last_read >= SBI_SILENCE_MS) {
    sbi_net_trace(client->net, 1, "client %u: no byte for 15 s; link closed", client->id);
    sbi_conn_close(&link->conn);
    after_loss(link, 0);
    return;
  }
  struct sbi_heartbeat beat = {.wide = link->form == SBI_FORM_2015,
                               .count = link->beats,
                               .time_launch = (int64_t)time(NULL)};
  struct sbi_addr server = {SBI_ANY, SBI_ANY, SBI_TYPE_NODE};
  if (client->access_unit >= 0) server.unit = (uint8_t)client->access_unit;
  uint8_t frame[SBI_HEARTBEAT_MAX];
  size_t size = sbi_heartbeat_encode(frame, SBI_HEARTBEAT, sbi_client_addr(client), server, &beat);
  uint8_t *place = sbi_conn_reserve(&link->conn, size);
  if (place != NULL) {
    memcpy(place, frame, size);
    link->beats++;
    if (client->net->trace_beats)
      sbi_net_trace(client->net, 0, "client %u: heartbeat %d", client->id, (int)beat.count);
    sbi_conn_flush(&link->conn);
  }
  sbi_timer_set(loop, &link->beat, loop->now + SBI_BEAT_MS);
}

/* ---- what arrives ---------------------------------------------------------- */

static void registered(struct sbi_link *link) {
  struct sbi_client *client = link->client;
  bool again = link->state == SBI_LINK_OK;
  link->state = SBI_LINK_OK;
  if (!again) link->registered_at = client->net->loop.now;
  link->preferred = link->form;
  sbi_net_trace(client->net, 0, "client %u: registered at unit %d", client->id,
                client->access_unit);
  end_attempts(link);
  if (client->net->local) client->has_failed = false; /* the first failure of each row is news */
  if (client->current == NULL || client->current->state != SBI_LINK_OK) client->current = link;
  if (client->held.first != NULL) {
    sbi_outq_move(&link->conn.out, &client->held);
    sbi_net_dirty(client->net, link);
  }
  if (again || other(link)->state != SBI_LINK_OK) put_connected(client, client->access_unit, 0);
}

static void on_ack(struct sbi_link *link, const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_client *client = link->client;
  int32_t result;
  if (!sbi_ack_decode(frame, head, &result)) {
    sbi_net_trace(client->net, 1, "client %u: registration ack is too short", client->id);
    return;
  }
  if (result == 0) {
    client->access_unit = (int8_t)head->src.unit;
    if (client->net->local) client->net->unit = head->src.unit;
    registered(link);
    return;
  }
  sbi_net_trace(client->net, 1, "client %u: registration refused: %d", client->id, (int)result);
  sbi_conn_close(&link->conn);
  link->refuser = (int8_t)head->src.unit;
  if ((result == SB_EUSER || result == SB_EPASSWORD) && link->state == SBI_LINK_REGISTERING &&
      try_other_form(link)) {
    link->refusal = result;
    start_over(link);
    return;
  }
  after_loss(link, result);
}

/* A server that asks and does not read gets no more answers than it could get data. */
static uint8_t *answer_place(struct sbi_link *link, size_t size) {
  if (sbi_queue_takes(&link->conn.out, size)) return sbi_conn_reserve(&link->conn, size);
  sbi_net_trace(link->client->net, 1, "client %u: queue is full, an answer is left out",
                link->client->id);
  return NULL;
}

/* A local client has no address to answer from before it is registered (IPC.md 5), and does not
 * answer itself; over TCP nobody answers within the own unit, nor units that cannot be sent to
 * (NET.md 4, 6, 10.3). */
static bool may_answer(const struct sbi_link *link, struct sbi_addr to) {
  const struct sbi_client *client = link->client;
  const sb_net *net = client->net;
  if (net->local)
    return link->state == SBI_LINK_OK && (to.unit != net->unit || to.client != client->id);
  return to.unit != net->unit && (to.unit <= SBI_MAX_UNIT || to.unit >= 0x80);
}

static void answer_ping(struct sbi_link *link, const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_client *client = link->client;
  if (!may_answer(link, head->src)) return;
  size_t n = (size_t)head->data_size;
  uint8_t *place = answer_place(link, sbi_frame_size(n));
  if (place == NULL) return;
  sbi_frame_begin(place, SBI_PING_ACK, SBI_SYSTEM, sbi_client_addr(client), head->src, n);
  if (n > 0) memcpy(place + SBI_HEAD_SIZE, frame + SBI_HEAD_SIZE, n);
  sbi_net_dirty(client->net, link);
}

static void answer_global(struct sbi_link *link, const struct sbi_global *newcomer) {
  struct sbi_client *client = link->client;
  if (!may_answer(link, newcomer->who)) return;
  struct sbi_global me = {.who = sbi_client_addr(client),
                          .access_unit = (uint8_t)client->access_unit,
                          .status = SBI_PRESENT};
  sbi_text_copy(me.info, sizeof me.info, client->info);
  uint8_t *place = answer_place(link, SBI_GLOBAL_FRAME);
  if (place == NULL) return;
  sbi_global_encode(place, SBI_GLOBAL_ANSWER, me.who, newcomer->who, &me);
  sbi_net_dirty(client->net, link);
}

static bool put_event(struct sbi_link *link, sb_event *event, const uint8_t *frame,
                      const struct sbi_part *parts, int count) {
  event->client = link->client->id;
  if (frame != NULL) {
    event->flags = 1;
    memcpy(event->head, frame, SBI_HEAD_SIZE);
  }
  if (sbi_inbox_put(link->client->net->inbox, event, parts, count)) return true;
  link->client->net->holding = true;
  return false;
}

static enum sbi_took on_global(struct sbi_link *link, const uint8_t *frame,
                               const struct sbi_head *head) {
  struct sbi_global global;
  if (!link->client->net->hear_globals) return SBI_TOOK;
  if (head->data_size == 0) return SBI_TOOK; /* not worth a trace (S 4) */
  if (!sbi_global_decode(frame, head, &global)) {
    sbi_net_trace(link->client->net, 1, "client %u: global connect event of %d bytes ignored",
                  link->client->id, (int)head->data_size);
    return SBI_TOOK;
  }
  sb_event event = {.kind = SB_EV_GLOBAL,
                    .head = {global.who.unit, global.who.client, global.who.type,
                             global.access_unit, global.status}};
  struct sbi_part part = {global.info, strlen(global.info) + 1};
  if (!put_event(link, &event, NULL, &part, 1)) return SBI_HOLD;
  if (head->cmd == SBI_GLOBAL && global.status == SBI_NEW) answer_global(link, &global);
  return SBI_TOOK;
}

static enum sbi_took on_flow_answer(struct sbi_link *link, const uint8_t *frame,
                                    const struct sbi_head *head) {
  sb_net *net = link->client->net;
  bool ack = head->cmd == SBI_FLOW_ACK;
  struct sbi_flow_answer answer;
  struct sbi_flow flow;
  if (!sbi_flow_answer_decode(frame, head, &answer)) {
    sbi_net_trace(net, 1, "client %u: flow %s of %d bytes ignored", link->client->id,
                  ack ? "ack" : "return", (int)head->data_size);
    return SBI_TOOK;
  }
  if (!sbi_flows_find(&net->flows, answer.invoke_id, ack, &flow)) return SBI_TOOK;
  sb_event event = {.kind = ack ? SB_EV_FLOW_ACK : SB_EV_FLOW_RETURN,
                    .id = answer.invoke_id,
                    .code = answer.code,
                    .flags = 1};
  memcpy(event.head, frame, SBI_HEAD_SIZE);
  event.client = flow.client; /* the caller's, whichever link it came on */
  struct sbi_part parts[] = {
      {flow.project, strlen(flow.project) + 1}, {answer.text, answer.text_size}, {"", 1}};
  if (!sbi_inbox_put(net->inbox, &event, parts, 3)) {
    net->holding = true;
    return SBI_HOLD;
  }
  sbi_net_trace(net, 0, "client %u: flow %s, id %d", flow.client, ack ? "ack" : "return",
                (int)answer.invoke_id);
  sbi_flows_done(&net->flows, answer.invoke_id, ack);
  return SBI_TOOK;
}

/* The order of S 5.2. Address bytes are compared unsigned (S 12). */
static enum sbi_took on_frame(struct sbi_conn *conn, const uint8_t *frame,
                              const struct sbi_head *head) {
  struct sbi_link *link = (struct sbi_link *)conn;
  struct sbi_client *client = link->client;
  sb_net *net = client->net;
  if (head->cmdtype == SBI_INTERNAL) {
    if (head->cmd == SBI_REGISTER_ACK) on_ack(link, frame, head);
    return SBI_TOOK;
  }
  bool system = head->cmdtype == SBI_SYSTEM;
  if (system && (head->cmd == SBI_GLOBAL || head->cmd == SBI_GLOBAL_ANSWER))
    return on_global(link, frame, head);
  bool mine = net->local || head->dst.client < 0x80 || head->dst.type == client->type;
  bool answer = system && ((head->cmd == SBI_FLOW_ACK && net->hear_acks) ||
                           (head->cmd == SBI_FLOW_RETURN && net->hear_returns));
  if (mine && answer) return on_flow_answer(link, frame, head);
  if (mine) {
    sb_event event = {.kind = SB_EV_DATA};
    struct sbi_part part = {frame + SBI_HEAD_SIZE, (size_t)head->data_size};
    if (!put_event(link, &event, frame, &part, 1)) return SBI_HOLD;
  }
  /* After the event, so that a ping that is held back is answered once. */
  if (system && head->cmd == SBI_PING) answer_ping(link, frame, head);
  return SBI_TOOK;
}

const struct sbi_conn_ops sbi_link_ops = {.opened = opened, .frame = on_frame, .lost = lost};

/* ---- life ------------------------------------------------------------------ */

void sbi_link_start(struct sbi_link *link) {
  link->retry.fire = on_retry;
  link->beat.fire = on_beat;
  connect_now(link);
}

void sbi_link_stop(struct sbi_link *link) {
  struct sbi_loop *loop = &link->client->net->loop;
  sbi_timer_clear(loop, &link->retry);
  sbi_timer_clear(loop, &link->beat);
  sbi_conn_flush(&link->conn);
  sbi_conn_close(&link->conn);
  sbi_outq_clear(&link->conn.out);
  link->state = SBI_LINK_OFF;
}

struct sbi_link *sbi_client_link(struct sbi_client *client) {
  struct sbi_link *current = client->current;
  if (current != NULL && current->state == SBI_LINK_OK) return current;
  for (int i = 0; i < 2; i++)
    if (client->links[i].state == SBI_LINK_OK) return client->current = &client->links[i];
  return NULL;
}
