/* SPDX-License-Identifier: MIT */
/* message: heads and bodies off a stream however they were cut, what is refused, and messages and
 * streams that outlive each other. */
#include "http_peers.h"
#include "scarce.h"

#include <stdlib.h>

#define COUNT(table) (sizeof table / sizeof *table)

/* Turn the world until the call gives another answer than "more bytes". */
static int take_request(struct peers *p)
{
	int done = 0;
	for (int i = 0; i < 100 && done == 0; i++) {
		done = rl_message_request(p->m);
		if (done != 0)
			break;
		CHECK_EQ(rl_stream_expect(p->b, 1, 1), 0);
		world_step(&p->w, 2);
	}
	return done;
}

static int take_response(struct peers *p, unsigned method)
{
	int done = 0;
	for (int i = 0; i < 100 && done == 0; i++) {
		done = rl_message_response(p->m, method);
		if (done != 0)
			break;
		CHECK_EQ(rl_stream_expect(p->b, 1, 1), 0);
		world_step(&p->w, 2);
	}
	return done;
}

/* The rest of the body, as text, and 0; or what it failed with. */
static int take_body(struct peers *p, char *text)
{
	struct rl_http_piece piece;
	int status = -EAGAIN;
	*text = '\0';
	for (int i = 0; i < 10000; i++) {
		status = rl_message_body(p->m, &piece);
		if (status == -EAGAIN) {
			CHECK_EQ(rl_stream_expect(p->b, p->b->in.len + 1, p->b->in.len + 1), 0);
			world_step(&p->w, 2);
		} else if (status == 1) {
			strncat(text, piece.data, piece.len);
		} else {
			break;
		}
	}
	return status;
}

/* The value of a field of the head is this. */
static bool field_is(const struct rl_message *m, const char *name, const char *want)
{
	const struct rl_http_field *f = rl_http_field_find_name(&m->head.fields, m->bytes, name,
		strlen(name), 0);
	return f && f->value.len == strlen(want)
		&& memcmp(m->bytes + f->value.off, want, f->value.len) == 0;
}

static const char chunked[] = "PUT /up?load HTTP/1.1\r\nHost: h\r\nX-Note: some\r\n"
	"Transfer-Encoding: chunked\r\n\r\n5;ext\r\nhello\r\n7\r\n, world\r\n"
	"0\r\nDigest: one\r\nX-More: two\r\n\r\n";

static void expect_chunked(struct peers *p)
{
	struct rl_message *m = p->m;
	char text[100];
	CHECK_EQ(take_request(p), 1);
	CHECK_EQ(m->head.method_id, RL_METHOD_PUT);
	CHECK(field_is(m, "x-note", "some"));
	CHECK(m->has_head && m->keep && !rl_message_is_read(m));
	CHECK_EQ(m->body.framing, RL_BODY_CHUNKED);
	CHECK_EQ(take_body(p, text), 0);
	CHECK(strcmp(text, "hello, world") == 0);
	CHECK(rl_message_is_read(m));
	CHECK_EQ(m->body.trailers.count, 2);
	if (m->body.trailers.count != 2)
		return;
	const struct rl_http_field *f = &m->body.trailers.list[1];
	CHECK_EQ(f->name_len, 6);
	CHECK(memcmp(m->trail + f->name, "X-More", 6) == 0);
	CHECK(memcmp(m->trail + f->value.off, "two", 3) == 0);
}

TEST(a_head_in_one_piece_pins_nothing)
{
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, "GET /a HTTP/1.1\r\nHost: h\r\nX-Note: some\r\n\r\n");
	CHECK_EQ(take_request(&p), 1);
	CHECK_EQ(p.m->head.method_id, RL_METHOD_GET);
	CHECK(field_is(p.m, "host", "h") && field_is(p.m, "X-NOTE", "some"));
	CHECK(rl_message_is_read(p.m) && p.m->bytes == p.m->few);
	CHECK_EQ(p.b->in.len, 0);
	CHECK_EQ(p.w.net->chunks.lent, 0);
	close_peers(&p);
}

