/* SPDX-License-Identifier: MIT */
/* wsframe: see wsframe.h. Lengths are big-endian; the key stays in the order of its bytes. */
#include "base/wsframe.h"

#include <endian.h>
#include <string.h>

enum { FIN = 0x80, PACKED = 0x40, RESERVED = 0x70, OPCODE = 0x0f, MASK = 0x80, LENGTH = 0x7f };
enum { LENGTH_16 = 126, LENGTH_64 = 127 };

static bool is_op(unsigned op)
{
	return op <= RL_WS_BINARY || (op >= RL_WS_CLOSE && op <= RL_WS_PONG);
}

/* What the first two bytes say. */
static int check_start(const uint8_t *p, size_t len, bool masked, bool packed)
{
	unsigned op = p[0] & OPCODE;
	bool may_be_packed = packed && (op == RL_WS_TEXT || op == RL_WS_BINARY);
	if (p[0] & (may_be_packed ? RESERVED & ~PACKED : RESERVED))
		return RL_WS_RESERVED_BIT;
	if (!is_op(op))
		return RL_WS_OPCODE;
	if (op >= RL_WS_CLOSE && !(p[0] & FIN))
		return RL_WS_CONTROL_FRAGMENT;
	if (len < 2)
		return RL_WS_OK;
	if (masked != !!(p[1] & MASK))
		return masked ? RL_WS_UNMASKED : RL_WS_MASKED;
	if (op >= RL_WS_CLOSE && (p[1] & LENGTH) > RL_WSFRAME_CONTROL_MAX)
		return RL_WS_CONTROL_LENGTH;
	return RL_WS_OK;
}

/* The length, `n` bytes long behind the first two, which are all here. */
static int read_length(struct rl_wsframe *f, const uint8_t *p, size_t n)
{
	uint16_t shorter;
	uint64_t longer;
	if (n == 0) {
		f->len = p[1] & LENGTH;
	} else if (n == sizeof shorter) {
		memcpy(&shorter, p + 2, sizeof shorter);
		f->len = be16toh(shorter);
		if (f->len < LENGTH_16)
			return RL_WS_LENGTH;
	} else {
		memcpy(&longer, p + 2, sizeof longer);
		f->len = be64toh(longer);
		if (f->len >> 63)
			return RL_WS_LENGTH_SIGN;
		if (f->len <= UINT16_MAX)
			return RL_WS_LENGTH;
	}
	return RL_WS_OK;
}

int rl_wsframe_read(struct rl_wsframe *f, const void *bytes, size_t len, bool masked,
	bool packed)
{
	const uint8_t *p = bytes;
	int error = len > 0 ? check_start(p, len, masked, packed) : RL_WS_OK;
	if (error != RL_WS_OK)
		return -error;
	if (len < 2)
		return 0;
	unsigned short_len = p[1] & LENGTH;
	size_t n = short_len == LENGTH_16 ? 2 : short_len == LENGTH_64 ? 8 : 0;
	size_t head = 2 + n + (masked ? sizeof f->key : 0);
	if (n == 8 && len > 2 && p[2] & 0x80)
		return -RL_WS_LENGTH_SIGN;
	if (len < 2 + n)
		return 0;
	error = read_length(f, p, n);
	if (error != RL_WS_OK)
		return -error;
	if (len < head)
		return 0;
	f->op = p[0] & OPCODE;
	f->fin = p[0] & FIN;
	f->packed = p[0] & PACKED;
	f->key = 0;
	if (masked)
		memcpy(&f->key, p + 2 + n, sizeof f->key);
	return (int)head;
}

size_t rl_wsframe_write(const struct rl_wsframe *f, bool masked, void *out)
{
	uint8_t *p = out, *at = p + 2;
	p[0] = (uint8_t)(f->op | (f->fin ? FIN : 0) | (f->packed ? PACKED : 0));
	if (f->len < LENGTH_16) {
		p[1] = (uint8_t)f->len;
	} else if (f->len <= UINT16_MAX) {
		uint16_t len = htobe16((uint16_t)f->len);
		p[1] = LENGTH_16;
		memcpy(at, &len, sizeof len);
		at += sizeof len;
	} else {
		uint64_t len = htobe64(f->len);
		p[1] = LENGTH_64;
		memcpy(at, &len, sizeof len);
		at += sizeof len;
	}
	if (masked) {
		p[1] |= MASK;
		memcpy(at, &f->key, sizeof f->key);
		at += sizeof f->key;
	}
	return (size_t)(at - p);
}

void rl_wsframe_mask(void *data, size_t len, uint32_t key, uint64_t at)
{
	uint8_t *p = data, bytes[8], turn = at & 3;
	uint64_t wide, word, second;
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = ((const uint8_t *)&key)[(i + turn) & 3];
	memcpy(&wide, bytes, sizeof wide);
	for (; len >= 16; len -= 16, p += 16) {
		memcpy(&word, p, sizeof word);
		memcpy(&second, p + 8, sizeof second);
		word ^= wide;
		second ^= wide;
		memcpy(p, &word, sizeof word);
		memcpy(p + 8, &second, sizeof second);
	}
	if (len >= 8) {
		memcpy(&word, p, sizeof word);
		word ^= wide;
		memcpy(p, &word, sizeof word);
		len -= 8;
		p += 8;
	}
	for (size_t i = 0; i < len; i++)
		p[i] ^= bytes[i];
}

bool rl_wsframe_is_close_code(unsigned code)
{
	if (code >= 3000)
		return code <= 4999;
	return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

static const struct {
	unsigned close;
	const char *text;
} errors[RL_WS_ERRORS] = {
	[RL_WS_RESERVED_BIT] = {1002, "a reserved bit is set"},
	[RL_WS_OPCODE] = {1002, "unknown opcode"},
	[RL_WS_UNMASKED] = {1002, "a client's frame without a mask"},
	[RL_WS_MASKED] = {1002, "a server's frame with a mask"},
	[RL_WS_LENGTH] = {1002, "a length in more bytes than it needs"},
	[RL_WS_LENGTH_SIGN] = {1002, "a length of 2^63 or more"},
	[RL_WS_CONTROL_LENGTH] = {1002, "a control frame of more than 125 bytes"},
	[RL_WS_CONTROL_FRAGMENT] = {1002, "a control frame in fragments"},
	[RL_WS_NOTHING_TO_CONTINUE] = {1002, "a continuation of no message"},
	[RL_WS_MESSAGE_IN_MESSAGE] = {1002, "a message begins within another"},
	[RL_WS_CLOSE_LENGTH] = {1002, "a close frame of one byte"},
	[RL_WS_CLOSE_CODE] = {1002, "a close code that must not be sent"},
	[RL_WS_NOT_UTF8] = {1007, "text is not UTF-8"},
	[RL_WS_NOT_PACKED] = {1007, "a message cannot be unpacked"},
	[RL_WS_FRAME_SIZE] = {1009, "a frame is longer than max_frame"},
	[RL_WS_MESSAGE_SIZE] = {1009, "a message is longer than max_message"},
};

unsigned rl_wsframe_error_close(int error)
{
	return error > 0 && error < RL_WS_ERRORS ? errors[error].close : 1000;
}

const char *rl_wsframe_error_text(int error)
{
	return error > 0 && error < RL_WS_ERRORS ? errors[error].text : "";
}
