/* SPDX-License-Identifier: MIT */
/* addr_test: addresses as text and back. */
#include "check.h"

#include "rt/addr.h"

#include <errno.h>

static int split(const char *text, const char *host, int port)
{
	char got[RL_ADDR_HOST_MAX] = "";
	uint16_t got_port = 0;
	int err = rl_addr_split(text, strlen(text), got, &got_port);
	if (err < 0)
		return err;
	return strcmp(got, host) == 0 && got_port == port ? 0 : 1;
}

TEST(host_and_port_are_told_apart)
{
	CHECK_EQ(split("127.0.0.1:80", "127.0.0.1", 80), 0);
	CHECK_EQ(split("[::1]:65535", "::1", 65535), 0);
	CHECK_EQ(split("[fe80::1%eth0]:1", "fe80::1%eth0", 1), 0);
	CHECK_EQ(split("localhost:0", "localhost", 0), 0);
	CHECK_EQ(split(":8080", "", 8080), 0);
}

TEST(what_is_no_address_is_refused)
{
	const char *const bad[] = {
		"", ":", "80", "host", "host:", "host:65536", "host:123456", "host:-1", "host:8o", "::1:80",
		"[::1]", "[::1]80", "[]:80", "[::1:80", "ho st:80", "ho\nst:80", "a/b:80", "host:80 ",
	};
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		int err = split(bad[i], "", 0);
		if (err != -EINVAL)
			printf("    %s\n", bad[i]);
		CHECK_EQ(err, -EINVAL);
	}
	char host[RL_ADDR_HOST_MAX];
	uint16_t port;
	CHECK_EQ(rl_addr_split("a\0b:80", 6, host, &port), -EINVAL);
	char longest[300];
	memset(longest, 'a', sizeof longest);
	memcpy(longest + sizeof longest - 3, ":80", 3);
	CHECK_EQ(rl_addr_split(longest, sizeof longest, host, &port), -EINVAL);
}

static int format(const char *host, int port, const char *want)
{
	char text[RL_ADDR_TEXT_MAX];
	struct rl_addr a;
	if (rl_addr_parse(&a, host, (uint16_t)port) < 0)
		return -1;
	int len = rl_addr_format(&a, text);
	return len == (int)strlen(text) && strcmp(text, want) == 0 ? 0 : 1;
}

TEST(addresses_are_written_as_they_are_read)
{
	CHECK_EQ(format("127.0.0.1", 80, "127.0.0.1:80"), 0);
	CHECK_EQ(format("::1", 80, "[::1]:80"), 0);
	CHECK_EQ(format("::ffff:10.0.0.1", 80, "10.0.0.1:80"), 0);
	CHECK_EQ(format("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65535,
		"[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"), 0);
	CHECK_EQ(format("localhost", 80, ""), -1);
	CHECK_EQ(format("1.2.3", 80, ""), -1);
}

TEST(unix_sockets_have_paths_and_names)
{
	struct rl_addr a;
	char host[RL_ADDR_HOST_MAX], longest[140] = "unix:/";
	uint16_t port;
	CHECK_EQ(split("unix:/run/a b:c.sock", "unix:/run/a b:c.sock", 0), 0);
	CHECK_EQ(split("unix:@name", "unix:@name", 0), 0);
	CHECK_EQ(split("unix:80", "unix", 80), 0);
	CHECK_EQ(split("unix:/", "", 0), -EINVAL);
	CHECK_EQ(split("unix:run/a", "", 0), -EINVAL);
	CHECK_EQ(rl_addr_split("unix:/a\0b", 9, host, &port), -EINVAL);
	memset(longest + 6, 'a', RL_ADDR_PATH_MAX - 1);
	CHECK_EQ(split(longest, longest, 0), 0);
	CHECK_EQ(format(longest, 0, longest), 0);
	CHECK_EQ(format("unix:/run/a.sock", 0, "unix:/run/a.sock"), 0);
	CHECK_EQ(format("unix:@name", 0, "unix:@name"), 0);
	longest[6 + RL_ADDR_PATH_MAX - 1] = 'a';
	CHECK_EQ(split(longest, "", 0), -EINVAL);
	CHECK_EQ(rl_addr_parse(&a, longest, 0), -EINVAL);
	CHECK_EQ(rl_addr_parse(&a, "unix:@name", 0), 0);
	CHECK(rl_addr_path(&a) == NULL);
	CHECK_EQ(rl_addr_parse(&a, "unix:/a", 0), 0);
	CHECK_EQ(strcmp(rl_addr_path(&a), "/a"), 0);
	rl_addr_parse(&a, "1.2.3.4", 0);
	CHECK(rl_addr_path(&a) == NULL);
}

