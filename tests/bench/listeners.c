/* SPDX-License-Identifier: MIT */
/*
 * listeners: measures the time from publishing a notice until the last of N
 * subscribers, each a sleeping process, has received it. Twice a round, with
 * new processes each time: through the library, and with the same number of
 * bytes sent by the bare call of the transport into one queue or socket for
 * each, opened beforehand, which is the floor. Prints a JSON object for each.
 */
#include "notice/publisher.h"
#include <handoff/notice.h>

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX      4000
#define STEP     16 /* subscribers in a turn of a server */
#define PATIENCE 10000000000

struct shared {
	_Atomic int64_t last_ns[MAX]; /* when each had it */
	_Atomic unsigned have;        /* or are ready, at first */
};

static struct shared *shared;
static unsigned count;
static pid_t pids[MAX];
static int ends[MAX]; /* of the floor: a queue, its number, a socket */

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

struct typed {
	long type;
	char data[HANDOFF__NOTICE_SIZE];
};

/* The bare client of a transport. */
struct floor {
	const char *prefix, *name;
	void (*open)(unsigned who, const char *path);
	void (*receive)(unsigned who);
	void (*send)(unsigned who, const char *path);
	void (*close)(unsigned who);
};

static void
mq_open_one(unsigned who, const char *path)
{
	struct mq_attr attr = {
		.mq_maxmsg = 4, .mq_msgsize = HANDOFF__NOTICE_SIZE};
	char name[64];

	(void)path;
	snprintf(name, sizeof(name), "/bench-%d-%u", (int)getpid(), who);
	ends[who] = (int)mq_open(name,
		O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600,
		&attr);
	if (ends[who] < 0)
		die("mq_open", strerror(errno));
	mq_unlink(name);
}

static void
mq_receive_one(unsigned who)
{
	char data[HANDOFF__NOTICE_SIZE];
	struct pollfd p = {.fd = ends[who], .events = POLLIN};

	if (poll(&p, 1, -1) > 0 &&
		mq_receive(ends[who], data, sizeof(data), NULL) >= 0)
		has_it(who);
}

static void
mq_send_one(unsigned who, const char *path)
{
	static const char data[HANDOFF__NOTICE_SIZE];

	(void)path;
	if (mq_send(ends[who], data, sizeof(data), 0) < 0)
		die("mq_send", strerror(errno));
}

static void
mq_close_one(unsigned who)
{
	mq_close(ends[who]);
}

static void
sysv_open_one(unsigned who, const char *path)
{
	(void)path;
	ends[who] = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
	if (ends[who] < 0)
		die("msgget", strerror(errno));
}

static void
sysv_receive_one(unsigned who)
{
	struct typed m;

	if (msgrcv(ends[who], &m, sizeof(m.data), 0, 0) >= 0)
		has_it(who);
}

static void
sysv_send_one(unsigned who, const char *path)
{
	static const struct typed m = {.type = 1};

	(void)path;
	if (msgsnd(ends[who], &m, sizeof(m.data), IPC_NOWAIT) < 0)
		die("msgsnd", strerror(errno));
}

static void
sysv_close_one(unsigned who)
{
	msgctl(ends[who], IPC_RMID, NULL);
}

static struct sockaddr_un
name_of(unsigned who, const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(
		sun.sun_path, sizeof(sun.sun_path), "%.80s/bare.%u", path, who);
	return sun;
}

static void
unix_open_one(unsigned who, const char *path)
{
	struct sockaddr_un sun = name_of(who, path);

	ends[who] =
		socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	unlink(sun.sun_path);
	if (ends[who] < 0 ||
		bind(ends[who], (struct sockaddr *)&sun, sizeof(sun)) < 0)
		die("bind", strerror(errno));
}

static void
unix_receive_one(unsigned who)
{
	char data[HANDOFF__NOTICE_SIZE];
	struct pollfd p = {.fd = ends[who], .events = POLLIN};

	if (poll(&p, 1, -1) > 0 && recv(ends[who], data, sizeof(data), 0) >= 0)
		has_it(who);
}

