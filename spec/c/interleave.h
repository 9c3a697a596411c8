/* SPDX-License-Identifier: MIT */
/*
 * interleave: runs lock-free code in every order that C11's memory model allows, stale reads
 * included, for a few threads of a few operations. It takes the place of base/atomic.h (include it
 * first, then the .c under test), so what is checked is the real source, not a copy in a model
 * language.
 *
 * How: memory is simulated. A place holds all values ever stored there, in order; a thread's *view*
 * says how much of each place it must have seen; a load may return any value that is not older.
 * A release store carries the storer's view, an acquire load takes it over, seq_cst fences exchange
 * views with a common one. This is the view machine of the promising semantics (Kang et al., POPL
 * 2017) without promises. A load never reads a value that is stored later, so it does not find what
 * only that would break; everything else that weak orders allow, it does.
 *
 * A thread is a function of the values it has read. So nothing is switched: to find its next access
 * it is called again with those values and left, by longjmp, at the first access without one. The
 * search is depth first over (who goes next, which value it reads). States are remembered by a
 * 128-bit hash, with the number of ways to go on from them; so all interleavings are counted though
 * each state is looked into once. A state has all views, so two orders that differ in what
 * happened before what are two states.
 *
 * Of seq_cst loads, additions, ors and exchanges it knows that the last one, and what a fence has
 * published before, is seen by those loads and by who fences after; a compare-and-swap is no more
 * than acquire and release.
 *
 * Plain accesses (RL_READ, RL_WRITE) are no choice; each must have happened after what it
 * conflicts with, or it is a race. So must the atomic stores of a place, as is so in all code here.
 *
 * A mutant is the source with one order weakened or one swap torn into a load and a store: a test
 * lets il_mutants make each that there is, and names those that may live.
 */
#ifndef RL_SPEC_INTERLEAVE_H
#define RL_SPEC_INTERLEAVE_H
#define RL_BASE_ATOMIC_H /* base/atomic.h is not to follow */

