/* The vendor's thirteen functions, as an application sees them: through callbacks on threads of
 * the library's own (abi_timeout_test.c has the second one's). One process-wide state, so the cases depend on their order. */
#include "abi_net.h"

/* ---- cases ----------------------------------------------------------------- */

static void before_init(void) {
  SmartBusNetCli_Release();
  SmartBusNetCli_SetCallBackFnArg(NULL);
  CHECK_INT(create(3, 1234), SB_ENOINIT);
  CHECK_INT(send_data(3, 20), SB_ENOINIT);
  CHECK_INT(send_data(3, 48), SB_ENOINIT);
  CHECK_INT(SmartBusNetCli_SendPing(3, 48, 4, 5, NULL, 0), SB_ENOINIT);
  CHECK_INT(SmartBusNetCli_RemoteInvokeFlow(3, 16, 0, "p", "f", 0, 1, "[]"), SB_EUNIT);
  CHECK_INT(SmartBusNetCli_RemoteInvokeFlow(3, 15, 0, "p", "f", 0, 1, "[]"), SB_ENOINIT);
  CHECK_INT(SmartBusNetCli_RemoteInvokeFlow(3, 15, 0, NULL, NULL, 0, 1, NULL), SB_EARGUMENT);
  CHECK_INT(SmartBusNetCli_SendNotify(3, 16, 0, "p", NULL, 0, 0, NULL), SB_EUNIT);
  CHECK_INT(SmartBusNetCli_SendNotify(3, 15, 0, "p", "", 0, 0, "x"), SB_EARGUMENT);
  CHECK_INT(SmartBusNetCli_SendNotify(3, 15, 0, "p", "t", 0, 0, "x"), SB_ENOINIT);
  static const int units[][2] = {{0, SB_EUNIT},   {15, SB_EUNIT}, {48, SB_EUNIT},
                                 {255, SB_EUNIT}, {16, SB_OK},    {47, SB_OK}};
  for (int i = 0; i < 6; i++) {
    CHECK_INT(SmartBusNetCli_Init((unsigned char)units[i][0]), units[i][1]);
    CHECK_INT(SmartBusNetCli_InitEx((unsigned char)units[i][0], ""), units[i][1]);
  }
  CHECK_INT(send_data(3, 47), SB_EOWNUNIT); /* the last one counts */
  CHECK_INT(send_data(3, 16), SB_ENOCLIENT);
  SmartBusNetCli_Release();
  SmartBusNetCli_Release();
  CHECK_INT(send_data(3, 16), SB_ENOINIT);
}

/* A callback can be set once and never replaced; NULL leaves its place open; the argument is
 * always replaced (NET.md 9.6). */
static void set_once(void) {
  static int first, second, third;
  SmartBusNetCli_SetCallBackFn(on_connection, NULL, NULL, NULL, NULL, &first);
  SmartBusNetCli_SetCallBackFn(not_connection, on_data, NULL, NULL, NULL, &first);
  SmartBusNetCli_SetCallBackFnEx("smartbus_cli_disconnect_cb", OBJECT(on_disconnect));
  SmartBusNetCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", NULL);
  SmartBusNetCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", OBJECT(on_flow_ack));
  SmartBusNetCli_SetCallBackFn(NULL, not_data, not_disconnect, on_flow_ret, on_global, &second);
  SmartBusNetCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", OBJECT(not_flow));
  SmartBusNetCli_SetCallBackFnEx("smartbus_invokeflow_ret_cb", OBJECT(not_flow));
  SmartBusNetCli_SetCallBackFnEx("smartbus_cli_connection_cb", OBJECT(not_connection));
  SmartBusNetCli_SetCallBackFnEx("smartbus_cli_recvdata_cb", OBJECT(not_data));
  SmartBusNetCli_SetCallBackFnEx("smartbus_global_connect_cb", OBJECT(not_global));
  SmartBusNetCli_SetCallBackFnEx(NULL, OBJECT(not_global));
  SmartBusNetCli_SetCallBackFnEx("", OBJECT(not_global));
  SmartBusNetCli_SetCallBackFnEx("no_such_cb", OBJECT(not_global));
  SmartBusNetCli_SetCallBackFn(NULL, NULL, NULL, NULL, NULL, &second);
  int port = 0, listener = raw_listen(&port);
  struct raw raw;
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  REQUIRE_INT(create(3, port), 0);
  take(&raw, listener);
  acknowledge(&raw, 0);
  CHECK(next_call(CONNECTION).arg == &second);
  SmartBusNetCli_SetCallBackFnArg(&third);
  raw_put_vector(&raw, "deliver_user_data");
  CHECK(next_call(DATA).arg == &third);
  SmartBusNetCli_SetCallBackFnArg(NULL);
  raw_close(&raw);
  CHECK(next_call(DISCONNECT).arg == NULL);
  close(listener);
  SmartBusNetCli_Release();
}

