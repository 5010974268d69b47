/* net, its links: registration, heartbeat, refusals, retries, loss, master and slave. */
#include <sys/wait.h>

#include "net_world.h"

/* ---- what is sent ---------------------------------------------------------- */

static void check_request(const struct raw_frame *frame, const char *name, int access_unit) {
  const struct vector *v = vector(name);
  uint8_t expected[SBI_REGISTRATION_MAX];
  bool newer = v->size == WORLD_2018;
  size_t node = newer ? 497 : 469;
  memcpy(expected, v->bytes, v->size);
  if (newer) raw_le32(expected + 233, (uint32_t)getpid());
  raw_le32(expected + node + 6, (uint32_t)access_unit);
  CHECK_BYTES(frame->bytes, frame->packet_size, expected, v->size);
}

static void registration_bytes(void) {
  static const struct {
    const char *params, *vector;
  } table[] = {
      {NULL, "registration_request_2018"},
      {"", "registration_request_2018"},
      {"Wire=auto", "registration_request_2018"},
      {"Wire=2018", "registration_request_2018"},
      {"Wire=2015", "registration_request"},
      {"NewLoop=1; Wire = 2015 ;TraceHeartbeat=1", "registration_request"},
      {"wire=2015", "registration_request_2018"}, /* names are case sensitive */
      {"Wired=2015;Wir=2015;=2015;;Wire", "registration_request_2018"},
      {"Wire=2016", "registration_request_2018"},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct world w;
    struct raw raw;
    struct raw_frame frame;
    world_open(&w, table[i].params, 0);
    world_connect(&w, 3);
    world_accept(&w, &raw);
    world_frame(&w, &raw, &frame);
    check_request(&frame, table[i].vector, -1);
    raw_close(&raw);
    world_close(&w);
  }
}

static void access_point_is_remembered(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  world_accept(&w, &raw);
  world_frame(&w, &raw, &frame);
  check_request(&frame, "registration_request_2018", WORLD_SERVER_UNIT);
  raw_close(&raw);
  world_close(&w);
}

static void check_beat(const struct raw_frame *frame, const char *name, int count) {
  const struct vector *v = vector(name);
  uint8_t expected[64];
  bool wide = v->size == 52;
  memcpy(expected, v->bytes, v->size);
  raw_le32(expected + 20, (uint32_t)count);
  size_t launch = wide ? 36 : 28;
  int64_t sent = raw_get64(frame->bytes + launch), now = time(NULL);
  CHECK(sent <= now && sent > now - 60);
  memcpy(expected + launch, frame->bytes + launch, 8);
  CHECK_BYTES(frame->bytes, frame->packet_size, expected, v->size);
}

/* Heartbeats begin with the connection, before the ack, and count from 0 on each of them. */
static void heartbeats(void) {
  for (int older = 0; older < 2; older++) {
    struct world w;
    struct raw raw;
    struct raw_frame frame;
    world_open(&w, older ? "Wire=2015" : NULL, 0);
    world_connect(&w, 3);
    world_accept(&w, &raw);
    int64_t start = check_ms();
    world_request(&w, &raw, older ? WORLD_2015 : WORLD_2018);
    world_heartbeat(&w, &raw, &frame);
    check_beat(&frame, older ? "heartbeat_before_ack" : "heartbeat_before_ack_2018", 0);
    world_ack(&raw, 3, 0);
    world_event_of(&w, SB_EV_CONNECTED);
    world_heartbeat(&w, &raw, &frame);
    check_beat(&frame, older ? "heartbeat" : "heartbeat_2018", 1);
    CHECK(check_ms() - start >= 1900); /* one a second, not a thousand */
    raw_put_vector(&raw, "heartbeat_ack");
    raw_put_vector(&raw, "heartbeat_ack_2018");
    raw_put(&raw, 0, 6, (struct raw_addr){1, 0, 1}, (struct raw_addr){19, 3, 18}, "", 0);
    world_barrier(&w, &raw, 3);
    raw_close(&raw);
    world_event_of(&w, SB_EV_DISCONNECTED);
    world_accept(&w, &raw);
    world_heartbeat(&w, &raw, &frame);
    check_beat(&frame, older ? "heartbeat" : "heartbeat_2018", 0);
    raw_close(&raw);
    world_close(&w);
  }
}

