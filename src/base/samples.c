/* SPDX-License-Identifier: MIT */
/*
 * samples: two hash tables with open addressing over arrays that only grow.
 *
 * Invariants: an index holds numbers + 1, 0 is free, and is at most half full; number 0 of both
 * arrays is "(other)", made with the table, so that there is always somewhere to count.
 */
#include "base/samples.h"

#include "base/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_MIN 64u

struct index {
	uint32_t *slots;
	uint32_t size; /* a power of two */
};

struct frame {
	uint64_t hash;
	char *name, *file; /* never NULL */
	int line, defined;
};

struct stack {
	uint64_t hash;
	uint32_t *frames;
	uint32_t depth, label;
	double count, value;
};

struct rl_samples {
	struct index by_frame, by_stack;
	struct frame *frames;
	struct stack *stacks;
	uint32_t frames_len, frames_cap, stacks_len, stacks_cap;
};

/* ---- the index ------------------------------------------------------------------------------ */

static bool index_init(struct index *x, uint32_t size)
{
	x->slots = calloc(size, sizeof *x->slots);
	x->size = size;
	return x->slots != NULL;
}

static void index_put(struct index *x, uint64_t hash, uint32_t number)
{
	uint32_t i = (uint32_t)hash & (x->size - 1);
	while (x->slots[i])
		i = (i + 1) & (x->size - 1);
	x->slots[i] = number + 1;
}

/* Room for one more than `len` numbers, whose hashes lie `stride` bytes apart from `hashes` on. */
static bool index_reserve(struct index *x, uint32_t len, const void *hashes, size_t stride)
{
	struct index wider;
	if ((len + 1) * 2 <= x->size)
		return true;
	if (!index_init(&wider, x->size * 2))
		return false;
	for (uint32_t i = 0; i < len; i++) {
		uint64_t hash;
		memcpy(&hash, (const char *)hashes + i * stride, sizeof hash);
		index_put(&wider, hash, i);
	}
	free(x->slots);
	*x = wider;
	return true;
}

static bool reserve(void **array, uint32_t *cap, uint32_t len, size_t size)
{
	if (len < *cap)
		return true;
	uint32_t wider = *cap ? *cap * 2 : 32;
	void *p = realloc(*array, wider * size);
	if (!p)
		return false;
	*array = p;
	*cap = wider;
	return true;
}

/* ---- frames --------------------------------------------------------------------------------- */

static uint64_t frame_hash(const struct rl_samples_frame *f)
{
	const char *text = f->defined < 0 ? f->name : f->file;
	uint64_t seed = (uint64_t)(uint32_t)f->line << 32 | (uint32_t)f->defined;
	return rl_hash_bytes(text, strlen(text), seed);
}

static bool is_frame(const struct frame *a, uint64_t hash, const struct rl_samples_frame *b)
{
	if (a->hash != hash || a->line != b->line || a->defined != b->defined)
		return false;
	return b->defined < 0 ? strcmp(a->name, b->name) == 0 : strcmp(a->file, b->file) == 0;
}

/* The name may have become known since. */
static void learn_name(struct frame *a, const char *name)
{
	if (a->name[0] || !name[0])
		return;
	char *copy = strdup(name);
	if (!copy)
		return;
	free(a->name);
	a->name = copy;
}

static bool frame_init(struct frame *a, uint64_t hash, const struct rl_samples_frame *f)
{
	*a = (struct frame){
		.hash = hash, .name = strdup(f->name), .file = strdup(f->file),
		.line = f->line, .defined = f->defined,
	};
	if (a->name && a->file)
		return true;
	free(a->name);
	free(a->file);
	return false;
}

static uint32_t frame_add(struct rl_samples *s, uint64_t hash, const struct rl_samples_frame *f)
{
	if (s->frames_len >= RL_SAMPLES_FRAMES_MAX)
		return 0;
	if (!reserve((void **)&s->frames, &s->frames_cap, s->frames_len, sizeof *s->frames))
		return 0;
	if (!index_reserve(&s->by_frame, s->frames_len, s->frames, sizeof *s->frames))
		return 0;
	if (!frame_init(&s->frames[s->frames_len], hash, f))
		return 0;
	index_put(&s->by_frame, hash, s->frames_len);
	return s->frames_len++;
}

