/* The bus: its thread, the sweep over silent and slow links, and the host's calls. */
#include "bus.h"

#include <unistd.h>

#include "alloc.h"

enum { INBOX_EVENTS = 65536, INBOX_BYTES = 16 << 20 };

static void on_sweep(struct sbi_timer *timer);

/* ---- life ------------------------------------------------------------------ */

static void set_options(sb_bus_options *to, const sb_bus_options *from) {
  if (from != NULL) *to = *from;
  if (to->idle_ms <= 0) to->idle_ms = 15000;
  if (to->stall_ms <= 0) to->stall_ms = 1000;
  if (to->slow_ms <= 0) to->slow_ms = 5000;
  if (to->max_frame == 0) to->max_frame = 64 << 20;
  if (to->high_bytes == 0) to->high_bytes = 8 << 20;
  if (to->high_frames == 0) to->high_frames = 100000;
  if (to->max_links == 0) to->max_links = 1024;
  if (to->max_memory == 0) to->max_memory = 256 << 20;
}

sb_bus *sb_bus_new(const sb_bus_options *options) {
  sb_bus *bus = sbi_calloc(1, sizeof *bus);
  if (bus == NULL) return NULL;
  set_options(&bus->options, options);
  bus->bound = bus->options.high_bytes;
  pthread_mutex_init(&bus->lock, NULL);
  bus->sweep.fire = on_sweep;
  bool ok = sbi_loop_init(&bus->loop) == 0;
  ok = ok && sbi_hub_init(&bus->hub, &bus->loop, bus->options.max_frame, &sbi_peer_ops) == 0;
  ok = ok && (bus->inbox = sb_inbox_new(INBOX_EVENTS, INBOX_BYTES)) != NULL;
  ok = ok && sbi_timers_reserve(&bus->loop, 1);
  if (ok) {
    sbi_inbox_tell_room(bus->inbox, bus->loop.wake_write);
    sbi_timer_set(&bus->loop, &bus->sweep, bus->loop.now + SBI_SWEEP_MS);
    return bus;
  }
  sb_bus_free(bus);
  return NULL;
}

static void reap(sb_bus *bus) {
  while (bus->graveyard != NULL) {
    struct sbi_peer *peer = bus->graveyard;
    bus->graveyard = peer->next;
    sbi_free(peer);
  }
}

void sb_bus_stop(sb_bus *bus) {
  pthread_mutex_lock(&bus->lock);
  bus->stopping = true;
  pthread_mutex_unlock(&bus->lock);
  if (bus->running) {
    sbi_loop_wake(&bus->loop);
    pthread_join(bus->thread, NULL);
    bus->running = false;
  }
  pthread_mutex_lock(&bus->lock);
  sbi_listeners_close(bus);
  while (bus->peers != NULL) sbi_peer_close(bus->peers, SB_LEFT_STOPPED, "the bus stops");
  bus->dirty = NULL;
  reap(bus);
  pthread_mutex_unlock(&bus->lock);
}

void sb_bus_free(sb_bus *bus) {
  if (bus == NULL) return;
  sb_bus_stop(bus);
  for (int i = 0; i < 256; i++) sbi_free(bus->units[i]);
  sb_inbox_free(bus->inbox);
  sbi_hub_close(&bus->hub);
  sbi_loop_close(&bus->loop);
  pthread_mutex_destroy(&bus->lock);
  sbi_free(bus);
}

/* Without the lock: a thread that is not here any more may have held it. */
void sb_bus_abandon(sb_bus *bus) {
  for (const struct sbi_peer *peer = bus->peers; peer != NULL; peer = peer->next)
    if (sbi_conn_open(&peer->conn)) close(peer->conn.watch.fd);
  for (const struct sbi_listener *l = bus->listeners; l != NULL; l = l->next) close(l->watch.fd);
  sbi_inbox_abandon(bus->inbox);
  sbi_loop_abandon(&bus->loop);
}

/* ---- the sweep ------------------------------------------------------------- */

static void look_at(struct sbi_peer *peer) {
  const sb_bus *bus = peer->bus;
  int64_t now = bus->loop.now;
  if (peer->dirty) sbi_conn_flush(&peer->conn); /* what this round brought is no sign of slowness */
  sbi_peer_measure(peer);
  peer->pressed_bytes = peer->pressed_frames = 0;
  bool undecided = peer->state == SBI_PEER_NEW || peer->state == SBI_PEER_ASKED;
  if (peer->state == SBI_PEER_REFUSED) {
    if (now - peer->since >= SBI_LINGER_MS)
      sbi_peer_close(peer, SB_LEFT_CLOSED, "refused and did not close");
  } else if (peer->state == SBI_PEER_LEAVING) {
    if (now - peer->since >= SBI_LEAVE_MS) sbi_peer_close(peer, SB_LEFT_CLOSED, "did not close");
  } else if (!peer->local && !peer->conn.paused &&
             now - peer->conn.last_read >= bus->options.idle_ms) {
    sbi_peer_close(peer, SB_LEFT_IDLE, "silent for too long");
  } else if (undecided && now - peer->since >= bus->options.idle_ms) {
    sbi_peer_close(peer, SB_LEFT_IDLE, "not registered in time");
  } else if (peer->full && now - peer->full_since >= bus->options.slow_ms) {
    sbi_peer_close(peer, SB_LEFT_SLOW, "reads too slowly");
  } else if (peer->full && now - peer->conn.last_write >= bus->options.stall_ms) {
    sbi_peer_close(peer, SB_LEFT_SLOW, "does not read");
  }
}

