/* The vendor's twelve IPC functions, as an application sees them, over a scripted local server. One
 * process-wide state: the first case runs before any Init. Invoke ids go on from case to case. */
#include "abi_calls.h"
#include "local.h"
#include "smartbus_core.h"

enum { ME = 18, TYPE = 9, UNIT = 3 }; /* as in the golden frames */

static const struct raw_addr server = {UNIT, 0, 1}, me = {UNIT, ME, TYPE};

static struct local place;

static int create(void) {
  return SmartBusIpcCli_CreateConnect("alice", "secret", "info!");
}

static int send_data(int unit, int client) {
  return SmartBusIpcCli_SendData(1, 3, unit, client, 4, "data", 4);
}

static int call_flow(int mode, int timeout) {
  return SmartBusIpcCli_RemoteInvokeFlow(UNIT, 0, "P", "F", mode, timeout, "[]");
}

static void take(struct raw *raw, int listener) {
  UNTIL(raw_accept(raw, listener), poll(NULL, 0, 1));
}

/* The next frame is the registration; its source unit may be anything (IPC.md 3.1). */
static void expect_registration(struct raw *raw) {
  const struct vector *v = vector("ipc_register");
  struct raw_frame frame;
  raw_expect(raw, &frame);
  CHECK_BYTES(frame.bytes, 5, v->bytes, 5);
  CHECK_BYTES(frame.bytes + 6, frame.packet_size - 6, v->bytes + 6, v->size - 6);
}

static void acknowledge(struct raw *raw, int unit, int code) {
  uint8_t data[4];
  raw_le32(data, (uint32_t)code);
  raw_put(raw, 0, 2, (struct raw_addr){(uint8_t)unit, 0, 1}, me, data, sizeof data);
}

static void expect_connection(int unit, int code) {
  struct call call = next_call(CONNECTION);
  CHECK_INT(call.client, ME);
  CHECK_INT(call.id, unit);
  CHECK_INT(call.code, code);
}

static void let_in(struct raw *raw, int listener) {
  take(raw, listener);
  expect_registration(raw);
  raw_put_vector(raw, "ipc_register_ack_ok");
  expect_connection(UNIT, 0);
}

static void up(struct raw *raw, int listener) {
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  REQUIRE_INT(create(), 0);
  let_in(raw, listener);
}

/* The next frame is that vector, whose invoke id at `id_at` in the data is `id` here. */
static void expect_vector(struct raw *raw, const char *name, int id_at, int id) {
  const struct vector *v = vector(name);
  struct raw_frame frame;
  uint8_t expected[8192];
  memcpy(expected, v->bytes, v->size);
  if (id_at > 0) raw_le32(expected + 20 + id_at, (uint32_t)id);
  raw_expect(raw, &frame);
  CHECK_BYTES(frame.bytes, frame.packet_size, expected, v->size);
}

static void put_answer(struct raw *raw, const char *name, int id) {
  const struct vector *v = vector(name);
  uint8_t frame[512];
  memcpy(frame, v->bytes, v->size);
  raw_le32(frame + 20 + 33, (uint32_t)id);
  raw_send(raw, frame, v->size);
}

/* ---- return values --------------------------------------------------------- */

static char *text_of(size_t size) {
  char *text = malloc(size + 1);
  REQUIRE(text != NULL);
  memset(text, 'x', size);
  text[size] = 0;
  return text;
}

static int flow_with(const char *params) {
  return SmartBusIpcCli_RemoteInvokeFlow(0, 0, "P", "F", 1, 1000, params);
}

static int notify_with(const char *param) {
  return SmartBusIpcCli_SendNotify(0, 0, "P", "t", 0, 0, param);
}

