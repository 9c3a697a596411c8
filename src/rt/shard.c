/* SPDX-License-Identifier: MIT */
/*
 * shard: task records and the run loop.
 *
 * Invariants: `live` counts records; a record is freed only by the
 * loop, after its task ended, or by who abandons a task outside the loop. `due_ns` is never later
 * than the earliest deadline of either wheel. Time is read after each kernel entry, each
 * RL_TURNS_PER_CLOCK turns, and whenever a deadline is reckoned.
 */
#include "rt/shard.h"

#include "base/check.h"
#include "base/err.h"
#include "base/slab.h"
#include "rt/beacon.h"
#include "rt/conduct.h"
#include "rt/fleet.h"
#include "rt/job.h"
#include "rt/measure.h"
#include "rt/net.h"
#include "rt/ticket.h"
#include "rt/trace.h"
#include "rt/wait.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RL_TASKS_MAX
#define RL_TASKS_MAX (1u << 24)
#endif
#define TASKS_PER_CHUNK 256
#define HOME_SIZE 4096
#define RL_CROWDED_NS 200000 /* how long to sleep while messages wait for room */
#define RL_LOOP_OVER 100     /* RL_LOOP_DONE, which is 0, from a function where 0 is to go on */
#define RL_PUBLISH_NS 1000000
#define RL_MANY_TIMERS 8 /* due at one time */
#define RL_MANY_TIMERS_NS 250000
#define RL_URGED_MAX 10 /* times in a row that who is interrupted stays at the front */

/* A page that reads 1 here and 0 in a forked child. */
static const volatile uint32_t *home_page(void)
{
	uint32_t *p = mmap(NULL, HOME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, HOME_SIZE, MADV_WIPEONFORK) < 0) {
		munmap(p, HOME_SIZE);
		return NULL;
	}
	*p = 1;
	return p;
}

int rl_shard_init(struct rl_shard *s, const struct rl_vm *vm)
{
	memset(s, 0, sizeof *s);
	rl_runq_init(&s->runq);
	rl_waitq_init(&s->resting);
	rl_list_init(&s->dirty);
	rl_list_init(&s->warm);
	s->vm = *vm;
	s->home = home_page();
	s->due_ns = -1;
	s->notes_fd = -1;
	s->tasks = rl_slab_new(sizeof(struct rl_task), TASKS_PER_CHUNK, RL_TASKS_MAX);
	s->due = rl_slab_new(sizeof(struct rl_deadline), TASKS_PER_CHUNK, RL_TASKS_MAX);
	s->measure = rl_measure_new();
	s->sample_in = RL_SAMPLE_EVERY;
	return s->tasks && s->due && s->measure ? 0 : -ENOMEM;
}

void rl_shard_term(struct rl_shard *s)
{
	rl_shard_close(s);
	rl_slab_free(s->tasks);
	rl_slab_free(s->due);
	s->tasks = s->due = NULL;
	rl_measure_put(s->measure);
	s->measure = NULL;
	if (s->home)
		munmap((void *)s->home, HOME_SIZE);
	s->home = NULL;
}

int rl_shard_open(struct rl_shard *s, const char *backend, const struct rl_os_config *config,
	const char **why)
{
	int err = rl_os_open(&s->os, backend, config, why);
	if (err < 0) {
		s->os = NULL;
		return err;
	}
	s->os->user = s;
	uint32_t tid = s->os->closed_world ? 0 : (uint32_t)syscall(SYS_gettid);
	atomic_store_explicit(&s->measure->tid, tid, memory_order_relaxed);
	s->now_ns = rl_os_now(s->os);
	s->due_ns = -1;
	s->urgency = (struct rl_urgency){.polled_ns = s->now_ns};
	rl_urgency_add(s, 0);
	s->deadlines = rl_wheel_new(s->now_ns);
	s->alarms = rl_wheel_new(s->now_ns);
	if (s->deadlines && s->alarms)
		return 0;
	rl_shard_close(s);
	return -ENOMEM;
}

