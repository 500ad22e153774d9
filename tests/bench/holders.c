/* SPDX-License-Identifier: MIT */
/*
 * holders: clients that hold N connections to an echo service for a long time;
 * ACTIVE of them send a message each beat, whatever happens to the service. A
 * broken connection is counted and reopened at once; its request is sent again
 * and still counts as waiting. With a notice address they move home on READY:
 * connect, switch when no answer is due, drain and close the old connection.
 * Every byte is verified. Commands on standard input, each answered by a line:
 *
 *   beat    the active ones begin
 *   touch   every connection asks once
 *   reset   figures are counted anew from now on
 *   report  prints them, as JSON
 */
#include "holders.h"
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <handoff/notice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define HOME_MOST 256 /* connections on their way home at the same time */
#define STDIN     UINT64_MAX
#define NOTICES   (UINT64_MAX - 1)

struct holders all;
static struct handoff_subscriber *subscriber;

void __attribute__((noreturn)) die(const char *what, const char *why)
{
	fprintf(stderr, "holders: %s: %s\n", what, why);
	exit(1);
}

static void
on_notice(void)
{
	const struct handoff_notice *notice;

	while (handoff_subscriber_next(subscriber, &notice) > 0) {
		if (notice->kind != HANDOFF_NOTICE_READY)
			continue;
		all.figures.notice_us = all.now;
		all.to_go_home = 0;
	}
}

static void
report(void)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < all.nconns; i++) {
		const struct conn *c = &all.conns[i];

		if (c->asked_us == 0)
			continue;
		waiting++;
		if (all.now - c->asked_us > all.figures.longest_us)
			all.figures.longest_us = all.now - c->asked_us;
	}
	printf("{\"longest_us\":%lld,\"answers\":%u,\"waiting\":%u,"
	       "\"broken\":%u,\"back\":%u,\"back_us\":%lld,"
	       "\"home\":%u,\"home_us\":%lld}\n",
		(long long)all.figures.longest_us, all.figures.answers, waiting,
		all.figures.broken, all.figures.back,
		(long long)all.figures.back_us, all.figures.home,
		(long long)all.figures.home_us);
}

static void
begin_beats(void)
{
	for (unsigned i = 0; i < all.nactive; i++)
		all.conns[i].due_us =
			all.now + (int64_t)i * BEAT_US / all.nactive;
	all.beating = true;
}

static void
touch(void)
{
	for (unsigned i = 0; i < all.nconns; i++)
		if (all.conns[i].connected && all.conns[i].asked_us == 0)
			ask(&all.conns[i]);
}

/* Whoever commands waits for the answer, so a read is a command. */
static void
obey(void)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0);
	line[n] = '\0';
	if (strcmp(line, "report\n") == 0) {
		report();
		return;
	}
	if (strcmp(line, "beat\n") == 0)
		begin_beats();
	else if (strcmp(line, "touch\n") == 0)
		touch();
	else if (strcmp(line, "reset\n") == 0)
		memset(&all.figures, 0, sizeof(all.figures));
	else
		die("command", line);
	if (line[0] == 'r')
		all.figures.start_us = all.now;
	puts("{}");
}

static void
on_event(const struct epoll_event *ev)
{
	struct conn *c = &all.conns[ev->data.u64 >> 32];
	int fd = (int)(uint32_t)ev->data.u64;

	if (ev->data.u64 == STDIN)
		obey();
	else if (ev->data.u64 == NOTICES)
		on_notice();
	else
		on_socket(c, fd);
}

static void
beat(struct conn *c)
{
	if (c->lost || all.now < c->due_us)
		return;
	c->due_us = c->due_us + BEAT_US < all.now ? all.now + BEAT_US
						  : c->due_us + BEAT_US;
	/* Who waits does not ask again; who is about to switch does not
	 * begin. */
	if (c->asked_us == 0)
		ask(c);
}

static void
turn(void)
{
	struct epoll_event events[256];
	int n = epoll_wait(all.epfd, events, 256, 1);

	all.now = load_now_us();
	for (int i = 0; i < n; i++)
		on_event(&events[i]);
	for (unsigned i = 0; all.beating && i < all.nactive; i++)
		beat(&all.conns[i]);
	for (unsigned i = 0; all.nlost > 0 && i < all.nconns; i++)
		if (all.conns[i].lost && all.conns[i].fd < 0 &&
			all.now >= all.conns[i].due_us)
			redial(&all.conns[i]);
	while (all.to_go_home < all.nconns && all.ncoming < HOME_MOST)
		go_home(&all.conns[all.to_go_home++]);
}

static void
connect_all(void)
{
	for (unsigned i = 0; i < all.nconns; i++) {
		struct conn *c = &all.conns[i];

		*c = (struct conn){
			.next = -1, .old = -1, .key = i + 1, .connected = true};
		c->fd = new_socket(c, 0);
		if (c->fd < 0 ||
			connect(c->fd, (const struct sockaddr *)&all.address,
				sizeof(all.address)) < 0)
			die("connect", strerror(errno));
		watch(c, c->fd, EPOLL_CTL_ADD, EPOLLIN);
	}
	all.to_go_home = all.nconns;
}

static void
subscribe(const char *where)
{
	char why[256] = "";
	struct handoff_subscriber_opts opts = {.size = sizeof(opts),
		.address = where,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = NOTICES};

	if (handoff_subscriber_open(&subscriber, &opts) < 0 ||
		epoll_ctl(all.epfd, EPOLL_CTL_ADD,
			handoff_subscriber_fd(subscriber), &ev) < 0)
		die("subscribe", why);
}

int
main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = STDIN};
	struct rlimit limit;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4 || strncmp(argv[1], "127.0.0.1:", 10) != 0)
		die("usage", "holders 127.0.0.1:PORT N ACTIVE [mq:DIR]");
	all.address.sin_family = AF_INET;
	all.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	all.address.sin_port = htons((uint16_t)atoi(argv[1] + 10));
	all.nconns = (unsigned)atoi(argv[2]);
	all.nactive = (unsigned)atoi(argv[3]);
	all.nactive = all.nactive < all.nconns ? all.nactive : all.nconns;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	all.epfd = epoll_create1(EPOLL_CLOEXEC);
	all.conns = calloc(all.nconns, sizeof(*all.conns));
	if (all.epfd < 0 || !all.conns ||
		epoll_ctl(all.epfd, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
		die("set up", strerror(errno));
	if (argc > 4)
		subscribe(argv[4]);
	connect_all();
	puts("ready");
	for (;;)
		turn();
}
