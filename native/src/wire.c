#include "wire.h"

#include <string.h>

#include "bytes.h"

/* ---- frames ---------------------------------------------------------------- */

/* Offsets in the header, S 1.1. */
enum { H_CMD = 2, H_CMDTYPE = 3, H_SRC = 4, H_DST = 7, H_PACKET_SIZE = 12, H_DATA_SIZE = 16 };

static void put_addr(uint8_t *p, struct sbi_addr addr) {
  p[0] = addr.type;
  p[1] = addr.unit;
  p[2] = addr.client;
}

static struct sbi_addr get_addr(const uint8_t *p) {
  return (struct sbi_addr){.type = p[0], .unit = p[1], .client = p[2]};
}

void sbi_head_encode(uint8_t *out, const struct sbi_head *head) {
  sbi_put16(out, SBI_MAGIC);
  out[H_CMD] = head->cmd;
  out[H_CMDTYPE] = head->cmdtype;
  put_addr(out + H_SRC, head->src);
  put_addr(out + H_DST, head->dst);
  sbi_put16(out + 10, 0);
  sbi_put32(out + H_PACKET_SIZE, (uint32_t)head->packet_size);
  sbi_put32(out + H_DATA_SIZE, (uint32_t)head->data_size);
}

void sbi_head_decode(const uint8_t *bytes, struct sbi_head *head) {
  head->cmd = bytes[H_CMD];
  head->cmdtype = bytes[H_CMDTYPE];
  head->src = get_addr(bytes + H_SRC);
  head->dst = get_addr(bytes + H_DST);
  head->packet_size = (int32_t)sbi_get32(bytes + H_PACKET_SIZE);
  head->data_size = (int32_t)sbi_get32(bytes + H_DATA_SIZE);
}

int64_t sbi_frame_check(const uint8_t *bytes, size_t size, uint32_t limit, struct sbi_head *head) {
  if (size < SBI_HEAD_SIZE) {
    head->packet_size = 0;
    return 0;
  }
  sbi_head_decode(bytes, head);
  if (sbi_get16(bytes) != SBI_MAGIC) return SBI_BAD_MAGIC;
  if (head->packet_size < SBI_HEAD_SIZE) return SBI_BAD_PACKET_SIZE;
  if (head->data_size < 0 || head->data_size > head->packet_size - SBI_HEAD_SIZE)
    return SBI_BAD_DATA_SIZE;
  if ((uint32_t)head->packet_size > limit) return SBI_BAD_TOO_BIG;
  return (size_t)head->packet_size <= size ? head->packet_size : 0;
}

const char *sbi_bad_text(int64_t bad) {
  switch (bad) {
    case SBI_BAD_MAGIC:
      return "wrong magic where a frame should start";
    case SBI_BAD_PACKET_SIZE:
      return "packet_size is less than a header";
    case SBI_BAD_DATA_SIZE:
      return "datalen does not fit into packet_size";
    case SBI_BAD_TOO_BIG:
      return "frame is larger than allowed";
    default:
      return "not a bad frame";
  }
}

size_t sbi_frame_size(size_t data_size) {
  return SBI_HEAD_SIZE + data_size + data_size % 4;
}

size_t sbi_frame_begin(uint8_t *out, uint8_t cmd, uint8_t cmdtype, struct sbi_addr src,
                       struct sbi_addr dst, size_t data_size) {
  size_t size = sbi_frame_size(data_size);
  struct sbi_head head = {.cmd = cmd,
                          .cmdtype = cmdtype,
                          .src = src,
                          .dst = dst,
                          .packet_size = (int32_t)size,
                          .data_size = (int32_t)data_size};
  sbi_head_encode(out, &head);
  memset(out + SBI_HEAD_SIZE + data_size, 0, data_size % 4);
  return size;
}

/* ---- text fields ----------------------------------------------------------- */

void sbi_text_copy(char *dst, size_t size, const char *src) {
  size_t n = src != NULL ? strnlen(src, size - 1) : 0;
  if (n > 0) memcpy(dst, src, n);
  memset(dst + n, 0, size - n);
}

/* A fixed field that need not be terminated; dst has width + 1 bytes. */
static void get_text(char *dst, const uint8_t *field, size_t width) {
  size_t n = strnlen((const char *)field, width);
  memcpy(dst, field, n);
  memset(dst + n, 0, width + 1 - n);
}

/* ---- registration ---------------------------------------------------------- */

/* Offsets from the start of the frame, NET-2018.md 1.1. */
struct layout {
  size_t frame_size, version, user, password, pid, info, node;
};

