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
 * second, others nothing. */
#ifndef SBI_BUS_H
#define SBI_BUS_H

#include <pthread.h>

#include "conn.h"
#include "inbox.h"
#include "wire.h"

enum sbi_peer_state {
  SBI_PEER_NEW,   /* not registered yet */
  SBI_PEER_ASKED, /* the host decides */
  SBI_PEER_REGISTERED,
  SBI_PEER_REFUSED, /* waits for the client to close */
  SBI_PEER_CLOSED
};

struct sbi_member;

struct sbi_peer {
  struct sbi_conn conn; /* first: conn callbacks get it */
  sb_bus *bus;
  struct sbi_peer *next; /* in bus->peers, or in bus->graveyard */
  uint32_t id;
  enum sbi_peer_state state;
  int64_t since; /* ms: accepted, later refused */
  int64_t last_beat_ack;
  struct sbi_registration reg;
  struct sbi_member *member;
  long local_pid; /* 0 unknown */
  bool
      local; /* over a local socket: unit given by the bus, no heartbeats, may be silent for ever */
  char address[40]; /* of the other end: "ip:port" or "local pid N" */
  bool forged_seen;
  bool dirty;
  struct sbi_peer *next_dirty;
  bool full;
  int64_t full_since;
  size_t pressed_bytes, pressed_frames; /* put into full queues since the last sweep */
  struct sbi_peer *waits_for;           /* the full link that made this one wait */
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
};

enum {
  SBI_ALIVE_MS = 3000,  /* a link heard from so recently is not taken over */
  SBI_LINGER_MS = 5000, /* for a refused client to close */
  SBI_SWEEP_MS = 250,
  SBI_LIGHT_SHARE = 128, /* of a queue's bound, see router.c */
  SBI_BEAT_ACK_MS = 100,
  SBI_NEW_FRAME = 64 << 10 /* largest frame of a link that is not registered */
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
  int waiting;          /* links that wait for a full one */
  int64_t accept_again; /* ms: no descriptors or links left, the listeners rest; 0 = they work */
  sb_bus_stats_t stats;
  bool running, stopping;
  pthread_t thread;
};

/* bus_link.c */
extern const struct sbi_conn_ops sbi_peer_ops;
void sbi_peer_decide(struct sbi_peer *peer, int code);
/* Close and report; the memory goes with the end of the round. */
void sbi_peer_close(struct sbi_peer *peer, enum sb_leave_reason reason, const char *text);
void sbi_peer_report(struct sbi_peer *peer, uint8_t kind, int code, const char *text);
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
void sbi_route(struct sbi_peer *from, const uint8_t *frame, const struct sbi_head *head);
struct sbi_addr sbi_bus_addr(const sb_bus *bus);
/* Is its queue full, or no longer? Sockets take bytes, and events and acks are queued, without
 * anyone asking; so whoever looks at peer->full asks anew. */
void sbi_peer_measure(struct sbi_peer *peer);
/* Room for a frame in a link's queue; NULL: no memory. */
uint8_t *sbi_peer_reserve(struct sbi_peer *peer, size_t size);

#endif
