/* SPDX-License-Identifier: MIT */
/*
 * The clients of the failover benchmark: N connections to an echo service, of
 * which ACTIVE send a message each beat. Commands on standard input:
 *
 *   kill PID   ends that process by SIGKILL, watches for a second what comes
 *              back, and prints one JSON object of times since the kill
 *   check      sends a message on every connection and waits for its echo
 *
 * Every byte is verified; anything lost or wrong ends the program.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHUNK    256
#define BEAT_US  10000
#define WATCH_US 1000000
#define LIMIT_US 20000000
#define LOG_MAX  200000

struct conn {
	int fd;
	uint64_t key, sent, echoed;
	int64_t due_us;     /* the next beat */
	int64_t waiting_us; /* since when an echo is due; 0: none is */
};

/* An echo that is complete: when it came, and when it was asked for. */
struct answer {
	int64_t came_us, asked_us;
	bool survivor; /* came after the end of the other had been seen */
};

static struct conn *conns;
static unsigned nconns, nactive, nunanswered;
static int epfd, pidfd = -1;
static int64_t gone_us;
static struct answer answers[LOG_MAX];
static unsigned nanswers;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "failover_clients: %s: %s\n", what, why);
	exit(1);
}

static void
ask(struct conn *c)
{
	unsigned char data[CHUNK];

	load_fill(c->key, c->sent, data, sizeof(data));
	if (send(c->fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT) !=
		(ssize_t)sizeof(data))
		die("send", strerror(errno));
	if (c->sent == c->echoed) {
		c->waiting_us = load_now_us();
		nunanswered++;
	}
	c->sent += sizeof(data);
}

static void
hear(struct conn *c, int64_t now)
{
	unsigned char data[16 * CHUNK];
	ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		die("receive", n == 0 ? "a connection ended" : strerror(errno));
	if (c->echoed + (uint64_t)n > c->sent ||
		load_verify(c->key, c->echoed, data, (size_t)n) > 0)
		die("receive", "wrong bytes");
	c->echoed += (uint64_t)n;
	if (c->echoed < c->sent)
		return;
	if (nanswers < LOG_MAX)
		answers[nanswers++] = (struct answer){
			now, c->waiting_us, gone_us > 0 && now > gone_us};
	c->waiting_us = 0;
	nunanswered--;
}

/* One turn: what has come, then the beats that are due. */
static void
turn(bool beating)
{
	struct epoll_event events[256];
	int n = epoll_wait(epfd, events, 256, 1);
	int64_t now = load_now_us();

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr) {
			hear(events[i].data.ptr, now);
		} else {
			gone_us = now;
			epoll_ctl(epfd, EPOLL_CTL_DEL, pidfd, NULL);
		}
	}
	for (unsigned i = 0; beating && i < nactive; i++) {
		struct conn *c = &conns[i];

		if (now < c->due_us)
			continue;
		c->due_us += BEAT_US;
		if (c->due_us < now)
			c->due_us = now + BEAT_US;
		ask(c);
	}
}

static void
run_until(int64_t end)
{
	while (load_now_us() < end)
		turn(true);
}

static void
check(void)
{
	int64_t end = load_now_us() + LIMIT_US;

	while (nunanswered > 0 && load_now_us() < end)
		turn(false);
	for (unsigned i = 0; i < nconns; i++) {
		ask(&conns[i]);
		if (i % 64 == 0)
			turn(false);
	}
	while (nunanswered > 0) {
		if (load_now_us() > end)
			die("check", "not all connections answer");
		turn(false);
	}
}

/* What was read in the same turn as the end of the process may still be of
 * that one, what comes in later turns is the survivor's. */
static void
report(int64_t start)
{
	int64_t first = 0, all = 0, slowest = 0;

	for (unsigned i = 0; i < nanswers; i++) {
		const struct answer *a = &answers[i];

		if (!a->survivor)
			continue;
		if (first == 0)
			first = a->came_us;
		/* It had been waiting when the first byte came. */
		if (a->asked_us <= first)
			all = a->came_us;
		if (a->came_us - a->asked_us > slowest)
			slowest = a->came_us - a->asked_us;
	}
	if (first == 0)
		die("kill", "nobody serves");
	printf("{\"gone_us\":%lld,\"first_us\":%lld,\"all_us\":%lld,"
	       "\"slowest_us\":%lld,\"answers\":%u}\n",
		(long long)(gone_us - start), (long long)(first - start),
		(long long)(all - start), (long long)slowest, nanswers);
}

static void
kill_and_watch(pid_t pid)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	int64_t start;

	run_until(load_now_us() + 300000);
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, pidfd, &ev) < 0)
		die("pidfd", strerror(errno));
	nanswers = 0;
	gone_us = 0;
	start = load_now_us();
	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0)
		die("kill", strerror(errno));
	run_until(start + WATCH_US);
	close(pidfd);
	report(start);
}

static void
connect_all(const struct sockaddr_in *sin)
{
	for (unsigned i = 0; i < nconns; i++) {
		struct conn *c = &conns[i];
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
		int one = 1;

		c->key = i + 1;
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 ||
			connect(c->fd, (const struct sockaddr *)sin,
				sizeof(*sin)) < 0 ||
			setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one,
				sizeof(one)) < 0 ||
			epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			die("connect", strerror(errno));
	}
}

static void
spread_beats(void)
{
	int64_t now = load_now_us();

	for (unsigned i = 0; i < nactive; i++)
		conns[i].due_us = now + (int64_t)i * BEAT_US / nactive;
}

static void
obey(void)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "kill ", 5) == 0) {
			spread_beats();
			kill_and_watch((pid_t)atoi(line + 5));
		} else if (strncmp(line, "check", 5) == 0) {
			check();
			puts("checked");
		} else {
			die("command", line);
		}
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct rlimit limit;
	const char *colon = argc == 4 ? strchr(argv[1], ':') : NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!colon || strncmp(argv[1], "127.0.0.1:", 10) != 0)
		die("usage", "failover_clients 127.0.0.1:PORT N ACTIVE");
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((uint16_t)atoi(colon + 1));
	nconns = (unsigned)atoi(argv[2]);
	nactive = (unsigned)atoi(argv[3]);
	if (nactive > nconns)
		nactive = nconns;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	epfd = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(nconns, sizeof(*conns));
	if (epfd < 0 || !conns || nconns == 0)
		die("set up", strerror(errno));
	connect_all(&sin);
	check();
	puts("ready");
	obey();
	return 0;
}
