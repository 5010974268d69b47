/* Inside of sb_net: the clients of one unit, their links and their state.
 *
 * Design: one lock a net. The thread that steps holds it except while it waits for readiness.
 * Events go to the inbox and nowhere else, so no foreign code ever runs under the lock. When the
 * inbox is full, links stop reading (SBI_HOLD) until a step finds room again. */
#ifndef SBI_NET_H
#define SBI_NET_H

#include <pthread.h>

#include "conn.h"
#include "flow.h"
#include "inbox.h"
#include "wire.h"

enum sbi_link_state {
  SBI_LINK_OFF,         /* not used */
  SBI_LINK_WAITING,     /* for its next attempt */
  SBI_LINK_CONNECTING,  /* TCP */
  SBI_LINK_REGISTERING, /* request sent */
  SBI_LINK_OK,
  SBI_LINK_REFUSED /* for good */
};

enum sbi_wire { SBI_WIRE_AUTO, SBI_WIRE_2015, SBI_WIRE_2018 };

struct sbi_client;

struct sbi_link {
  struct sbi_conn conn; /* first: conn callbacks get it */
  struct sbi_client *client;
  uint8_t index; /* 0 master, 1 slave */
  enum sbi_link_state state;
  struct sbi_endpoint at;
  enum sbi_form form, preferred; /* of this attempt; the one that worked last */
  bool other_form_tried;         /* this attempt is the second of two */
  int refusal;                   /* what the server said to the first, 0 nothing */
  int refuser;                   /* unit of the server that refused last */
  int64_t registered_at;         /* ms */
  int short_lives;               /* registrations in a row that did not last a second */
  struct sbi_timer retry;
  struct sbi_timer beat;
  int64_t beats;
  bool dirty; /* has frames to flush */
  struct sbi_link *next_dirty;
};

struct sbi_client {
  sb_net *net;
  uint8_t id, type;
  char user[64], password[128], info[256];
  struct sbi_link links[2];
  struct sbi_link *current; /* the link used last */
  int access_unit;
  bool has_failed;      /* to connect, once */
  bool grace;           /* its disconnect event is being handled: sending is still allowed */
  struct sbi_outq held; /* for the next registration */
};

enum {
  SBI_CLIENTS_MAX = 48,
  SBI_GATHER_US = 200, /* the frames of a burst leave together, so much later at most */
  SBI_QUEUE_FRAMES = 100000,
  SBI_QUEUE_BYTES = 64 << 20,
  SBI_RETRY_MS = 2000,
  SBI_UNANSWERED_MS = 1000,
  SBI_CONNECT_MS = 10000,
  SBI_BEAT_MS = 1000,
  SBI_TRACE_MAX = 1022, /* with its NUL; a longer line is cut (S 9.7, IPC.md 7.4) */
  SBI_SILENCE_MS = 15000
};

/* What differs over a local socket: the server gives the unit (IPC.md 3.2), there are no heartbeats
 * and no supervision (4), other checks before sending (7.2), no filter of destinations (2.1). */
struct sb_net {
  pthread_mutex_t lock;
  struct sbi_loop loop;
  struct sbi_hub hub;
  sb_inbox *inbox;
  struct sbi_watch inbox_watch; /* makes the loop's descriptor readable when the inbox is */
  bool local;
  int unit; /* -1: not given yet, local only */
  enum sbi_wire wire;
  struct sbi_client *clients[256];
  int client_count;
  struct sbi_flows flows;
  struct sbi_timer flow_tick;
  int timeout_read, timeout_write; /* wake the thread for time-outs; -1: they are events */
  int64_t next_look;               /* ms, of that thread; 0: it waits for a flow call */
  int32_t flow_id, notify_id;
  int ack_wait_ms; /* for flow acks; 0: the call's time-out, clamped to 1..5 s (S 7.4) */
  bool hear_acks, hear_returns, hear_globals;
  int trace_level;
  bool trace_beats;
  bool holding;    /* some link was held back by a full inbox */
  bool parked;     /* a step waits for readiness */
  bool flush_soon; /* it will flush in a moment */
  bool corked;
  pthread_t corked_thread;
  int64_t last_send_us, last_flush_us;
  struct sbi_link *dirty;
  int64_t last_step; /* ms */
  bool stopping, has_keeper;
  pthread_t keeper;
  int keeper_read, keeper_write;
};

/* link.c */
extern const struct sbi_conn_ops sbi_link_ops;
void sbi_link_start(struct sbi_link *link);
void sbi_link_stop(struct sbi_link *link);
/* Was it refused for good on every link? */
bool sbi_client_refused(const struct sbi_client *client);
/* The link to send on, or NULL. */
struct sbi_link *sbi_client_link(struct sbi_client *client);

/* net.c */
struct sbi_addr sbi_client_addr(const struct sbi_client *client);
void sbi_net_trace(sb_net *net, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* step.c */
/* `link` has frames for the next sbi_net_flush. */
void sbi_net_dirty(sb_net *net, struct sbi_link *link);
void sbi_net_flush(sb_net *net);
/* The keeper thread: does the host's step when the host is busy elsewhere. */
void *sbi_net_keep(void *net);

/* send.c */
/* Is there room for a frame of `size` bytes? */
bool sbi_queue_takes(const struct sbi_outq *queue, size_t size);

/* timeouts.c */
void sbi_net_flow_tick(struct sbi_timer *timer);
/* A flow call waits for its answer: from now on look for time-outs. */
void sbi_timeouts_start(sb_net *net);
/* Time-outs will be no events: a thread runs sbi_timeouts_step. Before the first call of a flow.
 * False: no descriptors. */
bool sbi_timeouts_by_thread(sb_net *net);
/* True: a flow call timed out; *event (without payload) and the project say which. Else it has
 * waited, for the next look or sbi_timeouts_wake. */
bool sbi_timeouts_step(sb_net *net, sb_event *event, char project[SBI_PROJECT_MAX]);
void sbi_timeouts_wake(sb_net *net);

#endif
