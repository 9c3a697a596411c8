/* SPDX-License-Identifier: MIT */
/*
 * samples: how often each stack was seen, and with which sums. Frames and stacks are interned: a
 * sample whose stack was seen before adds to two numbers and allocates nothing. Text is copied, so
 * what a frame was made from may go away.
 */
#ifndef RL_BASE_SAMPLES_H
#define RL_BASE_SAMPLES_H

#include <stdint.h>

#ifdef RL_TINY
#define RL_SAMPLES_FRAMES_MAX 1000u
#define RL_SAMPLES_STACKS_MAX 900u
#endif
#ifndef RL_SAMPLES_FRAMES_MAX
#define RL_SAMPLES_FRAMES_MAX 65535u
#endif
#ifndef RL_SAMPLES_STACKS_MAX
#define RL_SAMPLES_STACKS_MAX 65535u
#endif

struct rl_samples;

/* A place in code. Two frames are one if file, line and defined are, and for those without a file
 * of their own (defined < 0) if the name is. */
struct rl_samples_frame {
	const char *name; /* NULL or "": none is known. One that is known later is taken */
	const char *file;
	int line, defined;
};

struct rl_samples_stack {
	uint32_t depth;
	const uint32_t *frames; /* innermost first */
	uint32_t label;
	double count, value;
};

struct rl_samples *rl_samples_new(void); /* NULL when there is no memory */
void rl_samples_free(struct rl_samples *s); /* NULL is fine */

/* The number of a frame, from 0. A limit or no memory: number 0, which is "(other)". */
uint32_t rl_samples_frame(struct rl_samples *s, const struct rl_samples_frame *f);

/* Add to the sums of a stack under a label. What finds no room counts for the stack number 0, that
 * of "(other)" alone. */
void rl_samples_add(struct rl_samples *s, const uint32_t *frames, uint32_t depth, uint32_t label,
	double count, double value);

uint32_t rl_samples_frames(const struct rl_samples *s);
struct rl_samples_frame rl_samples_frame_at(const struct rl_samples *s, uint32_t i);
uint32_t rl_samples_stacks(const struct rl_samples *s);
struct rl_samples_stack rl_samples_stack_at(const struct rl_samples *s, uint32_t i);

#endif
