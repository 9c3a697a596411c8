/* SPDX-License-Identifier: MIT */
/*
 * schan: a channel that shards share: values pass through it from any of them to any other.
 *
 * Whoever waits is served strictly first come, first served, and before whoever comes later. A
 * value that was sent is received once, unless the channel's overflow rule drops it or its receiver
 * is abandoned while it is on its way. Closed, it gives what it holds, then its end.
 */
#ifndef RL_RT_SCHAN_H
#define RL_RT_SCHAN_H

#include "base/mpmc.h"
#include "rt/ticket.h"

#define RL_SCHAN_CAPACITY_MAX RL_MPMC_CAPACITY_MAX
#define RL_SCHAN_TEXT_MAX RL_WAITER_TEXT

/* What a sender does when there is no room. */
enum rl_schan_overflow {
	RL_SCHAN_BLOCK,
	RL_SCHAN_DROP_OLDEST,
	RL_SCHAN_DROP_NEWEST,
};

struct rl_schan;

/* A value as it goes in and comes out: the bytes of a RL_VALUE_TEXT of more than RL_VALUE_TEXT_MAX
 * are in `text`. */
struct rl_schan_item {
	struct rl_value value;
	char text[RL_SCHAN_TEXT_MAX];
};

extern const struct rl_shared_class rl_schan_class;

/* With one reference. Capacity 0: sender and receiver meet. NULL when there is no memory. */
struct rl_schan *rl_schan_new(uint32_t capacity, enum rl_schan_overflow overflow);
struct rl_shared *rl_schan_shared(struct rl_schan *c);

/* The longest text that may be sent as one: RL_SCHAN_TEXT_MAX, or RL_VALUE_TEXT_MAX if there is no
 * room for longer ones in this channel. */
unsigned rl_schan_text_max(struct rl_schan *c);

/* Without waiting, from shard `s`: 0, -EAGAIN when it would have to wait, -RL_ECLOSED. A value that
 * is sent is the channel's (or the overflow rule dropped one), one received the caller's. */
int rl_schan_send(struct rl_shard *s, struct rl_schan *c, struct rl_schan_item *item);
int rl_schan_recv(struct rl_shard *s, struct rl_schan *c, struct rl_schan_item *item);

/* The fast path alone, which needs no shard: done, unless somebody waits or it is not possible. A
 * caller that is told so settles then. */
enum rl_schan_fast {
	RL_SCHAN_NOT_DONE,
	RL_SCHAN_DONE,
	RL_SCHAN_SETTLE,
};
enum rl_schan_fast rl_schan_push(struct rl_schan *c, struct rl_schan_item *item);
enum rl_schan_fast rl_schan_pop(struct rl_schan *c, struct rl_schan_item *item);
void rl_schan_settle(struct rl_shard *s, struct rl_schan *c);

/* Waiting, for one or more channels: add a waiter for each case (to send, the value is the waiter's
 * then), then wait. NULL when there is no memory. */
struct rl_waiter *rl_schan_add_recv(struct rl_shard *s, struct rl_ticket *k, struct rl_schan *c,
	unsigned index);
struct rl_waiter *rl_schan_add_send(struct rl_shard *s, struct rl_ticket *k, struct rl_schan *c,
	unsigned index, const struct rl_schan_item *item);

/* NULL: all the ticket's waiters are linked, park. Or the waiter of a case that could be carried
 * out, as if it had come home; the ticket is closed and the waiter the caller's. A waiter brings
 * the value received, none for a value sent, or the code -RL_ECLOSED. */
struct rl_waiter *rl_schan_wait(struct rl_shard *s, struct rl_ticket *k);

/* 0, or -RL_ECLOSED when it was closed before. `message` and `code`, of which the channel keeps
 * copies, may be NULL. */
int rl_schan_close(struct rl_shard *s, struct rl_schan *c, const char *message, const char *code);

bool rl_schan_is_closed(struct rl_schan *c);
/* Of a closed channel: what it was closed with. */
void rl_schan_end(struct rl_schan *c, const char **message, const char **code);

uint32_t rl_schan_capacity(const struct rl_schan *c);
unsigned rl_schan_len(struct rl_schan *c);
uint64_t rl_schan_dropped(struct rl_schan *c);

#endif
