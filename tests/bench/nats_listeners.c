/* SPDX-License-Identifier: MIT */
/*
 * nats_listeners HOST:PORT SUBSCRIBERS ROUNDS: what listeners.c measures, with
 * the transport of NATS. The floor is the bare client: a process for each
 * subscriber that waits in natsSubscription_NextMsg on the live subject of the
 * same stream, and one js_Publish. Prints a JSON object for each. Each
 * measurement is a process of its own, since the NATS library does not survive
 * fork(2): the audience is forked before that process uses it.
 */
#include "audience.h"

#include "notice/publisher.h"

#include <handoff/nats.h>

#include <errno.h>
#include <nats/nats.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define CONNECTS    100

static const char *server;
static unsigned rounds_done;

static void
must(natsStatus status, const char *what)
{
	if (status != NATS_OK)
		die(what, natsStatus_GetText(status));
}

static natsConnection *
connect_to(void)
{
	char url[128];
	natsConnection *nc;

	snprintf(url, sizeof(url), "nats://%s", server);
	/* thousands who connect at once run into its time limit */
	for (int i = 0; i < CONNECTS; i++) {
		if (natsConnection_ConnectTo(&nc, url) == NATS_OK)
			return nc;
		poll(NULL, 0, 50 + getpid() % 100);
	}
	die("natsConnection_ConnectTo", nats_GetLastError(NULL));
}

static void
play_bare(unsigned who, const char *subject)
{
	natsConnection *nc = connect_to();
	natsSubscription *sub;
	natsMsg *msg;

	must(natsConnection_SubscribeSync(&sub, nc, subject), "subscribe");
	must(natsConnection_Flush(nc), "flush");
	has_it(who);
	for (;;) {
		if (natsSubscription_NextMsg(&msg, sub, PATIENCE_MS) != NATS_OK)
			continue;
		has_it(who);
		natsMsg_Destroy(msg);
	}
}

static void
put(jsCtx *js, const char *subject, bool print)
{
	static const char data[HANDOFF__NOTICE_SIZE];
	int64_t start_ns, done_ns;

	nobody_has_it();
	start_ns = now_ns();
	must(js_Publish(NULL, js, subject, data, 160, NULL, NULL),
		"js_Publish");
	done_ns = now_ns();
	if (print)
		result("bare client", start_ns, done_ns);
	else
		wait_for_all();
}

/* The library has created the stream before. */
static void
by_hand(void)
{
	char live[64], state[64];
	jsCtx *js;

	snprintf(live, sizeof(live), "handoff.live.bare%d", (int)getpid());
	snprintf(state, sizeof(state), "handoff.state.bare%d", (int)getpid());
	start(play_bare, live);
	wait_for_all();
	must(natsConnection_JetStream(&js, connect_to(), NULL), "JetStream");
	put(js, state, false);
	sleep_all();
	put(js, state, true);
	kill_all();
	reap();
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
		die("publish", "the server has not taken it");
	if (print)
		result("nats:", start_ns, now_ns());
}

static void
play(unsigned who, const char *where)
{
	subscribe(who, where, false);
}

static void
through_the_library(void)
{
	char path[] = "/dev/shm/handoff-bench-XXXXXX", where[300];
	const char *only = where;
	struct handoff__dir dir;
	struct handoff__publisher pub;
	struct handoff__error error = {0};

	if (!mkdtemp(path) ||
		handoff__dir_open(&dir, path, true, false, &error) < 0)
		die(path, error.text);
	snprintf(where, sizeof(where), "nats://%s/bench%d", server,
		(int)getpid());
	start(play, where);
	if (handoff__publisher_open(&pub, &dir, &only, 1, 0, &error) < 0)
		die(where, error.text);
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

static void
measure(void (*way)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		way();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		die("round", "it has failed");
	rounds_done++;
}

int
main(int argc, char **argv)
{
	unsigned count = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	unsigned rounds = argc == 4 ? (unsigned)atoi(argv[3]) : 0;

	if (count == 0 || count > AUDIENCE_MAX || rounds == 0)
		die("usage", "nats_listeners HOST:PORT SUBSCRIBERS ROUNDS");
	server = argv[1];
	if (handoff_nats_register() < 0)
		die("register", "failed");
	audience_begin(count);
	while (rounds_done < 2 * rounds) {
		measure(through_the_library);
		measure(by_hand);
	}
	return 0;
}
