/* outq: what was queued comes out, whole and in order, wherever a link dies. */
#include "outq.h"

#include "check.h"
#include "wire.h"

/* A frame with `n` bytes of data, all of value `mark`. */
static void put(struct sbi_outq *queue, size_t n, uint8_t mark) {
  uint8_t *place = sbi_outq_reserve(queue, sbi_frame_size(n));
  REQUIRE(place != NULL);
  struct sbi_addr nobody = {0, 0, 0};
  sbi_frame_begin(place, mark, SBI_USER, nobody, nobody, n);
  memset(place + SBI_HEAD_SIZE, mark, n);
}

/* Take everything out, `step` bytes at a time, and check that whole frames with the marks
 * first, first + 1, … came. Returns how many. */
static int take_all(struct sbi_outq *queue, size_t step, int first) {
  static uint8_t bytes[1 << 20];
  size_t size = 0, left = queue->bytes;
  struct iovec vectors[3];
  int count;
  while ((count = sbi_outq_peek(queue, vectors, 3)) > 0) {
    size_t taken = 0;
    for (int i = 0; i < count && taken < step; i++) {
      size_t part = vectors[i].iov_len < step - taken ? vectors[i].iov_len : step - taken;
      REQUIRE(size + part <= sizeof bytes);
      memcpy(bytes + size, vectors[i].iov_base, part);
      size += part;
      taken += part;
    }
    sbi_outq_written(queue, taken);
    CHECK_INT(queue->bytes, left - size);
  }
  CHECK_INT(size, left);
  CHECK_INT(queue->bytes, 0);
  CHECK_INT(queue->frames, 0);
  CHECK(queue->first == NULL && queue->last == NULL);
  int frames = 0;
  for (size_t at = 0; at < size; frames++) {
    struct sbi_head head;
    int64_t frame = sbi_frame_check(bytes + at, size - at, UINT32_MAX, &head);
    REQUIRE(frame > 0);
    CHECK_INT(head.cmd, (uint8_t)(first + frames));
    for (int i = 0; i < head.data_size; i++)
      REQUIRE_INT(bytes[at + SBI_HEAD_SIZE + (size_t)i], head.cmd);
    at += (size_t)frame;
  }
  return frames;
}

static void first_in_first_out(void) {
  static const size_t steps[] = {1, 7, 20, 1000, 32768, 1 << 20};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct sbi_outq queue = {0};
    for (int n = 0; n < 60; n++) put(&queue, (size_t)n * 31 % 1800, (uint8_t)n);
    put(&queue, 100000, 60); /* larger than a chunk */
    put(&queue, 0, 61);
    CHECK_INT(queue.frames, 62);
    CHECK_INT(take_all(&queue, steps[i], 0), 62);
  }
}

static void empty(void) {
  struct sbi_outq queue = {0}, other = {0};
  struct iovec vector;
  CHECK_INT(sbi_outq_peek(&queue, &vector, 1), 0);
  sbi_outq_written(&queue, 0);
  sbi_outq_rewind(&queue);
  sbi_outq_move(&queue, &other);
  sbi_outq_clear(&queue);
  CHECK(queue.first == NULL && queue.last == NULL);
}

/* The link dies after `sent` bytes, for every number of bytes: the frame that was begun is
 * forgotten, the next link starts with a whole one, none is lost or doubled. */
static void rewind_everywhere(void) {
  enum { FRAMES = 12 };
  static const size_t sizes[FRAMES] = {0, 1, 5, 40, 0, 3, 700, 2, 0, 33000, 4, 9};
  size_t ends[FRAMES], total = 0;
  for (int i = 0; i < FRAMES; i++) ends[i] = total += sbi_frame_size(sizes[i]);
  for (size_t sent = 0; sent <= total; sent += sent < 900 || sent > total - 900 ? 1 : 97) {
    struct sbi_outq queue = {0};
    for (int i = 0; i < FRAMES; i++) put(&queue, sizes[i], (uint8_t)i);
    sbi_outq_written(&queue, sent);
    int first = 0; /* the first frame of which nothing was written */
    while (first < FRAMES && ends[first] < sent) first++;
    bool whole = sent == 0 || (first < FRAMES && ends[first] == sent);
    if (!whole || sent == ends[first]) first++;
    if (sent == 0) first = 0;
    sbi_outq_rewind(&queue);
    size_t done = first == 0 ? 0 : ends[first - 1];
    CHECK_INT(queue.bytes, total - done);
    CHECK(queue.frames >= (size_t)(FRAMES - first));
    sbi_outq_rewind(&queue); /* again: nothing was begun */
    CHECK_INT(queue.bytes, total - done);
    REQUIRE_INT(take_all(&queue, 4096, first), FRAMES - first);
  }
}

static void moving(void) {
  struct sbi_outq to = {0}, from = {0};
  put(&from, 10, 0);
  put(&from, 20, 1);
  sbi_outq_move(&to, &from); /* into an empty one */
  CHECK(from.first == NULL && from.last == NULL && from.bytes == 0 && from.frames == 0);
  put(&to, 30, 2);
  put(&from, 40000, 3);
  put(&from, 0, 4);
  sbi_outq_move(&to, &from);
  sbi_outq_move(&to, &from); /* an empty one into it */
  put(&to, 1, 5);
  put(&from, 0, 9); /* the emptied one can be used again */
  CHECK_INT(to.frames, 6);
  CHECK_INT(take_all(&to, 100, 0), 6);
  CHECK_INT(take_all(&from, 100, 9), 1);
}

