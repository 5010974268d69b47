/* A net (stepped by the test's own thread) and the scripted server that it connects to. */
#ifndef NET_WORLD_H
#define NET_WORLD_H

#include "net.h"
#include "raw.h"
#include "smartbus_core.h"

/* An event with its payload. */
struct seen {
  int kind, client, code, id, flags;
  uint8_t head[20];
  size_t size;
  uint8_t *payload; /* NUL behind it */
};

enum { WORLD_UNIT = 19, WORLD_SERVER_UNIT = 1 };

struct world {
  sb_net *net;
  int listener, port;
  struct seen *events; /* that came and were not looked at begin at `next` */
  size_t count, room, next;
};

static inline void world_open(struct world *w, const char *params, unsigned flags) {
  *w = (struct world){.net = sb_net_new(WORLD_UNIT, params, flags)};
  REQUIRE(w->net != NULL);
  w->listener = raw_listen(&w->port);
}

static inline void world_close(struct world *w) {
  sb_net_free(w->net);
  close(w->listener);
  for (size_t i = 0; i < w->count; i++) free(w->events[i].payload);
  free(w->events);
}

static inline void world_keep(struct world *w, const sb_event *event, const uint8_t *data) {
  if (w->count == w->room) {
    w->room = w->room == 0 ? 64 : w->room * 2;
    w->events = realloc(w->events, w->room * sizeof *w->events);
    if (w->events == NULL) abort();
  }
  struct seen *seen = &w->events[w->count++];
  *seen = (struct seen){.kind = event->kind,
                        .client = event->client,
                        .code = event->code,
                        .id = event->id,
                        .flags = event->flags,
                        .size = event->size,
                        .payload = malloc(event->size + 1)};
  if (seen->payload == NULL) abort();
  memcpy(seen->head, event->head, sizeof seen->head);
  if (event->size > 0) memcpy(seen->payload, data + event->offset, event->size);
  seen->payload[event->size] = 0;
}

/* One step, and what it brought. */
static inline void world_step(struct world *w, int ms) {
  sb_batch batch;
  REQUIRE(sb_net_step(w->net, ms) >= 0);
  sb_inbox_drain(sb_net_inbox(w->net), &batch);
  for (uint64_t i = 0; i < batch.count; i++) world_keep(w, &batch.events[i], batch.data);
}

/* ---- waiting for something while the net is stepped ------------------------ */

static inline const struct seen *world_event(struct world *w) {
  UNTIL(w->next < w->count, world_step(w, 10));
  return &w->events[w->next++];
}

static inline const struct seen *world_event_of(struct world *w, int kind) {
  const struct seen *seen = world_event(w);
  REQUIRE_INT(seen->kind, kind);
  return seen;
}

static inline void world_accept_at(struct world *w, struct raw *raw, int listener) {
  UNTIL(raw_accept(raw, listener), world_step(w, 5));
}

static inline void world_accept(struct world *w, struct raw *raw) {
  world_accept_at(w, raw, w->listener);
}

static inline void world_frame(struct world *w, struct raw *raw, struct raw_frame *frame) {
  UNTIL(raw_next_but_beats(raw, frame), {
    REQUIRE(!raw->ended);
    if (!raw_read(raw, 0)) world_step(w, 2);
  });
}

static inline void world_heartbeat(struct world *w, struct raw *raw, struct raw_frame *frame) {
  UNTIL(raw_next(raw, frame) && raw_is_heartbeat(frame), {
    REQUIRE(!raw->ended);
    if (!raw_read(raw, 0)) world_step(w, 2);
  });
}

static inline void world_expect_end(struct world *w, struct raw *raw) {
  struct raw_frame frame;
  UNTIL(raw->ended, {
    world_step(w, 2);
    raw_read(raw, 0);
    while (raw_next(raw, &frame)) continue;
  });
}

/* ---- registration ---------------------------------------------------------- */

/* The vectors' client: 19.3, type 18. */
static inline void world_connect(struct world *w, int client) {
  REQUIRE_INT(
      sb_net_connect(w->net, client, 18, "127.0.0.1", w->port, NULL, 0, "alice", "secret", "info!"),
      0);
}

static inline void world_ack(struct raw *raw, int client, int code) {
  uint8_t data[4];
  raw_le32(data, (uint32_t)code);
  raw_put(raw, 0, 2, (struct raw_addr){WORLD_SERVER_UNIT, 0, 1},
          (struct raw_addr){WORLD_UNIT, (uint8_t)client, 18}, data, sizeof data);
}

/* The request that comes first on every connection. */
static inline void world_request(struct world *w, struct raw *raw, int size) {
  struct raw_frame frame;
  world_frame(w, raw, &frame);
  REQUIRE_INT(frame.cmdtype, 0);
  REQUIRE_INT(frame.cmd, 1);
  REQUIRE_INT(frame.packet_size, size);
}

enum { WORLD_2015 = 6025, WORLD_2018 = 6053 };

/* Let the client of this id, whose connect was called, register. */
static inline void world_register(struct world *w, struct raw *raw, int client) {
  world_accept(w, raw);
  world_request(w, raw, WORLD_2018);
  world_ack(raw, client, 0);
  const struct seen *seen = world_event_of(w, SB_EV_CONNECTED);
  REQUIRE_INT(seen->client, client);
  REQUIRE_INT(seen->code, 0);
  REQUIRE_INT(seen->id, WORLD_SERVER_UNIT);
}

static inline void world_up(struct world *w, struct raw *raw, int client) {
  world_connect(w, client);
  world_register(w, raw, client);
}

/* The server sends a datum and it is the next event: nothing else came before it. */
static inline void world_barrier(struct world *w, struct raw *raw, int client) {
  static _Atomic uint32_t number;
  uint32_t mine = atomic_fetch_add(&number, 1);
  raw_put(raw, 222, 111, (struct raw_addr){20, 4, 5},
          (struct raw_addr){WORLD_UNIT, (uint8_t)client, 18}, &mine, sizeof mine);
  const struct seen *seen = world_event_of(w, SB_EV_DATA);
  CHECK_INT(seen->client, client);
  CHECK_BYTES(seen->payload, seen->size, &mine, sizeof mine);
}

/* The net sends a datum and it is the next frame: nothing else left before it. */
static inline void world_frame_barrier(struct world *w, struct raw *raw, int client) {
  struct raw_frame frame;
  REQUIRE_INT(sb_net_send(w->net, client, 112, 223, 20, 4, 5, "barrier", 7), 0);
  world_frame(w, raw, &frame);
  CHECK_INT(frame.cmd, 112);
  CHECK_INT(frame.cmdtype, 223);
}

#endif
