/* bus, its links: who may register, heartbeats, duplicates, bad input, silence, the host's calls. */
#include <sys/wait.h>

#include "bus_town.h"

static const struct raw_addr nobody = {0, 0, 0};

/* Two clients that go on undisturbed whatever happens beside them. */
struct witnesses {
  struct raw a, b;
};

static const struct raw_addr addr_a = {40, 1, 30}, addr_b = {41, 2, 31};

static void witnesses_join(struct town *t, struct witnesses *w) {
  town_join(t, &w->a, 40, 1, 30);
  town_join(t, &w->b, 41, 2, 31);
}

static void hear(struct raw *to, struct raw_addr from, const char *text) {
  struct raw_frame frame;
  do {
    town_frame(to, &frame);
  } while (frame.src.unit != from.unit); /* strangers may broadcast */
  CHECK_BYTES(frame.data, frame.size, text, strlen(text));
}

static void witnesses_talk(struct witnesses *w) {
  raw_put(&w->a, 3, 1, addr_a, addr_b, "to b", 4);
  hear(&w->b, addr_a, "to b");
  raw_put(&w->b, 3, 1, addr_b, addr_a, "to a!", 5);
  hear(&w->a, addr_b, "to a!");
}

static void witnesses_leave(struct witnesses *w) {
  raw_close(&w->a);
  raw_close(&w->b);
}

/* ---- registration ---------------------------------------------------------- */

static void four_layouts(void) {
  static const struct {
    const char *vector;
    int ack_size;
    const char *version;
    int64_t pid;
  } table[] = {
      {"registration_request", 5580, "", 0},
      {"registration_request_32bit", 5516, "", 0},
      {"registration_request_2018", 5580, "1.0.1.0465", INT64_C(0x12345678901)},
      {"registration_request_32bit_2018", 5516, "1.0.1.0465", 77},
  };
  const struct vector *ack = vector("registration_ack_ok");
  struct town t;
  struct raw raw;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    town_enter(
        &t, &raw,
        (struct request){.vector = table[i].vector, .addr = {19, 3, 18}, .pid = table[i].pid});
    raw_expect(&raw, &frame);
    CHECK_INT(frame.packet_size, table[i].ack_size);
    CHECK_INT(frame.size, table[i].ack_size - 20);
    CHECK_BYTES(frame.bytes, 12, ack->bytes, 12);
    CHECK_BYTES(frame.bytes + 20, table[i].ack_size - 20, ack->bytes + 20, table[i].ack_size - 20);
    const struct report *joined = town_report(&t);
    CHECK_INT(joined->kind, SB_EV_BUS_JOINED);
    CHECK_INT(joined->code, 0);
    CHECK_ADDR(joined->addr, 19, 3, 18);
    CHECK_INT(strncmp(report_text(joined, 0), "127.0.0.1:", 10), 0);
    CHECK_TEXT(report_text(joined, 1), "info!");
    CHECK_TEXT(report_text(joined, 2), table[i].version);
    sb_bus_client client;
    CHECK_INT(sb_bus_clients(t.bus, &client, 1), 1);
    CHECK_INT(sb_bus_clients(t.bus, NULL, 0), 1);
    CHECK_INT(client.unit, 19);
    CHECK_INT(client.client, 3);
    CHECK_INT(client.type, 18);
    CHECK_INT(client.links, 1);
    CHECK_INT(client.link, joined->id);
    CHECK_INT(client.pid, table[i].pid);
    CHECK_TEXT(client.version, table[i].version);
    CHECK_TEXT(client.info, "info!");
    CHECK_TEXT(client.peer, report_text(joined, 0));
    CHECK(client.since > (double)time(NULL) - 600 && client.since < (double)time(NULL) + 1);
    raw_close(&raw);
    const struct report *left = town_report(&t);
    CHECK_INT(left->kind, SB_EV_BUS_LEFT);
    CHECK_INT(left->code, SB_LEFT_CLOSED);
    CHECK_INT(left->id, joined->id);
    CHECK_ADDR(left->addr, 19, 3, 18);
    CHECK_INT(sb_bus_clients(t.bus, &client, 1), 0);
  }
  town_close(&t);
}

