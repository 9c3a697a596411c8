// SPDX-License-Identifier: MIT
//
// Closed-loop load for the echo benches, on epoll. Every connection sends `depth` messages in one
// write and waits until all of them came back; every byte of a reply is compared with what was
// sent, and every message carries the number of its connection and of its round.
//
//   load echo -p PORT [-c conns] [-s size] [-d depth] [-t seconds] [-w warmup] [-P server_pid]
//     prints `name value unit`: requests, rps, p50_us p99_us p999_us, and with -P cpu_ns: the
//     server CPU for each request, all threads (/proc/PID/task/*/schedstat), in that window.
//   load websocket -p PORT ...
//     the same with a message in a masked WebSocket frame (RFC 6455), behind its handshake; a
//     reply must be one frame without a mask.
//   load idle -p PORT [-n connections] [-P server_pid] [-t seconds]
//     opens connections, lets the server rest for -t seconds, prints idle_bytes: what one
//     connection added to the server's private memory; then one exchange on each (which proves
//     that all are served), rests and prints idle_used_bytes. With -r BYTES a message is a request
//     of HTTP, and a reply has so many bytes, whichever they are; with -u too, that request is the
//     handshake of a WebSocket.
//
// A wrong byte, a lost connection or ten silent seconds end it with status 1. It never runs for
// longer than its alarm.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS = 256,
	STALL_MS = 10000,
	WARM_CONNS = 64,
	ALARM_EXTRA_S = 120,
	SOURCE_ADDRESSES = 8,
	SUB_BITS = 5, // 32 sub-buckets for each power of two: 3 % resolution
	BUCKETS = 64 << SUB_BITS,
	PATH_LEN = 320,
};

struct options {
	int port, conns, size, depth, pid;
	int head, reply_head; // bytes before a message, and before the reply to it
	int reply;            // of HTTP: bytes of a reply; the message is a request
	bool upgrade;         // and that request asks for a WebSocket
	double seconds, warmup;
};

static const char http_request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
static const char upgrade_request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

struct conn {
	int fd;
	uint32_t id;
	uint64_t round;
	size_t received;
	int64_t sent_ns;
	unsigned char *sent;
	unsigned char *wanted; // what comes back: `sent` itself for plain bytes
};

struct tally {
	uint64_t requests;
	uint64_t rounds;
	uint64_t histogram[BUCKETS];
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
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void rest(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds,
			     .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
	nanosleep(&t, NULL);
}

// ---- what the server used ----

static int64_t first_number(const char *path)
{
	FILE *file = fopen(path, "r");
	long long value = 0;
	if (!file)
		return 0;
	if (fscanf(file, "%lld", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static int64_t server_cpu_ns(int pid)
{
	char path[PATH_LEN];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		fail(path, strerror(errno));
	int64_t total = 0;
	for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
		total += first_number(path);
	}
	closedir(tasks);
	return total;
}

static int64_t server_private_bytes(int pid)
{
	char path[PATH_LEN], line[PATH_LEN];
	long long kib, total = 0;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	FILE *file = fopen(path, "r");
	if (!file)
		fail(path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Private_Clean: %lld", &kib) == 1 ||
		    sscanf(line, "Private_Dirty: %lld", &kib) == 1)
			total += kib;
	}
	fclose(file);
	return total * 1024;
}

// ---- latency histogram, log-linear ----

static unsigned bucket_of(uint64_t ns)
{
	if (ns < (1u << SUB_BITS))
		return (unsigned)ns;
	unsigned power = 63 - (unsigned)__builtin_clzll(ns);
	unsigned sub = (unsigned)(ns >> (power - SUB_BITS)) & ((1u << SUB_BITS) - 1);
	return ((power - SUB_BITS + 1) << SUB_BITS) | sub;
}

static double bucket_us(unsigned bucket)
{
	unsigned row = bucket >> SUB_BITS, sub = bucket & ((1u << SUB_BITS) - 1);
	if (row == 0)
		return sub / 1e3;
	return (double)((uint64_t)((1u << SUB_BITS) | sub) << (row - 1)) / 1e3;
}

static double percentile_us(const struct tally *tally, double share)
{
	uint64_t wanted = (uint64_t)((double)tally->rounds * share), seen = 0;
	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += tally->histogram[i];
		if (seen > wanted)
			return bucket_us(i);
	}
	return 0;
}

// ---- connections ----

// Sources rotate over 127.0.0.2 and up, so that port reuse between runs never limits a run.
static int open_conn(const struct options *o, uint32_t id)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket", strerror(errno));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct sockaddr_in from = {.sin_family = AF_INET};
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + id % SOURCE_ADDRESSES);
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		fail("bind", strerror(errno));
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect", strerror(errno));
	return fd;
}

