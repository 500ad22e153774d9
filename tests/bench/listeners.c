/* SPDX-License-Identifier: MIT */
/*
 * listeners: measures the time from publishing a notice until the last of N
 * subscribers, each a sleeping process, has received it. Twice a round: through
 * the library, and with the same number of bytes put by mq_send(3) into one
 * queue for each, opened beforehand, which is the floor. Prints a JSON object a
 * round.
 */
#include "notice/publisher.h"
#include <handoff/notice.h>

#include <errno.h>
#include <mqueue.h>
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

#define MAX      1000
#define STEP     16 /* subscribers in a turn of a server */
#define PATIENCE 10000000000

struct shared {
	_Atomic int64_t last_ns[MAX]; /* when each had it */
	_Atomic unsigned have;        /* or are ready, at first */
};

static struct shared *shared;
static unsigned count;
static pid_t pids[MAX];
static mqd_t queues[MAX];

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
	fprintf(stderr, "listeners: %s: %s\n", what, why);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
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

static void
wait_for_all(void)
{
	int64_t end = now_ns() + PATIENCE;

	while (shared->have < count) {
		if (now_ns() > end)
			die("notice", "not all subscribers have it");
		usleep(1000);
	}
}

static void __attribute__((noreturn)) subscribe(unsigned who, const char *where)
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

static void __attribute__((noreturn)) receive(unsigned who)
{
	char data[HANDOFF__NOTICE_SIZE];
	struct pollfd p = {.fd = queues[who], .events = POLLIN};

	shared->have++;
	for (;;)
		if (poll(&p, 1, -1) > 0 &&
			mq_receive(queues[who], data, sizeof(data), NULL) >= 0)
			has_it(who);
}

static void
open_queue(unsigned who)
{
	struct mq_attr attr = {
		.mq_maxmsg = 4, .mq_msgsize = HANDOFF__NOTICE_SIZE};
	char name[64];

	snprintf(name, sizeof(name), "/bench-%d-%u", (int)getpid(), who);
	queues[who] = mq_open(name,
		O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600,
		&attr);
	if (queues[who] < 0)
		die("mq_open", strerror(errno));
	mq_unlink(name);
}

/* Children that wait: for the library's notices, or with no `where` for those
 * of the floor. */
static void
start(const char *where)
{
	shared->have = 0;
	for (unsigned i = 0; i < count; i++) {
		if (!where)
			open_queue(i);
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork", strerror(errno));
		if (pids[i] > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (where)
			subscribe(i, where);
		receive(i);
	}
	wait_for_all();
	for (unsigned i = 0; i < count; i++)
		wait_asleep(pids[i]);
}

static void
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

static void
publish(struct handoff__publisher *pub, enum handoff_notice_kind kind,
	unsigned seq, bool print)
{
	struct handoff_notice notice = {.service = "echo",
		.serving = "server",
		.kind = kind,
		.generation = 1,
		.seq = seq};
	int64_t start_ns;

	shared->have = 0;
	start_ns = now_ns();
	if (handoff__publisher_begin(pub, &notice) < 0)
		die("publish", "the notice cannot be kept");
	while (handoff__publisher_step(pub, STEP) > 0)
		;
	if (print)
		result("library", start_ns, now_ns());
}

static void
put(void)
{
	static const char data[HANDOFF__NOTICE_SIZE];
	int64_t start_ns;

	shared->have = 0;
	start_ns = now_ns();
	for (unsigned i = 0; i < count; i++)
		if (mq_send(queues[i], data, sizeof(data), 0) < 0)
			die("mq_send", strerror(errno));
	result("mq_send", start_ns, now_ns());
}

static void
reap(void)
{
	for (unsigned i = 0; i < count; i++)
		if (waitpid(pids[i], NULL, 0) < 0)
			die("waitpid", strerror(errno));
}

static void
through_the_library(const char *path, unsigned rounds)
{
	struct handoff__dir dir;
	struct handoff__publisher pub;
	struct handoff__error error = {0};
	char where[300];

	if (handoff__dir_open(&dir, path, true, false, &error) < 0)
		die(path, error.text);
	snprintf(where, sizeof(where), "mq:%s", path);
	if (handoff__publisher_open(&pub, &dir, NULL, 0, 0, &error) < 0)
		die(path, error.text);
	start(where);
	for (unsigned i = 0; i < rounds; i++)
		publish(&pub, HANDOFF_NOTICE_MAINTENANCE, i + 1, true);
	publish(&pub, HANDOFF_NOTICE_GOODBYE, rounds + 1, false);
	reap();
	handoff__publisher_close(&pub);
	handoff__dir_close(&dir);
}

static void
by_hand(unsigned rounds)
{
	start(NULL);
	for (unsigned i = 0; i < rounds; i++)
		put();
	for (unsigned i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	reap();
}

int
main(int argc, char **argv)
{
	unsigned rounds = argc == 4 ? (unsigned)atoi(argv[3]) : 0;

	count = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	if (count == 0 || count > MAX || rounds == 0)
		die("usage", "listeners DIR SUBSCRIBERS ROUNDS");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap", strerror(errno));
	through_the_library(argv[1], rounds);
	by_hand(rounds);
	return 0;
}
