/* SPDX-License-Identifier: MIT */
/*
 * listeners: measures the time from publishing a notice until the last of N
 * subscribers, each a sleeping process, has received it. Twice a round, with
 * new processes each time: through the library, and with the same number of
 * bytes sent by the bare call of the transport into one queue or socket for
 * each, opened beforehand, which is the floor. Prints a JSON object for each.
 */
#include "audience.h"

#include "notice/publisher.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STEP 16 /* subscribers in a turn of a server */

static unsigned count;
static int ends[AUDIENCE_MAX]; /* of the floor: a queue, its number, a socket */

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

static void
receive(unsigned who, const char *where)
{
	(void)where;
	has_it(who);
	for (;;)
		bare->receive(who);
}

static void
listen_to(unsigned who, const char *where)
{
	subscribe(who, where, true);
}

/* Children that wait: for the library's notices, or with no `where` for those
 * of the floor. */
static void
start_all(const char *where, const char *path)
{
	for (unsigned i = 0; i < count && !where; i++)
		bare->open(i, path);
	start(where ? listen_to : receive, where);
	wait_for_all();
	sleep_all();
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

	nobody_has_it();
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

	nobody_has_it();
	start_ns = now_ns();
	for (unsigned i = 0; i < count; i++)
		bare->send(i, path);
	if (print)
		result(bare->name, start_ns, now_ns());
	else
		wait_for_all();
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
	start_all(where, path);
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
	start_all(NULL, path);
	put(path, false);
	sleep_all();
	put(path, true);
	kill_all();
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
	if (count == 0 || count > AUDIENCE_MAX || rounds == 0)
		die("usage", "listeners DIR mq|sysv|unix SUBSCRIBERS ROUNDS");
	bare = floor_of(argv[2]);
	audience_begin(count);
	for (unsigned i = 0; i < rounds; i++) {
		through_the_library(argv[1]);
		by_hand(argv[1]);
	}
	return 0;
}
