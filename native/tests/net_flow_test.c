/* net, flows and notifies: bytes, return values, answers, time-outs. */
#include "net_world.h"

static const struct raw_addr ipsc = {0, 7, 2}, me = {WORLD_UNIT, 3, 18};

/* An ack (NET.md 7.2) or a return (7.3) for the call of that id. */
static void put_answer(struct raw *raw, int cmd, int32_t id, int code, const char *text) {
  uint8_t data[200] = {(uint8_t)cmd};
  size_t at = cmd == 13 ? 49 : 45, n = strlen(text);
  memcpy(data + 1, "not looked at", 13);
  raw_le32(data + 33, (uint32_t)id);
  raw_le32(data + 37, (uint32_t)-1);
  if (cmd == 13) raw_le32(data + 41, (uint32_t)code);
  raw_le32(data + at - 4, (uint32_t)n);
  memcpy(data + at, text, n);
  raw_put(raw, 1, cmd, ipsc, me, data, at + n + 2);
}

static void check_flow(const struct seen *seen, int kind, int id, int code, const char *project,
                       const char *text) {
  CHECK_INT(seen->kind, kind);
  CHECK_INT(seen->id, id);
  CHECK_INT(seen->code, code);
  size_t n = strlen(project);
  REQUIRE(seen->size >= n + 2);
  CHECK_BYTES(seen->payload, n + 1, project, n + 1);
  CHECK_BYTES(seen->payload + n + 1, seen->size - n - 1, text, strlen(text) + 1);
}

static int call(struct world *w, int mode, int timeout) {
  return sb_net_call_flow(w->net, 3, 0, 7, "Project1", "f", mode, timeout, "[]");
}

/* ---- bytes and return values ----------------------------------------------- */

static void golden_frames(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  const struct vector *v = vector("call_flow");
  CHECK_INT(sb_net_call_flow(w.net, 3, 0, 7, "Project1", "flow-a", 0, 30000, "[\"a\",1]"), 1);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.bytes, frame.packet_size, v->bytes, v->size);
  v = vector("call_flow_gbk_mode1");
  CHECK_INT(
      sb_net_call_flow(w.net, 3, 0, 7, "Project1", "flow-b", 1, 30000, vector_text(v, "params")),
      2);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.bytes, frame.packet_size, v->bytes, v->size);
  v = vector("notify");
  CHECK_INT(sb_net_notify(w.net, 3, 0, 7, "Project1", "title1", 0, 60000, "hello"), 1);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.bytes, frame.packet_size, v->bytes, v->size);
  raw_close(&raw);
  world_close(&w);
}

static char *text_of(size_t size) {
  char *text = malloc(size + 1);
  REQUIRE(text != NULL);
  memset(text, 'x', size);
  text[size] = 0;
  return text;
}

/* NET.md 7.1, in the order of the checks. The number of a call that got as far as the checks of
 * SendData is used up. */