// ---- WebSocket frames: binary, whole, with a constant mask ----

static const unsigned char mask_key[4] = {0x37, 0xfa, 0x21, 0x3d};

static size_t put_head(unsigned char *out, int size, bool masked)
{
	size_t n = 0;
	out[n++] = 0x82;
	out[n++] = (unsigned char)((masked ? 0x80 : 0) | (size < 126 ? size : 126));
	if (size >= 126) {
		out[n++] = (unsigned char)(size >> 8);
		out[n++] = (unsigned char)size;
	}
	if (masked)
		memcpy(out + n, mask_key, sizeof(mask_key));
	return n + (masked ? sizeof(mask_key) : 0);
}

static void shake_hands(int fd)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
				      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	char answer[2048] = "";
	size_t n = 0;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
		fail("send", "short or failed handshake");
	while (!strstr(answer, "\r\n\r\n")) {
		ssize_t got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		if (got <= 0)
			fail("handshake", "no answer");
		n += (size_t)got;
		answer[n] = 0;
	}
	if (strncmp(answer, "HTTP/1.1 101 ", 13) != 0 ||
	    !strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
		fail("handshake", answer);
}

// ---- rounds ----

static size_t sent_bytes(const struct options *o)
{
	return (size_t)(o->head + o->size) * (size_t)o->depth;
}

static size_t reply_bytes(const struct options *o)
{
	if (o->reply)
		return (size_t)o->reply;
	return (size_t)(o->reply_head + o->size) * (size_t)o->depth;
}

static void start_conn(struct conn *c, const struct options *o, uint32_t id)
{
	*c = (struct conn){.fd = open_conn(o, id), .id = id, .sent = malloc(sent_bytes(o))};
	c->wanted = o->head || o->reply ? malloc(reply_bytes(o)) : c->sent;
	if (!c->sent || !c->wanted)
		fail("malloc", strerror(ENOMEM));
	for (size_t i = 0; i < reply_bytes(o); i++)
		c->wanted[i] = (unsigned char)('a' + (id + i * 7) % 26);
	if (o->head)
		shake_hands(c->fd);
}

static void send_request(struct conn *c, const struct options *o)
{
	const char *text = o->upgrade ? upgrade_request : http_request;
	c->received = 0;
	c->sent_ns = now_ns();
	if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		fail("send", strerror(errno));
}

static void send_round(struct conn *c, const struct options *o)
{
	if (o->reply) {
		send_request(c, o);
		return;
	}
	for (int i = 0; i < o->depth; i++) {
		uint64_t stamp = (uint64_t)c->id << 40 | (c->round * (uint64_t)o->depth + (uint64_t)i);
		unsigned char *reply = c->wanted + (size_t)i * (size_t)(o->reply_head + o->size);
		unsigned char *sent = c->sent + (size_t)i * (size_t)(o->head + o->size) + o->head;
		memcpy(reply + o->reply_head, &stamp, sizeof(stamp));
		if (!o->head)
			continue;
		put_head(reply, o->size, false);
		put_head(sent - o->head, o->size, true);
		for (int k = 0; k < o->size; k++)
			sent[k] = reply[o->reply_head + k] ^ mask_key[k % 4];
	}
	c->round++;
	c->received = 0;
	c->sent_ns = now_ns();
	if (send(c->fd, c->sent, sent_bytes(o), MSG_NOSIGNAL) != (ssize_t)sent_bytes(o))
		fail("send", "short or failed write");
}

