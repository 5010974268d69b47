/* SmartBus core: the public C interface beside the vendor's ABI (smartbus_abi.h).
 *
 * Three objects: an *inbox* (bounded queue that C fills and the host drains in
 * batches), a *net* (all TCP clients of one unit) and a *bus* (server). Nothing
 * here calls back into the host: events are pulled from an inbox.
 *
 * Strings are byte strings, NUL terminated, passed through untouched. Functions
 * that return int give 0 or a positive result, or one of the SB_E* codes.
 * Unless said otherwise every function may be called from any thread, but an
 * object must not be used after its close/free function was called.
 */
#ifndef SMARTBUS_CORE_H
#define SMARTBUS_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SB_API __attribute__((visibility("default")))
#else
#define SB_API
#endif

#define SB_VERSION "1.0.0"

/* The vendor's error codes (NET.md 10.1). */
enum {
  SB_OK = 0,
  SB_EARGUMENT = -1,
  SB_ENOTCONN = -2,
  SB_EBROKEN = -3,
  SB_EACCESS = -4,
  SB_EUSER = -5,
  SB_EPASSWORD = -6,
  SB_EFULL = -7,
  SB_ENONODE = -8,
  SB_ENOCLIENT = -9,
  SB_EISCONN = -10,
  SB_EOWNUNIT = -11,
  SB_EUNIT = -12,
  SB_ECLIENT = -13,
  SB_ENOINIT = -14,
  SB_ETOOBIG = -15,
  SB_ECMDTYPE = -16,
  SB_ECLIENTTYPE = -17,
  SB_ESEND = -18,
  SB_ENOMEM = -19,
  SB_ECONNECT = -20,
  SB_ETOOMANY = -21,
  SB_EEXISTS = -22,
  SB_ENODEST = -23,
  SB_ETWICE = -24,
  SB_ETIMEOUT = -25,
  SB_EOTHER = -99
};

SB_API const char *sb_version(void);
/* How the loop waits: "epoll" or "poll". */
SB_API const char *sb_backend(void);

/* ---- events and inbox ------------------------------------------------------ */

enum sb_event_kind {
  /* clients */
  SB_EV_CONNECTED = 1,    /* client; id = access point unit (-1 unknown); code = ack */
  SB_EV_DISCONNECTED = 2, /* client */
  SB_EV_DATA = 3,         /* client, head; payload = data */
  SB_EV_FLOW_ACK = 4,     /* client, head (all zero on time-out), id = invoke id, code = ack;
                             payload = project NUL text NUL */
  SB_EV_FLOW_RETURN = 5,  /* as FLOW_ACK; code = 1, or SB_ETIMEOUT */
  SB_EV_GLOBAL = 6,       /* head[0..4] = unit, client, type, access point, status;
                             payload = add_info NUL */
  SB_EV_TRACE = 7,        /* code = 0 information, 1 error; payload = text */
  /* bus */
  SB_EV_BUS_ASK = 16,    /* registration waits for sb_bus_decide: id = link; code = connect index;
                             head = its header;
                             payload = user NUL password NUL add_info NUL version NUL peer NUL */
  SB_EV_BUS_JOINED = 17, /* id = link; code = connect index; head[4..6] = type, unit, client;
                             payload = peer NUL add_info NUL version NUL */
  SB_EV_BUS_LEFT =
      18, /* id = link; code = sb_leave_reason; head as JOINED; payload = peer NUL text NUL */
  SB_EV_BUS_REFUSED =
      19, /* id = link; code = ack sent; head as JOINED; payload = peer NUL text NUL */
  SB_EV_BUS_BAD =
      20 /* a link was closed for bad input: id = link; head as JOINED (zero if not registered);
                             payload = peer NUL text NUL */
};

enum sb_leave_reason {
  SB_LEFT_CLOSED = 0,   /* the peer closed or reset the connection */
  SB_LEFT_IDLE = 1,     /* no byte for the idle time-out */
  SB_LEFT_BAD = 2,      /* bad input; an SB_EV_BUS_BAD went before */
  SB_LEFT_SLOW = 3,     /* did not read fast enough */
  SB_LEFT_REPLACED = 4, /* the same client registered anew */
  SB_LEFT_STOPPED = 5   /* the bus was closed, or sb_bus_kick */
};