/* NET-2018.md 1.1: 449 bytes of data are enough, fewer are dropped. */
static void shortest_request(void) {
  struct town t;
  struct raw raw;
  uint8_t data[450] = {0};
  memcpy(data + 1, "alice", 5);
  town_open(&t, (sb_bus_options){0});
  raw_open(&raw, t.port);
  raw_put(&raw, 0, 1, (struct raw_addr){20, 1, 9}, nobody, data, 449);
  CHECK_INT(town_ack(&raw), 0);
  raw_close(&raw);
  raw_open(&raw, t.port);
  raw_put(&raw, 0, 1, (struct raw_addr){20, 1, 9}, nobody, data, 448);
  raw_expect_end(&raw);
  CHECK(strstr(report_text(town_report_of(&t, SB_EV_BUS_BAD), 1), "short") != NULL);
  raw_close(&raw);
  town_close(&t);
}

static void refusals(void) {
  static const struct {
    struct request request;
    int code;
  } table[] = {
      {{.addr = {48, 1, 18}}, SB_EUNIT},
      {{.addr = {255, 1, 18}}, SB_EUNIT},
      {{.addr = {0, 1, 18}}, SB_EUNIT},
      {{.addr = {15, 1, 2}}, SB_EUNIT},
      {{.addr = {19, 1, 0}}, SB_ECLIENTTYPE},
      {{.addr = {19, 1, 1}}, SB_ECLIENTTYPE},
      {{.addr = {19, 1, 18}, .index = 2}, SB_EARGUMENT},
      {{.addr = {TOWN_UNIT, 7, 2}}, SB_OK},
      {{.addr = {16, 255, 255}}, SB_OK},
      {{.addr = {47, 0, 2}, .index = 1}, SB_OK},
  };
  struct town t;
  struct raw raw;
  town_open(&t, (sb_bus_options){0});
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct raw_addr addr = table[i].request.addr;
    town_enter(&t, &raw, table[i].request);
    CHECK_INT(town_ack(&raw), table[i].code);
    const struct report *report = town_report(&t);
    CHECK_INT(report->kind, table[i].code == 0 ? SB_EV_BUS_JOINED : SB_EV_BUS_REFUSED);
    CHECK_ADDR(report->addr, addr.unit, addr.client, addr.type);
    if (table[i].code != 0) {
      CHECK_INT(report->code, table[i].code);
      CHECK(*report_text(report, 1) != 0);
      /* The client is to close, not the bus (NET.md 2.5). What it still says leads nowhere. */
      struct raw_frame frame;
      raw_put(&raw, 3, 1, addr, (struct raw_addr){255, 255, 255}, "x", 1);
      town_request(&raw, (struct request){.addr = {19, 1, 18}});
      raw_put(&raw, 0, 5, addr, nobody, "0123456789abcdef01234567", 24);
      UNTIL(raw_next(&raw, &frame), {
        REQUIRE(!raw.ended);
        raw_read(&raw, 100);
      });
      CHECK(raw_is_heartbeat(&frame));
    }
    raw_close(&raw);
    if (table[i].code == 0) CHECK_INT(town_report(&t)->kind, SB_EV_BUS_LEFT);
  }
  sb_bus_stats_t stats = town_stats(&t);
  CHECK_INT(stats.refused, 7);
  CHECK_INT(stats.registered, 3);
  CHECK_INT(stats.unregistered, 7);
  UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
  town_close(&t);
}

static void refused_and_stays(void) {
  struct town t;
  struct raw raw;
  town_open(&t, (sb_bus_options){0});
  town_enter(&t, &raw, (struct request){.addr = {48, 1, 18}});
  CHECK_INT(town_ack(&raw), SB_EUNIT);
  int64_t start = check_ms();
  raw_expect_end(&raw);
  CHECK(check_ms() - start >= SBI_LINGER_MS - 100);
  raw_close(&raw);
  town_close(&t);
}

static void registers_once(void) {
  struct town t;
  struct raw raw;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &raw, 20, 1, 9);
  town_request(&raw, (struct request){.addr = {21, 2, 9}});
  town_barrier(&raw, (struct raw_addr){20, 1, 9}, false); /* no second ack */
  CHECK_INT(town_stats(&t).registered, 1);
  raw_close(&raw);
  town_close(&t);
}

/* ---- the host decides ------------------------------------------------------ */