/* IPC.md 7.2, in the order that it lists the checks. */
static void return_values(void) {
  char *long_flow = text_of(16002), *long_notify = text_of(16000);
  SmartBusIpcCli_Release();
  SmartBusIpcCli_SetCallBackFnArg(NULL);
  CHECK_INT(create(), SB_EARGUMENT);
  CHECK_INT(SmartBusIpcCli_SendData(1, 0, 48, 4, 5, "x", 1 << 28), SB_ECMDTYPE);
  CHECK_INT(SmartBusIpcCli_SendData(1, 3, 48, 4, 5, "x", 1 << 28), SB_ENOINIT);
  CHECK_INT(SmartBusIpcCli_SendPing(48, 4, 5, NULL, 0), SB_ENOINIT);
  CHECK_INT(SmartBusIpcCli_RemoteInvokeFlow(16, 0, "P", "F", 0, 1, long_flow), SB_EUNIT);
  CHECK_INT(flow_with(long_flow), SB_ETOOBIG);
  CHECK_INT(flow_with(long_flow + 1), SB_ENOINIT);
  CHECK_INT(flow_with(NULL), SB_ENOINIT);
  CHECK_INT(SmartBusIpcCli_SendNotify(16, 0, "P", "t", 0, 0, long_notify), SB_EUNIT);
  CHECK_INT(notify_with(long_notify), SB_ETOOBIG);
  CHECK_INT(notify_with(long_notify + 1), SB_ENOINIT);
  CHECK_INT(notify_with(NULL), SB_ENOINIT);

  CHECK_INT(SmartBusIpcCli_Init(1, -1), SB_ECLIENT);
  CHECK_INT(SmartBusIpcCli_Init(1, 0), SB_ECLIENTTYPE);
  CHECK_INT(SmartBusIpcCli_Init(-5, 0), SB_ECLIENTTYPE);
  CHECK_INT(send_data(0, 0), SB_ENOINIT);
  CHECK_INT(SmartBusIpcCli_Init(2, 0), 0);
  CHECK_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  CHECK_INT(SmartBusIpcCli_SendData(1, 0, 48, 4, 5, "x", 1 << 28), SB_ECMDTYPE);
  CHECK_INT(SmartBusIpcCli_SendData(1, 3, 48, 4, 5, "x", 1 << 28), SB_EUNIT);
  CHECK_INT(SmartBusIpcCli_SendData(1, 3, -1, ME, 5, "x", 1 << 28), SB_ETOOBIG);
  CHECK_INT(send_data(-1, ME), SB_EOWNUNIT); /* the own unit before registration */
  CHECK_INT(send_data(-1, ME + 256), SB_ENOTCONN);
  CHECK_INT(send_data(255, ME), SB_EUNIT);
  CHECK_INT(send_data(47, ME), SB_ENOTCONN);
  CHECK_INT(SmartBusIpcCli_SendData(1, 3, 0, 0, 5, "x", (1 << 28) - 1), SB_ENOTCONN);
  CHECK_INT(SmartBusIpcCli_SendData(1, 3, 0, 0, 5, "x", -1), SB_EARGUMENT);
  CHECK_INT(SmartBusIpcCli_SendPing(48, 4, 5, NULL, 0), SB_EUNIT);
  CHECK_INT(SmartBusIpcCli_SendPing(-1, ME, 5, NULL, 0), SB_EOWNUNIT);
  CHECK_INT(SmartBusIpcCli_SendPing(0, ME, 5, NULL, 0), SB_ENOTCONN);
  CHECK_INT(SmartBusIpcCli_RemoteInvokeFlow(-1, ME, "P", "F", 0, 1, "[]"), SB_EOWNUNIT);
  CHECK_INT(SmartBusIpcCli_SendNotify(-1, ME, "P", "t", 0, 0, "x"), SB_EOWNUNIT);
  CHECK_INT(flow_with(long_flow), SB_ETOOBIG);
  CHECK_INT(flow_with(long_flow + 1), SB_ENOTCONN);
  CHECK_INT(notify_with(long_notify), SB_ETOOBIG);
  CHECK_INT(notify_with(long_notify + 1), SB_ENOTCONN);
  CHECK_INT(SmartBusIpcCli_RemoteInvokeFlow(16, 0, "P", "F", 0, 1, long_flow), SB_EUNIT);
  SmartBusIpcCli_Release(); /* after Init only */
  SmartBusIpcCli_Release();
  CHECK_INT(send_data(0, 0), SB_ENOINIT);
  CHECK_INT(create(), SB_EARGUMENT);
  free(long_flow);
  free(long_notify);
}

/* ---- callbacks ------------------------------------------------------------- */