/* One event, 48 bytes; struct format "<BBHiiIQ20s4x". */
typedef struct sb_event {
  uint8_t kind;
  uint8_t client; /* local client id */
  uint16_t flags; /* bit 0: head is a frame header */
  int32_t code;
  int32_t id;
  uint32_t size;   /* bytes of payload */
  uint64_t offset; /* of the payload in sb_batch.data */
  uint8_t head[20];
  uint8_t pad[4];
} sb_event;

typedef struct sb_batch {
  const sb_event *events;
  const uint8_t *data;
  uint64_t count;
  uint64_t size; /* bytes at data */
} sb_batch;

typedef struct sb_inbox sb_inbox;

/* An inbox refuses (or makes its producer wait) above either bound. NULL: no memory. */
SB_API sb_inbox *sb_inbox_new(uint32_t max_events, uint64_t max_bytes);
SB_API void sb_inbox_free(sb_inbox *inbox);
/* Readable while undrained events wait. */
SB_API int sb_inbox_fileno(const sb_inbox *inbox);
/* Wait for events. 1 events wait, 0 time-out (ms; -1 for ever), negative closed. */
SB_API int sb_inbox_wait(sb_inbox *inbox, int timeout_ms);
/* Take all events; *batch stays valid until the next drain. Returns their number. One consumer. */
SB_API int64_t sb_inbox_drain(sb_inbox *inbox, sb_batch *batch);
/* Let blocked producers go and refuse further events. */
SB_API void sb_inbox_close(sb_inbox *inbox);
/* Events that did not fit and were not held back: traces, reports of a bus but its questions,
 * offers after close. */
SB_API uint64_t sb_inbox_lost(const sb_inbox *inbox);

/* Callbacks with the vendor's signatures that fill the inbox given as `arg`.
 * They wait while the inbox is full: the SDK stops reading, the peer feels it. */
SB_API void sb_on_connection(void *arg, unsigned char client, int access_unit, int ack);
SB_API void sb_on_disconnect(void *arg, unsigned char client);
SB_API void sb_on_data(void *arg, unsigned char client, void *head, void *data, int size);
SB_API void sb_on_flow_ack(void *arg, unsigned char client, void *head, const char *project,
                           int invoke_id, int ack, const char *msg);
SB_API void sb_on_flow_return(void *arg, unsigned char client, void *head, const char *project,
                              int invoke_id, int ret, const char *param);
SB_API void sb_on_global_connect(void *arg, char unit, char client, char type, char access_unit,
                                 char status, const char *info);
/* Trace functions carry no argument: one process-wide inbox takes their lines. NULL: drop them. */
SB_API void sb_trace_inbox(sb_inbox *inbox);
SB_API void sb_on_trace(const char *text);
SB_API void sb_on_trace_error(const char *text);

/* ---- net: the TCP clients of one unit -------------------------------------- */

typedef struct sb_net sb_net;

/* By default a C thread steps a net whose host did not for half a second (a handler that blocks),
 * so that heartbeats go on. With this flag there is no such thread. */
enum {
  SB_NET_NO_KEEPER = 1,
  SB_NET_LOCAL = 2 /* one client over a local socket, see sb_net_connect_local */
};

/* params: "key=value;…", unknown keys are ignored, NULL = none. Wire=auto|2015|2018;
 * FlowAckTimeout=ms, the wait for flow acks (default: the call's time-out, but 1 to 5 s).
 * NULL on memory or descriptor shortage. unit: 0..47 (the caller checks). */
SB_API sb_net *sb_net_new(int unit, const char *params, unsigned flags);
/* Closes every connection quietly, ends the threads, frees. NULL is allowed. */
SB_API void sb_net_free(sb_net *net);
/* In a forked child: close the descriptors that it inherited, and nothing else. The parent's
 * connections stay; the memory, which another thread may have been changing, is left alone. */
SB_API void sb_net_abandon(sb_net *net);
SB_API sb_inbox *sb_net_inbox(sb_net *net);
/* Poll this for readability, then call sb_net_step(net, 0). -1 where the platform has no such
 * descriptor (then run sb_net_step with a time-out in a thread). */
