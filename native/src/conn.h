/* One stream of frames over a non-blocking socket: reads, checks and hands out whole frames;
 * queues, gathers and writes. Knows nothing of what frames mean.
 *
 * Memory: all connections of an owner read into one shared buffer; a connection keeps bytes of its
 * own only for the rest of a frame that has not arrived whole, and grows with the bytes that
 * arrive, never with the bytes that a header promises. The owner may bound the sum. */
#ifndef SBI_CONN_H
#define SBI_CONN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "loop.h"
#include "outq.h"
#include "wire.h"

#ifndef SBI_SCRATCH_SIZE
#define SBI_SCRATCH_SIZE (256 * 1024) /* the fuzzing builds have a small one */
#endif
enum { SBI_SCRATCH = SBI_SCRATCH_SIZE };

enum { SBI_BAD_TEXT = 96 };

struct sbi_conn;

enum sbi_took { SBI_TOOK = 0, SBI_HOLD = 1 };

struct sbi_conn_ops {
  /* A non-blocking connect finished; error is 0 or an errno. */
  void (*opened)(struct sbi_conn *conn, int error);
  /* A whole frame. SBI_HOLD: not taken, stop reading until sbi_conn_resume hands it out again.
   * May close the connection. */
  enum sbi_took (*frame)(struct sbi_conn *conn, const uint8_t *frame, const struct sbi_head *head);
  /* The peer is gone or sent a bad stream; sbi_conn_close was done already. bad: SBI_BAD_* or 0;
   * error: errno or 0 (end of stream). */
  void (*lost)(struct sbi_conn *conn, int64_t bad, int error);
  /* In place of `lost`, for an owner who has something to do first: it is still open, and this is
   * to close it. */
  void (*losing)(struct sbi_conn *conn, int64_t bad, int error);
  /* A large frame needs more memory. False: not now, the owner paused the connection. NULL: any
   * connection may have any. */
  bool (*grow)(struct sbi_conn *conn);
};

/* What the connections of one owner share. */
struct sbi_hub {
  struct sbi_loop *loop;
  uint8_t *scratch; /* SBI_SCRATCH bytes */
  uint32_t max_frame;
  const struct sbi_conn_ops *ops;
  size_t held; /* memory of unfinished frames, and of the queues of adopted connections */
};

struct sbi_conn {
  struct sbi_watch watch; /* .fd is -1 when closed */
  struct sbi_hub *hub;
  bool connecting, paused;
  bool write_dead;    /* nothing can be written any more */
  bool finishing;     /* see sbi_conn_finish */
  uint32_t max_frame; /* 0: the hub's */
  int32_t too_big;    /* what its last frame claimed, when that was SBI_BAD_TOO_BIG */
  struct sbi_outq out;
  uint8_t *rest; /* the beginning of a frame */
  size_t rest_size, rest_room;
  int64_t last_read;  /* ms */
  int64_t last_write; /* ms: when the socket last took a byte */
};

/* 0 or -errno / -ENOMEM. */
int sbi_hub_init(struct sbi_hub *hub, struct sbi_loop *loop, uint32_t max_frame,
                 const struct sbi_conn_ops *ops);
void sbi_hub_close(struct sbi_hub *hub);

/* A dotted IPv4 address and its port, or the name of a local socket. */
struct sbi_endpoint {
  char name[108];
  int port; /* SBI_LOCAL: `name` is a path */
};

enum { SBI_LOCAL = -1 };

/* False: `name` is no such address, or too long for a path. */
bool sbi_endpoint_set(struct sbi_endpoint *endpoint, const char *name, int port);

/* Begin to connect; opened() follows. -errno on immediate failure. */
int sbi_conn_connect(struct sbi_conn *conn, struct sbi_hub *hub,
                     const struct sbi_endpoint *endpoint);
/* Take over an accepted socket. On failure the descriptor is closed. */
int sbi_conn_adopt(struct sbi_conn *conn, struct sbi_hub *hub, int fd);
bool sbi_conn_open(const struct sbi_conn *conn);
/* What was wrong with its stream: SBI_BAD_* as lost() and losing() get it. */
void sbi_conn_bad_text(const struct sbi_conn *conn, int64_t bad, char text[SBI_BAD_TEXT]);
/* Close and free everything but the queue of frames, silently. Repeatable. */
void sbi_conn_close(struct sbi_conn *conn);
/* The same, so that the peer gets our last words: what is queued is written as far as it goes, and
 * what the peer said is read, as the system resets a connection that is closed with unread input. */
void sbi_conn_end(struct sbi_conn *conn);
/* Write what is queued, then tell the peer that this was all; it is up to the peer to close. */
void sbi_conn_finish(struct sbi_conn *conn);

/* Place for a frame in the queue, see sbi_outq_reserve. Nothing is written before sbi_conn_flush. */
uint8_t *sbi_conn_reserve(struct sbi_conn *conn, size_t size);
/* Write as much as the socket takes, watch for room if that was not all. */
void sbi_conn_flush(struct sbi_conn *conn);
/* Did its socket take less than there was? Readiness says when it takes more. */
bool sbi_conn_blocked(const struct sbi_conn *conn);

/* Stop taking frames; bytes stay where they are. */
void sbi_conn_pause(struct sbi_conn *conn);
/* Go on; frames that were read already are handed out at once. */
void sbi_conn_resume(struct sbi_conn *conn);

/* A stream socket that does not block and closes on exec, or -errno. */
int sbi_socket(int domain);
int sbi_accept(int listener, struct sockaddr *from, socklen_t *size);
void sbi_socket_options(int fd);
/* Also closes on exec. 0 or -errno. */
int sbi_non_blocking(int fd);

#endif
