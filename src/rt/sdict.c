/* SPDX-License-Identifier: MIT */
/* sdict: see sdict.h. Each operation works on one stripe, which is locked as long. */
#include "rt/sdict.h"

#include "base/check.h"
#include "base/err.h"
#include "rt/sbuffer.h"
#include "rt/stripe.h"

#include <stdlib.h>
#include <string.h>

/* Take the value. */
static void set_value(struct rl_dictop *op, struct rl_entry *e, struct rl_value *v,
	int64_t expires_ns)
{
	op->gone = e->value;
	op->gone_list = e->list;
	e->value = *v;
	e->list = NULL;
	memset(v, 0, sizeof *v);
	rl_stripe_expire(op, e, expires_ns);
}

/* A copy with a reference of its own. */
static struct rl_value copy_of(const struct rl_value *v)
{
	if (v->kind == RL_VALUE_SHARED)
		rl_shared_get(v->shared);
	else if (v->kind == RL_VALUE_PARCEL)
		rl_parcel_get(v->parcel);
	return *v;
}

static void count_look(struct rl_stripe *st, bool hit)
{
	if (hit)
		st->stats.hits++;
	else
		st->stats.misses++;
}

static void free_stripes(struct rl_sdict *d, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		rl_stripe_term(&d->stripes[i]);
	free(d);
}

static void sdict_free(struct rl_shared *o)
{
	struct rl_sdict *d = (struct rl_sdict *)o;
	rl_sdict_clear(d);
	free_stripes(d, d->stripes_len);
}

const struct rl_shared_class rl_sdict_class = {"ringlet.shared.dict", sdict_free};

struct rl_sdict *rl_sdict_new(const struct rl_sdict_options *options)
{
	bool exact = options->capacity > 0 && options->capacity <= RL_SDICT_EXACT;
	uint32_t n = exact ? 1 : RL_STRIPES;
	size_t bytes = sizeof(struct rl_sdict) + n * sizeof(struct rl_stripe);
	struct rl_sdict *d = aligned_alloc(64, bytes);
	if (!d)
		return NULL;
	memset(d, 0, bytes);
	rl_shared_init(&d->shared, &rl_sdict_class);
	d->stripes_len = n;
	d->capacity = options->capacity;
	d->evict = options->capacity > 0 && options->evict;
	memcpy(d->seed, options->seed, sizeof d->seed);
	for (uint32_t i = 0; i < n; i++) {
		if (!rl_stripe_init(&d->stripes[i])) {
			free_stripes(d, i + 1);
			return NULL;
		}
	}
	return d;
}

bool rl_sdict_is_timed(const struct rl_sdict *d)
{
	return atomic_load_explicit(&d->timed, memory_order_relaxed);
}

int rl_sdict_get(struct rl_sdict *d, const struct rl_sdict_at *at, struct rl_value *out)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	count_look(op.stripe, e != NULL);
	if (!e)
		return rl_stripe_end(&op, -ENOENT);
	if (e->list)
		return rl_stripe_end(&op, -EINVAL);
	*out = copy_of(&e->value);
	return rl_stripe_end(&op, 0);
}

int rl_sdict_put(struct rl_sdict *d, const struct rl_sdict_at *at, enum rl_sdict_put how,
	struct rl_value *v, int64_t expires_ns)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = NULL;
	int was;
	if (how == RL_SDICT_REPLACE) {
		e = rl_stripe_find(&op);
		was = e ? 1 : -ENOENT;
	} else {
		was = rl_stripe_find_or_add(&op, &e);
	}
	if (how == RL_SDICT_ADD && was == 1)
		was = -EEXIST;
	if (was >= 0)
		set_value(&op, e, v, expires_ns);
	return rl_stripe_end(&op, was < 0 ? was : 0);
}

static bool equal_numbers(const struct rl_value *a, const struct rl_value *b)
{
	if (a->kind == RL_VALUE_INTEGER && b->kind == RL_VALUE_INTEGER)
		return a->integer == b->integer;
	double x = a->kind == RL_VALUE_INTEGER ? (double)a->integer : a->number;
	double y = b->kind == RL_VALUE_INTEGER ? (double)b->integer : b->number;
	return x == y;
}

static bool is_number(const struct rl_value *v)
{
	return v->kind == RL_VALUE_INTEGER || v->kind == RL_VALUE_NUMBER;
}

