/* SPDX-License-Identifier: MIT */
/*
 * reply: see reply.h. A head is put together on the stack and queued at once; the line with the
 * date is made once a second.
 */
#include "rt/reply.h"

#include "base/err.h"
#include "base/http_date.h"
#include "base/http_text.h"
#include "rt/outfile.h"

#include <string.h>

#define SECOND_NS 1000000000LL
#define HEAD_FEW 1024 /* fields longer than what is left of this are queued by themselves */

/* RFC 9110 15, and those of RFC 6585. */
static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{200, "OK"}, {404, "Not Found"}, {204, "No Content"}, {304, "Not Modified"},
	{100, "Continue"}, {101, "Switching Protocols"}, {201, "Created"}, {202, "Accepted"},
	{203, "Non-Authoritative Information"}, {205, "Reset Content"}, {206, "Partial Content"},
	{300, "Multiple Choices"}, {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"},
	{305, "Use Proxy"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
	{400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"},
	{405, "Method Not Allowed"}, {406, "Not Acceptable"},
	{407, "Proxy Authentication Required"}, {408, "Request Timeout"}, {409, "Conflict"},
	{410, "Gone"}, {411, "Length Required"}, {412, "Precondition Failed"},
	{413, "Content Too Large"}, {414, "URI Too Long"}, {415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"}, {417, "Expectation Failed"}, {421, "Misdirected Request"},
	{422, "Unprocessable Content"}, {426, "Upgrade Required"}, {428, "Precondition Required"},
	{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
	{503, "Service Unavailable"}, {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
	{511, "Network Authentication Required"},
};

const char *rl_status_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT" CR LF, of this second. */
static const char *date_line(struct rl_net *net)
{
	int64_t now_ns = net->shard->now_ns;
	char *line = net->date;
	if (now_ns < net->date_until_ns)
		return line;
	int64_t time_ns = net->os->ops->time(net->os);
	int64_t seconds = time_ns / SECOND_NS;
	memcpy(line, "Date: ", 6);
	rl_http_date_format(line + 6, seconds);
	memcpy(line + 6 + RL_HTTP_DATE_LEN, "\r\n", 2);
	net->date_until_ns = now_ns + SECOND_NS - time_ns % SECOND_NS;
	return line;
}

static char *put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_status(char *at, unsigned status)
{
	const char *reason = rl_status_reason(status);
	at = PUT(at, "HTTP/1.1 ");
	*at++ = (char)('0' + status / 100);
	*at++ = (char)('0' + status / 10 % 10);
	*at++ = (char)('0' + status % 10);
	*at++ = ' ';
	at = put(at, reason, strlen(reason));
	return PUT(at, "\r\n");
}

static bool has_no_body(unsigned status)
{
	return status < 200 || status == 204 || status == 304;
}

/* How the body is framed. */
static void frame(struct rl_message *m, const struct rl_reply_head *head)
{
	m->left = head->length;
	if (has_no_body(head->status))
		m->no_body = true;
	if (head->length >= 0)
		m->state = RL_REPLY_LENGTH;
	else if (m->head.minor > 0)
		m->state = RL_REPLY_CHUNKED;
	else
		m->state = RL_REPLY_OPEN;
	if (head->close || (m->state == RL_REPLY_OPEN && !m->no_body) || m->continue_due)
		m->keep = false;
}

/* Fields that say how the message ends. 1xx and 204 have none of them (RFC 9110 8.6). */
static char *put_framing(char *at, const struct rl_message *m, unsigned status)
{
	if (status < 200 || status == 204)
		return at;
	if (m->state == RL_REPLY_LENGTH && (status != 304 || m->left > 0)) {
		at = PUT(at, "Content-Length: ");
		at += rl_http_text_decimal(at, (uint64_t)m->left);
		at = PUT(at, "\r\n");
	} else if (m->state == RL_REPLY_CHUNKED && status != 304) {
		at = PUT(at, "Transfer-Encoding: chunked\r\n");
	}
	return at;
}

static char *put_connection(char *at, const struct rl_message *m, unsigned status)
{
	if (status == 101)
		return at;
	if (!m->keep)
		return PUT(at, "Connection: close\r\n");
	return m->head.minor == 0 ? PUT(at, "Connection: keep-alive\r\n") : at;
}

/* The head, and behind it as many bytes of a body as it has; all in one piece if that is small. */
static int put_head(struct rl_message *m, const struct rl_reply_head *head, const char *body,
	size_t body_len)
{
	char text[HEAD_FEW];
	char *at = put_status(text, head->status);
	frame(m, head);
	if (!head->has_date)
		at = put(at, date_line(m->net), RL_HTTP_DATE_LEN + 8);
	at = put_framing(at, m, head->status);
	at = put_connection(at, m, head->status);
	size_t room = (size_t)(text + HEAD_FEW - at) - 2;
	int err = 0;
	if (head->fields_len > room) {
		err = rl_out_write(m->stream, text, (size_t)(at - text));
		if (err == 0)
			err = rl_out_write(m->stream, head->fields, head->fields_len);
		at = text;
		room = HEAD_FEW - 2;
	} else if (head->fields_len > 0) {
		at = put(at, head->fields, head->fields_len);
		room -= head->fields_len;
	}
	at = PUT(at, "\r\n");
	bool joins = body_len <= room;
	if (joins && body_len > 0)
		at = put(at, body, body_len);
	if (err == 0)
		err = rl_out_write(m->stream, text, (size_t)(at - text));
	return err < 0 || joins ? err : rl_out_write(m->stream, body, body_len);
}

int rl_reply_begin(struct rl_message *m, const struct rl_reply_head *head)
{
	return put_head(m, head, NULL, 0);
}

int rl_reply_send(struct rl_message *m, const struct rl_reply_head *head, const char *body)
{
	bool silent = m->no_body || has_no_body(head->status);
	int err = put_head(m, head, body, silent ? 0 : (size_t)head->length);
	m->left = 0;
	m->state = RL_REPLY_DONE;
	return err;
}

static int write_chunk(struct rl_message *m, const char *data, size_t len)
{
	char line[RL_HTTP_CHUNK_MAX];
	if (len == 0)
		return 0;
	int err = rl_out_write(m->stream, line, rl_http_text_chunk(line, len));
	if (err == 0)
		err = rl_out_write(m->stream, data, len);
	return err < 0 ? err : rl_out_write(m->stream, "\r\n", 2);
}

int rl_reply_write(struct rl_message *m, const char *data, size_t len)
{
	if (m->state == RL_REPLY_LENGTH) {
		if (len > (uint64_t)m->left)
			return -EMSGSIZE;
		m->left -= (int64_t)len;
	}
	if (m->no_body)
		return 0;
	return m->state == RL_REPLY_CHUNKED ? write_chunk(m, data, len)
		: rl_out_write(m->stream, data, len);
}

void rl_reply_sent(struct rl_message *m, int64_t len)
{
	m->left -= len;
}

int rl_reply_file(struct rl_message *m, struct rl_content *c, int64_t off, int64_t len)
{
	if (m->state != RL_REPLY_LENGTH || len > m->left)
		return -EMSGSIZE;
	int status = m->no_body ? 0 : rl_outfile_write(m->stream, c, off, len);
	if (status == 0)
		rl_reply_sent(m, len);
	return status;
}

int rl_reply_end(struct rl_message *m)
{
	uint8_t state = m->state;
	if (state == RL_REPLY_LENGTH && m->left > 0 && !m->no_body)
		return -EMSGSIZE;
	m->state = RL_REPLY_DONE;
	if (state == RL_REPLY_CHUNKED && !m->no_body)
		return rl_out_write(m->stream, "0\r\n\r\n", 5);
	return 0;
}

int rl_reply_continue(struct rl_message *m)
{
	if (!m->continue_due || m->state != RL_REPLY_NONE) /* too late behind the final answer */
		return 0;
	m->continue_due = false;
	return rl_out_write(m->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}
