/* SPDX-License-Identifier: MIT */
/*
 * Channels between shards: by hand where the order matters, on threads where it must not. Each
 * value arrives once, those of one producer in order, also while others close, time out and select.
 */
#include "fleet_probe.h"

#include "rt/schan.c"

static struct rl_schan *chan;

/* ---- by hand --------------------------------------------------------------------------------- */

static enum rl_ran ends(struct member *m, struct rl_task *t)
{
	(void)m;
	(void)t;
	return RL_RAN_ENDED;
}

static struct rl_schan_item number(int64_t n)
{
	struct rl_schan_item item;
	memset(&item.value, 0, sizeof item.value);
	item.value.kind = RL_VALUE_INTEGER;
	item.value.integer = n;
	return item;
}

static int send_n(struct members *all, int64_t n)
{
	struct rl_schan_item item = number(n);
	return rl_schan_send(&all->at[0].shard, chan, &item);
}

/* The number received, or a code. */
static int64_t recv_n(struct members *all)
{
	struct rl_schan_item item;
	int err = rl_schan_recv(&all->at[1].shard, chan, &item);
	return err < 0 ? err : item.value.integer;
}

static void open_world(struct members *all, uint32_t capacity, enum rl_schan_overflow overflow)
{
	members_open(all, 2, ends);
	chan = rl_schan_new(capacity, overflow);
}

static void close_world(struct members *all)
{
	members_close(all);
	rl_shared_put(rl_schan_shared(chan));
}

TEST(values_come_in_order_for_every_capacity)
{
	struct members all;
	for (uint32_t capacity = 1; capacity < 40; capacity++) {
		open_world(&all, capacity, RL_SCHAN_BLOCK);
		for (int round = 0; round < 3; round++) {
			for (uint32_t i = 0; i < capacity; i++)
				CHECK_EQ(send_n(&all, i), 0);
			CHECK_EQ(rl_schan_len(chan), capacity);
			CHECK_EQ(send_n(&all, 99), -EAGAIN);
			for (uint32_t i = 0; i < capacity; i++)
				CHECK_EQ(recv_n(&all), i);
			CHECK_EQ(recv_n(&all), -EAGAIN);
		}
		close_world(&all);
	}
}

TEST(closed_it_gives_what_it_holds_then_the_end)
{
	const char *message, *code;
	struct members all;
	open_world(&all, 3, RL_SCHAN_BLOCK);
	send_n(&all, 1);
	send_n(&all, 2);
	CHECK_EQ(rl_schan_close(&all.at[0].shard, chan, "done", NULL), 0);
	CHECK_EQ(rl_schan_close(&all.at[0].shard, chan, "again", NULL), -RL_ECLOSED);
	CHECK_EQ(send_n(&all, 3), -RL_ECLOSED);
	CHECK_EQ(recv_n(&all), 1);
	CHECK_EQ(recv_n(&all), 2);
	CHECK_EQ(recv_n(&all), -RL_ECLOSED);
	rl_schan_end(chan, &message, &code);
	CHECK(strcmp(message, "done") == 0 && code == NULL);
	close_world(&all);
}

TEST(overflow_drops_the_oldest_or_the_newest)
{
	struct members all;
	open_world(&all, 2, RL_SCHAN_DROP_OLDEST);
	for (int i = 1; i <= 5; i++)
		CHECK_EQ(send_n(&all, i), 0);
	CHECK_EQ(rl_schan_dropped(chan), 3);
	CHECK_EQ(recv_n(&all), 4);
	CHECK_EQ(recv_n(&all), 5);
	close_world(&all);
	open_world(&all, 2, RL_SCHAN_DROP_NEWEST);
	for (int i = 1; i <= 5; i++)
		CHECK_EQ(send_n(&all, i), 0);
	CHECK_EQ(rl_schan_dropped(chan), 3);
	CHECK_EQ(recv_n(&all), 1);
	CHECK_EQ(recv_n(&all), 2);
	CHECK_EQ(recv_n(&all), -EAGAIN);
	close_world(&all);
	open_world(&all, 0, RL_SCHAN_DROP_NEWEST);
	CHECK_EQ(send_n(&all, 1), 0);
	CHECK_EQ(rl_schan_dropped(chan), 1);
	close_world(&all);
}

