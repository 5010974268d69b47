#include "frames.h"

#include <string.h>

#include "system.h"

static void put32(uint8_t *p, size_t value) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static size_t get32(const uint8_t *p) {
  return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

size_t frame_head(uint8_t *out, int cmdtype, int cmd, struct address src, struct address dst,
                  size_t packet_size, size_t data_size) {
  const uint8_t head[12] = {0x15,     0x5B,       (uint8_t)cmd, (uint8_t)cmdtype, src.type,
                            src.unit, src.client, dst.type,     dst.unit,         dst.client};
  memcpy(out, head, sizeof head);
  put32(out + 12, packet_size);
  put32(out + 16, data_size);
  return 20;
}

size_t frame_make(uint8_t *out, int cmdtype, int cmd, struct address src, struct address dst,
                  const void *data, size_t size) {
  size_t padding = size % 4;
  frame_head(out, cmdtype, cmd, src, dst, 20 + size + padding, size);
  if (size > 0) memcpy(out + 20, data, size);
  memset(out + 20 + size, 0, padding);
  return 20 + size + padding;
}

void frame_request(uint8_t *out, struct address own, int index, int64_t pid) {
  memset(out, 0, REQUEST_SIZE);
  frame_head(out, 0, 1, own, (struct address){0, 0, 0}, REQUEST_SIZE, REQUEST_SIZE - 20);
  out[20] = (uint8_t)index;
  memcpy(out + 21, "1.0.1.0465", 10);
  memcpy(out + 41, "alice", 5);
  memcpy(out + 105, "secret", 6);
  for (int i = 0; i < 8; i++) out[233 + i] = (uint8_t)((uint64_t)pid >> 8 * i);
  memcpy(out + 241, "info", 4);
}

bool frame_next(const uint8_t **bytes, size_t *size, struct frame *frame) {
  const uint8_t *p = *bytes;
  if (*size == 0) return false;
  SYS_REQUIRE(*size >= 20 && p[0] == 0x15 && p[1] == 0x5B);
  *frame = (struct frame){.cmd = p[2],
                          .cmdtype = p[3],
                          .src = {p[5], p[6], p[4]},
                          .dst = {p[8], p[9], p[7]},
                          .packet_size = get32(p + 12),
                          .size = get32(p + 16),
                          .data = p + 20};
  SYS_REQUIRE(frame->packet_size >= 20 && frame->packet_size <= *size);
  SYS_REQUIRE(frame->size <= frame->packet_size - 20);
  *bytes += frame->packet_size;
  *size -= frame->packet_size;
  return true;
}
