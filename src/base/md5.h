/* SPDX-License-Identifier: MIT */
/*
 * md5: the message digest of RFC 1321. Long broken for signatures; here it gives the same points on
 * a hash ring as other software does.
 */
#ifndef RL_BASE_MD5_H
#define RL_BASE_MD5_H

#include <stddef.h>
#include <stdint.h>

#define RL_MD5_LEN 16

void rl_md5_digest(const void *data, size_t len, uint8_t digest[RL_MD5_LEN]);

/* The first eight bytes of the digest as a number, most significant byte first. */
uint64_t rl_md5_head(const void *data, size_t len);

#endif
