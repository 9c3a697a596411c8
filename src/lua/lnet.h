/* SPDX-License-Identifier: MIT */
/*
 * lnet: what the binding files of the network share: the classes and their checked ways back.
 *
 * Functions are closures over two values: the shard, as everywhere, and a `struct rl_lnet`. Most
 * are called by thin wrappers in lua/ringlet/net.lua, so misuse is blamed on the caller's caller.
 */
#ifndef RL_LUA_LNET_H
#define RL_LUA_LNET_H

#include "lua/lshard.h"
#include "rt/listener.h"
#include "rt/net.h"
#include "rt/stream.h"

/* What a connection's userdata holds: the address of its stream, NULL when it is over, with a mark
 * in the upper bits, which no address of a process has. It says at the cost of a comparison that
 * this is a connection, and at 8 bytes the userdata, of which there are many, is one of 64. */
struct rl_conn {
	struct rl_stream *marked;
};

#define RL_CONN_SHIFT 48
#define RL_CONN_MARK ((uintptr_t)0xc044 << RL_CONN_SHIFT)

static inline void rl_conn_set(struct rl_conn *c, struct rl_stream *s)
{
	c->marked = (struct rl_stream *)((uintptr_t)s | RL_CONN_MARK);
}

static inline bool rl_conn_is_marked(const struct rl_conn *c)
{
	return (uintptr_t)c->marked >> RL_CONN_SHIFT == RL_CONN_MARK >> RL_CONN_SHIFT;
}

/* NULL when it is over. */
static inline struct rl_stream *rl_conn_stream(const struct rl_conn *c)
{
	return c->marked ? (struct rl_stream *)((uintptr_t)c->marked & ~RL_CONN_MARK) : NULL;
}

struct rl_lnet {
	struct rl_lua *shard;
	/* Metatables, as lua_topointer shows them; the registry holds them. */
	const void *listener_class, *dial_class, *resolve_class, *crew_class, *serve_class;
	const void *content_class;
	char *scratch;           /* to join pieces in */
	size_t scratch_size;
};

static inline struct rl_lnet *rl_lnet_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(2));
}

/* Raise a message at the position of the wrapper's caller. */
int rl_lnet_raise(lua_State *L, const char *message);

/* Register functions with both upvalues in the table on top. */
void rl_lnet_register(lua_State *L, struct rl_lnet *n, const luaL_Reg *regs);

/* The handle (a pointer variable) of a class at `arg`; raises "<what> expected". */
void **rl_lnet_handle(lua_State *L, const void *class, int arg, const char *what);

/* The stream of the connection at `arg`, or NULL when it is over; raises unless it is one. */
static inline struct rl_stream *rl_lnet_conn(lua_State *L, int arg)
{
	const struct rl_conn *c = lua_touserdata(L, arg);
	if (c && rl_rawlen(L, arg) == sizeof *c && (rl_conn_is_marked(c) || !c->marked))
		return rl_conn_stream(c);
	rl_lnet_handle(L, NULL, arg, "conn");
	return NULL;
}

/* The shard's net; raises outside run or without memory. */
struct rl_net *rl_lnet_net(lua_State *L, struct rl_lnet *n);

/* A closed connection handle on top of the stack; and put a stream around a descriptor into it:
 * 0, or -ENOMEM, in which case the descriptor is closed. */
struct rl_conn *rl_lnet_new_conn(lua_State *L);
int rl_lnet_adopt(struct rl_net *net, struct rl_conn *c, int fd);

/* A timeout at `arg`, as rl_lua_deadline. */
int64_t rl_lnet_deadline(lua_State *L, int arg);

/* Absolute deadline, a number of ns from rl_net_until, at `arg`; nil: never. */
int64_t rl_lnet_due(lua_State *L, int arg);

/* A number of bytes at `arg`; nothing there is `missing`, unless that is 0. */
uint32_t rl_lnet_count(lua_State *L, int arg, uint32_t missing, const char *what);

/* Park the reader of a stream until `need` bytes are there, or it ends; up to `most` may come to be
 * needed. For a read that may park several times: at `timeout` is its timeout, behind it whether it
 * parked before; its deadline is kept with the stream. */
int rl_lread_park(lua_State *L, struct rl_stream *s, uint32_t need, uint32_t most, int timeout);

struct rl_content;

/* The handle of the open file at `arg`; raises unless it is one. */
struct rl_content **rl_lnet_content(lua_State *L, int arg);

/* What ws_recv is given when it was woken, as `give` of a struct rl_lua. */
int rl_lws_give(struct rl_lua *h, struct rl_task *t);

/* lclassify.c, lspread.c, lconn.c, lread.c, lcontent.c, lhttp.c and lws.c: add their functions to
 * the core table on top. */
void rl_lnet_open_content(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_read(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_http(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_ws(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_spread(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_conn(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_unix(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_classify(lua_State *L, struct rl_lnet *n);
void rl_lnet_open_fd(lua_State *L, struct rl_lnet *n);

#endif
