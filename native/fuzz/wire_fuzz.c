/* The decoders by themselves, on exactly as many bytes as there are: what they take out of a frame
 * goes in again and comes out the same. Input: a frame, and again: the data of a frame. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "target.h"

static const struct sbi_addr src = {1, 2, 3}, dst = {4, 5, 6};

/* The verdict on a beginning of a stream must not change when more of it is there. */
static int64_t check_prefixes(const uint8_t *bytes, size_t size, uint32_t limit,
                              struct sbi_head *head) {
  int64_t last = sbi_frame_check(bytes, size, limit, head);
  bool decided = false;
  for (size_t n = 0; n < size; n++) {
    struct sbi_head part;
    int64_t verdict = sbi_frame_check(bytes, n, limit, &part);
    SYS_REQUIRE(verdict == 0 || verdict == last);
    SYS_REQUIRE(!decided || verdict == last);
    SYS_REQUIRE(verdict != 0 || part.packet_size == 0 || (size_t)part.packet_size > n);
    decided = verdict != 0;
  }
  if (last < 0) SYS_REQUIRE(strlen(sbi_bad_text(last)) > 0);
  return last;
}

static struct sbi_head again(const uint8_t *frame, size_t size) {
  struct sbi_head head;
  SYS_REQUIRE(sbi_frame_check(frame, size, UINT32_MAX, &head) == (int64_t)size);
  return head;
}

static uint8_t *room(size_t size) {
  uint8_t *place = malloc(size);
  if (place == NULL) abort();
  return place;
}

static void registration(const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_registration reg, back;
  if (!sbi_registration_decode(frame, head, &reg)) return;
  uint8_t *copy = room(SBI_REGISTRATION_MAX);
  size_t size = sbi_registration_encode(copy, &reg);
  struct sbi_head copy_head = again(copy, size);
  SYS_REQUIRE(sbi_registration_decode(copy, &copy_head, &back));
  /* The encoder ends each text with a NUL, inside its field. */
  reg.user[63] = reg.password[127] = reg.info[255] = 0;
  reg.version[19] = 0;
  SYS_REQUIRE(back.form == reg.form && back.connect_index == reg.connect_index &&
              back.pid == reg.pid && memcmp(&back.addr, &reg.addr, sizeof reg.addr) == 0);
  SYS_REQUIRE(strcmp(back.user, reg.user) == 0 && strcmp(back.password, reg.password) == 0);
  SYS_REQUIRE(strcmp(back.info, reg.info) == 0 && strcmp(back.version, reg.version) == 0);
  free(copy);
}

static void ack(const uint8_t *frame, const struct sbi_head *head) {
  static const size_t sizes[] = {SBI_ACK_MAX, SBI_ACK_32, SBI_ACK_MIN};
  int32_t result, back;
  if (!sbi_ack_decode(frame, head, &result)) return;
  for (int i = 0; i < 3; i++) {
    uint8_t *copy = room(sizes[i]);
    sbi_ack_encode(copy, sizes[i], 1, dst, result);
    struct sbi_head copy_head = again(copy, sizes[i]);
    SYS_REQUIRE(sbi_ack_decode(copy, &copy_head, &back) && back == result);
    free(copy);
  }
}

static void heartbeat(const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_heartbeat beat, back;
  if (!sbi_heartbeat_decode(frame, head, &beat)) return;
  uint8_t *copy = room(SBI_HEAD_SIZE + (beat.wide ? 32 : 24));
  struct sbi_head copy_head =
      again(copy, sbi_heartbeat_encode(copy, SBI_HEARTBEAT, src, dst, &beat));
  SYS_REQUIRE(sbi_heartbeat_decode(copy, &copy_head, &back));
  SYS_REQUIRE(back.wide == beat.wide && back.count == beat.count && back.resend == beat.resend);
  SYS_REQUIRE(back.time_launch == beat.time_launch && back.time_return == beat.time_return);
  free(copy);
}

static void global(const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_global event, back;
  if (!sbi_global_decode(frame, head, &event)) return;
  uint8_t *copy = room(SBI_GLOBAL_FRAME);
  struct sbi_head copy_head = again(copy, sbi_global_encode(copy, SBI_GLOBAL, src, dst, &event));
  SYS_REQUIRE(sbi_global_decode(copy, &copy_head, &back));
  SYS_REQUIRE(memcmp(&back, &event, sizeof event) == 0);
  free(copy);
}

