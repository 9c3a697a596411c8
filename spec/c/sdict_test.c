/* SPDX-License-Identifier: MIT */
/*
 * sdict: every operation, when things expire, the least recently used against a reference with
 * random operations, and four threads that count.
 */
#include "check.h"

#include "base/err.h"
#include "base/rand.h"
#include "rt/sbuffer.h"
#include "rt/sdict.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 20000
#define SECOND 1000000000LL

static struct rl_sdict *dict(size_t capacity, bool evict)
{
	struct rl_sdict_options options = {.capacity = capacity, .evict = evict, .seed = {3, 4}};
	return rl_sdict_new(&options);
}

static void put_away(struct rl_sdict *d)
{
	rl_shared_put((struct rl_shared *)d);
}

static struct rl_sdict_at at(const char *key, int64_t now_ns)
{
	return (struct rl_sdict_at){.key = key, .len = strlen(key), .now_ns = now_ns};
}

static struct rl_value integer(int64_t n)
{
	struct rl_value v = {.kind = RL_VALUE_INTEGER};
	v.integer = n;
	return v;
}

static struct rl_value parcel(const char *text)
{
	struct rl_value v = {.kind = RL_VALUE_PARCEL};
	v.parcel = rl_parcel_new(strlen(text), 0);
	memcpy(v.parcel->data, text, strlen(text));
	return v;
}

static struct rl_value text(const char *bytes)
{
	struct rl_value v = {.kind = RL_VALUE_SHARED};
	struct rl_sbuffer *b = rl_sbuffer_new(strlen(bytes));
	b->shared.class = &rl_sbuffer_text_class;
	memcpy(b->bytes, bytes, b->len);
	v.shared = &b->shared;
	return v;
}

static int put(struct rl_sdict *d, enum rl_sdict_put how, const char *key, int64_t n)
{
	struct rl_sdict_at where = at(key, 0);
	struct rl_value v = integer(n);
	return rl_sdict_put(d, &where, how, &v, -1);
}

/* The integer there, or the error. */
static int64_t get(struct rl_sdict *d, const char *key, int64_t now_ns)
{
	struct rl_sdict_at where = at(key, now_ns);
	struct rl_value v;
	int err = rl_sdict_get(d, &where, &v);
	return err < 0 ? err : v.integer;
}

TEST(set_add_replace_delete)
{
	struct rl_sdict *d = dict(0, false);
	struct rl_sdict_at where = at("a", 0);
	CHECK_EQ(get(d, "a", 0), -ENOENT);
	CHECK_EQ(put(d, RL_SDICT_REPLACE, "a", 1), -ENOENT);
	CHECK_EQ(put(d, RL_SDICT_ADD, "a", 2), 0);
	CHECK_EQ(put(d, RL_SDICT_ADD, "a", 3), -EEXIST);
	CHECK_EQ(get(d, "a", 0), 2);
	CHECK_EQ(put(d, RL_SDICT_REPLACE, "a", 4), 0);
	CHECK_EQ(put(d, RL_SDICT_SET, "a", 5), 0);
	CHECK_EQ(get(d, "a", 0), 5);
	CHECK_EQ(rl_sdict_delete(d, &where), 0);
	CHECK_EQ(rl_sdict_delete(d, &where), -ENOENT);
	CHECK_EQ(rl_sdict_size(d), 0);
	CHECK(!rl_sdict_is_timed(d));
	put_away(d);
}

TEST(values_are_counted)
{
	struct rl_sdict *d = dict(0, false);
	struct rl_sdict_at where = at("p", 0);
	struct rl_value v = parcel("long"), got;
	struct rl_parcel *p = rl_parcel_get(v.parcel);
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, -1), 0);
	CHECK(v.kind == RL_VALUE_NONE);
	CHECK_EQ(rl_sdict_get(d, &where, &got), 0);
	CHECK(got.parcel == p && atomic_load(&p->refs) == 3);
	rl_value_drop(&got);
	CHECK_EQ(put(d, RL_SDICT_SET, "p", 1), 0);
	CHECK_EQ(atomic_load(&p->refs), 1);
	v = (struct rl_value){.kind = RL_VALUE_PARCEL};
	v.parcel = p;
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_ADD, &v, -1), -EEXIST);
	CHECK(v.parcel == p); /* still the caller's */
	rl_value_drop(&v);
	put_away(d);
}

