/* inbox: layout of batches, bounds, producers that wait, the descriptor, two threads. */
#include "inbox.h"

#include <poll.h>

#include "check.h"

_Static_assert(sizeof(sb_event) == 48, "the host reads events of 48 bytes");

static bool readable(const sb_inbox *inbox, int timeout) {
  struct pollfd polled = {.fd = sb_inbox_fileno(inbox), .events = POLLIN};
  return poll(&polled, 1, timeout) == 1;
}

static bool put(sb_inbox *inbox, int id, const char *text) {
  sb_event event = {.kind = SB_EV_DATA, .id = id};
  struct sbi_part part = {text, strlen(text)};
  return sbi_inbox_put(inbox, &event, &part, 1);
}

static void layout(void) {
  sb_inbox *inbox = sb_inbox_new(100, 1000);
  sb_batch batch;
  sb_event event = {.kind = SB_EV_FLOW_ACK, .client = 9, .flags = 1, .code = -3, .id = 77};
  event.head[19] = 0xEE;
  struct sbi_part parts[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
  REQUIRE(sbi_inbox_put(inbox, &event, parts, 3));
  REQUIRE(sbi_inbox_put(inbox, &event, NULL, 0));
  REQUIRE(put(inbox, 5, "xyz"));
  CHECK_INT(sbi_inbox_count(inbox), 3);
  CHECK_INT(sb_inbox_drain(inbox, &batch), 3);
  CHECK_INT(batch.count, 3);
  CHECK_BYTES(batch.data, batch.size, "abcdexyz", 8);
  CHECK_INT(batch.events[0].kind, SB_EV_FLOW_ACK);
  CHECK_INT(batch.events[0].client, 9);
  CHECK_INT(batch.events[0].code, -3);
  CHECK_INT(batch.events[0].id, 77);
  CHECK_INT(batch.events[0].head[19], 0xEE);
  CHECK_INT(batch.events[0].offset, 0);
  CHECK_INT(batch.events[0].size, 5);
  CHECK_INT(batch.events[1].size, 0);
  CHECK_INT(batch.events[2].offset, 5);
  CHECK_INT(batch.events[2].size, 3);
  CHECK_INT(batch.events[2].id, 5);
  CHECK_INT(sb_inbox_drain(inbox, &batch), 0);
  CHECK_INT(batch.count + batch.size, 0);
  sb_inbox_free(inbox);
}

static void batch_stays_valid(void) {
  sb_inbox *inbox = sb_inbox_new(100000, 1 << 24);
  sb_batch first, second;
  REQUIRE(put(inbox, 1, "first"));
  sb_inbox_drain(inbox, &first);
  for (int i = 0; i < 5000; i++) REQUIRE(put(inbox, i, "something that makes the other side grow"));
  CHECK_BYTES(first.data, first.size, "first", 5);
  CHECK_INT(first.events[0].id, 1);
  CHECK_INT(sb_inbox_drain(inbox, &second), 5000);
  sb_inbox_free(inbox);
}

static void bounds(void) {
  sb_inbox *inbox = sb_inbox_new(3, 10);
  sb_batch batch;
  sb_event event = {.kind = SB_EV_TRACE};
  CHECK(put(inbox, 1, "a") && put(inbox, 2, "b"));
  CHECK(!sbi_inbox_full(inbox));
  CHECK(put(inbox, 3, "c"));
  CHECK(sbi_inbox_full(inbox)); /* by events */
  CHECK(!put(inbox, 4, ""));
  sbi_inbox_offer(inbox, &event, NULL, 0);
  CHECK_INT(sb_inbox_lost(inbox), 1);
  CHECK(sbi_inbox_force(inbox, &event, NULL, 0));
  CHECK_INT(sb_inbox_drain(inbox, &batch), 4);
  CHECK(!sbi_inbox_full(inbox));
  CHECK(put(inbox, 1, "123456789"));
  CHECK(
      put(inbox, 2, "larger than all room")); /* one may reach over the bound, else it never fits */
  CHECK(sbi_inbox_full(inbox));               /* by bytes */
  CHECK(!put(inbox, 3, ""));
  CHECK_INT(sb_inbox_drain(inbox, &batch), 2);
  CHECK_INT(sb_inbox_lost(inbox), 1);
  sb_inbox_free(inbox);
}

/* A large batch, then small ones: what it took is given back, nothing is damaged. */
static void shrinking(void) {
  sb_inbox *inbox = sb_inbox_new(1 << 20, 1u << 30);
  size_t size = 20 << 20;
  char *large = malloc(size);
  memset(large, 'L', size);
  sb_event event = {.kind = SB_EV_DATA};
  struct sbi_part part = {large, size};
  sb_batch batch;
  REQUIRE(sbi_inbox_put(inbox, &event, &part, 1));
  for (int i = 0; i < 100000; i++) REQUIRE(sbi_inbox_put(inbox, &event, NULL, 0));
  CHECK_INT(sb_inbox_drain(inbox, &batch), 100001);
  CHECK_BYTES(batch.data, batch.size, large, size);
  for (int i = 0; i < 8; i++) {
    REQUIRE(put(inbox, i, "small"));
    CHECK_INT(sb_inbox_drain(inbox, &batch), 1);
    CHECK_INT(batch.events[0].id, i);
    CHECK_BYTES(batch.data, batch.size, "small", 5);
  }
  free(large);
  sb_inbox_free(inbox);
}

/* ---- the descriptor -------------------------------------------------------- */

static void descriptor(void) {
  sb_inbox *inbox = sb_inbox_new(10, 100);
  sb_batch batch;
  CHECK(!readable(inbox, 0));
  CHECK_INT(sb_inbox_wait(inbox, 0), 0);
  put(inbox, 1, "");
  put(inbox, 2, "");
  CHECK(readable(inbox, 0));
  CHECK_INT(sb_inbox_wait(inbox, -1), 1);
  CHECK(readable(inbox, 0)); /* until it is drained */
  sb_inbox_drain(inbox, &batch);
  CHECK(!readable(inbox, 0));
  sb_inbox_drain(inbox, &batch);
  CHECK(!readable(inbox, 0));
  sb_inbox_free(inbox);
}

static void quiet(void) {
  sb_inbox *inbox = sb_inbox_new(10, 100);
  sb_batch batch;
  sbi_inbox_quiet(inbox, true);
  put(inbox, 1, "");
  CHECK(!readable(inbox, 0));
  CHECK_INT(sbi_inbox_count(inbox), 1);
  sbi_inbox_quiet(inbox, false);
  put(inbox, 2, "");
  CHECK(readable(inbox, 0));
  CHECK_INT(sb_inbox_drain(inbox, &batch), 2);
  sbi_inbox_quiet(inbox, true);
  sb_inbox_close(inbox); /* the end is told in any case */
  CHECK(readable(inbox, 0));
  sb_inbox_free(inbox);
}

static void closing(void) {
  sb_inbox *inbox = sb_inbox_new(10, 100);
  sb_batch batch;
  sb_event event = {.kind = SB_EV_TRACE};
  put(inbox, 1, "last");
  sb_inbox_close(inbox);
  sb_inbox_close(inbox);
  CHECK(!put(inbox, 2, ""));
  CHECK(!sbi_inbox_force(inbox, &event, NULL, 0));
  sbi_inbox_offer(inbox, &event, NULL, 0);
  sb_on_disconnect(inbox, 1);
  CHECK_INT(sb_inbox_lost(inbox), 2);
  CHECK_INT(sb_inbox_wait(inbox, -1), 1); /* what was there can still be had */
  CHECK_INT(sb_inbox_drain(inbox, &batch), 1);
  CHECK_INT(sb_inbox_wait(inbox, -1), SB_EBROKEN);
  CHECK(readable(inbox, 0));
  sb_inbox_free(inbox);
}

/* ---- threads --------------------------------------------------------------- */

static void *put_later(void *inbox) {
  put(inbox, 1, "");
  return NULL;
}

static void wait_is_woken(void) {
  sb_inbox *inbox = sb_inbox_new(10, 100);
  pthread_t thread;
  REQUIRE_INT(pthread_create(&thread, NULL, put_later, inbox), 0);
  UNTIL(sb_inbox_wait(inbox, 100) == 1, (void)0);
  pthread_join(thread, NULL);
  sb_inbox_free(inbox);
}

enum { MANY = 50000, PRODUCERS = 2 };

struct producer {
  sb_inbox *inbox;
  uint8_t number;
  pthread_t thread;
};

static void *produce(void *arg) {
  struct producer *me = arg;
  uint8_t head[20] = {0};
  for (int i = 0; i < MANY; i++) {
    memcpy(head, &i, sizeof i);
    sb_on_data(me->inbox, me->number, head, head, (int)sizeof i);
  }
  return NULL;
}

/* The inbox holds little of what comes: producers wait, nothing is lost, each
 * one's order is kept. */
static void producers_wait(void) {
  sb_inbox *inbox = sb_inbox_new(5, 1000);
  struct producer producers[PRODUCERS];
  for (uint8_t i = 0; i < PRODUCERS; i++) {
    producers[i] = (struct producer){.inbox = inbox, .number = i};
    REQUIRE_INT(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
  }
  int next[PRODUCERS] = {0}, total = 0;
  while (total < MANY * PRODUCERS) {
    UNTIL(sb_inbox_wait(inbox, 100) == 1, (void)0);
    sb_batch batch;
    REQUIRE(sb_inbox_drain(inbox, &batch) <= 5);
    for (uint64_t i = 0; i < batch.count; i++) {
      int n;
      const sb_event *event = &batch.events[i];
      REQUIRE_INT(event->size, sizeof n);
      memcpy(&n, batch.data + event->offset, sizeof n);
      REQUIRE_INT(n, next[event->client]++);
      CHECK_BYTES(event->head, sizeof n, &n, sizeof n);
    }
    total += (int)batch.count;
  }
  for (int i = 0; i < PRODUCERS; i++) pthread_join(producers[i].thread, NULL);
  CHECK_INT(sb_inbox_lost(inbox), 0);
  CHECK(!readable(inbox, 0));
  sb_inbox_free(inbox);
}

static void close_lets_go(void) {
  sb_inbox *inbox = sb_inbox_new(2, 1000);
  struct producer producer = {.inbox = inbox};
  REQUIRE_INT(pthread_create(&producer.thread, NULL, produce, &producer), 0);
  UNTIL(sbi_inbox_full(inbox), sched_yield());
  sb_inbox_close(inbox);
  pthread_join(producer.thread, NULL);
  CHECK_INT(sb_inbox_lost(inbox), MANY - 2);
  sb_inbox_free(inbox);
}

/* ---- the vendor's callbacks ------------------------------------------------ */

static void from_callbacks(void) {
  sb_inbox *inbox = sb_inbox_new(100, 1000);
  sb_batch batch;
  uint8_t head[20];
  for (uint8_t i = 0; i < 20; i++) head[i] = (uint8_t)(200 + i);
  char data[] = "\0data";
  sb_on_connection(inbox, 200, -1, -20);
  sb_on_disconnect(inbox, 201);
  sb_on_data(inbox, 202, head, data, 5);
  sb_on_data(inbox, 203, head, NULL, 0);
  sb_on_data(inbox, 204, head, NULL, -5);
  sb_on_flow_ack(inbox, 205, head, "Project", 12, -8, "text");
  sb_on_flow_return(inbox, 206, NULL, "Project", 13, -25, "");
  sb_on_flow_return(inbox, 207, NULL, NULL, 14, 1, NULL);
  sb_on_global_connect(inbox, (char)200, (char)255, (char)128, 1, 2, "info");
  sb_trace_inbox(inbox);
  sb_on_trace("a line");
  sb_on_trace_error("an error");
  sb_on_trace(NULL);
  sb_trace_inbox(NULL);
  sb_on_trace("dropped");
  REQUIRE_INT(sb_inbox_drain(inbox, &batch), 11);
  static const struct {
    int kind, client, code, id, flags;
    const char *payload;
    size_t size;
  } expected[] = {
      {SB_EV_CONNECTED, 200, -20, -1, 0, "", 0},
      {SB_EV_DISCONNECTED, 201, 0, 0, 0, "", 0},
      {SB_EV_DATA, 202, 0, 0, 1, "\0data", 5},
      {SB_EV_DATA, 203, 0, 0, 1, "", 0},
      {SB_EV_DATA, 204, 0, 0, 1, "", 0},
      {SB_EV_FLOW_ACK, 205, -8, 12, 1, "Project\0text", 13},
      {SB_EV_FLOW_RETURN, 206, -25, 13, 0, "Project\0", 9},
      {SB_EV_FLOW_RETURN, 207, 1, 14, 0, "\0", 2},
      {SB_EV_GLOBAL, 0, 0, 0, 0, "info", 5},
      {SB_EV_TRACE, 0, 0, 0, 0, "a line", 6},
      {SB_EV_TRACE, 0, 1, 0, 0, "an error", 8},
  };
  for (int i = 0; i < 11; i++) {
    const sb_event *event = &batch.events[i];
    CHECK_INT(event->kind, expected[i].kind);
    CHECK_INT(event->client, expected[i].client);
    CHECK_INT(event->code, expected[i].code);
    CHECK_INT(event->id, expected[i].id);
    CHECK_INT(event->flags, expected[i].flags);
    CHECK_BYTES(batch.data + event->offset, event->size, expected[i].payload, expected[i].size);
    if (event->flags) CHECK_BYTES(event->head, 20, head, 20);
  }
  static const uint8_t peer[] = {200, 255, 128, 1, 2};
  CHECK_BYTES(batch.events[8].head, 5, peer, 5);
  sb_inbox_free(inbox);
}

int main(void) {
  return check_run((struct check_case[]){
      {"layout", layout, false},
      {"batch_stays_valid", batch_stays_valid, false},
      {"bounds", bounds, false},
      {"shrinking", shrinking, false},
      {"descriptor", descriptor, false},
      {"quiet", quiet, false},
      {"closing", closing, false},
      {"wait_is_woken", wait_is_woken, false},
      {"producers_wait", producers_wait, false},
      {"close_lets_go", close_lets_go, false},
      {"from_callbacks", from_callbacks, false},
      {0},
  });
}