static void set_once(void) {
  static int first, second, third;
  SmartBusIpcCli_SetCallBackFn(on_connection, NULL, NULL, NULL, NULL, &first);
  SmartBusIpcCli_SetCallBackFn(not_connection, on_data, NULL, NULL, NULL, &first);
  SmartBusIpcCli_SetCallBackFnEx("smartbus_cli_disconnect_cb", OBJECT(on_disconnect));
  SmartBusIpcCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", NULL);
  SmartBusIpcCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", OBJECT(on_flow_ack));
  SmartBusIpcCli_SetCallBackFn(NULL, not_data, not_disconnect, on_flow_ret, on_global, &second);
  SmartBusIpcCli_SetCallBackFnEx("smartbus_invokeflow_ack_cb", OBJECT(not_flow));
  SmartBusIpcCli_SetCallBackFnEx("smartbus_invokeflow_ret_cb", OBJECT(not_flow));
  SmartBusIpcCli_SetCallBackFnEx("smartbus_cli_connection_cb", OBJECT(not_connection));
  SmartBusIpcCli_SetCallBackFnEx("smartbus_cli_recvdata_cb", OBJECT(not_data));
  SmartBusIpcCli_SetCallBackFnEx("smartbus_global_connect_cb", OBJECT(not_global));
  SmartBusIpcCli_SetCallBackFnEx(NULL, OBJECT(not_global));
  SmartBusIpcCli_SetCallBackFnEx("", OBJECT(not_global));
  SmartBusIpcCli_SetCallBackFnEx("no_such_cb", OBJECT(not_global));
  int listener = local_listen(place.path);
  struct raw raw;
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  REQUIRE_INT(create(), 0);
  take(&raw, listener);
  expect_registration(&raw);
  raw_put_vector(&raw, "ipc_register_ack_ok");
  CHECK(next_call(CONNECTION).arg == &second);
  SmartBusIpcCli_SetCallBackFnArg(&third);
  raw_put_vector(&raw, "ipc_user_data_in");
  CHECK(next_call(DATA).arg == &third);
  SmartBusIpcCli_SetCallBackFn(NULL, NULL, NULL, NULL, NULL, NULL);
  raw_close(&raw);
  CHECK(next_call(DISCONNECT).arg == NULL);
  SmartBusIpcCli_Release();
  SmartBusIpcCli_SetCallBackFn(not_connection, not_data, not_disconnect, not_flow, not_global,
                               &first); /* Release has not forgotten them */
  close(listener); /* its backlog may hold a connection of the net that was released */
  unlink(place.path);
  listener = local_listen(place.path);
  up(&raw, listener);
  raw_close(&raw);
  CHECK(next_call(DISCONNECT).arg == &first);
  SmartBusIpcCli_Release();
  close(listener);
}

static void expect_data(const char *name) {
  const struct vector *v = vector(name);
  struct call call = next_call(DATA);
  CHECK_INT(call.client, ME);
  CHECK_BYTES(call.head, 20, v->bytes, 20);
  CHECK_BYTES(call.text, call.size, v->bytes + 20, v->datalen);
  CHECK_INT(call.has_data, v->datalen > 0);
}

static void expect_text(const char *text) {
  struct call call = next_call(DATA);
  CHECK_TEXT(call.text, text);
}

static void expect_global(const char *name, const char *info) {
  struct call call = next_call(GLOBAL);
  CHECK_BYTES(call.bytes, 5, vector(name)->bytes + 40, 5);
  CHECK_TEXT(call.text, info);
}

/* What the server sends, what the callbacks get, what is answered without being asked to. */
static void events(void) {
  int listener = local_listen(place.path);
  struct raw raw;
  up(&raw, listener);
  raw_put_vector(&raw, "ipc_user_data_in");
  expect_data("ipc_user_data_in");
  raw_put_vector(&raw, "ipc_user_data_in_empty");
  expect_data("ipc_user_data_in_empty");
  raw_put_vector(&raw, "ipc_ping_ack_in");
  expect_data("ipc_ping_ack_in");
  raw_put_vector(&raw, "ipc_ping_in");
  expect_data("ipc_ping_in");
  expect_vector(&raw, "ipc_ping_in_answer", 0, 0);
  raw_put_vector(&raw, "ipc_global_connect");
  expect_global("ipc_global_connect", "newcomer");
  expect_vector(&raw, "ipc_global_here_answer", 0, 0);

  /* None of these is answered, … */
  raw_put_vector(&raw, "ipc_global_existing");
  expect_global("ipc_global_existing", "older");
  raw_put_vector(&raw, "ipc_global_disconnect");
  expect_global("ipc_global_disconnect", "newcomer");
  raw_put(&raw, 1, 7, me, me, "mine", 4);
  expect_text("mine");
  uint8_t event[281];
  memcpy(event, vector("ipc_global_connect")->bytes + 20, sizeof event);
  event[21] = ME;
  raw_put(&raw, 1, 9, server, me, event, sizeof event); /* about the client itself */
  CHECK_INT(next_call(GLOBAL).bytes[1], ME);
  memcpy(event, vector("ipc_global_connect")->bytes + 20, sizeof event);
  raw_put(&raw, 1, 10, server, me, event, sizeof event); /* new, but not with cmd 9 */
  CHECK_INT(next_call(GLOBAL).bytes[4], 1);
  /* … and none of these is heard of: internal commands, a global event of another size. */
  for (int cmd = 0; cmd < 10; cmd++)
    if (cmd != 2) raw_put(&raw, 0, cmd, server, me, "0123456789abcdef01234567", 24);
  raw_put(&raw, 1, 9, server, me, event, 280);
  raw_put_vector(&raw, "ipc_ping_in");
  expect_data("ipc_ping_in");
  expect_vector(&raw, "ipc_ping_in_answer", 0, 0);

  /* Nobody looks at the destination. */
  raw_put(&raw, 2, 33, server, (struct raw_addr){9, 200, 77}, "other", 5);
  expect_text("other");
  raw_close(&raw);
  CHECK_INT(next_call(DISCONNECT).client, ME);
  SmartBusIpcCli_Release();
  close(listener);
}

