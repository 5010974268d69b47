/* conn: reading in any cut, holding, bad streams, writing to slow and dead peers. */
#include "tested.h"

/* ---- reading --------------------------------------------------------------- */

static void any_cut(void) {
  static const size_t pieces[] = {1, 2, 3, 19, 20, 21, 1000, 7000, 1 << 20};
  size_t size;
  uint8_t *bytes = all_vectors(&size);
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    struct tested *t = tested_pair();
    feed(t, bytes, size, pieces[i]);
    UNTIL(t->frames == VECTORS, step(t, 100));
    CHECK_BYTES(t->taken, t->taken_size, bytes, size);
    CHECK_INT(t->conn.rest_size, 0);
    CHECK(t->conn.rest == NULL); /* an idle connection keeps no memory */
    CHECK(!t->lost);
    tested_free(t);
  }
  free(bytes);
}

/* Memory follows the bytes that arrive, not what the header promises. */
static void large_frame_grows_slowly(void) {
  size_t size = 6 << 20;
  uint8_t *frame = large_frame(size, 5), *other = large_frame(300 * 1024, 6);
  struct tested *t = tested_pair();
  feed(t, frame, 100, 100);
  UNTIL(t->conn.rest_size == 100, step(t, 100));
  CHECK(t->conn.rest_room <= SBI_SCRATCH);
  size_t done = 100;
  while (done < size) {
    size_t part = size - done < 200000 ? size - done : 200000;
    feed(t, frame + done, part, part);
    done += part;
    UNTIL(t->frames == 1 || t->conn.rest_size == done, step(t, 100));
    CHECK(t->conn.rest_room <= 2 * done + SBI_SCRATCH);
  }
  CHECK_INT(t->frames, 1);
  feed(t, other, 300 * 1024, 50000);
  feed(t, vector("ping")->bytes, vector("ping")->size, 7);
  UNTIL(t->frames == 3, step(t, 100));
  CHECK_BYTES(t->taken, size, frame, size);
  CHECK_BYTES(t->taken + size, 300 * 1024, other, 300 * 1024);
  CHECK(t->conn.rest == NULL);
  tested_free(t);
  free(frame);
  free(other);
}

/* Frames around the size of the shared buffer, each followed by small ones. */
static void sizes_around_the_buffer(void) {
  struct tested *t = tested_pair();
  uint8_t *expected = malloc(16 << 20);
  size_t total = 0;
  int frames = 0;
  for (size_t edge = SBI_SCRATCH / 2; edge <= SBI_SCRATCH; edge *= 2) {
    for (size_t size = edge - 2; size <= edge + 2; size++) {
      uint8_t *frame = large_frame(size, (uint8_t)size);
      memcpy(expected + total, frame, size);
      total += size;
      free(frame);
      memcpy(expected + total, vector("notify")->bytes, vector("notify")->size);
      total += vector("notify")->size;
      frames += 2;
    }
  }
  feed(t, expected, total, 100003);
  UNTIL(t->frames == frames, step(t, 100));
  CHECK_BYTES(t->taken, t->taken_size, expected, total);
  tested_free(t);
  free(expected);
}

static void end_of_stream(void) {
  struct tested *t = tested_pair();
  const struct vector *v = vector("notify");
  REQUIRE_INT(write(t->peer, v->bytes, v->size), (ssize_t)v->size);
  REQUIRE_INT(write(t->peer, v->bytes, 50), 50); /* half a frame */
  close(t->peer);
  t->peer = -1;
  UNTIL(t->lost, step(t, 100));
  CHECK_INT(t->frames, 1);
  CHECK_INT(t->lost_bad, 0);
  CHECK_INT(t->lost_error, 0);
  tested_free(t);
}

