/* Preloaded beside ThreadSanitizer: it starts a thread of its own with the program's first, and the
 * suite would take that for one that a test left behind. So the first thread is this one. */
#include <pthread.h>

static void *nothing(void *arg) {
  return arg;
}

__attribute__((constructor)) static void start(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL) == 0) pthread_join(thread, NULL);
}
