/* loop: timers against a model, watches that change inside handlers, stale events, wake-ups. */
#include "loop.h"

#include <poll.h>
#include <sys/socket.h>

#include "check.h"

static void step(struct sbi_loop *loop, int timeout) {
  timeout = sbi_loop_prepare(loop, timeout);
  sbi_loop_wait(loop, timeout);
  sbi_loop_dispatch(loop);
}

/* ---- timers ---------------------------------------------------------------- */

enum { TIMERS = 300 };

static struct {
  struct sbi_loop loop;
  struct sbi_timer timers[TIMERS];
  int64_t due[TIMERS]; /* the model: 0 = not set */
  int64_t last;        /* the due time that fired last */
  int fired;
} timed;

static void on_model_timer(struct sbi_timer *timer) {
  size_t i = (size_t)(timer - timed.timers);
  CHECK_INT(timer->due, timed.due[i]);
  CHECK(timer->due >= timed.last);
  CHECK(timer->due <= timed.loop.now);
  CHECK_INT(timer->place, 0);
  timed.last = timer->due;
  timed.due[i] = 0;
  timed.fired++;
}

/* Random setting, setting anew and clearing; then everything that is due fires, in order. */
static void timers_against_a_model(void) {
  uint64_t chance = 7;
  REQUIRE_INT(sbi_loop_init(&timed.loop), 0);
  REQUIRE(sbi_timers_reserve(&timed.loop, TIMERS));
  for (int i = 0; i < TIMERS; i++) timed.timers[i].fire = on_model_timer;
  for (int round = 0; round < 200; round++) {
    int64_t past = sbi_now_ms() - 10000, future = past + 1000000;
    for (int n = 0; n < 400; n++) {
      size_t i = check_random(&chance) % TIMERS;
      if (check_random(&chance) % 3 == 0) {
        sbi_timer_clear(&timed.loop, &timed.timers[i]);
        timed.due[i] = 0;
      } else {
        timed.due[i] = (check_random(&chance) % 2 ? past : future) + check_random(&chance) % 500;
        sbi_timer_set(&timed.loop, &timed.timers[i], timed.due[i]);
      }
    }
    int expected = 0;
    for (int i = 0; i < TIMERS; i++) expected += timed.due[i] != 0 && timed.due[i] < past + 500;
    timed.last = timed.fired = 0;
    step(&timed.loop, 0);
    REQUIRE_INT(timed.fired, expected);
    for (size_t i = 0; i < TIMERS; i++) REQUIRE_INT(timed.timers[i].place != 0, timed.due[i] != 0);
  }
  sbi_loop_close(&timed.loop);
}

static struct {
  struct sbi_loop loop;
  struct sbi_timer a, b, c;
  int fired_a, fired_b, fired_c;
} linked;

static void on_a(struct sbi_timer *timer) {
  linked.fired_a++;
  sbi_timer_clear(&linked.loop, &linked.b);                     /* was due too */
  sbi_timer_set(&linked.loop, &linked.c, linked.loop.now - 1);  /* due already: in this round */
  sbi_timer_set(&linked.loop, timer, linked.loop.now + 100000); /* itself, later */
}

static void on_b(struct sbi_timer *timer) {
  (void)timer;
  linked.fired_b++;
}

static void on_c(struct sbi_timer *timer) {
  (void)timer;
  linked.fired_c++;
}

static void timers_from_timers(void) {
  REQUIRE_INT(sbi_loop_init(&linked.loop), 0);
  REQUIRE(sbi_timers_reserve(&linked.loop, 3));
  linked.a.fire = on_a;
  linked.b.fire = on_b;
  linked.c.fire = on_c;
  int64_t now = sbi_now_ms();
  sbi_timer_set(&linked.loop, &linked.b, now - 5);
  sbi_timer_set(&linked.loop, &linked.a, now - 6);
  step(&linked.loop, 0);
  CHECK_INT(linked.fired_a, 1);
  CHECK_INT(linked.fired_b, 0);
  CHECK_INT(linked.fired_c, 1);
  CHECK(linked.a.place != 0);
  sbi_timer_clear(&linked.loop, &linked.a);
  sbi_timer_clear(&linked.loop, &linked.a); /* not set: nothing */
  sbi_loop_close(&linked.loop);
}

