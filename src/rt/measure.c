/* SPDX-License-Identifier: MIT */
/* measure: see measure.h. The counters are published under a sequence lock (as Linux's seqcount):
 * one writer that never waits, readers that look again. */
#include "rt/measure.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/slab.h"
#include "rt/fleet.h"
#include "rt/net.h"
#include "rt/series.h"
#include "rt/shard.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[RL_MEASURES] = {
	[RL_M_CREATED] = "created",
	[RL_M_FINISHED] = "finished",
	[RL_M_DAEMONS] = "daemons",
	[RL_M_RUNNABLE] = "runnable",
	[RL_M_RUNNING] = "running",
	[RL_M_PARKS] = "parks",
	[RL_M_TURNS] = "turns",
	[RL_M_POLLS] = "polls",
	[RL_M_PREEMPTIONS] = "preemptions",
	[RL_M_OVERRUNS] = "overruns",
	[RL_M_JOBS] = "jobs",
	[RL_M_STEALS] = "steals",
	[RL_M_MESSAGES] = "messages",
	[RL_M_WAKES] = "wakes",
	[RL_M_SUBMITTED] = "submitted",
	[RL_M_COMPLETED] = "completed",
	[RL_M_ENTERS] = "enters",
	[RL_M_IN_FLIGHT] = "in_flight",
	[RL_M_WORKS] = "works",
	[RL_M_RECEIVED] = "received",
	[RL_M_SENT] = "sent",
	[RL_M_CONNECTIONS] = "connections",
	[RL_M_CRITICAL] = "critical",
	[RL_M_NORMAL] = "normal",
	[RL_M_BACKGROUND] = "background",
	[RL_M_OVER_BUDGET] = "over budget",
	[RL_M_TIMERS] = "timers",
	[RL_M_HEAP] = "heap",
	[RL_M_OPS + RL_OP_NOP] = "op nop",
	[RL_M_OPS + RL_OP_ACCEPT] = "op accept",
	[RL_M_OPS + RL_OP_RECV] = "op recv",
	[RL_M_OPS + RL_OP_SEND] = "op send",
	[RL_M_OPS + RL_OP_CONNECT] = "op connect",
	[RL_M_OPS + RL_OP_SHUTDOWN] = "op shutdown",
	[RL_M_OPS + RL_OP_CLOSE] = "op close",
	[RL_M_OPS + RL_OP_POLL] = "op poll",
};

const char *rl_measure_name(enum rl_measured what)
{
	return names[what];
}

struct rl_measure *rl_measure_new(void)
{
	struct rl_measure *m = calloc(1, sizeof *m);
	if (m)
		atomic_init(&m->refs, 1);
	return m;
}

