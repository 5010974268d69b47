#include "bus_side.h"

#include <errno.h>
#include <string.h>

static const char text[] = "are you there?";

static const struct address bus_node = {BUS_UNIT, 0, 1};
const struct address bus_good[2] = {{20, 1, 18}, {BUS_UNIT, 5, 2}};

static void stop(void *side) {
  ((struct bus_side *)side)->bus->stopping = true;
}

/* What sb_bus_start's thread does, until there is nothing to do. */
static void run(struct bus_side *side) {
  sys_on_idle = stop;
  sys_on_idle_arg = side;
  side->bus->stopping = false;
  side->thread.run(side->thread.arg);
  side->bus->stopping = false;
}

/* The host: notes who joins; who asks gets the decision. Returns whether anybody asked. */
static bool decide(struct bus_side *side, size_t from) {
  bool any = false;
  for (sb_event event; record_event(side->record, &from, &event);) {
    if (event.kind == SB_EV_BUS_JOINED) {
      SYS_REQUIRE(side->known_count < BUS_KNOWN_MAX);
      side->known[side->known_count++] =
          (struct address){event.head[5], event.head[6], event.head[4]};
    }
    if (event.kind != SB_EV_BUS_ASK) continue;
    sb_bus_decide(side->bus, (uint32_t)event.id, side->decision);
    any = true;
  }
  return any;
}

void bus_side_settle(void *arg) {
  struct bus_side *side = arg;
  size_t from;
  do {
    run(side);
    from = side->record->size;
    record_events(side->record, sb_bus_inbox(side->bus));
  } while (decide(side, from));
}

void bus_side_wait(struct bus_side *side, int64_t ms) {
  static const uint8_t beat[24];
  uint8_t frame[44];
  size_t size = frame_make(frame, 0, 5, bus_good[0], bus_node, beat, sizeof beat);
  int64_t step = ms > 2000 ? 1000 : SBI_SWEEP_MS;
  for (; ms > 0; ms -= step) {
    sys_advance(step);
    sys_feed(side->good[0], frame, size);
    bus_side_settle(side);
  }
}

int bus_side_dial(struct bus_side *side, bool local) {
  int fd = sys_dial(local, "127.0.0.1", 78);
  if (fd < 0) return fd;
  side->dialed[side->dialed_count++] = fd; /* there are no more descriptors than that */
  bus_side_settle(side);
  return fd;
}

void bus_side_feed(struct bus_side *side, int fd, struct input input) {
  feed(&side->pieces, fd, input.bytes, input.size);
}

void bus_side_say(struct bus_side *side, int fd, struct address own, struct address to) {
  uint8_t frame[64];
  size_t size = frame_make(frame, 3, 77, own, to, text, sizeof text - 1);
  sys_feed(fd, frame, size);
  bus_side_settle(side);
}

void bus_side_join(struct bus_side *side, int fd, struct address own, int64_t pid) {
  uint8_t request[REQUEST_SIZE];
  frame_request(request, own, 0, pid);
  sys_feed(fd, request, sizeof request);
  bus_side_settle(side);
}

void bus_side_open(struct bus_side *side, sb_bus_options options, int how, struct record *record) {
  options.unit = BUS_UNIT;
  *side = (struct bus_side){
      .bus = sb_bus_new(&options), .pieces = {how, 0, bus_side_settle, side}, .record = record};
  SYS_REQUIRE(side->bus != NULL);
  SYS_REQUIRE(sb_bus_listen(side->bus, "127.0.0.1", 0) == 8089);
  SYS_REQUIRE(sb_bus_listen_local(side->bus, "/simulated", 0660) == 0);
  SYS_REQUIRE(sb_bus_start(side->bus) == SB_OK);
  side->thread = sys_thread;
  for (int i = 0; i < 2; i++) {
    side->good[i] = sys_dial(i == 1, "127.0.0.9", 77);
    bus_side_join(side, side->good[i], bus_good[i], 1000);
  }
}

static bool same(struct address a, struct address b) {
  return a.unit == b.unit && a.client == b.client && a.type == b.type;
}

static bool is_known(const struct bus_side *side, struct address who) {
  if (same(who, bus_node)) return true;
  for (int i = 0; i < side->known_count; i++)
    if (same(who, side->known[i])) return true;
  return false;
}

/* What a client got: whole frames, none in the name of somebody who never registered, nor of the
 * other one when that did not send it. Returns how often it got the message from it. */
static int check_received(const struct bus_side *side, int i) {
  size_t size;
  const uint8_t *bytes = sys_sent(side->good[i], &size);
  struct frame frame;
  int count = 0;
  while (frame_next(&bytes, &size, &frame)) {
    bool is_text = frame.size == sizeof text - 1 && memcmp(frame.data, text, frame.size) == 0;
    SYS_REQUIRE(is_known(side, frame.src));
    SYS_REQUIRE(is_text || !same(frame.src, bus_good[1 - i]));
    count += is_text && same(frame.src, bus_good[1 - i]);
  }
  return count;
}

/* Whatever somebody else did: both are there, and reach each other. */
static void check_service(struct bus_side *side) {
  for (int i = 0; i < 2; i++) {
    SYS_REQUIRE(sys_is_open(side->good[i]));
    int before = check_received(side, 1 - i);
    bus_side_say(side, side->good[i], bus_good[i], bus_good[1 - i]);
    SYS_REQUIRE(check_received(side, 1 - i) == before + 1);
  }
}

/* Nothing that the others brought is left, however they went. */
static void check_order(struct bus_side *side) {
  sb_bus_stats_t stats;
  for (int i = 0; i < side->dialed_count; i++) sys_end(side->dialed[i], ECONNRESET);
  bus_side_wait(side, SBI_LINGER_MS + 4 * side->bus->options.slow_ms); /* nobody waits longer */
  sb_bus_stats(side->bus, &stats);
  SYS_REQUIRE(stats.links == 2 && stats.clients == 2);
  SYS_REQUIRE(stats.queued_bytes == 0 && stats.memory == 0 && side->bus->waiting == 0);
}

void bus_side_close(struct bus_side *side) {
  sb_bus_stats_t stats;
  check_service(side);
  sb_bus_stats(side->bus, &stats);
  stats.memory = 0; /* depends on how queues are cut into pieces */
  record_bytes(side->record, &stats, sizeof stats);
  for (int i = 0; i < 2; i++) record_sent(side->record, side->good[i]);
  check_order(side);
  sb_bus_free(side->bus);
}
