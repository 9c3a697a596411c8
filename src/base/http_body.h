/* SPDX-License-Identifier: MIT */
/*
 * http_body: where the body of an HTTP/1.1 message ends, and which of its bytes are content (RFC
 * 9112 6 and 7). Nothing is copied: the caller is shown pieces of the bytes he has.
 */
#ifndef RL_BASE_HTTP_BODY_H
#define RL_BASE_HTTP_BODY_H

#include "base/http.h"

enum rl_http_framing {
	RL_BODY_NONE,
	RL_BODY_LENGTH,
	RL_BODY_CHUNKED,
	RL_BODY_UNTIL_CLOSE, /* of responses alone: the connection cannot be used again */
};

struct rl_http_body {
	const struct rl_http_limits *limits;
	uint64_t left;                  /* content bytes to come: of the body, or of its chunk */
	uint64_t total;                 /* content bytes so far, those of a chunk as it begins */
	uint64_t extensions;            /* bytes of chunk extensions so far */
	struct rl_http_fields trailers; /* valid once the body is done, as offsets: see below */
	struct rl_http_scan scan;
	uint32_t line;                  /* bytes of the chunk's line so far: digits, then extension */
	uint8_t framing;
	uint8_t stage;
	uint8_t error;                  /* sticky */
};

struct rl_http_piece {
	const char *data;
	size_t len;
};

/*
 * The body behind a complete head. `trailers` is an array of limits.fields_max that is written
 * while trailers are parsed; both it and the limits must stay. 0, or -RL_HTTP_LARGE_BODY:
 * Content-Length is above limits.body_max.
 *
 * A response to HEAD, to CONNECT if it is 2xx, and one that is 1xx, 204 or 304 has no body whatever
 * its fields say (RFC 9112 6.3).
 */
int rl_http_body_of_request(struct rl_http_body *b, const struct rl_http_head *head,
	const struct rl_http_limits *limits, struct rl_http_field *trailers);
int rl_http_body_of_response(struct rl_http_body *b, const struct rl_http_head *head,
	unsigned request_method, const struct rl_http_limits *limits, struct rl_http_field *trailers);

/*
 * Take bytes, and show at most one piece of content in `piece`. Gives how many bytes are done with,
 * the piece's included, or the negative of an error.
 *
 * Call again while it gives more than 0 and the body is not done. 0: more bytes are needed; those
 * that were not taken (a part of the trailers) must come again with more behind them. Bytes behind
 * the end are never taken. The spans of trailers are offsets into `bytes` of the call that made the
 * body done.
 *
 * Trailers obey the rules and limits of heads; one that frames or routes a message or governs the
 * connection is refused (RFC 9110 6.5.1). They are never merged into the head.
 *
 * extension_max holds for each chunk; all extensions together may have that many bytes and as many
 * as there was content, so that nobody makes us read much for little.
 */
int64_t rl_http_body_next(struct rl_http_body *b, const char *bytes, size_t len,
	struct rl_http_piece *piece);

/* The connection has ended: 0 if so has the body, or -RL_HTTP_CUT_SHORT. */
int rl_http_body_end(struct rl_http_body *b);

bool rl_http_body_is_done(const struct rl_http_body *b);

#endif
