/* bus, flow control: slow readers make their senders wait, dead ones are cut off, nobody else
 * notices, nothing is lost between those that stay, and queues are bounded. */
#include "bus_town.h"

enum { SMALL = 64 * 1024 }; /* what a raw client's system receives ahead */

static const struct raw_addr from = {20, 4, 5}, to = {19, 3, 18}, third = {21, 5, 9};

/* A client whose system takes little ahead. */
static void join_small(struct town *t, struct raw *raw, struct raw_addr addr) {
  raw_open_with(raw, t->port, SMALL);
  town_request(raw, (struct request){.addr = addr, .pid = 1000});
  REQUIRE_INT(town_ack(raw), 0);
}

/* Frames of `size` bytes of data, numbered, that go out as far as the socket takes them. */
struct source {
  struct raw *raw;
  struct raw_addr from, to;
  uint8_t frame[70000];
  size_t size, whole, at;
  uint32_t number; /* of the frame that is going out */
};

static void push(struct source *s) {
  static _Thread_local uint8_t data[65536];
  for (int i = 0; i < 200; i++) {
    if (s->at == s->whole) {
      raw_le32(data, s->number++);
      s->whole = raw_encode(s->frame, 3, 1, s->from, s->to, data, s->size);
      s->at = 0;
    }
    size_t n = raw_try(s->raw, s->frame + s->at, s->whole - s->at);
    s->at += n;
    if (n == 0) return;
  }
}

/* Take the frames that came; they must be the next ones. Returns the number that follows. */
static uint32_t take(struct raw *raw, uint32_t next) {
  struct raw_frame frame;
  raw_read(raw, 0);
  while (raw_next_but_beats(raw, &frame)) {
    if (frame.cmdtype == 1) continue;
    REQUIRE_INT(raw_get32(frame.data), next);
    next++;
  }
  return next;
}

static bool moves(const struct source *s, uint32_t *seen, size_t *at, int64_t *since) {
  if (s->number == *seen && s->at == *at) return check_ms() - *since < 200;
  *seen = s->number;
  *at = s->at;
  *since = check_ms();
  return true;
}

/* Push until nothing goes any more for a while. */
static void push_until_stuck(struct source *s) {
  uint32_t seen = 0;
  size_t at = 0;
  int64_t since = check_ms();
  while (moves(s, &seen, &at, &since)) {
    push(s);
    poll(NULL, 0, 1);
  }
}

/* Neither end says anything else, heartbeats included: the sender is let go on by the reader's
 * reading alone, again and again, and everything arrives. */
