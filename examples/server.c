/* SPDX-License-Identifier: MIT */
/*
 * S, a server that hands its connections over. With echo.c, its service, it is
 * complete. The first S on a service directory binds its addresses and serves:
 * it is the owner. Where an owner is there already it becomes the standby and
 * binds nothing; so an S that was stopped, or died, is simply started again.
 * The other peer may be AS, the alternate server, which binds nothing ever:
 * `diff server.c alt_server.c` shows how small the difference is.
 *
 * Events, for people, go to standard output; the log of the library, with what
 * an operator has to look at, to standard error.
 */
#include "components.h"
#include "echo.h"
#include "tls.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool verbose;

/* The library prints nothing: it calls this with each line for the log. */
static void
print_log(enum handoff_log_level level, const char *text, void *arg)
{
	const struct handoff_server_opts *opts = arg;
	char at[HANDOFF_STAMP_MAX]; /* the time; "" if systemd adds it */

	if (level <= HANDOFF_LOG_WARNING || opts->trace ||
		(level <= HANDOFF_LOG_INFO && verbose))
		fprintf(stderr, "%s%s: %s\n",
			handoff_log_stamp(STDERR_FILENO, at, sizeof(at)),
			opts->name, text);
}

static _Noreturn void
bad_usage(const char *what, const char *why)
{
	fprintf(stderr, "server: %s%s (see --help)\n", what, why);
	exit(2);
}

static void
read_options(struct handoff_server_opts *opts, int argc, char **argv)
{
	static const struct option own[] = {{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0}};
	int c;

	if (!tls_read_options(&argc, argv, opts->errbuf, opts->errbuf_size))
		bad_usage(opts->errbuf, "");
	/* --dir, --listen, --name, --model ...: the library knows them, checks
	 * their values and takes them out of argv. */
	if (handoff_server_opts_read(opts, &argc, argv) < 0)
		bad_usage(opts->errbuf, "");
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", own, NULL)) != -1) {
		if (c == 'h')
			exit(printf("usage: server --dir DIR --listen ADDR "
				    "[OPTION]...\n\n%s" TLS_HELP
				    "  --verbose            print what is "
				    "received\n"
				    "  --version            print the "
				    "version of the library\n",
				     handoff_server_opts_help()) < 0);
		if (c == 'V')
			exit(printf("server %s\n", handoff_version()) < 0);
		if (c != 'v')
			bad_usage(argv[optind - 1], " is not an option");
		verbose = true;
	}
	if (optind < argc)
		bad_usage(argv[optind], ": only options are taken");
	if (!opts->dir || opts->nlisten == 0)
		bad_usage("--dir DIR and --listen ADDR", " are needed");
}

/* What has happened: each event has a sentence for people. A type other than
 * STOPPED is for programs that do something about it. */
static bool
print_events(struct handoff_server *server, const char *name)
{
	const struct handoff_server_event *event;
	char at[HANDOFF_STAMP_MAX];
	bool stopped = false;

	while (handoff_server_next(server, &event) > 0) {
		printf("%s%s: %s\n",
			handoff_log_stamp(STDOUT_FILENO, at, sizeof(at)), name,
			event->text);
		stopped = event->type == HANDOFF_SERVER_STOPPED;
	}
	return stopped; /* the last event of all */
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_server_opts opts = {
		.size = sizeof(opts),
		.name = "server",
		.signals = true, /* SIGTERM stops, SIGUSR1 hands over, SIGUSR2
				    takes back; handoffctl does the same */
		.log = print_log,
		.log_arg = &opts, /* outlives the server */
		.errbuf = why,    /* what was wrong, if open fails */
		.errbuf_size = sizeof(why),
	};
	struct handoff_server *server;
	bool stopped;

	components_register();
	read_options(&opts, argc, argv);
	opts.service = tls_wrap(echo_service(verbose), &opts);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!opts.service || handoff_server_open(&server, &opts) < 0) {
		fprintf(stderr, "server: %s\n", why);
		return 1;
	}

	tls_reload_at_hangup(server);
	/* Each call serves what there is to serve; what happened in open comes
	 * first. A program with a loop of its own polls handoff_server_fd
	 * instead, and calls handoff_server_dispatch. */
	do
		stopped = print_events(server, opts.name);
	while (!stopped && handoff_server_wait(server, -1) >= 0);

	if (!stopped)
		fprintf(stderr, "server: %s\n", handoff_server_errmsg(server));
	handoff_server_free(server);
	return stopped ? 0 : 1;
}
