/* A test program: named cases, checks that say where they failed, a closing line, an exit code.
 *
 *   static void adds(void) { CHECK_INT(1 + 1, 2); }
 *   int main(void) { return check_run((struct check_case[]){{"adds", adds}, {0}}); }
 *
 * CHECK goes on after a failure, REQUIRE ends its case. Cases marked `waits` spend their time
 * waiting and run side by side in threads of their own, while the others run one after another.
 * CHECK_ONLY=name in the environment runs one case, CHECK_VERBOSE=1 names them as they run. */
#ifndef CHECK_H
#define CHECK_H

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct check_case {
  const char *name;
  void (*run)(void);
  bool waits;
};

/* Where a wait must have come to its end. Far more than any of them needs: a deadline that passes
 * means that nothing came, not that it came late. */
enum { CHECK_DEADLINE_MS = 20000, CHECK_WATCHDOG_S = 240, CHECK_CASES_MAX = 128 };

static _Thread_local struct {
  const char *name;
  bool failed;
  jmp_buf *out;
} check_now;

static inline void check_failed(const char *file, int line, bool fatal) {
  fprintf(stderr, "  %s:%d: in case %s\n", file, line, check_now.name);
  check_now.failed = true;
  if (!fatal) return;
  if (check_now.out == NULL) abort(); /* in a thread that the case made */
  longjmp(*check_now.out, 1);
}

#define CHECK_AS(condition, fatal)                   \
  do {                                               \
    if (!(condition)) {                              \
      fprintf(stderr, "not true: %s\n", #condition); \
      check_failed(__FILE__, __LINE__, fatal);       \
    }                                                \
  } while (0)
#define CHECK(condition)   CHECK_AS(condition, false)
#define REQUIRE(condition) CHECK_AS(condition, true)

#define CHECK_INT_AS(got, expected, fatal)                                              \
  do {                                                                                  \
    long long got_ = (long long)(got), expected_ = (long long)(expected);               \
    if (got_ != expected_) {                                                            \
      fprintf(stderr, "%s is %lld, not %s = %lld\n", #got, got_, #expected, expected_); \
      check_failed(__FILE__, __LINE__, fatal);                                          \
    }                                                                                   \
  } while (0)
#define CHECK_INT(got, expected)   CHECK_INT_AS(got, expected, false)
#define REQUIRE_INT(got, expected) CHECK_INT_AS(got, expected, true)

#define CHECK_BYTES(got, got_size, expected, expected_size) \
  check_bytes(__FILE__, __LINE__, #got, got, (size_t)(got_size), expected, (size_t)(expected_size))
#define CHECK_TEXT(got, expected) CHECK_BYTES(got, strlen(got), expected, strlen(expected))

static inline void check_bytes(const char *file, int line, const char *what, const void *got,
                               size_t got_size, const void *expected, size_t expected_size) {
  const uint8_t *a = got, *b = expected;
  size_t at = 0;
  while (at < got_size && at < expected_size && a[at] == b[at]) at++;
  if (at == got_size && at == expected_size) return;
  fprintf(stderr, "%s: %zu bytes, expected %zu; they differ from byte %zu on", what, got_size,
          expected_size, at);
  if (at < got_size && at < expected_size) fprintf(stderr, ": %02x, not %02x", a[at], b[at]);
  fputc('\n', stderr);
  check_failed(file, line, false);
}

/* ---- time ------------------------------------------------------------------ */

static inline int64_t check_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Do `step` until `condition` holds; the case fails when it does not in time. */
#define UNTIL(condition, ...)                                 \
  do {                                                        \
    int64_t end_ = check_ms() + CHECK_DEADLINE_MS;            \
    while (!(condition)) {                                    \
      if (check_ms() > end_) {                                \
        fprintf(stderr, "never came true: %s\n", #condition); \
        check_failed(__FILE__, __LINE__, true);               \
      }                                                       \
      __VA_ARGS__;                                            \
    }                                                         \
  } while (0)

/* ---- a repeatable source of chance ----------------------------------------- */

static inline uint32_t check_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

/* ---- running --------------------------------------------------------------- */

static struct {
  const char *volatile name;
} check_main_case;

static inline void check_watchdog(int signal) {
  (void)signal;
  static const char text[] = "stuck in or beside case ";
  const char *name = check_main_case.name;
  if (write(2, text, sizeof text - 1) > 0 && name != NULL && write(2, name, strlen(name)) > 0)
    if (write(2, "\n", 1) > 0) abort();
  abort();
}

static inline int check_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

struct check_result {
  const struct check_case *which;
  pthread_t thread;
  bool failed;
};

static inline void *check_one(void *arg) {
  struct check_result *result = arg;
  jmp_buf out;
  check_now.name = result->which->name;
  check_now.failed = false;
  check_now.out = &out;
  int64_t start = check_ms();
  if (setjmp(out) == 0) result->which->run();
  check_now.out = NULL;
  result->failed = check_now.failed;
  if (getenv("CHECK_VERBOSE") != NULL || result->failed)
    fprintf(stderr, "%s %s (%.1f s)\n", result->failed ? "FAILED" : "ok", result->which->name,
            (double)(check_ms() - start) / 1000);
  return NULL;
}

/* `cases` ends with one that has no name. Returns the program's exit code. */
static inline int check_run(const struct check_case *cases) {
  static struct check_result results[CHECK_CASES_MAX];
  const char *only = getenv("CHECK_ONLY");
  int count = 0, failed = 0, descriptors = check_descriptors();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGALRM, check_watchdog);
  alarm(CHECK_WATCHDOG_S);
  for (; cases->name != NULL && count < CHECK_CASES_MAX; cases++)
    if (only == NULL || strcmp(only, cases->name) == 0) results[count++].which = cases;
  for (int i = 0; i < count; i++)
    if (results[i].which->waits &&
        pthread_create(&results[i].thread, NULL, check_one, &results[i]) != 0)
      abort();
  for (int i = 0; i < count; i++) {
    if (results[i].which->waits) continue;
    check_main_case.name = results[i].which->name;
    check_one(&results[i]);
  }
  for (int i = 0; i < count; i++) {
    check_main_case.name = results[i].which->name;
    if (results[i].which->waits) pthread_join(results[i].thread, NULL);
    failed += results[i].failed;
  }
  if (failed == 0 && check_descriptors() != descriptors) {
    fprintf(stderr, "%d descriptors at the end, %d at the start\n", check_descriptors(),
            descriptors);
    return 1;
  }
  printf("%d passed, %d failed\n", count - failed, failed);
  return failed == 0 && count > 0 ? 0 : 1;
}

#endif