static void bad_streams(void) {
  static const struct {
    size_t offset;
    int32_t value;
    int64_t bad;
  } table[] = {
      {0, 0x5B16, SBI_BAD_MAGIC},       {12, 0, SBI_BAD_PACKET_SIZE},
      {12, 19, SBI_BAD_PACKET_SIZE},    {12, -1, SBI_BAD_PACKET_SIZE},
      {12, 70 << 20, SBI_BAD_TOO_BIG},  {12, INT32_MAX, SBI_BAD_TOO_BIG},
      {16, -1, SBI_BAD_DATA_SIZE},      {16, INT32_MAX, SBI_BAD_DATA_SIZE},
      {16, 1 << 10, SBI_BAD_DATA_SIZE},
  };
  const struct vector *v = vector("notify");
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    for (size_t piece = 1; piece < 1000; piece += 300) {
      uint8_t bytes[1000];
      memcpy(bytes, v->bytes, v->size);
      memcpy(bytes + v->size, v->bytes, v->size);
      memcpy(bytes + 2 * v->size, v->bytes, v->size);
      if (table[i].offset == 0)
        sbi_put16(bytes + v->size, (uint16_t)table[i].value);
      else
        sbi_put32(bytes + v->size + table[i].offset, (uint32_t)table[i].value);
      struct tested *t = tested_pair();
      feed(t, bytes, 3 * v->size, piece);
      UNTIL(t->lost, step(t, 100));
      CHECK_INT(t->lost_bad, table[i].bad);
      CHECK_INT(t->frames, 1); /* the good one before it; nothing after it */
      tested_free(t);
    }
  }
}

static void closed_in_its_handler(void) {
  const struct vector *v = vector("notify");
  for (int large = 0; large < 2; large++) {
    struct tested *t = tested_pair();
    t->close_at = 2;
    uint8_t *frame = large_frame(400000, 1);
    feed(t, v->bytes, v->size, v->size);
    if (large) feed(t, frame, 400000, 400000); /* handed out from the connection's own memory */
    for (int i = 0; i < 5; i++)
      if (sbi_conn_open(&t->conn)) feed(t, v->bytes, v->size, v->size);
    UNTIL(!sbi_conn_open(&t->conn), step(t, 100));
    CHECK_INT(t->frames, 2);
    CHECK(!t->lost); /* closing is silent */
    tested_free(t);
    free(frame);
  }
}

/* ---- holding --------------------------------------------------------------- */

static void hold_and_resume(void) {
  size_t size;
  uint8_t *bytes = all_vectors(&size);
  for (int at = 1; at <= VECTORS; at++) {
    struct tested *t = tested_pair();
    t->hold_at = at;
    size_t first = size / 2;
    feed(t, bytes, first, first);
    UNTIL(t->held == 1 || t->frames > 0, step(t, 100));
    if (t->held == 0) feed(t, bytes + first, size - first, size), first = size;
    UNTIL(t->held == 1, step(t, 100));
    CHECK_INT(t->frames, at - 1);
    for (int i = 0; i < 3; i++) step(t, 0);
    CHECK_INT(t->frames, at - 1); /* nothing goes on by itself */
    CHECK_INT(t->held, 1);
    sbi_conn_resume(&t->conn);
    if (first < size) feed(t, bytes + first, size - first, size);
    UNTIL(t->frames == VECTORS, step(t, 100));
    CHECK_INT(t->held, 1);
    CHECK_BYTES(t->taken, t->taken_size, bytes, size);
    tested_free(t);
  }
  free(bytes);
}

/* Held again and again, by chance, with small and large frames in any cut: all of it comes once
 * and in order. */
