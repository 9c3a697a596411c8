/* SPDX-License-Identifier: MIT */
/* classify: what a route matches; when what a connection brings is told, counted, told again. */
#include "http_peers.h"
#include "scarce.h"

#include "base/rand.h"
#include "rt/classify.h"
#include "rt/crew.h"
#include "rt/serve.h"

#include <stdlib.h>

#define OWNER 7
#define REST " HTTP/1.1\r\nHost: h\r\n\r\n"

static struct rl_route route(const char *path, unsigned priority)
{
	struct rl_route r = {.priority = (uint8_t)priority};
	r.is_prefix = path[strlen(path) - 1] == '*';
	r.len = (uint8_t)(strlen(path) - r.is_prefix);
	memcpy(r.path, path, r.len);
	return r;
}

#define CRITICAL(path) route(path, RL_CRITICAL)
#define NORMAL(path) route(path, RL_NORMAL)
#define BACKGROUND(path) route(path, RL_BACKGROUND)

#define CLASSIFIER(name, ...) \
	struct rl_route name##_routes[] = {__VA_ARGS__}; \
	struct rl_classifier name = { \
		.owner = OWNER, .base = RL_NORMAL, .budget = -1, .routes = name##_routes, \
		.routes_len = sizeof name##_routes / sizeof *name##_routes, \
	}; \
	rl_list_init(&name.link); \
	rl_classify_sort(&name)

static int told(const struct rl_classifier *c, const char *text)
{
	return rl_classify_bytes(c, text, (uint32_t)strlen(text));
}

/* ---- routes ---------------------------------------------------------------------------------- */

TEST(an_exact_path_ends_where_it_does)
{
	CLASSIFIER(c, CRITICAL("/pay"));
	CHECK_EQ(told(&c, "GET /pay" REST), RL_CRITICAL);
	CHECK_EQ(told(&c, "GET /pay "), RL_CRITICAL);
	CHECK_EQ(told(&c, "GET /pay?x=1"), RL_CRITICAL);
	CHECK_EQ(told(&c, "POST /pay HTTP/1.0"), RL_CRITICAL);
	CHECK_EQ(told(&c, "GET /pays HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET /pay/ HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET /pay#x HTTP"), RL_ROUTE_NONE); /* no client sends one: RFC 9112 3.2 */
	CHECK_EQ(told(&c, "GET /Pay HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET /pa HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET  /pay HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET http://h/pay HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET * HTTP"), RL_ROUTE_NONE);
}

TEST(a_prefix_is_one_of_anything)
{
	CLASSIFIER(c, BACKGROUND("/bulk/*"));
	CHECK_EQ(told(&c, "GET /bulk/"), RL_BACKGROUND);
	CHECK_EQ(told(&c, "GET /bulk/ HTTP"), RL_BACKGROUND);
	CHECK_EQ(told(&c, "GET /bulk/a/b?c HTTP"), RL_BACKGROUND);
	CHECK_EQ(told(&c, "GET /bulk HTTP"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GET /bulk"), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, "GET /bulky/ HTTP"), RL_ROUTE_NONE);
}

TEST(the_longest_that_matches_counts)
{
	CLASSIFIER(c, BACKGROUND("/*"), NORMAL("/a/*"), CRITICAL("/a/b"), BACKGROUND("/a/b*"),
		NORMAL("/a/bc"), CRITICAL("/a/b/c/d/*"));
	CHECK_EQ(told(&c, "GET / HTTP"), RL_BACKGROUND);
	CHECK_EQ(told(&c, "GET /a HTTP"), RL_BACKGROUND);
	CHECK_EQ(told(&c, "GET /a/ HTTP"), RL_NORMAL);
	CHECK_EQ(told(&c, "GET /a/x HTTP"), RL_NORMAL);
	CHECK_EQ(told(&c, "GET /a/b HTTP"), RL_CRITICAL); /* of two alike the exact one */
	CHECK_EQ(told(&c, "GET /a/b?x"), RL_CRITICAL);
	CHECK_EQ(told(&c, "GET /a/bc HTTP"), RL_NORMAL);
	CHECK_EQ(told(&c, "GET /a/bcd HTTP"), RL_BACKGROUND);
	CHECK_EQ(told(&c, "GET /a/b/c/d/e"), RL_CRITICAL);
	CHECK_EQ(told(&c, "GET /a/b/c/d"), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, "GET /a/b/c/d HTTP"), RL_BACKGROUND);
}

TEST(a_method_has_up_to_eight_letters)
{
	CLASSIFIER(c, CRITICAL("/*"));
	CHECK_EQ(told(&c, "X /"), RL_CRITICAL);
	CHECK_EQ(told(&c, "OPTIONS /"), RL_CRITICAL);
	CHECK_EQ(told(&c, "PROPFIND /"), RL_CRITICAL);
	CHECK_EQ(told(&c, "PROPFIND"), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, "PROPPATCH /"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "PROPPATCH"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, " /"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "get /"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "GE"), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, "GET"), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, "GET "), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, ""), RL_ROUTE_UNDECIDED);
	CHECK_EQ(told(&c, "\r\nGET /"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "\x16\x03\x01\x02"), RL_ROUTE_NONE);
	CHECK_EQ(told(&c, "PRI * HTTP/2.0\r\n\r\nSM"), RL_ROUTE_NONE);
	CHECK_EQ(rl_classify_bytes(&c, "G\0T /", 5), RL_ROUTE_NONE);
	c.routes_len = 0;
	CHECK_EQ(told(&c, "GE"), RL_ROUTE_NONE); /* more of it would tell nothing */
}

