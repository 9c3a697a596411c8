/* SPDX-License-Identifier: MIT */
/*
 * lprobe: what this kernel, and whoever confines this process, allows, for `ringlet doctor`.
 */
#include "lua/lshard.h"
#include "os/probe.h"

#define FINDINGS_MAX 32

/* probe() -> {{name=, ok=, detail=}, ...} */
static int lprobe_probe(lua_State *L)
{
	struct rl_probe found[FINDINGS_MAX];
	unsigned n = rl_probe_run(found, FINDINGS_MAX);
	lua_createtable(L, (int)n, 0);
	for (unsigned i = 0; i < n && i < FINDINGS_MAX; i++) {
		lua_createtable(L, 0, 3);
		lua_pushstring(L, found[i].name);
		lua_setfield(L, -2, "name");
		lua_pushboolean(L, found[i].ok);
		lua_setfield(L, -2, "ok");
		lua_pushstring(L, found[i].detail);
		lua_setfield(L, -2, "detail");
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

static const luaL_Reg functions[] = {
	{"probe", lprobe_probe},
	{NULL, NULL},
};

void rl_lua_open_probe(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