static void call_return_values(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  char *longest = text_of(16001), *too_long = text_of(16002);
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  CHECK_INT(sb_net_call_flow(NULL, 9, 16, 7, NULL, "f", 0, 1, NULL), SB_EUNIT);
  CHECK_INT(sb_net_call_flow(NULL, 9, 15, 7, "p", "f", 0, 1, too_long), SB_ETOOBIG);
  CHECK_INT(sb_net_call_flow(NULL, 9, 15, 7, "p", "f", 0, 1, "[]"), SB_ENOINIT);
  CHECK_INT(sb_net_call_flow(w.net, 9, 16, 7, "p", "f", 0, 1, too_long), SB_EUNIT);
  CHECK_INT(sb_net_call_flow(w.net, 9, 255, 7, "p", "f", 0, 1, too_long), SB_EUNIT);
  CHECK_INT(sb_net_call_flow(w.net, 9, 0, 7, NULL, "f", 0, 1, "[]"), SB_EARGUMENT);
  CHECK_INT(sb_net_call_flow(w.net, 9, 0, 7, "p", NULL, 0, 1, "[]"), SB_EARGUMENT);
  CHECK_INT(sb_net_call_flow(w.net, 9, 0, 7, "p", "f", 0, 1, NULL), SB_EARGUMENT);
  CHECK_INT(sb_net_call_flow(w.net, 9, 0, 7, "p", "f", 0, 1, too_long), SB_ETOOBIG);
  CHECK_INT(sb_net_call_flow(w.net, 9, 0, 7, "p", "f", 0, 1, longest), SB_ENOCLIENT); /* 1 */
  int port, refusing = raw_refuse(&port);
  REQUIRE_INT(sb_net_connect(w.net, 5, 2, "127.0.0.1", port, NULL, 0, "", "", ""), 0);
  CHECK_INT(sb_net_call_flow(w.net, 5, 0, 7, "p", "f", 0, 1, "[]"), SB_ENOTCONN); /* 2 */
  CHECK_INT(sb_net_call_flow(w.net, 3, -1, 300, "p", "f", 257, 1, longest), 3);
  world_frame(&w, &raw, &frame);
  CHECK_ADDR(frame.dst, 255, 0x2C, 2);
  CHECK_INT(frame.size, 114 + 16001);
  CHECK_INT(frame.data[65], 1);
  CHECK_INT(sb_net_call_flow(w.net, 3, 15, 0, "p", "f", 1, 1, ""), 4);
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.size, 114);
  free(longest);
  free(too_long);
  close(refusing);
  raw_close(&raw);
  world_close(&w);
}

/* NET.md 8. */
static void notify_return_values(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  char *longest = text_of(15999), *too_long = text_of(16000);
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  CHECK_INT(sb_net_notify(NULL, 9, 16, 7, NULL, NULL, 0, 0, NULL), SB_EUNIT);
  CHECK_INT(sb_net_notify(NULL, 9, 15, 7, NULL, NULL, 0, 0, NULL), SB_EARGUMENT);
  CHECK_INT(sb_net_notify(NULL, 9, 15, 7, NULL, "", 0, 0, too_long), SB_EARGUMENT);
  CHECK_INT(sb_net_notify(NULL, 9, 15, 7, NULL, "t", 0, 0, NULL), SB_EARGUMENT);
  CHECK_INT(sb_net_notify(NULL, 9, 15, 7, NULL, "t", 0, 0, ""), SB_EARGUMENT);
  CHECK_INT(sb_net_notify(NULL, 9, 15, 7, NULL, "t", 0, 0, too_long), SB_ETOOBIG);
  CHECK_INT(sb_net_notify(NULL, 9, 15, 7, NULL, "t", 0, 0, longest), SB_ENOINIT);
  CHECK_INT(sb_net_notify(w.net, 9, 15, 7, NULL, "t", 0, 0, longest), SB_ENOCLIENT); /* 1 */
  CHECK_INT(sb_net_notify(w.net, 3, -1, -1, NULL, "t", 256 + 7, -5, longest), 2);
  world_frame(&w, &raw, &frame);
  CHECK_ADDR(frame.dst, 255, 255, 2);
  CHECK_INT(frame.size, 150 + 15999);
  CHECK_INT(frame.data[1], 0); /* no project: an empty one */
  CHECK_INT(frame.data[33], 7);
  CHECK_INT((int32_t)raw_get32(frame.data + 38), -5);
  free(longest);
  free(too_long);
  raw_close(&raw);
  world_close(&w);
}

static void texts_are_cut(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  char *text = text_of(200);
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  REQUIRE_INT(sb_net_call_flow(w.net, 3, 0, 7, text, text, 0, 1000, text), 1);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.data + 1, 31, text, 31);
  CHECK_INT(frame.data[32], 0);
  CHECK_BYTES(frame.data + 33, 31, text, 31);
  CHECK_INT(frame.data[64], 0);
  CHECK_BYTES(frame.data + 112, 200, text, 200);
  put_answer(&raw, 13, 1, 1, "");
  text[31] = 0;
  check_flow(world_event(&w), SB_EV_FLOW_ACK, 1, 1, text, "");
  text[31] = 'x';
  REQUIRE_INT(sb_net_notify(w.net, 3, 0, 7, text, text, 0, 0, text), 1);
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.data[32], 0);
  CHECK_BYTES(frame.data + 42, 101, text, 101);
  CHECK_INT(frame.data[143], 0);
  free(text);
  raw_close(&raw);
  world_close(&w);
}

