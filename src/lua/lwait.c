/* SPDX-License-Identifier: MIT */
/*
 * lwait: wait queues from Lua: the one primitive on which channels, select and everything of sync
 * are written. A wait queue has two sides: tasks that wait, and tasks that wait while they offer a
 * value. A waker hands values over by putting them on the waiter's own stack; a value offered lies
 * on the stack of whoever offers it. So a parked value needs no other anchor. An unbuffered channel
 * is a wait queue and nothing else: `send` and `receive` are the whole of its operations.
 */
#include "lua/lwait.h"

#include "base/err.h"
#include "lua/lschan.h"
#include "lua/lticket.h"

static const char waitq_tag;

enum { WAIT, OFFER };

/* This many values fit on a stack that a C function has just been called on (LUA_MINSTACK), its own
 * few arguments included. */
#define HAND_SURE 4

/* The tag tells a wait queue from whatever a user called a method of ours on; where that is a
 * userdata of fewer bytes than a tag has, some of its allocator's are read. */
static struct lwaitq *check_waitq(lua_State *L, int arg)
{
	struct lwaitq *q = lua_touserdata(L, arg);
	if (!q || q->tag != &waitq_tag)
		rl_lua_misuse(L, rl_lua_of(L), "channel expected");
	return q;
}

struct lwaitq *rl_lwait_at(lua_State *L, int i)
{
	struct lwaitq *q = lua_type(L, i) == LUA_TUSERDATA ? lua_touserdata(L, i) : NULL;
	return q && rl_rawlen(L, i) >= sizeof *q && q->tag == &waitq_tag ? q : NULL;
}

void rl_lwait_init(struct lwaitq *q)
{
	q->tag = &waitq_tag;
	rl_waitq_init(&q->side[WAIT]);
	rl_waitq_init(&q->side[OFFER]);
	q->shut = false;
}

/* waitq() -> userdata */
static int lwait_new(lua_State *L)
{
	rl_lwait_init(lua_newuserdata(L, sizeof(struct lwaitq)));
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
	if (n > HAND_SURE) {
		lua_checkstack(co, n + 2);
		luaL_checkstack(L, n + 1, NULL);
	}
	if (c->index > 0 && n > 0)
		lua_pushinteger(co, c->index);
	for (int i = 0; i < n; i++)
		lua_pushvalue(L, from + i);
	lua_xmove(L, co, n);
	rl_wait_fire(&h->shard, c, n > 0 ? (unsigned)n + (c->index > 0) : 0, 0);
}

/* Give the value that `c` offers to L, and its task what a sender is told. */
static void accept_offer(lua_State *L, struct rl_lua *h, struct rl_clause *c)
{
	lua_State *co = c->task->co;
	unsigned index = c->index;
	lua_pushvalue(co, c->offer);
	lua_xmove(co, L, 1);
	if (index > 0) {
		lua_pushinteger(co, (lua_Integer)index);
		lua_pushboolean(co, 1);
	}
	rl_wait_fire(&h->shard, c, index > 0 ? 2 : 0, 0);
}

/* Hand the values from index `from` on to everybody who waits; returns how many. */
static int hand_all(lua_State *L, struct rl_lua *h, struct rl_waitq *q, int from)
{
	int n = 0;
	struct rl_clause *c = rl_waitq_first(q);
	while (c) {
		hand(L, h, c, from);
		n++;
		c = rl_waitq_first(q);
	}
	return n;
}

/* wake(q, ...) -> boolean, boolean: whether somebody waited (the longest waiter gets the values),
 * whether others still do */
static int lwait_wake(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_waitq *q = &check_waitq(L, 1)->side[WAIT];
	struct rl_clause *c = rl_waitq_first(q);
	if (c)
		hand(L, h, c, 2);
	lua_pushboolean(L, c != NULL);
	lua_pushboolean(L, !rl_list_empty(&q->waiters));
	return 2;
}

void rl_lwait_wake_all(lua_State *L, struct rl_lua *h, int index)
{
	hand_all(L, h, &check_waitq(L, index)->side[WAIT], index + 1);
}

/* rest(q, reason) -> what rouse gives | nil, code: wait as a daemon, whatever the task is else. The
 * task's backup is not needed any more. */
static int lwait_rest(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	struct rl_task *t = rl_lua_check_park(L, h);
	h->backup = NULL;
	if (!(t->flags & (RL_TASK_CANCEL | RL_TASK_DAEMON))) {
		t->flags |= RL_TASK_DAEMON;
		h->shard.daemons++;
	}
	return rl_lua_park(L, h, &q->side[WAIT], (unsigned)lua_tointeger(L, 2), -1);
}

static void undaemon(struct rl_lua *h, struct rl_task *t)
{
	if (!(t->flags & RL_TASK_DAEMON))
		return;
	t->flags &= (uint8_t)~RL_TASK_DAEMON;
	h->shard.daemons--;
}

