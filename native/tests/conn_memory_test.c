/* conn: the memory of unfinished frames, and ends that leave the peer its last words. */
#include "tested.h"

/* However small the pieces of a frame are, and wherever they are cut, it comes whole. */
static void many_pieces(void) {
  static const size_t sizes[] = {21, 300, 70000, SBI_SCRATCH / 2, SBI_SCRATCH / 2 + 1, 400000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint8_t *frame = large_frame(sizes[i], 9);
    struct tested *t = tested_pair();
    for (size_t at = 0; at < sizes[i];) {
      size_t part = at < 50 ? 1 : 1 + at % 977;
      if (part > sizes[i] - at) part = sizes[i] - at;
      feed(t, frame + at, part, part);
      at += part;
      UNTIL(t->frames == 1 || t->conn.rest_size == at, step(t, 100));
      CHECK_INT(t->hub.held, t->conn.rest_room);
      CHECK(t->conn.rest_room <= 2 * at + SBI_SCRATCH);
    }
    CHECK_INT(t->frames, 1);
    CHECK_BYTES(t->taken, t->taken_size, frame, sizes[i]);
    CHECK_INT(t->hub.held, 0);
    tested_free(t);
    free(frame);
  }
}

/* What a large frame took is given back when a small one has begun behind it. */
static void large_frame_then_half(void) {
  size_t size = 6 << 20;
  uint8_t *stream = large_frame(size, 5);
  stream = realloc(stream, size + 100);
  REQUIRE(stream != NULL);
  memcpy(stream + size, vector("notify")->bytes, 100);
  struct tested *t = tested_pair();
  feed(t, stream, size + 100, 1 << 20);
  UNTIL(t->frames == 1 && t->conn.rest_size == 100, step(t, 100));
  CHECK(t->conn.rest_room <= SBI_SCRATCH);
  CHECK_INT(t->hub.held, t->conn.rest_room);
  feed(t, vector("notify")->bytes + 100, vector("notify")->size - 100, 1000);
  UNTIL(t->frames == 2, step(t, 100));
  CHECK_BYTES(t->taken + size, t->taken_size - size, vector("notify")->bytes,
              vector("notify")->size);
  CHECK_INT(t->hub.held, 0);
  tested_free(t);
  free(stream);
}

/* Without the owner's leave an unfinished frame gets no more room; nothing is lost meanwhile. */
static void no_leave_to_grow(void) {
  size_t size = 3 << 20;
  uint8_t *frame = large_frame(size, 5);
  struct tested *t = tested_pair();
  t->may_grow = false;
  feed(t, frame, size, 100000);
  UNTIL(t->asked_to_grow == 1, step(t, 100));
  CHECK(t->conn.paused && t->conn.rest_room <= SBI_SCRATCH);
  size_t arrived = t->conn.rest_size;
  for (int i = 0; i < 3; i++) step(t, 0);
  CHECK_INT(t->conn.rest_size, arrived);
  CHECK_INT(t->asked_to_grow, 1);
  tested_free(t);

  t = tested_pair();
  t->may_grow = false;
  REQUIRE_INT(sbi_non_blocking(t->peer), 0);
  size_t at = 0;
  UNTIL(t->frames == 1, {
    ssize_t n = at < size ? write(t->peer, frame + at, size - at) : 0;
    if (n > 0) at += (size_t)n;
    step(t, 0);
    if (!t->conn.paused) continue;
    t->may_grow = !t->may_grow; /* every other time it asks in vain */
    sbi_conn_resume(&t->conn);
  });
  CHECK(t->asked_to_grow > 4);
  CHECK_BYTES(t->taken, t->taken_size, frame, size);
  tested_free(t);
  free(frame);
}

/* ---- the end --------------------------------------------------------------- */

/* All bytes until the end of stream; fails when the connection is reset. */
static size_t read_to_the_end(int fd, uint8_t *bytes, size_t room) {
  size_t size = 0;
  ssize_t n;
  REQUIRE_INT(fcntl(fd, F_SETFL, 0), 0);
  while ((n = recv(fd, bytes + size, room - size, 0)) > 0) size += (size_t)n;
  CHECK_INT(n, 0);
  return size;
}