TEST(a_path_has_up_to_63_bytes)
{
	char path[RL_ROUTE_MAX + 1], text[200];
	memset(path, 'x', RL_ROUTE_MAX);
	path[0] = '/';
	path[RL_ROUTE_MAX] = '\0';
	CLASSIFIER(c, CRITICAL(path));
	snprintf(text, sizeof text, "GET %s HTTP", path);
	CHECK_EQ(told(&c, text), RL_CRITICAL);
	snprintf(text, sizeof text, "GET %s", path);
	CHECK_EQ(told(&c, text), RL_ROUTE_UNDECIDED);
	snprintf(text, sizeof text, "GET %sx", path);
	CHECK_EQ(told(&c, text), RL_ROUTE_NONE);
	c_routes[0].is_prefix = true;
	CHECK_EQ(told(&c, text), RL_CRITICAL);
}

/* What a part tells is what the whole does, or that it is too little. Parts are as large as they
 * are, so that one byte beyond is found by a sanitizer. */
TEST(a_part_never_tells_anything_else)
{
	static const char *const texts[] = {"GET /pay" REST, "GET /pay?x" REST, "POST /payment" REST,
		"GET /bulk/x" REST, "PROPFIND /bulk" REST, "DELETE /" REST, "NOTAMETHOD /pay" REST, "x"};
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"), NORMAL("/payment"), BACKGROUND("/pa*"));
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		int whole = told(&c, texts[i]);
		bool decided = false;
		for (uint32_t n = 0; n <= strlen(texts[i]); n++) {
			char *part = malloc(n ? n : 1);
			memcpy(part, texts[i], n);
			int got = rl_classify_bytes(&c, part, n);
			free(part);
			CHECK(got == whole || (got == RL_ROUTE_UNDECIDED && !decided));
			decided = got != RL_ROUTE_UNDECIDED;
		}
		CHECK(decided);
	}
}

