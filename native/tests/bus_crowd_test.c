/* bus, crowds: when connections run out those that have not registered make way, and registrations
 * wait for a host that is behind. */
#include "bus_town.h"
#include "inbox.h"
#include "local.h"

enum { NEVER = 600000 };

static const struct raw_addr newcomer = {30, 1, 9};

/* Connected, and the bus has seen it. */
static void dial(struct town *t, struct raw *raw) {
  uint64_t before = town_stats(t).accepted;
  raw_open(raw, t->port);
  UNTIL(town_stats(t).accepted == before + 1, poll(NULL, 0, 1));
}

static bool has_ended(struct raw *raw) {
  raw_read(raw, 0);
  return raw->ended;
}

/* Silent connections take every place: the oldest goes each time, a client never does. */
static void silent_ones_make_way(void) {
  enum { SILENT = 3 };
  struct town t;
  struct raw client, silent[SILENT], late[SILENT], last;
  town_open(&t, (sb_bus_options){.max_links = 1 + SILENT, .idle_ms = NEVER});
  dial(&t, &silent[0]);
  town_join(&t, &client, 20, 1, 9);
  dial(&t, &silent[1]);
  dial(&t, &silent[2]);
  raw_put(&silent[0], 0, 5, newcomer, newcomer, NULL, 0); /* a heartbeat is no registration */
  for (int i = 0; i < SILENT; i++) {
    town_join(&t, &late[i], 30, i, 9);
    raw_expect_end(&silent[i]);
    for (int k = i + 1; k < SILENT; k++) CHECK(!has_ended(&silent[k]));
    CHECK_INT(town_stats(&t).crowded_out, i + 1);
  }
  /* Now all are clients: the next one waits until one leaves. */
  town_enter(&t, &last, (struct request){.addr = {31, 1, 9}});
  town_barrier(&client, (struct raw_addr){20, 1, 9}, true);
  CHECK(!has_ended(&last) && last.end == 0);
  raw_close(&late[0]);
  CHECK_INT(town_ack(&last), 0);
  CHECK_INT(town_stats(&t).crowded_out, SILENT);
  CHECK(strstr(town_report_of(&t, SB_EV_TRACE)->texts, "no place") != NULL);
  for (int i = 0; i < SILENT; i++) {
    raw_close(&silent[i]);
    raw_close(&late[i]);
  }
  raw_close(&last);
  raw_close(&client);
  town_close(&t);
}

/* More than there are places come at once, again and again, and say nothing: who registers gets in,
 * over TCP and over the local socket. */
static void flood_of_silent_ones(void) {
  enum { PLACES = 8, FLOOD = 100 };
  struct town t;
  struct local local;
  struct raw client, flood[FLOOD], late[2];
  local_open(&local);
  town_open(&t, (sb_bus_options){.max_links = PLACES, .idle_ms = NEVER});
  REQUIRE_INT(sb_bus_listen_local(t.bus, local.path, 0600), 0);
  town_join(&t, &client, 20, 1, 9);
  for (int i = 0; i < FLOOD; i++) raw_open(&flood[i], t.port);
  town_enter(&t, &late[0], (struct request){.addr = newcomer});
  local_connect(&late[1], local.path);
  town_request(&late[1], (struct request){.addr = {TOWN_UNIT, 2, 9}});
  CHECK_INT(town_ack(&late[0]), 0);
  CHECK_INT(town_ack(&late[1]), 0);
  CHECK(town_stats(&t).links <= PLACES);
  town_barrier(&client, (struct raw_addr){20, 1, 9}, true);
  for (int i = 0; i < FLOOD; i++) raw_close(&flood[i]);
  for (int i = 0; i < 2; i++) raw_close(&late[i]);
  raw_close(&client);
  town_close(&t);
  local_close(&local);
}

/* So do those who were refused and stay, and last of all those whom the host keeps waiting. */
static void refused_and_asked_make_way(void) {
  struct town t;
  struct raw refused, asked, late, later;
  town_open(&t, (sb_bus_options){.max_links = 2, .idle_ms = NEVER, .ask_host = 1});
  town_enter(&t, &asked, (struct request){.addr = {20, 1, 9}});
  int first = town_report_of(&t, SB_EV_BUS_ASK)->id;
  town_enter(&t, &refused, (struct request){.addr = {48, 1, 9}});
  CHECK_INT(town_ack(&refused), SB_EUNIT);
  town_enter(&t, &late, (struct request){.addr = newcomer});
  int second = town_report_of(&t, SB_EV_BUS_ASK)->id;
  raw_expect_end(&refused);
  CHECK(!has_ended(&asked));
  int64_t start = check_ms();
  town_enter(&t, &later, (struct request){.addr = {30, 2, 9}});
  town_report_of(&t, SB_EV_BUS_ASK);
  CHECK(check_ms() - start < SBI_ASKED_MS + 10000);
  raw_expect_end(&asked);
  CHECK(!has_ended(&late));
  CHECK_INT(sb_bus_decide(t.bus, (uint32_t)first, SB_OK), SB_ENOCLIENT);
  CHECK_INT(sb_bus_decide(t.bus, (uint32_t)second, SB_OK), SB_OK);
  CHECK_INT(town_ack(&late), 0);
  raw_close(&refused);
  raw_close(&asked);
  raw_close(&late);
  raw_close(&later);
  town_close(&t);
}

