/* The bus's state machine: four clients come, register, send, stop reading, end, in any order, while
 * time passes and the host throws some out. Queues are short, so that they are often full. Input: a
 * byte of settings (1: little memory) and a script, see `act`. */
#include <errno.h>
#include <string.h>

#include "bus_side.h"

enum { PEERS = 4, ACTIONS_MAX = 64 };

struct town {
  struct bus_side side;
  int fds[PEERS]; /* -1: not there */
  struct address own[PEERS];
};

static const uint8_t units[] = {20, 21, 22, 47, BUS_UNIT, 2, 48, 0xFF};

static void dial(struct town *town, int i, bool local) {
  if (town->fds[i] >= 0 && sys_is_open(town->fds[i])) return;
  town->fds[i] = bus_side_dial(&town->side, local);
}

static void enter(struct town *town, int i, struct input *input) {
  uint8_t request[REQUEST_SIZE], bits = input_byte(input);
  town->own[i] = (struct address){units[bits % 8], input_byte(input), input_byte(input)};
  frame_request(request, town->own[i], bits >> 3 & 1, 3000 + (bits >> 4));
  sys_feed(town->fds[i], request, sizeof request);
  bus_side_settle(&town->side);
}

static void send_frame(struct town *town, int i, struct input *input) {
  uint8_t frame[20 + 255 + 3], cmdtype = input_byte(input), cmd = input_byte(input);
  uint8_t unit = input_byte(input), client = input_byte(input);
  struct address to = {unit < 8 ? units[unit] : unit, client, input_byte(input)};
  struct input data = input_part(input, input_byte(input));
  size_t size = frame_make(frame, cmdtype, cmd, town->own[i], to, data.bytes, data.size);
  bus_side_feed(&town->side, town->fds[i], (struct input){frame, size});
}

static void send_many(struct town *town, int i, struct input *input) {
  for (int n = input_byte(input) % 8; n > 0; n--) {
    struct input same = *input;
    send_frame(town, i, &same);
  }
}

/* One that is collected before it is routed, or its first half. */
static void send_large(struct town *town, int i, struct input *input, bool half) {
  static const uint8_t data[8000];
  static uint8_t frame[20 + sizeof data];
  struct address to = {units[input_byte(input) % 8], input_byte(input), 0xFF};
  size_t size = 32u * input_byte(input);
  size = frame_make(frame, 3, 77, town->own[i], to, data, size < sizeof data ? size : sizeof data);
  town->side.pieces.byte = 61;
  bus_side_feed(&town->side, town->fds[i], (struct input){frame, half ? size / 2 : size});
  town->side.pieces.byte = 0;
}

static void kick(struct town *town, unsigned n) {
  sb_bus_client clients[PEERS + 2];
  int count = sb_bus_clients(town->side.bus, clients, PEERS + 2);
  SYS_REQUIRE(count >= 2 && count <= PEERS + 2);
  const sb_bus_client *who = &clients[n % (unsigned)count];
  record_bytes(town->side.record, who->info, sizeof who->info);
  for (int i = 0; i < 2; i++)
    if (who->unit == bus_good[i].unit && who->client == bus_good[i].client) return;
  SYS_REQUIRE(sb_bus_kick(town->side.bus, who->link) == SB_OK);
  bus_side_settle(&town->side);
}

static void act(struct town *town, struct input *input) {
  uint8_t op = input_byte(input);
  int i = op & 3, fd = town->fds[i];
  unsigned variant = op >> 5;
  switch (op >> 2 & 7) {
    case 0:
      dial(town, i, variant & 1);
      break;
    case 1:
      if (fd >= 0) enter(town, i, input);
      break;
    case 2:
      if (fd >= 0) bus_side_feed(&town->side, fd, input_part(input, input_byte(input)));
      break;
    case 3:
      if (fd >= 0) send_frame(town, i, input);
      break;
    case 4:
      if (fd < 0) break;
      if (variant & 4)
        send_large(town, i, input, variant & 1);
      else
        send_many(town, i, input);
      break;
    case 5:
      if (fd < 0) break;
      record_sent(town->side.record, fd);
      sys_end(fd, variant & 1 ? ECONNRESET : 0);
      bus_side_settle(&town->side);
      break;
    case 6:
      bus_side_wait(&town->side, 250 * (input_byte(input) % 32));
      break;
    default:
      if (variant == 7) kick(town, input_byte(input));
      if (fd >= 0) sys_room(fd, variant & 1 ? SYS_UNLIMITED : 64L * input_byte(input));
      bus_side_settle(&town->side);
  }
}

static void play(struct input input, int how, struct record *record) {
  struct town town = {.fds = {-1, -1, -1, -1}};
  sb_bus_options options = {.high_bytes = 3000, .high_frames = 6, .max_frame = 8192};
  bool scarce = input_byte(&input) & 1;
  if (scarce) options.max_memory = 12000;
  bus_side_open(&town.side, options, how, record);
  for (int n = 0; input.size > 0 && n < ACTIONS_MAX; n++) act(&town, &input);
  for (int i = 0; i < PEERS; i++)
    if (town.fds[i] >= 0) record_sent(record, town.fds[i]);
  bus_side_close(&town.side);
  if (scarce) record->size = 0; /* what fits into memory depends on how it is cut */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  play_three_ways(play, data, size);
  return 0;
}
