/* SPDX-License-Identifier: MIT */
/*
 * A client that outlives its server: sends the lines of its input, prints what
 * comes back, and tells on standard error what becomes of the connection.
 */
#include "console.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static struct console console = {.name = "client"};
static char input[65536]; /* longer lines are sent in parts */
static size_t input_len;
static bool input_ended, full, lost;

static void
read_input(void)
{
	ssize_t n = read(
		console.input, input + input_len, sizeof(input) - input_len);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail(&console, "input", strerror(errno));
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
		fail(&console, "", handoff_client_errmsg(client));
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
			tell(&console, event->text);
		else if (fwrite(event->data, event->len, 1, stdout) != 1 ||
			 fflush(stdout) != 0)
			fail(&console, "standard output", strerror(errno));
	}
	return type;
}

int
main(int argc, char **argv)
{
	struct pollfd p[3] = {
		{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	struct handoff_client *client;
	sigset_t signals;

	read_command_line(&console, argc, argv);
	if (handoff_client_open(&client, &console.client) < 0)
		fail(&console, "", console.why);

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	p[1].fd = handoff_client_fd(client);
	p[2].fd = signalfd(-1, &signals, SFD_CLOEXEC);

	while (!p[2].revents && receive(client) != HANDOFF_CLIENT_CLOSED) {
		p[0].fd = input_ended || full ? -1 : console.input;
		if (poll(p, 3, -1) > 0 && p[0].revents)
			read_input();
		if (handoff_client_dispatch(client) < 0)
			fail(&console, "", handoff_client_errmsg(client));
		send_input(client);
	}

	handoff_client_free(client);
	handoff_fifo_free(console.fifo);
	/* A signal that ended the loop was not read and takes effect now. */
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	return lost; /* the end was, if so */
}
