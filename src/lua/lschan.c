/* SPDX-License-Identifier: MIT */
/*
 * lschan: shared channels from Lua. Each operation is one call: numbers, booleans and texts go
 * straight between the stack and the channel, the rest by way of the codec.
 *
 * lua/ringlet/shared_chan.lua adds the methods to the class made here, whose metatable is known by
 * its address.
 */
#include "lua/lschan.h"

#include "base/err.h"
#include "lua/lcodec.h"
#include "lua/lticket.h"

#include <string.h>

static struct rl_schan *check_schan(lua_State *L, struct rl_lua *h, int arg)
{
	if (!rl_shard_is_home(&h->shard))
		rl_lua_misuse(L, h, "this process is a fork of the one that made the channel: it cannot "
			"use it"); /* its lock may be held by a thread that is not here */
	struct rl_schan **u = lua_touserdata(L, arg);
	if (u && lua_getmetatable(L, arg)) {
		struct rl_schan *c = lua_topointer(L, -1) == h->schan_class ? *u : NULL;
		lua_pop(L, 1);
		if (c)
			return c;
	}
	rl_lua_misuse(L, h, "channel expected");
}

static void set_text(struct rl_schan_item *item, const char *text, size_t len)
{
	item->value.kind = RL_VALUE_TEXT;
	item->value.len = (uint8_t)len;
	memcpy(len > RL_VALUE_TEXT_MAX ? item->text : item->value.text, text, len);
}

/* The value at `index` as the channel takes it. Raises what cannot travel. */
static void to_item(lua_State *L, struct rl_lua *h, struct rl_schan *c, int index,
	struct rl_schan_item *item)
{
	size_t len;
	const char *text;
	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		item->value.kind = lua_toboolean(L, index) ? RL_VALUE_TRUE : RL_VALUE_FALSE;
		return;
	case LUA_TNUMBER:
		if (rl_is_integer(L, index)) {
			item->value.kind = RL_VALUE_INTEGER;
			item->value.integer = (int64_t)lua_tointeger(L, index);
		} else {
			item->value.kind = RL_VALUE_NUMBER;
			item->value.number = lua_tonumber(L, index);
		}
		return;
	case LUA_TSTRING:
		text = lua_tolstring(L, index, &len);
		if (len <= RL_VALUE_TEXT_MAX || (len <= RL_SCHAN_TEXT_MAX && len <= rl_schan_text_max(c))) {
			set_text(item, text, len);
			return;
		}
		break;
	default:
		break;
	}
	rl_lua_encode(L, h, index, "value", &item->value);
}

/* schan(capacity, overflow) -> channel; checked by the caller */
static int lschan_new(lua_State *L)
{
	struct rl_schan *c = rl_schan_new((uint32_t)lua_tointeger(L, 1),
		(enum rl_schan_overflow)lua_tointeger(L, 2));
	if (!c)
		return luaL_error(L, "not enough memory");
	rl_lua_push_shared(L, rl_lua_of(L), rl_schan_shared(c));
	rl_shared_put(rl_schan_shared(c));
	return 1;
}

/* A ticket for the running task: a wait that is prepared with it may then be given up by an error,
 * and so may a value that is its waiter's. NULL: not inside a task, or no memory. */
static struct rl_ticket *open_ticket(struct rl_lua *h)
{
	struct rl_task *t = h->shard.current;
	return t ? rl_ticket_open(&h->shard, t) : NULL;
}

static int no_ticket(lua_State *L, struct rl_lua *h)
{
	rl_lua_check_park(L, h);
	return luaL_error(L, "not enough memory");
}

static int wait(lua_State *L, struct rl_lua *h, struct rl_ticket *k, unsigned reason,
	int64_t deadline)
{
	struct rl_task *t = rl_lua_check_park(L, h);
	if (t->flags & RL_TASK_CANCEL || deadline == 0) {
		rl_ticket_close(&h->shard, k);
		return deadline == 0 ? rl_lua_fail(L, -ETIMEDOUT) : rl_lua_cancelled(L, h);
	}
	struct rl_waiter *ready = rl_schan_wait(&h->shard, k);
	if (ready)
		return rl_lua_push_arrived(L, h, ready);
	rl_wait_park_shared(&h->shard, k, reason, deadline);
	return lua_yield(L, lua_gettop(L));
}

