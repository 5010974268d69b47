/* Global connect events: any body to a client, and from a client to the bus, which must not pass it
 * on. Input: a byte of settings (net_side.h), one for the command and the addresses, and the body. */
#include "bus_side.h"
#include "net_side.h"

enum { ANSWER = 1, FULL_SIZE = 2, FROM_ITSELF = 4, DATA_SIZE = 281, BODY_MAX = 2048 };

static size_t event(struct input input, unsigned how, struct address src, struct address dst,
                    uint8_t *out) {
  uint8_t body[BODY_MAX] = {0};
  struct input part = input_part(&input, how & FULL_SIZE ? DATA_SIZE : BODY_MAX);
  for (size_t i = 0; i < part.size; i++) body[i] = part.bytes[i];
  return frame_make(out, 1, how & ANSWER ? 10 : 9, src, dst, body,
                    how & FULL_SIZE ? DATA_SIZE : part.size);
}

static void play(struct input input, int how, struct record *record) {
  uint8_t frame[BODY_MAX + 23];
  unsigned bits = input_byte(&input), kind = input_byte(&input);
  struct net_side client;
  net_side_open(&client, bits, how, record);
  size_t size = event(input, kind, kind & FROM_ITSELF ? net_self : net_server, net_self, frame);
  net_side_feed(&client, 0, (struct input){frame, size});
  net_side_close(&client);

  struct bus_side bus;
  bus_side_open(&bus, (sb_bus_options){0}, how, record);
  int fd = bus_side_dial(&bus, (bits & NET_LOCAL) != 0);
  struct address own = {21, 7, 30};
  if (bits & NET_REGISTERED) bus_side_join(&bus, fd, own, 2000);
  size_t before[2], after;
  for (int i = 0; i < 2; i++) sys_sent(bus.good[i], &before[i]);
  size = event(input, kind, own, (struct address){0xFF, 0xFF, 0xFF}, frame);
  bus_side_feed(&bus, fd, (struct input){frame, size});
  for (int i = 0; i < 2; i++) {
    sys_sent(bus.good[i], &after);
    SYS_REQUIRE(after == before[i]); /* the bus alone announces clients */
  }
  record_sent(record, fd);
  bus_side_close(&bus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  play_three_ways(play, data, size);
  return 0;
}
