/* One link of the bus: registration, heartbeats, and the end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "bus.h"
#include "bytes.h"

/* ---- reports to the host --------------------------------------------------- */

enum { TEXTS_MAX = 5 };

struct report {
  sb_event event;
  struct sbi_part parts[TEXTS_MAX];
  int count;
};

static struct report report_of(const struct sbi_peer *peer, uint8_t kind, int code,
                               const char *const *texts, int count) {
  struct report report = {
      .event = {.kind = kind, .code = code, .id = (int32_t)peer->id, .flags = 1}, .count = count};
  struct sbi_head head = {.src = peer->reg.addr};
  for (int i = 0; i < count; i++)
    report.parts[i] = (struct sbi_part){texts[i], strlen(texts[i]) + 1};
  sbi_head_encode(report.event.head, &head);
  return report;
}

/* The host may lose these, the inbox counts how many. */
static void offer(const struct sbi_peer *peer, uint8_t kind, int code, const char *const *texts,
                  int count) {
  struct report report = report_of(peer, kind, code, texts, count);
  sbi_inbox_offer(peer->bus->inbox, &report.event, report.parts, report.count);
}

static void say(const struct sbi_peer *peer, uint8_t kind, int code, const char *text) {
  const char *const texts[] = {peer->address, text};
  offer(peer, kind, code, texts, 2);
}

void sbi_bus_trace(sb_bus *bus, uint32_t link, const char *text) {
  sb_event event = {.kind = SB_EV_TRACE, .code = 1, .id = (int32_t)link};
  struct sbi_part part = {text, strlen(text)};
  sbi_inbox_offer(bus->inbox, &event, &part, 1);
}

/* ---- the end --------------------------------------------------------------- */

/* Reported before the other end can notice anything, so that whoever stops the bus because a client
 * found itself cut off can still read why. */
static void leave(struct sbi_peer *peer, enum sb_leave_reason reason, const char *text) {
  sb_bus *bus = peer->bus;
  if (reason == SB_LEFT_SLOW) bus->stats.slow++;
  if (reason == SB_LEFT_IDLE) bus->stats.idle++;
  if (reason == SB_LEFT_BAD) {
    bus->stats.bad++;
    say(peer, SB_EV_BUS_BAD, 0, text);
  }
  if (peer->state == SBI_PEER_REGISTERED) {
    say(peer, SB_EV_BUS_LEFT, (int)reason, text);
    sbi_member_leave(peer, reason != SB_LEFT_STOPPED || !bus->stopping);
  }
  sbi_peer_end_wait(peer);
  peer->full = false; /* who waits for it goes on with the next flush */
}

void sbi_peer_close(struct sbi_peer *peer, enum sb_leave_reason reason, const char *text) {
  sb_bus *bus = peer->bus;
  if (peer->state == SBI_PEER_CLOSED) return;
  if (peer->state != SBI_PEER_LEAVING) leave(peer, reason, text);
  sbi_peer_end_wait(peer); /* one that leaves may wait as well, for memory */
  peer->state = SBI_PEER_CLOSED;
  if (reason == SB_LEFT_SLOW)
    sbi_conn_close(&peer->conn); /* it had its time */
  else
    sbi_conn_end(&peer->conn);
  sbi_outq_clear(&peer->conn.out);
  for (struct sbi_peer **place = &bus->peers; *place != NULL; place = &(*place)->next) {
    if (*place != peer) continue;
    *place = peer->next;
    break;
  }
  bus->stats.links--;
  peer->next = bus->graveyard;
  bus->graveyard = peer;
}

void sbi_peer_dismiss(struct sbi_peer *peer, const char *text) {
  if (peer->state == SBI_PEER_CLOSED || peer->state == SBI_PEER_LEAVING) return;
  leave(peer, SB_LEFT_STOPPED, text);
  peer->state = SBI_PEER_LEAVING;
  peer->since = peer->bus->loop.now;
  sbi_conn_finish(&peer->conn);
  sbi_conn_resume(&peer->conn); /* what it says is read and forgotten */
}

static void losing(struct sbi_conn *conn, int64_t bad, int error) {
  struct sbi_peer *peer = (struct sbi_peer *)conn;
  char text[SBI_BAD_TEXT];
  if (bad == 0) {
    sbi_peer_close(peer, SB_LEFT_CLOSED, error != 0 ? strerror(error) : "closed by the peer");
    return;
  }
  sbi_conn_bad_text(conn, bad, text);
  sbi_peer_close(peer, SB_LEFT_BAD, text);
}

/* ---- registration ---------------------------------------------------------- */

