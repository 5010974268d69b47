/* bus, its router: which frame goes to whom, changed how, and who hears of whom. */
#include "bus_town.h"

/* ---- one receiver ---------------------------------------------------------- */

static void check_frame(const struct raw_frame *frame, int cmdtype, int cmd, const char *data) {
  CHECK_INT(frame->cmdtype, cmdtype);
  CHECK_INT(frame->cmd, cmd);
  CHECK_BYTES(frame->data, frame->size, data, strlen(data));
}

/* Everything but class 0 and global events goes from one to the other, unchanged. */
static void unchanged(void) {
  static const uint8_t kinds[][2] = {{1, 0},  {1, 8},  {1, 11}, {1, 12},  {1, 13}, {1, 15},
                                     {2, 77}, {3, 77}, {4, 1},  {5, 255}, {255, 9}};
  const struct raw_addr from = {20, 4, 5}, to = {19, 3, 18};
  struct town t;
  struct raw a, b;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &a, 20, 4, 5);
  town_join(&t, &b, 19, 3, 18);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    for (size_t n = 0; n < 6; n++) {
      uint8_t bytes[64];
      size_t size = raw_encode(bytes, kinds[i][0], kinds[i][1], from, to, "abcdef", n);
      raw_send(&a, bytes, size);
      town_frame(&b, &frame);
      CHECK_BYTES(frame.bytes, frame.packet_size, bytes, size);
    }
  }
  uint8_t padded[1020]; /* any padding, and the reserved bytes, are the sender's */
  size_t size = raw_encode(padded, 3, 1, from, to, "x", 1);
  memset(padded + size, 0xEE, sizeof padded - size);
  raw_le32(padded + 12, sizeof padded);
  padded[10] = padded[11] = 0xDD;
  raw_send(&a, padded, sizeof padded);
  town_frame(&b, &frame);
  CHECK_BYTES(frame.bytes, frame.packet_size, padded, sizeof padded);
  raw_put(&a, 0, 99, from, to, "internal", 8); /* never routed */
  raw_put(&a, 0, 2, from, to, "internal", 8);
  town_barrier(&a, from, true);
  town_barrier(&b, to, true);
  raw_close(&a);
  raw_close(&b);
  town_close(&t);
}

static void large_frames(void) {
  struct town t;
  struct raw a, b;
  struct raw_frame frame;
  const struct raw_addr from = {20, 4, 5}, to = {19, 3, 18};
  size_t size = 12 << 20;
  uint8_t *bytes = malloc(size + 24), *data = malloc(size);
  for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i * 13 % 255);
  size_t total = raw_encode(bytes, 3, 1, from, to, data, size);
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &a, 20, 4, 5);
  town_join(&t, &b, 19, 3, 18);
  for (int round = 0; round < 2; round++) {
    size_t at = 0;
    UNTIL(raw_next_but_beats(&b, &frame) && frame.cmdtype == 3, {
      at += raw_try(&a, bytes + at, total - at);
      raw_read(&b, 1);
    });
    CHECK_BYTES(frame.bytes, frame.packet_size, bytes, total);
  }
  raw_close(&a);
  raw_close(&b);
  free(bytes);
  free(data);
  town_close(&t);
}

static const struct raw_addr crowd[] = {
    {TOWN_UNIT, 0, 2}, {TOWN_UNIT, 7, 2}, {19, 3, 18},    {19, 4, 18}, {19, 200, 18},
    {20, 3, 18},       {20, 4, 25},       {20, 200, 200}, {21, 0, 25}, {21, 127, 255},
};
enum { CROWD = sizeof crowd / sizeof *crowd };

static void crowd_join(struct town *t, struct raw *raws) {
  town_open(t, (sb_bus_options){0});
  for (int i = 0; i < CROWD; i++)
    town_join(t, &raws[i], crowd[i].unit, crowd[i].client, crowd[i].type);
}

static void crowd_leave(struct town *t, struct raw *raws) {
  for (int i = 0; i < CROWD; i++) raw_close(&raws[i]);
  town_close(t);
}

/* NET.md 5.2: each byte of the destination that is not FF must be the receiver's; client FF is all
 * that fit, else one; never the sender. Where the vendor's client would drop the frame its type
 * (and its client byte) are rewritten. */
