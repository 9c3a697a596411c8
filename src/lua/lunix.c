/* SPDX-License-Identifier: MIT */
/* lunix: what Unix sockets have and others do not: files, and peers with a name. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include "lua/lnet.h"

#include "base/err.h"
#include "os/sockfile.h"

#include <sys/socket.h>
#include <unistd.h>

/* path: of a Unix socket that nobody listens on. The world of sim has no files. */
static int lunix_unlink(lua_State *L)
{
	struct rl_sockfile file;
	int err = rl_sockfile_note(&file, luaL_checkstring(L, 1));
	if (err == 0)
		err = rl_sockfile_remove(&file);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* path, [make it if it is not there]: true, if only this user and root may change what is in it */
static int lunix_private_dir(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int err = lua_toboolean(L, 2) ? rl_sockfile_make_dir(path) : 0;
	if (err == 0)
		err = rl_sockfile_check_dir(path);
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* conn -> pid, uid, gid of the process at the other end of a Unix socket | nil, code */
static int lunix_credentials(lua_State *L)
{
	struct rl_stream *s = rl_lnet_conn(L, 1);
	struct ucred cred = {0};
	socklen_t len = sizeof cred;
	if (!s || (s->flags & RL_STREAM_CLOSED))
		return rl_lua_fail(L, -RL_ECLOSED);
	struct rl_os *os = s->net->os;
	int err = os->ops->getsockopt(os, s->op.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (err == 0 && cred.pid == 0)
		err = -EOPNOTSUPP;
	if (err < 0)
		return rl_lua_fail(L, err);
	lua_pushinteger(L, cred.pid);
	lua_pushinteger(L, (lua_Integer)cred.uid);
	lua_pushinteger(L, (lua_Integer)cred.gid);
	return 3;
}

/* -> the user that this process acts as */
static int lunix_user(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)geteuid());
	return 1;
}

static const luaL_Reg functions[] = {
	{"net_unlink", lunix_unlink},
	{"net_private_dir", lunix_private_dir},
	{"conn_credentials", lunix_credentials},
	{"user", lunix_user},
	{NULL, NULL},
};

void rl_lnet_open_unix(lua_State *L, struct rl_lnet *n)
{
	rl_lnet_register(L, n, functions);
}
