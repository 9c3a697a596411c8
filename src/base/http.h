/* SPDX-License-Identifier: MIT */
/*
 * http: heads of HTTP/1.1 and HTTP/1.0 messages (RFC 9112), strict: what could be read in two ways
 * is refused. docs/design/http-parsing.md lists each decision.
 *
 * A head is parsed from contiguous bytes that may grow and move between calls. Its parts are
 * offsets. No byte is looked at more than twice however the message was cut, and an error is found
 * as soon as the bytes that make it are here.
 */
#ifndef RL_BASE_HTTP_H
#define RL_BASE_HTTP_H

#include "base/http_field.h"
#include "base/http_target.h"

/* A longer method is refused: servers need not know where it ends (RFC 9112 3). */
#define RL_HTTP_METHOD_MAX 32

enum rl_http_method {
	RL_METHOD_OTHER,
	RL_METHOD_GET,
	RL_METHOD_HEAD,
	RL_METHOD_POST,
	RL_METHOD_PUT,
	RL_METHOD_DELETE,
	RL_METHOD_CONNECT,
	RL_METHOD_OPTIONS,
	RL_METHOD_TRACE,
	RL_METHOD_PATCH,
};

struct rl_http_head {
	struct rl_http_fields fields;
	struct rl_http_scan scan;     /* the parser's */
	int64_t content_length;       /* -1 without Content-Length */
	struct rl_http_target target; /* of a request */
	struct rl_http_span method;   /* of a request */
	struct rl_http_span host;     /* the target's authority, or else the value of Host */
	struct rl_http_span reason;   /* of a response; may be empty */
	uint16_t status;              /* of a response: 100..999 */
	uint8_t method_id;            /* RL_METHOD_* */
	uint8_t minor;                /* HTTP/1.minor: 0 or 1 */
	uint8_t error;                /* the parser's: what it answers from now on */
	bool has_host;                /* a Host field, maybe an empty one */
	bool has_coding;              /* a Transfer-Encoding */
	bool chunked;                 /* it ends in chunked */
	bool other_coding;            /* it names another coding too; such a head is refused */
	bool keep_alive;              /* the version and Connection let the connection go on */
	bool says_keep_alive;         /* Connection has keep-alive */
	bool says_close;              /* Connection has close */
	bool says_upgrade;            /* Connection has upgrade */
	bool upgrade;                 /* and there is an Upgrade, in HTTP/1.1 */
	bool expect_continue;         /* Expect: 100-continue, in HTTP/1.1 */
	bool expect_other;            /* an expectation that is not known: 417 (RFC 9110 10.1.1) */
};

/* Make ready for a new message, whose fields will go into `list`, of limits.fields_max. */
void rl_http_begin(struct rl_http_head *head, struct rl_http_field *list);

/*
 * Parse the head of a request or a response, of which `len` bytes are here.
 * Above 0: the head is complete and has that many bytes. 0: more bytes are needed; call again with
 * all bytes from the message's first one on and with the same limits. Below 0: the negative of an
 * error, and so is every later answer.
 *
 * Between calls `head` must stay, but not what its list points to: heads that are not complete may
 * share one list, and `fields.list` may be set to another. A list counts only after the last call.
 */
int rl_http_request(struct rl_http_head *head, const struct rl_http_limits *limits,
	const char *bytes, size_t len);
int rl_http_response(struct rl_http_head *head, const struct rl_http_limits *limits,
	const char *bytes, size_t len);

#endif