SB_API int sb_net_fileno(const sb_net *net);
/* Do what is due: read, write, timers. Waits up to timeout_ms (-1 for ever) when there is nothing
 * to do and the inbox is empty. Returns the number of events in the inbox, negative SB_E*. One
 * thread at a time steps, and drains what the step found: its events do not make the inbox's own
 * descriptor readable, nor sb_inbox_wait return. */
SB_API int sb_net_step(sb_net *net, int timeout_ms);
/* Make a waiting sb_net_step return. */
SB_API void sb_net_wake(sb_net *net);
/* Corked (1): frames sent by the calling thread wait for sb_net_flush or the next step, as suits a
 * thread that comes back to its loop. Otherwise (0, default) a lone frame leaves at once, frames in
 * a burst leave together. One thread at a time can be corked. */
SB_API void sb_net_cork(sb_net *net, int on);
SB_API void sb_net_flush(sb_net *net);
/* Bytes accepted and not yet given to the system. */
SB_API uint64_t sb_net_queued(sb_net *net);
SB_API void sb_net_set_unit(sb_net *net, int unit);
/* Report traces as SB_EV_TRACE: 0 none (default), 1 errors, 2 all. */
SB_API void sb_net_trace(sb_net *net, int level);
/* Keep waits for flow acks / returns (default 1, 1), answer global connect events (default 1). */
SB_API void sb_net_listen(sb_net *net, int acks, int returns, int globals);

SB_API int sb_net_connect(sb_net *net, int client, int type, const char *master_ip, int master_port,
                          const char *slave_ip, int slave_port, const char *user,
                          const char *password, const char *info);
/* The same over the local socket `path`, for a net with SB_NET_LOCAL: one client, whose unit the
 * server gives. SB_EISCONN: it has its client already. */
SB_API int sb_net_connect_local(sb_net *net, int client, int type, const char *path,
                                const char *user, const char *password, const char *info);
/* Close and forget the client id: quietly, no event; the id may be used again. */
SB_API int sb_net_disconnect(sb_net *net, int client);
SB_API int sb_net_connected(sb_net *net, int client);
/* Was it refused for good on every link? Then only sb_net_disconnect and a new connect help. */
SB_API int sb_net_refused(sb_net *net, int client);
/* The sending functions take a NULL net for one that is not initialised: SB_ENOINIT, in the place
 * that this check has in NET.md 5.1, 7.1 and 8. */
SB_API int sb_net_send(sb_net *net, int client, int cmd, int cmd_type, int dst_unit, int dst_client,
                       int dst_type, const void *data, int size);
/* Many packets to one destination: `sizes` tells the bytes of each, which follow each other in
 * `blob`. All sizes are checked before anything is sent. *sent is how many were accepted: all when
 * SB_OK is returned, else those before the first that was not (SB_EFULL), and none behind it. */
SB_API int sb_net_send_many(sb_net *net, int client, int cmd, int cmd_type, int dst_unit,
                            int dst_client, int dst_type, const uint32_t *sizes, int count,
                            const void *blob, size_t blob_size, int *sent);
SB_API int sb_net_ping(sb_net *net, int client, int dst_unit, int dst_client, int dst_type,
                       const void *data, int size);
SB_API int sb_net_call_flow(sb_net *net, int client, int server_unit, int process,
                            const char *project, const char *flow, int mode, int timeout_ms,
                            const char *params);
SB_API int sb_net_notify(sb_net *net, int client, int server_unit, int process, const char *project,
                         const char *title, int mode, int expires, const char *param);

/* One notify of a batch, 16 bytes; struct format "<BBHiIi". Its title and text follow each other
 * in the batch's blob, neither with a NUL. */
typedef struct sb_notify_item {
  uint8_t server_unit;
  uint8_t process;
  uint16_t title_size;
  int32_t expires;
  uint32_t text_size;
  int32_t result; /* out: invoke id or SB_E* */
} sb_notify_item;

/* Send many notifies (empty project, mode 0) in one call. Returns how many were accepted. */
SB_API int sb_net_notify_many(sb_net *net, int client, sb_notify_item *items, int count,
                              const void *blob, size_t blob_size);

/* ---- bus ------------------------------------------------------------------- */

typedef struct sb_bus sb_bus;

