/* SPDX-License-Identifier: MIT */
/*
 * wsframe: frames of the WebSocket protocol (RFC 6455 section 5): their heads, read strictly and
 * written, and the mask. Of the reserved bits only the first may be set, on the first frame of a
 * message that an extension has packed (RFC 7692 section 6), if one was agreed on.
 */
#ifndef RL_BASE_WSFRAME_H
#define RL_BASE_WSFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RL_WSFRAME_HEAD_MAX 14
#define RL_WSFRAME_CONTROL_MAX 125 /* payload bytes of a control frame */

enum rl_wsframe_op {
	RL_WS_MORE = 0, /* goes on with a message */
	RL_WS_TEXT = 1,
	RL_WS_BINARY = 2,
	RL_WS_CLOSE = 8,
	RL_WS_PING = 9,
	RL_WS_PONG = 10,
};

/* What a peer can do wrong. */
enum rl_wsframe_error {
	RL_WS_OK,
	RL_WS_RESERVED_BIT,
	RL_WS_OPCODE,
	RL_WS_UNMASKED,          /* by a client */
	RL_WS_MASKED,            /* by a server */
	RL_WS_LENGTH,            /* in more bytes than it needs */
	RL_WS_LENGTH_SIGN,       /* 2^63 or more */
	RL_WS_CONTROL_LENGTH,    /* more than RL_WSFRAME_CONTROL_MAX */
	RL_WS_CONTROL_FRAGMENT,
	/* What a head alone does not show. */
	RL_WS_NOTHING_TO_CONTINUE,
	RL_WS_MESSAGE_IN_MESSAGE,
	RL_WS_CLOSE_LENGTH,      /* a single byte */
	RL_WS_CLOSE_CODE,        /* one that must not be sent */
	RL_WS_NOT_UTF8,
	RL_WS_NOT_PACKED,        /* cannot be unpacked */
	RL_WS_FRAME_SIZE,        /* beyond our limits */
	RL_WS_MESSAGE_SIZE,
	RL_WS_ERRORS,
};

struct rl_wsframe {
	uint64_t len;            /* of the payload, below 2^63 */
	uint32_t key;            /* the mask's four bytes as they come; 0 where there is none */
	uint8_t op;              /* RL_WS_* */
	bool fin;
	bool packed;             /* the first reserved bit */
};

static inline bool rl_wsframe_is_control(const struct rl_wsframe *f)
{
	return f->op >= RL_WS_CLOSE;
}

/* The head at the beginning of `len` bytes. Above 0: it has that many; 0: more bytes are needed;
 * below 0: the negative of an error, as soon as the bytes that make it are here. `masked`: whether
 * frames of this peer must be; `packed`: whether its messages may be. */
int rl_wsframe_read(struct rl_wsframe *f, const void *bytes, size_t len, bool masked,
	bool packed);

/* Write a head, of RL_WSFRAME_HEAD_MAX bytes at most; gives how many. */
size_t rl_wsframe_write(const struct rl_wsframe *f, bool masked, void *out);

/* Mask, or unmask, bytes in place that begin `at` bytes behind the beginning of the payload. */
void rl_wsframe_mask(void *data, size_t len, uint32_t key, uint64_t at);

/* May a close frame have this code (RFC 6455 7.4; 1012 to 1014 are registered with IANA)? */
bool rl_wsframe_is_close_code(unsigned code);

/* The code a connection is closed with because of an error, and what is wrong, in words. */
unsigned rl_wsframe_error_close(int error);
const char *rl_wsframe_error_text(int error);

#endif
