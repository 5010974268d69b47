/* net, data: what SendData and SendPing put on the wire and return, what of the received frames
 * becomes an event or is answered, and what happens when a side does not read. */
#include "net_world.h"

static const struct raw_addr peer = {20, 4, 5}, me = {WORLD_UNIT, 3, 18};

/* ---- sending --------------------------------------------------------------- */

static void golden_frames(void) {
  static const char *const names[] = {"user_data_0", "user_data_1", "user_data_2",   "user_data_3",
                                      "user_data_4", "user_data_5", "user_data_any", "ping"};
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const struct vector *v = vector(names[i]);
    bool any = v->dst_unit == 255;
    int unit = any ? -1 : v->dst_unit, client = any ? -1 : v->dst_client;
    int type = any ? -1 : v->dst_type;
    const char *data = vector_text(v, "data");
    if (v->cmdtype == 1)
      REQUIRE_INT(sb_net_ping(w.net, 3, unit, client, type, data, v->datalen), 0);
    else
      REQUIRE_INT(sb_net_send(w.net, 3, v->cmd, v->cmdtype, unit, client, type, data, v->datalen),
                  0);
    world_frame(&w, &raw, &frame);
    CHECK_BYTES(frame.bytes, frame.packet_size, v->bytes, v->size);
  }
  raw_close(&raw);
  world_close(&w);
}

/* Destinations are cut to their low bytes; a negative size is 0; every class but 0 passes. */
static void cut_arguments(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  REQUIRE_INT(sb_net_send(w.net, 3 + 256, 1, 255, -1, 300, 513, NULL, -7), 0);
  world_frame(&w, &raw, &frame);
  CHECK_ADDR(frame.dst, 255, 0x2C, 1);
  CHECK_INT(frame.size, 0);
  CHECK_INT(frame.cmdtype, 255);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, -2, 0, 0, NULL, 0), 0);
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.dst.unit, 254);
  for (int type = 1; type < 256; type++) {
    REQUIRE_INT(sb_net_send(w.net, 3, type, type, 20, 4, 5, &type, 1), 0);
    world_frame(&w, &raw, &frame);
    CHECK_INT(frame.cmdtype, type);
    CHECK_INT(frame.cmd, type);
  }
  raw_close(&raw);
  world_close(&w);
}

/* NET.md 5.1, in the order of the checks: each row breaks its own rule and all later ones. */
static void return_values(void) {
  static const struct {
    bool initialised;
    int client, cmd_type, unit, size;
    const char *data;
    int expected;
  } table[] = {
      {false, 9, 0, 48, 0x10000000, NULL, SB_ENOINIT},
      {true, 9, 0, 48, 0x10000000, NULL, SB_EUNIT},
      {true, 9, 0, 255, 0x10000000, NULL, SB_EUNIT},
      {true, 9, 0, 19, 0x10000000, NULL, SB_ETOOBIG},
      {true, 9, 0, 19, INT32_MAX, NULL, SB_ETOOBIG},
      {true, 9, 0, 19, 1, NULL, SB_EARGUMENT}, /* the vendor's library crashes */
      {true, 9, 0, 19, 1, "x", SB_ECMDTYPE},
      {true, 9, 256, 19, 1, "x", SB_ECMDTYPE},
      {true, 9, 3, 19, 1, "x", SB_EOWNUNIT},
      {true, 9, 3, 20, 1, "x", SB_ENOCLIENT},
      {true, 9, 3, -1, 1, "x", SB_ENOCLIENT},
      {true, 5, 3, 47, 1, "x", SB_ENOTCONN},
      {true, 3, 3, 47, 1, "x", SB_OK},
      {true, 3, 3, -1, 0, NULL, SB_OK},
  };
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  int port, refusing = raw_refuse(&port);
  REQUIRE_INT(sb_net_connect(w.net, 5, 2, "127.0.0.1", port, NULL, 0, "", "", ""), 0);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    sb_net *net = table[i].initialised ? w.net : NULL;
    CHECK_INT(sb_net_send(net, table[i].client, 1, table[i].cmd_type, table[i].unit, 0, 0,
                          table[i].data, table[i].size),
              table[i].expected);
    int ping = sb_net_ping(net, table[i].client, table[i].unit, 0, 0, table[i].data, table[i].size);
    if (table[i].expected == SB_ECMDTYPE)
      CHECK_INT(ping, SB_EOWNUNIT); /* it has no class to check */
    else
      CHECK_INT(ping, table[i].expected);
  }
  close(refusing);
  raw_close(&raw);
  world_close(&w);
}