static void host_decides(void) {
  struct town t;
  struct raw raw;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){.ask_host = 1});
  for (int round = 0; round < 2; round++) {
    int code = round == 0 ? SB_EPASSWORD : SB_OK;
    town_enter(&t, &raw, (struct request){.addr = {19, 3, 18}, .index = 1});
    const struct report *ask = town_report(&t);
    CHECK_INT(ask->kind, SB_EV_BUS_ASK);
    CHECK_INT(ask->code, 1);
    CHECK_ADDR(ask->addr, 19, 3, 18);
    static const char *const texts[] = {"alice", "secret", "info!", "1.0.1.0465"};
    for (int i = 0; i < 4; i++) CHECK_TEXT(report_text(ask, i), texts[i]);
    CHECK_INT(strncmp(report_text(ask, 4), "127.0.0.1:", 10), 0);
    /* Not yet: heartbeats are answered, data is not routed. */
    raw_put(&raw, 3, 1, (struct raw_addr){19, 3, 18}, (struct raw_addr){255, 255, 255}, "x", 1);
    raw_put(&raw, 0, 5, (struct raw_addr){19, 3, 18}, nobody, NULL, 0);
    UNTIL(raw_next(&raw, &frame), raw_read(&raw, 100));
    CHECK(raw_is_heartbeat(&frame));
    uint32_t link = (uint32_t)ask->id;
    CHECK_INT(sb_bus_decide(t.bus, link, code), 0);
    CHECK_INT(sb_bus_decide(t.bus, link, SB_OK), SB_ENOCLIENT);
    CHECK_INT(town_ack(&raw), code);
    const struct report *report = town_report(&t);
    CHECK_INT(report->kind, code == 0 ? SB_EV_BUS_JOINED : SB_EV_BUS_REFUSED);
    CHECK_INT(report->code, code == 0 ? 1 : code);
    raw_close(&raw);
  }
  town_report_of(&t, SB_EV_BUS_LEFT);
  /* Gone before the decision. */
  town_enter(&t, &raw, (struct request){.addr = {19, 3, 18}});
  uint32_t link = (uint32_t)town_report_of(&t, SB_EV_BUS_ASK)->id;
  raw_close(&raw);
  UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
  CHECK_INT(sb_bus_decide(t.bus, link, SB_OK), SB_ENOCLIENT);
  CHECK_INT(sb_bus_decide(t.bus, 12345, SB_OK), SB_ENOCLIENT);
  /* What is wrong in itself is not asked. */
  town_enter(&t, &raw, (struct request){.addr = {48, 3, 18}});
  CHECK_INT(town_ack(&raw), SB_EUNIT);
  CHECK_INT(town_report(&t)->kind, SB_EV_BUS_REFUSED);
  raw_close(&raw);
  town_close(&t);
}

static void host_never_decides(void) {
  struct town t;
  struct raw raw;
  town_open(&t, (sb_bus_options){.ask_host = 1, .idle_ms = 400});
  town_enter(&t, &raw, (struct request){.addr = {19, 3, 18}});
  town_report_of(&t, SB_EV_BUS_ASK);
  UNTIL(raw.ended, { /* though it beats */
                     raw_put(&raw, 0, 5, (struct raw_addr){19, 3, 18}, nobody, NULL, 0);
                     raw_read(&raw, 50);
  });
  CHECK_INT(town_stats(&t).idle, 1);
  raw_close(&raw);
  town_close(&t);
}

static void kicking(void) {
  struct town t;
  struct raw raw;
  struct witnesses w;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &raw, 19, 3, 18);
  uint32_t link = (uint32_t)town_report_of(&t, SB_EV_BUS_JOINED)->id;
  witnesses_join(&t, &w);
  CHECK_INT(sb_bus_kick(t.bus, link), 0);
  raw_expect_end(&raw);
  const struct report *left = town_report_of(&t, SB_EV_BUS_LEFT);
  CHECK_INT(left->id, link);
  CHECK_INT(left->code, SB_LEFT_STOPPED);
  CHECK_INT(sb_bus_kick(t.bus, link), SB_ENOCLIENT);
  struct raw_frame frame;
  do raw_expect(&w.a, &frame);
  while (frame.cmd != 9); /* the others hear of it */
  CHECK_INT(frame.data[20], 19);
  witnesses_talk(&w);
  raw_close(&raw);
  witnesses_leave(&w);
  town_close(&t);
}

/* ---- heartbeats ------------------------------------------------------------ */