// Returns true when the whole round is back.
static bool receive(struct conn *c, const struct options *o)
{
	static unsigned char reply[2 << 20];
	ssize_t n = recv(c->fd, reply, reply_bytes(o) - c->received, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0)
		fail("recv", n == 0 ? "the server closed a connection" : strerror(errno));
	if (!o->reply && memcmp(reply, c->wanted + c->received, (size_t)n) != 0)
		fail("echo", "a reply differs from what was sent");
	c->received += (size_t)n;
	return c->received == reply_bytes(o);
}

static int watch_all(struct conn *conns, int n)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		fail("epoll_create1", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &event) < 0)
			fail("epoll_ctl", strerror(errno));
	}
	return epoll;
}

// ---- echo ----

static void record(struct tally *tally, const struct options *o, int64_t latency_ns)
{
	tally->requests += (uint64_t)o->depth;
	tally->rounds++;
	tally->histogram[bucket_of((uint64_t)latency_ns)]++;
}

static void loop_until(int epoll, const struct options *o, struct tally *tally, int64_t end_ns)
{
	struct epoll_event events[EVENTS];
	while (now_ns() < end_ns) {
		int n = epoll_wait(epoll, events, EVENTS, STALL_MS);
		if (n == 0)
			fail("stall", "no reply for ten seconds");
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			if (!receive(c, o))
				continue;
			record(tally, o, now_ns() - c->sent_ns);
			send_round(c, o);
		}
	}
}

static void print_tally(const struct tally *tally, const struct options *o, double seconds,
			int64_t cpu_ns)
{
	printf("requests %llu n\n", (unsigned long long)tally->requests);
	printf("rps %.0f /s\n", (double)tally->requests / seconds);
	printf("p50_us %.1f us\n", percentile_us(tally, 0.50));
	printf("p99_us %.1f us\n", percentile_us(tally, 0.99));
	printf("p999_us %.1f us\n", percentile_us(tally, 0.999));
	if (o->pid) {
		printf("cpu_ns %.1f ns\n", (double)cpu_ns / (double)tally->requests);
		printf("busy %.2f of_a_core\n", (double)cpu_ns / 1e9 / seconds);
	}
}

static void drain(int epoll, const struct options *o, int outstanding)
{
	struct epoll_event events[EVENTS];
	while (outstanding > 0) {
		int n = epoll_wait(epoll, events, EVENTS, STALL_MS);
		if (n == 0)
			fail("stall", "replies are missing at the end");
		for (int i = 0; i < n; i++)
			outstanding -= receive(events[i].data.ptr, o);
	}
}

static int run_echo(const struct options *o)
{
	struct conn *conns = calloc((size_t)o->conns, sizeof(*conns));
	struct tally *warm = calloc(1, sizeof(*warm)), *tally = calloc(1, sizeof(*tally));
	if (!conns || !warm || !tally)
		fail("calloc", strerror(ENOMEM));
	for (int i = 0; i < o->conns; i++)
		start_conn(&conns[i], o, (uint32_t)i);
	int epoll = watch_all(conns, o->conns);
	for (int i = 0; i < o->conns; i++)
		send_round(&conns[i], o);
	loop_until(epoll, o, warm, now_ns() + (int64_t)(o->warmup * 1e9));
	int64_t cpu = o->pid ? server_cpu_ns(o->pid) : 0, begin = now_ns();
	loop_until(epoll, o, tally, begin + (int64_t)(o->seconds * 1e9));
	int64_t end = now_ns();
	cpu = o->pid ? server_cpu_ns(o->pid) - cpu : 0;
	drain(epoll, o, o->conns);
	print_tally(tally, o, (double)(end - begin) / 1e9, cpu);
	printf("all_requests %llu n\n",
	       (unsigned long long)(tally->requests + warm->requests) +
		       (unsigned long long)o->conns * (unsigned long long)o->depth);
	return 0;
}