/* The unit that Init changes is the source of all later frames, heartbeats too (NET.md 9.1). */
static void unit_changes_at_once(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  sb_net_set_unit(w.net, 21);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 19, 4, 5, "", 0), 0);
  world_frame(&w, &raw, &frame);
  CHECK_ADDR(frame.src, 21, 3, 18);
  world_heartbeat(&w, &raw, &frame);
  CHECK_ADDR(frame.src, 21, 3, 18);
  CHECK_INT(sb_net_send(w.net, 3, 1, 3, 21, 4, 5, "", 0), SB_EOWNUNIT);
  raw_close(&raw);
  world_close(&w);
}

/* ---- answers --------------------------------------------------------------- */

enum { CODES = 10 };

/* NET.md 2.5: every refusal is reported; only -10 is tried again, after two seconds; -5 and -6 are
 * tried once more in the other form first. */
static void refusals(void) {
  static const int codes[CODES] = {-10, -5, -6, -4, -22, -24, -99, 1, 5, 7};
  struct world w;
  struct raw raws[CODES];
  int listeners[CODES];
  world_open(&w, NULL, 0);
  for (int i = 0; i < CODES; i++) {
    int port = 0;
    listeners[i] = raw_listen(&port);
    REQUIRE_INT(sb_net_connect(w.net, i, 18, "127.0.0.1", port, NULL, 0, "u", "p", NULL), 0);
    world_accept_at(&w, &raws[i], listeners[i]);
    world_request(&w, &raws[i], WORLD_2018);
    world_ack(&raws[i], i, codes[i]);
    world_expect_end(&w, &raws[i]); /* the client closes */
    raw_close(&raws[i]);
    if (codes[i] == SB_EUSER || codes[i] == SB_EPASSWORD) {
      CHECK_INT(w.count, w.next); /* not reported yet */
      world_accept_at(&w, &raws[i], listeners[i]);
      world_request(&w, &raws[i], WORLD_2015);
      world_ack(&raws[i], i, codes[i]);
      world_expect_end(&w, &raws[i]);
      raw_close(&raws[i]);
    }
    const struct seen *seen = world_event_of(&w, SB_EV_CONNECTED);
    CHECK_INT(seen->client, i);
    CHECK_INT(seen->code, codes[i]);
    CHECK_INT(seen->id, 1); /* the refusing server's unit */
    CHECK_INT(sb_net_send(w.net, i, 1, 3, 20, 1, 1, "", 0), SB_ENOTCONN);
    CHECK_INT(sb_net_connected(w.net, i), 0);
  }
  for (int round = 0; round < 2; round++) {
    int64_t start = check_ms();
    world_accept_at(&w, &raws[0], listeners[0]);
    if (round > 0) CHECK(check_ms() - start >= 1900);
    world_request(&w, &raws[0], WORLD_2018);
    world_ack(&raws[0], 0, -10);
    CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, -10);
    world_expect_end(&w, &raws[0]);
    raw_close(&raws[0]);
  }
  /* Four seconds on, none of the others has come again. */
  for (int i = 1; i < CODES; i++) CHECK(!raw_accept(&raws[i], listeners[i]));
  world_accept_at(&w, &raws[0], listeners[0]); /* and the one that has can still be accepted */
  world_request(&w, &raws[0], WORLD_2018);
  world_ack(&raws[0], 0, 0);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, 0);
  CHECK_INT(w.count, w.next);
  raw_close(&raws[0]);
  for (int i = 0; i < CODES; i++) close(listeners[i]);
  world_close(&w);
}

/* A form that is given is the only one: the first refusal counts. */
static void no_other_form_if_told(void) {
  struct world w;
  struct raw raw;
  world_open(&w, "Wire=2015", 0);
  world_connect(&w, 3);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2015);
  world_ack(&raw, 3, SB_EUSER);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, SB_EUSER);
  raw_close(&raw);
  world_close(&w);
}

