/* SPDX-License-Identifier: MIT */
/*
 * lprofile: see lprofile.h. Taking stacks, and handing over what was counted.
 *
 * Invariants: h->sampled is set exactly while ticks of a running task wait for its stack; whoever
 * takes the stack clears it first. Stacks are taken in ordinary context, by the thread of the
 * shard, and what is allocated meanwhile is not counted.
 */
#include "lua/lprofile.h"

#include "base/err.h"
#include "base/slab.h"
#include "lua/lrun.h"

#include <stdlib.h>
#include <string.h>

static const char *const idle_names[RL_PROFILE_IDLES] = {
	[RL_PROFILE_LOOP] = "(scheduler)",
	[RL_PROFILE_COLLECTOR] = "(idle garbage collection)",
};

/* ---- taking a stack ------------------------------------------------------------------------- */

static uint32_t pseudo(struct rl_profile *p, const char *name)
{
	struct rl_samples_frame f = { name, "", -1, -1 };
	return rl_samples_frame(p->samples, &f);
}

static uint32_t frame_of(struct rl_profile *p, lua_State *L, lua_Debug *ar)
{
	lua_getinfo(L, "nSl", ar);
	struct rl_samples_frame f = {
		.name = ar->name, .line = ar->currentline, .defined = ar->linedefined,
		.file = ar->source[0] == '@' ? ar->source + 1 : ar->short_src,
	};
	if (ar->what[0] == 'm')
		f.name = "(main chunk)";
	else if (ar->linedefined < 0 && (!f.name || !f.name[0]))
		f.name = "(C function)";
	return rl_samples_frame(p->samples, &f);
}

/* Add the frames of L from `level` on to the n at `ids`. */
static unsigned walk(struct rl_profile *p, lua_State *L, int level, uint32_t *ids, unsigned n)
{
	lua_Debug ar;
	for (; lua_getstack(L, level, &ar); level++) {
		if (n == RL_PROFILE_DEPTH - 1) {
			ids[n++] = pseudo(p, "(cut off)");
			break;
		}
		ids[n++] = frame_of(p, L, &ar);
	}
	return n;
}

/* The number of the task's labels, as the policy floor counts them; 0: none. */
static uint32_t label_of(struct rl_profile *p, const struct rl_task *t)
{
	lua_State *L = p->aux;
	uint32_t label = 0;
	if (!t || p->label_ref == LUA_NOREF)
		return 0;
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->label_ref);
	lua_pushinteger(L, (lua_Integer)t->slot + 1);
	if (lua_pcall(L, 1, 1, 0) == LUA_OK)
		label = (uint32_t)lua_tointeger(L, -1);
	lua_settop(L, 0);
	return label;
}

/* What has come since the last stack was taken, with which this one begins. */
static void drain(struct rl_profile *p, double *count, double *value)
{
	p->h->sampled = 0;
	*count = p->ticks;
	p->ticks = 0;
	*value = *count * p->period_ns;
	if (p->kind != RL_PROFILE_ALLOC)
		return;
	*count = p->objects;
	*value = p->bytes;
	p->objects = p->bytes = 0;
}

void rl_profile_take(struct rl_profile *p, lua_State *L, int level, const char *leaf)
{
	struct rl_task *t = p->h->shard.current;
	uint32_t ids[RL_PROFILE_DEPTH];
	unsigned n = 0;
	double count, value;
	drain(p, &count, &value);
	if (count == 0 && value == 0)
		return;
	p->busy = true;
	if (leaf)
		ids[n++] = pseudo(p, leaf);
	n = walk(p, L, level, ids, n);
	if (t && t->co && t->co != L && n < RL_PROFILE_DEPTH - 1)
		n = walk(p, t->co, 0, ids, n);
	if (n == 0)
		ids[n++] = pseudo(p, "(end of a task)");
	rl_samples_add(p->samples, ids, n, label_of(p, t), count, value);
	p->busy = false;
}

/* A call event comes before the function called has done anything: the caller is meant. */
void rl_profile_hooked(struct rl_lua *h, lua_State *L, const lua_Debug *ar)
{
	if (h->profile)
		rl_profile_take(h->profile, L, ar->event == LUA_HOOKCALL, NULL);
	else
		h->sampled = 0;
}

void rl_profile_ran(struct rl_lua *h, struct rl_task *t)
{
	if (h->profile && t->co)
		rl_profile_take(h->profile, t->co, 0, NULL);
	h->sampled = 0;
}

