/* SPDX-License-Identifier: MIT */
/*
 * The floor for the cost of a move between hosts: the calls of lib/migrate on N
 * connections, 64 at a time, with nobody who decides, ships, holds packets or
 * serves. Hosts are network namespaces, given as files: connections from the
 * third to an address of the first go to the second and back, ROUNDS times.
 * Prints a JSON object for each round, with microseconds of each step; the sum
 * has no copying between messages in it, nor the changes of namespace.
 */
#include "migrate/migrate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH   64
#define MAX_FDS 16000

enum step { FREEZE, PREPARE, CHECK, COMMIT, END, STEPS };

static const char *const names[STEPS] = {
	"freeze", "prepare", "unchanged", "commit", "end"};
static int hosts[3];
static int served[MAX_FDS], clients[MAX_FDS];
static struct handoff__image images[BATCH];
static struct handoff__restore restores[BATCH];
static struct handoff__usual usual;
static int64_t spent_ns[STEPS];

static void
die(const char *what)
{
	fprintf(stderr, "rawmove: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
must(int result, const struct handoff__error *error)
{
	if (result >= 0)
		return;
	fprintf(stderr, "rawmove: %s\n", error->text);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
enter(int host)
{
	if (setns(host, CLONE_NEWNET) < 0)
		die("setns");
}

static void
connect_all(int n, const struct sockaddr_in *sin)
{
	int one = 1, listener;

	enter(hosts[0]);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 ||
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one,
			sizeof(one)) < 0 ||
		bind(listener, (const struct sockaddr *)sin, sizeof(*sin)) <
			0 ||
		listen(listener, 16) < 0)
		die("listener");
	for (int i = 0; i < n; i++) {
		enter(hosts[2]);
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (clients[i] < 0 ||
			connect(clients[i], (const struct sockaddr *)sin,
				sizeof(*sin)) < 0)
			die("connect");
		served[i] = accept4(
			listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (served[i] < 0)
			die("accept4");
	}
	close(listener);
}

/* One step of a connection of the batch. */
static void
act(enum step step, int *fd, int i)
{
	struct handoff__error error = {""};

	switch (step) {
	case FREEZE:
		must(handoff__migrate_freeze(*fd, &images[i], &error), &error);
		return;
	case PREPARE:
		must(handoff__migrate_prepare_with(&restores[i], &images[i],
			     &usual, HANDOFF__RESTORE_TRANSPARENT, &error),
			&error);
		return;
	case CHECK:
		must(handoff__migrate_unchanged(*fd, &images[i], &error),
			&error);
		return;
	case COMMIT:
		must(handoff__migrate_commit(&restores[i], &images[i], &error),
			&error);
		return;
	case END:
	default:
		must(handoff__migrate_end(*fd, &error), &error);
		close(*fd);
		*fd = restores[i].fd;
		return;
	}
}

static void
move_batch(int *fds, int count, int from, int to)
{
	memset(&usual, 0, sizeof(usual));
	for (enum step step = 0; step < STEPS; step++) {
		int64_t start;

		enter(step == PREPARE || step == COMMIT ? to : from);
		start = now_ns();
		for (int i = 0; i < count; i++)
			act(step, &fds[i], i);
		spent_ns[step] += now_ns() - start;
	}
	for (int i = 0; i < count; i++)
		handoff__image_free(&images[i]);
}

static void
round_of(int n, int from, int to)
{
	int64_t sum = 0;

	memset(spent_ns, 0, sizeof(spent_ns));
	for (int at = 0; at < n; at += BATCH)
		move_batch(
			&served[at], n - at < BATCH ? n - at : BATCH, from, to);
	printf("{");
	for (enum step step = 0; step < STEPS; step++) {
		printf("\"%s_us\":%.1f,", names[step],
			(double)spent_ns[step] / 1e3);
		sum += spent_ns[step];
	}
	printf("\"sum_us\":%.1f}\n", (double)sum / 1e3);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct rlimit limit;
	int n, rounds;

	if (argc != 7 || (n = atoi(argv[1])) < 1 || n > MAX_FDS ||
		inet_pton(AF_INET, argv[3], &sin.sin_addr) != 1) {
		fputs("usage: rawmove N ROUNDS ADDRESS NETNS NETNS NETNS\n",
			stderr);
		return 2;
	}
	rounds = atoi(argv[2]);
	sin.sin_port = htons(7099);
	for (int i = 0; i < 3; i++)
		if ((hosts[i] = open(argv[4 + i], O_RDONLY | O_CLOEXEC)) < 0)
			die(argv[4 + i]);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	connect_all(n, &sin);
	/* There and back is one more than is asked for: the first is cold. */
	for (int i = -1; i < rounds; i++) {
		round_of(n, hosts[0], hosts[1]);
		round_of(n, hosts[1], hosts[0]);
	}
	return 0;
}
