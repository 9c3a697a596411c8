// SPDX-License-Identifier: MIT
//
// Load for the benches of priorities, on epoll: bulk requests in a closed loop (each connection
// asks again when it was answered), and critical requests in an open loop, which come when they are
// due, at times drawn from a Poisson process with a fixed seed, however slow the answers are. The
// latency of a critical request counts from when it was due: waiting for a free connection is part
// of it.
//
//   load -p PORT [-q PORT] [-c bulk connections] [-b /bulk] [-k /pay] [-r critical per second]
//        [-n critical connections | -f] [-t seconds] [-w warmup] [-P server_pid] [-s]
//     -q: where critical requests go, the same port unless told; -f: each on a new connection
//     -s: spin instead of sleeping when there is nothing to do. To wake this program is work of the
//     server's CPU, more in modes that answer in smaller batches, which no server has whose clients
//     are elsewhere; and a request is then sent when due, not when a timer gets to it
//     prints `name value unit`: p50_us p90_us p95_us p99_us max_us of the critical ones due in the
//     window of -t seconds; critical and bulk: answers a second in it; and with -P bulk_per_cpu:
//     bulk answers for a second of the server's CPU, and foreign: what part of the CPUs neither the
//     server nor this program used.
//
// Each answer must be a 200 of HTTP with a Content-Length. A critical request that is not answered
// DRAIN_S seconds after the window, a lost connection or another answer end it with status 1. It
// never runs for longer than its alarm.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS = 128,
	DRAIN_S = 5,
	ALARM_EXTRA_S = 20,
	CONNS_MAX = 4096,
	SOURCE_ADDRESSES = 8,
	ANSWER_MAX = 1024,
	REQUEST_MAX = 256,
};

static const int64_t NS = 1000000000;

struct options {
	int port, critical_port, bulk, critical, pid;
	bool fresh, spins;
	double rate, seconds, warmup;
	const char *bulk_path, *critical_path;
};

struct conn {
	int fd;
	bool is_critical;
	bool is_connecting;
	int64_t due_ns; // of the critical request under way
	size_t received;
	char answer[ANSWER_MAX + 1];
};

// One run: the critical requests are numbered in the order in which they are due.
struct run {
	const struct options *o;
	int epoll;
	struct conn *idle[CONNS_MAX]; // critical connections that nothing is under way on
	int idle_len;
	int open; // connections of the fresh kind that are under way
	int64_t *due_ns;
	int64_t *latency_ns; // of those due in the window, as they were answered
	size_t due_len, sent, answered, counted;
	int64_t from_ns, till_ns; // the window
	uint64_t bulk;            // answers in it
	double cpu_from_s, cpu_till_s; // of the server, at its ends
	uint32_t opened;
	char request[2][REQUEST_MAX];
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

static void *must_have(void *memory)
{
	if (!memory)
		fail("malloc", strerror(ENOMEM));
	return memory;
}

// ---- who used the CPUs, in seconds ----

static double busy_seconds(void)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
	FILE *file = fopen("/proc/stat", "r");
	if (!file)
		fail("/proc/stat", strerror(errno));
	if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
		   &iowait, &irq, &softirq, &steal) != 8)
		fail("/proc/stat", "not as expected");
	fclose(file);
	return (double)(user + nice + system + irq + softirq + steal) /
	       (double)sysconf(_SC_CLK_TCK);
}

static double process_seconds(int pid)
{
	clockid_t clock;
	struct timespec t;
	int err = clock_getcpuclockid(pid, &clock);
	if (err || clock_gettime(clock, &t) < 0)
		fail("the server", "its process is not there");
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double foreign_seconds(const struct options *o)
{
	if (!o->pid)
		return 0;
	return busy_seconds() - process_seconds(o->pid) - process_seconds(getpid());
}

// ---- requests ----

static void send_request(struct run *r, struct conn *c)
{
	const char *text = r->request[c->is_critical];
	c->received = 0;
	if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		fail("send", "short or failed write");
}

// Sources rotate over 127.0.0.2 and up, so that ports in TIME_WAIT never limit a run.
static struct conn *open_conn(struct run *r, bool is_critical, bool waits)
{
	int one = 1, port = is_critical ? r->o->critical_port : r->o->port;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0)
		fail("socket", strerror(errno));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct sockaddr_in from = {.sin_family = AF_INET};
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + r->opened++ % SOURCE_ADDRESSES);
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		fail("bind", strerror(errno));
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		fail("connect", strerror(errno));
	struct conn *c = must_have(calloc(1, sizeof(*c)));
	c->fd = fd;
	c->is_critical = is_critical;
	c->is_connecting = !waits;
	struct epoll_event event = {.events = waits ? EPOLLIN : EPOLLOUT, .data.ptr = c};
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl", strerror(errno));
	return c;
}