/* Every callback with everything it is given; those of the network on one thread that is not the
 * caller's. */
static void events(void) {
  int port = 0, listener = raw_listen(&port), argument;
  struct raw raw;
  struct call call;
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  SmartBusNetCli_SetCallBackFnArg(&argument);
  up(&raw, listener, port, 3);
  raw_put_vector(&raw, "deliver_user_data");
  call = next_call(DATA);
  pthread_t thread = call.thread;
  CHECK(!pthread_equal(thread, pthread_self()));
  CHECK_INT(call.client, 3);
  CHECK_INT(call.size, 5);
  CHECK_TEXT(call.text, "hello");
  CHECK(call.arg == &argument);
  CHECK_BYTES(call.head, 20, vector("deliver_user_data")->bytes, 20);
  raw_put_vector(&raw, "deliver_user_data_empty");
  call = next_call(DATA);
  CHECK(!call.has_data && call.has_head);
  CHECK_INT(call.size, 0);

  raw_put_vector(&raw, "global_connect_new_silent");
  call = next_call(GLOBAL);
  static const int8_t who[] = {20, 4, 5, 1, 1};
  CHECK_BYTES(call.bytes, 5, who, 5);
  CHECK_TEXT(call.text, "peer info");
  uint8_t data[281];
  memcpy(data, vector("global_connect_gone")->bytes + 20, sizeof data);
  data[20] = 200; /* five signed chars */
  raw_put(&raw, 1, 9, server, me, data, sizeof data);
  CHECK_INT(next_call(GLOBAL).bytes[0], -56);

  CHECK_INT(SmartBusNetCli_RemoteInvokeFlow(3, 0, 7, "Project1", "f", 0, 30000, "[]"), 1);
  raw_put_vector(&raw, "flow_ack_ok");
  raw_put_vector(&raw, "flow_ret");
  call = next_call(FLOW_ACK);
  CHECK_INT(call.client, 3);
  CHECK_INT(call.id, 1);
  CHECK_INT(call.code, 1);
  CHECK_TEXT(call.project, "Project1");
  CHECK_TEXT(call.text, "");
  CHECK_BYTES(call.head, 20, vector("flow_ack_ok")->bytes, 20);
  call = next_call(FLOW_RET);
  CHECK_INT(call.code, 1);
  CHECK_TEXT(call.text, "[\"done\",0]");
  CHECK_BYTES(call.head, 20, vector("flow_ret")->bytes, 20);
  CHECK_INT(SmartBusNetCli_RemoteInvokeFlow(3, 0, 7, "P2", "f", 0, 0, "[]"), 2);
  call = next_call(FLOW_RET); /* timed out: no head, and a text that is empty, not NULL */
  CHECK(!call.has_head && call.has_data);
  CHECK_INT(call.id, 2);
  CHECK_INT(call.code, SB_ETIMEOUT);
  CHECK_TEXT(call.project, "P2");
  CHECK(!pthread_equal(call.thread, thread)); /* abi_timeout_test.c */
  call = next_call(FLOW_ACK);
  CHECK(!call.has_head);
  CHECK_INT(call.code, SB_ETIMEOUT);
  raw_close(&raw);
  call = next_call(DISCONNECT);
  CHECK_INT(call.client, 3);
  CHECK(pthread_equal(call.thread, thread));
  close(listener);
  SmartBusNetCli_Release();
}

