/* Frames put together and taken apart by hand, so that the code under test is not measured with
 * itself (NET.md 1.1). */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address {
  uint8_t unit, client, type;
};

struct frame {
  uint8_t cmdtype, cmd;
  struct address src, dst;
  size_t packet_size, size; /* of the frame, of its data */
  const uint8_t *data;
};

/* Write a header; returns its size, 20. */
size_t frame_head(uint8_t *out, int cmdtype, int cmd, struct address src, struct address dst,
                  size_t packet_size, size_t data_size);
/* Write a whole frame with the vendor's padding; returns its size, at most size + 23. */
size_t frame_make(uint8_t *out, int cmdtype, int cmd, struct address src, struct address dst,
                  const void *data, size_t size);
/* A registration request as the 2018 client sends it. 6053 bytes. */
enum { REQUEST_SIZE = 6053 };
void frame_request(uint8_t *out, struct address own, int index, int64_t pid);
/* The next of the frames at *bytes; false at the end. Dies if there is something else. */
bool frame_next(const uint8_t **bytes, size_t *size, struct frame *frame);

#endif