/* ---- connecting ------------------------------------------------------------ */

static void registering(void) {
  int listener = local_listen(place.path);
  struct raw raw;
  struct raw_frame frame;
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  REQUIRE_INT(create(), 0);
  take(&raw, listener);
  expect_registration(&raw);
  CHECK_INT(send_data(UNIT, 30), SB_ENOTCONN); /* for as long as there is no answer */
  CHECK_INT(create(), SB_EISCONN);
  raw_put(&raw, 1, 7, (struct raw_addr){UNIT, 30, 4}, me, "early", 5); /* heard, not answered */
  raw_put_vector(&raw, "ipc_global_connect");
  expect_text("early");
  expect_global("ipc_global_connect", "newcomer");
  raw_close(&raw);
  take(&raw, listener); /* lost without having been registered: no callback */
  expect_registration(&raw);
  acknowledge(&raw, 15, 0);
  expect_connection(15, 0);
  CHECK_INT(create(), SB_EISCONN);
  CHECK_INT(send_data(15, ME), SB_EOWNUNIT);
  CHECK_INT(send_data(15, ME + 256), 0); /* compared as it was given */
  raw_expect(&raw, &frame);
  CHECK_ADDR(frame.src, 15, ME, TYPE);
  CHECK_ADDR(frame.dst, 15, ME, 4);
  acknowledge(&raw, 7, 0); /* the unit is replaced */
  expect_connection(7, 0);
  CHECK_INT(send_data(7, ME), SB_EOWNUNIT);
  CHECK_INT(send_data(15, ME), 0);
  raw_expect(&raw, &frame);
  CHECK_ADDR(frame.src, 7, ME, TYPE);
  raw_close(&raw);
  next_call(DISCONNECT);
  let_in(&raw, listener); /* with everything, again */
  CHECK_INT(send_data(7, ME), 0);
  SmartBusIpcCli_Release();
  raw_expect_end(&raw);
  raw_close(&raw);
  close(listener);
  CHECK_INT(count_of(DISCONNECT), 1);
}

static void create_inside(const struct call *call) {
  if (call->kind != CONNECTION) return;
  set_inside(NULL);
  CHECK_INT(create(), 0);
}

/* Every refusal is final, whatever its value; CreateConnect begins anew. */
static void refusals(void) {
  static const int codes[] = {SB_EEXISTS, SB_EISCONN, SB_EUSER, SB_EPASSWORD, 5};
  int listener = local_listen(place.path);
  struct pollfd polled = {.fd = listener, .events = POLLIN};
  struct raw raw;
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    REQUIRE_INT(create(), 0);
    take(&raw, listener);
    expect_registration(&raw);
    acknowledge(&raw, UNIT, codes[i]);
    CHECK_INT(next_call(CONNECTION).code, codes[i]);
    raw_expect_end(&raw);
    raw_close(&raw);
    CHECK_INT(send_data(UNIT, 30), SB_ENOTCONN);
    CHECK_INT(poll(&polled, 1, codes[i] == SB_EISCONN ? 2500 : 0), 0);
  }
  REQUIRE_INT(create(), 0);
  let_in(&raw, listener);
  raw_put_vector(&raw, "ipc_register_ack_rejected"); /* while connected */
  expect_connection(UNIT, SB_EEXISTS);
  next_call(DISCONNECT);
  raw_expect_end(&raw);
  raw_close(&raw);
  /* It is allowed until the disconnect callback, which is recorded first, has returned. */
  UNTIL(send_data(UNIT, 30) == SB_ENOTCONN, poll(NULL, 0, 1));
  REQUIRE_INT(create(), 0);
  take(&raw, listener);
  set_inside(create_inside);
  acknowledge(&raw, UNIT, SB_EEXISTS);
  CHECK_INT(next_call(CONNECTION).code, SB_EEXISTS);
  raw_close(&raw);
  let_in(&raw, listener);
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
  CHECK_INT(count_of(DISCONNECT), 1);
}

