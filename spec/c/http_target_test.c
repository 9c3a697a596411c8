/* SPDX-License-Identifier: MIT */
/* http_target: hosts, and the parts of targets. (Which form is for which method: http_corpus.h.) */
#include "base/http_target.h"

#include "check.h"

#include <stdlib.h>

static bool is_host(const char *text, size_t len, bool has_port)
{
	char *copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	bool is = rl_http_target_is_host(copy, len, has_port);
	free(copy);
	return is;
}

TEST(hosts)
{
	static const char *const good[] = {
		"a", "a.b", "A-b_c~1", "127.0.0.1", "a:", "a:1", "a:65535", "a:00080", "a%20b", "%41",
		"!$&'()*+,;=", "[::]", "[::1]", "[::1]:", "[::1]:80", "[::ffff:1.2.3.4]", "[2001:DB8::1]",
	};
	static const char *const bad[] = {
		"", ":", ":80", "a b", "a/b", "a?b", "a#b", "a@b", "a:b", "a:-1", "a: 1", "a:65536",
		"a:1:2", "a:99999999999999999999", "%", "%4", "a%4", "%4g", "%g4", "[", "[]", "[::",
		"::1", "[::1]a", "[::1]80", "[::1%25lo]", "[v1.a]", "[a", "a]", "a[", "\xc3\xa4", "a\x7f",
		"a\\b", "\"a\"",
	};
	for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
		if (!is_host(good[i], strlen(good[i]), false)) {
			printf("    refused: %s\n", good[i]);
			check_bad++;
		}
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		if (is_host(bad[i], strlen(bad[i]), false)) {
			printf("    taken: %s\n", bad[i]);
			check_bad++;
		}
	CHECK(!is_host("a\0b", 3, false));
}

TEST(hosts_with_a_port)
{
	CHECK(is_host("a:1", 3, true));
	CHECK(is_host("[::1]:65535", 11, true));
	CHECK(!is_host("a", 1, true));
	CHECK(!is_host("a:", 2, true));
	CHECK(!is_host("a:0", 3, true));
	CHECK(!is_host("[::1]", 5, true));
}

static bool split(struct rl_http_target *t, const char *text)
{
	const char *mark = strchr(text, '?');
	*t = (struct rl_http_target){ .all = { 0, (uint32_t)strlen(text) } };
	if (mark)
		t->query = (struct rl_http_span){ (uint32_t)(mark + 1 - text), (uint32_t)strlen(mark + 1) };
	return rl_http_target_split(t, text, false, false) == 0;
}

static bool is(const char *text, struct rl_http_span s, const char *want)
{
	return s.len == strlen(want) && memcmp(text + s.off, want, s.len) == 0;
}

TEST(origins)
{
	struct rl_http_target t;
	CHECK(split(&t, "/a?b"));
	CHECK_EQ(t.form, RL_TARGET_ORIGIN);
	CHECK(is("/a?b", t.path, "/a"));
	CHECK_EQ(t.authority.len, 0);
	CHECK(split(&t, "/a"));
	CHECK(is("/a", t.path, "/a"));
}

TEST(absolutes)
{
	static const char text[] = "coap+tcp://u.v:1/p//q?r://s";
	struct rl_http_target t;
	CHECK(split(&t, text));
	CHECK_EQ(t.form, RL_TARGET_ABSOLUTE);
	CHECK(is(text, t.authority, "u.v:1"));
	CHECK(is(text, t.path, "/p//q"));
	CHECK(!split(&t, "http?://a"));
	CHECK(!split(&t, "http:?//a"));
	CHECK(!split(&t, "http:/?/a"));
	CHECK(!split(&t, "http://?a"));
	CHECK(!split(&t, "http://"));
	CHECK(!split(&t, "http:"));
	CHECK(!split(&t, "http"));
	CHECK(!split(&t, "?"));
}

int main(void)
{
	RUN(hosts);
	RUN(hosts_with_a_port);
	RUN(origins);
	RUN(absolutes);
	return FINISH();
}
