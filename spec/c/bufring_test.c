/* SPDX-License-Identifier: MIT */
/* bufring: buffers run out, are put back, and no byte is lost. */
#include "uring_check.h"

#include "os/bufring.h"

TEST(a_receiver_that_runs_out_of_buffers_loses_no_byte)
{
	START(.buf_count = 4, .buf_size = 64);
	int fds[2];
	char sent[2000];
	sockets(fds);
	for (unsigned i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7 + i / 256);
	struct probe_op *p = probe_new(RL_OP_RECV, fds[0]);
	p->keep = true;
	submit(p);
	CHECK_EQ(write(fds[1], sent, sizeof(sent)), sizeof(sent));
	int rounds = 0;
	while (p->len < sizeof(sent) && rounds < 100) {
		rounds++;
		poll_until(&p->last, rounds);
		CHECK_EQ(p->res, -ENOBUFS);
		CHECK_EQ(os->buf_free, 0);
		put_held(p);
		CHECK_EQ(os->buf_free, 4);
		submit(p);
		if (p->len + 4 * 64 >= sizeof(sent))
			p->keep = false;
		rl_os_poll(os, 0);
	}
	CHECK_EQ(p->len, sizeof(sent));
	CHECK(memcmp(p->bytes, sent, sizeof(sent)) == 0);
	CHECK(rounds > 5);
	stop(p);
	put_held(p);
	close_both(fds);
	finish();
	free(p);
}

TEST(sizes_that_the_kernel_cannot_use_are_refused)
{
	struct rl_bufring b;
	CHECK_EQ(rl_bufring_open(&b, NULL, 0, 0, 64), -EINVAL);
	CHECK_EQ(rl_bufring_open(&b, NULL, 0, 12, 64), -EINVAL);
	CHECK_EQ(rl_bufring_open(&b, NULL, 0, 65536, 64), -EINVAL);
	CHECK_EQ(rl_bufring_open(&b, NULL, 0, 8, 0), -EINVAL);
}

int main(void)
{
	RUN(a_receiver_that_runs_out_of_buffers_loses_no_byte);
	RUN(sizes_that_the_kernel_cannot_use_are_refused);
	return FINISH();
}
