/* SPDX-License-Identifier: MIT */
/* base64: RFC 4648 section 4, with padding; strict when it reads. */
#ifndef RL_BASE_BASE64_H
#define RL_BASE_BASE64_H

#include <stddef.h>

/* How many characters encode that many bytes. */
#define RL_BASE64_LEN(bytes) (((bytes) + 2) / 3 * 4)

/* Write RL_BASE64_LEN(len) characters, without a NUL; gives how many. */
size_t rl_base64_encode(const void *data, size_t len, char *out);

/* Bytes into `out`, which has room for len / 4 * 3; gives how many, or -1: characters that do not
 * belong there, a length that cannot be, or bits behind the last byte that are not 0. */
long rl_base64_decode(const char *text, size_t len, void *out);

#endif
