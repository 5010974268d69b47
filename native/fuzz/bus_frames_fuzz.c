/* The bus's frame parser: any bytes from a client, registered or not, over TCP or the local socket.
 * Input: a byte of settings, then the stream. */
#include "bus_side.h"

enum { REGISTERED = 1, LOCAL = 2, SMALL = 4, RESET = 8 };

static void play(struct input input, int how, struct record *record) {
  struct bus_side side;
  unsigned bits = input_byte(&input);
  bus_side_open(&side, (sb_bus_options){.max_frame = bits & SMALL ? 7000 : 0}, how, record);
  int fd = bus_side_dial(&side, (bits & LOCAL) != 0);
  if (bits & REGISTERED) bus_side_join(&side, fd, (struct address){21, 7, 30}, 2000);
  bus_side_feed(&side, fd, input);
  record_sent(record, fd);
  if (sys_is_open(fd)) {
    sys_end(fd, bits & RESET ? 104 : 0);
    bus_side_settle(&side);
    SYS_REQUIRE(!sys_is_open(fd));
  }
  bus_side_close(&side);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  play_three_ways(play, data, size);
  return 0;
}