/* What is sent, once through each function. */
static void sending(void) {
  int port = 0, listener = raw_listen(&port);
  struct raw raw;
  struct raw_frame frame;
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  up(&raw, listener, port, 3);
  const char *const names[] = {"user_data_4", "ping", "call_flow", "notify"};
  CHECK_INT(SmartBusNetCli_SendData(3, 77, 3, 20, 4, 5, "abcd", 4), 0);
  CHECK_INT(SmartBusNetCli_SendPing(3, 20, 4, 5, "ping!", 5), 0);
  CHECK_INT(SmartBusNetCli_RemoteInvokeFlow(3, 0, 7, "Project1", "flow-a", 0, 30000, "[\"a\",1]"),
            1);
  CHECK_INT(SmartBusNetCli_SendNotify(3, 0, 7, "Project1", "title1", 0, 60000, "hello"), 1);
  for (int i = 0; i < 4; i++) {
    raw_expect(&raw, &frame);
    CHECK_BYTES(frame.bytes, frame.packet_size, vector(names[i])->bytes, vector(names[i])->size);
  }
  REQUIRE_INT(SmartBusNetCli_Init(21), 0); /* again, while connected: the unit changes */
  CHECK_INT(send_data(3, 20), 0);
  raw_expect(&raw, &frame);
  CHECK_ADDR(frame.src, 21, 3, 18);
  CHECK_INT(create(3, port), SB_EARGUMENT);
  raw_close(&raw);
  next_call(DISCONNECT);
  SmartBusNetCli_Release();
  close(listener); /* its backlog may hold a connection of the net that was released */

  port = 0;
  listener = raw_listen(&port);
  REQUIRE_INT(SmartBusNetCli_InitEx(19, "NewLoop=1;Wire=2015"), 0);
  REQUIRE_INT(create(3, port), 0);
  take(&raw, listener);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.packet_size, 6025);
  SmartBusNetCli_Release();
  raw_expect_end(&raw); /* quietly */
  raw_close(&raw);
  close(listener);
  CHECK_INT(count_of(DISCONNECT), 1);
}

/* ---- calls from inside callbacks ------------------------------------------- */

static _Atomic int inside_results[KINDS];
static int inside_port;

static void call_everything(const struct call *call) {
  if (call->kind >= INFO) return;
  int client = call->kind == GLOBAL ? 3 : call->client; /* that event names no local client */
  SmartBusNetCli_SetCallBackFn(NULL, NULL, NULL, NULL, NULL, NULL);
  SmartBusNetCli_SetCallBackFnArg(NULL);
  SmartBusNetCli_SetCallBackFnEx("smartbus_cli_recvdata_cb", NULL);
  SmartBusNetCli_SetTraceStr(NULL, NULL);
  SmartBusNetCli_SetTrace(NULL, NULL);
  SmartBusNetCli_Init(19);
  SmartBusNetCli_CreateConnect((unsigned char)(100 + call->kind), 18, "127.0.0.1",
                               (unsigned short)inside_port, NULL, 0, "", "", "");
  SmartBusNetCli_SendPing((unsigned char)client, 20, 4, 5, "x", 1);
  SmartBusNetCli_RemoteInvokeFlow((unsigned char)client, 0, 7, "p", "f", 1, 30000, "[]");
  SmartBusNetCli_SendNotify((unsigned char)client, 0, 7, "p", "t", 0, 0, "x");
  atomic_store(&inside_results[call->kind], send_data(client, 20));
}