static void
unix_send_one(unsigned who, const char *path)
{
	static const char data[HANDOFF__NOTICE_SIZE];
	struct sockaddr_un sun = name_of(who, path);
	static int sock = -1;

	if (sock < 0)
		sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sendto(sock, data, sizeof(data), 0, (struct sockaddr *)&sun,
		    sizeof(sun)) < 0)
		die("sendto", strerror(errno));
}

static void
unix_close_one(unsigned who)
{
	close(ends[who]);
}

static const struct floor floors[] = {
	{"mq:", "mq_send", mq_open_one, mq_receive_one, mq_send_one,
		mq_close_one},
	{"sysv:", "msgsnd", sysv_open_one, sysv_receive_one, sysv_send_one,
		sysv_close_one},
	{"unix:", "sendto", unix_open_one, unix_receive_one, unix_send_one,
		unix_close_one},
};

static const struct floor *bare;

static void __attribute__((noreturn)) receive(unsigned who)
{
	shared->have++;
	for (;;)
		bare->receive(who);
}

/* Children that wait: for the library's notices, or with no `where` for those
 * of the floor. */
static void
start(const char *where, const char *path)
{
	shared->have = 0;
	for (unsigned i = 0; i < count; i++) {
		if (!where)
			bare->open(i, path);
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
		result(bare->prefix, start_ns, now_ns());
}

static void
put(const char *path, bool print)
{
	int64_t start_ns;

	shared->have = 0;
	start_ns = now_ns();
	for (unsigned i = 0; i < count; i++)
		bare->send(i, path);
	if (print)
		result(bare->name, start_ns, now_ns());
	else
		wait_for_all();
}

static void
reap(void)
{
	for (unsigned i = 0; i < count; i++)
		if (waitpid(pids[i], NULL, 0) < 0)
			die("waitpid", strerror(errno));
}

static void
sleep_all(void)
{
	for (unsigned i = 0; i < count; i++)
		wait_asleep(pids[i]);
}

/* One round: the second notice is measured, when all code and memory that it
 * takes has been used. */
static void
through_the_library(const char *path)
{
	struct handoff__dir dir;
	struct handoff__publisher pub;
	struct handoff__error error = {0};
	char where[300];
	const char *only = where;

	if (handoff__dir_open(&dir, path, true, false, &error) < 0)
		die(path, error.text);
	unlinkat(dir.fd, "notice", 0);
	snprintf(where, sizeof(where), "%s%s", bare->prefix, path);
	if (handoff__publisher_open(&pub, &dir, &only, 1, 0, &error) < 0)
		die(path, error.text);
	start(where, path);
	publish(&pub, HANDOFF_NOTICE_MAINTENANCE, 1, false);
	wait_for_all();
	sleep_all();
	publish(&pub, HANDOFF_NOTICE_MAINTENANCE, 2, true);
	publish(&pub, HANDOFF_NOTICE_GOODBYE, 3, false);
	reap();
	handoff__publisher_close(&pub);
	handoff__dir_close(&dir);
}

static void
by_hand(const char *path)
{
	start(NULL, path);
	put(path, false);
	sleep_all();
	put(path, true);
	for (unsigned i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	reap();
	for (unsigned i = 0; i < count; i++)
		bare->close(i);
}

static const struct floor *
floor_of(const char *way)
{
	size_t len = strlen(way);

	for (size_t i = 0; i < sizeof(floors) / sizeof(floors[0]); i++)
		if (strncmp(floors[i].prefix, way, len) == 0 &&
			floors[i].prefix[len] == ':')
			return &floors[i];
	die(way, "is none of mq, sysv, unix");
}

int
main(int argc, char **argv)
{
	unsigned rounds = argc == 5 ? (unsigned)atoi(argv[4]) : 0;

	count = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
	if (count == 0 || count > MAX || rounds == 0)
		die("usage", "listeners DIR mq|sysv|unix SUBSCRIBERS ROUNDS");
	bare = floor_of(argv[2]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap", strerror(errno));
	for (unsigned i = 0; i < rounds; i++) {
		through_the_library(argv[1]);
		by_hand(argv[1]);
	}
	return 0;
}