/* A wait without end ends with the next timer, and not before it. */
static void timer_ends_the_wait(void) {
  REQUIRE_INT(sbi_loop_init(&linked.loop), 0);
  REQUIRE(sbi_timers_reserve(&linked.loop, 2));
  linked.b.fire = on_b;
  linked.c.fire = on_c;
  linked.fired_b = linked.fired_c = 0;
  int64_t start = sbi_now_ms();
  sbi_timer_set(&linked.loop, &linked.c, start + 3000000);
  sbi_timer_set(&linked.loop, &linked.b, start + 60);
  sbi_timer_set(&linked.loop, &linked.b, start + 30); /* earlier than the descriptor is set to */
  UNTIL(linked.fired_b == 1, step(&linked.loop, -1));
  CHECK(sbi_now_ms() >= start + 30);
  sbi_timer_set(&linked.loop, &linked.b, sbi_now_ms() + 20); /* again, after it ran out */
  UNTIL(linked.fired_b == 2, step(&linked.loop, -1));
  CHECK_INT(linked.fired_c, 0);
  sbi_timer_clear(&linked.loop, &linked.c);
  sbi_loop_close(&linked.loop);
}

/* ---- watches --------------------------------------------------------------- */

struct watched {
  struct sbi_watch watch; /* first */
  struct sbi_loop *loop;
  int peer; /* the other end */
  int calls;
  unsigned events;
  struct watched *victim;
};

static void open_pair(struct watched *w, struct sbi_loop *loop,
                      void (*ready)(struct sbi_watch *, unsigned)) {
  int ends[2];
  REQUIRE_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  *w = (struct watched){.watch = {.fd = ends[0], .ready = ready}, .loop = loop, .peer = ends[1]};
}

static void close_pair(struct watched *w) {
  sbi_loop_unwatch(w->loop, &w->watch);
  close(w->watch.fd);
  close(w->peer);
}

static void count_call(struct sbi_watch *watch, unsigned events) {
  struct watched *w = (struct watched *)watch;
  w->calls++;
  w->events = events;
}

static void read_one(struct sbi_watch *watch, unsigned events) {
  char byte;
  count_call(watch, events);
  CHECK_INT(read(watch->fd, &byte, 1), 1);
}

static void say(const struct watched *w) {
  REQUIRE_INT(write(w->peer, "x", 1), 1);
}

static void wanting(void) {
  struct sbi_loop loop;
  struct watched w;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  open_pair(&w, &loop, count_call);
  REQUIRE_INT(sbi_loop_watch(&loop, &w.watch, SBI_READ), 0);
  step(&loop, 0);
  CHECK_INT(w.calls, 0);
  say(&w);
  step(&loop, 0);
  CHECK_INT(w.calls, 1);
  CHECK_INT(w.events, SBI_READ);
  REQUIRE_INT(sbi_loop_watch(&loop, &w.watch, SBI_READ | SBI_WRITE), 0);
  step(&loop, 0);
  CHECK_INT(w.events, SBI_READ | SBI_WRITE);
  REQUIRE_INT(sbi_loop_watch(&loop, &w.watch, SBI_WRITE), 0);
  step(&loop, 0);
  CHECK_INT(w.events, SBI_WRITE);
  w.calls = 0;
  REQUIRE_INT(sbi_loop_watch(&loop, &w.watch, 0), 0); /* paused */
  step(&loop, 0);
  shutdown(w.peer, SHUT_RDWR);
  step(&loop, 0);
  CHECK_INT(w.calls, 0); /* not even for the hang-up */
  REQUIRE_INT(sbi_loop_watch(&loop, &w.watch, SBI_READ), 0);
  step(&loop, 0);
  CHECK_INT(w.calls, 1);
  CHECK(w.events & SBI_HANGUP);
  sbi_loop_unwatch(&loop, &w.watch);
  sbi_loop_unwatch(&loop, &w.watch); /* again: nothing */
  step(&loop, 0);
  CHECK_INT(w.calls, 1);
  close_pair(&w);
  sbi_loop_close(&loop);
}

/* Both are ready; whichever comes first drops the other, whose event is then stale. */
static void drop_victim(struct sbi_watch *watch, unsigned events) {
  struct watched *w = (struct watched *)watch;
  count_call(watch, events);
  sbi_loop_unwatch(w->loop, &w->victim->watch);
}

