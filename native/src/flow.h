/* Flow calls that wait for their ack or their return, by invoke id (S 7.4). */
#ifndef SBI_FLOW_H
#define SBI_FLOW_H

#include <stdbool.h>
#include <stdint.h>

enum { SBI_FLOWS_MAX = 5000, SBI_FLOW_TICK_MS = 100, SBI_PROJECT_MAX = 32 };

struct sbi_flow {
  struct sbi_flow *next;
  int32_t id;
  uint8_t client;
  int64_t ack_due, return_due;   /* ms; 0 = not waited for */
  char project[SBI_PROJECT_MAX]; /* with its NUL */
};

struct sbi_flows {
  struct sbi_flow **buckets;
  int acks, returns; /* waited for */
};

bool sbi_flows_init(struct sbi_flows *flows);
void sbi_flows_clear(struct sbi_flows *flows);

/* Copies *flow. False: no memory. */
bool sbi_flows_add(struct sbi_flows *flows, const struct sbi_flow *flow);
/* Is this answer waited for? If so, *found is a copy; the wait stays until sbi_flows_done. */
bool sbi_flows_find(const struct sbi_flows *flows, int32_t id, bool ack, struct sbi_flow *found);
void sbi_flows_done(struct sbi_flows *flows, int32_t id, bool ack);
/* Take one wait that is over: false if there is none. *ack says which wait it was. */
bool sbi_flows_expired(struct sbi_flows *flows, int64_t now, struct sbi_flow *flow, bool *ack);
/* Forget every wait of a client. */
void sbi_flows_forget(struct sbi_flows *flows, uint8_t client);

#endif
