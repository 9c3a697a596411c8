/* SPDX-License-Identifier: MIT */
/*
 * lreach: what a state's values refer to, followed as its collector does, to tell which parked
 * tasks can still be woken. Nothing is changed, collected or finalized: see
 * docs/design/leak-detection.md for why this is no collection with weakened roots.
 *
 * A suspect is a task parked on wait queues alone, without a deadline: only code that has one of
 * these queues ends its wait. So its coroutine, its handle and whatever else is kept for it are
 * opaque until one of the queues is found; what tells of its end, to those that join it, with them.
 * Roots are the other tasks, the registry, the stack that the run loop is on, and what the caller
 * adds. The suspects that are left when all is followed are leaked.
 *
 * Weak references are followed like others, though a collection would not: what a suspect keeps
 * alive by waiting for it can be had through them, and sent to.
 *
 * Invariants: an object is put on the work list once, when it is put into the set of those seen;
 * what was hidden, when it is revealed. No step of the collector is made meanwhile: an address is
 * that of one object and no finalizer runs. No user code runs: what is read is read raw.
 */
#include "lua/lrun.h"

#include "base/slab.h"
#include "lua/lwait.h"
#include "rt/watch.h"

#include <stdlib.h>

#define SET_MIN 4096 /* a power of two */

enum suspicion { UNSUSPECTED, SUSPECT, REACHED };

/* Where the inner function's arguments and lists are. */
enum { SUSPECTS = 1, TABLES, ROOTS, HIDDEN, WORK };
/* The first two of the tables by slot. */
enum { THREADS = 1, HANDLES = 2 };

struct reach {
	lua_State *L;
	struct rl_lua *h;
	uintptr_t *set;       /* of addresses; open addressing, 0: free */
	size_t mask, seen;
	int work_len;
	uint8_t *suspicion;   /* by slot */
	uint32_t slots;
	unsigned left;        /* suspects not reached */
	int tables_len;
};

/* ---- the set ---- */

static size_t place_of(const struct reach *r, uintptr_t p)
{
	return (size_t)((uint64_t)p * 0x9e3779b97f4a7c15u >> 20) & r->mask;
}

static bool set_has(const struct reach *r, uintptr_t p)
{
	size_t i = place_of(r, p);
	while (r->set[i] && r->set[i] != p)
		i = (i + 1) & r->mask;
	return r->set[i] == p;
}

static void set_put(struct reach *r, uintptr_t p)
{
	size_t i = place_of(r, p);
	while (r->set[i])
		i = (i + 1) & r->mask;
	r->set[i] = p;
}

static void set_grow(struct reach *r)
{
	size_t old_len = r->mask + 1;
	uintptr_t *old = r->set, *larger = calloc(2 * old_len, sizeof *larger);
	if (!larger)
		luaL_error(r->L, "not enough memory");
	r->set = larger;
	r->mask = 2 * old_len - 1;
	for (size_t i = 0; i < old_len; i++) {
		if (old[i])
			set_put(r, old[i]);
	}
	free(old);
}

/* Put the object at `i` into the set; false: it was there. */
static bool set_add(struct reach *r, int i)
{
	uintptr_t p = (uintptr_t)lua_topointer(r->L, i);
	if (set_has(r, p))
		return false;
	if (2 * r->seen > r->mask)
		set_grow(r);
	set_put(r, p);
	r->seen++;
	return true;
}

/* ---- the work list ---- */

/* Does a value of this type refer to others? A cdata of LuaJIT's does not. */
static bool refers(int type)
{
	return type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA
		|| type == LUA_TTHREAD;
}

/* The object on top goes to the work list. */
static void enlist(struct reach *r)
{
	lua_rawseti(r->L, WORK, ++r->work_len);
}

/* Take the value on top: if it is an object not seen before, it is to be looked into. */
static void visit(struct reach *r)
{
	if (refers(lua_type(r->L, -1)) && set_add(r, -1))
		enlist(r);
	else
		lua_pop(r->L, 1);
}

/* The same for a value on the stack of another thread. */
static void visit_from(struct reach *r, lua_State *co)
{
	if (refers(lua_type(co, -1))) {
		lua_xmove(co, r->L, 1);
		visit(r);
	} else {
		lua_pop(co, 1);
	}
}