TEST(cas)
{
	struct rl_sdict *d = dict(0, false);
	struct rl_sdict_at where = at("c", 0);
	struct rl_value none = {.kind = RL_VALUE_NONE}, old = integer(1), v = integer(2), actual;
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &v, -1, &actual), -EAGAIN);
	CHECK_EQ(actual.kind, RL_VALUE_NONE);
	CHECK_EQ(rl_sdict_cas(d, &where, &none, &v, -1, &actual), 0);
	v = integer(3);
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &v, -1, &actual), -EAGAIN);
	CHECK_EQ(actual.integer, 2);
	old = (struct rl_value){.kind = RL_VALUE_NUMBER};
	old.number = 2.0;
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &v, -1, &actual), 0);
	CHECK_EQ(get(d, "c", 0), 3);
	CHECK_EQ(rl_sdict_cas(d, &where, &none, &none, -1, &actual), -EAGAIN);
	old = integer(3);
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &none, -1, &actual), 0);
	CHECK_EQ(rl_sdict_cas(d, &where, &none, &none, -1, &actual), 0);
	CHECK_EQ(rl_sdict_size(d), 0);
	old = text("same");
	v = text("same");
	CHECK_EQ(rl_sdict_cas(d, &where, &none, &v, -1, &actual), 0);
	v = integer(9);
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &v, -1, &actual), 0);
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &none, -1, &actual), -EAGAIN);
	v = text("other");
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, -1), 0);
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &none, -1, &actual), -EAGAIN);
	rl_value_drop(&actual);
	rl_value_drop(&old);
	v = parcel("table");
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, -1), 0);
	CHECK_EQ(rl_sdict_get(d, &where, &old), 0);
	CHECK_EQ(rl_sdict_cas(d, &where, &old, &none, -1, &actual), -EAGAIN);
	rl_value_drop(&actual);
	rl_value_drop(&old);
	put_away(d);
}

TEST(incr)
{
	struct rl_sdict *d = dict(1, false);
	struct rl_sdict_at where = at("n", 0), other = at("m", 0);
	struct rl_value none = {.kind = RL_VALUE_NONE}, by = integer(5), init = integer(100), out;
	CHECK_EQ(rl_sdict_incr(d, &where, &by, &none, -1, &out), -ENOENT);
	CHECK_EQ(rl_sdict_incr(d, &where, &by, &init, 7, &out), 0);
	CHECK_EQ(out.integer, 105);
	CHECK_EQ(rl_sdict_incr(d, &where, &by, &init, 99, &out), 0);
	CHECK_EQ(out.integer, 110);
	CHECK_EQ(rl_sdict_incr(d, &other, &by, &init, -1, &out), -ENOSPC);
	CHECK_EQ(get(d, "n", 6), 110);
	CHECK_EQ(get(d, "n", 7), -ENOENT); /* a later init_ttl changed nothing */
	struct rl_value v = {.kind = RL_VALUE_TRUE};
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, -1), 0);
	CHECK_EQ(rl_sdict_incr(d, &where, &by, &init, -1, &out), -EINVAL);
	v = (struct rl_value){.kind = RL_VALUE_NUMBER};
	v.number = 0.5;
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, -1), 0);
	CHECK_EQ(rl_sdict_incr(d, &where, &by, &init, -1, &out), 0);
	CHECK(out.kind == RL_VALUE_NUMBER && out.number == 5.5);
	put_away(d);
}

