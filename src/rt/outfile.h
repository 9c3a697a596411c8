/* SPDX-License-Identifier: MIT */
/*
 * outfile: a range of a file that a stream sends behind what it has queued, without a copy of it in
 * this process. While it does, whoever wants to write waits. A content is sent by one stream at a
 * time.
 */
#ifndef RL_RT_OUTFILE_H
#define RL_RT_OUTFILE_H

#include "rt/content.h"
#include "rt/out.h"

/* Between rl_out_begin and rl_out_end, as the last that is written there. 0: it is sent or, as the
 * bytes of a small file are, queued; 1: it is under way: park on c->waiters until rl_outfile_sent.
 * -EBUSY: another stream sends it, -RL_ECLOSED: it is closed, and nothing has happened; or an error
 * that ends the stream. */
int rl_outfile_write(struct rl_stream *s, struct rl_content *c, int64_t off, int64_t len);

/* 1: not yet; 0: all was given to the kernel; -ENODATA: the file has become shorter; or what else
 * came of it. */
static inline int rl_outfile_sent(const struct rl_content *c)
{
	return c->sent;
}

/* For out.c, when nothing is queued before it. True: an operation or the helper goes on with it. */
void rl_outfile_send(struct rl_stream *s);
/* For out.c: it will not be sent any more because of `err`. */
void rl_outfile_lose(struct rl_stream *s, int err);
/* For content.c: what it waits for is in memory. */
void rl_outfile_warmed(struct rl_content *c);

#endif
