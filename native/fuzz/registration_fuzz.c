/* Registration with the bus: two clients after each other, each in any layout, the host asked or
 * not, and then they talk. Input: two bytes of settings, the size of the first request in 16 bits,
 * and two requests. A request is a layout, the client's three address bytes, and what its frame has
 * from offset 20 on; the frame is filled up with zeros, as far as its layout goes. */
#include <string.h>

#include "bus_side.h"

enum {
  ASK = 1,
  FIRST_LOCAL = 2,
  SECOND_LOCAL = 4,
  SILENCE = 8,
  LONG_SILENCE = 16,
  FIRST_ENDS = 32
};
enum { DATA_MAX = 8192 };

static const int codes[] = {SB_OK, SB_EUSER, SB_EPASSWORD, SB_ETWICE, SB_EISCONN, SB_EOTHER, 7};

/* Returns the size of the frame at `out`. */
static size_t request(struct input input, uint8_t *out, struct address *own) {
  static const size_t layouts[] = {6005, 5941, 6033, 5969, 477, 449, 448, 476};
  unsigned layout = input_byte(&input);
  size_t size = layout < 8 ? layouts[layout] : input_16(&input) % DATA_MAX;
  own->type = input_byte(&input);
  own->unit = input_byte(&input);
  own->client = input_byte(&input);
  memset(out, 0, 20 + size);
  frame_head(out, 0, 1, *own, (struct address){0, 0, 0}, 20 + size, size);
  memcpy(out + 20, input.bytes, input.size < size ? input.size : size);
  return 20 + size;
}

static void play(struct input input, int how, struct record *record) {
  static uint8_t frame[20 + DATA_MAX];
  struct bus_side side;
  struct address own[2];
  unsigned bits = input_byte(&input), code = input_byte(&input);
  struct input requests[2];
  requests[0] = input_part(&input, input_16(&input));
  requests[1] = input;
  bus_side_open(&side, (sb_bus_options){.ask_host = bits & ASK}, how, record);
  side.decision = codes[code % (sizeof codes / sizeof *codes)];
  int fds[2];
  for (int i = 0; i < 2; i++) {
    fds[i] = bus_side_dial(&side, (bits & (i == 0 ? FIRST_LOCAL : SECOND_LOCAL)) != 0);
    size_t size = request(requests[i], frame, &own[i]);
    size_t given = requests[i].size + 20 < size ? requests[i].size + 20 : size;
    bus_side_feed(&side, fds[i], (struct input){frame, given});
    sys_feed(fds[i], frame + given, size - given); /* zeros, and many */
    bus_side_settle(&side);
    if (i == 0 && bits & SILENCE) bus_side_wait(&side, bits & LONG_SILENCE ? 14000 : 3000);
    if (i == 0 && bits & FIRST_ENDS) sys_end(fds[0], 0);
  }
  for (int i = 0; i < 2; i++) bus_side_say(&side, fds[i], own[i], own[1 - i]);
  for (int i = 0; i < 2; i++) record_sent(record, fds[i]);
  bus_side_close(&side);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  play_three_ways(play, data, size);
  return 0;
}
