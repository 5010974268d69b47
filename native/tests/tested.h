/* A connection that records what it hands out, and its peer, a plain socket. */
#ifndef TESTED_H
#define TESTED_H

#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "bytes.h"
#include "vector.h"

struct tested {
  struct sbi_conn conn; /* first */
  struct sbi_loop loop;
  struct sbi_hub hub;
  int peer;
  int frames;     /* handed out and taken */
  int held;       /* handed out and not taken */
  uint8_t *taken; /* all bytes of taken frames */
  size_t taken_size, taken_room;
  uint64_t chance; /* 0: never hold by chance */
  int hold_at;     /* refuse to take this frame, by number from 1, once; 0 none */
  int close_at;    /* close inside the handler of this frame; 0 none */
  bool opened, lost;
  bool may_grow;
  int asked_to_grow;
  int open_error, lost_error;
  int64_t lost_bad;
};

static inline enum sbi_took on_frame(struct sbi_conn *conn, const uint8_t *frame,
                                     const struct sbi_head *head) {
  struct tested *t = (struct tested *)conn;
  size_t size = (size_t)head->packet_size;
  if (t->hold_at == t->frames + 1 || (t->chance != 0 && check_random(&t->chance) % 3 == 0)) {
    t->hold_at = 0;
    t->held++;
    return SBI_HOLD;
  }
  t->frames++;
  while (t->taken_room < t->taken_size + size) {
    t->taken_room = t->taken_room == 0 ? 1 << 16 : t->taken_room * 2;
    t->taken = realloc(t->taken, t->taken_room);
    if (t->taken == NULL) abort();
  }
  memcpy(t->taken + t->taken_size, frame, size);
  t->taken_size += size;
  if (t->close_at == t->frames) sbi_conn_close(conn);
  return SBI_TOOK;
}

static inline void on_lost(struct sbi_conn *conn, int64_t bad, int error) {
  struct tested *t = (struct tested *)conn;
  CHECK(!t->lost);
  CHECK(!sbi_conn_open(conn));
  t->lost = true;
  t->lost_bad = bad;
  t->lost_error = error;
}

static inline void on_opened(struct sbi_conn *conn, int error) {
  struct tested *t = (struct tested *)conn;
  t->opened = true;
  t->open_error = error;
}

static inline bool on_grow(struct sbi_conn *conn) {
  struct tested *t = (struct tested *)conn;
  t->asked_to_grow++;
  if (!t->may_grow) sbi_conn_pause(conn);
  return t->may_grow;
}

static const struct sbi_conn_ops ops = {
    .opened = on_opened, .frame = on_frame, .lost = on_lost, .grow = on_grow};

static inline struct tested *tested_new(void) {
  struct tested *t = calloc(1, sizeof *t);
  REQUIRE(t != NULL);
  t->peer = -1;
  t->may_grow = true;
  REQUIRE_INT(sbi_loop_init(&t->loop), 0);
  REQUIRE_INT(sbi_hub_init(&t->hub, &t->loop, 64 << 20, &ops), 0);
  return t;
}

static inline struct tested *tested_pair(void) {
  struct tested *t = tested_new();
  int ends[2];
  REQUIRE_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  REQUIRE_INT(sbi_conn_adopt(&t->conn, &t->hub, ends[0]), 0);
  t->peer = ends[1];
  return t;
}

static inline int listen_on_loopback(int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(fd >= 0);
  REQUIRE_INT(bind(fd, (struct sockaddr *)&address, size), 0);
  REQUIRE_INT(listen(fd, 5), 0);
  REQUIRE_INT(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

static inline void step(struct tested *t, int timeout) {
  timeout = sbi_loop_prepare(&t->loop, timeout);
  sbi_loop_wait(&t->loop, timeout);
  sbi_loop_dispatch(&t->loop);
}

static inline int connect_to(struct tested *t, const char *ip, int port) {
  struct sbi_endpoint endpoint;
  return sbi_endpoint_set(&endpoint, ip, port) ? sbi_conn_connect(&t->conn, &t->hub, &endpoint)
                                               : -EINVAL;
}

static inline struct tested *tested_tcp(void) {
  struct tested *t = tested_new();
  int port, listener = listen_on_loopback(&port);
  REQUIRE_INT(connect_to(t, "127.0.0.1", port), 0);
  t->peer = accept(listener, NULL, NULL);
  REQUIRE(t->peer >= 0);
  close(listener);
  UNTIL(t->opened, step(t, 100));
  REQUIRE_INT(t->open_error, 0);
  return t;
}

static inline void tested_free(struct tested *t) {
  sbi_conn_close(&t->conn);
  sbi_conn_close(&t->conn);
  sbi_outq_clear(&t->conn.out);
  sbi_hub_close(&t->hub);
  sbi_loop_close(&t->loop);
  if (t->peer >= 0) close(t->peer);
  free(t->taken);
  free(t);
}

/* The peer writes it all; the connection reads meanwhile. */
static inline void feed(struct tested *t, const uint8_t *bytes, size_t size, size_t piece) {
  REQUIRE_INT(sbi_non_blocking(t->peer), 0);
  int64_t end = check_ms() + CHECK_DEADLINE_MS;
  for (size_t at = 0; at < size;) {
    size_t part = piece < size - at ? piece : size - at;
    ssize_t n = write(t->peer, bytes + at, part);
    if (n > 0) at += (size_t)n;
    REQUIRE(n >= 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    if (n < 0 && errno != EAGAIN) return;
    if (n < 0 && t->conn.paused) return; /* what it does not read, it cannot be fed */
    REQUIRE(check_ms() < end);
    step(t, 0);
  }
}

static inline uint8_t *all_vectors(size_t *size) {
  *size = 0;
  for (size_t i = 0; i < VECTORS; i++) *size += vectors[i].size;
  uint8_t *bytes = malloc(*size), *end = bytes;
  REQUIRE(bytes != NULL);
  for (size_t i = 0; i < VECTORS; i++) {
    memcpy(end, vectors[i].bytes, vectors[i].size);
    end += vectors[i].size;
  }
  return bytes;
}

/* A frame of `size` bytes, its data a pattern of `mark`. */
static inline uint8_t *large_frame(size_t size, uint8_t mark) {
  uint8_t *frame = malloc(size);
  REQUIRE(frame != NULL);
  for (size_t i = SBI_HEAD_SIZE; i < size; i++) frame[i] = (uint8_t)(i * 7 + mark);
  struct sbi_head head = {.cmd = mark,
                          .cmdtype = SBI_USER,
                          .packet_size = (int32_t)size,
                          .data_size = (int32_t)size - SBI_HEAD_SIZE};
  sbi_head_encode(frame, &head);
  return frame;
}

#endif