/* ---- answers --------------------------------------------------------------- */

static void answers(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  REQUIRE_INT(call(&w, 0, 30000), 1);
  raw_put_vector(&raw, "flow_ack_ok");
  const struct seen *seen = world_event(&w);
  check_flow(seen, SB_EV_FLOW_ACK, 1, 1, "Project1", "");
  CHECK_INT(seen->client, 3);
  CHECK_INT(seen->flags, 1);
  CHECK_BYTES(seen->head, 20, vector("flow_ack_ok")->bytes, 20);
  raw_put_vector(&raw, "flow_ack_ok"); /* repeated: swallowed */
  raw_put_vector(&raw, "flow_ret");
  check_flow(world_event(&w), SB_EV_FLOW_RETURN, 1, 1, "Project1", "[\"done\",0]");
  raw_put_vector(&raw, "flow_ret");
  put_answer(&raw, 13, 77, 1, "unknown");
  put_answer(&raw, 12, 77, 1, "unknown");
  world_barrier(&w, &raw, 3);

  REQUIRE_INT(call(&w, 0, 30000), 2); /* a negative ack leaves the return, which may come first */
  put_answer(&raw, 12, 2, 0, "[2]");
  raw_put_vector(&raw, "flow_ack_error");
  check_flow(world_event(&w), SB_EV_FLOW_RETURN, 2, 1, "Project1", "[2]");
  check_flow(world_event(&w), SB_EV_FLOW_ACK, 2, -8, "Project1", "no such flow");

  REQUIRE_INT(call(&w, 0, 30000), 3);
  put_answer(&raw, 13, 3, -8, "");
  put_answer(&raw, 12, 3, 0, "");
  check_flow(world_event(&w), SB_EV_FLOW_ACK, 3, -8, "Project1", "");
  check_flow(world_event(&w), SB_EV_FLOW_RETURN, 3, 1, "Project1", "");
  raw_close(&raw);
  world_close(&w);
}

/* Only the low byte of the mode counts; 0 and 2 wait for the return. */
static void modes(void) {
  static const struct {
    int mode;
    bool returns;
  } table[] = {{0, true},   {1, false},   {2, true},   {3, false}, {255, false},
               {256, true}, {257, false}, {258, true}, {-1, false}};
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (int i = 0; i < (int)(sizeof table / sizeof *table); i++) {
    REQUIRE_INT(call(&w, table[i].mode, 30000), i + 1);
    put_answer(&raw, 12, i + 1, 0, "r");
    put_answer(&raw, 13, i + 1, 1, "a");
    if (table[i].returns) check_flow(world_event(&w), SB_EV_FLOW_RETURN, i + 1, 1, "Project1", "r");
    check_flow(world_event(&w), SB_EV_FLOW_ACK, i + 1, 1, "Project1", "a");
  }
  raw_close(&raw);
  world_close(&w);
}

/* The loss of the link cancels nothing; the answer may come on any link, and is the caller's. */
static void answers_on_another_link(void) {
  struct world w;
  struct raw raw, other;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  world_up(&w, &other, 4);
  REQUIRE_INT(call(&w, 0, 30000), 1);
  put_answer(&other, 13, 1, 1, "");
  const struct seen *seen = world_event(&w);
  check_flow(seen, SB_EV_FLOW_ACK, 1, 1, "Project1", "");
  CHECK_INT(seen->client, 3);
  raw_close(&raw);
  world_event_of(&w, SB_EV_DISCONNECTED);
  world_register(&w, &raw, 3);
  put_answer(&raw, 12, 1, 0, "late");
  check_flow(world_event(&w), SB_EV_FLOW_RETURN, 1, 1, "Project1", "late");
  raw_close(&raw);
  raw_close(&other);
  world_close(&w);
}

