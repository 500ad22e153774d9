/* SPDX-License-Identifier: MIT */
/*
 * A server as one is operated: server.c and alt_server.c in one, with a log, a
 * pid file, a console, systemd and a second service. Read those two first. Its
 * life: into the background if it is asked to, onto the service directory, and
 * then one turn after another until it is stopped.
 */
#include "../components.h"
#include "../echo.h"
#include "../schedule/schedule.h"
#include "manager.h"
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* The service is the same in both peers, see echo.c and schedule.c. */
static const struct handoff_service *
choose_service(const struct options *options, char *why)
{
	return options->data ? schedule_service(options->data, options->verbose,
				       why, HANDOFF_TEXT_MAX)
			     : echo_service(options->verbose);
}

/* What one process is made of. */
struct peer {
	struct options *options;
	struct handoff_server *server;
	struct handoff_daemon *daemon;
	struct handoff_systemd *systemd; /* NULL without --systemd */
	char why[HANDOFF_TEXT_MAX];      /* it does not serve */
};

/* The log was moved away: it is opened anew here and, in model fork, in each
 * child. */
static void
on_hangup(int fd, void *arg)
{
	struct peer *peer = arg;

	(void)fd;
	handoff_daemon_dispatch(peer->daemon);
	handoff_server_reopen(peer->server);
}

static void
reopen_log(void *daemon)
{
	handoff_daemon_reopen(daemon);
}

/* Prints what has happened; returns the last of it. */
static enum handoff_server_event_type
tell(struct peer *peer)
{
	const struct handoff_server_event *event;
	enum handoff_server_event_type type = 0;
	char at[HANDOFF_STAMP_MAX];

	while (handoff_server_next(peer->server, &event) > 0) {
		printf("%s%s: %s\n",
			handoff_log_stamp(STDOUT_FILENO, at, sizeof(at)),
			peer->options->server.name, event->text);
		manager_event(peer->systemd, event);
		type = event->type;
	}
	return type;
}

/* All before it serves; what goes wrong is in `why`. */
static int
begin(struct peer *peer)
{
	struct options *options = peer->options;
	int rc = 0;

	options->server.reopen = reopen_log;
	options->server.reopen_arg = peer->daemon;
	options->server.service = choose_service(options, peer->why);
	if (!options->server.service)
		return -EINVAL;
	if (options->systemd)
		rc = manager_open(
			&peer->systemd, &options->server, !options->standby);
	if (rc >= 0)
		rc = handoff_server_open(&peer->server, &options->server);
	if (rc < 0)
		return rc;

	/* SIGHUP opens the log anew. */
	rc = handoff_daemon_fd(peer->daemon);
	if (rc >= 0)
		rc = handoff_server_watch(peer->server, rc, on_hangup, peer);
	else
		rc = 0; /* no daemon, no log of its own */
	manager_attach(peer->systemd, peer->server);
	if (rc >= 0 && options->console)
		rc = handoff_server_console(peer->server, options->console);
	if (rc < 0) {
		snprintf(peer->why, sizeof(peer->why), "%s",
			handoff_server_errmsg(peer->server));
		return rc;
	}
	/* Who starts a daemon finds this in the log when it is ready. */
	if (!options->daemon.foreground)
		tell(peer);
	rc = handoff_daemon_ready(peer->daemon);
	if (rc < 0)
		snprintf(peer->why, sizeof(peer->why), "%s",
			handoff_daemon_errmsg(peer->daemon));
	return rc;
}

static int
run(struct peer *peer)
{
	bool stopped;

	/* One turn serves what there is to serve. A program with a loop of
	 * its own polls handoff_server_fd and calls handoff_server_dispatch. */
	do
		stopped = tell(peer) == HANDOFF_SERVER_STOPPED;
	while (!stopped && handoff_server_wait(peer->server, -1) >= 0);
	return stopped ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct options options = {.standby = false};
	struct peer peer = {.options = &options};
	int rc;

	components_register();
	options.daemon.errbuf = options.server.errbuf = peer.why;
	options.daemon.errbuf_size = options.server.errbuf_size =
		sizeof(peer.why);
	parse_options(&options, argc, argv);
	/* SIGUSR1 maintenance, SIGUSR2 ready, SIGTERM and SIGINT stop; the
	 * same as `handoffctl`, which needs nothing from this program. None
	 * is lost from the first moment on in which others can see it. */
	options.daemon.signals = options.server.signals = true;
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* With --daemon there are two processes from here on: this one waits
	 * until it knows whether the other serves, which does the rest. */
	rc = handoff_daemon_start(&peer.daemon, &options.daemon);
	if (rc > 0)
		return 0;
	if (rc == 0)
		rc = begin(&peer);
	if (rc == 0) {
		rc = run(&peer);
	} else {
		fprintf(stderr, "handoffd: %s\n", peer.why);
		handoff_daemon_fail(peer.daemon, rc, peer.why);
		rc = 1;
	}
	handoff_server_free(peer.server);
	manager_free(peer.systemd);
	handoff_daemon_free(peer.daemon);
	return rc;
}