/* rouse(q, v) -> boolean: wake who rests there, if anybody does; it is no daemon any more */
static int lwait_rouse(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_clause *c = rl_waitq_first(&check_waitq(L, 1)->side[WAIT]);
	if (c) {
		undaemon(h, c->task);
		hand(L, h, c, 2);
	}
	lua_pushboolean(L, c != NULL);
	return 1;
}

/* backup(q|nil): who rests there is roused, with true, when the running task gives up its turn. The
 * caller sees to it that the queue lives until then. */
static int lwait_backup(lua_State *L)
{
	rl_lua_of(L)->backup = lua_isnil(L, 1) ? NULL : check_waitq(L, 1);
	return 0;
}

/* backup_at(q) -> where the backup is kept, what to put there for q: for compiled code */
static int lwait_backup_at(lua_State *L)
{
	lua_pushlightuserdata(L, &rl_lua_of(L)->backup);
	lua_pushlightuserdata(L, check_waitq(L, 1));
	return 2;
}

void rl_lwait_rouse_backup(struct rl_lua *h)
{
	struct rl_clause *c = rl_waitq_first(&h->backup->side[WAIT]);
	h->backup = NULL;
	if (c) {
		undaemon(h, c->task);
		rl_wait_fire(&h->shard, c, 0, 0);
	}
}

/* wake_all(q, ...) -> how many */
static int lwait_wake_all(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	lua_pushinteger(L, hand_all(L, h, &q->side[WAIT], 2));
	return 1;
}

/* take(q) -> boolean, value, boolean: whether somebody offered (the longest offerer, who gets
 * true), what, whether others still do */
static int lwait_take(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_waitq *q = &check_waitq(L, 1)->side[OFFER];
	struct rl_clause *c = rl_waitq_first(q);
	lua_pushboolean(L, c != NULL);
	if (!c)
		return 1;
	accept_offer(L, h, c);
	lua_pushboolean(L, !rl_list_empty(&q->waiters));
	return 3;
}

/* What send and receive of a rendezvous begin with: true when the call is over, with *results. */
static bool begin_meeting(lua_State *L, struct rl_lua *h, int *results)
{
	const struct rl_task *t = h->shard.current;
	if (t && !(t->flags & RL_TASK_CANCEL))
		return false;
	rl_lua_check_park(L, h);
	*results = rl_lua_cancelled(L, h);
	return true;
}

static int end_meeting(lua_State *L)
{
	lua_pushnil(L);
	lua_pushliteral(L, "closed");
	return 2;
}

/* send(q, v, seconds|nil) -> true | nil, "closed" | nil, code: all of an unbuffered channel's send.
 * Parks unless somebody waits. */
static int lwait_send(lua_State *L)
{
	int results;
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	if (begin_meeting(L, h, &results))
		return results;
	if (q->shut)
		return end_meeting(L);
	struct rl_clause *c = rl_waitq_first(&q->side[WAIT]);
	if (c) {
		lua_settop(L, 2);
		hand(L, h, c, 2);
		lua_pushboolean(L, 1);
		return 1;
	}
	return rl_lua_park_offer(L, h, &q->side[OFFER], RL_REASON_SEND, rl_lua_deadline(L, h, 3), 2);
}

/* receive(q, seconds|nil) -> the value | nil, "closed" | nil, code: all of an unbuffered channel's
 * recv. Parks unless somebody offers. */
static int lwait_receive(lua_State *L)
{
	int results;
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	if (begin_meeting(L, h, &results))
		return results;
	struct rl_clause *c = rl_waitq_first(&q->side[OFFER]);
	if (c) {
		accept_offer(L, h, c);
		return 1;
	}
	if (q->shut)
		return end_meeting(L);
	return rl_lua_park(L, h, &q->side[WAIT], RL_REASON_RECV, rl_lua_deadline(L, h, 2));
}

/* shut(q): nobody meets here any more */
static int lwait_shut(lua_State *L)
{
	check_waitq(L, 1)->shut = true;
	return 0;
}

/* fail_offers(q, ...) -> how many: every offerer gets the values, its own value is dropped */
static int lwait_fail_offers(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct lwaitq *q = check_waitq(L, 1);
	lua_pushinteger(L, hand_all(L, h, &q->side[OFFER], 2));
	return 1;
}

/* offers(q) -> how many offer */
static int lwait_offers(lua_State *L)
{
	lua_Integer n = 0;
	const struct rl_list *head = &check_waitq(L, 1)->side[OFFER].waiters;
	for (const struct rl_list *l = head->next; l != head; l = l->next)
		n++;
	lua_pushinteger(L, n);
	return 1;
}

