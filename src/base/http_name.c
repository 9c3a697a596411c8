/* SPDX-License-Identifier: MIT */
/*
 * http_name: a name is found by its length, its first and its last letter.
 *
 * Invariant: no two names have the same key. The compiler warns of two initialisers of one slot
 * if a new name breaks this; other factors in KEY, or a larger table, help.
 */
#include "base/http_name.h"

#include "base/http_char.h"

#define KEYS 256
#define KEY(len, first, last) (((len) + 16 * (first) + 9 * (last)) % KEYS)

struct name {
	uint8_t len;
	char text[31];
};

#define ROW(id, name, first, last) [RL_FIELD_##id] = { sizeof name - 1, name },

static const struct name names[RL_FIELD_COUNT] = {
	RL_HTTP_NAMES(ROW)
};

#define SLOT(id, name, first, last) [KEY(sizeof name - 1, first, last)] = RL_FIELD_##id,

static const uint8_t slots[KEYS] = {
	RL_HTTP_NAMES(SLOT)
};

unsigned rl_http_name_find(const char *name, size_t len)
{
	const unsigned char *p = (const unsigned char *)name;
	if (len == 0)
		return RL_FIELD_OTHER;
	unsigned id = slots[KEY(len, p[0] | 0x20u, p[len - 1] | 0x20u)];
	if (names[id].len != len || !rl_http_same(p, names[id].text, len))
		return RL_FIELD_OTHER;
	return id;
}

const char *rl_http_name_text(unsigned id)
{
	return id < RL_FIELD_COUNT ? names[id].text : "";
}
