#include "inbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "alloc.h"
#include "loop.h"

struct side {
  sb_event *events;
  size_t count, event_room;
  uint8_t *data;
  size_t size, data_room;
};

struct sb_inbox {
  pthread_mutex_t lock;
  pthread_cond_t room; /* drained or closed */
  struct side sides[2];
  int filling; /* the producers' side */
  /* Room that never grows, for forced events while there is no memory: they come behind those of
   * the side that is filled. Also one of them the producers', the other the consumer's. */
  struct side spares[2];
  int spare;
  uint32_t max_events;
  uint64_t max_bytes;
  int wake_read, wake_write;
  int room_wake; /* of the producer's loop, -1 none */
  bool refused;  /* an event since the last drain */
  bool signalled, quiet, closed;
  uint64_t lost;
};

/* A side that grew beyond this is given back when a batch needs little of it. */
enum { KEEP_BYTES = 1 << 20, SHRINK_FACTOR = 8 };
enum { SPARE_EVENTS = 128, SPARE_BYTES = 8 * 1024 };

static void free_side(struct side *side) {
  sbi_free(side->events);
  sbi_free(side->data);
}

static bool make_spare(struct side *side) {
  side->events = sbi_malloc(SPARE_EVENTS * sizeof *side->events);
  side->data = sbi_malloc(SPARE_BYTES);
  side->event_room = SPARE_EVENTS;
  side->data_room = SPARE_BYTES;
  return side->events != NULL && side->data != NULL;
}

sb_inbox *sb_inbox_new(uint32_t max_events, uint64_t max_bytes) {
  sb_inbox *inbox = sbi_calloc(1, sizeof *inbox);
  if (inbox == NULL) return NULL;
  inbox->max_events = max_events;
  inbox->max_bytes = max_bytes;
  inbox->room_wake = -1;
  if (!make_spare(&inbox->spares[0]) || !make_spare(&inbox->spares[1]) ||
      sbi_wake_open(&inbox->wake_read, &inbox->wake_write) < 0) {
    for (int i = 0; i < 2; i++) free_side(&inbox->spares[i]);
    sbi_free(inbox);
    return NULL;
  }
  pthread_mutex_init(&inbox->lock, NULL);
  pthread_cond_init(&inbox->room, NULL);
  return inbox;
}

void sb_inbox_free(sb_inbox *inbox) {
  if (inbox == NULL) return;
  for (int i = 0; i < 2; i++) {
    free_side(&inbox->sides[i]);
    free_side(&inbox->spares[i]);
  }
  sbi_wake_close(inbox->wake_read, inbox->wake_write);
  pthread_cond_destroy(&inbox->room);
  pthread_mutex_destroy(&inbox->lock);
  sbi_free(inbox);
}

void sbi_inbox_abandon(sb_inbox *inbox) {
  sbi_wake_close(inbox->wake_read, inbox->wake_write);
  inbox->wake_read = inbox->wake_write = -1;
}

int sb_inbox_fileno(const sb_inbox *inbox) {
  return inbox->wake_read;
}

/* ---- producers ------------------------------------------------------------- */

static bool full(const sb_inbox *inbox) {
  const struct side *side = &inbox->sides[inbox->filling];
  return side->count >= inbox->max_events || side->size >= inbox->max_bytes;
}

static void *grown(void *p, size_t *room, size_t needed, size_t unit) {
  size_t size = *room == 0 ? 64 : *room;
  if (needed > SIZE_MAX / 2 / unit) return NULL;
  while (size < needed) size *= 2;
  p = sbi_realloc(p, size * unit);
  if (p != NULL) *room = size;
  return p;
}

static bool has_room(const struct side *side, size_t events, size_t bytes) {
  return side->event_room - side->count >= events && side->data_room - side->size >= bytes;
}

static bool make_room(struct side *side, size_t events, size_t bytes) {
  if (side->event_room - side->count < events) {
    void *p = grown(side->events, &side->event_room, side->count + events, sizeof *side->events);
    if (p == NULL) return false;
    side->events = p;
  }
  if (side->data_room - side->size < bytes) {
    void *p = grown(side->data, &side->data_room, side->size + bytes, 1);
    if (p == NULL) return false;
    side->data = p;
  }
  return true;
}

/* Bring what waits in the spare behind what waits in the side. False: still no memory. */
static bool take_in(struct side *side, struct side *spare) {
  if (spare->count == 0) return true;
  if (!make_room(side, spare->count, spare->size)) return false;
  for (size_t i = 0; i < spare->count; i++) {
    side->events[side->count] = spare->events[i];
    side->events[side->count++].offset += side->size;
  }
  if (spare->size > 0) memcpy(side->data + side->size, spare->data, spare->size);
  side->size += spare->size;
  spare->count = spare->size = 0;
  return true;
}

