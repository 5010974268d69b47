/* The bus: listeners, its thread, the sweep over silent and slow links, and the host's calls. */
#include "bus.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"

enum { INBOX_EVENTS = 65536, INBOX_BYTES = 16 << 20, BACKLOG = 511, ACCEPT_REST_MS = 1000 };

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
}

sb_bus *sb_bus_new(const sb_bus_options *options) {
  sb_bus *bus = sbi_calloc(1, sizeof *bus);
  if (bus == NULL) return NULL;
  set_options(&bus->options, options);
  pthread_mutex_init(&bus->lock, NULL);
  bus->sweep.fire = on_sweep;
  bool ok = sbi_loop_init(&bus->loop) == 0;
  ok = ok && sbi_hub_init(&bus->hub, &bus->loop, bus->options.max_frame, &sbi_peer_ops) == 0;
  ok = ok && (bus->inbox = sb_inbox_new(INBOX_EVENTS, INBOX_BYTES)) != NULL;
  ok = ok && sbi_timers_reserve(&bus->loop, 1);
  if (ok) {
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

void sb_bus_free(sb_bus *bus) {
  if (bus == NULL) return;
  pthread_mutex_lock(&bus->lock);
  bus->stopping = true;
  pthread_mutex_unlock(&bus->lock);
  if (bus->running) {
    sbi_loop_wake(&bus->loop);
    pthread_join(bus->thread, NULL);
  }
  while (bus->peers != NULL) {
    sbi_conn_flush(&bus->peers->conn);
    sbi_peer_close(bus->peers, SB_LEFT_STOPPED, "the bus stops");
  }
  bus->dirty = NULL;
  reap(bus);
  for (int i = 0; i < 256; i++) sbi_free(bus->units[i]);
  while (bus->listeners != NULL) {
    struct sbi_listener *listener = bus->listeners;
    bus->listeners = listener->next;
    sbi_loop_unwatch(&bus->loop, &listener->watch);
    close(listener->watch.fd);
    if (listener->path[0] != 0) unlink(listener->path);
    sbi_free(listener);
  }
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

/* ---- accepting ------------------------------------------------------------- */

static void rest(sb_bus *bus, bool resting) {
  bus->accept_again = resting ? bus->loop.now + ACCEPT_REST_MS : 0;
  for (struct sbi_listener *l = bus->listeners; l != NULL; l = l->next)
    sbi_loop_watch(&bus->loop, &l->watch, resting ? 0 : SBI_READ);
}

/* Who is at the other end of a local socket. */
static void name_local(struct sbi_peer *peer, int fd) {
  peer->local = true;
#ifdef SO_PEERCRED
  struct ucred who;
  socklen_t size = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) peer->local_pid = who.pid;
#else
  (void)fd;
#endif
  snprintf(peer->address, sizeof peer->address, "local pid %ld", (long)peer->local_pid);
}

static void name_remote(struct sbi_peer *peer, const struct sockaddr_in *from) {
  char ip[INET_ADDRSTRLEN] = "?";
  inet_ntop(AF_INET, &from->sin_addr, ip, sizeof ip);
  snprintf(peer->address, sizeof peer->address, "%s:%u", ip, ntohs(from->sin_port));
}

static bool take(sb_bus *bus, int fd, const struct sockaddr_in *from) {
  struct sbi_peer *peer = sbi_calloc(1, sizeof *peer);
  if (peer == NULL) {
    close(fd);
    return false;
  }
  if (sbi_conn_adopt(&peer->conn, &bus->hub, fd) != 0) {
    sbi_free(peer);
    return false;
  }
  if (from->sin_family == AF_INET)
    name_remote(peer, from);
  else
    name_local(peer, fd);
  peer->bus = bus;
  /* What a local client sent too early is ignored, however long (IPC.md 2.2). */
  peer->conn.max_frame = peer->local ? 0 : SBI_NEW_FRAME;
  peer->id = ++bus->last_id;
  peer->since = bus->loop.now;
  peer->last_beat_ack = bus->loop.now - SBI_BEAT_ACK_MS;
  peer->next = bus->peers;
  bus->peers = peer;
  bus->stats.links++;
  bus->stats.accepted++;
  return true;
}

/* When links or descriptors run out, newcomers wait in the backlog: one that is accepted and
 * closed would be back at once (NET.md 2.5). */
static void on_accept(struct sbi_watch *watch, unsigned events) {
  (void)events;
  sb_bus *bus = ((struct sbi_listener *)watch)->bus;
  for (int i = 0; i < 64; i++) {
    if (bus->stats.links >= bus->options.max_links) {
      rest(bus, true);
      return;
    }
    struct sockaddr_in from = {.sin_family =
                                   AF_UNIX}; /* a local peer has no name to be filled in */
    socklen_t size = sizeof from;
    int fd = accept(watch->fd, (struct sockaddr *)&from, &size);
    if (fd < 0) {
      bool short_of = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (short_of) rest(bus, true);
      return;
    }
    if (!take(bus, fd, &from)) {
      rest(bus, true);
      return;
    }
  }
}

static int open_listener(const char *ip, int port, int *fd) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  socklen_t size = sizeof address;
  int on = 1;
  if (port < 0 || port > 65535 || inet_pton(AF_INET, ip, &address.sin_addr) != 1) return -EINVAL;
  *fd = socket(AF_INET, SOCK_STREAM, 0);
  if (*fd < 0) return -errno;
  setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(*fd, (struct sockaddr *)&address, size) < 0 || listen(*fd, BACKLOG) < 0 ||
      getsockname(*fd, (struct sockaddr *)&address, &size) < 0)
    return -errno;
  int error = sbi_non_blocking(*fd);
  return error != 0 ? error : ntohs(address.sin_port);
}

