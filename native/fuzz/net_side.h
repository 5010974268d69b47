/* A net with one client on the simulated system; the target is its server. */
#ifndef NET_SIDE_H
#define NET_SIDE_H

#include "frames.h"
#include "target.h"

enum { NET_UNIT = 19, NET_CLIENT = 3, NET_TYPE = 18, NET_SERVER = 1, NET_CALLS = 3 };

/* Bits of the first byte of most inputs. */
enum {
  NET_REGISTERED = 1, /* registered before the input arrives, NET_CALLS flow calls wait */
  NET_LOCAL = 2,      /* over a local socket */
  NET_SLAVE = 4,      /* a slave link too */
  NET_DEAF = 8,       /* flow answers and global events are not listened to */
  NET_TRACE = 16,
  NET_2015 = 32,
  NET_FIXED = 64,    /* the wire form is given, not found out */
  NET_SEPARATE = 128 /* free for the target */
};

struct net_side {
  sb_net *net;
  struct pieces pieces;
  struct record *record;
  int answers[2][NET_CALLS + 1]; /* acks and returns of each call, time-outs too */
  bool cut;                      /* the client closed a connection for what arrived on it */
};

extern const struct address net_self, net_server;

void net_side_open(struct net_side *side, unsigned bits, int how, struct record *record);
/* Dies unless the client gets back to a server in good order. Then everything is recorded, freed. */
void net_side_close(struct net_side *side);
/* Let the net work until it has nothing to do. */
void net_side_settle(void *side);
/* Feed the n-th connection that the client made. */
void net_side_feed(struct net_side *side, int n, struct input input);
/* It ends, if it has not yet. */
void net_side_end(struct net_side *side, int n, int error);
void net_side_wait(struct net_side *side, int64_t ms);

#endif
