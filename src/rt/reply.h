/* SPDX-License-Identifier: MIT */
/*
 * reply: the answer to a request, queued on its stream: a head, then the body whole or in pieces,
 * then the end. Between rl_out_begin and rl_out_end, as every write is.
 */
#ifndef RL_RT_REPLY_H
#define RL_RT_REPLY_H

#include "rt/message.h"

struct rl_content;

struct rl_reply_head {
	unsigned status;     /* 100..999 */
	const char *fields;  /* lines, each with its CR LF */
	size_t fields_len;
	int64_t length;      /* of the body; -1: not known */
	bool has_date;       /* `fields` has a Date */
	bool close;          /* the connection ends with this answer */
};

/* Queue the head. Without a length the body goes in chunks or, to HTTP/1.0, until the connection is
 * closed. 0 or -ENOMEM. */
int rl_reply_begin(struct rl_message *m, const struct rl_reply_head *head);
/* A piece of the body; of an answer that has none, it is dropped. 0, -EMSGSIZE: more than was
 * promised, nothing of it is queued; or -ENOMEM. */
int rl_reply_write(struct rl_message *m, const char *data, size_t len);
/* A piece that is a range of a file, of an answer whose length was given: as rl_outfile_write, or
 * -EMSGSIZE. When that gave 1, and it was sent in the end, rl_reply_sent must be told. */
int rl_reply_file(struct rl_message *m, struct rl_content *c, int64_t off, int64_t len);
void rl_reply_sent(struct rl_message *m, int64_t len);
/* 0; -EMSGSIZE: less than was promised; or -ENOMEM. */
int rl_reply_end(struct rl_message *m);

/* A whole answer, head->length bytes of body included: 0 or -ENOMEM. */
int rl_reply_send(struct rl_message *m, const struct rl_reply_head *head, const char *body);

/* Tell the sender of a request that its body is wanted: 0 or -ENOMEM. */
int rl_reply_continue(struct rl_message *m);

/* "Not Found"; "Unknown" for a status that has no name. */
const char *rl_status_reason(unsigned status);

#endif
