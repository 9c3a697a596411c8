/* SPDX-License-Identifier: MIT */
/*
 * net: see net.h.
 *
 * Invariants: a starved stream has no receive in flight, so its op's link is free for the list;
 * while the list is not empty, `rearm` is marked, or all buffers are in use and a return marks it.
 */
#include "rt/net.h"

#include "base/err.h"
#include "base/slab.h"
#include "rt/message.h"
#include "rt/out.h"

#include <stdlib.h>

#ifdef RL_TINY
#define STREAMS_PER_CHUNK 4
#else
#define STREAMS_PER_CHUNK 256
#endif
#define STREAMS_MAX (1u << 22)
#define STOP_NS 1000000000LL

static void buffer_returned(struct rl_chunks *pool)
{
	struct rl_net *net = rl_container(pool, struct rl_net, chunks);
	if (!rl_list_empty(&net->starved) && !net->stopping)
		rl_shard_mark(net->shard, &net->rearm);
}

/* As many as there are buffers; the others follow when these have given theirs back. */
static void rearm(struct rl_dirty *d)
{
	struct rl_net *net = rl_container(d, struct rl_net, rearm);
	for (unsigned n = net->os->buf_free; n > 0 && !rl_list_empty(&net->starved); n--)
		rl_stream_feed(rl_container(rl_list_pop(&net->starved), struct rl_stream, op.link));
}

static struct rl_net *net_new(struct rl_shard *s, unsigned *handles)
{
	struct rl_net *net = calloc(1, sizeof *net);
	if (!net)
		return NULL;
	net->shard = s;
	net->os = s->os;
	net->handles = handles;
	net->serial = ++s->nets;
	rl_list_init(&net->items);
	rl_list_init(&net->starved);
	rl_list_init(&net->classifiers);
	rl_list_init(&net->rearm.link);
	net->rearm.flush = rearm;
	net->streams = rl_slab_new(sizeof(struct rl_stream), STREAMS_PER_CHUNK, STREAMS_MAX);
	if (!net->streams || rl_chunks_init(&net->chunks, s->os) < 0) {
		rl_slab_free(net->streams);
		free(net);
		return NULL;
	}
	net->chunks.returned = buffer_returned;
	return net;
}

struct rl_net *rl_net_get(struct rl_shard *s, unsigned *handles)
{
	if (!s->net)
		s->net = net_new(s, handles);
	return s->net;
}

static struct rl_stream *stream_at(const struct rl_net *net, uint32_t slot)
{
	struct rl_stream *s = rl_slab_at(net->streams, slot);
	return s && rl_stream_is_live(s) ? s : NULL;
}

static void close_streams(struct rl_net *net)
{
	for (uint32_t i = 0; i < net->streams->used; i++) {
		struct rl_stream *s = stream_at(net, i);
		if (s)
			rl_stream_close(s);
	}
}

/* Let closed streams send what they have. */
static void drain(struct rl_net *net)
{
	int64_t limit_ns = rl_shard_now(net->shard) + STOP_NS;
	while (net->draining > 0 && rl_shard_now(net->shard) < limit_ns) {
		int n = rl_os_poll(net->os, limit_ns);
		if (n < 0 && n != -EINTR)
			return;
	}
}

void rl_net_shutdown(struct rl_shard *s)
{
	struct rl_net *net = s->net;
	if (!net || net->stopping)
		return;
	net->stopping = true;
	rl_list_remove(&net->rearm.link);
	for (struct rl_list *l = net->items.next; l != &net->items; l = l->next) {
		struct rl_net_item *item = rl_container(l, struct rl_net_item, link);
		item->stop(item);
	}
	close_streams(net);
	drain(net);
	for (uint32_t i = 0; i < net->streams->used; i++) {
		struct rl_stream *stream = stream_at(net, i);
		if (stream)
			rl_stream_stop(stream);
	}
}

void rl_net_free(struct rl_shard *s, int err)
{
	struct rl_net *net = s->net;
	bool keep = err < 0;
	if (!net)
		return;
	s->net = NULL;
	for (uint32_t i = 0; i < net->streams->used; i++) {
		struct rl_stream *stream = stream_at(net, i);
		if (stream)
			rl_stream_drop(stream, keep);
	}
	while (rl_list_pop(&net->classifiers))
		continue;
	for (struct rl_list *l = rl_list_pop(&net->items); l; l = rl_list_pop(&net->items)) {
		struct rl_net_item *item = rl_container(l, struct rl_net_item, link);
		item->drop(item, keep);
	}
	if (keep)
		return;
	rl_messages_free(net);
	rl_out_term(net);
	rl_chunks_term(&net->chunks);
	rl_slab_free(net->streams);
	free(net);
}
