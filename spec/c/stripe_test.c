/* SPDX-License-Identifier: MIT */
/* stripe: chains grow and stay whole, what goes is what was not used for longest, and room. */
#include "check.h"

#include "base/err.h"
#include "rt/stripe.h"

#include <stdio.h>

static struct rl_sdict *dict(size_t capacity, bool evict)
{
	struct rl_sdict_options options = {.capacity = capacity, .evict = evict, .seed = {1, 2}};
	return rl_sdict_new(&options);
}

static struct rl_sdict_at at(char *name, unsigned n, int64_t now_ns)
{
	int len = sprintf(name, "key %u", n);
	return (struct rl_sdict_at){.key = name, .len = (size_t)len, .now_ns = now_ns};
}

static int add(struct rl_sdict *d, unsigned n, int64_t now_ns, int64_t expires_ns)
{
	char name[32];
	struct rl_sdict_at where = at(name, n, now_ns);
	struct rl_dictop op = rl_stripe_begin(d, &where);
	struct rl_entry *e;
	int was = rl_stripe_find_or_add(&op, &e);
	if (was >= 0) {
		e->value.kind = RL_VALUE_TRUE;
		rl_stripe_expire(&op, e, expires_ns);
	}
	return rl_stripe_end(&op, was);
}

static bool has(struct rl_sdict *d, unsigned n, int64_t now_ns)
{
	char name[32];
	struct rl_sdict_at where = at(name, n, now_ns);
	struct rl_dictop op = rl_stripe_begin(d, &where);
	struct rl_entry *e = rl_stripe_find(&op);
	return rl_stripe_end(&op, e != NULL);
}

TEST(chains_grow)
{
	struct rl_sdict *d = dict(0, false);
	unsigned long slots = 0;
	for (unsigned i = 0; i < 2000; i++)
		CHECK_EQ(add(d, i, 0, -1), 0);
	for (unsigned i = 0; i < 2000; i++)
		CHECK(has(d, i, 0));
	for (unsigned i = 0; i < RL_STRIPES; i++) {
		CHECK(d->stripes[i].len > 20); /* the hash spreads them */
		CHECK(d->stripes[i].slots_len >= d->stripes[i].len);
		slots += d->stripes[i].slots_len;
	}
	CHECK(slots < 8000);
	CHECK_EQ(add(d, 7, 0, -1), 1);
	CHECK_EQ(rl_sdict_size(d), 2000);
	rl_shared_put(&d->shared);
}

TEST(longest_unused_goes)
{
	struct rl_sdict *d = dict(3, true);
	CHECK_EQ(d->stripes_len, 1);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(add(d, i, 0, -1), 0);
	CHECK(has(d, 0, 0));
	CHECK_EQ(add(d, 3, 0, -1), 0);
	CHECK(!has(d, 1, 0) && has(d, 0, 0) && has(d, 2, 0) && has(d, 3, 0));
	CHECK_EQ(d->stripes[0].stats.evictions, 1);
	CHECK_EQ(rl_sdict_size(d), 3);
	rl_shared_put(&d->shared);
}

TEST(room_of_other_stripes_is_taken)
{
	struct rl_sdict *d = dict(40, true);
	CHECK_EQ(d->stripes_len, RL_STRIPES);
	for (unsigned i = 0; i < 500; i++) {
		CHECK_EQ(add(d, i, 0, -1), 0);
		CHECK(has(d, i, 0));
		CHECK_EQ(rl_sdict_size(d), i < 40 ? i + 1 : 40);
	}
	rl_shared_put(&d->shared);
	d = dict(40, false);
	for (unsigned i = 0; i < 40; i++)
		CHECK_EQ(add(d, i, 0, i == 17 ? 100 : -1), 0);
	CHECK_EQ(add(d, 40, 99, -1), -ENOSPC);
	CHECK_EQ(add(d, 17, 99, 100), 1);
	CHECK_EQ(add(d, 40, 100, -1), 0);
	CHECK_EQ(add(d, 41, 100, -1), -ENOSPC);
	CHECK_EQ(rl_sdict_size(d), 40);
	rl_shared_put(&d->shared);
}

TEST(purge_and_clear)
{
	struct rl_sdict *d = dict(0, false);
	struct rl_stripe *st = &d->stripes[0];
	size_t gone = 0;
	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(add(d, i, 0, i % 2 ? (int64_t)10 + i : -1), 0);
	for (unsigned i = 0; i < RL_STRIPES; i++)
		gone += rl_stripe_purge(d, &d->stripes[i], 60);
	CHECK_EQ(gone, 25); /* 11, 13 ... 59 */
	CHECK_EQ(rl_sdict_size(d), 75);
	CHECK(st->len == 0 || st->due_ns > 60);
	for (unsigned i = 0; i < RL_STRIPES; i++)
		gone += rl_stripe_clear(d, &d->stripes[i]);
	CHECK_EQ(gone, 100);
	CHECK_EQ(rl_sdict_size(d), 0);
	CHECK(st->len == 0 && st->due_ns == RL_NEVER);
	rl_shared_put(&d->shared);
}

int main(void)
{
	RUN(chains_grow);
	RUN(longest_unused_goes);
	RUN(room_of_other_stripes_is_taken);
	RUN(purge_and_clear);
	return FINISH();
}