/* The form that worked is the first one after a loss. */
static void form_is_remembered(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2018);
  world_ack(&raw, 3, SB_EPASSWORD);
  world_expect_end(&w, &raw);
  raw_close(&raw);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2015);
  world_ack(&raw, 3, 0);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, 0);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2015);
  world_heartbeat(&w, &raw, &frame);
  CHECK_INT(frame.packet_size, 52); /* of that generation too */
  world_ack(&raw, 3, SB_EUSER);     /* the server was changed: both forms are asked again */
  world_expect_end(&w, &raw);
  raw_close(&raw);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2018);
  world_ack(&raw, 3, 0);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, 0);
  raw_close(&raw);
  world_close(&w);
}

/* Closed without an answer: the other form at once, then a second's rest. No event. A client that
 * lost a registered link at the same moment is back before that second is over. */
static void unanswered(void) {
  struct world w;
  struct raw raw, up;
  int port = 0, listener = raw_listen(&port);
  world_open(&w, NULL, 0);
  REQUIRE_INT(sb_net_connect(w.net, 4, 18, "127.0.0.1", port, NULL, 0, "u", "p", NULL), 0);
  UNTIL(raw_accept(&up, listener), world_step(&w, 5));
  world_ack(&up, 4, 0);
  world_event_of(&w, SB_EV_CONNECTED);
  world_connect(&w, 3);
  static const int forms[] = {WORLD_2018, WORLD_2015, WORLD_2018, WORLD_2015};
  int64_t closed = 0;
  for (int i = 0; i < 4; i++) {
    world_accept(&w, &raw);
    if (i == 2) CHECK(check_ms() - closed >= 990);
    world_request(&w, &raw, forms[i]);
    raw_close(&raw);
    closed = check_ms();
  }
  raw_close(&up);
  world_event_of(&w, SB_EV_DISCONNECTED);
  UNTIL(raw_accept(&up, listener), {
    world_step(&w, 2);
    REQUIRE(!raw_accept(&raw, w.listener));
  });
  world_accept(&w, &raw);
  CHECK(check_ms() - closed >= 990);
  world_request(&w, &raw, forms[0]);
  world_ack(&raw, 3, 0);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->client, 3);
  raw_close(&raw);
  raw_close(&up);
  close(listener);
  world_close(&w);
}

/* Accepted and cut off, over and over: two processes that fight for one address. */
static void short_lives(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  int64_t closed = 0;
  for (int i = 0; i < 4; i++) {
    world_accept(&w, &raw);
    if (i >= 2) CHECK(check_ms() - closed >= 990);
    world_request(&w, &raw, WORLD_2018);
    world_ack(&raw, 3, 0);
    CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, 0);
    raw_close(&raw);
    closed = check_ms();
    world_event_of(&w, SB_EV_DISCONNECTED);
  }
  world_close(&w);
}

/* The server dies while the client registers. When it is back it is asked in the form that always
 * worked, not in the one that nobody was there to answer. */
static void server_dies_before_it_answers(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2018);
  int refusing = raw_bind(&w.port);
  close(w.listener);
  raw_close(&raw);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, SB_ECONNECT);
  w.listener = raw_listen(&w.port);
  world_register(&w, &raw, 3);
  raw_close(&raw);
  close(refusing);
  world_close(&w);
}

/* It refuses one form and does not answer the other: the refusal is reported, and is final. */
static void refused_then_unanswered(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2018);
  world_ack(&raw, 3, SB_EPASSWORD);
  world_expect_end(&w, &raw);
  raw_close(&raw);
  world_accept(&w, &raw);
  world_request(&w, &raw, WORLD_2015);
  raw_close(&raw);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, SB_EPASSWORD);
  int64_t start = check_ms();
  UNTIL(check_ms() - start > 1300, world_step(&w, 50));
  CHECK(!raw_accept(&raw, w.listener));
  CHECK_INT(w.count, w.next);
  world_close(&w);
}

