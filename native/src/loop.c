#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"

#ifdef __linux__
#include <sys/eventfd.h>
#endif
#ifdef SBI_EPOLL
#include <sys/epoll.h>
#include <sys/timerfd.h>
#endif

/* Keys of events that are the loop's own; real slots are 1-based. */
enum { KEY_WAKE = 0 };
#ifdef SBI_EPOLL
#define KEY_TIMER UINT64_MAX
#else
enum { NO_MEMORY_MS = 10 };
#endif

int64_t sbi_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t sbi_now_ms(void) {
  return sbi_now_us() / 1000;
}

/* ---- wake-up descriptors --------------------------------------------------- */

int sbi_wake_open(int *read_end, int *write_end) {
#ifdef __linux__
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return -errno;
  *read_end = *write_end = fd;
#else
  int ends[2];
  if (pipe(ends) < 0) return -errno;
  for (int i = 0; i < 2; i++) {
    fcntl(ends[i], F_SETFL, O_NONBLOCK);
    fcntl(ends[i], F_SETFD, FD_CLOEXEC);
  }
  *read_end = ends[0];
  *write_end = ends[1];
#endif
  return 0;
}

void sbi_wake_close(int read_end, int write_end) {
  if (read_end >= 0) close(read_end);
  if (write_end >= 0 && write_end != read_end) close(write_end);
}

void sbi_wake_signal(int write_end) {
  uint64_t one = 1;
  ssize_t n;
  do {
    n = write(write_end, &one, sizeof one);
  } while (n < 0 && errno == EINTR); /* EAGAIN: a signal is pending already */
}

void sbi_wake_clear(int read_end) {
  uint64_t buffer[8];
  ssize_t n;
  do {
    n = read(read_end, buffer, sizeof buffer);
#ifdef __linux__
  } while (n < 0 && errno == EINTR);
#else
  } while (n > 0 || (n < 0 && errno == EINTR));
#endif
}

/* ---- timers: a binary heap ------------------------------------------------- */

static void heap_put(struct sbi_loop *loop, size_t i, struct sbi_timer *timer) {
  loop->heap[i] = timer;
  timer->place = i + 1;
}

static void heap_up(struct sbi_loop *loop, size_t i) {
  struct sbi_timer *timer = loop->heap[i];
  for (; i > 0 && timer->due < loop->heap[(i - 1) / 2]->due; i = (i - 1) / 2)
    heap_put(loop, i, loop->heap[(i - 1) / 2]);
  heap_put(loop, i, timer);
}

static void heap_down(struct sbi_loop *loop, size_t i) {
  struct sbi_timer *timer = loop->heap[i];
  for (size_t child; (child = 2 * i + 1) < loop->heap_count; i = child) {
    if (child + 1 < loop->heap_count && loop->heap[child + 1]->due < loop->heap[child]->due)
      child++;
    if (loop->heap[child]->due >= timer->due) break;
    heap_put(loop, i, loop->heap[child]);
  }
  heap_put(loop, i, timer);
}

#ifndef SBI_EPOLL
/* poll works on a copy of what was watched and due when it began. */
static void wake_waiting(struct sbi_loop *loop) {
  if (loop->waiting) sbi_loop_wake(loop);
}
#endif

/* Keep the timer descriptor no later than the earliest timer. An early one only costs a look. */
static void arm(struct sbi_loop *loop) {
#ifdef SBI_EPOLL
  if (loop->heap_count == 0) return;
  int64_t due = loop->heap[0]->due;
  if (due < 1) due = 1;
  if (loop->armed != 0 && loop->armed <= due) return;
  struct itimerspec at = {.it_value = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000}};
  timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &at, NULL);
  loop->armed = due;
#else
  wake_waiting(loop);
#endif
}

