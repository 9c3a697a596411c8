/* SPDX-License-Identifier: MIT */
/* reply: the heads and bodies of answers, byte by byte as their receiver gets them. */
#include "http_peers.h"
#include "scarce.h"

#include "rt/reply.h"

#define COUNT(table) (sizeof table / sizeof *table)

#define OLD "GET / HTTP/1.0\r\n\r\n"
#define OLD_KEPT "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
#define NEW "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define NEW_LAST "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"

/* The message of `p` is this request, and there is room for its answer. */
static bool open_request(struct peers *p, const char *request)
{
	if (!open_message(p, &usual_limits))
		return false;
	p->b->more->write_high = 4096;
	send_text(p->a, request);
	settle_bytes(p);
	CHECK_EQ(rl_message_request(p->m), 1);
	return true;
}

static int begin(struct peers *p, const struct rl_reply_head *head)
{
	int err = rl_out_begin(p->b, false);
	CHECK_EQ(err, 0);
	err = rl_reply_begin(p->m, head);
	rl_out_end(p->b, err);
	return err;
}

/* A piece that is too long queues nothing, so the stream is well. */
static int write_piece(struct peers *p, const char *text)
{
	int err = rl_out_begin(p->b, false);
	CHECK_EQ(err, 0);
	err = rl_reply_write(p->m, text, strlen(text));
	rl_out_end(p->b, err == -EMSGSIZE ? 0 : err);
	return err;
}

static int end(struct peers *p)
{
	int err = rl_out_begin(p->b, false);
	CHECK_EQ(err, 0);
	err = rl_reply_end(p->m);
	rl_out_end(p->b, err == -EMSGSIZE ? 0 : err);
	return err;
}

/* To a request, a head and the pieces "hello" and ", world" if the length is -1 or 12. */
struct answer {
	const char *request;
	unsigned status;
	int64_t length;
	bool close;
	bool keep; /* whether the connection goes on */
	const char *want;
};