static void destinations(void) {
  struct row {
    int from; /* in the crowd */
    struct raw_addr dst;
    int to[CROWD + 1]; /* ends with -1 */
  };
  static const struct row table[] = {
      {2, {20, 4, 25}, {6, -1}},
      {2, {20, 4, 255}, {6, -1}},
      {2, {20, 4, 18}, {-1}}, /* no such type there */
      {2, {20, 9, 25}, {-1}},
      {2, {47, 4, 25}, {-1}},
      {2, {100, 4, 25}, {-1}},
      {2, {19, 3, 18}, {-1}}, /* itself */
      {2, {19, 3, 255}, {-1}},
      {2, {255, 4, 255}, {3, -1}}, /* any unit: one of them */
      {2, {255, 4, 25}, {6, -1}},
      {2, {255, 3, 255}, {5, -1}}, /* … that is not the sender */
      {2, {255, 200, 255}, {4, -1}},
      {2, {255, 200, 200}, {7, -1}},
      {2, {20, 200, 255}, {7, -1}},
      {2, {TOWN_UNIT, 7, 2}, {1, -1}},
      {2, {255, 255, 255}, {0, 1, 3, 4, 5, 6, 7, 8, 9, -1}},
      {0, {255, 255, 18}, {2, 3, 4, 5, -1}},
      {0, {19, 255, 255}, {2, 3, 4, -1}},
      {3, {19, 255, 18}, {2, 4, -1}},
      {3, {19, 255, 25}, {-1}},
      {3, {TOWN_UNIT, 255, 2}, {0, 1, -1}},
      {3, {255, 255, 99}, {-1}},
      {3, {46, 255, 255}, {-1}},
  };
  struct town t;
  struct raw raws[CROWD];
  crowd_join(&t, raws);
  uint64_t undeliverable = 0;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const struct row *row = &table[i];
    struct raw_frame frame;
    raw_put(&raws[row->from], 3, (int)i, crowd[row->from], row->dst, "data", 4);
    for (const int *to = row->to; *to >= 0; to++) {
      struct raw_addr is = crowd[*to];
      bool high = row->dst.client >= 128;
      town_frame(&raws[*to], &frame);
      check_frame(&frame, 3, (int)i, "data");
      CHECK_ADDR(frame.src, crowd[row->from].unit, crowd[row->from].client, crowd[row->from].type);
      CHECK_INT(frame.dst.unit, row->dst.unit);
      CHECK_INT(frame.dst.type, high ? is.type : row->dst.type);
      CHECK_INT(frame.dst.client, high && is.type >= 128 ? 127 : row->dst.client);
    }
    undeliverable += row->to[0] < 0;
    for (int n = 0; n < CROWD; n++)
      town_barrier(&raws[(row->from + n) % CROWD], crowd[(row->from + n) % CROWD], true);
    REQUIRE_INT(town_stats(&t).undeliverable, undeliverable);
  }
  crowd_leave(&t, raws);
}

/* Nobody speaks for another: the source is the link's, whatever the frame says. */
static void forged_sources(void) {
  static const struct raw_addr lies[] = {
      {21, 4, 5}, {20, 5, 5}, {20, 4, 6}, {19, 3, 18}, {0, 0, 0}};
  const struct raw_addr to = {19, 3, 18};
  struct town t;
  struct raw a, b;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &a, 20, 4, 5);
  town_join(&t, &b, 19, 3, 18);
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    raw_put(&a, 3, 1, lies[i], to, "x", 1);
    town_frame(&b, &frame);
    CHECK_ADDR(frame.src, 20, 4, 5);
    raw_put(&a, 1, 7, lies[i], (struct raw_addr){TOWN_UNIT, 0, 1}, "x", 1);
    town_frame(&a, &frame);
    CHECK_INT(frame.cmd, 8);
    CHECK_ADDR(frame.dst, 20, 4, 5);
  }
  CHECK_INT(town_stats(&t).forged, 2 * sizeof lies / sizeof *lies);
  CHECK(strstr(town_report_of(&t, SB_EV_TRACE)->texts, "20.4") != NULL);
  raw_close(&a);
  CHECK_INT(town_report_of(&t, SB_EV_BUS_LEFT)->addr.unit, 20);
  for (size_t i = 0; i < t.count; i++) CHECK(t.reports[i].kind != SB_EV_TRACE || i < t.next);
  raw_close(&b);
  town_close(&t);
}