TEST(expiry)
{
	struct rl_sdict *d = dict(0, false);
	struct rl_sdict_at where = at("t", 0);
	struct rl_value v = integer(1);
	int64_t when;
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, 60 * SECOND), 0);
	CHECK(rl_sdict_is_timed(d));
	CHECK_EQ(get(d, "t", 60 * SECOND - 1), 1);
	CHECK_EQ(rl_sdict_size(d), 1);
	CHECK_EQ(get(d, "t", 60 * SECOND), -ENOENT);
	CHECK_EQ(rl_sdict_size(d), 0);
	CHECK_EQ(rl_sdict_expiry(d, &where, &when), -ENOENT);
	CHECK_EQ(rl_sdict_expire(d, &where, 5), -ENOENT);
	CHECK_EQ(put(d, RL_SDICT_SET, "t", 2), 0);
	CHECK_EQ(rl_sdict_expiry(d, &where, &when), 0);
	CHECK_EQ(when, -1);
	CHECK_EQ(rl_sdict_expire(d, &where, 5), 0);
	CHECK_EQ(rl_sdict_expiry(d, &where, &when), 0);
	CHECK_EQ(when, 5);
	CHECK_EQ(rl_sdict_expire(d, &where, -1), 0);
	CHECK_EQ(get(d, "t", 100 * SECOND), 2);
	CHECK_EQ(rl_sdict_purge(d, 100 * SECOND), 0);
	/* An expired one is absent for add and for replace. */
	CHECK_EQ(rl_sdict_expire(d, &where, 5), 0);
	where.now_ns = 5;
	v = integer(3);
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_REPLACE, &v, -1), -ENOENT);
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_ADD, &v, -1), 0);
	CHECK_EQ(get(d, "t", 100 * SECOND), 3);
	struct rl_sdict_stats stats;
	rl_sdict_stats(d, &stats);
	CHECK_EQ(stats.expired, 2);
	put_away(d);
}

TEST(lists)
{
	struct rl_sdict *d = dict(2, false);
	struct rl_sdict_at where = at("l", 0), other = at("x", 0);
	struct rl_value v = integer(1), out;
	CHECK_EQ(rl_sdict_pop(d, &where, &out, true), -ENOENT);
	CHECK_EQ(rl_sdict_len(d, &where), 0);
	CHECK_EQ(rl_sdict_push(d, &where, &v, false), 1);
	v = integer(2);
	CHECK_EQ(rl_sdict_push(d, &where, &v, false), 2);
	v = integer(0);
	CHECK_EQ(rl_sdict_push(d, &where, &v, true), 3);
	CHECK_EQ(rl_sdict_len(d, &where), 3);
	CHECK_EQ(get(d, "l", 0), -EINVAL);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(rl_sdict_pop(d, &where, &out, true), 2 - i);
		CHECK_EQ(out.integer, i);
	}
	CHECK_EQ(rl_sdict_size(d), 0);
	CHECK_EQ(put(d, RL_SDICT_SET, "x", 1), 0);
	CHECK_EQ(rl_sdict_push(d, &other, &v, true), -EINVAL);
	CHECK_EQ(rl_sdict_pop(d, &other, &out, true), -EINVAL);
	CHECK_EQ(rl_sdict_len(d, &other), -EINVAL);
	CHECK_EQ(rl_sdict_push(d, &where, &v, true), 1);
	CHECK_EQ(put(d, RL_SDICT_SET, "l", 8), 0); /* in place of the list */
	CHECK_EQ(get(d, "l", 0), 8);
	put_away(d);
}

TEST(full_list_and_full_dict)
{
	struct rl_sdict *d = dict(1, false);
	struct rl_sdict_at where = at("l", 0), other = at("m", 0);
	struct rl_value v = integer(0);
	int len = 0;
	while (len >= 0 && len < 100) {
		v = integer(len);
		int now = rl_sdict_push(d, &where, &v, false);
		CHECK(now == len + 1 || (now == -ENOSPC && v.kind == RL_VALUE_INTEGER));
		len = now;
	}
	CHECK_EQ(len, -ENOSPC); /* the test build's limit */
	CHECK_EQ(rl_sdict_push(d, &other, &v, false), -ENOSPC);
	CHECK_EQ(rl_sdict_size(d), 1);
	put_away(d);
}

