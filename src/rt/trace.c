/* SPDX-License-Identifier: MIT */
/*
 * trace: see trace.h.
 *
 * Names and the places where tasks were made are texts that come again and again: they are written
 * once, into the section's texts, and meant by where they lie. What has no room there any more, and
 * logs, goes into the ring itself, as records of kind TEXT behind the one it belongs to.
 */
#include "rt/trace.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 14u /* of a record of kind TEXT */
#define INDEX_SIZE 4096u
#define INDEX_FULL 3072u

_Static_assert(RL_RECORDER_TEXTS <= 1 << 16, "where a text lies fits 16 bits");
_Static_assert(RL_TRACE_TEXT_MAX <= 255, "its length fits a byte");

/* A moment by both clocks. The best of three looks: a thread may be put aside between them. */
static void read_clocks(const struct rl_trace *t, uint64_t *ticks, int64_t *mono_ns)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 3; i++) {
		uint64_t from = rl_trace_clock(t);
		int64_t now_ns = rl_os_now(t->shard->os);
		uint64_t took = rl_trace_clock(t) - from;
		if (took >= least)
			continue;
		least = took;
		*ticks = from + took / 2;
		*mono_ns = now_ns;
	}
}

/* What the rate of the ticks is reckoned from. */
void rl_trace_pair(struct rl_trace *t)
{
	struct rl_recorder_section *section = t->section;
	uint64_t ticks = 0;
	int64_t mono_ns = 0;
	read_clocks(t, &ticks, &mono_ns);
	uint64_t n = RL_LOAD(&section->pairs, relaxed);
	struct rl_recorder_pair *pair = &section->pair[n & 1];
	RL_STORE(&pair->ticks, ticks, release);
	RL_STORE(&pair->mono_ns, (uint64_t)mono_ns, release);
	RL_STORE(&section->last_id, t->shard->next_id, relaxed);
	RL_STORE(&section->pairs, n + 1, release); /* for who reads the pair: it is whole */
	t->pair_ns = mono_ns;
}

void rl_trace_wake(struct rl_trace *t)
{
	t->asleep = false;
	rl_trace_stamp(t, RL_TRACE_WAKE, 0, 0, 0);
}

/* For struct rl_os: what is submitted, and what came of it. */
static void told(struct rl_os *os, const struct rl_op *op, bool done, int res)
{
	struct rl_shard *s = os->user;
	struct rl_trace *t = s->trace;
	if (!t)
		return;
	rl_trace_woken(t);
	if (done)
		rl_trace_put(t, RL_TRACE_DONE, op->kind, 0, (uint32_t)res, (uint32_t)op->fd);
	else
		rl_trace_put(t, RL_TRACE_SUBMIT, op->kind, 0, rl_trace_task(s), (uint32_t)op->fd);
}

/* The texts that are there already: of a shard that recorded before. */
static void index_texts(struct rl_trace *t)
{
	t->texts_used = (uint32_t)RL_LOAD(&t->section->texts_used, relaxed);
	if (t->texts_used == 0)
		t->texts_used = 1; /* nothing lies at 0 */
	t->texts_len = t->texts_used > 1 ? INDEX_FULL : 0;
}

int rl_trace_attach(struct rl_shard *s, struct rl_recorder *r)
{
	rl_trace_detach(s);
	if (!s->os || s->index >= r->header->sections)
		return -EINVAL;
	struct rl_trace *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	rl_shared_get(&r->shared);
	t->recorder = r;
	t->shard = s;
	t->log = rl_recorder_log(r, s->index);
	t->section = rl_recorder_section(r, s->index);
	t->texts = rl_recorder_texts(r, s->index);
	t->names = rl_recorder_names(r, s->index);
	t->shift = (uint8_t)r->header->shift;
	t->fast = t->shift > 0 && !s->os->closed_world;
	index_texts(t);
	s->trace = t;
	s->os->told = told;
	rl_shard_now(s);
	rl_trace_pair(t);
	rl_trace_wake(t);
	if (s->current)
		rl_traced_run(s, s->current);
	return 0;
}

void rl_trace_detach(struct rl_shard *s)
{
	struct rl_trace *t = s->trace;
	if (!t)
		return;
	s->trace = NULL;
	if (s->os)
		s->os->told = NULL;
	rl_shared_put(&t->recorder->shared);
	free(t);
}

static uint32_t hash(const char *text, uint32_t len)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	for (uint32_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * 16777619u;
	return h ^ h >> 15;
}

static bool is_text(const struct rl_trace *t, uint32_t at, const char *text, uint32_t len)
{
	return (uint8_t)t->texts[at] == len && memcmp(t->texts + at + 1, text, len) == 0;
}

static uint32_t write_text(struct rl_trace *t, const char *text, uint32_t len)
{
	uint32_t at = t->texts_used;
	if (t->texts_len >= INDEX_FULL || at + 1 + len > RL_RECORDER_TEXTS)
		return 0;
	t->texts[at] = (char)len;
	memcpy(t->texts + at + 1, text, len);
	t->texts_used += 1 + len;
	t->texts_len++;
	RL_STORE(&t->section->texts_used, t->texts_used, release); /* what lies below is whole */
	return at;
}

uint32_t rl_trace_intern(struct rl_trace *t, const char *text, uint32_t len)
{
	if (len > RL_TRACE_TEXT_MAX)
		len = RL_TRACE_TEXT_MAX;
	uint32_t i = hash(text, len) % INDEX_SIZE;
	for (; t->index[i]; i = (i + 1) % INDEX_SIZE)
		if (is_text(t, t->index[i], text, len))
			return t->index[i];
	uint32_t at = write_text(t, text, len);
	t->index[i] = (uint16_t)at;
	return at;
}

void rl_trace_name(struct rl_trace *t, uint64_t id, uint32_t text)
{
	/* One word, so that it is that of one task. Release: the text is whole. */
	RL_STORE(&t->names[id % RL_RECORDER_NAMES], (uint32_t)id | (uint64_t)text << 32, release);
}

/* The text behind a record. */
static void put_text(struct rl_trace *t, const char *text, uint32_t len)
{
	for (uint32_t done = 0; done < len; done += TEXT_BYTES) {
		uint32_t n = len - done < TEXT_BYTES ? len - done : TEXT_BYTES;
		uint64_t words[2] = { RL_TRACE_TEXT | n << 8, 0 };
		memcpy((char *)words + sizeof words - TEXT_BYTES, text + done, n);
		rl_tracelog_put(&t->log, words[0], words[1]);
	}
}

uint16_t rl_trace_begin(struct rl_trace *t, uint64_t task, const char *name, uint32_t len)
{
	uint32_t text = rl_trace_intern(t, name, len);
	uint16_t number = ++t->spans;
	rl_trace_stamp(t, RL_TRACE_BEGIN, 0, task, (uint32_t)number << 16 | text);
	if (text == 0)
		put_text(t, name, len < RL_TRACE_TEXT_MAX ? len : RL_TRACE_TEXT_MAX);
	return number;
}

void rl_trace_finish(struct rl_trace *t, uint64_t task, uint16_t number)
{
	rl_trace_stamp(t, RL_TRACE_FINISH, 0, task, (uint32_t)number << 16);
}

void rl_trace_say(struct rl_trace *t, uint64_t task, const char *text, uint32_t len)
{
	rl_trace_stamp(t, RL_TRACE_LOG, 0, task, 0);
	put_text(t, text, len < RL_TRACE_TEXT_MAX ? len : RL_TRACE_TEXT_MAX);
}
