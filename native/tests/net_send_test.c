/* net, batches: what sb_net_send_many puts on the wire, what it counts, what it refuses. */
#include "net_world.h"

static int many(sb_net *net, int client, const uint32_t *sizes, int count, const void *blob,
                size_t blob_size, int *sent) {
  return sb_net_send_many(net, client, 7, 3, 20, 4, 5, sizes, count, blob, blob_size, sent);
}

/* The same frames as one by one, whatever their sizes. */
static void frames_of_all_sizes(void) {
  enum { COUNT = 3000 };
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  uint64_t chance = 5;
  uint32_t sizes[COUNT];
  size_t blob_size = 0;
  for (int i = 0; i < COUNT; i++) {
    sizes[i] = i < 20 ? (uint32_t)i : check_random(&chance) % 700;
    blob_size += sizes[i];
  }
  uint8_t *blob = malloc(blob_size), *expected = malloc(1024);
  for (size_t i = 0; i < blob_size; i++) blob[i] = (uint8_t)check_random(&chance);
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  int sent = -1;
  REQUIRE_INT(many(w.net, 3, sizes, COUNT, blob, blob_size, &sent), SB_OK);
  REQUIRE_INT(sent, COUNT);
  const uint8_t *data = blob;
  for (int i = 0; i < COUNT; i++) {
    world_frame(&w, &raw, &frame);
    size_t size = raw_encode(expected, 3, 7, (struct raw_addr){WORLD_UNIT, 3, 18},
                             (struct raw_addr){20, 4, 5}, data, sizes[i]);
    REQUIRE_INT(frame.packet_size, size);
    CHECK_BYTES(frame.bytes, frame.packet_size, expected, size);
    data += sizes[i];
  }
  world_frame_barrier(&w, &raw, 3);
  free(blob);
  free(expected);
  raw_close(&raw);
  world_close(&w);
}

/* Uncorked, a batch has left when the call returns; corked, its end waits as single frames do. */
static void leaving(void) {
  static const uint32_t sizes[] = {2, 0, 3};
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  int sent;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  REQUIRE_INT(many(w.net, 3, sizes, 3, "aabbb", 5, &sent), SB_OK);
  CHECK_INT(sb_net_queued(w.net), 0);
  sb_net_cork(w.net, 1);
  REQUIRE_INT(many(w.net, 3, sizes, 3, "aabbb", 5, &sent), SB_OK);
  CHECK_INT(sb_net_queued(w.net), 3 * 20 + 2 + 2 + 3 + 3);
  sb_net_flush(w.net);
  CHECK_INT(sb_net_queued(w.net), 0);
  for (int i = 0; i < 6; i++) {
    world_frame(&w, &raw, &frame);
    CHECK_BYTES(frame.data, frame.size, i % 3 == 0 ? "aa" : "bbb", sizes[i % 3]);
  }
  REQUIRE_INT(many(w.net, 3, sizes, 0, NULL, 0, &sent), SB_OK);
  CHECK_INT(sent, 0);
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

/* In the order of sb_net_send's checks, then its own; nothing leaves and nothing is counted. */
static void refusals(void) {
  static const uint32_t two[] = {1, 2}, large[] = {1, 0x10000000}, wraps[] = {0xFFFFFFFF, 4};
  static const struct {
    bool initialised;
    int client, cmd_type, unit;
    const uint32_t *sizes;
    int count;
    const char *blob;
    size_t blob_size;
    int expected;
  } table[] = {
      {false, 9, 0, 48, two, 2, NULL, 9, SB_ENOINIT},
      {true, 9, 0, 48, two, 2, NULL, 9, SB_EUNIT},
      {true, 9, 0, 19, two, 2, NULL, 9, SB_EARGUMENT},
      {true, 9, 0, 19, large, 2, "abc", 3, SB_ECMDTYPE},
      {true, 9, 3, 19, large, 2, "abc", 3, SB_ETOOBIG},
      {true, 9, 3, 19, wraps, 2, "abc", 3, SB_ETOOBIG},
      {true, 9, 3, 19, two, 2, "ab", 2, SB_EARGUMENT},
      {true, 9, 3, 19, two, 2, "abcd", 4, SB_EARGUMENT},
      {true, 9, 3, 19, two, -1, NULL, 0, SB_EARGUMENT},
      {true, 9, 3, 19, two, 2, "abc", 3, SB_EOWNUNIT},
      {true, 9, 3, 20, two, 2, "abc", 3, SB_ENOCLIENT},
      {true, 5, 3, 20, two, 2, "abc", 3, SB_ENOTCONN},
  };
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  int port, refusing = raw_refuse(&port);
  REQUIRE_INT(sb_net_connect(w.net, 5, 2, "127.0.0.1", port, NULL, 0, "", "", ""), 0);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    int sent = 99;
    CHECK_INT(sb_net_send_many(table[i].initialised ? w.net : NULL, table[i].client, 1,
                               table[i].cmd_type, table[i].unit, 0, 0, table[i].sizes,
                               table[i].count, table[i].blob, table[i].blob_size, &sent),
              table[i].expected);
    CHECK_INT(sent, 0);
  }
  world_frame_barrier(&w, &raw, 3);
  close(refusing);
  raw_close(&raw);
  world_close(&w);
}

/* The peer does not read: exactly those that were counted arrive when it reads at last. */
static void full(void) {
  enum { COUNT = 1000 };
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  uint32_t sizes[COUNT], blob[COUNT], next = 0, got = 0;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  int result, sent;
  do {
    for (uint32_t i = 0; i < COUNT; i++) {
      sizes[i] = sizeof *blob;
      raw_le32((uint8_t *)&blob[i], next + i);
    }
    result = many(w.net, 3, sizes, COUNT, blob, sizeof blob, &sent);
    CHECK(result == SB_OK ? sent == COUNT : sent < COUNT);
    next += (uint32_t)sent;
    REQUIRE(next < 100u * SBI_QUEUE_FRAMES);
  } while (result == SB_OK);
  CHECK_INT(result, SB_EFULL);
  CHECK(next >= SBI_QUEUE_FRAMES);
  REQUIRE_INT(many(w.net, 3, sizes, COUNT, blob, sizeof blob, &sent), SB_EFULL);
  CHECK_INT(sent, 0);
  while (got < next) {
    world_frame(&w, &raw, &frame);
    REQUIRE_INT(raw_get32(frame.data), got++);
  }
  world_frame_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

/* While its disconnect event waits for the host, a client's packets are held for the next link. */
static void held(void) {
  static const uint32_t sizes[] = {1, 1};
  struct world w;
  struct raw raw, again;
  struct raw_frame frame;
  int sent;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  REQUIRE_INT(many(w.net, 3, sizes, 2, "ab", 2, &sent), SB_OK);
  CHECK_INT(sent, 2);
  world_register(&w, &again, 3);
  for (int i = 0; i < 2; i++) {
    world_frame(&w, &again, &frame);
    CHECK_BYTES(frame.data, frame.size, &"ab"[i], 1);
  }
  raw_close(&again);
  world_close(&w);
}

int main(void) {
  return check_run((struct check_case[]){
      {"frames_of_all_sizes", frames_of_all_sizes, false},
      {"leaving", leaving, false},
      {"refusals", refusals, false},
      {"full", full, false},
      {"held", held, true},
      {0},
  });
}