/* schan_send(ch, v, seconds|nil) -> true | nil, code. Parks while there is no room. */
static int lschan_send(lua_State *L)
{
	struct rl_schan_item item;
	struct rl_lua *h = rl_lua_of(L);
	struct rl_schan *c = check_schan(L, h, 1);
	to_item(L, h, c, 2, &item);
	int err = rl_schan_send(&h->shard, c, &item);
	if (err == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	struct rl_ticket *k = err == -EAGAIN ? open_ticket(h) : NULL;
	if (k && rl_schan_add_send(&h->shard, k, c, 0, &item))
		return wait(L, h, k, RL_REASON_SEND, rl_lua_deadline(L, h, 3));
	rl_value_drop(&item.value);
	return err == -EAGAIN ? no_ticket(L, h) : rl_lua_fail(L, err);
}

/* schan_recv(ch, seconds|nil) -> v, or what `taken` takes | nil, code. Parks while there is
 * none. */
static int lschan_recv(lua_State *L)
{
	struct rl_schan_item item;
	struct rl_lua *h = rl_lua_of(L);
	struct rl_schan *c = check_schan(L, h, 1);
	int err = rl_schan_recv(&h->shard, c, &item);
	if (err == 0) {
		rl_lua_take_value(L, h, &item.value, item.text);
		return 1;
	}
	if (err != -EAGAIN)
		return rl_lua_fail(L, err);
	struct rl_ticket *k = open_ticket(h);
	if (k && rl_schan_add_recv(&h->shard, k, c, 0))
		return wait(L, h, k, RL_REASON_RECV, rl_lua_deadline(L, h, 2));
	return no_ticket(L, h);
}

/* schan_try_send(ch, v) -> true | nil, code */
static int lschan_try_send(lua_State *L)
{
	struct rl_schan_item item;
	struct rl_lua *h = rl_lua_of(L);
	struct rl_schan *c = check_schan(L, h, 1);
	to_item(L, h, c, 2, &item);
	int err = rl_schan_send(&h->shard, c, &item);
	if (err < 0) {
		rl_value_drop(&item.value);
		return rl_lua_fail(L, err);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* schan_try_recv(ch) -> v | nil, code */
static int lschan_try_recv(lua_State *L)
{
	struct rl_schan_item item;
	struct rl_lua *h = rl_lua_of(L);
	int err = rl_schan_recv(&h->shard, check_schan(L, h, 1), &item);
	if (err < 0)
		return rl_lua_fail(L, err);
	rl_lua_take_value(L, h, &item.value, item.text);
	return 1;
}

void rl_lschan_add(lua_State *L, struct rl_lua *h, struct rl_ticket *k, int index, unsigned fired)
{
	struct rl_schan_item item;
	struct rl_schan *c = check_schan(L, h, index);
	struct rl_waiter *w;
	if (lua_isnil(L, index + 1)) {
		w = rl_schan_add_recv(&h->shard, k, c, fired);
	} else {
		to_item(L, h, c, index + 1, &item);
		w = rl_schan_add_send(&h->shard, k, c, fired, &item);
		if (!w)
			rl_value_drop(&item.value);
	}
	if (!w)
		luaL_error(L, "not enough memory");
}

/* schan_close(ch, message|nil, code|nil) -> boolean: whether it was open */
static int lschan_close(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	struct rl_schan *c = check_schan(L, h, 1);
	int err = rl_schan_close(&h->shard, c, lua_tostring(L, 2), lua_tostring(L, 3));
	lua_pushboolean(L, err == 0);
	return 1;
}

/* schan_end(ch) -> message|nil, code|nil */
static int lschan_end(lua_State *L)
{
	const char *message, *code;
	rl_schan_end(check_schan(L, rl_lua_of(L), 1), &message, &code);
	lua_pushstring(L, message);
	lua_pushstring(L, code);
	return 2;
}

/* schan_state(ch) -> length, capacity, whether it is closed, how many were dropped */
static int lschan_state(lua_State *L)
{
	struct rl_schan *c = check_schan(L, rl_lua_of(L), 1);
	lua_pushinteger(L, rl_schan_len(c));
	lua_pushinteger(L, rl_schan_capacity(c));
	lua_pushboolean(L, rl_schan_is_closed(c));
	lua_pushnumber(L, (lua_Number)rl_schan_dropped(c));
	return 4;
}

/* The fast path as LuaJIT's compiled code calls it, by address: with the userdata, which the caller
 * has checked. Nothing here touches the Lua state. Each returns what becomes of it (see schan.h),
 * and fast_recv the kind of the value above that. */
_Static_assert(RL_VALUE_NUMBER == 4 && RL_VALUE_TEXT == 5, "as in shared_chan_jit.lua");
_Static_assert(RL_SCHAN_NOT_DONE == 0 && RL_SCHAN_SETTLE == 2, "likewise");
_Static_assert(offsetof(struct rl_schan_item, text) == sizeof(struct rl_value), "likewise");

static int fast_send_number(struct rl_schan **u, double number)
{
	struct rl_schan_item item;
	item.value.kind = RL_VALUE_NUMBER;
	item.value.number = number;
	return *u ? (int)rl_schan_push(*u, &item) : RL_SCHAN_NOT_DONE;
}

static int fast_send_text(struct rl_schan **u, const char *text, size_t len)
{
	struct rl_schan_item item;
	if (!*u || (len > RL_VALUE_TEXT_MAX
		&& (len > RL_SCHAN_TEXT_MAX || len > rl_schan_text_max(*u))))
		return RL_SCHAN_NOT_DONE;
	set_text(&item, text, len);
	return (int)rl_schan_push(*u, &item);
}

static int fast_recv(struct rl_schan **u, struct rl_schan_item *item)
{
	int done = *u ? (int)rl_schan_pop(*u, item) : RL_SCHAN_NOT_DONE;
	return done | item->value.kind << 8;
}

/* schan_fast() -> the addresses of the three, and a userdata that is an item */
static int lschan_fast(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)fast_send_number);
	lua_pushlightuserdata(L, (void *)fast_send_text);
	lua_pushlightuserdata(L, (void *)fast_recv);
	memset(lua_newuserdata(L, sizeof(struct rl_schan_item)), 0, sizeof(struct rl_schan_item));
	return 4;
}

/* schan_take(item) -> the value that is in the item */
static int lschan_take(lua_State *L)
{
	struct rl_schan_item *item = lua_touserdata(L, 1);
	struct rl_value v = item->value;
	memset(&item->value, 0, sizeof item->value);
	rl_lua_take_value(L, rl_lua_of(L), &v, item->text);
	return 1;
}

/* schan_settle(ch) */
static int lschan_settle(lua_State *L)
{
	struct rl_lua *h = rl_lua_of(L);
	rl_schan_settle(&h->shard, check_schan(L, h, 1));
	return 0;
}

/* schan_class() -> the metatable of shared channels */
static int lschan_class(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, rl_schan_class.name);
	return 1;
}

static const luaL_Reg functions[] = {
	{"schan", lschan_new},
	{"schan_send", lschan_send},
	{"schan_recv", lschan_recv},
	{"schan_try_send", lschan_try_send},
	{"schan_try_recv", lschan_try_recv},
	{"schan_close", lschan_close},
	{"schan_end", lschan_end},
	{"schan_state", lschan_state},
	{"schan_class", lschan_class},
	{"schan_fast", lschan_fast},
	{"schan_take", lschan_take},
	{"schan_settle", lschan_settle},
	{NULL, NULL},
};

void rl_lua_open_schan(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
	rl_lua_shared_class(L, h, &rl_schan_class, NULL);
	h->schan_class = lua_topointer(L, -1);
	lua_pop(L, 1);
}
