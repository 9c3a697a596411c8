/* SPDX-License-Identifier: MIT */
/*
 * classify: see classify.h.
 *
 * A classified stream of a crew is looked at when its bytes become news, and again while they are
 * and were not enough to tell. One with a handler is looked at when it receives.
 */
#include "rt/classify.h"

#include "base/err.h"
#include "rt/crew.h"
#include "rt/message.h"

#include <stdlib.h>
#include <string.h>

#define METHOD_MAX 8

/* The longer first; of two with the same length the exact one, which is longer by what ends it. */
static int by_length(const void *a, const void *b)
{
	const struct rl_route *x = a, *y = b;
	int len = 2 * (y->len - x->len);
	return len + x->is_prefix - y->is_prefix;
}

void rl_classify_sort(struct rl_classifier *c)
{
	qsort(c->routes, c->routes_len, sizeof *c->routes, by_length);
}

/* Where the path of a request begins; 0: this is none; -1: that is not known yet. */
static int path_of(const char *bytes, uint32_t len)
{
	uint32_t n = len < METHOD_MAX + 1 ? len : METHOD_MAX + 1;
	uint32_t i = 0;
	while (i < n && bytes[i] >= 'A' && bytes[i] <= 'Z')
		i++;
	if (i < n)
		return bytes[i] == ' ' && i > 0 ? (int)i + 1 : 0;
	return len > METHOD_MAX ? 0 : -1;
}

static bool ends_path(char c)
{
	return c == ' ' || c == '?';
}

/* 1: it matches; 0: it does not; -1: it may, with more bytes. */
static int route_matches(const struct rl_route *r, const char *path, uint32_t len)
{
	uint32_t n = len < r->len ? len : r->len;
	if (memcmp(path, r->path, n) != 0)
		return 0;
	if (len < (uint32_t)r->len + !r->is_prefix)
		return -1;
	return r->is_prefix || ends_path(path[r->len]);
}

int rl_classify_bytes(const struct rl_classifier *c, const char *bytes, uint32_t len)
{
	int from = path_of(bytes, len);
	if (from <= 0)
		return from < 0 && c->routes_len > 0 ? RL_ROUTE_UNDECIDED : RL_ROUTE_NONE;
	for (unsigned i = 0; i < c->routes_len; i++) {
		int match = route_matches(&c->routes[i], bytes + from, len - (uint32_t)from);
		if (match != 0)
			return match > 0 ? c->routes[i].priority : RL_ROUTE_UNDECIDED;
	}
	return RL_ROUTE_NONE;
}

/* What may come at once: what may in a tenth of a second, but one at least. */
static double burst(const struct rl_classifier *c)
{
	return c->budget > 10 ? c->budget / 10 : 1;
}

void rl_classifier_add(struct rl_net *net, struct rl_classifier *c)
{
	c->tokens = burst(c);
	c->tokens_ns = net->shard->now_ns;
	rl_list_push(&net->classifiers, &c->link);
	rl_urgency_add(net->shard, 1);
}

void rl_classifier_remove(struct rl_classifier *c, struct rl_shard *shard)
{
	if (rl_list_empty(&c->link))
		return;
	rl_list_remove(&c->link);
	rl_urgency_add(shard, -1);
}

static struct rl_classifier *classifier_of(const struct rl_stream *s)
{
	const struct rl_list *all = &s->net->classifiers;
	for (struct rl_list *l = all->next; l != all; l = l->next) {
		struct rl_classifier *c = rl_container(l, struct rl_classifier, link);
		if (c->owner == s->owner)
			return c;
	}
	return NULL;
}