/* ---- receiving ------------------------------------------------------------- */

static void check_event(const struct seen *seen, const struct vector *v) {
  CHECK_INT(seen->kind, SB_EV_DATA);
  CHECK_INT(seen->client, 3);
  CHECK_INT(seen->flags, 1);
  CHECK_BYTES(seen->head, 20, v->bytes, 20);
  CHECK_BYTES(seen->payload, seen->size, v->bytes + 20, v->datalen);
}

static void delivered(void) {
  static const char *const names[] = {"deliver_user_data", "deliver_user_data_empty",
                                      "deliver_broadcast", "deliver_ping_ack"};
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    raw_put_vector(&raw, names[i]);
    check_event(world_event(&w), vector(names[i]));
  }
  /* System commands without a meaning here, and classes that nobody uses. */
  static const uint8_t others[][2] = {{1, 11}, {1, 15}, {1, 14}, {1, 0}, {2, 1}, {5, 9}, {255, 2}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    raw_put(&raw, others[i][0], others[i][1], peer, me, "data", 4);
    const struct seen *seen = world_event_of(&w, SB_EV_DATA);
    CHECK_INT(seen->head[2], others[i][1]);
    CHECK_INT(seen->head[3], others[i][0]);
    CHECK_BYTES(seen->payload, seen->size, "data", 4);
  }
  raw_close(&raw);
  world_close(&w);
}

/* Internal frames never reach the host. */
static void internal(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (int cmd = 0; cmd < 256; cmd++)
    if (cmd != 2) raw_put(&raw, 0, cmd, peer, me, "data", 4);
  world_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

/* NET.md 5.2, with the address bytes taken unsigned (NET.md 12). */
static void destination_filter(void) {
  static const struct {
    struct raw_addr dst;
    bool delivered;
  } table[] = {
      {{19, 3, 18}, true},     {{19, 4, 18}, true},      {{99, 77, 66}, true},
      {{19, 127, 99}, true},   {{19, 128, 18}, true},    {{19, 255, 18}, true},
      {{255, 255, 18}, true},  {{0, 255, 18}, true},     {{19, 128, 99}, false},
      {{19, 255, 255}, false}, {{255, 255, 255}, false},
  };
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    raw_put(&raw, 3, 1, peer, table[i].dst, "x", 1);
    if (table[i].delivered) CHECK_INT(world_event_of(&w, SB_EV_DATA)->size, 1);
    world_barrier(&w, &raw, 3);
  }
  REQUIRE_INT(sb_net_disconnect(w.net, 3), 0);
  raw_close(&raw);

  /* Ids and types above 127 can be reached too. */
  REQUIRE_INT(sb_net_connect(w.net, 200, 250, "127.0.0.1", w.port, NULL, 0, "", "", ""), 0);
  world_register(&w, &raw, 200);
  raw_put(&raw, 3, 1, peer, (struct raw_addr){19, 200, 250}, "x", 1);
  CHECK_INT(world_event_of(&w, SB_EV_DATA)->client, 200);
  raw_put(&raw, 3, 1, peer, (struct raw_addr){19, 200, 18}, "x", 1);
  raw_put(&raw, 3, 2, peer, (struct raw_addr){19, 255, 250}, "x", 1);
  CHECK_INT(world_event_of(&w, SB_EV_DATA)->head[2], 2);
  raw_close(&raw);
  world_close(&w);
}

