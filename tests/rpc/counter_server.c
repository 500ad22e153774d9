/* SPDX-License-Identifier: MIT */
/*
 * The service of counter.x as a program, for system tests and benchmarks: the
 * options of a server, and
 *   --once FILE   DIE kills the process if the file can be removed
 *   --locked      as if the stubs were not made with -M
 */
#include "rpc/procedures.h"

#include <handoff.h>

#include <stdio.h>
#include <string.h>

static int
read_own(struct handoff_rpc_opts *opts, int argc, char **argv)
{
	const char *once = NULL;
	bool locked = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--once") == 0 && i + 1 < argc)
			once = argv[++i];
		else if (strcmp(argv[i], "--locked") == 0)
			locked = true;
		else
			return -1;
	}
	counter_options(opts, once);
	opts->multithreaded = !locked;
	return 0;
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	const struct handoff_server_opts *opts = arg;

	if (level <= HANDOFF_LOG_WARNING)
		fprintf(stderr, "%s: %s\n", opts->name, text);
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {.size = sizeof(opts),
		.name = "server",
		.signals = true,
		.log = log_line,
		.log_arg = &opts,
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	const struct handoff_server_event *event;
	struct handoff_rpc_opts rpc_opts;
	struct handoff_server *server;
	struct handoff_rpc *rpc;
	bool stopped = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (handoff_server_opts_read(&opts, &argc, argv) < 0 ||
		read_own(&rpc_opts, argc, argv) < 0 ||
		handoff_rpc_open(&rpc, &rpc_opts) < 0) {
		fprintf(stderr, "counter_server: bad usage: %s\n", why);
		return 2;
	}
	opts.service = handoff_rpc_service(rpc);
	if (handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "counter_server: %s\n", why);
		return 1;
	}
	do
		while (handoff_server_next(server, &event) > 0) {
			printf("%s: %s\n", opts.name, event->text);
			stopped = event->type == HANDOFF_SERVER_STOPPED;
		}
	while (!stopped && handoff_server_wait(server, -1) >= 0);
	handoff_server_free(server);
	handoff_rpc_free(rpc);
	return stopped ? 0 : 1;
}
