/* SPDX-License-Identifier: MIT */
/* cpus: ascending and each once, however they come; what is no list of CPUs is refused. */
#include "check.h"

#include "base/cpus.h"
#include "base/err.h"

/* "0 1 5" */
static const char *text_of(const struct rl_cpus *c)
{
	static char text[256];
	size_t n = 0;
	text[0] = '\0';
	for (unsigned i = 0; i < c->len; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, i ? " %u" : "%u", c->at[i]);
	return text;
}

static void check_parse(const char *list, const char *want)
{
	struct rl_cpus c = { 0 };
	CHECK_EQ(rl_cpus_parse(&c, list), 0);
	if (strcmp(text_of(&c), want) != 0)
		printf("    \"%s\" gave %s\n", list, text_of(&c));
	CHECK(strcmp(text_of(&c), want) == 0);
	rl_cpus_term(&c);
}

static void check_refused(const char *list, int want)
{
	struct rl_cpus c = { 0 };
	int err = rl_cpus_parse(&c, list);
	if (err != want)
		printf("    \"%s\"\n", list);
	CHECK_EQ(err, want);
	rl_cpus_term(&c);
}

TEST(a_set_is_sorted_and_has_each_once)
{
	static const unsigned in[] = { 5, 1, 9, 1, 0, 5, 7, 9, 0 };
	struct rl_cpus c = { 0 };
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		CHECK_EQ(rl_cpus_add(&c, in[i]), 0);
	CHECK(strcmp(text_of(&c), "0 1 5 7 9") == 0);
	rl_cpus_term(&c);
	CHECK_EQ(c.len, 0);
	rl_cpus_term(&c);
}

TEST(a_set_grows_in_both_directions)
{
	struct rl_cpus c = { 0 };
	for (unsigned i = 0; i < 1000; i++) {
		CHECK_EQ(rl_cpus_add(&c, 1000 + i), 0);
		CHECK_EQ(rl_cpus_add(&c, 999 - i), 0);
	}
	CHECK_EQ(c.len, 2000);
	for (unsigned i = 0; i < 2000; i++)
		CHECK_EQ(c.at[i], i);
	rl_cpus_term(&c);
}

TEST(numbers_have_a_limit)
{
	struct rl_cpus c = { 0 };
	CHECK_EQ(rl_cpus_add(&c, RL_CPUS_MAX - 1), 0);
	CHECK_EQ(rl_cpus_add(&c, RL_CPUS_MAX), -ERANGE);
	CHECK_EQ(c.len, 1);
	rl_cpus_term(&c);
	check_refused("0-4000000000", -ERANGE);
	check_refused("99999999999999999999999999", -ERANGE);
}

TEST(lists_are_parsed)
{
	check_parse("0", "0");
	check_parse("0-3,8,10-11\n", "0 1 2 3 8 10 11");
	check_parse("3,1-2,2", "1 2 3");
	check_parse("7-7", "7");
	check_parse(" 0 - 1 , 4\t", "0 1 4");
	check_parse("", "");
	check_parse("\n", "");
}

TEST(what_is_no_list_is_refused)
{
	static const char *const bad[] = {
		"a", "-1", "+1", "1-", "1--2", "3-1", "1,", ",1", "1,,2", "1-2-3", "1 2", "0x1", "0-7:1/2",
		"1.5",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refused(bad[i], -EINVAL);
}

int main(void)
{
	RUN(a_set_is_sorted_and_has_each_once);
	RUN(a_set_grows_in_both_directions);
	RUN(numbers_have_a_limit);
	RUN(lists_are_parsed);
	RUN(what_is_no_list_is_refused);
	return FINISH();
}