/* ---- what the bus answers itself ------------------------------------------- */

static void pings(void) {
  const struct raw_addr me = {20, 4, 5}, other = {19, 3, 18};
  struct town t;
  struct raw a, b;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &a, 20, 4, 5);
  town_join(&t, &b, 19, 3, 18);
  /* To its own node: whatever client and type, if nobody has them. */
  static const struct raw_addr nodes[] = {
      {TOWN_UNIT, 0, 1}, {TOWN_UNIT, 99, 200}, {TOWN_UNIT, 200, 255}};
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
    raw_put(&a, 1, 7, me, nodes[i], "hello", 5);
    town_frame(&a, &frame);
    check_frame(&frame, 1, 8, "hello");
    CHECK_ADDR(frame.src, nodes[i].unit, nodes[i].client, nodes[i].type);
    CHECK_ADDR(frame.dst, 20, 4, 5);
  }
  raw_put(&a, 1, 7, me, other, "ping!", 5); /* a client's are its own to answer */
  town_frame(&b, &frame);
  check_frame(&frame, 1, 7, "ping!");
  raw_put(&b, 1, 8, other, me, "ping!", 5);
  town_frame(&a, &frame);
  check_frame(&frame, 1, 8, "ping!");
  raw_put(&a, 1, 7, me, (struct raw_addr){19, 99, 18}, "lost", 4);
  raw_put(&a, 1, 7, me, (struct raw_addr){2, 0, 1}, "lost", 4); /* another server's node */
  town_barrier(&a, me, true);
  CHECK_INT(town_stats(&t).undeliverable, 2);
  raw_close(&a);
  raw_close(&b);
  town_close(&t);
}

/* A call that nobody can take is answered at once; a notify has no answer. */
static void flow_to_nobody(void) {
  const struct vector *v = vector("call_flow");
  struct town t;
  struct raw raw;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &raw, 19, 3, 18);
  raw_send(&raw, v->bytes, v->size);
  town_frame(&raw, &frame);
  CHECK_INT(frame.cmdtype, 1);
  CHECK_INT(frame.cmd, 13);
  CHECK_ADDR(frame.src, 0, 7, 2); /* whom it was for */
  CHECK_ADDR(frame.dst, 19, 3, 18);
  CHECK_INT(frame.data[0], 13);
  CHECK_TEXT((const char *)frame.data + 1, "Project1");
  CHECK_INT(raw_get32(frame.data + 33), 1);
  CHECK_INT((int32_t)raw_get32(frame.data + 37), -1);
  CHECK_INT((int32_t)raw_get32(frame.data + 41), SB_ENOCLIENT);
  size_t n = strlen((const char *)frame.data + 49);
  CHECK(n > 0);
  CHECK_INT(raw_get32(frame.data + 45), n);
  CHECK_INT(frame.size, 51 + n);
  raw_send(&raw, vector("notify")->bytes, vector("notify")->size);
  raw_put(&raw, 1, 11, (struct raw_addr){19, 3, 18}, (struct raw_addr){0, 7, 2}, "short", 5);
  town_barrier(&raw, (struct raw_addr){19, 3, 18}, false);
  CHECK_INT(town_stats(&t).undeliverable, 3);
  raw_close(&raw);
  town_close(&t);
}

/* ---- global connect events ------------------------------------------------- */

static void expect_global(struct raw *raw, struct raw_addr to, int cmd, struct raw_addr about,
                          int status, const char *info) {
  struct raw_frame frame;
  raw_expect(raw, &frame);
  CHECK_INT(frame.cmdtype, 1);
  CHECK_INT(frame.cmd, cmd);
  REQUIRE_INT(frame.size, 281);
  CHECK_INT(frame.packet_size, 302);
  CHECK_ADDR(frame.src, TOWN_UNIT, 0, 1);
  CHECK_ADDR(frame.dst, to.unit, to.client, to.type);
  CHECK_BYTES(frame.data, 10, frame.bytes, 10); /* the inner header: the same addresses … */
  CHECK_INT(raw_get32(frame.data + 12), 281);   /* … and its own sizes */
  CHECK_INT(raw_get32(frame.data + 16), 261);
  CHECK_INT(frame.data[20], about.unit);
  CHECK_INT(frame.data[21], about.client);
  CHECK_INT(frame.data[22], about.type);
  CHECK_INT(frame.data[23], TOWN_UNIT);
  CHECK_INT(frame.data[24], status);
  CHECK_TEXT((const char *)frame.data + 25, info);
}

