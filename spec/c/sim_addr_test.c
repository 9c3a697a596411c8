/* SPDX-License-Identifier: MIT */
/*
 * sim_addr: loading, storing, and which addresses reach each other.
 */
#include "check.h"

#include "os/sim_addr.h"

static union rl_sim_addr four(uint32_t host, unsigned port)
{
	union rl_sim_addr a = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)}};

	rl_sim_addr_set_port(&a, port);
	return a;
}

static union rl_sim_addr six(struct in6_addr host, unsigned port)
{
	union rl_sim_addr a = {.in6 = {.sin6_family = AF_INET6, .sin6_addr = host}};

	rl_sim_addr_set_port(&a, port);
	return a;
}

TEST(load_checks_family_and_length)
{
	union rl_sim_addr a = four(INADDR_LOOPBACK, 80), b = six(in6addr_loopback, 80), out;

	CHECK_EQ(rl_sim_addr_load(&out, AF_INET, &a.sa, sizeof a.in), 0);
	CHECK_EQ(rl_sim_addr_port(&out), 80);
	CHECK_EQ(rl_sim_addr_load(&out, AF_INET, &a.sa, sizeof a.in - 1), -EINVAL);
	CHECK_EQ(rl_sim_addr_load(&out, AF_INET, &a.sa, 0), -EINVAL);
	CHECK_EQ(rl_sim_addr_load(&out, AF_INET, &b.sa, sizeof b.in6), -EAFNOSUPPORT);
	CHECK_EQ(rl_sim_addr_load(&out, AF_INET6, &b.sa, sizeof a.in), -EINVAL);
	CHECK_EQ(rl_sim_addr_load(&out, AF_INET6, &b.sa, sizeof b.in6), 0);
	CHECK_EQ(rl_sim_addr_port(&out), 80);
}

TEST(store_cuts_and_tells_the_whole_length)
{
	union rl_sim_addr a = four(INADDR_LOOPBACK, 80), out;
	socklen_t len = 4;

	memset(&out, 7, sizeof out);
	rl_sim_addr_store(&a, &out.sa, &len);
	CHECK_EQ(len, sizeof a.in);
	CHECK_EQ(memcmp(&out, &a, 4), 0);
	CHECK_EQ(((char *)&out)[4], 7);
}

TEST(the_wildcard_overlaps_its_family)
{
	union rl_sim_addr any = four(INADDR_ANY, 80), one = four(INADDR_LOOPBACK, 80);
	union rl_sim_addr two = four(0x0a000001, 80), port = four(INADDR_LOOPBACK, 81);
	union rl_sim_addr any6 = six(in6addr_any, 80), one6 = six(in6addr_loopback, 80);
	union rl_sim_addr two6 = one6;

	two6.in6.sin6_addr.s6_addr[0] = 0x20;
	CHECK(rl_sim_addr_overlaps(&any, &one));
	CHECK(rl_sim_addr_overlaps(&two, &any));
	CHECK(rl_sim_addr_overlaps(&one, &one));
	CHECK(!rl_sim_addr_overlaps(&one, &two));
	CHECK(!rl_sim_addr_overlaps(&one, &port));
	CHECK(rl_sim_addr_overlaps(&any6, &one6));
	CHECK(!rl_sim_addr_overlaps(&one6, &two6));
	CHECK(!rl_sim_addr_overlaps(&any, &any6));
}

TEST(the_wildcard_resolves_to_this_host)
{
	union rl_sim_addr a = four(INADDR_ANY, 80), b = six(in6addr_any, 80), c = four(7, 80);

	rl_sim_addr_resolve_any(&a);
	rl_sim_addr_resolve_any(&b);
	rl_sim_addr_resolve_any(&c);
	CHECK_EQ(ntohl(a.in.sin_addr.s_addr), INADDR_LOOPBACK);
	CHECK(IN6_IS_ADDR_LOOPBACK(&b.in6.sin6_addr));
	CHECK_EQ(ntohl(c.in.sin_addr.s_addr), 7);
	CHECK_EQ(rl_sim_addr_port(&b), 80);
}

static union rl_sim_addr local(const char *path, socklen_t len)
{
	union rl_sim_addr a;
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path, path, len);
	CHECK_EQ(rl_sim_addr_load(&a, AF_UNIX, (struct sockaddr *)&un,
		(socklen_t)(RL_SIM_ADDR_PATH + len)), 0);
	return a;
}

TEST(unix_sockets_are_known_by_their_path)
{
	union rl_sim_addr a = local("/a", 3), b = local("/a", 3), c = local("/ab", 4);
	union rl_sim_addr named = local("\0a", 2), none = {.sa.sa_family = AF_UNIX};
	union rl_sim_addr four_ = four(INADDR_ANY, 0);
	struct sockaddr_un un;
	socklen_t len = sizeof un;

	CHECK(rl_sim_addr_overlaps(&a, &b));
	CHECK(!rl_sim_addr_overlaps(&a, &c));
	CHECK(!rl_sim_addr_overlaps(&a, &named));
	CHECK(!rl_sim_addr_overlaps(&a, &four_));
	CHECK_EQ(rl_sim_addr_port(&a), 0);
	CHECK_EQ(rl_sim_addr_len(&none), RL_SIM_ADDR_PATH);
	CHECK_EQ(rl_sim_addr_len(&named), RL_SIM_ADDR_PATH + 2);
	rl_sim_addr_store(&a, (struct sockaddr *)&un, &len);
	CHECK_EQ(len, RL_SIM_ADDR_PATH + 3);
	CHECK_EQ(strcmp(un.sun_path, "/a"), 0);
	CHECK_EQ(rl_sim_addr_load(&a, AF_UNIX, (struct sockaddr *)&un, RL_SIM_ADDR_PATH), -EINVAL);
}

int main(void)
{
	RUN(load_checks_family_and_length);
	RUN(store_cuts_and_tells_the_whole_length);
	RUN(the_wildcard_overlaps_its_family);
	RUN(the_wildcard_resolves_to_this_host);
	RUN(unix_sockets_are_known_by_their_path);
	return FINISH();
}