static void second_ack(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  world_ack(&raw, 3, 0);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, 0);
  raw_put(&raw, 0, 2, (struct raw_addr){1, 0, 1}, (struct raw_addr){19, 3, 18}, "abc", 3);
  world_barrier(&w, &raw, 3); /* too short an ack: ignored */
  world_ack(&raw, 3, -4);     /* a refusal while registered */
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, -4);
  world_event_of(&w, SB_EV_DISCONNECTED);
  world_expect_end(&w, &raw);
  CHECK_INT(sb_net_connected(w.net, 3), 0);
  raw_close(&raw);
  world_close(&w);
}

/* Both golden acks, with node block and without; the access point is a signed char. */
static void acks(void) {
  static const struct {
    uint8_t unit;
    int expected;
  } units[] = {{1, 1}, {15, 15}, {200, -56}};
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  world_accept(&w, &raw);
  raw_put_vector(&raw, "registration_ack_ok");
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->id, 1);
  raw_put_vector(&raw, "registration_ack_minimal");
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->id, 1);
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    raw_put(&raw, 0, 2, (struct raw_addr){units[i].unit, 0, 1}, (struct raw_addr){9, 9, 9},
            "\0\0\0\0", 4);
    CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->id, units[i].expected);
  }
  raw_put_vector(&raw, "registration_ack_refused");
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->code, -6);
  raw_close(&raw);
  world_close(&w);
}

/* ---- connecting ------------------------------------------------------------ */

/* -20 once in the life of a client id; the next attempts come every two seconds. */
static void one_failure_report(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  close(w.listener);
  int refusing = raw_refuse(&w.port);
  world_connect(&w, 3);
  int64_t start = check_ms();
  const struct seen *seen = world_event_of(&w, SB_EV_CONNECTED);
  CHECK_INT(seen->code, SB_ECONNECT);
  CHECK_INT(seen->id, -1);
  UNTIL(check_ms() - start > 2500, world_step(&w, 50)); /* a second attempt fails silently */
  CHECK_INT(w.count, w.next);
  w.listener = raw_listen(&w.port);
  world_register(&w, &raw, 3);
  close(w.listener);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  start = check_ms();
  UNTIL(check_ms() - start > 500, world_step(&w, 50)); /* at once, and in vain */
  CHECK_INT(w.count, w.next);
  w.listener = raw_listen(&w.port);
  world_register(&w, &raw, 3);
  raw_close(&raw);
  close(refusing);
  world_close(&w);
}

/* NET.md 9.2, in the order of the checks: each row breaks its own rule and all later ones. */
static void connect_arguments(void) {
  static const struct {
    int id, type;
    const char *ip;
    int port, expected;
  } table[] = {
      {3, 1, NULL, 0, SB_ECLIENTTYPE},
      {3, 0, "127.0.0.1", 1234, SB_ECLIENTTYPE},
      {3, -1, "127.0.0.1", 1234, SB_ECLIENTTYPE},
      {3, 2, NULL, 1234, SB_EARGUMENT},
      {3, 2, "", 1234, SB_EARGUMENT},
      {3, 2, "127.0.0.1", 0, SB_EARGUMENT},
      {3, 2, "127.0.0.1", 65535, SB_EARGUMENT},
      {3, 2, "127.0.0.1", -1, SB_EARGUMENT},
      {3, 2, "localhost", 1234, SB_EARGUMENT},
      {3, 2, "256.1.1.1", 1234, SB_EARGUMENT},
      {3, 2, "1.2.3.4.5.6.7.8.9.10.11", 1234, SB_EARGUMENT},
      {3, 2, "127.0.0.1", 1, 0}, /* none of the failures blocked the id */
      {3, 2, "127.0.0.1", 1, SB_EARGUMENT},
      {259, 2, "127.0.0.1", 1, SB_EARGUMENT}, /* modulo 256 */
  };
  struct world w;
  world_open(&w, NULL, 0);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    CHECK_INT(sb_net_connect(w.net, table[i].id, table[i].type, table[i].ip, table[i].port, NULL, 0,
                             NULL, NULL, NULL),
              table[i].expected);
  CHECK_INT(sb_net_connect(w.net, 4, 2, "127.0.0.1", 1, "localhost", 1, NULL, NULL, NULL),
            SB_EARGUMENT);
  CHECK_INT(sb_net_connect(w.net, 4, 2, "127.0.0.1", 1, "localhost", 0, NULL, NULL, NULL), 0);
  for (int id = 5; id < 51; id++)
    CHECK_INT(sb_net_connect(w.net, id, 2, "127.0.0.1", 1, NULL, 0, NULL, NULL, NULL), 0);
  CHECK_INT(sb_net_connect(w.net, 51, 2, "127.0.0.1", 1, NULL, 0, NULL, NULL, NULL), SB_ETOOMANY);
  CHECK_INT(sb_net_disconnect(w.net, 50), 0);
  CHECK_INT(sb_net_disconnect(w.net, 50), SB_ENOCLIENT);
  CHECK_INT(sb_net_connect(w.net, 51, 2, "127.0.0.1", 1, NULL, 0, NULL, NULL, NULL), 0);
  world_close(&w);
}