static const struct layout layouts[] = {
    [SBI_FORM_2015] = {6025, 0, 21, 85, 0, 213, 469},
    [SBI_FORM_2015_32] = {5961, 0, 21, 85, 0, 213, 469},
    [SBI_FORM_2018] = {6053, 21, 41, 105, 233, 241, 497},
    [SBI_FORM_2018_32] = {5989, 21, 41, 105, 233, 241, 497},
    [SBI_FORM_LOCAL] = {5961, 0, 21, 85, 0, 213, 0},
};

size_t sbi_registration_encode(uint8_t *out, const struct sbi_registration *reg) {
  const struct layout *at = &layouts[reg->form];
  memset(out, 0, at->frame_size);
  struct sbi_head head = {.cmd = SBI_REGISTER,
                          .cmdtype = SBI_INTERNAL,
                          .src = reg->addr,
                          .packet_size = (int32_t)at->frame_size,
                          .data_size = (int32_t)(at->frame_size - SBI_HEAD_SIZE)};
  sbi_head_encode(out, &head);
  out[20] = reg->connect_index;
  if (at->version != 0) {
    sbi_text_copy((char *)out + at->version, 20, reg->version);
    sbi_put64(out + at->pid, (uint64_t)reg->pid);
  }
  sbi_text_copy((char *)out + at->user, 64, reg->user);
  sbi_text_copy((char *)out + at->password, 128, reg->password);
  sbi_text_copy((char *)out + at->info, 256, reg->info);
  if (at->node == 0) return at->frame_size;

  uint8_t *node = out + at->node; /* S 2.2 */
  node[0] = 1;
  node[1] = 1;
  sbi_put32(node + 2, reg->addr.unit);
  sbi_put32(node + 6, (uint32_t)reg->access_unit);
  node[10] = 1;
  node[147] = 1;
  uint8_t *client = node + 148;
  client[0] = 1;
  client[1] = 1;
  sbi_put32(client + 2, reg->addr.client);
  sbi_put32(client + 6, reg->addr.type);
  sbi_text_copy((char *)client + 10, 256, reg->info);
  return at->frame_size;
}

static bool is_version_text(const uint8_t *field, size_t width) {
  size_t n = strnlen((const char *)field, width);
  if (n == 0 || n == width) return false;
  for (size_t i = 0; i < n; i++)
    if ((field[i] < '0' || field[i] > '9') && field[i] != '.') return false;
  return true;
}

bool sbi_registration_decode(const uint8_t *frame, const struct sbi_head *head,
                             struct sbi_registration *reg) {
  size_t size = (size_t)head->data_size;
  memset(reg, 0, sizeof *reg);
  switch (size) {
    case 6005:
      reg->form = SBI_FORM_2015;
      break;
    case 5941:
      reg->form = SBI_FORM_2015_32;
      break;
    case 6033:
      reg->form = SBI_FORM_2018;
      break;
    case 5969:
      reg->form = SBI_FORM_2018_32;
      break;
    default:
      if (size >= 477 && is_version_text(frame + 21, 20))
        reg->form = SBI_FORM_2018;
      else if (size >= 449)
        reg->form = SBI_FORM_2015;
      else
        return false;
  }
  const struct layout *at = &layouts[reg->form];
  reg->addr = head->src;
  reg->connect_index = frame[20];
  if (at->version != 0) {
    get_text(reg->version, frame + at->version, 20);
    reg->pid = (int64_t)sbi_get64(frame + at->pid);
  }
  get_text(reg->user, frame + at->user, 64);
  get_text(reg->password, frame + at->password, 128);
  get_text(reg->info, frame + at->info, 256);
  return true;
}

size_t sbi_ack_encode(uint8_t *out, size_t size, uint8_t server_unit, struct sbi_addr dst,
                      int32_t result) {
  memset(out, 0, size);
  struct sbi_head head = {.cmd = SBI_REGISTER_ACK,
                          .cmdtype = SBI_INTERNAL,
                          .src = {.unit = server_unit, .type = SBI_TYPE_NODE},
                          .dst = dst,
                          .packet_size = (int32_t)size,
                          .data_size = (int32_t)(size - SBI_HEAD_SIZE)};
  sbi_head_encode(out, &head);
  sbi_put32(out + 20, (uint32_t)result);
  if (size > SBI_ACK_MIN) {
    uint8_t *node = out + 24;
    node[0] = 1;
    node[1] = 1;
    sbi_put32(node + 2, server_unit);
    sbi_put32(node + 6, server_unit);
  }
  return size;
}

bool sbi_ack_decode(const uint8_t *frame, const struct sbi_head *head, int32_t *result) {
  if (head->data_size < 4) return false;
  *result = (int32_t)sbi_get32(frame + SBI_HEAD_SIZE);
  return true;
}

/* ---- heartbeat ------------------------------------------------------------- */

