/* SPDX-License-Identifier: MIT */
/*
 * A client that outlives its server: sends the lines of its input, prints what
 * comes back, and tells on standard error what becomes of the connection. It is
 * complete. What concerns handoffs is in receive() and main(), and is little:
 * the library connects, retries and comes home by itself, and a program sends,
 * polls one descriptor and pulls events.
 */
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
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: client --connect ADDR [OPTION]...\n\n%s"
	"  --input FIFO         read this named pipe, made if it is not there\n"
	"  --name NAME          of this client in what it tells\n"
	"  --version            print the version of the library\n";
static const char *name = "client";
static struct handoff_fifo *fifo; /* NULL: standard input is read */
static char input[65536];         /* longer lines are sent in parts */
static size_t input_len;
static bool input_ended, full, lost;

/* A line for people, with the time. */
static void
tell(const char *text)
{
	struct timespec now;
	char clock[16];

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(clock, sizeof(clock), "%T", localtime(&now.tv_sec));
	fprintf(stderr, "%s.%03ld %s: %s\n", clock, now.tv_nsec / 1000000, name,
		text);
}

static void
read_options(struct handoff_client_opts *opts, const char **path, int argc,
	char **argv)
{
	static const struct option own[] = {
		{"input", required_argument, NULL, 'i'},
		{"name", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0}};
	int c;

	/* The library takes --connect and --dir; these here are left. */
	if (handoff_client_opts_read(opts, &argc, argv) < 0)
		errx(2, "%s (see --help)", opts->errbuf);
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", own, NULL)) != -1) {
		if (c == 'h')
			exit(printf(usage, handoff_client_opts_help()) < 0);
		else if (c == 'V')
			exit(printf("client %s\n", handoff_version()) < 0);
		else if (c == 'i')
			*path = optarg;
		else if (c == 'n')
			name = optarg;
		else
			errx(2, "%s is no option, or lacks its value",
				argv[optind - 1]);
	}
	if (optind < argc || opts->nendpoints == 0)
		errx(2, "--connect ADDR is needed, and only options are taken");
}

/* For atexit: the pipe is removed if it was made here. */
static void
close_pipe(void)
{
	handoff_fifo_free(fifo);
	fifo = NULL;
}

static void
read_input(int fd)
{
	ssize_t n = read(fd, input + input_len, sizeof(input) - input_len);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		err(1, "input");
	input_ended = n == 0;
	input_len += n > 0 ? (size_t)n : 0;
}

/* One message a line; when all is sent and no more will come, the end. */
static void
send_input(struct handoff_client *client)
{
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && at < input_len) {
		char *newline = memchr(input + at, '\n', input_len - at);
		size_t len = newline ? (size_t)(newline + 1 - input) - at
				     : input_len - at;

		if (!newline && !input_ended && len < sizeof(input))
			break;
		rc = handoff_client_send(client, input + at, len);
		at += rc == 0 ? len : 0;
	}
	if (rc < 0 && rc != -ENOBUFS)
		errx(1, "%s", handoff_client_errmsg(client));
	full = rc == -ENOBUFS;
	memmove(input, input + at, input_len -= at);
	if (input_ended && input_len == 0)
		handoff_client_shutdown(client);
}

/* Takes what came and what happened. Returns the type of the last event. */
static int
receive(struct handoff_client *client)
{
	const struct handoff_client_event *event;
	int type = 0;

	while (handoff_client_next(client, &event) > 0) {
		type = (int)event->type;
		lost = event->type == HANDOFF_CLIENT_LOST ||
		       (lost && event->type == HANDOFF_CLIENT_CLOSED);
		if (event->type != HANDOFF_CLIENT_DATA)
			tell(event->text);
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
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct handoff_fifo_opts pipe = {.size = sizeof(pipe),
		.errbuf = why,
		.errbuf_size = sizeof(why)};
	struct pollfd p[3] = {
		{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	struct handoff_client *client;
	sigset_t signals;
	int in;

	read_options(&opts, &pipe.path, argc, argv);
	if (pipe.path && handoff_fifo_open(&fifo, &pipe) < 0)
		errx(1, "%s", why);
	atexit(close_pipe);
	in = fifo ? handoff_fifo_fd(fifo) : STDIN_FILENO;
	if (handoff_client_open(&client, &opts) < 0)
		errx(1, "%s", why);

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	p[1].fd = handoff_client_fd(client);
	p[2].fd = signalfd(-1, &signals, SFD_CLOEXEC);

	while (!p[2].revents && receive(client) != HANDOFF_CLIENT_CLOSED) {
		p[0].fd = input_ended || full ? -1 : in;
		if (poll(p, 3, -1) > 0 && p[0].revents)
			read_input(in);
		if (handoff_client_dispatch(client) < 0)
			errx(1, "%s", handoff_client_errmsg(client));
		send_input(client);
	}

	handoff_client_free(client);
	close_pipe();
	/* A signal that ended the loop was not read and takes effect now. */
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	return lost; /* the end was, if so */
}