static void heartbeats(void) {
  static const char *const names[] = {"heartbeat_before_ack", "heartbeat", "heartbeat_32bit",
                                      "heartbeat_2018"};
  struct town t;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const struct vector *v = vector(names[i]);
    struct raw raw;
    raw_open(&raw, t.port); /* answered before the registration too */
    raw_send(&raw, v->bytes, v->size);
    UNTIL(raw_next(&raw, &frame), raw_read(&raw, 100));
    CHECK_INT(frame.cmdtype, 0);
    CHECK_INT(frame.cmd, 6);
    CHECK_ADDR(frame.src, TOWN_UNIT, 0, 1);
    CHECK_ADDR(frame.dst, 19, 3, 18);
    size_t n = (size_t)v->datalen;
    REQUIRE_INT(frame.size, n);
    CHECK_BYTES(frame.data, n - 8, v->bytes + 20, n - 8);
    int64_t now = time(NULL), answered = raw_get64(frame.data + n - 8);
    CHECK(answered <= now && answered > now - 60);
    raw_close(&raw);
  }
  /* An empty body, and a large one, are no harm. */
  struct raw raw;
  raw_open(&raw, t.port);
  raw_put(&raw, 0, 5, nobody, nobody, NULL, 0);
  UNTIL(raw_next(&raw, &frame), raw_read(&raw, 100));
  CHECK_INT(frame.size, 0);
  raw_close(&raw);
  raw_open(&raw, t.port);
  static uint8_t large[60000];
  raw_put(&raw, 0, 5, nobody, nobody, large, sizeof large);
  UNTIL(raw_next(&raw, &frame), raw_read(&raw, 100));
  CHECK(frame.size <= 32);
  raw_close(&raw);
  town_close(&t);
}

/* A thousand heartbeats a second and client (NET-2018.md 2) do no harm: 20 seconds' worth at once,
 * from two links, with data in between that all arrives. */
static void heartbeat_flood(void) {
  enum { EACH = 10000, DATA_EVERY = 100 };
  struct town t;
  struct witnesses w;
  struct raw_frame frame;
  town_open(&t, (sb_bus_options){0});
  witnesses_join(&t, &w);
  const struct vector *v = vector("heartbeat_2018");
  for (int i = 0; i < EACH; i++) {
    raw_send(&w.a, v->bytes, v->size);
    raw_send(&w.b, v->bytes, v->size);
    if (i % DATA_EVERY == 0) raw_put(&w.a, 3, 1, addr_a, addr_b, &i, sizeof i);
  }
  for (int i = 0; i < EACH; i += DATA_EVERY) {
    town_frame(&w.b, &frame);
    REQUIRE_INT(raw_get32(frame.data), i);
  }
  witnesses_talk(&w);
  CHECK_INT(town_stats(&t).heartbeats, 2 * EACH);
  int acks = 0;
  while (raw_read(&w.a, 0)) continue;
  while (raw_next(&w.a, &frame)) acks += raw_is_heartbeat(&frame);
  CHECK(acks < EACH / 10); /* a sign of life now and then will do */
  witnesses_leave(&w);
  town_close(&t);
}

/* ---- duplicates ------------------------------------------------------------ */

/* NET-2018.md 1.2: the same process replaces its old link; another one is refused. */
static void same_process(void) {
  struct town t;
  struct raw old, new;
  town_open(&t, (sb_bus_options){0});
  town_enter(&t, &old, (struct request){.addr = {19, 3, 18}, .pid = 7});
  CHECK_INT(town_ack(&old), 0);
  int id = town_report_of(&t, SB_EV_BUS_JOINED)->id;
  town_enter(&t, &new, (struct request){.addr = {19, 3, 18}, .pid = 7});
  CHECK_INT(town_ack(&new), 0);
  const struct report *left = town_report(&t);
  CHECK_INT(left->kind, SB_EV_BUS_LEFT);
  CHECK_INT(left->code, SB_LEFT_REPLACED);
  CHECK_INT(left->id, id);
  CHECK_INT(town_report(&t)->kind, SB_EV_BUS_JOINED);
  raw_expect_end(&old);
  raw_close(&old);
  town_barrier(&new, (struct raw_addr){19, 3, 18}, false);
  CHECK_INT(town_stats(&t).clients, 1);
  raw_close(&new);
  town_close(&t);
}

