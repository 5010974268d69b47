/* Forced into every source of the core by the fuzzing builds: what it asks of the system is answered
 * by system.c, in memory. The system's own headers come first, so that their declarations keep
 * their names. */
#ifndef REPLACE_H
#define REPLACE_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"

#define accept(...)         sys_accept(__VA_ARGS__)
#define accept4(...)        sys_accept4(__VA_ARGS__)
#define bind(...)           sys_bind(__VA_ARGS__)
#define chmod(...)          sys_chmod(__VA_ARGS__)
#define clock_gettime(...)  sys_clock_gettime(__VA_ARGS__)
#define close(...)          sys_close(__VA_ARGS__)
#define connect(...)        sys_connect(__VA_ARGS__)
#define eventfd(...)        sys_eventfd(__VA_ARGS__)
#define fcntl(...)          sys_fcntl(__VA_ARGS__)
#define getpid()            sys_getpid()
#define getsockname(...)    sys_getsockname(__VA_ARGS__)
#define getsockopt(...)     sys_getsockopt(__VA_ARGS__)
#define listen(...)         sys_listen(__VA_ARGS__)
#define lstat(...)          sys_lstat(__VA_ARGS__)
#define poll(...)           sys_poll(__VA_ARGS__)
#define pthread_create(...) sys_pthread_create(__VA_ARGS__)
#define pthread_join(...)   sys_pthread_join(__VA_ARGS__)
#define read(...)           sys_read(__VA_ARGS__)
#define recv(...)           sys_recv(__VA_ARGS__)
#define sendmsg(...)        sys_sendmsg(__VA_ARGS__)
#define setsockopt(...)     sys_setsockopt(__VA_ARGS__)
#define shutdown(...)       sys_shutdown(__VA_ARGS__)
#define socket(...)         sys_socket(__VA_ARGS__)
#define time(...)           sys_time(__VA_ARGS__)
#define unlink(...)         sys_unlink(__VA_ARGS__)
#define write(...)          sys_write(__VA_ARGS__)

/* Calls that the core does not make, or did not when this was written: give them a stand-in too. */
#pragma GCC poison dup dup2 epoll_create epoll_ctl epoll_wait fork fstat getrandom ioctl openat pipe2
#pragma GCC poison ppoll preadv pselect pwritev readv recvfrom recvmmsg recvmsg select sendfile
#pragma GCC poison sendmmsg sendto sleep socketpair splice timerfd_create usleep writev

#endif