/* ---- tasks ---- */

/* Take the value on top, which was hidden: if it is an object, it is to be looked into. */
static void reveal(struct reach *r)
{
	if (refers(lua_type(r->L, -1)))
		enlist(r);
	else
		lua_pop(r->L, 1);
}

/* What is kept for a task; `hidden`: of a suspect, some of it was hidden. */
static void visit_task(struct reach *r, uint32_t slot, bool hidden)
{
	for (int i = 1; i <= r->tables_len; i++) {
		lua_rawgeti(r->L, TABLES, i);
		lua_rawgeti(r->L, -1, (int)slot + 1);
		if (hidden && i <= HANDLES)
			reveal(r);
		else
			visit(r);
		lua_pop(r->L, 1);
	}
}

/* Push the queue of those who join the task in this slot, or nil. */
static void push_joiners(struct reach *r, uint32_t slot)
{
	lua_State *L = r->L;
	lua_rawgeti(L, TABLES, HANDLES);
	lua_rawgeti(L, -1, (int)slot + 1);
	lua_remove(L, -2);
	if (lua_istable(L, -1)) {
		lua_pushliteral(L, "q");
		lua_rawget(L, -2);
		lua_remove(L, -2);
	} else {
		lua_pop(L, 1);
		lua_pushnil(L);
	}
}

/* Something that wakes this task was found. */
static void reach_task(struct reach *r, uint32_t slot)
{
	r->suspicion[slot] = REACHED;
	r->left--;
	visit_task(r, slot, true);
	push_joiners(r, slot);
	reveal(r);
}

static void reach_waiters(struct reach *r, struct lwaitq *q)
{
	for (int side = 0; side < 2; side++) {
		const struct rl_list *head = &q->side[side].waiters;
		for (const struct rl_list *l = head->next; l != head; l = l->next) {
			uint32_t slot = rl_container(l, struct rl_clause, link)->task->slot;
			if (slot < r->slots && r->suspicion[slot] == SUSPECT)
				reach_task(r, slot);
		}
	}
}

/* ---- objects: each is on top, and stays ---- */

static void look_into_metatable(struct reach *r)
{
	if (lua_getmetatable(r->L, -1))
		visit(r);
}

/* Weak or not: see the top. */
static void look_into_table(struct reach *r)
{
	lua_State *L = r->L;
	look_into_metatable(r);
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		visit(r);
		if (refers(lua_type(L, -1))) {
			lua_pushvalue(L, -1);
			visit(r);
		}
	}
}

static void look_into_function(struct reach *r)
{
	for (int i = 1; lua_getupvalue(r->L, -1, i); i++)
		visit(r);
	if (rl_push_environment(r->L, -1))
		visit(r);
}

static void look_into_userdata(struct reach *r)
{
	look_into_metatable(r);
	for (int i = 1; rl_push_uservalue(r->L, -1, i); i++)
		visit(r);
	struct lwaitq *q = rl_lwait_at(r->L, -1);
	if (q)
		reach_waiters(r, q);
}

/* The function of a frame, its locals and temporaries, and its extra arguments. */
static void look_into_frame(struct reach *r, lua_State *co, lua_Debug *ar)
{
	lua_getinfo(co, "f", ar);
	visit_from(r, co);
	for (int i = 1; lua_getlocal(co, ar, i); i++)
		visit_from(r, co);
	for (int i = -1; lua_getlocal(co, ar, i); i--)
		visit_from(r, co);
}

/* The values that the running function of a thread, or one that has not begun, has on its stack;
 * then all frames. In the thread that we run in, the first two are ours. */
static void look_into_thread(struct reach *r)
{
	lua_State *L = r->L, *co = lua_tothread(L, -1);
	lua_Debug ar;
	int level = 0;
	if (!lua_checkstack(co, 4))
		luaL_error(L, "not enough memory");
	if (co == L)
		level = 2;
	for (int i = co == L ? 0 : lua_gettop(co); i > 0; i--) {
		lua_pushvalue(co, i);
		visit_from(r, co);
	}
	for (; lua_getstack(co, level, &ar); level++)
		look_into_frame(r, co, &ar);
	if (rl_push_environment(L, -1))
		visit(r);
}