static void connected(struct run *r, struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		fail("connect", strerror(error));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
		fail("epoll_ctl", strerror(errno));
	c->is_connecting = false;
	send_request(r, c);
}

// Whether the whole answer is here.
static bool receive(struct conn *c)
{
	ssize_t n = recv(c->fd, c->answer + c->received, ANSWER_MAX - c->received, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0)
		fail("recv", n == 0 ? "the server closed a connection" : strerror(errno));
	c->received += (size_t)n;
	c->answer[c->received] = 0;
	const char *end = strstr(c->answer, "\r\n\r\n");
	if (!end)
		return false;
	const char *length = strcasestr(c->answer, "\r\ncontent-length:");
	if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 || !length || length > end)
		fail("answer", c->answer);
	size_t want = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
	if (want > ANSWER_MAX || c->received > want)
		fail("answer", "it is longer than expected");
	return c->received == want;
}

// Sends what is due, as far as there are connections for it.
static void send_due(struct run *r, int64_t now)
{
	while (r->sent < r->due_len && r->due_ns[r->sent] <= now) {
		struct conn *c = NULL;
		if (r->o->fresh) {
			if (r->open == CONNS_MAX)
				return;
			c = open_conn(r, true, false);
			r->open++;
		} else {
			if (r->idle_len == 0)
				return;
			c = r->idle[--r->idle_len];
		}
		c->due_ns = r->due_ns[r->sent++];
		if (!c->is_connecting)
			send_request(r, c);
	}
}

static void critical_answered(struct run *r, struct conn *c, int64_t now)
{
	r->answered++;
	if (c->due_ns >= r->from_ns && c->due_ns < r->till_ns)
		r->latency_ns[r->counted++] = now - c->due_ns;
	if (!r->o->fresh) {
		r->idle[r->idle_len++] = c;
		return;
	}
	close(c->fd);
	free(c);
	r->open--;
}

static void handle(struct run *r, struct conn *c)
{
	if (c->is_connecting) {
		connected(r, c);
		return;
	}
	if (!receive(c))
		return;
	int64_t now = now_ns();
	if (c->is_critical) {
		critical_answered(r, c, now);
		return;
	}
	if (now >= r->from_ns && now < r->till_ns)
		r->bulk++;
	send_request(r, c);
}

// ---- a run ----

// Exponential gaps, the same in every run, from before the window to its end.
static void draw_arrivals(struct run *r, int64_t start)
{
	const struct options *o = r->o;
	size_t room = (size_t)((o->warmup + o->seconds) * o->rate * 2) + 100;
	r->due_ns = must_have(calloc(room, sizeof(*r->due_ns)));
	r->latency_ns = must_have(calloc(room, sizeof(*r->latency_ns)));
	unsigned short seed[3] = {1, 2, 3};
	double at = (double)start;
	while (o->rate > 0 && r->due_len < room) {
		at += -log(1 - erand48(seed)) / o->rate * 1e9;
		if (at >= (double)r->till_ns)
			break;
		r->due_ns[r->due_len++] = (int64_t)at;
	}
}

static void open_all(struct run *r)
{
	for (int i = 0; i < r->o->bulk; i++)
		send_request(r, open_conn(r, false, true));
	for (int i = 0; i < r->o->critical && !r->o->fresh; i++)
		r->idle[r->idle_len++] = open_conn(r, true, true);
}

// What the server has used when the window begins and when it ends, as near as there are events.
static void note_cpu(struct run *r, int64_t now)
{
	if (!r->o->pid)
		return;
	if (now >= r->from_ns && r->cpu_from_s == 0)
		r->cpu_from_s = process_seconds(r->o->pid);
	if (now >= r->till_ns && r->cpu_till_s == 0)
		r->cpu_till_s = process_seconds(r->o->pid);
}

// Until there is something to do without being told.
static int64_t time_left(const struct run *r, int64_t now)
{
	int64_t until = now < r->till_ns ? r->till_ns : r->till_ns + DRAIN_S * NS;
	if (r->sent < r->due_len && r->due_ns[r->sent] > now && r->due_ns[r->sent] < until)
		until = r->due_ns[r->sent];
	return until - now;
}