static void fill(struct rl_schan_item *item, unsigned len, char c)
{
	memset(&item->value, 0, sizeof item->value);
	item->value.kind = RL_VALUE_TEXT;
	item->value.len = (uint8_t)len;
	memset(len > RL_VALUE_TEXT_MAX ? item->text : item->value.text, c, len);
}

TEST(long_texts_pass_beside_the_queue)
{
	struct members all;
	struct rl_schan_item in, out;
	open_world(&all, 3, RL_SCHAN_BLOCK);
	CHECK_EQ(rl_schan_text_max(chan), RL_SCHAN_TEXT_MAX);
	for (unsigned len = 0; len <= RL_SCHAN_TEXT_MAX; len++) {
		fill(&in, len, (char)('a' + len % 26));
		CHECK_EQ(rl_schan_send(&all.at[0].shard, chan, &in), 0);
		CHECK_EQ(rl_schan_recv(&all.at[1].shard, chan, &out), 0);
		CHECK_EQ(out.value.len, len);
		const char *text = len > RL_VALUE_TEXT_MAX ? out.text : out.value.text;
		for (unsigned i = 0; i < len; i++)
			CHECK_EQ(text[i], 'a' + len % 26);
	}
	close_world(&all);
	open_world(&all, 4097, RL_SCHAN_BLOCK);
	CHECK_EQ(rl_schan_text_max(chan), RL_VALUE_TEXT_MAX);
	close_world(&all);
}

static int freed;

static void count_free(struct rl_shared *o)
{
	(void)o;
	freed++;
}

static const struct rl_shared_class counted = {"counted", count_free};

TEST(what_it_still_holds_goes_with_the_last_reference)
{
	struct members all;
	struct rl_shared things[4];
	freed = 0;
	open_world(&all, 2, RL_SCHAN_DROP_OLDEST);
	for (int i = 0; i < 4; i++) {
		struct rl_schan_item item = number(0);
		rl_shared_init(&things[i], &counted);
		item.value.kind = RL_VALUE_SHARED;
		item.value.shared = &things[i];
		rl_schan_send(&all.at[0].shard, chan, &item);
	}
	CHECK_EQ(freed, 2);
	close_world(&all);
	CHECK_EQ(freed, 4);
}

/* ---- waiting, by hand ------------------------------------------------------------------------ */

/* Tasks receive or send once, and say what became of it. */
static int64_t outcome[MEMBERS_MAX][8];
static bool sends[8];

static void note(struct member *m, struct rl_task *t, struct rl_waiter *w)
{
	int64_t *out = &outcome[m->index][t->id];
	*out = w->code < 0 ? w->code : w->value.kind == RL_VALUE_NONE ? 1000 : w->value.integer;
	t->results = 1;
}

static enum rl_ran once(struct member *m, struct rl_task *t)
{
	struct rl_shard *s = &m->shard;
	if (t->raises++ > 0) {
		if (t->results == 0)
			outcome[m->index][t->id] = t->result;
		return RL_RAN_ENDED;
	}
	struct rl_ticket *k = rl_ticket_open(s, t);
	struct rl_schan_item item = number((int64_t)t->id);
	if (sends[t->id])
		rl_schan_add_send(s, k, chan, 0, &item);
	else
		rl_schan_add_recv(s, k, chan, 0);
	struct rl_waiter *ready = rl_schan_wait(s, k);
	if (!ready) {
		rl_wait_park_shared(s, k, RL_REASON_RECV, -1);
		return RL_RAN_PARKED;
	}
	note(m, t, ready);
	rl_waiter_free(s, ready);
	return RL_RAN_ENDED;
}

static struct rl_task *start(struct members *all, bool as_sender)
{
	struct rl_shard *s = &all->at[1].shard;
	struct rl_task *t = rl_task_new(s, 0);
	sends[t->id] = as_sender;
	outcome[1][t->id] = -1;
	rl_shard_turn(s);
	return t;
}

static void open_waiting(struct members *all, uint32_t capacity)
{
	open_world(all, capacity, RL_SCHAN_BLOCK);
	all->at[1].step = once;
	all->at[1].arrived = note;
}

