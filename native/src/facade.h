/* What the vendor's two function families have in common: callbacks that can be set once, traces, and
 * two threads (NET.md 9.5, IPC.md 1): one steps an sb_net and turns what it finds in the inbox into
 * callbacks, the other reports flow calls that timed out. No lock is held while a callback runs. */
#ifndef SBI_FACADE_H
#define SBI_FACADE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "net.h"
#include "smartbus_abi.h"

/* Slots that are written once and read by the threads at any time. */
struct sbi_hooks {
  _Atomic(smartbus_cli_connection_cb) connection;
  _Atomic(smartbus_cli_recvdata_cb) recvdata;
  _Atomic(smartbus_cli_disconnect_cb) disconnect;
  _Atomic(smartbus_invokeflow_ack_cb) flow_ack;
  _Atomic(smartbus_invokeflow_ret_cb) flow_ret;
  _Atomic(smartbus_global_connect_cb) global_connect;
  _Atomic(void *) arg;
  _Atomic(smartbus_trace) trace, trace_error;
  _Atomic(smartbus_trace_str) trace_str, trace_str_error;
};

struct sbi_life;

/* One of a family's process-wide states; statically initialised with SBI_FACADE. */
struct sbi_facade {
  pthread_rwlock_t lock;
  struct sbi_life *life; /* changes only under the write lock; callers use it under the read lock */
  struct sbi_hooks hooks;
};

#define SBI_FACADE {.lock = PTHREAD_RWLOCK_INITIALIZER}

/* Between these two the net cannot go away. NULL: not initialised. */
sb_net *sbi_facade_enter(struct sbi_facade *facade);
/* Returns `result`. */
int sbi_facade_leave(struct sbi_facade *facade, int result);

/* The net, or NULL; with the lock held. */
sb_net *sbi_facade_net(const struct sbi_facade *facade);
/* Start a life with `net`, which may be NULL: no memory. Call it with the write lock held and no
 * life. Returns 0 or SB_ENOMEM; then `net` is freed. */
int sbi_facade_begin(struct sbi_facade *facade, sb_net *net);
/* Stop the threads and free the net. From inside a callback: when that, and one that runs on the
 * other thread, have returned. */
void sbi_facade_end(struct sbi_facade *facade);

void sbi_facade_set(struct sbi_facade *facade, smartbus_cli_connection_cb connection,
                    smartbus_cli_recvdata_cb recvdata, smartbus_cli_disconnect_cb disconnect,
                    smartbus_invokeflow_ret_cb flow_ret, smartbus_global_connect_cb global_connect,
                    void *arg);
void sbi_facade_set_named(struct sbi_facade *facade, const char *name, void *fn);
/* Trace something that a function did: from the first thread, or, without a life, here and now. Call it
 * without the lock. */
void sbi_facade_say(struct sbi_facade *facade, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void sbi_facade_trace(struct sbi_facade *facade, smartbus_trace info, smartbus_trace error);
void sbi_facade_trace_str(struct sbi_facade *facade, smartbus_trace_str info,
                          smartbus_trace_str error);

#endif