/* A second Init may not change who is connected, nor who tries to be. */
static void renaming(void) {
  struct raw raw;
  struct raw_frame frame;
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  REQUIRE_INT(create(), 0);
  expect_connection(-1, SB_ECONNECT);
  CHECK_INT(SmartBusIpcCli_Init(TYPE, ME + 1), SB_EISCONN);
  int listener = local_listen(place.path);
  let_in(&raw, listener);
  CHECK_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  CHECK_INT(SmartBusIpcCli_Init(TYPE, ME + 1), SB_EISCONN);
  CHECK_INT(SmartBusIpcCli_Init(TYPE + 1, ME), SB_EISCONN);
  CHECK_INT(send_data(UNIT, 30), 0);
  raw_expect(&raw, &frame);
  CHECK_ADDR(frame.src, UNIT, ME, TYPE);
  acknowledge(&raw, UNIT, SB_EEXISTS); /* refused: another name may be tried */
  expect_connection(UNIT, SB_EEXISTS);
  next_call(DISCONNECT);
  raw_close(&raw);
  CHECK_INT(SmartBusIpcCli_Init(TYPE + 1, ME + 1), 0);
  REQUIRE_INT(create(), 0);
  take(&raw, listener);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.src.type, TYPE + 1);
  CHECK_INT(frame.src.client, ME + 1);
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
}

static _Atomic int inside_result;

static void send_inside(const struct call *call) {
  if (call->kind < INFO) atomic_store(&inside_result, send_data(UNIT, 30));
}

/* One callback for each row of failures, an attempt every two seconds. */
static void no_server(void) {
  struct raw raw;
  struct raw_frame frame;
  SmartBusIpcCli_SetTraceStr(on_info, on_error);
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  set_inside(send_inside);
  int64_t start = check_ms();
  REQUIRE_INT(create(), 0);
  expect_connection(-1, SB_ECONNECT);
  CHECK_INT(create(), SB_EISCONN);
  UNTIL(count_of(ERROR) == 3, poll(NULL, 0, 5));
  CHECK(check_ms() - start >= 3900);
  CHECK_INT(count_of(CONNECTION), 1);
  CHECK_INT(inside_result, SB_ENOTCONN);
  set_inside(NULL);
  int listener = local_listen(place.path);
  let_in(&raw, listener);
  close(listener);
  unlink(place.path);
  set_inside(send_inside);
  raw_close(&raw);
  next_call(DISCONNECT);
  expect_connection(UNIT, SB_ECONNECT); /* a new row, and the unit known last */
  set_inside(NULL);
  listener = local_listen(place.path);
  let_in(&raw, listener);
  raw_expect(&raw, &frame); /* what the disconnect callback sent */
  CHECK_BYTES(frame.data, frame.size, "data", 4);
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
  SmartBusIpcCli_SetTraceStr(NULL, NULL);
}

