/* SPDX-License-Identifier: MIT */
/*
 * The operator's console: a named pipe whose lines are sent to the clients. An
 * error in a line becomes an event. A line that has to wait delays those behind
 * it, and nothing else.
 */
#include "server/internal.h"

#include <handoff/fifo.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define LINES_MOST 64    /* per iteration of the loop */
#define RETRY_US   20000 /* while clients read earlier lines */
#define LIST_MOST  48    /* events per list, of those that are kept */

struct handoff__console {
	struct handoff_server *server;
	struct handoff_fifo *fifo;
	struct handoff__watch watch;
	struct handoff__timer retry;
	char *held; /* a line that has to wait */
};

static void
list(struct handoff_server *server)
{
	struct handoff__buf buf = {0};
	const struct handoff__roster *roster = &server->pair.roster;
	uint32_t count = roster->connections + roster->copies;
	char *line, *rest;
	int n = 0;

	handoff__says_list(server, &buf);
	rest = buf.failed ? NULL : buf.data;
	handoff__operator_emit(&server->op, HANDOFF_SERVER_CONSOLE,
		"console: %u connection%s", count, handoff__plural(count));
	while ((line = strsep(&rest, "\n")) && *line && n++ < LIST_MOST)
		handoff__operator_emit(&server->op, HANDOFF_SERVER_CONSOLE,
			"console: connection %s", line);
	if (line && *line)
		handoff__operator_emit(&server->op, HANDOFF_SERVER_CONSOLE,
			"console: and more: handoffctl say @list has them all");
	free(buf.data);
}

/* False if the line has to wait. */
static bool
obey_line(struct handoff_server *server, const char *line)
{
	int err;

	if (strcmp(line, "@list") == 0) {
		list(server);
		return true;
	}
	err = handoff__says_line(server, line);
	if (err == -EAGAIN || err == -EBUSY)
		return false;
	if (err < 0)
		handoff__operator_emit(&server->op, HANDOFF_SERVER_CONSOLE,
			"console: %s", server->error.text);
	return true;
}

static void
hold(struct handoff__console *console, const char *line)
{
	console->held = strdup(line);
	handoff__watch_set(&console->server->loop, &console->watch, 0);
	handoff__timer_arm(&console->server->loop, &console->retry, RETRY_US);
}

static void
read_lines(struct handoff__console *console)
{
	const char *line;
	size_t len;

	for (int i = 0; i < LINES_MOST; i++) {
		int rc = handoff_fifo_next(console->fifo, &line, &len);

		if (rc == 0)
			return;
		if (rc < 0) {
			handoff__operator_emit(&console->server->op,
				HANDOFF_SERVER_CONSOLE, "console: %s",
				handoff_fifo_errmsg(console->fifo));
			if (rc != -EMSGSIZE)
				return;
		} else if (!obey_line(console->server, line)) {
			hold(console, line);
			return;
		}
	}
	/* the buffer may hold more lines, which the pipe does not signal */
	handoff__timer_arm(&console->server->loop, &console->retry, 0);
}

static void
on_console_retry(struct handoff__timer *timer)
{
	struct handoff__console *console = timer->arg;
	char *line = console->held;

	console->held = NULL;
	if (line && !obey_line(console->server, line)) {
		hold(console, line);
	} else {
		handoff__watch_set(
			&console->server->loop, &console->watch, EPOLLIN);
		read_lines(console);
	}
	free(line);
}

static void
on_readable(struct handoff__watch *watch, uint32_t events)
{
	(void)events;
	read_lines(watch->arg);
}

int
handoff_server_console(struct handoff_server *server, const char *path)
{
	struct handoff_fifo_opts opts = {.size = sizeof(opts), .path = path};
	struct handoff__console *console;
	int err;

	if (!server || !path || server->console)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	console = calloc(1, sizeof(*console));
	if (!console)
		return handoff__no_memory("console", server->error.text,
			sizeof(server->error.text));
	/* the other peer may read the same pipe */
	opts.keep = true;
	opts.errbuf = server->error.text;
	opts.errbuf_size = sizeof(server->error.text);
	err = handoff_fifo_open(&console->fifo, &opts);
	console->server = server;
	console->watch.fd = -1;
	console->watch.fn = on_readable;
	console->retry.fn = on_console_retry;
	console->watch.arg = console->retry.arg = console;
	server->console = console;
	if (err >= 0)
		err = handoff__watch_add(&server->loop, &console->watch,
			handoff_fifo_fd(console->fifo), EPOLLIN);
	if (err < 0 && console->fifo)
		handoff__fail(&server->error, err,
			"console: cannot watch %s: %s", path, strerror(-err));
	if (err < 0)
		handoff__console_close(server);
	return err;
}

void
handoff__console_close(struct handoff_server *server)
{
	struct handoff__console *console = server->console;

	if (!console)
		return;
	handoff__timer_disarm(&server->loop, &console->retry);
	handoff__watch_del(&server->loop, &console->watch);
	handoff_fifo_free(console->fifo);
	free(console->held);
	free(console);
	server->console = NULL;
}
