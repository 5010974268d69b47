/* bus, memory as a whole: broadcasts are kept once, queues and unfinished frames together stay
 * within bounds, and nobody who reads suffers for those who do not. */
#include "bus_town.h"

enum { SMALL = 8 * 1024, MB = 1 << 20 };

static const struct raw_addr speaker = {40, 1, 30}, hearer = {41, 2, 31};
static const struct raw_addr all = {255, 255, 255};

/* A client whose system takes little ahead. */
static void join_small(struct town *t, struct raw *raw, struct raw_addr addr) {
  raw_open_with(raw, t->port, SMALL);
  town_request(raw, (struct request){.addr = addr, .pid = 1000});
  REQUIRE_INT(town_ack(raw), 0);
}

static struct raw_addr crowd_addr(int i) {
  return (struct raw_addr){(uint8_t)(20 + i / 100), (uint8_t)(i % 100 + 100), (uint8_t)(100 + i)};
}

/* One that sends numbered frames of `size` bytes, to one after another of `count` clients. */
struct source {
  struct raw *raw;
  int count; /* 0: to everybody */
  size_t size, whole, at;
  uint32_t number;
  uint8_t *frame;
};

static void source_open(struct source *s, struct raw *raw, int count, size_t size) {
  *s = (struct source){.raw = raw, .count = count, .size = size, .frame = malloc(2 * size + 24)};
  REQUIRE(s->frame != NULL);
}

/* Send until the socket takes no more, or this many were begun; false: nothing could be sent. */
static bool source_push(struct source *s, uint32_t most) {
  uint8_t *data = s->frame + s->size + 24;
  bool any = false;
  for (int i = 0; i < 200; i++) {
    if (s->at == s->whole) {
      if (s->number == most) return any;
      struct raw_addr to = s->count == 0 ? all : crowd_addr((int)s->number % s->count);
      memset(data, (uint8_t)s->number, s->size);
      raw_le32(data, s->number++);
      s->whole = raw_encode(s->frame, 3, 1, speaker, to, data, s->size);
      s->at = 0;
    }
    size_t n = raw_try(s->raw, s->frame + s->at, s->whole - s->at);
    s->at += n;
    any = any || n > 0;
    if (n == 0) return any;
  }
  return any;
}

/* Take numbered frames that came; each must be the one that is due, whole and from the speaker.
 * Returns the number that is due then. */
static uint32_t take(struct raw *raw, uint32_t due, uint32_t step, size_t size, int type) {
  struct raw_frame frame;
  raw_read(raw, 0);
  while (raw_next_but_beats(raw, &frame)) {
    if (frame.cmdtype == 1) continue;
    REQUIRE_INT(frame.size, size);
    REQUIRE_INT(raw_get32(frame.data), due);
    REQUIRE(frame.data[4] == (uint8_t)due && frame.data[size - 1] == (uint8_t)due);
    CHECK_ADDR(frame.src, speaker.unit, speaker.client, speaker.type);
    CHECK_INT(frame.dst.type, type);
    due += step;
  }
  return due;
}

/* ---- broadcasts ------------------------------------------------------------ */

