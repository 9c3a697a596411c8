/* SPDX-License-Identifier: MIT */
/*
 * http_text: what writers of HTTP messages need: numbers as text, and whether a text may be written
 * as a name or a value. What passes these checks passes our own parser.
 */
#ifndef RL_BASE_HTTP_TEXT_H
#define RL_BASE_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RL_HTTP_DECIMAL_MAX 20 /* digits of 2^64 - 1 */
#define RL_HTTP_CHUNK_MAX 18   /* 16 digits, CR LF */

/* Write a number in decimal, without a NUL; gives how many bytes (at most RL_HTTP_DECIMAL_MAX). */
size_t rl_http_text_decimal(char *out, uint64_t n);

/* Write the line that begins a chunk of `size` bytes (at most RL_HTTP_CHUNK_MAX). The content is
 * followed by CR LF; a size of 0 and an empty line end the body. */
size_t rl_http_text_chunk(char *out, uint64_t size);

/* A token: a method, a field name. */
bool rl_http_text_is_token(const char *text, size_t len);

/* A field value or a reason: no CR, LF, NUL or other control, no white space at either end. */
bool rl_http_text_is_value(const char *text, size_t len);

/* What a client may send as a request target. Its form is not looked at. */
bool rl_http_text_is_target(const char *text, size_t len);

#endif