static void forget_seam(struct rl_shard *s, int err)
{
	rl_net_free(s, err);
	atomic_store_explicit(&s->measure->tid, 0, memory_order_relaxed);
	s->os = NULL;
	s->beacon = NULL;
	s->urgency.urgent = NULL;
	rl_wheel_free(s->deadlines);
	rl_wheel_free(s->alarms);
	s->deadlines = s->alarms = NULL;
	s->due_ns = -1;
	s->now_ns = 0;
}

int rl_shard_close(struct rl_shard *s)
{
	rl_trace_detach(s);
	rl_tickets_free(s);
	rl_net_shutdown(s);
	int err = s->os ? s->os->ops->close(s->os) : 0;
	forget_seam(s, err);
	return err;
}

void rl_shard_forsake(struct rl_shard *s)
{
	rl_trace_detach(s);
	s->tickets = NULL; /* who ends such a wait may look at it */
	rl_net_shutdown(s);
	forget_seam(s, -EBUSY);
}

/* A record with only what outlives a task: slot, co, and the links. */
static struct rl_task *record_new(struct rl_shard *s)
{
	uint32_t slot;
	struct rl_task *t = rl_slab_get(s->tasks, &slot);
	if (!t)
		return NULL;
	memset(t, 0, sizeof *t);
	rl_list_init(&t->clause.link);
	t->clause.task = t;
	t->slot = slot;
	return t;
}

struct rl_task *rl_task_new(struct rl_shard *s, unsigned flags)
{
	struct rl_list *warm = rl_list_pop(&s->warm);
	struct rl_task *t = warm ? rl_container(warm, struct rl_task, clause.link) : record_new(s);
	if (!t)
		return NULL;
	s->warm_len -= warm != NULL;
	t->state = RL_TASK_NEW;
	t->result = 0;
	t->results = 0;
	t->fired = 0;
	t->raises = 0;
	t->id = ++s->next_id;
	t->flags = (uint8_t)flags;
	uint64_t now = rl_task_ticks(s->now_ns);
	rl_task_set_since(t, now);
	t->clause.born_low = (uint32_t)now;
	t->born_high = (uint16_t)(now >> 32);
	t->backlogged = 0;
	t->priority = s->current ? s->current->priority : RL_NORMAL;
	if (t->priority != RL_NORMAL)
		rl_urgency_add(s, 1);
	t->label = s->current ? s->current->label : 0;
	if (t->label)
		rl_measure_begun(s->measure, t->label);
	s->live++;
	s->daemons += (flags & RL_TASK_DAEMON) != 0;
	s->counts.created++;
	rl_traced_create(s, t);
	rl_runq_push_new(&s->runq, t);
	if (!t->backlogged && --s->sample_in == 0)
		rl_measure_sample(s, t);
	return t;
}

void rl_task_set_priority(struct rl_shard *s, struct rl_task *t, unsigned priority)
{
	if (t->priority == priority)
		return;
	rl_urgency_add(s, (priority != RL_NORMAL) - (t->priority != RL_NORMAL));
	bool queued = t->state == RL_TASK_NEW || t->state == RL_TASK_READY;
	if (queued)
		rl_runq_remove(&s->runq, t);
	t->priority = priority;
	if (queued)
		rl_runq_push(&s->runq, t);
}

void rl_ready_last(struct rl_shard *s, struct rl_task *t)
{
	if (t == s->current)
		rl_traced(s, RL_TRACE_YIELD, 0, t);
	t->state = RL_TASK_READY;
	rl_runq_push_last(&s->runq, t);
	if (!t->backlogged && --s->sample_in == 0)
		rl_measure_sample(s, t);
}

