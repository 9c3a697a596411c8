/* SPDX-License-Identifier: MIT */
/* sqe: how an op becomes a submission entry. */
#ifndef RL_OS_SQE_H
#define RL_OS_SQE_H

#include "os/op.h"
#include "os/uring_compat.h"

/* A kind of the backend's own: told each time `fd` becomes readable, until cancelled. */
#define RL_SQE_WATCH RL_OP_KINDS

/* Fill the zeroed `sqe`; user_data is the op. RECV takes its buffers from `buf_group`. */
void rl_sqe_prep(struct io_uring_sqe *sqe, struct rl_op *op, int buf_group);

#endif
