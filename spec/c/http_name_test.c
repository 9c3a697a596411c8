/* SPDX-License-Identifier: MIT */
/* http_name: every known name is found in any case, and nothing else is. */
#include "base/http_name.h"

#include "check.h"

#include <ctype.h>

TEST(known_names_are_found)
{
	for (unsigned id = 1; id < RL_FIELD_COUNT; id++) {
		const char *name = rl_http_name_text(id);
		char upper[64] = "", mixed[64] = "";
		size_t len = strlen(name);
		for (size_t i = 0; i < len; i++) {
			upper[i] = (char)toupper(name[i]);
			mixed[i] = i == 0 || name[i - 1] == '-' ? upper[i] : name[i];
		}
		CHECK_EQ(rl_http_name_find(name, len), id);
		CHECK_EQ(rl_http_name_find(upper, len), id);
		CHECK_EQ(rl_http_name_find(mixed, len), id);
		CHECK_EQ(rl_http_name_find(name, len - 1), RL_FIELD_OTHER);
	}
}

TEST(other_names_are_not)
{
	static const char *const names[] = {
		"", "h", "hosts", "hest", "x-host", "content_length", "content-lengthx",
		"transfer-encodinG-", "x", "content-lengtg",
	};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		CHECK_EQ(rl_http_name_find(names[i], strlen(names[i])), RL_FIELD_OTHER);
	CHECK(strcmp(rl_http_name_text(RL_FIELD_OTHER), "") == 0);
	CHECK(strcmp(rl_http_name_text(RL_FIELD_COUNT), "") == 0);
}

/* One letter changed: it is another name. */
TEST(neighbours_are_not)
{
	for (unsigned id = 1; id < RL_FIELD_COUNT; id++) {
		char name[64];
		strcpy(name, rl_http_name_text(id));
		for (size_t i = 0; name[i]; i++) {
			char was = name[i];
			name[i] = '_';
			CHECK_EQ(rl_http_name_find(name, strlen(name)), RL_FIELD_OTHER);
			name[i] = was;
		}
	}
}

int main(void)
{
	RUN(known_names_are_found);
	RUN(other_names_are_not);
	RUN(neighbours_are_not);
	return FINISH();
}
