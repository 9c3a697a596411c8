/* SPDX-License-Identifier: MIT */
/* sqe: each kind becomes its kernel operation, and user_data leads back to the op. */
#include "uring_check.h"

#include "os/sqe.h"

TEST(each_kind_has_its_operation)
{
	static const uint8_t opcodes[] = {
		[RL_OP_NOP] = IORING_OP_NOP,
		[RL_OP_ACCEPT] = IORING_OP_ACCEPT,
		[RL_OP_RECV] = IORING_OP_RECV,
		[RL_OP_SEND] = IORING_OP_SEND,
		[RL_OP_CONNECT] = IORING_OP_CONNECT,
		[RL_OP_SHUTDOWN] = IORING_OP_SHUTDOWN,
		[RL_OP_CLOSE] = IORING_OP_CLOSE,
		[RL_OP_POLL] = IORING_OP_POLL_ADD,
		[RL_SQE_WATCH] = IORING_OP_POLL_ADD,
	};
	for (unsigned kind = 0; kind < sizeof(opcodes); kind++) {
		struct rl_op op = { .kind = (uint8_t)kind, .fd = 7 };
		struct io_uring_sqe sqe;
		memset(&sqe, 0, sizeof(sqe));
		rl_sqe_prep(&sqe, &op, 5);
		CHECK_EQ(sqe.opcode, opcodes[kind]);
		CHECK_EQ(sqe.fd, kind == RL_OP_NOP ? -1 : 7);
		CHECK(sqe.user_data == (uintptr_t)&op);
		CHECK_EQ(sqe.buf_group, kind == RL_OP_RECV ? 5 : 0);
	}
}

int main(void)
{
	RUN(each_kind_has_its_operation);
	return FINISH();
}
