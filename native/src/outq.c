#include "outq.h"

#include "alloc.h"
#include "wire.h"

#include <string.h>

/* Small enough to cost an idle link little, large enough that a system call carries hundreds of
 * small frames. Between frames with shared bodies, few others are to be expected. */
enum { CHUNK_BYTES = 32 * 1024, CHUNK_BETWEEN = 1024 };

/* ---- memory ---------------------------------------------------------------- */

static void *counted_malloc(size_t *held, size_t size) {
  void *p = sbi_malloc(size);
  if (p != NULL && held != NULL) *held += size;
  return p;
}

static void counted_free(size_t *held, void *p, size_t size) {
  if (held != NULL) *held -= size;
  sbi_free(p);
}

struct sbi_shared *sbi_shared_new(const uint8_t *bytes, size_t size, size_t *held) {
  struct sbi_shared *shared = counted_malloc(held, sizeof *shared + size);
  if (shared == NULL) return NULL;
  *shared = (struct sbi_shared){.references = 1, .size = size, .held = held};
  memcpy(shared->bytes, bytes, size);
  return shared;
}

void sbi_shared_drop(struct sbi_shared *shared) {
  if (shared == NULL || --shared->references > 0) return;
  counted_free(shared->held, shared, sizeof *shared + shared->size);
}

/* ---- queueing -------------------------------------------------------------- */

static struct sbi_chunk *add_chunk(struct sbi_outq *queue, size_t room) {
  struct sbi_chunk *chunk = counted_malloc(queue->held, sizeof *chunk + room);
  if (chunk == NULL) return NULL;
  *chunk = (struct sbi_chunk){.room = room};
  if (queue->last != NULL)
    queue->last->next = chunk;
  else
    queue->first = chunk;
  queue->last = chunk;
  return chunk;
}

static uint8_t *take_place(struct sbi_outq *queue, struct sbi_chunk *chunk, size_t size) {
  uint8_t *place = chunk->bytes + chunk->size;
  chunk->size += size;
  chunk->frames++;
  queue->bytes += size;
  queue->frames++;
  return place;
}

uint8_t *sbi_outq_reserve(struct sbi_outq *queue, size_t size) {
  struct sbi_chunk *chunk = queue->last;
  if (chunk == NULL || chunk->room - chunk->size < size) { /* one with a tail has no room left */
    size_t room = chunk != NULL && chunk->tail != NULL ? CHUNK_BETWEEN : CHUNK_BYTES;
    chunk = add_chunk(queue, size > room ? size : room);
    if (chunk == NULL) return NULL;
  }
  return take_place(queue, chunk, size);
}

uint8_t *sbi_outq_reserve_shared(struct sbi_outq *queue, size_t size, struct sbi_shared *rest) {
  struct sbi_chunk *chunk = add_chunk(queue, size);
  if (chunk == NULL) return NULL;
  chunk->tail = rest;
  rest->references++;
  queue->bytes += rest->size;
  return take_place(queue, chunk, size);
}

/* ---- writing --------------------------------------------------------------- */

static size_t whole_size(const struct sbi_chunk *chunk) {
  return chunk->size + (chunk->tail != NULL ? chunk->tail->size : 0);
}

int sbi_outq_peek(const struct sbi_outq *queue, struct iovec *vectors, int max) {
  int count = 0;
  for (struct sbi_chunk *chunk = queue->first; chunk != NULL && count < max; chunk = chunk->next) {
    if (chunk->sent < chunk->size)
      vectors[count++] = (struct iovec){chunk->bytes + chunk->sent, chunk->size - chunk->sent};
    if (chunk->tail == NULL || count == max) continue;
    size_t at = chunk->sent > chunk->size ? chunk->sent - chunk->size : 0;
    if (at == chunk->tail->size) continue;
    vectors[count++] = (struct iovec){chunk->tail->bytes + at, chunk->tail->size - at};
  }
  return count;
}

static void drop_first(struct sbi_outq *queue) {
  struct sbi_chunk *chunk = queue->first;
  queue->first = chunk->next;
  if (queue->first == NULL) queue->last = NULL;
  queue->bytes -= whole_size(chunk) - chunk->sent;
  queue->frames -= chunk->frames;
  sbi_shared_drop(chunk->tail);
  counted_free(queue->held, chunk, sizeof *chunk + chunk->room);
}

void sbi_outq_written(struct sbi_outq *queue, size_t bytes) {
  while (queue->first != NULL) {
    struct sbi_chunk *chunk = queue->first;
    size_t left = whole_size(chunk) - chunk->sent;
    size_t part = bytes < left ? bytes : left;
    chunk->sent += part;
    queue->bytes -= part;
    bytes -= part;
    if (part < left) return;
    drop_first(queue);
  }
}

void sbi_outq_rewind(struct sbi_outq *queue) {
  struct sbi_chunk *chunk = queue->first;
  if (chunk == NULL || chunk->sent == 0) return;
  size_t at = 0;
  uint32_t done = 0;
  struct sbi_head head;
  while (at < chunk->sent) {
    sbi_head_decode(chunk->bytes + at, &head);
    at += (size_t)head.packet_size;
    done++;
  }
  done -= chunk->forgotten; /* by an earlier link that died */
  queue->bytes -= at - chunk->sent;
  queue->frames -= done;
  chunk->frames -= done;
  chunk->forgotten += done;
  chunk->sent = at;
  if (chunk->sent == whole_size(chunk)) drop_first(queue);
}

void sbi_outq_move(struct sbi_outq *to, struct sbi_outq *from) {
  if (from->first == NULL) return;
  if (to->last != NULL)
    to->last->next = from->first;
  else
    to->first = from->first;
  to->last = from->last;
  to->bytes += from->bytes;
  to->frames += from->frames;
  *from = (struct sbi_outq){.held = from->held};
}

void sbi_outq_clear(struct sbi_outq *queue) {
  while (queue->first != NULL) drop_first(queue);
}