static void pings(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  raw_put_vector(&raw, "deliver_ping");
  check_event(world_event(&w), vector("deliver_ping"));
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.bytes, frame.packet_size, vector("ping_ack")->bytes, vector("ping_ack")->size);
  /* One that the filter drops is answered all the same. */
  raw_put(&raw, 1, 7, peer, (struct raw_addr){19, 255, 255}, NULL, 0);
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.cmd, 8);
  CHECK_ADDR(frame.src, 19, 3, 18);
  CHECK_ADDR(frame.dst, 20, 4, 5);
  CHECK_INT(frame.size, 0);
  world_barrier(&w, &raw, 3);
  /* Its own ping, come back: no answer. */
  raw_put(&raw, 1, 7, me, me, "x", 1);
  CHECK_INT(world_event_of(&w, SB_EV_DATA)->size, 1);
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

static void check_global(const struct seen *seen, const struct vector *v) {
  const uint8_t head[] = {
      (uint8_t)vector_number(v, "unitid"), (uint8_t)vector_number(v, "clientid"),
      (uint8_t)vector_number(v, "clienttype"), (uint8_t)vector_number(v, "accesspoint_unitid"),
      (uint8_t)vector_number(v, "status")};
  CHECK_INT(seen->kind, SB_EV_GLOBAL);
  CHECK_INT(seen->client, 3);
  CHECK_INT(seen->flags, 0);
  CHECK_BYTES(seen->head, 5, head, 5);
  CHECK_BYTES(seen->payload, seen->size, vector_text(v, "add_info"),
              vector_text_size(v, "add_info") + 1);
}

static void global_events(void) {
  static const char *const names[] = {"global_connect_new", "global_connect_gone",
                                      "global_connect_existing", "global_connect_new_silent"};
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    raw_put_vector(&raw, names[i]);
    check_global(world_event(&w), vector(names[i]));
    if (i == 0) { /* a newcomer by command 9 is the only one that is answered */
      const struct vector *v = vector("global_connect_reply");
      world_frame(&w, &raw, &frame);
      CHECK_BYTES(frame.bytes, frame.packet_size, v->bytes, v->size);
    }
    world_frame_barrier(&w, &raw, 3);
  }

  uint8_t data[281];
  const struct vector *v = vector("global_connect_new");
  memcpy(data, v->bytes + 20, sizeof data);
  raw_put(&raw, 1, 9, peer, me, data, 280); /* not 281 bytes */
  raw_put(&raw, 1, 10, peer, me, NULL, 0);
  world_barrier(&w, &raw, 3);
  data[24] = 200; /* any status is passed on; the destination is not looked at */
  raw_put(&raw, 1, 9, peer, (struct raw_addr){1, 255, 255}, data, sizeof data);
  CHECK_INT(world_event_of(&w, SB_EV_GLOBAL)->head[4], 200);
  data[20] = WORLD_UNIT; /* a newcomer of the own unit is not answered */
  data[24] = 1;
  raw_put(&raw, 1, 9, peer, me, data, sizeof data);
  CHECK_INT(world_event_of(&w, SB_EV_GLOBAL)->head[0], WORLD_UNIT);
  world_frame_barrier(&w, &raw, 3);
  sb_net_listen(w.net, 1, 1, 0); /* nobody listens: neither event nor answer */
  raw_put_vector(&raw, "global_connect_new");
  world_barrier(&w, &raw, 3);
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

static void large_frame(void) {
  struct world w;
  struct raw raw;
  size_t size = 9 << 20;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  uint8_t *data = malloc(size), *frame = malloc(size + 24);
  for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i % 251);
  size_t total = raw_encode(frame, 3, 1, peer, me, data, size), at = 0;
  UNTIL(w.next < w.count, {
    at += raw_try(&raw, frame + at, total - at);
    world_step(&w, 0);
  });
  const struct seen *seen = world_event_of(&w, SB_EV_DATA);
  CHECK_BYTES(seen->payload, seen->size, data, size);
  world_barrier(&w, &raw, 3);
  free(frame);
  free(data);
  raw_close(&raw);
  world_close(&w);
}

