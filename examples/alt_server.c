/* SPDX-License-Identifier: MIT */
/*
 * AS, the alternate server, which has no addresses of its own. It becomes the
 * standby of the owner of the service directory, or waits until there is one,
 * and serves the very same connections when they are handed to it or when the
 * owner dies. With echo.c, the same service, it is complete.
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
	fprintf(stderr, "alt_server: %s%s (see --help)\n", what, why);
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
			exit(printf("usage: alt_server --dir DIR [OPTION]..."
				    "\n\n%s" TLS_HELP
				    "  --verbose            print what is "
				    "received\n"
				    "  --version            print the "
				    "version of the library\n\n"
				    "--listen is refused: the listeners "
				    "come with ownership.\n",
				     handoff_server_opts_help()) < 0);
		if (c == 'V')
			exit(printf("alt_server %s\n", handoff_version()) < 0);
		if (c != 'v')
			bad_usage(argv[optind - 1], " is not an option");
		verbose = true;
	}
	if (optind < argc)
		bad_usage(argv[optind], ": only options are taken");
	if (!opts->dir)
		bad_usage("--dir DIR", " is needed");
	/* Without addresses handoff_server_open never becomes the owner by
	 * itself: the listeners come with ownership. */
	if (opts->nlisten > 0)
		bad_usage("--listen", " is for the server: an alternate gets "
				      "its listeners");
}

/* STANDBY, or WAITING until there is an owner; OWNER when it serves, after GAVE
 * (a handoff) or LEFT (a death). */
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
		.name = "alt",
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
		fprintf(stderr, "alt_server: %s\n", why);
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
		fprintf(stderr, "alt_server: %s\n",
			handoff_server_errmsg(server));
	handoff_server_free(server);
	return stopped ? 0 : 1;
}