static bool equal_objects(const struct rl_shared *a, const struct rl_shared *b)
{
	if (a->class == &rl_sbuffer_text_class && b->class == &rl_sbuffer_text_class)
		return rl_sbuffer_equal((const struct rl_sbuffer *)a, (const struct rl_sbuffer *)b);
	return a == b;
}

/* Strings and numbers by value, objects by identity, parcels never. */
static bool equal_values(const struct rl_value *a, const struct rl_value *b)
{
	if (is_number(a) && is_number(b))
		return equal_numbers(a, b);
	if (a->kind != b->kind)
		return false;
	switch ((enum rl_value_kind)a->kind) {
	case RL_VALUE_TEXT:
		return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
	case RL_VALUE_SHARED:
		return equal_objects(a->shared, b->shared);
	case RL_VALUE_PARCEL:
		return false;
	default:
		return true;
	}
}

int rl_sdict_cas(struct rl_sdict *d, const struct rl_sdict_at *at, const struct rl_value *old,
	struct rl_value *v, int64_t expires_ns, struct rl_value *actual)
{
	static const struct rl_value none = {.kind = RL_VALUE_NONE};
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	int was = e != NULL;
	if (!e && old->kind == RL_VALUE_NONE && v->kind != RL_VALUE_NONE)
		was = rl_stripe_find_or_add(&op, &e);
	if (was < 0)
		return rl_stripe_end(&op, was);
	if (e && e->list)
		return rl_stripe_end(&op, -EINVAL);
	const struct rl_value *is = was ? &e->value : &none;
	if (!equal_values(is, old)) {
		*actual = copy_of(is);
		return rl_stripe_end(&op, -EAGAIN);
	}
	if (e && v->kind != RL_VALUE_NONE)
		set_value(&op, e, v, expires_ns);
	else if (e)
		rl_stripe_remove(&op, e);
	return rl_stripe_end(&op, 0);
}

/* Integers wrap around, as Lua's do. */
static void add_number(struct rl_value *v, const struct rl_value *by)
{
	if (v->kind == RL_VALUE_INTEGER && by->kind == RL_VALUE_INTEGER) {
		v->integer = (int64_t)((uint64_t)v->integer + (uint64_t)by->integer);
		return;
	}
	double x = v->kind == RL_VALUE_INTEGER ? (double)v->integer : v->number;
	double y = by->kind == RL_VALUE_INTEGER ? (double)by->integer : by->number;
	v->kind = RL_VALUE_NUMBER;
	v->number = x + y;
}

int rl_sdict_incr(struct rl_sdict *d, const struct rl_sdict_at *at, const struct rl_value *by,
	const struct rl_value *init, int64_t expires_ns, struct rl_value *out)
{
	RL_DEBUG_ASSERT(is_number(by) && (init->kind == RL_VALUE_NONE || is_number(init)));
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	if (!e && init->kind == RL_VALUE_NONE)
		return rl_stripe_end(&op, -ENOENT);
	int was = e ? 1 : rl_stripe_find_or_add(&op, &e);
	if (was < 0)
		return rl_stripe_end(&op, was);
	if (!was) {
		e->value = *init;
		rl_stripe_expire(&op, e, expires_ns);
	}
	if (e->list || !is_number(&e->value))
		return rl_stripe_end(&op, -EINVAL);
	add_number(&e->value, by);
	*out = e->value;
	return rl_stripe_end(&op, 0);
}

int rl_sdict_delete(struct rl_sdict *d, const struct rl_sdict_at *at)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	if (e)
		rl_stripe_remove(&op, e);
	return rl_stripe_end(&op, e ? 0 : -ENOENT);
}

int rl_sdict_expiry(struct rl_sdict *d, const struct rl_sdict_at *at, int64_t *expires_ns)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	if (e)
		*expires_ns = e->expires_ns == RL_NEVER ? -1 : e->expires_ns;
	return rl_stripe_end(&op, e ? 0 : -ENOENT);
}

int rl_sdict_expire(struct rl_sdict *d, const struct rl_sdict_at *at, int64_t expires_ns)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	if (e)
		rl_stripe_expire(&op, e, expires_ns);
	return rl_stripe_end(&op, e ? 0 : -ENOENT);
}

