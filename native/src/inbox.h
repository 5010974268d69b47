/* The producers' side of sb_inbox (smartbus_core.h has the consumer's).
 *
 * Two sides take turns: producers append to one under the lock, the consumer owns the other until
 * its next drain. Each side is an array of fixed-size events and one run of payload bytes, so that
 * the host copies a batch with two moves. */
#ifndef SBI_INBOX_H
#define SBI_INBOX_H

#include <stdbool.h>

#include "smartbus_core.h"

struct sbi_part {
  const void *bytes;
  size_t size;
};

/* Append one event whose payload is the parts, joined; event->size and ->offset are filled in.
 * False: full, no memory or closed; nothing was changed. */
bool sbi_inbox_put(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts, int count);
/* As put, but an event that does not fit is lost and counted. For traces and the bus's reports. */
void sbi_inbox_offer(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts,
                     int count);
/* As put, but above the bounds too; for the few events that nothing can hold back, such as a
 * connection's end. While there is no memory, some dozens of them wait in room that was made for it
 * beforehand, and nothing overtakes them. False: closed, or there were even more (counted as lost),
 * or one was too large. */
bool sbi_inbox_force(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts,
                     int count);
/* Close the descriptors only, in a forked child. */
void sbi_inbox_abandon(sb_inbox *inbox);
/* After a put that was refused for want of room, the next drain signals this wake-up descriptor. */
void sbi_inbox_tell_room(sb_inbox *inbox, int wake_write);
bool sbi_inbox_full(sb_inbox *inbox);
uint32_t sbi_inbox_count(sb_inbox *inbox);
/* While quiet, events do not make the descriptor readable: the producer is the consumer's own
 * thread and will tell it. */
void sbi_inbox_quiet(sb_inbox *inbox, bool quiet);

#endif