void rl_task_free(struct rl_shard *s, struct rl_task *t)
{
	RL_ASSERT(rl_list_empty(&t->clause.link));
	s->live--;
	if (t->priority != RL_NORMAL)
		rl_urgency_add(s, -1);
	s->daemons -= (t->flags & RL_TASK_DAEMON) != 0;
	s->counts.finished++;
	uint64_t lived = rl_task_ticks(s->now_ns) - rl_task_born(t);
	if (lived == 0)
		rl_histogram_record_zero(&s->measure->lifetimes);
	else
		rl_measure_span(&s->measure->lifetimes, lived);
	if (t->label)
		rl_measure_ended(s->measure, t->label);
	t->id = 0;
	if (t->co) {
		rl_list_push_front(&s->warm, &t->clause.link);
		s->warm_len++;
	} else {
		rl_slab_put(s->tasks, t, t->slot);
	}
}

void *rl_task_take_warm(struct rl_shard *s, uint32_t *slot)
{
	struct rl_list *warm = rl_list_pop(&s->warm);
	if (!warm)
		return NULL;
	struct rl_task *t = rl_container(warm, struct rl_task, clause.link);
	void *co = t->co;
	s->warm_len--;
	t->co = NULL;
	*slot = t->slot;
	rl_slab_put(s->tasks, t, t->slot);
	return co;
}

struct rl_task *rl_task_at(const struct rl_shard *s, uint32_t slot)
{
	struct rl_task *t = rl_slab_at(s->tasks, slot);
	return t && t->id ? t : NULL;
}

int64_t rl_shard_now(struct rl_shard *s)
{
	s->now_ns = rl_os_now(s->os);
	s->waited = false;
	return s->now_ns;
}

void rl_alarm_init(struct rl_alarm *a, void (*fire)(struct rl_alarm *a))
{
	rl_timer_init(&a->timer);
	a->fire = fire;
}

void rl_alarm_set(struct rl_shard *s, struct rl_alarm *a, int64_t deadline_ns)
{
	rl_alarm_stop(s, a);
	rl_wheel_set(s->alarms, &a->timer, deadline_ns);
	if (s->due_ns < 0 || deadline_ns < s->due_ns)
		s->due_ns = deadline_ns;
}

void rl_alarm_stop(struct rl_shard *s, struct rl_alarm *a)
{
	if (s->alarms && rl_timer_is_set(&a->timer))
		rl_wheel_cancel(s->alarms, &a->timer);
	else
		rl_list_remove(&a->timer.link);
}

/* Take the next due timer. Where nobody outside decides it (sim), those of one instant are
 * permuted. */
static struct rl_timer *take_due(struct rl_shard *s, struct rl_list *due)
{
	struct rl_list *first = rl_list_first(due), *l = first;
	if (!first)
		return NULL;
	struct rl_timer *t = rl_container(first, struct rl_timer, link);
	uint64_t peers = 1;
	if (s->os->closed_world) {
		int64_t at = t->deadline_ns;
		for (l = first->next; l != due; l = l->next, peers++)
			if (rl_container(l, struct rl_timer, link)->deadline_ns != at)
				break;
		l = first;
		for (uint64_t k = peers > 1 ? s->os->ops->random(s->os) % peers : 0; k > 0; k--)
			l = l->next;
	}
	rl_list_remove(l);
	return rl_container(l, struct rl_timer, link);
}

static void fire_deadlines(struct rl_shard *s)
{
	struct rl_list due;
	rl_list_init(&due);
	rl_wheel_advance(s->deadlines, s->now_ns, &due);
	for (struct rl_timer *t = take_due(s, &due); t; t = take_due(s, &due), s->fired++)
		rl_wait_end(s, rl_container(t, struct rl_deadline, timer)->task, -ETIMEDOUT);
}

static void fire_alarms(struct rl_shard *s)
{
	struct rl_list due;
	rl_list_init(&due);
	rl_wheel_advance(s->alarms, s->now_ns, &due);
	if (rl_list_empty(&due))
		return;
	for (struct rl_timer *t = take_due(s, &due); t; t = take_due(s, &due), s->fired++) {
		struct rl_alarm *a = rl_container(t, struct rl_alarm, timer);
		__builtin_prefetch(due.next->next);
		a->fire(a);
	}
	if (s->vm.fired)
		s->vm.fired(s->vm.self);
}