/* Forgetting a client id is silent; what was sent before has left; the id can be used again. */
static void forgetting(void) {
  struct world w;
  struct raw raw, other;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  world_up(&w, &other, 4);
  sb_net_cork(w.net, 1);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "last", 4), 0);
  CHECK_INT(sb_net_disconnect(w.net, 3), 0);
  sb_net_cork(w.net, 0);
  CHECK_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "", 0), SB_ENOCLIENT);
  CHECK_INT(sb_net_connected(w.net, 3), 0);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.data, frame.size, "last", 4);
  world_expect_end(&w, &raw);
  raw_close(&raw);
  world_barrier(&w, &other, 4);
  world_up(&w, &raw, 3);
  raw_close(&raw);
  raw_close(&other);
  world_close(&w);
}

/* ---- loss ------------------------------------------------------------------ */

/* NET.md 1.4 and 12: a bad stream ends the link, the client is back at once. */
static void bad_streams(void) {
  static const struct {
    int32_t packet_size, size;
    uint8_t magic;
  } table[] = {{20, 0, 0x16}, {0, 0, 0x15},  {19, 0, 0x15},
               {-1, 0, 0x15}, {24, 5, 0x15}, {24, -1, 0x15}};
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    world_register(&w, &raw, 3);
    uint8_t bad[40] = {table[i].magic, 0x5B, 1, 3};
    raw_le32(bad + 12, (uint32_t)table[i].packet_size);
    raw_le32(bad + 16, (uint32_t)table[i].size);
    raw_put_vector(&raw, "deliver_user_data"); /* what came before it counts */
    raw_send(&raw, bad, sizeof bad);
    CHECK_INT(world_event_of(&w, SB_EV_DATA)->size, 5);
    world_event_of(&w, SB_EV_DISCONNECTED);
    world_expect_end(&w, &raw);
    raw_close(&raw);
  }
  world_close(&w);
}

/* Frames that arrive before the ack are delivered (NET.md 2). */
static void data_before_ack(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_connect(&w, 3);
  world_accept(&w, &raw);
  raw_put_vector(&raw, "deliver_user_data");
  CHECK_INT(world_event_of(&w, SB_EV_DATA)->client, 3);
  CHECK_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "", 0), SB_ENOTCONN);
  raw_close(&raw);
  world_close(&w);
}

/* Fifteen seconds of silence end a registered link; any byte keeps it; a link that never got its
 * ack is left alone (NET.md 3.3). */
