/* SPDX-License-Identifier: MIT */
/*
 * net: what the network objects of one shard share: their memory, the list of those that are open,
 * and what must happen to them when the run ends. Made at first use, it hangs from shard->net.
 */
#ifndef RL_RT_NET_H
#define RL_RT_NET_H

#include "rt/chunk.h"
#include "rt/shard.h"

struct rl_out;
struct rl_slab;

/* An object with operations in flight; embedded. */
struct rl_net_item {
	struct rl_list link;
	/* End of the run, the seam is open: cancel what is in flight, close descriptors. */
	void (*stop)(struct rl_net_item *item);
	/* The seam is closed: let go of handles and free the memory, unless it must be kept. */
	void (*drop)(struct rl_net_item *item, bool keep);
};

struct rl_net {
	struct rl_shard *shard;
	struct rl_os *os;
	struct rl_chunks chunks;
	struct rl_slab *streams;     /* by slot */
	struct rl_list items;        /* listeners, dials, resolves, contents */
	struct rl_list starved;      /* streams that receive again when buffers are back, by op.link */
	struct rl_dirty rearm;       /* does so */
	struct rl_out *outs;         /* free ones */
	unsigned outs_len;
	struct rl_slab *messages;    /* by slot; made with the first */
	uint32_t message_gen;        /* no two messages have the same for a long time */
	int64_t date_until_ns;       /* of what follows, the line that answers have */
	char date[40];
	struct rl_list classifiers;  /* of servers that have one */
	unsigned serial;             /* no two nets of a shard have the same; not 0 */
	unsigned draining;           /* closed streams that still send */
	bool stopping;               /* the run ends: wake nobody */
	unsigned *handles;           /* counts open descriptors for the leak check */
};

/* The shard's, made if need be; NULL without memory. The seam must be open. */
struct rl_net *rl_net_get(struct rl_shard *s, unsigned *handles);

/* Before the seam is closed: send what closed streams still have (a second at most), close
 * everything. Nothing wakes a task from here on. Idempotent; no net is fine. */
void rl_net_shutdown(struct rl_shard *s);

/* After the seam was closed with `err`, its result: on failure the memory is kept on purpose. */
void rl_net_free(struct rl_shard *s, int err);

static inline void rl_net_add(struct rl_net *net, struct rl_net_item *item)
{
	rl_list_push(&net->items, &item->link);
}

#endif