static int64_t next_due(const struct rl_shard *s)
{
	return rl_sooner(rl_wheel_next(s->deadlines), rl_wheel_next(s->alarms));
}

/* What was due next may have been stopped since: nobody is to sleep for it. */
static void forget_stopped(struct rl_shard *s)
{
	int64_t next_ns = next_due(s);
	if (next_ns < 0 || next_ns > s->due_ns + RL_WHEEL_TICK_NS)
		s->due_ns = next_ns;
}

static void fire_due(struct rl_shard *s)
{
	if (s->due_ns < 0 || s->now_ns < s->due_ns)
		return;
	s->fired = 0;
	fire_deadlines(s);
	fire_alarms(s);
	s->due_ns = next_due(s);
}

/* Up to `most`; what these cause is for the next time. */
static void flush_dirty(struct rl_shard *s, unsigned most)
{
	struct rl_list work;
	rl_list_init(&work);
	rl_list_take(&work, &s->dirty);
	for (; most > 0 && !rl_list_empty(&work); most--) {
		struct rl_dirty *d = rl_container(rl_list_pop(&work), struct rl_dirty, link);
		d->flush(d);
	}
	rl_list_take_front(&s->dirty, &work);
}

/* Enter the kernel: until `deadline_ns` if nothing is runnable. */
static int poll_kernel(struct rl_shard *s, int64_t deadline_ns)
{
	if (deadline_ns != 0 || s->now_ns - s->measure->published_ns >= RL_PUBLISH_NS)
		rl_measure_publish(s);
	rl_traced_sleep(s, deadline_ns != 0);
	if (s->beacon && deadline_ns != 0)
		rl_beacon_sleep(s);
	s->waited = deadline_ns != 0;
	int n = rl_os_poll(s->os, deadline_ns);
	s->since_poll = 0;
	s->since_clock = 0;
	s->counts.polls++;
	rl_shard_now(s);
	rl_traced_wake(s);
	if (s->beacon)
		rl_beacon_turn(s);
	if (s->urgency.sources > 0)
		rl_urgency_polled(s);
	fire_due(s);
	return n;
}

/* What other threads have: their word that there is something, messages, and a job beside the tasks
 * that are runnable. */
static void begin_turn(struct rl_shard *s)
{
	if (rl_shard_is_nudged(s)) {
		/* Pairs with the release of who set it: its word is there. */
		atomic_exchange_explicit(&s->nudged, false, memory_order_acquire);
		s->vm.nudged(s->vm.self);
	}
	if (rl_fleet_has_mail(s))
		rl_fleet_turn(s);
	if (rl_job_is_near(s) && rl_shard_runnable(s) > 0)
		rl_job_take_near(s);
}

/* Is something runnable? A job begins as soon as nothing else is, and not before: others may take
 * it until then. */
static bool has_work(struct rl_shard *s)
{
	return rl_shard_runnable(s) > 0 || (s->fleet && rl_job_take(s) && rl_shard_runnable(s) > 0);
}

/* A task was interrupted: end the turn after it; the clock and the kernel are due. */
static void end_turn(struct rl_shard *s)
{
	s->turn_left = 1;
	s->since_clock = RL_TURNS_PER_CLOCK;
	s->since_poll = RL_TURNS_PER_POLL;
}