static void silence(void) {
  enum { SILENT = 3, FED = 4, UNACKED = 5 };
  struct world w;
  struct raw silent, fed, unacked;
  world_open(&w, NULL, 0);
  world_up(&w, &fed, FED);
  world_connect(&w, UNACKED);
  world_accept(&w, &unacked);
  world_request(&w, &unacked, WORLD_2018);
  world_connect(&w, SILENT);
  world_register(&w, &silent, SILENT);
  int64_t start = check_ms(), fed_at = start;
  int64_t end = start + SBI_SILENCE_MS + CHECK_DEADLINE_MS;
  while (w.next == w.count) {
    REQUIRE(check_ms() < end);
    world_step(&w, 100);
    if (check_ms() - fed_at < 3000) continue;
    fed_at = check_ms();
    raw_send(&fed, vector("heartbeat_ack")->bytes, 52);
    raw_read(&unacked, 0);
    raw_read(&silent, 0);
  }
  CHECK_INT(world_event_of(&w, SB_EV_DISCONNECTED)->client, SILENT);
  CHECK(check_ms() - start >= 14900);
  world_expect_end(&w, &silent);
  raw_close(&silent);
  world_register(&w, &silent, SILENT);
  world_barrier(&w, &fed, FED);
  world_ack(&unacked, UNACKED, 0);
  CHECK_INT(world_event_of(&w, SB_EV_CONNECTED)->client, UNACKED);
  CHECK_INT(w.count, w.next);
  raw_close(&silent);
  raw_close(&fed);
  raw_close(&unacked);
  world_close(&w);
}

/* A host that does not step: the keeper beats, where there is one. */
static void keeper(void) {
  struct world kept, alone;
  struct raw raw, other;
  struct raw_frame frame;
  world_open(&kept, NULL, 0);
  world_open(&alone, NULL, SB_NET_NO_KEEPER);
  world_up(&alone, &other, 3);
  world_up(&kept, &raw, 3);
  for (int beats = 0; beats < 3;) {
    REQUIRE(!raw.ended);
    raw_read(&raw, 100);
    while (raw_next(&raw, &frame)) beats += raw_is_heartbeat(&frame);
  }
  raw_read(&other, 0);
  int beats = 0;
  while (raw_next(&other, &frame)) beats += raw_is_heartbeat(&frame);
  CHECK(beats <= 1); /* one may have left before the last step */
  /* What arrives meanwhile is read by the keeper, and told to the host when it comes back. */
  raw_put_vector(&raw, "deliver_user_data");
  UNTIL(sbi_inbox_count(sb_net_inbox(kept.net)) == 1, raw_read(&raw, 20));
#ifdef SBI_EPOLL
  struct pollfd polled = {.fd = sb_net_fileno(kept.net), .events = POLLIN};
  CHECK_INT(poll(&polled, 1, CHECK_DEADLINE_MS), 1);
#endif
  CHECK_INT(world_event_of(&kept, SB_EV_DATA)->size, 5);
  raw_close(&raw);
  raw_close(&other);
  world_close(&kept);
  world_close(&alone);
}

static bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

/* A forked child lets go of the descriptors; the parent's connections do not notice. */
static void forked_child(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  const int fds[] = {w.net->clients[3]->links[0].conn.watch.fd, w.net->keeper_read,
                     w.net->keeper_write, w.net->loop.wake_read, sb_inbox_fileno(w.net->inbox)};
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int open = 0;
    sb_net_abandon(w.net);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) open += is_open(fds[i]);
#ifdef SBI_EPOLL
    open += is_open(sb_net_fileno(w.net));
#endif
    _exit(open);
  }
  int status;
  REQUIRE_INT(waitpid(child, &status, 0), child);
  CHECK(WIFEXITED(status));
  CHECK_INT(WEXITSTATUS(status), 0);
  world_barrier(&w, &raw, 3);
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  world_close(&w);
}

/* ---- master and slave ------------------------------------------------------ */

struct pair {
  struct world w;
  int slave_listener, slave_port;
  struct raw master, slave;
};