TEST(keys)
{
	struct rl_sdict *d = dict(0, false);
	struct rl_sdict_at where = at("gone", 0);
	struct rl_sdict_keys keys;
	struct rl_value v = integer(1);
	CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, 10), 0);
	put(d, RL_SDICT_SET, "ab", 1);
	put(d, RL_SDICT_SET, "", 2);
	CHECK_EQ(rl_sdict_keys(d, 10, 100, &keys), 0);
	CHECK_EQ(keys.count, 2);
	CHECK_EQ(keys.len, 2 * sizeof(uint32_t) + 2);
	free(keys.bytes);
	CHECK_EQ(rl_sdict_keys(d, 9, 2, &keys), 0);
	CHECK_EQ(keys.count, 2);
	free(keys.bytes);
	CHECK_EQ(rl_sdict_purge(d, 10), 1);
	CHECK_EQ(rl_sdict_clear(d), 2);
	CHECK_EQ(rl_sdict_keys(d, 0, 1, &keys), 0);
	CHECK(keys.count == 0 && !keys.bytes);
	put_away(d);
}

/* The reference: keys 0 .. 63, longest unused first. */
struct model {
	int order[64];
	int64_t value[64], expires_ns[64];
	unsigned len, capacity;
};

static int model_find(struct model *m, int key, int64_t now_ns)
{
	for (unsigned i = 0; i < m->len; i++) {
		if (m->order[i] != key)
			continue;
		memmove(&m->order[i], &m->order[i + 1], (m->len - i - 1) * sizeof(int));
		if (m->expires_ns[key] <= now_ns) {
			m->len--;
			return 0;
		}
		m->order[m->len - 1] = key;
		return 1;
	}
	return 0;
}

static void model_set(struct model *m, int key, int64_t value, int64_t now_ns, int64_t expires_ns)
{
	if (!model_find(m, key, now_ns)) {
		if (m->len == m->capacity)
			memmove(m->order, m->order + 1, --m->len * sizeof(int));
		m->order[m->len++] = key;
	}
	m->value[key] = value;
	m->expires_ns[key] = expires_ns < 0 ? INT64_MAX : expires_ns;
}

static void model_step(struct rl_sdict *d, struct model *m, struct rl_rand *r, int64_t now_ns)
{
	int key = (int)rl_rand_below(r, 64);
	char name[2] = {(char)('0' + key), 0};
	struct rl_sdict_at where = at(name, now_ns);
	int64_t n = (int64_t)rl_rand_below(r, 1000);
	int64_t expires_ns = rl_rand_below(r, 4) == 0 ? now_ns + n : -1;
	struct rl_value v = integer(n);
	switch (rl_rand_below(r, 4)) {
	case 0:
		CHECK_EQ(rl_sdict_put(d, &where, RL_SDICT_SET, &v, expires_ns), 0);
		model_set(m, key, n, now_ns, expires_ns);
		break;
	case 1:
		CHECK_EQ(rl_sdict_delete(d, &where), model_find(m, key, now_ns) ? 0 : -ENOENT);
		if (m->len > 0 && m->order[m->len - 1] == key)
			m->len--;
		break;
	default:
		CHECK_EQ(get(d, name, now_ns), model_find(m, key, now_ns) ? m->value[key] : -ENOENT);
	}
	CHECK_EQ(rl_sdict_size(d), m->len);
}

TEST(least_recently_used_against_a_reference)
{
	struct rl_rand r;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct model m = {.capacity = (unsigned)(4 * seed)};
		struct rl_sdict *d = dict(m.capacity, true);
		rl_rand_seed(&r, seed);
		for (int i = 0; i < 30000; i++)
			model_step(d, &m, &r, i);
		put_away(d);
	}
}

/* ---- threads ---- */

struct shared {
	struct rl_sdict *d;
	atomic_long popped, sum;
	atomic_int winners;
};

static void on_threads(struct shared *s, void *(*fn)(void *))
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, fn, s), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void *count_up(void *arg)
{
	struct shared *s = arg;
	const char *names[] = {"a", "b", "c"};
	struct rl_value by = integer(1), init = integer(0), none = {.kind = RL_VALUE_NONE}, out, old;
	for (int i = 0; i < ROUNDS; i++) {
		struct rl_sdict_at where = at(names[i % 3], 0), lock = at("cas", 0);
		rl_sdict_incr(s->d, &where, &by, &init, -1, &out);
		if (i % 10 > 0)
			continue;
		old = none;
		struct rl_value v = integer(1);
		while (rl_sdict_cas(s->d, &lock, &old, &v, -1, &out) < 0) {
			old = out;
			v = integer(out.kind == RL_VALUE_NONE ? 1 : out.integer + 1);
		}
	}
	return NULL;
}

