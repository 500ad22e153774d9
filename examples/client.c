/* SPDX-License-Identifier: MIT */
/*
 * A client that outlives its server: sends the lines of standard input, prints
 * what comes back, and reports on standard error what becomes of the
 * connection. It is complete. The library connects, retries and comes home by
 * itself: a program sends, polls one descriptor and pulls events.
 */
#include "components.h"
#include "tls_client.h"

#include <handoff.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char *name;
static char input[65536]; /* longer lines are sent in parts */
static size_t input_len;
static bool input_ended, lost;

static void
read_options(struct handoff_client_opts *opts, int argc, char **argv)
{
	static const struct option own[] = {
		{"name", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0}};
	int c;

	/* The library takes --connect and --dir; these here are left. */
	if (!tls_client_read_options(opts, &argc, argv) ||
		handoff_client_opts_read(opts, &argc, argv) < 0)
		errx(2, "%s (see --help)", opts->errbuf);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", own, NULL)) != -1) {
		if (c == 'h')
			exit(printf("usage: client --connect ADDR [OPTION]..."
				    "\n\n%s%s"
				    "  --name NAME          of this client in "
				    "what it reports\n"
				    "  --version            print the "
				    "version of the library\n",
				     handoff_client_opts_help(),
				     tls_client_help()) < 0);
		if (c == 'V')
			exit(printf("client %s\n", handoff_version()) < 0);
		if (c != 'n')
			errx(2, "%s %s (see --help)", argv[optind - 1],
				c == ':' ? "lacks its value"
					 : "is not an option");
		if (name || optarg[0] == '\0')
			errx(2, "--name %s (see --help)",
				name ? "is given twice" : "has an empty value");
		name = optarg;
	}
	if (optind < argc)
		errx(2, "%s: only options are taken (see --help)",
			argv[optind]);
	if (opts->nendpoints == 0)
		errx(2, "--connect ADDR is needed (see --help)");
	name = name ? name : "client";
}

/* Sends what is there up to the last newline. A message is never split over two
 * connections, so no line is; once the input has ended and all is sent, the
 * library closes the sending side. */
static void
send_input(struct handoff_client *client)
{
	ssize_t n = read(0, input + input_len, sizeof(input) - input_len);
	const char *end;
	size_t len;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		err(1, "input");
	input_ended = n == 0;
	input_len += n > 0 ? (size_t)n : 0;
	end = memrchr(input, '\n', input_len);
	len = end ? (size_t)(end + 1 - input) : 0;
	if (input_ended || (!end && input_len == sizeof(input)))
		len = input_len;
	if ((len > 0 && handoff_client_send(client, input, len) < 0) ||
		(input_ended && handoff_client_shutdown(client) < 0))
		errx(1, "%s", handoff_client_errmsg(client));
	input_len -= len;
	memmove(input, input + len, input_len);
}

/* Takes what came and what happened. Returns the type of the last event. */
static int
receive(struct handoff_client *client)
{
	const struct handoff_client_event *event;
	char at[HANDOFF_STAMP_MAX];
	int type = 0;

	while (handoff_client_next(client, &event) > 0) {
		type = (int)event->type;
		lost = event->type == HANDOFF_CLIENT_LOST ||
		       (lost && event->type == HANDOFF_CLIENT_CLOSED);
		if (event->type != HANDOFF_CLIENT_DATA)
			fprintf(stderr, "%s%s: %s\n",
				handoff_log_stamp(
					STDERR_FILENO, at, sizeof(at)),
				name, event->text);
		else if (fwrite(event->data, event->len, 1, stdout) != 1 ||
			 fflush(stdout) != 0)
			err(1, "standard output");
	}
	return type;
}

int
main(int argc, char **argv)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_client_opts opts = {.size = sizeof(opts),
		.errbuf = why, /* what was wrong, if open fails */
		.errbuf_size = sizeof(why)};
	struct pollfd p[3] = {
		{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	struct handoff_client *client;
	sigset_t signals;

	components_register();
	read_options(&opts, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	/* Blocked before open, which may start a thread: so these signals end
	 * the loop, and the message queue of the notices is removed. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (!tls_client_wrap(&opts) || handoff_client_open(&client, &opts) < 0)
		errx(1, "%s", why);
	p[1].fd = handoff_client_fd(client);

	p[2].fd = signalfd(-1, &signals, SFD_CLOEXEC);

	while (!p[2].revents && receive(client) != HANDOFF_CLIENT_CLOSED) {
		bool room = handoff_client_room(client) >= sizeof(input);

		/* no more is read than can be sent */
		p[0].fd = input_ended || !room ? -1 : STDIN_FILENO;
		if (poll(p, 3, -1) > 0 && p[0].revents)
			send_input(client);
		if (handoff_client_dispatch(client) < 0)
			errx(1, "%s", handoff_client_errmsg(client));
	}
	handoff_client_free(client);
	/* A signal that ended the loop takes effect now. */
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	return lost; /* the connection broke, and nothing came after that */
}