/* No callback may block the library when it calls it: not even the one that reports -20, where the
 * vendor's hangs for good (NET.md 9.5). */
static void inside_every_callback(void) {
  int port = 0, listener = raw_listen(&port);
  struct raw raw;
  struct raw_frame frame;
  int refusing = raw_refuse(&inside_port);
  for (int i = 0; i < KINDS; i++) atomic_store(&inside_results[i], 1); /* not called yet */
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  up(&raw, listener, port, 3);
  set_inside(call_everything);
  REQUIRE_INT(create(9, inside_port), 0);
  CHECK_INT(next_call(CONNECTION).code, SB_ECONNECT);
  CHECK_INT(send_data(9, 20), SB_ENOTCONN); /* the library answers */
  next_call(CONNECTION);                    /* … and goes on: the one created inside fails too */
  raw_put_vector(&raw, "deliver_user_data");
  next_call(DATA);
  raw_put_vector(&raw, "global_connect_existing");
  UNTIL(count_of(GLOBAL) > 0, poll(NULL, 0, 1));
  int id = SmartBusNetCli_RemoteInvokeFlow(3, 0, 7, "Project1", "f", 0, 0, "[]");
  CHECK(id > 0);
  UNTIL(inside_results[FLOW_RET] <= 0 && inside_results[FLOW_ACK] <= 0, poll(NULL, 0, 5));
  CHECK_INT(SmartBusNetCli_SendData(3, 99, 3, 20, 4, 5, "mark", 4), 0);
  do raw_expect(&raw, &frame);
  while (frame.cmd != 99); /* nothing of theirs waits for the next registration */
  raw_close(&raw);
  UNTIL(count_of(DISCONNECT) > 0, poll(NULL, 0, 1));
  set_inside(NULL);
  take(&raw, listener);
  acknowledge(&raw, 0);
  static const int cmds[] = {7, 11, 15, 1}; /* what the disconnect callback sent */
  for (int i = 0; i < 4; i++) {
    raw_expect(&raw, &frame);
    CHECK_INT(frame.cmd, cmds[i]);
  }
  CHECK_INT(inside_results[CONNECTION], SB_ENOTCONN);
  CHECK_INT(inside_results[DATA], 0);
  CHECK_INT(inside_results[GLOBAL], 0);
  CHECK_INT(inside_results[FLOW_ACK], 0);
  CHECK_INT(inside_results[FLOW_RET], 0);
  CHECK_INT(inside_results[DISCONNECT], 0);
  SmartBusNetCli_Release();
  close(refusing);
  raw_close(&raw);
  close(listener);
}

/* ---- Release --------------------------------------------------------------- */

static void release_inside(const struct call *call) {
  if (call->kind >= INFO) return;
  SmartBusNetCli_Release();
  SmartBusNetCli_Release();
  CHECK_INT(send_data(3, 20), SB_ENOINIT);
  atomic_fetch_add(&inside_results[call->kind], 1);
}

static void release_and_init_inside(const struct call *call) {
  if (call->kind >= INFO) return;
  SmartBusNetCli_Release();
  CHECK_INT(SmartBusNetCli_Init(22), 0);
  CHECK_INT(create(5, inside_port), 0);
  set_inside(NULL);
  atomic_fetch_add(&inside_results[call->kind], 1);
}

