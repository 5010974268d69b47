/* Preloaded beside AddressSanitizer. While Python ends, each thread that wants its lock ends by
 * pthread_exit(), out of callbacks of the core too. What the compiler does before a call that does
 * not return, Python, which is not instrumented, does not: say that the stack's red zones are void.
 * AddressSanitizer, clearing up after the thread, would step on those of the core's frames itself
 * ("stack-buffer-overflow" in sigaltstack, "thread T-1"). */
#include <dlfcn.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>

__attribute__((noreturn)) void pthread_exit(void *value) {
  void (*next)(void *) __attribute__((noreturn));
  *(void **)&next = dlsym(RTLD_NEXT, "pthread_exit");
  __asan_handle_no_return();
  next(value);
}
