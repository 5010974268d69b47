/* Clients of the vendor's NET functions, and the scripted server that they register at. */
#ifndef ABI_NET_H
#define ABI_NET_H

#include "abi_calls.h"

static const struct raw_addr server = {1, 0, 1}, me = {19, 3, 18};

static inline int create(int client, int port) {
  return SmartBusNetCli_CreateConnect((unsigned char)client, 18, "127.0.0.1", (unsigned short)port,
                                      NULL, 0, "alice", "secret", "info!");
}

static inline int send_data(int client, int unit) {
  return SmartBusNetCli_SendData((unsigned char)client, 1, 3, unit, 4, 5, "data", 4);
}

static inline void take(struct raw *raw, int listener) {
  UNTIL(raw_accept(raw, listener), poll(NULL, 0, 1));
}

static inline void acknowledge(struct raw *raw, int code) {
  struct raw_frame frame;
  uint8_t data[4];
  raw_expect(raw, &frame);
  REQUIRE_INT(frame.cmd, 1);
  raw_le32(data, (uint32_t)code);
  raw_put(raw, 0, 2, server, me, data, 4);
}

static inline void up(struct raw *raw, int listener, int port, int client) {
  REQUIRE_INT(create(client, port), 0);
  take(raw, listener);
  acknowledge(raw, 0);
  struct call call = next_call(CONNECTION);
  REQUIRE_INT(call.code, 0);
  CHECK_INT(call.client, client);
  CHECK_INT(call.id, 1);
}

#endif
