/* SPDX-License-Identifier: MIT */
/*
 * clients: load for the benchmarks. Holds N connections to an echo server and
 * obeys commands on standard input, each answered by one line of JSON; in
 * between the connections are idle. Every byte that comes back is compared
 * with what was sent. Knows nothing of the library.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

#define BATCH    256
#define BUFFER   65536
#define MESSAGE  (1u << 20) /* the longest */
#define SHIFTS   4096u
#define STALL_MS 20000 /* of silence: the server is broken */

static const char usage[] =
	"usage: clients ADDR:PORT CONNECTIONS\n"
	"Commands, one a line, to the end of the input:\n"
	"  ping SIZE MS    for that time each connection sends SIZE bytes, "
	"waits\n"
	"                  until they are back, and does it again\n"
	"  once SIZE       each connection does that once\n"
	"  times SIZE N    each does it N times\n"
	"  stream SIZE MS  for that time each connection writes SIZE bytes "
	"after\n"
	"                  SIZE bytes and reads what comes\n";

struct conn {
	int fd;
	bool want_out;
	uint64_t sent, echoed; /* messages that are complete */
	size_t out, in;        /* bytes of the message under way */
	uint32_t key;
};

struct work {
	size_t size;
	bool stream;
	uint64_t most; /* messages of a connection, 0: any number */
	int64_t until_ns;
	bool over;
};

static unsigned char pattern[MESSAGE + SHIFTS], buffer[BUFFER];
static struct conn *conns;
static unsigned nconns;
static int epfd;
static uint64_t messages; /* echoed since the command */
static unsigned waiting;  /* connections with something not yet echoed */

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "clients: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Message `number` of a connection; each differs from the one before it. */
static const unsigned char *
message(const struct conn *conn, uint64_t number)
{
	return pattern + (conn->key + number * 61) % SHIFTS;
}

static void
fill_pattern(void)
{
	uint64_t x = 1;

	for (size_t i = 0; i < sizeof(pattern); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		pattern[i] = (unsigned char)(x >> 56);
	}
}

static void
watch(struct conn *conn, int op, bool out)
{
	struct epoll_event ev = {
		.events = out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = conn};

	if (op == EPOLL_CTL_MOD && conn->want_out == out)
		return;
	conn->want_out = out;
	if (epoll_ctl(epfd, op, conn->fd, &ev) < 0)
		die("epoll_ctl");
}

/* May the connection begin another message? */
static bool
may_begin(const struct conn *conn, const struct work *work)
{
	return !work->over && (work->stream || conn->sent == conn->echoed) &&
	       (work->most == 0 || conn->sent < work->most);
}

static void
send_some(struct conn *conn, const struct work *work)
{
	while (conn->out > 0 || may_begin(conn, work)) {
		ssize_t n = send(conn->fd,
			message(conn, conn->sent) + conn->out,
			work->size - conn->out, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			die("send");
		if (conn->sent == conn->echoed && conn->out == 0 && n > 0)
			waiting++;
		if (n > 0)
			conn->out += (size_t)n;
		if (conn->out < work->size) {
			watch(conn, EPOLL_CTL_MOD, true);
			return;
		}
		conn->out = 0;
		conn->sent++;
	}
	watch(conn, EPOLL_CTL_MOD, false);
}

/* Compares what has come; it may end a message and begin the next. */
static void
check(struct conn *conn, const struct work *work, const unsigned char *data,
	size_t len)
{
	while (len > 0) {
		size_t n = work->size - conn->in;

		if (n > len)
			n = len;
		if (conn->echoed > conn->sent ||
			(conn->echoed == conn->sent &&
				conn->in + n > conn->out) ||
			memcmp(data, message(conn, conn->echoed) + conn->in,
				n) != 0) {
			fprintf(stderr,
				"clients: wrong bytes in message %llu\n",
				(unsigned long long)conn->echoed);
			exit(1);
		}
		data += n;
		len -= n;
		conn->in += n;
		if (conn->in < work->size)
			continue;
		conn->in = 0;
		conn->echoed++;
		messages++;
	}
	if (conn->echoed == conn->sent && conn->out == 0)
		waiting--;
}

static void
on_event(struct conn *conn, uint32_t events, const struct work *work)
{
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t n = recv(conn->fd, buffer, BUFFER, MSG_DONTWAIT);

		if (n == 0)
			errno = ECONNRESET;
		if (n == 0 || (n < 0 && errno != EAGAIN))
			die("recv");
		if (n > 0)
			check(conn, work, buffer, (size_t)n);
	}
	send_some(conn, work);
}

/* Until all that was begun is back. */
static void
run(struct work *work)
{
	struct epoll_event batch[BATCH];

	for (unsigned i = 0; i < nconns; i++) {
		conns[i].sent = conns[i].echoed = 0;
		send_some(&conns[i], work);
	}
	while (waiting > 0) {
		int n = epoll_wait(epfd, batch, BATCH, STALL_MS);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("echo");
		}
		if (!work->over && work->until_ns > 0)
			work->over = now_ns() >= work->until_ns;
		for (int i = 0; i < n; i++)
			on_event(batch[i].data.ptr, batch[i].events, work);
	}
}

static void
obey(const char *line)
{
	struct work work = {0};
	char what[16];
	unsigned size, number = 1;
	struct rusage before, after;
	int64_t start;
	int words = sscanf(line, "%15s %u %u", what, &size, &number);
	double cpu;

	if (words < 2 || size == 0 || size > MESSAGE || number == 0) {
		fputs(usage, stderr);
		exit(2);
	}
	work.size = size;
	work.stream = strcmp(what, "stream") == 0;
	messages = 0;
	getrusage(RUSAGE_SELF, &before);
	start = now_ns();
	if (work.stream || strcmp(what, "ping") == 0)
		work.until_ns = start + (int64_t)number * 1000000;
	else
		work.most = number;
	run(&work);
	start = now_ns() - start;
	getrusage(RUSAGE_SELF, &after);
	cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
	      (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
	      (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
	      (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
	printf("{\"messages\":%llu,\"bytes\":%llu,\"seconds\":%.6f,"
	       "\"client_cpu\":%.6f}\n",
		(unsigned long long)messages,
		(unsigned long long)(messages * size), (double)start / 1e9,
		cpu);
	fflush(stdout);
}

static void
open_conn(struct conn *conn, const struct sockaddr_in *sin, unsigned number)
{
	int one = 1;

	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	conn->key = number * 997;
	if (conn->fd < 0)
		die("socket");
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(conn->fd, (const struct sockaddr *)sin, sizeof(*sin)) < 0)
		die("connect");
	watch(conn, EPOLL_CTL_ADD, false);
}

static void
open_all(const char *address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	const char *colon = strrchr(address, ':');
	char host[64];

	if (!colon || (size_t)(colon - address) >= sizeof(host)) {
		fputs(usage, stderr);
		exit(2);
	}
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = '\0';
	sin.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1) {
		fputs(usage, stderr);
		exit(2);
	}
	conns = calloc(nconns, sizeof(*conns));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epfd < 0)
		die("set up");
	for (unsigned i = 0; i < nconns; i++)
		open_conn(&conns[i], &sin, i);
}

int
main(int argc, char **argv)
{
	struct rlimit limit;
	char line[64];

	if (argc != 3 || (nconns = (unsigned)atoi(argv[2])) == 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	fill_pattern();
	open_all(argv[1]);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
