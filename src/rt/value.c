/* SPDX-License-Identifier: MIT */
/* value: see value.h. The count of references is the only thing that changes after making. */
#include "rt/value.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* The last to give up frees: its acquire pairs with the release of all others. */
static int last_reference(_Atomic uint32_t *refs)
{
	uint32_t before = atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel);
	RL_ASSERT(before > 0);
	return before == 1;
}

void rl_shared_init(struct rl_shared *o, const struct rl_shared_class *class)
{
	o->class = class;
	atomic_init(&o->refs, 1);
}

struct rl_shared *rl_shared_get(struct rl_shared *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void rl_shared_put(struct rl_shared *o)
{
	if (o && last_reference(&o->refs))
		o->class->free(o);
}

struct rl_parcel *rl_parcel_new(size_t len, size_t objects_len)
{
	const size_t word = sizeof(struct rl_shared *);
	size_t at = (sizeof(struct rl_parcel) + len + word - 1) & ~(word - 1);
	if (len > UINT32_MAX || objects_len > UINT32_MAX)
		return NULL;
	struct rl_parcel *p = malloc(at + objects_len * word);
	if (!p)
		return NULL;
	memset(p, 0, sizeof *p);
	atomic_init(&p->refs, 1);
	p->len = (uint32_t)len;
	p->objects = (struct rl_shared **)((char *)p + at);
	return p;
}

struct rl_parcel *rl_parcel_get(struct rl_parcel *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void rl_parcel_put(struct rl_parcel *p)
{
	if (!p || !last_reference(&p->refs))
		return;
	for (uint32_t i = 0; i < p->objects_len; i++)
		rl_shared_put(p->objects[i]);
	free(p);
}

void rl_value_drop(struct rl_value *v)
{
	if (v->kind == RL_VALUE_SHARED)
		rl_shared_put(v->shared);
	else if (v->kind == RL_VALUE_PARCEL)
		rl_parcel_put(v->parcel);
	memset(v, 0, sizeof *v);
}
