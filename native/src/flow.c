#include "flow.h"

#include <stddef.h>

#include "alloc.h"

enum { BUCKETS = 1024 };

static struct sbi_flow **bucket(const struct sbi_flows *flows, int32_t id) {
  return &flows->buckets[(uint32_t)id % BUCKETS];
}

bool sbi_flows_init(struct sbi_flows *flows) {
  *flows = (struct sbi_flows){.buckets = sbi_calloc(BUCKETS, sizeof(struct sbi_flow *))};
  return flows->buckets != NULL;
}

/* Forget the waits that `which` names; frees the entry when none is left. Returns true if freed. */
static bool drop(struct sbi_flows *flows, struct sbi_flow **place, bool ack, bool ret) {
  struct sbi_flow *flow = *place;
  if (ack && flow->ack_due != 0) {
    flow->ack_due = 0;
    flows->acks--;
  }
  if (ret && flow->return_due != 0) {
    flow->return_due = 0;
    flows->returns--;
  }
  if (flow->ack_due != 0 || flow->return_due != 0) return false;
  *place = flow->next;
  sbi_free(flow);
  return true;
}

void sbi_flows_clear(struct sbi_flows *flows) {
  if (flows->buckets == NULL) return;
  for (int i = 0; i < BUCKETS; i++)
    while (flows->buckets[i] != NULL) drop(flows, &flows->buckets[i], true, true);
  sbi_free(flows->buckets);
  flows->buckets = NULL;
}

bool sbi_flows_add(struct sbi_flows *flows, const struct sbi_flow *flow) {
  if (flow->ack_due == 0 && flow->return_due == 0) return true;
  struct sbi_flow *copy = sbi_malloc(sizeof *copy);
  if (copy == NULL) return false;
  struct sbi_flow **place = bucket(flows, flow->id);
  *copy = *flow;
  copy->next = *place;
  *place = copy;
  flows->acks += flow->ack_due != 0;
  flows->returns += flow->return_due != 0;
  return true;
}

static struct sbi_flow **locate(const struct sbi_flows *flows, int32_t id) {
  struct sbi_flow **place = bucket(flows, id);
  while (*place != NULL && (*place)->id != id) place = &(*place)->next;
  return place;
}

bool sbi_flows_find(const struct sbi_flows *flows, int32_t id, bool ack, struct sbi_flow *found) {
  const struct sbi_flow *flow = *locate(flows, id);
  if (flow == NULL || (ack ? flow->ack_due : flow->return_due) == 0) return false;
  *found = *flow;
  return true;
}

void sbi_flows_done(struct sbi_flows *flows, int32_t id, bool ack) {
  struct sbi_flow **place = locate(flows, id);
  if (*place != NULL) drop(flows, place, ack, !ack);
}

bool sbi_flows_expired(struct sbi_flows *flows, int64_t now, struct sbi_flow *flow, bool *ack) {
  if (flows->acks == 0 && flows->returns == 0) return false;
  for (int i = 0; i < BUCKETS; i++) {
    for (struct sbi_flow **place = &flows->buckets[i]; *place != NULL; place = &(*place)->next) {
      bool ack_over = (*place)->ack_due != 0 && (*place)->ack_due <= now;
      bool return_over = (*place)->return_due != 0 && (*place)->return_due <= now;
      if (!ack_over && !return_over) continue;
      *flow = **place;
      *ack = ack_over && (!return_over || flow->ack_due <= flow->return_due);
      drop(flows, place, *ack, !*ack);
      return true;
    }
  }
  return false;
}

void sbi_flows_forget(struct sbi_flows *flows, uint8_t client) {
  for (int i = 0; i < BUCKETS; i++) {
    struct sbi_flow **place = &flows->buckets[i];
    while (*place != NULL) {
      if ((*place)->client != client || !drop(flows, place, true, true)) place = &(*place)->next;
    }
  }
}
