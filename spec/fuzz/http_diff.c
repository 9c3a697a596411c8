/* SPDX-License-Identifier: MIT */
/*
 * http_diff: the parser against http-parser (2.9), which Node.js used for years, on random streams.
 *
 *   http_diff SECONDS SEED
 *
 * Both write down what they understood: a line for each head and field, the content, the ends of
 * messages. Where both accept, the notes must be equal. We may refuse what it accepts only with an
 * error of the table `stricter`, and accept what it refuses only for a reason of `excuse`; all else
 * is a failure, printed with the seed that makes that stream.
 */
#include "http_gen.h"

#include "base/http_body.h"

#include <ctype.h>
#include <http_parser.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define NOTES_MAX 65536
#define FIELDS 100
#define MESSAGES_MAX 64

enum outcome { WANTS_MORE, REFUSED, STOPPED }; /* stopped: what follows is another protocol's */

struct notes {
	char text[NOTES_MAX];
	size_t len, ends[MESSAGES_MAX]; /* where the notes on each complete message end */
	bool keeps[MESSAGES_MAX];       /* whether the connection may go on behind it */
	const char *doubts[MESSAGES_MAX]; /* why that, or whether it stops, may be read otherwise */
	unsigned messages;
	enum outcome outcome;
	int error;
};

static void note(struct notes *n, const char *bytes, size_t len)
{
	if (len > NOTES_MAX - n->len)
		len = NOTES_MAX - n->len;
	memcpy(n->text + n->len, bytes, len);
	n->len += len;
}

static void note_line(struct notes *n, const char *tag, const char *bytes, size_t len)
{
	while (len > 0 && (*bytes == ' ' || *bytes == '\t'))
		bytes++, len--;
	while (len > 0 && (bytes[len - 1] == ' ' || bytes[len - 1] == '\t'))
		len--;
	note(n, tag, strlen(tag));
	note(n, bytes, len);
	note(n, "\n", 1);
}

static void note_number(struct notes *n, const char *tag, unsigned number)
{
	char text[20];
	note_line(n, tag, text, (size_t)snprintf(text, sizeof text, "%u", number));
}

static void note_end(struct notes *n, bool keep)
{
	note(n, "\nend\n", 5);
	if (n->messages == MESSAGES_MAX)
		abort(); /* a stream holds three, and what breaking makes of them */
	n->ends[n->messages] = n->len;
	n->keeps[n->messages++] = keep;
}

/* ---- ours --------------------------------------------------------------------------------- */

struct ours {
	struct rl_http_head head;
	struct rl_http_body body;
	struct rl_http_field list[FIELDS], trailers[FIELDS];
	struct notes notes;
	bool is_response, to_head, in_body;
	size_t begin; /* of the message, or of the bytes of its body that are not done with */
	size_t starts[MESSAGES_MAX + 1]; /* where each message begins */
};

static const struct rl_http_limits limits = {
	STREAM_MAX, STREAM_MAX, FIELDS, STREAM_MAX + 1, STREAM_MAX, UINT64_MAX,
};

static void note_fields(struct notes *n, const char *tag, const struct rl_http_fields *fields,
	const char *bytes)
{
	for (uint32_t i = 0; i < fields->count; i++) {
		const struct rl_http_field *f = &fields->list[i];
		note_line(n, tag, bytes + f->name, f->name_len);
		note_line(n, "=", bytes + f->value.off, f->value.len);
	}
}

static void our_head(struct ours *o, const char *bytes)
{
	const struct rl_http_head *h = &o->head;
	if (o->is_response) {
		note_number(&o->notes, "status ", h->status);
		note_line(&o->notes, "reason ", bytes + h->reason.off, h->reason.len);
	} else {
		note_line(&o->notes, "method ", bytes + h->method.off, h->method.len);
		note_line(&o->notes, "target ", bytes + h->target.all.off, h->target.all.len);
	}
	note_number(&o->notes, "minor ", h->minor);
	note_fields(&o->notes, "field ", &h->fields, bytes);
	note(&o->notes, "\n", 1);
}

