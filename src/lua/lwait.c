/* SPDX-License-Identifier: MIT */
/*
 * lwait: wait queues from Lua: the one primitive on which channels, select and everything of sync
 * are written. A wait queue has two sides: tasks that wait, and tasks that wait while they offer a
 * value. A waker hands values over by putting them on the waiter's own stack; a value offered lies
 * on the stack of whoever offers it. So a parked value needs no other anchor.
 */
#include "lua/lshard.h"

#include "base/err.h"

static const char waitq_tag;

struct lwaitq {
	const void *tag;
	struct rl_waitq side[2];
};

enum { WAIT, OFFER };

static struct lwaitq *check_waitq(lua_State *L, int arg)
{
	struct lwaitq *q = lua_touserdata(L, arg);
	if (lua_type(L, arg) != LUA_TUSERDATA || rl_rawlen(L, arg) != sizeof *q || q->tag != &waitq_tag)
		luaL_argerror(L, arg, "wait queue expected");
	return q;
}

/* waitq() -> userdata */
static int lwait_new(lua_State *L)
{
	struct lwaitq *q = lua_newuserdata(L, sizeof *q);
	q->tag = &waitq_tag;
	rl_waitq_init(&q->side[WAIT]);
	rl_waitq_init(&q->side[OFFER]);
	return 1;
}

/* wait(q, seconds|nil, reason) -> what the waker gives | nil, code. Parks. */
static int lwait_wait(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	int64_t deadline = rl_lua_deadline(L, h, 2);
	return rl_lua_park(L, h, &q->side[WAIT], (unsigned)lua_tointeger(L, 3), deadline);
}

/* offer(q, seconds|nil, reason, v) -> what the taker gives | nil, code. Parks. */
static int lwait_offer(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	int64_t deadline = rl_lua_deadline(L, h, 2);
	lua_settop(L, 4);
	return rl_lua_park_offer(L, h, &q->side[OFFER], (unsigned)lua_tointeger(L, 3), deadline, 4);
}

/* Hand the values from..top of L to the waiter of `c` (they stay on L) and ready it. */
static void hand(lua_State *L, struct rl_lua *h, struct rl_clause *c, int from)
{
	lua_State *co = c->task->co;
	int n = lua_gettop(L) - from + 1;
	lua_checkstack(co, n + 2);
	luaL_checkstack(L, n + 1, NULL);
	if (c->index > 0 && n > 0)
		lua_pushinteger(co, c->index);
	for (int i = 0; i < n; i++)
		lua_pushvalue(L, from + i);
	lua_xmove(L, co, n);
	rl_wait_fire(&h->shard, c, n > 0 ? (unsigned)n + (c->index > 0) : 0, 0);
}

/* Hand the values from index 2 on to everybody who waits; returns how many. */
static int hand_all(lua_State *L, struct rl_lua *h, struct rl_waitq *q)
{
	int n = 0;
	struct rl_clause *c = rl_waitq_first(q);
	while (c) {
		hand(L, h, c, 2);
		n++;
		c = rl_waitq_first(q);
	}
	return n;
}

/* wake(q, ...) -> whether somebody waited: the longest waiter gets the values */
static int lwait_wake(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_clause *c = rl_waitq_first(&check_waitq(L, 1)->side[WAIT]);
	if (c)
		hand(L, h, c, 2);
	lua_pushboolean(L, c != NULL);
	return 1;
}

/* wake_all(q, ...) -> how many */
static int lwait_wake_all(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	lua_pushinteger(L, hand_all(L, h, &q->side[WAIT]));
	return 1;
}

/* take(q, ...) -> true, the value of the longest offerer, who gets `...` | false */
static int lwait_take(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_clause *c = rl_waitq_first(&check_waitq(L, 1)->side[OFFER]);
	if (!c) {
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_State *co = c->task->co;
	int top = lua_gettop(L);
	lua_checkstack(co, 1);
	lua_pushvalue(co, c->offer);
	lua_xmove(co, L, 1);
	lua_insert(L, 2);
	hand(L, h, c, 3);
	lua_settop(L, top + 1);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 2);
	return 2;
}

/* fail_offers(q, ...) -> how many: every offerer gets the values, its own value is dropped */
static int lwait_fail_offers(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	lua_pushinteger(L, hand_all(L, h, &q->side[OFFER]));
	return 1;
}

/* waiting(q) -> boolean, boolean: does anybody wait, offer */
static int lwait_waiting(lua_State *L)
{
	struct lwaitq *q = check_waitq(L, 1);
	lua_pushboolean(L, !rl_list_empty(&q->side[WAIT].waiters));
	lua_pushboolean(L, !rl_list_empty(&q->side[OFFER].waiters));
	return 2;
}

/* owned(q) -> boolean, boolean: is the longest waiter / offerer the running task */
static int lwait_own(lua_State *L)
{
	struct rl_task *t = rl_lua_of(L)->shard.current;
	struct lwaitq *q = check_waitq(L, 1);
	for (int i = 0; i < 2; i++) {
		struct rl_clause *c = rl_waitq_first(&q->side[i]);
		lua_pushboolean(L, c && c->task == t);
	}
	return 2;
}

/* Push queue i (and its offered value) of the case list at 1; returns the queue's side. */
static struct rl_waitq *select_case(lua_State *L, int i, unsigned *index, unsigned *offer)
{
	lua_rawgeti(L, 1, 3 * i + 1);
	*index = (unsigned)lua_tointeger(L, -1);
	lua_pop(L, 1);
	lua_rawgeti(L, 1, 3 * i + 2);
	struct lwaitq *q = lua_touserdata(L, -1);
	lua_rawgeti(L, 1, 3 * i + 3);
	bool offers = !lua_isnil(L, -1);
	*offer = offers ? (unsigned)lua_gettop(L) : 0;
	if (!offers)
		lua_pop(L, 1);
	lua_pushnil(L); /* the list is reused: it must not keep the value */
	lua_rawseti(L, 1, 3 * i + 3);
	return &q->side[offers ? OFFER : WAIT];
}

/* wait_any(list, n, seconds|nil) -> index, what the waker gives | nil, code. Parks.
 * list: n triples index, queue, offered value or nil; checked by the caller. */
static int lwait_any(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int n = (int)lua_tointeger(L, 2);
	int64_t deadline = rl_lua_deadline(L, h, 3);
	struct rl_task *t = rl_lua_check_park(L, h);
	unsigned index, offer;
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	if (deadline == 0)
		return rl_lua_fail(L, -ETIMEDOUT);
	luaL_checkstack(L, 2 * n + 2, "too many cases");
	if (n > 1 && rl_wait_reserve(t, (unsigned)n - 1) < 0)
		return luaL_error(L, "not enough memory");
	for (int i = 0; i < n; i++) {
		struct rl_waitq *q = select_case(L, i, &index, &offer);
		if (i == 0)
			rl_wait_add(t, q, index, offer);
		else
			rl_wait_add_more(t, q, index, offer);
	}
	rl_wait_park(&h->shard, t, RL_REASON_SELECT, deadline);
	return lua_yield(L, lua_gettop(L));
}

static const luaL_Reg functions[] = {
	{"waitq", lwait_new},
	{"wait", lwait_wait},
	{"offer", lwait_offer},
	{"wake", lwait_wake},
	{"wake_all", lwait_wake_all},
	{"take", lwait_take},
	{"fail_offers", lwait_fail_offers},
	{"waiting", lwait_waiting},
	{"own", lwait_own},
	{"wait_any", lwait_any},
	{NULL, NULL},
};

void rl_lua_open_wait(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
