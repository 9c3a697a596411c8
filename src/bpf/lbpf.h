/* SPDX-License-Identifier: MIT */
/*
 * lbpf: what the files of src/bpf share. The library is ringlet.bpf_core, the floor on which
 * lua/ringlet/bpf*.lua stand; it needs libbpf, and nothing of the core.
 *
 * Functions give a value, or nil and a negative errno; sentences are made in Lua. Misuse raises.
 * Handles are userdata of one Lua state. What an object of libbpf owns is reached through a counted
 * `struct rl_bpf_object`, so that a handle that outlives its object finds it closed.
 */
#ifndef RL_BPF_LBPF_H
#define RL_BPF_LBPF_H

#include "lua/compat.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdint.h>

#define RL_BPF_OBJECT  "ringlet.bpf_core.object"
#define RL_BPF_MAP     "ringlet.bpf_core.map"
#define RL_BPF_AREA    "ringlet.bpf_core.area"
#define RL_BPF_LINK    "ringlet.bpf_core.link"
#define RL_BPF_RING    "ringlet.bpf_core.ring"
#define RL_BPF_NETLINK "ringlet.bpf_core.netlink"

/* Types that BTF has no number for. */
#define RL_BPF_RAW  0u          /* bytes */
#define RL_BPF_UINT UINT32_MAX  /* an unsigned integer as large as it is */

struct rl_bpf_object {
	unsigned refs;        /* handles of one Lua state */
	struct bpf_object *o; /* NULL: closed */
	bool loaded;
};

struct rl_bpf_map {
	struct rl_bpf_object *of; /* NULL: the map is not of an object */
	struct btf *own_btf;      /* then its types; NULL: none */
	int fd;                   /* our own; -1: closed */
	uint32_t type, key_size, value_size, max_entries, flags;
	uint32_t key_type, value_type;
	bool per_cpu;
};

/* nil, code */
int rl_bpf_fail(lua_State *L, int code);
/* true, or nil, code when it is negative */
int rl_bpf_done(lua_State *L, int code);
/* A new class whose __gc is `close`; and functions for the library's table, which is on top. */
void rl_bpf_class(lua_State *L, const char *name, lua_CFunction close);
void rl_bpf_register(lua_State *L, const luaL_Reg *functions);
/* A number as a field of the table on top. */
void rl_bpf_field(lua_State *L, const char *name, lua_Integer n);
/* A zeroed userdata of a class, on top. */
void *rl_bpf_new(lua_State *L, const char *name, size_t size);
/* An integer of 64 bits onto the stack, exactly; and from it: false, it is none. */
void rl_bpf_push64(lua_State *L, uint64_t v, bool is_signed);
bool rl_bpf_to64(lua_State *L, int i, uint64_t *v);
/* A number of a descriptor at `arg`. */
int rl_bpf_fd(lua_State *L, int arg);

struct rl_bpf_object *rl_bpf_get(struct rl_bpf_object *of);
void rl_bpf_put(struct rl_bpf_object *of);
/* The handle at `arg`. */
struct rl_bpf_object *rl_bpf_check_object(lua_State *L, int arg);
struct rl_bpf_map *rl_bpf_check_map(lua_State *L, int arg);
/* What its types are of; NULL: it has none. */
const struct btf *rl_bpf_map_btf(const struct rl_bpf_map *m);
/* A program of an open object by its name at `arg`; NULL: there is none. */
struct bpf_program *rl_bpf_program(lua_State *L, const struct rl_bpf_object *of, int arg);

/* Bytes of a type onto the stack as a value; deep types raise. */
void rl_bpf_decode(lua_State *L, const struct btf *btf, uint32_t type, const char *from,
	uint32_t size);
/* The value at `i` to bytes, which are zero. Raises, naming the path in `what` ("key", "value"). */
void rl_bpf_encode(lua_State *L, int i, const struct btf *btf, uint32_t type, char *to,
	uint32_t size, const char *what);

/* Why libbpf cannot be given this file, or these types; NULL: it can. */
const char *rl_bpf_check_elf(const char *bytes, size_t len);
const char *rl_bpf_check_btf(const char *bytes, size_t len);

void rl_bpf_open_object(lua_State *L);
void rl_bpf_open_global(lua_State *L);
void rl_bpf_open_map(lua_State *L);
void rl_bpf_open_area(lua_State *L);
void rl_bpf_open_process(lua_State *L);
void rl_bpf_open_clsact(lua_State *L);
void rl_bpf_open_ring(lua_State *L);
void rl_bpf_open_type(lua_State *L);
void rl_bpf_open_program(lua_State *L);
void rl_bpf_open_link(lua_State *L);
void rl_bpf_open_socket(lua_State *L);
void rl_bpf_open_embedded(lua_State *L);

#endif