/* Nothing of a head that is not complete stays in the stream. */
TEST(a_message_cut_in_two_anywhere)
{
	size_t len = strlen(chunked), head = (size_t)(strstr(chunked, "\r\n\r\n") + 4 - chunked);
	for (size_t cut = 0; cut <= len; cut++) {
		struct peers p;
		if (!open_message(&p, &usual_limits))
			return;
		send_bytes(p.a, chunked, cut);
		settle_bytes(&p);
		if (cut < head) {
			CHECK_EQ(rl_message_request(p.m), 0);
			CHECK_EQ(p.b->in.len, 0);
			CHECK_EQ(p.m->len, cut);
		}
		send_bytes(p.a, chunked + cut, len - cut);
		expect_chunked(&p);
		close_peers(&p);
	}
}

TEST(a_message_byte_by_byte)
{
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	for (size_t i = 0; i < strlen(chunked); i++) {
		send_bytes(p.a, chunked + i, 1);
		settle_bytes(&p);
		if (!p.m->has_head)
			rl_message_request(p.m);
		if (p.m->has_head)
			break;
	}
	CHECK(p.m->has_head && field_is(p.m, "x-note", "some"));
	const char *body = strstr(chunked, "\r\n\r\n") + 4;
	char text[100], all[100] = "";
	for (size_t i = 0; body[i]; i++) {
		struct rl_http_piece piece;
		send_bytes(p.a, body + i, 1);
		settle_bytes(&p);
		int status = rl_message_body(p.m, &piece);
		CHECK_EQ(status, body[i + 1] ? (status == 1 ? 1 : -EAGAIN) : 0);
		if (status == 1)
			strncat(all, piece.data, piece.len);
	}
	CHECK_EQ(take_body(&p, text), 0);
	CHECK(strcmp(all, "hello, world") == 0 && text[0] == '\0');
	CHECK_EQ(p.m->body.trailers.count, 2);
	close_peers(&p);
}

/* Larger than a buffer of the seam, and than what a record holds. */
TEST(a_head_over_many_pieces)
{
	static char value[3001], text[3200];
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	memset(value, 'v', sizeof value - 1);
	sprintf(text, "POST / HTTP/1.0\r\nX-Long: %s\r\nContent-Length: 4\r\n\r\nbody", value);
	send_text(p.a, text);
	CHECK_EQ(take_request(&p), 1);
	CHECK(p.m->bytes != p.m->few && field_is(p.m, "x-long", value));
	CHECK_EQ(take_body(&p, text), 0);
	CHECK(strcmp(text, "body") == 0);
	rl_message_next(p.m);
	CHECK(p.m->bytes == p.m->few);
	close_peers(&p);
}

TEST(bodies_end_by_length_and_the_next_message_follows)
{
	struct peers p;
	char text[100];
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfirst"
		"POST /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond");
	CHECK_EQ(take_request(&p), 1);
	CHECK(p.m->keep);
	CHECK_EQ(p.m->head.content_length, 5);
	CHECK_EQ(take_body(&p, text), 0);
	CHECK(strcmp(text, "first") == 0);
	uint32_t slot = p.m->slot, gen = p.m->gen;
	CHECK(rl_message_at(p.w.net, slot, gen) == p.m);
	rl_message_next(p.m);
	CHECK(rl_message_at(p.w.net, slot, gen) == NULL);
	CHECK(rl_message_at(p.w.net, slot, p.m->gen) == p.m);
	CHECK_EQ(take_request(&p), 1);
	CHECK(!p.m->keep);
	CHECK_EQ(take_body(&p, text), 0);
	CHECK(strcmp(text, "second") == 0);
	close_peers(&p);
}

/* A piece stays until it was taken, and is shown where it lies. */
TEST(a_piece_is_the_streams_until_it_was_taken)
{
	struct peers p;
	struct rl_http_piece piece;
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, "POST / HTTP/1.0\r\nContent-Length: 6\r\n\r\nabc");
	CHECK_EQ(take_request(&p), 1);
	CHECK_EQ(rl_message_body(p.m, &piece), 1);
	CHECK_EQ(piece.len, 3);
	CHECK_EQ(p.b->in.len, 3);
	rl_message_took(p.m);
	CHECK_EQ(p.b->in.len, 0);
	rl_message_took(p.m);
	CHECK_EQ(rl_message_body(p.m, &piece), -EAGAIN);
	close_peers(&p);
}

/* The peer sends this and no more: the head, or else the body, gives -EPROTO and that error. */
struct wrong {
	const char *text;
	int error;
	struct rl_http_limits limits;
};

#define LINE "POST / HTTP/1.1\r\nHost: h\r\n"
#define CHUNKS LINE "Transfer-Encoding: chunked\r\n\r\n"

