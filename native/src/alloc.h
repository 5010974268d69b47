/* All memory comes from here, so that tests can make the n-th allocation fail (-DSBI_FAULTS). */
#ifndef SBI_ALLOC_H
#define SBI_ALLOC_H

#include <stddef.h>

void *sbi_malloc(size_t size);
void *sbi_calloc(size_t count, size_t size);
void *sbi_realloc(void *p, size_t size);
void sbi_free(void *p);
/* After much was freed: give to the system what the allocator would keep. */
void sbi_trim(void);

#ifdef SBI_FAULTS
/* Fail the n-th allocation from now on (1 = the next), once; 0 = none. */
void sbi_fail_allocation(long n);
/* The same for it and all that follow. */
void sbi_fail_allocations(long n);
/* Allocations made so far. */
long sbi_allocations(void);
#endif

#endif