/* Half a frame was written, the rest moves behind what another link is writing. */
static void moving_after_rewind(void) {
  struct sbi_outq to = {0}, from = {0};
  for (uint8_t i = 0; i < 4; i++) put(&to, 50, i);
  for (uint8_t i = 3; i < 8; i++) put(&from, 50, i);
  sbi_outq_written(&to, 30);
  sbi_outq_written(&from, 30);
  sbi_outq_rewind(&from);
  sbi_outq_move(&to, &from);
  sbi_outq_rewind(&to);
  CHECK_INT(take_all(&to, 11, 1), 7);
}

static void clearing(void) {
  struct sbi_outq queue = {0};
  for (int i = 0; i < 100; i++) put(&queue, 1000, 1);
  sbi_outq_written(&queue, 40000);
  sbi_outq_clear(&queue);
  CHECK_INT(queue.bytes, 0);
  CHECK_INT(queue.frames, 0);
  CHECK(queue.first == NULL && queue.last == NULL);
  put(&queue, 3, 7);
  CHECK_INT(take_all(&queue, 5, 7), 1);
}

/* ---- shared bodies --------------------------------------------------------- */

/* As put, with the data behind the header in a block that other queues have too. */
static struct sbi_shared *body_of(size_t n, uint8_t mark, size_t *held) {
  uint8_t *bytes = malloc(n);
  REQUIRE(bytes != NULL && sbi_frame_size(n) == SBI_HEAD_SIZE + n);
  memset(bytes, mark, n);
  struct sbi_shared *body = sbi_shared_new(bytes, n, held);
  REQUIRE(body != NULL);
  free(bytes);
  return body;
}

static void put_shared(struct sbi_outq *queue, struct sbi_shared *body, uint8_t mark) {
  uint8_t frame[SBI_HEAD_SIZE], *place = sbi_outq_reserve_shared(queue, SBI_HEAD_SIZE, body);
  struct sbi_addr nobody = {0, 0, 0};
  REQUIRE(place != NULL);
  sbi_frame_begin(frame, mark, SBI_USER, nobody, nobody, body->size);
  memcpy(place, frame, sizeof frame);
}

/* Several queues have some frames of their own and some in common, and are emptied at different
 * speeds; the memory is counted once, and given back when the last one has written it. */
static void shared_bodies(void) {
  enum { QUEUES = 5, ROUNDS = 12, BODY = 30000 };
  static const size_t steps[QUEUES] = {1, 19, 21, 40000, 1 << 20};
  size_t held = 0;
  struct sbi_outq queues[QUEUES];
  for (int i = 0; i < QUEUES; i++) queues[i] = (struct sbi_outq){.held = &held};
  for (int n = 0; n < ROUNDS; n++) {
    struct sbi_shared *body = body_of(BODY, (uint8_t)(2 * n), &held);
    for (int i = 0; i < QUEUES; i++) {
      put_shared(&queues[i], body, (uint8_t)(2 * n));
      put(&queues[i], (size_t)(n * i), (uint8_t)(2 * n + 1));
    }
    sbi_shared_drop(body);
  }
  CHECK(held >= ROUNDS * BODY);
  CHECK(held < ROUNDS * BODY + QUEUES * ROUNDS * 3000);
  for (int i = 0; i < QUEUES; i++) {
    CHECK_INT(queues[i].frames, 2 * ROUNDS);
    CHECK_INT(take_all(&queues[i], steps[i], 0), 2 * ROUNDS);
    CHECK((held >= ROUNDS * BODY) == (i < QUEUES - 1));
  }
  CHECK_INT(held, 0);
}

/* A link dies, for every byte that it may have written until then. */
static void shared_bodies_rewind_everywhere(void) {
  enum { FRAMES = 6 };
  static const size_t ends[FRAMES] = {44, 164, 184, 2204, 2324, 2444};
  size_t held = 0;
  for (size_t sent = 0; sent <= ends[FRAMES - 1]; sent++) {
    struct sbi_outq queue = {.held = &held}, to = {.held = &held};
    struct sbi_shared *bodies[] = {body_of(100, 1, &held), body_of(2000, 3, &held),
                                   body_of(100, 4, &held)};
    put(&queue, 24, 0);
    put_shared(&queue, bodies[0], 1);
    put(&queue, 0, 2);
    put_shared(&queue, bodies[1], 3);
    put_shared(&queue, bodies[2], 4);
    put(&queue, 100, 5);
    for (int i = 0; i < 3; i++) sbi_shared_drop(bodies[i]);
    REQUIRE_INT(queue.bytes, ends[FRAMES - 1]);
    int first = 0; /* the first frame of which nothing was written */
    while (first < FRAMES && (first == 0 ? 0 : ends[first - 1]) < sent) first++;
    sbi_outq_written(&queue, sent);
    sbi_outq_rewind(&queue);
    sbi_outq_move(&to, &queue);
    CHECK_INT(to.bytes, ends[FRAMES - 1] - (first == 0 ? 0 : ends[first - 1]));
    REQUIRE_INT(take_all(&to, 333, first), FRAMES - first);
    CHECK_INT(held, 0);
  }
}

int main(void) {
  return check_run((struct check_case[]){
      {"first_in_first_out", first_in_first_out, false},
      {"empty", empty, false},
      {"rewind_everywhere", rewind_everywhere, false},
      {"moving", moving, false},
      {"moving_after_rewind", moving_after_rewind, false},
      {"clearing", clearing, false},
      {"shared_bodies", shared_bodies, false},
      {"shared_bodies_rewind_everywhere", shared_bodies_rewind_everywhere, false},
      {0},
  });
}