static void releasing(void) {
  int port = 0, listener = raw_listen(&port);
  struct raw raw;
  struct raw_frame frame;
  inside_port = port;
  memset(inside_results, 0, sizeof inside_results);
  for (int round = 0; round < 20; round++) { /* with a connection, again and again */
    REQUIRE_INT(SmartBusNetCli_Init(19), 0);
    up(&raw, listener, port, 3);
    SmartBusNetCli_Release();
    CHECK_INT(send_data(3, 20), SB_ENOINIT);
    raw_expect_end(&raw);
    raw_close(&raw);
  }
  REQUIRE_INT(SmartBusNetCli_Init(19), 0); /* while it tries to connect in vain */
  int refused, refusing = raw_refuse(&refused);
  REQUIRE_INT(create(3, refused), 0);
  CHECK_INT(next_call(CONNECTION).code, SB_ECONNECT);
  SmartBusNetCli_Release();
  close(refusing);

  REQUIRE_INT(SmartBusNetCli_Init(19), 0); /* from inside a callback, more events behind it */
  up(&raw, listener, port, 3);
  set_inside(release_inside);
  for (int i = 0; i < 50; i++) raw_put_vector(&raw, "deliver_user_data");
  next_call(DATA);
  raw_expect_end(&raw);
  raw_close(&raw);
  UNTIL(atomic_load(&inside_results[DATA]) == 1, poll(NULL, 0, 1));
  CHECK_INT(count_of(DATA), 1); /* none of them came */
  set_inside(NULL);

  REQUIRE_INT(SmartBusNetCli_Init(19), 0); /* and a new life begun there */
  up(&raw, listener, port, 3);
  set_inside(release_and_init_inside);
  raw_put_vector(&raw, "deliver_user_data");
  next_call(DATA);
  raw_expect_end(&raw);
  raw_close(&raw);
  take(&raw, listener);
  raw_expect(&raw, &frame);
  CHECK_ADDR(frame.src, 22, 5, 18);
  raw_put(&raw, 0, 2, server, (struct raw_addr){22, 5, 18}, "\0\0\0\0", 4);
  CHECK_INT(next_call(CONNECTION).client, 5);
  CHECK_INT(send_data(5, 20), 0);
  SmartBusNetCli_Release();
  raw_close(&raw);
  close(listener);
  CHECK_INT(count_of(DISCONNECT), 0);
}

struct hammer {
  pthread_t thread;
  _Atomic bool stop;
  _Atomic int sent, refused;
};

static void *hammer(void *arg) {
  struct hammer *h = arg;
  while (!atomic_load(&h->stop)) {
    int result = send_data(3, 20);
    if (result == 0)
      atomic_fetch_add(&h->sent, 1);
    else
      atomic_fetch_add(&h->refused, 1);
  }
  return NULL;
}

static void send_inside(const struct call *call) {
  if (call->kind < INFO) send_data(3, 20);
}

/* Threads send while another one releases and initialises. */
static void release_under_fire(void) {
  int port = 0, listener = raw_listen(&port);
  struct hammer hammers[2] = {0};
  struct raw raw;
  struct raw_frame frame;
  for (int i = 0; i < 2; i++)
    REQUIRE_INT(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]), 0);
  for (int round = 0; round < 10; round++) {
    set_inside(send_inside);
    REQUIRE_INT(SmartBusNetCli_Init(19), 0);
    up(&raw, listener, port, 3);
    int sent = atomic_load(&hammers[0].sent);
    UNTIL(atomic_load(&hammers[0].sent) > sent + 100, {
      raw_read(&raw, 1);
      while (raw_next(&raw, &frame)) continue;
    });
    for (int i = 0; i < 20; i++) raw_put_vector(&raw, "deliver_user_data");
    SmartBusNetCli_Release();
    forget_calls();
    raw_close(&raw);
  }
  int refused = atomic_load(&hammers[1].refused);
  UNTIL(atomic_load(&hammers[1].refused) > refused, sched_yield());
  for (int i = 0; i < 2; i++) {
    atomic_store(&hammers[i].stop, true);
    pthread_join(hammers[i].thread, NULL);
  }
  close(listener);
}

/* ---- a callback that takes its time ---------------------------------------- */

static _Atomic bool may_return;

static void block_inside(const struct call *call) {
  if (call->kind != DATA) return;
  int64_t end = check_ms() + CHECK_DEADLINE_MS;
  while (!atomic_load(&may_return) && check_ms() < end) poll(NULL, 0, 5);
}