/* waits(q, side) -> boolean: does anybody wait (1), offer (2) */
static int lwait_waits(lua_State *L)
{
	struct lwaitq *q = check_waitq(L, 1);
	lua_pushboolean(L, !rl_list_empty(&q->side[lua_tointeger(L, 2) == 2].waiters));
	return 1;
}

static unsigned case_index(lua_State *L, int i)
{
	lua_rawgeti(L, 1, 3 * i + 1);
	unsigned index = (unsigned)lua_tointeger(L, -1);
	lua_pop(L, 1);
	return index;
}

/* Push queue i of the case list at 1, and the value offered to it, or nil; returns where. */
static int push_case(lua_State *L, int i)
{
	lua_rawgeti(L, 1, 3 * i + 2);
	lua_rawgeti(L, 1, 3 * i + 3);
	if (!lua_isnil(L, -1)) {
		lua_pushnil(L); /* the list is reused: it must not keep the value */
		lua_rawseti(L, 1, 3 * i + 3);
	}
	return lua_gettop(L) - 1;
}

/* Link the pushed case as the task's first clause, or as a further one. */
static void link_case(lua_State *L, struct rl_task *t, int at, unsigned index, bool first)
{
	struct lwaitq *q = lua_touserdata(L, at);
	bool offers = !lua_isnil(L, at + 1);
	struct rl_waitq *side = &q->side[offers ? OFFER : WAIT];
	unsigned offer = offers ? (unsigned)at + 1 : 0;
	if (first)
		rl_wait_add(t, side, index, offer);
	else
		rl_wait_add_more(t, side, index, offer);
}

static void reserve(lua_State *L, struct rl_task *t, int n)
{
	if (n > 1 && rl_wait_reserve(t, (unsigned)n - 1) < 0)
		luaL_error(L, "not enough memory");
}

/* The userdata of a shared channel begins with another address than a queue's. */
static bool is_shared(lua_State *L, int at)
{
	return *(const void **)lua_touserdata(L, at) != &waitq_tag;
}

/* wait_any of n cases, `shared` of which are shared channels. What may raise comes first. */
static int wait_shared(lua_State *L, struct rl_lua *h, int n, int shared, int64_t deadline)
{
	struct rl_task *t = h->shard.current;
	struct rl_ticket *k = rl_ticket_open(&h->shard, t);
	if (!k)
		return luaL_error(L, "not enough memory");
	int base = lua_gettop(L) + 1;
	for (int i = 0; i < n; i++) {
		int at = push_case(L, i);
		if (is_shared(L, at))
			rl_lschan_add(L, h, k, at, case_index(L, i));
	}
	reserve(L, t, n - shared);
	bool first = true;
	for (int i = 0; i < n; i++) {
		if (is_shared(L, base + 2 * i))
			continue;
		link_case(L, t, base + 2 * i, case_index(L, i), first);
		first = false;
	}
	struct rl_waiter *ready = rl_schan_wait(&h->shard, k);
	if (ready) {
		rl_wait_retract(&h->shard, t);
		return rl_lua_push_arrived(L, h, ready);
	}
	rl_wait_park_shared(&h->shard, k, RL_REASON_SELECT, deadline);
	return lua_yield(L, lua_gettop(L));
}

/* wait_any(list, n, seconds|nil, shared) -> index, what the waker gives | nil, code. Parks.
 * list: n triples index, queue or shared channel, offered value or nil; `shared`: how many are
 * shared channels; checked by the caller. */
static int lwait_any(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	int n = (int)lua_tointeger(L, 2), shared = (int)lua_tointeger(L, 4);
	int64_t deadline = rl_lua_deadline(L, h, 3);
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL)
		return rl_lua_cancelled(L, h);
	if (deadline == 0)
		return rl_lua_fail(L, -ETIMEDOUT);
	luaL_checkstack(L, 2 * n + 4, "too many cases");
	if (shared > 0)
		return wait_shared(L, h, n, shared, deadline);
	reserve(L, t, n);
	for (int i = 0; i < n; i++)
		link_case(L, t, push_case(L, i), case_index(L, i), i == 0);
	rl_wait_park(&h->shard, t, RL_REASON_SELECT, deadline);
	return lua_yield(L, lua_gettop(L));
}

static const luaL_Reg functions[] = {
	{"waitq", lwait_new},
	{"wait", lwait_wait},
	{"offer", lwait_offer},
	{"wake", lwait_wake},
	{"rest", lwait_rest},
	{"rouse", lwait_rouse},
	{"backup", lwait_backup},
	{"backup_at", lwait_backup_at},
	{"wake_all", lwait_wake_all},
	{"take", lwait_take},
	{"fail_offers", lwait_fail_offers},
	{"send", lwait_send},
	{"receive", lwait_receive},
	{"shut", lwait_shut},
	{"waits", lwait_waits},
	{"offers", lwait_offers},
	{"wait_any", lwait_any},
	{NULL, NULL},
};

void rl_lua_open_wait(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