static bool take_token(struct rl_classifier *c, int64_t now_ns)
{
	if (c->budget < 0)
		return true;
	double most = burst(c);
	c->tokens += c->budget * 1e-9 * (double)(now_ns - c->tokens_ns);
	c->tokens_ns = now_ns;
	if (c->tokens > most)
		c->tokens = most;
	if (c->tokens < 1)
		return false;
	c->tokens -= 1;
	return true;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What there is of a message, of which the beginning may have been gathered. */
static uint32_t first_bytes(const struct rl_stream *s, char *bytes)
{
	const struct rl_message *m = s->more->message;
	uint32_t len = m ? least(m->len, RL_CLASSIFY_BYTES) : 0;
	if (len > 0)
		memcpy(bytes, m->bytes, len);
	uint32_t more = least(s->in.len, RL_CLASSIFY_BYTES - len);
	rl_bytes_copy(&s->in, 0, bytes + len, more);
	return len + more;
}

/* The class of what a stream has received. */
static unsigned class_of(struct rl_classifier *c, struct rl_stream *s)
{
	char bytes[RL_CLASSIFY_BYTES];
	uint32_t len = first_bytes(s, bytes);
	int class = rl_classify_bytes(c, bytes, len);
	s->is_short = class == RL_ROUTE_UNDECIDED;
	if (class < 0 && c->fn)
		class = c->fn(c->arg, s, bytes, len);
	return class < 0 ? c->base : (unsigned)class;
}

/* Count it, within the budget. */
static unsigned settle(struct rl_classifier *c, const struct rl_stream *s, unsigned class)
{
	if (class == RL_CRITICAL && !take_token(c, s->net->shard->now_ns)) {
		c->over++;
		s->net->shard->counts.over++;
		class = RL_NORMAL;
	}
	c->classified[class]++;
	if (class == RL_CRITICAL)
		rl_urgency_arrived(s->net->shard);
	return class;
}

static struct rl_task *handler_of(const struct rl_stream *s)
{
	const struct rl_stream_more *m = s->more;
	struct rl_task *t = m->handler_id ? rl_task_at(s->net->shard, m->handler_slot) : NULL;
	return t && (uint32_t)t->id == m->handler_id ? t : NULL;
}

/* Do bytes that are there begin a message, or go on with one of which too few were there? */
static bool tells(const struct rl_stream *s)
{
	const struct rl_message *m = s->more->message;
	if (s->is_fixed || s->in.len == 0 || (s->flags & (RL_STREAM_FRAMED | RL_STREAM_CLOSED)))
		return false;
	return !m || (!m->busy && !m->lingers && (m->len == 0 || (s->is_short && !m->has_head)));
}

/* `more`: it was counted when there was less of it. A function may have closed the stream, or set
 * its priority. The shard counts what is certain: what it has counted is never taken back. */
static void classify(struct rl_classifier *c, struct rl_stream *s, bool more)
{
	unsigned before = s->priority, class = class_of(c, s);
	if (s->is_fixed || (s->flags & RL_STREAM_CLOSED))
		return;
	if (more && class != before)
		c->classified[before]--;
	if (!more || class != before)
		rl_crew_set_priority(s, settle(c, s, class));
	if (!s->is_short)
		s->net->shard->counts.classified[s->priority]++;
}

void rl_classify(struct rl_stream *s)
{
	if (!s->is_classified || !tells(s))
		return;
	struct rl_classifier *c = classifier_of(s);
	const struct rl_message *m = s->more->message;
	if (c)
		classify(c, s, m && m->len > 0);
}

void rl_classify_received(struct rl_stream *s, uint32_t had)
{
	bool is_news = s->flags & RL_STREAM_NEWS;
	if (s->in.len == had || (s->flags & RL_STREAM_SERVED && !is_news) || !tells(s))
		return;
	if (had > 0 && !s->is_short)
		return;
	struct rl_classifier *c = classifier_of(s);
	if (c)
		classify(c, s, had > 0);
	struct rl_task *t = is_news ? NULL : handler_of(s);
	if (t && !s->is_fixed)
		rl_task_set_priority(s->net->shard, t, s->priority);
}

int rl_classify_begin(struct rl_stream *s, const struct rl_task *handler)
{
	const struct rl_classifier *c = classifier_of(s);
	int err = rl_stream_extend(s);
	if (err < 0)
		return err;
	if (handler) {
		s->more->handler_slot = handler->slot;
		s->more->handler_id = (uint32_t)handler->id;
	}
	if (!c)
		return 0;
	s->is_classified = true;
	s->priority = c->base;
	return handler && rl_stream_status(s) == -EAGAIN ? rl_stream_expect(s, 1, 1) : 0;
}

void rl_classify_fix(struct rl_stream *s, unsigned priority)
{
	struct rl_task *t = s->more ? handler_of(s) : NULL;
	s->is_fixed = true;
	rl_crew_set_priority(s, priority);
	if (t)
		rl_task_set_priority(s->net->shard, t, priority);
}
