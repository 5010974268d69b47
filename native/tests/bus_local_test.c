/* bus, its local listener: the socket file, who may register, and routing between both transports. */
#include <sys/wait.h>

#include "bus_town.h"
#include "local.h"

static const struct raw_addr nobody = {0, 0, 0}, garbage = {99, 0, 0};

struct village {
  struct town town;
  struct local local;
};

static void village_open(struct village *v, sb_bus_options options) {
  local_open(&v->local);
  town_open(&v->town, options);
  REQUIRE_INT(sb_bus_listen_local(v->town.bus, v->local.path, 0600), 0);
}

static void village_close(struct village *v) {
  town_close(&v->town);
  CHECK(access(v->local.path, F_OK) != 0 && errno == ENOENT);
  local_close(&v->local);
}

static void local_register(struct raw *raw, int client, int type) {
  const struct vector *v = vector("ipc_register");
  uint8_t frame[SBI_REGISTRATION_MAX];
  memcpy(frame, v->bytes, v->size);
  frame[4] = (uint8_t)type;
  frame[5] = 0x63; /* of no meaning, IPC.md 3.1 */
  frame[6] = (uint8_t)client;
  memset(frame + 7, 0x77, 5);
  raw_send(raw, frame, v->size);
}

static void local_join(struct village *v, struct raw *raw, int client, int type) {
  local_connect(raw, v->local.path);
  local_register(raw, client, type);
  REQUIRE_INT(town_ack(raw), 0);
}

/* A process of its own that registers and stays for as long as `hold` is open; returns the code. */
static int foreign_join(struct village *v, int client, int hold[2], pid_t *child) {
  int answer[2];
  uint8_t code = 0;
  REQUIRE_INT(pipe(answer), 0);
  REQUIRE_INT(pipe(hold), 0);
  *child = fork();
  REQUIRE(*child >= 0);
  if (*child == 0) { /* no check in here: its report would be the parent's */
    struct sockaddr_un address = local_address(v->local.path);
    struct raw raw = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
    uint8_t ack[24] = {0};
    close(hold[1]);
    alarm(60);
    const struct vector *reg = vector("ipc_register");
    uint8_t frame[SBI_REGISTRATION_MAX];
    memcpy(frame, reg->bytes, reg->size);
    frame[6] = (uint8_t)client;
    bool ok = connect(raw.fd, (struct sockaddr *)&address, sizeof address) == 0 &&
              write(raw.fd, frame, reg->size) == (ssize_t)reg->size &&
              recv(raw.fd, ack, sizeof ack, MSG_WAITALL) == (ssize_t)sizeof ack;
    code = ok ? ack[20] : 0x7F;
    ok = write(answer[1], &code, 1) == 1 && read(hold[0], &code, 1) == 0;
    _exit(ok ? 0 : 1);
  }
  close(answer[1]);
  close(hold[0]);
  REQUIRE_INT(read(answer[0], &code, 1), 1);
  close(answer[0]);
  return (int8_t)code;
}

static void foreign_leave(int hold[2], pid_t child) {
  int status = -1;
  close(hold[1]);
  REQUIRE_INT(waitpid(child, &status, 0), child);
  CHECK_INT(status, 0);
}

/* ---- the socket file ------------------------------------------------------- */

