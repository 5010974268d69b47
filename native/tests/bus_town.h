/* A bus on a free port and raw clients that register with it. */
#ifndef BUS_TOWN_H
#define BUS_TOWN_H

#include "bus.h"
#include "raw.h"
#include "smartbus_core.h"

/* A report of the bus, with its texts. */
struct report {
  int kind, code, id;
  struct raw_addr addr;
  size_t size;
  char *texts; /* NUL behind the last one */
};

struct town {
  sb_bus *bus;
  int port;
  struct report *reports; /* those not looked at begin at `next` */
  size_t count, room, next;
};

enum { TOWN_UNIT = 1 };

static inline void town_open(struct town *t, sb_bus_options options) {
  options.unit = TOWN_UNIT;
  *t = (struct town){.bus = sb_bus_new(&options)};
  REQUIRE(t->bus != NULL);
  t->port = sb_bus_listen(t->bus, "127.0.0.1", 0);
  REQUIRE(t->port > 0);
  REQUIRE_INT(sb_bus_start(t->bus), 0);
}

static inline void town_close(struct town *t) {
  sb_bus_free(t->bus);
  for (size_t i = 0; i < t->count; i++) free(t->reports[i].texts);
  free(t->reports);
}

/* ---- reports --------------------------------------------------------------- */

static inline void town_keep(struct town *t, const sb_event *event, const uint8_t *data) {
  if (t->count == t->room) {
    t->room = t->room == 0 ? 64 : t->room * 2;
    t->reports = realloc(t->reports, t->room * sizeof *t->reports);
    if (t->reports == NULL) abort();
  }
  struct report *report = &t->reports[t->count++];
  *report = (struct report){.kind = event->kind,
                            .code = event->code,
                            .id = event->id,
                            .addr = {event->head[5], event->head[6], event->head[4]},
                            .size = event->size,
                            .texts = calloc(1, event->size + 1)};
  if (report->texts == NULL) abort();
  if (event->size > 0) memcpy(report->texts, data + event->offset, event->size);
}

static inline const struct report *town_report(struct town *t) {
  UNTIL(t->next < t->count, {
    sb_batch batch;
    sb_inbox_wait(sb_bus_inbox(t->bus), 100);
    sb_inbox_drain(sb_bus_inbox(t->bus), &batch);
    for (uint64_t i = 0; i < batch.count; i++) town_keep(t, &batch.events[i], batch.data);
  });
  return &t->reports[t->next++];
}

/* The next report of this kind; others are passed over. */
static inline const struct report *town_report_of(struct town *t, int kind) {
  const struct report *report = town_report(t);
  while (report->kind != kind) report = town_report(t);
  return report;
}

/* The n-th text of a report, from 0. */
static inline const char *report_text(const struct report *report, int n) {
  const char *text = report->texts;
  while (n-- > 0) text += strlen(text) + 1;
  return text;
}

static inline sb_bus_stats_t town_stats(struct town *t) {
  sb_bus_stats_t stats;
  sb_bus_stats(t->bus, &stats);
  return stats;
}

/* ---- clients --------------------------------------------------------------- */

struct request {
  const char *vector; /* its form; NULL: registration_request_2018 */
  struct raw_addr addr;
  int64_t pid;
  uint8_t index;
};

static inline void town_request(struct raw *raw, struct request request) {
  const struct vector *v = vector(request.vector ? request.vector : "registration_request_2018");
  uint8_t frame[SBI_REGISTRATION_MAX];
  memcpy(frame, v->bytes, v->size);
  frame[4] = request.addr.type;
  frame[5] = request.addr.unit;
  frame[6] = request.addr.client;
  frame[20] = request.index;
  if (v->size == 6053 || v->size == 5989)
    for (int i = 0; i < 8; i++) frame[233 + i] = (uint8_t)((uint64_t)request.pid >> 8 * i);
  raw_send(raw, frame, v->size);
}

/* The next frame is a registration ack. Returns its code. */
static inline int town_ack(struct raw *raw) {
  struct raw_frame frame;
  raw_expect(raw, &frame);
  REQUIRE_INT(frame.cmdtype, 0);
  REQUIRE_INT(frame.cmd, 2);
  CHECK_ADDR(frame.src, TOWN_UNIT, 0, 1);
  return (int32_t)raw_get32(frame.data);
}

static inline void town_enter(struct town *t, struct raw *raw, struct request request) {
  raw_open(raw, t->port);
  town_request(raw, request);
}

static inline void town_join(struct town *t, struct raw *raw, int unit, int client, int type) {
  struct raw_addr addr = {(uint8_t)unit, (uint8_t)client, (uint8_t)type};
  town_enter(t, raw, (struct request){.addr = addr, .pid = 1000});
  REQUIRE_INT(town_ack(raw), 0);
}

/* The next frame that is neither a heartbeat ack nor a global connect event. */
static inline void town_frame(struct raw *raw, struct raw_frame *frame) {
  do {
    raw_expect(raw, frame);
  } while (frame->cmdtype == 1 && (frame->cmd == 9 || frame->cmd == 10));
}

/* The bus has routed all that this client sent, and the client has got all that was sent to it:
 * the answer to a ping to the bus's node is the very next frame. Global events may be let pass. */
static inline void town_barrier(struct raw *raw, struct raw_addr addr, bool pass_global) {
  static _Atomic uint32_t number;
  uint32_t mine = atomic_fetch_add(&number, 1);
  struct raw_frame frame;
  raw_put(raw, 1, 7, addr, (struct raw_addr){TOWN_UNIT, 0, 1}, &mine, sizeof mine);
  if (pass_global)
    town_frame(raw, &frame);
  else
    raw_expect(raw, &frame);
  CHECK_INT(frame.cmdtype, 1);
  CHECK_INT(frame.cmd, 8);
  CHECK_ADDR(frame.src, TOWN_UNIT, 0, 1);
  CHECK_ADDR(frame.dst, addr.unit, addr.client, addr.type);
  CHECK_BYTES(frame.data, frame.size, &mine, sizeof mine);
}

#endif