// Until the window is over and every critical request is answered.
static void loop(struct run *r)
{
	struct epoll_event events[EVENTS];
	for (;;) {
		int64_t now = now_ns();
		send_due(r, now);
		note_cpu(r, now);
		if (now >= r->till_ns && r->answered == r->due_len)
			return;
		if (now >= r->till_ns + DRAIN_S * NS)
			fail("critical", "requests that nobody answers");
		int64_t wait = r->o->spins ? 0 : time_left(r, now);
		struct timespec t = {.tv_sec = wait / NS, .tv_nsec = wait % NS};
		int n = epoll_pwait2(r->epoll, events, EVENTS, &t, NULL);
		if (n < 0 && errno != EINTR)
			fail("epoll_pwait2", strerror(errno));
		for (int i = 0; i < n; i++)
			handle(r, events[i].data.ptr);
	}
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void print_quantile(const struct run *r, const char *name, double share)
{
	if (r->counted == 0)
		return;
	size_t i = (size_t)(share * (double)(r->counted - 1) + 0.5);
	printf("%s %.1f us\n", name, (double)r->latency_ns[i] / 1e3);
}

static void print_results(struct run *r, double foreign_s, double elapsed_s)
{
	qsort(r->latency_ns, r->counted, sizeof(*r->latency_ns), ascending);
	print_quantile(r, "p50_us", 0.50);
	print_quantile(r, "p90_us", 0.90);
	print_quantile(r, "p95_us", 0.95);
	print_quantile(r, "p99_us", 0.99);
	print_quantile(r, "max_us", 1.00);
	printf("critical %.1f /s\n", (double)r->counted / r->o->seconds);
	printf("bulk %.1f /s\n", (double)r->bulk / r->o->seconds);
	if (!r->o->pid)
		return;
	printf("bulk_per_cpu %.1f /s\n", (double)r->bulk / (r->cpu_till_s - r->cpu_from_s));
	printf("foreign %.3f ratio\n",
	       foreign_s / elapsed_s / (double)sysconf(_SC_NPROCESSORS_ONLN));
}

static void run_load(const struct options *o)
{
	static struct run r;
	r.o = o;
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r.epoll < 0)
		fail("epoll_create1", strerror(errno));
	snprintf(r.request[0], REQUEST_MAX, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", o->bulk_path);
	snprintf(r.request[1], REQUEST_MAX, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n",
		 o->critical_path);
	open_all(&r);
	int64_t start = now_ns();
	double foreign = foreign_seconds(o);
	r.from_ns = start + (int64_t)(o->warmup * 1e9);
	r.till_ns = r.from_ns + (int64_t)(o->seconds * 1e9);
	draw_arrivals(&r, start);
	loop(&r);
	print_results(&r, foreign_seconds(o) - foreign, (double)(now_ns() - start) / 1e9);
}

static void usage(void)
{
	fail("usage", "load -p port [-q port] [-c bulk] [-b path] [-k path] [-r rate] "
		      "[-n connections | -f] [-t seconds] [-w warmup] [-P server_pid] [-s]");
}

static void parse(struct options *o, int argc, char **argv)
{
	for (int flag = getopt(argc, argv, "p:q:c:b:k:r:n:ft:w:P:s"); flag != -1;
	     flag = getopt(argc, argv, "p:q:c:b:k:r:n:ft:w:P:s")) {
		switch (flag) {
		case 'p': o->port = atoi(optarg); break;
		case 'q': o->critical_port = atoi(optarg); break;
		case 'c': o->bulk = atoi(optarg); break;
		case 'b': o->bulk_path = optarg; break;
		case 'k': o->critical_path = optarg; break;
		case 'r': o->rate = atof(optarg); break;
		case 'n': o->critical = atoi(optarg); break;
		case 'f': o->fresh = true; break;
		case 't': o->seconds = atof(optarg); break;
		case 'w': o->warmup = atof(optarg); break;
		case 's': o->spins = true; break;
		case 'P': o->pid = atoi(optarg); break;
		default: usage();
		}
	}
	if (o->critical_port == 0)
		o->critical_port = o->port;
	if (o->port <= 0 || o->bulk < 0 || o->critical <= 0 || o->critical > CONNS_MAX ||
	    o->rate < 0 || o->rate > 1e5 || o->seconds <= 0 || o->seconds > 60 ||
	    o->warmup < 0 || o->warmup > 60 || strlen(o->bulk_path) > REQUEST_MAX / 2 ||
	    strlen(o->critical_path) > REQUEST_MAX / 2)
		usage();
}

int main(int argc, char **argv)
{
	struct options o = {.bulk = 64, .critical = 64, .rate = 500, .seconds = 2, .warmup = 0.3,
			    .bulk_path = "/bulk", .critical_path = "/pay"};
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	parse(&o, argc, argv);
	prctl(PR_SET_TIMERSLACK, 1UL); // a request is late by what the kernel needs, not by 50 us more
	alarm((unsigned)(o.seconds + o.warmup) + DRAIN_S + ALARM_EXTRA_S);
	run_load(&o);
	return 0;
}