TEST(counters_are_exact)
{
	struct shared s = {.d = dict(0, false)};
	on_threads(&s, count_up);
	CHECK_EQ(get(s.d, "a", 0) + get(s.d, "b", 0) + get(s.d, "c", 0), THREADS * ROUNDS);
	CHECK_EQ(get(s.d, "cas", 0), THREADS * ROUNDS / 10);
	put_away(s.d);
}

static void *churn(void *arg)
{
	struct shared *s = arg;
	struct rl_rand r;
	long bad = 0;
	rl_rand_seed(&r, (uint64_t)atomic_fetch_add(&s->winners, 1));
	for (int i = 0; i < ROUNDS; i++) {
		char name[2] = {(char)('0' + rl_rand_below(&r, 64)), (char)rl_rand_below(&r, 4)};
		struct rl_sdict_at where = {.key = name, .len = 2, .now_ns = i};
		struct rl_value v = i % 3 ? parcel("some") : integer(i), got;
		int err = rl_sdict_put(s->d, &where, i % 2 ? RL_SDICT_SET : RL_SDICT_ADD, &v,
			i % 5 ? -1 : i + 100);
		bad += err < 0 && err != -EEXIST && err != -ENOSPC;
		rl_value_drop(&v);
		if (rl_sdict_get(s->d, &where, &got) == 0)
			rl_value_drop(&got);
		bad += rl_sdict_size(s->d) > rl_sdict_capacity(s->d);
		if (i % 1000 == 0)
			rl_sdict_purge(s->d, i);
	}
	atomic_fetch_add(&s->sum, bad);
	return NULL;
}

TEST(capacity_is_never_passed)
{
	for (int evict = 0; evict < 2; evict++) {
		struct shared s = {.d = dict(64, evict)};
		on_threads(&s, churn);
		CHECK_EQ(atomic_load(&s.sum), 0);
		struct rl_sdict_keys keys;
		CHECK_EQ(rl_sdict_keys(s.d, -1, 1000, &keys), 0);
		CHECK_EQ(keys.count, rl_sdict_size(s.d));
		free(keys.bytes);
		put_away(s.d);
	}
}

static void *push_and_pop(void *arg)
{
	struct shared *s = arg;
	struct rl_sdict_at where = at("q", 0), once = at("once", 0);
	struct rl_value v = integer(1), out;
	if (rl_sdict_put(s->d, &once, RL_SDICT_ADD, &v, -1) == 0)
		atomic_fetch_add(&s->winners, 1);
	for (int i = 1; i <= ROUNDS; i++) {
		v = integer(i);
		while (rl_sdict_push(s->d, &where, &v, i % 2) < 0)
			continue;
		while (rl_sdict_pop(s->d, &where, &out, i % 3) < 0)
			continue;
		atomic_fetch_add(&s->sum, out.integer);
		atomic_fetch_add(&s->popped, 1);
	}
	return NULL;
}

TEST(every_value_is_popped_once)
{
	struct shared s = {.d = dict(0, false)};
	on_threads(&s, push_and_pop);
	CHECK_EQ(atomic_load(&s.popped), THREADS * ROUNDS);
	CHECK_EQ(atomic_load(&s.sum), (long)THREADS * ROUNDS * (ROUNDS + 1) / 2);
	CHECK_EQ(atomic_load(&s.winners), 1);
	CHECK_EQ(rl_sdict_size(s.d), 1);
	put_away(s.d);
}

int main(void)
{
	RUN(set_add_replace_delete);
	RUN(values_are_counted);
	RUN(cas);
	RUN(incr);
	RUN(expiry);
	RUN(lists);
	RUN(full_list_and_full_dict);
	RUN(keys);
	RUN(least_recently_used_against_a_reference);
	RUN(counters_are_exact);
	RUN(capacity_is_never_passed);
	RUN(every_value_is_popped_once);
	return FINISH();
}
