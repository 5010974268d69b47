/* Who is on the bus, who hears of whom, and which frame goes where (NET.md 4 and 5.2). */
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "bus.h"
#include "bytes.h"

struct sbi_addr sbi_bus_addr(const sb_bus *bus) {
  return (struct sbi_addr){.unit = (uint8_t)bus->options.unit, .type = SBI_TYPE_NODE};
}

struct sbi_member *sbi_find_member(sb_bus *bus, uint8_t unit, uint8_t client) {
  struct sbi_member **clients = bus->units[unit];
  return clients != NULL ? clients[client] : NULL;
}

/* ---- delivery -------------------------------------------------------------- */

uint8_t *sbi_peer_reserve(struct sbi_peer *peer, size_t size) {
  sb_bus *bus = peer->bus;
  uint8_t *place = sbi_conn_reserve(&peer->conn, size);
  if (place == NULL) return NULL;
  if (!peer->dirty) {
    peer->dirty = true;
    peer->next_dirty = bus->dirty;
    bus->dirty = peer;
  }
  return place;
}

static struct sbi_peer *link_of(const struct sbi_member *member) {
  if (member->current != NULL) return member->current;
  return member->links[0] != NULL ? member->links[0] : member->links[1];
}

static bool over_bound(const struct sbi_peer *peer) {
  const sb_bus_options *options = &peer->bus->options;
  return peer->conn.out.bytes >= options->high_bytes ||
         peer->conn.out.frames >= options->high_frames;
}

static bool drained(const struct sbi_peer *peer) {
  const sb_bus_options *options = &peer->bus->options;
  return peer->conn.out.bytes <= options->high_bytes / 2 &&
         peer->conn.out.frames <= options->high_frames / 2;
}

void sbi_peer_measure(struct sbi_peer *peer) {
  if (peer->full) {
    peer->full = !drained(peer);
  } else if (over_bound(peer)) {
    peer->full = true;
    peer->full_since = peer->bus->loop.now;
  }
}

/* Who sends little to full receivers does not wait for them: one stuck client must not keep a server
 * of many from all its others. The share is per sweep, so a queue grows by it at most until its
 * owner is cut off; at twice its bound it makes everyone wait. */
static bool is_light(struct sbi_peer *from, const struct sbi_peer *to, size_t size) {
  const sb_bus_options *options = &from->bus->options;
  from->pressed_bytes += size;
  from->pressed_frames++;
  return from->pressed_bytes <= options->high_bytes / SBI_LIGHT_SHARE &&
         from->pressed_frames <= options->high_frames / SBI_LIGHT_SHARE &&
         to->conn.out.bytes < 2 * (size_t)options->high_bytes;
}

/* The receiver's queue grew: when it is full, its sender waits. */
static void check_full(struct sbi_peer *from, struct sbi_peer *to, size_t size) {
  if (!over_bound(to)) return;
  if (!to->full) {
    sbi_conn_flush(&to->conn);
    if (!over_bound(to)) return;
    sbi_peer_measure(to);
  }
  if (is_light(from, to, size)) return;
  if (from->waits_for == NULL) from->bus->waiting++;
  from->waits_for = to;
  sbi_conn_pause(&from->conn);
}

static void deliver(struct sbi_peer *from, struct sbi_member *to, const uint8_t *frame,
                    const struct sbi_head *head) {
  struct sbi_peer *link = link_of(to);
  size_t size = (size_t)head->packet_size;
  uint8_t *place = sbi_peer_reserve(link, size);
  if (place == NULL) {
    from->bus->stats.undeliverable++;
    return;
  }
  memcpy(place, frame, size);
  /* Nobody speaks for another. */
  place[4] = from->member->addr.type;
  place[5] = from->member->addr.unit;
  place[6] = from->member->addr.client;
  /* The vendor's client drops frames to ids >= 128 unless the type is exactly its own, and takes
   * types >= 128 for negative then. */
  if (head->dst.client >= 0x80) place[7] = to->addr.type;
  if (head->dst.client >= 0x80 && to->addr.type >= 0x80) place[9] = 0x7F;
  to->frames_out++;
  from->bus->stats.frames_out++;
  from->bus->stats.bytes_out += size;
  check_full(from, link, size);
}

static bool type_fits(const struct sbi_member *member, uint8_t type) {
  return type == SBI_ANY || type == member->addr.type;
}

static int deliver_all(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head) {
  int count = 0;
  for (struct sbi_member *m = from->bus->members; m != NULL; m = m->next) {
    bool fits = m != from->member && type_fits(m, head->dst.type) &&
                (head->dst.unit == SBI_ANY || head->dst.unit == m->addr.unit);
    if (!fits) continue;
    deliver(from, m, frame, head);
    count++;
  }
  return count;
}

static struct sbi_member *receiver(sb_bus *bus, const struct sbi_member *sender,
                                   const struct sbi_head *head) {
  bool any = head->dst.unit == SBI_ANY;
  for (int unit = any ? 0 : head->dst.unit; unit <= (any ? SBI_MAX_UNIT : head->dst.unit); unit++) {
    struct sbi_member *m = sbi_find_member(bus, (uint8_t)unit, head->dst.client);
    if (m != NULL && m != sender && type_fits(m, head->dst.type)) return m;
  }
  return NULL;
}

static void answer_ping(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head) {
  size_t n = (size_t)head->data_size;
  uint8_t *place = sbi_peer_reserve(from, sbi_frame_size(n));
  if (place == NULL) return;
  sbi_frame_begin(place, SBI_PING_ACK, SBI_SYSTEM, head->dst, from->member->addr, n);
  if (n > 0) memcpy(place + SBI_HEAD_SIZE, frame + SBI_HEAD_SIZE, n);
  check_full(from, from, sbi_frame_size(n));
}

