#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* SO_NOSIGPIPE serves instead */
#endif

#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK) /* at once: no moment for a fork in between */
#endif

enum {
  VECTORS = 32,
  KEEPALIVE_SECONDS = 30,
  DRAIN_BYTES = 16 * 1024,
  DRAIN_READS = 512 /* more than a system keeps for a socket */
};

static void ready(struct sbi_watch *watch, unsigned events);

int sbi_hub_init(struct sbi_hub *hub, struct sbi_loop *loop, uint32_t max_frame,
                 const struct sbi_conn_ops *ops) {
  *hub = (struct sbi_hub){
      .loop = loop, .scratch = sbi_malloc(SBI_SCRATCH), .max_frame = max_frame, .ops = ops};
  return hub->scratch == NULL ? -ENOMEM : 0;
}

void sbi_hub_close(struct sbi_hub *hub) {
  sbi_free(hub->scratch);
  hub->scratch = NULL;
}

/* ---- life ------------------------------------------------------------------ */

void sbi_socket_options(int fd) {
  int on = 1, seconds = KEEPALIVE_SECONDS;
  /* The first three are refused by a local socket, which does not need them. */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
#endif
#ifdef SO_NOSIGPIPE
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  (void)seconds;
}

static void begin(struct sbi_conn *conn, struct sbi_hub *hub, int fd) {
  conn->hub = hub;
  conn->watch = (struct sbi_watch){.fd = fd, .ready = ready};
  conn->connecting = conn->paused = conn->write_dead = conn->finishing = false;
  conn->last_read = conn->last_write = hub->loop->now;
}

int sbi_non_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
  return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int sbi_socket(int domain) {
#ifdef SOCKET_FLAGS
  int fd = socket(domain, SOCK_STREAM | SOCKET_FLAGS, 0);
  return fd < 0 ? -errno : fd;
#else
  int fd = socket(domain, SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  int error = sbi_non_blocking(fd);
  if (error == 0) return fd;
  close(fd);
  return error;
#endif
}

int sbi_accept(int listener, struct sockaddr *from, socklen_t *size) {
#ifdef SOCKET_FLAGS
  int fd = accept4(listener, from, size, SOCKET_FLAGS);
#else
  int fd = accept(listener, from, size); /* sbi_conn_adopt does the rest */
#endif
  return fd < 0 ? -errno : fd;
}

static int watch(struct sbi_conn *conn) {
  unsigned want = conn->paused ? 0u : SBI_READ;
  if (conn->connecting)
    want = SBI_WRITE;
  else if (conn->out.bytes > 0 && !conn->write_dead)
    want |= SBI_WRITE;
  return sbi_loop_watch(conn->hub->loop, &conn->watch, want);
}

bool sbi_endpoint_set(struct sbi_endpoint *endpoint, const char *name, int port) {
  struct in_addr address;
  if (strlen(name) >= sizeof endpoint->name) return false;
  if (port != SBI_LOCAL && inet_pton(AF_INET, name, &address) != 1) return false;
  sbi_text_copy(endpoint->name, sizeof endpoint->name, name);
  endpoint->port = port;
  return true;
}

union address {
  struct sockaddr any;
  struct sockaddr_in ip;
  struct sockaddr_un local;
};

static socklen_t address_of(const struct sbi_endpoint *endpoint, union address *address) {
  memset(address, 0, sizeof *address);
  if (endpoint->port == SBI_LOCAL) {
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, endpoint->name, strlen(endpoint->name) + 1);
    return sizeof address->local;
  }
  address->ip.sin_family = AF_INET;
  address->ip.sin_port = htons((uint16_t)endpoint->port);
  inet_pton(AF_INET, endpoint->name, &address->ip.sin_addr);
  return sizeof address->ip;
}