static int our_begin_body(struct ours *o)
{
	unsigned method = o->to_head ? RL_METHOD_HEAD : RL_METHOD_GET;
	o->in_body = true;
	return o->is_response ?
		rl_http_body_of_response(&o->body, &o->head, method, &limits, o->trailers) :
		rl_http_body_of_request(&o->body, &o->head, &limits, o->trailers);
}

/* Its reader of Connection loses its place at empty elements and at those that begin like a word it
 * knows. */
static bool is_plain(const char *bytes, struct rl_http_span value)
{
	const char *p = bytes + value.off, *end = p + value.len;
	while (p <= end) {
		const char *comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
		struct rl_http_span item = { (uint32_t)(p - bytes), (uint32_t)((comma ? comma : end) - p) };
		while (item.len > 0 && bytes[item.off] == ' ')
			item.off++, item.len--;
		while (item.len > 0 && bytes[item.off + item.len - 1] == ' ')
			item.len--;
		bool known = rl_http_span_is(bytes, item, "close") ||
			rl_http_span_is(bytes, item, "keep-alive") || rl_http_span_is(bytes, item, "upgrade");
		if (item.len == 0 || (!known && strchr("cCkKuU\t", bytes[item.off])))
			return false;
		p = comma ? comma + 1 : end + 1;
	}
	return true;
}

/* Why it may find another end of the connection than we do; NULL if it may not. */
static const char *doubt(const struct ours *o, const char *bytes)
{
	const struct rl_http_head *h = &o->head;
	const struct rl_http_field *f = rl_http_field_find(&h->fields, RL_FIELD_CONNECTION, 0);
	if (rl_http_field_has(&h->fields, RL_FIELD_PROXY_CONNECTION) ||
		rl_http_field_has(&o->body.trailers, RL_FIELD_PROXY_CONNECTION))
		return "it takes Proxy-Connection, of trailers too, for Connection";
	if (h->minor == 0 && h->says_close)
		return "it prefers keep-alive to close in HTTP/1.0";
	if (h->minor == 0 && h->says_upgrade)
		return "it takes Upgrade in HTTP/1.0";
	for (; f; f = rl_http_field_find(&h->fields, f->id, rl_http_field_index(&h->fields, f) + 1))
		if (!is_plain(bytes, f->value))
			return "it loses its place in lists of Connection";
	return NULL;
}

static void our_end(struct ours *o, const char *bytes)
{
	const struct rl_http_head *h = &o->head;
	bool stops = h->upgrade && (!o->is_response || h->status == 101);
	if (stops || h->method_id == RL_METHOD_CONNECT)
		o->notes.outcome = STOPPED;
	note_end(&o->notes, h->keep_alive && o->body.framing != RL_BODY_UNTIL_CLOSE);
	o->notes.doubts[o->notes.messages - 1] = doubt(o, bytes + o->starts[o->notes.messages - 1]);
	o->in_body = false;
	o->starts[o->notes.messages] = o->begin;
	rl_http_begin(&o->head, o->list);
}

/* What of `len` bytes from the stream's first on can be done: below 0, an error; 0, all is done. */
static int our_step(struct ours *o, const char *bytes, size_t len)
{
	const char *from = bytes + o->begin;
	if (!o->in_body) {
		int got = o->is_response ?
			rl_http_response(&o->head, &limits, from, len - o->begin) :
			rl_http_request(&o->head, &limits, from, len - o->begin);
		if (got <= 0)
			return got;
		our_head(o, from);
		o->begin += (size_t)got;
		got = our_begin_body(o);
		return got < 0 ? got : 1;
	}
	if (!rl_http_body_is_done(&o->body)) {
		struct rl_http_piece piece;
		int64_t got = rl_http_body_next(&o->body, from, len - o->begin, &piece);
		if (got <= 0)
			return (int)got;
		note(&o->notes, piece.data, piece.len);
		o->begin += (size_t)got;
		if (rl_http_body_is_done(&o->body))
			note_fields(&o->notes, "trailer ", &o->body.trailers, from);
		return 1;
	}
	our_end(o, bytes);
	return 1;
}