static void turn_all(struct members *all)
{
	for (int i = 0; i < 4; i++)
		rl_shard_turn(&all->at[i % 2].shard);
}

TEST(receivers_are_served_first_come_first_served)
{
	struct members all;
	for (uint32_t capacity = 0; capacity < 3; capacity++) {
		open_waiting(&all, capacity);
		for (int i = 0; i < 3; i++)
			start(&all, false);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(send_n(&all, 10 + i), 0);
		turn_all(&all);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(outcome[1][1 + i], 10 + i);
		close_world(&all);
	}
}

TEST(senders_are_served_first_come_first_served)
{
	struct members all;
	for (uint32_t capacity = 0; capacity < 3; capacity++) {
		open_waiting(&all, capacity);
		for (uint32_t i = 0; i < capacity; i++)
			send_n(&all, 100 + i);
		for (int i = 0; i < 3; i++)
			start(&all, true);
		CHECK_EQ(send_n(&all, 99), -EAGAIN);
		for (uint32_t i = 0; i < capacity + 3; i++) {
			CHECK_EQ(recv_n(&all), i < capacity ? 100 + i : 1 + i - capacity);
			turn_all(&all);
			for (uint32_t k = 0; k < 3; k++)
				CHECK_EQ(outcome[1][1 + k], k <= i ? 1000 : -1);
		}
		close_world(&all);
	}
}

TEST(close_ends_all_waits)
{
	struct members all;
	for (uint32_t capacity = 0; capacity < 2; capacity++) {
		for (int as_sender = 0; as_sender < 2; as_sender++) {
			open_waiting(&all, capacity);
			if (as_sender && capacity > 0)
				send_n(&all, 100);
			start(&all, as_sender);
			start(&all, as_sender);
			rl_schan_close(&all.at[0].shard, chan, NULL, NULL);
			turn_all(&all);
			CHECK_EQ(outcome[1][1], -RL_ECLOSED);
			CHECK_EQ(outcome[1][2], -RL_ECLOSED);
			CHECK_EQ(recv_n(&all), as_sender && capacity > 0 ? 100 : -RL_ECLOSED);
			close_world(&all);
		}
	}
}