// ---- idle ----

static void exchange_all(struct conn *conns, int n, const struct options *o)
{
	int epoll = watch_all(conns, n);
	for (int done = 0; done < n;) {
		int batch = n - done < WARM_CONNS ? n - done : WARM_CONNS;
		for (int i = 0; i < batch; i++)
			send_round(&conns[done + i], o);
		drain(epoll, o, batch);
		done += batch;
	}
	close(epoll);
}

static int run_idle(const struct options *o)
{
	if (!o->pid)
		fail("idle", "needs -P, the server's process");
	int total = WARM_CONNS + o->conns;
	struct conn *conns = calloc((size_t)total, sizeof(*conns));
	if (!conns)
		fail("calloc", strerror(ENOMEM));
	for (int i = 0; i < WARM_CONNS; i++)
		start_conn(&conns[i], o, (uint32_t)i);
	for (int i = 0; i < (o->upgrade ? 1 : 50); i++) // a handshake is made once
		exchange_all(conns, WARM_CONNS, o);
	rest(o->seconds);
	int64_t before = server_private_bytes(o->pid);
	for (int i = WARM_CONNS; i < total; i++)
		start_conn(&conns[i], o, (uint32_t)i);
	rest(o->seconds);
	int64_t opened = server_private_bytes(o->pid) - before;
	exchange_all(conns + WARM_CONNS, o->conns, o);
	rest(o->seconds);
	int64_t used = server_private_bytes(o->pid) - before;
	printf("idle_bytes %.0f B\n", (double)opened / o->conns);
	printf("idle_used_bytes %.0f B\n", (double)used / o->conns);
	return 0;
}

static void usage(void)
{
	fail("usage", "load echo|websocket|idle -p port [-c|-n conns] [-s size] [-d depth] "
		      "[-t seconds] [-w warmup] [-P server_pid]");
}

static void parse(struct options *o, int argc, char **argv)
{
	for (int flag = getopt(argc, argv, "p:c:n:s:d:t:w:P:r:u"); flag != -1;
	     flag = getopt(argc, argv, "p:c:n:s:d:t:w:P:r:u")) {
		switch (flag) {
		case 'p': o->port = atoi(optarg); break;
		case 'n':
		case 'c': o->conns = atoi(optarg); break;
		case 's': o->size = atoi(optarg); break;
		case 'd': o->depth = atoi(optarg); break;
		case 't': o->seconds = atof(optarg); break;
		case 'w': o->warmup = atof(optarg); break;
		case 'P': o->pid = atoi(optarg); break;
		case 'r': o->reply = atoi(optarg); break;
		case 'u': o->upgrade = true; break;
		default: usage();
		}
	}
	if (o->port <= 0 || o->conns <= 0 || o->depth <= 0 || o->size < (int)sizeof(uint64_t) ||
	    o->size > 65535 || o->size * o->depth > 1 << 20 || o->seconds <= 0 || o->seconds > 60)
		usage();
}

int main(int argc, char **argv)
{
	struct options o = {.conns = 64, .size = 64, .depth = 1, .seconds = 1, .warmup = 0.3};
	struct rlimit files;
	if (argc < 2)
		usage();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	const char *mode = argv[1];
	parse(&o, argc - 1, argv + 1);
	alarm((unsigned)(3 * o.seconds + o.warmup) + ALARM_EXTRA_S);
	if (strcmp(mode, "echo") == 0)
		return run_echo(&o);
	if (strcmp(mode, "websocket") == 0) {
		unsigned char head[16];
		o.head = (int)put_head(head, o.size, true);
		o.reply_head = (int)put_head(head, o.size, false);
		return run_echo(&o);
	}
	if (strcmp(mode, "idle") == 0)
		return run_idle(&o);
	usage();
}