static void pair_open(struct pair *p) {
  struct raw_frame frame;
  world_open(&p->w, NULL, 0);
  p->slave_port = 0;
  p->slave_listener = raw_listen(&p->slave_port);
  REQUIRE_INT(sb_net_connect(p->w.net, 3, 18, "127.0.0.1", p->w.port, "127.0.0.1", p->slave_port,
                             "alice", "secret", "info!"),
              0);
  world_accept(&p->w, &p->master); /* both are opened at the same time */
  world_accept_at(&p->w, &p->slave, p->slave_listener);
  world_frame(&p->w, &p->master, &frame);
  check_request(&frame, "registration_request_2018", -1);
  world_frame(&p->w, &p->slave, &frame);
  check_request(&frame, "registration_request_slave_2018", -1);
}

static void pair_close(struct pair *p) {
  raw_close(&p->master);
  raw_close(&p->slave);
  close(p->slave_listener);
  world_close(&p->w);
}

static void send_arrives_at(struct pair *p, struct raw *raw) {
  world_frame_barrier(&p->w, raw, 3);
}

static void master_and_slave(void) {
  struct pair p;
  pair_open(&p);
  world_ack(&p.slave, 3, 0); /* the slave is accepted first */
  CHECK_INT(world_event_of(&p.w, SB_EV_CONNECTED)->code, 0);
  world_ack(&p.master, 3, 0); /* no event of its own */
  world_barrier(&p.w, &p.master, 3);
  world_barrier(&p.w, &p.slave, 3); /* what arrives on either is delivered */
  send_arrives_at(&p, &p.slave);    /* the one that was accepted first */

  raw_close(&p.slave);
  world_accept_at(&p.w, &p.slave, p.slave_listener); /* back at once, and no event */
  send_arrives_at(&p, &p.master);
  world_request(&p.w, &p.slave, WORLD_2018);
  world_ack(&p.slave, 3, 0);
  world_barrier(&p.w, &p.slave, 3);
  send_arrives_at(&p, &p.master); /* it does not switch back */

  raw_close(&p.master);
  world_accept(&p.w, &p.master); /* back, and left without an answer */
  world_barrier(&p.w, &p.slave, 3);
  send_arrives_at(&p, &p.slave);
  CHECK_INT(sb_net_connected(p.w.net, 3), 1);
  raw_close(&p.slave); /* the last one */
  world_event_of(&p.w, SB_EV_DISCONNECTED);
  world_accept_at(&p.w, &p.slave, p.slave_listener);
  world_ack(&p.slave, 3, 0);
  CHECK_INT(world_event_of(&p.w, SB_EV_CONNECTED)->code, 0);
  CHECK_INT(p.w.count, p.w.next);
  pair_close(&p);
}

/* Frames that wait on a link that dies leave on the other one. */
static void queue_moves_to_the_other_link(void) {
  struct pair p;
  struct raw_frame frame;
  pair_open(&p);
  world_ack(&p.master, 3, 0);
  world_event_of(&p.w, SB_EV_CONNECTED);
  world_ack(&p.slave, 3, 0);
  world_barrier(&p.w, &p.slave, 3);
  size_t size = 1 << 20;
  uint8_t *data = calloc(1, size);
  int sent = 0;
  for (; sent < 30; sent++) { /* more than the socket takes: the server does not read */
    raw_le32(data, (uint32_t)sent);
    REQUIRE_INT(sb_net_send(p.w.net, 3, 1, 3, 20, 4, 5, data, (int)size), 0);
  }
  uint64_t queued = sb_net_queued(p.w.net);
  REQUIRE(queued > size * 2);
  raw_close(&p.master);
  world_frame(&p.w, &p.slave, &frame);
  int first = (int)raw_get32(frame.data);
  CHECK(first > 0 && first < sent);
  for (int i = first + 1; i < sent; i++) {
    world_frame(&p.w, &p.slave, &frame);
    REQUIRE_INT(raw_get32(frame.data), i);
  }
  CHECK((uint64_t)(sent - first) * size >= queued - size);
  send_arrives_at(&p, &p.slave);
  free(data);
  pair_close(&p);
}

static int failures(const struct world *w) {
  int count = 0;
  for (size_t i = 0; i < w->count; i++)
    count += w->events[i].kind == SB_EV_CONNECTED && w->events[i].code == SB_ECONNECT;
  return count;
}