static void other_process(void) {
  static const struct {
    const char *old_form, *new_form;
    int64_t old_pid, new_pid;
    int type;
  } table[] = {
      {NULL, NULL, 7, 8, 18},
      {NULL, "registration_request", 7, 0, 18}, /* pid unknown: may be the same, may be not */
      {"registration_request", NULL, 0, 7, 18},
      {"registration_request", "registration_request", 0, 0, 18},
      {NULL, NULL, 7, 8, 25}, /* another type is the same address */
  };
  struct town t;
  struct raw old, new;
  town_open(&t, (sb_bus_options){0});
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    town_enter(&t, &old,
               (struct request){
                   .vector = table[i].old_form, .addr = {19, 3, 18}, .pid = table[i].old_pid});
    CHECK_INT(town_ack(&old), 0);
    town_enter(&t, &new,
               (struct request){.vector = table[i].new_form,
                                .addr = {19, 3, (uint8_t)table[i].type},
                                .pid = table[i].new_pid});
    CHECK_INT(town_ack(&new), SB_ETWICE);
    town_barrier(&old, (struct raw_addr){19, 3, 18}, false);
    raw_close(&new);
    raw_close(&old);
    UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
  }
  town_close(&t);
}

/* A link that was not heard of for three seconds is taken over by any process; one that beats is
 * not. */
static void silent_process(void) {
  struct town t;
  struct raw silent, beating, new;
  town_open(&t, (sb_bus_options){0});
  town_enter(&t, &silent, (struct request){.addr = {19, 3, 18}, .pid = 7});
  CHECK_INT(town_ack(&silent), 0);
  town_join(&t, &beating, 19, 4, 18);
  int64_t start = check_ms();
  UNTIL(check_ms() - start > SBI_ALIVE_MS + 300, {
    raw_put(&beating, 0, 5, (struct raw_addr){19, 4, 18}, nobody, NULL, 0);
    raw_read(&beating, 200);
  });
  town_enter(&t, &new, (struct request){.addr = {19, 3, 18}, .pid = 8});
  CHECK_INT(town_ack(&new), 0);
  raw_expect_end(&silent);
  raw_close(&silent);
  raw_put(&beating, 0, 5, (struct raw_addr){19, 4, 18}, nobody, NULL, 0);
  town_barrier(&beating, (struct raw_addr){19, 4, 18}, true);
  struct raw other;
  town_enter(&t, &other, (struct request){.addr = {19, 4, 18}, .pid = 8});
  CHECK_INT(town_ack(&other), SB_ETWICE);
  raw_close(&other);
  raw_close(&new);
  raw_close(&beating);
  town_close(&t);
}

/* Master and slave link of one process are one client; another process's slave link is refused. */
static void two_links(void) {
  struct town t;
  struct raw master, slave, other;
  struct raw_addr me = {19, 3, 18};
  town_open(&t, (sb_bus_options){0});
  town_enter(&t, &master, (struct request){.addr = me, .pid = 7, .index = 0});
  CHECK_INT(town_ack(&master), 0);
  town_enter(&t, &slave, (struct request){.addr = me, .pid = 7, .index = 1});
  CHECK_INT(town_ack(&slave), 0);
  sb_bus_client client;
  CHECK_INT(sb_bus_clients(t.bus, &client, 1), 1);
  CHECK_INT(client.links, 2);
  raw_close(&master);
  UNTIL(town_stats(&t).links == 1, poll(NULL, 0, 1));
  CHECK_INT(town_stats(&t).clients, 1);
  town_enter(&t, &other, (struct request){.addr = me, .pid = 8, .index = 0});
  CHECK_INT(town_ack(&other), SB_ETWICE);
  raw_close(&other);
  town_enter(&t, &master, (struct request){.addr = me, .pid = 7, .index = 0});
  CHECK_INT(town_ack(&master), 0);
  town_barrier(&slave, me, false);
  town_barrier(&master, me, false);
  raw_close(&master);
  raw_close(&slave);
  UNTIL(town_stats(&t).clients == 0, poll(NULL, 0, 1));
  town_close(&t);
}

/* ---- bad input ------------------------------------------------------------- */

