/* SPDX-License-Identifier: MIT */
/*
 * trace: what a shard writes into a recording: who was made, readied, run and parked by whom, what
 * went to the kernel and came back, and what users say. A shard that records has a `trace`; one
 * that does not pays for each place below one look at that pointer.
 *
 * A record is 16 bytes. The first word has the kind in its low byte, a detail in the next, and in
 * the other 48 bits a time in the ticks of the recorder's header, if the kind is a stamped one; the
 * second has a task's id and another number, 32 bits each. What is not stamped happened at the time
 * of the stamped record before it: a clock costs more than all else here, so it is read once for
 * each run of a task, and around each entry into the kernel. Invariant: so nothing is recorded for
 * what happens after a sleep before that sleep's end is; see rl_trace_woken.
 */
#ifndef RL_RT_TRACE_H
#define RL_RT_TRACE_H

#include "base/ticks.h"
#include "rt/recorder.h"
#include "rt/shard.h"

enum rl_trace_kind {
	RL_TRACE_NONE,
	RL_TRACE_RUN,    /* stamped: a task runs; other: how many more are runnable */
	RL_TRACE_PARK,   /* it has clauses from now on; detail: enum rl_reason */
	RL_TRACE_YIELD,  /* it goes to the end of the queue; detail: 1 preempted */
	RL_TRACE_END,
	RL_TRACE_CREATE, /* other: by whom, 0: the loop; time: the text that says where, 0: unknown */
	RL_TRACE_READY,  /* other: by whom, 0: the loop; detail: enum rl_trace_cause */
	RL_TRACE_JOB,    /* a job begins here; other: the shard it comes from; detail: 1 stolen */
	RL_TRACE_SUBMIT, /* by a task; detail: enum rl_op_kind; other: the descriptor */
	RL_TRACE_DONE,   /* task: the result; detail and other as of SUBMIT */
	RL_TRACE_SLEEP,  /* stamped: into the kernel; detail: 1 it may wait; other: ops in flight */
	RL_TRACE_WAKE,   /* stamped: back, in the midst of what is complete */
	RL_TRACE_GC,     /* stamped: the collector has idle time, until the next stamp; other: KiB */
	RL_TRACE_GC_END, /* stamped: it has seen everything once; other: KiB */
	RL_TRACE_BEGIN,  /* stamped: a span of a task; other: its number << 16, and its name's text */
	RL_TRACE_FINISH, /* stamped; other: its number << 16 */
	RL_TRACE_LOG,    /* stamped: a task says what the records of kind TEXT after this one have */
	RL_TRACE_TEXT,   /* 14 bytes of it, from the record's third on; detail: how many are text */
	RL_TRACE_KINDS,
};

enum rl_trace_cause { RL_TRACE_FIRED, RL_TRACE_TIMED_OUT, RL_TRACE_CANCELLED };

#define RL_TRACE_PAIR_NS 1000000 /* between two looks at both clocks, at least */
#define RL_TRACE_SITES 256 /* remembered, a power of two */
#define RL_TRACE_TEXT_MAX 252 /* bytes of a log, 18 records; of a name */

/* Where a task was made, as the floor above knows it, and the text for that. */
struct rl_trace_site {
	const void *source;
	int line;
	uint16_t text;
};

struct rl_trace {
	struct rl_tracelog log;
	struct rl_shard *shard;
	bool fast;                 /* the processor's clock, else the shard's */
	bool asleep;               /* SLEEP was recorded last, of those two */
	uint8_t shift;
	uint16_t spans;            /* begun so far */
	uint16_t site;             /* of the next task: the text that says where it is made, or 0 */
	int64_t pair_ns;           /* when a pair was written last */
	uint64_t after_gc;         /* the number behind the last record of kind GC */
	struct rl_recorder *recorder;
	struct rl_recorder_section *section;
	char *texts;
	RL_ATOMIC(uint64_t) *names;
	uint32_t texts_used, texts_len;
	uint16_t index[4096];      /* hash -> where a text is; 0: none */
	struct rl_trace_site sites[RL_TRACE_SITES];
};

/* Begin and stop recording, on the shard's thread, while it is in a run. 0, -EINVAL when there is
 * no section for it, -ENOMEM. Stopping is idempotent. */
int rl_trace_attach(struct rl_shard *s, struct rl_recorder *r);
void rl_trace_detach(struct rl_shard *s);

/* Where a text of at most RL_TRACE_TEXT_MAX bytes is, which is written if it is new; 0: there is no
 * room for it. */
