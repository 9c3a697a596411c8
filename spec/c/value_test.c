/* SPDX-License-Identifier: MIT */
/* value: references are counted, and what is dropped is given up once. */
#include "check.h"

#include "rt/value.h"

#include <string.h>

static int freed;

static void count_free(struct rl_shared *o)
{
	(void)o;
	freed++;
}

static const struct rl_shared_class class = {"test", count_free};

TEST(shared_counts)
{
	struct rl_shared o;
	freed = 0;
	rl_shared_init(&o, &class);
	CHECK(rl_shared_get(&o) == &o);
	rl_shared_put(&o);
	CHECK(freed == 0);
	rl_shared_put(&o);
	CHECK(freed == 1);
	rl_shared_put(NULL);
}

TEST(parcel_owns_its_objects)
{
	struct rl_shared a, b;
	freed = 0;
	rl_shared_init(&a, &class);
	rl_shared_init(&b, &class);
	struct rl_parcel *p = rl_parcel_new(13, 2);
	CHECK(p && p->len == 13 && (uintptr_t)p->objects % sizeof(void *) == 0);
	memset(p->data, 'x', 13);
	p->objects[0] = &a;
	p->objects[1] = &b;
	p->objects_len = 2;
	CHECK(rl_parcel_get(p) == p);
	rl_parcel_put(p);
	CHECK(freed == 0);
	rl_parcel_put(p);
	CHECK(freed == 2);
}

TEST(half_built_parcel_goes)
{
	struct rl_parcel *p = rl_parcel_new(0, 4);
	CHECK(p && p->objects_len == 0);
	rl_parcel_put(p);
	CHECK(rl_parcel_new((size_t)UINT32_MAX + 1, 0) == NULL);
	rl_parcel_put(NULL);
}

TEST(drop_gives_up_once)
{
	struct rl_shared a;
	freed = 0;
	rl_shared_init(&a, &class);
	struct rl_value v = {.kind = RL_VALUE_SHARED};
	v.shared = &a;
	rl_value_drop(&v);
	CHECK(freed == 1 && v.kind == RL_VALUE_NONE);
	rl_value_drop(&v);
	CHECK(freed == 1);
	struct rl_value p = {.kind = RL_VALUE_PARCEL};
	p.parcel = rl_parcel_new(1, 0);
	rl_value_drop(&p);
	CHECK(p.kind == RL_VALUE_NONE && p.parcel == NULL);
}

int main(void)
{
	RUN(shared_counts);
	RUN(parcel_owns_its_objects);
	RUN(half_built_parcel_goes);
	RUN(drop_gives_up_once);
	return FINISH();
}