static void slow_reader(void) {
  enum { FRAMES = 12000 };
  struct town t;
  struct raw a, b;
  town_open(&t, (sb_bus_options){
                    .high_bytes = 100000, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &b, to);
  struct source s = {.raw = &a, .from = from, .to = to, .size = 3000};
  push_until_stuck(&s);
  CHECK(town_stats(&t).queued_bytes < 100000 + 2 * 3020);
  uint32_t next = 0;
  UNTIL(next >= FRAMES, {
    push(&s);
    next = take(&b, next);
  });
  CHECK_INT(town_stats(&t).slow, 0);
  raw_close(&a);
  raw_close(&b);
  town_close(&t);
}

/* The same with the bound by frames. */
static void slow_reader_by_frames(void) {
  struct town t;
  struct raw a, b;
  town_open(&t, (sb_bus_options){
                    .high_frames = 5000, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &b, to);
  struct source s = {.raw = &a, .from = from, .to = to, .size = 4};
  push_until_stuck(&s);
  CHECK(town_stats(&t).queued_bytes < 6000 * 24);
  uint32_t next = 0;
  UNTIL(next >= 300000, {
    push(&s);
    next = take(&b, next);
  });
  raw_close(&a);
  raw_close(&b);
  town_close(&t);
}

/* One that does not read is cut off after stall_ms. Its sender waits so long, then goes on with
 * others; others never wait. */
static void dead_reader(void) {
  struct town t;
  struct raw a, dead, c, d;
  town_open(&t, (sb_bus_options){.high_bytes = 100000, .stall_ms = 1500, .slow_ms = 60000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &dead, to);
  town_join(&t, &c, third.unit, third.client, third.type);
  town_join(&t, &d, 22, 1, 9);
  struct source s = {.raw = &a, .from = from, .to = to, .size = 3000};
  push_until_stuck(&s);
  struct source others = {.raw = &c, .from = third, .to = {22, 1, 9}, .size = 100};
  uint32_t next = 0;
  UNTIL(next > 20000 && town_stats(&t).slow == 1, {
    push(&others);
    next = take(&d, next);
    if (town_stats(&t).slow == 0) CHECK(town_stats(&t).queued_bytes < 10 << 20);
  });
  const struct report *left = town_report_of(&t, SB_EV_BUS_LEFT);
  CHECK_ADDR(left->addr, to.unit, to.client, to.type);
  CHECK_INT(left->code, SB_LEFT_SLOW);
  /* Its sender is read again. */
  size_t rest = s.whole - s.at;
  raw_send(&a, s.frame + s.at, rest);
  town_barrier(&a, from, true);
  raw_put(&a, 3, 77, from, third, "on", 2);
  struct raw_frame frame;
  town_frame(&c, &frame);
  CHECK_INT(frame.cmd, 77);
  raw_close(&a);
  raw_close(&dead);
  raw_close(&c);
  raw_close(&d);
  town_close(&t);
}

/* Who sends a dead reader little is not kept waiting, even while a flood to it waits. */
static void light_sender(void) {
  struct town t;
  struct raw flood, dead, light, d;
  town_open(&t, (sb_bus_options){.high_bytes = 1 << 20, .stall_ms = 60000, .slow_ms = 60000});
  town_join(&t, &flood, from.unit, from.client, from.type);
  join_small(&t, &dead, to);
  town_join(&t, &light, third.unit, third.client, third.type);
  town_join(&t, &d, 22, 1, 9);
  struct source s = {.raw = &flood, .from = from, .to = to, .size = 3000};
  push_until_stuck(&s);
  struct raw_frame frame;
  for (int i = 0; i < 50; i++) {
    raw_put(&light, 3, 1, third, to, "to the dead", 11);
    raw_put(&light, 3, i, third, (struct raw_addr){22, 1, 9}, "on", 2);
    town_frame(&d, &frame);
    CHECK_INT(frame.cmd, i);
  }
  CHECK_INT(town_stats(&t).slow, 0);
  raw_close(&flood);
  raw_close(&dead);
  raw_close(&light);
  raw_close(&d);
  town_close(&t);
}

/* One that takes a little now and then, and stays full, is cut off after slow_ms. */
static void too_slow_reader(void) {
  struct town t;
  struct raw a, slow;
  town_open(&t, (sb_bus_options){.high_bytes = 4 << 20, .stall_ms = 60000, .slow_ms = 1000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &slow, to);
  struct source s = {.raw = &a, .from = from, .to = to, .size = 3000};
  uint8_t little[2000];
  UNTIL(town_stats(&t).slow == 1, {
    push(&s);
    poll(NULL, 0, 20);
    if (recv(slow.fd, little, sizeof little, 0) < 0) CHECK(errno == EAGAIN || errno == ECONNRESET);
  });
  CHECK_INT(town_report_of(&t, SB_EV_BUS_LEFT)->code, SB_LEFT_SLOW);
  raw_close(&a);
  raw_close(&slow);
  town_close(&t);
}

/* A broadcast goes to a dead reader too: the others get all of it, before and after its end. */
static void broadcast_past_a_dead_reader(void) {
  enum { FRAMES = 3000 };
  struct town t;
  struct raw a, dead, b, c;
  town_open(&t, (sb_bus_options){.high_bytes = 200000, .stall_ms = 2000, .slow_ms = 60000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &dead, to);
  town_join(&t, &b, 22, 1, 9);
  town_join(&t, &c, 22, 2, 9);
  struct source s = {.raw = &a, .from = from, .to = {255, 255, 255}, .size = 3000};
  uint32_t next_b = 0, next_c = 0;
  UNTIL(next_b >= FRAMES && next_c >= FRAMES, {
    push(&s);
    next_b = take(&b, next_b);
    next_c = take(&c, next_c);
  });
  CHECK_INT(town_stats(&t).slow, 1);
  CHECK_INT(town_stats(&t).clients, 3);
  raw_close(&a);
  raw_close(&dead);
  raw_close(&b);
  raw_close(&c);
  town_close(&t);
}

/* Nobody sends it data: events about clients that come and go, and answers to its heartbeats, fill
 * its queue. It is cut off all the same. */
static void dead_listener(void) {
  struct town t;
  struct raw dead, churn;
  town_open(&t, (sb_bus_options){.high_bytes = 20000, .stall_ms = 300, .slow_ms = 60000});
  raw_open_with(&dead, t.port, 2048);
  town_request(&dead, (struct request){.addr = to, .pid = 1000});
  REQUIRE_INT(town_ack(&dead), 0);
  uint64_t most = 0;
  UNTIL(town_stats(&t).slow == 1, {
    town_join(&t, &churn, from.unit, from.client, from.type);
    raw_send(&dead, vector("heartbeat")->bytes, 52);
    uint64_t queued = town_stats(&t).queued_bytes;
    if (queued > most) most = queued;
    raw_close(&churn);
    UNTIL(town_stats(&t).clients <= 1, sched_yield());
  });
  CHECK(most >= 20000);
  raw_close(&dead);
  town_close(&t);
}

/* One that asks the bus itself and does not read the answers waits for itself, then is cut off. */
static void asks_and_does_not_read(void) {
  struct town t;
  struct raw a, b, c;
  static uint8_t data[65536], frame[70000];
  town_open(&t, (sb_bus_options){.high_bytes = 200000, .stall_ms = 500, .slow_ms = 60000});
  join_small(&t, &a, from);
  town_join(&t, &b, 22, 1, 9);
  town_join(&t, &c, 22, 2, 9);
  size_t whole =
             raw_encode(frame, 1, 7, from, (struct raw_addr){TOWN_UNIT, 0, 1}, data, sizeof data),
         at = 0;
  UNTIL(a.ended || town_stats(&t).slow == 1, {
    at += raw_try(&a, frame + at, whole - at);
    if (at == whole) at = 0;
    CHECK(town_stats(&t).queued_bytes < 200000 + 2 * sizeof frame);
  });
  struct raw_frame got;
  raw_put(&b, 3, 5, (struct raw_addr){22, 1, 9}, (struct raw_addr){22, 2, 9}, "fine", 4);
  town_frame(&c, &got);
  CHECK_INT(got.cmd, 5);
  raw_close(&a);
  raw_close(&b);
  raw_close(&c);
  town_close(&t);
}

/* Two send to each other, and neither reads until both are stuck: then both read, and all comes. */
static void both_full(void) {
  enum { FRAMES = 8000 };
  struct town t;
  struct raw a, b;
  town_open(&t, (sb_bus_options){
                    .high_bytes = 100000, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  join_small(&t, &a, from);
  join_small(&t, &b, to);
  struct source sa = {.raw = &a, .from = from, .to = to, .size = 3000};
  struct source sb = {.raw = &b, .from = to, .to = from, .size = 3000};
  push_until_stuck(&sa);
  push_until_stuck(&sb);
  uint32_t next_a = 0, next_b = 0;
  UNTIL(next_a >= FRAMES && next_b >= FRAMES, {
    push(&sa);
    push(&sb);
    next_a = take(&a, next_a);
    next_b = take(&b, next_b);
  });
  raw_close(&a);
  raw_close(&b);
  town_close(&t);
}

/* The receiver goes while others wait for it: they go on. */
static void receiver_leaves(void) {
  struct town t;
  struct raw a, b, c;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){
                    .high_bytes = 100000, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &b, to);
  town_join(&t, &c, third.unit, third.client, third.type);
  struct source s = {.raw = &a, .from = from, .to = to, .size = 3000};
  push_until_stuck(&s);
  raw_close(&b);
  raw_send(&a, s.frame + s.at, s.whole - s.at);
  raw_put(&a, 3, 77, from, third, "on", 2);
  town_frame(&c, &frame);
  CHECK_INT(frame.cmd, 77);
  CHECK_INT(town_stats(&t).queued_bytes, 0);
  raw_close(&a);
  raw_close(&c);
  town_close(&t);
}

/* A sender that waits is not read, and so not heard of: that does not make it a silent one, whose
 * address others may take over. */
static void waiting_is_not_silence(void) {
  struct town t;
  struct raw a, b, other;
  town_open(&t, (sb_bus_options){
                    .high_bytes = 100000, .stall_ms = 60000, .slow_ms = 60000, .idle_ms = 60000});
  town_join(&t, &a, from.unit, from.client, from.type);
  join_small(&t, &b, to);
  struct source s = {.raw = &a, .from = from, .to = to, .size = 3000};
  push_until_stuck(&s);
  poll(NULL, 0, SBI_ALIVE_MS + 300);
  town_enter(&t, &other, (struct request){.addr = from, .pid = 2000});
  CHECK_INT(town_ack(&other), SB_ETWICE);
  uint32_t next = 0;
  UNTIL(next > 5000, {
    push(&s);
    next = take(&b, next);
  });
  raw_close(&a);
  raw_close(&b);
  raw_close(&other);
  town_close(&t);
}

int main(void) {
  return check_run((struct check_case[]){
      {"slow_reader", slow_reader, false},
      {"slow_reader_by_frames", slow_reader_by_frames, false},
      {"dead_reader", dead_reader, true},
      {"light_sender", light_sender, false},
      {"too_slow_reader", too_slow_reader, true},
      {"broadcast_past_a_dead_reader", broadcast_past_a_dead_reader, true},
      {"dead_listener", dead_listener, true},
      {"asks_and_does_not_read", asks_and_does_not_read, true},
      {"both_full", both_full, false},
      {"receiver_leaves", receiver_leaves, true},
      {"waiting_is_not_silence", waiting_is_not_silence, true},
      {0},
  });
}