/* A server that has no room for more is no server, and nobody waits for it. */
static void full_backlog(void) {
  struct sockaddr_un address = local_address(place.path);
  int listener = local_bind(place.path), fillers[64], count = 0;
  REQUIRE_INT(listen(listener, 0), 0);
  for (bool full = false; !full && count < 64; count++) {
    fillers[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    full = connect(fillers[count], (struct sockaddr *)&address, sizeof address) != 0;
  }
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  REQUIRE_INT(create(), 0);
  expect_connection(-1, SB_ECONNECT);
  SmartBusIpcCli_Release();
  while (count > 0) close(fillers[--count]);
  close(listener);
}

static void disconnect_sends(void) {
  int listener = local_listen(place.path);
  struct raw raw;
  struct raw_frame frame;
  up(&raw, listener);
  set_inside(send_inside);
  atomic_store(&inside_result, 1);
  raw_close(&raw);
  next_call(DISCONNECT);
  set_inside(NULL);
  let_in(&raw, listener);
  CHECK_INT(inside_result, 0);
  raw_expect(&raw, &frame);
  CHECK_BYTES(frame.data, frame.size, "data", 4);
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
}

/* ---- sending --------------------------------------------------------------- */

static void sending(void) {
  static const char *const data[] = {"", "a", "ab", "abc", "abcd", "abcde"};
  int listener = local_listen(place.path);
  struct raw raw;
  struct raw_frame frame;
  up(&raw, listener);
  for (int i = 0; i < 6; i++) {
    char name[32];
    snprintf(name, sizeof name, "ipc_user_data_%d", i);
    CHECK_INT(SmartBusIpcCli_SendData((unsigned char)(100 + i), 3, UNIT, 30, 4, data[i], i), 0);
    expect_vector(&raw, name, 0, 0);
  }
  CHECK_INT(SmartBusIpcCli_SendPing(UNIT, 30, 4, "pingdata", 8), 0);
  expect_vector(&raw, "ipc_ping", 0, 0);
  int flow =
      SmartBusIpcCli_RemoteInvokeFlow(UNIT, 0, "Project.Main", "flow_One", 0, 30000, "[\"a\",1]");
  CHECK(flow > 0);
  expect_vector(&raw, "ipc_flow_call", 70, flow);
  CHECK_INT(call_flow(1, 30000), flow + 1);
  expect_vector(&raw, "ipc_flow_call_no_return", 70, flow + 1);
  int notify = SmartBusIpcCli_SendNotify(UNIT, 5, "Project.Main", "my.title", 2, 4000, "payload");
  CHECK(notify > 0);
  expect_vector(&raw, "ipc_notify", 34, notify);

  /* NULL and empty texts. */
  CHECK_INT(SmartBusIpcCli_SendNotify(UNIT, 5, NULL, NULL, 0, 0, NULL), notify + 1);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.size, 150);
  for (int i = 0; i < frame.size; i++)
    CHECK_INT(frame.data[i], i == 0 ? 15 : i == 34 ? notify + 1 : 0);
  CHECK_INT(SmartBusIpcCli_SendNotify(UNIT, 5, "", "", 0, 0, ""), notify + 2);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.size, 150);
  CHECK_INT(SmartBusIpcCli_RemoteInvokeFlow(UNIT, 0, NULL, NULL, 1, 30000, NULL), flow + 2);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.size, 114);
  CHECK_INT(raw_get32(frame.data + 74), 0);
  CHECK_INT(SmartBusIpcCli_SendData(1, 3, UNIT, 30, 4, NULL, 0), 0);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.size, 0);

  /* The longest; and refusals count as well. */
  char *text = text_of(16002);
  CHECK_INT(SmartBusIpcCli_RemoteInvokeFlow(UNIT, 0, "P", "F", 1, 30000, text), SB_ETOOBIG);
  int next = SmartBusIpcCli_RemoteInvokeFlow(UNIT, 0, "P", "F", 1, 30000, text + 1);
  CHECK_INT(next, flow + 3);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.size, 114 + 16001);
  CHECK_INT(SmartBusIpcCli_SendNotify(UNIT, 5, "P", "t", 0, 0, text + 3), notify + 3);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.size, 150 + 15999);
  free(text);
  CHECK_INT(SmartBusIpcCli_RemoteInvokeFlow(UNIT, ME, "P", "F", 1, 30000, "[]"), SB_EOWNUNIT);
  CHECK_INT(SmartBusIpcCli_SendNotify(UNIT, ME, "P", "t", 0, 0, "x"), SB_EOWNUNIT);

  /* A second life goes on with the ids, and has no unit at first. */
  SmartBusIpcCli_Release();
  raw_close(&raw);
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  CHECK_INT(send_data(UNIT, ME), SB_ENOTCONN);
  CHECK_INT(call_flow(1, 1000), SB_ENOTCONN);
  REQUIRE_INT(create(), 0);
  let_in(&raw, listener);
  CHECK_INT(call_flow(1, 30000), flow + 6);
  CHECK_INT(SmartBusIpcCli_SendNotify(UNIT, 5, "P", "t", 0, 0, "x"), notify + 5);
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
}

/* ---- flows ----------------------------------------------------------------- */

