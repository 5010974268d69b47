/* What every target shares: its input, its record, and the three ways to feed it. */
#ifndef TARGET_H
#define TARGET_H

#include "smartbus_core.h"
#include "system.h"

/* The entry of libFuzzer, and of replay.c. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input, taken from its front --------------------------------------- */

struct input {
  const uint8_t *bytes;
  size_t size;
};

/* 0 where the input is at its end. */
uint8_t input_byte(struct input *input);
unsigned input_16(struct input *input);
/* The next `size` bytes, or as many as there are. */
struct input input_part(struct input *input, size_t size);

/* ---- the record: all that a run lets anybody see --------------------------- */

struct record {
  uint8_t *bytes;
  size_t size, room;
};

void record_bytes(struct record *record, const void *bytes, size_t size);
void record_number(struct record *record, int64_t number);
/* Events of an inbox, each checked against what smartbus_core.h promises. */
void record_events(struct record *record, sb_inbox *inbox);
/* The event at *at of a record that ends with events; false at the end. */
bool record_event(const struct record *record, size_t *at, sb_event *event);
/* All that was written to a descriptor that the core has not closed: when it closes one for what
 * arrived on it, answers to what arrived before may be written already, or lost. */
void record_sent(struct record *record, int fd);

/* ---- feeding --------------------------------------------------------------- */

/* In which pieces a stream arrives; `settle` lets the core work after each of them. */
struct pieces {
  enum { WHOLE, HALVES, BYTES } how;
  size_t byte; /* the size of the smallest pieces, 0: one byte */
  void (*settle)(void *side);
  void *side;
};

void feed(const struct pieces *pieces, int fd, const void *bytes, size_t size);

/* Play the input three times; the records must be the same. */
void play_three_ways(void (*play)(struct input input, int how, struct record *record),
                     const uint8_t *data, size_t size);

#endif