/* What many do not read is there once; each gets it with the header that is right for it. */
static void broadcast_is_kept_once(void) {
  enum { CROWD = 40, FRAMES = 150, SIZE = 30000 };
  struct town t;
  struct raw out, crowd[CROWD];
  struct source s;
  uint32_t due[CROWD] = {0};
  town_open(&t, (sb_bus_options){.stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  for (int i = 0; i < CROWD; i++) join_small(&t, &crowd[i], crowd_addr(i));
  town_join(&t, &out, speaker.unit, speaker.client, speaker.type);
  source_open(&s, &out, 0, SIZE);
  UNTIL(town_stats(&t).frames_in >= FRAMES, {
    source_push(&s, FRAMES);
    sb_bus_stats_t stats = town_stats(&t);
    CHECK(stats.memory < (FRAMES + 10) * (SIZE + 1000) + CROWD * (FRAMES + 300) * 200);
  });
  sb_bus_stats_t stats = town_stats(&t);
  CHECK(stats.queued_bytes > (uint64_t)CROWD * SIZE * 20); /* the system took the others */
  CHECK(stats.memory < stats.queued_bytes / 10);
  CHECK_INT(stats.frames_out, CROWD * FRAMES);
  for (int i = 0; i < CROWD; i++)
    UNTIL(due[i] == FRAMES, due[i] = take(&crowd[i], due[i], 1, SIZE, crowd_addr(i).type));
  UNTIL(town_stats(&t).queued_bytes == 0, poll(NULL, 0, 1));
  CHECK_INT(town_stats(&t).memory, 0);
  for (int i = 0; i < CROWD; i++) raw_close(&crowd[i]);
  raw_close(&out);
  free(s.frame);
  town_close(&t);
}

/* ---- the bound ------------------------------------------------------------- */

/* Clients that read nothing, one that sends to each in turn, and two that talk to each other. */
struct scene {
  struct town town;
  struct raw crowd[30], out, a, b;
  int crowd_size;
  struct source flood, talk;
  uint32_t heard;
};

static void scene_open(struct scene *s, int crowd, size_t size, sb_bus_options options) {
  *s = (struct scene){.crowd_size = crowd};
  town_open(&s->town, options);
  for (int i = 0; i < crowd; i++) join_small(&s->town, &s->crowd[i], crowd_addr(i));
  town_join(&s->town, &s->out, speaker.unit, speaker.client, speaker.type);
  source_open(&s->flood, &s->out, crowd, size);
  town_join(&s->town, &s->a, hearer.unit, hearer.client, hearer.type);
  town_join(&s->town, &s->b, hearer.unit, hearer.client + 1, hearer.type);
}

/* They still reach each other. */
static void talk(struct scene *s) {
  struct raw_frame frame;
  struct raw_addr to = {hearer.unit, hearer.client + 1, hearer.type};
  uint8_t data[3000];
  memset(data, (int)s->heard, sizeof data);
  raw_put(&s->a, 3, 77, hearer, to, data, sizeof data);
  do town_frame(&s->b, &frame);
  while (frame.cmd != 77);
  CHECK_BYTES(frame.data, frame.size, data, sizeof data);
  s->heard++;
}

static void scene_close(struct scene *s) {
  for (int i = 0; i < s->crowd_size; i++) raw_close(&s->crowd[i]);
  raw_close(&s->out);
  raw_close(&s->a);
  raw_close(&s->b);
  free(s->flood.frame);
  town_close(&s->town);
}

/* All queues together would take 240 MB. The sender waits, the others go on, nothing is lost. */
static void fill_and_drain(size_t size, uint32_t more) {
  enum { CROWD = 30, MOST = 8 * MB };
  struct scene s;
  scene_open(
      &s, CROWD, size,
      (sb_bus_options){.max_memory = MOST, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  int64_t since = 0;
  uint64_t highest = 0;
  UNTIL(highest > MOST && check_ms() - since > 300, { /* until it goes no further */
                                                      if (source_push(&s.flood, UINT32_MAX))
                                                        since = check_ms();
                                                      talk(&s);
                                                      uint64_t now = town_stats(&s.town).memory;
                                                      if (now > highest) highest = now;
  });
  CHECK(highest < 2 * MOST + 2 * size);
  CHECK_INT(town_stats(&s.town).slow, 0);
  uint32_t due[CROWD];
  for (int i = 0; i < CROWD; i++) due[i] = (uint32_t)i;
  uint32_t last = s.flood.number + more;
  for (bool done = false; !done;) {
    source_push(&s.flood, last);
    talk(&s);
    done = true;
    for (int i = 0; i < CROWD; i++) {
      due[i] = take(&s.crowd[i], due[i], CROWD, s.flood.size, crowd_addr(i).type);
      done = done && due[i] >= last;
    }
  }
  CHECK_INT(town_stats(&s.town).slow, 0);
  scene_close(&s);
}

static void sum_of_queues(void) {
  fill_and_drain(1500, 6000);
}

/* An empty queue takes one of any size, and there are many queues. */
static void sum_of_queues_of_large_frames(void) {
  fill_and_drain(3 * MB, 60);
}

/* The same with a bus that cuts off who takes nothing for a while: they are those, nobody else. */
static void who_is_cut_off(void) {
  enum { CROWD = 30, MOST = 8 * MB };
  struct scene s;
  scene_open(
      &s, CROWD, 1500,
      (sb_bus_options){.max_memory = MOST, .stall_ms = 400, .slow_ms = 60000, .idle_ms = 600000});
  uint64_t highest = 0;
  UNTIL(town_stats(&s.town).slow == CROWD, {
    source_push(&s.flood, UINT32_MAX);
    talk(&s);
    uint64_t now = town_stats(&s.town).memory;
    if (now > highest) highest = now;
  });
  CHECK(highest < 2 * MOST);
  CHECK_INT(town_stats(&s.town).clients, 3);
  talk(&s);
  scene_close(&s);
}

/* ---- unfinished frames ----------------------------------------------------- */

enum { LARGE = 3 * MB, MANY = 12 };

struct large {
  struct raw raw;
  struct raw_addr addr;
  uint8_t *frame;
  size_t whole, at, stop;
};

static void large_open(struct town *t, struct large *l, int i, struct raw_addr to, size_t stop) {
  uint8_t *data = malloc(LARGE);
  l->addr = (struct raw_addr){30, (uint8_t)i, 9};
  l->frame = malloc(LARGE + 24);
  REQUIRE(data != NULL && l->frame != NULL);
  memset(data, i + 1, LARGE);
  l->whole = raw_encode(l->frame, 3, 5, l->addr, to, data, LARGE);
  l->at = 0;
  l->stop = stop < l->whole ? stop : l->whole;
  free(data);
  town_join(t, &l->raw, l->addr.unit, l->addr.client, l->addr.type);
}

static void large_push(struct large *l) {
  if (l->at < l->stop && !l->raw.ended)
    l->at += raw_try(&l->raw, l->frame + l->at, l->stop - l->at);
}

static void large_close(struct large *l) {
  raw_close(&l->raw);
  free(l->frame);
}

/* Together they are much larger than what there is: they get through one after another. */
static void large_frames_in_turn(void) {
  enum { MOST = 8 * MB };
  struct town t;
  struct raw reader;
  struct large senders[MANY];
  struct raw_frame frame;
  uint64_t highest = 0;
  int got = 0;
  town_open(&t, (sb_bus_options){
                    .max_memory = MOST, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  town_join(&t, &reader, hearer.unit, hearer.client, hearer.type);
  for (int i = 0; i < MANY; i++) large_open(&t, &senders[i], i, hearer, SIZE_MAX);
  UNTIL(got == MANY, {
    for (int i = 0; i < MANY; i++) large_push(&senders[i]);
    raw_read(&reader, 0);
    while (raw_next_but_beats(&reader, &frame)) {
      if (frame.cmdtype == 1) continue;
      REQUIRE_INT(frame.size, LARGE);
      CHECK_INT(frame.data[0], frame.src.client + 1);
      CHECK_INT(frame.data[LARGE - 1], frame.src.client + 1);
      got++;
    }
    uint64_t now = town_stats(&t).memory;
    if (now > highest) highest = now;
  });
  CHECK(highest < 2 * MOST + 2 * LARGE);
  CHECK_INT(town_stats(&t).slow, 0);
  for (int i = 0; i < MANY; i++) large_close(&senders[i]);
  raw_close(&reader);
  UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
  CHECK_INT(town_stats(&t).memory, 0);
  town_close(&t);
}

/* Each of them stops within its frame: that takes no more memory than there is, and not for long;
 * who sends small frames does not notice. */
static void never_finished_frames(void) {
  enum { MOST = 8 * MB };
  struct town t;
  struct raw a, b;
  struct large stuck[MANY], last;
  struct raw_frame frame;
  uint64_t highest = 0;
  struct raw_addr to = {hearer.unit, hearer.client + 1, hearer.type};
  town_open(&t, (sb_bus_options){
                    .max_memory = MOST, .stall_ms = 500, .slow_ms = 1500, .idle_ms = 600000});
  town_join(&t, &a, hearer.unit, hearer.client, hearer.type);
  town_join(&t, &b, to.unit, to.client, to.type);
  for (int i = 0; i < MANY; i++) large_open(&t, &stuck[i], i, hearer, LARGE - 1000);
  UNTIL(town_stats(&t).slow > 0 && town_stats(&t).memory <= MOST / 4 * 3, {
    for (int i = 0; i < MANY; i++) large_push(&stuck[i]);
    raw_put(&a, 3, 77, hearer, to, "on", 2);
    do town_frame(&b, &frame);
    while (frame.cmd != 77);
    uint64_t now = town_stats(&t).memory;
    if (now > highest) highest = now;
  });
  CHECK(highest < MOST + 2 * LARGE);
  /* Who has a large frame to send gets through, at the second attempt perhaps. */
  large_open(&t, &last, MANY, to, SIZE_MAX);
  bool got = false;
  UNTIL(got, {
    large_push(&last);
    raw_read(&last.raw, 0);
    if (last.raw.ended) {
      large_close(&last);
      large_open(&t, &last, MANY, to, SIZE_MAX);
    }
    raw_read(&b, 0);
    while (!got && raw_next_but_beats(&b, &frame)) got = frame.cmdtype == 3 && frame.cmd == 5;
  });
  CHECK_INT(frame.size, LARGE);
  for (int i = 0; i < MANY; i++) large_close(&stuck[i]);
  large_close(&last);
  raw_close(&a);
  raw_close(&b);
  town_close(&t);
}

int main(void) {
  return check_run((struct check_case[]){
      {"broadcast_is_kept_once", broadcast_is_kept_once, false},
      {"sum_of_queues", sum_of_queues, false},
      {"sum_of_queues_of_large_frames", sum_of_queues_of_large_frames, false},
      {"who_is_cut_off", who_is_cut_off, true},
      {"large_frames_in_turn", large_frames_in_turn, false},
      {"never_finished_frames", never_finished_frames, true},
      {0},
  });
}
