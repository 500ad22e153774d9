/* SPDX-License-Identifier: MIT */
/*
 * cutter: passes connections on to a server and breaks each of them after a
 * random time, in the middle of whatever is under way: with a reset to both
 * ends, or to one, while the other sees an end. What it holds then is lost, as
 * in a network. SIGUSR1: begins to break them, or breaks no more. SIGTERM: ends
 * with its counts.
 */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SIZE  16384
#define PAIRS 8192

struct pair;

struct side {
	struct pair *pair;
	int fd;
	bool ended;     /* nothing more comes from it */
	bool told;      /* the other side was told */
	char buf[SIZE]; /* that came from it */
	size_t len;
};

struct pair {
	struct side sides[2];
	int64_t until_us;
	bool open;
};

static struct pair *pairs[PAIRS];
static unsigned npairs, accepted, broken;
static struct sockaddr_in target;
static int epfd, listener;
static int64_t mean_us;
static uint64_t seed = 1;
static volatile sig_atomic_t breaks, done;

static void
on_signal(int number)
{
	if (number == SIGUSR1)
		breaks = !breaks;
	else
		done = 1;
}

static void
fail(const char *what)
{
	fprintf(stderr, "cutter: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
close_pair(struct pair *pair, unsigned resets)
{
	struct linger linger = {1, 0};

	for (unsigned i = 0; i < 2; i++) {
		if (resets & 1u << i)
			setsockopt(pair->sides[i].fd, SOL_SOCKET, SO_LINGER,
				&linger, sizeof(linger));
		close(pair->sides[i].fd);
	}
	pair->open = false;
}

static void
watch(struct side *side, int op)
{
	struct side *other = &side->pair->sides[side == side->pair->sides];
	struct epoll_event event = {.data.ptr = side};

	if (side->len < SIZE && !side->ended)
		event.events |= EPOLLIN;
	if (other->len > 0)
		event.events |= EPOLLOUT;
	epoll_ctl(epfd, op, side->fd, &event);
}

static void
begin(int fd)
{
	int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pair *pair = calloc(1, sizeof(*pair));

	if (to < 0 || !pair || npairs == PAIRS)
		fail("no room for a connection");
	if (connect(to, (struct sockaddr *)&target, sizeof(target)) < 0) {
		close(to);
		close(fd);
		free(pair);
		return;
	}
	accepted++;
	pair->open = true;
	pair->sides[0].fd = fd;
	pair->sides[1].fd = to;
	pairs[npairs++] = pair;
	for (int i = 0; i < 2; i++) {
		pair->sides[i].pair = pair;
		watch(&pair->sides[i], EPOLL_CTL_ADD);
	}
}

/* Returns false if the pair is to be given up. */
static bool
pump(struct side *from, struct side *to)
{
	ssize_t n = 0;

	if (from->len < SIZE && !from->ended) {
		n = recv(from->fd, from->buf + from->len, SIZE - from->len,
			MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return false;
		from->ended = n == 0;
		from->len += n > 0 ? (size_t)n : 0;
	}
	if (from->len > 0) {
		n = send(to->fd, from->buf, from->len,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			from->len -= (size_t)n;
			memmove(from->buf, from->buf + n, from->len);
		}
	}
	if (from->ended && from->len == 0 && !from->told) {
		shutdown(to->fd, SHUT_WR);
		from->told = true;
	}
	return true;
}

static void
serve(struct pair *pair)
{
	struct side *sides = pair->sides;

	if (!pair->open)
		return;
	if (!pump(&sides[0], &sides[1]) || !pump(&sides[1], &sides[0])) {
		close_pair(pair, 3);
		return;
	}
	if (sides[0].told && sides[1].told) {
		close_pair(pair, 0);
		return;
	}
	watch(&sides[0], EPOLL_CTL_MOD);
	watch(&sides[1], EPOLL_CTL_MOD);
}

static int64_t
random_us(void)
{
	return (int64_t)(load_random(&seed) % (uint64_t)(2 * mean_us));
}

static void
cut(void)
{
	int64_t now_us = load_now_us();
	unsigned left = 0;

	for (unsigned i = 0; i < npairs; i++) {
		if (breaks && pairs[i]->until_us == 0)
			pairs[i]->until_us = now_us + random_us();
		if (pairs[i]->open && breaks && now_us > pairs[i]->until_us) {
			close_pair(pairs[i],
				1 + (unsigned)(load_random(&seed) % 3));
			broken++;
		}
		if (pairs[i]->open)
			pairs[left++] = pairs[i];
		else
			free(pairs[i]);
	}
	npairs = left;
}

static void
listen_here(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	struct epoll_event event = {.events = EPOLLIN};

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (listener < 0 || bind(listener, (struct sockaddr *)&in, len) < 0 ||
		listen(listener, 4096) < 0 ||
		getsockname(listener, (struct sockaddr *)&in, &len) < 0 ||
		epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &event) < 0)
		fail("cannot listen");
	printf("cutter: listening on 127.0.0.1:%u\n", ntohs(in.sin_port));
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct epoll_event events[64];

	if (argc != 3) {
		fprintf(stderr, "usage: cutter PORT MEAN_MS\n");
		return 2;
	}
	target.sin_family = AF_INET;
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	target.sin_port = htons((uint16_t)atoi(argv[1]));
	mean_us = (int64_t)atoi(argv[2]) * 1000;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	listen_here();
	while (!done) {
		int n = epoll_wait(epfd, events, 64, 2);

		for (int i = 0; i < n; i++) {
			struct side *side = events[i].data.ptr;

			if (side)
				serve(side->pair);
			else
				begin(accept4(
					listener, NULL, NULL, SOCK_CLOEXEC));
		}
		cut();
	}
	printf("{\"connections\": %u, \"broken\": %u}\n", accepted, broken);
	return 0;
}