static void bad_answers(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  REQUIRE_INT(call(&w, 0, 30000), 1);
  uint8_t data[64] = {0};
  raw_le32(data + 33, 1);
  raw_put(&raw, 1, 13, ipsc, me, data, 50); /* one byte short */
  raw_put(&raw, 1, 12, ipsc, me, data, 46);
  raw_put(&raw, 1, 13, ipsc, me, NULL, 0);
  world_barrier(&w, &raw, 3);
  raw_put(&raw, 1, 13, ipsc, (struct raw_addr){19, 255, 99}, data, 51); /* not for this client */
  world_barrier(&w, &raw, 3);
  raw_put(&raw, 1, 13, ipsc, me, data, 51);
  raw_put(&raw, 1, 12, ipsc, me, data, 47);
  check_flow(world_event(&w), SB_EV_FLOW_ACK, 1, 0, "Project1", "");
  check_flow(world_event(&w), SB_EV_FLOW_RETURN, 1, 1, "Project1", "");
  raw_close(&raw);
  world_close(&w);
}

/* Without a listener no wait is kept, and the answer is data (NET.md 5.2, 7.4). */
static void nobody_listens(void) {
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  sb_net_listen(w.net, 0, 1, 1);
  REQUIRE_INT(call(&w, 0, 30000), 1);
  raw_put_vector(&raw, "flow_ack_ok");
  CHECK_INT(world_event_of(&w, SB_EV_DATA)->head[2], 13);
  raw_put_vector(&raw, "flow_ret");
  world_event_of(&w, SB_EV_FLOW_RETURN);
  sb_net_listen(w.net, 1, 0, 1);
  REQUIRE_INT(call(&w, 0, 30000), 2);
  put_answer(&raw, 12, 2, 0, "");
  CHECK_INT(world_event_of(&w, SB_EV_DATA)->head[2], 12);
  put_answer(&raw, 13, 2, 1, "");
  world_event_of(&w, SB_EV_FLOW_ACK);
  raw_close(&raw);
  world_close(&w);
}

/* Answers that are there before the call returns count: the wait is kept before the request can
 * leave. All with their own ids, from both clients of the net. */
static void answered_at_once(void) {
  enum { CALLS = 2000 };
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  for (int id = 1; id <= CALLS; id++) {
    put_answer(&raw, 13, id, 1, ""); /* on its way before the call is made */
    put_answer(&raw, 12, id, 1, "[]");
    REQUIRE_INT(call(&w, id % 2 ? 0 : 2, 5000), id);
    check_flow(world_event(&w), SB_EV_FLOW_ACK, id, 1, "Project1", "");
    check_flow(world_event(&w), SB_EV_FLOW_RETURN, id, 1, "Project1", "[]");
    world_frame(&w, &raw, &frame);
    REQUIRE_INT(raw_get32(frame.data + 70), id);
  }
  CHECK_INT(sb_net_notify(w.net, 3, 0, 0, "", "t", 0, 0, "x"), 1); /* numbered by themselves */
  raw_close(&raw);
  world_close(&w);
}

/* ---- time-outs ------------------------------------------------------------- */