void rl_profile_tick(struct rl_profile *p, unsigned n)
{
	struct rl_lua *h = p->h;
	if (!(atomic_load_explicit(&h->shard.run_seq, memory_order_relaxed) & 1)) {
		p->idle_ticks[h->collecting ? RL_PROFILE_COLLECTOR : RL_PROFILE_LOOP] += n;
		return;
	}
	p->ticks += n;
	h->sampled = 1;
	if (p->trigger)
		p->trigger(SIGPROF);
	else
		rl_lua_run_arm(h, true);
}

/* ---- what tasks wait for -------------------------------------------------------------------- */

static void look_at(struct rl_profile *p, struct rl_task *t, double weight_ns)
{
	uint32_t ids[RL_PROFILE_DEPTH];
	char reason[48];
	unsigned n = 1;
	const char *name = rl_task_is_parked(t) ? rl_reason_name(t->reason) : "runnable";
	size_t len = strlen(name);
	if (len > sizeof reason - 3)
		len = sizeof reason - 3;
	reason[0] = '(';
	memcpy(reason + 1, name, len);
	memcpy(reason + 1 + len, ")", 2);
	ids[0] = pseudo(p, reason);
	if (t->state == RL_TASK_NEW)
		ids[n++] = pseudo(p, "(not started)");
	else if (t->co)
		n = walk(p, t->co, 0, ids, n);
	rl_samples_add(p->samples, ids, n, label_of(p, t), 1, weight_ns);
}

/* look(first, n, seconds) -> the next slot to look at: each task that waits in one of n slots from
 * `first` (from 0) on has waited for so long */
static int lprofile_look(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_profile *p = h->profile;
	uint32_t slot = (uint32_t)luaL_checkinteger(L, 1), n = (uint32_t)luaL_checkinteger(L, 2);
	double weight_ns = luaL_checknumber(L, 3) * 1e9;
	if (!p || p->kind != RL_PROFILE_OFFCPU)
		return 0;
	for (uint32_t end = slot + n; slot < end; slot++) {
		struct rl_task *t = rl_task_at(&h->shard, slot);
		if (t && t->state != RL_TASK_RUNNING && slot + 1 != p->skip)
			look_at(p, t, weight_ns);
	}
	lua_pushinteger(L, (lua_Integer)slot);
	return 1;
}

/* slots_used() -> how many slots have ever been in use */
static int lprofile_slots(lua_State *L)
{
	const struct rl_slab *tasks = rl_lua_of(L)->shard.tasks;
	lua_pushinteger(L, tasks ? (lua_Integer)tasks->used : 0);
	return 1;
}

/* ---- begin and end -------------------------------------------------------------------------- */

static const char *const kinds[] = {
	[RL_PROFILE_CPU] = "cpu", [RL_PROFILE_OFFCPU] = "offcpu", [RL_PROFILE_ALLOC] = "alloc", NULL,
};

/* The function on top becomes what labels are asked of. */
static struct rl_profile *profile_new(lua_State *L, struct rl_lua *h)
{
	struct rl_profile *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->samples = rl_samples_new();
	if (!p->samples) {
		free(p);
		return NULL;
	}
	p->h = h;
	p->label_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	p->aux = lua_newthread(L);
	p->aux_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return p;
}

static void profile_free(lua_State *L, struct rl_profile *p)
{
	luaL_unref(L, LUA_REGISTRYINDEX, p->label_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, p->aux_ref);
	rl_samples_free(p->samples);
	if (!p->wrapped)
		free(p);
}

static int switch_on(lua_State *L, struct rl_profile *p, const char *detail)
{
	if (p->kind == RL_PROFILE_CPU)
		return rl_profile_cpu_on(L, p, detail);
	return p->kind == RL_PROFILE_ALLOC ? rl_profile_alloc_on(L, p, detail) : 0;
}

static void switch_off(lua_State *L, struct rl_profile *p)
{
	if (p->kind == RL_PROFILE_CPU)
		rl_profile_cpu_off(L, p);
	else if (p->kind == RL_PROFILE_ALLOC)
		rl_profile_alloc_off(L, p);
}

/* profile_begin(kind, period, detail, skip, labels) -> true | nil, code. The period is seconds of
 * CPU time for each tick, 0: no timer; or bytes for each sample. `labels` is function(slot) -> a
 * number for the labels of a task */
