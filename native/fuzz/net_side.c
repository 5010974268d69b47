#include "net_side.h"

const struct address net_self = {NET_UNIT, NET_CLIENT, NET_TYPE};
const struct address net_server = {NET_SERVER, 0, 1};

enum { STEPS = 10000, ATTEMPTS = 30 };

/* Only calls that were made are answered, and each once. */
static void check_answers(struct net_side *side, size_t from) {
  for (sb_event event; record_event(side->record, &from, &event);) {
    if (event.kind != SB_EV_FLOW_ACK && event.kind != SB_EV_FLOW_RETURN) continue;
    SYS_REQUIRE(event.id >= 1 && event.id <= NET_CALLS);
    SYS_REQUIRE(side->answers[event.kind == SB_EV_FLOW_RETURN][event.id]++ == 0);
  }
}

void net_side_settle(void *arg) {
  struct net_side *side = arg;
  int steps = 0;
  do {
    SYS_REQUIRE(steps++ < STEPS); /* else it would never rest */
    size_t from = side->record->size;
    if (sb_net_step(side->net, 0) > 0) record_events(side->record, sb_net_inbox(side->net));
    check_answers(side, from);
  } while (!sys_idle);
}

void net_side_wait(struct net_side *side, int64_t ms) {
  for (; ms > 0; ms -= 500) {
    sys_advance(500);
    net_side_settle(side);
  }
}

void net_side_feed(struct net_side *side, int n, struct input input) {
  int fd = sys_outgoing(n);
  if (fd < 0) return;
  feed(&side->pieces, fd, input.bytes, input.size);
  if (!sys_is_open(fd)) side->cut = true;
}

void net_side_end(struct net_side *side, int n, int error) {
  int fd = sys_outgoing(n);
  if (fd < 0 || !sys_is_open(fd)) return;
  sys_end(fd, error);
  net_side_settle(side);
}

static void acknowledge(struct net_side *side, int fd) {
  static const uint8_t accepted[4];
  uint8_t ack[24];
  sys_feed(fd, ack, frame_make(ack, 0, 2, net_server, net_self, accepted, sizeof accepted));
  net_side_settle(side);
}

static void call_flows(struct net_side *side) {
  static const char *const projects[NET_CALLS] = {"P", "", "A project of 31 characters....."};
  for (int i = 0; i < NET_CALLS; i++) {
    int id = sb_net_call_flow(side->net, NET_CLIENT, NET_SERVER, 0, projects[i], "flow", i % 2,
                              30000, "[]");
    SYS_REQUIRE(id == i + 1);
  }
}

void net_side_open(struct net_side *side, unsigned bits, int how, struct record *record) {
  bool local = (bits & NET_LOCAL) != 0, slave = !local && (bits & NET_SLAVE) != 0;
  const char *params = (bits & NET_FIXED) == 0 ? "" : bits & NET_2015 ? "Wire=2015" : "Wire=2018";
  *side = (struct net_side){
      .net = sb_net_new(NET_UNIT, params, SB_NET_NO_KEEPER | (local ? SB_NET_LOCAL : 0)),
      .pieces = {how, 0, net_side_settle, side},
      .record = record};
  SYS_REQUIRE(side->net != NULL);
  if (bits & NET_TRACE) sb_net_trace(side->net, 2);
  if (bits & NET_DEAF) sb_net_listen(side->net, 0, 0, 0);
  int result = local ? sb_net_connect_local(side->net, NET_CLIENT, NET_TYPE, "/simulated", "alice",
                                            "secret", "info")
                     : sb_net_connect(side->net, NET_CLIENT, NET_TYPE, "127.0.0.1", 8089,
                                      slave ? "127.0.0.2" : NULL, 8090, "alice", "secret", "info");
  SYS_REQUIRE(result == SB_OK);
  net_side_settle(side);
  if ((bits & NET_REGISTERED) == 0) return;
  for (int i = 0; i < 1 + slave; i++) acknowledge(side, sys_outgoing(i));
  SYS_REQUIRE(sb_net_connected(side->net, NET_CLIENT) == 1);
  call_flows(side);
}

/* Whatever the server did: when it goes and one comes that works, the client is back with it,
 * unless it was refused for good. */
static void check_return(struct net_side *side) {
  int n = 0;
  while (sys_outgoing(n) >= 0) net_side_end(side, n++, 0);
  for (int i = 0; i < ATTEMPTS && !sb_net_connected(side->net, NET_CLIENT); i++) {
    for (; sys_outgoing(n) >= 0; n++)
      if (sys_is_open(sys_outgoing(n))) acknowledge(side, sys_outgoing(n));
    if (sb_net_refused(side->net, NET_CLIENT)) {
      SYS_REQUIRE(sb_net_queued(side->net) == 0); /* it will never be sent */
      return;
    }
    net_side_wait(side, 500);
  }
  SYS_REQUIRE(sb_net_connected(side->net, NET_CLIENT) == 1);
}

/* What the client wrote: its own frames for each connection; routed ones all together, as what a lost
 * link had not written yet goes out on the next one. */
static void record_frames(struct record *record, bool internal) {
  const uint8_t *bytes;
  size_t size;
  struct frame frame;
  for (int n = 0; sys_outgoing(n) >= 0; n++) {
    if (internal) record_number(record, n);
    bytes = sys_sent(sys_outgoing(n), &size);
    while (frame_next(&bytes, &size, &frame))
      if ((frame.cmdtype == 0) == internal)
        record_bytes(record, frame.data - 20, frame.packet_size);
  }
}

void net_side_close(struct net_side *side) {
  check_return(side);
  record_number(side->record, sb_net_connected(side->net, NET_CLIENT));
  record_number(side->record, (int64_t)sb_net_queued(side->net));
  record_frames(side->record, true);
  if (!side->cut) record_frames(side->record, false); /* see record_sent */
  sb_net_free(side->net);
}
