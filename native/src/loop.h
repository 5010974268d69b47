/* Readiness, timers, wake-ups: epoll where there is one, else poll (or -DSBI_USE_POLL).
 *
 * Design: waiting and dispatching are two steps. The owner holds its lock for everything but
 * sbi_loop_wait. Another thread may therefore drop a watch while the loop waits; an event carries
 * a slot number and that slot's generation, not a pointer, so a stale event finds nothing. */
#ifndef SBI_LOOP_H
#define SBI_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__linux__) && !defined(SBI_USE_POLL)
#define SBI_EPOLL 1
#endif

enum { SBI_READ = 1, SBI_WRITE = 2, SBI_HANGUP = 4 };

struct sbi_watch {
  int fd;
  unsigned want; /* SBI_READ | SBI_WRITE; 0 = not watched, not even for hang-ups */
  uint32_t slot; /* 1-based, 0 = none */
  void (*ready)(struct sbi_watch *watch, unsigned events);
};

struct sbi_timer {
  int64_t due;  /* ms, sbi_now_ms */
  size_t place; /* 1-based in the heap, 0 = not set */
  void (*fire)(struct sbi_timer *timer);
};

struct sbi_slot {
  struct sbi_watch *watch;
  uint32_t generation;
};

enum { SBI_LOOP_EVENTS = 128 };

struct sbi_loop {
  int64_t now; /* ms; taken when dispatching starts */
  int wake_read, wake_write;
  struct sbi_slot *slots;
  size_t slot_count;
  struct sbi_timer **heap;
  size_t heap_count, heap_size, heap_promised;
  int ready_count;
  bool woken; /* the last wait ended by sbi_loop_wake, its time-out or a signal */
  uint64_t ready_keys[SBI_LOOP_EVENTS];
  unsigned ready_events[SBI_LOOP_EVENTS];
#ifdef SBI_EPOLL
  int epoll, timer;
  int64_t armed; /* what the timer descriptor is set to, 0 = off */
#else
  struct pollfd *polled;
  uint64_t *polled_keys;
  size_t polled_size;
  int polled_from;
  bool waiting;
#endif
};

int64_t sbi_now_ms(void);
int64_t sbi_now_us(void);

/* 0 or -errno. */
int sbi_loop_init(struct sbi_loop *loop);
void sbi_loop_close(struct sbi_loop *loop);
/* Close the loop's own descriptors only, in a forked child. */
void sbi_loop_abandon(struct sbi_loop *loop);
/* A descriptor that is readable while something is due; -1 with poll. */
int sbi_loop_fileno(const struct sbi_loop *loop);

/* Start, change or (want 0) pause watching. 0 or -errno. */
int sbi_loop_watch(struct sbi_loop *loop, struct sbi_watch *watch, unsigned want);
void sbi_loop_unwatch(struct sbi_loop *loop, struct sbi_watch *watch);

/* Make room for `more` timers than there is room promised for; then sbi_timer_set cannot fail. */
bool sbi_timers_reserve(struct sbi_loop *loop, size_t more);
void sbi_timers_release(struct sbi_loop *loop, size_t fewer);
void sbi_timer_set(struct sbi_loop *loop, struct sbi_timer *timer, int64_t due);
void sbi_timer_clear(struct sbi_loop *loop, struct sbi_timer *timer);

/* sbi_loop_prepare (locked), sbi_loop_wait (unlocked), sbi_loop_dispatch (locked). */
int sbi_loop_prepare(struct sbi_loop *loop, int timeout_ms);
void sbi_loop_wait(struct sbi_loop *loop, int timeout_ms);
void sbi_loop_dispatch(struct sbi_loop *loop);
/* Make a waiting loop return within so many microseconds (at once with poll). */
void sbi_loop_soon(struct sbi_loop *loop, int us);
/* From any thread, with or without the lock. */
void sbi_loop_wake(struct sbi_loop *loop);

/* A wake-up descriptor pair: eventfd where there is one (both ends the same), else a pipe. */
int sbi_wake_open(int *read_end, int *write_end);
void sbi_wake_close(int read_end, int write_end);
void sbi_wake_signal(int write_end);
void sbi_wake_clear(int read_end);

#endif