int sbi_conn_connect(struct sbi_conn *conn, struct sbi_hub *hub,
                     const struct sbi_endpoint *endpoint) {
  union address address;
  socklen_t size = address_of(endpoint, &address);
  int fd = sbi_socket(address.any.sa_family), error = 0;
  if (fd < 0) return fd;
  begin(conn, hub, fd);
  sbi_socket_options(fd);
  /* A local server whose backlog is full answers EAGAIN: like one that is not there. */
  if (connect(fd, &address.any, size) < 0 && errno != EINPROGRESS && errno != EINTR) error = -errno;
  conn->connecting = true; /* a connect that is done already is reported the same way */
  if (error == 0) error = watch(conn);
  if (error != 0) sbi_conn_close(conn);
  return error;
}

int sbi_conn_adopt(struct sbi_conn *conn, struct sbi_hub *hub, int fd) {
  begin(conn, hub, fd);
  conn->out.held = &hub->held;
  int error = sbi_non_blocking(fd);
  sbi_socket_options(fd);
  if (error == 0) error = watch(conn);
  if (error != 0) sbi_conn_close(conn);
  return error;
}

static void drop_rest(struct sbi_conn *conn) {
  conn->hub->held -= conn->rest_room;
  sbi_free(conn->rest);
  conn->rest = NULL;
  conn->rest_size = conn->rest_room = 0;
}

bool sbi_conn_open(const struct sbi_conn *conn) {
  return conn->hub != NULL && conn->watch.fd >= 0; /* a zeroed one was never opened */
}

void sbi_conn_close(struct sbi_conn *conn) {
  if (!sbi_conn_open(conn)) return;
  sbi_loop_unwatch(conn->hub->loop, &conn->watch);
  close(conn->watch.fd);
  conn->watch.fd = -1;
  drop_rest(conn);
}

