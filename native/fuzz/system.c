#include "system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "calls.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define MEMORY_SANITIZER 1
#endif
#endif

enum { FIRST = 4096, SOCKETS = 64 };

struct buffer {
  uint8_t *bytes;
  size_t begin, end, room;
};

struct socket {
  enum { NEW, LISTENER, INCOMING, OUTGOING, EVENT } kind;
  bool open, local, connecting, ended, said_all;
  int error; /* of the connect, or of the stream */
  int accepted_from, pid;
  uint32_t ip;
  bool waits; /* in the backlog of its listener */
  long room;
  uint64_t count;
  struct buffer in, out;
};

static struct socket sockets[SOCKETS];
static int socket_count;
static int64_t now_ms;
static bool refusing;

struct sys_thread sys_thread;
bool sys_idle;
void (*sys_on_idle)(void *arg);
void *sys_on_idle_arg;

void sys_fail(const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "%s:%d: ", file, line);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  abort();
}

static void append(struct buffer *buffer, const void *bytes, size_t size) {
  if (buffer->begin == buffer->end) buffer->begin = buffer->end = 0;
  if (buffer->room - buffer->end < size) {
    buffer->room = 2 * (buffer->end + size);
    buffer->bytes = realloc(buffer->bytes, buffer->room);
    if (buffer->bytes == NULL) abort();
  }
  if (size > 0) memcpy(buffer->bytes + buffer->end, bytes, size);
  buffer->end += size;
}

static struct socket *get(int fd) {
  SYS_REQUIRE(fd >= FIRST && fd < FIRST + socket_count);
  return &sockets[fd - FIRST];
}

/* Of the core's own calls: it must not use a descriptor that it has closed. */
static struct socket *use(int fd) {
  struct socket *socket = get(fd);
  SYS_REQUIRE(socket->open);
  return socket;
}

static int fail(int error) {
  errno = error;
  return -1;
}

static int make(int kind) {
  if (socket_count == SOCKETS) return fail(EMFILE);
  struct socket *socket = &sockets[socket_count];
  struct buffer in = socket->in, out = socket->out; /* their memory serves again */
  in.begin = in.end = out.begin = out.end = 0;
  *socket =
      (struct socket){.kind = kind, .open = true, .room = SYS_UNLIMITED, .in = in, .out = out};
  return FIRST + socket_count++;
}

/* ---- for the targets ------------------------------------------------------- */

void sys_reset(void) {
  socket_count = 0;
  now_ms = 1000000;
  refusing = false;
  sys_thread = (struct sys_thread){0};
  sys_on_idle = NULL;
}

void sys_check_closed(void) {
  for (int i = 0; i < socket_count; i++)
    if (sockets[i].open && !sockets[i].waits) SYS_FAIL("descriptor %d was left open", i);
}

void sys_advance(int64_t ms) {
  now_ms += ms;
}

int sys_dial(bool local, const char *ip, int pid) {
  int fd = make(INCOMING);
  if (fd < 0) return fd;
  struct socket *socket = get(fd);
  socket->local = local;
  socket->waits = true;
  socket->pid = pid;
  socket->ip = inet_addr(ip);
  return fd;
}

int sys_outgoing(int n) {
  for (int i = 0; i < socket_count; i++)
    if (sockets[i].kind == OUTGOING && n-- == 0) return FIRST + i;
  return -1;
}

void sys_refuse(bool refuse) {
  refusing = refuse;
}

bool sys_is_open(int fd) {
  return get(fd)->open;
}

bool sys_is_local(int fd) {
  return get(fd)->local;
}

void sys_feed(int fd, const void *bytes, size_t size) {
  struct socket *socket = get(fd);
  if (socket->open && !socket->ended) append(&socket->in, bytes, size);
}

bool sys_end(int fd, int error) {
  struct socket *socket = get(fd);
  if (socket->ended) return false;
  socket->ended = true;
  socket->error = error;
  return true;
}

void sys_room(int fd, long bytes) {
  get(fd)->room = bytes;
}