bool sbi_timers_reserve(struct sbi_loop *loop, size_t more) {
  size_t needed = loop->heap_promised + more;
  if (needed > loop->heap_size) {
    size_t size = needed > loop->heap_size * 2 ? needed : loop->heap_size * 2;
    struct sbi_timer **heap = sbi_realloc(loop->heap, size * sizeof *heap);
    if (heap == NULL) return false;
    loop->heap = heap;
    loop->heap_size = size;
  }
  loop->heap_promised = needed;
  return true;
}

void sbi_timers_release(struct sbi_loop *loop, size_t fewer) {
  loop->heap_promised -= fewer;
}

void sbi_timer_set(struct sbi_loop *loop, struct sbi_timer *timer, int64_t due) {
  timer->due = due;
  if (timer->place == 0) {
    heap_put(loop, loop->heap_count++, timer);
    heap_up(loop, timer->place - 1);
  } else {
    heap_up(loop, timer->place - 1);
    heap_down(loop, timer->place - 1);
  }
  if (loop->heap[0] == timer) arm(loop);
}

void sbi_timer_clear(struct sbi_loop *loop, struct sbi_timer *timer) {
  if (timer->place == 0) return;
  size_t i = timer->place - 1;
  timer->place = 0;
  struct sbi_timer *last = loop->heap[--loop->heap_count];
  if (last == timer) return;
  heap_put(loop, i, last);
  heap_up(loop, i);
  heap_down(loop, last->place - 1);
}

static void run_timers(struct sbi_loop *loop) {
  while (loop->heap_count > 0 && loop->heap[0]->due <= loop->now) {
    struct sbi_timer *timer = loop->heap[0];
    sbi_timer_clear(loop, timer);
    timer->fire(timer);
  }
}

/* ---- watches --------------------------------------------------------------- */

static uint64_t key_of(const struct sbi_loop *loop, uint32_t slot) {
  return (uint64_t)loop->slots[slot - 1].generation << 32 | slot;
}

static bool take_slot(struct sbi_loop *loop, struct sbi_watch *watch) {
  size_t i = 0;
  while (i < loop->slot_count && loop->slots[i].watch != NULL) i++;
  if (i == loop->slot_count) {
    size_t count = loop->slot_count == 0 ? 16 : loop->slot_count * 2;
    struct sbi_slot *slots = sbi_realloc(loop->slots, count * sizeof *slots);
    if (slots == NULL) return false;
    memset(slots + loop->slot_count, 0, (count - loop->slot_count) * sizeof *slots);
    loop->slots = slots;
    loop->slot_count = count;
  }
  loop->slots[i].watch = watch;
  loop->slots[i].generation = (loop->slots[i].generation + 1) & 0x7FFFFFFF;
  watch->slot = (uint32_t)i + 1;
  return true;
}

#ifdef SBI_EPOLL
static int epoll_change(struct sbi_loop *loop, int op, int fd, unsigned want, uint64_t key) {
  struct epoll_event event = {.data.u64 = key};
  if (want & SBI_READ) event.events |= EPOLLIN;
  if (want & SBI_WRITE) event.events |= EPOLLOUT;
  return epoll_ctl(loop->epoll, op, fd, &event) < 0 ? -errno : 0;
}
#endif

int sbi_loop_watch(struct sbi_loop *loop, struct sbi_watch *watch, unsigned want) {
  if (watch->slot == 0) {
    if (!take_slot(loop, watch)) return -ENOMEM;
    watch->want = 0;
  }
  if (watch->want == want) return 0;
#ifdef SBI_EPOLL
  /* want 0 leaves the set: epoll reports hang-ups even to those who ask for nothing. */
  int op = watch->want == 0 ? EPOLL_CTL_ADD : want == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
  int error = epoll_change(loop, op, watch->fd, want, key_of(loop, watch->slot));
  if (error != 0) return error;
#else
  wake_waiting(loop);
#endif
  watch->want = want;
  return 0;
}

void sbi_loop_unwatch(struct sbi_loop *loop, struct sbi_watch *watch) {
  if (watch->slot == 0) return;
#ifdef SBI_EPOLL
  if (watch->want != 0) epoll_change(loop, EPOLL_CTL_DEL, watch->fd, 0, 0);
#endif
  loop->slots[watch->slot - 1].watch = NULL;
  watch->slot = 0;
  watch->want = 0;
}