/* ---- a host that is behind ------------------------------------------------- */

static uint64_t fill_inbox(struct town *t) {
  sb_event event = {.kind = SB_EV_TRACE};
  uint64_t count = 0;
  while (!sbi_inbox_full(sb_bus_inbox(t->bus))) {
    sbi_inbox_offer(sb_bus_inbox(t->bus), &event, NULL, 0);
    count++;
  }
  return count;
}

/* The inbox is full: a registration is not forgotten, and asked for once there is room. */
static void questions_wait(void) {
  enum { CLIENTS = 20 };
  struct town t;
  struct raw raws[CLIENTS], gone;
  bool seen[CLIENTS] = {false};
  town_open(&t, (sb_bus_options){.idle_ms = NEVER, .ask_host = 1});
  uint64_t fillers = fill_inbox(&t);
  REQUIRE(fillers > 0);
  for (int i = 0; i < CLIENTS; i++)
    town_enter(&t, &raws[i], (struct request){.addr = {20, (uint8_t)i, 9}});
  town_enter(&t, &gone, (struct request){.addr = {21, 1, 9}});
  UNTIL(town_stats(&t).links == CLIENTS + 1, poll(NULL, 0, 1));
  raw_put(&raws[0], 0, 5, newcomer, newcomer, NULL, 0); /* what comes behind it waits too */
  poll(NULL, 0, 2 * SBI_SWEEP_MS);
  for (int i = 0; i < CLIENTS; i++) {
    raw_read(&raws[i], 0);
    CHECK(raws[i].end == 0 && !raws[i].ended);
  }
  sb_batch batch;
  CHECK_INT(sb_inbox_drain(sb_bus_inbox(t.bus), &batch), fillers);
  for (int i = 0; i < CLIENTS; i++) {
    const struct report *ask = town_report_of(&t, SB_EV_BUS_ASK);
    if (ask->addr.unit == 21) ask = town_report_of(&t, SB_EV_BUS_ASK);
    REQUIRE(ask->addr.unit == 20 && ask->addr.client < CLIENTS);
    CHECK(!seen[ask->addr.client]);
    seen[ask->addr.client] = true;
    CHECK_INT(sb_bus_decide(t.bus, (uint32_t)ask->id, SB_OK), SB_OK);
    CHECK_INT(town_ack(&raws[ask->addr.client]), 0);
  }
  CHECK_INT(sb_inbox_lost(sb_bus_inbox(t.bus)), 0);
  CHECK_INT(town_stats(&t).clients, CLIENTS);
  for (int i = 0; i < CLIENTS; i++) raw_close(&raws[i]);
  raw_close(&gone);
  town_close(&t);
}

/* It gives up waiting, or never gets an answer: nothing stays behind. */
static void questions_do_not_wait_for_ever(void) {
  struct town t;
  struct raw patient, gone;
  town_open(&t, (sb_bus_options){.idle_ms = 700, .ask_host = 1});
  fill_inbox(&t);
  town_enter(&t, &patient, (struct request){.addr = {20, 1, 9}});
  town_enter(&t, &gone, (struct request){.addr = {20, 2, 9}});
  raw_close(&gone);
  raw_expect_end(&patient);
  UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
  CHECK_INT(town_stats(&t).idle, 2);
  raw_close(&patient);
  town_close(&t);
}

/* What it could not be told is counted. */
static void reports_are_counted(void) {
  struct town t;
  struct raw raw;
  town_open(&t, (sb_bus_options){.idle_ms = NEVER});
  fill_inbox(&t);
  town_join(&t, &raw, 20, 1, 9);
  raw_close(&raw);
  UNTIL(town_stats(&t).links == 0, poll(NULL, 0, 1));
  CHECK_INT(sb_inbox_lost(sb_bus_inbox(t.bus)), 2);
  town_close(&t);
}

int main(void) {
  return check_run((struct check_case[]){
      {"silent_ones_make_way", silent_ones_make_way, false},
      {"flood_of_silent_ones", flood_of_silent_ones, true},
      {"refused_and_asked_make_way", refused_and_asked_make_way, true},
      {"questions_wait", questions_wait, true},
      {"questions_do_not_wait_for_ever", questions_do_not_wait_for_ever, true},
      {"reports_are_counted", reports_are_counted, false},
      {0},
  });
}
