/* The system calls that system.c stands in for, with the meaning that POSIX gives them. */
#ifndef CALLS_H
#define CALLS_H

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

int sys_accept(int fd, struct sockaddr *from, socklen_t *size);
int sys_accept4(int fd, struct sockaddr *from, socklen_t *size, int flags);
int sys_bind(int fd, const struct sockaddr *address, socklen_t size);
int sys_chmod(const char *path, mode_t mode);
int sys_clock_gettime(clockid_t clock, struct timespec *now);
int sys_close(int fd);
int sys_connect(int fd, const struct sockaddr *address, socklen_t size);
int sys_eventfd(unsigned initial, int flags);
int sys_fcntl(int fd, int command, ...);
pid_t sys_getpid(void);
int sys_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int sys_listen(int fd, int backlog);
int sys_lstat(const char *path, struct stat *found);
int sys_poll(struct pollfd *polled, nfds_t count, int timeout_ms);
int sys_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                       void *arg);
int sys_pthread_join(pthread_t thread, void **result);
ssize_t sys_read(int fd, void *place, size_t size);
ssize_t sys_recv(int fd, void *place, size_t size, int flags);
ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags);
int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int sys_shutdown(int fd, int how);
int sys_socket(int domain, int type, int protocol);
time_t sys_time(time_t *place);
int sys_unlink(const char *path);
ssize_t sys_write(int fd, const void *bytes, size_t size);

#endif
