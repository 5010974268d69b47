/* Memory runs out at every place in turn: a bus and two nets register, send, call, notify and
 * close while the n-th allocation fails, for every n. Whatever is lost, nothing crashes, leaks or
 * hangs, and afterwards the same process does the same without a fault. Needs MODE=faults. */
#include "alloc.h"
#include "check.h"
#include "inbox.h"
#include "smartbus_abi.h"
#include "smartbus_core.h"

enum { UNIT_A = 20, UNIT_B = 21, PATIENCE_MS = 100 };

struct scene {
  sb_bus *bus;
  int port;
  sb_net *a, *b;
  bool connected_a, connected_b;
  int data, acks, globals;
  bool faulty; /* something may be missing */
};

static void look(struct scene *s, sb_net *net) {
  sb_batch batch;
  if (net == NULL) return;
  CHECK(sb_net_step(net, 2) >= 0);
  sb_inbox_drain(sb_net_inbox(net), &batch);
  for (uint64_t i = 0; i < batch.count; i++) {
    const sb_event *event = &batch.events[i];
    bool *connected = net == s->a ? &s->connected_a : &s->connected_b;
    if (event->kind == SB_EV_CONNECTED) *connected = event->code == 0;
    if (event->kind == SB_EV_DISCONNECTED) *connected = false;
    s->data += event->kind == SB_EV_DATA;
    s->acks += event->kind == SB_EV_FLOW_ACK;
    s->globals += event->kind == SB_EV_GLOBAL;
  }
}

static void decide(struct scene *s) {
  sb_batch batch;
  if (s->bus == NULL) return;
  sb_inbox_drain(sb_bus_inbox(s->bus), &batch);
  for (uint64_t i = 0; i < batch.count; i++)
    if (batch.events[i].kind == SB_EV_BUS_ASK)
      sb_bus_decide(s->bus, (uint32_t)batch.events[i].id, SB_OK);
}

/* Step until `condition`; if a fault may have struck, only for a moment. */
#define AWAIT(s, condition)                                                      \
  do {                                                                           \
    int64_t end_ = check_ms() + ((s)->faulty ? PATIENCE_MS : CHECK_DEADLINE_MS); \
    while (!(condition) && check_ms() < end_) {                                  \
      decide(s);                                                                 \
      look(s, (s)->a);                                                           \
      look(s, (s)->b);                                                           \
    }                                                                            \
    CHECK((s)->faulty || (condition));                                           \
  } while (0)

static bool open_scene(struct scene *s) {
  sb_bus_options options = {.unit = 1, .ask_host = 1};
  s->bus = sb_bus_new(&options);
  s->a = sb_net_new(UNIT_A, NULL, 0);
  s->b = sb_net_new(UNIT_B, "Wire=2015", 0);
  if (s->bus == NULL || s->a == NULL || s->b == NULL) return false;
  s->port = sb_bus_listen(s->bus, "127.0.0.1", 0);
  if (s->port < 0) s->port = sb_bus_listen(s->bus, "127.0.0.1", 0); /* once more: one fault only */
  CHECK(s->port > 0);
  CHECK_INT(sb_bus_start(s->bus), 0);
  return true;
}

static bool join(struct scene *s) {
  static const int accepted[] = {SB_OK, SB_ENOMEM};
  int a = sb_net_connect(s->a, 3, 18, "127.0.0.1", s->port, NULL, 0, "u", "p", "info");
  int b = sb_net_connect(s->b, 4, 2, "127.0.0.1", s->port, "127.0.0.1", s->port, "u", "p", "info");
  CHECK(a == accepted[0] || (s->faulty && a == accepted[1]));
  CHECK(b == accepted[0] || (s->faulty && b == accepted[1]));
  AWAIT(s, s->connected_a && s->connected_b && s->globals >= 2);
  return s->connected_a && s->connected_b;
}

static void check_sent(const struct scene *s, int result) {
  CHECK(result >= 0 || (s->faulty && (result == SB_ENOMEM || result == SB_ENOTCONN)));
}

static void talk(struct scene *s) {
  static char large[200000];
  s->data = s->acks = 0;
  check_sent(s, sb_net_send(s->a, 3, 1, 3, UNIT_B, 4, 2, "small", 5));
  check_sent(s, sb_net_send(s->b, 4, 1, 3, UNIT_A, 3, 18, large, sizeof large));
  check_sent(s, sb_net_ping(s->a, 3, UNIT_B, 4, 2, "ping", 4));
  check_sent(s, sb_net_call_flow(s->a, 3, 1, 99, "P", "f", 0, 1000, "[]"));
  check_sent(s, sb_net_notify(s->a, 3, 1, 0, "P", "title", 0, 1000, "text"));
  sb_notify_item items[3] = {{.title_size = 1, .text_size = 1},
                             {.title_size = 1, .text_size = 1},
                             {.title_size = 1, .text_size = 1}};
  sb_net_notify_many(s->a, 3, items, 3, "abcdef", 6);
  for (int i = 0; i < 3; i++) check_sent(s, items[i].result);
  AWAIT(s, s->data >= 4 && s->acks >= 1); /* small, large, the ping and its ack */
}

/* Returns false as soon as the fault leaves nothing to go on with. */
static bool play(struct scene *s) {
  if (!open_scene(s) || !join(s)) return false;
  talk(s);
  sb_bus_stats_t stats;
  sb_bus_client clients[4];
  sb_bus_stats(s->bus, &stats);
  sb_bus_clients(s->bus, clients, 4);
  sb_net_disconnect(s->a, 3);
  AWAIT(s, s->globals >= 3); /* b hears that a is gone */
  return true;
}