/* Nobody there to start the flow: say so, or the caller waits for its time-out (IPC.md 6). */
static void refuse_flow(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head) {
  static const char text[] = "no such IPSC process on this bus";
  struct sbi_flow_call call;
  if (!sbi_flow_call_decode(frame, head, &call)) return;
  struct sbi_flow_answer ack = {.invoke_id = call.invoke_id,
                                .event_ch = call.event_ch,
                                .code = SB_ENOCLIENT,
                                .text = text,
                                .text_size = sizeof text - 1};
  memcpy(ack.project, call.project, sizeof ack.project);
  size_t size = sbi_flow_answer_size(SBI_FLOW_ACK, ack.text_size);
  uint8_t *place = sbi_peer_reserve(from, size);
  if (place == NULL) return;
  sbi_flow_answer_encode(place, SBI_FLOW_ACK, head->dst, from->member->addr, &ack);
  check_full(from, from, size);
}

void sbi_route(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head) {
  sb_bus *bus = from->bus;
  bool system = head->cmdtype == SBI_SYSTEM;
  /* The bus announces clients by itself. */
  if (system && (head->cmd == SBI_GLOBAL || head->cmd == SBI_GLOBAL_ANSWER)) return;
  if (head->dst.client == SBI_ANY) {
    if (deliver_all(from, frame, head) == 0) bus->stats.undeliverable++;
    return;
  }
  struct sbi_member *to = receiver(bus, from->member, head);
  if (to != NULL) {
    deliver(from, to, frame, head);
    return;
  }
  if (system && head->cmd == SBI_PING && head->dst.unit == bus->options.unit) {
    answer_ping(from, frame, head);
    return;
  }
  bus->stats.undeliverable++;
  if (system && head->cmd == SBI_FLOW_CALL) refuse_flow(from, frame, head);
}

/* ---- who is there ---------------------------------------------------------- */

static void tell(struct sbi_peer *peer, uint8_t cmd, const struct sbi_member *about, int status,
                 const char *info) {
  uint8_t *place = sbi_peer_reserve(peer, SBI_GLOBAL_FRAME);
  if (place == NULL) return;
  struct sbi_global event = {.who = about->addr,
                             .access_unit = (uint8_t)peer->bus->options.unit,
                             .status = (uint8_t)status};
  sbi_text_copy(event.info, sizeof event.info, info);
  sbi_global_encode(place, cmd, sbi_bus_addr(peer->bus), peer->member->addr, &event);
}

static void tell_all(sb_bus *bus, uint8_t cmd, const struct sbi_member *about, int status,
                     const char *info) {
  for (struct sbi_member *m = bus->members; m != NULL; m = m->next)
    if (m != about) tell(link_of(m), cmd, about, status, info);
}

/* Command 10 keeps the vendor's clients from answering: exactly one event a peer (NET.md 4). */
void sbi_tell_present(struct sbi_peer *peer) {
  for (struct sbi_member *m = peer->bus->members; m != NULL; m = m->next)
    if (m != peer->member) tell(peer, SBI_GLOBAL_ANSWER, m, SBI_PRESENT, link_of(m)->reg.info);
}

static struct sbi_member *new_member(struct sbi_peer *peer) {
  sb_bus *bus = peer->bus;
  struct sbi_addr addr = peer->reg.addr;
  if (bus->units[addr.unit] == NULL)
    bus->units[addr.unit] = sbi_calloc(256, sizeof(struct sbi_member *));
  struct sbi_member *member = sbi_calloc(1, sizeof *member);
  if (member == NULL || bus->units[addr.unit] == NULL) {
    sbi_free(member);
    return NULL;
  }
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  member->addr = addr;
  member->since = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
  member->next = bus->members;
  if (bus->members != NULL) bus->members->previous = member;
  bus->members = member;
  bus->units[addr.unit][addr.client] = member;
  bus->stats.clients++;
  return member;
}

bool sbi_member_join(struct sbi_peer *peer) {
  struct sbi_addr addr = peer->reg.addr;
  struct sbi_member *member = sbi_find_member(peer->bus, addr.unit, addr.client);
  bool first = member == NULL;
  if (first && (member = new_member(peer)) == NULL) return false;
  member->links[peer->reg.connect_index] = peer;
  if (member->current == NULL) member->current = peer;
  peer->member = member;
  if (first) tell_all(peer->bus, SBI_GLOBAL_ANSWER, member, SBI_NEW, peer->reg.info);
  return true;
}

void sbi_member_leave(struct sbi_peer *peer, bool announce) {
  struct sbi_member *member = peer->member;
  sb_bus *bus = peer->bus;
  peer->member = NULL;
  struct sbi_peer *rest = NULL;
  for (int i = 0; i < 2; i++) {
    if (member->links[i] == peer) member->links[i] = NULL;
    if (member->links[i] != NULL) rest = member->links[i];
  }
  if (member->current == peer) member->current = rest;
  if (rest != NULL) return;
  if (member->next != NULL) member->next->previous = member->previous;
  if (member->previous != NULL)
    member->previous->next = member->next;
  else
    bus->members = member->next;
  bus->units[member->addr.unit][member->addr.client] = NULL;
  bus->stats.clients--;
  if (announce) tell_all(bus, SBI_GLOBAL, member, SBI_GONE, peer->reg.info);
  sbi_free(member);
}