#include "check.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define RL_CACHE_LINE 64
#define RL_ATOMIC(type) type
#define RL_LOAD(p, order) \
	((__typeof__(*(p)))(uintptr_t)IL_ACCESS(IL_LOAD, p, IL_##order, 0, 0))
#define RL_STORE(p, v, order) \
	((void)IL_ACCESS(IL_STORE, p, IL_##order, (uintptr_t)(v), 0))
#define RL_CAS(p, expected, v, order) \
	il_swapped(IL_ACCESS(IL_CAS, p, IL_##order, (uintptr_t)(v), *(expected)), (expected))
#define RL_ADD(p, v, order) IL_ACCESS(IL_ADD, p, IL_##order, (uint64_t)(v), 0)
#define RL_SUB(p, v, order) IL_ACCESS(IL_ADD, p, IL_##order, -(uint64_t)(v), 0)
#define RL_OR(p, v, order) IL_ACCESS(IL_OR, p, IL_##order, (v), 0)
#define RL_SWAP(p, v, order) IL_ACCESS(IL_SWAP, p, IL_##order, (v), 0)
#define RL_FENCE(order) ((void)IL_ACCESS(IL_FENCE, "memory", IL_##order, 0, 0))
#define RL_READ(p) ((__typeof__(*(p)))(uintptr_t)IL_ACCESS(IL_READ, p, IL_relaxed, 0, 0))
#define RL_WRITE(p, v) ((void)IL_ACCESS(IL_WRITE, p, IL_relaxed, (uintptr_t)(v), 0))

#define IL_ACCESS(kind, p, order, value, expected) \
	il_access((struct il_access){ kind, order, false, __LINE__, sizeof(*(p)), -1, __FILE__, \
		__func__, #p, (p), (value), (expected) })

enum {
	IL_THREADS = 5,   /* with the one that runs after the others */
	IL_PLACES = 27,
	IL_VIEW = IL_PLACES + IL_THREADS,
	IL_VALUES = 20,   /* of one place, ever */
	IL_STEPS = 120,    /* of one thread */
	IL_DEPTH = IL_THREADS * IL_STEPS,
	IL_SITES = 64,
	IL_NOTES = 10,
};

enum il_kind { IL_LOAD, IL_STORE, IL_CAS, IL_ADD, IL_OR, IL_SWAP, IL_FENCE, IL_READ, IL_WRITE };

static const char *const il_kinds[] = {
	"load", "store", "swap", "addition", "or", "exchange", "fence", "read", "write",
};

enum il_order {
	IL_relaxed = 0,
	IL_acquire = 1,
	IL_release = 2,
	IL_acq_rel = 3,
	IL_seq_cst = 7,
};

struct il_access {
	enum il_kind kind;
	enum il_order order;
	bool torn; /* of a mutant: a swap that is a load and a store */
	int line;
	unsigned size;
	int place;
	const char *file, *function, *what;
	const volatile void *address;
	uint64_t value, expected;
};

/* What a thread has noted of its results. */
struct il_outcome {
	unsigned count;
	uint64_t note[IL_NOTES];
};

/* What is run: `threads` until NULL, together; then `after`, by itself and seeing everything. */
struct il_program {
	const char *name;
	void (*init)(void); /* once, in real memory, which then never changes */
	void (*threads[IL_THREADS])(void);
	void (*after)(void);
	/* What is wrong with the outcomes of the threads and, behind them, `after`; NULL: nothing. */
	const char *(*wrong)(const struct il_outcome *o);
};

/* How many values of each place, and how many plain reads of each thread, were seen. */
struct il_view {
	_Alignas(8) uint8_t at[IL_VIEW];
};

struct il_value {
	uint64_t value;
	struct il_view view;
};

struct il_place {
	uint8_t count;
	uint8_t read[IL_THREADS]; /* the last plain read of each thread, by its own count */
	struct il_value values[IL_VALUES];
};

struct il_thread {
	struct il_view now;     /* what it must have seen */
	struct il_view fenced;  /* ... were there an acquire fence now: with what relaxed loads saw */
	struct il_view release; /* what its relaxed stores carry: what it had seen at a release fence */
	bool started, done;
	unsigned steps;
	uint64_t hash;          /* of history */
	struct il_access next;  /* unless done */
	uint64_t history[IL_STEPS];
};

struct il_state {
	struct il_view common; /* of the seq_cst fences */
	struct il_thread threads[IL_THREADS];
	struct il_place places[IL_PLACES];
};

struct il_known {
	uint64_t key[2];
	double ways;
};

/* A place in the source under test. */
struct il_site {
	enum il_kind kind;
	enum il_order order;
	int line;
	const char *function, *what;
};

static struct {
	const struct il_program *program;
	unsigned threads;
	struct il_state *stack;       /* one state for each depth */
	struct il_outcome outcome[IL_THREADS];
	const volatile void *address[IL_PLACES];
	unsigned size[IL_PLACES], places;
	/* The replay under way. */
	struct il_state *state;
	unsigned running, replayed;
	jmp_buf stop;
	/* The states seen. */
	struct il_known *known;
	size_t known_len, known_max;
	/* The path to the present state, and what is wrong with that. */
	struct il_access path[IL_DEPTH];
	unsigned path_thread[IL_DEPTH];
	char wrong[160];
	bool quiet;                   /* a wrong path is expected: do not print it */
	/* The source, and how it is broken. */
	struct il_site sites[IL_SITES];
	unsigned sites_len;
	int mutant;                   /* a site, or -1 */
	bool tear;
	enum il_order weakened;
} il = { .mutant = -1 };

static void il_fail(const char *why, const struct il_access *a)
{
	if (il.wrong[0])
		return;
	if (a)
		snprintf(il.wrong, sizeof il.wrong, "%s in %s:%d", why, a->function, a->line);
	else
		snprintf(il.wrong, sizeof il.wrong, "%s", why);
}

/* ---- the threads, by replay ---- */

/* In a thread: note a result for `wrong`. */
static inline void il_note(uint64_t value)
{
	struct il_outcome *o = &il.outcome[il.running];
	if (o->count < IL_NOTES)
		o->note[o->count++] = value;
}

static int il_site_of(const struct il_access *a)
{
	if (!strstr(a->file, "src/"))
		return -1;
	for (unsigned i = 0; i < il.sites_len; i++)
		if (il.sites[i].line == a->line && il.sites[i].kind == a->kind
			&& strcmp(il.sites[i].function, a->function) == 0)
			return (int)i;
	if (il.sites_len == IL_SITES)
		abort();
	il.sites[il.sites_len] = (struct il_site){
		a->kind, a->order, a->line, a->function, a->what };
	return (int)il.sites_len++;
}

static int il_place_of(const struct il_access *a)
{
	if (a->kind == IL_FENCE)
		return -1;
	for (unsigned i = 0; i < il.places; i++)
		if (il.address[i] == a->address)
			return (int)i;
	if (il.places == IL_PLACES)
		abort();
	il.address[il.places] = a->address;
	il.size[il.places] = a->size;
	return (int)il.places++;
}

/* Every access of a thread comes here: give the value it read before, or leave the thread. */
static uint64_t il_access(struct il_access a)
{
	struct il_thread *t = &il.state->threads[il.running];
	if (il.replayed < t->steps)
		return t->history[il.replayed++];
	t->next = a;
	t->next.place = il_place_of(&a);
	int site = il_site_of(&a);
	if (site >= 0 && site == il.mutant) {
		t->next.torn = il.tear;
		if (!il.tear)
			t->next.order = il.weakened;
	}
	longjmp(il.stop, 1);
}

static inline bool il_swapped(uint64_t was, uint64_t *expected)
{
	bool swapped = was == *expected;
	*expected = was;
	return swapped;
}

/* Run a thread up to its next access. */
static void il_replay(struct il_state *s, unsigned i)
{
	il.state = s;
	il.running = i;
	il.replayed = 0;
	il.outcome[i].count = 0;
	if (setjmp(il.stop) == 0) {
		(i < il.threads ? il.program->threads[i] : il.program->after)();
		il.state->threads[il.running].done = true;
	}
}

/* ---- memory ---- */

static void il_join(struct il_view *to, const struct il_view *from)
{
	for (unsigned i = 0; i < IL_VIEW; i++)
		to->at[i] = to->at[i] > from->at[i] ? to->at[i] : from->at[i];
}

static struct il_place *il_place(struct il_state *s, int i)
{
	struct il_place *p = &s->places[i];
	if (p->count == 0) {
		p->count = 1;
		memcpy(&p->values[0].value, (const void *)il.address[i], il.size[i]);
	}
	return p;
}

static void il_read(struct il_thread *t, struct il_place *p, int place, unsigned k, bool acquire)
{
	t->now.at[place] = t->fenced.at[place] = (uint8_t)k;
	il_join(&t->fenced, &p->values[k].view);
	if (acquire)
		il_join(&t->now, &p->values[k].view);
}

/* Store as the newest value. `read` is the value a swap has replaced, whose view it passes on. */
static void il_append(struct il_thread *t, struct il_place *p, const struct il_value *read)
{
	const struct il_access *a = &t->next;
	if (t->now.at[a->place] != p->count - 1) {
		il_fail(a->kind == IL_WRITE ? "a race with a write" : "stores without an order", a);
		return;
	}
	if (p->count == IL_VALUES)
		abort();
	struct il_value *v = &p->values[p->count];
	t->now.at[a->place] = t->fenced.at[a->place] = p->count++;
	v->value = a->value;
	v->view = a->order & IL_release ? t->now : t->release;
	v->view.at[a->place] = t->now.at[a->place];
	if (read)
		il_join(&v->view, &read->view);
}

static void il_fence(struct il_state *s, struct il_thread *t)
{
	enum il_order order = t->next.order;
	if (order & IL_acquire)
		t->now = t->fenced;
	if (order == IL_seq_cst) {
		il_join(&t->now, &s->common);
		s->common = t->fenced = t->now;
	}
	if (order & IL_release)
		t->release = t->now;
}

static uint64_t il_plain(struct il_thread *t, struct il_place *p, unsigned thread)
{
	int place = t->next.place;
	uint8_t *clock = &t->now.at[IL_PLACES + thread];
	if (t->next.kind == IL_READ) {
		if (t->now.at[place] != p->count - 1)
			il_fail("a race with a write", &t->next);
		p->read[thread] = t->fenced.at[IL_PLACES + thread] = ++*clock;
		return p->values[p->count - 1].value;
	}
	for (unsigned i = 0; i < IL_THREADS; i++)
		if (i != thread && t->now.at[IL_PLACES + i] < p->read[i])
			il_fail("a race with a read", &t->next);
	il_append(t, p, NULL);
	return 0;
}

/* Reads and stores in one, whatever it reads. */
static bool il_modifies(enum il_kind kind)
{
	return kind == IL_ADD || kind == IL_OR || kind == IL_SWAP;
}

/* Whether the next access of a thread may read value k. */
static bool il_may(const struct il_thread *t, const struct il_place *p, unsigned k)
{
	if (t->next.kind == IL_LOAD)
		return true;
	if (t->next.kind != IL_CAS)
		return k == p->count - 1u || (il_modifies(t->next.kind) && t->next.torn);
	bool swaps = p->values[k].value == t->next.expected;
	return !swaps || t->next.torn || k == p->count - 1u;
}

/* Do the next access of a thread, reading value k. */
static void il_step(struct il_state *s, unsigned thread, unsigned k)
{
	struct il_thread *t = &s->threads[thread];
	struct il_access *a = &t->next;
	struct il_place *p = a->kind == IL_FENCE ? NULL : il_place(s, a->place);
	uint64_t result = 0;
	if (a->kind == IL_FENCE) {
		il_fence(s, t);
	} else if (a->kind == IL_STORE) {
		il_append(t, p, NULL);
	} else if (a->kind == IL_READ || a->kind == IL_WRITE) {
		result = il_plain(t, p, thread);
	} else {
		result = p->values[k].value;
		bool swaps = il_modifies(a->kind) || (a->kind == IL_CAS && result == a->expected);
		bool acquires = a->order & IL_acquire && (swaps || a->kind == IL_LOAD);
		il_read(t, p, a->place, k, acquires);
		if (a->kind == IL_ADD || a->kind == IL_OR)
			a->value = a->kind == IL_ADD ? result + a->value : result | a->value;
		if (swaps && a->torn)
			t->now.at[a->place] = p->count - 1; /* whatever was stored since is lost */
		if (swaps)
			il_append(t, p, a->torn ? NULL : &p->values[k]);
		if (il_modifies(a->kind) && a->order == IL_seq_cst && !a->torn)
			s->common.at[a->place] = p->count - 1;
	}
	if (t->steps == IL_STEPS) {
		il_fail("no end", a);
		return;
	}
	t->history[t->steps++] = result;
	t->hash = (t->hash ^ result) * 0x9e3779b97f4a7c15u;
	t->hash ^= t->hash >> 29;
}

/* Bring a thread to its next access that is a choice. */
static void il_advance(struct il_state *s, unsigned thread)
{
	struct il_thread *t = &s->threads[thread];
	t->started = true;
	for (;;) {
		il_replay(s, thread);
		if (t->done || il.wrong[0] || (t->next.kind != IL_READ && t->next.kind != IL_WRITE))
			return;
		il_step(s, thread, 0);
	}
}

/* ---- the search ---- */

struct il_hash {
	uint64_t h[2];
};

static void il_mix(struct il_hash *h, uint64_t word)
{
	h->h[0] = (h->h[0] ^ word) * 0xff51afd7ed558ccdu;
	h->h[0] ^= h->h[0] >> 32;
	h->h[1] = (h->h[1] + word) * 0xc4ceb9fe1a85ec53u;
	h->h[1] ^= h->h[1] >> 31;
}

static void il_mix_view(struct il_hash *h, const struct il_view *v)
{
	uint64_t word[IL_VIEW / 8];
	memcpy(word, v, sizeof word);
	for (unsigned i = 0; i < IL_VIEW / 8; i++)
		il_mix(h, word[i]);
}

_Static_assert(IL_VIEW % 8 == 0, "a view is hashed by words");

/* The values of a place that somebody may still read. */
static void il_mix_place(struct il_hash *h, const struct il_state *s, unsigned place)
{
	const struct il_place *p = &s->places[place];
	unsigned from = p->count ? p->count - 1u : 0;
	for (unsigned i = 0; i < il.threads; i++)
		if (!s->threads[i].done && s->threads[i].now.at[place] < from)
			from = s->threads[i].now.at[place];
	il_mix(h, p->count);
	for (unsigned i = 0; i < IL_THREADS; i++)
		il_mix(h, p->read[i]);
	for (unsigned k = from; k < p->count; k++) {
		il_mix(h, p->values[k].value);
		il_mix_view(h, &p->values[k].view);
	}
}

static struct il_hash il_hash(const struct il_state *s)
{
	struct il_hash h = {{ 1, 2 }};
	il_mix_view(&h, &s->common);
	for (unsigned i = 0; i <= il.threads; i++) {
		const struct il_thread *t = &s->threads[i];
		il_mix(&h, t->hash);
		il_mix(&h, t->steps * 4 + t->done * 2 + t->started);
		il_mix_view(&h, &t->now);
		if (t->done)
			continue;
		il_mix_view(&h, &t->fenced);
		il_mix_view(&h, &t->release);
	}
	for (unsigned i = 0; i < il.places; i++)
		il_mix_place(&h, s, i);
	h.h[0] |= 1; /* 0 is free */
	return h;
}

static struct il_known *il_lookup(struct il_known *table, size_t max, const struct il_hash *h)
{
	size_t i = h->h[1] & (max - 1);
	while (table[i].key[0] && (table[i].key[0] != h->h[0] || table[i].key[1] != h->h[1]))
		i = (i + 1) & (max - 1);
	return &table[i];
}

static void il_remember(const struct il_hash *h, double ways)
{
	if (il.known_len * 2 >= il.known_max) {
		size_t max = il.known_max ? il.known_max * 2 : 1 << 12;
		struct il_known *bigger = calloc(max, sizeof *bigger);
		if (!bigger)
			abort();
		for (size_t i = 0; i < il.known_max; i++) {
			struct il_hash old = {{ il.known[i].key[0], il.known[i].key[1] }};
			if (old.h[0])
				*il_lookup(bigger, max, &old) = il.known[i];
		}
		free(il.known);
		il.known = bigger;
		il.known_max = max;
	}
	*il_lookup(il.known, il.known_max, h) = (struct il_known){ { h->h[0], h->h[1] }, ways };
	il.known_len++;
}

static void il_judge(struct il_state *s)
{
	for (unsigned i = 0; i < il.threads + (il.program->after != NULL); i++)
		il_replay(s, i);
	const char *wrong = il.program->wrong(il.outcome);
	if (wrong)
		il_fail(wrong, NULL);
}

/* Everybody is done: let `after` begin, if it has not yet. */
static bool il_begin_after(struct il_state *s)
{
	struct il_thread *t = &s->threads[il.threads];
	if (!il.program->after || t->started)
		return false;
	for (unsigned i = 0; i < il.threads; i++)
		il_join(&t->now, &s->threads[i].now);
	t->fenced = t->now;
	il_advance(s, il.threads);
	return true;
}

static double il_explore(unsigned depth);

/* All ways to go on that begin with the next access of one thread. */
static double il_explore_thread(unsigned depth, unsigned thread)
{
	struct il_state *s = &il.stack[depth], *next = s + 1;
	struct il_thread *t = &s->threads[thread];
	struct il_place *p = t->next.place >= 0 ? il_place(s, t->next.place) : NULL;
	bool reads = t->next.kind == IL_LOAD || t->next.kind == IL_CAS || il_modifies(t->next.kind);
	bool total = t->next.kind == IL_LOAD && t->next.order == IL_seq_cst;
	double ways = 0;
	for (unsigned k = reads ? t->now.at[t->next.place] : 0; k < (reads ? p->count : 1u); k++) {
		if (reads && (!il_may(t, p, k) || (total && k < s->common.at[t->next.place])))
			continue;
		*next = *s;
		il.path[depth] = t->next;
		il.path_thread[depth] = thread;
		il_step(next, thread, k);
		il.path[depth].value = t->next.kind == IL_STORE ? t->next.value
			: next->threads[thread].history[t->steps];
		il_advance(next, thread);
		ways += il_explore(depth + 1);
		if (il.wrong[0])
			break;
	}
	return ways;
}

static void il_print_path(unsigned depth)
{
	if (il.quiet)
		return;
	for (unsigned i = 0; i < depth; i++)
		printf("      thread %u: %s of %s in %s:%d: %llx\n", il.path_thread[i],
			il_kinds[il.path[i].kind], il.path[i].what, il.path[i].function, il.path[i].line,
			(unsigned long long)il.path[i].value);
}

/* The number of ways to go on from the state at `depth`. */
static double il_explore(unsigned depth)
{
	struct il_state *s = &il.stack[depth];
	if (il.wrong[0]) {
		il_print_path(depth);
		return 0;
	}
	struct il_hash h = il_hash(s);
	if (il.known_max) {
		struct il_known *k = il_lookup(il.known, il.known_max, &h);
		if (k->key[0])
			return k->ways;
	}
	bool live = false;
	double ways = 0;
	for (unsigned i = 0; i <= il.threads && !il.wrong[0]; i++) {
		if (!s->threads[i].started || s->threads[i].done)
			continue;
		live = true;
		ways += il_explore_thread(depth, i);
	}
	if (!live && il_begin_after(s))
		return il_explore(depth);
	if (!live) {
		ways = 1;
		il_judge(s);
		if (il.wrong[0])
			il_print_path(depth);
	}
	il_remember(&h, ways);
	return ways;
}

/* Look into every order of a program: false when one is wrong, which il.wrong then says. */
static bool il_search(const struct il_program *program, double *ways)
{
	il.program = program;
	il.threads = 0;
	while (program->threads[il.threads])
		il.threads++;
	il.places = 0;
	memset(il.outcome, 0, sizeof il.outcome);
	il.wrong[0] = 0;
	il.known_len = 0;
	if (il.known)
		memset(il.known, 0, il.known_max * sizeof *il.known);
	if (!il.stack)
		il.stack = malloc(IL_DEPTH * sizeof *il.stack);
	if (!il.stack)
		abort();
	memset(il.stack, 0, sizeof *il.stack);
	program->init();
	for (unsigned i = 0; i < il.threads; i++)
		il_advance(&il.stack[0], i);
	*ways = il_explore(0);
	return !il.wrong[0];
}

/* Free what the searches have kept. */
static void il_end(void)
{
	free(il.known);
	free(il.stack);
	il.known = NULL;
	il.stack = NULL;
	il.known_max = 0;
}

/* ---- for tests ---- */

/* A test's check that a program is right in every order; prints how many there were. */
static inline void il_check(const struct il_program *programs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		double ways;
		bool right = il_search(&programs[i], &ways);
		if (right)
			printf("    %s: %.0f interleavings, %zu states\n", programs[i].name, ways,
				il.known_len);
		else
			printf("    %s: %s\n", programs[i].name, il.wrong);
		CHECK(right);
	}
}

/* A mutant that no program finds, and why. */
struct il_survivor {
	const char *function, *what; /* as the source spells it */
	bool torn;
	const char *why;
};

/* Why a mutant may live; NULL when it may not. */
static inline const char *il_survives(const struct il_survivor *survivors,
	const struct il_site *site, bool tear)
{
	for (; survivors->function; survivors++)
		if (strcmp(survivors->function, site->function) == 0
			&& strcmp(survivors->what, site->what) == 0 && survivors->torn == tear)
			return survivors->why;
	return NULL;
}

static inline void il_mutant(const struct il_program *programs, unsigned count, int site, bool tear,
	const struct il_survivor *survivors)
{
	struct il_site *broken = &il.sites[site];
	const char *why = il_survives(survivors, broken, tear);
	bool found = false;
	double ways;
	il.mutant = site;
	il.quiet = true;
	il.tear = tear;
	il.weakened = broken->kind == IL_FENCE ? IL_acq_rel : IL_relaxed;
	for (unsigned i = 0; i < count && !found; i++)
		found = !il_search(&programs[i], &ways);
	il.mutant = -1;
	il.quiet = false;
	printf("    %s of %s in %s:%d %s: %s\n", il_kinds[broken->kind], broken->what,
		broken->function, broken->line,
		tear ? "torn" : broken->kind == IL_FENCE ? "not seq_cst" : "relaxed",
		found ? il.wrong : why ? why : "not found");
	CHECK(found == !why);
}

/* A test's check that every mutant of the source is found by some program, but for `survivors`
 * (until one without a function), which are not. Call il_check first: it finds the sites. */
static inline void il_mutants(const struct il_program *programs, unsigned count,
	const struct il_survivor *survivors)
{
	for (unsigned i = 0; i < il.sites_len; i++) {
		enum il_kind kind = il.sites[i].kind;
		bool weakens = kind == IL_FENCE ? il.sites[i].order == IL_seq_cst
			: il.sites[i].order != IL_relaxed;
		if (weakens)
			il_mutant(programs, count, (int)i, false, survivors);
		if (kind == IL_CAS || il_modifies(kind))
			il_mutant(programs, count, (int)i, true, survivors);
	}
}

#endif
