/* SPDX-License-Identifier: MIT */
/* samples: what is the same counts together, text is copied, and nothing is lost at the limits. */
#include "base/samples.h"

#include "base/rand.h"
#include "check.h"

static uint32_t frame(struct rl_samples *s, const char *name, const char *file, int line)
{
	struct rl_samples_frame f = { name, file, line, 1 };
	return rl_samples_frame(s, &f);
}

static uint32_t c_frame(struct rl_samples *s, const char *name)
{
	struct rl_samples_frame f = { name, "[C]", -1, -1 };
	return rl_samples_frame(s, &f);
}

TEST(the_same_place_is_one_frame)
{
	struct rl_samples *s = rl_samples_new();
	uint32_t a = frame(s, "f", "a.lua", 3);
	CHECK_EQ(frame(s, "g", "a.lua", 3), a);
	CHECK(frame(s, "f", "a.lua", 4) != a);
	CHECK(frame(s, "f", "b.lua", 3) != a);
	uint32_t c = c_frame(s, "sleep");
	CHECK_EQ(c_frame(s, "sleep"), c);
	CHECK(c_frame(s, "read") != c);
	CHECK(strcmp(rl_samples_frame_at(s, a).name, "f") == 0);
	rl_samples_free(s);
}

TEST(a_name_may_come_later)
{
	struct rl_samples *s = rl_samples_new();
	uint32_t a = frame(s, NULL, "a.lua", 3);
	CHECK(strcmp(rl_samples_frame_at(s, a).name, "") == 0);
	CHECK_EQ(frame(s, "f", "a.lua", 3), a);
	CHECK(strcmp(rl_samples_frame_at(s, a).name, "f") == 0);
	rl_samples_free(s);
}

TEST(text_is_copied)
{
	struct rl_samples *s = rl_samples_new();
	char name[] = "name", file[] = "file";
	uint32_t a = frame(s, name, file, 3);
	memset(name, 'x', 4);
	memset(file, 'x', 4);
	CHECK(strcmp(rl_samples_frame_at(s, a).name, "name") == 0);
	CHECK(strcmp(rl_samples_frame_at(s, a).file, "file") == 0);
	rl_samples_free(s);
}

TEST(stacks_differ_by_frames_depth_and_label)
{
	struct rl_samples *s = rl_samples_new();
	uint32_t ids[3] = { frame(s, "f", "a", 1), frame(s, "g", "a", 2), frame(s, "h", "a", 3) };
	rl_samples_add(s, ids, 3, 0, 1, 10);
	rl_samples_add(s, ids, 3, 0, 2, 20);
	rl_samples_add(s, ids, 2, 0, 4, 40);
	rl_samples_add(s, ids + 1, 2, 0, 8, 80);
	rl_samples_add(s, ids, 3, 7, 16, 160);
	CHECK_EQ(rl_samples_stacks(s), 5); /* with that of "(other)" */
	struct rl_samples_stack k = rl_samples_stack_at(s, 1);
	CHECK_EQ(k.depth, 3);
	CHECK_EQ(k.frames[2], ids[2]);
	CHECK_EQ(k.count, 3);
	CHECK_EQ(k.value, 30);
	k = rl_samples_stack_at(s, 4);
	CHECK_EQ(k.label, 7);
	CHECK_EQ(k.value, 160);
	rl_samples_free(s);
}

/* Random samples of a few stacks, against plain sums. */
TEST(sums_are_exact)
{
	enum { FRAMES = 40, STACKS = 300 };
	struct rl_samples *s = rl_samples_new();
	double want[STACKS] = { 0 }, got[STACKS] = { 0 };
	uint32_t ids[FRAMES];
	struct rl_rand r;
	rl_rand_seed(&r, 1);
	for (int i = 0; i < FRAMES; i++)
		ids[i] = frame(s, "f", "a.lua", i + 1);
	for (int i = 0; i < 100000; i++) {
		uint32_t k = (uint32_t)rl_rand_below(&r, STACKS);
		uint32_t stack[2] = { ids[k % 20], ids[20 + k / 20] };
		rl_samples_add(s, stack, 2, 0, 1, k);
		want[k] += k;
	}
	for (uint32_t i = 1; i < rl_samples_stacks(s); i++) {
		struct rl_samples_stack k = rl_samples_stack_at(s, i);
		got[(k.frames[1] - ids[20]) * 20 + (k.frames[0] - ids[0])] += k.value;
	}
	for (int i = 0; i < STACKS; i++)
		CHECK_EQ(got[i], want[i]);
	rl_samples_free(s);
}

TEST(what_finds_no_room_is_other)
{
	struct rl_samples *s = rl_samples_new();
	uint32_t n = RL_SAMPLES_FRAMES_MAX + 100;
	double sum = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = frame(s, "f", "a.lua", (int)i);
		rl_samples_add(s, &id, 1, i, 1, 1);
	}
	CHECK_EQ(rl_samples_frames(s), RL_SAMPLES_FRAMES_MAX);
	CHECK_EQ(rl_samples_stacks(s), RL_SAMPLES_STACKS_MAX);
	for (uint32_t i = 0; i < rl_samples_stacks(s); i++)
		sum += rl_samples_stack_at(s, i).value;
	CHECK_EQ(sum, n);
	CHECK(rl_samples_stack_at(s, 0).value > 0);
	CHECK(strcmp(rl_samples_frame_at(s, 0).name, "(other)") == 0);
	rl_samples_free(s);
}

int main(void)
{
	RUN(the_same_place_is_one_frame);
	RUN(a_name_may_come_later);
	RUN(text_is_copied);
	RUN(stacks_differ_by_frames_depth_and_label);
	RUN(sums_are_exact);
	RUN(what_finds_no_room_is_other);
	return FINISH();
}
