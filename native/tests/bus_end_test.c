/* bus, ends: what is reported is there before the client can notice, and clients get what was queued
 * for them, whether they are thrown out or the bus stops. */
#include "bus_town.h"

static const struct raw_addr me = {20, 1, 9}, other = {21, 2, 9};

static bool drain_has(struct town *t, int kind) {
  sb_batch batch;
  bool found = false;
  sb_inbox_drain(sb_bus_inbox(t->bus), &batch);
  for (uint64_t i = 0; i < batch.count; i++) found = found || batch.events[i].kind == kind;
  return found;
}

/* Who finds itself closed may stop the bus at once: why it was closed can be read by then. */
static void reported_before_closed(void) {
  static const struct {
    bool joins;
    int event;
    const char *text;
  } table[] = {{false, SB_EV_BUS_BAD, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
               {true, SB_EV_BUS_BAD, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
               {true, SB_EV_BUS_LEFT, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
               {true, SB_EV_BUS_LEFT, ""}};
  for (int i = 0; i < 200; i++) {
    struct town t;
    struct raw raw;
    int row = i % 4;
    town_open(&t, (sb_bus_options){0});
    raw_open(&raw, t.port);
    if (table[row].joins) {
      town_request(&raw, (struct request){.addr = me, .pid = 1});
      REQUIRE_INT(town_ack(&raw), 0);
    }
    raw_send(&raw, table[row].text, strlen(table[row].text));
    if (*table[row].text == 0) shutdown(raw.fd, SHUT_WR);
    raw_expect_end(&raw);
    CHECK(drain_has(&t, table[row].event));
    raw_close(&raw);
    town_close(&t);
  }
}

/* Many numbered frames for a client whose system takes little ahead; returns how many. */
static uint32_t queue_up(struct town *t, struct raw *from, struct raw_addr src,
                         struct raw_addr dst) {
  static uint8_t data[3000];
  uint32_t count = 0;
  UNTIL(town_stats(t).queued_bytes > 500000, {
    raw_le32(data, count++);
    raw_put(from, 3, 1, src, dst, data, sizeof data);
  });
  town_barrier(from, src, true);
  return count;
}

/* All of them arrive, then the end, without a reset. */
static void expect_all(struct raw *raw, uint32_t count) {
  struct raw_frame frame;
  uint32_t due = 0;
  uint8_t byte;
  while (due < count) {
    town_frame(raw, &frame);
    REQUIRE_INT(raw_get32(frame.data), due++);
  }
  REQUIRE_INT(raw->begin, raw->end);
  UNTIL(raw->ended, raw_read(raw, 100));
  CHECK_INT(recv(raw->fd, &byte, 1, 0), 0);
}

/* It is thrown out with frames queued for it, and while it talks: for the others it is gone at once,
 * its place is free, and it gets what was accepted for it. */
static void kicked_with_a_full_queue(void) {
  struct town t;
  struct raw out, in, again;
  struct raw_frame frame;
  sb_bus_client client;
  town_open(&t, (sb_bus_options){.idle_ms = 600000, .stall_ms = 60000, .slow_ms = 60000});
  town_join(&t, &in, other.unit, other.client, other.type);
  raw_open_with(&out, t.port, 8192);
  town_request(&out, (struct request){.addr = me, .pid = 1});
  REQUIRE_INT(town_ack(&out), 0);
  town_report_of(&t, SB_EV_BUS_JOINED);
  uint32_t link = (uint32_t)town_report_of(&t, SB_EV_BUS_JOINED)->id;
  uint32_t count = queue_up(&t, &in, other, me);
  static uint8_t noise[60000];
  raw_put(&out, 3, 1, me, (struct raw_addr){30, 30, 30}, noise, sizeof noise);
  CHECK_INT(sb_bus_kick(t.bus, link), 0);
  CHECK_INT(sb_bus_kick(t.bus, link), SB_ENOCLIENT);
  raw_put(&out, 3, 1, me, other, "too late", 8);
  raw_put(&out, 0, 5, me, other, NULL, 0);
  CHECK_INT(sb_bus_clients(t.bus, &client, 1), 1);
  CHECK_INT(town_report_of(&t, SB_EV_BUS_LEFT)->code, SB_LEFT_STOPPED);
  do raw_expect(&in, &frame);
  while (frame.cmd != 9 && frame.cmd != 8);
  CHECK_INT(frame.data[24], 0); /* gone */
  town_enter(&t, &again, (struct request){.addr = me, .pid = 2});
  CHECK_INT(town_ack(&again), 0);
  expect_all(&out, count);
  raw_close(&out);
  UNTIL(town_stats(&t).links == 2, poll(NULL, 0, 1));
  town_barrier(&in, other, true); /* and nothing that came too late */
  raw_close(&again);
  raw_close(&in);
  town_close(&t);
}

/* It reads nothing and does not close: it is not kept for long, and nobody waits for it. */
static void kicked_and_stays(void) {
  struct town t;
  struct raw out, in;
  town_open(&t, (sb_bus_options){.idle_ms = 600000, .stall_ms = 60000, .slow_ms = 60000});
  raw_open_with(&out, t.port, 8192);
  town_request(&out, (struct request){.addr = me, .pid = 1});
  REQUIRE_INT(town_ack(&out), 0);
  uint32_t link = (uint32_t)town_report_of(&t, SB_EV_BUS_JOINED)->id;
  town_join(&t, &in, other.unit, other.client, other.type);
  queue_up(&t, &in, other, me);
  CHECK_INT(sb_bus_kick(t.bus, link), 0);
  static uint8_t data[100000];
  for (int i = 0; i < 100; i++) raw_put(&in, 3, 1, other, me, data, sizeof data);
  town_barrier(&in, other, true);
  CHECK_INT(town_stats(&t).undeliverable, 100);
  UNTIL(town_stats(&t).links == 1, poll(NULL, 0, 10));
  CHECK_INT(town_stats(&t).slow, 0);
  raw_close(&out);
  raw_close(&in);
  town_close(&t);
}

/* One that waits for a full receiver is thrown out, and so is the receiver. */
static void kicked_while_it_waits(void) {
  for (int first = 0; first < 2; first++) {
    struct town t;
    struct raw out, in;
    uint32_t links[2];
    static uint8_t data[30000], frame[40000];
    town_open(&t,
              (sb_bus_options){
                  .high_bytes = 100000, .idle_ms = 600000, .stall_ms = 60000, .slow_ms = 60000});
    raw_open_with(&out, t.port, 8192);
    town_request(&out, (struct request){.addr = me, .pid = 1});
    REQUIRE_INT(town_ack(&out), 0);
    links[0] = (uint32_t)town_report_of(&t, SB_EV_BUS_JOINED)->id;
    town_join(&t, &in, other.unit, other.client, other.type);
    links[1] = (uint32_t)town_report_of(&t, SB_EV_BUS_JOINED)->id;
    size_t whole = raw_encode(frame, 3, 1, other, me, data, sizeof data), at = 0;
    for (int64_t since = check_ms(); check_ms() - since < 200;) {
      size_t n = raw_try(&in, frame + at, whole - at);
      if (n > 0) since = check_ms();
      at = (at + n) % whole;
    }
    CHECK_INT(sb_bus_kick(t.bus, links[first]), 0);
    CHECK_INT(sb_bus_kick(t.bus, links[1 - first]), 0);
    CHECK_INT(town_stats(&t).clients, 0);
    raw_expect_end(&in);
    raw_expect_end(&out);
    raw_close(&in);
    raw_close(&out);
    UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
    CHECK_INT(town_stats(&t).memory, 0);
    town_close(&t);
  }
}

/* Everybody is reported, the reports stay until the end, and last words arrive though the clients
 * have said more than was read. */
static void stopping(void) {
  enum { CLIENTS = 20 };
  struct town t;
  struct raw raws[CLIENTS], newcomer;
  struct raw_frame frame;
  sb_bus_client client;
  static uint8_t noise[60000];
  town_open(&t, (sb_bus_options){0});
  for (int i = 0; i < CLIENTS; i++) town_join(&t, &raws[i], 20, i, 9);
  for (int i = 0; i < CLIENTS; i++)
    raw_put(&raws[i], 3, 1, (struct raw_addr){20, (uint8_t)i, 9},
            (struct raw_addr){20, (uint8_t)((i + 1) % CLIENTS), 9}, "last", 4);
  UNTIL(town_stats(&t).frames_out == CLIENTS, poll(NULL, 0, 1));
  for (int i = 0; i < CLIENTS; i++)
    raw_put(&raws[i], 3, 1, me, (struct raw_addr){30, 30, 30}, noise, sizeof noise);
  sb_bus_stop(t.bus);
  sb_bus_stop(t.bus);
  for (int i = 0; i < CLIENTS; i++) CHECK_INT(town_report_of(&t, SB_EV_BUS_LEFT)->code, 5);
  for (int i = 0; i < CLIENTS; i++) {
    town_frame(&raws[i], &frame);
    CHECK_BYTES(frame.data, frame.size, "last", 4);
    raw_expect_end(&raws[i]);
    raw_close(&raws[i]);
  }
  CHECK_INT(town_stats(&t).links, 0);
  CHECK_INT(town_stats(&t).memory, 0);
  CHECK_INT(sb_bus_clients(t.bus, &client, 1), 0);
  CHECK_INT(sb_bus_decide(t.bus, 1, SB_OK), SB_ENOCLIENT);
  CHECK_INT(sb_bus_kick(t.bus, 1), SB_ENOCLIENT);
  CHECK_INT(sb_bus_listen(t.bus, "127.0.0.1", 0), -EBADF);
  CHECK_INT(sb_bus_start(t.bus), SB_ENOMEM);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)t.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  newcomer = (struct raw){.fd = socket(AF_INET, SOCK_STREAM, 0)};
  CHECK(connect(newcomer.fd, (struct sockaddr *)&address, sizeof address) != 0);
  raw_close(&newcomer);
  town_close(&t);
  sb_bus *never_started = sb_bus_new(NULL);
  sb_bus_stop(never_started);
  sb_bus_free(never_started);
}

/* The bus stops, or throws them out, while a client has not read all and the bus neither: it gets
 * what is on its way all the same, and an end, no reset. */
static void unread_on_both_sides(void) {
  static uint8_t data[30000], frame[40000];
  struct raw_addr dead = {30, 1, 9};
  struct raw_frame got;
  for (int kick = 0; kick < 2; kick++) {
    struct town t;
    struct raw a, b, c;
    town_open(&t,
              (sb_bus_options){
                  .high_bytes = 100000, .idle_ms = 600000, .stall_ms = 60000, .slow_ms = 60000});
    raw_open_with(&a, t.port, 8192);
    town_request(&a, (struct request){.addr = me, .pid = 1});
    REQUIRE_INT(town_ack(&a), 0);
    uint32_t link = (uint32_t)town_report_of(&t, SB_EV_BUS_JOINED)->id;
    raw_open_with(&b, t.port, 8192);
    town_request(&b, (struct request){.addr = dead, .pid = 1});
    REQUIRE_INT(town_ack(&b), 0);
    town_join(&t, &c, other.unit, other.client, other.type);
    for (int i = 0; i < 10; i++) raw_put(&c, 3, 1, other, me, data, sizeof data);
    town_barrier(&c, other, true);
    CHECK_INT(town_stats(&t).queued_bytes, 0); /* the bus has done its part */
    size_t whole = raw_encode(frame, 3, 1, me, dead, data, sizeof data), at = 0;
    for (int64_t since = check_ms(); check_ms() - since < 200;) {
      size_t n = raw_try(&a, frame + at, whole - at);
      if (n > 0) since = check_ms();
      at = (at + n) % whole;
    }
    if (kick)
      CHECK_INT(sb_bus_kick(t.bus, link), 0);
    else
      sb_bus_stop(t.bus);
    for (int i = 0; i < 10; i++) {
      do town_frame(&a, &got);
      while (got.cmdtype != 3);
      CHECK_INT(got.size, sizeof data);
    }
    CHECK_INT(a.begin, a.end);
    UNTIL(a.ended, raw_read(&a, 100));
    CHECK_INT(recv(a.fd, frame, 1, 0), 0);
    raw_close(&a);
    raw_close(&b);
    raw_close(&c);
    town_close(&t);
  }
}

int main(void) {
  return check_run((struct check_case[]){
      {"reported_before_closed", reported_before_closed, false},
      {"kicked_with_a_full_queue", kicked_with_a_full_queue, false},
      {"kicked_and_stays", kicked_and_stays, true},
      {"kicked_while_it_waits", kicked_while_it_waits, true},
      {"stopping", stopping, false},
      {"unread_on_both_sides", unread_on_both_sides, true},
      {0},
  });
}