/* Show the stream from its begin to `len`. */
static void our_feed(struct ours *o, const char *bytes, size_t len)
{
	int got = 1;
	while (got > 0 && o->notes.outcome == WANTS_MORE)
		got = our_step(o, bytes, len);
	if (got < 0) {
		o->notes.outcome = REFUSED;
		o->notes.error = -got;
	}
}

static void our_begin(struct ours *o, bool is_response, bool to_head)
{
	memset(&o->body, 0, sizeof o->body);
	o->notes.len = o->notes.messages = 0;
	o->notes.outcome = WANTS_MORE;
	o->notes.error = 0;
	o->is_response = is_response;
	o->to_head = to_head;
	o->in_body = false;
	o->begin = o->starts[0] = 0;
	rl_http_begin(&o->head, o->list);
}

/* The connection ends: so does a body that goes on until then. */
static void our_eof(struct ours *o, const char *bytes)
{
	if (o->notes.outcome == WANTS_MORE && o->in_body &&
		o->body.framing == RL_BODY_UNTIL_CLOSE && rl_http_body_end(&o->body) == 0)
		our_end(o, bytes);
}

/* ---- http-parser -------------------------------------------------------------------------- */

struct theirs {
	http_parser parser;
	struct notes notes, fields; /* fields of a head or trailers that are not complete */
	char first[STREAM_MAX];     /* the target or the reason */
	size_t first_len;
	char last[2 * STREAM_MAX];  /* the name or the value that is not complete */
	size_t last_len;
	const char *last_tag;
	bool to_head, in_trailers, stopped;
	size_t error_at;
};

static void flush_field(struct theirs *t)
{
	if (t->last_tag)
		note_line(&t->fields, t->last_tag, t->last, t->last_len);
	t->last_tag = NULL;
	t->last_len = 0;
}

static int on_begin(http_parser *p)
{
	struct theirs *t = p->data;
	t->in_trailers = false;
	t->first_len = t->last_len = t->fields.len = 0;
	t->last_tag = NULL;
	return 0;
}

static int on_first(http_parser *p, const char *at, size_t len)
{
	struct theirs *t = p->data;
	memcpy(t->first + t->first_len, at, len);
	t->first_len += len;
	return 0;
}

static void on_part(struct theirs *t, const char *tag, const char *at, size_t len)
{
	if (t->last_tag != tag)
		flush_field(t);
	t->last_tag = tag;
	memcpy(t->last + t->last_len, at, len);
	t->last_len += len;
}

static int on_name(http_parser *p, const char *at, size_t len)
{
	static const char field[] = "field ", trailer[] = "trailer ";
	struct theirs *t = p->data;
	on_part(t, t->in_trailers ? trailer : field, at, len);
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
	static const char tag[] = "=";
	on_part(p->data, tag, at, len);
	return 0;
}

/* 1: there is no body whatever the fields say, which it leaves to its user to know. */
static int on_head(http_parser *p)
{
	struct theirs *t = p->data;
	flush_field(t);
	if (p->type == HTTP_RESPONSE) {
		note_number(&t->notes, "status ", p->status_code);
		note_line(&t->notes, "reason ", t->first, t->first_len);
	} else {
		const char *method = http_method_str(p->method);
		note_line(&t->notes, "method ", method, strlen(method));
		note_line(&t->notes, "target ", t->first, t->first_len);
	}
	note_number(&t->notes, "minor ", p->http_minor);
	note(&t->notes, t->fields.text, t->fields.len);
	note(&t->notes, "\n", 1);
	t->fields.len = 0;
	t->in_trailers = true;
	unsigned status = p->type == HTTP_RESPONSE ? p->status_code : 200;
	return t->to_head || status < 200 || status == 204 || status == 304;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	struct theirs *t = p->data;
	note(&t->notes, at, len);
	return 0;
}

static int on_end(http_parser *p)
{
	struct theirs *t = p->data;
	flush_field(t);
	note(&t->notes, t->fields.text, t->fields.len);
	note_end(&t->notes, http_should_keep_alive(p));
	t->stopped = p->upgrade;
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin, .on_url = on_first, .on_status = on_first,
	.on_header_field = on_name, .on_header_value = on_value, .on_headers_complete = on_head,
	.on_body = on_body, .on_message_complete = on_end,
};

