/* Callbacks for the vendor's functions that note what they were given; tests take the calls one
 * after another. */
#ifndef ABI_CALLS_H
#define ABI_CALLS_H

#include <stdarg.h>

#include "raw.h"
#include "smartbus_abi.h"

enum kind { CONNECTION, DISCONNECT, DATA, FLOW_ACK, FLOW_RET, GLOBAL, INFO, ERROR, KINDS };

struct call {
  enum kind kind;
  void *arg;
  int client, id, code, size;
  bool has_head, has_data;
  uint8_t head[20];
  int8_t bytes[5]; /* of a global event */
  char text[128], project[64];
  pthread_t thread;
};

static struct {
  pthread_mutex_t lock;
  pthread_cond_t more;
  struct call calls[20000];
  int count, next;
  void (*inside)(const struct call *call); /* runs within each callback */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static inline void note(struct call call) {
  call.thread = pthread_self();
  pthread_mutex_lock(&seen.lock);
  if (seen.count < (int)(sizeof seen.calls / sizeof *seen.calls)) seen.calls[seen.count++] = call;
  void (*inside)(const struct call *) = seen.inside;
  pthread_cond_broadcast(&seen.more);
  pthread_mutex_unlock(&seen.lock);
  if (inside != NULL) inside(&call);
}

static inline void set_inside(void (*inside)(const struct call *call)) {
  pthread_mutex_lock(&seen.lock);
  seen.inside = inside;
  pthread_mutex_unlock(&seen.lock);
}

/* The next call of a kind; traces before it are passed over. */
static inline struct call next_call(enum kind kind) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += CHECK_DEADLINE_MS / 1000;
  struct call call = {0};
  bool found = false;
  int error = 0;
  pthread_mutex_lock(&seen.lock);
  while (!found && error == 0) {
    while (seen.next < seen.count && !found) {
      call = seen.calls[seen.next++];
      found = call.kind == kind || call.kind < INFO;
    }
    if (!found) error = pthread_cond_timedwait(&seen.more, &seen.lock, &end);
  }
  pthread_mutex_unlock(&seen.lock);
  REQUIRE_INT(error, 0);
  REQUIRE_INT(call.kind, kind);
  return call;
}

static inline int count_of(enum kind kind) {
  int count = 0;
  pthread_mutex_lock(&seen.lock);
  for (int i = 0; i < seen.count; i++) count += seen.calls[i].kind == kind;
  pthread_mutex_unlock(&seen.lock);
  return count;
}

static inline void forget_calls(void) {
  pthread_mutex_lock(&seen.lock);
  seen.count = seen.next = 0;
  seen.inside = NULL;
  pthread_mutex_unlock(&seen.lock);
}

static inline void on_connection(void *arg, unsigned char client, int access, int ack) {
  note((struct call){.kind = CONNECTION, .arg = arg, .client = client, .id = access, .code = ack});
}

static inline void on_disconnect(void *arg, unsigned char client) {
  note((struct call){.kind = DISCONNECT, .arg = arg, .client = client});
}

static inline void on_data(void *arg, unsigned char client, SMARTBUS_PACKET_HEAD *head, void *data,
                           int size) {
  struct call call = {.kind = DATA,
                      .arg = arg,
                      .client = client,
                      .size = size,
                      .has_head = head != NULL,
                      .has_data = data != NULL};
  if (head != NULL) memcpy(call.head, head, sizeof call.head);
  if (data != NULL && size > 0)
    memcpy(call.text, data, (size_t)size < sizeof call.text ? (size_t)size : sizeof call.text);
  note(call);
}

static inline void note_flow(enum kind kind, void *arg, unsigned char client,
                             const SMARTBUS_PACKET_HEAD *head, const char *project, int id,
                             int code, const char *text) {
  struct call call = {.kind = kind,
                      .arg = arg,
                      .client = client,
                      .id = id,
                      .code = code,
                      .has_head = head != NULL,
                      .has_data = text != NULL};
  if (head != NULL) memcpy(call.head, head, sizeof call.head);
  snprintf(call.project, sizeof call.project, "%s", project);
  snprintf(call.text, sizeof call.text, "%s", text);
  note(call);
}

static inline void on_flow_ack(void *arg, unsigned char client, SMARTBUS_PACKET_HEAD *head,
                               const char *project, int id, int ack, const char *msg) {
  note_flow(FLOW_ACK, arg, client, head, project, id, ack, msg);
}

static inline void on_flow_ret(void *arg, unsigned char client, SMARTBUS_PACKET_HEAD *head,
                               const char *project, int id, int ret, const char *param) {
  note_flow(FLOW_RET, arg, client, head, project, id, ret, param);
}

static inline void on_global(void *arg, char unit, char client, char type, char access, char status,
                             const char *info) {
  struct call call = {
      .kind = GLOBAL,
      .arg = arg,
      .bytes = {(int8_t)unit, (int8_t)client, (int8_t)type, (int8_t)access, (int8_t)status}};
  snprintf(call.text, sizeof call.text, "%s", info);
  note(call);
}

static inline void on_info(const char *text) {
  struct call call = {.kind = INFO};
  snprintf(call.text, sizeof call.text, "%s", text);
  note(call);
}

static inline void on_error(const char *text) {
  struct call call = {.kind = ERROR};
  snprintf(call.text, sizeof call.text, "%s", text);
  note(call);
}

static inline void on_format(enum kind kind, const char *format, va_list args) {
  struct call call = {.kind = kind, .code = 1};
  vsnprintf(call.text, sizeof call.text, format, args);
  note(call);
}

static inline void on_info_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  on_format(INFO, format, args);
  va_end(args);
}

static inline void on_error_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  on_format(ERROR, format, args);
  va_end(args);
}

/* Registered second, never to be called. */
static inline void not_connection(void *arg, unsigned char client, int access, int ack) {
  (void)arg, (void)client, (void)access, (void)ack;
  abort();
}

static inline void not_data(void *arg, unsigned char client, SMARTBUS_PACKET_HEAD *head, void *data,
                            int size) {
  (void)arg, (void)client, (void)head, (void)data, (void)size;
  abort();
}

static inline void not_disconnect(void *arg, unsigned char client) {
  (void)arg, (void)client;
  abort();
}

static inline void not_flow(void *arg, unsigned char client, SMARTBUS_PACKET_HEAD *head,
                            const char *project, int id, int code, const char *text) {
  (void)arg, (void)client, (void)head, (void)project, (void)id, (void)code, (void)text;
  abort();
}

static inline void not_global(void *arg, char unit, char client, char type, char access,
                              char status, const char *info) {
  (void)arg, (void)unit, (void)client, (void)type, (void)access, (void)status, (void)info;
  abort();
}

/* ISO C has no cast from a function's to an object's pointer; the ABI wants one. */
#define OBJECT(fn)          \
  ((union {                 \
    void (*function)(void); \
    void *object;           \
  }){(void (*)(void))(fn)}) \
      .object

#endif