static void dropped_by_another(void) {
  struct sbi_loop loop;
  struct watched a, b;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  open_pair(&a, &loop, drop_victim);
  open_pair(&b, &loop, drop_victim);
  a.victim = &b;
  b.victim = &a;
  REQUIRE_INT(sbi_loop_watch(&loop, &a.watch, SBI_READ), 0);
  REQUIRE_INT(sbi_loop_watch(&loop, &b.watch, SBI_READ), 0);
  say(&a);
  say(&b);
  step(&loop, 0);
  CHECK_INT(a.calls + b.calls, 1);
  close_pair(&a);
  close_pair(&b);
  sbi_loop_close(&loop);
}

static void drop_itself(struct sbi_watch *watch, unsigned events) {
  count_call(watch, events);
  sbi_loop_unwatch(((struct watched *)watch)->loop, watch);
}

static void dropped_by_itself(void) {
  struct sbi_loop loop;
  struct watched a;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  open_pair(&a, &loop, drop_itself);
  REQUIRE_INT(sbi_loop_watch(&loop, &a.watch, SBI_READ | SBI_WRITE), 0);
  say(&a);
  step(&loop, 0);
  step(&loop, 0);
  CHECK_INT(a.calls, 1);
  close_pair(&a);
  sbi_loop_close(&loop);
}

/* The dropped one's slot, and most likely its descriptor, belong to a newcomer before its event is
 * looked at. The newcomer has nothing to read and must not be called. */
static struct watched newcomer;

static void replace_victim(struct sbi_watch *watch, unsigned events) {
  struct watched *w = (struct watched *)watch;
  count_call(watch, events);
  REQUIRE_INT(sbi_loop_watch(w->loop, watch, 0), 0); /* once only */
  uint32_t slot = w->victim->watch.slot;
  close_pair(w->victim);
  open_pair(&newcomer, w->loop, count_call);
  REQUIRE_INT(sbi_loop_watch(w->loop, &newcomer.watch, SBI_READ), 0);
  CHECK_INT(newcomer.watch.slot, slot);
}

static void slot_of_the_dead(void) {
  struct sbi_loop loop;
  struct watched a, b;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  open_pair(&a, &loop, replace_victim);
  open_pair(&b, &loop, replace_victim);
  a.victim = &b;
  b.victim = &a;
  REQUIRE_INT(sbi_loop_watch(&loop, &a.watch, SBI_READ), 0);
  REQUIRE_INT(sbi_loop_watch(&loop, &b.watch, SBI_READ), 0);
  say(&a);
  say(&b);
  step(&loop, 0);
  REQUIRE_INT(a.calls + b.calls, 1);
  CHECK_INT(newcomer.calls, 0);
  say(&newcomer);
  step(&loop, 0);
  CHECK_INT(newcomer.calls, 1);
  close_pair(&newcomer);
  close_pair(a.calls ? &a : &b);
  sbi_loop_close(&loop);
}

/* More are ready than one round takes, and they stay ready: each has its turn. */
static void everyone_has_a_turn(void) {
  enum { MANY = 2 * SBI_LOOP_EVENTS + 30 };
  static struct watched many[MANY];
  struct sbi_loop loop;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  for (int i = 0; i < MANY; i++) {
    open_pair(&many[i], &loop, count_call);
    REQUIRE_INT(sbi_loop_watch(&loop, &many[i].watch, SBI_READ), 0);
    say(&many[i]);
  }
  for (int round = 0; round < 8; round++) step(&loop, 0);
  for (int i = 0; i < MANY; i++) CHECK(many[i].calls > 0);
  for (int i = 0; i < MANY; i++) {
    many[i].calls = 0;
    many[i].watch.ready = read_one;
  }
  for (int round = 0; round < 8; round++) step(&loop, 0);
  for (int i = 0; i < MANY; i++) CHECK_INT(many[i].calls, 1);
  for (int i = 0; i < MANY; i++) close_pair(&many[i]);
  sbi_loop_close(&loop);
}

/* ---- wake-ups -------------------------------------------------------------- */

static bool readable(int fd, int timeout) {
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  return poll(&polled, 1, timeout) == 1;
}

static void wakes_are_one(void) {
  struct sbi_loop loop;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  for (int i = 0; i < 1000; i++) sbi_loop_wake(&loop);
  step(&loop, -1); /* at once */
  CHECK(!readable(loop.wake_read, 0));
  sbi_loop_close(&loop);
}