const uint8_t *sys_sent(int fd, size_t *size) {
  const struct buffer *out = &get(fd)->out;
  *size = out->end;
  return out->bytes;
}

/* ---- time, process, files -------------------------------------------------- */

int sys_clock_gettime(clockid_t clock, struct timespec *now) {
  int64_t base = clock == CLOCK_REALTIME ? 1500000000 : 0;
  *now = (struct timespec){.tv_sec = (time_t)(base + now_ms / 1000),
                           .tv_nsec = (long)(now_ms % 1000 * 1000000)};
  return 0;
}

time_t sys_time(time_t *place) {
  struct timespec now;
  sys_clock_gettime(CLOCK_REALTIME, &now);
  if (place != NULL) *place = now.tv_sec;
  return now.tv_sec;
}

pid_t sys_getpid(void) {
  return SYS_PID;
}

int sys_chmod(const char *path, mode_t mode) {
  (void)path;
  (void)mode;
  return 0;
}

int sys_lstat(const char *path, struct stat *found) {
  (void)path;
  (void)found;
  return fail(ENOENT);
}

int sys_unlink(const char *path) {
  (void)path;
  return 0;
}

int sys_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                       void *arg) {
  (void)attributes;
  memset(thread, 0, sizeof *thread);
  sys_thread = (struct sys_thread){run, arg};
  return 0;
}

int sys_pthread_join(pthread_t thread, void **result) {
  (void)thread;
  (void)result;
  return 0;
}

/* ---- descriptors ----------------------------------------------------------- */

int sys_eventfd(unsigned initial, int flags) {
  (void)flags;
  int fd = make(EVENT);
  if (fd >= 0) get(fd)->count = initial;
  return fd;
}

int sys_fcntl(int fd, int command, ...) {
  (void)command;
  use(fd);
  return 0;
}

int sys_close(int fd) {
  use(fd)->open = false;
  return 0;
}

ssize_t sys_read(int fd, void *place, size_t size) {
  struct socket *socket = use(fd);
  SYS_REQUIRE(socket->kind == EVENT && size >= sizeof socket->count);
  if (socket->count == 0) return fail(EAGAIN);
  memcpy(place, &socket->count, sizeof socket->count);
  socket->count = 0;
  return sizeof socket->count;
}

ssize_t sys_write(int fd, const void *bytes, size_t size) {
  struct socket *socket = use(fd);
  uint64_t more;
  SYS_REQUIRE(socket->kind == EVENT && size == sizeof more);
  memcpy(&more, bytes, sizeof more);
  socket->count += more;
  return (ssize_t)size;
}

/* ---- sockets --------------------------------------------------------------- */

int sys_socket(int domain, int type, int protocol) {
  (void)type;
  (void)protocol;
  int fd = make(NEW);
  if (fd >= 0) get(fd)->local = domain == AF_UNIX;
  return fd;
}

int sys_bind(int fd, const struct sockaddr *address, socklen_t size) {
  (void)address;
  (void)size;
  use(fd);
  return 0;
}

int sys_listen(int fd, int backlog) {
  (void)backlog;
  use(fd)->kind = LISTENER;
  return 0;
}

int sys_getsockname(int fd, struct sockaddr *address, socklen_t *size) {
  struct sockaddr_in bound = {.sin_family = AF_INET, .sin_port = htons(8089)};
  use(fd);
  SYS_REQUIRE(*size >= sizeof bound);
  memcpy(address, &bound, sizeof bound);
  return 0;
}

static struct socket *next_in_backlog(const struct socket *listener) {
  for (int i = 0; i < socket_count; i++)
    if (sockets[i].waits && sockets[i].local == listener->local) return &sockets[i];
  return NULL;
}

int sys_accept(int fd, struct sockaddr *from, socklen_t *size) {
  struct socket *socket = next_in_backlog(use(fd));
  if (socket == NULL) return fail(EAGAIN);
  socket->waits = false;
  struct sockaddr_in peer = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(50000 + (socket - sockets))),
                             .sin_addr.s_addr = socket->ip};
  SYS_REQUIRE(*size >= sizeof peer);
  if (!socket->local) memcpy(from, &peer, sizeof peer);
  return FIRST + (int)(socket - sockets);
}

