/* SPDX-License-Identifier: MIT */
/* serve: the requests of a server's connection, as the one worker of its crew gets them. The
 * worker is a task record that never parks. */
#include "http_peers.h"
#include "scarce.h"

#include "rt/reply.h"
#include "rt/serve.h"

#define REQUEST(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK_LAST "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* The server's end is `p.b`. */
struct server {
	struct peers p;
	struct rl_crew *crew;
	struct rl_serve v;
	struct rl_message *m; /* what rl_serve_next gave last */
	struct rl_stream *s;
};

static bool open_server(struct server *x)
{
	memset(x, 0, sizeof *x);
	if (!open_peers(&x->p))
		return false;
	struct rl_shard *shard = &x->p.w.shard;
	struct rl_task *t = rl_task_new(shard, 0);
	rl_list_remove(&t->clause.link);
	rl_runq_init(&shard->runq);
	t->state = RL_TASK_RUNNING;
	shard->current = t;
	x->v.limits = usual_limits;
	x->v.head_ns = -1;
	CHECK_EQ(rl_crew_open(x->p.w.net, &x->crew), 0);
	CHECK_EQ(rl_crew_add(x->crew, x->p.b), 0);
	x->p.b->more->write_high = 1 << 20;
	rl_crew_rest(x->p.b);
	return true;
}

static void close_server(struct server *x)
{
	rl_crew_disown(x->crew);
	x->p.w.shard.current = NULL;
	close_peers(&x->p);
}

/* What the worker finds, once all that was sent is here. */
static int next(struct server *x)
{
	settle_bytes(&x->p);
	return rl_serve_next(&x->v, x->crew, &x->m, &x->s);
}

static bool target_is(const struct rl_message *m, const char *want)
{
	struct rl_http_span path = m->head.target.path;
	return path.len == strlen(want) && memcmp(m->bytes + path.off, want, path.len) == 0;
}

/* The handler's answer: 200 with nothing. */
static void answer(struct rl_message *m)
{
	struct rl_reply_head head = {.status = 200, .length = 0, .has_date = true};
	CHECK_EQ(rl_out_begin(m->stream, false), 0);
	CHECK_EQ(rl_reply_begin(m, &head), 0);
	CHECK_EQ(rl_reply_end(m), 0);
	rl_out_end(m->stream, 0);
}

/* The next thing is a request for `target`, which is answered. Is there another one already? */
static bool serve_one(struct server *x, const char *target)
{
	int found = next(x);
	CHECK_EQ(found, RL_SERVE_REQUEST);
	if (found != RL_SERVE_REQUEST)
		return false;
	CHECK(x->s == x->p.b && x->m->busy && target_is(x->m, target));
	answer(x->m);
	return rl_serve_done(&x->v, x->m, true);
}

/* `a` got an answer with that status line, whatever its date, and then the end. */
static void expect_refusal(struct server *x, const char *line)
{
	char got[200] = "";
	struct rl_stream *a = x->p.a;
	WORLD_UNTIL(&x->p.w, rl_stream_has(a, 1000) != -EAGAIN);
	CHECK_EQ(rl_stream_has(a, 1000), -RL_EOF);
	CHECK(a->in.len < sizeof got);
	if (a->in.len >= sizeof got)
		return;
	rl_bytes_copy(&a->in, 0, got, a->in.len);
	CHECK(memcmp(got, line, strlen(line)) == 0);
	CHECK(strstr(got, "Connection: close\r\n") != NULL);
	rl_stream_consume(a, a->in.len);
}

TEST(a_connection_that_rests_has_no_message)
{
	struct server x;
	if (!open_server(&x))
		return;
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	for (int i = 0; i < 3; i++) {
		send_text(x.p.a, REQUEST("/again"));
		CHECK(!serve_one(&x, "/again"));
		expect_text(&x.p, OK_EMPTY);
		CHECK(x.p.b->more->message == NULL);
		CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	}
	CHECK_EQ(x.v.requests, 3);
	CHECK_EQ(x.v.refused, 0);
	close_server(&x);
}

TEST(a_head_may_come_in_parts)
{
	struct server x;
	if (!open_server(&x))
		return;
	send_text(x.p.a, "GET /parts HT");
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	struct rl_message *m = x.p.b->more->message;
	CHECK(m && !m->busy && !m->has_head);
	send_text(x.p.a, "TP/1.1\r\nHost: h\r\n\r");
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	send_text(x.p.a, "\n");
	CHECK(!serve_one(&x, "/parts"));
	CHECK(x.m == m);
	expect_text(&x.p, OK_EMPTY);
	close_server(&x);
}