static void their_begin(struct theirs *t, bool is_response, bool to_head)
{
	t->notes.len = t->notes.messages = t->fields.len = 0;
	t->notes.outcome = WANTS_MORE;
	t->notes.error = 0;
	t->to_head = to_head;
	t->in_trailers = t->stopped = false;
	http_parser_init(&t->parser, is_response ? HTTP_RESPONSE : HTTP_REQUEST);
	t->parser.data = t;
}

static void their_feed(struct theirs *t, const char *bytes, size_t len)
{
	if (t->notes.outcome != WANTS_MORE)
		return;
	t->error_at = http_parser_execute(&t->parser, &settings, bytes, len);
	t->notes.error = t->parser.http_errno;
	if (t->parser.http_errno != HPE_OK)
		t->notes.outcome = REFUSED;
	else if (t->stopped)
		t->notes.outcome = STOPPED;
}

static void their_eof(struct theirs *t)
{
	if (t->notes.outcome == WANTS_MORE)
		http_parser_execute(&t->parser, &settings, NULL, 0);
}

/* ---- what may differ ---------------------------------------------------------------------- */

/* We are stricter. Errors that are not here may only be where http-parser has one too. */
static const char *const stricter[RL_HTTP_ERROR_COUNT] = {
	[RL_HTTP_BAD_LINE_END] = "it takes a bare LF for a line's end, and passes over some CR",
	[RL_HTTP_FOLDED] = "it joins folded lines, and passes over white space before names",
	[RL_HTTP_BAD_METHOD] = "it passes over any number of CR and LF before a message",
	[RL_HTTP_BAD_TARGET] = "it takes fragments, quotes, controls, user information",
	[RL_HTTP_BAD_VERSION] = "it passes over spaces before the version",
	[RL_HTTP_OTHER_VERSION] = "it takes every version",
	[RL_HTTP_BAD_STATUS] = "it takes a status of one or two digits, and controls in reasons",
	[RL_HTTP_OLD_CODING] = "it takes Transfer-Encoding in HTTP/1.0",
	[RL_HTTP_OTHER_CODING] = "it leaves other codings to its user",
	[RL_HTTP_BAD_TRAILER] = "it does not look at what trailers say",
	[RL_HTTP_BAD_NAME] = "it takes spaces in names and before the colon",
	[RL_HTTP_BAD_LENGTH] = "it takes lengths up to 2^64 - 2",
	[RL_HTTP_BAD_CODING] = "it takes chunked twice, and after and before what is no list",
	[RL_HTTP_BAD_CHUNK_END] = "it does not look at the two bytes behind a chunk",
	[RL_HTTP_BAD_VALUE] = "it takes some controls in values",
	[RL_HTTP_BAD_CONNECT] = "it stops at CONNECT, whatever its fields say",
	[RL_HTTP_BAD_CHUNK_SIZE] = "it takes spaces behind a chunk size, and many zeros",
	[RL_HTTP_BAD_EXTENSION] = "it takes every byte in a chunk extension",
	[RL_HTTP_NO_VERSION] = "it takes HTTP/0.9",
	[RL_HTTP_NO_HOST] = "it does not look for Host",
	[RL_HTTP_MANY_HOSTS] = "it does not look for Host",
	[RL_HTTP_BAD_HOST] = "it does not look for Host",
};

struct difference {
	const char *why;
	uint64_t times;
};

static struct difference differences[100];

static void count(const char *why)
{
	if (!why)
		return;
	struct difference *d = differences;
	while (d->why && d->why != why)
		d++;
	d->why = why;
	d->times++;
}

static bool is_their_method(const char *bytes, size_t len)
{
	for (int m = HTTP_DELETE; m <= HTTP_SOURCE; m++)
		if (strlen(http_method_str(m)) == len && memcmp(http_method_str(m), bytes, len) == 0)
			return true;
	return false;
}

/* A tab is white space (RFC 9110 5.6.3), but not to http-parser behind these words. */
static const char with_tab[] = "a tab behind chunked, close, keep-alive or upgrade";

