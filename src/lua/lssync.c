/* SPDX-License-Identifier: MIT */
/*
 * lssync: shared semaphores, barriers and onces from Lua.
 *
 * Whose turn it is to do something once holds that turn as a userdata: if its task is given up, or
 * its state closes, the collector gives the turn up too.
 */
#include "lua/lsobject.h"

#include "base/err.h"
#include "rt/sbarrier.h"
#include "rt/sonce.h"
#include "rt/ssem.h"

#define TURN "ringlet.shared.turn"

/* Before a wait: the running task, or NULL when it is cancelled, with *results. */
static struct rl_task *check_wait(lua_State *L, struct rl_lua *h, int *results)
{
	struct rl_task *t = rl_lua_check_park(L, h);
	if (!(t->flags & RL_TASK_CANCEL))
		return t;
	*results = rl_lua_cancelled(L, h);
	return NULL;
}

/* ---- semaphore ------------------------------------------------------------------------------- */

static struct rl_ssem *check_sem(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_SEMAPHORE, "semaphore");
}

static uint64_t check_tokens(lua_State *L, struct rl_lua *h, int arg)
{
	int64_t n = rl_lsobject_integer(L, h, arg, 1, "tokens");
	if (n < 0)
		rl_lua_misuse(L, h, "tokens must be 0 or more");
	return (uint64_t)n;
}

/* shared_acquire(sem, [n], [seconds]) -> true | nil, code. Parks. */
static int lssync_acquire(lua_State *L)
{
	int results;
	struct rl_lua *h = rl_lua_of(L);
	struct rl_ssem *sem = check_sem(L, h);
	uint64_t n = check_tokens(L, h, 2);
	int64_t deadline_ns = rl_lua_deadline(L, h, 3);
	struct rl_task *t = check_wait(L, h, &results);
	if (!t)
		return results;
	int status = rl_ssem_acquire(&h->shard, t, sem, n, deadline_ns);
	if (status == 0)
		return lua_yield(L, lua_gettop(L));
	if (status == -EINVAL)
		rl_lua_misuse(L, h, "the semaphore never has so many tokens");
	if (status < 0)
		return rl_lua_fail(L, status);
	lua_pushboolean(L, 1);
	return 1;
}

/* try_acquire(sem, [n]) -> boolean */
static int lssync_try_acquire(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_ssem *sem = check_sem(L, h);
	lua_pushboolean(L, rl_ssem_try_acquire(&h->shard, sem, check_tokens(L, h, 2)));
	return 1;
}

/* release(sem, [n]) */
static int lssync_release(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_ssem *sem = check_sem(L, h);
	if (rl_ssem_release(&h->shard, sem, check_tokens(L, h, 2)) < 0)
		rl_lua_misuse(L, h, "released more than acquired");
	return 0;
}

static int lssync_available(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)rl_ssem_available(check_sem(L, rl_lua_of(L))));
	return 1;
}

static int lssync_sem_tostring(lua_State *L)
{
	struct rl_ssem *sem = check_sem(L, rl_lua_of(L));
	lua_pushliteral(L, "ringlet.shared.semaphore: ");
	lua_pushinteger(L, (lua_Integer)rl_ssem_available(sem));
	lua_pushliteral(L, "/");
	lua_pushinteger(L, (lua_Integer)rl_ssem_size(sem));
	lua_concat(L, 4);
	return 1;
}

/* shared_semaphore(n) -> semaphore */
static int lssync_semaphore(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int64_t n = rl_lsobject_need_integer(L, h, 1, "the number of tokens");
	if (n < 0)
		rl_lua_misuse(L, h, "the number of tokens must be 0 or more");
	rl_lsobject_push(L, h, (struct rl_shared *)rl_ssem_new((uint64_t)n));
	return 1;
}

/* ---- barrier --------------------------------------------------------------------------------- */

static struct rl_sbarrier *check_barrier(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_BARRIER, "barrier");
}

/* shared_meet(barrier, [seconds]) -> place | nil, code. Parks. */
static int lssync_meet(lua_State *L)
{
	int results;
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sbarrier *b = check_barrier(L, h);
	int64_t deadline_ns = rl_lua_deadline(L, h, 2);
	struct rl_task *t = check_wait(L, h, &results);
	if (!t)
		return results;
	int64_t place = rl_sbarrier_wait(&h->shard, t, b, deadline_ns);
	if (place == 0)
		return lua_yield(L, lua_gettop(L));
	if (place < 0)
		return rl_lua_fail(L, (int)place);
	lua_pushinteger(L, (lua_Integer)place);
	return 1;
}

static int lssync_barrier_tostring(lua_State *L)
{
	struct rl_sbarrier *b = check_barrier(L, rl_lua_of(L));
	lua_pushfstring(L, "ringlet.shared.barrier: %d/%d", (int)rl_sbarrier_waiting(b),
		(int)rl_sbarrier_size(b));
	return 1;
}

/* shared_barrier(n) -> barrier */
static int lssync_barrier(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int64_t n = rl_lsobject_need_integer(L, h, 1, "the number of tasks");
	if (n < 1 || n > INT32_MAX)
		rl_lua_misuse(L, h, "the number of tasks must be at least 1");
	rl_lsobject_push(L, h, (struct rl_shared *)rl_sbarrier_new((uint32_t)n));
	return 1;
}

