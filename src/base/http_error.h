/* SPDX-License-Identifier: MIT */
/*
 * http_error: what can be wrong with an HTTP message. The parsers return the negative of these
 * codes, which are no errno values.
 */
#ifndef RL_BASE_HTTP_ERROR_H
#define RL_BASE_HTTP_ERROR_H

/* Name; the status with which a server answers such a request (502 where only a response can be
 * wrong in this way); a lower-case sentence without a full stop. */
#define RL_HTTP_ERRORS(X) \
	X(BAD_METHOD, 400, "the message does not begin with a method") \
	X(LONG_METHOD, 501, "the method is too long") \
	X(BAD_TARGET, 400, "the request target is invalid") \
	X(LONG_TARGET, 414, "the request target is too long") \
	X(NO_VERSION, 400, "the request line has no version") \
	X(BAD_VERSION, 400, "the HTTP version is malformed") \
	X(OTHER_VERSION, 505, "the HTTP version is neither 1.0 nor 1.1") \
	X(BAD_STATUS, 502, "the status line is malformed") \
	X(BAD_LINE_END, 400, "a line does not end in CR LF") \
	X(BAD_NAME, 400, "a field name is no token followed by a colon") \
	X(BAD_VALUE, 400, "a field value holds a control character") \
	X(FOLDED, 400, "a line begins with white space") \
	X(LONG_LINE, 431, "a line of the head is too long") \
	X(MANY_FIELDS, 431, "there are too many fields") \
	X(LONG_HEAD, 431, "the head is too long") \
	X(NO_HOST, 400, "there is no Host field") \
	X(MANY_HOSTS, 400, "there is more than one Host field") \
	X(BAD_HOST, 400, "the Host field is invalid") \
	X(BAD_LENGTH, 400, "Content-Length is no decimal number below 2^63") \
	X(MANY_LENGTHS, 400, "there is more than one Content-Length") \
	X(LENGTH_AND_CODING, 400, "there are both Content-Length and Transfer-Encoding") \
	X(BAD_CODING, 400, "Transfer-Encoding does not end in one chunked") \
	X(OLD_CODING, 400, "Transfer-Encoding in HTTP/1.0") \
	X(OTHER_CODING, 501, "a transfer coding other than chunked") \
	X(BAD_CONNECT, 400, "a CONNECT request has content") \
	X(BAD_CHUNK_SIZE, 400, "a chunk size is no hexadecimal number below 2^63") \
	X(BAD_CHUNK_END, 400, "a chunk does not end in CR LF") \
	X(BAD_EXTENSION, 400, "a chunk extension holds a control character") \
	X(LONG_EXTENSION, 400, "the chunk extensions are too long") \
	X(BAD_TRAILER, 400, "a trailer holds a field that belongs into the head") \
	X(LARGE_BODY, 413, "the body is too large") \
	X(CUT_SHORT, 400, "the message ends before it is complete")

enum rl_http_error {
	RL_HTTP_OK,
#define RL_HTTP_ERROR(name, status, text) RL_HTTP_##name,
	RL_HTTP_ERRORS(RL_HTTP_ERROR)
#undef RL_HTTP_ERROR
	RL_HTTP_ERROR_COUNT,
};

/* These take a code or its negative; of an unknown one they say "UNKNOWN", 500. */
const char *rl_http_error_name(int error); /* "BAD_METHOD" */
const char *rl_http_error_text(int error);
int rl_http_error_status(int error);

#endif
