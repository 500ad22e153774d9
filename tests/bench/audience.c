/* SPDX-License-Identifier: MIT */
/*
 * An audience: N processes, each of which waits for notices, and when each of
 * them had the one that is measured.
 */
#include "audience.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 30000000000

struct shared {
	_Atomic int64_t last_ns[AUDIENCE_MAX]; /* when each had it */
	_Atomic unsigned have;                 /* or are ready, at first */
};

static struct shared *shared;
static unsigned count;
static pid_t pids[AUDIENCE_MAX];

void
die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

void
audience_begin(unsigned size)
{
	count = size;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap", strerror(errno));
}

void
nobody_has_it(void)
{
	shared->have = 0;
}

int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void
has_it(unsigned who)
{
	shared->last_ns[who] = now_ns();
	shared->have++;
}

/* Waits until the process sleeps (proc(5): the state follows the name). */
static void
wait_asleep(pid_t pid)
{
	int64_t end = now_ns() + PATIENCE;
	char path[32], line[256] = "";
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (;;) {
		FILE *file = fopen(path, "re");

		if (!file || !fgets(line, sizeof(line), file))
			die(path, strerror(errno));
		fclose(file);
		state = strrchr(line, ')');
		if (state && state[1] && state[2] == 'S')
			return;
		if (now_ns() > end)
			die(path, "it does not sleep");
		sched_yield();
	}
}

void
wait_for_all(void)
{
	int64_t end = now_ns() + PATIENCE;

	while (shared->have < count) {
		if (now_ns() > end)
			die("notice", "not all subscribers have it");
		usleep(1000);
	}
}

void
subscribe(unsigned who, const char *where, bool ready)
{
	char why[256] = "";
	struct handoff_subscriber_opts opts = {.size = sizeof(opts),
		.address = where,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_subscriber *sub;
	const struct handoff_notice *notice;
	struct pollfd p = {.events = POLLIN};

	if (handoff_subscriber_open(&sub, &opts) < 0)
		die("subscribe", why);
	p.fd = handoff_subscriber_fd(sub);
	if (ready)
		shared->have++;
	for (;;)
		if (poll(&p, 1, -1) > 0 &&
			handoff_subscriber_next(sub, &notice) > 0) {
			if (notice->kind == HANDOFF_NOTICE_GOODBYE)
				break;
			has_it(who);
		}
	handoff_subscriber_free(sub);
	_exit(0);
}

void
start(void (*play)(unsigned who, const char *where), const char *where)
{
	shared->have = 0;
	for (unsigned i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork", strerror(errno));
		if (pids[i] > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		play(i, where);
		_exit(0);
	}
}

void
result(const char *way, int64_t start_ns, int64_t done_ns)
{
	int64_t first = INT64_MAX, last = 0;

	wait_for_all();
	for (unsigned i = 0; i < count; i++) {
		int64_t at = shared->last_ns[i];

		first = at < first ? at : first;
		last = at > last ? at : last;
	}
	printf("{\"way\":\"%s\",\"subscribers\":%u,\"first_us\":%.1f,"
	       "\"last_us\":%.1f,\"publisher_us\":%.1f}\n",
		way, count, (double)(first - start_ns) / 1e3,
		(double)(last - start_ns) / 1e3,
		(double)(done_ns - start_ns) / 1e3);
	fflush(stdout);
}

void
reap(void)
{
	for (unsigned i = 0; i < count; i++)
		if (waitpid(pids[i], NULL, 0) < 0)
			die("waitpid", strerror(errno));
}

void
sleep_all(void)
{
	for (unsigned i = 0; i < count; i++)
		wait_asleep(pids[i]);
}

void
kill_all(void)
{
	for (unsigned i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
}
