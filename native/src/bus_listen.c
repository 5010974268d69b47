/* The bus's listeners: over TCP and local sockets, and who gets a place when there are too few. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "bus.h"

enum {
  BACKLOG = 511,
  ACCEPTS = 64, /* in a row, before others have their turn */
  ACCEPT_REST_MS = 250,
  CROWDED_SAY_MS = 10000
};

void sbi_bus_rest(sb_bus *bus, bool resting) {
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
  peer->bus = bus;
  if (sbi_conn_adopt(&peer->conn, &bus->hub, fd) != 0) {
    sbi_free(peer);
    return false;
  }
  if (from->sin_family == AF_INET)
    name_remote(peer, from);
  else
    name_local(peer, fd);
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

/* The connection whose place a newcomer may have: the oldest that is not registered, if it has had
 * time to be; those whose registration is being decided come last. NULL: there is none. */
static struct sbi_peer *least_wanted(const sb_bus *bus) {
  struct sbi_peer *least = NULL;
  int64_t now = bus->loop.now;
  for (struct sbi_peer *peer = bus->peers; peer != NULL; peer = peer->next) {
    bool asked = peer->state == SBI_PEER_ASKED;
    if (peer->state == SBI_PEER_REGISTERED) continue;
    if (now - peer->since < (asked ? SBI_ASKED_MS : SBI_GRACE_MS)) continue;
    bool least_asked = least != NULL && least->state == SBI_PEER_ASKED;
    if (least == NULL || (asked == least_asked ? peer->since <= least->since : least_asked))
      least = peer;
  }
  return least;
}

static bool make_place(sb_bus *bus) {
  struct sbi_peer *least = least_wanted(bus);
  if (least == NULL) return false;
  bus->stats.crowded_out++;
  if (bus->crowded_said == 0 || bus->loop.now - bus->crowded_said >= CROWDED_SAY_MS) {
    bus->crowded_said = bus->loop.now;
    sbi_bus_trace(bus, least->id,
                  "no place for another connection: the oldest go that have not registered");
  }
  sbi_peer_close(least, SB_LEFT_CLOSED, "made way for another connection");
  return true;
}

/* accept may complain of a shortage though nobody is there. */
static bool somebody_waits(int listener) {
  struct pollfd polled = {.fd = listener, .events = POLLIN};
  return poll(&polled, 1, 0) == 1;
}

/* When links or descriptors run out and nobody can make way, newcomers wait in the backlog: one that
 * is accepted and closed would be back at once (NET.md 2.5). */
static void on_accept(struct sbi_watch *watch, unsigned events) {
  (void)events;
  sb_bus *bus = ((struct sbi_listener *)watch)->bus;
  for (int i = 0; i < ACCEPTS; i++) {
    /* a local peer has no name to be filled in */
    struct sockaddr_in from = {.sin_family = AF_UNIX};
    socklen_t size = sizeof from;
    bool crowded = bus->stats.links >= bus->options.max_links;
    int fd = crowded ? -EMFILE : sbi_accept(watch->fd, (struct sockaddr *)&from, &size);
    if (fd >= 0 && take(bus, fd, &from)) continue;
    if (fd < 0) {
      bool shortage = fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM;
      if (!shortage || !somebody_waits(watch->fd)) return;
      if (make_place(bus)) continue;
    }
    sbi_bus_rest(bus, true);
    return;
  }
}

static int open_listener(const char *ip, int port, int *fd) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  socklen_t size = sizeof address;
  int on = 1;
  if (port < 0 || port > 65535 || inet_pton(AF_INET, ip, &address.sin_addr) != 1) return -EINVAL;
  *fd = sbi_socket(AF_INET);
  if (*fd < 0) return *fd;
  setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(*fd, (struct sockaddr *)&address, size) < 0 || listen(*fd, BACKLOG) < 0 ||
      getsockname(*fd, (struct sockaddr *)&address, &size) < 0)
    return -errno;
  return ntohs(address.sin_port);
}

/* Remember which file it is: should another have its name later, that one is not ours to remove. */
static void set_path(struct sbi_listener *listener, const char *path) {
  struct stat found;
  if (*path == 0 || lstat(path, &found) < 0) return;
  sbi_text_copy(listener->path, sizeof listener->path, path);
  listener->device = found.st_dev;
  listener->inode = found.st_ino;
}

/* The file first: as long as the socket is open, no other file can have its number. */
static void close_listener(struct sbi_listener *listener) {
  struct stat found;
  if (listener->path[0] != 0 && lstat(listener->path, &found) == 0 &&
      found.st_dev == listener->device && found.st_ino == listener->inode)
    unlink(listener->path);
  close(listener->watch.fd);
  sbi_free(listener);
}

void sbi_listeners_close(sb_bus *bus) {
  while (bus->listeners != NULL) {
    struct sbi_listener *listener = bus->listeners;
    bus->listeners = listener->next;
    sbi_loop_unwatch(&bus->loop, &listener->watch);
    close_listener(listener);
  }
}

/* Take over a listening socket and the file of its name. 0 or -errno. */
static int add_listener(sb_bus *bus, int fd, const char *path) {
  struct sbi_listener *listener = sbi_calloc(1, sizeof *listener);
  if (listener == NULL) {
    if (*path != 0) unlink(path);
    close(fd);
    return -ENOMEM;
  }
  *listener = (struct sbi_listener){.watch = {.fd = fd, .ready = on_accept}, .bus = bus};
  set_path(listener, path);
  pthread_mutex_lock(&bus->lock);
  int error = bus->stopping ? -EBADF : sbi_loop_watch(&bus->loop, &listener->watch, SBI_READ);
  if (error == 0) {
    listener->next = bus->listeners;
    bus->listeners = listener;
  } else {
    sbi_loop_unwatch(&bus->loop, &listener->watch);
    close_listener(listener);
  }
  pthread_mutex_unlock(&bus->lock);
  return error;
}

int sb_bus_listen(sb_bus *bus, const char *ip, int port) {
  int fd = -1;
  int result = open_listener(ip, port, &fd);
  if (result < 0) {
    if (fd >= 0) close(fd);
    return result;
  }
  int error = add_listener(bus, fd, "");
  return error != 0 ? error : result;
}

/* A socket file that nobody listens on is left over from a bus that was killed; anything else that
 * has the name is not ours to remove. */
static int remove_stale(const struct sockaddr_un *address) {
  struct stat found;
  if (lstat(address->sun_path, &found) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(found.st_mode)) return -EEXIST;
  int fd = sbi_socket(AF_UNIX);
  if (fd < 0) return fd;
  /* A full backlog: EAGAIN, somebody is there. */
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
  if (error != 0) unlink(address->sun_path);
  return error;
}

int sb_bus_listen_local(sb_bus *bus, const char *path, int mode) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (*path == 0 || strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = sbi_socket(AF_UNIX);
  if (fd < 0) return fd;
  int error = bind_local(fd, &address, mode);
  if (error == 0) return add_listener(bus, fd, path);
  close(fd);
  return error;
}