static pthread_t expect_flow(enum kind kind, int id, int code, const char *project,
                             const char *text) {
  struct call call = next_call(kind);
  CHECK_INT(call.client, ME);
  CHECK_INT(call.id, id);
  CHECK_INT(call.code, code);
  CHECK_INT(call.has_head, code != SB_ETIMEOUT);
  CHECK(call.has_data);
  CHECK_TEXT(call.project, project);
  CHECK_TEXT(call.text, text);
  return call.thread;
}

static void flows(void) {
  int listener = local_listen(place.path);
  struct raw raw;
  up(&raw, listener);
  int id = call_flow(0, 30000);
  put_answer(&raw, "ipc_flow_ret", id + 1000); /* nobody's */
  put_answer(&raw, "ipc_flow_ret", id);        /* before its ack; the caller's project counts */
  put_answer(&raw, "ipc_flow_ret", id);        /* once is enough */
  put_answer(&raw, "ipc_flow_ack_ok", id);
  expect_flow(FLOW_RET, id, 1, "P", "[\"done\",3]");
  expect_flow(FLOW_ACK, id, 1, "P", "started");

  id = call_flow(1, 30000); /* no result is expected: it is dropped */
  put_answer(&raw, "ipc_flow_ret", id);
  put_answer(&raw, "ipc_flow_ack_refused", id);
  expect_flow(FLOW_ACK, id, SB_ENONODE, "P", "no such project");

  id = call_flow(2, 0); /* a refusal does not end the wait for the result */
  put_answer(&raw, "ipc_flow_ack_refused", id);
  pthread_t network = expect_flow(FLOW_ACK, id, SB_ENONODE, "P", "no such project");
  pthread_t timeouts = expect_flow(FLOW_RET, id, SB_ETIMEOUT, "P", "");
  CHECK(!pthread_equal(network, timeouts)); /* IPC.md 1 */

  int64_t start = check_ms();
  id = call_flow(0, -7);
  expect_flow(FLOW_RET, id, SB_ETIMEOUT, "P", "");
  expect_flow(FLOW_ACK, id, SB_ETIMEOUT, "P", "");
  CHECK(check_ms() - start >= 1000);

  id = call_flow(0, 30000); /* stays valid over a reconnect */
  raw_close(&raw);
  next_call(DISCONNECT);
  let_in(&raw, listener);
  put_answer(&raw, "ipc_flow_ack_ok", id);
  put_answer(&raw, "ipc_flow_ret", id);
  expect_flow(FLOW_ACK, id, 1, "P", "started");
  expect_flow(FLOW_RET, id, 1, "P", "[\"done\",3]");
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
}

/* ---- Release --------------------------------------------------------------- */

static void release_inside(const struct call *call) {
  if (call->kind >= INFO) return;
  SmartBusIpcCli_Release();
  SmartBusIpcCli_Release();
  atomic_store(&inside_result, send_data(UNIT, 30));
}

static void begin_anew_inside(const struct call *call) {
  if (call->kind != DATA) return;
  set_inside(NULL);
  SmartBusIpcCli_Release();
  CHECK_INT(SmartBusIpcCli_Init(TYPE, ME), 0);
  CHECK_INT(create(), 0);
}

static void releasing(void) {
  struct raw raw;
  REQUIRE_INT(SmartBusIpcCli_Init(TYPE, ME), 0); /* while it tries in vain */
  REQUIRE_INT(create(), 0);
  expect_connection(-1, SB_ECONNECT);
  SmartBusIpcCli_Release();
  int listener = local_listen(place.path);
  struct pollfd polled = {.fd = listener, .events = POLLIN};
  CHECK_INT(poll(&polled, 1, 2500), 0); /* the attempt that was due does not come */
  for (int round = 0; round < 20; round++) {
    up(&raw, listener);
    SmartBusIpcCli_Release();
    CHECK_INT(send_data(UNIT, 30), SB_ENOINIT);
    raw_expect_end(&raw);
    raw_close(&raw);
  }
  up(&raw, listener); /* from inside a callback, with more events behind it */
  atomic_store(&inside_result, 0);
  set_inside(release_inside);
  for (int i = 0; i < 50; i++) raw_put_vector(&raw, "ipc_user_data_in");
  next_call(DATA);
  raw_expect_end(&raw);
  raw_close(&raw);
  UNTIL(atomic_load(&inside_result) == SB_ENOINIT, poll(NULL, 0, 1));
  CHECK_INT(count_of(DATA), 1);
  set_inside(NULL);
  up(&raw, listener);
  set_inside(begin_anew_inside);
  raw_put_vector(&raw, "ipc_user_data_in");
  next_call(DATA);
  raw_expect_end(&raw);
  raw_close(&raw);
  let_in(&raw, listener);
  SmartBusIpcCli_Release();
  raw_close(&raw);
  close(listener);
  CHECK_INT(count_of(DISCONNECT), 0);
}