static void socket_file(void) {
  struct local local;
  struct stat found;
  struct raw raw;
  char longest[200];
  local_open(&local);
  sb_bus *bus = sb_bus_new(NULL), *other = sb_bus_new(NULL);
  REQUIRE(bus != NULL && other != NULL);
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  CHECK_INT(sb_bus_listen_local(bus, longest, 0600), -ENAMETOOLONG);
  CHECK_INT(sb_bus_listen_local(bus, "", 0600), -ENAMETOOLONG);
  CHECK_INT(sb_bus_listen_local(bus, "/no/such/directory/socket", 0600), -ENOENT);

  int fd = open(local.path, O_CREAT | O_WRONLY, 0600); /* a file is left alone */
  REQUIRE(fd >= 0);
  close(fd);
  CHECK_INT(sb_bus_listen_local(bus, local.path, 0600), -EEXIST);
  CHECK_INT(lstat(local.path, &found), 0);
  unlink(local.path);
  REQUIRE_INT(symlink("/no/such/file", local.path), 0); /* and a link */
  CHECK_INT(sb_bus_listen_local(bus, local.path, 0600), -EEXIST);
  unlink(local.path);

  close(local_bind(local.path)); /* a stale one goes */
  CHECK_INT(sb_bus_listen_local(bus, local.path, 0622), 0);
  REQUIRE_INT(lstat(local.path, &found), 0);
  CHECK(S_ISSOCK(found.st_mode));
  CHECK_INT(found.st_mode & 07777, 0622);
  CHECK_INT(sb_bus_listen_local(other, local.path, 0600), -EADDRINUSE);
  CHECK_INT(sb_bus_listen_local(bus, local.path, 0600), -EADDRINUSE);
  sb_bus_free(other); /* which takes nothing along */
  REQUIRE_INT(sb_bus_start(bus), 0);
  local_connect(&raw, local.path);
  sb_bus_free(bus);
  CHECK(lstat(local.path, &found) != 0 && errno == ENOENT);
  raw_close(&raw);

  /* One whose backlog is full is alive, and nobody waits for it. */
  struct sockaddr_un address = local_address(local.path);
  int listener = local_bind(local.path), fillers[64], count = 0;
  REQUIRE_INT(listen(listener, 0), 0);
  for (bool full = false; !full && count < 64; count++) {
    fillers[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    full = connect(fillers[count], (struct sockaddr *)&address, sizeof address) != 0;
  }
  bus = sb_bus_new(NULL);
  REQUIRE(bus != NULL);
  CHECK_INT(sb_bus_listen_local(bus, local.path, 0600), -EADDRINUSE);
  CHECK_INT(sb_bus_listen(bus, "127.0.0.1", 0) > 0, 1);
  sb_bus_free(bus);
  while (count > 0) close(fillers[--count]);
  close(listener);
  local_close(&local);
}

/* The name of the socket is somebody else's by now: it stays. */
static void file_of_another(void) {
  struct local local;
  struct stat found;
  char moved[80];
  local_open(&local);
  snprintf(moved, sizeof moved, "%s/moved", local.directory);
  sb_bus *bus = sb_bus_new(NULL), *other = sb_bus_new(NULL);
  REQUIRE(bus != NULL && other != NULL);
  REQUIRE_INT(sb_bus_listen_local(bus, local.path, 0600), 0);
  REQUIRE_INT(unlink(local.path), 0);
  REQUIRE_INT(sb_bus_listen_local(other, local.path, 0600), 0);
  sb_bus_free(bus);
  CHECK_INT(lstat(local.path, &found), 0);
  REQUIRE_INT(rename(local.path, moved), 0); /* its own file with another name: not looked for */
  int fd = open(local.path, O_CREAT | O_WRONLY, 0600);
  REQUIRE(fd >= 0);
  close(fd);
  sb_bus_free(other);
  CHECK_INT(lstat(local.path, &found), 0);
  CHECK(S_ISREG(found.st_mode));
  unlink(moved);
  local_close(&local);
}

/* ---- registration ---------------------------------------------------------- */

static void registration(void) {
  struct village v;
  struct raw raw;
  struct raw_frame frame;
  sb_bus_client client;
  char peer[32];
  village_open(&v, (sb_bus_options){0});
  local_connect(&raw, v.local.path);
  /* Before its registration nothing that a client says counts, however much (IPC.md 2.2). */
  static uint8_t early[200000];
  raw_put(&raw, 3, 1, garbage, nobody, early, 5);
  raw_put(&raw, 3, 1, garbage, nobody, early, sizeof early);
  raw_put(&raw, 1, 7, garbage, (struct raw_addr){TOWN_UNIT, 0, 1}, "x", 1);
  local_register(&raw, 200, 9);
  raw_expect(&raw, &frame);
  CHECK_INT(frame.packet_size, 24);
  CHECK_INT(frame.size, 4);
  CHECK_INT(frame.cmdtype, 0);
  CHECK_INT(frame.cmd, 2);
  CHECK_ADDR(frame.src, TOWN_UNIT, 0, 1);
  CHECK_ADDR(frame.dst, TOWN_UNIT, 200, 9);
  CHECK_INT(raw_get32(frame.data), 0);
  const struct report *joined = town_report(&v.town);
  CHECK_INT(joined->kind, SB_EV_BUS_JOINED);
  CHECK_ADDR(joined->addr, TOWN_UNIT, 200, 9);
  snprintf(peer, sizeof peer, "local pid %ld", (long)getpid());
  CHECK_TEXT(report_text(joined, 0), peer);
  CHECK_TEXT(report_text(joined, 1), "info!");
  REQUIRE_INT(sb_bus_clients(v.town.bus, &client, 1), 1);
  CHECK_INT(client.pid, getpid());
  CHECK_INT(client.unit, TOWN_UNIT);
  CHECK_TEXT(client.peer, peer);
  sb_bus_stats_t stats = town_stats(&v.town);
  CHECK_INT(stats.unregistered, 3);
  CHECK_INT(stats.frames_in, 0);
  local_register(&raw, 201, 9); /* once */
  town_barrier(&raw, (struct raw_addr){TOWN_UNIT, 200, 9}, false);
  CHECK_INT(town_stats(&v.town).forged, 0);
  raw_close(&raw);
  CHECK_INT(town_report_of(&v.town, SB_EV_BUS_LEFT)->code, SB_LEFT_CLOSED);
  local_connect(&raw, v.local.path);
  local_register(&raw, 5, 1);
  CHECK_INT(town_ack(&raw), SB_ECLIENTTYPE);
  raw_close(&raw);
  village_close(&v);
}

/* A local client has one connection (IPC.md 3.1). */
static void connect_index(void) {
  struct village v;
  struct raw raw;
  village_open(&v, (sb_bus_options){0});
  for (int index = 1; index < 256; index += 127) {
    const struct vector *reg = vector("ipc_register");
    uint8_t frame[SBI_REGISTRATION_MAX];
    memcpy(frame, reg->bytes, reg->size);
    frame[20] = (uint8_t)index;
    local_connect(&raw, v.local.path);
    raw_send(&raw, frame, reg->size);
    CHECK_INT(town_ack(&raw), SB_EARGUMENT);
    const struct report *refused = town_report_of(&v.town, SB_EV_BUS_REFUSED);
    CHECK(strstr(report_text(refused, 1), "local client") != NULL);
    raw_close(&raw);
  }
  village_close(&v);
}

/* An id in use is refused, but the same process may have it anew. */
static void duplicates(void) {
  struct village v;
  struct raw first, second, net;
  int hold[2];
  pid_t child;
  village_open(&v, (sb_bus_options){0});
  local_join(&v, &first, 7, 9);
  CHECK_INT(foreign_join(&v, 7, hold, &child), SB_EEXISTS);
  foreign_leave(hold, child);
  town_barrier(&first, (struct raw_addr){TOWN_UNIT, 7, 9}, true);
  local_join(&v, &second, 7, 9);
  raw_expect_end(&first);
  CHECK_INT(town_report_of(&v.town, SB_EV_BUS_LEFT)->code, SB_LEFT_REPLACED);
  raw_close(&first);
  town_enter(&v.town, &net, (struct request){.addr = {TOWN_UNIT, 7, 9}, .pid = getpid()});
  CHECK_INT(town_ack(&net), SB_ETWICE); /* the other transport: somebody else */
  raw_close(&net);
  town_barrier(&second, (struct raw_addr){TOWN_UNIT, 7, 9}, true);
  raw_close(&second);
  town_join(&v.town, &net, TOWN_UNIT, 8, 2);
  local_connect(&first, v.local.path);
  local_register(&first, 8, 9);
  CHECK_INT(town_ack(&first), SB_EEXISTS);
  raw_close(&first);
  raw_close(&net);
  CHECK_INT(foreign_join(&v, 9, hold, &child), 0);
  local_connect(&first, v.local.path);
  local_register(&first, 9, 9);
  CHECK_INT(town_ack(&first), SB_EEXISTS);
  raw_close(&first);
  foreign_leave(hold, child);
  CHECK_INT(town_stats(&v.town).bad, 0);
  village_close(&v);
}

static void host_decides(void) {
  struct village v;
  struct raw raw;
  village_open(&v, (sb_bus_options){.ask_host = 1});
  for (int round = 0; round < 2; round++) {
    int code = round == 0 ? SB_EPASSWORD : 0;
    local_connect(&raw, v.local.path);
    local_register(&raw, 30, 4);
    const struct report *ask = town_report_of(&v.town, SB_EV_BUS_ASK);
    CHECK_ADDR(ask->addr, TOWN_UNIT, 30, 4);
    CHECK_TEXT(report_text(ask, 0), "alice");
    CHECK_TEXT(report_text(ask, 1), "secret");
    CHECK_TEXT(report_text(ask, 2), "info!");
    CHECK_INT(sb_bus_decide(v.town.bus, (uint32_t)ask->id, code), 0);
    CHECK_INT(town_ack(&raw), code);
    raw_close(&raw);
  }
  village_close(&v);
}

/* Local clients may be silent for ever; others, and those that never register, may not. */
static void silence(void) {
  struct village v;
  struct raw local, net, lazy;
  village_open(&v, (sb_bus_options){.idle_ms = 1000});
  local_join(&v, &local, 30, 4);
  town_join(&v.town, &net, 20, 4, 5);
  int64_t start = check_ms();
  local_connect(&lazy, v.local.path);
  raw_expect_end(&net);
  raw_expect_end(&lazy);
  CHECK(check_ms() - start >= 950); /* not at once */
  CHECK_INT(town_stats(&v.town).idle, 2);
  town_barrier(&local, (struct raw_addr){TOWN_UNIT, 30, 4}, true);
  raw_close(&local);
  raw_close(&net);
  raw_close(&lazy);
  village_close(&v);
}

/* ---- routing --------------------------------------------------------------- */

static void passes(struct raw *from, struct raw *to, struct raw_addr src, struct raw_addr dst) {
  struct raw_frame frame;
  raw_put(from, 3, 55, garbage, dst, "hello", 5); /* the bus says who it is from */
  town_frame(to, &frame);
  CHECK_INT(frame.cmd, 55);
  CHECK_ADDR(frame.src, src.unit, src.client, src.type);
  CHECK_BYTES(frame.data, frame.size, "hello", 5);
}

static void routing(void) {
  static const struct raw_addr a = {TOWN_UNIT, 30, 4}, b = {TOWN_UNIT, 31, 9}, n = {20, 4, 5};
  struct village v;
  struct raw ra, rb, rn;
  struct raw_frame frame;
  village_open(&v, (sb_bus_options){0});
  local_join(&v, &ra, 30, 4);
  local_join(&v, &rb, 31, 9);
  town_join(&v.town, &rn, 20, 4, 5);
  passes(&ra, &rb, a, b);
  passes(&rb, &ra, b, a);
  passes(&ra, &rn, a, n);
  passes(&rn, &ra, n, a);
  passes(&rn, &rb, n, b);
  raw_put(&ra, 3, 56, a, (struct raw_addr){255, 255, 255}, "all", 3);
  town_frame(&rb, &frame);
  CHECK_INT(frame.cmd, 56);
  town_frame(&rn, &frame);
  CHECK_INT(frame.cmd, 56);
  raw_put_vector(&ra, "ipc_flow_call"); /* nobody there: refused, not left waiting */
  town_frame(&ra, &frame);
  CHECK_INT(frame.cmd, 13);
  CHECK_INT((int32_t)raw_get32(frame.data + 41), SB_ENOCLIENT);
  town_barrier(&ra, a, false);
  town_barrier(&rb, b, false);
  raw_close(&ra);
  raw_close(&rb);
  raw_close(&rn);
  village_close(&v);
}

static void expect_global(struct raw *raw, struct raw_addr who, int status) {
  struct raw_frame frame;
  raw_expect(raw, &frame);
  CHECK_INT(frame.cmdtype, 1);
  CHECK(frame.cmd == 9 || frame.cmd == 10);
  REQUIRE_INT(frame.size, 281);
  CHECK_ADDR(((struct raw_addr){frame.data[20], frame.data[21], frame.data[22]}), who.unit,
             who.client, who.type);
  CHECK_INT(frame.data[23], TOWN_UNIT);
  CHECK_INT(frame.data[24], status);
  CHECK_TEXT((const char *)frame.data + 25, "info!");
}

/* Everybody hears of everybody else, once. */
static void global_events(void) {
  static const struct raw_addr a = {TOWN_UNIT, 30, 4}, b = {TOWN_UNIT, 31, 9}, n = {20, 4, 5};
  struct village v;
  struct raw ra, rb, rn;
  village_open(&v, (sb_bus_options){0});
  local_join(&v, &ra, 30, 4);
  local_join(&v, &rb, 31, 9);
  expect_global(&ra, b, 1);
  expect_global(&rb, a, 2);
  town_join(&v.town, &rn, 20, 4, 5);
  expect_global(&ra, n, 1);
  expect_global(&rb, n, 1);
  expect_global(&rn, b, 2);
  expect_global(&rn, a, 2);
  /* A client that announces itself is not passed on. */
  raw_put_vector(&ra, "ipc_global_here_answer");
  town_barrier(&ra, a, false);
  raw_close(&rb);
  expect_global(&ra, b, 0);
  expect_global(&rn, b, 0);
  town_barrier(&ra, a, false);
  town_barrier(&rn, n, false);
  raw_close(&rn);
  expect_global(&ra, n, 0);
  town_barrier(&ra, a, false);
  raw_close(&ra);
  village_close(&v);
}

/* A broken stream costs its own link (IPC.md 2.2: SendData with a negative size, for one). */
static void broken_frames(void) {
  static const struct raw_addr a = {TOWN_UNIT, 30, 4}, b = {TOWN_UNIT, 31, 9};
  static const struct {
    int32_t packet_size, data_size;
    uint8_t magic;
  } table[] = {{18, -1, 0x15}, {0, 0, 0x15}, {20, 1, 0x15}, {30, -5, 0x15}, {20, 0, 0x16}};
  struct village v;
  struct raw ra, rb, bad;
  village_open(&v, (sb_bus_options){0});
  local_join(&v, &ra, 30, 4);
  local_join(&v, &rb, 31, 9);
  int count = sizeof table / sizeof *table;
  for (int i = 0; i < count; i++) {
    uint8_t head[20] = {table[i].magic, 0x5B, 1, 3};
    raw_le32(head + 12, (uint32_t)table[i].packet_size);
    raw_le32(head + 16, (uint32_t)table[i].data_size);
    local_join(&v, &bad, 40, 9);
    raw_send(&bad, head, sizeof head);
    raw_expect_end(&bad);
    raw_close(&bad);
    CHECK_INT(town_report_of(&v.town, SB_EV_BUS_BAD)->addr.client, 40);
    passes(&ra, &rb, a, b);
    passes(&rb, &ra, b, a);
  }
  CHECK_INT(town_stats(&v.town).bad, count);
  CHECK_INT(town_stats(&v.town).clients, 2);
  raw_close(&ra);
  raw_close(&rb);
  village_close(&v);
}

int main(void) {
  return check_run((struct check_case[]){
      {"socket_file", socket_file, false},
      {"file_of_another", file_of_another, false},
      {"registration", registration, false},
      {"connect_index", connect_index, false},
      {"duplicates", duplicates, false},
      {"host_decides", host_decides, false},
      {"silence", silence, false},
      {"routing", routing, false},
      {"global_events", global_events, false},
      {"broken_frames", broken_frames, false},
      {0},
  });
}
