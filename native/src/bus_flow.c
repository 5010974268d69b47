/* Who waits for whom: full queues, memory as a whole, and writing. */
#include "alloc.h"
#include "bus.h"

/* ---- waiting --------------------------------------------------------------- */

void sbi_peer_wait(struct sbi_peer *peer, enum sbi_wait wait, struct sbi_peer *receiver) {
  if (peer->wait == SBI_WAITS_NOT) peer->bus->waiting++;
  peer->wait = wait;
  peer->wait_since = peer->bus->loop.now;
  peer->waits_for = receiver;
  sbi_conn_pause(&peer->conn);
}

void sbi_peer_end_wait(struct sbi_peer *peer) {
  if (peer->wait == SBI_WAITS_NOT) return;
  peer->wait = SBI_WAITS_NOT;
  peer->waits_for = NULL;
  peer->bus->waiting--;
}

/* ---- full queues ----------------------------------------------------------- */

static bool over_bound(const struct sbi_peer *peer) {
  return peer->conn.out.bytes >= peer->bus->bound ||
         peer->conn.out.frames >= peer->bus->options.high_frames;
}

static bool drained(const struct sbi_peer *peer) {
  return peer->conn.out.bytes <= peer->bus->bound / 2 &&
         peer->conn.out.frames <= peer->bus->options.high_frames / 2;
}

