#include "alloc.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef SBI_FAULTS
#include <limits.h>
#include <stdatomic.h>

static atomic_long made;
static atomic_long fail_from = -1, fail_to = -1;

static void fail(long n, long count) {
  atomic_store(&fail_from, -1);
  atomic_store(&fail_to, n > 0 ? atomic_load(&made) + n + count : -1);
  atomic_store(&fail_from, n > 0 ? atomic_load(&made) + n : -1);
}

void sbi_fail_allocation(long n) {
  fail(n, 1);
}

void sbi_fail_allocations(long n) {
  fail(n, LONG_MAX / 2);
}

long sbi_allocations(void) {
  return atomic_load(&made);
}

static int fails(void) {
  long n = atomic_fetch_add(&made, 1) + 1, from = atomic_load(&fail_from);
  return from >= 0 && n >= from && n < atomic_load(&fail_to);
}
#else
static int fails(void) {
  return 0;
}
#endif

void *sbi_malloc(size_t size) {
  return fails() ? NULL : malloc(size);
}

void *sbi_calloc(size_t count, size_t size) {
  return fails() ? NULL : calloc(count, size);
}

void *sbi_realloc(void *p, size_t size) {
  return fails() ? NULL : realloc(p, size);
}

void sbi_free(void *p) {
  free(p);
}

void sbi_trim(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
