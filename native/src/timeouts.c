/* Flow calls whose answer does not come: found by the net's timer and put into the inbox, or found
 * and reported by a thread of their own (NET.md 9.5), which no other callback holds up. The wait is
 * taken from the table under the net's lock, so an answer and a time-out are never both reported. */
#include <poll.h>
#include <string.h>

#include "net.h"

static bool flows_wait(const sb_net *net) {
  return net->flows.acks > 0 || net->flows.returns > 0;
}

static bool has_thread(const sb_net *net) {
  return net->timeout_write >= 0;
}

/* Take one wait that is over. */
static bool take(sb_net *net, int64_t now, sb_event *event, char *project) {
  struct sbi_flow flow;
  bool ack;
  if (!sbi_flows_expired(&net->flows, now, &flow, &ack)) return false;
  *event = (sb_event){.kind = ack ? SB_EV_FLOW_ACK : SB_EV_FLOW_RETURN,
                      .client = flow.client,
                      .id = flow.id,
                      .code = SB_ETIMEOUT};
  memcpy(project, flow.project, sizeof flow.project);
  return true;
}

static void trace(sb_net *net, const sb_event *event) {
  sbi_net_trace(net, 1, "client %u: no flow %s in time, id %d", event->client,
                event->kind == SB_EV_FLOW_ACK ? "ack" : "return", (int)event->id);
}

/* ---- as events ------------------------------------------------------------- */

void sbi_net_flow_tick(struct sbi_timer *timer) {
  sb_net *net = (sb_net *)((char *)timer - offsetof(sb_net, flow_tick));
  char project[SBI_PROJECT_MAX];
  sb_event event;
  while (take(net, net->loop.now, &event, project)) {
    struct sbi_part parts[] = {{project, strlen(project) + 1}, {"", 1}};
    sbi_inbox_force(net->inbox, &event, parts, 2);
    trace(net, &event);
  }
  sbi_timeouts_start(net);
}

void sbi_timeouts_start(sb_net *net) {
  if (!flows_wait(net)) return;
  if (!has_thread(net)) {
    if (net->flow_tick.place == 0)
      sbi_timer_set(&net->loop, &net->flow_tick, sbi_now_ms() + SBI_FLOW_TICK_MS);
  } else if (net->next_look == 0) {
    net->next_look = sbi_now_ms() + SBI_FLOW_TICK_MS;
    sbi_wake_signal(net->timeout_write);
  }
}

/* ---- by a thread ----------------------------------------------------------- */

bool sbi_timeouts_by_thread(sb_net *net) {
  return sbi_wake_open(&net->timeout_read, &net->timeout_write) == 0;
}

bool sbi_timeouts_step(sb_net *net, sb_event *event, char project[SBI_PROJECT_MAX]) {
  pthread_mutex_lock(&net->lock);
  int64_t now = sbi_now_ms();
  bool look = net->next_look != 0 && now >= net->next_look;
  bool over = look && take(net, now, event, project);
  if (over)
    trace(net, event);
  else if (!flows_wait(net))
    net->next_look = 0;
  else if (look)
    net->next_look = now + SBI_FLOW_TICK_MS;
  int wait = net->next_look == 0 ? -1 : (int)(net->next_look - now);
  pthread_mutex_unlock(&net->lock);
  if (over) return true;
  struct pollfd polled = {.fd = net->timeout_read, .events = POLLIN};
  if (poll(&polled, 1, wait) > 0) sbi_wake_clear(net->timeout_read);
  return false;
}

void sbi_timeouts_wake(sb_net *net) {
  sbi_wake_signal(net->timeout_write);
}
