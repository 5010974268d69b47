/* Time-outs of flow calls through the vendor's functions: on a thread of their own (NET.md 9.5),
 * which a callback of the network does not hold up, nor the other way round. */
#include <sys/resource.h>

#include "abi_net.h"

static int listener, port;
static struct raw raw = {.fd = -1};

/* One client is registered, all callbacks are set. */
static void begin(void) {
  SmartBusNetCli_SetCallBackFn(on_connection, on_data, on_disconnect, on_flow_ret, on_global, NULL);
  SmartBusNetCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", OBJECT(on_flow_ack));
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  up(&raw, listener, port, 3);
}

static int call_flow(int mode, int timeout_ms) {
  return SmartBusNetCli_RemoteInvokeFlow(3, 0, 7, "P", "f", mode, timeout_ms, "[]");
}

/* ---- callbacks that take their time ---------------------------------------- */

static _Atomic bool held[KINDS]; /* the next callback of that kind does not return */

static void wait_inside(const struct call *call) {
  int64_t end = check_ms() + CHECK_DEADLINE_MS;
  while (atomic_load(&held[call->kind]) && check_ms() < end) poll(NULL, 0, 1);
}

static void hold(enum kind kind) {
  atomic_store(&held[kind], true);
  set_inside(wait_inside);
}

static void let_go(enum kind kind) {
  atomic_store(&held[kind], false);
}

static struct call expect_timeout(enum kind kind, int id) {
  struct call call = next_call(kind);
  CHECK_INT(call.client, 3);
  CHECK_INT(call.id, id);
  CHECK_INT(call.code, SB_ETIMEOUT);
  CHECK(!call.has_head && call.has_data); /* a text that is empty, not NULL */
  CHECK_TEXT(call.project, "P");
  CHECK_TEXT(call.text, "");
  return call;
}

/* ---- cases ----------------------------------------------------------------- */

/* With one descriptor more each time, until it has enough for both threads; none is left behind. */
static void init_without_descriptors(void) {
  struct rlimit before, few;
  int result = SB_ENOMEM, free_one = dup(listener), open = check_descriptors();
  REQUIRE(free_one >= 0);
  REQUIRE_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
  few = before;
  few.rlim_cur = (rlim_t)free_one + 1;
  for (; result == SB_ENOMEM && few.rlim_cur < (rlim_t)free_one + 50; few.rlim_cur++) {
    CHECK_INT(check_descriptors(), open);
    REQUIRE_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
    result = SmartBusNetCli_Init(19);
  }
  REQUIRE_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_INT(result, 0);
  CHECK(few.rlim_cur > (rlim_t)free_one + 3);
  close(free_one);
}

static void beside_a_blocked_callback(void) {
  begin();
  hold(DATA);
  raw_put_vector(&raw, "deliver_user_data");
  struct call data = next_call(DATA);
  int id = call_flow(0, 0);
  pthread_t thread = expect_timeout(FLOW_RET, id).thread;
  CHECK(pthread_equal(expect_timeout(FLOW_ACK, id).thread, thread));
  CHECK(!pthread_equal(thread, data.thread) && !pthread_equal(thread, pthread_self()));
  let_go(DATA);
  raw_put_vector(&raw, "deliver_user_data");
  CHECK(pthread_equal(next_call(DATA).thread, data.thread));
  id = call_flow(2, 0); /* the thread had nothing to wait for meanwhile */
  CHECK(pthread_equal(expect_timeout(FLOW_RET, id).thread, thread));
}

static void a_blocked_timeout(void) {
  begin();
  hold(FLOW_RET);
  int id = call_flow(0, 0);
  expect_timeout(FLOW_RET, id);
  raw_put_vector(&raw, "deliver_user_data");
  next_call(DATA);
  raw_put_vector(&raw, "global_connect_existing");
  next_call(GLOBAL);
  let_go(FLOW_RET);
  expect_timeout(FLOW_ACK, id);
}

/* Answers and time-outs race; of each wait exactly one is told. */
static void answer_or_timeout(void) {
  enum { CALLS = 300 };
  static int acks[CALLS + 1], returns[CALLS + 1];
  uint8_t body[51] = {0};
  begin();
  for (int id = 1; id <= CALLS; id++) {
    REQUIRE_INT(call_flow(0, id / 2), id); /* some come back in time, some do not */
    raw_le32(body + 33, (uint32_t)id);
    raw_put(&raw, 1, 12, (struct raw_addr){0, 7, 2}, me, body, 47);
    raw_put(&raw, 1, 12, (struct raw_addr){0, 7, 2}, me, body, 47);
    if (id % 16 == 0) poll(NULL, 0, 10);
  }
  poll(NULL, 0, 950); /* the acks are waited for 1 s */
  for (int id = 1; id <= CALLS; id++) {
    raw_le32(body + 33, (uint32_t)id);
    raw_put(&raw, 1, 13, (struct raw_addr){0, 7, 2}, me, body, 51);
  }
  UNTIL(count_of(FLOW_ACK) >= CALLS && count_of(FLOW_RET) >= CALLS, poll(NULL, 0, 1));
  raw_put_vector(&raw, "deliver_user_data"); /* behind all answers */
  UNTIL(count_of(DATA) > 0, poll(NULL, 0, 1));
  SmartBusNetCli_Release();
  for (int i = 0; i < seen.count; i++) {
    const struct call *call = &seen.calls[i];
    if (call->kind != FLOW_ACK && call->kind != FLOW_RET) continue;
    REQUIRE(call->id >= 1 && call->id <= CALLS);
    CHECK_INT(call->has_head, call->code != SB_ETIMEOUT);
    (call->kind == FLOW_ACK ? acks : returns)[call->id]++;
  }
  for (int id = 1; id <= CALLS; id++) {
    CHECK_INT(acks[id], 1);
    CHECK_INT(returns[id], 1);
  }
}