/* Requests that are here follow at once; after so many, others have a turn first. */
TEST(pipelined_requests_are_served_in_batches)
{
	enum { COUNT = 2 * RL_SERVE_BATCH + 10 };
	struct server x;
	uint32_t gen = 0;
	int turns = 0, asked = 0;
	if (!open_server(&x))
		return;
	CHECK_EQ(rl_stream_extend(x.p.a), 0);
	x.p.a->more->write_high = x.p.b->more->read_high = 1 << 20;
	for (; asked < COUNT; asked++)
		send_text(x.p.a, REQUEST("/p"));
	int served = 0;
	while (next(&x) == RL_SERVE_REQUEST && turns < 10) {
		bool more = true;
		for (turns++; more; served++) {
			CHECK(target_is(x.m, "/p") && x.m->gen != gen);
			CHECK(rl_message_at(x.p.w.net, x.m->slot, gen) == NULL);
			gen = x.m->gen;
			answer(x.m);
			more = rl_serve_done(&x.v, x.m, true);
		}
		if (turns < 3)
			CHECK_EQ(served, turns * RL_SERVE_BATCH);
	}
	CHECK_EQ(served, COUNT);
	CHECK_EQ(turns, 3);
	CHECK_EQ(x.v.requests, COUNT);
	close_server(&x);
}

TEST(a_body_that_nobody_read_is_thrown_away)
{
	struct server x;
	if (!open_server(&x))
		return;
	send_text(x.p.a, "PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nunread" REQUEST("/2"));
	CHECK(serve_one(&x, "/1"));
	CHECK(target_is(x.m, "/2"));
	answer(x.m);
	CHECK(!rl_serve_done(&x.v, x.m, true));
	expect_text(&x.p, OK_EMPTY OK_EMPTY);
	CHECK_EQ(x.v.requests, 2);
	close_server(&x);
}

/* Nobody waits for a body that nobody wants: the connection ends, and what comes is lost. */
TEST(a_body_that_is_not_here_ends_the_connection)
{
	struct server x;
	if (!open_server(&x))
		return;
	send_text(x.p.a, "PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\nsome");
	CHECK(!serve_one(&x, "/1"));
	CHECK(x.p.b->more->message && x.p.b->more->message->lingers);
	CHECK_EQ(x.p.b->in.len, 0);
	expect_text(&x.p, OK_EMPTY);
	CHECK_EQ(rl_stream_status(x.p.a), -RL_EOF);
	send_text(x.p.a, "more of it, and then " REQUEST("/2"));
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	CHECK_EQ(x.p.b->in.len, 0);
	rl_out_shutdown(x.p.a);
	CHECK_EQ(next(&x), RL_SERVE_ENDED);
	CHECK(x.s == x.p.b);
	close_server(&x);
}

/* The answer is not lost to a reset: what the sender goes on with is taken, for a time. */
TEST(a_refusal_lingers)
{
	struct server x;
	if (!open_server(&x))
		return;
	send_text(x.p.a, "GET / HTTP/1.1\r\n\r\n");
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	CHECK_EQ(x.v.refused, 1);
	CHECK_EQ(x.v.requests, 0);
	int64_t from_ns = rl_shard_now(&x.p.w.shard);
	expect_refusal(&x, "HTTP/1.1 400 Bad Request\r\n");
	for (int i = 0; i < 5; i++) {
		send_text(x.p.a, REQUEST("/more"));
		CHECK_EQ(next(&x), RL_SERVE_NOTHING);
		CHECK_EQ(x.p.b->in.len, 0);
	}
	WORLD_UNTIL(&x.p.w, rl_stream_status(x.p.b) != -EAGAIN);
	CHECK_EQ(rl_stream_status(x.p.b), -ETIMEDOUT);
	int64_t took_ns = x.p.w.shard.now_ns - from_ns;
	CHECK(took_ns > RL_MESSAGE_LINGER_NS - 50000000 && took_ns < RL_MESSAGE_LINGER_NS + 50000000);
	CHECK_EQ(next(&x), RL_SERVE_ENDED);
	close_server(&x);
}

