/* A bare peer: a TCP socket and frames put together by hand, so that the code under test is not
 * measured with itself. Sockets do not block; waits have deadlines. */
#ifndef RAW_H
#define RAW_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "vector.h"

struct raw_addr {
  uint8_t unit, client, type;
};

struct raw_frame {
  int cmdtype, cmd;
  struct raw_addr src, dst;
  int32_t packet_size, size;   /* of the frame, of its data */
  const uint8_t *bytes, *data; /* valid until the next frame is asked for */
};

struct raw {
  int fd;
  uint8_t *bytes; /* read and not yet taken */
  size_t begin, end, room;
  bool ended; /* the other end closed or reset */
};

static inline void raw_le32(uint8_t *p, uint32_t value) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static inline uint32_t raw_get32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline int64_t raw_get64(const uint8_t *p) {
  return (int64_t)((uint64_t)raw_get32(p) | (uint64_t)raw_get32(p + 4) << 32);
}

/* ---- sockets --------------------------------------------------------------- */

static inline void raw_options(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) >= 0);
}

static inline int raw_bind(int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)*port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(fd >= 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  REQUIRE_INT(bind(fd, (struct sockaddr *)&address, size), 0);
  REQUIRE_INT(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

/* A port that refuses connections, and that nobody else can get before the descriptor is closed. */
static inline int raw_refuse(int *port) {
  *port = 0;
  return raw_bind(port);
}

/* Port 0 picks one; one that is refused may be given. */
static inline int raw_listen(int *port) {
  int fd = raw_bind(port);
  REQUIRE_INT(listen(fd, 100), 0);
  REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) >= 0);
  return fd;
}

/* False: nobody has connected yet. */
static inline bool raw_accept(struct raw *raw, int listener) {
  int fd = accept(listener, NULL, NULL);
  REQUIRE(fd >= 0 || errno == EAGAIN || errno == EINTR);
  if (fd < 0) return false;
  *raw = (struct raw){.fd = fd};
  raw_options(fd);
  return true;
}

/* `buffer`: how much the system may receive before anyone reads, 0 = its default. */
static inline void raw_open_with(struct raw *raw, int port, int buffer) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  *raw = (struct raw){.fd = socket(AF_INET, SOCK_STREAM, 0)};
  REQUIRE(raw->fd >= 0);
  if (buffer > 0) setsockopt(raw->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  REQUIRE_INT(connect(raw->fd, (struct sockaddr *)&address, sizeof address), 0);
  raw_options(raw->fd);
}

static inline void raw_open(struct raw *raw, int port) {
  raw_open_with(raw, port, 0);
}

static inline void raw_close(struct raw *raw) {
  if (raw->fd >= 0) close(raw->fd);
  free(raw->bytes);
  *raw = (struct raw){.fd = -1, .ended = true};
}

/* ---- writing --------------------------------------------------------------- */

/* As many bytes as the socket takes; returns how many. */
static inline size_t raw_try(struct raw *raw, const void *bytes, size_t size) {
  ssize_t n = send(raw->fd, bytes, size, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) raw->ended = true;
  return n > 0 ? (size_t)n : 0;
}

/* All of it. The other end must be reading by itself if it is much. */
static inline void raw_send(struct raw *raw, const void *bytes, size_t size) {
  size_t done = 0;
  UNTIL(done == size || raw->ended, {
    struct pollfd polled = {.fd = raw->fd, .events = POLLOUT};
    poll(&polled, 1, 100);
    done += raw_try(raw, (const uint8_t *)bytes + done, size - done);
  });
}

/* Put a frame together at `out`, which has room for it; returns its size (NET.md 1.1). */
static inline size_t raw_encode(uint8_t *out, int cmdtype, int cmd, struct raw_addr src,
                                struct raw_addr dst, const void *data, size_t size) {
  size_t padding = size % 4;
  const uint8_t head[12] = {0x15,     0x5B,       (uint8_t)cmd, (uint8_t)cmdtype, src.type,
                            src.unit, src.client, dst.type,     dst.unit,         dst.client};
  memcpy(out, head, sizeof head);
  raw_le32(out + 12, (uint32_t)(20 + size + padding));
  raw_le32(out + 16, (uint32_t)size);
  if (size > 0) memcpy(out + 20, data, size);
  memset(out + 20 + size, 0, padding);
  return 20 + size + padding;
}