/* ---- the loop -------------------------------------------------------------- */

int sbi_loop_init(struct sbi_loop *loop) {
  memset(loop, 0, sizeof *loop);
  loop->wake_read = loop->wake_write = -1;
  loop->now = sbi_now_ms();
#ifdef SBI_EPOLL
  loop->epoll = loop->timer = -1;
#endif
  int error = sbi_wake_open(&loop->wake_read, &loop->wake_write);
#ifdef SBI_EPOLL
  if (error == 0 && (loop->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) error = -errno;
  if (error == 0 && (loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0)
    error = -errno;
  if (error == 0) error = epoll_change(loop, EPOLL_CTL_ADD, loop->wake_read, SBI_READ, KEY_WAKE);
  if (error == 0) error = epoll_change(loop, EPOLL_CTL_ADD, loop->timer, SBI_READ, KEY_TIMER);
#endif
  if (error != 0) sbi_loop_close(loop);
  return error;
}

void sbi_loop_abandon(struct sbi_loop *loop) {
  sbi_wake_close(loop->wake_read, loop->wake_write);
  loop->wake_read = loop->wake_write = -1;
#ifdef SBI_EPOLL
  if (loop->epoll >= 0) close(loop->epoll);
  if (loop->timer >= 0) close(loop->timer);
  loop->epoll = loop->timer = -1;
#endif
}

void sbi_loop_close(struct sbi_loop *loop) {
  sbi_loop_abandon(loop);
#ifndef SBI_EPOLL
  sbi_free(loop->polled);
  sbi_free(loop->polled_keys);
  loop->polled = NULL;
  loop->polled_keys = NULL;
  loop->polled_size = 0;
#endif
  sbi_free(loop->slots);
  sbi_free(loop->heap);
  loop->slots = NULL;
  loop->heap = NULL;
  loop->slot_count = loop->heap_count = loop->heap_size = 0;
}

int sbi_loop_fileno(const struct sbi_loop *loop) {
#ifdef SBI_EPOLL
  return loop->epoll;
#else
  (void)loop;
  return -1;
#endif
}

void sbi_loop_soon(struct sbi_loop *loop, int us) {
#ifdef SBI_EPOLL
  struct itimerspec in = {.it_value = {.tv_nsec = us * 1000L}};
  timerfd_settime(loop->timer, 0, &in, NULL);
  loop->armed = 1; /* earlier than any timer: the next round arms it anew */
#else
  (void)us;
  sbi_loop_wake(loop);
#endif
}

void sbi_loop_wake(struct sbi_loop *loop) {
  sbi_wake_signal(loop->wake_write);
}

#ifndef SBI_EPOLL
static bool room_to_poll(struct sbi_loop *loop, size_t size) {
  if (loop->polled_size >= size) return true;
  struct pollfd *polled = sbi_realloc(loop->polled, size * sizeof *polled);
  if (polled == NULL) return false;
  loop->polled = polled;
  uint64_t *keys = sbi_realloc(loop->polled_keys, size * sizeof *keys);
  if (keys == NULL) return false;
  loop->polled_keys = keys;
  loop->polled_size = size;
  return true;
}
#endif

int sbi_loop_prepare(struct sbi_loop *loop, int timeout_ms) {
  loop->ready_count = 0;
#ifndef SBI_EPOLL
  /* Without memory for all it polls those that there is room for, and tries again soon. */
  bool all = room_to_poll(loop, loop->slot_count + 1);
  if (!all && (timeout_ms < 0 || timeout_ms > NO_MEMORY_MS)) timeout_ms = NO_MEMORY_MS;
  size_t n = 0;
  if (loop->polled_size > 0) {
    loop->polled[n] = (struct pollfd){.fd = loop->wake_read, .events = POLLIN};
    loop->polled_keys[n++] = KEY_WAKE;
  }
  for (size_t i = 0; i < loop->slot_count && n < loop->polled_size; i++) {
    struct sbi_watch *watch = loop->slots[i].watch;
    if (watch == NULL || watch->want == 0) continue;
    short events =
        (short)((watch->want & SBI_READ ? POLLIN : 0) | (watch->want & SBI_WRITE ? POLLOUT : 0));
    loop->polled[n] = (struct pollfd){.fd = watch->fd, .events = events};
    loop->polled_keys[n++] = key_of(loop, (uint32_t)i + 1);
  }
  loop->ready_count = (int)n; /* for sbi_loop_wait: how many to poll */
  loop->waiting = timeout_ms != 0;
  if (loop->heap_count > 0 && timeout_ms != 0) {
    int64_t left = loop->heap[0]->due - sbi_now_ms();
    if (left < 0) left = 0;
    if (timeout_ms < 0 || left < timeout_ms) timeout_ms = (int)left;
  }
#endif
  return timeout_ms;
}

void sbi_loop_wait(struct sbi_loop *loop, int timeout_ms) {
#ifdef SBI_EPOLL
  struct epoll_event events[SBI_LOOP_EVENTS];
  int n = epoll_wait(loop->epoll, events, SBI_LOOP_EVENTS, timeout_ms);
  if (n < 0) n = 0; /* EINTR: the caller looks at its time-out again */
  for (int i = 0; i < n; i++) {
    loop->ready_keys[i] = events[i].data.u64;
    loop->ready_events[i] = (events[i].events & EPOLLIN ? SBI_READ : 0u) |
                            (events[i].events & EPOLLOUT ? SBI_WRITE : 0u) |
                            (events[i].events & (EPOLLHUP | EPOLLERR) ? SBI_HANGUP : 0u);
  }
  loop->ready_count = n;
#else
  int count = loop->ready_count, ready = 0;
  if (poll(loop->polled, (nfds_t)count, timeout_ms) > 0) {
    /* One round takes so many; the next begins behind them, so that each has its turn. */
    int start = loop->polled_from < count ? loop->polled_from : 0;
    for (int n = 0; n < count && ready < SBI_LOOP_EVENTS; n++) {
      int i = start + n < count ? start + n : start + n - count;
      short got = loop->polled[i].revents;
      if (got == 0) continue;
      loop->polled_from = i + 1;
      loop->ready_keys[ready] = loop->polled_keys[i];
      loop->ready_events[ready++] = (got & POLLIN ? SBI_READ : 0u) |
                                    (got & POLLOUT ? SBI_WRITE : 0u) |
                                    (got & (POLLHUP | POLLERR | POLLNVAL) ? SBI_HANGUP : 0u);
    }
  }
  loop->ready_count = ready;
#endif
}

void sbi_loop_dispatch(struct sbi_loop *loop) {
#ifndef SBI_EPOLL
  loop->waiting = false;
#endif
  loop->now = sbi_now_ms();
  loop->woken = loop->ready_count == 0;
  for (int i = 0; i < loop->ready_count; i++) {
    uint64_t key = loop->ready_keys[i];
    if (key == KEY_WAKE) {
      sbi_wake_clear(loop->wake_read);
      loop->woken = true;
      continue;
    }
#ifdef SBI_EPOLL
    if (key == KEY_TIMER) {
      uint64_t count;
      if (read(loop->timer, &count, sizeof count) > 0) loop->armed = 0;
      continue;
    }
#endif
    uint32_t slot = (uint32_t)key;
    if (slot == 0 || slot > loop->slot_count || key != key_of(loop, slot)) continue;
    struct sbi_watch *watch = loop->slots[slot - 1].watch;
    if (watch == NULL) continue;
    /* what it no longer wants is stale */
    unsigned events = loop->ready_events[i] & (watch->want | SBI_HANGUP);
    if (events != 0 && watch->want != 0) watch->ready(watch, events);
  }
  loop->ready_count = 0;
  run_timers(loop);
  arm(loop);
}