/* ---- once ------------------------------------------------------------------------------------ */

struct turn {
	struct rl_sonce *once; /* a reference; NULL: it is over */
};

static struct rl_sonce *check_once(lua_State *L, struct rl_lua *h)
{
	return rl_lsobject_check(L, h, RL_LSOBJECT_ONCE, "once");
}

/* shared_begin(once) -> turn: do it, then end it | true: look again | false: it is done
 * | nil, code. Parks. */
static int lssync_begin(lua_State *L)
{
	int results;
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sonce *o = check_once(L, h);
	if (rl_sonce_is_done(o)) {
		lua_pushboolean(L, 0);
		return 1;
	}
	struct rl_task *t = check_wait(L, h, &results);
	if (!t)
		return results;
	lua_settop(L, 1);
	struct turn *turn = rl_lua_new(L, sizeof *turn, TURN);
	int status = rl_sonce_begin(&h->shard, t, o, -1);
	if (status == RL_SONCE_PARKED)
		return lua_yield(L, lua_gettop(L));
	if (status < 0)
		return rl_lua_fail(L, status);
	if (status == RL_SONCE_DONE) {
		lua_pushboolean(L, 0);
		return 1;
	}
	rl_shared_get((struct rl_shared *)o);
	turn->once = o;
	return 1;
}

/* shared_finish(turn, ...): with these values; raises what cannot travel, and it goes on then */
static int lssync_finish(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct turn *turn = lua_touserdata(L, 1);
	struct rl_sonce *o = turn->once;
	if (!o)
		return luaL_error(L, "the turn is over");
	struct rl_parcel *result = rl_lua_pack(L, h, 2, lua_gettop(L) - 1, "result");
	turn->once = NULL;
	rl_sonce_finish(&h->shard, o, result);
	rl_shared_put((struct rl_shared *)o);
	return 0;
}

/* shared_give_up(turn): idempotent; also what the collector does */
static int lssync_give_up(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct turn *turn = lua_touserdata(L, 1);
	struct rl_sonce *o = turn->once;
	if (!o)
		return 0;
	turn->once = NULL;
	rl_sonce_give_up(&h->shard, o);
	rl_shared_put((struct rl_shared *)o);
	return 0;
}

/* shared_result(once) -> the values, when it is done */
static int lssync_result(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_sonce *o = check_once(L, h);
	return rl_sonce_is_done(o) ? rl_lua_unpack(L, h, rl_sonce_result(o)) : 0;
}

/* is_done(once) -> boolean */
static int lssync_is_done(lua_State *L)
{
	lua_pushboolean(L, rl_sonce_is_done(check_once(L, rl_lua_of(L))));
	return 1;
}

static int lssync_once_tostring(lua_State *L)
{
	bool done = rl_sonce_is_done(check_once(L, rl_lua_of(L)));
	lua_pushfstring(L, "ringlet.shared.once: %s", done ? "done" : "not done");
	return 1;
}

/* shared_once() -> once */
static int lssync_once(lua_State *L)
{
	rl_lsobject_push(L, rl_lua_of(L), (struct rl_shared *)rl_sonce_new());
	return 1;
}

/* ---- classes --------------------------------------------------------------------------------- */

static const luaL_Reg sem_methods[] = {
	{"try_acquire", lssync_try_acquire},
	{"release", lssync_release},
	{"available", lssync_available},
	{"__tostring", lssync_sem_tostring},
	{NULL, NULL},
};

static const luaL_Reg barrier_methods[] = {
	{"__tostring", lssync_barrier_tostring},
	{NULL, NULL},
};

static const luaL_Reg once_methods[] = {
	{"is_done", lssync_is_done},
	{"__tostring", lssync_once_tostring},
	{NULL, NULL},
};

static const luaL_Reg turn_methods[] = {
	{"__gc", lssync_give_up},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"shared_semaphore", lssync_semaphore},
	{"shared_acquire", lssync_acquire},
	{"shared_barrier", lssync_barrier},
	{"shared_meet", lssync_meet},
	{"shared_once", lssync_once},
	{"shared_begin", lssync_begin},
	{"shared_finish", lssync_finish},
	{"shared_give_up", lssync_give_up},
	{"shared_result", lssync_result},
	{NULL, NULL},
};

void rl_lua_open_ssync(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lsobject_class(L, h, RL_LSOBJECT_SEMAPHORE, &rl_ssem_class, sem_methods);
	lua_setfield(L, -2, "shared_semaphore_class");
	rl_lsobject_class(L, h, RL_LSOBJECT_BARRIER, &rl_sbarrier_class, barrier_methods);
	lua_setfield(L, -2, "shared_barrier_class");
	rl_lsobject_class(L, h, RL_LSOBJECT_ONCE, &rl_sonce_class, once_methods);
	lua_setfield(L, -2, "shared_once_class");
	rl_lua_class(L, h, TURN, turn_methods);
	lua_pop(L, 1);
	lua_pushinteger(L, -EAGAIN);
	lua_setfield(L, -2, "EAGAIN");
}
