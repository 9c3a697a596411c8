/* SPDX-License-Identifier: MIT */
/*
 * lhook: the one debug hook of the library, on the coroutine of a running task: it takes a sample
 * of the stack, or makes the task give up its turn. Signal handlers arm it; it is not on a
 * coroutine that has a hook of the user's, and gone as soon as it has done what it was for.
 */
#include "lua/lprofile.h"
#include "lua/lrun.h"

/* Is the running function one of ours, or of the VM, where LuaJIT has some of the standard library
 * as bytecode, such as table.remove? Its steps belong together: the hook stays armed and fires
 * again at the next instruction, until user code runs. */
static bool in_library(lua_State *L, struct rl_lua *h, lua_Debug *ar)
{
	return lua_getinfo(L, "S", ar) && (ar->linedefined < 0 || rl_lua_is_ours(h, ar));
}

/* Sampling wants the end of the instruction or call that runs, preemption the next instruction. */
#if LUA_VERSION_NUM >= 504
#define SAMPLE_EVENTS (LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET)
#else
#define SAMPLE_EVENTS LUA_MASKCOUNT
#endif

/* The hook of a task whose stack is wanted, or that used up its slice. In the latter case: give up
 * the turn, if that can be done here. */
static void task_hook(lua_State *L, lua_Debug *ar)
{
	lua_pushlightuserdata(L, (void *)task_hook);
	lua_rawget(L, LUA_REGISTRYINDEX);
	struct rl_lua *h = lua_touserdata(L, -1);
	lua_pop(L, 1);
	if (h && h->sampled) {
		rl_profile_hooked(h, L, ar);
		if (h->preempting)
			lua_sethook(L, task_hook, LUA_MASKCOUNT, 1);
	}
	bool preempts = h && h->preempting;
	if (preempts && (ar->event != LUA_HOOKCOUNT || in_library(L, h, ar)))
		return;
	lua_sethook(L, NULL, 0, 0);
	struct rl_task *t = preempts ? h->shard.current : NULL;
	if (!t || t->co != L || h->running != L || t->state != RL_TASK_RUNNING)
		return;
	h->preempting = 0;
	if (h->pins > 0 || !lua_isyieldable(L))
		return;
	t->flags |= RL_TASK_PREEMPTED;
	h->shard.counts.preemptions++;
	lua_yield(L, 0);
}

bool rl_lua_is_hook(lua_Hook hook)
{
	return hook == task_hook;
}

void rl_lua_hook_init(lua_State *L, struct rl_lua *h)
{
	lua_pushlightuserdata(L, (void *)task_hook);
	lua_pushlightuserdata(L, h);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

/* LuaJIT's profiler puts back the events that there were before it took its sample: the hook may be
 * there without any, and is set again then. The watchdog asks every tick until it is obeyed. */
static bool is_free(lua_State *co, lua_Hook hook, bool sample)
{
	return !hook || (hook == task_hook && (sample || lua_gethookmask(co) == 0));
}

void rl_lua_run_arm(struct rl_lua *h, bool sample)
{
	lua_State *co = h->running;
	if (co && is_free(co, lua_gethook(co), sample))
		lua_sethook(co, task_hook, sample ? SAMPLE_EVENTS : LUA_MASKCOUNT, 1);
}

void rl_lua_preempt(void *self)
{
	struct rl_lua *h = self;
	h->preempting = 1;
	rl_lua_run_arm(h, false);
}

void rl_lua_run_disarm(struct rl_lua *h, lua_State *co)
{
	h->preempting = 0;
	if (!h->sampled && lua_gethook(co) == task_hook)
		lua_sethook(co, NULL, 0, 0);
}

/* gethook() -> true when the calling state has a hook (Ctrl-C of a stock interpreter sets one) */
static int lhook_hooked(lua_State *L)
{
	lua_Hook hook = lua_gethook(L);
	struct rl_lua *h = rl_lua_of(L);
	lua_pushboolean(L, h->interrupted || (hook && !rl_lua_is_hook(hook)));
	h->interrupted = false;
	return 1;
}

/* unhook(): drop the interpreter's hook */
static int lhook_unhook(lua_State *L)
{
	lua_sethook(L, NULL, 0, 0);
	return 0;
}

static const luaL_Reg functions[] = {
	{"hooked", lhook_hooked},
	{"unhook", lhook_unhook},
	{NULL, NULL},
};

void rl_lua_open_hook(lua_State *L, struct rl_lua *h)
{
	rl_lua_register(L, h, functions);
}
