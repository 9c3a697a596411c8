/* SPDX-License-Identifier: MIT */
/* svalues: both ends against an array, growing, the limit, and that what it holds is given back. */
#include "check.h"

#include "base/err.h"
#include "base/rand.h"
#include "rt/svalues.h"

static struct rl_value number(int64_t n)
{
	struct rl_value v = {.kind = RL_VALUE_INTEGER};
	v.integer = n;
	return v;
}

static void step(struct rl_svalues *q, int64_t *model, unsigned *len, uint64_t dice, int64_t n)
{
	bool front = dice & 1;
	struct rl_value v = number(n);
	if (dice & 2) {
		CHECK_EQ(rl_svalues_push(q, &v, front), *len < RL_SVALUES_MAX ? 0 : -ENOSPC);
		CHECK_EQ(v.kind, *len < RL_SVALUES_MAX ? RL_VALUE_NONE : RL_VALUE_INTEGER);
		if (*len == RL_SVALUES_MAX)
			return;
		if (front)
			memmove(model + 1, model, *len * sizeof *model);
		model[front ? 0 : *len] = n;
		(*len)++;
		return;
	}
	bool got = rl_svalues_pop(q, &v, front);
	CHECK(got == (*len > 0));
	if (!got)
		return;
	(*len)--;
	CHECK_EQ(v.integer, model[front ? 0 : *len]);
	if (front)
		memmove(model, model + 1, *len * sizeof *model);
}

TEST(random_against_an_array)
{
	struct rl_svalues q = {0};
	int64_t model[RL_SVALUES_MAX + 1];
	unsigned len = 0;
	struct rl_rand r;
	rl_rand_seed(&r, 11);
	for (int64_t i = 0; i < 100000; i++) {
		/* Long stretches of mostly pushes, then mostly pops, so that both limits are met. */
		uint64_t dice = rl_rand_below(&r, 4);
		if (rl_rand_below(&r, 3) == 0)
			dice = (dice & 1) | ((i / 1000) % 2 ? 2 : 0);
		step(&q, model, &len, dice, i);
		CHECK_EQ(q.len, len);
	}
	rl_svalues_term(&q);
	CHECK(q.len == 0 && !q.ring);
}

TEST(term_gives_up_what_is_in_it)
{
	struct rl_svalues q = {0};
	struct rl_parcel *p = rl_parcel_new(1, 0);
	for (int i = 0; i < 9; i++) {
		struct rl_value v = {.kind = RL_VALUE_PARCEL};
		v.parcel = rl_parcel_get(p);
		CHECK_EQ(rl_svalues_push(&q, &v, i % 2), 0);
	}
	CHECK_EQ(atomic_load(&p->refs), 10);
	rl_svalues_term(&q);
	CHECK_EQ(atomic_load(&p->refs), 1);
	rl_parcel_put(p);
}

int main(void)
{
	RUN(random_against_an_array);
	RUN(term_gives_up_what_is_in_it);
	return FINISH();
}