static void signal_once(sb_inbox *inbox) {
  if (inbox->signalled || inbox->quiet) return;
  inbox->signalled = true;
  sbi_wake_signal(inbox->wake_write);
}

/* With the lock held. */
static bool append(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts, int count,
                   bool forced) {
  if (inbox->closed) return false;
  struct side *side = &inbox->sides[inbox->filling], *spare = &inbox->spares[inbox->spare];
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].size;
  if (!take_in(side, spare) || !make_room(side, 1, bytes)) {
    if (!forced || !has_room(spare, 1, bytes)) return false;
    side = spare;
  }
  sb_event *slot = &side->events[side->count++];
  *slot = *event;
  slot->size = (uint32_t)bytes;
  slot->offset = side->size;
  for (int i = 0; i < count; i++) {
    if (parts[i].size == 0) continue;
    memcpy(side->data + side->size, parts[i].bytes, parts[i].size);
    side->size += parts[i].size;
  }
  signal_once(inbox);
  return true;
}

bool sbi_inbox_put(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts,
                   int count) {
  pthread_mutex_lock(&inbox->lock);
  inbox->refused = inbox->refused || full(inbox);
  bool done = !full(inbox) && append(inbox, event, parts, count, false);
  pthread_mutex_unlock(&inbox->lock);
  return done;
}

void sbi_inbox_tell_room(sb_inbox *inbox, int wake_write) {
  inbox->room_wake = wake_write;
}

bool sbi_inbox_force(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts,
                     int count) {
  pthread_mutex_lock(&inbox->lock);
  bool done = append(inbox, event, parts, count, true);
  if (!done && !inbox->closed) inbox->lost++;
  pthread_mutex_unlock(&inbox->lock);
  return done;
}

void sbi_inbox_offer(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts,
                     int count) {
  pthread_mutex_lock(&inbox->lock);
  if (full(inbox) || !append(inbox, event, parts, count, false)) inbox->lost++;
  pthread_mutex_unlock(&inbox->lock);
}

static size_t waiting(const sb_inbox *inbox) {
  return inbox->sides[inbox->filling].count + inbox->spares[inbox->spare].count;
}

bool sbi_inbox_full(sb_inbox *inbox) {
  pthread_mutex_lock(&inbox->lock);
  bool result = full(inbox);
  pthread_mutex_unlock(&inbox->lock);
  return result;
}

uint32_t sbi_inbox_count(sb_inbox *inbox) {
  pthread_mutex_lock(&inbox->lock);
  uint32_t count = (uint32_t)waiting(inbox);
  pthread_mutex_unlock(&inbox->lock);
  return count;
}

void sbi_inbox_quiet(sb_inbox *inbox, bool quiet) {
  pthread_mutex_lock(&inbox->lock);
  inbox->quiet = quiet;
  pthread_mutex_unlock(&inbox->lock);
}

/* ---- consumer -------------------------------------------------------------- */

static void shrink(struct side *side) {
  if (side->data_room > KEEP_BYTES && side->size < side->data_room / SHRINK_FACTOR) {
    sbi_free(side->data);
    side->data = NULL;
    side->data_room = 0;
  }
  if (side->event_room > KEEP_BYTES / sizeof *side->events &&
      side->count < side->event_room / SHRINK_FACTOR) {
    sbi_free(side->events);
    side->events = NULL;
    side->event_room = 0;
  }
}

int64_t sb_inbox_drain(sb_inbox *inbox, sb_batch *batch) {
  pthread_mutex_lock(&inbox->lock);
  struct side *taken = &inbox->sides[inbox->filling], *spare = &inbox->spares[inbox->spare];
  if (!take_in(taken, spare) && taken->count == 0) {
    taken = spare;
    inbox->spare = 1 - inbox->spare;
    spare = &inbox->spares[inbox->spare];
    spare->count = spare->size = 0;
  } else {
    struct side *next = &inbox->sides[1 - inbox->filling];
    shrink(next);
    next->count = next->size = 0;
    inbox->filling = 1 - inbox->filling;
  }
  if (inbox->signalled && !inbox->closed) {
    sbi_wake_clear(inbox->wake_read);
    inbox->signalled = false;
  }
  if (spare->count > 0) signal_once(inbox);
  *batch = (sb_batch){taken->events, taken->data, taken->count, taken->size};
  if (inbox->refused && inbox->room_wake >= 0) sbi_wake_signal(inbox->room_wake);
  inbox->refused = false;
  pthread_cond_broadcast(&inbox->room);
  pthread_mutex_unlock(&inbox->lock);
  return (int64_t)batch->count;
}