TEST(random_bytes_are_some_class_and_no_more_is_read)
{
	static const char letters[] = "GETPOST  //payb?*\r\n\1";
	struct rl_rand rand;
	unsigned seen[RL_PRIORITIES + 2] = {0};
	CLASSIFIER(c, CRITICAL("/"), BACKGROUND("/pa*"), CRITICAL("/pay"), NORMAL("/b*"));
	rl_rand_seed(&rand, 11);
	for (int i = 0; i < 1000000; i++) {
		uint32_t n = (uint32_t)rl_rand_below(&rand, 20);
		char bytes[20], *own = bytes + sizeof bytes - n;
		bool any = i % 4 == 0;
		for (uint32_t k = 0; k < n; k++)
			own[k] = any ? (char)rl_rand_below(&rand, 256)
				: letters[rl_rand_below(&rand, sizeof letters - 1)];
		if (!any && n > 4)
			memcpy(own, "GET /", 5);
		int got = rl_classify_bytes(&c, own, n);
		CHECK(got >= RL_ROUTE_UNDECIDED && got < RL_PRIORITIES);
		seen[got + 2]++;
	}
	for (unsigned i = 0; i < RL_PRIORITIES + 2; i++)
		CHECK(seen[i] > 100);
}

/* ---- connections ----------------------------------------------------------------------------- */

/* A connection's server end, `b`, which gets bytes at once when the test says so. */
struct site {
	struct world w;
	struct rl_stream *a, *b;
	struct rl_crew *crew;
	struct rl_task *task;
};

static void new_task(struct site *x)
{
	x->task = rl_task_new(&x->w.shard, 0);
	rl_runq_remove(&x->w.shard.runq, x->task);
	x->task->state = RL_TASK_RUNNING;
}

/* With a crew, or with the task as its handler. */
static bool open_site(struct site *x, struct rl_classifier *c, bool served)
{
	memset(x, 0, sizeof *x);
	if (!world_open(&x->w, "sim", 1, NULL) || !world_pair(&x->w, &x->a, &x->b)) {
		CHECK(!"a connection");
		return false;
	}
	x->b->owner = OWNER;
	rl_classifier_add(x->w.net, c);
	CHECK(atomic_load(&x->w.shard.urgent));
	new_task(x);
	if (served) {
		CHECK_EQ(rl_crew_open(x->w.net, &x->crew), 0);
		CHECK_EQ(rl_crew_add(x->crew, x->b), 0);
	}
	CHECK_EQ(rl_classify_begin(x->b, served ? NULL : x->task), 0);
	CHECK_EQ(x->b->priority, c->base);
	if (served)
		rl_crew_rest(x->b);
	return true;
}

static void close_site(struct site *x, struct rl_classifier *c)
{
	if (x->crew)
		rl_crew_disown(x->crew);
	rl_task_free(&x->w.shard, x->task);
	rl_classifier_remove(c, &x->w.shard);
	rl_classifier_remove(c, &x->w.shard);
	CHECK(!atomic_load(&x->w.shard.urgent));
	world_drop(&x->a);
	world_drop(&x->b);
	world_settle(&x->w);
	world_close(&x->w);
}

/* As a receive does it. */
static void feed(struct site *x, const char *text)
{
	struct rl_stream *s = x->b;
	uint32_t had = s->in.len;
	CHECK_EQ(rl_bytes_append(&x->w.net->chunks, &s->in, text, (uint32_t)strlen(text)), 0);
	if (s->is_classified)
		rl_classify_received(s, had);
	rl_stream_tell(s);
}

static void consume(struct site *x)
{
	rl_stream_consume(x->b, x->b->in.len);
}

static void take(struct site *x)
{
	x->w.shard.current = x->task;
	CHECK(rl_crew_next(x->crew) == x->b);
	x->w.shard.current = NULL;
}

static void pass(struct site *x, int64_t ns)
{
	x->w.shard.os->ops->skip(x->w.shard.os, x->w.shard.now_ns + ns);
	rl_shard_now(&x->w.shard);
}

static bool counted(const struct rl_classifier *c, unsigned critical, unsigned normal,
	unsigned background)
{
	return c->classified[RL_CRITICAL] == critical && c->classified[RL_NORMAL] == normal
		&& c->classified[RL_BACKGROUND] == background;
}

/* What the shard has counted, which is never taken back. */
static bool certain(const struct site *x, unsigned critical, unsigned normal, unsigned background)
{
	const uint64_t *n = x->w.shard.counts.classified;
	return n[RL_CRITICAL] == critical && n[RL_NORMAL] == normal && n[RL_BACKGROUND] == background;
}