static const struct wrong wrongs[] = {
	{"GET / HTTP/1.1\r\n\r\n", RL_HTTP_NO_HOST, RL_HTTP_LIMITS_DEFAULT},
	{"GET / HTTP/3.0\r\n\r\n", RL_HTTP_OTHER_VERSION, RL_HTTP_LIMITS_DEFAULT},
	{LINE "a : b\r\n\r\n", RL_HTTP_BAD_NAME, RL_HTTP_LIMITS_DEFAULT},
	{LINE "Content-Length: 6\r\n\r\nshort", RL_HTTP_CUT_SHORT, RL_HTTP_LIMITS_DEFAULT},
	{CHUNKS "5\r\nhel", RL_HTTP_CUT_SHORT, RL_HTTP_LIMITS_DEFAULT},
	{CHUNKS "5\r\nhello\r\n", RL_HTTP_CUT_SHORT, RL_HTTP_LIMITS_DEFAULT},
	{CHUNKS "5\r\nhello\r\n0\r\nX-More: t", RL_HTTP_CUT_SHORT, RL_HTTP_LIMITS_DEFAULT},
	{CHUNKS "z\r\n", RL_HTTP_BAD_CHUNK_SIZE, RL_HTTP_LIMITS_DEFAULT},
	{CHUNKS "0\r\nHost: h\r\n\r\n", RL_HTTP_BAD_TRAILER, RL_HTTP_LIMITS_DEFAULT},
	{"GET /123456789 HTTP/1.0\r\n\r\n", RL_HTTP_LONG_TARGET, {9, 80, 3, 200, 16, 8}},
	{LINE "a: b\r\na: b\r\na: b\r\n\r\n", RL_HTTP_MANY_FIELDS, {9, 80, 3, 200, 16, 8}},
	{LINE "a: bcdefghijklmnop\r\n\r\n", RL_HTTP_LONG_LINE, {9, 16, 3, 200, 16, 8}},
	{LINE "a: bcdefghijklmnop\r\n\r\n", RL_HTTP_LONG_HEAD, {9, 80, 3, 40, 16, 8}},
	{LINE "Content-Length: 9\r\n\r\n", RL_HTTP_LARGE_BODY, {9, 80, 3, 200, 16, 8}},
	{CHUNKS "8\r\n12345678\r\n1\r\n", RL_HTTP_LARGE_BODY, {9, 80, 3, 200, 16, 8}},
};

TEST(what_is_wrong_is_told)
{
	for (size_t i = 0; i < COUNT(wrongs); i++) {
		struct peers p;
		char text[100];
		if (!open_message(&p, &wrongs[i].limits))
			return;
		send_text(p.a, wrongs[i].text);
		rl_out_shutdown(p.a);
		int done = take_request(&p);
		if (done == 1)
			done = take_body(&p, text);
		CHECK_EQ(done, -EPROTO);
		CHECK_EQ(p.m->error, wrongs[i].error);
		if (p.m->error != wrongs[i].error)
			printf("    wrong %zu\n", i);
		close_peers(&p);
	}
}

/* Limits that allow more than a record holds. */
TEST(as_many_fields_as_the_limits_allow)
{
	struct rl_http_limits roomy = usual_limits;
	static char text[4000];
	struct peers p;
	roomy.fields_max = 2 * RL_MESSAGE_FIELDS;
	if (!open_message(&p, &roomy))
		return;
	char *at = text + sprintf(text, "GET / HTTP/1.0\r\n");
	for (int i = 0; i < 2 * RL_MESSAGE_FIELDS; i++)
		at += sprintf(at, "f%d: %d\r\n", i, i);
	memcpy(at, "\r\n", 3);
	send_text(p.a, text);
	CHECK_EQ(take_request(&p), 1);
	CHECK_EQ(p.m->head.fields.count, 2 * RL_MESSAGE_FIELDS);
	CHECK(field_is(p.m, "f199", "199"));
	close_peers(&p);
}

TEST(the_end_of_a_stream_is_told)
{
	static const char *const parts[] = {"", "GET / HT", "GET / HTTP/1.0\r\nHost"};
	for (size_t i = 0; i < COUNT(parts); i++) {
		struct peers p;
		if (!open_message(&p, &usual_limits))
			return;
		send_text(p.a, parts[i]);
		rl_out_shutdown(p.a);
		CHECK_EQ(take_request(&p), -RL_EOF);
		CHECK_EQ(rl_message_request(p.m), -RL_EOF);
		close_peers(&p);
	}
}

