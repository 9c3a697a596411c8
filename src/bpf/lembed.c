/* SPDX-License-Identifier: MIT */
/*
 * lembed: the objects of bpf/, compiled and stripped, in this library: `make bpf` makes them,
 * building the library needs no clang. The assembler reads them, from the root of the tree.
 */
#include "bpf/lbpf.h"

#include <string.h>

/* 16: what a reader of ELF wants of the first byte. */
#define EMBED(name) \
	extern const char name##_begin[], name##_end[]; \
	__asm__(".pushsection .rodata\n" \
		".balign 16\n" \
		#name "_begin:\n" \
		".incbin \"bpf/" #name ".bpf.o\"\n" \
		#name "_end:\n" \
		".byte 0\n" \
		".popsection\n");

#define ROW(name) {#name, name##_begin, name##_end}

EMBED(metrics)
EMBED(steer)
EMBED(steer_where)
EMBED(wakeup)
EMBED(wakeup_dev)

static const struct {
	const char *name, *begin, *end;
} objects[] = {
	ROW(metrics),
	ROW(steer),
	ROW(steer_where),
	ROW(wakeup),
	ROW(wakeup_dev),
	{NULL, NULL, NULL},
};

/* name -> bytes | nil: there is no such object */
static int lembed_object(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	for (int i = 0; objects[i].name; i++) {
		if (strcmp(objects[i].name, name) == 0) {
			lua_pushlstring(L, objects[i].begin, (size_t)(objects[i].end - objects[i].begin));
			return 1;
		}
	}
	return 0;
}

static const luaL_Reg functions[] = {
	{"object", lembed_object},
	{NULL, NULL},
};

void rl_bpf_open_embedded(lua_State *L)
{
	rl_bpf_register(L, functions);
}