static void look_into(struct reach *r)
{
	switch (lua_type(r->L, -1)) {
	case LUA_TTABLE:
		look_into_table(r);
		break;
	case LUA_TFUNCTION:
		look_into_function(r);
		break;
	case LUA_TUSERDATA:
		look_into_userdata(r);
		break;
	default:
		look_into_thread(r);
	}
}

/* Follow everything, until no suspect is left or nothing is new. */
static void follow(struct reach *r)
{
	while (r->left > 0 && r->work_len > 0) {
		lua_rawgeti(r->L, WORK, r->work_len--);
		look_into(r);
		lua_pop(r->L, 1);
	}
}

/* ---- roots ---- */

static int reach_inner(lua_State *L);

/* The metatables that all values of a type share. */
static void visit_type_metatables(struct reach *r)
{
	lua_State *L = r->L;
	lua_pushnil(L);
	lua_pushboolean(L, 1);
	lua_pushlightuserdata(L, r);
	lua_pushinteger(L, 0);
	lua_pushliteral(L, "");
	lua_pushcfunction(L, reach_inner);
	lua_pushthread(L);
	for (int n = 0; n < 7; n++) {
		look_into_metatable(r);
		lua_pop(L, 1);
	}
}

static void visit_roots(struct reach *r)
{
	lua_State *L = r->L;
	lua_pushvalue(L, LUA_REGISTRYINDEX);
	visit(r);
	if (r->h->looping) {
		lua_pushthread(r->h->main);
		visit_from(r, r->h->main);
	}
	lua_pushthread(L);
	visit(r);
	lua_pushvalue(L, ROOTS);
	visit(r);
	visit_type_metatables(r);
}

/* ---- the beginning and the end ---- */

/* Seen already, and never looked into. */
static void hide(struct reach *r)
{
	if (refers(lua_type(r->L, -1)))
		set_add(r, -1);
	lua_pop(r->L, 1);
}

static void hide_suspect(struct reach *r, uint32_t slot)
{
	for (int i = 1; i <= HANDLES; i++) {
		lua_rawgeti(r->L, TABLES, i);
		lua_rawgeti(r->L, -1, (int)slot + 1);
		hide(r);
		lua_pop(r->L, 1);
	}
	push_joiners(r, slot);
	hide(r);
}

/* Slots that are not those of parked tasks are passed over. */
static void read_suspects(struct reach *r)
{
	lua_State *L = r->L;
	int n = (int)rl_rawlen(L, SUSPECTS);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, SUSPECTS, i);
		lua_Integer at = lua_tointeger(L, -1) - 1;
		lua_pop(L, 1);
		if (at < 0 || at >= r->slots)
			continue;
		struct rl_task *t = rl_task_at(&r->h->shard, (uint32_t)at);
		if (!t || t->state != RL_TASK_PARKED || r->suspicion[at] == SUSPECT)
			continue;
		r->suspicion[at] = SUSPECT;
		r->left++;
		hide_suspect(r, (uint32_t)at);
	}
}

static void hide_tables(struct reach *r)
{
	for (int i = 1; i <= r->tables_len; i++) {
		lua_rawgeti(r->L, TABLES, i);
		hide(r);
	}
	int hidden_len = (int)rl_rawlen(r->L, HIDDEN);
	for (int i = 1; i <= hidden_len; i++) {
		lua_rawgeti(r->L, HIDDEN, i);
		hide(r);
	}
	for (int i = SUSPECTS; i <= WORK; i++) {
		if (i == ROOTS)
			continue;
		lua_pushvalue(r->L, i);
		hide(r);
	}
}

/* Push the list of the suspects that are left. */
static void push_left(struct reach *r)
{
	lua_createtable(r->L, (int)r->left, 0);
	for (uint32_t i = 0, n = 0; n < r->left; i++) {
		if (r->suspicion[i] != SUSPECT)
			continue;
		lua_pushinteger(r->L, (lua_Integer)i + 1);
		lua_rawseti(r->L, -2, (int)++n);
	}
}