TEST(responses_end_by_length_close_or_not_at_all)
{
	struct peers p;
	char text[100];
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
		"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
		"HTTP/1.1 200 OK\r\n\r\nto the end");
	rl_out_shutdown(p.a);
	CHECK_EQ(take_response(&p, RL_METHOD_GET), 1);
	CHECK(rl_message_is_read(p.m) && p.m->keep);
	rl_message_next(p.m);
	CHECK_EQ(take_response(&p, RL_METHOD_HEAD), 1);
	CHECK(rl_message_is_read(p.m) && p.m->keep);
	rl_message_next(p.m);
	CHECK_EQ(take_response(&p, RL_METHOD_GET), 1);
	CHECK_EQ(take_body(&p, text), 0);
	CHECK(strcmp(text, "no") == 0);
	CHECK_EQ(p.m->head.status, 404);
	rl_message_next(p.m);
	CHECK_EQ(take_response(&p, RL_METHOD_GET), 1);
	CHECK(!p.m->keep);
	CHECK_EQ(take_body(&p, text), 0);
	CHECK(strcmp(text, "to the end") == 0);
	close_peers(&p);
}

TEST(informational_responses_are_passed_over)
{
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	CHECK_EQ(take_response(&p, RL_METHOD_GET), 1);
	CHECK_EQ(p.m->head.status, 200);
	CHECK_EQ(p.m->interim, 2);
	CHECK(p.m->may_go_on && !field_is(p.m, "link", "x"));
	rl_message_next(p.m);
	send_text(p.a, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
	CHECK_EQ(take_response(&p, RL_METHOD_GET), 1);
	CHECK_EQ(p.m->head.status, 101);
	close_peers(&p);
}

TEST(informational_responses_without_end_are_refused)
{
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	for (int i = 0; i <= RL_MESSAGE_INTERIM; i++) {
		CHECK_EQ(rl_message_response(p.m, RL_METHOD_GET), 0);
		send_text(p.a, "HTTP/1.1 102 Processing\r\n\r\n");
		settle_bytes(&p);
	}
	CHECK_EQ(rl_message_response(p.m, RL_METHOD_GET), -EPROTO);
	CHECK_EQ(p.m->error, RL_HTTP_LONG_HEAD);
	close_peers(&p);
}

/* Somebody who handles a message finds that its stream is gone; one that nobody handles goes. */
TEST(a_message_outlives_its_stream_while_it_is_handled)
{
	struct peers p;
	struct rl_http_piece piece;
	for (int busy = 0; busy < 2; busy++) {
		if (!open_message(&p, &usual_limits))
			return;
		send_text(p.a, "POST / HTTP/1.0\r\nX-Note: some\r\nContent-Length: 6\r\n\r\nabc");
		CHECK_EQ(take_request(&p), 1);
		CHECK_EQ(rl_message_body(p.m, &piece), 1);
		uint32_t slot = p.m->slot, gen = p.m->gen;
		p.m->busy = busy;
		world_drop(&p.b);
		WORLD_UNTIL(&p.w, p.w.net->streams->live == 1);
		CHECK(rl_message_at(p.w.net, slot, gen) == (busy ? p.m : NULL));
		if (busy) {
			CHECK(p.m->stream == NULL && field_is(p.m, "x-note", "some"));
			rl_message_took(p.m);
			CHECK_EQ(rl_message_body(p.m, &piece), -RL_ECLOSED);
			rl_message_next(p.m);
			CHECK_EQ(rl_message_request(p.m), -RL_ECLOSED);
		} else {
			p.m = NULL;
		}
		close_peers(&p);
	}
}

TEST(a_stream_outlives_its_message)
{
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, "GET / HTTP/1.0\r\n\r\nrest");
	CHECK_EQ(take_request(&p), 1);
	uint32_t slot = p.m->slot, gen = p.m->gen;
	rl_message_free(p.m);
	CHECK(p.b->more->message == NULL && rl_message_at(p.w.net, slot, gen) == NULL);
	CHECK_EQ(p.b->in.len, 4);
	p.m = rl_message_new(p.b, &usual_limits);
	CHECK_EQ(p.m->slot, slot);
	CHECK(p.m->gen != gen && rl_message_at(p.w.net, slot, gen) == NULL);
	gen = p.m->gen;
	rl_message_rename(p.m);
	CHECK(rl_message_at(p.w.net, slot, gen) == NULL);
	CHECK(rl_message_at(p.w.net, slot, p.m->gen) == p.m);
	CHECK(rl_message_at(p.w.net, 1000, p.m->gen) == NULL);
	close_peers(&p);
}