TEST(a_handler_has_the_class_of_what_it_reads)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"));
	if (!open_site(&x, &c, false))
		return;
	CHECK(x.b->op.in_flight); /* eager: its first bytes are seen before it asks for them */
	feed(&x, "GET /pay" REST);
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	CHECK_EQ(x.w.shard.urgency.arrived_ns, x.w.shard.now_ns);
	feed(&x, "GET /bulk/" REST); /* behind what is not read yet */
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	CHECK(counted(&c, 1, 0, 0));
	consume(&x);
	feed(&x, "GET /bulk/" REST);
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	consume(&x);
	feed(&x, "what ever");
	CHECK_EQ(x.task->priority, RL_NORMAL);
	CHECK(counted(&c, 1, 1, 1));
	uint64_t id = x.task->id; /* another has its slot */
	rl_task_free(&x.w.shard, x.task);
	new_task(&x);
	CHECK(x.task->slot == x.b->more->handler_slot && x.task->id != id);
	consume(&x);
	feed(&x, "GET /pay" REST);
	CHECK_EQ(x.task->priority, RL_NORMAL);
	CHECK_EQ(x.b->priority, RL_CRITICAL);
	close_site(&x, &c);
}

TEST(more_bytes_tell_a_handler_again)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"));
	if (!open_site(&x, &c, false))
		return;
	feed(&x, "GET /pa");
	CHECK_EQ(x.task->priority, RL_NORMAL);
	feed(&x, "y");
	CHECK(counted(&c, 0, 1, 0));
	CHECK(certain(&x, 0, 0, 0));
	feed(&x, " HTTP");
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	CHECK(counted(&c, 1, 0, 0));
	CHECK(certain(&x, 1, 0, 0));
	rl_classify_received(x.b, x.b->in.len); /* the end: no bytes come with it */
	CHECK(counted(&c, 1, 0, 0));
	close_site(&x, &c);
}

TEST(news_has_its_class_and_changes_it_when_more_tells)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"));
	if (!open_site(&x, &c, true))
		return;
	feed(&x, "GET /bulk/1" REST);
	CHECK(rl_list_first(&x.crew->news[RL_BACKGROUND]) == &x.b->news);
	feed(&x, "GET /pay" REST); /* it is told already */
	CHECK(rl_list_first(&x.crew->news[RL_BACKGROUND]) == &x.b->news);
	take(&x);
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	feed(&x, "GET /pay" REST); /* somebody is at work */
	CHECK(counted(&c, 0, 0, 1));
	consume(&x);
	rl_crew_rest(x.b);
	feed(&x, "GET /p");
	CHECK(rl_list_first(&x.crew->news[RL_NORMAL]) == &x.b->news);
	CHECK(counted(&c, 0, 1, 1));
	CHECK(certain(&x, 0, 0, 1));
	feed(&x, "ay ");
	CHECK(rl_list_empty(&x.crew->news[RL_NORMAL]));
	CHECK(rl_list_first(&x.crew->news[RL_CRITICAL]) == &x.b->news);
	CHECK(counted(&c, 1, 0, 1));
	CHECK(certain(&x, 1, 0, 1));
	take(&x);
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	consume(&x);
	rl_crew_rest(x.b);
	close_site(&x, &c);
}

/* What is left when a handler is done is the next message. */
TEST(what_a_handler_leaves_is_told_anew)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"));
	if (!open_site(&x, &c, true))
		return;
	feed(&x, "GET /bulk/" REST "GET /pay" REST);
	take(&x);
	rl_stream_consume(x.b, (uint32_t)strlen("GET /bulk/" REST));
	rl_crew_rest(x.b);
	CHECK(rl_list_first(&x.crew->news[RL_CRITICAL]) == &x.b->news);
	CHECK(counted(&c, 1, 0, 1));
	close_site(&x, &c);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

struct http {
	struct site x;
	struct rl_serve v;
	struct rl_message *m;
};

static int next(struct http *h)
{
	struct rl_stream *s;
	h->x.w.shard.current = h->x.task;
	int got = rl_serve_next(&h->v, h->x.crew, &h->m, &s);
	if (got == RL_SERVE_NOTHING && rl_crew_gave_way(h->x.crew)) /* and the turn is over */
		got = rl_serve_next(&h->v, h->x.crew, &h->m, &s);
	return got;
}

