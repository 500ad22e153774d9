/* SPDX-License-Identifier: MIT */
/*
 * zk_listeners HOST:PORT SUBSCRIBERS ROUNDS: what listeners.c measures, with
 * the transport of ZooKeeper. The floor is the bare client: a process for each
 * subscriber that watches a node and reads it when it changes, and one
 * zoo_aset. Prints a JSON object for each.
 */
#include "audience.h"

#include "notice/publisher.h"

#include <handoff/zookeeper.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define SESSION_MS  10000
#define PATIENCE_MS 30000

static const char *server;

/* One bare client. */
struct bare {
	zhandle_t *zh;
	char path[64];
	unsigned who;
	bool done;
};

static void
log_nothing(const char *text)
{
	(void)text;
}

static zhandle_t *
connect_to(watcher_fn watcher, void *arg)
{
	zhandle_t *zh = zookeeper_init2(server, watcher, SESSION_MS, NULL, arg,
		ZOO_NO_LOG_CLIENTENV, log_nothing);

	if (!zh)
		die("zookeeper_init", strerror(errno));
	/* as the library does: otherwise it resolves names at each call */
	zoo_set_servers_resolution_delay(zh, -1);
	return zh;
}

static void
turn(zhandle_t *zh)
{
	struct timeval tv = {0};
	struct pollfd p = {.fd = -1};
	int interest = 0, found;

	zookeeper_interest(zh, &p.fd, &interest, &tv);
	p.events = (short)((interest & ZOOKEEPER_READ ? POLLIN : 0) |
			   (interest & ZOOKEEPER_WRITE ? POLLOUT : 0));
	poll(&p, 1, (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000));
	found = (p.revents & ~POLLOUT ? ZOOKEEPER_READ : 0) |
		(p.revents & POLLOUT ? ZOOKEEPER_WRITE : 0);
	zookeeper_process(zh, found);
}

static void read_again(struct bare *b);

static void
on_watch(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	(void)zh;
	(void)path;
	if (type != ZOO_SESSION_EVENT || state == ZOO_CONNECTED_STATE)
		read_again(arg);
}

static void
on_data(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	const struct bare *b = data;

	(void)value;
	(void)stat;
	if (rc == ZOK && len > 0)
		has_it(b->who);
}

static void
read_again(struct bare *b)
{
	zoo_awget(b->zh, b->path, on_watch, b, on_data, b);
}

static void
play_bare(unsigned who, const char *path)
{
	struct bare b = {.who = who};

	snprintf(b.path, sizeof(b.path), "%s", path);
	b.zh = connect_to(on_watch, &b);
	for (;;)
		turn(b.zh);
}

static void
on_done(int rc, const struct Stat *stat, const void *data)
{
	(void)stat;
	if (rc != ZOK)
		die("zoo_aset", zerror(rc));
	((struct bare *)data)->done = true;
}

static void
on_created(int rc, const char *path, const void *data)
{
	(void)path;
	if (rc != ZOK)
		die("zoo_acreate", zerror(rc));
	((struct bare *)data)->done = true;
}

static void
await_done(struct bare *b)
{
	while (!b->done)
		turn(b->zh);
	b->done = false;
}

static void
put(struct bare *b, bool print)
{
	static const char data[HANDOFF__NOTICE_SIZE];
	int64_t start_ns, done_ns;

	nobody_has_it();
	start_ns = now_ns();
	zoo_aset(b->zh, b->path, data, 160, -1, on_done, b);
	await_done(b);
	done_ns = now_ns();
	if (print)
		result("bare client", start_ns, done_ns);
	else
		wait_for_all();
}

static void
by_hand(unsigned round)
{
	struct bare b = {0};

	snprintf(b.path, sizeof(b.path), "/bench-%d-%u", (int)getpid(), round);
	b.zh = connect_to(NULL, NULL);
	while (zoo_state(b.zh) != ZOO_CONNECTED_STATE)
		turn(b.zh);
	zoo_acreate(
		b.zh, b.path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, on_created, &b);
	await_done(&b);
	start(play_bare, b.path);
	put(&b, false);
	sleep_all();
	put(&b, true);
	kill_all();
	reap();
	zookeeper_close(b.zh);
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
	handoff__publisher_finish(pub, PATIENCE_MS);
	if (pub->told.reached != 1)
		die("publish", "the ensemble has not taken it");
	if (print)
		result("zk:", start_ns, now_ns());
}

static void
play(unsigned who, const char *where)
{
	subscribe(who, where, false);
}

static void
through_the_library(unsigned round)
{
	char path[] = "/tmp/handoff-bench-XXXXXX", where[300];
	const char *only = where;
	struct handoff__dir dir;
	struct handoff__publisher pub;
	struct handoff__error error = {0};

	if (!mkdtemp(path) ||
		handoff__dir_open(&dir, path, true, false, &error) < 0)
		die(path, error.text);
	snprintf(where, sizeof(where), "zk:%s/bench-%d-%u", server,
		(int)getpid(), round);
	if (handoff__publisher_open(&pub, &dir, &only, 1, 0, &error) < 0)
		die(where, error.text);
	start(play, where);
	publish(&pub, HANDOFF_NOTICE_MAINTENANCE, 1, false);
	wait_for_all();
	sleep_all();
	publish(&pub, HANDOFF_NOTICE_MAINTENANCE, 2, true);
	publish(&pub, HANDOFF_NOTICE_GOODBYE, 3, false);
	reap();
	handoff__publisher_close(&pub);
	unlinkat(dir.fd, "notice", 0);
	handoff__dir_close(&dir);
	rmdir(path);
}

int
main(int argc, char **argv)
{
	unsigned count = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	unsigned rounds = argc == 4 ? (unsigned)atoi(argv[3]) : 0;

	if (count == 0 || count > AUDIENCE_MAX || rounds == 0)
		die("usage", "zk_listeners HOST:PORT SUBSCRIBERS ROUNDS");
	server = argv[1];
	if (handoff_zookeeper_register() < 0)
		die("register", "failed");
	audience_begin(count);
	for (unsigned i = 0; i < rounds; i++) {
		through_the_library(i);
		by_hand(i);
	}
	return 0;
}