/* Whatever comes in costs the connection it came on, and nobody else. */
static void bad_input(void) {
  static const struct {
    uint8_t magic;
    int32_t packet_size, size;
    const char *text;
  } table[] = {
      {0x16, 20, 0, "magic"},
      {'G', 0x20544547, 0, "magic"},
      {0x15, 0, 0, "packet_size"},
      {0x15, 19, 0, "packet_size"},
      {0x15, -1, 0, "packet_size"},
      {0x15, INT32_MIN, 0, "packet_size"},
      {0x15, 20, 1, "datalen"},
      {0x15, 24, 5, "datalen"},
      {0x15, 24, -1, "datalen"},
      {0x15, INT32_MAX, INT32_MAX, "datalen"},
      {0x15, 100001, 0, "of 100001 bytes"},
      {0x15, 2000000000, 5, "of 2000000000 bytes"},
      {0x15, INT32_MAX, 0, "of 2147483647 bytes"},
  };
  struct town t;
  struct witnesses w;
  town_open(&t, (sb_bus_options){.max_frame = 100000});
  witnesses_join(&t, &w);
  uint64_t bad = 0;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    for (int registered = 0; registered < 2; registered++) {
      struct raw raw;
      uint8_t bytes[200] = {table[i].magic, 0x5B, 1, 3, 9, 20, 5, 31, 41, 2};
      raw_le32(bytes + 12, (uint32_t)table[i].packet_size);
      raw_le32(bytes + 16, (uint32_t)table[i].size);
      if (registered)
        town_join(&t, &raw, 20, 5, 9);
      else
        raw_open(&raw, t.port);
      raw_send(&raw, bytes, sizeof bytes);
      raw_expect_end(&raw);
      const struct report *report = town_report_of(&t, SB_EV_BUS_BAD);
      CHECK(strstr(report_text(report, 1), table[i].text) != NULL);
      if (registered && strncmp(table[i].text, "of ", 3) == 0)
        CHECK(strstr(report_text(report, 1), "larger than the 100000 allowed") != NULL);
      CHECK_INT(report->addr.unit, registered ? 20 : 0);
      if (registered) {
        report = town_report(&t);
        CHECK_INT(report->kind, SB_EV_BUS_LEFT);
        CHECK_INT(report->code, SB_LEFT_BAD);
      }
      CHECK_INT(town_stats(&t).bad, ++bad);
      raw_close(&raw);
      witnesses_talk(&w);
    }
  }
  /* Half a frame, and nothing or the end behind it. */
  struct raw raw;
  raw_open(&raw, t.port);
  raw_send(&raw, vector("registration_request_2018")->bytes, 3000);
  witnesses_talk(&w);
  raw_close(&raw);
  witnesses_talk(&w);
  UNTIL(town_stats(&t).links == 2, poll(NULL, 0, 1));
  CHECK_INT(town_stats(&t).bad, bad);
  witnesses_leave(&w);
  town_close(&t);
}

/* Who has not registered cannot make the bus keep much. */
static void newcomers_are_kept_small(void) {
  struct town t;
  struct raw raw;
  static uint8_t data[100000];
  town_open(&t, (sb_bus_options){0});
  raw_open(&raw, t.port);
  raw_put(&raw, 3, 1, (struct raw_addr){20, 5, 9}, nobody, data, SBI_NEW_FRAME - 20);
  town_request(&raw, (struct request){.addr = {20, 5, 9}});
  CHECK_INT(town_ack(&raw), 0);
  raw_put(&raw, 3, 1, (struct raw_addr){20, 5, 9}, nobody, data, sizeof data);
  town_barrier(&raw, (struct raw_addr){20, 5, 9}, true);
  raw_close(&raw);
  raw_open(&raw, t.port);
  raw_put(&raw, 3, 1, (struct raw_addr){20, 5, 9}, nobody, data, SBI_NEW_FRAME - 16);
  raw_expect_end(&raw);
  CHECK(strstr(report_text(town_report_of(&t, SB_EV_BUS_BAD), 1), "larger") != NULL);
  raw_close(&raw);
  town_close(&t);
}

/* Bytes without sense, in any cut: the bus closes or ignores, and serves the others. */
static void noise(void) {
  struct town t;
  struct witnesses w;
  uint64_t chance = 2024;
  town_open(&t, (sb_bus_options){0});
  witnesses_join(&t, &w);
  for (int round = 0; round < 300; round++) {
    struct raw raw;
    uint8_t bytes[7000];
    const struct vector *v = &vectors[check_random(&chance) % VECTORS];
    memcpy(bytes, v->bytes, v->size);
    for (uint32_t n = check_random(&chance) % 6; n > 0; n--)
      bytes[check_random(&chance) % (n % 2 ? 20 : v->size)] ^= (uint8_t)check_random(&chance);
    if (round % 2)
      town_join(&t, &raw, 20, 5, 9);
    else
      raw_open(&raw, t.port);
    size_t cut = check_random(&chance) % v->size;
    raw_send(&raw, bytes, cut);
    raw_send(&raw, bytes + cut, v->size - cut);
    raw_close(&raw);
    UNTIL(town_stats(&t).links == 2, poll(NULL, 0, 1));
    if (round % 50 == 0) witnesses_talk(&w);
  }
  witnesses_talk(&w);
  witnesses_leave(&w);
  town_close(&t);
}

