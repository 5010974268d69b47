/* Frames that wait to be written: whole frames, side by side in chunks, so that many leave in one
 * system call. A frame that goes to many queues keeps its body once, in a block that they share.
 * Counts frames and bytes; the owner sets the bounds. */
#ifndef SBI_OUTQ_H
#define SBI_OUTQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Bytes in several queues at once. The threads that use them hold one lock. */
struct sbi_shared {
  size_t references, size;
  size_t *held;
  uint8_t bytes[];
};

struct sbi_chunk {
  struct sbi_chunk *next;
  struct sbi_shared *tail; /* what follows `bytes`: the body of the only frame; NULL: nothing */
  uint32_t frames;
  uint32_t forgotten; /* frames before `sent` that are not counted any more */
  size_t room, size;  /* of `bytes` */
  size_t sent;        /* of `bytes`, then of the tail */
  uint8_t bytes[];
};

struct sbi_outq {
  struct sbi_chunk *first, *last;
  size_t bytes;  /* not yet written */
  size_t frames; /* of chunks not yet written whole: an upper bound */
  size_t *held;  /* where the owner counts memory, NULL nowhere */
};

/* Place for one frame of exactly `size` bytes; the caller writes all of it. NULL: no memory. */
uint8_t *sbi_outq_reserve(struct sbi_outq *queue, size_t size);
/* Place for the beginning of a frame, its first `size` bytes with the header; `rest` are the
 * others, which the queue keeps a reference to. */
uint8_t *sbi_outq_reserve_shared(struct sbi_outq *queue, size_t size, struct sbi_shared *rest);
/* The unwritten bytes, as far as `max` vectors go; returns how many were filled. */
int sbi_outq_peek(const struct sbi_outq *queue, struct iovec *vectors, int max);
void sbi_outq_written(struct sbi_outq *queue, size_t bytes);
/* The link died: forget the frame that was begun, so that a new link can start with a whole one. */
void sbi_outq_rewind(struct sbi_outq *queue);
/* Append all of `from` to `to`; both count their memory in the same place. */
void sbi_outq_move(struct sbi_outq *to, struct sbi_outq *from);
void sbi_outq_clear(struct sbi_outq *queue);

/* A copy of these bytes with one reference, the caller's. NULL: no memory. */
struct sbi_shared *sbi_shared_new(const uint8_t *bytes, size_t size, size_t *held);
/* Give a reference back; NULL is allowed. */
void sbi_shared_drop(struct sbi_shared *shared);

#endif