static void flow_call(const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_flow_call call, back;
  if (!sbi_flow_call_decode(frame, head, &call)) return;
  size_t size = sbi_flow_call_size(call.text_size);
  uint8_t *copy = room(size);
  SYS_REQUIRE(sbi_flow_call_encode(copy, src, dst, &call) == size);
  struct sbi_head copy_head = again(copy, size);
  SYS_REQUIRE(sbi_flow_call_decode(copy, &copy_head, &back));
  SYS_REQUIRE(strcmp(back.project, call.project) == 0 && strcmp(back.flow, call.flow) == 0);
  SYS_REQUIRE(back.mode == call.mode && back.event_ch == call.event_ch &&
              back.invoke_id == call.invoke_id && back.text_size == call.text_size &&
              memcmp(back.text, call.text, call.text_size) == 0);
  free(copy);
}

static void flow_answer(const uint8_t *frame, const struct sbi_head *head, uint8_t cmd) {
  struct sbi_head as = *head;
  struct sbi_flow_answer answer, back;
  as.cmd = cmd;
  if (!sbi_flow_answer_decode(frame, &as, &answer)) return;
  size_t size = sbi_flow_answer_size(cmd, answer.text_size);
  uint8_t *copy = room(size);
  SYS_REQUIRE(sbi_flow_answer_encode(copy, cmd, src, dst, &answer) == size);
  struct sbi_head copy_head = again(copy, size);
  SYS_REQUIRE(sbi_flow_answer_decode(copy, &copy_head, &back));
  SYS_REQUIRE(strcmp(back.project, answer.project) == 0 && back.code == answer.code);
  SYS_REQUIRE(back.invoke_id == answer.invoke_id && back.event_ch == answer.event_ch &&
              back.text_size == answer.text_size &&
              memcmp(back.text, answer.text, answer.text_size) == 0);
  free(copy);
}

static void notify(const uint8_t *frame, const struct sbi_head *head) {
  struct sbi_notify notify, back;
  if (!sbi_notify_decode(frame, head, &notify)) return;
  size_t size = sbi_notify_size(notify.text_size);
  uint8_t *copy = room(size);
  SYS_REQUIRE(sbi_notify_encode(copy, src, dst, &notify) == size);
  struct sbi_head copy_head = again(copy, size);
  SYS_REQUIRE(sbi_notify_decode(copy, &copy_head, &back));
  SYS_REQUIRE(strcmp(back.project, notify.project) == 0 && strcmp(back.title, notify.title) == 0);
  SYS_REQUIRE(back.mode == notify.mode && back.invoke_id == notify.invoke_id &&
              back.expires == notify.expires && back.text_size == notify.text_size &&
              memcmp(back.text, notify.text, notify.text_size) == 0);
  free(copy);
}

/* `bytes` have memory of their own: nothing behind the end is readable. */
static void check_frame(const uint8_t *bytes, size_t size, uint32_t limit) {
  struct sbi_head head;
  if (check_prefixes(bytes, size, limit, &head) <= 0) return;
  registration(bytes, &head);
  ack(bytes, &head);
  heartbeat(bytes, &head);
  global(bytes, &head);
  flow_call(bytes, &head);
  flow_answer(bytes, &head, SBI_FLOW_ACK);
  flow_answer(bytes, &head, SBI_FLOW_RETURN);
  notify(bytes, &head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  uint8_t *frame = room(size);
  memcpy(frame, data, size);
  check_frame(frame, size, 8192); /* some inputs are beyond this limit */
  free(frame);

  struct sbi_head head = {.packet_size = (int32_t)(SBI_HEAD_SIZE + size),
                          .data_size = (int32_t)size};
  frame = room(SBI_HEAD_SIZE + size);
  sbi_head_encode(frame, &head);
  memcpy(frame + SBI_HEAD_SIZE, data, size);
  check_frame(frame, SBI_HEAD_SIZE + size, UINT32_MAX);
  free(frame);
  return 0;
}