static bool open_http(struct http *h, struct rl_classifier *c)
{
	memset(h, 0, sizeof *h);
	h->v.limits = usual_limits;
	h->v.head_ns = -1;
	return open_site(&h->x, c, true);
}

/* The first part of a head is gathered by a worker, who had the base class. */
TEST(a_head_in_parts_is_told_once_it_can_be)
{
	static const char head[] = "GET /pay" REST;
	for (size_t at = 1; at < sizeof head - 1; at++) {
		struct http h;
		char first[sizeof head] = "";
		CLASSIFIER(c, CRITICAL("/pay"));
		if (!open_http(&h, &c))
			return;
		memcpy(first, head, at);
		feed(&h.x, first);
		bool enough = at > strlen("GET /pay");
		CHECK_EQ(h.x.b->priority, enough ? RL_CRITICAL : RL_NORMAL);
		CHECK_EQ(next(&h), RL_SERVE_NOTHING);
		feed(&h.x, head + at);
		CHECK_EQ(h.x.b->priority, RL_CRITICAL);
		CHECK(counted(&c, 1, 0, 0));
		CHECK_EQ(next(&h), RL_SERVE_REQUEST);
		CHECK_EQ(h.x.task->priority, RL_CRITICAL);
		h.x.w.shard.current = NULL;
		close_site(&h.x, &c);
		if (check_bad)
			printf("    split at %zu\n", at);
	}
}

TEST(a_body_is_not_told)
{
	struct http h;
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"));
	if (!open_http(&h, &c))
		return;
	feed(&h.x, "POST /bulk/ HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
	CHECK_EQ(next(&h), RL_SERVE_REQUEST);
	feed(&h.x, "GET /pay ");
	CHECK_EQ(h.x.b->priority, RL_BACKGROUND);
	CHECK(counted(&c, 0, 0, 1));
	h.x.w.shard.current = NULL;
	close_site(&h.x, &c);
}

TEST(requests_that_come_at_once_have_a_class_each)
{
	static const unsigned order[] = {RL_BACKGROUND, RL_CRITICAL, RL_NORMAL, RL_CRITICAL};
	struct http h;
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"));
	if (!open_http(&h, &c))
		return;
	CHECK_EQ(rl_stream_extend(h.x.b), 0);
	feed(&h.x, "GET /bulk/" REST "GET /pay" REST "GET /" REST "GET /pay" REST);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(next(&h), RL_SERVE_REQUEST);
		CHECK_EQ(h.x.task->priority, order[i]);
		CHECK(!rl_serve_done(&h.v, h.m, true));
	}
	CHECK(counted(&c, 2, 1, 1));
	CHECK_EQ(next(&h), RL_SERVE_NOTHING);
	h.x.w.shard.current = NULL;
	close_site(&h.x, &c);
}

/* ---- fixed, base, function, budget ----------------------------------------------------------- */

TEST(what_is_set_is_not_told)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"));
	if (!open_site(&x, &c, true))
		return;
	feed(&x, "GET /pay" REST);
	rl_classify_fix(x.b, RL_BACKGROUND); /* while it is news */
	CHECK(rl_list_first(&x.crew->news[RL_BACKGROUND]) == &x.b->news);
	take(&x);
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	consume(&x);
	rl_crew_rest(x.b);
	feed(&x, "GET /pay" REST);
	CHECK(rl_list_first(&x.crew->news[RL_BACKGROUND]) == &x.b->news);
	CHECK(counted(&c, 1, 0, 0));
	close_site(&x, &c);
	CLASSIFIER(d, CRITICAL("/pay"));
	if (!open_site(&x, &d, false))
		return;
	rl_classify_fix(x.b, RL_BACKGROUND);
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	feed(&x, "GET /pay" REST);
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	close_site(&x, &d);
}

/* What it was asked, and says. */
static struct {
	unsigned calls, len;
	int answer;
	void (*act)(struct rl_stream *s);
} asked;