static void holding_by_chance(void) {
  size_t small, total = 0;
  uint8_t *bytes = all_vectors(&small);
  uint8_t *stream = malloc(8 << 20);
  uint64_t chance = 99;
  int frames = 0;
  while (total < 6 << 20) {
    memcpy(stream + total, bytes, small);
    total += small;
    size_t size = 20 + check_random(&chance) % 500000;
    uint8_t *frame = large_frame(size, (uint8_t)frames);
    memcpy(stream + total, frame, size);
    total += size;
    free(frame);
    frames += VECTORS + 1;
  }
  struct tested *t = tested_pair();
  t->chance = 12345;
  REQUIRE_INT(sbi_non_blocking(t->peer), 0);
  size_t at = 0;
  UNTIL(t->frames == frames, {
    size_t part = 1 + check_random(&chance) % 300000;
    if (part > total - at) part = total - at;
    ssize_t n = part > 0 ? write(t->peer, stream + at, part) : 0;
    if (n > 0) at += (size_t)n;
    step(t, 0);
    if (t->conn.paused && check_random(&chance) % 2) sbi_conn_resume(&t->conn);
  });
  CHECK(t->held > 10);
  CHECK_BYTES(t->taken, t->taken_size, stream, total);
  tested_free(t);
  free(stream);
  free(bytes);
}

/* The peer goes while the connection is held: no busy loop; what had arrived still comes. */
static void hang_up_while_held(void) {
  const struct vector *v = vector("notify");
  for (int tcp = 0; tcp < 2; tcp++) {
    struct tested *t = tcp ? tested_tcp() : tested_pair();
    t->hold_at = 1;
    for (int i = 0; i < 3; i++) feed(t, v->bytes, v->size, v->size);
    UNTIL(t->held == 1, step(t, 100));
    uint8_t *place = sbi_conn_reserve(&t->conn, 8 << 20); /* more than the socket takes */
    memset(place, 0, 8 << 20);
    sbi_conn_flush(&t->conn);
    CHECK(t->conn.out.bytes > 0);
    close(t->peer);
    t->peer = -1;
    UNTIL(t->conn.write_dead, step(t, 100));
    sbi_loop_prepare(&t->loop, 0);
    sbi_loop_wait(&t->loop, 0);
    CHECK_INT(t->loop.ready_count, 0);
    CHECK(!t->lost);
    sbi_conn_resume(&t->conn);
    UNTIL(t->lost, step(t, 100));
    CHECK_INT(t->frames, 3);
    tested_free(t);
  }
}

/* ---- writing --------------------------------------------------------------- */

static size_t read_peer(const struct tested *t, uint8_t *bytes, size_t room) {
  ssize_t n = recv(t->peer, bytes, room, MSG_DONTWAIT);
  return n > 0 ? (size_t)n : 0;
}

static void partial_writes(void) {
  size_t total = 0, got = 0;
  uint8_t *sent = malloc(12 << 20), *received = malloc(12 << 20);
  struct tested *t = tested_pair();
  uint64_t chance = 3;
  while (total < 10 << 20) {
    size_t size = 20 + check_random(&chance) % (check_random(&chance) % 40 ? 300 : 400000);
    uint8_t *place = sbi_conn_reserve(&t->conn, size);
    uint8_t *frame = large_frame(size, (uint8_t)total);
    memcpy(place, frame, size);
    memcpy(sent + total, frame, size);
    free(frame);
    total += size;
  }
  CHECK_INT(t->conn.out.bytes, total);
  sbi_conn_flush(&t->conn);
  CHECK(t->conn.out.bytes < total && t->conn.out.bytes > 0);
  UNTIL(got == total, {
    got += read_peer(t, received + got, 1 + check_random(&chance) % 100000);
    step(t, 0);
  });
  CHECK_BYTES(received, got, sent, total);
  CHECK_INT(t->conn.out.bytes, 0);
  CHECK_INT(t->conn.out.frames, 0);
  for (int i = 0; i < 3; i++) step(t, 0);
  CHECK_INT(t->conn.watch.want, SBI_READ); /* no interest in room that it does not need */
  tested_free(t);
  free(sent);
  free(received);
}