uint32_t rl_samples_frame(struct rl_samples *s, const struct rl_samples_frame *given)
{
	struct rl_samples_frame f = *given;
	f.name = f.name ? f.name : "";
	f.file = f.file ? f.file : "";
	uint64_t hash = frame_hash(&f);
	const struct index *x = &s->by_frame;
	for (uint32_t i = (uint32_t)hash & (x->size - 1); x->slots[i]; i = (i + 1) & (x->size - 1)) {
		struct frame *a = &s->frames[x->slots[i] - 1];
		if (is_frame(a, hash, &f)) {
			learn_name(a, f.name);
			return x->slots[i] - 1;
		}
	}
	return frame_add(s, hash, &f);
}

uint32_t rl_samples_frames(const struct rl_samples *s)
{
	return s->frames_len;
}

struct rl_samples_frame rl_samples_frame_at(const struct rl_samples *s, uint32_t i)
{
	const struct frame *a = &s->frames[i];
	return (struct rl_samples_frame){ a->name, a->file, a->line, a->defined };
}

/* ---- stacks --------------------------------------------------------------------------------- */

static struct stack *stack_find(struct rl_samples *s, uint64_t hash, const uint32_t *frames,
	uint32_t depth, uint32_t label)
{
	const struct index *x = &s->by_stack;
	for (uint32_t i = (uint32_t)hash & (x->size - 1); x->slots[i]; i = (i + 1) & (x->size - 1)) {
		struct stack *a = &s->stacks[x->slots[i] - 1];
		if (a->hash == hash && a->depth == depth && a->label == label
			&& memcmp(a->frames, frames, depth * sizeof *frames) == 0)
			return a;
	}
	return NULL;
}

static struct stack *stack_add(struct rl_samples *s, uint64_t hash, const uint32_t *frames,
	uint32_t depth, uint32_t label)
{
	if (s->stacks_len >= RL_SAMPLES_STACKS_MAX)
		return NULL;
	if (!reserve((void **)&s->stacks, &s->stacks_cap, s->stacks_len, sizeof *s->stacks))
		return NULL;
	if (!index_reserve(&s->by_stack, s->stacks_len, s->stacks, sizeof *s->stacks))
		return NULL;
	uint32_t *copy = malloc((depth + 1) * sizeof *copy);
	if (!copy)
		return NULL;
	memcpy(copy, frames, depth * sizeof *frames);
	index_put(&s->by_stack, hash, s->stacks_len);
	struct stack *a = &s->stacks[s->stacks_len++];
	*a = (struct stack){ .hash = hash, .frames = copy, .depth = depth, .label = label };
	return a;
}

void rl_samples_add(struct rl_samples *s, const uint32_t *frames, uint32_t depth, uint32_t label,
	double count, double value)
{
	uint64_t hash = rl_hash_bytes(frames, depth * sizeof *frames, label);
	struct stack *a = stack_find(s, hash, frames, depth, label);
	if (!a)
		a = stack_add(s, hash, frames, depth, label);
	if (!a)
		a = &s->stacks[0];
	a->count += count;
	a->value += value;
}

uint32_t rl_samples_stacks(const struct rl_samples *s)
{
	return s->stacks_len;
}

struct rl_samples_stack rl_samples_stack_at(const struct rl_samples *s, uint32_t i)
{
	const struct stack *a = &s->stacks[i];
	return (struct rl_samples_stack){ a->depth, a->frames, a->label, a->count, a->value };
}

/* ---- the whole ------------------------------------------------------------------------------ */

struct rl_samples *rl_samples_new(void)
{
	static const uint32_t other = 0;
	static const struct rl_samples_frame frame = { "(other)", "", -1, -1 };
	struct rl_samples *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	if (index_init(&s->by_frame, INDEX_MIN) && index_init(&s->by_stack, INDEX_MIN)) {
		rl_samples_frame(s, &frame);
		stack_add(s, rl_hash_bytes(&other, sizeof other, 0), &other, 1, 0);
		if (s->frames_len == 1 && s->stacks_len == 1)
			return s;
	}
	rl_samples_free(s);
	return NULL;
}

void rl_samples_free(struct rl_samples *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->frames_len; i++) {
		free(s->frames[i].name);
		free(s->frames[i].file);
	}
	for (uint32_t i = 0; i < s->stacks_len; i++)
		free(s->stacks[i].frames);
	free(s->frames);
	free(s->stacks);
	free(s->by_frame.slots);
	free(s->by_stack.slots);
	free(s);
}
