/* The system that the core runs on while it is fuzzed: sockets, time and one thread, in memory.
 *
 * The code under test is the whole and real one, from its public functions down to its system calls;
 * those end here (replace.h). So a run is repeatable to the byte, takes microseconds, and a target
 * decides in which pieces a stream arrives. Descriptors are never used twice within a run. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SYS_PID = 4242, SYS_UNLIMITED = -1 };

/* A new run: no descriptors, the clock at its start. */
void sys_reset(void);
/* Die if the core left a descriptor open. */
void sys_check_closed(void);
void sys_advance(int64_t ms);

/* The thread that the core started last; the target calls it. */
struct sys_thread {
  void *(*run)(void *);
  void *arg;
};
extern struct sys_thread sys_thread;

/* Did the last poll find nothing? When one would wait, this is called instead. */
extern bool sys_idle;
extern void (*sys_on_idle)(void *arg);
extern void *sys_on_idle_arg;

/* Somebody connects to the listener, local or not. Returns the descriptor that accept will give. */
int sys_dial(bool local, const char *ip, int pid);
/* The n-th connection that the core made itself, -1 if there is none. */
int sys_outgoing(int n);
/* Later connects are refused. */
void sys_refuse(bool refuse);

bool sys_is_open(int fd);
bool sys_is_local(int fd);
/* Bytes arrive. Nothing happens if the core closed the socket. */
void sys_feed(int fd, const void *bytes, size_t size);
/* The other end is gone, after what arrived: end of stream, or `error`. False: it was already. */
bool sys_end(int fd, int error);
/* How many bytes more the other end takes. */
void sys_room(int fd, long bytes);
/* All that the core wrote; valid until the next call of the core. */
const uint8_t *sys_sent(int fd, size_t *size);

/* End the process the way a sanitizer does. */
#define SYS_FAIL(...) sys_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SYS_REQUIRE(condition)                                                  \
  do {                                                                          \
    if (!(condition)) sys_fail(__FILE__, __LINE__, "not true: %s", #condition); \
  } while (0)
_Noreturn void sys_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
