/* SPDX-License-Identifier: MIT */
/*
 * lprogram: programs: trying them out, what the kernel counts of them, and loading plain
 * instructions, which is how it is found out what this machine allows.
 */
#include "bpf/lbpf.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES_MAX 100
#define OUT_MAX (1u << 20) /* bytes that a program may leave of a packet */

/* object, name -> descriptor, which is the object's | nil, code */
static int lprogram_fd(lua_State *L)
{
	struct rl_bpf_object *of = rl_bpf_check_object(L, 1);
	const struct bpf_program *p = rl_bpf_program(L, of, 2);
	int fd = p ? bpf_program__fd(p) : -ENOENT;
	if (fd < 0)
		return rl_bpf_fail(L, fd);
	lua_pushinteger(L, fd);
	return 1;
}

/* A signal, such as that of preemption, ends many runs early: once more, then. */
static int run(int fd, struct bpf_test_run_opts *opts)
{
	__u32 data_room = opts->data_size_out, ctx_room = opts->ctx_size_out;
	int err = -EINTR;
	for (int i = 0; err == -EINTR && i < TRIES_MAX; i++) {
		opts->data_size_out = data_room;
		opts->ctx_size_out = ctx_room;
		err = bpf_prog_test_run_opts(fd, opts) < 0 ? -errno : 0;
	}
	return err;
}

/* descriptor, data | nil, context | nil, times, CPU | nil -> retval, data, ns each, context | nil,
 * code */
static int lprogram_run(lua_State *L)
{
	int fd = rl_bpf_fd(L, 1);
	size_t data_len = 0, ctx_len = 0;
	const char *data = luaL_optlstring(L, 2, NULL, &data_len);
	const char *ctx = luaL_optlstring(L, 3, NULL, &ctx_len);
	if (data_len > OUT_MAX || ctx_len > OUT_MAX)
		return rl_bpf_fail(L, -E2BIG);
	size_t room = data ? data_len + 4096 : 0;
	struct bpf_test_run_opts opts = {.sz = sizeof opts, .data_in = data,
		.data_size_in = (__u32)data_len,
		.ctx_in = ctx, .ctx_size_in = (__u32)ctx_len, .repeat = (int)luaL_checknumber(L, 4)};
	if (!lua_isnoneornil(L, 5)) {
		opts.flags = BPF_F_TEST_RUN_ON_CPU;
		opts.cpu = (__u32)luaL_checknumber(L, 5);
	}
	if (data) {
		opts.data_out = lua_newuserdata(L, room);
		opts.data_size_out = (__u32)room;
	}
	if (ctx) {
		opts.ctx_out = lua_newuserdata(L, ctx_len + 1);
		opts.ctx_size_out = (__u32)ctx_len;
	}
	int err = run(fd, &opts);
	if (err < 0)
		return rl_bpf_fail(L, err);
	lua_pushinteger(L, (lua_Integer)(int32_t)opts.retval);
	lua_pushlstring(L, data ? opts.data_out : "", data ? opts.data_size_out : 0);
	lua_pushinteger(L, (lua_Integer)opts.duration);
	if (ctx)
		lua_pushlstring(L, opts.ctx_out, opts.ctx_size_out);
	else
		lua_pushnil(L);
	return 4;
}

/* descriptor -> {id=, type=, runs=, ns=, missed=, jited=, instructions=} | nil, code */
static int lprogram_info(lua_State *L)
{
	struct bpf_prog_info info;
	__u32 len = sizeof info;
	memset(&info, 0, sizeof info);
	if (bpf_obj_get_info_by_fd(rl_bpf_fd(L, 1), &info, &len) < 0)
		return rl_bpf_fail(L, -errno);
	lua_newtable(L);
	rl_bpf_field(L, "id", info.id);
	rl_bpf_field(L, "type", info.type);
	rl_bpf_field(L, "runs", (lua_Integer)info.run_cnt);
	rl_bpf_field(L, "ns", (lua_Integer)info.run_time_ns);
	rl_bpf_field(L, "missed", (lua_Integer)info.recursion_misses);
	rl_bpf_field(L, "jited", info.jited_prog_len);
	rl_bpf_field(L, "instructions", info.xlated_prog_len / 8);
	return 1;
}