/* NET.md 7.4: acks after 1 to 5 s, returns after the time given; head empty, text empty. */
static void time_outs(void) {
  static const struct {
    int timeout, ack_ms, return_ms;
  } table[] = {{-5, 1000, 0},      {0, 1000, 0},       {300, 1000, 300},
               {1500, 1500, 1500}, {3000, 3000, 3000}, {6000, 5000, 6000}};
  enum { CALLS = sizeof table / sizeof *table };
  struct world w;
  struct raw raw;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  int64_t start = check_ms();
  for (int i = 0; i < CALLS; i++) REQUIRE_INT(call(&w, 0, table[i].timeout), i + 1);
  REQUIRE_INT(call(&w, 0, 5500), CALLS + 1); /* answered: no time-out */
  REQUIRE_INT(call(&w, 1, 100), CALLS + 2);  /* waits for no return */
  put_answer(&raw, 13, CALLS + 1, 1, "");
  put_answer(&raw, 12, CALLS + 1, 1, "");
  world_event_of(&w, SB_EV_FLOW_ACK);
  world_event_of(&w, SB_EV_FLOW_RETURN);
  for (int n = 0; n < 2 * CALLS + 1; n++) {
    const struct seen *seen = world_event(&w);
    bool ack = seen->kind == SB_EV_FLOW_ACK;
    check_flow(seen, ack ? SB_EV_FLOW_ACK : SB_EV_FLOW_RETURN, seen->id, SB_ETIMEOUT, "Project1",
               "");
    CHECK_INT(seen->flags, 0);
    CHECK_INT(seen->client, 3);
    REQUIRE(seen->id >= 1 && seen->id <= CALLS + 2);
    if (seen->id == CALLS + 2) {
      CHECK(ack);
      continue;
    }
    REQUIRE(seen->id <= CALLS);
    int due = ack ? table[seen->id - 1].ack_ms : table[seen->id - 1].return_ms;
    CHECK(check_ms() - start >= due);
  }
  world_barrier(&w, &raw, 3);
  raw_close(&raw);
  world_close(&w);
}

/* A host may wait longer for an ack than the vendor's library does. */
static void own_ack_time_out(void) {
  struct world w;
  struct raw raw;
  world_open(&w, "Wire=auto; FlowAckTimeout = 5400", 0);
  world_up(&w, &raw, 3);
  int64_t start = check_ms();
  REQUIRE_INT(call(&w, 1, 100), 1);
  check_flow(world_event(&w), SB_EV_FLOW_ACK, 1, SB_ETIMEOUT, "Project1", "");
  CHECK(check_ms() - start >= 5400);
  raw_close(&raw);
  world_close(&w);
}

/* A client id that is forgotten takes its waits along. */
static void forgotten(void) {
  struct world w;
  struct raw raw, other;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  world_up(&w, &other, 4);
  REQUIRE_INT(call(&w, 0, 0), 1);
  REQUIRE_INT(sb_net_call_flow(w.net, 4, 0, 7, "Q", "f", 1, 0, "[]"), 2);
  REQUIRE_INT(sb_net_disconnect(w.net, 3), 0);
  check_flow(world_event(&w), SB_EV_FLOW_ACK, 2, SB_ETIMEOUT, "Q", "");
  world_barrier(&w, &other, 4);
  raw_close(&raw);
  raw_close(&other);
  world_close(&w);
}

/* At most 5000 of each are waited for. */
static void too_many(void) {
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  sb_net_listen(w.net, 0, 1, 1);
  for (int i = 1; i <= SBI_FLOWS_MAX; i++) REQUIRE_INT(call(&w, 0, 1 << 30), i);
  CHECK_INT(call(&w, 2, 1000), SB_EFULL);
  CHECK_INT(call(&w, 1, 1000), SBI_FLOWS_MAX + 1); /* the refused one used up no number */
  for (int i = 1; i <= SBI_FLOWS_MAX + 1; i++) {
    world_frame(&w, &raw, &frame);
    REQUIRE_INT(raw_get32(frame.data + 70), i);
  }
  put_answer(&raw, 12, 17, 1, "");
  check_flow(world_event(&w), SB_EV_FLOW_RETURN, 17, 1, "Project1", "");
  CHECK_INT(call(&w, 2, 1000), SBI_FLOWS_MAX + 2);
  raw_close(&raw);
  world_close(&w);
}

/* ---- many notifies at once ------------------------------------------------- */