/* Run a task; its priority when it ended its run. */
static unsigned run_one(struct rl_shard *s)
{
	struct rl_task *t = rl_runq_take(&s->runq);
	s->current = t;
	if (s->sampled == t)
		rl_measure_sampled(s);
	if (s->beacon)
		rl_beacon_run(s, t);
	rl_traced_run(s, t);
	enum rl_ran ran = s->vm.run(s->vm.self, t);
	unsigned priority = t->priority;
	s->current = NULL;
	rl_runq_close_group(&s->runq);
	if (ran == RL_RAN_ENDED) {
		rl_traced(s, RL_TRACE_END, 0, t);
		rl_task_free(s, t);
	} else if (ran == RL_RAN_YIELDED) {
		rl_traced(s, RL_TRACE_YIELD, 1, t);
		s->interrupted = t;
		end_turn(s);
	}
	return priority;
}

/* Run what this turn may. */
static void run_some(struct rl_shard *s)
{
	for (; s->turn_left > 0 && has_work(s); s->turn_left--) {
		unsigned priority = run_one(s);
		if (s->urgency.sources > 0 && rl_urgency_ends_turn(s, priority))
			break;
	}
}

/* The task that was interrupted is runnable again. One that was only to let others go first stays
 * first of its own, until that has cost them a slice. */
static void ready_interrupted(struct rl_shard *s)
{
	struct rl_task *t = s->interrupted;
	if (!t)
		return;
	s->interrupted = NULL;
	if (s->urgency.fronted_id != t->id)
		s->urgency.fronted = 0;
	s->urgency.fronted_id = t->id;
	if (s->urged && ++s->urgency.fronted < RL_URGED_MAX) {
		t->state = RL_TASK_READY;
		rl_runq_push_front(&s->runq, t);
	} else {
		s->urgency.fronted = 0;
		rl_ready_last(s, t);
	}
	s->urged = 0;
}

int rl_shard_turn(struct rl_shard *s)
{
	s->counts.turns++;
	unsigned queued = rl_runq_queued(&s->runq);
	s->turn_left = queued > RL_RUNS_PER_TURN ? queued : RL_RUNS_PER_TURN;
	rl_runq_close_group(&s->runq);
	if (s->fleet)
		begin_turn(s);
	run_some(s);
	if (++s->since_clock >= RL_TURNS_PER_CLOCK) {
		s->since_clock = 0;
		rl_shard_now(s);
	}
	fire_due(s);
	flush_dirty(s, s->urgency.sources > 0 ? rl_urgency_flushes(s) : UINT_MAX);
	int n = 0;
	if (s->urgency.until_ns > 0)
		rl_urgency_await(s);
	if (rl_os_ready(s->os) || ++s->since_poll >= RL_TURNS_PER_POLL)
		n = poll_kernel(s, 0);
	ready_interrupted(s);
	if (!rl_list_empty(&s->resting.waiters))
		rl_waitq_wake(s, &s->resting, 0, true);
	if (s->beacon)
		rl_beacon_turn(s);
	return n;
}

/* How long to sleep. With many timers there is one due at nearly every tick, and waking up costs
 * more than firing: then several ticks are taken together. */
static int64_t sleep_end(const struct rl_shard *s)
{
	if (s->due_ns < 0 || s->fired < RL_MANY_TIMERS || s->os->closed_world)
		return s->due_ns;
	int64_t least = s->now_ns + RL_MANY_TIMERS_NS;
	return s->due_ns > least ? s->due_ns : least;
}

/* Only a poll without a deadline shows that nothing will come: a timer ends the other kind. */
static bool shows_the_end(const struct rl_shard *s, int64_t until_ns)
{
	return until_ns < 0 && s->due_ns < 0 && s->os->closed_world && rl_shard_runnable(s) == 0
		&& rl_list_empty(&s->dirty) && !rl_os_ready(s->os);
}

static bool is_outside(const struct rl_shard *s)
{
	return s->os->in_flight > 0 || s->os->works > 0;
}

/* Nothing is runnable: sleep until something can be, or say that nothing ever will. */
static int wait_kernel(struct rl_shard *s)
{
	forget_stopped(s);
	if (s->due_ns < 0 && !is_outside(s))
		return RL_LOOP_DEADLOCK;
	bool busy = s->vm.idle(s->vm.self);
	if (busy && !rl_os_ready(s->os))
		return 0;
	int64_t until_ns = busy ? 0 : sleep_end(s);
	int n = poll_kernel(s, until_ns);
	if (n == 0 && shows_the_end(s, until_ns))
		return RL_LOOP_DEADLOCK;
	return n < 0 ? n : 0;
}

