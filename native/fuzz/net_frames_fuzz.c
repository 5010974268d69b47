/* The client's frame parser and link: any bytes from a server, before or after registration, over
 * TCP with one link or two, or the local socket. Input: a byte of settings, the size of the first
 * stream in 16 bits, and two streams: for the first connection and for the second, be it the slave
 * link or the one after the first was lost. */
#include "net_side.h"

static void play(struct input input, int how, struct record *record) {
  struct net_side side;
  unsigned bits = input_byte(&input);
  struct input first = input_part(&input, input_16(&input));
  net_side_open(&side, bits, how, record);
  net_side_feed(&side, 0, first);
  net_side_end(&side, 0, bits & NET_SEPARATE ? 104 : 0);
  net_side_wait(&side, 2500); /* the longest pause before the next attempt */
  net_side_feed(&side, 1, input);
  net_side_wait(&side, 1000);
  net_side_close(&side);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  play_three_ways(play, data, size);
  return 0;
}
