/* Little-endian integers at unaligned places; compilers turn these into single moves. */
#ifndef SBI_BYTES_H
#define SBI_BYTES_H

#include <stdint.h>
#include <string.h>

static inline void sbi_put16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)v;
  p[1] = (uint8_t)(v >> 8);
}

static inline void sbi_put32(uint8_t *p, uint32_t v) {
  sbi_put16(p, (uint16_t)v);
  sbi_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void sbi_put64(uint8_t *p, uint64_t v) {
  sbi_put32(p, (uint32_t)v);
  sbi_put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t sbi_get16(const uint8_t *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t sbi_get32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t sbi_get64(const uint8_t *p) {
  return sbi_get32(p) | (uint64_t)sbi_get32(p + 4) << 32;
}

#endif
