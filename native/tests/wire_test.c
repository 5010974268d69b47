/* wire: every golden frame both ways, every registration layout, and what is not a frame. */
#include "wire.h"

#include "bytes.h"
#include "vector.h"

/* A frame in memory of exactly its size, so that AddressSanitizer sees a read beyond it. */
struct copy {
  uint8_t *bytes;
  size_t size;
  struct sbi_head head;
};

static struct copy copy_of(const uint8_t *bytes, size_t size) {
  struct copy copy = {malloc(size), size, {0}};
  if (copy.bytes == NULL) abort();
  memcpy(copy.bytes, bytes, size);
  if (size >= SBI_HEAD_SIZE) sbi_head_decode(copy.bytes, &copy.head);
  return copy;
}

/* The frame cut or lengthened (with zeros) to `data_size` bytes of data. */
static struct copy resized(const struct vector *v, size_t data_size) {
  size_t size = SBI_HEAD_SIZE + data_size;
  struct copy copy = {calloc(1, size), size, {0}};
  if (copy.bytes == NULL) abort();
  memcpy(copy.bytes, v->bytes, v->size < size ? v->size : size);
  sbi_put32(copy.bytes + 12, (uint32_t)size);
  sbi_put32(copy.bytes + 16, (uint32_t)data_size);
  sbi_head_decode(copy.bytes, &copy.head);
  return copy;
}

static struct sbi_addr source(const struct vector *v) {
  return (struct sbi_addr){(uint8_t)v->src_unit, (uint8_t)v->src_client, (uint8_t)v->src_type};
}

static struct sbi_addr destination(const struct vector *v) {
  return (struct sbi_addr){(uint8_t)v->dst_unit, (uint8_t)v->dst_client, (uint8_t)v->dst_type};
}

/* ---- golden frames --------------------------------------------------------- */

static void head_of_vector(const struct vector *v) {
  struct sbi_head head;
  CHECK_INT(sbi_frame_check(v->bytes, v->size, UINT32_MAX, &head), (int64_t)v->size);
  CHECK_INT(head.cmd, v->cmd);
  CHECK_INT(head.cmdtype, v->cmdtype);
  CHECK_INT(head.src.unit, v->src_unit);
  CHECK_INT(head.src.client, v->src_client);
  CHECK_INT(head.src.type, v->src_type);
  CHECK_INT(head.dst.unit, v->dst_unit);
  CHECK_INT(head.dst.client, v->dst_client);
  CHECK_INT(head.dst.type, v->dst_type);
  CHECK_INT(head.packet_size, v->packet_size);
  CHECK_INT(head.data_size, v->datalen);
  uint8_t again[SBI_HEAD_SIZE];
  sbi_head_encode(again, &head);
  CHECK_BYTES(again, sizeof again, v->bytes, SBI_HEAD_SIZE);
}

static size_t code_registration(const struct vector *v, const struct copy *in, uint8_t *out) {
  struct sbi_registration reg;
  REQUIRE(sbi_registration_decode(in->bytes, &in->head, &reg));
  CHECK_INT(reg.addr.unit, v->src_unit);
  CHECK_INT(reg.addr.client, v->src_client);
  CHECK_INT(reg.addr.type, v->src_type);
  CHECK_INT(reg.connect_index, vector_number(v, "connect_index"));
  CHECK_TEXT(reg.user, vector_text(v, "username"));
  CHECK_TEXT(reg.password, vector_text(v, "password"));
  CHECK_TEXT(reg.info, vector_text(v, "add_info"));
  CHECK_TEXT(reg.version, vector_text(v, "version"));
  bool new_form = vector_value(v, "build") != NULL;
  bool narrow = v->datalen == 5941 || v->datalen == 5969;
  CHECK_INT(reg.form, new_form ? (narrow ? SBI_FORM_2018_32 : SBI_FORM_2018)
                               : (narrow ? SBI_FORM_2015_32 : SBI_FORM_2015));
  if (new_form) CHECK_INT(reg.pid, vector_number(v, "pid"));
  if (vector_value(v, "node_zero_bytes") != NULL) { /* over a local socket */
    reg.form = SBI_FORM_LOCAL;
    return sbi_registration_encode(out, &reg);
  }
  reg.access_unit = (int32_t)vector_number(v, "node.accesspoint_unitid");
  return sbi_registration_encode(out, &reg);
}