static void silence(void) {
  struct town t;
  struct raw unregistered, half, registered, beating;
  town_open(&t, (sb_bus_options){.idle_ms = 1500});
  raw_open(&unregistered, t.port);
  raw_open(&half, t.port);
  raw_send(&half, vector("registration_request")->bytes, 100);
  town_join(&t, &registered, 20, 5, 9);
  town_join(&t, &beating, 20, 6, 9);
  int64_t start = check_ms();
  UNTIL(unregistered.ended && half.ended && registered.ended, {
    raw_put(&beating, 0, 5, (struct raw_addr){20, 6, 9}, nobody, NULL, 0);
    raw_read(&beating, 0);
    raw_read(&unregistered, 20);
    raw_read(&half, 0);
    raw_read(&registered, 0);
  });
  CHECK(check_ms() - start >= 1450);
  const struct report *left = town_report_of(&t, SB_EV_BUS_LEFT);
  CHECK_INT(left->code, SB_LEFT_IDLE);
  CHECK_ADDR(left->addr, 20, 5, 9);
  CHECK_INT(town_stats(&t).idle, 3);
  town_barrier(&beating, (struct raw_addr){20, 6, 9}, true);
  raw_close(&unregistered);
  raw_close(&half);
  raw_close(&registered);
  raw_close(&beating);
  town_close(&t);
}

/* ---- the bus as a whole ---------------------------------------------------- */

static void most_links(void) {
  struct town t;
  struct raw raws[3], late;
  town_open(&t, (sb_bus_options){.max_links = 3});
  for (int i = 0; i < 3; i++) town_join(&t, &raws[i], 20, i, 9);
  town_enter(&t, &late, (struct request){.addr = {20, 9, 9}});
  for (int i = 0; i < 3; i++) town_barrier(&raws[i], (struct raw_addr){20, (uint8_t)i, 9}, true);
  raw_read(&late, 0);
  CHECK_INT(late.end, 0); /* it waits, it is not turned away */
  CHECK(!late.ended);
  raw_close(&raws[1]);
  CHECK_INT(town_ack(&late), 0);
  raw_close(&late);
  raw_close(&raws[0]);
  raw_close(&raws[2]);
  town_close(&t);
}

static void listening(void) {
  sb_bus *bus = sb_bus_new(NULL);
  REQUIRE(bus != NULL);
  int port = sb_bus_listen(bus, "127.0.0.1", 0);
  REQUIRE(port > 0);
  CHECK_INT(sb_bus_listen(bus, "127.0.0.1", port), -EADDRINUSE);
  CHECK_INT(sb_bus_listen(bus, "localhost", 0), -EINVAL);
  CHECK_INT(sb_bus_listen(bus, "127.0.0.1", 70000), -EINVAL);
  CHECK_INT(sb_bus_listen(bus, "127.0.0.1", -1), -EINVAL);
  int second = sb_bus_listen(bus, "127.0.0.1", 0);
  REQUIRE(second > 0 && second != port);
  REQUIRE_INT(sb_bus_start(bus), 0);
  REQUIRE_INT(sb_bus_start(bus), 0);
  struct town t = {.bus = bus, .port = second};
  struct raw raw;
  town_enter(&t, &raw, (struct request){.addr = {20, 1, 9}});
  struct raw_frame frame;
  raw_expect(&raw, &frame);
  CHECK_INT(frame.src.unit, 0); /* the default unit */
  raw_close(&raw);
  sb_bus_free(bus);
  sb_bus_free(NULL);
  sb_bus_free(sb_bus_new(NULL)); /* never started */
}

static void statistics(void) {
  struct town t;
  struct witnesses w;
  town_open(&t, (sb_bus_options){0});
  witnesses_join(&t, &w);
  for (int i = 0; i < 5; i++) raw_put(&w.a, 3, 1, addr_a, addr_b, "12345", 5);
  raw_put(&w.a, 3, 1, addr_a, (struct raw_addr){40, 9, 9}, "nobody", 6);
  town_barrier(&w.a, addr_a, true);
  sb_bus_stats_t stats = town_stats(&t);
  CHECK_INT(stats.links, 2);
  CHECK_INT(stats.clients, 2);
  CHECK_INT(stats.accepted, 2);
  CHECK_INT(stats.registered, 2);
  CHECK_INT(stats.frames_in, 7);
  CHECK_INT(stats.bytes_in, 5 * 26 + 28 + 24);
  CHECK_INT(stats.frames_out, 5);
  CHECK_INT(stats.bytes_out, 5 * 26);
  CHECK_INT(stats.undeliverable, 1);
  CHECK_INT(stats.bad + stats.slow + stats.idle + stats.forged + stats.unregistered, 0);
  sb_bus_client clients[2];
  CHECK_INT(sb_bus_clients(t.bus, clients, 2), 2);
  int a = clients[0].unit == 40 ? 0 : 1;
  CHECK_INT(clients[a].frames_in, 7);
  CHECK_INT(clients[1 - a].frames_out, 5);
  witnesses_leave(&w);
  town_close(&t);
}