static const struct answer answers[] = {
	{NEW, 200, 12, false, true, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world"},
	{NEW, 404, 0, false, true, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	{NEW, 299, 0, false, true, "HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n"},
	{NEW, 200, -1, false, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"},
	{NEW, 200, 0, true, false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
		"Connection: close\r\n\r\n"},
	{NEW_LAST, 200, 0, false, false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
		"Connection: close\r\n\r\n"},
	{OLD, 200, 12, false, false, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"
		"Connection: close\r\n\r\nhello, world"},
	{OLD_KEPT, 200, 12, false, true, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"
		"Connection: keep-alive\r\n\r\nhello, world"},
	{OLD_KEPT, 200, -1, false, false, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, world"},
	{HEAD, 200, 12, false, true, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"},
	{HEAD, 200, -1, false, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{NEW, 204, -1, false, true, "HTTP/1.1 204 No Content\r\n\r\n"},
	{NEW, 204, 0, false, true, "HTTP/1.1 204 No Content\r\n\r\n"},
	{NEW, 304, -1, false, true, "HTTP/1.1 304 Not Modified\r\n\r\n"},
	{NEW, 304, 0, false, true, "HTTP/1.1 304 Not Modified\r\n\r\n"},
	{NEW, 304, 12, false, true, "HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n"},
	{OLD_KEPT, 304, -1, false, true, "HTTP/1.1 304 Not Modified\r\n"
		"Connection: keep-alive\r\n\r\n"},
	{NEW, 101, -1, false, true, "HTTP/1.1 101 Switching Protocols\r\n\r\n"},
};

TEST(answers_are_framed_as_their_receiver_understands)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		const struct answer *x = &answers[i];
		struct rl_reply_head head = {.status = x->status, .length = x->length, .has_date = true,
			.close = x->close};
		struct peers p;
		if (!open_request(&p, x->request))
			return;
		CHECK_EQ(begin(&p, &head), 0);
		if (x->length != 0) {
			CHECK_EQ(write_piece(&p, "hello"), 0);
			CHECK_EQ(write_piece(&p, ""), 0);
			CHECK_EQ(write_piece(&p, ", world"), 0);
		}
		CHECK_EQ(end(&p), 0);
		CHECK_EQ(p.m->state, RL_REPLY_DONE);
		CHECK_EQ(p.m->keep, x->keep);
		expect_text(&p, x->want);
		close_peers(&p);
	}
}

TEST(no_more_than_promised_and_no_less)
{
	struct rl_reply_head head = {.status = 200, .length = 5, .has_date = true};
	struct peers p;
	if (!open_request(&p, NEW))
		return;
	CHECK_EQ(begin(&p, &head), 0);
	CHECK_EQ(end(&p), -EMSGSIZE);
	CHECK_EQ(write_piece(&p, "123456"), -EMSGSIZE);
	CHECK_EQ(write_piece(&p, "123"), 0);
	CHECK_EQ(write_piece(&p, "456"), -EMSGSIZE);
	CHECK_EQ(end(&p), -EMSGSIZE);
	CHECK_EQ(p.m->state, RL_REPLY_LENGTH);
	CHECK_EQ(write_piece(&p, "45"), 0);
	CHECK_EQ(end(&p), 0);
	expect_text(&p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");
	close_peers(&p);
}

/* Nothing of an answer without a body is sent, but what it may have is counted. */
TEST(a_promise_holds_for_head_too)
{
	struct rl_reply_head head = {.status = 200, .length = 5, .has_date = true};
	struct peers p;
	if (!open_request(&p, HEAD))
		return;
	CHECK_EQ(begin(&p, &head), 0);
	CHECK_EQ(write_piece(&p, "123456"), -EMSGSIZE);
	CHECK_EQ(write_piece(&p, "123"), 0);
	CHECK_EQ(end(&p), 0);
	expect_text(&p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	close_peers(&p);
}

TEST(fields_follow_whatever_their_length)
{
	static char fields[1500], want[1600];
	for (size_t len = 900; len <= 1100; len++) {
		struct rl_reply_head head = {.status = 200, .fields = fields, .fields_len = len,
			.length = 0, .has_date = true};
		struct peers p;
		memset(fields, 'v', len);
		memcpy(fields, "X: ", 3);
		memcpy(fields + len - 2, "\r\n", 2);
		if (!open_request(&p, NEW))
			return;
		CHECK_EQ(begin(&p, &head), 0);
		CHECK_EQ(end(&p), 0);
		sprintf(want, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%.*s\r\n", (int)len, fields);
		expect_text(&p, want);
		close_peers(&p);
	}
}

static int send_whole(struct peers *p, const struct rl_reply_head *head, const char *body)
{
	int err = rl_out_begin(p->b, false);
	CHECK_EQ(err, 0);
	err = rl_reply_send(p->m, head, body);
	rl_out_end(p->b, err);
	return err;
}

TEST(an_answer_at_once_is_the_same_as_one_in_pieces)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		const struct answer *x = &answers[i];
		struct rl_reply_head head = {.status = x->status, .length = x->length, .has_date = true,
			.close = x->close};
		struct peers p;
		if (x->length < 0)
			continue;
		if (!open_request(&p, x->request))
			return;
		CHECK_EQ(send_whole(&p, &head, x->length > 0 ? "hello, world" : NULL), 0);
		CHECK_EQ(p.m->state, RL_REPLY_DONE);
		CHECK_EQ(p.m->left, 0);
		CHECK_EQ(p.m->keep, x->keep);
		expect_text(&p, x->want);
		close_peers(&p);
	}
}

/* Together with its head, or behind it. */
TEST(bodies_follow_whatever_their_length)
{
	static const size_t fields_lens[] = {0, 100, 500, 960, 985, 1000};
	static char fields[1000], body[1100], want[1200];
	memset(body, 'b', sizeof body);
	for (size_t i = 0; i < COUNT(fields_lens) * 60; i++) {
		size_t len = fields_lens[i / 60], body_len = i % 60 + (len < 960 ? 940 - len : 0);
		struct rl_reply_head head = {.status = 200, .fields = fields, .fields_len = len,
			.length = (int64_t)body_len, .has_date = true};
		struct peers p;
		if (!open_request(&p, NEW))
			return;
		memset(fields, 'v', sizeof fields);
		memcpy(fields, "X: ", 3);
		if (len > 0)
			memcpy(fields + len - 2, "\r\n", 2);
		CHECK_EQ(send_whole(&p, &head, body), 0);
		sprintf(want, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%.*s\r\n%.*s", body_len,
			(int)len, fields, (int)body_len, body);
		expect_text(&p, want);
		close_peers(&p);
	}
}

/* The line of the date is made anew when the second is over, and not before. */
TEST(answers_have_the_date_of_their_second)
{
	struct rl_reply_head head = {.status = 204, .length = -1};
	char first[40];
	struct peers p;
	if (!open_request(&p, NEW))
		return;
	CHECK_EQ(begin(&p, &head), 0);
	CHECK(memcmp(p.w.net->date, "Date: ", 6) == 0);
	CHECK(memcmp(p.w.net->date + 31, " GMT\r\n", 6) == 0);
	memcpy(first, p.w.net->date, sizeof first);
	int64_t until_ns = p.w.net->date_until_ns, left_ns = until_ns - rl_shard_now(&p.w.shard);
	CHECK(left_ns > 0 && left_ns <= 1000000000LL);
	rl_os_poll(p.w.shard.os, until_ns - 1);
	CHECK(rl_shard_now(&p.w.shard) < until_ns);
	CHECK_EQ(begin(&p, &head), 0);
	CHECK(memcmp(first, p.w.net->date, sizeof first) == 0);
	WORLD_UNTIL(&p.w, p.w.shard.now_ns >= until_ns);
	CHECK_EQ(begin(&p, &head), 0);
	CHECK(memcmp(first, p.w.net->date, 37) != 0);
	CHECK_EQ(p.w.net->date_until_ns, until_ns + 1000000000LL);
	close_peers(&p);
}

TEST(a_body_is_asked_for_once)
{
	struct rl_reply_head head = {.status = 200, .length = 0, .has_date = true};
	for (int asked = 0; asked < 2; asked++) {
		struct peers p;
		if (!open_request(&p, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
			"Content-Length: 3\r\n\r\n"))
			return;
		CHECK(p.m->continue_due && p.m->keep);
		for (int i = 0; asked && i < 2; i++) {
			CHECK_EQ(rl_out_begin(p.b, false), 0);
			CHECK_EQ(rl_reply_continue(p.m), 0);
			rl_out_end(p.b, 0);
		}
		CHECK_EQ(begin(&p, &head), 0);
		CHECK_EQ(end(&p), 0);
		CHECK_EQ(p.m->keep, asked); /* he may send it or not */
		expect_text(&p, asked
			? "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
			: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
		close_peers(&p);
	}
}

TEST(statuses_have_names)
{
	CHECK(strcmp(rl_status_reason(200), "OK") == 0);
	CHECK(strcmp(rl_status_reason(511), "Network Authentication Required") == 0);
	CHECK(strcmp(rl_status_reason(418), "Unknown") == 0);
	CHECK(strcmp(rl_status_reason(999), "Unknown") == 0);
}

/* A head with more fields than are put together at once, and a body in chunks. */
static int scarce_answer(struct peers *p, const char *fields, const char *piece)
{
	struct rl_reply_head head = {.status = 200, .fields = fields, .fields_len = strlen(fields),
		.length = -1, .has_date = true};
	int err = rl_out_begin(p->b, false);
	if (err < 0)
		return err;
	err = rl_reply_begin(p->m, &head);
	for (int i = 0; i < 3 && err == 0; i++)
		err = rl_reply_write(p->m, piece, strlen(piece));
	if (err == 0)
		err = rl_reply_end(p->m);
	rl_out_end(p->b, err);
	return err;
}

/* The receiver gets all of the answer, or its beginning and never its end. */
static void play_answer(void)
{
	static char fields[2000], piece[1501], want[8000], got[8000];
	struct peers p;
	sprintf(fields, "X-Long: %01900d\r\n", 0);
	memset(piece, 'p', sizeof piece - 1);
	sprintf(want, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s\r\n"
		"5DC\r\n%s\r\n5DC\r\n%s\r\n5DC\r\n%s\r\n0\r\n\r\n", fields, piece, piece, piece);
	if (!open_request(&p, NEW))
		return;
	CHECK_EQ(rl_stream_extend(p.a), 0);
	p.a->more->read_high = sizeof want;
	int err = SCARCE(scarce_answer(&p, fields, piece));
	rl_stream_expect(p.a, (uint32_t)strlen(want), (uint32_t)strlen(want));
	for (int i = 0; i < 40; i++)
		SCARCE((world_step(&p.w, 2), 0));
	uint32_t len = p.a->in.len;
	CHECK(len <= strlen(want));
	rl_bytes_copy(&p.a->in, 0, got, len);
	CHECK(strncasecmp(got, want, len) == 0);
	CHECK(err == 0 || (err == -ENOMEM && scarce.failed > 0 && len < strlen(want)));
	CHECK(len == strlen(want) || scarce.failed > 0);
	CHECK(err == 0 || p.b->out_err == -ENOMEM);
	close_peers(&p);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_answer, 4);
}

int main(void)
{
	RUN(answers_are_framed_as_their_receiver_understands);
	RUN(no_more_than_promised_and_no_less);
	RUN(a_promise_holds_for_head_too);
	RUN(fields_follow_whatever_their_length);
	RUN(an_answer_at_once_is_the_same_as_one_in_pieces);
	RUN(bodies_follow_whatever_their_length);
	RUN(answers_have_the_date_of_their_second);
	RUN(a_body_is_asked_for_once);
	RUN(statuses_have_names);
	RUN(memory_runs_out_at_every_allocation);
	return FINISH();
}