static bool has_word_with_tab(const struct stream *s)
{
	static const char *const words[] = { "chunked", "close", "keep-alive", "upgrade" };
	for (size_t i = 0; i < s->len; i++) {
		size_t end = i;
		while (end > 0 && (s->bytes[end - 1] == ' ' || s->bytes[end - 1] == '\t'))
			end--;
		for (int w = 0; s->bytes[i] == '\t' && w < 4; w++) {
			size_t len = strlen(words[w]);
			if (end >= len && strncasecmp(s->bytes + end - len, words[w], len) == 0)
				return true;
		}
	}
	return false;
}

/* A name that begins with Transfer-Encoding and goes on is that to http-parser, a little. */
static const char with_more[] = "a name that is longer than Transfer-Encoding";

static bool has_longer_name(const struct stream *s)
{
	static const char name[] = "transfer-encoding";
	size_t len = sizeof name - 1;
	for (size_t i = 0; i + len < s->len; i++)
		if (strncasecmp(s->bytes + i, name, len) == 0 && s->bytes[i + len] != ':')
			return true;
	return false;
}

/* Does a target begin with a scheme that has more than letters, as RFC 3986 3.1 allows? */
static bool has_odd_scheme(const char *p, const char *end)
{
	const char *from = p;
	while (p < end && (isalnum((unsigned char)*p) || (*p && strchr("+-.", *p))))
		p++;
	for (; p < end && *p == ':' && from < p; from++)
		if (!isalpha((unsigned char)*from))
			return true;
	return false;
}

/* Why it may refuse the message that begins at `start` although we do not, or not yet; NULL if it
 * may not. */
static const char *excuse(const struct ours *o, const struct theirs *t, const struct stream *s,
	size_t start)
{
	const char *at = s->bytes + t->error_at, *end = s->bytes + s->len;
	if (end - s->bytes - start > 2 && memcmp(s->bytes + start, "\r\n", 2) == 0)
		start += 2;
	const char *method = s->bytes + start, *space = method;
	while (space < end && isgraph((unsigned char)*space))
		space++;
	if (o->notes.outcome == WANTS_MORE && at < end && !memchr(at, '\n', (size_t)(end - at)) &&
		t->notes.error != HPE_INVALID_METHOD)
		return "what we look at when its line is complete";
	switch (t->notes.error) {
	case HPE_INVALID_METHOD:
		if (!o->is_response && !is_their_method(method, (size_t)(space - method)))
			return "a method that it does not know";
		return NULL;
	case HPE_INVALID_CONTENT_LENGTH:
		return at < end && *at == '\t' ? "a tab behind Content-Length" : NULL;
	case HPE_INVALID_URL:
		return has_odd_scheme(space + 1, end) ? "a scheme of more than letters" : NULL;
	case HPE_UNEXPECTED_CONTENT_LENGTH:
		return has_longer_name(s) ? with_more : NULL;
	case HPE_INVALID_TRANSFER_ENCODING:
		if (has_longer_name(s))
			return with_more;
		return has_word_with_tab(s) ? with_tab : NULL;
	default:
		return NULL;
	}
}

/* The same for streams in which both find messages, but not the same ones. */
static const char *excuse_difference(const struct ours *o, const struct stream *s)
{
	if (has_word_with_tab(s))
		return with_tab;
	return o->is_response && has_longer_name(s) ? with_more : NULL;
}

/* ---- the comparison ----------------------------------------------------------------------- */

/* NULL, or how the notes on the messages that both found complete differ. */
static const char *compare_messages(const struct notes *a, const struct notes *b, unsigned both)
{
	size_t end = both > 0 ? a->ends[both - 1] : 0;
	if (both > 0 && (end != b->ends[both - 1] || memcmp(a->text, b->text, end) != 0))
		return "the messages differ";
	for (unsigned i = 0; i < both; i++) {
		if (a->keeps[i] != b->keeps[i] && !a->doubts[i])
			return "keeping alive differs";
		if (a->keeps[i] != b->keeps[i])
			count(a->doubts[i]);
	}
	return NULL;
}

