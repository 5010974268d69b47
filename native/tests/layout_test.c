/* What the host reads from C lies at the same places on every platform, 32-bit ones too (-m32): the
 * structures of smartbus_core.h that carry no pointer. smartbus/_c has the same figures. */
#include <stddef.h>

#include "check.h"
#include "smartbus_core.h"

static void events(void) {
  CHECK_INT(sizeof(sb_event), 48);
  CHECK_INT(offsetof(sb_event, kind), 0);
  CHECK_INT(offsetof(sb_event, client), 1);
  CHECK_INT(offsetof(sb_event, flags), 2);
  CHECK_INT(offsetof(sb_event, code), 4);
  CHECK_INT(offsetof(sb_event, id), 8);
  CHECK_INT(offsetof(sb_event, size), 12);
  CHECK_INT(offsetof(sb_event, offset), 16);
  CHECK_INT(offsetof(sb_event, head), 24);
}

/* Two pointers and two 64-bit numbers. */
static void batches(void) {
  size_t pointers = 2 * sizeof(void *);
  CHECK_INT(offsetof(sb_batch, count), pointers);
  CHECK_INT(offsetof(sb_batch, size), pointers + 8);
  CHECK_INT(sizeof(sb_batch), pointers + 16);
}

static void notify_items(void) {
  CHECK_INT(sizeof(sb_notify_item), 16);
  CHECK_INT(offsetof(sb_notify_item, expires), 4);
  CHECK_INT(offsetof(sb_notify_item, text_size), 8);
  CHECK_INT(offsetof(sb_notify_item, result), 12);
}

static void bus_clients(void) {
  CHECK_INT(offsetof(sb_bus_client, link), 4);
  CHECK_INT(offsetof(sb_bus_client, pid), 8);
  CHECK_INT(offsetof(sb_bus_client, since), 16);
  CHECK_INT(offsetof(sb_bus_client, frames_in), 24);
  CHECK_INT(offsetof(sb_bus_client, queued_bytes), 40);
  CHECK_INT(offsetof(sb_bus_client, version), 48);
  CHECK_INT(offsetof(sb_bus_client, peer), 72);
  CHECK_INT(offsetof(sb_bus_client, info), 136);
  CHECK_INT(sizeof(sb_bus_client), 392);
}

static void bus_stats(void) {
  CHECK_INT(offsetof(sb_bus_stats_t, queued_bytes), 16 * 8);
  CHECK_INT(sizeof(sb_bus_stats_t) % 8, 0);
}

int main(void) {
  return check_run((struct check_case[]){
      {"events", events, false},
      {"batches", batches, false},
      {"notify_items", notify_items, false},
      {"bus_clients", bus_clients, false},
      {"bus_stats", bus_stats, false},
      {0},
  });
}