/* ---- traces ---------------------------------------------------------------- */

static void traces(void) {
  int listener = local_listen(place.path);
  struct raw raw;
  SmartBusIpcCli_SetTraceStr(on_info, on_error);
  up(&raw, listener);
  SmartBusIpcCli_SetCallBackFnEx("no_such_cb", OBJECT(not_flow));
  struct call call = next_call(ERROR);
  CHECK(strstr(call.text, "no_such_cb") != NULL);
  CHECK_INT(call.code, 0);
  SmartBusIpcCli_SetTrace(on_info_format, on_error_format);   /* takes precedence */
  SmartBusIpcCli_SetCallBackFnEx("%s%n%d", OBJECT(not_flow)); /* text, not a format */
  call = next_call(ERROR);
  CHECK(strstr(call.text, "%s%n%d") != NULL);
  CHECK_INT(call.code, 1);
  raw_close(&raw);
  next_call(DISCONNECT);
  CHECK(count_of(INFO) > 0);
  SmartBusIpcCli_SetTrace(NULL, NULL);
  SmartBusIpcCli_SetTraceStr(NULL, NULL);
  SmartBusIpcCli_Release();
  close(listener);
}

/* ---- silence --------------------------------------------------------------- */

/* No heartbeat is sent, none is waited for (IPC.md 4). A net of its own, to run beside the rest. */
static void silence(void) {
  struct local mine;
  struct raw raw;
  struct raw_frame frame;
  local_open(&mine);
  int listener = local_listen(mine.path);
  sb_net *net = sb_net_new(0, NULL, SB_NET_LOCAL);
  REQUIRE(net != NULL);
  REQUIRE_INT(sb_net_connect_local(net, ME, TYPE, mine.path, "alice", "secret", "info!"), 0);
  UNTIL(raw_accept(&raw, listener), sb_net_step(net, 10));
  UNTIL(raw_next(&raw, &frame), {
    sb_net_step(net, 10);
    raw_read(&raw, 0);
  });
  raw_put_vector(&raw, "ipc_register_ack_ok");
  UNTIL(sb_net_connected(net, ME), sb_net_step(net, 10));
  for (int64_t end = check_ms() + 16500; check_ms() < end; raw_read(&raw, 100)) sb_net_step(net, 0);
  CHECK(!raw_next(&raw, &frame) && !raw.ended);
  CHECK(sb_net_connected(net, ME));
  raw_put_vector(&raw, "ipc_ping_in");
  UNTIL(raw_next(&raw, &frame), {
    sb_net_step(net, 0);
    raw_read(&raw, 10);
  });
  CHECK_INT(frame.cmd, 8);
  sb_net_free(net);
  raw_close(&raw);
  close(listener);
  local_close(&mine);
}

static void each_alone(void (*run)(void)) {
  SmartBusIpcCli_Release(); /* if the one before failed */
  forget_calls();
  local_open(&place);
  REQUIRE_INT(setenv("SMARTBUS_IPC_SOCKET", place.path, 1), 0);
  run();
  local_close(&place);
  forget_calls();
}

#define CASE(name)                \
  static void case_##name(void) { \
    each_alone(name);             \
  }
CASE(return_values)
CASE(set_once)
CASE(events)
CASE(registering)
CASE(refusals)
CASE(renaming)
CASE(no_server)
CASE(full_backlog)
CASE(disconnect_sends)
CASE(sending)
CASE(flows)
CASE(releasing)
CASE(traces)

int main(void) {
  return check_run((struct check_case[]){
      {"return_values", case_return_values, false},
      {"set_once", case_set_once, false},
      {"events", case_events, false},
      {"registering", case_registering, false},
      {"refusals", case_refusals, false},
      {"renaming", case_renaming, false},
      {"no_server", case_no_server, false},
      {"full_backlog", case_full_backlog, false},
      {"disconnect_sends", case_disconnect_sends, false},
      {"sending", case_sending, false},
      {"flows", case_flows, false},
      {"releasing", case_releasing, false},
      {"traces", case_traces, false},
      {"silence", silence, true},
      {0},
  });
}
