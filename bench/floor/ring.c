/* SPDX-License-Identifier: MIT */
/*
 * ring: two threads, each asleep in a ring of its own, that wake one another by MSG_RING, as shards
 * do: what the kernel leaves possible. `ring wake` prints the round trip.
 */
#define _GNU_SOURCE
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct io_uring rings[2];
static pthread_barrier_t opened;
static int rounds;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void open_ring(int which)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(which, &cpus);
	sched_setaffinity(0, sizeof cpus, &cpus);
	if (io_uring_queue_init_params(8, &rings[which], &p) < 0)
		fail("io_uring_queue_init");
	pthread_barrier_wait(&opened);
}

static void bell(int from)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&rings[from]);
	io_uring_prep_msg_ring(sqe, rings[!from].ring_fd, 0, 0, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	if (io_uring_submit(&rings[from]) < 0)
		fail("io_uring_submit");
}

static void sleep_until_rung(int which)
{
	struct io_uring_cqe *cqe;
	if (io_uring_wait_cqe(&rings[which], &cqe) < 0)
		fail("io_uring_wait_cqe");
	io_uring_cqe_seen(&rings[which], cqe);
}

static void *answer(void *arg)
{
	(void)arg;
	open_ring(1);
	for (int i = 0; i < rounds; i++) {
		sleep_until_rung(1);
		bell(1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *scale = getenv("BENCH_SCALE");
	pthread_t other;
	if (argc != 2 || strcmp(argv[1], "wake") != 0) {
		fprintf(stderr, "usage: ring wake\n");
		return 2;
	}
	rounds = (int)(5000 * (scale ? atof(scale) : 1)) + 1;
	pthread_barrier_init(&opened, NULL, 2);
	pthread_create(&other, NULL, answer, NULL);
	open_ring(0);
	double began = now();
	for (int i = 0; i < rounds; i++) {
		bell(0);
		sleep_until_rung(0);
	}
	printf("wake %.4g ns\n", (now() - began) / rounds);
	pthread_join(other, NULL);
	return 0;
}
