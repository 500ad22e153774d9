/* SPDX-License-Identifier: MIT */
/*
 * The life of a peer: into the background if it is asked to, onto the service
 * directory, and then one turn after another until it is stopped.
 */
#include "serve.h"
#include "echo.h"
#include "schedule.h"

#include <errno.h>
#include <stdio.h>

/* The service is the same in both peers, see echo.c and schedule.c. */
static const struct handoff_service *
choose_service(const struct options *options, char *why)
{
	return options->data ? schedule_service(options->data, options->verbose,
				       why, HANDOFF_TEXT_MAX)
			     : echo_service(options->verbose);
}

static void
on_hangup(void *daemon, int fd)
{
	(void)fd;
	handoff_daemon_dispatch(daemon);
}

/* Prints what has happened; returns the last of it. */
static enum handoff_server_event_type
tell(struct handoff_server *server, const char *name)
{
	struct handoff_server_event event = {0};

	while (handoff_server_next(server, &event) > 0)
		printf("%s: %s\n", name, event.text);
	return event.type;
}

/* All before it serves; what goes wrong is in `why`. */
static int
begin(struct handoff_server **server, struct handoff_daemon *daemon,
	struct options *options, char *why)
{
	int rc = -EINVAL;

	options->server.service = choose_service(options, why);
	if (options->server.service)
		rc = handoff_server_open(server, &options->server);
	if (rc < 0)
		return rc;

	/* SIGUSR1 maintenance, SIGUSR2 ready, SIGTERM and SIGINT stop; the
	 * same as `handoffctl`, which needs nothing from this program. SIGHUP
	 * opens the log anew. */
	handoff_server_signals(*server);
	handoff_server_watch(
		*server, handoff_daemon_fd(daemon), on_hangup, daemon);
	if (options->console)
		rc = handoff_server_console(*server, options->console);
	if (rc < 0) {
		snprintf(why, HANDOFF_TEXT_MAX, "%s",
			handoff_server_errmsg(*server));
		return rc;
	}
	/* Who starts a daemon finds this in the log when it is ready. */
	if (!options->daemon.foreground)
		tell(*server, options->server.name);
	rc = handoff_daemon_ready(daemon);
	if (rc < 0)
		snprintf(why, HANDOFF_TEXT_MAX, "%s",
			handoff_daemon_errmsg(daemon));
	return rc;
}

static int
run(struct handoff_server *server, const char *name)
{
	bool stopped;

	/* One turn serves what there is to serve. A program with a loop of
	 * its own polls handoff_server_fd and calls handoff_server_dispatch. */
	do
		stopped = tell(server, name) == HANDOFF_SERVER_STOPPED;
	while (!stopped && handoff_server_wait(server, -1) >= 0);
	return stopped ? 0 : 1;
}

int
serve(struct options *options, const char *program)
{
	char why[HANDOFF_TEXT_MAX] = "";
	struct handoff_daemon *daemon = NULL;
	struct handoff_server *server = NULL;
	int rc;

	options->daemon.errbuf = options->server.errbuf = why;
	options->daemon.errbuf_size = options->server.errbuf_size = sizeof(why);
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* With --daemon there are two processes from here on: this one waits
	 * until it knows whether the other serves, which does the rest. */
	rc = handoff_daemon_start(&daemon, &options->daemon);
	if (rc > 0)
		return 0;
	if (rc == 0)
		rc = begin(&server, daemon, options, why);
	if (rc == 0) {
		rc = run(server, options->server.name);
	} else {
		fprintf(stderr, "%s: %s\n", program, why);
		handoff_daemon_fail(daemon, rc, why);
		rc = 1;
	}
	handoff_server_free(server);
	handoff_daemon_free(daemon);
	return rc;
}
