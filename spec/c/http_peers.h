/* SPDX-License-Identifier: MIT */
/*
 * http_peers: one end of a connection that speaks HTTP, on the sim backend. What its peer sends
 * and gets are plain bytes, and a wait is a loop that turns the world.
 */
#ifndef RL_SPEC_HTTP_PEERS_H
#define RL_SPEC_HTTP_PEERS_H

#include "world.h"

#include "rt/message.h"

/* Bytes go from the bare stream `a` to `b`, whose message is `m`. */
struct peers {
	struct world w;
	struct rl_stream *a, *b;
	struct rl_message *m;
};

static const struct rl_http_limits usual_limits = RL_HTTP_LIMITS_DEFAULT;

static inline bool open_peers(struct peers *p)
{
	p->m = NULL;
	if (!world_open(&p->w, "sim", 1, NULL) || !world_pair(&p->w, &p->a, &p->b)) {
		CHECK(!"a connection");
		return false;
	}
	CHECK_EQ(rl_stream_extend(p->b), 0);
	rl_stream_expect(p->a, 1, 1);
	rl_stream_expect(p->b, 1, 1);
	return true;
}

/* Have a message of `b`, somebody's own. */
static inline bool open_message(struct peers *p, const struct rl_http_limits *limits)
{
	if (!open_peers(p))
		return false;
	p->m = rl_message_new(p->b, limits);
	CHECK(p->m != NULL);
	p->m->busy = true;
	p->b->more->message = p->m;
	return true;
}

static inline void close_peers(struct peers *p)
{
	if (p->m)
		rl_message_free(p->m);
	world_drop(&p->a);
	world_drop(&p->b);
	world_settle(&p->w);
	if (p->w.net->messages)
		CHECK_EQ(rl_slab_live(p->w.net->messages), 0);
	world_close(&p->w);
}

static inline void send_bytes(struct rl_stream *s, const char *data, size_t len)
{
	int err = rl_out_begin(s, false);
	CHECK_EQ(err, 0);
	if (err == 0)
		rl_out_end(s, rl_out_write(s, data, len));
}

static inline void send_text(struct rl_stream *s, const char *text)
{
	send_bytes(s, text, strlen(text));
}

/* What is queued arrives, and nothing else goes on. */
static inline void settle_bytes(struct peers *p)
{
	for (int i = 0; i < 5; i++)
		world_step(&p->w, 2);
}

/* What `a` got by now is exactly this. */
static inline void expect_text(struct peers *p, const char *want)
{
	char got[2048] = "";
	uint32_t len = 0;
	for (int i = 0; i < 20; i++) {
		uint32_t n = p->a->in.len;
		if (n > 0 && n < sizeof got - len) {
			rl_bytes_copy(&p->a->in, 0, got + len, n);
			rl_stream_consume(p->a, n);
			len += n;
		}
		rl_stream_expect(p->a, 1, 1);
		world_step(&p->w, 2);
	}
	got[len] = '\0';
	CHECK_EQ(p->a->in.len, 0);
	CHECK(strcmp(got, want) == 0);
	if (strcmp(got, want) != 0)
		printf("    got %s\n", got);
}

#endif
