/* flow: waits for acks and returns, one by one and against a model. */
#include "flow.h"

#include "check.h"

static bool add(struct sbi_flows *flows, int32_t id, uint8_t client, int64_t ack, int64_t ret) {
  struct sbi_flow flow = {.id = id, .client = client, .ack_due = ack, .return_due = ret};
  snprintf(flow.project, sizeof flow.project, "P%d", id);
  return sbi_flows_add(flows, &flow);
}

static void ack_and_return(void) {
  struct sbi_flows flows;
  struct sbi_flow found;
  REQUIRE(sbi_flows_init(&flows));
  REQUIRE(add(&flows, 1, 7, 1000, 2000));
  CHECK_INT(flows.acks, 1);
  CHECK_INT(flows.returns, 1);
  CHECK(!sbi_flows_find(&flows, 2, true, &found));
  REQUIRE(sbi_flows_find(&flows, 1, true, &found));
  CHECK_INT(found.client, 7);
  CHECK_TEXT(found.project, "P1");
  CHECK(sbi_flows_find(&flows, 1, true, &found)); /* finding ends nothing */
  sbi_flows_done(&flows, 1, true);
  CHECK(!sbi_flows_find(&flows, 1, true, &found));
  CHECK(sbi_flows_find(&flows, 1, false, &found)); /* the return is another wait */
  sbi_flows_done(&flows, 1, true);                 /* again: nothing */
  sbi_flows_done(&flows, 99, true);
  CHECK_INT(flows.acks, 0);
  CHECK_INT(flows.returns, 1);
  sbi_flows_done(&flows, 1, false);
  CHECK_INT(flows.returns, 0);
  CHECK(!sbi_flows_find(&flows, 1, false, &found));
  sbi_flows_clear(&flows);
  sbi_flows_clear(&flows);
}

static void nothing_to_wait_for(void) {
  struct sbi_flows flows;
  struct sbi_flow found;
  REQUIRE(sbi_flows_init(&flows));
  CHECK(add(&flows, 1, 0, 0, 0));
  CHECK(!sbi_flows_find(&flows, 1, true, &found));
  CHECK_INT(flows.acks + flows.returns, 0);
  sbi_flows_clear(&flows);
}

static void expiry(void) {
  struct sbi_flows flows;
  struct sbi_flow flow;
  bool ack;
  REQUIRE(sbi_flows_init(&flows));
  REQUIRE(add(&flows, 1, 1, 100, 100)); /* both at once: the ack first */
  REQUIRE(add(&flows, 1025, 2, 0, 50)); /* the same bucket */
  REQUIRE(add(&flows, 2, 3, 101, 0));
  CHECK(!sbi_flows_expired(&flows, 49, &flow, &ack));
  REQUIRE(sbi_flows_expired(&flows, 50, &flow, &ack));
  CHECK_INT(flow.id, 1025);
  CHECK(!ack);
  CHECK(!sbi_flows_expired(&flows, 99, &flow, &ack));
  REQUIRE(sbi_flows_expired(&flows, 100, &flow, &ack));
  CHECK_INT(flow.id, 1);
  CHECK(ack);
  REQUIRE(sbi_flows_expired(&flows, 100, &flow, &ack));
  CHECK_INT(flow.id, 1);
  CHECK(!ack);
  CHECK_TEXT(flow.project, "P1");
  CHECK(!sbi_flows_expired(&flows, 100, &flow, &ack));
  REQUIRE(sbi_flows_expired(&flows, 1 << 30, &flow, &ack));
  CHECK_INT(flow.id, 2);
  REQUIRE(add(&flows, 4, 1, 1000, 50)); /* looked for late: in the order in which they were due */
  REQUIRE(sbi_flows_expired(&flows, 1000, &flow, &ack));
  CHECK(!ack);
  REQUIRE(sbi_flows_expired(&flows, 1000, &flow, &ack));
  CHECK(ack);
  CHECK_INT(flows.acks + flows.returns, 0);
  sbi_flows_clear(&flows);
}

static void forgetting_a_client(void) {
  struct sbi_flows flows;
  struct sbi_flow found;
  REQUIRE(sbi_flows_init(&flows));
  for (int32_t id = 1; id <= 3000; id++) REQUIRE(add(&flows, id, (uint8_t)(id % 3), 1, 1));
  sbi_flows_forget(&flows, 1);
  CHECK_INT(flows.acks, 2000);
  CHECK_INT(flows.returns, 2000);
  for (int32_t id = 1; id <= 3000; id++)
    CHECK_INT(sbi_flows_find(&flows, id, true, &found), id % 3 != 1);
  sbi_flows_forget(&flows, 0);
  sbi_flows_forget(&flows, 2);
  CHECK_INT(flows.acks + flows.returns, 0);
  sbi_flows_clear(&flows);
}

enum { IDS = 200 };

struct model {
  int64_t ack[IDS], ret[IDS];
};

static void expire_both(struct sbi_flows *flows, struct model *model, int64_t now) {
  struct sbi_flow flow;
  bool ack;
  while (sbi_flows_expired(flows, now, &flow, &ack)) {
    int64_t *due = ack ? &model->ack[flow.id] : &model->ret[flow.id];
    CHECK(*due != 0 && *due <= now);
    *due = 0;
  }
  for (int i = 0; i < IDS; i++) {
    CHECK(model->ack[i] == 0 || model->ack[i] > now);
    CHECK(model->ret[i] == 0 || model->ret[i] > now);
  }
}

static void against_a_model(void) {
  struct sbi_flows flows;
  static struct model model;
  uint64_t chance = 42;
  REQUIRE(sbi_flows_init(&flows));
  for (int64_t now = 1; now < 20000; now++) {
    int32_t id = (int32_t)(check_random(&chance) % IDS);
    bool ack = check_random(&chance) % 2;
    struct sbi_flow found;
    if (check_random(&chance) % 2) {
      int64_t *due = ack ? &model.ack[id] : &model.ret[id];
      CHECK_INT(sbi_flows_find(&flows, id, ack, &found), *due != 0);
      sbi_flows_done(&flows, id, ack);
      *due = 0;
    } else if (model.ack[id] == 0 && model.ret[id] == 0) {
      model.ack[id] = check_random(&chance) % 3 ? now + check_random(&chance) % 500 : 0;
      model.ret[id] = check_random(&chance) % 3 ? now + check_random(&chance) % 500 : 0;
      REQUIRE(add(&flows, id, 0, model.ack[id], model.ret[id]));
    }
    if (now % 37 == 0) expire_both(&flows, &model, now);
    int acks = 0, returns = 0;
    for (int i = 0; i < IDS; i++) {
      acks += model.ack[i] != 0;
      returns += model.ret[i] != 0;
    }
    REQUIRE_INT(flows.acks, acks);
    REQUIRE_INT(flows.returns, returns);
  }
  sbi_flows_clear(&flows);
}

int main(void) {
  return check_run((struct check_case[]){
      {"ack_and_return", ack_and_return, false},
      {"nothing_to_wait_for", nothing_to_wait_for, false},
      {"expiry", expiry, false},
      {"forgetting_a_client", forgetting_a_client, false},
      {"against_a_model", against_a_model, false},
      {0},
  });
}