/* ---- loss ------------------------------------------------------------------ */

/* While the host handles the disconnect event it may send: that leaves after the next
 * registration, before anything newer (NET.md 5.1, 9.5). */
static void grace(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  CHECK_INT(sb_net_connected(w.net, 3), 0);
  for (int i = 1; i <= 3; i++) CHECK_INT(sb_net_send(w.net, 3, i, 3, 20, 4, 5, "kept", 4), 0);
  CHECK_INT(sb_net_notify(w.net, 3, 0, 0, "P", "t", 0, 0, "x"), 1);
  world_step(&w, 0); /* the handler has returned */
  CHECK_INT(sb_net_send(w.net, 3, 9, 3, 20, 4, 5, "late", 4), SB_ENOTCONN);
  world_register(&w, &raw, 3);
  REQUIRE_INT(sb_net_send(w.net, 3, 4, 3, 20, 4, 5, "new", 3), 0);
  for (int i = 1; i <= 3; i++) {
    world_frame(&w, &raw, &frame);
    CHECK_INT(frame.cmd, i);
    CHECK_BYTES(frame.data, frame.size, "kept", 4);
  }
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.cmd, 15);
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.cmd, 4);
  raw_close(&raw);
  world_close(&w);
}

/* The keeper met the loss while the host was busy: the grace is there when the host hears of it. */
static void grace_after_the_keeper(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  raw_close(&raw);
  UNTIL(sbi_inbox_count(sb_net_inbox(w.net)) > 0, poll(NULL, 0, 5)); /* the host does not step */
  world_event_of(&w, SB_EV_DISCONNECTED);
  CHECK_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "kept", 4), 0);
  world_register(&w, &raw, 3);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.data, frame.size, "kept", 4);
  raw_close(&raw);
  world_close(&w);
}

/* Frames that had not left when the link died leave after the next registration: from some frame
 * on all of them, whole and in order. Twice, so that what waits has been cut into before. */
static void unsent_frames_are_kept(void) {
  enum { FRAMES = 16000 };
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  size_t size = 3000;
  static uint8_t data[3000];
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (int i = 0; i < FRAMES; i++) {
    raw_le32(data, (uint32_t)i);
    REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, data, (int)size), 0);
  }
  int next = -1;
  for (int round = 0; round < 3; round++) {
    uint64_t queued = sb_net_queued(w.net);
    REQUIRE(queued > 10 * size);
    raw_close(&raw); /* the server read nothing, or a little */
    world_event_of(&w, SB_EV_DISCONNECTED);
    world_accept(&w, &raw);
    world_request(&w, &raw, WORLD_2018);
    world_ack(&raw, 3, 0);
    world_event_of(&w, SB_EV_CONNECTED);
    world_frame(&w, &raw, &frame);
    int first = (int)raw_get32(frame.data);
    CHECK(first > next && first < FRAMES);
    CHECK((uint64_t)(FRAMES - first) * (size + 20) + size >= queued - 100);
    next = first;
  }
  while (++next < FRAMES) {
    world_frame(&w, &raw, &frame);
    REQUIRE_INT(raw_get32(frame.data), next);
    REQUIRE_INT(frame.size, (int)size);
  }
  CHECK_INT(sb_net_queued(w.net), 0);
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

/* ---- bounds ---------------------------------------------------------------- */

/* The server does not read: the queue takes its number of frames, then -7, and what was accepted
 * comes complete once the server reads. */
