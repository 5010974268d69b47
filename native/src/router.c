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

static void mark_dirty(struct sbi_peer *peer) {
  if (peer->dirty) return;
  peer->dirty = true;
  peer->next_dirty = peer->bus->dirty;
  peer->bus->dirty = peer;
}

uint8_t *sbi_peer_reserve(struct sbi_peer *peer, size_t size) {
  mark_dirty(peer);
  uint8_t *place = sbi_conn_reserve(&peer->conn, size);
  if (place == NULL) peer->doomed = "no memory for what is sent to it";
  return place;
}

static uint8_t *reserve_shared(struct sbi_peer *peer, size_t size, struct sbi_shared *rest) {
  mark_dirty(peer);
  uint8_t *place = sbi_outq_reserve_shared(&peer->conn.out, size, rest);
  if (place == NULL) peer->doomed = "no memory for what is sent to it";
  return place;
}

static struct sbi_peer *link_of(const struct sbi_member *member) {
  if (member->current != NULL) return member->current;
  return member->links[0] != NULL ? member->links[0] : member->links[1];
}

/* `body`: what follows the header, if the queues are to share it; NULL: copy it. */
static void deliver(struct sbi_peer *from, struct sbi_member *to, const uint8_t *frame,
                    const struct sbi_head *head, struct sbi_shared *body) {
  struct sbi_peer *link = link_of(to);
  size_t size = (size_t)head->packet_size, own = body != NULL ? SBI_HEAD_SIZE : size;
  uint8_t *place = body != NULL ? reserve_shared(link, own, body) : sbi_peer_reserve(link, own);
  if (place == NULL) {
    from->bus->stats.undeliverable++;
    return;
  }
  memcpy(place, frame, own);
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
  sbi_peer_fuller(link);
}

static bool type_fits(const struct sbi_member *member, uint8_t type) {
  return type == SBI_ANY || type == member->addr.type;
}

static struct sbi_member *next_receiver(struct sbi_member *m, const struct sbi_peer *from,
                                        const struct sbi_head *head) {
  while (m != NULL && (m == from->member || !type_fits(m, head->dst.type) ||
                       (head->dst.unit != SBI_ANY && head->dst.unit != m->addr.unit)))
    m = m->next;
  return m;
}

/* To all of them, or, while one of them is full and the sender has to wait, to none yet. */
static enum sbi_took deliver_all(struct sbi_peer *from, const uint8_t *frame,
                                 const struct sbi_head *head) {
  sb_bus *bus = from->bus;
  size_t size = (size_t)head->packet_size;
  struct sbi_member *first = next_receiver(bus->members, from, head);
  for (struct sbi_member *m = first; m != NULL; m = next_receiver(m->next, from, head))
    if (sbi_peer_must_wait(from, link_of(m), size)) return SBI_HOLD;
  struct sbi_shared *body = NULL;
  if (first != NULL && size - SBI_HEAD_SIZE >= SBI_SHARE_FROM)
    body = sbi_shared_new(frame + SBI_HEAD_SIZE, size - SBI_HEAD_SIZE, &bus->hub.held);
  for (struct sbi_member *m = first; m != NULL; m = next_receiver(m->next, from, head))
    deliver(from, m, frame, head, body);
  sbi_shared_drop(body);
  if (first == NULL) bus->stats.undeliverable++;
  return SBI_TOOK;
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

static enum sbi_took answer_ping(struct sbi_peer *from, const uint8_t *frame,
                                 const struct sbi_head *head) {
  size_t n = (size_t)head->data_size, size = sbi_frame_size(n);
  if (sbi_peer_must_wait(from, from, size)) return SBI_HOLD;
  uint8_t *place = sbi_peer_reserve(from, size);
  if (place == NULL) return SBI_TOOK;
  sbi_frame_begin(place, SBI_PING_ACK, SBI_SYSTEM, head->dst, from->member->addr, n);
  if (n > 0) memcpy(place + SBI_HEAD_SIZE, frame + SBI_HEAD_SIZE, n);
  sbi_peer_fuller(from);
  return SBI_TOOK;
}

/* Nobody there to start the flow: say so, or the caller waits for its time-out (IPC.md 6). */
static enum sbi_took refuse_flow(struct sbi_peer *from, const uint8_t *frame,
                                 const struct sbi_head *head) {
  static const char text[] = "no such IPSC process on this bus";
  struct sbi_flow_call call;
  if (!sbi_flow_call_decode(frame, head, &call)) return SBI_TOOK;
  struct sbi_flow_answer ack = {.invoke_id = call.invoke_id,
                                .event_ch = call.event_ch,
                                .code = SB_ENOCLIENT,
                                .text = text,
                                .text_size = sizeof text - 1};
  memcpy(ack.project, call.project, sizeof ack.project);
  size_t size = sbi_flow_answer_size(SBI_FLOW_ACK, ack.text_size);
  if (sbi_peer_must_wait(from, from, size)) return SBI_HOLD;
  uint8_t *place = sbi_peer_reserve(from, size);
  if (place == NULL) return SBI_TOOK;
  sbi_flow_answer_encode(place, SBI_FLOW_ACK, head->dst, from->member->addr, &ack);
  sbi_peer_fuller(from);
  return SBI_TOOK;
}

enum sbi_took sbi_route(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head) {
  sb_bus *bus = from->bus;
  bool system = head->cmdtype == SBI_SYSTEM;
  /* The bus announces clients by itself. */
  if (system && (head->cmd == SBI_GLOBAL || head->cmd == SBI_GLOBAL_ANSWER)) return SBI_TOOK;
  if (head->dst.client == SBI_ANY) return deliver_all(from, frame, head);
  struct sbi_member *to = receiver(bus, from->member, head);
  if (to != NULL) {
    if (sbi_peer_must_wait(from, link_of(to), (size_t)head->packet_size)) return SBI_HOLD;
    deliver(from, to, frame, head, NULL);
    return SBI_TOOK;
  }
  if (system && head->cmd == SBI_PING && head->dst.unit == bus->options.unit)
    return answer_ping(from, frame, head);
  enum sbi_took took = SBI_TOOK;
  if (system && head->cmd == SBI_FLOW_CALL) took = refuse_flow(from, frame, head);
  if (took == SBI_TOOK) bus->stats.undeliverable++;
  return took;
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
  sbi_peer_fuller_unasked(peer);
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