static int answer(void *arg, struct rl_stream *s, const char *bytes, uint32_t len)
{
	CHECK(arg == &asked && s->owner == OWNER && bytes[0] != '\0');
	asked.calls++;
	asked.len = len;
	if (asked.act)
		asked.act(s);
	return asked.answer;
}

static void ask(struct rl_classifier *c, int say)
{
	memset(&asked, 0, sizeof asked);
	asked.answer = say;
	c->fn = answer;
	c->arg = &asked;
}

TEST(a_function_is_asked_for_what_no_route_tells)
{
	struct site x;
	char much[2 * RL_CLASSIFY_BYTES];
	CLASSIFIER(c, CRITICAL("/pay"));
	c.base = RL_BACKGROUND;
	ask(&c, RL_CRITICAL);
	if (!open_site(&x, &c, false))
		return;
	feed(&x, "GET /pay" REST);
	CHECK_EQ(asked.calls, 0);
	consume(&x);
	memset(much, 'x', sizeof much);
	much[sizeof much - 1] = '\0';
	feed(&x, much);
	CHECK_EQ(asked.calls, 1);
	CHECK_EQ(asked.len, RL_CLASSIFY_BYTES);
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	consume(&x);
	ask(&c, -1);
	feed(&x, "text");
	CHECK_EQ(asked.len, 4);
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	consume(&x);
	ask(&c, RL_NORMAL);
	feed(&x, "GET /p"); /* too little: it may say already, and a route yet overrule it */
	CHECK_EQ(x.task->priority, RL_NORMAL);
	feed(&x, "ay ");
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	CHECK_EQ(asked.calls, 1);
	CHECK(counted(&c, 3, 0, 1));
	close_site(&x, &c);
}

static void fix_it(struct rl_stream *s)
{
	rl_classify_fix(s, RL_BACKGROUND);
}

TEST(a_function_may_set_the_priority_or_close)
{
	static void (*const acts[])(struct rl_stream *) = {
		fix_it, rl_stream_close, rl_stream_abort, rl_crew_remove,
	};
	for (unsigned i = 0; i < 2 * sizeof acts / sizeof *acts; i++) {
		struct site x;
		bool served = i % 2 == 1;
		CLASSIFIER(c, CRITICAL("/pay"));
		ask(&c, RL_CRITICAL);
		asked.act = acts[i / 2];
		if (!open_site(&x, &c, served))
			return;
		feed(&x, "text");
		CHECK_EQ(asked.calls, 1);
		if (asked.act == fix_it)
			CHECK_EQ(served ? x.b->priority : x.task->priority, RL_BACKGROUND);
		else if (served && asked.act != rl_crew_remove)
			CHECK(x.b->flags & RL_STREAM_NEWS);
		close_site(&x, &c);
	}
}

/* Critical ones that find a token, with that time between them; others are normal. */
static unsigned within(struct site *x, unsigned n, int64_t gap_ns)
{
	unsigned critical = 0;
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			pass(x, gap_ns);
		consume(x);
		feed(x, "GET /pay" REST);
		critical += x->task->priority == RL_CRITICAL;
		CHECK(x->task->priority != RL_BACKGROUND);
	}
	return critical;
}

TEST(a_budget_is_kept_to_the_nanosecond)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"), BACKGROUND("/bulk/*"));
	c.budget = 64; /* so that no sum is rounded: one in 15,625,000 ns */
	c.base = RL_BACKGROUND;
	if (!open_site(&x, &c, false))
		return;
	CHECK_EQ(within(&x, 10, 0), 6); /* what may come in a tenth of a second: 6.4 */
	CHECK_EQ(c.over, 4);
	CHECK(counted(&c, 6, 4, 0));
	pass(&x, 1000000000);
	CHECK_EQ(within(&x, 10, 0), 6); /* and no more after a rest */
	pass(&x, 15625000 * 6 / 10 - 1);
	CHECK_EQ(within(&x, 1, 0), 0);
	pass(&x, 2);
	CHECK_EQ(within(&x, 1, 0), 1);
	CHECK_EQ(within(&x, 65, 15625000), 64); /* behind the first, its rate is let through */
	CHECK_EQ(within(&x, 129, 15625000 / 2), 64);
	consume(&x);
	feed(&x, "GET /bulk/" REST); /* others take none */
	CHECK_EQ(x.task->priority, RL_BACKGROUND);
	close_site(&x, &c);
}