void sbi_peer_measure(struct sbi_peer *peer) {
  if (peer->member == NULL) { /* left, or never came: nobody sends it anything */
    peer->full = false;
  } else if (peer->full) {
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
         to->conn.out.bytes < 2 * from->bus->bound;
}

bool sbi_peer_must_wait(struct sbi_peer *from, struct sbi_peer *to, size_t size) {
  if (!to->full) return false;
  sbi_peer_measure(to);
  if (!to->full || is_light(from, to, size)) return false;
  sbi_peer_wait(from, SBI_WAITS_RECEIVER, to);
  return true;
}

void sbi_peer_fuller(struct sbi_peer *to) {
  sbi_bus_weigh(to->bus);
  if (to->full || !over_bound(to)) return;
  sbi_conn_flush(&to->conn);
  sbi_peer_measure(to);
}

void sbi_peer_fuller_unasked(struct sbi_peer *to) {
  const sb_bus *bus = to->bus;
  sbi_peer_fuller(to);
  bool silent = bus->loop.now - to->conn.last_write >= bus->options.stall_ms;
  size_t bound = silent ? bus->bound : bus->options.high_bytes;
  if (to->conn.out.bytes >= 2 * bound) to->doomed = "does not read";
}

/* ---- memory as a whole ----------------------------------------------------- */

/* When memory is short, the links together are above the bound, so one of them has the share that
 * this makes its limit, in its queue or in an unfinished frame. */
static void set_bound(sb_bus *bus) {
  size_t bound = bus->options.high_bytes;
  if (bus->short_memory) {
    uint64_t share = bus->options.max_memory / 2 / (bus->stats.links + 1);
    if (share < SBI_LEAST_BOUND) share = SBI_LEAST_BOUND;
    if (share < bound) bound = (size_t)share;
  }
  bus->bound = bound;
}

void sbi_bus_weigh(sb_bus *bus) {
  uint64_t most = bus->options.max_memory;
  if (bus->short_memory ? bus->hub.held > most / 4 * 3 : bus->hub.held <= most) return;
  bus->short_memory = !bus->short_memory;
  bus->furthest = 0;
  set_bound(bus);
}

static struct sbi_peer *find_furthest(const sb_bus *bus) {
  struct sbi_peer *furthest = NULL;
  for (struct sbi_peer *peer = bus->peers; peer != NULL; peer = peer->next)
    if (peer->conn.rest_size > 0 &&
        (furthest == NULL || peer->conn.rest_size >= furthest->conn.rest_size))
      furthest = peer; /* of equals the oldest, they are newest first */
  return furthest;
}

/* May this link have more memory for a large frame? When it is short, one after another, for if all
 * had a little, none would come to its end; and from twice the bound on, none. */
static bool may_have_more(const struct sbi_peer *peer, const struct sbi_peer *furthest) {
  const sb_bus *bus = peer->bus;
  return !bus->short_memory || (peer == furthest && bus->hub.held / 2 <= bus->options.max_memory);
}

bool sbi_peer_grow(struct sbi_conn *conn) {
  struct sbi_peer *peer = (struct sbi_peer *)conn;
  sbi_bus_weigh(peer->bus);
  if (!peer->bus->short_memory || may_have_more(peer, find_furthest(peer->bus))) return true;
  sbi_peer_wait(peer, SBI_WAITS_MEMORY, NULL);
  return false;
}

/* What a burst took is not kept for the next one. */
static void give_back(sb_bus *bus) {
  if (bus->hub.held > bus->peak) {
    bus->peak = bus->hub.held;
  } else if (bus->peak >= SBI_TRIM_FROM && bus->hub.held < bus->peak / 4) {
    bus->peak = bus->hub.held;
    sbi_trim();
  }
}

/* What is wrong with how it sends a large frame, NULL nothing. */
static const char *obstructs(const struct sbi_peer *peer) {
  const sb_bus *bus = peer->bus;
  int64_t now = bus->loop.now;
  if (peer->wait == SBI_WAITS_MEMORY) /* nobody waits for ever */
    return now - peer->wait_since >= bus->options.slow_ms ? "no memory for its large packet" : NULL;
  if (peer->conn.rest_room < bus->bound) return NULL;
  if (peer->wait == SBI_WAITS_NOT && now - peer->conn.last_read >= bus->options.stall_ms)
    return "stopped within a large packet while memory is short";
  if (peer->wait == SBI_WAITS_NOT && peer->id == bus->furthest &&
      now - bus->furthest_since >= bus->options.slow_ms)
    return "sends a large packet slowly while memory is short";
  return NULL;
}

/* The sweep deals with full queues; this is about unfinished frames. */
void sbi_bus_relieve(sb_bus *bus) {
  sbi_bus_weigh(bus);
  give_back(bus);
  if (!bus->short_memory) return;
  set_bound(bus); /* there may be more links now, or fewer */
  const struct sbi_peer *furthest = find_furthest(bus);
  if (furthest != NULL && furthest->id != bus->furthest) {
    bus->furthest = furthest->id;
    bus->furthest_since = bus->loop.now;
  }
  for (struct sbi_peer *peer = bus->peers, *next; peer != NULL; peer = next) {
    next = peer->next;
    const char *why = obstructs(peer);
    if (why != NULL) sbi_peer_close(peer, SB_LEFT_SLOW, why);
  }
}

/* ---- writing --------------------------------------------------------------- */

void sbi_bus_ask_again(sb_bus *bus) {
  if (bus->waiting == 0 || sbi_inbox_full(bus->inbox)) return;
  for (struct sbi_peer *peer = bus->peers, *next; peer != NULL; peer = next) {
    next = peer->next;
    if (peer->wait != SBI_WAITS_HOST) continue;
    sbi_peer_end_wait(peer);
    sbi_conn_resume(&peer->conn); /* asks; a link that is not registered closes no other */
  }
}

static bool may_go_on(const struct sbi_peer *peer, const struct sbi_peer *furthest) {
  if (peer->wait == SBI_WAITS_MEMORY) return may_have_more(peer, furthest);
  if (peer->wait != SBI_WAITS_RECEIVER) return false;
  sbi_peer_measure(peer->waits_for);
  return !peer->waits_for->full;
}

/* Links whose receiver is no longer full go on. Returns whether there were any. */
static bool let_go_on(sb_bus *bus) {
  bool any = false;
  const struct sbi_peer *furthest = bus->short_memory ? find_furthest(bus) : NULL;
  for (struct sbi_peer *peer = bus->peers, *next; peer != NULL; peer = next) {
    next = peer->next;
    if (!may_go_on(peer, furthest)) continue;
    sbi_peer_end_wait(peer);
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
      if (peer->doomed != NULL)
        sbi_peer_close(peer, SB_LEFT_SLOW, peer->doomed);
      else
        sbi_conn_flush(&peer->conn);
    }
    sbi_bus_weigh(bus);
    moved = bus->waiting > 0 && let_go_on(bus);
  }
}