static size_t code_ack(const struct vector *v, const struct copy *in, uint8_t *out) {
  int32_t result = 12345;
  CHECK(sbi_ack_decode(in->bytes, &in->head, &result));
  CHECK_INT(result, vector_number(v, "ack_result"));
  return sbi_ack_encode(out, v->size, (uint8_t)v->src_unit, destination(v), result);
}

static size_t code_heartbeat(const struct vector *v, const struct copy *in, uint8_t *out) {
  struct sbi_heartbeat beat;
  REQUIRE(sbi_heartbeat_decode(in->bytes, &in->head, &beat));
  CHECK_INT(beat.wide, v->datalen == 32);
  CHECK_INT(beat.count, vector_number(v, "count"));
  CHECK_INT(beat.resend, vector_number(v, "resend_count"));
  CHECK_INT(beat.time_launch, vector_number(v, "time_launch"));
  CHECK_INT(beat.time_return, vector_number(v, "time_return"));
  return sbi_heartbeat_encode(out, (uint8_t)v->cmd, source(v), destination(v), &beat);
}

static size_t code_global(const struct vector *v, const struct copy *in, uint8_t *out) {
  struct sbi_global event;
  REQUIRE(sbi_global_decode(in->bytes, &in->head, &event));
  CHECK_INT(event.who.unit, vector_number(v, "unitid"));
  CHECK_INT(event.who.client, vector_number(v, "clientid"));
  CHECK_INT(event.who.type, vector_number(v, "clienttype"));
  CHECK_INT(event.access_unit, vector_number(v, "accesspoint_unitid"));
  CHECK_INT(event.status, vector_number(v, "status"));
  CHECK_TEXT(event.info, vector_text(v, "add_info"));
  return sbi_global_encode(out, (uint8_t)v->cmd, source(v), destination(v), &event);
}

static size_t code_flow_call(const struct vector *v, const struct copy *in, uint8_t *out) {
  struct sbi_flow_call call;
  REQUIRE(sbi_flow_call_decode(in->bytes, &in->head, &call));
  CHECK_TEXT(call.project, vector_text(v, "projectid"));
  CHECK_TEXT(call.flow, vector_text(v, "flowid"));
  CHECK_INT(call.mode, vector_number(v, "mode"));
  CHECK_INT(call.event_ch, vector_number(v, "event_ch"));
  CHECK_INT(call.invoke_id, vector_number(v, "invoke_id"));
  CHECK_BYTES(call.text, call.text_size, vector_text(v, "params"), vector_text_size(v, "params"));
  CHECK_INT(call.text_size, vector_number(v, "datalen"));
  CHECK_INT(sbi_flow_call_size(call.text_size), (int64_t)v->size);
  return sbi_flow_call_encode(out, source(v), destination(v), &call);
}

static size_t code_flow_answer(const struct vector *v, const struct copy *in, uint8_t *out) {
  struct sbi_flow_answer answer;
  bool ack = v->cmd == SBI_FLOW_ACK;
  const char *text = ack ? "msg" : "param";
  REQUIRE(sbi_flow_answer_decode(in->bytes, &in->head, &answer));
  CHECK_TEXT(answer.project, vector_text(v, "projectid"));
  CHECK_INT(answer.invoke_id, vector_number(v, "invoke_id"));
  CHECK_INT(answer.event_ch, vector_number(v, "invoker_ch"));
  CHECK_INT(answer.code, ack ? vector_number(v, "ack") : 1);
  CHECK_BYTES(answer.text, answer.text_size, vector_text(v, text), vector_text_size(v, text));
  CHECK_INT(answer.text_size, vector_number(v, "datalen"));
  CHECK_INT(sbi_flow_answer_size((uint8_t)v->cmd, answer.text_size),
            sbi_frame_size((size_t)v->datalen));
  return sbi_flow_answer_encode(out, (uint8_t)v->cmd, source(v), destination(v), &answer);
}