/* count() -> descriptor that keeps the kernel counting runs of programs | nil, code */
static int lprogram_count(lua_State *L)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (fd < 0)
		return rl_bpf_fail(L, -errno);
	lua_pushinteger(L, fd);
	return 1;
}

/* descriptor: one that the caller owns */
static int lprogram_close_fd(lua_State *L)
{
	return rl_bpf_done(L, close(rl_bpf_fd(L, 1)) < 0 ? -errno : 0);
}

/* type, instructions as bytes, attach type, id in the kernel's BTF -> descriptor | nil, code */
static int lprogram_try(lua_State *L)
{
	size_t len;
	enum bpf_prog_type type = (enum bpf_prog_type)luaL_checknumber(L, 1);
	const char *bytes = luaL_checklstring(L, 2, &len);
	struct bpf_prog_load_opts opts = {.sz = sizeof opts,
		.expected_attach_type = (enum bpf_attach_type)luaL_optnumber(L, 3, 0),
		.attach_btf_id = (__u32)luaL_optnumber(L, 4, 0)};
	sigset_t all, old; /* a signal that waits would end the load */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int fd = bpf_prog_load(type, "rl_probe", "Dual MIT/GPL", (const struct bpf_insn *)bytes,
		len / sizeof(struct bpf_insn), &opts), err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (fd < 0)
		return rl_bpf_fail(L, -err);
	lua_pushinteger(L, fd);
	return 1;
}

/* type, bytes of keys, of values, entries, flags -> descriptor | nil, code */
static int lprogram_try_map(lua_State *L)
{
	struct bpf_map_create_opts opts = {.sz = sizeof opts,
		.map_flags = (__u32)luaL_checknumber(L, 5)};
	int fd = bpf_map_create((enum bpf_map_type)luaL_checknumber(L, 1), "rl_probe",
		(__u32)luaL_checknumber(L, 2), (__u32)luaL_checknumber(L, 3),
		(__u32)luaL_checknumber(L, 4), &opts);
	if (fd < 0)
		return rl_bpf_fail(L, -errno);
	lua_pushinteger(L, fd);
	return 1;
}

/* list of names -> list of their ids as functions or types in the kernel's BTF (0: none) | nil,
 * code. Names of functions end in (). Reads all of it: some milliseconds. */
static int lprogram_kernel_ids(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	int n = (int)rl_rawlen(L, 1);
	int *ids = lua_newuserdata(L, sizeof *ids * (size_t)(n + 1));
	for (int i = 0; i < n; i++) {
		lua_rawgeti(L, 1, i + 1);
		luaL_checkstring(L, -1);
		lua_pop(L, 1);
	}
	struct btf *btf = btf__load_vmlinux_btf();
	if (!btf)
		return rl_bpf_fail(L, errno ? -errno : -ENOENT);
	for (int i = 0; i < n; i++) {
		char name[128] = "";
		size_t len;
		lua_rawgeti(L, 1, i + 1);
		const char *text = lua_tolstring(L, -1, &len);
		bool is_function = len > 2 && strcmp(text + len - 2, "()") == 0;
		len -= is_function ? 2 : 0;
		memcpy(name, text, len < sizeof name ? len : sizeof name - 1);
		ids[i] = btf__find_by_name_kind(btf, name, is_function ? BTF_KIND_FUNC : BTF_KIND_TYPEDEF);
		lua_pop(L, 1);
	}
	btf__free(btf);
	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		lua_pushinteger(L, ids[i] > 0 ? ids[i] : 0);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static const luaL_Reg functions[] = {
	{"program_fd", lprogram_fd},
	{"program_run", lprogram_run},
	{"program_info", lprogram_info},
	{"count", lprogram_count},
	{"close_fd", lprogram_close_fd},
	{"try_program", lprogram_try},
	{"try_map", lprogram_try_map},
	{"kernel_ids", lprogram_kernel_ids},
	{NULL, NULL},
};

void rl_bpf_open_program(lua_State *L)
{
	rl_bpf_register(L, functions);
}
