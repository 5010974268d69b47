/* Frames that wait to be written: whole frames, side by side in chunks, so that many leave in one
 * system call. Counts frames and bytes; the owner sets the bounds. */
#ifndef SBI_OUTQ_H
#define SBI_OUTQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct sbi_chunk {
  struct sbi_chunk *next;
  uint32_t frames;
  uint32_t forgotten; /* frames before `sent` that are not counted any more */
  size_t room, size, sent;
  uint8_t bytes[];
};

struct sbi_outq {
  struct sbi_chunk *first, *last;
  size_t bytes;  /* not yet written */
  size_t frames; /* of chunks not yet written whole: an upper bound */
};

/* Place for one frame of exactly `size` bytes; the caller writes all of it. NULL: no memory. */
uint8_t *sbi_outq_reserve(struct sbi_outq *queue, size_t size);
/* The unwritten bytes, as far as `max` vectors go; returns how many were filled. */
int sbi_outq_peek(const struct sbi_outq *queue, struct iovec *vectors, int max);
void sbi_outq_written(struct sbi_outq *queue, size_t bytes);
/* The link died: forget the frame that was begun, so that a new link can start with a whole one. */
void sbi_outq_rewind(struct sbi_outq *queue);
/* Append all of `from` to `to`. */
void sbi_outq_move(struct sbi_outq *to, struct sbi_outq *from);
void sbi_outq_clear(struct sbi_outq *queue);

#endif