static int lprofile_begin(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	enum rl_profile_kind kind = (enum rl_profile_kind)luaL_checkoption(L, 1, NULL, kinds);
	double period = luaL_checknumber(L, 2);
	const char *detail = luaL_checkstring(L, 3);
	lua_Integer skip = luaL_checkinteger(L, 4);
	luaL_checktype(L, 5, LUA_TFUNCTION);
	if (h->profile)
		return rl_lua_fail(L, -EBUSY);
	lua_settop(L, 5);
	struct rl_profile *p = profile_new(L, h);
	if (!p)
		return rl_lua_fail(L, -ENOMEM);
	p->kind = kind;
	p->skip = (uint32_t)skip;
	p->period_ns = period * 1e9;
	p->rate = period;
	h->profile = p;
	int err = switch_on(L, p, detail);
	if (err < 0) {
		h->profile = NULL;
		profile_free(L, p);
		return rl_lua_fail(L, err);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* What has come while no task ran, and what was on its way to a stack. */
static void add_idle(struct rl_profile *p)
{
	for (unsigned i = 0; i < RL_PROFILE_IDLES; i++) {
		uint32_t id = pseudo(p, idle_names[i]);
		double count = p->kind == RL_PROFILE_CPU ? p->idle_ticks[i] : 0;
		double value = count * p->period_ns;
		if (p->kind == RL_PROFILE_ALLOC && i == RL_PROFILE_LOOP) {
			count = p->idle_objects;
			value = p->idle_bytes;
		}
		if (count > 0 || value > 0)
			rl_samples_add(p->samples, &id, 1, 0, count, value);
	}
}

/* {name, file, line, defined, name, ...}, of all frames one behind the other. */
static void push_frames(lua_State *L, const struct rl_samples *s)
{
	uint32_t len = rl_samples_frames(s);
	lua_createtable(L, (int)len * 4, 0);
	for (uint32_t i = 0; i < len; i++) {
		struct rl_samples_frame f = rl_samples_frame_at(s, i);
		int at = (int)i * 4;
		lua_pushstring(L, f.name);
		lua_rawseti(L, -2, at + 1);
		lua_pushstring(L, f.file);
		lua_rawseti(L, -2, at + 2);
		lua_pushinteger(L, f.line);
		lua_rawseti(L, -2, at + 3);
		lua_pushinteger(L, f.defined);
		lua_rawseti(L, -2, at + 4);
	}
}

/* A list of {count, value, label, frame, frame, ...}, innermost first, frames counted from 1. */
static void push_stacks(lua_State *L, const struct rl_samples *s)
{
	uint32_t len = rl_samples_stacks(s);
	int n = 0;
	lua_createtable(L, (int)len, 0);
	for (uint32_t i = 0; i < len; i++) {
		struct rl_samples_stack k = rl_samples_stack_at(s, i);
		if (k.count == 0 && k.value == 0)
			continue;
		lua_createtable(L, (int)k.depth + 3, 0);
		lua_pushnumber(L, k.count);
		lua_rawseti(L, -2, 1);
		lua_pushnumber(L, k.value);
		lua_rawseti(L, -2, 2);
		lua_pushinteger(L, (lua_Integer)k.label);
		lua_rawseti(L, -2, 3);
		for (uint32_t j = 0; j < k.depth; j++) {
			lua_pushinteger(L, (lua_Integer)k.frames[j] + 1);
			lua_rawseti(L, -2, (int)j + 4);
		}
		lua_rawseti(L, -2, ++n);
	}
}

/* profile_end() -> frames, stacks | nothing when none goes on: see push_frames and push_stacks */
static int lprofile_end(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_profile *p = h->profile;
	if (!p)
		return 0;
	switch_off(L, p);
	if (h->sampled)
		rl_profile_take(p, L, 0, NULL);
	add_idle(p);
	push_frames(L, p->samples);
	push_stacks(L, p->samples);
	h->profile = NULL;
	profile_free(L, p);
	return 2;
}

void rl_profile_gone(lua_State *L, struct rl_lua *h)
{
	struct rl_profile *p = h->profile;
	if (!p)
		return;
	switch_off(L, p);
	h->profile = NULL;
	h->sampled = 0;
	profile_free(L, p);
}

/* profile_tick(n): as if the timer had gone off n times here: for tests */
static int lprofile_tick(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	if (h->profile)
		rl_profile_tick(h->profile, (unsigned)luaL_checkinteger(L, 1));
	return 0;
}

static const luaL_Reg functions[] = {
	{"profile_begin", lprofile_begin},
	{"profile_end", lprofile_end},
	{"profile_look", lprofile_look},
	{"profile_slots", lprofile_slots},
	{"profile_tick", lprofile_tick},
	{NULL, NULL},
};

void rl_lua_open_profile(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_profile_open_cpu(L, h);
}