static void full_by_frames(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  uint32_t sent = 0;
  int error = 0;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  while (sent < 1000000 && (error = sb_net_send(w.net, 3, 1, 3, 20, 4, 5, &sent, sizeof sent)) == 0)
    sent++;
  CHECK_INT(error, SB_EFULL);
  CHECK(sent >= SBI_QUEUE_FRAMES);
  CHECK_INT(sb_net_ping(w.net, 3, 20, 4, 5, NULL, 0), SB_EFULL);
  CHECK_INT(sb_net_notify(w.net, 3, 0, 0, "", "t", 0, 0, "x"), SB_EFULL);
  for (uint32_t i = 0; i < sent; i++) {
    world_frame(&w, &raw, &frame);
    REQUIRE_INT(raw_get32(frame.data), i);
  }
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

static void full_by_bytes(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  size_t size = 4 << 20, seen = 0;
  uint8_t *data = calloc(1, size);
  int error = 0, sent = 0;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  while (sent < 100 && (error = sb_net_send(w.net, 3, sent, 3, 20, 4, 5, data, (int)size)) == 0)
    sent++;
  CHECK_INT(error, SB_EFULL);
  CHECK(sb_net_queued(w.net) <= SBI_QUEUE_BYTES);
  CHECK(sb_net_queued(w.net) > SBI_QUEUE_BYTES - 2 * size);
  for (int i = 0; i < sent; i++) {
    world_frame(&w, &raw, &frame);
    CHECK_INT(frame.cmd, i);
    seen += (size_t)frame.size;
  }
  CHECK_INT(seen, (size_t)sent * size);
  free(data);
  raw_close(&raw);
  world_close(&w);
}

/* The host does not drain: the inbox fills to its bound, reading stops, and when the host drains
 * again all of it comes, once and in order. Pings among it are answered once. */
static void full_inbox(void) {
  enum { FRAMES = 200000, PING_EVERY = 10000, BOUND = 65536 };
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  uint8_t *stream = malloc((size_t)FRAMES * 24);
  size_t total = 0, at = 0;
  for (uint32_t i = 0; i < FRAMES; i++) {
    bool ping = i % PING_EVERY == 0;
    total += raw_encode(stream + total, ping ? 1 : 3, ping ? 7 : 1, peer, me, &i, sizeof i);
  }
  int idle = 0;
  while (idle < 50) { /* until nothing moves any more */
    size_t n = raw_try(&raw, stream + at, total - at);
    at += n;
    REQUIRE(sb_net_step(w.net, 0) >= 0);
    idle = n > 0 ? 0 : idle + 1;
  }
  CHECK_INT(sbi_inbox_count(sb_net_inbox(w.net)), BOUND);
  UNTIL(w.count - w.next == FRAMES, {
    at += raw_try(&raw, stream + at, total - at);
    world_step(&w, 0);
  });
  for (uint32_t i = 0; i < FRAMES; i++)
    REQUIRE_INT(raw_get32(world_event_of(&w, SB_EV_DATA)->payload), i);
  for (uint32_t i = 0; i < FRAMES; i += PING_EVERY) {
    world_frame(&w, &raw, &frame);
    CHECK_INT(frame.cmd, 8);
    CHECK_INT(raw_get32(frame.data), i);
  }
  world_frame_barrier(&w, &raw, 3);
  free(stream);
  raw_close(&raw);
  world_close(&w);
}

#ifdef SBI_EPOLL
/* A host that polls the descriptor, steps once and drains once: after a drain that made room the
 * descriptor is readable at once, so that the links that were held back go on. */
static void full_inbox_of_a_polling_host(void) {
  enum { FRAMES = 150000 };
  struct world w;
  struct raw raw;
  world_open(&w, NULL, SB_NET_NO_KEEPER);
  world_up(&w, &raw, 3);
  uint8_t *stream = malloc((size_t)FRAMES * 24);
  size_t total = 0, at = 0, held = 0;
  for (uint32_t i = 0; i < FRAMES; i++)
    total += raw_encode(stream + total, 3, 1, peer, me, &i, sizeof i);
  struct pollfd polled = {.fd = sb_net_fileno(w.net), .events = POLLIN};
  UNTIL(w.count - w.next == FRAMES, {
    at += raw_try(&raw, stream + at, total - at);
    REQUIRE(poll(&polled, 1, CHECK_DEADLINE_MS) == 1);
    REQUIRE(sb_net_step(w.net, 0) >= 0);
    bool holding = w.net->holding;
    if (held == 0 && !holding) continue; /* let it fill up first */
    held += holding;
    sb_batch batch;
    sb_inbox_drain(sb_net_inbox(w.net), &batch);
    if (holding) CHECK_INT(poll(&polled, 1, 0), 1);
    for (uint64_t i = 0; i < batch.count; i++) world_keep(&w, &batch.events[i], batch.data);
  });
  CHECK(held > 0);
  free(stream);
  raw_close(&raw);
  world_close(&w);
}
#endif

/* The same by bytes; meanwhile the other client's link waits too, and nobody is cut off. */
static void full_inbox_by_bytes(void) {
  enum { FRAMES = 150 };
  struct world w;
  struct raw raw, other;
  size_t size = 1 << 20;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  world_up(&w, &other, 4);
  uint8_t *data = calloc(1, size), *frame = malloc(size + 24);
  size_t whole = raw_encode(frame, 3, 1, peer, me, data, size), at = 0;
  int idle = 0, put = 0;
  while (idle < 50) {
    size_t n = put < FRAMES ? raw_try(&raw, frame + at, whole - at) : 0;
    at += n;
    if (at == whole) put++, at = 0;
    REQUIRE(sb_net_step(w.net, 0) >= 0);
    idle = n > 0 ? 0 : idle + 1;
  }
  int count = (int)sbi_inbox_count(sb_net_inbox(w.net));
  CHECK(count >= 64 && count <= 65);
  CHECK(put < FRAMES);
  raw_put_vector(&other, "deliver_user_data");
  size_t got = 0;
  UNTIL(got == FRAMES, {
    if (put < FRAMES) at += raw_try(&raw, frame + at, whole - at);
    if (at == whole) put++, at = 0;
    world_step(&w, 0);
    got = 0;
    for (size_t i = w.next; i < w.count; i++) got += w.events[i].client == 3;
    for (size_t i = w.next; i < w.count; i++) { /* no need to keep them all */
      free(w.events[i].payload);
      w.events[i].payload = NULL;
    }
  });
  CHECK_INT(w.count - w.next, FRAMES + 1);
  for (size_t i = w.next; i < w.count; i++)
    if (w.events[i].client == 3) CHECK_INT(w.events[i].size, size);
  w.next = w.count;
  world_barrier(&w, &raw, 3);
  world_barrier(&w, &other, 4);
  free(frame);
  free(data);
  raw_close(&raw);
  raw_close(&other);
  world_close(&w);
}

/* A server that sends pings and does not read: the answers do not pile up without end. */
static void answers_are_bounded(void) {
  enum { PINGS = 400 };
  struct world w;
  struct raw raw;
  size_t size = 1 << 20;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  uint8_t *data = calloc(1, size), *frame = malloc(size + 24);
  size_t whole = raw_encode(frame, 1, 7, peer, me, data, size), at = 0;
  for (int put = 0; put < PINGS;) {
    at += raw_try(&raw, frame + at, whole - at);
    if (at == whole) put++, at = 0;
    world_step(&w, 0);
    for (; w.next < w.count; w.next++) {
      free(w.events[w.next].payload);
      w.events[w.next].payload = NULL;
    }
    if (raw.ended) break;
  }
  CHECK(sb_net_queued(w.net) <= SBI_QUEUE_BYTES + size);
  free(frame);
  free(data);
  raw_close(&raw);
  world_close(&w);
}

/* Golden frames with bytes changed, cut anywhere: events or the end of the link, nothing worse. */
static void noise(void) {
  struct world w;
  uint64_t chance = 77;
  world_open(&w, NULL, 0);
  for (int round = 0; round < 500; round++) {
    struct raw raw;
    uint8_t bytes[7000];
    const struct vector *v = &vectors[check_random(&chance) % VECTORS];
    memcpy(bytes, v->bytes, v->size);
    for (uint32_t n = check_random(&chance) % 6; n > 0; n--)
      bytes[check_random(&chance) % (n % 2 ? 20 : v->size)] ^= (uint8_t)check_random(&chance);
    world_connect(&w, 3);
    world_accept(&w, &raw);
    world_request(&w, &raw, WORLD_2018);
    if (round % 2) world_ack(&raw, 3, 0);
    if (round % 3 == 0) CHECK_INT(sb_net_disconnect(w.net, 3), 0);
    size_t cut = check_random(&chance) % v->size;
    raw_send(&raw, bytes, cut);
    world_step(&w, 0);
    raw_send(&raw, bytes + cut, v->size - cut);
    for (int i = 0; i < 3; i++) world_step(&w, 0);
    raw_close(&raw);
    world_step(&w, 0);
    sb_net_disconnect(w.net, 3);
    while (raw_accept(&raw, w.listener)) raw_close(&raw); /* it may have been back already */
    w.next = w.count;
  }
  struct raw raw;
  world_up(&w, &raw, 4);
  world_barrier(&w, &raw, 4);
  raw_close(&raw);
  world_close(&w);
}

/* ---- when frames leave ----------------------------------------------------- */

static void *send_one(void *net) {
  CHECK_INT(sb_net_send(net, 3, 2, 3, 20, 4, 5, "other", 5), 0);
  return NULL;
}

static void corking(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  pthread_t thread;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "lone", 4), 0);
  CHECK_INT(sb_net_queued(w.net), 0); /* a lone frame leaves at once */
  sb_net_cork(w.net, 1);
  for (int i = 0; i < 5; i++) REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "corked", 6), 0);
  CHECK_INT(sb_net_queued(w.net), 5 * 28);
  sb_net_flush(w.net);
  CHECK_INT(sb_net_queued(w.net), 0);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "corked", 6), 0);
  CHECK_INT(sb_net_queued(w.net), 28);
  world_step(&w, 0); /* or with the next step */
  CHECK_INT(sb_net_queued(w.net), 0);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "corked", 6), 0);
  REQUIRE_INT(pthread_create(&thread, NULL, send_one, w.net), 0);
  pthread_join(thread, NULL); /* another thread is not corked */
  CHECK_INT(sb_net_queued(w.net), 0);
  REQUIRE_INT(sb_net_send(w.net, 3, 1, 3, 20, 4, 5, "corked", 6), 0);
  sb_net_cork(w.net, 0);
  CHECK_INT(sb_net_queued(w.net), 0);
  for (int i = 0; i < 10; i++) world_frame(&w, &raw, &frame);
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