/* ---- Release --------------------------------------------------------------- */

static _Atomic int released;

static void *release(void *unused) {
  SmartBusNetCli_Release();
  atomic_fetch_add(&released, 1);
  return unused;
}

/* From another thread it waits for the callbacks that run, and none comes after it. */
static void release_beside_a_timeout(void) {
  pthread_t thread;
  begin();
  hold(FLOW_RET);
  int id = call_flow(0, 0);
  call_flow(0, 0);
  expect_timeout(FLOW_RET, id);
  REQUIRE_INT(pthread_create(&thread, NULL, release, NULL), 0);
  UNTIL(send_data(3, 20) == SB_ENOINIT, poll(NULL, 0, 1));
  CHECK_INT(atomic_load(&released), 0);
  let_go(FLOW_RET);
  pthread_join(thread, NULL);
  CHECK_INT(count_of(FLOW_RET), 1);
  CHECK_INT(count_of(FLOW_ACK), 0);
  raw_expect_end(&raw);
}

static void release_inside(const struct call *call) {
  if (call->kind != FLOW_RET && call->kind != FLOW_ACK) {
    wait_inside(call);
    return;
  }
  SmartBusNetCli_Release();
  SmartBusNetCli_Release();
  CHECK_INT(send_data(3, 20), SB_ENOINIT);
  atomic_fetch_add(&released, 1);
}

static void release_inside_a_timeout(void) {
  for (int round = 0; round < 5; round++) {
    begin();
    set_inside(release_inside);
    int id = call_flow(0, 0);
    call_flow(0, 0); /* never told */
    expect_timeout(FLOW_RET, id);
    raw_expect_end(&raw);
    raw_close(&raw);
    UNTIL(atomic_load(&released) == round + 1, poll(NULL, 0, 1));
    set_inside(NULL);
  }
  CHECK_INT(count_of(FLOW_RET), 5);
  CHECK_INT(count_of(DISCONNECT), 0);
}

/* The network's thread is still in a callback when the other has done with it all. */
static void release_inside_a_timeout_beside_a_callback(void) {
  begin();
  hold(DATA);
  set_inside(release_inside);
  raw_put_vector(&raw, "deliver_user_data");
  raw_put_vector(&raw, "deliver_user_data");
  next_call(DATA);
  expect_timeout(FLOW_RET, call_flow(0, 0));
  UNTIL(atomic_load(&released) == 1, poll(NULL, 0, 1));
  CHECK_INT(send_data(3, 20), SB_ENOINIT);
  let_go(DATA);
  raw_expect_end(&raw);
  CHECK_INT(count_of(DATA), 1);
}

static void begin_anew_inside(const struct call *call) {
  if (call->kind != FLOW_RET) return;
  set_inside(NULL);
  SmartBusNetCli_Release();
  CHECK_INT(SmartBusNetCli_Init(22), 0);
  CHECK_INT(create(5, port), 0);
}

static void another_life_from_inside_a_timeout(void) {
  struct raw_frame frame;
  begin();
  set_inside(begin_anew_inside);
  expect_timeout(FLOW_RET, call_flow(0, 0));
  raw_expect_end(&raw);
  raw_close(&raw);
  take(&raw, listener);
  raw_expect(&raw, &frame);
  CHECK_ADDR(frame.src, 22, 5, 18);
  raw_put(&raw, 0, 2, server, (struct raw_addr){22, 5, 18}, "\0\0\0\0", 4);
  CHECK_INT(next_call(CONNECTION).client, 5);
  int id = SmartBusNetCli_RemoteInvokeFlow(5, 0, 7, "P", "f", 0, 0, "[]");
  CHECK_INT(id, 1);
  CHECK_INT(next_call(FLOW_RET).client, 5);
}

/* ---- main ------------------------------------------------------------------ */

static void each(void (*run)(void)) {
  SmartBusNetCli_Release(); /* if the one before failed */
  forget_calls();
  atomic_store(&released, 0);
  for (int i = 0; i < KINDS; i++) let_go((enum kind)i);
  listener = raw_listen(&port);
  run();
  SmartBusNetCli_Release();
  raw_close(&raw);
  close(listener);
  forget_calls();
}

#define CASE(name)                \
  static void case_##name(void) { \
    each(name);                   \
  }
#define ROW(name) {#name, case_##name, false}
CASE(init_without_descriptors)
CASE(beside_a_blocked_callback)
CASE(a_blocked_timeout)
CASE(answer_or_timeout)
CASE(release_beside_a_timeout)
CASE(release_inside_a_timeout)
CASE(release_inside_a_timeout_beside_a_callback)
CASE(another_life_from_inside_a_timeout)

int main(void) {
  return check_run((struct check_case[]){ROW(init_without_descriptors),
                                         ROW(beside_a_blocked_callback),
                                         ROW(a_blocked_timeout),
                                         ROW(answer_or_timeout),
                                         ROW(release_beside_a_timeout),
                                         ROW(release_inside_a_timeout),
                                         ROW(release_inside_a_timeout_beside_a_callback),
                                         ROW(another_life_from_inside_a_timeout),
                                         {0}});
}