static void queue(struct tested *t, const struct vector *v) {
  uint8_t *place = sbi_conn_reserve(&t->conn, v->size);
  REQUIRE(place != NULL);
  memcpy(place, v->bytes, v->size);
}

/* It is closed though the peer's bytes were not read: what was queued arrives all the same. */
static void ends_with_unread_input(void) {
  static uint8_t bytes[10000], noise[100000];
  const struct vector *v = vector("registration_ack_refused");
  for (int tcp = 0; tcp < 2; tcp++) {
    struct tested *t = tcp ? tested_tcp() : tested_pair();
    sbi_conn_pause(&t->conn);
    REQUIRE_INT(write(t->peer, noise, sizeof noise), (ssize_t)sizeof noise);
    queue(t, v);
    sbi_conn_end(&t->conn);
    CHECK(!sbi_conn_open(&t->conn));
    size_t size = read_to_the_end(t->peer, bytes, sizeof bytes);
    CHECK_BYTES(bytes, size, v->bytes, v->size);
    sbi_conn_end(&t->conn); /* again: nothing */
    tested_free(t);
  }
}

/* More is queued than the socket takes: all of it goes, then the end, and the peer is still heard. */
static void finishes(void) {
  size_t large = 8 << 20, got = 0;
  const struct vector *v = vector("notify");
  uint8_t *bytes = malloc(large + 1);
  for (int tcp = 0; tcp < 2; tcp++) {
    struct tested *t = tcp ? tested_tcp() : tested_pair();
    uint8_t *place = sbi_conn_reserve(&t->conn, large);
    REQUIRE(place != NULL && bytes != NULL);
    memset(place, 7, large);
    sbi_conn_finish(&t->conn);
    CHECK(t->conn.out.bytes > 0 && !t->conn.write_dead);
    got = 0;
    bool ended = false;
    UNTIL(ended, {
      ssize_t n = recv(t->peer, bytes, large, MSG_DONTWAIT);
      if (n > 0) got += (size_t)n;
      ended = n == 0;
      step(t, 0);
    });
    CHECK_INT(got, large);
    feed(t, v->bytes, v->size, v->size);
    UNTIL(t->frames == 1, step(t, 100));
    CHECK(!t->lost);
    shutdown(t->peer, SHUT_WR);
    UNTIL(t->lost, step(t, 100));
    CHECK_INT(t->lost_error, 0);
    tested_free(t);
  }
  free(bytes);
}

/* No moment in which a child could inherit it, or in which it blocks. */
static void sockets(void) {
  static const int domains[] = {AF_INET, AF_UNIX};
  for (int i = 0; i < 2; i++) {
    int fd = sbi_socket(domains[i]);
    REQUIRE(fd >= 0);
    CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
  }
  CHECK_INT(sbi_socket(-1), -EAFNOSUPPORT);
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  int port, listener = listen_on_loopback(&port), got;
  struct tested *t = tested_new();
  REQUIRE_INT(connect_to(t, "127.0.0.1", port), 0);
  got = sbi_accept(listener, (struct sockaddr *)&from, &size);
  REQUIRE(got >= 0);
#ifdef SOCK_CLOEXEC
  CHECK_INT(fcntl(got, F_GETFD), FD_CLOEXEC);
  CHECK(fcntl(got, F_GETFL) & O_NONBLOCK);
#endif
  CHECK_INT(from.sin_family, AF_INET);
  close(got);
  REQUIRE_INT(sbi_non_blocking(listener), 0);
  CHECK_INT(sbi_accept(listener, (struct sockaddr *)&from, &size), -EAGAIN);
  close(listener);
  tested_free(t);
}

int main(void) {
  return check_run((struct check_case[]){
      {"many_pieces", many_pieces, false},
      {"large_frame_then_half", large_frame_then_half, false},
      {"no_leave_to_grow", no_leave_to_grow, false},
      {"ends_with_unread_input", ends_with_unread_input, false},
      {"finishes", finishes, false},
      {"sockets", sockets, false},
      {0},
  });
}