static void expect_refused(const char *request, const struct rl_http_limits *limits,
	const char *line)
{
	struct server x;
	if (!open_server(&x))
		return;
	x.v.limits = *limits;
	send_text(x.p.a, request);
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	expect_refusal(&x, line);
	CHECK_EQ(x.v.refused, 1);
	rl_out_shutdown(x.p.a);
	CHECK_EQ(next(&x), RL_SERVE_ENDED);
	close_server(&x);
}

TEST(refusals_say_why)
{
	const struct rl_http_limits small = {9, 80, 3, 200, 16, 8};
	expect_refused("GET / HTTP/2.0\r\n", &usual_limits, "HTTP/1.1 505 ");
	expect_refused(REQUEST("/1234567890"), &small, "HTTP/1.1 414 ");
	expect_refused("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", &small,
		"HTTP/1.1 413 ");
	expect_refused("PUT / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n", &usual_limits,
		"HTTP/1.1 417 ");
}

/* An answer that the handler did not give or end; a failure in the middle cannot be mended. */
TEST(what_a_handler_leaves_is_ended)
{
	struct rl_reply_head head = {.status = 200, .length = -1, .has_date = true};
	struct server x;
	if (!open_server(&x))
		return;
	send_text(x.p.a, REQUEST("/open"));
	CHECK_EQ(next(&x), RL_SERVE_REQUEST);
	CHECK_EQ(rl_out_begin(x.p.b, false), 0);
	CHECK_EQ(rl_reply_begin(x.m, &head), 0);
	rl_out_end(x.p.b, 0);
	CHECK(!rl_serve_done(&x.v, x.m, true));
	expect_text(&x.p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	send_text(x.p.a, REQUEST("/none"));
	CHECK_EQ(next(&x), RL_SERVE_REQUEST);
	CHECK(!rl_serve_done(&x.v, x.m, false));
	rl_stream_expect(x.p.a, 1, 1);
	WORLD_UNTIL(&x.p.w, rl_stream_status(x.p.a) == 0);
	CHECK_EQ(rl_bytes_find(&x.p.a->in, 0, "HTTP/1.1 500 ", 13), 0);
	rl_stream_consume(x.p.a, x.p.a->in.len);
	send_text(x.p.a, REQUEST("/cut"));
	CHECK_EQ(next(&x), RL_SERVE_REQUEST);
	CHECK_EQ(rl_out_begin(x.p.b, false), 0);
	CHECK_EQ(rl_reply_begin(x.m, &head), 0);
	rl_out_end(x.p.b, 0);
	CHECK(!rl_serve_done(&x.v, x.m, false));
	rl_stream_expect(x.p.a, 1000, 1000);
	WORLD_UNTIL(&x.p.w, rl_stream_has(x.p.a, 1000) == -ECONNRESET);
	close_server(&x);
}

TEST(a_connection_has_so_many_requests)
{
	struct server x;
	if (!open_server(&x))
		return;
	x.v.requests_max = 2;
	send_text(x.p.a, REQUEST("/1") REQUEST("/2") REQUEST("/3"));
	CHECK(serve_one(&x, "/1"));
	CHECK(!x.m->keep);
	answer(x.m);
	CHECK(!rl_serve_done(&x.v, x.m, true));
	expect_text(&x.p, OK_EMPTY OK_LAST);
	CHECK_EQ(rl_stream_status(x.p.a), -RL_EOF);
	CHECK_EQ(x.v.requests, 2);
	close_server(&x);
}

/* The answer under way is the last one, whether it has begun or not. */
TEST(stop_ends_with_the_answer_under_way)
{
	struct rl_reply_head head = {.status = 200, .length = 0, .has_date = true};
	for (int begun = 0; begun < 2; begun++) {
		struct server x;
		if (!open_server(&x))
			return;
		send_text(x.p.a, REQUEST("/last"));
		CHECK_EQ(next(&x), RL_SERVE_REQUEST);
		CHECK_EQ(rl_out_begin(x.p.b, false), 0);
		if (begun)
			CHECK_EQ(rl_reply_begin(x.m, &head), 0);
		x.v.stopping = true;
		rl_messages_stop(x.p.w.net, x.p.b->owner + 1);
		CHECK(x.m->keep);
		rl_messages_stop(x.p.w.net, x.p.b->owner);
		CHECK_EQ(x.m->keep, begun);
		if (!begun)
			CHECK_EQ(rl_reply_begin(x.m, &head), 0);
		CHECK_EQ(rl_reply_end(x.m), 0);
		rl_out_end(x.p.b, 0);
		CHECK(!rl_serve_done(&x.v, x.m, true));
		expect_text(&x.p, begun ? OK_EMPTY : OK_LAST);
		CHECK_EQ(rl_stream_status(x.p.a), -RL_EOF);
		rl_out_shutdown(x.p.a);
		CHECK_EQ(next(&x), RL_SERVE_ENDED);
		close_server(&x);
	}
}

/* From its first byte on a head has so much time, and is refused then; the connection's own limit
 * is back after it. */
TEST(a_head_has_its_time)
{
	struct server x;
	if (!open_server(&x))
		return;
	x.v.head_ns = 100000000;
	send_text(x.p.a, "GET /in-time HT");
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	CHECK(x.p.b->more->message->timed && x.p.b->more->total_ns > 0);
	send_text(x.p.a, "TP/1.1\r\nHost");
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	send_text(x.p.a, ": h\r\n\r\n");
	CHECK(!serve_one(&x, "/in-time"));
	CHECK_EQ(x.p.b->more->total_ns, -1);
	expect_text(&x.p, OK_EMPTY);
	for (int i = 0; i < 300; i++)
		world_step(&x.p.w, 1);
	CHECK_EQ(rl_stream_status(x.p.b), -EAGAIN);
	send_text(x.p.a, "GET /late HT");
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	int64_t due_ns = x.p.b->more->total_ns;
	WORLD_UNTIL(&x.p.w, x.p.b->more->message->late);
	CHECK(x.p.w.shard.now_ns >= due_ns && x.p.w.shard.now_ns < due_ns + 10000000);
	CHECK_EQ(next(&x), RL_SERVE_NOTHING);
	CHECK(x.p.b->more->message->lingers && x.v.refused == 1);
	expect_refusal(&x, "HTTP/1.1 408 Request Timeout\r\n");
	rl_out_shutdown(x.p.a);
	CHECK_EQ(next(&x), RL_SERVE_ENDED);
	close_server(&x);
}

/* Whose own time is over, or who has sent an empty line at most, is told nothing. */
TEST(a_head_that_has_not_begun_is_not_late)
{
	for (int i = 0; i < 2; i++) {
		struct server x;
		if (!open_server(&x))
			return;
		x.v.head_ns = 100000000;
		CHECK_EQ(rl_stream_extend(x.p.b), 0);
		if (i == 1)
			rl_stream_limit(x.p.b, -1, x.p.w.shard.now_ns + 50000000);
		send_text(x.p.a, i == 1 ? "GET /half" : "\r\n");
		CHECK_EQ(next(&x), RL_SERVE_NOTHING);
		WORLD_UNTIL(&x.p.w, rl_stream_status(x.p.b) == -ETIMEDOUT);
		CHECK(!x.p.b->more->message->late);
		CHECK_EQ(next(&x), RL_SERVE_ENDED);
		close_server(&x);
	}
}

TEST(a_handler_outlives_its_connection)
{
	struct server x;
	if (!open_server(&x))
		return;
	send_text(x.p.a, REQUEST("/gone"));
	CHECK_EQ(next(&x), RL_SERVE_REQUEST);
	world_drop(&x.p.b);
	WORLD_UNTIL(&x.p.w, x.p.w.net->streams->live == 1);
	CHECK(x.m->stream == NULL && target_is(x.m, "/gone"));
	CHECK(!rl_serve_done(&x.v, x.m, true));
	CHECK_EQ(rl_slab_live(x.p.w.net->messages), 0);
	close_server(&x);
}

/* A body of so many bytes is here, and nobody reads it. Does the connection go on? */
static bool goes_on_behind(uint32_t len)
{
	static char body[2 * RL_SERVE_DRAIN];
	char head[100];
	struct server x;
	if (!open_server(&x))
		return false;
	CHECK_EQ(rl_stream_extend(x.p.a), 0);
	x.p.a->more->write_high = x.p.b->more->read_high = 1 << 20;
	sprintf(head, "PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: %u\r\n\r\n", len);
	send_text(x.p.a, head);
	CHECK_EQ(next(&x), RL_SERVE_REQUEST);
	memset(body, 'b', len);
	send_bytes(x.p.a, body, len);
	WORLD_UNTIL(&x.p.w, x.p.b->in.len == len);
	answer(x.m);
	CHECK(!rl_serve_done(&x.v, x.m, true));
	bool lingers = x.p.b->more->message && x.p.b->more->message->lingers;
	CHECK_EQ(x.p.b->in.len, 0);
	if (!lingers) {
		send_text(x.p.a, REQUEST("/2"));
		CHECK(!serve_one(&x, "/2"));
	}
	expect_text(&x.p, lingers ? OK_EMPTY : OK_EMPTY OK_EMPTY);
	CHECK_EQ(rl_stream_status(x.p.a), lingers ? -RL_EOF : -EAGAIN);
	close_server(&x);
	return !lingers;
}

TEST(so_much_of_a_body_is_thrown_away)
{
	CHECK(goes_on_behind(RL_SERVE_DRAIN - 1));
	CHECK(goes_on_behind(RL_SERVE_DRAIN));
	CHECK(!goes_on_behind(RL_SERVE_DRAIN + 1));
	CHECK(!goes_on_behind(RL_SERVE_DRAIN + 1000));
}

static int scarce_reply(struct rl_message *m)
{
	struct rl_reply_head head = {.status = 200, .length = -1, .has_date = true};
	int err = rl_out_begin(m->stream, false);
	if (err < 0)
		return err;
	err = rl_reply_begin(m, &head);
	if (err == 0)
		err = rl_reply_write(m, "hello", 5);
	rl_out_end(m->stream, err);
	return err;
}

/* A client gets a beginning of this, or all; and it is told of the end if that is all it gets. */
static void play_requests(void)
{
	static const char want[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
		"0\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	char got[400] = "";
	struct server x;
	if (!open_server(&x))
		return;
	x.v.head_ns = 1000000000;
	send_text(x.p.a, "PUT /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
		"0\r\nX-More: t");
	for (int i = 0; i < 30; i++) {
		if (i == 10 && !x.p.a->out_err)
			send_text(x.p.a, "wo\r\n\r\n" REQUEST("/2") "no request");
		SCARCE((world_step(&x.p.w, 2), 0));
		bool more = SCARCE(rl_serve_next(&x.v, x.crew, &x.m, &x.s)) == RL_SERVE_REQUEST;
		while (more && i < 30) {
			SCARCE((world_step(&x.p.w, 2), 0));
			if (i < 10 && x.m->stream)
				send_text(x.p.a, "wo\r\n\r\n" REQUEST("/2"));
			i = i < 10 ? 10 : i;
			for (int k = 0; k < 5; k++)
				SCARCE((world_step(&x.p.w, 2), 0));
			bool ok = SCARCE(x.m->stream ? scarce_reply(x.m) : -ENOMEM) == 0;
			more = SCARCE(rl_serve_done(&x.v, x.m, ok));
		}
	}
	uint32_t len = x.p.a->in.len;
	CHECK(len < sizeof got);
	rl_bytes_copy(&x.p.a->in, 0, got, len < sizeof got ? len : 0);
	CHECK(strncmp(got, want, len) == 0 || scarce.failed > 0);
	CHECK(len == strlen(want) || scarce.failed > 0);
	if (strncmp(got, want, len) != 0 || (!scarce.failed && len != strlen(want)))
		printf("    got %s\n", got);
	close_server(&x);
}

TEST(memory_runs_out_at_every_allocation)
{
	scarce_play(play_requests, 4);
}

int main(void)
{
	RUN(a_connection_that_rests_has_no_message);
	RUN(a_head_may_come_in_parts);
	RUN(pipelined_requests_are_served_in_batches);
	RUN(a_body_that_nobody_read_is_thrown_away);
	RUN(a_body_that_is_not_here_ends_the_connection);
	RUN(a_refusal_lingers);
	RUN(refusals_say_why);
	RUN(what_a_handler_leaves_is_ended);
	RUN(a_connection_has_so_many_requests);
	RUN(stop_ends_with_the_answer_under_way);
	RUN(a_head_has_its_time);
	RUN(a_head_that_has_not_begun_is_not_late);
	RUN(a_handler_outlives_its_connection);
	RUN(so_much_of_a_body_is_thrown_away);
	RUN(memory_runs_out_at_every_allocation);
	return FINISH();
}
