/* One link of the bus: registration, heartbeats, and the end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "bus.h"
#include "bytes.h"

/* ---- reports to the host --------------------------------------------------- */

static void offer(struct sbi_peer *peer, uint8_t kind, int code, const char *const *texts,
                  int count) {
  sb_event event = {.kind = kind, .code = code, .id = (int32_t)peer->id, .flags = 1};
  struct sbi_head head = {.src = peer->reg.addr};
  struct sbi_part parts[5];
  for (int i = 0; i < count; i++) parts[i] = (struct sbi_part){texts[i], strlen(texts[i]) + 1};
  sbi_head_encode(event.head, &head);
  sbi_inbox_offer(peer->bus->inbox, &event, parts, count);
}

void sbi_peer_report(struct sbi_peer *peer, uint8_t kind, int code, const char *text) {
  const char *const texts[] = {peer->address, text};
  offer(peer, kind, code, texts, 2);
}

/* ---- the end --------------------------------------------------------------- */

void sbi_peer_close(struct sbi_peer *peer, enum sb_leave_reason reason, const char *text) {
  sb_bus *bus = peer->bus;
  if (peer->state == SBI_PEER_CLOSED) return;
  bool registered = peer->state == SBI_PEER_REGISTERED;
  peer->state = SBI_PEER_CLOSED;
  sbi_conn_close(&peer->conn);
  sbi_outq_clear(&peer->conn.out);
  if (reason == SB_LEFT_SLOW) bus->stats.slow++;
  if (reason == SB_LEFT_IDLE) bus->stats.idle++;
  if (reason == SB_LEFT_BAD) {
    bus->stats.bad++;
    sbi_peer_report(peer, SB_EV_BUS_BAD, 0, text);
  }
  if (registered) {
    sbi_peer_report(peer, SB_EV_BUS_LEFT, (int)reason, text);
    sbi_member_leave(peer, reason != SB_LEFT_STOPPED || !bus->stopping);
  }
  for (struct sbi_peer **place = &bus->peers; *place != NULL; place = &(*place)->next) {
    if (*place != peer) continue;
    *place = peer->next;
    break;
  }
  bus->stats.links--;
  if (peer->waits_for != NULL) bus->waiting--;
  peer->full = false; /* who waits for it goes on with the next flush */
  peer->next = bus->graveyard;
  bus->graveyard = peer;
}

static void lost(struct sbi_conn *conn, int64_t bad, int error) {
  struct sbi_peer *peer = (struct sbi_peer *)conn;
  if (bad != 0)
    sbi_peer_close(peer, SB_LEFT_BAD, sbi_bad_text(bad));
  else
    sbi_peer_close(peer, SB_LEFT_CLOSED, error != 0 ? strerror(error) : "closed by the peer");
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
  sbi_peer_report(peer, SB_EV_BUS_REFUSED, code, why);
}

/* What is wrong with the request itself; 0 nothing. */
static int fault(const sb_bus *bus, const struct sbi_registration *reg, const char **why) {
  if (reg->connect_index > 1) {
    *why = "connect index is neither 0 nor 1";
    return SB_EARGUMENT;
  }
  if (reg->addr.unit > SBI_MAX_UNIT) {
    *why = "unit id is above 47";
    return SB_EUNIT;
  }
  if (reg->addr.unit <= SBI_MAX_SERVER_UNIT && reg->addr.unit != bus->options.unit) {
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

static void on_registration(struct sbi_peer *peer, const uint8_t *frame,
                            const struct sbi_head *head) {
  if (peer->state != SBI_PEER_NEW) return;
  if (!sbi_registration_decode(frame, head, &peer->reg)) {
    sbi_peer_close(peer, SB_LEFT_BAD, "registration request is too short");
    return;
  }
  if (peer->local) { /* these are the bus's to say, IPC.md 3 */
    peer->reg.addr.unit = (uint8_t)peer->bus->options.unit;
    peer->reg.pid = peer->local_pid;
  }
  const char *why = "";
  int code = fault(peer->bus, &peer->reg, &why);
  if (code != SB_OK) {
    refuse(peer, code, why);
  } else if (peer->bus->options.ask_host) {
    peer->state = SBI_PEER_ASKED;
    peer->since = peer->bus->loop.now;
    const char *const texts[] = {peer->reg.user, peer->reg.password, peer->reg.info,
                                 peer->reg.version, peer->address};
    offer(peer, SB_EV_BUS_ASK, peer->reg.connect_index, texts, 5);
  } else {
    accept_registration(peer);
  }
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
  sb_event event = {.kind = SB_EV_TRACE, .code = 1, .id = (int32_t)peer->id};
  char text[128];
  int n =
      snprintf(text, sizeof text, "%s: frames of client %u.%u came with another source; corrected",
               peer->address, is->unit, is->client);
  struct sbi_part part = {text, (size_t)n};
  sbi_inbox_offer(peer->bus->inbox, &event, &part, 1);
}

static enum sbi_took on_frame(struct sbi_conn *conn, const uint8_t *frame,
                              const struct sbi_head *head) {
  struct sbi_peer *peer = (struct sbi_peer *)conn;
  sb_bus *bus = peer->bus;
  if (head->cmdtype == SBI_INTERNAL) {
    if (head->cmd == SBI_REGISTER) on_registration(peer, frame, head);
    if (head->cmd == SBI_HEARTBEAT) on_heartbeat(peer, frame, head);
    return SBI_TOOK;
  }
  if (peer->state != SBI_PEER_REGISTERED) {
    bus->stats.unregistered++;
    return SBI_TOOK;
  }
  bus->stats.frames_in++;
  bus->stats.bytes_in += (uint64_t)head->packet_size;
  peer->member->frames_in++;
  peer->member->current = peer;
  check_source(peer, head);
  sbi_route(peer, frame, head);
  return SBI_TOOK;
}

const struct sbi_conn_ops sbi_peer_ops = {.frame = on_frame, .lost = lost};

/* ---- writing --------------------------------------------------------------- */

/* Links whose receiver is no longer full go on. Returns whether there were any. */
static bool let_go_on(sb_bus *bus) {
  bool any = false;
  for (struct sbi_peer *peer = bus->peers, *next; peer != NULL; peer = next) {
    next = peer->next;
    if (peer->waits_for == NULL) continue;
    sbi_peer_measure(peer->waits_for);
    if (peer->waits_for->full) continue;
    peer->waits_for = NULL;
    bus->waiting--;
    any = true;
    sbi_conn_resume(&peer->conn); /* may close it, or make it wait again */
    if (next != NULL && next->state == SBI_PEER_CLOSED) break; /* the list changed: next round */
  }
  return any;
}

void sbi_bus_flush(sb_bus *bus) {
  bool moved = true;
  while (moved) {
    while (bus->dirty != NULL) {
      struct sbi_peer *peer = bus->dirty;
      bus->dirty = peer->next_dirty;
      peer->dirty = false;
      sbi_conn_flush(&peer->conn);
    }
    moved = bus->waiting > 0 && let_go_on(bus);
  }
}