TEST(a_value_for_a_receiver_that_has_just_gone_stays_the_first)
{
	struct members all;
	open_waiting(&all, 2);
	struct rl_task *t = start(&all, false);
	/* Its deadline claims; it has not left the list yet when a value comes. */
	CHECK(rl_ticket_claim(rl_ticket_at(t->deadline)));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(send_n(&all, i), 0);
	CHECK_EQ(rl_schan_len(chan), 2);
	rl_wait_abandon(&all.at[1].shard, t);
	rl_task_free(&all.at[1].shard, t);
	rl_schan_close(&all.at[0].shard, chan, NULL, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(recv_n(&all), i);
	CHECK_EQ(recv_n(&all), -RL_ECLOSED);
	close_world(&all);
}

TEST(the_value_of_a_sender_that_finds_its_room_half_free_is_the_next)
{
	uint64_t at;
	struct members all;
	open_waiting(&all, 2);
	send_n(&all, 100);
	send_n(&all, 101);
	start(&all, true);
	struct rl_mpmc_item *item = rl_mpmc_pop_begin(&chan->queue, &at);
	CHECK_EQ(send_n(&all, 50), -EAGAIN);
	turn_all(&all);
	CHECK_EQ(outcome[1][1], 1000);
	CHECK(chan->has_back && is_up(&chan->swait));
	CHECK_EQ(item->word[0], 100);
	rl_mpmc_pop_end(&chan->queue, at);
	CHECK_EQ(send_n(&all, 50), -EAGAIN);
	CHECK(!chan->has_back && !is_up(&chan->swait));
	CHECK_EQ(recv_n(&all), 101);
	CHECK_EQ(send_n(&all, 51), 0);
	CHECK_EQ(recv_n(&all), 1);
	CHECK_EQ(recv_n(&all), 51);
	close_world(&all);
}

TEST(what_a_closed_one_still_owes_is_given_before_its_end)
{
	uint64_t at;
	struct members all;
	open_waiting(&all, 2);
	send_n(&all, 100);
	send_n(&all, 101);
	start(&all, true);
	rl_mpmc_pop_begin(&chan->queue, &at);
	CHECK_EQ(send_n(&all, 50), -EAGAIN);
	CHECK(chan->has_back);
	rl_schan_close(&all.at[0].shard, chan, NULL, NULL);
	rl_mpmc_pop_end(&chan->queue, at);
	CHECK_EQ(recv_n(&all), 101);
	CHECK_EQ(recv_n(&all), 1);
	CHECK_EQ(recv_n(&all), -RL_ECLOSED);
	close_world(&all);
}

TEST(a_sender_that_looked_before_the_close_does_not_succeed_after_it)
{
	struct members all;
	struct rl_schan_item item = number(1);
	open_world(&all, 2, RL_SCHAN_BLOCK);
	CHECK(!is_up(&chan->swait));
	rl_schan_close(&all.at[0].shard, chan, NULL, NULL);
	CHECK(!push(chan, at_item(&item)));
	CHECK_EQ(recv_n(&all), -RL_ECLOSED);
	close_world(&all);
}

TEST(a_receiver_waits_beyond_the_close_for_a_push_that_is_half_done)
{
	uint64_t at;
	struct members all;
	open_waiting(&all, 2);
	struct rl_mpmc_item *item = rl_mpmc_push_begin(&chan->queue, &at);
	start(&all, false);
	start(&all, false);
	rl_schan_close(&all.at[0].shard, chan, NULL, NULL);
	turn_all(&all);
	CHECK_EQ(outcome[1][1], -1);
	struct rl_schan_item value = number(7);
	memcpy(item, &value.value, sizeof value.value);
	rl_mpmc_push_end(&chan->queue, at);
	CHECK(is_up(&chan->rwait));
	rl_schan_settle(&all.at[0].shard, chan);
	turn_all(&all);
	CHECK_EQ(outcome[1][1], 7);
	CHECK_EQ(outcome[1][2], -RL_ECLOSED);
	close_world(&all);
}

TEST(a_cancelled_waiter_is_passed_over)
{
	struct members all;
	open_waiting(&all, 0);
	struct rl_task *t = start(&all, false);
	start(&all, false);
	rl_wait_end(&all.at[1].shard, t, -RL_ECANCEL);
	CHECK_EQ(send_n(&all, 7), 0);
	CHECK_EQ(send_n(&all, 8), -EAGAIN);
	turn_all(&all);
	CHECK_EQ(outcome[1][1], -RL_ECANCEL);
	CHECK_EQ(outcome[1][2], 7);
	close_world(&all);
}

/* ---- on threads ------------------------------------------------------------------------------ */

#define PRODUCERS 4
#define CONSUMERS 4
#ifdef __SANITIZE_THREAD__
#define VALUES 4000
#else
#define VALUES 20000
#endif
#define NUMBER_MASK 0xffffffff

struct actor {
	unsigned sent;               /* by a producer: tried, the last of them maybe in vain */
	unsigned accepted;
	bool waiting, over;
	int got_code;                /* what came home */
	int64_t got;
	int64_t last[PRODUCERS];     /* by a consumer: the last number of each producer */
};

static struct {
	unsigned shards, capacity;
	bool closes;                 /* somebody closes in the middle */
	bool hasty;                  /* waits have deadlines that have passed */
	atomic_uint producing;
	atomic_uint seen[PRODUCERS][VALUES];
	struct actor producers[PRODUCERS], consumers[CONSUMERS];
} play;

static void encode(struct rl_schan_item *item, unsigned producer, unsigned n)
{
	*item = number((int64_t)producer << 32 | n);
	if (n % 3 == 0) {
		fill(item, 40, ' ');
		snprintf(item->text, sizeof item->text, "%030lld", (long long)producer << 32 | n);
	}
}

static int64_t decode(const struct rl_value *v, const char *text)
{
	return v->kind == RL_VALUE_TEXT ? strtoll(text, NULL, 10) : v->integer;
}

static struct actor *actor_of(struct member *m, struct rl_task *t)
{
	unsigned no = (m->index + (unsigned)(t->id - 1) * play.shards);
	return no < PRODUCERS ? &play.producers[no] : &play.consumers[no - PRODUCERS];
}

static void come_home(struct actor *a, struct rl_waiter *w)
{
	a->got_code = w->code;
	if (w->value.kind != RL_VALUE_NONE && w->code == 0)
		a->got = decode(&w->value, w->text);
}

static void on_arrival(struct member *m, struct rl_task *t, struct rl_waiter *w)
{
	come_home(actor_of(m, t), w);
	t->results = 1;
}

/* Wait as the one or the other: true when it went on without. */
static bool wait_for(struct member *m, struct rl_task *t, struct rl_schan_item *item)
{
	struct actor *a = actor_of(m, t);
	struct rl_shard *s = &m->shard;
	struct rl_ticket *k = rl_ticket_open(s, t);
	if (item)
		rl_schan_add_send(s, k, chan, 0, item);
	else
		rl_schan_add_recv(s, k, chan, 0);
	struct rl_waiter *ready = rl_schan_wait(s, k);
	if (ready) {
		come_home(a, ready);
		rl_waiter_free(s, ready);
		return true;
	}
	bool hasty = play.hasty && member_random(&m->os) % 2;
	rl_wait_park_shared(s, k, item ? RL_REASON_SEND : RL_REASON_RECV, hasty ? s->now_ns : -1);
	a->waiting = true;
	return false;
}

/* After a wait: what it ended with. */
static int ended(struct actor *a, struct rl_task *t)
{
	a->waiting = false;
	return t->results > 0 ? a->got_code : t->result;
}

/* The last one closes even if a consumer is to do it in the middle, who may have got too little to
 * know that it was time. */
static enum rl_ran produced(struct rl_shard *s)
{
	if (atomic_fetch_sub(&play.producing, 1) == 1)
		rl_schan_close(s, chan, NULL, NULL);
	return RL_RAN_ENDED;
}

static enum rl_ran produce(struct member *m, struct rl_task *t, unsigned no)
{
	struct actor *a = &play.producers[no];
	for (int burst = 0; burst < 200; burst++) {
		struct rl_schan_item item;
		int err = -EAGAIN;
		encode(&item, no, a->accepted);
		if (a->waiting)
			err = ended(a, t);
		else if (a->accepted < VALUES)
			err = rl_schan_send(&m->shard, chan, &item);
		else
			return produced(&m->shard);
		if (err == -EAGAIN) {
			if (!wait_for(m, t, &item))
				return RL_RAN_PARKED;
			err = a->got_code;
		}
		if (err == -RL_ECLOSED)
			return produced(&m->shard);
		CHECK(err == 0 || err == -ETIMEDOUT);
		a->accepted += err == 0;
	}
	rl_ready_last(&m->shard, t);
	return RL_RAN_PARKED;
}

static void consumed(struct actor *a, int64_t v)
{
	unsigned producer = (unsigned)(v >> 32), n = (unsigned)(v & NUMBER_MASK);
	CHECK(producer < PRODUCERS && n < VALUES);
	CHECK(a->last[producer] < (int64_t)n);
	a->last[producer] = n;
	atomic_fetch_add(&play.seen[producer][n], 1);
}

static enum rl_ran consume(struct member *m, struct rl_task *t, unsigned no)
{
	struct actor *a = &play.consumers[no];
	for (int burst = 0; burst < 200; burst++) {
		struct rl_schan_item item;
		int err = a->waiting ? ended(a, t) : 1;
		if (err == 1) {
			err = rl_schan_recv(&m->shard, chan, &item);
			if (err == 0)
				a->got = decode(&item.value, item.text);
		}
		if (err == -EAGAIN) {
			if (!wait_for(m, t, NULL))
				return RL_RAN_PARKED;
			err = a->got_code;
		}
		if (err == -RL_ECLOSED)
			return RL_RAN_ENDED;
		CHECK(err == 0 || err == -ETIMEDOUT);
		if (err == 0)
			consumed(a, a->got);
		if (play.closes && no == 0 && a->last[0] > VALUES / 2)
			rl_schan_close(&m->shard, chan, NULL, NULL);
	}
	rl_ready_last(&m->shard, t);
	return RL_RAN_PARKED;
}

static enum rl_ran act(struct member *m, struct rl_task *t)
{
	unsigned no = m->index + (unsigned)(t->id - 1) * play.shards;
	return no < PRODUCERS ? produce(m, t, no) : consume(m, t, no - PRODUCERS);
}

static void run_play(unsigned shards, unsigned capacity, bool closes, bool hasty)
{
	struct members all;
	memset(&play, 0, sizeof play);
	play.shards = shards;
	play.capacity = capacity;
	play.closes = closes;
	play.hasty = hasty;
	atomic_store(&play.producing, PRODUCERS);
	for (unsigned i = 0; i < CONSUMERS; i++)
		memset(play.consumers[i].last, 0xff, sizeof play.consumers[i].last);
	members_open(&all, shards, act);
	chan = rl_schan_new(capacity, RL_SCHAN_BLOCK);
	if (capacity > 0)
		rl_schan_text_max(chan);
	for (unsigned i = 0; i < PRODUCERS + CONSUMERS; i++)
		rl_task_new(&all.at[i % shards].shard, 0);
	for (unsigned i = 0; i < shards; i++)
		all.at[i].arrived = on_arrival;
	members_run(&all);
	for (unsigned p = 0; p < PRODUCERS; p++) {
		unsigned accepted = play.producers[p].accepted, wrong = 0;
		for (unsigned n = 0; n < VALUES; n++)
			wrong += atomic_load(&play.seen[p][n]) != (n < accepted);
		CHECK_EQ(wrong, 0);
		CHECK(closes || accepted == VALUES);
	}
	close_world(&all);
}

static void run_plays(bool closes, bool hasty)
{
	static const unsigned capacities[] = {0, 1, 3, 1024};
	for (unsigned shards = 2; shards <= 4; shards += 2)
		for (unsigned i = 0; i < 4; i++)
			run_play(shards, capacities[i], closes, hasty);
}

TEST(each_value_arrives_once_and_in_order)
{
	run_plays(false, false);
}

TEST(deadlines_lose_no_value)
{
	run_plays(false, true);
}

TEST(a_close_in_the_middle_keeps_what_was_accepted)
{
	run_plays(true, false);
}

/* One sends until it is told that the channel is closed, while the other closes and empties it. */
static void *send_on(void *arg)
{
	struct members *all = arg;
	int64_t n = 0;
	for (int err = 0; err != -RL_ECLOSED; n += err == 0)
		err = send_n(all, n);
	return (void *)(intptr_t)n;
}

TEST(what_is_received_before_the_end_is_what_was_accepted)
{
	struct members all;
	members_open(&all, 2, ends);
	for (int round = 0; round < 3000; round++) {
		void *accepted;
		pthread_t thread;
		int64_t received = 0, v;
		chan = rl_schan_new(16, RL_SCHAN_BLOCK);
		pthread_create(&thread, NULL, send_on, &all);
		for (int i = 0; i < 50 + round % 50; i++)
			received += recv_n(&all) >= 0;
		rl_schan_close(&all.at[1].shard, chan, NULL, NULL);
		for (v = recv_n(&all); v != -RL_ECLOSED; v = recv_n(&all))
			received += v >= 0;
		pthread_join(thread, &accepted);
		CHECK_EQ(received, (intptr_t)accepted);
		rl_shared_put(rl_schan_shared(chan));
	}
	members_close(&all);
}

/* ---- select ---------------------------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
#define MEETINGS 3000
#else
#define MEETINGS 20000
#endif

/* Each task waits to send to one channel and to receive from the other; every second the other way
 * about, so that their order of channels differs; on one task alone nothing would ever happen. */
static struct rl_schan *pair[2];
static unsigned met[MEMBERS_MAX][2];     /* as a sender, as a receiver */
static int64_t sums[MEMBERS_MAX][2];     /* of what was sent, of what was received */
static int64_t offered[MEMBERS_MAX][8];
static atomic_uint meeting;

static void count_meeting(struct member *m, struct rl_task *t, struct rl_waiter *w)
{
	bool sent = w->value.kind == RL_VALUE_NONE;
	CHECK_EQ(w->code, 0);
	CHECK_EQ(w->index, sent ? 1 : 2);
	met[m->index][sent ? 0 : 1]++;
	sums[m->index][sent ? 0 : 1] += sent ? offered[m->index][t->id] : w->value.integer;
	atomic_fetch_add(&meeting, 1);
	t->results = 1;
}

static enum rl_ran meet(struct member *m, struct rl_task *t)
{
	struct rl_shard *s = &m->shard;
	unsigned side = (unsigned)(t->id + m->index) % 2;
	for (int burst = 0; burst < 20; burst++) {
		if (atomic_load(&meeting) >= 2 * MEETINGS)
			return RL_RAN_ENDED;
		struct rl_ticket *k = rl_ticket_open(s, t);
		struct rl_schan_item item = number(offered[m->index][t->id] = rand() % 1000 + 1);
		rl_schan_add_send(s, k, pair[side], 1, &item);
		rl_schan_add_recv(s, k, pair[!side], 2);
		struct rl_waiter *ready = rl_schan_wait(s, k);
		if (!ready) {
			rl_wait_park_shared(s, k, RL_REASON_SELECT, s->now_ns);
			return RL_RAN_PARKED;
		}
		count_meeting(m, t, ready);
		rl_waiter_free(s, ready);
	}
	rl_ready_last(s, t);
	return RL_RAN_PARKED;
}

static void run_meetings(uint32_t capacity, bool same)
{
	struct members all;
	memset(met, 0, sizeof met);
	memset(sums, 0, sizeof sums);
	atomic_store(&meeting, 0);
	members_open(&all, 2, meet);
	pair[0] = rl_schan_new(capacity, RL_SCHAN_BLOCK);
	pair[1] = same ? pair[0] : rl_schan_new(capacity, RL_SCHAN_BLOCK);
	for (unsigned i = 0; i < 6; i++)
		rl_task_new(&all.at[i % 2].shard, 0);
	all.at[0].arrived = all.at[1].arrived = count_meeting;
	members_run(&all);
	int64_t left = 0, left_n = 0;
	struct rl_schan_item item;
	for (int i = 0; i < (same ? 1 : 2); i++)
		for (; rl_schan_recv(&all.at[0].shard, pair[i], &item) == 0; left_n++)
			left += item.value.integer;
	CHECK_EQ(met[0][0] + met[1][0], met[0][1] + met[1][1] + left_n);
	CHECK_EQ(sums[0][0] + sums[1][0], sums[0][1] + sums[1][1] + left);
	members_close(&all);
	rl_shared_put(rl_schan_shared(pair[0]));
	if (!same)
		rl_shared_put(rl_schan_shared(pair[1]));
}

TEST(tasks_that_select_in_opposite_directions_meet)
{
	run_meetings(0, false);
	run_meetings(1, false);
}

TEST(a_select_on_both_directions_of_one_channel_meets_only_others)
{
	run_meetings(0, true);
	run_meetings(2, true);
}

int main(void)
{
	RUN(values_come_in_order_for_every_capacity);
	RUN(closed_it_gives_what_it_holds_then_the_end);
	RUN(overflow_drops_the_oldest_or_the_newest);
	RUN(long_texts_pass_beside_the_queue);
	RUN(what_it_still_holds_goes_with_the_last_reference);
	RUN(receivers_are_served_first_come_first_served);
	RUN(senders_are_served_first_come_first_served);
	RUN(close_ends_all_waits);
	RUN(a_value_for_a_receiver_that_has_just_gone_stays_the_first);
	RUN(the_value_of_a_sender_that_finds_its_room_half_free_is_the_next);
	RUN(what_a_closed_one_still_owes_is_given_before_its_end);
	RUN(a_sender_that_looked_before_the_close_does_not_succeed_after_it);
	RUN(a_receiver_waits_beyond_the_close_for_a_push_that_is_half_done);
	RUN(a_cancelled_waiter_is_passed_over);
	RUN(each_value_arrives_once_and_in_order);
	RUN(deadlines_lose_no_value);
	RUN(a_close_in_the_middle_keeps_what_was_accepted);
	RUN(what_is_received_before_the_end_is_what_was_accepted);
	RUN(tasks_that_select_in_opposite_directions_meet);
	RUN(a_select_on_both_directions_of_one_channel_meets_only_others);
	return FINISH();
}