/* Heartbeats go on, other threads' frames leave, and nothing is lost. */
static void blocked_callback(void) {
  int port = 0, listener = raw_listen(&port), beats = 0;
  struct raw raw;
  struct raw_frame frame;
  atomic_store(&may_return, false);
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  up(&raw, listener, port, 3);
  set_inside(block_inside);
  for (int i = 0; i < 100; i++) raw_put_vector(&raw, "deliver_user_data");
  next_call(DATA);
  CHECK_INT(send_data(3, 20), 0);
  raw_expect(&raw, &frame);
  CHECK_BYTES(frame.data, frame.size, "data", 4);
  UNTIL(beats == 2, {
    raw_read(&raw, 100);
    while (raw_next(&raw, &frame)) beats += raw_is_heartbeat(&frame);
  });
  CHECK_INT(count_of(DATA), 1);
  atomic_store(&may_return, true);
  UNTIL(count_of(DATA) == 100, poll(NULL, 0, 1));
  SmartBusNetCli_Release();
  raw_close(&raw);
  close(listener);
}

/* ---- traces ---------------------------------------------------------------- */

static void traces(void) {
  int port = 0, listener = raw_listen(&port);
  struct raw raw;
  forget_calls();
  SmartBusNetCli_SetTraceStr(on_info, on_error);
  REQUIRE_INT(SmartBusNetCli_Init(19), 0);
  up(&raw, listener, port, 3);
  SmartBusNetCli_SetCallBackFnEx("no_such_cb", OBJECT(not_flow));
  struct call call = next_call(ERROR);
  CHECK(strstr(call.text, "no_such_cb") != NULL);
  CHECK_INT(call.code, 0);
  SmartBusNetCli_SetTrace(on_info_format, on_error_format);   /* takes precedence */
  SmartBusNetCli_SetCallBackFnEx("%s%n%d", OBJECT(not_flow)); /* text, not a format */
  call = next_call(ERROR);
  CHECK(strstr(call.text, "%s%n%d") != NULL);
  CHECK_INT(call.code, 1);
  SmartBusNetCli_SetTrace(NULL, NULL); /* falls back */
  forget_calls();
  raw_close(&raw);
  next_call(DISCONNECT);
  CHECK(count_of(INFO) > 0);
  pthread_mutex_lock(&seen.lock);
  for (int i = 0; i < seen.count; i++) CHECK(seen.calls[i].kind < INFO || seen.calls[i].code == 0);
  pthread_mutex_unlock(&seen.lock);
  SmartBusNetCli_SetTraceStr(NULL, NULL);
  int before = count_of(ERROR);
  take(&raw, listener);
  SmartBusNetCli_SetCallBackFnEx("no_such_cb", OBJECT(not_flow));
  acknowledge(&raw, 0);
  next_call(CONNECTION);
  CHECK_INT(count_of(ERROR), before);
  SmartBusNetCli_Release();
  raw_close(&raw);
  close(listener);
}

static void each_forgets(void (*run)(void)) {
  SmartBusNetCli_Release(); /* if the one before failed */
  forget_calls();
  run();
  forget_calls();
}

#define CASE(name)                \
  static void case_##name(void) { \
    each_forgets(name);           \
  }
CASE(before_init)
CASE(set_once)
CASE(events)
CASE(sending)
CASE(inside_every_callback)
CASE(releasing)
CASE(release_under_fire)
CASE(blocked_callback)
CASE(traces)

int main(void) {
  return check_run((struct check_case[]){
      {"before_init", case_before_init, false},
      {"set_once", case_set_once, false},
      {"events", case_events, false},
      {"sending", case_sending, false},
      {"inside_every_callback", case_inside_every_callback, false},
      {"releasing", case_releasing, false},
      {"release_under_fire", case_release_under_fire, false},
      {"blocked_callback", case_blocked_callback, false},
      {"traces", case_traces, false},
      {0},
  });
}