size_t sbi_heartbeat_encode(uint8_t *out, uint8_t cmd, struct sbi_addr src, struct sbi_addr dst,
                            const struct sbi_heartbeat *beat) {
  size_t size = sbi_frame_begin(out, cmd, SBI_INTERNAL, src, dst, beat->wide ? 32 : 24);
  uint8_t *p = out + SBI_HEAD_SIZE;
  if (beat->wide) {
    sbi_put64(p, (uint64_t)beat->count);
    sbi_put64(p + 8, (uint64_t)beat->resend);
    p += 16;
  } else {
    sbi_put32(p, (uint32_t)beat->count);
    sbi_put32(p + 4, (uint32_t)beat->resend);
    p += 8;
  }
  sbi_put64(p, (uint64_t)beat->time_launch);
  sbi_put64(p + 8, (uint64_t)beat->time_return);
  return size;
}

bool sbi_heartbeat_decode(const uint8_t *frame, const struct sbi_head *head,
                          struct sbi_heartbeat *beat) {
  const uint8_t *p = frame + SBI_HEAD_SIZE;
  if (head->data_size == 32) {
    beat->wide = true;
    beat->count = (int64_t)sbi_get64(p);
    beat->resend = (int64_t)sbi_get64(p + 8);
    p += 16;
  } else if (head->data_size == 24) {
    beat->wide = false;
    beat->count = (int32_t)sbi_get32(p);
    beat->resend = (int32_t)sbi_get32(p + 4);
    p += 8;
  } else {
    return false;
  }
  beat->time_launch = (int64_t)sbi_get64(p);
  beat->time_return = (int64_t)sbi_get64(p + 8);
  return true;
}

/* ---- global connect events ------------------------------------------------- */

size_t sbi_global_encode(uint8_t *out, uint8_t cmd, struct sbi_addr src, struct sbi_addr dst,
                         const struct sbi_global *event) {
  size_t size = sbi_frame_begin(out, cmd, SBI_SYSTEM, src, dst, SBI_GLOBAL_DATA);
  uint8_t *p = out + SBI_HEAD_SIZE;
  struct sbi_head inner = {.cmd = cmd,
                           .cmdtype = SBI_SYSTEM,
                           .src = src,
                           .dst = dst,
                           .packet_size = SBI_GLOBAL_DATA,
                           .data_size = SBI_GLOBAL_DATA - SBI_HEAD_SIZE};
  sbi_head_encode(p, &inner);
  p[20] = event->who.unit;
  p[21] = event->who.client;
  p[22] = event->who.type;
  p[23] = event->access_unit;
  p[24] = event->status;
  sbi_text_copy((char *)p + 25, 256, event->info);
  return size;
}

bool sbi_global_decode(const uint8_t *frame, const struct sbi_head *head,
                       struct sbi_global *event) {
  if (head->data_size != SBI_GLOBAL_DATA) return false;
  const uint8_t *p = frame + SBI_HEAD_SIZE;
  event->who = (struct sbi_addr){.unit = p[20], .client = p[21], .type = p[22]};
  event->access_unit = p[23];
  event->status = p[24];
  get_text(event->info, p + 25, 255);
  return true;
}

/* ---- flows ----------------------------------------------------------------- */

/* A text of a body: up to its NUL, or to the end of the data. */
static void get_tail(const uint8_t *frame, const struct sbi_head *head, size_t offset,
                     const char **text, size_t *size) {
  const char *p = (const char *)frame + SBI_HEAD_SIZE + offset;
  *text = p;
  *size = strnlen(p, (size_t)head->data_size - offset);
}

enum { CALL_TEXT = 112, ACK_TEXT = 49, RETURN_TEXT = 45, NOTIFY_TEXT = 148 };

size_t sbi_flow_call_size(size_t text_size) {
  return sbi_frame_size(CALL_TEXT + text_size + 2);
}

size_t sbi_flow_call_encode(uint8_t *out, struct sbi_addr src, struct sbi_addr dst,
                            const struct sbi_flow_call *call) {
  size_t n = call->text_size;
  size_t size = sbi_frame_begin(out, SBI_FLOW_CALL, SBI_SYSTEM, src, dst, CALL_TEXT + n + 2);
  uint8_t *p = out + SBI_HEAD_SIZE;
  memset(p, 0, CALL_TEXT);
  p[0] = SBI_FLOW_CALL;
  sbi_text_copy((char *)p + 1, 32, call->project);
  sbi_text_copy((char *)p + 33, 32, call->flow);
  p[65] = call->mode;
  sbi_put32(p + 66, (uint32_t)call->event_ch);
  sbi_put32(p + 70, (uint32_t)call->invoke_id);
  sbi_put32(p + 74, (uint32_t)n);
  if (n > 0) memcpy(p + CALL_TEXT, call->text, n);
  p[CALL_TEXT + n] = p[CALL_TEXT + n + 1] = 0;
  return size;
}

