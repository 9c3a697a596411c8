/* SPDX-License-Identifier: MIT */
/*
 * sha1: the digest of RFC 3174. Long broken for signatures; here it proves that a peer read the key
 * of a WebSocket handshake (RFC 6455 4.2.2), for which that does not matter.
 */
#ifndef RL_BASE_SHA1_H
#define RL_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define RL_SHA1_LEN 20

void rl_sha1_digest(const void *data, size_t len, uint8_t digest[RL_SHA1_LEN]);

#endif