/* NULL, or what differs without a reason. */
static const char *compare(const struct ours *o, const struct theirs *t, const struct stream *s)
{
	const struct notes *a = &o->notes, *b = &t->notes;
	unsigned both = a->messages < b->messages ? a->messages : b->messages;
	const char *wrong = compare_messages(a, b, both);
	if (wrong)
		return wrong;
	bool stops = (b->outcome == STOPPED && b->messages == both) ||
		(a->outcome == STOPPED && a->messages == both);
	bool alike = a->outcome == b->outcome && a->messages == b->messages;
	if (stops && !alike && both > 0 && a->doubts[both - 1]) {
		count(a->doubts[both - 1]);
		return NULL;
	}
	bool refused = a->outcome == REFUSED && a->messages == both;
	if (b->outcome == REFUSED && b->messages == both && !refused) {
		const char *why = excuse(o, t, s, o->starts[both]);
		if (!why)
			return "we accept what it refuses";
		count(why);
		return NULL;
	}
	if (refused) {
		if (b->outcome == REFUSED && b->messages == both)
			return NULL;
		const char *why = stricter[a->error];
		if (!why && b->outcome == WANTS_MORE && !t->in_trailers)
			why = "we refuse a head before it is complete";
		count(why);
		return why ? NULL : "we refuse what it accepts";
	}
	if (a->messages != b->messages)
		return "the numbers of messages differ";
	if (a->outcome != b->outcome)
		return "what comes behind the messages differs";
	if (a->len != b->len || memcmp(a->text, b->text, a->len) != 0)
		return "what is understood of the last message differs";
	return NULL;
}

static void print_stream(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c == '\r')
			printf("\\r");
		else if (c == '\n')
			printf("\\n\n    ");
		else if (isprint(c))
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	putchar('\n');
}

static struct ours ours;
static struct theirs theirs;
static uint64_t counts[3];

/* One stream, to both; ours is cut at random. */
static bool run(uint64_t seed)
{
	struct stream s;
	struct rl_rand r;
	rl_rand_seed(&r, seed);
	bool is_response = one_in(&r, 3), to_head = is_response && one_in(&r, 8);
	http_gen_stream(&s, &r, is_response);
	char *copy = malloc(s.len + 1);
	memcpy(copy, s.bytes, s.len);
	our_begin(&ours, is_response, to_head);
	their_begin(&theirs, is_response, to_head);
	for (size_t n = 0; one_in(&r, 2) && n < s.len; n += 1 + rl_rand_below(&r, s.len - n))
		our_feed(&ours, copy, n);
	our_feed(&ours, copy, s.len);
	their_feed(&theirs, copy, s.len);
	our_eof(&ours, copy);
	their_eof(&theirs);
	free(copy);
	counts[ours.notes.outcome]++;
	const char *wrong = compare(&ours, &theirs, &s);
	const char *why = wrong ? excuse_difference(&ours, &s) : NULL;
	if (why) {
		count(why);
		wrong = NULL;
	}
	if (!wrong)
		return true;
	printf("    seed %llu: %s; ours %d of %u (%s), theirs %d of %u (%s)\n    ",
		(unsigned long long)seed, wrong, ours.notes.outcome, ours.notes.messages,
		rl_http_error_name(ours.notes.error), theirs.notes.outcome, theirs.notes.messages,
		http_errno_name(theirs.notes.error));
	print_stream(s.bytes, s.len);
	return false;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, streams = 0, failures = 0;
	clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
	while (clock() < end && failures < 10)
		for (int i = 0; i < 1000 && failures < 10; i++, streams++)
			failures += !run(seed++);
	printf("%llu streams: %llu accepted, %llu refused, %llu to their upgrade\n",
		(unsigned long long)streams, (unsigned long long)counts[WANTS_MORE],
		(unsigned long long)counts[REFUSED], (unsigned long long)counts[STOPPED]);
	for (struct difference *d = differences; d->why; d++)
		printf("%10llu times: %s\n", (unsigned long long)d->times, d->why);
	printf("%s http_diff, seeds up to %llu\n", failures ? "FAIL" : "ok  ",
		(unsigned long long)seed);
	printf("%d passed, %d failed, 0 skipped\n", !failures, !!failures);
	return failures > 0;
}
