/* SPDX-License-Identifier: MIT */
/*
 * A server whose service is what a test needs it to be: of another name or
 * state, or with a handler that blocks or kills its process. Otherwise it
 * answers like the example servers and prints the same lines. With --listen it
 * is a server, without one a standby.
 */
#include <handoff.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_LISTEN 8

struct context {
	struct handoff_server *server;
	unsigned sleep_ms;
	bool stopped;
};

static void
block(unsigned ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* Echoes whatever comes; blocks first where it begins with "sleep", and
 * crashes where it begins with "crash". */
static int
handle(struct handoff_conn *conn, void *arg)
{
	const struct context *context = arg;
	size_t len;
	const char *in = handoff_conn_input(conn, &len);

	if (len >= 5 && memcmp(in, "sleep", 5) == 0) {
		puts("handler: sleeping");
		block(context->sleep_ms);
	}
	if (len >= 5 && memcmp(in, "crash", 5) == 0)
		abort();
	len = handoff_conn_write(conn, in, len);
	return handoff_conn_consume(conn, len);
}

/* In numbers, for tests. */
static void
print_outcome(struct handoff_server *server, const char *name,
	const struct handoff_outcome *o)
{
	const struct handoff_left *left;

	printf("%s: outcome: %s, cause %d, reason %d, id %llu, %u connections, "
	       "%u listeners, %u left, %llu unread, %llu unsent, %u closed, "
	       "%s\n",
		name, o->direction == HANDOFF_DIRECTION_OUT ? "out" : "in",
		(int)o->cause, (int)o->reason, (unsigned long long)o->id,
		o->connections, o->listeners, o->left,
		(unsigned long long)o->unread, (unsigned long long)o->unsent,
		o->closed, o->took_us > 0 ? "took its time" : "took none");
	for (int i = 0; i < HANDOFF_REASONS; i++) {
		if (o->left_by[i] > 0)
			printf("%s: %u left: %s\n", name, o->left_by[i],
				handoff_reason_text((enum handoff_reason)i));
	}
	while (handoff_server_left(server, &left) == 1)
		printf("%s: left number %llu: %s\n", name,
			(unsigned long long)left->id,
			handoff_reason_text(left->reason));
}

static void
print_events(struct context *context, const char *name)
{
	const struct handoff_server_event *event;

	while (handoff_server_next(context->server, &event) > 0) {
		/* The sentence is the last line. */
		if (event->type == HANDOFF_SERVER_STOPPED)
			printf("%s: closed %u, moved %u, passing %u\n", name,
				event->closed, event->moved, event->passing);
		printf("%s: %s\n", name, event->text);
		if (event->outcome)
			print_outcome(context->server, name, event->outcome);
		if (event->type == HANDOFF_SERVER_LEFT)
			printf("%s: it %s\n", name,
				event->died ? "died" : "had said so");
		if (event->type == HANDOFF_SERVER_STOPPED)
			context->stopped = true;
	}
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	if (level <= HANDOFF_LOG_INFO)
		fprintf(stderr, "%s: log: %s\n", (const char *)arg, text);
}

static int
run(struct context *context, const struct handoff_server_opts *opts)
{
	int err = handoff_server_open(&context->server, opts);

	if (err < 0) {
		fprintf(stderr, "%s: %s\n", opts->name, opts->errbuf);
		return 1;
	}
	handoff_server_signals(context->server);
	print_events(context, opts->name);
	while (!context->stopped && err >= 0) {
		err = handoff_server_wait(context->server, -1);
		print_events(context, opts->name);
	}
	handoff_server_free(context->server);
	return err < 0;
}

static const struct option options[] = {
	{"dir", required_argument, NULL, 'd'},
	{"listen", required_argument, NULL, 'l'},
	{"name", required_argument, NULL, 'n'},
	{"model", required_argument, NULL, 'm'},
	{"service", required_argument, NULL, 's'},
	{"state-version", required_argument, NULL, 'v'},
	{"state-size", required_argument, NULL, 'z'},
	{"sleep-ms", required_argument, NULL, 't'},
	{"give-timeout-ms", required_argument, NULL, 'g'},
	{"stop-timeout-ms", required_argument, NULL, 'S'},
	{"suspect-wait", required_argument, NULL, 'w'},
	{"workers", required_argument, NULL, 'W'},
	{NULL, 0, NULL, 0},
};

int
main(int argc, char **argv)
{
	static char error[HANDOFF_TEXT_MAX];
	static const char *listen[MAX_LISTEN];
	struct context context = {.sleep_ms = 1000};
	struct handoff_service service = {
		.size = sizeof(service),
		.name = "echo",
		.handle = handle,
		.arg = &context,
	};
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "other",
		.service = &service,
		.listen = listen,
		.errbuf = error,
		.errbuf_size = sizeof(error),
	};
	struct rlimit no_core = {.rlim_cur = 0};
	int c;

	setrlimit(RLIMIT_CORE, &no_core);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;

		if (c == 'd')
			opts.dir = optarg;
		else if (c == 'l' && opts.nlisten < MAX_LISTEN)
			listen[opts.nlisten++] = optarg;
		else if (c == 'n')
			opts.name = optarg;
		else if (c == 'm')
			opts.model =
				(enum handoff_model)handoff_model_parse(optarg);
		else if (c == 's')
			service.name = optarg;
		else if (c == 'v')
			service.state_version = (uint32_t)number;
		else if (c == 'z')
			service.state_size = (uint32_t)number;
		else if (c == 't')
			context.sleep_ms = (unsigned)number;
		else if (c == 'g')
			opts.give_timeout_ms = (uint32_t)number;
		else if (c == 'S')
			opts.stop_timeout_ms = (uint32_t)number;
		else if (c == 'w')
			opts.suspect_wait_ms = (uint32_t)number;
		else if (c == 'W')
			opts.workers = (uint32_t)number;
		else
			return 2;
	}
	opts.log = log_line;
	opts.log_arg = (void *)(uintptr_t)opts.name;
	return run(&context, &opts);
}