/* Can time or the kernel alone make this shard go on? */
static bool is_open(const struct rl_shard *s)
{
	if (s->os->closed_world)
		return rl_conduct_next(s) >= 0;
	return s->due_ns >= 0 || is_outside(s);
}

/* Sleep, as this backend does; 0, or what ends the loop. */
static int sleep_fleet(struct rl_shard *s, int64_t until_ns)
{
	bool simulated = s->fleet->step != NULL;
	if (simulated)
		rl_measure_publish(s);
	if (simulated && s->index > 0)
		return RL_LOOP_PAUSED;
	if (simulated)
		rl_conduct_advance(s);
	int64_t from_ns = s->now_ns;
	int n = poll_kernel(s, simulated ? 0 : until_ns);
	rl_fleet_slept(s, from_ns);
	rl_fleet_awake(s);
	return n < 0 ? n : 0;
}

/* The same for one of a fleet: what others send may be waited for as well. */
static int wait_fleet(struct rl_shard *s, bool done)
{
	bool busy = s->vm.idle(s->vm.self);
	/* Simulated, the collector takes no turns: they would show in the order of events. */
	while (busy && s->fleet->step)
		busy = s->vm.idle(s->vm.self);
	if (busy) {
		int n = rl_os_ready(s->os) ? poll_kernel(s, 0) : 0;
		return n < 0 ? n : 0;
	}
	if (!rl_list_empty(&s->dirty)) /* of what was collected */
		return 0;
	forget_stopped(s);
	if (rl_fleet_spin(s))
		return 0;
	bool open = is_open(s);
	int64_t until_ns = sleep_end(s);
	switch (rl_fleet_sleep(s, done || !open, open)) {
	case RL_FLEET_OVER:
		return RL_LOOP_OVER;
	case RL_FLEET_STUCK:
		return RL_LOOP_DEADLOCK;
	case RL_FLEET_BUSY:
		return 0;
	case RL_FLEET_CROWDED:
		until_ns = rl_sooner(until_ns, s->now_ns + RL_CROWDED_NS);
		break;
	case RL_FLEET_SLEEP:
		break;
	}
	return sleep_fleet(s, until_ns);
}

/* Simulated: the others' turn. True when there is more to do before anybody sleeps. */
static bool others_turn(struct rl_shard *s)
{
	if (s->index > 0)
		return rl_shard_runnable(s) > 0;
	return rl_conduct_round(s) > 0;
}

static bool is_done(const struct rl_shard *s)
{
	return s->live == s->daemons && s->holds == 0;
}

int rl_shard_loop(struct rl_shard *s, volatile sig_atomic_t *brk)
{
	if (s->fleet)
		rl_fleet_awake(s);
	for (;;) {
		int err = rl_shard_turn(s);
		if (*brk || err == -EINTR)
			return RL_LOOP_BROKEN;
		if (err < 0)
			return err;
		if (s->closing)
			return RL_LOOP_DONE;
		bool others = s->fleet && s->fleet->step && others_turn(s);
		if (others && s->index > 0)
			return RL_LOOP_PAUSED;
		if (others || rl_shard_runnable(s) > 0)
			continue;
		bool done = is_done(s);
		if (done && !s->fleet)
			return RL_LOOP_DONE;
		if (!rl_list_empty(&s->dirty))
			continue;
		err = s->fleet ? wait_fleet(s, done) : wait_kernel(s);
		if (err == RL_LOOP_OVER)
			return RL_LOOP_DONE;
		if (err == -EINTR)
			return RL_LOOP_BROKEN;
		if (err != 0)
			return err;
	}
}
