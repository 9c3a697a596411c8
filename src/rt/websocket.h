/* SPDX-License-Identifier: MIT */
/*
 * websocket: the WebSocket protocol (RFC 6455) on a stream, behind the handshake. Frames are
 * handled as they arrive, in the loop: pings are answered and pongs noted without a task, messages
 * are put together, and whoever waits is woken when a whole one is there. One message at a time is
 * kept; while nobody takes it, what is behind it stays in the stream, which then receives no more.
 *
 * A message may be packed, by an extension that is the caller's matter: he is told which ones are,
 * unpacks them, and says so if one cannot be.
 *
 * It belongs to the caller, and the stream must be nobody else's to read. It outlives its stream.
 */
#ifndef RL_RT_WEBSOCKET_H
#define RL_RT_WEBSOCKET_H

#include "base/utf8.h"
#include "base/wsframe.h"
#include "rt/stream.h"

#define RL_WEBSOCKET_END_NS 2000000000LL /* for the peer to end the connection, at the end */
#define RL_WEBSOCKET_REASON_MAX 123      /* bytes of the reason of a close */

/* Codes that are never sent (RFC 6455 7.4.1). */
#define RL_WEBSOCKET_NO_CODE 1005
#define RL_WEBSOCKET_ABNORMAL 1006

enum rl_websocket_state {
	RL_WEBSOCKET_OPEN,
	RL_WEBSOCKET_CLOSING, /* our close frame went out; what comes but the peer's is dropped */
	RL_WEBSOCKET_ENDING,  /* nothing is read any more, but the end of the connection awaited */
	RL_WEBSOCKET_OVER,
};

struct rl_websocket_config {
	bool client;
	bool packed;                     /* messages may be */
	uint64_t message_max, frame_max; /* bytes */
	uint64_t seed[2];                /* of the masks, for a client: random */
};

struct rl_websocket_counts {
	uint64_t messages_in, messages_out, bytes_in, bytes_out; /* of messages, their content */
	uint64_t pings_in, pongs_in;
};

struct rl_websocket {
	struct rl_stream *stream;    /* NULL: gone */
	struct rl_waitq *readers;    /* who waits for a message, or for the end */
	struct rl_waitq *closers;    /* who waits for the end alone */
	struct rl_websocket_config config;
	struct rl_websocket_counts counts;
	struct rl_wsframe frame;     /* under way, if `in_frame` */
	uint64_t left;               /* of its payload, not here yet */
	char *text;                  /* what was put together of a message in several pieces */
	uint64_t len, size;
	int64_t ping_ns, pong_ns;    /* when the last ones came, -1: none did */
	uint64_t masks;              /* keys drawn so far */
	struct rl_utf8 utf8;
	uint32_t need;               /* bytes in the stream without which nothing can be done */
	uint32_t whole;              /* bytes of the frame that is ready where it lies; 0: in `text` */
	uint32_t whole_head;
	uint16_t close_code;         /* what ended it, 0 while nothing has */
	int16_t verdict;             /* what readers get once no message is left, 0: they wait */
	uint8_t state;
	uint8_t error;               /* RL_WS_*, why the verdict is -EPROTO */
	uint8_t op;                  /* of the message under way; 0: none */
	uint8_t control_len, reason_len;
	bool in_frame, ready;
	bool packed;                 /* the message under way */
	char control[RL_WSFRAME_CONTROL_MAX]; /* payload of the last ping */
	char reason[RL_WEBSOCKET_REASON_MAX];
};

/* Not attached to a stream yet. */
void rl_websocket_init(struct rl_websocket *w, const struct rl_websocket_config *config,
	struct rl_waitq *readers, struct rl_waitq *closers);
/* Begin, with a stream that nobody waits for. 0 or -ENOMEM. */
int rl_websocket_attach(struct rl_websocket *w, struct rl_stream *s);
/* Let the stream go, as it is, and free all. Idempotent. */
void rl_websocket_term(struct rl_websocket *w);

/* A message that is ready, until rl_websocket_took: then the next one may be. NULL: none is, and
 * the verdict is set, or readers wait. */
const char *rl_websocket_message(struct rl_websocket *w, size_t *len);
void rl_websocket_took(struct rl_websocket *w);
static inline bool rl_websocket_is_text(const struct rl_websocket *w)
{
	return w->op == RL_WS_TEXT;
}
static inline bool rl_websocket_is_packed(const struct rl_websocket *w)
{
	return w->packed;
}

/* Is there something for a reader? */
static inline bool rl_websocket_has_news(const struct rl_websocket *w)
{
	return w->ready || w->verdict != 0;
}

/* Queue a message, between rl_out_begin and rl_out_end: 0 or -ENOMEM. */
int rl_websocket_write(struct rl_websocket *w, unsigned op, bool packed, const char *data,
	size_t len);
/* Queue a ping or a pong at once, without waiting for others. 0; -ENOBUFS: far too much is queued;
 * or why nothing can be sent. */
int rl_websocket_control(struct rl_websocket *w, unsigned op, const char *data, size_t len);
/* Send a close frame, unless one was sent. RL_WEBSOCKET_NO_CODE: without a code. */
void rl_websocket_close(struct rl_websocket *w, unsigned code, const char *reason, size_t len);
/* Close, and leave the end of the stream to whoever owns it. */
void rl_websocket_leave(struct rl_websocket *w, unsigned code);
/* What is wrong with a message that was packed: it is closed with the code of the error. */
void rl_websocket_refuse(struct rl_websocket *w, int error);
/* Nothing came back: it ends with this code. */
void rl_websocket_fail(struct rl_websocket *w, int code);
/* Is the handshake of the end done, as far as this side waits for it? */
bool rl_websocket_has_ended(const struct rl_websocket *w);

/* Close what an owner's streams have, with that code. */
void rl_websocket_close_owned(struct rl_net *net, uint32_t owner, unsigned code);

/* For stream.c: something came; the stream goes away. */
void rl_websocket_tell(struct rl_websocket *w);
void rl_websocket_detach(struct rl_websocket *w);
void rl_websocket_drop(struct rl_websocket *w); /* end of the run */

#endif
