#include "alloc.h"

#include <stdlib.h>

#ifdef SBI_FAULTS
#include <stdatomic.h>

static atomic_long made;
static atomic_long fail_at = -1;

void sbi_fail_allocation(long n) {
  atomic_store(&fail_at, n > 0 ? atomic_load(&made) + n : -1);
}

long sbi_allocations(void) {
  return atomic_load(&made);
}

static int fails(void) {
  return atomic_fetch_add(&made, 1) + 1 == atomic_load(&fail_at);
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