static size_t code_notify(const struct vector *v, const struct copy *in, uint8_t *out) {
  struct sbi_notify notify;
  REQUIRE(sbi_notify_decode(in->bytes, &in->head, &notify));
  CHECK_TEXT(notify.project, vector_text(v, "projectid"));
  CHECK_TEXT(notify.title, vector_text(v, "title"));
  CHECK_INT(notify.mode, vector_number(v, "mode"));
  CHECK_INT(notify.invoke_id, vector_number(v, "invoke_id"));
  CHECK_INT(notify.expires, vector_number(v, "expires"));
  CHECK_BYTES(notify.text, notify.text_size, vector_text(v, "param"), vector_text_size(v, "param"));
  CHECK_INT(notify.text_size, vector_number(v, "datalen"));
  CHECK_INT(sbi_notify_size(notify.text_size), (int64_t)v->size);
  return sbi_notify_encode(out, source(v), destination(v), &notify);
}

static size_t code_data(const struct vector *v, const struct copy *in, uint8_t *out) {
  size_t n = (size_t)v->datalen;
  CHECK_BYTES(in->bytes + SBI_HEAD_SIZE, n, vector_text(v, "data"), vector_text_size(v, "data"));
  size_t size =
      sbi_frame_begin(out, (uint8_t)v->cmd, (uint8_t)v->cmdtype, source(v), destination(v), n);
  memcpy(out + SBI_HEAD_SIZE, vector_text(v, "data"), n);
  return size;
}

static size_t code(const struct vector *v, const struct copy *in, uint8_t *out) {
  if (v->cmdtype == SBI_INTERNAL) {
    if (v->cmd == SBI_REGISTER) return code_registration(v, in, out);
    if (v->cmd == SBI_REGISTER_ACK) return code_ack(v, in, out);
    return code_heartbeat(v, in, out);
  }
  if (v->cmdtype != SBI_SYSTEM) return code_data(v, in, out);
  switch (v->cmd) {
    case SBI_PING:
    case SBI_PING_ACK:
      return code_data(v, in, out);
    case SBI_GLOBAL:
    case SBI_GLOBAL_ANSWER:
      return code_global(v, in, out);
    case SBI_FLOW_CALL:
      return code_flow_call(v, in, out);
    case SBI_FLOW_RETURN:
    case SBI_FLOW_ACK:
      return code_flow_answer(v, in, out);
    default:
      REQUIRE_INT(v->cmd, SBI_NOTIFY);
      return code_notify(v, in, out);
  }
}

/* The IPC study's server did not pad its frames, and wrote a second header into its global events
 * that nobody reads (IPC.md 2 and 5.5). Otherwise all bytes are as we write them. */
static void like_the_study(const struct vector *v, uint8_t *out, size_t *size) {
  if (*size == v->size || strncmp(v->name, "ipc_", 4) != 0) return;
  CHECK_INT(v->packet_size, SBI_HEAD_SIZE + v->datalen);
  CHECK_INT(*size, sbi_frame_size((size_t)v->datalen));
  for (size_t at = v->size; at < *size; at++) CHECK_INT(out[at], 0);
  *size = v->size;
  sbi_put32(out + 12, (uint32_t)v->packet_size);
  if (v->cmdtype == SBI_SYSTEM && (v->cmd == SBI_GLOBAL || v->cmd == SBI_GLOBAL_ANSWER))
    memcpy(out + SBI_HEAD_SIZE, v->bytes + SBI_HEAD_SIZE, SBI_HEAD_SIZE);
}

