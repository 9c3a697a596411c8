/* SPDX-License-Identifier: MIT */
/*
 * utf8: is this UTF-8 (RFC 3629)? The text may come in pieces, cut anywhere; what cannot become
 * UTF-8 any more is told at once. Overlong forms, surrogates and what lies above U+10FFFF are not.
 */
#ifndef RL_BASE_UTF8_H
#define RL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far a text has come. All zeros is its beginning. */
struct rl_utf8 {
	uint8_t need;      /* bytes that the character under way still needs */
	uint8_t low, high; /* between which the next one must be */
};

/* Go on with these bytes. False: it is not UTF-8, whatever follows. */
bool rl_utf8_feed(struct rl_utf8 *u, const char *data, size_t len);

/* May the text end here? */
static inline bool rl_utf8_is_done(const struct rl_utf8 *u)
{
	return u->need == 0;
}

/* All of a text. */
bool rl_utf8_is_valid(const char *data, size_t len);

#endif