static void notify_many(void) {
  static const char blob[] =
      "t1hello"
      "t22x"
      "y"
      "z"
      "title"
      "last";
  char *title = text_of(300);
  struct world w;
  struct raw raw;
  struct raw_frame frame;
  world_open(&w, NULL, 0);
  world_up(&w, &raw, 3);
  sb_notify_item items[] = {
      {.server_unit = 0, .process = 7, .title_size = 2, .text_size = 5, .expires = 60000},
      {.server_unit = 16, .process = 7, .title_size = 3, .text_size = 1},
      {.server_unit = 0, .process = 7, .title_size = 1, .text_size = 0},
      {.server_unit = 0, .process = 7, .title_size = 0, .text_size = 1},
      {.server_unit = 0, .process = 7, .title_size = 5, .text_size = 20000}, /* beyond the blob */
      {.server_unit = 15, .process = 255, .title_size = 5, .text_size = 4},
      {.server_unit = 0, .process = 7, .title_size = 1, .text_size = 1}, /* nothing is left */
      {.server_unit = 0, .process = 7, .title_size = 9, .text_size = UINT32_MAX},
  };
  CHECK_INT(sb_net_notify_many(w.net, 3, items, 8, blob, sizeof blob - 1), 2);
  static const int results[] = {1, SB_EUNIT,     SB_EARGUMENT, SB_EARGUMENT, SB_EARGUMENT,
                                2, SB_EARGUMENT, SB_EARGUMENT};
  for (int i = 0; i < 8; i++) CHECK_INT(items[i].result, results[i]);
  world_frame(&w, &raw, &frame);
  CHECK_ADDR(frame.dst, 0, 7, 2);
  CHECK_INT((int32_t)raw_get32(frame.data + 38), 60000);
  CHECK_TEXT((const char *)frame.data + 42, "t1");
  CHECK_TEXT((const char *)frame.data + 148, "hello");
  CHECK_INT(raw_get32(frame.data + 144), 5);
  world_frame(&w, &raw, &frame);
  CHECK_ADDR(frame.dst, 15, 255, 2);
  CHECK_TEXT((const char *)frame.data + 42, "title");
  CHECK_TEXT((const char *)frame.data + 148, "last");

  sb_notify_item any = {.server_unit = 255, .title_size = 1, .text_size = 1};
  CHECK_INT(sb_net_notify_many(w.net, 3, &any, 1, "tx", 2), 1); /* 255: any unit */
  world_frame(&w, &raw, &frame);
  CHECK_INT(frame.dst.unit, 255);
  sb_notify_item one = {.title_size = 299, .text_size = 1}; /* a title that is too long is cut */
  CHECK_INT(sb_net_notify_many(w.net, 3, &one, 1, title, 300), 1);
  world_frame(&w, &raw, &frame);
  CHECK_BYTES(frame.data + 42, strlen((const char *)frame.data + 42), title, 101);
  CHECK_INT(sb_net_notify_many(w.net, 9, &one, 1, title, 300), 0);
  CHECK_INT(one.result, SB_ENOCLIENT);
  CHECK_INT(sb_net_notify_many(w.net, 3, NULL, 0, NULL, 0), 0);
  CHECK_INT(sb_net_notify_many(NULL, 3, &one, 1, title, 300), 0);
  CHECK_INT(one.result, SB_ENOINIT);
  free(title);
  raw_close(&raw);
  world_close(&w);
}

int main(void) {
  return check_run((struct check_case[]){
      {"golden_frames", golden_frames, false},
      {"call_return_values", call_return_values, false},
      {"notify_return_values", notify_return_values, false},
      {"texts_are_cut", texts_are_cut, false},
      {"answers", answers, false},
      {"modes", modes, false},
      {"answers_on_another_link", answers_on_another_link, false},
      {"bad_answers", bad_answers, false},
      {"nobody_listens", nobody_listens, false},
      {"answered_at_once", answered_at_once, false},
      {"time_outs", time_outs, true},
      {"own_ack_time_out", own_ack_time_out, true},
      {"forgotten", forgotten, true},
      {"too_many", too_many, false},
      {"notify_many", notify_many, false},
      {0},
  });
}