/* NET.md 4: exactly one event a peer, two links or one, and a departure when the last link goes. */
static void one_event_each(void) {
  const struct raw_addr a = {19, 3, 18}, b = {19, 4, 18}, c = {TOWN_UNIT, 7, 2};
  struct town t;
  struct raw ra, rb, rb2, rc;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &ra, 19, 3, 18);
  town_barrier(&ra, a, false);
  town_enter(&t, &rb, (struct request){.addr = b, .pid = 1000, .index = 1});
  REQUIRE_INT(town_ack(&rb), 0);
  expect_global(&rb, b, 10, a, 2, "info!"); /* the same unit too */
  expect_global(&ra, a, 10, b, 1, "info!");
  town_enter(&t, &rb2, (struct request){.addr = b, .pid = 1000, .index = 0});
  REQUIRE_INT(town_ack(&rb2), 0);
  town_barrier(&rb2, b, false);
  town_barrier(&rb, b, false);
  town_barrier(&ra, a, false);
  town_join(&t, &rc, TOWN_UNIT, 7, 2);
  expect_global(&ra, a, 10, c, 1, "info!");
  expect_global(&rb, b, 10, c, 1, "info!"); /* over one of its links: the one it last spoke on */
  town_barrier(&rb2, b, false);
  struct raw_frame frame;
  raw_expect(&rc, &frame);
  CHECK_INT(frame.cmd, 10);
  CHECK_INT(frame.data[24], 2);
  int first = frame.data[21];
  raw_expect(&rc, &frame);
  CHECK_INT(first + frame.data[21], a.client + b.client);
  town_barrier(&rc, c, false);

  raw_close(&rb);
  UNTIL(town_stats(&t).links == 3, poll(NULL, 0, 1));
  town_barrier(&ra, a, false);
  raw_close(&rb2);
  expect_global(&ra, a, 9, b, 0, "info!");
  expect_global(&rc, c, 9, b, 0, "info!");
  /* What clients say of each other is not passed on. */
  raw_send(&rc, vector("global_connect_new")->bytes, 302);
  raw_send(&rc, vector("global_connect_reply")->bytes, 302);
  town_barrier(&rc, c, false);
  town_barrier(&ra, a, false);
  /* The same process registers anew: it was gone, it is there again. */
  struct raw again;
  town_enter(&t, &again, (struct request){.addr = c, .pid = 1000});
  REQUIRE_INT(town_ack(&again), 0);
  expect_global(&again, c, 10, a, 2, "info!");
  expect_global(&ra, a, 9, c, 0, "info!");
  expect_global(&ra, a, 10, c, 1, "info!");
  town_barrier(&ra, a, false);
  town_barrier(&again, c, false);
  raw_close(&ra);
  raw_close(&rc);
  raw_close(&again);
  town_close(&t);
}

/* ---- two links, and many frames -------------------------------------------- */

/* One copy, over the link that the receiver last used for something (NET.md 5.2). */
static void one_copy(void) {
  const struct raw_addr from = {20, 4, 5}, to = {19, 3, 18};
  struct town t;
  struct raw sender, master, slave;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &sender, 20, 4, 5);
  town_enter(&t, &master, (struct request){.addr = to, .pid = 7, .index = 0});
  REQUIRE_INT(town_ack(&master), 0);
  town_enter(&t, &slave, (struct request){.addr = to, .pid = 7, .index = 1});
  REQUIRE_INT(town_ack(&slave), 0);
  for (int round = 0; round < 4; round++) {
    struct raw *used = round % 2 ? &slave : &master;
    struct raw *idle = round % 2 ? &master : &slave;
    raw_put(used, 3, 1, to, from, "here", 4);
    town_frame(&sender, &frame);
    raw_send(idle, vector("heartbeat")->bytes, 52); /* says nothing about where to send */
    UNTIL(raw_next(idle, &frame) && raw_is_heartbeat(&frame), raw_read(idle, 100));
    raw_put(&sender, 3, 2, from, to, "one", 3);
    raw_put(&sender, 3, 3, from, (struct raw_addr){255, 255, 255}, "all", 3);
    for (int i = 0; i < 2; i++) {
      town_frame(used, &frame);
      CHECK_INT(frame.cmd, 2 + i);
    }
    raw_read(idle, 0);
    while (raw_next(idle, &frame)) CHECK(raw_is_heartbeat(&frame) || frame.cmdtype == 1);
    poll(NULL, 0, SBI_BEAT_ACK_MS); /* the next heartbeat is to be answered too */
  }
  raw_close(&slave); /* the one in use goes: the other serves */
  UNTIL(town_stats(&t).links == 2, poll(NULL, 0, 1));
  raw_put(&sender, 3, 9, from, to, "rest", 4);
  town_frame(&master, &frame);
  CHECK_INT(frame.cmd, 9);
  raw_close(&master);
  raw_close(&sender);
  town_close(&t);
}