TEST(a_budget_below_one_a_second_lets_the_first_through)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/pay"));
	c.budget = 0.5;
	if (!open_site(&x, &c, false))
		return;
	CHECK_EQ(within(&x, 2, 0), 1);
	pass(&x, 2000000001);
	CHECK_EQ(within(&x, 2, 0), 1);
	close_site(&x, &c);
}

TEST(streams_of_others_are_left_alone)
{
	struct site x;
	CLASSIFIER(c, CRITICAL("/*"));
	CLASSIFIER(mine, BACKGROUND("/*"));
	if (!open_site(&x, &c, false))
		return;
	mine.owner = OWNER + 1;
	rl_classifier_add(x.w.net, &mine);
	feed(&x, "GET /" REST);
	CHECK_EQ(x.task->priority, RL_CRITICAL);
	rl_classifier_remove(&c, &x.w.shard); /* it stays as it was told last */
	consume(&x);
	feed(&x, "GET /" REST);
	CHECK_EQ(x.b->priority, RL_CRITICAL);
	CHECK(counted(&c, 1, 0, 0) && counted(&mine, 0, 0, 0));
	rl_classifier_remove(&mine, &x.w.shard);
	close_site(&x, &c);
}

TEST(a_net_that_goes_lets_them_go)
{
	struct world w;
	CLASSIFIER(c, CRITICAL("/*"));
	CHECK(world_open(&w, "sim", 1, NULL));
	rl_classifier_add(w.net, &c);
	world_close(&w);
	rl_classifier_remove(&c, &w.shard); /* which is gone */
}

static void begin_scarce(void)
{
	struct world w;
	struct rl_stream *a, *b;
	CLASSIFIER(c, CRITICAL("/*"));
	CHECK(world_open(&w, "sim", 1, NULL) && world_pair(&w, &a, &b));
	b->owner = OWNER;
	rl_classifier_add(w.net, &c);
	int err = SCARCE(rl_classify_begin(b, NULL));
	CHECK_EQ(err, scarce.failed ? -ENOMEM : 0);
	CHECK_EQ(b->is_classified, err == 0);
	rl_classifier_remove(&c, &w.shard);
	world_drop(&a);
	world_drop(&b);
	world_settle(&w);
	world_close(&w);
}

TEST(without_memory_it_is_not_classified)
{
	scarce_play(begin_scarce, 1);
}

int main(void)
{
	RUN(an_exact_path_ends_where_it_does);
	RUN(a_prefix_is_one_of_anything);
	RUN(the_longest_that_matches_counts);
	RUN(a_method_has_up_to_eight_letters);
	RUN(a_path_has_up_to_63_bytes);
	RUN(a_part_never_tells_anything_else);
	RUN(random_bytes_are_some_class_and_no_more_is_read);
	RUN(a_handler_has_the_class_of_what_it_reads);
	RUN(more_bytes_tell_a_handler_again);
	RUN(news_has_its_class_and_changes_it_when_more_tells);
	RUN(what_a_handler_leaves_is_told_anew);
	RUN(a_head_in_parts_is_told_once_it_can_be);
	RUN(a_body_is_not_told);
	RUN(requests_that_come_at_once_have_a_class_each);
	RUN(what_is_set_is_not_told);
	RUN(a_function_is_asked_for_what_no_route_tells);
	RUN(a_function_may_set_the_priority_or_close);
	RUN(a_budget_is_kept_to_the_nanosecond);
	RUN(a_budget_below_one_a_second_lets_the_first_through);
	RUN(streams_of_others_are_left_alone);
	RUN(a_net_that_goes_lets_them_go);
	RUN(without_memory_it_is_not_classified);
	return FINISH();
}
