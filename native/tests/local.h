/* Local sockets in a directory of the case's own. */
#ifndef LOCAL_H
#define LOCAL_H

#include <sys/stat.h>
#include <sys/un.h>

#include "raw.h"

struct local {
  char directory[32], path[64];
};

static inline void local_open(struct local *local) {
  snprintf(local->directory, sizeof local->directory, "/tmp/smartbus-XXXXXX");
  REQUIRE(mkdtemp(local->directory) != NULL);
  snprintf(local->path, sizeof local->path, "%s/socket", local->directory);
}

/* Fails if anything but `path` is left in the directory. */
static inline void local_close(struct local *local) {
  unlink(local->path);
  CHECK_INT(rmdir(local->directory), 0);
}

static inline struct sockaddr_un local_address(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  return address;
}

/* Bound, not listening: it refuses. The file stays when it is closed. */
static inline int local_bind(const char *path) {
  struct sockaddr_un address = local_address(path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(fd >= 0);
  REQUIRE_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  return fd;
}

static inline int local_listen(const char *path) {
  int fd = local_bind(path);
  REQUIRE_INT(listen(fd, 100), 0);
  REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) >= 0);
  return fd;
}

static inline void local_connect(struct raw *raw, const char *path) {
  struct sockaddr_un address = local_address(path);
  *raw = (struct raw){.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
  REQUIRE(raw->fd >= 0);
  REQUIRE_INT(connect(raw->fd, (struct sockaddr *)&address, sizeof address), 0);
  raw_options(raw->fd);
}

#endif
