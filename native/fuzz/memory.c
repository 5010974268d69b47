/* Memory runs out at every place in turn, strictly: a bus and three clients (TCP with one link, TCP
 * with two, local) live on the simulated system, where the same calls lead to the same allocations
 * in the same order, so the n-th can be made to fail for every n that there is: once, and once with
 * all that follow. Whatever is lost, nothing crashes, hangs, leaks or leaves a descriptor open, and
 * calls say SB_ENOMEM or that the connection is gone. (tests/faults_test.c does the same on the real
 * system, as far as threads let it.) */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "bus.h"
#include "smartbus_core.h"
#include "system.h"

enum { NETS = 3, WIRES = 48, ROUNDS = 4000 };

/* A connection from a net to the bus: two descriptors and what went over. */
struct wire {
  int out, in; /* in: -1 refused */
  size_t up, down;
};

struct town {
  sb_bus *bus;
  struct sys_thread thread;
  bool tcp, local; /* the listeners */
  sb_net *nets[NETS];
  struct wire wires[WIRES];
  int wire_count;
  int events[32]; /* by kind */
  int got[NETS];  /* data */
};

static const struct {
  int unit, client, type;
} who[NETS] = {{20, 3, 18}, {21, 4, 2}, {1, 5, 30}};

/* ---- the system's part ----------------------------------------------------- */

static void stop(void *town) {
  ((struct town *)town)->bus->stopping = true;
}

static void run_bus(struct town *town) {
  if (town->thread.run == NULL) return;
  sys_on_idle = stop;
  sys_on_idle_arg = town;
  town->bus->stopping = false;
  town->thread.run(town->thread.arg);
  town->bus->stopping = false;
  sb_batch batch;
  sb_inbox_drain(sb_bus_inbox(town->bus), &batch);
  for (uint64_t i = 0; i < batch.count; i++) {
    town->events[batch.events[i].kind]++;
    if (batch.events[i].kind == SB_EV_BUS_ASK)
      sb_bus_decide(town->bus, (uint32_t)batch.events[i].id, SB_OK);
  }
}

static void run_net(struct town *town, int n) {
  sb_batch batch;
  if (town->nets[n] == NULL) return;
  SYS_REQUIRE(sb_net_step(town->nets[n], 0) >= 0);
  sb_inbox_drain(sb_net_inbox(town->nets[n]), &batch);
  for (uint64_t i = 0; i < batch.count; i++) {
    town->events[batch.events[i].kind]++;
    town->got[n] += batch.events[i].kind == SB_EV_DATA;
  }
}

static bool carry(int from, int to, size_t *done) {
  size_t size;
  const uint8_t *bytes = sys_sent(from, &size);
  if (size == *done) return false;
  sys_feed(to, bytes + *done, size - *done);
  *done = size;
  return true;
}

/* What one end wrote arrives at the other, and so does its end. */
static bool carry_all(struct town *town) {
  bool moved = false;
  for (int fd; town->wire_count < WIRES && (fd = sys_outgoing(town->wire_count)) >= 0;) {
    bool local = sys_is_local(fd), there = local ? town->local : town->tcp;
    struct wire wire = {fd, there ? sys_dial(local, "127.0.0.1", SYS_PID) : -1, 0, 0};
    if (wire.in < 0) sys_end(fd, ECONNRESET);
    town->wires[town->wire_count++] = wire;
    moved = true;
  }
  for (int i = 0; i < town->wire_count; i++) {
    struct wire *wire = &town->wires[i];
    if (wire->in < 0) continue;
    moved |= carry(wire->out, wire->in, &wire->up);
    moved |= carry(wire->in, wire->out, &wire->down);
    if (!sys_is_open(wire->out)) moved |= sys_end(wire->in, 0);
    if (!sys_is_open(wire->in)) moved |= sys_end(wire->out, 0);
  }
  return moved;
}

static void settle(struct town *town) {
  for (int round = 0, quiet = 0; quiet < 2; round++) {
    SYS_REQUIRE(round < ROUNDS);
    for (int n = 0; n < NETS; n++) run_net(town, n);
    run_bus(town);
    quiet = carry_all(town) ? 0 : quiet + 1;
  }
}

static void wait_ms(struct town *town, int ms) {
  for (; ms > 0; ms -= 250) {
    sys_advance(250);
    settle(town);
  }
}

/* ---- the scene ------------------------------------------------------------- */

static void check_result(int result) {
  if (result >= 0 || result == SB_ENOMEM || result == SB_ENOTCONN || result == SB_ENOCLIENT ||
      result == SB_EFULL)
    return;
  SYS_FAIL("a call says %d", result);
}

static void open_town(struct town *town) {
  sb_bus_options options = {
      .unit = 1, .ask_host = 1, .high_bytes = 4000, .high_frames = 50, .max_memory = 300000};
  town->bus = sb_bus_new(&options);
  if (town->bus != NULL) {
    town->tcp = sb_bus_listen(town->bus, "127.0.0.1", 0) > 0;
    town->local = sb_bus_listen_local(town->bus, "/simulated", 0660) == 0;
    SYS_REQUIRE(sb_bus_start(town->bus) == SB_OK);
    town->thread = sys_thread;
  }
  town->nets[0] = sb_net_new(who[0].unit, "", SB_NET_NO_KEEPER);
  town->nets[1] = sb_net_new(who[1].unit, "Wire=2015", SB_NET_NO_KEEPER);
  town->nets[2] = sb_net_new(-1, "", SB_NET_NO_KEEPER | SB_NET_LOCAL);
}

