/* SPDX-License-Identifier: MIT */
/*
 * siphash: SipHash-1-3, a hash of bytes under a secret key, for tables whose keys a stranger may
 * choose (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
 */
#ifndef RL_BASE_SIPHASH_H
#define RL_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rl_siphash(const void *data, size_t len, const uint64_t key[2]);

#endif