static void before_registration(void) {
  const struct raw_addr to = {19, 3, 18};
  struct town t;
  struct raw raw, stranger;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &raw, 19, 3, 18);
  raw_open(&stranger, t.port);
  raw_put(&stranger, 3, 1, (struct raw_addr){20, 4, 5}, to, "early", 5);
  raw_put(&stranger, 1, 7, (struct raw_addr){20, 4, 5}, (struct raw_addr){TOWN_UNIT, 0, 1}, "", 0);
  town_request(&stranger, (struct request){.addr = {20, 4, 5}});
  REQUIRE_INT(town_ack(&stranger), 0); /* nothing before it */
  raw_put(&stranger, 3, 2, (struct raw_addr){20, 4, 5}, to, "now", 3);
  town_frame(&raw, &frame);
  CHECK_INT(frame.cmd, 2);
  CHECK_INT(town_stats(&t).unregistered, 2);
  raw_close(&raw);
  raw_close(&stranger);
  town_close(&t);
}

/* Three send to one, frames of all sizes: all of each one's come, in its order. */
static void order(void) {
  enum { SENDERS = 3, EACH = 3000 };
  const struct raw_addr to = {19, 3, 18};
  struct town t;
  struct raw receiver, senders[SENDERS];
  struct raw_frame frame;
  static uint8_t data[3000], stream[SENDERS][EACH * 1600];
  size_t sizes[SENDERS] = {0}, sent[SENDERS] = {0};
  uint64_t chance = 5;
  uint32_t next[SENDERS] = {0};
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &receiver, 19, 3, 18);
  for (uint8_t i = 0; i < SENDERS; i++) {
    town_join(&t, &senders[i], 20, i, 5);
    for (uint32_t n = 0; n < EACH; n++) {
      raw_le32(data, n);
      sizes[i] += raw_encode(stream[i] + sizes[i], 3, 1, (struct raw_addr){20, i, 5}, to, data,
                             4 + check_random(&chance) % 1500);
    }
  }
  int got = 0;
  UNTIL(got == SENDERS * EACH, {
    for (int i = 0; i < SENDERS; i++) {
      size_t part = sizes[i] - sent[i], most = check_random(&chance) % 60000;
      if (part > 0) sent[i] += raw_try(&senders[i], stream[i] + sent[i], part < most ? part : most);
    }
    raw_read(&receiver, 0);
    while (raw_next_but_beats(&receiver, &frame)) {
      if (frame.cmdtype == 1) continue;
      REQUIRE(frame.src.client < SENDERS);
      REQUIRE_INT(raw_get32(frame.data), next[frame.src.client]++);
      got++;
    }
  });
  raw_close(&receiver);
  for (int i = 0; i < SENDERS; i++) raw_close(&senders[i]);
  town_close(&t);
}

int main(void) {
  return check_run((struct check_case[]){
      {"unchanged", unchanged, false},
      {"large_frames", large_frames, false},
      {"destinations", destinations, false},
      {"forged_sources", forged_sources, false},
      {"pings", pings, false},
      {"flow_to_nobody", flow_to_nobody, false},
      {"one_event_each", one_event_each, false},
      {"one_copy", one_copy, false},
      {"before_registration", before_registration, false},
      {"order", order, false},
      {0},
  });
}