int rl_sdict_push(struct rl_sdict *d, const struct rl_sdict_at *at, struct rl_value *v, bool front)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e;
	int was = rl_stripe_find_or_add(&op, &e);
	if (was < 0)
		return rl_stripe_end(&op, was);
	if (was && !e->list)
		return rl_stripe_end(&op, -EINVAL);
	if (!was)
		e->list = calloc(1, sizeof *e->list);
	int err = e->list ? rl_svalues_push(e->list, v, front) : -ENOMEM;
	if (err < 0 && !was)
		rl_stripe_remove(&op, e);
	return rl_stripe_end(&op, err < 0 ? err : (int)e->list->len);
}

int rl_sdict_pop(struct rl_sdict *d, const struct rl_sdict_at *at, struct rl_value *out,
	bool front)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	count_look(op.stripe, e != NULL);
	if (!e || !e->list)
		return rl_stripe_end(&op, e ? -EINVAL : -ENOENT);
	bool got = rl_svalues_pop(e->list, out, front);
	RL_ASSERT(got); /* an empty list is not kept */
	int len = (int)e->list->len;
	if (len == 0)
		rl_stripe_remove(&op, e);
	return rl_stripe_end(&op, len);
}

int rl_sdict_len(struct rl_sdict *d, const struct rl_sdict_at *at)
{
	struct rl_dictop op = rl_stripe_begin(d, at);
	struct rl_entry *e = rl_stripe_find(&op);
	if (!e)
		return rl_stripe_end(&op, 0);
	return rl_stripe_end(&op, e->list ? (int)e->list->len : -EINVAL);
}

static bool append_key(struct rl_sdict_keys *keys, const struct rl_entry *e)
{
	size_t need = keys->len + sizeof e->key_len + e->key_len;
	if (need > keys->room) {
		size_t room = 2 * need;
		char *bytes = realloc(keys->bytes, room);
		if (!bytes)
			return false;
		keys->bytes = bytes;
		keys->room = room;
	}
	memcpy(keys->bytes + keys->len, &e->key_len, sizeof e->key_len);
	memcpy(keys->bytes + keys->len + sizeof e->key_len, e->key, e->key_len);
	keys->len = need;
	keys->count++;
	return true;
}

int rl_sdict_keys(struct rl_sdict *d, int64_t now_ns, size_t max, struct rl_sdict_keys *out)
{
	bool room = true;
	*out = (struct rl_sdict_keys){0};
	for (uint32_t i = 0; i < d->stripes_len && room; i++) {
		struct rl_stripe *st = &d->stripes[i];
		pthread_mutex_lock(&st->lock);
		struct rl_list *l = st->used.next;
		for (; l != &st->used && out->count < max && room; l = l->next)
			if (rl_entry_of(l)->expires_ns > now_ns)
				room = append_key(out, rl_entry_of(l));
		pthread_mutex_unlock(&st->lock);
	}
	if (room)
		return 0;
	free(out->bytes);
	return -ENOMEM;
}

size_t rl_sdict_purge(struct rl_sdict *d, int64_t now_ns)
{
	size_t n = 0;
	for (uint32_t i = 0; i < d->stripes_len; i++)
		n += rl_stripe_purge(d, &d->stripes[i], now_ns);
	return n;
}

size_t rl_sdict_clear(struct rl_sdict *d)
{
	size_t n = 0;
	for (uint32_t i = 0; i < d->stripes_len; i++)
		n += rl_stripe_clear(d, &d->stripes[i]);
	return n;
}

size_t rl_sdict_size(const struct rl_sdict *d)
{
	return atomic_load_explicit(&d->len, memory_order_relaxed);
}

size_t rl_sdict_capacity(const struct rl_sdict *d)
{
	return d->capacity;
}

void rl_sdict_stats(struct rl_sdict *d, struct rl_sdict_stats *out)
{
	*out = (struct rl_sdict_stats){0};
	for (uint32_t i = 0; i < d->stripes_len; i++) {
		struct rl_stripe *st = &d->stripes[i];
		pthread_mutex_lock(&st->lock);
		out->hits += st->stats.hits;
		out->misses += st->stats.misses;
		out->evictions += st->stats.evictions;
		out->expired += st->stats.expired;
		pthread_mutex_unlock(&st->lock);
	}
}
