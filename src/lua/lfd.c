/* SPDX-License-Identifier: MIT */
/*
 * lfd: descriptors that are not ours alone: telling others one of ours (net_fd), and watching one
 * of theirs until it can be read (poll_*), which is how ring buffers of BPF wake tasks.
 *
 * A poll is armed for one time: when the descriptor is readable a function is called in the loop;
 * it must not park. While armed it holds the function, not longer.
 *
 * Invariants: the memory of a poll, and its own duplicate of the descriptor, live until its op is
 * out of the seam's hands; the handle is a pointer to it, NULL once the run is over.
 */
#include "lua/lnet.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/poll.h>
#include <unistd.h>

#define POLL "ringlet.poll"

struct poll {
	struct rl_net_item item;
	struct rl_op op;
	struct rl_net *net;
	struct rl_lua *shard;
	struct poll **handle; /* NULL: nobody wants it any more */
	int fn_ref;           /* LUA_NOREF: not armed */
};

/* listener or conn -> descriptor, which stays its own | nil, code (-EOPNOTSUPP: a simulated one) */
static int lfd_net_fd(lua_State *L)
{
	const struct rl_lnet *n = rl_lnet_of(L);
	const struct rl_os *os = n->shard->shard.os;
	int fd = -RL_ECLOSED;
	bool is_listener = lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1)
		&& lua_topointer(L, -1) == n->listener_class;
	if (is_listener) {
		const struct rl_listener *const *l = lua_touserdata(L, 1);
		fd = *l && !(*l)->closed ? (*l)->op.fd : -RL_ECLOSED;
	} else {
		const struct rl_stream *s = rl_lnet_conn(L, 1);
		fd = s && !(s->flags & RL_STREAM_CLOSED) ? s->op.fd : -RL_ECLOSED;
	}
	if (fd >= 0 && os && os->closed_world)
		fd = -EOPNOTSUPP;
	if (fd < 0)
		return rl_lua_fail(L, fd);
	lua_pushinteger(L, fd);
	return 1;
}

static void disarm(struct poll *p)
{
	luaL_unref(p->shard->main, LUA_REGISTRYINDEX, p->fn_ref);
	p->fn_ref = LUA_NOREF;
	if (p->op.in_flight)
		rl_os_cancel(p->net->os, &p->op);
}

static void poll_free(struct poll *p)
{
	rl_list_remove(&p->item.link);
	--*p->net->handles;
	close(p->op.fd); /* the seam may be closed by now */
	free(p);
}

static int submit(struct poll *p)
{
	p->op.events = POLLIN;
	return rl_os_submit(p->net->os, &p->op);
}

static void call(struct poll *p, int res)
{
	lua_State *L = p->shard->main;
	lua_rawgeti(L, LUA_REGISTRYINDEX, p->fn_ref);
	luaL_unref(L, LUA_REGISTRYINDEX, p->fn_ref);
	p->fn_ref = LUA_NOREF;
	if (res < 0)
		lua_pushinteger(L, res);
	else
		lua_pushnil(L);
	if (lua_pcall(L, 1, 0, 0) != 0)
		lua_pop(L, 1);
}

static void poll_done(struct rl_op *op, int res, uint32_t flags)
{
	struct poll *p = rl_container(op, struct poll, op);
	(void)flags;
	if (p->net->stopping)
		return;
	if (!p->handle) {
		poll_free(p);
		return;
	}
	if (p->fn_ref == LUA_NOREF)
		return;
	if (res == -ECANCELED) /* it was disarmed, and has been armed again */
		res = submit(p);
	if (!op->in_flight)
		call(p, res);
}

/* Nobody wants it: freed when it is out of the seam's hands. */
static void disown(struct poll *p)
{
	p->handle = NULL;
	disarm(p);
	if (!p->op.in_flight)
		poll_free(p);
}

static void item_stop(struct rl_net_item *item)
{
	disarm(rl_container(item, struct poll, item));
}

static void item_drop(struct rl_net_item *item, bool keep)
{
	struct poll *p = rl_container(item, struct poll, item);
	if (p->handle)
		*p->handle = NULL;
	p->handle = NULL;
	if (!keep)
		poll_free(p);
}

static struct poll **check_poll(lua_State *L)
{
	return luaL_checkudata(L, 1, POLL);
}

/* descriptor -> poll, of a duplicate of it | nil, code */
static int lfd_poll_new(lua_State *L)
{
	struct rl_lnet *n = rl_lnet_of(L);
	struct rl_net *net = rl_lnet_net(L, n);
	int from = (int)luaL_checkinteger(L, 1);
	if (net->os->closed_world)
		return rl_lua_fail(L, -EOPNOTSUPP);
	struct poll **handle = lua_newuserdata(L, sizeof *handle), *p = calloc(1, sizeof *p);
	*handle = NULL;
	luaL_getmetatable(L, POLL);
	lua_setmetatable(L, -2);
	int fd = p ? fcntl(from, F_DUPFD_CLOEXEC, 3) : -1;
	if (fd < 0) {
		int err = p ? -errno : -ENOMEM;
		free(p);
		return rl_lua_fail(L, err);
	}
	p->net = net;
	p->shard = n->shard;
	p->handle = handle;
	p->fn_ref = LUA_NOREF;
	p->op = (struct rl_op){.done = poll_done, .fd = fd, .kind = RL_OP_POLL};
	rl_list_init(&p->op.link);
	p->item.stop = item_stop;
	p->item.drop = item_drop;
	rl_list_init(&p->item.link);
	rl_net_add(net, &p->item);
	++*net->handles;
	*handle = p;
	return 1;
}

/* poll, fn -> true: fn(nil), or fn(code), is called in the loop when it can be read | nil, code:
 * -RL_ECLOSED, the run in which it was made is over */
static int lfd_poll_arm(lua_State *L)
{
	struct poll *p = *check_poll(L);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	if (!p || p->net->stopping)
		return rl_lua_fail(L, -RL_ECLOSED);
	int ref = luaL_ref(L, LUA_REGISTRYINDEX);
	luaL_unref(L, LUA_REGISTRYINDEX, p->fn_ref);
	p->fn_ref = ref;
	if (!p->op.in_flight) {
		int err = submit(p);
		if (err < 0) {
			luaL_unref(L, LUA_REGISTRYINDEX, p->fn_ref);
			p->fn_ref = LUA_NOREF;
			return rl_lua_fail(L, err);
		}
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* poll: fn is not called any more, until it is armed again */
static int lfd_poll_disarm(lua_State *L)
{
	struct poll *p = *check_poll(L);
	if (p)
		disarm(p);
	return 0;
}

/* poll: closed */
static int lfd_poll_close(lua_State *L)
{
	struct poll **handle = check_poll(L);
	if (*handle)
		disown(*handle);
	*handle = NULL;
	return 0;
}

static const luaL_Reg functions[] = {
	{"net_fd", lfd_net_fd},
	{"poll_new", lfd_poll_new},
	{"poll_arm", lfd_poll_arm},
	{"poll_disarm", lfd_poll_disarm},
	{"poll_close", lfd_poll_close},
	{NULL, NULL},
};

static const luaL_Reg poll_methods[] = {{"__gc", lfd_poll_close}, {NULL, NULL}};

void rl_lnet_open_fd(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
	luaL_newmetatable(L, POLL);
	rl_lnet_register(L, n, poll_methods);
	lua_pop(L, 1);
}