/* Take over a listening socket; on failure (result < 0) there is none. Returns result or -errno. */
static int add_listener(sb_bus *bus, int fd, int result, const char *path) {
  struct sbi_listener *listener = result >= 0 ? sbi_calloc(1, sizeof *listener) : NULL;
  if (result >= 0 && listener == NULL) result = -ENOMEM;
  if (listener != NULL) {
    *listener = (struct sbi_listener){.watch = {.fd = fd, .ready = on_accept}, .bus = bus};
    sbi_text_copy(listener->path, sizeof listener->path, path);
    pthread_mutex_lock(&bus->lock);
    int error = sbi_loop_watch(&bus->loop, &listener->watch, SBI_READ);
    if (error == 0) {
      listener->next = bus->listeners;
      bus->listeners = listener;
    } else {
      sbi_loop_unwatch(&bus->loop, &listener->watch);
      sbi_free(listener);
      result = error;
    }
    pthread_mutex_unlock(&bus->lock);
  }
  if (result < 0 && fd >= 0) {
    close(fd);
    if (*path != 0) unlink(path);
  }
  return result;
}

int sb_bus_listen(sb_bus *bus, const char *ip, int port) {
  int fd = -1;
  int result = open_listener(ip, port, &fd);
  return add_listener(bus, fd, result, "");
}

/* A socket file that nobody listens on is left over from a bus that was killed; anything else that
 * has the name is not ours to remove. */
static int remove_stale(const struct sockaddr_un *address) {
  struct stat found;
  if (lstat(address->sun_path, &found) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(found.st_mode)) return -EEXIST;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  sbi_non_blocking(fd); /* a full backlog: EAGAIN, somebody is there */
  bool refused =
      connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
  close(fd);
  if (!refused) return -EADDRINUSE;
  return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_local(int fd, const struct sockaddr_un *address, int mode) {
  int error = remove_stale(address);
  if (error != 0) return error;
  /* Nobody can connect before listen, so there is no moment with a wider mode. */
  if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0) return -errno;
  error = chmod(address->sun_path, (mode_t)mode) < 0 || listen(fd, BACKLOG) < 0 ? -errno : 0;
  if (error == 0) error = sbi_non_blocking(fd);
  if (error != 0) unlink(address->sun_path);
  return error;
}

int sb_bus_listen_local(sb_bus *bus, const char *path, int mode) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (*path == 0 || strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  int error = bind_local(fd, &address, mode);
  if (error != 0) {
    close(fd);
    return error;
  }
  return add_listener(bus, fd, 0, path);
}

/* ---- the sweep ------------------------------------------------------------- */

static void look_at(struct sbi_peer *peer) {
  const sb_bus *bus = peer->bus;
  int64_t now = bus->loop.now;
  sbi_peer_measure(peer);
  peer->pressed_bytes = peer->pressed_frames = 0;
  bool undecided = peer->state == SBI_PEER_NEW || peer->state == SBI_PEER_ASKED;
  if (peer->state == SBI_PEER_REFUSED) {
    if (now - peer->since >= SBI_LINGER_MS)
      sbi_peer_close(peer, SB_LEFT_CLOSED, "refused and did not close");
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
  if (bus->accept_again != 0 && bus->loop.now >= bus->accept_again) rest(bus, false);
  sbi_timer_set(&bus->loop, &bus->sweep, bus->loop.now + SBI_SWEEP_MS);
}

/* ---- the thread ------------------------------------------------------------ */

/* With the lock held: what a round leaves to do. */
static void finish_round(sb_bus *bus) {
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
  if (pthread_create(&bus->thread, NULL, run, bus) != 0) return SB_ENOMEM;
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
  struct sbi_peer *peer = find_peer(bus, link);
  if (peer != NULL) sbi_peer_close(peer, SB_LEFT_STOPPED, "closed by the host");
  sbi_bus_flush(bus);
  pthread_mutex_unlock(&bus->lock);
  return peer != NULL ? SB_OK : SB_ENOCLIENT;
}

void sb_bus_stats(sb_bus *bus, sb_bus_stats_t *stats) {
  pthread_mutex_lock(&bus->lock);
  *stats = bus->stats;
  stats->queued_bytes = 0;
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
