#include "target.h"

#include <stdlib.h>
#include <string.h>

/* ---- the input ------------------------------------------------------------- */

uint8_t input_byte(struct input *input) {
  if (input->size == 0) return 0;
  input->size--;
  return *input->bytes++;
}

unsigned input_16(struct input *input) {
  unsigned low = input_byte(input);
  return low | (unsigned)input_byte(input) << 8;
}

struct input input_part(struct input *input, size_t size) {
  if (size > input->size) size = input->size;
  struct input part = {input->bytes, size};
  input->bytes += size;
  input->size -= size;
  return part;
}

/* ---- the record ------------------------------------------------------------ */

void record_bytes(struct record *record, const void *bytes, size_t size) {
  if (record->room - record->size < size) {
    record->room = 2 * (record->size + size);
    record->bytes = realloc(record->bytes, record->room);
    if (record->bytes == NULL) abort();
  }
  if (size > 0) memcpy(record->bytes + record->size, bytes, size);
  record->size += size;
}

void record_number(struct record *record, int64_t number) {
  record_bytes(record, &number, sizeof number);
}

void record_sent(struct record *record, int fd) {
  size_t size;
  record_number(record, sys_is_open(fd));
  if (!sys_is_open(fd)) return;
  const uint8_t *bytes = sys_sent(fd, &size);
  record_number(record, (int64_t)size);
  record_bytes(record, bytes, size);
}

/* How many texts the payload of an event has; -1: any bytes. */
static int texts_of(int kind) {
  switch (kind) {
    case SB_EV_FLOW_ACK:
    case SB_EV_FLOW_RETURN:
    case SB_EV_BUS_LEFT:
    case SB_EV_BUS_REFUSED:
    case SB_EV_BUS_BAD:
      return 2;
    case SB_EV_GLOBAL:
      return 1;
    case SB_EV_BUS_JOINED:
      return 3;
    case SB_EV_BUS_ASK:
      return 5;
    default:
      return -1;
  }
}

static void check_event(const sb_event *event, const uint8_t *payload) {
  int texts = texts_of(event->kind), found = 0;
  for (uint32_t i = 0; i < event->size; i++) found += payload[i] == 0;
  if (texts >= 0 && (found != texts || payload[event->size - 1] != 0))
    SYS_FAIL("an event of kind %d has %d texts", event->kind, found);
  if (event->kind == SB_EV_DATA) {
    uint32_t size = (uint32_t)event->head[16] | (uint32_t)event->head[17] << 8 |
                    (uint32_t)event->head[18] << 16 | (uint32_t)event->head[19] << 24;
    SYS_REQUIRE(event->size == size);
  }
}

void record_events(struct record *record, sb_inbox *inbox) {
  sb_batch batch;
  sb_inbox_drain(inbox, &batch);
  for (uint64_t i = 0; i < batch.count; i++) {
    sb_event event = batch.events[i];
    SYS_REQUIRE(event.offset <= batch.size && event.size <= batch.size - event.offset);
    const uint8_t *payload = event.size > 0 ? batch.data + event.offset : NULL;
    check_event(&event, payload);
    event.offset = 0; /* depends on the batch */
    record_bytes(record, &event, sizeof event);
    record_bytes(record, payload, event.size);
  }
  SYS_REQUIRE(sb_inbox_lost(inbox) == 0);
}

bool record_event(const struct record *record, size_t *at, sb_event *event) {
  if (*at == record->size) return false;
  memcpy(event, record->bytes + *at, sizeof *event);
  *at += sizeof *event + event->size;
  return true;
}

/* ---- feeding --------------------------------------------------------------- */

void feed(const struct pieces *pieces, int fd, const void *bytes, size_t size) {
  size_t least = pieces->byte > 0 ? pieces->byte : 1;
  size_t step = pieces->how == WHOLE ? size : pieces->how == HALVES ? size / 2 + 1 : least;
  for (size_t at = 0; at < size; at += step) {
    sys_feed(fd, (const uint8_t *)bytes + at, step < size - at ? step : size - at);
    pieces->settle(pieces->side);
  }
}

void play_three_ways(void (*play)(struct input input, int how, struct record *record),
                     const uint8_t *data, size_t size) {
  static struct record records[3]; /* their memory serves again */
  static const char *const names[] = {"at once", "in two halves", "byte by byte"};
  for (int how = WHOLE; how <= BYTES; how++) {
    records[how].size = 0;
    sys_reset();
    play((struct input){data, size}, how, &records[how]);
    sys_check_closed();
    if (records[how].size == records[0].size &&
        memcmp(records[how].bytes, records[0].bytes, records[0].size) == 0)
      continue;
    size_t at = 0;
    while (at < records[how].size && at < records[0].size &&
           records[how].bytes[at] == records[0].bytes[at])
      at++;
    SYS_FAIL("fed %s: %zu bytes of record, at once %zu; they differ from byte %zu on", names[how],
             records[how].size, records[0].size, at);
  }
}