/* (suspects, tables, roots, hidden) -> left; the upvalue is a struct reach */
static int reach_inner(lua_State *L)
{
	struct reach *r = lua_touserdata(L, lua_upvalueindex(1));
	luaL_checkstack(L, 32, NULL);
	lua_createtable(L, 1024, 0);
	r->tables_len = (int)rl_rawlen(L, TABLES);
	r->slots = r->h->shard.tasks ? r->h->shard.tasks->used : 0;
	r->mask = SET_MIN - 1;
	r->set = calloc(SET_MIN, sizeof *r->set);
	r->suspicion = calloc(r->slots + 1, 1);
	if (!r->set || !r->suspicion)
		return luaL_error(L, "not enough memory");
	hide_tables(r);
	read_suspects(r);
	for (uint32_t i = 0, n = 0; r->left > 0 && n < r->h->shard.live; i++) {
		if (!rl_task_at(&r->h->shard, i))
			continue;
		n++;
		if (r->suspicion[i] == UNSUSPECTED)
			visit_task(r, i, false);
	}
	visit_roots(r);
	follow(r);
	push_left(r);
	return 1;
}

/* reach(suspects, tables, roots, hidden) -> slots, integer: those of the suspects (a list of slots)
 * that no root reaches, and how many objects were looked at. `tables`: what is kept for tasks, by
 * slot, the coroutines and the handles first; `hidden`: what is not to be looked into. To the
 * watchdog no task runs meanwhile: it is no stall. */
static int lreach_reach(lua_State *L)
{
	struct reach r = {.L = L, .h = rl_lua_of(L)};
	bool in_task = r.h->running != NULL;
	lua_settop(L, 4);
	for (int i = 1; i <= 4; i++)
		luaL_checktype(L, i, LUA_TTABLE);
	lua_pushlightuserdata(L, &r);
	lua_pushcclosure(L, reach_inner, 1);
	lua_insert(L, 1);
	bool collects = lua_gc(L, LUA_GCISRUNNING, 0) != 0;
	lua_gc(L, LUA_GCSTOP, 0);
	if (in_task)
		rl_shard_running(&r.h->shard, false);
	int failed = lua_pcall(L, 4, 1, 0);
	if (in_task)
		rl_shard_running(&r.h->shard, true);
	if (in_task && r.h->watch
		&& atomic_load_explicit(&r.h->shard.unwatched, memory_order_relaxed))
		rl_watch_wake(r.h->watch);
	if (collects)
		lua_gc(L, LUA_GCRESTART, 0);
	free(r.set);
	free(r.suspicion);
	if (failed)
		return lua_error(L);
	lua_pushnumber(L, (lua_Number)r.seen);
	return 2;
}

/* What only code of this shard ends that has what is waited for. The others wait for the kernel,
 * for another shard or a helper thread, or in a pool, which has timers of its own. */
static bool is_of_memory(unsigned reason)
{
	switch (reason & RL_REASON_MASK) {
	case RL_REASON_RECV:
	case RL_REASON_SEND:
	case RL_REASON_SELECT:
	case RL_REASON_JOIN:
	case RL_REASON_SCOPE:
	case RL_REASON_EVENT:
	case RL_REASON_LOCK:
	case RL_REASON_SEMAPHORE:
	case RL_REASON_WAITGROUP:
	case RL_REASON_COND:
	case RL_REASON_BARRIER:
	case RL_REASON_ONCE:
	case RL_REASON_TIMER:
	case RL_REASON_WAIT:
	case RL_REASON_POOL_SUBMIT:
	case RL_REASON_LIMITER:
		return true;
	default:
		return false;
	}
}

/* suspects() -> slots of the tasks that are parked on memory alone, without a deadline */
static int lreach_suspects(lua_State *L)
{
	const struct rl_shard *s = &rl_lua_of(L)->shard;
	int n = 0;
	lua_newtable(L);
	for (uint32_t i = 0, seen = 0; seen < s->live; i++) {
		const struct rl_task *t = rl_task_at(s, i);
		if (!t)
			continue;
		seen++;
		if (t->state != RL_TASK_PARKED || t->deadline || !is_of_memory(t->reason))
			continue;
		lua_pushinteger(L, (lua_Integer)i + 1);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static const luaL_Reg functions[] = {
	{"reach", lreach_reach},
	{"suspects", lreach_suspects},
	{NULL, NULL},
};

void rl_lua_open_reach(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