/* NET.md 9.4: of all failures to connect, on either link, the first is reported, and not even that
 * one while the other link is up. */
static void failures_of_a_pair(void) {
  struct pair p = {0};
  int slave_port, master = raw_refuse(&p.slave_port), slave = raw_refuse(&slave_port);
  world_open(&p.w, NULL, 0);
  REQUIRE_INT(sb_net_connect(p.w.net, 3, 18, "127.0.0.1", p.slave_port, "127.0.0.1", slave_port, "",
                             "", ""),
              0);
  int64_t start = check_ms();
  UNTIL(check_ms() - start > 2500, world_step(&p.w, 50)); /* each has failed twice */
  CHECK_INT(failures(&p.w), 1);
  world_close(&p.w);
  close(master);
  close(slave);

  pair_open(&p);
  world_ack(&p.slave, 3, 0);
  world_event_of(&p.w, SB_EV_CONNECTED);
  world_ack(&p.master, 3, 0);
  world_barrier(&p.w, &p.master, 3);
  master = raw_bind(&p.w.port);
  slave = raw_bind(&p.slave_port);
  close(p.w.listener);
  raw_close(&p.master);
  start = check_ms();
  UNTIL(check_ms() - start > 300, world_step(&p.w, 50)); /* fails beside the slave */
  world_barrier(&p.w, &p.slave, 3);
  close(p.slave_listener);
  raw_close(&p.slave);
  world_event_of(&p.w, SB_EV_DISCONNECTED);
  start = check_ms();
  UNTIL(check_ms() - start > 300, world_step(&p.w, 50));
  CHECK_INT(failures(&p.w), 0);
  p.w.listener = master; /* to be closed with the pair */
  p.slave_listener = slave;
  pair_close(&p);
}

/* A refused slave is reported only if the master is not up, and is dead (NET.md 9.3). */
static void refused_slave(void) {
  struct pair p;
  pair_open(&p);
  world_ack(&p.master, 3, 0);
  CHECK_INT(world_event_of(&p.w, SB_EV_CONNECTED)->code, 0);
  world_ack(&p.slave, 3, -24);
  world_expect_end(&p.w, &p.slave);
  world_barrier(&p.w, &p.master, 3);
  raw_close(&p.master);
  world_event_of(&p.w, SB_EV_DISCONNECTED); /* the slave is none to fall back on */
  pair_close(&p);

  pair_open(&p);
  world_ack(&p.slave, 3, -24);
  CHECK_INT(world_event_of(&p.w, SB_EV_CONNECTED)->code, -24);
  world_ack(&p.master, 3, 0);
  CHECK_INT(world_event_of(&p.w, SB_EV_CONNECTED)->code, 0);
  pair_close(&p);
}

int main(void) {
  return check_run((struct check_case[]){
      {"registration_bytes", registration_bytes, false},
      {"access_point_is_remembered", access_point_is_remembered, false},
      {"heartbeats", heartbeats, true},
      {"unit_changes_at_once", unit_changes_at_once, true},
      {"refusals", refusals, true},
      {"no_other_form_if_told", no_other_form_if_told, false},
      {"form_is_remembered", form_is_remembered, true},
      {"unanswered", unanswered, true},
      {"short_lives", short_lives, true},
      {"server_dies_before_it_answers", server_dies_before_it_answers, true},
      {"refused_then_unanswered", refused_then_unanswered, true},
      {"second_ack", second_ack, false},
      {"acks", acks, false},
      {"one_failure_report", one_failure_report, true},
      {"connect_arguments", connect_arguments, false},
      {"forgetting", forgetting, false},
      {"bad_streams", bad_streams, false},
      {"data_before_ack", data_before_ack, false},
      {"silence", silence, true},
      {"keeper", keeper, true},
      {"forked_child", forked_child, false},
      {"master_and_slave", master_and_slave, false},
      {"queue_moves_to_the_other_link", queue_moves_to_the_other_link, false},
      {"failures_of_a_pair", failures_of_a_pair, true},
      {"refused_slave", refused_slave, false},
      {0},
  });
}