static void drain(const struct sbi_conn *conn) {
  uint8_t bytes[DRAIN_BYTES]; /* not the shared buffer: it may hold frames that are handed out */
  for (int i = 0; i < DRAIN_READS; i++)
    if (recv(conn->watch.fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) return;
}

void sbi_conn_end(struct sbi_conn *conn) {
  if (!sbi_conn_open(conn)) return;
  sbi_conn_flush(conn);
  shutdown(conn->watch.fd, SHUT_WR);
  drain(conn);
  sbi_conn_close(conn);
}

void sbi_conn_finish(struct sbi_conn *conn) {
  conn->finishing = true;
  sbi_conn_flush(conn);
}

static void lose(struct sbi_conn *conn, int64_t bad, int error) {
  if (conn->hub->ops->losing != NULL) {
    conn->hub->ops->losing(conn, bad, error);
    return;
  }
  sbi_conn_close(conn);
  conn->hub->ops->lost(conn, bad, error);
}

/* ---- reading --------------------------------------------------------------- */

static uint32_t limit_of(const struct sbi_conn *conn) {
  return conn->max_frame != 0 ? conn->max_frame : conn->hub->max_frame;
}

void sbi_conn_bad_text(const struct sbi_conn *conn, int64_t bad, char text[SBI_BAD_TEXT]) {
  if (bad == SBI_BAD_TOO_BIG)
    snprintf(text, SBI_BAD_TEXT,
             "a packet of %" PRId32 " bytes is larger than the %" PRIu32 " allowed", conn->too_big,
             limit_of(conn));
  else
    snprintf(text, SBI_BAD_TEXT, "%s", sbi_bad_text(bad));
}

/* Hand out the whole frames among `size` bytes. Returns how many bytes were used, or SBI_BAD_*;
 * *needed gets the size of the frame that is not whole, if it is known. */
static int64_t hand_out(struct sbi_conn *conn, const uint8_t *bytes, size_t size, size_t *needed) {
  size_t used = 0;
  struct sbi_head head;
  *needed = 0;
  while (sbi_conn_open(conn) && !conn->paused) {
    int64_t frame = sbi_frame_check(bytes + used, size - used, limit_of(conn), &head);
    if (frame == SBI_BAD_TOO_BIG) conn->too_big = head.packet_size;
    if (frame < 0) return frame;
    if (frame == 0) {
      *needed = (size_t)head.packet_size;
      break;
    }
    if (conn->hub->ops->frame(conn, bytes + used, &head) == SBI_HOLD) {
      sbi_conn_pause(conn);
      break;
    }
    used += (size_t)frame;
  }
  return (int64_t)used;
}

static bool set_room(struct sbi_conn *conn, size_t room) {
  uint8_t *rest = sbi_realloc(conn->rest, room);
  if (rest == NULL) return false;
  conn->hub->held += room - conn->rest_room;
  conn->rest = rest;
  conn->rest_room = room;
  return true;
}

/* Keep the unused bytes for later. They may lie in conn->rest itself. */
static bool keep_rest(struct sbi_conn *conn, const uint8_t *bytes, size_t size, size_t needed) {
  if (size == 0) {
    drop_rest(conn);
    return true;
  }
  if (conn->rest != NULL && bytes >= conn->rest && bytes < conn->rest + conn->rest_room) {
    memmove(conn->rest, bytes, size);
    conn->rest_size = size;
    /* A large frame has gone; what is left of the memory is no reason to keep all of it. */
    if (conn->rest_room > SBI_SCRATCH && size <= SBI_SCRATCH / 2) set_room(conn, SBI_SCRATCH);
    return true;
  }
  /* Small frames are completed in the shared buffer; a large one is collected here, in steps that
   * double with what has arrived. */
  size_t room = size;
  if (needed > SBI_SCRATCH / 2 && room < SBI_SCRATCH) room = SBI_SCRATCH;
  if (room > conn->rest_room && !set_room(conn, room)) return false;
  memcpy(conn->rest, bytes, size);
  conn->rest_size = size;
  return true;
}

static void parse(struct sbi_conn *conn, const uint8_t *bytes, size_t size) {
  size_t needed;
  int64_t used = hand_out(conn, bytes, size, &needed);
  if (!sbi_conn_open(conn)) return;
  if (used < 0)
    lose(conn, used, 0);
  else if (!keep_rest(conn, bytes + used, size - (size_t)used, needed))
    lose(conn, 0, ENOMEM);
}

static ssize_t receive(struct sbi_conn *conn, uint8_t *place, size_t room) {
  ssize_t n;
  do {
    n = recv(conn->watch.fd, place, room, 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) conn->last_read = conn->hub->loop->now;
  return n;
}

/* The size of the frame at conn->rest, 0 unknown. */
static size_t begun(const struct sbi_conn *conn) {
  if (conn->rest_size < SBI_HEAD_SIZE) return 0;
  struct sbi_head head;
  sbi_head_decode(conn->rest, &head);
  return (size_t)head.packet_size;
}

/* More of a frame that is still not whole, `n` bytes in the shared buffer behind the place of those
 * that are here already. However small the pieces are, each byte is moved once. */
static bool add_to_rest(struct sbi_conn *conn, size_t n) {
  size_t size = conn->rest_size + n, twice = conn->rest_room * 2;
  if (size > conn->rest_room && !set_room(conn, size > twice ? size : twice)) return false;
  memcpy(conn->rest + conn->rest_size, conn->hub->scratch + conn->rest_size, n);
  conn->rest_size = size;
  return true;
}

static void received(struct sbi_conn *conn, uint8_t *bytes, ssize_t n) {
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (n <= 0) {
    lose(conn, 0, n == 0 ? 0 : errno);
    return;
  }
  size_t size = conn->rest_size + (size_t)n;
  if (bytes != conn->rest && size < begun(conn)) {
    if (!add_to_rest(conn, (size_t)n)) lose(conn, 0, ENOMEM);
    return;
  }
  if (bytes != conn->rest && conn->rest_size > 0) memcpy(bytes, conn->rest, conn->rest_size);
  parse(conn, bytes, size);
}

static void read_some(struct sbi_conn *conn) {
  /* Is the frame better collected where its beginning is than in the shared buffer? */
  if (begun(conn) <= SBI_SCRATCH / 2 && conn->rest_size <= SBI_SCRATCH / 2) {
    uint8_t *bytes = conn->hub->scratch;
    received(conn, bytes, receive(conn, bytes + conn->rest_size, SBI_SCRATCH - conn->rest_size));
    return;
  }
  if (conn->rest_size == conn->rest_room) {
    if (conn->hub->ops->grow != NULL && !conn->hub->ops->grow(conn)) return;
    size_t whole = begun(conn), room = conn->rest_room <= SIZE_MAX / 2 ? conn->rest_room * 2 : 0;
    if (whole > conn->rest_room && whole < room) room = whole;
    if (room == 0 || !set_room(conn, room)) {
      lose(conn, 0, ENOMEM);
      return;
    }
  }
  received(conn, conn->rest,
           receive(conn, conn->rest + conn->rest_size, conn->rest_room - conn->rest_size));
}

void sbi_conn_pause(struct sbi_conn *conn) {
  conn->paused = true;
  if (sbi_conn_open(conn)) watch(conn);
}

void sbi_conn_resume(struct sbi_conn *conn) {
  conn->paused = false;
  conn->last_read = conn->hub->loop->now; /* what it did not read was no silence */
  if (!sbi_conn_open(conn)) return;
  watch(conn);
  if (conn->rest_size > 0) parse(conn, conn->rest, conn->rest_size);
}

/* ---- writing --------------------------------------------------------------- */

uint8_t *sbi_conn_reserve(struct sbi_conn *conn, size_t size) {
  return sbi_outq_reserve(&conn->out, size);
}

void sbi_conn_flush(struct sbi_conn *conn) {
  if (!sbi_conn_open(conn) || conn->connecting || conn->write_dead) return;
  while (conn->out.bytes > 0) {
    struct iovec vectors[VECTORS];
    struct msghdr message = {.msg_iov = vectors,
                             .msg_iovlen = (size_t)sbi_outq_peek(&conn->out, vectors, VECTORS)};
    size_t offered = 0;
    for (size_t i = 0; i < (size_t)message.msg_iovlen; i++) offered += vectors[i].iov_len;
    ssize_t n = sendmsg(conn->watch.fd, &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      /* Anything else than a full socket: the reader will meet the end, after what the peer still
       * had to say (a refusal, for instance). */
      if (errno != EAGAIN && errno != EWOULDBLOCK) conn->write_dead = true;
      break;
    }
    sbi_outq_written(&conn->out, (size_t)n);
    conn->last_write = conn->hub->loop->now;
    if ((size_t)n < offered) break;
  }
  if (conn->finishing && conn->out.bytes == 0) {
    shutdown(conn->watch.fd, SHUT_WR);
    conn->write_dead = true;
  }
  watch(conn);
}

bool sbi_conn_blocked(const struct sbi_conn *conn) {
  return (conn->watch.want & SBI_WRITE) != 0;
}

/* ---- readiness ------------------------------------------------------------- */

static void finish_connect(struct sbi_conn *conn) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(conn->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  conn->connecting = false;
  conn->last_read = conn->hub->loop->now;
  if (error != 0)
    sbi_conn_close(conn);
  else
    watch(conn);
  conn->hub->ops->opened(conn, error);
}

static void ready(struct sbi_watch *w, unsigned events) {
  struct sbi_conn *conn = (struct sbi_conn *)w; /* its first member */
  if (conn->connecting) {
    finish_connect(conn);
    return;
  }
  if (events & SBI_WRITE) sbi_conn_flush(conn);
  if (!sbi_conn_open(conn)) return;
  if (conn->paused) {
    /* Only writing was wanted, and the peer is gone: no one will take what is queued. */
    if (events & SBI_HANGUP) {
      conn->write_dead = true;
      watch(conn);
    }
    return;
  }
  if (events & (SBI_READ | SBI_HANGUP)) read_some(conn);
}