static void send_ack(struct sbi_peer *peer, int result) {
  bool narrow = peer->reg.form == SBI_FORM_2015_32 || peer->reg.form == SBI_FORM_2018_32;
  size_t size = peer->local ? SBI_ACK_MIN : narrow ? SBI_ACK_32 : SBI_ACK_MAX;
  uint8_t *place = sbi_peer_reserve(peer, size);
  if (place == NULL) return;
  sbi_ack_encode(place, size, (uint8_t)peer->bus->options.unit, peer->reg.addr, result);
}

static void refuse(struct sbi_peer *peer, int code, const char *why) {
  peer->state = SBI_PEER_REFUSED;
  peer->since = peer->bus->loop.now;
  peer->bus->stats.refused++;
  send_ack(peer, code);
  say(peer, SB_EV_BUS_REFUSED, code, why);
}

/* What is wrong with the request itself; 0 nothing. */
static int fault(const struct sbi_peer *peer, const char **why) {
  const struct sbi_registration *reg = &peer->reg;
  if (reg->connect_index > (peer->local ? 0 : 1)) {
    *why = peer->local ? "connect index of a local client is not 0"
                       : "connect index is neither 0 nor 1";
    return SB_EARGUMENT;
  }
  if (reg->addr.unit > SBI_MAX_UNIT) {
    *why = "unit id is above 47";
    return SB_EUNIT;
  }
  if (reg->addr.unit <= SBI_MAX_SERVER_UNIT && reg->addr.unit != peer->bus->options.unit) {
    *why = "unit id belongs to another server";
    return SB_EUNIT;
  }
  if (reg->addr.type <= SBI_TYPE_NODE) {
    *why = "client type is below 2";
    return SB_ECLIENTTYPE;
  }
  return SB_OK;
}

static bool same_host(const struct sbi_peer *a, const struct sbi_peer *b) {
  size_t n = strcspn(a->address, ":");
  return n == strcspn(b->address, ":") && strncmp(a->address, b->address, n) == 0;
}

/* The rule for an address that is present already (NET.md 2.5, NET-2018.md 1.2): the same process
 * reconnects, or the old link is silent: take over. Otherwise there are two processes. */
static bool may_replace(const struct sbi_peer *peer, const struct sbi_peer *old) {
  bool same = peer->reg.pid != 0 && peer->reg.pid == old->reg.pid && same_host(peer, old);
  if (old->local) return same; /* it may be silent, and its end is noticed at once */
  bool silent = peer->bus->loop.now - old->conn.last_read >= SBI_ALIVE_MS;
  return same || (silent && !old->conn.paused); /* nobody listened to one that is paused */
}

/* Surely another process than the one behind `old`. */
static bool is_stranger(const struct sbi_peer *peer, const struct sbi_peer *old) {
  return peer->reg.addr.type != old->reg.addr.type ||
         (peer->reg.pid != 0 && old->reg.pid != 0 && peer->reg.pid != old->reg.pid);
}

static bool conflicts(struct sbi_peer *peer) {
  struct sbi_member *member =
      sbi_find_member(peer->bus, peer->reg.addr.unit, peer->reg.addr.client);
  if (member == NULL) return false;
  for (int i = 0; i < 2; i++) {
    struct sbi_peer *old = member->links[i];
    if (old == NULL) continue;
    bool same_place = i == peer->reg.connect_index;
    if ((same_place || is_stranger(peer, old)) && !may_replace(peer, old)) return true;
  }
  return false;
}

/* Close the links that this one takes the place of. */
static void take_over(struct sbi_peer *peer) {
  for (int i = 0; i < 2; i++) {
    struct sbi_member *member =
        sbi_find_member(peer->bus, peer->reg.addr.unit, peer->reg.addr.client);
    struct sbi_peer *old = member != NULL ? member->links[i] : NULL;
    if (old == NULL) continue;
    if (i == peer->reg.connect_index || is_stranger(peer, old))
      sbi_peer_close(old, SB_LEFT_REPLACED, "the client registered anew");
  }
}

static void accept_registration(struct sbi_peer *peer) {
  if (conflicts(peer)) {
    refuse(peer, peer->local ? SB_EEXISTS : SB_ETWICE,
           "another process is registered under this address");
    return;
  }
  take_over(peer);
  if (!sbi_member_join(peer)) {
    refuse(peer, SB_ENOMEM, "no memory");
    return;
  }
  peer->state = SBI_PEER_REGISTERED;
  peer->conn.max_frame = 0;
  peer->bus->stats.registered++;
  const char *const texts[] = {peer->address, peer->reg.info, peer->reg.version};
  offer(peer, SB_EV_BUS_JOINED, peer->reg.connect_index, texts, 3);
  send_ack(peer, SB_OK);
  struct sbi_member *member = peer->member;
  if (member->links[0] == NULL || member->links[1] == NULL) sbi_tell_present(peer);
}

