/* SPDX-License-Identifier: MIT */
/*
 * lprofile_alloc: samples of what is allocated, taken by the state's allocator, which is wrapped
 * meanwhile.
 *
 * Samples are a Poisson process over the bytes allocated, one in `rate` bytes on average, as in
 * Go's heap profile: an allocation of n bytes is sampled with the probability 1 - exp(-n / rate),
 * and one that is sampled stands for as many as the inverse of that. So the sums are unbiased for
 * every size. Growing counts for the bytes it adds and for no object.
 *
 * The allocator runs in the middle of whatever the VM does and looks at no stack: a sample waits
 * for the next point at which a stack can be taken, see lprofile.h.
 */
#include "lua/lprofile.h"

#include <math.h>

/* How many bytes to the next sample. */
static double gap(struct rl_profile *p)
{
	double u = (double)((rl_rand_next(&p->rand) >> 11) + 1) * 0x1p-53;
	return -log(u) * p->rate;
}

static void sample(struct rl_profile *p, double size, bool is_new)
{
	while (p->left <= 0)
		p->left += gap(p);
	double weight = 1 / (1 - exp(-size / p->rate));
	bool runs = atomic_load_explicit(&p->h->shard.run_seq, memory_order_relaxed) & 1;
	*(runs ? &p->bytes : &p->idle_bytes) += size * weight;
	*(runs ? &p->objects : &p->idle_objects) += is_new ? weight : 0;
	rl_profile_tick(p, 1);
}

static void *counting(void *ud, void *old, size_t old_size, size_t size)
{
	struct rl_profile *p = ud;
	void *new = p->alloc(p->alloc_ud, old, old_size, size);
	size_t had = old ? old_size : 0; /* without an old block Lua 5.4 tells the type there */
	if (new && size > had && !p->busy) {
		p->left -= (double)(size - had);
		if (p->left <= 0)
			sample(p, (double)(size - had), !old);
	}
	return new;
}

int rl_profile_alloc_on(lua_State *L, struct rl_profile *p, const char *detail)
{
	int err = rl_profile_listen(L, p, detail);
	if (err < 0)
		return err;
	rl_rand_seed(&p->rand, (uint64_t)(uintptr_t)p);
	p->left = gap(p);
	p->alloc = lua_getallocf(L, &p->alloc_ud);
	lua_setallocf(L, counting, p);
	p->alloc_on = true;
	return 0;
}

/* Whoever has wrapped the allocator since wraps ours, which must stay then: it counts no more. */
void rl_profile_alloc_off(lua_State *L, struct rl_profile *p)
{
	void *ud;
	if (!p->alloc_on)
		return;
	p->alloc_on = false;
	if (lua_getallocf(L, &ud) == counting && ud == p)
		lua_setallocf(L, p->alloc, p->alloc_ud);
	else
		p->wrapped = true;
	p->busy = true;
	rl_profile_unlisten(L, p);
}