static void connect_all(struct town *town) {
  for (int n = 0; n < NETS; n++) {
    sb_net *net = town->nets[n];
    if (net == NULL) continue;
    sb_net_trace(net, 2);
    if (n == 2)
      check_result(
          sb_net_connect_local(net, who[n].client, who[n].type, "/simulated", "u", "p", "i"));
    else
      check_result(sb_net_connect(net, who[n].client, who[n].type, "127.0.0.1", 8089,
                                  n == 1 ? "127.0.0.1" : NULL, 8089, "u", "p", "info"));
  }
  settle(town);
}

/* To all if `to` is negative. */
static void send_to(struct town *town, int from, int to, int size) {
  static const char data[100000];
  int unit = to < 0 ? -1 : who[to].unit, client = to < 0 ? -1 : who[to].client;
  if (town->nets[from] == NULL) return;
  check_result(sb_net_send(town->nets[from], who[from].client, 1, 3, unit, client, -1, data, size));
}

static void talk(struct town *town) {
  for (int from = 0; from < NETS; from++) {
    sb_net *net = town->nets[from];
    int client = who[from].client, to = (from + 1) % NETS, sent;
    static const uint32_t sizes[] = {1, 2, 600, 3};
    static const char blob[606];
    sb_notify_item items[] = {{1, 8, 1, 0, 2, 0}, {1, 9, 1, 0, 2, 0}};
    if (net == NULL) continue;
    send_to(town, from, to, 5);
    send_to(town, from, to, 50000);
    send_to(town, from, -1, 3000);
    send_to(town, from, -1, 10);
    check_result(sb_net_send_many(net, client, 2, 3, who[to].unit, who[to].client, 255, sizes, 4,
                                  blob, sizeof blob, &sent));
    check_result(sb_net_ping(net, client, 1, 0, 1, "ping", 4));
    if (from != 2) check_result(sb_net_call_flow(net, client, 1, 5, "P", "f", 0, 2000, "[]"));
    check_result(sb_net_call_flow(net, client, 1, 99, "P", "f", 0, 2000, "[]"));
    if (from != 2) check_result(sb_net_notify(net, client, 1, 5, "P", "title", 0, 1000, "text"));
    sb_net_notify_many(net, client, items, 2, "abcdef", 6);
    for (int i = 0; i < 2; i++) check_result(items[i].result);
    settle(town);
  }
}

/* The first client floods the second, which does not read for a while, nor for good. */
static void flood(struct town *town) {
  for (int i = 0; i < town->wire_count; i++)
    if (town->wires[i].in >= 0) sys_room(town->wires[i].in, 100);
  for (int i = 0; i < 100; i++) {
    send_to(town, 0, 1, 200);
    if (i % 10 == 0) send_to(town, 0, -1, 3000);
  }
  settle(town);
  for (int i = 0; i < town->wire_count; i++)
    if (town->wires[i].in >= 0 && i % 2 == 0) sys_room(town->wires[i].in, SYS_UNLIMITED);
  wait_ms(town, 7000); /* the rest is cut off */
}

static void look(struct town *town) {
  sb_bus_client clients[8];
  sb_bus_stats_t stats;
  if (town->bus == NULL) return;
  int count = sb_bus_clients(town->bus, clients, 8);
  SYS_REQUIRE(count <= NETS);
  sb_bus_stats(town->bus, &stats);
  if (count > 0) sb_bus_kick(town->bus, clients[0].link);
  settle(town);
}

static void break_links(struct town *town) {
  for (int i = 0; i < town->wire_count; i++) sys_end(town->wires[i].out, i % 2 ? ECONNRESET : 0);
  settle(town);
  for (int n = 0; n < NETS; n++) send_to(town, n, (n + 1) % NETS, 100);
  wait_ms(town, 3000);
}

static void play(struct town *town) {
  memset(town, 0, sizeof *town);
  sys_reset();
  open_town(town);
  connect_all(town);
  talk(town);
  flood(town);
  break_links(town);
  talk(town);
  look(town);
  if (town->nets[0] != NULL) sb_net_disconnect(town->nets[0], who[0].client);
  settle(town);
  sb_net_free(town->nets[1]);
  town->nets[1] = NULL;
  wait_ms(town, 1000);
  sb_bus_free(town->bus);
  town->thread.run = NULL;
  for (int n = 0; n < NETS; n++) sb_net_free(town->nets[n]);
  sys_check_closed();
}

/* What the scene is there for has happened. */
static void check_whole(const struct town *town) {
  static const int kinds[] = {SB_EV_CONNECTED,   SB_EV_DISCONNECTED, SB_EV_DATA,  SB_EV_FLOW_ACK,
                              SB_EV_FLOW_RETURN, SB_EV_GLOBAL,       SB_EV_TRACE, SB_EV_BUS_ASK,
                              SB_EV_BUS_JOINED,  SB_EV_BUS_LEFT};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) SYS_REQUIRE(town->events[kinds[i]] > 0);
  for (int n = 0; n < NETS; n++) SYS_REQUIRE(town->got[n] >= 10);
}

int main(void) {
  static struct town town;
  play(&town);
  check_whole(&town);
  long before = sbi_allocations();
  play(&town);
  long count = sbi_allocations() - before;
  for (int kind = 0; kind < 2; kind++) {
    for (long n = 1; n <= count; n++) {
      before = sbi_allocations();
      if (kind == 0)
        sbi_fail_allocation(n);
      else
        sbi_fail_allocations(n);
      play(&town);
      sbi_fail_allocation(0);
      SYS_REQUIRE(sbi_allocations() - before >= n); /* it was reached */
    }
    before = sbi_allocations();
    play(&town);
    check_whole(&town);
    SYS_REQUIRE(sbi_allocations() - before == count); /* as if nothing had been */
  }
  printf("%ld allocations: each failed alone, and with all behind it\n", count);
  return count > 100 ? 0 : 1;
}