/* False: the host's inbox is full. A question is not lost, the client would wait in vain. */
static bool ask(struct sbi_peer *peer) {
  const char *const texts[] = {peer->reg.user, peer->reg.password, peer->reg.info,
                               peer->reg.version, peer->address};
  struct report report = report_of(peer, SB_EV_BUS_ASK, peer->reg.connect_index, texts, TEXTS_MAX);
  if (!sbi_inbox_put(peer->bus->inbox, &report.event, report.parts, report.count)) return false;
  peer->state = SBI_PEER_ASKED;
  peer->since = peer->bus->loop.now;
  return true;
}

static enum sbi_took on_registration(struct sbi_peer *peer, const uint8_t *frame,
                                     const struct sbi_head *head) {
  if (peer->state != SBI_PEER_NEW) return SBI_TOOK;
  if (!sbi_registration_decode(frame, head, &peer->reg)) {
    sbi_peer_close(peer, SB_LEFT_BAD, "registration request is too short");
    return SBI_TOOK;
  }
  if (peer->local) { /* these are the bus's to say, IPC.md 3 */
    peer->reg.addr.unit = (uint8_t)peer->bus->options.unit;
    peer->reg.pid = peer->local_pid;
  }
  const char *why = "";
  int code = fault(peer, &why);
  if (code != SB_OK) {
    refuse(peer, code, why);
  } else if (!peer->bus->options.ask_host) {
    accept_registration(peer);
  } else if (!ask(peer)) {
    sbi_peer_wait(peer, SBI_WAITS_HOST, NULL);
    return SBI_HOLD;
  }
  return SBI_TOOK;
}

void sbi_peer_decide(struct sbi_peer *peer, int code) {
  if (code == SB_OK)
    accept_registration(peer);
  else
    refuse(peer, code, "refused by the host");
}

/* ---- frames ---------------------------------------------------------------- */

/* The 2018 library beats a thousand times a second (NET-2018.md 2): an answer now and then will
 * do, it is only a sign of life. */
static void on_heartbeat(struct sbi_peer *peer, const uint8_t *frame, const struct sbi_head *head) {
  sb_bus *bus = peer->bus;
  bus->stats.heartbeats++;
  if (bus->loop.now - peer->last_beat_ack < SBI_BEAT_ACK_MS) return;
  peer->last_beat_ack = bus->loop.now;
  size_t n = (size_t)head->data_size;
  if (n > 32) n = 32;
  uint8_t *place = sbi_peer_reserve(peer, sbi_frame_size(n));
  if (place == NULL) return;
  sbi_frame_begin(place, SBI_HEARTBEAT_ACK, SBI_INTERNAL, sbi_bus_addr(bus), head->src, n);
  if (n > 0) memcpy(place + SBI_HEAD_SIZE, frame + SBI_HEAD_SIZE, n);
  if (n == 24 || n == 32) sbi_put64(place + SBI_HEAD_SIZE + n - 8, (uint64_t)time(NULL));
}

static void check_source(struct sbi_peer *peer, const struct sbi_head *head) {
  const struct sbi_addr *is = &peer->member->addr;
  if (peer->local) return; /* it may not know its unit yet when it sends */
  if (head->src.unit == is->unit && head->src.client == is->client && head->src.type == is->type)
    return;
  peer->bus->stats.forged++;
  if (peer->forged_seen) return;
  peer->forged_seen = true;
  char text[128];
  snprintf(text, sizeof text, "%s: frames of client %u.%u came with another source; corrected",
           peer->address, is->unit, is->client);
  sbi_bus_trace(peer->bus, peer->id, text);
}

static enum sbi_took on_internal(struct sbi_peer *peer, const uint8_t *frame,
                                 const struct sbi_head *head) {
  if (head->cmd == SBI_REGISTER) return on_registration(peer, frame, head);
  if (head->cmd == SBI_HEARTBEAT) on_heartbeat(peer, frame, head);
  return SBI_TOOK;
}

static enum sbi_took on_frame(struct sbi_conn *conn, const uint8_t *frame,
                              const struct sbi_head *head) {
  struct sbi_peer *peer = (struct sbi_peer *)conn;
  sb_bus *bus = peer->bus;
  if (peer->state == SBI_PEER_LEAVING) return SBI_TOOK;
  if (head->cmdtype == SBI_INTERNAL) return on_internal(peer, frame, head);
  if (peer->state != SBI_PEER_REGISTERED) {
    bus->stats.unregistered++;
    return SBI_TOOK;
  }
  peer->member->current = peer;
  if (sbi_route(peer, frame, head) == SBI_HOLD) return SBI_HOLD;
  bus->stats.frames_in++;
  bus->stats.bytes_in += (uint64_t)head->packet_size;
  peer->member->frames_in++;
  check_source(peer, head);
  return SBI_TOOK;
}

const struct sbi_conn_ops sbi_peer_ops = {
    .frame = on_frame, .losing = losing, .grow = sbi_peer_grow};