struct talker {
  int port;
  uint8_t number;
  pthread_t thread;
};

static void *talk_until_the_end(void *arg) {
  struct talker *me = arg;
  struct town t = {.port = me->port};
  struct raw raw;
  struct raw_frame frame;
  struct raw_addr addr = {20, me->number, 9};
  jmp_buf out;
  check_now.name = "stop_with_traffic (a talker)";
  check_now.out = &out;
  if (setjmp(out) != 0) abort();
  town_join(&t, &raw, 20, me->number, 9);
  static uint8_t data[3000];
  UNTIL(raw.ended, {
    raw_put(&raw, 3, 1, addr, (struct raw_addr){255, 255, 255}, data, sizeof data);
    raw_read(&raw, 0);
    while (raw_next(&raw, &frame)) continue;
  });
  raw_close(&raw);
  return NULL;
}

static void stop_with_traffic(void) {
  enum { TALKERS = 4 };
  struct town t;
  struct talker talkers[TALKERS];
  town_open(&t, (sb_bus_options){0});
  for (uint8_t i = 0; i < TALKERS; i++) {
    talkers[i] = (struct talker){.port = t.port, .number = i};
    REQUIRE_INT(pthread_create(&talkers[i].thread, NULL, talk_until_the_end, &talkers[i]), 0);
  }
  UNTIL(town_stats(&t).frames_out > 3000, poll(NULL, 0, 1));
  town_close(&t);
  for (int i = 0; i < TALKERS; i++) pthread_join(talkers[i].thread, NULL);
}

/* A forked child lets go of the port and of the connections: when the parent closes them, they are
 * closed, though the child lives on. */
static void forked_child(void) {
  struct town t;
  struct raw raw;
  int gate[2];
  char byte = 0;
  town_open(&t, (sb_bus_options){0});
  town_join(&t, &raw, 20, 5, 9);
  REQUIRE_INT(pipe(gate), 0);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int listener = t.bus->listeners->watch.fd, inbox = sb_inbox_fileno(sb_bus_inbox(t.bus));
    sb_bus_abandon(t.bus);
    close(raw.fd);
    close(gate[1]);
    bool closed = fcntl(listener, F_GETFD) < 0 && fcntl(inbox, F_GETFD) < 0;
    _exit(read(gate[0], &byte, 1) == 0 && closed ? 0 : 1); /* until the parent closes its end */
  }
  close(gate[0]);
  town_barrier(&raw, (struct raw_addr){20, 5, 9}, true);
  town_close(&t);
  raw_expect_end(&raw);
  raw_close(&raw);
  close(gate[1]);
  int status;
  REQUIRE_INT(waitpid(child, &status, 0), child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
  return check_run((struct check_case[]){
      {"four_layouts", four_layouts, false},
      {"shortest_request", shortest_request, false},
      {"refusals", refusals, false},
      {"refused_and_stays", refused_and_stays, true},
      {"registers_once", registers_once, false},
      {"host_decides", host_decides, false},
      {"host_never_decides", host_never_decides, true},
      {"kicking", kicking, false},
      {"heartbeats", heartbeats, false},
      {"heartbeat_flood", heartbeat_flood, false},
      {"same_process", same_process, false},
      {"other_process", other_process, false},
      {"silent_process", silent_process, true},
      {"two_links", two_links, false},
      {"bad_input", bad_input, false},
      {"newcomers_are_kept_small", newcomers_are_kept_small, false},
      {"noise", noise, false},
      {"silence", silence, true},
      {"most_links", most_links, true},
      {"listening", listening, false},
      {"statistics", statistics, false},
      {"stop_with_traffic", stop_with_traffic, false},
      {"forked_child", forked_child, false},
      {0},
  });
}
