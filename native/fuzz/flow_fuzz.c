/* Bodies of flow calls, acks, returns and notifies: to a client that waits for answers, and over the
 * bus to clients that are there and to nobody. Input: a byte of settings (net_side.h), one for the
 * command and the receiver, and the body. */
#include "bus_side.h"
#include "net_side.h"

enum { BODY_MAX = 20000 };

static const uint8_t commands[] = {11, 12, 13, 15, 7, 8, 77};

/* There, there, nobody, any client, the bus itself. */
static const struct address receivers[] = {
    {20, 1, 18}, {BUS_UNIT, 5, 2}, {BUS_UNIT, 9, 2}, {0xFF, 0xFF, 0xFF}, {BUS_UNIT, 0, 1}};

static void play(struct input input, int how, struct record *record) {
  static uint8_t frame[BODY_MAX + 23];
  unsigned bits = input_byte(&input), kind = input_byte(&input);
  uint8_t command = commands[kind % 7];
  struct address to = receivers[kind / 7 % 5];
  struct input body = input_part(&input, BODY_MAX);
  struct net_side client;
  net_side_open(&client, bits, how, record);
  size_t size = frame_make(frame, 1, command, net_server, net_self, body.bytes, body.size);
  net_side_feed(&client, 0, (struct input){frame, size});
  net_side_feed(&client, 0, (struct input){frame, size}); /* an answer counts once */
  sys_advance(31000);                                     /* the calls come to their end */
  net_side_settle(&client);
  net_side_close(&client);

  struct bus_side bus;
  bus_side_open(&bus, (sb_bus_options){0}, how, record);
  int fd = bus_side_dial(&bus, (bits & NET_LOCAL) != 0);
  struct address own = {21, 7, 30};
  if (bits & NET_REGISTERED) bus_side_join(&bus, fd, own, 2000);
  size = frame_make(frame, 1, command, own, to, body.bytes, body.size);
  bus_side_feed(&bus, fd, (struct input){frame, size});
  record_sent(record, fd);
  bus_side_close(&bus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  play_three_ways(play, data, size);
  return 0;
}
