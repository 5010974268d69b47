/* A bus on the simulated system, with clients that behave and one or more that need not. */
#ifndef BUS_SIDE_H
#define BUS_SIDE_H

#include "bus.h"
#include "frames.h"
#include "target.h"

enum { BUS_UNIT = 1, BUS_KNOWN_MAX = 256, BUS_DIALED_MAX = 64 };

struct bus_side {
  sb_bus *bus;
  struct sys_thread thread;
  struct pieces pieces;
  struct record *record;
  int decision;                        /* the host's answer to who asks */
  struct address known[BUS_KNOWN_MAX]; /* all that ever registered */
  int known_count;
  int dialed[BUS_DIALED_MAX]; /* connections of all others */
  int dialed_count;
  int good[2]; /* clients that behave: 20.1 type 18 over TCP, 1.5 type 2 over the local socket */
};

extern const struct address bus_good[2];

void bus_side_open(struct bus_side *side, sb_bus_options options, int how, struct record *record);
/* All others go. Dies unless the clients that behave are still served, and the bus is rid of all that
 * was the others'. Then everything is recorded and freed. */
void bus_side_close(struct bus_side *side);
/* Let the bus work until it has nothing to do, and its host answer. */
void bus_side_settle(void *side);
/* Time passes, in steps of a sweep or of a second; the client that must beats. */
void bus_side_wait(struct bus_side *side, int64_t ms);
/* A new connection, not registered. */
int bus_side_dial(struct bus_side *side, bool local);
void bus_side_feed(struct bus_side *side, int fd, struct input input);
/* One message, which those who get it know. */
void bus_side_say(struct bus_side *side, int fd, struct address own, struct address to);
/* Register in order. */
void bus_side_join(struct bus_side *side, int fd, struct address own, int64_t pid);

#endif
