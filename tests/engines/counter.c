/* SPDX-License-Identifier: MIT */
/*
 * A service for the tests of leases: it answers each line with "LINE NUMBER
 * HOST TOKEN NANOSECONDS": how many lines of this connection it is, whose lease
 * of which token it is, and when the handler ran on CLOCK_BOOTTIME. Of a line
 * that begins with "slow" the handler takes a while; the answer to one that
 * begins with "big" is 4 KiB long.
 */
#include "counter.h"
#include "base/loop.h"
#include "spy.h"

#include <handoff.h>
#include <handoff/zookeeper.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REPLY_MAX 4096
#define SLOW_NS   20000000
#define LATE_NS   500000000 /* where it lets nothing else wait */

static const char *host;
static struct timespec slow = {.tv_nsec = SLOW_NS};

/* Of the lease that this process serves by. */
static uint64_t
token_now(void)
{
	static struct handoff__arena arena;
	static const struct handoff__tenure *tenure;
	static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
	struct handoff__tenure_kept kept = {0};

	pthread_mutex_lock(&first);
	if (!tenure &&
		spy_map(&arena, "self", (uint32_t)sizeof(struct counter)) == 0)
		tenure = handoff__tenure_of(&arena);
	pthread_mutex_unlock(&first);
	if (tenure)
		handoff__tenure_read(tenure, &kept);
	return kept.token;
}

/* Answers one line; false if none is complete or there is no room. */
static bool
answer(struct handoff_conn *conn)
{
	struct counter *counter = handoff_conn_state(conn);
	char reply[REPLY_MAX];
	size_t len, size = sizeof(reply);
	const char *in = handoff_conn_input(conn, &len);
	const char *newline = memchr(in, '\n', len);
	int n;

	if (!newline || handoff_conn_room(conn) < sizeof(reply))
		return false;
	memset(reply, '.', sizeof(reply));
	n = snprintf(reply, sizeof(reply),
		"%.*s %" PRIu64 " %s %" PRIu64 " %" PRIu64 " ",
		(int)(newline - in), in, ++counter->lines, host, token_now(),
		handoff__boot_ns());
	reply[n] = '.';
	if (strncmp(in, "big", 3) != 0)
		size = (size_t)n + 1;
	reply[size - 1] = '\n';
	if (strncmp(in, "slow", 4) == 0)
		nanosleep(&slow, NULL);
	handoff_conn_write(conn, reply, size);
	handoff_conn_consume(conn, (size_t)(newline + 1 - in));
	return true;
}

static int
handle(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	while (answer(conn))
		;
	return 0;
}

static void
print_log(enum handoff_log_level level, const char *text, void *arg)
{
	const struct handoff_server_opts *opts = arg;

	if (level <= HANDOFF_LOG_INFO)
		printf("%s: log: %s\n", opts->name, text);
}

static bool
print_events(struct handoff_server *server, const char *name)
{
	const struct handoff_server_event *event;
	bool stopped = false;

	while (handoff_server_next(server, &event) > 0) {
		printf("%s: %s\n", name, event->text);
		stopped = event->type == HANDOFF_SERVER_STOPPED;
	}
	return stopped;
}

int
main(int argc, char **argv)
{
	static const struct handoff_service service = {
		.size = sizeof(service),
		.name = "echo",
		.state_size = sizeof(struct counter),
		.handle = handle,
	};
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.signals = true,
		.service = &service,
		.log = print_log,
		.log_arg = &opts,
		.errbuf = why,
		.errbuf_size = sizeof(why),
	};
	struct handoff_server *server;
	bool stopped;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_zookeeper_register() < 0 ||
		handoff_server_opts_read(&opts, &argc, argv) < 0 || argc != 2 ||
		handoff_server_open(&server, &opts) < 0) {
		printf("counter: %s\n", why);
		return 1;
	}
	host = argv[1];
	if (opts.model == HANDOFF_MODEL_THREAD)
		slow.tv_nsec = LATE_NS;
	do
		stopped = print_events(server, opts.name);
	while (!stopped && handoff_server_wait(server, -1) >= 0);
	if (!stopped)
		printf("%s: %s\n", opts.name, handoff_server_errmsg(server));
	handoff_server_free(server);
	return !stopped;
}