int sb_inbox_wait(sb_inbox *inbox, int timeout_ms) {
  pthread_mutex_lock(&inbox->lock);
  bool ready = waiting(inbox) > 0, closed = inbox->closed;
  pthread_mutex_unlock(&inbox->lock);
  if (ready) return 1;
  if (closed) return SB_EBROKEN;
  struct pollfd polled = {.fd = inbox->wake_read, .events = POLLIN};
  if (poll(&polled, 1, timeout_ms) <= 0) return 0; /* also EINTR: let the host see its signals */
  pthread_mutex_lock(&inbox->lock);
  ready = waiting(inbox) > 0;
  closed = inbox->closed;
  pthread_mutex_unlock(&inbox->lock);
  return ready ? 1 : closed ? SB_EBROKEN : 0;
}

void sb_inbox_close(sb_inbox *inbox) {
  pthread_mutex_lock(&inbox->lock);
  inbox->closed = true;
  inbox->quiet = false;
  signal_once(inbox);
  pthread_cond_broadcast(&inbox->room);
  pthread_mutex_unlock(&inbox->lock);
}

uint64_t sb_inbox_lost(const sb_inbox *inbox) {
  sb_inbox *mine = (sb_inbox *)(uintptr_t)inbox;
  pthread_mutex_lock(&mine->lock);
  uint64_t lost = inbox->lost;
  pthread_mutex_unlock(&mine->lock);
  return lost;
}

/* ---- callbacks for a vendor library ---------------------------------------- */

/* These run on the SDK's thread. Waiting there while the inbox is full stops the SDK's reading. */
static void put_waiting(sb_inbox *inbox, const sb_event *event, const struct sbi_part *parts,
                        int count) {
  pthread_mutex_lock(&inbox->lock);
  while (!inbox->closed && full(inbox)) pthread_cond_wait(&inbox->room, &inbox->lock);
  /* Rather a packet than the news that the connection ended. */
  if (!append(inbox, event, parts, count, event->kind != SB_EV_DATA)) inbox->lost++;
  pthread_mutex_unlock(&inbox->lock);
}

static void set_head(sb_event *event, const void *head) {
  if (head == NULL) return;
  event->flags = 1;
  memcpy(event->head, head, sizeof event->head);
}

static struct sbi_part text_part(const char *text) {
  return (struct sbi_part){text != NULL ? text : "", (text != NULL ? strlen(text) : 0) + 1};
}

void sb_on_connection(void *arg, unsigned char client, int access_unit, int ack) {
  sb_event event = {.kind = SB_EV_CONNECTED, .client = client, .id = access_unit, .code = ack};
  put_waiting(arg, &event, NULL, 0);
}

void sb_on_disconnect(void *arg, unsigned char client) {
  sb_event event = {.kind = SB_EV_DISCONNECTED, .client = client};
  put_waiting(arg, &event, NULL, 0);
}

void sb_on_data(void *arg, unsigned char client, void *head, void *data, int size) {
  sb_event event = {.kind = SB_EV_DATA, .client = client};
  struct sbi_part part = {data, data != NULL && size > 0 ? (size_t)size : 0};
  set_head(&event, head);
  put_waiting(arg, &event, &part, 1);
}

static void on_flow(void *arg, uint8_t kind, unsigned char client, const void *head,
                    const char *project, int invoke_id, int code, const char *text) {
  sb_event event = {.kind = kind, .client = client, .id = invoke_id, .code = code};
  struct sbi_part parts[] = {text_part(project), text_part(text)};
  set_head(&event, head);
  put_waiting(arg, &event, parts, 2);
}

void sb_on_flow_ack(void *arg, unsigned char client, void *head, const char *project, int invoke_id,
                    int ack, const char *msg) {
  on_flow(arg, SB_EV_FLOW_ACK, client, head, project, invoke_id, ack, msg);
}

void sb_on_flow_return(void *arg, unsigned char client, void *head, const char *project,
                       int invoke_id, int ret, const char *param) {
  on_flow(arg, SB_EV_FLOW_RETURN, client, head, project, invoke_id, ret, param);
}

void sb_on_global_connect(void *arg, char unit, char client, char type, char access_unit,
                          char status, const char *info) {
  sb_event event = {.kind = SB_EV_GLOBAL,
                    .head = {(uint8_t)unit, (uint8_t)client, (uint8_t)type, (uint8_t)access_unit,
                             (uint8_t)status}};
  struct sbi_part part = text_part(info);
  put_waiting(arg, &event, &part, 1);
}

static _Atomic(sb_inbox *) trace_inbox;

void sb_trace_inbox(sb_inbox *inbox) {
  atomic_store(&trace_inbox, inbox);
}

static void on_trace(int code, const char *text) {
  sb_inbox *inbox = atomic_load(&trace_inbox);
  if (inbox == NULL || text == NULL) return;
  sb_event event = {.kind = SB_EV_TRACE, .code = code};
  struct sbi_part part = {text, strlen(text)};
  sbi_inbox_offer(inbox, &event, &part, 1);
}

void sb_on_trace(const char *text) {
  on_trace(0, text);
}

void sb_on_trace_error(const char *text) {
  on_trace(1, text);
}