typedef struct sb_bus_options {
  int32_t unit;         /* own unit, 0..15 */
  int32_t ask_host;     /* 1: every registration waits for sb_bus_decide */
  int32_t idle_ms;      /* close a link silent for so long; default 15000 */
  int32_t stall_ms;     /* close a full link that takes nothing for so long; default 1000 */
  int32_t slow_ms;      /* close a link that stays full for so long; default 5000 */
  uint32_t max_frame;   /* largest frame accepted; default 64 MiB */
  uint32_t high_bytes;  /* a link's queue is full from here on; default 8 MiB */
  uint32_t high_frames; /* … or from here on; default 100000 */
  uint32_t max_links;   /* default 1024 */
  uint64_t max_memory;  /* bytes that all queues and unfinished frames take, what several of them
                           share counted once; above it they get less each, see bus.h. About twice
                           as much are never passed; default 256 MiB */
} sb_bus_options;

typedef struct sb_bus_stats_t {
  uint64_t links;      /* connections open now */
  uint64_t clients;    /* clients registered now */
  uint64_t accepted;   /* connections ever accepted */
  uint64_t registered; /* registrations ever accepted */
  uint64_t refused;    /* registrations ever refused */
  uint64_t frames_in;  /* frames of registered clients, heartbeats not counted */
  uint64_t frames_out; /* frames delivered to links, broadcast copies counted */
  uint64_t bytes_in;
  uint64_t bytes_out;
  uint64_t undeliverable; /* frames without a receiver */
  uint64_t unregistered;  /* frames before registration, ignored */
  uint64_t forged;        /* frames whose source was not the link's, corrected */
  uint64_t bad;           /* links closed for bad input */
  uint64_t slow;          /* links closed for not reading */
  uint64_t idle;          /* links closed for silence */
  uint64_t heartbeats;
  uint64_t queued_bytes; /* waiting to be written now, each receiver's counted */
  uint64_t memory;       /* see max_memory */
  uint64_t crowded_out;  /* links closed before they registered, to make way for others */
} sb_bus_stats_t;

typedef struct sb_bus_client {
  uint8_t unit, client, type, links; /* links: 1, or 2 with a slave link */
  uint32_t link;                     /* id of its first link */
  int64_t pid;                       /* 0 unknown */
  double since;                      /* unix time */
  uint64_t frames_in, frames_out, queued_bytes;
  char version[24];
  char peer[64];
  char info[256];
} sb_bus_client;

/* Zero fields of `options` mean their default; NULL = all defaults. */
SB_API sb_bus *sb_bus_new(const sb_bus_options *options);
/* Listen on a dotted IPv4 address; port 0 picks one. Returns the port, or -errno. */
SB_API int sb_bus_listen(sb_bus *bus, const char *ip, int port);
/* Listen on a local socket too (IPC clients), with that mode (0660, say). A stale socket file is
 * removed, the file goes when the bus does. Returns 0, or -errno: EADDRINUSE somebody listens there,
 * EEXIST it is no socket. */
SB_API int sb_bus_listen_local(sb_bus *bus, const char *path, int mode);
/* Start the bus's own thread. */
SB_API int sb_bus_start(sb_bus *bus);
SB_API sb_inbox *sb_bus_inbox(sb_bus *bus);
/* Answer SB_EV_BUS_ASK, which is held back, never lost, while the inbox is full: code 0 accepts, else the ack to send. SB_ENOCLIENT: the link is gone. */
SB_API int sb_bus_decide(sb_bus *bus, uint32_t link, int code);
/* Close a link: for the others its client is gone at once, it gets what was queued for it. */
SB_API int sb_bus_kick(sb_bus *bus, uint32_t link);
SB_API void sb_bus_stats(sb_bus *bus, sb_bus_stats_t *stats);
/* Fill up to `max` entries; returns the number of clients there are. */
SB_API int sb_bus_clients(sb_bus *bus, sb_bus_client *out, int max);
/* Close all links and listeners, end the thread. The inbox has what there was to report, until
 * sb_bus_free. Repeatable; not from two threads at once. */
SB_API void sb_bus_stop(sb_bus *bus);
/* Stop, and free. NULL is allowed. */
SB_API void sb_bus_free(sb_bus *bus);
/* As sb_net_abandon. */
SB_API void sb_bus_abandon(sb_bus *bus);

#ifdef __cplusplus
}
#endif
#endif
