#include <poll.h>
#include <time.h>

#include "net.h"

enum { KEEPER_MS = 500 };

void sbi_net_flush(sb_net *net) {
  while (net->dirty != NULL) {
    struct sbi_link *link = net->dirty;
    net->dirty = link->next_dirty;
    link->dirty = false;
    sbi_conn_flush(&link->conn);
  }
}

void sbi_net_dirty(sb_net *net, struct sbi_link *link) {
  if (link->dirty) return;
  link->dirty = true;
  link->next_dirty = net->dirty;
  net->dirty = link;
}

static void each_link(sb_net *net, void (*visit)(struct sbi_link *link)) {
  for (int i = 0; i < 256; i++) {
    if (net->clients[i] == NULL) continue;
    visit(&net->clients[i]->links[0]);
    visit(&net->clients[i]->links[1]);
  }
}

static void resume(struct sbi_link *link) {
  if (sbi_conn_open(&link->conn) && link->conn.paused) sbi_conn_resume(&link->conn);
}

/* Links that a full inbox held back go on where they stopped. */
static void resume_held(sb_net *net) {
  if (!net->holding || sbi_inbox_full(net->inbox)) return;
  net->holding = false; /* a link that is held back again says so again */
  each_link(net, resume);
}

static void end_grace(sb_net *net) {
  for (int i = 0; i < 256; i++)
    if (net->clients[i] != NULL) net->clients[i]->grace = false;
}

static void work(sb_net *net) {
  net->flush_soon = false;
  sbi_loop_dispatch(&net->loop);
  sbi_net_flush(net);
}

/* One look at the sockets; the lock is given up while it waits. */
static void look(sb_net *net, int timeout_ms) {
  int wait = sbi_loop_prepare(&net->loop, timeout_ms);
  if (timeout_ms == 0) {
    sbi_loop_wait(&net->loop, 0);
  } else {
    net->parked = true;
    sbi_inbox_quiet(net->inbox, false);
    pthread_mutex_unlock(&net->lock);
    sbi_loop_wait(&net->loop, wait);
    pthread_mutex_lock(&net->lock);
    sbi_inbox_quiet(net->inbox, true);
    net->parked = false;
  }
  work(net);
  net->last_step = net->loop.now;
}

int sb_net_step(sb_net *net, int timeout_ms) {
  pthread_mutex_lock(&net->lock);
  net->loop.now = sbi_now_ms();
  int64_t end = net->loop.now + timeout_ms;
  sbi_inbox_quiet(net->inbox, true);
  /* The host has handled what it drained before, but not what the keeper added since. */
  if (sbi_inbox_count(net->inbox) == 0) end_grace(net);
  resume_held(net);
  sbi_net_flush(net);
  int count = (int)sbi_inbox_count(net->inbox);
  /* A thread that only sends is not to be woken, with its interpreter's lock, by what is no event. */
  do {
    look(net, count > 0 ? 0 : timeout_ms);
    count = (int)sbi_inbox_count(net->inbox);
    if (timeout_ms > 0) timeout_ms = end > net->loop.now ? (int)(end - net->loop.now) : 0;
  } while (count == 0 && timeout_ms != 0 && !net->loop.woken);
  sbi_inbox_quiet(net->inbox, false);
  pthread_mutex_unlock(&net->lock);
  return count;
}

void sb_net_wake(sb_net *net) {
  sbi_loop_wake(&net->loop);
}

/* The keeper: does the host's step when the host is busy elsewhere, and sends what the end of a burst
 * left meanwhile. */
void *sbi_net_keep(void *arg) {
  sb_net *net = arg;
  struct pollfd polled = {.fd = net->keeper_read, .events = POLLIN};
  const struct timespec gather = {.tv_nsec = SBI_GATHER_US * 1000L};
  for (bool stopping = false; !stopping;) {
    bool called = poll(&polled, 1, KEEPER_MS) > 0;
    if (called) {
      sbi_wake_clear(net->keeper_read);
      nanosleep(&gather, NULL);
    }
    pthread_mutex_lock(&net->lock);
    stopping = net->stopping;
    if (called && !stopping) {
      net->flush_soon = false;
      sbi_net_flush(net);
    }
    if (!stopping && !net->parked && sbi_now_ms() - net->last_step >= KEEPER_MS) {
      sbi_loop_prepare(&net->loop, 0);
      sbi_loop_wait(&net->loop, 0);
      work(net);
    }
    pthread_mutex_unlock(&net->lock);
  }
  return NULL;
}

void sb_net_cork(sb_net *net, int on) {
  pthread_mutex_lock(&net->lock);
  net->corked = on != 0;
  net->corked_thread = pthread_self();
  if (!net->corked) sbi_net_flush(net);
  pthread_mutex_unlock(&net->lock);
}

void sb_net_flush(sb_net *net) {
  pthread_mutex_lock(&net->lock);
  sbi_net_flush(net);
  pthread_mutex_unlock(&net->lock);
}

uint64_t sb_net_queued(sb_net *net) {
  uint64_t bytes = 0;
  pthread_mutex_lock(&net->lock);
  for (int i = 0; i < 256; i++) {
    const struct sbi_client *client = net->clients[i];
    if (client != NULL)
      bytes +=
          client->links[0].conn.out.bytes + client->links[1].conn.out.bytes + client->held.bytes;
  }
  pthread_mutex_unlock(&net->lock);
  return bytes;
}