TEST(only_known_families_are_loaded)
{
	struct rl_addr a, b;
	char text[RL_ADDR_TEXT_MAX];
	struct sockaddr sa = {.sa_family = AF_UNIX};
	CHECK_EQ(rl_addr_load(&b, &sa, sizeof sa.sa_family), 0);
	CHECK_EQ(rl_addr_format(&b, text), 5);
	sa.sa_family = AF_NETLINK;
	rl_addr_parse(&a, "::1", 7);
	CHECK_EQ(rl_addr_load(&b, &a.sa, a.len), 0);
	CHECK_EQ(memcmp(&a, &b, sizeof a), 0);
	CHECK_EQ(rl_addr_load(&b, &a.sa, a.len - 1), -EAFNOSUPPORT);
	CHECK_EQ(rl_addr_load(&b, &sa, sizeof sa), -EAFNOSUPPORT);
}

static int network(const char *host, unsigned bits, const char *want)
{
	unsigned char got[RL_ADDR_BYTES_MAX], other[RL_ADDR_BYTES_MAX];
	struct rl_addr a, b;
	rl_addr_parse(&a, host, 80);
	rl_addr_parse(&b, want, 81);
	size_t len = rl_addr_network(&a, bits, got);
	return len == rl_addr_network(&b, 128, other) && memcmp(got, other, len) == 0 ? 0 : 1;
}

TEST(an_address_has_a_network)
{
	CHECK_EQ(network("10.1.2.3", 64, "10.1.2.3"), 0);
	CHECK_EQ(network("::ffff:10.1.2.3", 64, "10.1.2.3"), 0);
	CHECK_EQ(network("10.1.2.3", 64, "10.1.2.4"), 1);
	CHECK_EQ(network("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"), 0);
	CHECK_EQ(network("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6"), 0);
	CHECK_EQ(network("2001:db8:1:ffff::", 60, "2001:db8:1:fff0::"), 0);
	CHECK_EQ(network("2001:db8:1:ffff::", 49, "2001:db8:1:8000::"), 0);
	CHECK_EQ(network("2001:db8::1", 0, "::"), 0);
	CHECK_EQ(network("2001:db8:1:2::", 64, "2001:db8:1:3::"), 1);
}

TEST(families_take_turns_and_keep_their_order)
{
	const char *const in[] = {"::1", "::2", "::3", "1.0.0.1", "1.0.0.2", "::4"};
	const char *const out[] = {"::1", "1.0.0.1", "::2", "1.0.0.2", "::3", "::4"};
	struct rl_addr list[6], want;
	for (int i = 0; i < 6; i++)
		rl_addr_parse(&list[i], in[i], 1);
	rl_addr_interleave(list, 6);
	for (int i = 0; i < 6; i++) {
		rl_addr_parse(&want, out[i], 1);
		CHECK_EQ(memcmp(&list[i], &want, sizeof want), 0);
	}
	rl_addr_interleave(list, 0);
	rl_addr_interleave(list, 1);
}

int main(void)
{
	RUN(host_and_port_are_told_apart);
	RUN(what_is_no_address_is_refused);
	RUN(addresses_are_written_as_they_are_read);
	RUN(unix_sockets_have_paths_and_names);
	RUN(only_known_families_are_loaded);
	RUN(an_address_has_a_network);
	RUN(families_take_turns_and_keep_their_order);
	return FINISH();
}