/* ---- threads --------------------------------------------------------------- */

struct stepper {
  sb_net *net;
  _Atomic bool stop;
  _Atomic int data;
  pthread_t thread;
};

static void *step_always(void *arg) {
  struct stepper *s = arg;
  while (!atomic_load(&s->stop)) {
    sb_batch batch;
    sb_net_step(s->net, -1);
    sb_inbox_drain(sb_net_inbox(s->net), &batch);
    for (uint64_t i = 0; i < batch.count; i++)
      if (batch.events[i].kind == SB_EV_DATA) atomic_fetch_add(&s->data, 1);
  }
  return NULL;
}

enum { SENDERS = 3, EACH = 5000 };

struct sender {
  sb_net *net;
  uint8_t number;
  pthread_t thread;
};

static void *send_many(void *arg) {
  struct sender *s = arg;
  for (uint32_t i = 0; i < EACH;) {
    int result = sb_net_send(s->net, 3, s->number, 3, 20, 4, 5, &i, sizeof i);
    if (result == 0) i++;
    if (result != 0) sched_yield();
  }
  return NULL;
}

/* One thread steps, others send: each one's frames come all and in order; a waiting step sends
 * and reads at once, and wakes when told. */
static void senders_and_a_stepper(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  struct sender senders[SENDERS];
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  struct stepper stepper = {.net = w.net};
  REQUIRE_INT(pthread_create(&stepper.thread, NULL, step_always, &stepper), 0);
  for (uint8_t i = 0; i < SENDERS; i++) {
    senders[i] = (struct sender){.net = w.net, .number = i};
    REQUIRE_INT(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
  }
  uint32_t next[SENDERS] = {0};
  for (int i = 0; i < SENDERS * EACH; i++) {
    raw_expect(&raw, &frame);
    REQUIRE(frame.cmd < SENDERS);
    REQUIRE_INT(raw_get32(frame.data), next[frame.cmd]++);
    if (i % 100 == 0) raw_put_vector(&raw, "deliver_user_data");
  }
  for (int i = 0; i < SENDERS; i++) pthread_join(senders[i].thread, NULL);
  UNTIL(atomic_load(&stepper.data) == SENDERS * EACH / 100, sched_yield());
  REQUIRE_INT(sb_net_send(w.net, 3, 9, 3, 20, 4, 5, "", 0), 0);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.cmd, 9);
  atomic_store(&stepper.stop, true);
  sb_net_wake(w.net);
  pthread_join(stepper.thread, NULL);
  raw_close(&raw);
  world_close(&w);
}