bool sbi_flow_call_decode(const uint8_t *frame, const struct sbi_head *head,
                          struct sbi_flow_call *call) {
  if (head->data_size < CALL_TEXT + 1) return false;
  const uint8_t *p = frame + SBI_HEAD_SIZE;
  get_text(call->project, p + 1, 31);
  get_text(call->flow, p + 33, 31);
  call->mode = p[65];
  call->event_ch = (int32_t)sbi_get32(p + 66);
  call->invoke_id = (int32_t)sbi_get32(p + 70);
  get_tail(frame, head, CALL_TEXT, &call->text, &call->text_size);
  return true;
}

size_t sbi_flow_answer_size(uint8_t cmd, size_t text_size) {
  return sbi_frame_size((cmd == SBI_FLOW_ACK ? ACK_TEXT : RETURN_TEXT) + text_size + 2);
}

size_t sbi_flow_answer_encode(uint8_t *out, uint8_t cmd, struct sbi_addr src, struct sbi_addr dst,
                              const struct sbi_flow_answer *answer) {
  size_t n = answer->text_size;
  size_t at = cmd == SBI_FLOW_ACK ? ACK_TEXT : RETURN_TEXT;
  size_t size = sbi_frame_begin(out, cmd, SBI_SYSTEM, src, dst, at + n + 2);
  uint8_t *p = out + SBI_HEAD_SIZE;
  p[0] = cmd;
  sbi_text_copy((char *)p + 1, 32, answer->project);
  sbi_put32(p + 33, (uint32_t)answer->invoke_id);
  sbi_put32(p + 37, (uint32_t)answer->event_ch);
  if (cmd == SBI_FLOW_ACK) sbi_put32(p + 41, (uint32_t)answer->code);
  sbi_put32(p + at - 4, (uint32_t)n);
  if (n > 0) memcpy(p + at, answer->text, n);
  p[at + n] = p[at + n + 1] = 0;
  return size;
}

bool sbi_flow_answer_decode(const uint8_t *frame, const struct sbi_head *head,
                            struct sbi_flow_answer *answer) {
  bool ack = head->cmd == SBI_FLOW_ACK;
  size_t at = ack ? ACK_TEXT : RETURN_TEXT;
  if ((size_t)head->data_size < at + 2) return false; /* the vendor's minimum: 51 and 47 */
  const uint8_t *p = frame + SBI_HEAD_SIZE;
  get_text(answer->project, p + 1, 31);
  answer->invoke_id = (int32_t)sbi_get32(p + 33);
  answer->event_ch = (int32_t)sbi_get32(p + 37);
  answer->code = ack ? (int32_t)sbi_get32(p + 41) : 1;
  get_tail(frame, head, at, &answer->text, &answer->text_size);
  return true;
}

/* ---- notify ---------------------------------------------------------------- */

size_t sbi_notify_size(size_t text_size) {
  return sbi_frame_size(NOTIFY_TEXT + text_size + 2);
}

size_t sbi_notify_encode(uint8_t *out, struct sbi_addr src, struct sbi_addr dst,
                         const struct sbi_notify *notify) {
  size_t n = notify->text_size;
  size_t size = sbi_frame_begin(out, SBI_NOTIFY, SBI_SYSTEM, src, dst, NOTIFY_TEXT + n + 2);
  uint8_t *p = out + SBI_HEAD_SIZE;
  p[0] = SBI_NOTIFY;
  sbi_text_copy((char *)p + 1, 32, notify->project);
  p[33] = notify->mode;
  sbi_put32(p + 34, (uint32_t)notify->invoke_id);
  sbi_put32(p + 38, (uint32_t)notify->expires);
  sbi_text_copy((char *)p + 42, 102, notify->title);
  sbi_put32(p + 144, (uint32_t)n);
  if (n > 0) memcpy(p + NOTIFY_TEXT, notify->text, n);
  p[NOTIFY_TEXT + n] = p[NOTIFY_TEXT + n + 1] = 0;
  return size;
}

bool sbi_notify_decode(const uint8_t *frame, const struct sbi_head *head,
                       struct sbi_notify *notify) {
  if (head->data_size < NOTIFY_TEXT + 1) return false;
  const uint8_t *p = frame + SBI_HEAD_SIZE;
  get_text(notify->project, p + 1, 31);
  notify->mode = p[33];
  notify->invoke_id = (int32_t)sbi_get32(p + 34);
  notify->expires = (int32_t)sbi_get32(p + 38);
  get_text(notify->title, p + 42, 101);
  get_tail(frame, head, NOTIFY_TEXT, &notify->text, &notify->text_size);
  return true;
}
