/* SPDX-License-Identifier: MIT */
/* sqe: see sqe.h. */
#include "os/sqe.h"

#include <poll.h>

static void sqe_prep_recv(struct io_uring_sqe *sqe, const struct rl_op *op, int buf_group)
{
	io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = (unsigned short)buf_group;
}

void rl_sqe_prep(struct io_uring_sqe *sqe, struct rl_op *op, int buf_group)
{
	switch (op->kind) {
	case RL_OP_NOP:
		io_uring_prep_nop(sqe);
		break;
	case RL_OP_ACCEPT:
		io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	case RL_OP_RECV:
		sqe_prep_recv(sqe, op, buf_group);
		break;
	case RL_OP_SEND: /* WAITALL: the kernel goes on until all is sent, an error or a cancel */
		io_uring_prep_send(sqe, op->fd, op->data, op->len,
			MSG_NOSIGNAL | MSG_WAITALL | (op->more ? MSG_MORE : 0));
		break;
	case RL_OP_CONNECT:
		io_uring_prep_connect(sqe, op->fd, op->addr, op->addr_len);
		break;
	case RL_OP_SHUTDOWN:
		io_uring_prep_shutdown(sqe, op->fd, op->how);
		break;
	case RL_OP_CLOSE:
		io_uring_prep_close(sqe, op->fd);
		break;
	case RL_OP_POLL:
		io_uring_prep_poll_add(sqe, op->fd, op->events);
		break;
	case RL_SQE_WATCH:
		io_uring_prep_poll_multishot(sqe, op->fd, POLLIN);
		break;
	}
	sqe->user_data = (uintptr_t)op;
}