/* ---- traces ---------------------------------------------------------------- */

static int traces(struct world *w, int code) {
  int count = 0;
  for (size_t i = 0; i < w->count; i++)
    count += w->events[i].kind == SB_EV_TRACE && w->events[i].code == code;
  return count;
}

static void trace_levels(void) {
  for (int level = 0; level < 3; level++) {
    struct world w;
    struct raw raw;
    world_open(&w, NULL, 0);
    sb_net_trace(w.net, level);
    world_connect(&w, 3);
    world_accept(&w, &raw);
    world_ack(&raw, 3, 0);
    UNTIL(sb_net_connected(w.net, 3), world_step(&w, 10));
    raw_put(&raw, 1, 9, peer, me, "short", 5); /* an error line */
    raw_close(&raw);                           /* an information line */
    UNTIL(!sb_net_connected(w.net, 3), world_step(&w, 10));
    CHECK_INT(traces(&w, 1), level >= 1);
    CHECK_INT(traces(&w, 0) > 0, level >= 2);
    world_close(&w);
  }
}

int main(void) {
  return check_run((struct check_case[]){
      {"golden_frames", golden_frames, false},
      {"cut_arguments", cut_arguments, false},
      {"return_values", return_values, false},
      {"delivered", delivered, false},
      {"internal", internal, false},
      {"destination_filter", destination_filter, false},
      {"pings", pings, false},
      {"global_events", global_events, false},
      {"large_frame", large_frame, false},
      {"grace", grace, false},
      {"grace_after_the_keeper", grace_after_the_keeper, true},
      {"unsent_frames_are_kept", unsent_frames_are_kept, false},
      {"full_by_frames", full_by_frames, false},
      {"full_by_bytes", full_by_bytes, false},
      {"full_inbox", full_inbox, false},
#ifdef SBI_EPOLL
      {"full_inbox_of_a_polling_host", full_inbox_of_a_polling_host, false},
#endif
      {"full_inbox_by_bytes", full_inbox_by_bytes, false},
      {"answers_are_bounded", answers_are_bounded, false},
      {"noise", noise, false},
      {"corking", corking, false},
      {"senders_and_a_stepper", senders_and_a_stepper, false},
      {"trace_levels", trace_levels, false},
      {0},
  });
}