int sys_accept4(int fd, struct sockaddr *from, socklen_t *size, int flags) {
  (void)flags;
  return sys_accept(fd, from, size);
}

int sys_shutdown(int fd, int how) {
  SYS_REQUIRE(how == SHUT_WR);
  use(fd)->said_all = true;
  return 0;
}

int sys_connect(int fd, const struct sockaddr *address, socklen_t size) {
  struct socket *socket = use(fd);
  (void)address;
  (void)size;
  socket->kind = OUTGOING;
  socket->error = refusing ? ECONNREFUSED : 0;
  if (socket->local) return refusing ? fail(ECONNREFUSED) : 0;
  socket->connecting = true;
  return fail(EINPROGRESS);
}

int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
  struct socket *socket = use(fd);
  (void)level;
  if (name == SO_PEERCRED) {
    struct ucred who = {.pid = socket->pid};
    SYS_REQUIRE(*size == sizeof who);
    memcpy(value, &who, sizeof who);
  } else {
    SYS_REQUIRE(name == SO_ERROR && *size == sizeof socket->error);
    memcpy(value, &socket->error, sizeof socket->error);
    socket->connecting = false;
  }
  return 0;
}

int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  (void)level;
  (void)name;
  (void)value;
  (void)size;
  use(fd);
  return 0;
}

ssize_t sys_recv(int fd, void *place, size_t size, int flags) {
  struct socket *socket = use(fd);
  struct buffer *in = &socket->in;
  size_t n = in->end - in->begin;
  (void)flags;
  SYS_REQUIRE(size > 0); /* else 0 would mean the end */
  if (n == 0) {
    if (!socket->ended) return fail(EAGAIN);
    return socket->error != 0 ? fail(socket->error) : 0;
  }
  if (n > size) n = size;
#ifdef MEMORY_SANITIZER
  __msan_poison(place, size); /* what has not arrived must not be looked at */
#endif
  memcpy(place, in->bytes + in->begin, n);
  in->begin += n;
  return (ssize_t)n;
}

ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags) {
  struct socket *socket = use(fd);
  size_t done = 0;
  (void)flags;
  if (socket->said_all || (socket->ended && socket->error != 0)) return fail(EPIPE);
  for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) {
    size_t n = message->msg_iov[i].iov_len;
    if (socket->room != SYS_UNLIMITED && n > (size_t)socket->room) n = (size_t)socket->room;
#ifdef MEMORY_SANITIZER
    __msan_check_mem_is_initialized(message->msg_iov[i].iov_base, n); /* no secrets leave */
#endif
    append(&socket->out, message->msg_iov[i].iov_base, n);
    if (socket->room != SYS_UNLIMITED) socket->room -= (long)n;
    done += n;
    if (n < message->msg_iov[i].iov_len) break;
  }
  return done > 0 ? (ssize_t)done : fail(EAGAIN);
}

static short readiness(const struct socket *socket) {
  switch (socket->kind) {
    case EVENT:
      return socket->count > 0 ? POLLIN : 0;
    case LISTENER:
      return next_in_backlog(socket) != NULL ? POLLIN : 0;
    default: {
      if (socket->connecting) return POLLOUT;
      bool any = socket->in.begin < socket->in.end || socket->ended;
      bool reset = socket->ended && socket->error != 0;
      return (short)((any ? POLLIN : 0) | (socket->room != 0 ? POLLOUT : 0) |
                     (reset ? POLLERR | POLLHUP : 0));
    }
  }
}

int sys_poll(struct pollfd *polled, nfds_t count, int timeout_ms) {
  int found = 0;
  for (nfds_t i = 0; i < count; i++) {
    short events = (short)(polled[i].events | POLLERR | POLLHUP);
    polled[i].revents = (short)(readiness(use(polled[i].fd)) & events);
    found += polled[i].revents != 0;
  }
  sys_idle = found == 0;
  if (sys_idle && timeout_ms != 0 && sys_on_idle != NULL) sys_on_idle(sys_on_idle_arg);
  return found;
}