/* The end of the run frees what is still there. */
TEST(a_run_that_ends_frees_its_messages)
{
	struct peers p;
	if (!open_message(&p, &usual_limits))
		return;
	send_text(p.a, chunked);
	expect_chunked(&p);
	world_close(&p.w);
}

/* The rest of a message: its head and its body, with `text` of it. The end, or what it failed
 * with. */
static int take_scarce(struct peers *p, bool is_request, char *text)
{
	struct rl_http_piece piece;
	int status = 0;
	*text = '\0';
	for (int i = 0; i < 100 && status == 0; i++) {
		status = SCARCE(is_request ? rl_message_request(p->m)
			: rl_message_response(p->m, RL_METHOD_GET));
		if (status == 0)
			SCARCE((world_step(&p->w, 2), 0));
	}
	for (int i = 0; i < 100 && (status == 1 || status == -EAGAIN); i++) {
		status = SCARCE(rl_message_body(p->m, &piece));
		if (status == 1)
			strncat(text, piece.data, piece.len);
		else if (status == -EAGAIN)
			SCARCE((rl_stream_expect(p->b, p->b->in.len + 1, p->b->in.len + 1),
				world_step(&p->w, 2), 0));
	}
	return status;
}

/* A head that outgrows the record, and trailers that are in two pieces. */
static void play_message(bool is_request)
{
	static char text[3200], got[100];
	struct rl_http_limits roomy = usual_limits;
	struct peers p;
	roomy.fields_max = 2 * RL_MESSAGE_FIELDS;
	if (!open_peers(&p) || rl_stream_extend(p.a) < 0)
		return;
	p.a->more->write_high = 1 << 20;
	int len = sprintf(text, "%s", is_request ? "PUT / HTTP/1.1\r\nHost: h\r\n"
		: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
	len += sprintf(text + len, "X-Long: %02000d\r\nTransfer-Encoding: chunked\r\n\r\n", 0);
	send_bytes(p.a, text, (size_t)len);
	send_text(p.a, "5\r\nhello\r\n7\r\n, world\r\n0\r\nDigest: o");
	settle_bytes(&p);
	p.m = SCARCE(rl_message_new(p.b, &roomy));
	if (p.m) {
		p.m->busy = true;
		p.b->more->message = p.m;
		send_text(p.a, "ne\r\nX-More: two\r\n\r\n");
		int status = take_scarce(&p, is_request, got);
		bool excused = scarce.failed > 0 && (status == -ENOMEM || p.a->out_err == -ENOMEM);
		CHECK(status == 0 || excused);
		if (status == 0)
			CHECK(strcmp(got, "hello, world") == 0 && p.m->body.trailers.count == 2
				&& p.m->trail);
		CHECK(strncmp("hello, world", got, strlen(got)) == 0);
	} else {
		CHECK(scarce.failed > 0);
	}
	close_peers(&p);
}

static void play_request(void)
{
	play_message(true);
}

static void play_response(void)
{
	play_message(false);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_request, 5);
	scarce_play(play_response, 5);
}

int main(void)
{
	RUN(a_head_in_one_piece_pins_nothing);
	RUN(a_message_cut_in_two_anywhere);
	RUN(a_message_byte_by_byte);
	RUN(a_head_over_many_pieces);
	RUN(bodies_end_by_length_and_the_next_message_follows);
	RUN(a_piece_is_the_streams_until_it_was_taken);
	RUN(what_is_wrong_is_told);
	RUN(as_many_fields_as_the_limits_allow);
	RUN(the_end_of_a_stream_is_told);
	RUN(responses_end_by_length_close_or_not_at_all);
	RUN(informational_responses_are_passed_over);
	RUN(informational_responses_without_end_are_refused);
	RUN(a_message_outlives_its_stream_while_it_is_handled);
	RUN(a_stream_outlives_its_message);
	RUN(a_run_that_ends_frees_its_messages);
	RUN(memory_runs_out_at_every_allocation);
	return FINISH();
}
