/* SPDX-License-Identifier: MIT */
/*
 * lbytecode: what the codec has to know of each VM's dumps: lbytecode_jit.c, lbytecode_54.c. Only
 * dumps that this process made are read.
 *
 * A function that is loaded from a dump has a prototype of its own: to load it for each job means
 * that a JIT compiler learns it anew each time. So a dump is put into the dump of a maker, a
 * function that makes closures: loaded once, called for each job. The maker is compiled from source
 *     function(a1, ..., an) return function() return a1, ..., an end end
 * and its inner function replaced by ours, whose n upvalues become its parameters.
 */
#ifndef RL_LUA_LBYTECODE_H
#define RL_LUA_LBYTECODE_H

#include "lua/compat.h"

#include <stddef.h>
#include <stdint.h>

/* Put the `dump` of a function into that of a `maker` for as many upvalues. `out` has room for
 * both. Returns the length, or -EINVAL for a form of dump that is not known. Sets the bit of each
 * upvalue in `assigned` that the function, or one in it, assigns. */
int64_t rl_bytecode_wrap(const char *dump, size_t len, const char *maker, size_t maker_len,
	char *out, uint8_t assigned[32]);

#endif