static void on_sweep(struct sbi_timer *timer) {
  sb_bus *bus = (sb_bus *)((char *)timer - offsetof(sb_bus, sweep));
  for (struct sbi_peer *peer = bus->peers, *next; peer != NULL; peer = next) {
    next = peer->next;
    look_at(peer); /* closes no other */
  }
  sbi_bus_relieve(bus);
  if (bus->accept_again != 0 && bus->loop.now >= bus->accept_again) sbi_bus_rest(bus, false);
  sbi_timer_set(&bus->loop, &bus->sweep, bus->loop.now + SBI_SWEEP_MS);
}

/* ---- the thread ------------------------------------------------------------ */

/* With the lock held: what a round leaves to do. */
static void finish_round(sb_bus *bus) {
  sbi_bus_ask_again(bus);
  sbi_bus_flush(bus);
  reap(bus);
}

static void *run(void *arg) {
  sb_bus *bus = arg;
  pthread_mutex_lock(&bus->lock);
  while (!bus->stopping) {
    int timeout = sbi_loop_prepare(&bus->loop, -1);
    pthread_mutex_unlock(&bus->lock);
    sbi_loop_wait(&bus->loop, timeout);
    pthread_mutex_lock(&bus->lock);
    sbi_loop_dispatch(&bus->loop);
    finish_round(bus);
  }
  pthread_mutex_unlock(&bus->lock);
  return NULL;
}

int sb_bus_start(sb_bus *bus) {
  if (bus->running) return SB_OK;
  if (bus->stopping || pthread_create(&bus->thread, NULL, run, bus) != 0) return SB_ENOMEM;
  bus->running = true;
  return SB_OK;
}

sb_inbox *sb_bus_inbox(sb_bus *bus) {
  return bus->inbox;
}

/* ---- the host's calls ------------------------------------------------------ */

static struct sbi_peer *find_peer(const sb_bus *bus, uint32_t id) {
  struct sbi_peer *peer = bus->peers;
  while (peer != NULL && peer->id != id) peer = peer->next;
  return peer;
}

int sb_bus_decide(sb_bus *bus, uint32_t link, int code) {
  pthread_mutex_lock(&bus->lock);
  bus->loop.now = sbi_now_ms();
  struct sbi_peer *peer = find_peer(bus, link);
  bool asked = peer != NULL && peer->state == SBI_PEER_ASKED;
  if (asked) sbi_peer_decide(peer, code);
  /* The thread may be between its wait and its round: it reaps, not we. */
  sbi_bus_flush(bus);
  pthread_mutex_unlock(&bus->lock);
  return asked ? SB_OK : SB_ENOCLIENT;
}

int sb_bus_kick(sb_bus *bus, uint32_t link) {
  pthread_mutex_lock(&bus->lock);
  bus->loop.now = sbi_now_ms();
  struct sbi_peer *peer = find_peer(bus, link);
  bool there = peer != NULL && peer->state != SBI_PEER_LEAVING;
  if (there) sbi_peer_dismiss(peer, "closed by the host");
  sbi_bus_flush(bus);
  pthread_mutex_unlock(&bus->lock);
  return there ? SB_OK : SB_ENOCLIENT;
}

void sb_bus_stats(sb_bus *bus, sb_bus_stats_t *stats) {
  pthread_mutex_lock(&bus->lock);
  *stats = bus->stats;
  stats->queued_bytes = 0;
  stats->memory = bus->hub.held;
  for (const struct sbi_peer *peer = bus->peers; peer != NULL; peer = peer->next)
    stats->queued_bytes += peer->conn.out.bytes;
  pthread_mutex_unlock(&bus->lock);
}

static void describe(const struct sbi_member *member, sb_bus_client *out) {
  const struct sbi_peer *first = member->links[0] != NULL ? member->links[0] : member->links[1];
  *out = (sb_bus_client){.unit = member->addr.unit,
                         .client = member->addr.client,
                         .type = member->addr.type,
                         .link = first->id,
                         .pid = first->reg.pid,
                         .since = member->since,
                         .frames_in = member->frames_in,
                         .frames_out = member->frames_out};
  for (int i = 0; i < 2; i++) {
    if (member->links[i] == NULL) continue;
    out->links++;
    out->queued_bytes += member->links[i]->conn.out.bytes;
  }
  sbi_text_copy(out->version, sizeof out->version, first->reg.version);
  sbi_text_copy(out->peer, sizeof out->peer, first->address);
  sbi_text_copy(out->info, sizeof out->info, first->reg.info);
}

int sb_bus_clients(sb_bus *bus, sb_bus_client *out, int max) {
  int count = 0;
  pthread_mutex_lock(&bus->lock);
  for (const struct sbi_member *m = bus->members; m != NULL; m = m->next, count++)
    if (count < max) describe(m, &out[count]);
  pthread_mutex_unlock(&bus->lock);
  return count;
}
