/* The wire format: structures, encoders, decoders, a frame check. No I/O, no allocation.
 * Source of every figure: NET.md and NET-2018.md ("S n" below is a section of NET.md). */
#ifndef SBI_WIRE_H
#define SBI_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  SBI_MAGIC = 0x5B15,
  SBI_HEAD_SIZE = 20,
  SBI_ANY = 0xFF,
  SBI_MAX_DATA = 0x0FFFFFFF, /* S 1.3 */
  SBI_MAX_FLOW_TEXT = 16001, /* S 7.1 */
  SBI_MAX_NOTIFY_TEXT = 15999,
  SBI_MAX_UNIT = 47,
  SBI_MAX_SERVER_UNIT = 15
};

enum sbi_cmdtype { SBI_INTERNAL = 0, SBI_SYSTEM = 1, SBI_FILE = 2, SBI_USER = 3 };

enum sbi_cmd {
  SBI_REGISTER = 1,
  SBI_REGISTER_ACK = 2,
  SBI_HEARTBEAT = 5,
  SBI_HEARTBEAT_ACK = 6,
  SBI_PING = 7,
  SBI_PING_ACK = 8,
  SBI_GLOBAL = 9,
  SBI_GLOBAL_ANSWER = 10,
  SBI_FLOW_CALL = 11,
  SBI_FLOW_RETURN = 12,
  SBI_FLOW_ACK = 13,
  SBI_NOTIFY = 15
};

enum { SBI_TYPE_NODE = 1, SBI_TYPE_IPSC = 2 };

struct sbi_addr {
  uint8_t unit, client, type;
};

struct sbi_head {
  uint8_t cmd, cmdtype;
  struct sbi_addr src, dst;
  int32_t packet_size; /* whole frame: header, data, padding */
  int32_t data_size;
};

/* ---- frames ---------------------------------------------------------------- */

enum { SBI_BAD_MAGIC = -1, SBI_BAD_PACKET_SIZE = -2, SBI_BAD_DATA_SIZE = -3, SBI_BAD_TOO_BIG = -4 };

/* Look at the start of a stream. Returns the size of a complete frame; 0 if more bytes are
 * needed (head->packet_size tells how many in all, 0 if not even a header is there); SBI_BAD_*. */
int64_t sbi_frame_check(const uint8_t *bytes, size_t size, uint32_t limit, struct sbi_head *head);
const char *sbi_bad_text(int64_t bad);

void sbi_head_encode(uint8_t *out, const struct sbi_head *head);
void sbi_head_decode(const uint8_t *bytes, struct sbi_head *head);

/* Size of a frame by the vendor's padding formula, S 1.1. */
size_t sbi_frame_size(size_t data_size);
/* Write header and zeroed padding of a frame with `data_size` bytes of data, which the caller puts
 * at out + SBI_HEAD_SIZE. Returns the frame's size. */
size_t sbi_frame_begin(uint8_t *out, uint8_t cmd, uint8_t cmdtype, struct sbi_addr src,
                       struct sbi_addr dst, size_t data_size);

/* ---- registration, S 2 ----------------------------------------------------- */

enum sbi_form {
  SBI_FORM_2015,
  SBI_FORM_2015_32,
  SBI_FORM_2018,
  SBI_FORM_2018_32,
  SBI_FORM_LOCAL /* over a local socket: no unit, no node, IPC.md 3.1; decoded as SBI_FORM_2015_32 */
};

struct sbi_registration {
  enum sbi_form form;
  struct sbi_addr addr; /* from the header */
  uint8_t connect_index;
  int32_t access_unit; /* encode only */
  int64_t pid;         /* 0 unknown */
  char version[21];
  char user[65], password[129], info[257];
};

enum { SBI_REGISTRATION_MAX = 6053 };
size_t sbi_registration_encode(uint8_t *out, const struct sbi_registration *reg);
/* False: too short. */
bool sbi_registration_decode(const uint8_t *frame, const struct sbi_head *head,
                             struct sbi_registration *reg);

enum { SBI_ACK_MAX = 5580, SBI_ACK_32 = 5516, SBI_ACK_MIN = 24 };
/* `size` is one of the three sizes above. */
size_t sbi_ack_encode(uint8_t *out, size_t size, uint8_t server_unit, struct sbi_addr dst,
                      int32_t result);
bool sbi_ack_decode(const uint8_t *frame, const struct sbi_head *head, int32_t *result);

/* ---- heartbeat, S 3 -------------------------------------------------------- */

struct sbi_heartbeat {
  bool wide; /* 64-bit counters: 52 bytes, else 44 */
  int64_t count, resend, time_launch, time_return;
};

enum { SBI_HEARTBEAT_MAX = 52 };
size_t sbi_heartbeat_encode(uint8_t *out, uint8_t cmd, struct sbi_addr src, struct sbi_addr dst,
                            const struct sbi_heartbeat *beat);
bool sbi_heartbeat_decode(const uint8_t *frame, const struct sbi_head *head,
                          struct sbi_heartbeat *beat);

/* ---- global connect events, S 4 -------------------------------------------- */

enum { SBI_GLOBAL_DATA = 281, SBI_GLOBAL_FRAME = 302 };
enum { SBI_GONE = 0, SBI_NEW = 1, SBI_PRESENT = 2 };

struct sbi_global {
  struct sbi_addr who;
  uint8_t access_unit, status;
  char info[256];
};

size_t sbi_global_encode(uint8_t *out, uint8_t cmd, struct sbi_addr src, struct sbi_addr dst,
                         const struct sbi_global *event);
bool sbi_global_decode(const uint8_t *frame, const struct sbi_head *head, struct sbi_global *event);

/* ---- flows and notify, S 7 and 8 ------------------------------------------- */

struct sbi_flow_call {
  char project[32], flow[32];
  uint8_t mode;
  int32_t event_ch, invoke_id;
  const char *text; /* decoded: text_size bytes, NUL behind them inside the frame */
  size_t text_size;
};

/* An ack (code is on the wire) or a return (it is not). */
struct sbi_flow_answer {
  char project[32];
  int32_t invoke_id, event_ch, code;
  const char *text;
  size_t text_size;
};

struct sbi_notify {
  char project[32];
  uint8_t mode;
  int32_t invoke_id, expires;
  char title[102];
  const char *text;
  size_t text_size;
};

size_t sbi_flow_call_size(size_t text_size);
size_t sbi_flow_call_encode(uint8_t *out, struct sbi_addr src, struct sbi_addr dst,
                            const struct sbi_flow_call *call);
bool sbi_flow_call_decode(const uint8_t *frame, const struct sbi_head *head,
                          struct sbi_flow_call *call);

size_t sbi_flow_answer_size(uint8_t cmd, size_t text_size);
size_t sbi_flow_answer_encode(uint8_t *out, uint8_t cmd, struct sbi_addr src, struct sbi_addr dst,
                              const struct sbi_flow_answer *answer);
bool sbi_flow_answer_decode(const uint8_t *frame, const struct sbi_head *head,
                            struct sbi_flow_answer *answer);

size_t sbi_notify_size(size_t text_size);
size_t sbi_notify_encode(uint8_t *out, struct sbi_addr src, struct sbi_addr dst,
                         const struct sbi_notify *notify);
bool sbi_notify_decode(const uint8_t *frame, const struct sbi_head *head,
                       struct sbi_notify *notify);

/* Copy at most size-1 bytes of src (NULL = empty) and fill the rest of dst with zeros. */
void sbi_text_copy(char *dst, size_t size, const char *src);

#endif