/* What a host's event loop polls. */
static void descriptor(void) {
  struct sbi_loop loop;
  struct watched w;
  REQUIRE_INT(sbi_loop_init(&loop), 0);
  int fd = sbi_loop_fileno(&loop);
#ifdef SBI_EPOLL
  REQUIRE(sbi_timers_reserve(&loop, 1));
  CHECK(!readable(fd, 0));
  sbi_loop_wake(&loop);
  CHECK(readable(fd, CHECK_DEADLINE_MS));
  step(&loop, 0);
  CHECK(!readable(fd, 0));
  struct sbi_timer timer = {.fire = on_b};
  sbi_timer_set(&loop, &timer, sbi_now_ms() + 10);
  CHECK(readable(fd, CHECK_DEADLINE_MS));
  int fired = linked.fired_b;
  UNTIL(linked.fired_b == fired + 1, step(&loop, 0));
  CHECK(!readable(fd, 0));
  open_pair(&w, &loop, read_one);
  REQUIRE_INT(sbi_loop_watch(&loop, &w.watch, SBI_READ), 0);
  say(&w);
  CHECK(readable(fd, CHECK_DEADLINE_MS));
  step(&loop, 0);
  CHECK(!readable(fd, 0));
  close_pair(&w);
#else
  (void)w;
  CHECK_INT(fd, -1);
#endif
  sbi_loop_close(&loop);
}

static struct {
  pthread_mutex_t lock;
  struct sbi_loop loop;
  struct watched watched;
  struct sbi_timer timer;
  bool stop;
  int fired;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_shared(struct sbi_timer *timer) {
  (void)timer;
  shared.fired++;
}

static void *run_shared(void *arg) {
  (void)arg;
  pthread_mutex_lock(&shared.lock);
  while (!shared.stop) {
    int timeout = sbi_loop_prepare(&shared.loop, -1);
    pthread_mutex_unlock(&shared.lock);
    sbi_loop_wait(&shared.loop, timeout);
    pthread_mutex_lock(&shared.lock);
    sbi_loop_dispatch(&shared.loop);
  }
  pthread_mutex_unlock(&shared.lock);
  return NULL;
}

static int locked(const int *value) {
  pthread_mutex_lock(&shared.lock);
  int result = *value;
  pthread_mutex_unlock(&shared.lock);
  return result;
}

/* Watches and timers that another thread sets while the loop waits count at once. */
static void changed_while_waiting(void) {
  pthread_t thread;
  REQUIRE_INT(sbi_loop_init(&shared.loop), 0);
  REQUIRE(sbi_timers_reserve(&shared.loop, 1));
  shared.timer.fire = on_shared;
  open_pair(&shared.watched, &shared.loop, read_one);
  REQUIRE_INT(pthread_create(&thread, NULL, run_shared, NULL), 0);
  for (int round = 1; round <= 50; round++) {
    pthread_mutex_lock(&shared.lock);
    REQUIRE_INT(sbi_loop_watch(&shared.loop, &shared.watched.watch, SBI_READ), 0);
    sbi_timer_set(&shared.loop, &shared.timer, sbi_now_ms() + round % 3);
    pthread_mutex_unlock(&shared.lock);
    say(&shared.watched);
    UNTIL(locked(&shared.watched.calls) == round && locked(&shared.fired) == round, sched_yield());
    pthread_mutex_lock(&shared.lock);
    sbi_loop_unwatch(&shared.loop, &shared.watched.watch);
    pthread_mutex_unlock(&shared.lock);
  }
  pthread_mutex_lock(&shared.lock);
  shared.stop = true;
  pthread_mutex_unlock(&shared.lock);
  sbi_loop_wake(&shared.loop);
  pthread_join(thread, NULL);
  close_pair(&shared.watched);
  sbi_loop_close(&shared.loop);
}

int main(void) {
  return check_run((struct check_case[]){
      {"timers_against_a_model", timers_against_a_model, false},
      {"timers_from_timers", timers_from_timers, false},
      {"timer_ends_the_wait", timer_ends_the_wait, false},
      {"wanting", wanting, false},
      {"dropped_by_another", dropped_by_another, false},
      {"dropped_by_itself", dropped_by_itself, false},
      {"slot_of_the_dead", slot_of_the_dead, false},
      {"everyone_has_a_turn", everyone_has_a_turn, false},
      {"wakes_are_one", wakes_are_one, false},
      {"descriptor", descriptor, false},
      {"changed_while_waiting", changed_while_waiting, false},
      {0},
  });
}