uint32_t rl_trace_intern(struct rl_trace *t, const char *text, uint32_t len);
/* A task has this name. */
void rl_trace_name(struct rl_trace *t, uint64_t id, uint32_t text);
/* A span begins: its number. */
uint16_t rl_trace_begin(struct rl_trace *t, uint64_t task, const char *name, uint32_t len);
void rl_trace_finish(struct rl_trace *t, uint64_t task, uint16_t number);
/* Longer ones are cut. */
void rl_trace_say(struct rl_trace *t, uint64_t task, const char *text, uint32_t len);
/* Record that the shard is awake. */
void rl_trace_wake(struct rl_trace *t);
/* Write down the time by both clocks. */
void rl_trace_pair(struct rl_trace *t);

static inline uint64_t rl_trace_clock(const struct rl_trace *t)
{
	return t->fast ? rl_ticks() : (uint64_t)rl_os_now(t->shard->os);
}

static inline void rl_trace_put(struct rl_trace *t, unsigned kind, unsigned detail, uint64_t time,
	uint64_t task, uint64_t other)
{
	rl_tracelog_put(&t->log, kind | detail << 8 | time << 16, (uint32_t)task | other << 32);
}

static inline void rl_trace_stamp(struct rl_trace *t, unsigned kind, unsigned detail,
	uint64_t task, uint64_t other)
{
	rl_trace_put(t, kind, detail, rl_trace_clock(t) >> t->shift, task, other);
}

/* Within rl_os_poll the first thing to happen tells that the shard is awake. */
static inline void rl_trace_woken(struct rl_trace *t)
{
	if (t->asleep)
		rl_trace_wake(t);
}

static inline uint64_t rl_trace_task(const struct rl_shard *s)
{
	return s->current ? s->current->id : 0;
}

/* The places: each does nothing when nothing is recorded. */

static inline void rl_traced_run(struct rl_shard *s, const struct rl_task *t)
{
	if (__builtin_expect(s->trace != NULL, 0))
		rl_trace_stamp(s->trace, RL_TRACE_RUN, 0, t->id, rl_shard_runnable(s));
}

static inline void rl_traced(struct rl_shard *s, unsigned kind, unsigned detail,
	const struct rl_task *t)
{
	if (__builtin_expect(s->trace != NULL, 0))
		rl_trace_put(s->trace, kind, detail, 0, t->id, 0);
}

static inline void rl_traced_create(struct rl_shard *s, const struct rl_task *t)
{
	if (__builtin_expect(s->trace != NULL, 0)) {
		rl_trace_woken(s->trace);
		rl_trace_put(s->trace, RL_TRACE_CREATE, 0, s->trace->site, t->id, rl_trace_task(s));
		s->trace->site = 0;
	}
}

static inline void rl_traced_ready(struct rl_shard *s, const struct rl_task *t, unsigned cause)
{
	if (__builtin_expect(s->trace != NULL, 0)) {
		rl_trace_woken(s->trace);
		rl_trace_put(s->trace, RL_TRACE_READY, cause, 0, t->id, rl_trace_task(s));
	}
}

static inline void rl_traced_job(struct rl_shard *s, unsigned origin, bool stolen)
{
	if (__builtin_expect(s->trace != NULL, 0)) {
		rl_trace_woken(s->trace);
		rl_trace_put(s->trace, RL_TRACE_JOB, stolen, 0, 0, origin + 1);
	}
}

static inline void rl_traced_sleep(struct rl_shard *s, bool waits)
{
	if (__builtin_expect(s->trace != NULL, 0)) {
		rl_trace_stamp(s->trace, RL_TRACE_SLEEP, waits, 0, s->os->in_flight);
		s->trace->asleep = true;
	}
}

/* After the kernel, and after the shard's clock was read. */
static inline void rl_traced_wake(struct rl_shard *s)
{
	if (__builtin_expect(s->trace != NULL, 0)) {
		rl_trace_woken(s->trace);
		if (s->now_ns - s->trace->pair_ns >= RL_TRACE_PAIR_NS)
			rl_trace_pair(s->trace);
	}
}

/* The collector takes a step: one record for those that follow each other. */
static inline void rl_traced_gc(struct rl_shard *s, unsigned kib)
{
	struct rl_trace *t = s->trace;
	if (__builtin_expect(t != NULL, 0) && t->log.next != t->after_gc) {
		rl_trace_stamp(t, RL_TRACE_GC, 0, 0, kib);
		t->after_gc = t->log.next;
	}
}

/* It is through. */
static inline void rl_traced_gc_end(struct rl_shard *s, unsigned kib)
{
	if (__builtin_expect(s->trace != NULL, 0))
		rl_trace_stamp(s->trace, RL_TRACE_GC_END, 0, 0, kib);
}

#endif