static void golden_frames(void) {
  for (size_t i = 0; i < VECTORS; i++) {
    const struct vector *v = &vectors[i];
    head_of_vector(v);
    struct copy in = copy_of(v->bytes, v->size);
    uint8_t *out = malloc(v->size + 3); /* 3: of padding */
    if (out == NULL) abort();
    memset(out, 0xA5, v->size + 3); /* a byte that is not written shows */
    size_t size = code(v, &in, out);
    like_the_study(v, out, &size);
    CHECK_BYTES(out, size, v->bytes, v->size);
    free(out);
    free(in.bytes);
    if (check_now.failed) {
      fprintf(stderr, "  vector %s\n", v->name);
      return;
    }
  }
}

/* ---- framing --------------------------------------------------------------- */

static void padding_formula(void) {
  static const struct {
    size_t data, frame;
  } table[] = {{0, 20}, {1, 22}, {2, 24}, {3, 26}, {4, 24}, {5, 26}, {6, 28}, {7, 30}, {8, 28}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    CHECK_INT(sbi_frame_size(table[i].data), table[i].frame);
  uint8_t out[32];
  for (size_t n = 0; n < 9; n++) {
    memset(out, 0xA5, sizeof out);
    struct sbi_addr nobody = {0, 0, 0};
    CHECK_INT(sbi_frame_begin(out, 1, 2, nobody, nobody, n), table[n].frame);
    for (size_t at = SBI_HEAD_SIZE; at < table[n].frame; at++)
      CHECK_INT(out[at], at < SBI_HEAD_SIZE + n ? 0xA5 : 0);
    CHECK_INT(out[table[n].frame], 0xA5);
  }
}

static void bad_frames(void) {
  static const struct {
    int32_t packet_size, data_size;
    uint32_t limit;
    int64_t expected;
  } table[] = {
      {20, 0, 100, 20},
      {100, 80, 100, 100},
      {100, 0, 100, 100},
      {101, 0, 100, SBI_BAD_TOO_BIG},
      {101, 81, 100, SBI_BAD_TOO_BIG},
      {0, 0, 100, SBI_BAD_PACKET_SIZE},
      {1, 0, 100, SBI_BAD_PACKET_SIZE},
      {19, 0, 100, SBI_BAD_PACKET_SIZE},
      {-1, 0, 100, SBI_BAD_PACKET_SIZE},
      {INT32_MIN, 0, 100, SBI_BAD_PACKET_SIZE},
      {INT32_MAX, 0, 100, SBI_BAD_TOO_BIG},
      {2000000000, 5, 64 << 20, SBI_BAD_TOO_BIG},
      {20, 1, 100, SBI_BAD_DATA_SIZE},
      {24, 5, 100, SBI_BAD_DATA_SIZE},
      {20, -1, 100, SBI_BAD_DATA_SIZE},
      {100, INT32_MIN, 100, SBI_BAD_DATA_SIZE},
      {100, INT32_MAX, 100, SBI_BAD_DATA_SIZE},
      {INT32_MAX, INT32_MAX, UINT32_MAX, SBI_BAD_DATA_SIZE},
      {INT32_MAX, INT32_MAX - 20, UINT32_MAX, 0},
      {INT32_MIN, INT32_MIN, UINT32_MAX, SBI_BAD_PACKET_SIZE},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    uint8_t bytes[100] = {0x15, 0x5B};
    sbi_put32(bytes + 12, (uint32_t)table[i].packet_size);
    sbi_put32(bytes + 16, (uint32_t)table[i].data_size);
    struct sbi_head head;
    CHECK_INT(sbi_frame_check(bytes, sizeof bytes, table[i].limit, &head), table[i].expected);
    if (table[i].expected == 0) CHECK_INT(head.packet_size, table[i].packet_size);
    for (size_t size = 0; size < SBI_HEAD_SIZE; size++) {
      CHECK_INT(sbi_frame_check(bytes, size, table[i].limit, &head), 0);
      CHECK_INT(head.packet_size, 0);
    }
    for (int at = 0; at < 2; at++) {
      bytes[at] ^= 1;
      CHECK_INT(sbi_frame_check(bytes, sizeof bytes, table[i].limit, &head), SBI_BAD_MAGIC);
      bytes[at] ^= 1;
    }
  }
  for (int64_t bad = SBI_BAD_TOO_BIG; bad <= SBI_BAD_MAGIC; bad++)
    CHECK(strcmp(sbi_bad_text(bad), sbi_bad_text(0)) != 0);
}

/* One stream of all golden frames, cut anywhere, gives the same frames. */
static void chunks(void) {
  size_t total = 0;
  for (size_t i = 0; i < VECTORS; i++) total += vectors[i].size;
  uint8_t *stream = malloc(total), *end = stream;
  for (size_t i = 0; i < VECTORS; i++) {
    memcpy(end, vectors[i].bytes, vectors[i].size);
    end += vectors[i].size;
  }
  uint64_t chance = 1;
  for (int round = 0; round < 40; round++) {
    size_t begin = 0, have = 0, frames = 0;
    while (begin < total) {
      size_t step = round < 4 ? (size_t)round + 1 : 1 + check_random(&chance) % 9000;
      have = have + step < total - begin ? have + step : total - begin;
      struct sbi_head head;
      int64_t frame;
      while ((frame = sbi_frame_check(stream + begin, have, 8192, &head)) > 0) {
        REQUIRE(frames < VECTORS);
        REQUIRE_INT(frame, (int64_t)vectors[frames++].size);
        begin += (size_t)frame;
        have -= (size_t)frame;
      }
      REQUIRE_INT(frame, 0);
      CHECK_INT(head.packet_size, have < SBI_HEAD_SIZE ? 0 : (int64_t)vectors[frames].size);
    }
    CHECK_INT(frames, VECTORS);
  }
  free(stream);
}

/* ---- registration ---------------------------------------------------------- */

static bool decode(const struct copy *copy, struct sbi_registration *reg) {
  return sbi_registration_decode(copy->bytes, &copy->head, reg);
}

/* NET-2018.md 1.1: what the length does not tell, the text at 21 does. */
static void registration_lengths(void) {
  static const struct {
    const char *vector;
    size_t data_size;
    int form; /* -1: refused */
  } table[] = {
      {"registration_request", 6005, SBI_FORM_2015},
      {"registration_request", 449, SBI_FORM_2015},
      {"registration_request", 450, SBI_FORM_2015},
      {"registration_request", 477, SBI_FORM_2015},
      {"registration_request", 6004, SBI_FORM_2015},
      {"registration_request", 6034, SBI_FORM_2015},
      {"registration_request", 9000, SBI_FORM_2015},
      {"registration_request", 5941, SBI_FORM_2015_32},
      {"registration_request", 448, -1},
      {"registration_request", 1, -1},
      {"registration_request", 0, -1},
      {"registration_request_2018", 6033, SBI_FORM_2018},
      {"registration_request_2018", 477, SBI_FORM_2018},
      {"registration_request_2018", 478, SBI_FORM_2018},
      {"registration_request_2018", 6032, SBI_FORM_2018},
      {"registration_request_2018", 9000, SBI_FORM_2018},
      {"registration_request_2018", 5969, SBI_FORM_2018_32},
      {"registration_request_2018", 448, -1},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct copy copy = resized(vector(table[i].vector), table[i].data_size);
    struct sbi_registration reg;
    bool done = decode(&copy, &reg);
    CHECK_INT(done, table[i].form >= 0);
    if (done) {
      CHECK_INT(reg.form, table[i].form);
      CHECK_TEXT(reg.user, "alice");
      CHECK_TEXT(reg.password, "secret");
      CHECK_TEXT(reg.info, "info!");
    }
    free(copy.bytes);
  }
}

/* Odd lengths where the text at 21 is not a version, or cannot be one. */
static void registration_by_text(void) {
  static const struct {
    const char *text;
    size_t data_size;
    enum sbi_form form;
  } table[] = {
      {"1.0", 477, SBI_FORM_2018},
      {"7", 1000, SBI_FORM_2018},
      {".", 1000, SBI_FORM_2018},
      {"1234567890123456789", 1000, SBI_FORM_2018},
      {"12345678901234567890", 1000, SBI_FORM_2015}, /* not terminated within its 20 bytes */
      {"1.0a", 1000, SBI_FORM_2015},
      {"", 1000, SBI_FORM_2015},
      {"1.0", 476, SBI_FORM_2015}, /* too short for the new form */
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct copy copy = resized(vector("registration_request"), table[i].data_size);
    memset(copy.bytes + 21, 0, 64);
    memcpy(copy.bytes + 21, table[i].text, strlen(table[i].text));
    struct sbi_registration reg;
    REQUIRE(decode(&copy, &reg));
    CHECK_INT(reg.form, table[i].form);
    CHECK_TEXT(table[i].form == SBI_FORM_2018 ? reg.version : reg.user, table[i].text);
    free(copy.bytes);
  }
}

static void registration_texts(void) {
  for (enum sbi_form form = SBI_FORM_2015; form <= SBI_FORM_LOCAL; form++) {
    struct sbi_registration reg = {
        .form = form, .addr = {200, 255, 128}, .connect_index = 1, .pid = INT64_C(0x123456789ABC)};
    memset(reg.user, 'u', sizeof reg.user - 1); /* too long by one each */
    memset(reg.password, 'p', sizeof reg.password - 1);
    memset(reg.info, 'i', sizeof reg.info - 1);
    strcpy(reg.version, "12.34");
    uint8_t frame[SBI_REGISTRATION_MAX];
    size_t size = sbi_registration_encode(frame, &reg);
    struct copy copy = copy_of(frame, size);
    struct sbi_registration back;
    REQUIRE(decode(&copy, &back));
    CHECK_INT(back.form, form == SBI_FORM_LOCAL ? SBI_FORM_2015_32 : form);
    CHECK_INT(back.addr.unit, 200);
    CHECK_INT(back.addr.client, 255);
    CHECK_INT(back.addr.type, 128);
    CHECK_INT(back.connect_index, 1);
    CHECK_INT(strlen(back.user), 63);
    CHECK_INT(strlen(back.password), 127);
    CHECK_INT(strlen(back.info), 255);
    bool new_form = form == SBI_FORM_2018 || form == SBI_FORM_2018_32;
    CHECK_INT(back.pid, new_form ? reg.pid : 0);
    CHECK_TEXT(back.version, new_form ? "12.34" : "");

    /* Everything behind the header 'x', nothing terminated. */
    memset(copy.bytes + SBI_HEAD_SIZE, 'x', size - SBI_HEAD_SIZE);
    REQUIRE(decode(&copy, &back));
    CHECK_INT(strlen(back.user), 64);
    CHECK_INT(strlen(back.password), 128);
    CHECK_INT(strlen(back.info), 256);
    CHECK_INT(strlen(back.version), new_form ? 20 : 0);
    free(copy.bytes);
  }
}

/* ---- bodies ---------------------------------------------------------------- */

static bool decode_any(const struct copy *c) {
  int32_t result;
  struct sbi_heartbeat beat;
  struct sbi_global global;
  struct sbi_flow_call call;
  struct sbi_flow_answer answer;
  struct sbi_notify notify;
  if (c->head.cmdtype == SBI_INTERNAL && c->head.cmd == SBI_REGISTER_ACK)
    return sbi_ack_decode(c->bytes, &c->head, &result);
  if (c->head.cmdtype == SBI_INTERNAL) return sbi_heartbeat_decode(c->bytes, &c->head, &beat);
  if (c->head.cmd == SBI_FLOW_CALL) return sbi_flow_call_decode(c->bytes, &c->head, &call);
  if (c->head.cmd == SBI_NOTIFY) return sbi_notify_decode(c->bytes, &c->head, &notify);
  if (c->head.cmd == SBI_GLOBAL) return sbi_global_decode(c->bytes, &c->head, &global);
  return sbi_flow_answer_decode(c->bytes, &c->head, &answer);
}

static void short_bodies(void) {
  static const struct {
    const char *vector;
    size_t least;
    bool exact; /* other lengths are refused too */
  } table[] = {
      {"registration_ack_ok", 4, false}, {"global_connect_new", 281, true},
      {"call_flow", 113, false},         {"flow_ack_error", 51, false},
      {"flow_ret", 47, false},           {"notify", 149, false},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    for (size_t n = 0; n < 300; n++) {
      struct copy copy = resized(vector(table[i].vector), n);
      CHECK_INT(decode_any(&copy), table[i].exact ? n == table[i].least : n >= table[i].least);
      free(copy.bytes);
    }
  }
  for (size_t n = 0; n < 100; n++) {
    struct copy copy = resized(vector("heartbeat"), n);
    CHECK_INT(decode_any(&copy), n == 24 || n == 32);
    free(copy.bytes);
  }
}

/* A body of 'x' throughout: fixed texts are cut, the last one ends with the data. */
static void unterminated_texts(void) {
  static const char *const names[] = {"call_flow", "flow_ack_error", "flow_ret", "notify",
                                      "global_connect_new"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const struct vector *v = vector(names[i]);
    struct copy c = resized(v, (size_t)v->datalen);
    memset(c.bytes + SBI_HEAD_SIZE, 'x', (size_t)v->datalen);
    struct sbi_global global;
    struct sbi_flow_call call;
    struct sbi_flow_answer answer;
    struct sbi_notify notify;
    if (v->cmd == SBI_GLOBAL) {
      REQUIRE(sbi_global_decode(c.bytes, &c.head, &global));
      CHECK_INT(strlen(global.info), 255);
    } else if (v->cmd == SBI_FLOW_CALL) {
      REQUIRE(sbi_flow_call_decode(c.bytes, &c.head, &call));
      CHECK_INT(strlen(call.project), 31);
      CHECK_INT(strlen(call.flow), 31);
      CHECK_INT(call.text_size, (size_t)v->datalen - 112);
    } else if (v->cmd == SBI_NOTIFY) {
      REQUIRE(sbi_notify_decode(c.bytes, &c.head, &notify));
      CHECK_INT(strlen(notify.project), 31);
      CHECK_INT(strlen(notify.title), 101);
      CHECK_INT(notify.text_size, (size_t)v->datalen - 148);
    } else {
      REQUIRE(sbi_flow_answer_decode(c.bytes, &c.head, &answer));
      CHECK_INT(strlen(answer.project), 31);
      CHECK_INT(answer.text_size, (size_t)v->datalen - (v->cmd == SBI_FLOW_ACK ? 49 : 45));
    }
    free(c.bytes);
  }
}

static void text_copy(void) {
  char out[8];
  memset(out, 'z', sizeof out);
  sbi_text_copy(out, 4, "ab");
  CHECK_BYTES(out, sizeof out, "ab\0\0zzzz", 8);
  sbi_text_copy(out, 4, "abcdef");
  CHECK_BYTES(out, sizeof out, "abc\0zzzz", 8);
  sbi_text_copy(out, 4, NULL);
  CHECK_BYTES(out, sizeof out, "\0\0\0\0zzzz", 8);
}

int main(void) {
  return check_run((struct check_case[]){
      {"golden_frames", golden_frames, false},
      {"padding_formula", padding_formula, false},
      {"bad_frames", bad_frames, false},
      {"chunks", chunks, false},
      {"registration_lengths", registration_lengths, false},
      {"registration_by_text", registration_by_text, false},
      {"registration_texts", registration_texts, false},
      {"short_bodies", short_bodies, false},
      {"unterminated_texts", unterminated_texts, false},
      {"text_copy", text_copy, false},
      {0},
  });
}