/* The peer says its last word and closes while more is queued for it: the word arrives. */
static void last_word_is_read(void) {
  const struct vector *v = vector("registration_ack_refused");
  for (int tcp = 0; tcp < 2; tcp++) {
    struct tested *t = tcp ? tested_tcp() : tested_pair();
    uint8_t *place = sbi_conn_reserve(&t->conn, 8 << 20);
    memset(place, 0, 8 << 20);
    sbi_conn_flush(&t->conn);
    REQUIRE(t->conn.out.bytes > 0);
    REQUIRE_INT(write(t->peer, v->bytes, v->size), (ssize_t)v->size);
    close(t->peer); /* with unread bytes: TCP resets */
    t->peer = -1;
    UNTIL(sbi_outq_peek(&t->conn.out, &(struct iovec){0}, 1) == 0 || t->conn.write_dead,
          sbi_conn_flush(&t->conn));
    CHECK(t->conn.write_dead);
    UNTIL(t->lost, step(t, 100));
    CHECK_INT(t->frames, 1);
    CHECK_BYTES(t->taken, t->taken_size, v->bytes, v->size);
    tested_free(t);
  }
}

static void nothing_is_written_by_itself(void) {
  struct tested *t = tested_pair();
  const struct vector *v = vector("ping");
  uint8_t bytes[64];
  memcpy(sbi_conn_reserve(&t->conn, v->size), v->bytes, v->size);
  for (int i = 0; i < 3; i++) step(t, 0);
  CHECK_INT(read_peer(t, bytes, sizeof bytes), 0); /* before flush nothing leaves */
  sbi_conn_flush(&t->conn);
  CHECK_INT(read_peer(t, bytes, sizeof bytes), v->size);
  CHECK_BYTES(bytes, v->size, v->bytes, v->size);
  sbi_conn_close(&t->conn);
  sbi_conn_flush(&t->conn); /* closed: nothing */
  tested_free(t);
}

/* ---- connecting ------------------------------------------------------------ */

static void connecting(void) {
  int port, listener = listen_on_loopback(&port);
  close(listener);
  struct tested *t = tested_new();
  int result = connect_to(t, "127.0.0.1", port);
  if (result == 0) {
    UNTIL(t->opened, step(t, 100));
    result = -t->open_error;
  }
  CHECK_INT(result, -ECONNREFUSED);
  CHECK(!sbi_conn_open(&t->conn));
  CHECK_INT(connect_to(t, "localhost", port), -EINVAL);
  CHECK_INT(connect_to(t, "256.1.1.1", port), -EINVAL);
  CHECK(!sbi_conn_open(&t->conn));
  tested_free(t);
  struct sbi_endpoint endpoint;
  CHECK(sbi_endpoint_set(&endpoint, "127.0.0.1", 1));
  CHECK(!sbi_endpoint_set(&endpoint, "::1", 1) && !sbi_endpoint_set(&endpoint, "", 1) &&
        !sbi_endpoint_set(&endpoint, "1.2.3", 1));
  char path[sizeof endpoint.name + 1];
  memset(path, '/', sizeof path);
  path[sizeof path - 2] = 0; /* the longest */
  CHECK(sbi_endpoint_set(&endpoint, path, SBI_LOCAL));
  path[sizeof path - 2] = '/';
  path[sizeof path - 1] = 0;
  CHECK(!sbi_endpoint_set(&endpoint, path, SBI_LOCAL));
  t = tested_tcp();
  CHECK_INT(fcntl(t->conn.watch.fd, F_GETFD), FD_CLOEXEC);
  tested_free(t);
}

int main(void) {
  return check_run((struct check_case[]){
      {"any_cut", any_cut, false},
      {"large_frame_grows_slowly", large_frame_grows_slowly, false},
      {"sizes_around_the_buffer", sizes_around_the_buffer, false},
      {"end_of_stream", end_of_stream, false},
      {"bad_streams", bad_streams, false},
      {"closed_in_its_handler", closed_in_its_handler, false},
      {"hold_and_resume", hold_and_resume, false},
      {"holding_by_chance", holding_by_chance, false},
      {"hang_up_while_held", hang_up_while_held, false},
      {"partial_writes", partial_writes, false},
      {"last_word_is_read", last_word_is_read, false},
      {"nothing_is_written_by_itself", nothing_is_written_by_itself, false},
      {"connecting", connecting, false},
      {0},
  });
}
