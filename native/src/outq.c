#include "outq.h"

#include "alloc.h"
#include "wire.h"

#include <string.h>

/* Small enough to cost an idle link little, large enough that a system call carries hundreds of
 * small frames. */
enum { CHUNK_BYTES = 32 * 1024 };

uint8_t *sbi_outq_reserve(struct sbi_outq *queue, size_t size) {
  struct sbi_chunk *chunk = queue->last;
  if (chunk == NULL || chunk->room - chunk->size < size) {
    size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    chunk = sbi_malloc(sizeof *chunk + room);
    if (chunk == NULL) return NULL;
    *chunk = (struct sbi_chunk){.room = room};
    if (queue->last != NULL)
      queue->last->next = chunk;
    else
      queue->first = chunk;
    queue->last = chunk;
  }
  uint8_t *place = chunk->bytes + chunk->size;
  chunk->size += size;
  chunk->frames++;
  queue->bytes += size;
  queue->frames++;
  return place;
}

int sbi_outq_peek(const struct sbi_outq *queue, struct iovec *vectors, int max) {
  int count = 0;
  for (struct sbi_chunk *chunk = queue->first; chunk != NULL && count < max; chunk = chunk->next) {
    if (chunk->sent == chunk->size) continue;
    vectors[count++] = (struct iovec){chunk->bytes + chunk->sent, chunk->size - chunk->sent};
  }
  return count;
}

static void drop_first(struct sbi_outq *queue) {
  struct sbi_chunk *chunk = queue->first;
  queue->first = chunk->next;
  if (queue->first == NULL) queue->last = NULL;
  queue->bytes -= chunk->size - chunk->sent;
  queue->frames -= chunk->frames;
  sbi_free(chunk);
}

void sbi_outq_written(struct sbi_outq *queue, size_t bytes) {
  while (queue->first != NULL) {
    struct sbi_chunk *chunk = queue->first;
    size_t left = chunk->size - chunk->sent;
    size_t part = bytes < left ? bytes : left;
    chunk->sent += part;
    queue->bytes -= part;
    bytes -= part;
    if (chunk->sent < chunk->size) return;
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
  if (chunk->sent == chunk->size) drop_first(queue);
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
  *from = (struct sbi_outq){0};
}

void sbi_outq_clear(struct sbi_outq *queue) {
  while (queue->first != NULL) drop_first(queue);
}