static inline void raw_put(struct raw *raw, int cmdtype, int cmd, struct raw_addr src,
                           struct raw_addr dst, const void *data, size_t size) {
  uint8_t *frame = malloc(size + 24);
  REQUIRE(frame != NULL);
  raw_send(raw, frame, raw_encode(frame, cmdtype, cmd, src, dst, data, size));
  free(frame);
}

static inline void raw_put_vector(struct raw *raw, const char *name) {
  const struct vector *v = vector(name);
  raw_send(raw, v->bytes, v->size);
}

/* ---- reading --------------------------------------------------------------- */

/* Read what is there, after waiting for it for so long; false if nothing came. */
static inline bool raw_read(struct raw *raw, int ms) {
  struct pollfd polled = {.fd = raw->fd, .events = POLLIN};
  if (raw->ended || (ms > 0 && poll(&polled, 1, ms) <= 0)) return false;
  if (raw->begin == raw->end || raw->begin > raw->room / 2) {
    if (raw->begin < raw->end) memmove(raw->bytes, raw->bytes + raw->begin, raw->end - raw->begin);
    raw->end -= raw->begin;
    raw->begin = 0;
  }
  if (raw->room - raw->end < 65536) {
    raw->room = raw->room == 0 ? 1 << 17 : raw->room * 2;
    raw->bytes = realloc(raw->bytes, raw->room);
    if (raw->bytes == NULL) abort();
  }
  ssize_t n = recv(raw->fd, raw->bytes + raw->end, raw->room - raw->end, 0);
  if (n > 0) raw->end += (size_t)n;
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) raw->ended = true;
  return n > 0;
}

/* The next frame among the bytes that were read; false if none is whole. */
static inline bool raw_next(struct raw *raw, struct raw_frame *frame) {
  if (raw->end - raw->begin < 20) return false;
  const uint8_t *p = raw->bytes + raw->begin;
  REQUIRE(p[0] == 0x15 && p[1] == 0x5B);
  *frame = (struct raw_frame){.cmd = p[2],
                              .cmdtype = p[3],
                              .src = {p[5], p[6], p[4]},
                              .dst = {p[8], p[9], p[7]},
                              .packet_size = (int32_t)raw_get32(p + 12),
                              .size = (int32_t)raw_get32(p + 16),
                              .bytes = p,
                              .data = p + 20};
  REQUIRE(frame->size >= 0 && frame->packet_size >= frame->size + 20);
  if ((size_t)frame->packet_size > raw->end - raw->begin) return false;
  raw->begin += (size_t)frame->packet_size;
  return true;
}

static inline bool raw_is_heartbeat(const struct raw_frame *frame) {
  return frame->cmdtype == 0 && (frame->cmd == 5 || frame->cmd == 6);
}

/* As raw_next, heartbeats and their acks left out. */
static inline bool raw_next_but_beats(struct raw *raw, struct raw_frame *frame) {
  do {
    if (!raw_next(raw, frame)) return false;
  } while (raw_is_heartbeat(frame));
  return true;
}

/* The next frame that is no heartbeat, from a peer that works by itself. */
static inline void raw_expect(struct raw *raw, struct raw_frame *frame) {
  while (!raw_next_but_beats(raw, frame)) {
    REQUIRE(!raw->ended);
    struct pollfd polled = {.fd = raw->fd, .events = POLLIN};
    REQUIRE(poll(&polled, 1, CHECK_DEADLINE_MS) == 1);
    raw_read(raw, 0);
  }
}

/* The other end closes; frames before that are passed over. */
static inline void raw_expect_end(struct raw *raw) {
  struct raw_frame frame;
  UNTIL(raw->ended, {
    raw_read(raw, 100);
    while (raw_next(raw, &frame)) continue;
  });
}

static inline void raw_check_addr(const char *file, int line, struct raw_addr got, int unit,
                                  int client, int type) {
  if (got.unit == unit && got.client == client && got.type == type) return;
  fprintf(stderr, "address %d.%d type %d, not %d.%d type %d\n", got.unit, got.client, got.type,
          unit, client, type);
  check_failed(file, line, false);
}
#define CHECK_ADDR(got, unit, client, type) \
  raw_check_addr(__FILE__, __LINE__, got, unit, client, type)

#endif
