/* Inside of sb_bus: links (connections), members (clients that are registered over one or two
 * links) and the router between them.
 *
 * Design: one C thread does everything under one lock, except waiting. Calls of the host take the
 * lock. A round reads what is readable, routes whole frames into the queues of their receivers and
 * then writes each queue once.
 *
 * Flow control: a link whose queue is full makes the links that flood it wait (they are not read
 * until it has drained by half); those that send it little go on. A link that stays full is closed:
 * soon when it takes nothing, later when it is merely too slow. So memory is bounded, nothing is
 * dropped silently between two clients that stay, and a dead reader costs those who flood it a
 * second, others nothing.
 *
 * Memory as a whole: queues and unfinished frames are counted, a body that several queues share
 * once. Above options.max_memory no new kind of waiting begins: a queue is full earlier, at a share
 * so small that whoever is to blame is above it and everyone who reads is not; and of those that
 * send large frames only one, the one that has come furthest, gets more room at a time. */
#ifndef SBI_BUS_H
#define SBI_BUS_H

#include <pthread.h>
#include <sys/types.h>

#include "conn.h"
#include "inbox.h"
#include "wire.h"

enum sbi_peer_state {
  SBI_PEER_NEW,   /* not registered yet */
  SBI_PEER_ASKED, /* the host decides */
  SBI_PEER_REGISTERED,
  SBI_PEER_REFUSED, /* waits for the client to close */
  SBI_PEER_LEAVING, /* closed by the host: gets what was queued, until the client closes */
  SBI_PEER_CLOSED
};

/* What a link that is not read waits for. */
enum sbi_wait {
  SBI_WAITS_NOT,
  SBI_WAITS_RECEIVER, /* a full link, peer->waits_for */
  SBI_WAITS_MEMORY,   /* for the rest of a large frame */
  SBI_WAITS_HOST      /* the host's inbox has no room for its registration */
};

struct sbi_member;

struct sbi_peer {
  struct sbi_conn conn; /* first: conn callbacks get it */
  sb_bus *bus;
  struct sbi_peer *next; /* in bus->peers, or in bus->graveyard */
  uint32_t id;
  enum sbi_peer_state state;
  int64_t since; /* ms: accepted; later asked for, refused, leaving */
  int64_t last_beat_ack;
  struct sbi_registration reg;
  struct sbi_member *member;
  long local_pid; /* 0 unknown */
  /* Over a local socket: unit given by the bus, no heartbeats, may be silent for ever. */
  bool local;
  char address[40]; /* of the other end: "ip:port" or "local pid N" */
  bool forged_seen;
  bool dirty;
  struct sbi_peer *next_dirty;
  bool full;
  int64_t full_since;
  size_t pressed_bytes, pressed_frames; /* put into full queues since the last sweep */
  enum sbi_wait wait;
  int64_t wait_since;
  struct sbi_peer *waits_for;
  const char *doomed; /* why the next flush closes it, or NULL */
};

struct sbi_member {
  struct sbi_addr addr;
  struct sbi_member *next, *previous;
  struct sbi_peer *links[2]; /* by connect_index */
  struct sbi_peer *current;  /* the link its last frame came from */
  double since;              /* unix time */
  uint64_t frames_in, frames_out;
};

struct sbi_listener {
  struct sbi_watch watch; /* first */
  sb_bus *bus;
  struct sbi_listener *next;
  char path[108]; /* of a local socket, to be removed at the end; else empty */
  dev_t device;   /* … if it is still the same file */
  ino_t inode;
};

enum {
  SBI_ALIVE_MS = 3000,  /* a link heard from so recently is not taken over */
  SBI_LINGER_MS = 5000, /* for a refused client to close */
  SBI_LEAVE_MS = 1000,  /* for one that the host closed */
  SBI_GRACE_MS = 250,   /* a newcomer takes no place from one that came so recently */
  SBI_ASKED_MS = 2000,  /* … or from one whose registration is being decided for so long */
  SBI_SWEEP_MS = 250,
  SBI_LIGHT_SHARE = 128, /* of a queue's bound, see router.c */
  SBI_BEAT_ACK_MS = 100,
  SBI_NEW_FRAME = 64 << 10,  /* largest frame of a link that is not registered */
  SBI_SHARE_FROM = 2048,     /* larger bodies are not copied for each receiver of a broadcast */
  SBI_TRIM_FROM = 16 << 20,  /* a peak that is worth giving back */
  SBI_LEAST_BOUND = 64 << 10 /* of a queue when memory is short */
};