static void close_scene(struct scene *s) {
  sb_net_free(s->a);
  sb_bus_free(s->bus);
  sb_net_free(s->b);
}

static void without_a_fault(void) {
  struct scene s = {0};
  CHECK(play(&s));
  close_scene(&s);
}

static void every_allocation(void) {
  int descriptors = check_descriptors();
  long n = 1, played = 0;
  for (int untouched = 0; untouched < 3; n++) { /* threads: the number is not quite the same */
    struct scene s = {.faulty = true};
    long before = sbi_allocations();
    sbi_fail_allocation(n);
    played += play(&s);
    close_scene(&s);
    untouched = sbi_allocations() - before < n ? untouched + 1 : 0;
    sbi_fail_allocation(0);
    CHECK_INT(check_descriptors(), descriptors);
    if (n % 20 == 0) without_a_fault();
    REQUIRE(n < 2000);
  }
  without_a_fault();
  printf("%ld allocations failed one by one; the scene went on to its end %ld times\n", n - 4,
         played);
  CHECK(n > 30);
}

/* ---- the vendor's interface -------------------------------------------------- */

static int init_net(void) {
  return SmartBusNetCli_Init(UNIT_A);
}

static int init_ipc(void) {
  return SmartBusIpcCli_Init(18, 3);
}

/* Either there is a library then, or nothing of it. */
static void every_allocation_of_init(int (*init)(void), void (*release)(void)) {
  int descriptors = check_descriptors(), failed = 0;
  long n = 1;
  for (bool touched = true; touched; n++) {
    long before = sbi_allocations();
    sbi_fail_allocation(n);
    int result = init();
    touched = sbi_allocations() - before >= n;
    sbi_fail_allocation(0);
    CHECK(result == SB_OK || (touched && result == SB_ENOMEM));
    failed += result != SB_OK;
    release();
    CHECK_INT(check_descriptors(), descriptors);
    REQUIRE(n < 200);
  }
  CHECK(failed > 5);
}

static void vendor_interface(void) {
  every_allocation_of_init(init_net, SmartBusNetCli_Release);
  every_allocation_of_init(init_ipc, SmartBusIpcCli_Release);
}

/* ---- news that must not get lost ------------------------------------------- */

/* While there is no memory at all, connections come and go: the host hears of each, in order, behind
 * what it had to read before and before what comes later. */
static void state_changes(void) {
  static char large[100000];
  for (int before = 0; before < 200; before += 50) {
    sb_inbox *inbox = sb_inbox_new(1000, 1 << 20);
    REQUIRE(inbox != NULL);
    struct sbi_part part = {"project\0", 9}, too_large = {large, sizeof large};
    sb_event event = {.kind = SB_EV_DATA};
    int sent = 0, got = 0;
    for (; sent < before; sent++) {
      event.id = sent;
      REQUIRE(sbi_inbox_put(inbox, &event, &part, 1));
    }
    sbi_fail_allocations(1);
    event.kind = SB_EV_DISCONNECTED;
    for (int i = 0; i < 100; i++) {
      event.id = sent++;
      CHECK(sbi_inbox_force(inbox, &event, &part, i % 2));
    }
    CHECK(!sbi_inbox_put(inbox, &event, &too_large, 1));
    CHECK(!sbi_inbox_force(inbox, &event, &too_large, 1));
    CHECK_INT(sb_inbox_lost(inbox), 1);
    CHECK_INT(sbi_inbox_count(inbox), sent);
    sb_batch batch;
    for (bool again = false; got < sent || !again;) {
      REQUIRE_INT(sb_inbox_wait(inbox, 0), 1);
      REQUIRE(sb_inbox_drain(inbox, &batch) > 0);
      for (uint64_t i = 0; i < batch.count; i++) {
        REQUIRE_INT(batch.events[i].id, got++);
        if (batch.events[i].size > 0)
          CHECK_BYTES(batch.data + batch.events[i].offset, batch.events[i].size, "project\0", 9);
      }
      if (again) continue;
      again = true; /* the first batch is being read when more happens, and memory comes back */
      event.id = sent++;
      CHECK(sbi_inbox_force(inbox, &event, NULL, 0));
      sbi_fail_allocation(0);
      event.id = sent++;
      CHECK(sbi_inbox_put(inbox, &event, &part, 1));
    }
    CHECK_INT(sb_inbox_wait(inbox, 0), 0);
    sb_inbox_free(inbox);
  }
}

/* More than there is room for is counted, and the inbox is as good as new afterwards. */
static void too_many_state_changes(void) {
  sb_inbox *inbox = sb_inbox_new(1000, 1 << 20);
  REQUIRE(inbox != NULL);
  sb_event event = {.kind = SB_EV_CONNECTED};
  sb_batch batch;
  int taken = 0;
  sbi_fail_allocations(1);
  for (int i = 0; i < 1000; i++) taken += sbi_inbox_force(inbox, &event, NULL, 0);
  CHECK(taken >= 100 && taken < 1000);
  CHECK_INT(sb_inbox_lost(inbox), 1000 - taken);
  CHECK_INT(sb_inbox_drain(inbox, &batch), taken);
  CHECK(sbi_inbox_force(inbox, &event, NULL, 0));
  CHECK_INT(sb_inbox_drain(inbox, &batch), 1);
  CHECK_INT(sb_inbox_drain(inbox, &batch), 0);
  sbi_fail_allocation(0);
  sb_inbox_free(inbox);
}

int main(void) {
  return check_run((struct check_case[]){
      {"without_a_fault", without_a_fault, false},
      {"every_allocation", every_allocation, false},
      {"vendor_interface", vendor_interface, false},
      {"state_changes", state_changes, false},
      {"too_many_state_changes", too_many_state_changes, false},
      {0},
  });
}