struct rl_measure *rl_measure_get(struct rl_measure *m)
{
	if (m)
		atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

static void names_free(struct rl_name *name)
{
	while (name) {
		struct rl_name *next = name->next;
		free(name);
		name = next;
	}
}

void rl_measure_put(struct rl_measure *m)
{
	/* Release what this thread has read, acquire what the others have: then it can be freed. */
	if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (int i = 0; i < RL_REASONS; i++)
		rl_histogram_term(&m->waits[i]);
	rl_histogram_term(&m->lifetimes);
	rl_histogram_term(&m->latencies);
	rl_histogram_term(&m->collections);
	struct rl_label *labels = m->labels;
	for (unsigned i = 0; labels && i < m->labels_len; i++)
		free(atomic_load_explicit(&labels[i].name, memory_order_relaxed));
	free(labels);
	names_free(m->retired);
	rl_series_free(m->series);
	free(m);
}

static void collect_fleet(const struct rl_shard *s, uint64_t out[])
{
	if (!s->fleet)
		return;
	struct rl_seat *seat = rl_fleet_seat(s);
	out[RL_M_JOBS] = atomic_load_explicit(&seat->started, memory_order_relaxed);
	out[RL_M_STEALS] = atomic_load_explicit(&seat->steals, memory_order_relaxed);
	out[RL_M_MESSAGES] = atomic_load_explicit(&seat->sent, memory_order_relaxed);
	out[RL_M_WAKES] = atomic_load_explicit(&seat->rings, memory_order_relaxed);
}

static void collect_os(const struct rl_shard *s, uint64_t out[])
{
	const struct rl_os *os = s->os;
	if (!os)
		return;
	out[RL_M_SUBMITTED] = os->stats.submitted;
	out[RL_M_COMPLETED] = os->stats.completed;
	out[RL_M_ENTERS] = os->stats.enters;
	out[RL_M_IN_FLIGHT] = os->in_flight;
	out[RL_M_WORKS] = os->works;
	out[RL_M_TIMERS] = rl_wheel_len(s->deadlines) + rl_wheel_len(s->alarms);
	for (int i = 0; i < RL_OP_KINDS; i++)
		out[RL_M_OPS + i] = os->stats.by_kind[i];
}

static void collect(const struct rl_shard *s, uint64_t out[])
{
	const struct rl_counts *c = &s->counts;
	out[RL_M_CREATED] = c->created;
	out[RL_M_FINISHED] = c->finished;
	out[RL_M_DAEMONS] = s->daemons;
	out[RL_M_RUNNABLE] = rl_shard_runnable(s) + (s->interrupted != NULL);
	out[RL_M_RUNNING] = s->current != NULL;
	out[RL_M_PARKS] = c->parks;
	out[RL_M_TURNS] = c->turns;
	out[RL_M_POLLS] = c->polls;
	out[RL_M_PREEMPTIONS] = c->preemptions;
	out[RL_M_OVERRUNS] = c->overruns;
	out[RL_M_RECEIVED] = c->received;
	out[RL_M_SENT] = c->sent;
	out[RL_M_CONNECTIONS] = s->net ? rl_slab_live(s->net->streams) : 0;
	out[RL_M_CRITICAL] = c->classified[RL_CRITICAL];
	out[RL_M_NORMAL] = c->classified[RL_NORMAL];
	out[RL_M_BACKGROUND] = c->classified[RL_BACKGROUND];
	out[RL_M_OVER_BUDGET] = c->over;
	out[RL_M_HEAP] = s->vm.heap ? s->vm.heap(s->vm.self) : 0;
	collect_os(s, out);
	collect_fleet(s, out);
}

void rl_measure_publish(struct rl_shard *s)
{
	struct rl_measure *m = s->measure;
	uint64_t now[RL_MEASURES] = {0};
	uint32_t seq = atomic_load_explicit(&m->seq, memory_order_relaxed);
	collect(s, now);
	m->published_ns = s->now_ns;
	atomic_store_explicit(&m->seq, seq + 1, memory_order_relaxed);
	/* Release: who sees one of these sees that they are being published. */
	for (int i = 0; i < RL_MEASURES; i++)
		atomic_store_explicit(&m->published[i], now[i], memory_order_release);
	atomic_store_explicit(&m->seq, seq + 2, memory_order_release);
}

void rl_measure_read(struct rl_measure *m, uint64_t out[RL_MEASURES])
{
	uint32_t before, after;
	do {
		before = atomic_load_explicit(&m->seq, memory_order_acquire);
		/* Acquire: what follows is not read before. */
		for (int i = 0; i < RL_MEASURES; i++)
			out[i] = atomic_load_explicit(&m->published[i], memory_order_acquire);
		after = atomic_load_explicit(&m->seq, memory_order_relaxed);
	} while (before != after || (before & 1));
}

static struct rl_label *labels_of(struct rl_measure *m)
{
	struct rl_label *labels = atomic_load_explicit(&m->labels, memory_order_relaxed);
	if (labels)
		return labels;
	labels = calloc(RL_LABELS_MAX, sizeof *labels);
	atomic_store_explicit(&m->labels_len, 1, memory_order_relaxed);
	/* Release: zeros are seen with it. */
	atomic_store_explicit(&m->labels, labels, memory_order_release);
	return labels;
}

/* Names that a reader may have are freed when no reader is there. */
static void retire(struct rl_measure *m, struct rl_name *name)
{
	name->next = m->retired;
	m->retired = name;
	/* Pairs with rl_measure_labels: who comes after this finds none of these names. */
	if (atomic_load_explicit(&m->readers, memory_order_seq_cst) > 0)
		return;
	names_free(m->retired);
	m->retired = NULL;
}

/* Take the set from its name: nobody has it. What it has counted counts for set 0 from now on. */
static void forget(struct rl_measure *m, struct rl_label *labels, unsigned i)
{
	struct rl_label *l = &labels[i];
	struct rl_name *name = atomic_exchange_explicit(&l->name, NULL, memory_order_seq_cst);
	uint64_t begun = atomic_load_explicit(&labels[0].begun, memory_order_relaxed);
	begun += atomic_load_explicit(&l->begun, memory_order_relaxed);
	atomic_store_explicit(&labels[0].begun, begun, memory_order_relaxed);
	atomic_store_explicit(&l->begun, 0, memory_order_relaxed);
	l->seen = 0;
	retire(m, name);
}

/* A set that no task has and that none began with since it was last looked at; 0: there is none. */
static unsigned find_idle(struct rl_measure *m, struct rl_label *labels)
{
	for (unsigned tries = 2 * RL_LABELS_MAX; tries > 0; tries--) {
		m->label_hand = m->label_hand % (RL_LABELS_MAX - 1) + 1;
		struct rl_label *l = &labels[m->label_hand];
		uint64_t begun = atomic_load_explicit(&l->begun, memory_order_relaxed);
		bool is_idle = begun == l->seen;
		l->seen = begun;
		if (is_idle && atomic_load_explicit(&l->live, memory_order_relaxed) == 0)
			return m->label_hand;
	}
	return 0;
}

static unsigned take_unused(struct rl_measure *m)
{
	unsigned n = atomic_load_explicit(&m->labels_len, memory_order_relaxed);
	if (n == RL_LABELS_MAX)
		return 0;
	atomic_store_explicit(&m->labels_len, n + 1, memory_order_relaxed);
	return n;
}

unsigned rl_measure_label(struct rl_measure *m, const char *text)
{
	struct rl_label *labels = labels_of(m);
	size_t size = strlen(text) + 1;
	struct rl_name *name = labels ? malloc(sizeof *name + size) : NULL;
	if (!name)
		return 0;
	memcpy(name->text, text, size);
	unsigned i = take_unused(m);
	if (i == 0)
		i = find_idle(m, labels);
	if (i == 0) {
		free(name);
		return 0;
	}
	if (atomic_load_explicit(&labels[i].name, memory_order_relaxed))
		forget(m, labels, i);
	/* Release: its letters are seen with it, and that it has counted nothing. */
	atomic_store_explicit(&labels[i].name, name, memory_order_release);
	return i;
}

void rl_measure_labels(struct rl_measure *m, void *to,
	void (*fn)(void *to, unsigned number, const char *name, uint64_t live, uint64_t begun))
{
	/* Pairs with retire: what is found from here on is not freed. */
	atomic_fetch_add_explicit(&m->readers, 1, memory_order_seq_cst);
	struct rl_label *labels = atomic_load_explicit(&m->labels, memory_order_acquire);
	unsigned n = labels ? atomic_load_explicit(&m->labels_len, memory_order_relaxed) : 0;
	for (unsigned i = 0; i < n; i++) {
		struct rl_name *name = atomic_load_explicit(&labels[i].name, memory_order_seq_cst);
		uint64_t live = atomic_load_explicit(&labels[i].live, memory_order_relaxed);
		uint64_t begun = atomic_load_explicit(&labels[i].begun, memory_order_relaxed);
		if (name || (i == 0 && begun > 0))
			fn(to, i, name ? name->text : "", live, begun);
	}
	atomic_fetch_sub_explicit(&m->readers, 1, memory_order_release);
}

void rl_measure_begun(struct rl_measure *m, unsigned label)
{
	struct rl_label *l = &labels_of(m)[label];
	rl_histogram_bump(&l->live);
	rl_histogram_bump(&l->begun);
}

void rl_measure_ended(struct rl_measure *m, unsigned label)
{
	struct rl_label *l = &labels_of(m)[label];
	uint64_t live = atomic_load_explicit(&l->live, memory_order_relaxed);
	atomic_store_explicit(&l->live, live - 1, memory_order_relaxed);
}

void rl_measure_relabel(struct rl_measure *m, struct rl_task *t, unsigned label)
{
	if (t->label)
		rl_measure_ended(m, t->label);
	t->label = (uint16_t)label & 0xffff;
	if (label)
		rl_measure_begun(m, label);
}

void rl_measure_span(struct rl_histogram *h, uint64_t ticks)
{
	rl_histogram_record(h, rl_task_seconds(ticks));
}

void rl_measure_sample(struct rl_shard *s, const struct rl_task *t)
{
	struct rl_measure *m = s->measure;
	s->sample_in = RL_SAMPLE_EVERY;
	if (s->sampled)
		return;
	s->sampled = t;
	m->sampled_ns = rl_os_now(s->os);
}

void rl_measure_sampled(struct rl_shard *s)
{
	struct rl_measure *m = s->measure;
	s->sampled = NULL;
	rl_histogram_record(&m->latencies, (double)(rl_os_now(s->os) - m->sampled_ns) * 1e-9);
}

void rl_measure_listens(struct rl_measure *m, int fd, bool on)
{
	int from = on ? 0 : fd + 1, to = on ? fd + 1 : 0;
	for (int i = 0; i < RL_LISTENING_MAX; i++) {
		if (atomic_load_explicit(&m->listening[i], memory_order_relaxed) != from)
			continue;
		atomic_store_explicit(&m->listening[i], to, memory_order_relaxed);
		return;
	}
}

unsigned rl_measure_listening(struct rl_measure *m, int fds[RL_LISTENING_MAX])
{
	unsigned n = 0;
	for (int i = 0; i < RL_LISTENING_MAX; i++) {
		int fd = atomic_load_explicit(&m->listening[i], memory_order_relaxed) - 1;
		if (fd >= 0)
			fds[n++] = fd;
	}
	return n;
}