struct sb_bus {
  pthread_mutex_t lock;
  struct sbi_loop loop;
  struct sbi_hub hub;
  sb_inbox *inbox;
  sb_bus_options options;
  struct sbi_timer sweep;
  struct sbi_listener *listeners;
  struct sbi_peer *peers, *graveyard, *dirty;
  struct sbi_member *members; /* newest first */
  struct sbi_member **units[256];
  uint32_t last_id;
  int waiting;       /* links with a `wait` */
  bool short_memory; /* above the bound, or not yet well below it again */
  size_t bound;      /* bytes from which on a queue is full: options.high_bytes, less when short */
  uint32_t furthest; /* id of the link that alone may grow, 0 none */
  int64_t furthest_since;
  size_t peak;          /* of the memory in use, since it was last given back */
  int64_t accept_again; /* ms: no descriptors or links left, the listeners rest; 0 = they work */
  int64_t crowded_said; /* ms: when that was last reported */
  sb_bus_stats_t stats;
  bool running, stopping;
  pthread_t thread;
};

/* bus_listen.c */
void sbi_bus_rest(sb_bus *bus, bool resting);
void sbi_listeners_close(sb_bus *bus);

/* bus_link.c */
extern const struct sbi_conn_ops sbi_peer_ops;
void sbi_peer_decide(struct sbi_peer *peer, int code);
/* Report and close; the memory goes with the end of the round. */
void sbi_peer_close(struct sbi_peer *peer, enum sb_leave_reason reason, const char *text);
/* The client is gone for all others; it gets what was queued for it, then the end. */
void sbi_peer_dismiss(struct sbi_peer *peer, const char *text);
/* A line for the host's log, lost if it does not fit. */
void sbi_bus_trace(sb_bus *bus, uint32_t link, const char *text);

/* bus_flow.c */
/* Is its queue full, or no longer? Sockets take bytes, and events and acks are queued, without
 * anyone asking; so whoever looks at peer->full asks anew. */
void sbi_peer_measure(struct sbi_peer *peer);
/* Must `from` wait before it puts so many bytes into the queue of `to`? Then it does. */
bool sbi_peer_must_wait(struct sbi_peer *from, struct sbi_peer *to, size_t size);
/* Something was put into the queue at a sender's wish. */
void sbi_peer_fuller(struct sbi_peer *to);
/* … or at the bus's own, which asks nobody to wait. */
void sbi_peer_fuller_unasked(struct sbi_peer *to);
void sbi_peer_wait(struct sbi_peer *peer, enum sbi_wait wait, struct sbi_peer *receiver);
void sbi_peer_end_wait(struct sbi_peer *peer);
/* The connection's ops->grow. */
bool sbi_peer_grow(struct sbi_conn *conn);
/* Look at the memory in use. */
void sbi_bus_weigh(sb_bus *bus);
/* Once in a sweep: close the links that keep memory short; give back what is not needed. */
void sbi_bus_relieve(sb_bus *bus);
/* Once in a round: registrations that found no room in the host's inbox try again. */
void sbi_bus_ask_again(sb_bus *bus);
/* Write every queue that got frames, let waiting links go on, until nothing moves. */
void sbi_bus_flush(sb_bus *bus);

/* router.c */
struct sbi_member *sbi_find_member(sb_bus *bus, uint8_t unit, uint8_t client);
/* Add a registered link; creates its member (announced to all) if it is the first. False: no
 * memory. */
bool sbi_member_join(struct sbi_peer *peer);
/* Take a link off its member; the last one ends the member, which is announced if `announce`. */
void sbi_member_leave(struct sbi_peer *peer, bool announce);
/* Tell a link who is there. */
void sbi_tell_present(struct sbi_peer *peer);
/* SBI_HOLD: the sender waits, nothing was done. */
enum sbi_took sbi_route(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head);
struct sbi_addr sbi_bus_addr(const sb_bus *bus);
/* Room for a frame in a link's queue; NULL: no memory, and the link will be closed, for what is
 * sent to it must not get lost silently. */
uint8_t *sbi_peer_reserve(struct sbi_peer *peer, size_t size);

#endif
