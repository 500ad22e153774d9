/* SPDX-License-Identifier: MIT */
/*
 * What operators ask for, whether over the control socket or by the public
 * calls. One handoff at a time; the request that began it waits for its end.
 */
#include "server/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
handoff_server_maintenance(struct handoff_server *server)
{
	int err;

	if (!server)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	err = handoff__peer_give(&server->peer, HANDOFF__MAINTENANCE);
	if (err < 0)
		server->error = server->peer.error;
	return err;
}

int
handoff_server_ready(struct handoff_server *server, bool silent)
{
	int err;

	if (!server)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	err = handoff__peer_home(&server->peer, silent);
	if (err < 0)
		server->error = server->peer.error;
	return err;
}

int
handoff_server_stop(struct handoff_server *server)
{
	if (!server)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	if (server->stopping)
		return -EALREADY;
	server->stopping = true;
	handoff__server_event(server, HANDOFF_SERVER_STOPPING, "stopping");
	handoff__stop_proceed(server);
	/* An outside loop only hears of descriptors: a timer is one. */
	if (server->nkicks > 0 || server->publishing)
		handoff__timer_arm(&server->loop, &server->sweep, 0);
	return 0;
}

bool
handoff_server_moving(const struct handoff_server *server)
{
	return server && !handoff__within(server) &&
	       (handoff__peer_moving(&server->peer) ||
		       (server->stopping && !server->stopped));
}

/* Tries to hand over. True if a give has begun or is under way. */
static bool
stop_give(struct handoff_server *server)
{
	struct handoff__peer *peer = &server->peer;

	if (handoff__peer_moving(peer))
		return true;
	if (server->gave || peer->partner != HANDOFF__PARTNER_READY ||
		peer->roster.owned == 0)
		return false;
	server->gave = true;
	return handoff__peer_give(peer, peer->serving ? HANDOFF__MAINTENANCE
						      : HANDOFF__REST) >= 0;
}

static void
stop_finish(struct handoff_server *server)
{
	char *text = NULL;

	server->stopped = true;
	handoff__timer_disarm(&server->loop, &server->stop_deadline);
	while (handoff__notices_step(server))
		;
	handoff__server_event(server, HANDOFF_SERVER_STOPPED, "stopped");
	if (!server->request)
		return;
	if (asprintf(&text, "ok %s %s %s %d\nstopped\n",
		    server->opts.service->name, server->peer.name,
		    server->peer.serving ? "owner" : "standby",
		    (int)getpid()) < 0)
		text = NULL;
	handoff__control_reply(server->request, text);
	server->request = NULL;
}

/* One step further in an orderly stop; called whenever something changed. */
void
handoff__stop_proceed(struct handoff_server *server)
{
	struct handoff__peer *peer = &server->peer;
	bool survivor = peer->partner == HANDOFF__PARTNER_READY;

	if (!server->stopping || server->stopped || stop_give(server))
		return;
	if (!server->closing) {
		server->closing = true;
		handoff__timer_arm(&server->loop, &server->stop_deadline,
			(int64_t)server->opts.stop_timeout_ms * 1000);
		if (!survivor && peer->serving) {
			handoff__notices_publish(
				server, HANDOFF_NOTICE_GOODBYE);
			handoff__listen_close(server);
		}
		handoff__server_close_all(server);
	}
	if (peer->roster.connections == 0 ||
		(survivor && peer->roster.uncovered == 0))
		stop_finish(server);
}

void
handoff__stop_on_deadline(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;

	handoff__log(&server->log, HANDOFF_LOG_WARNING,
		"stop: %u connections did not end in time",
		server->peer.roster.connections);
	stop_finish(server);
}

static char *
failure(const char *why)
{
	char *text;

	return asprintf(&text, "error %s\n", why) < 0 ? NULL : text;
}

/* Events are single lines: the first one of a report says the most. */
static void
tell_event(struct handoff_server *server, const char *text)
{
	handoff__server_event(server, HANDOFF_SERVER_GAVE, "%s: %.*s",
		server->peer.serving ? "took" : "gave",
		(int)strcspn(text, "\n"), text);
}

/* A give or take that this peer is part of has ended. */
void
handoff__command_given(
	struct handoff_server *server, const struct handoff__report *report)
{
	struct handoff__request *request = server->request;
	struct handoff__buf buf = {0};
	char why[HANDOFF_TEXT_MAX];

	if (report->reason != HANDOFF__OK) {
		handoff__report_refusal(
			&server->peer, report, why, sizeof(why));
		handoff__server_event(
			server, HANDOFF_SERVER_REFUSED, "refused: %s", why);
		handoff__buf_add(&buf, "error %s\n", why);
	} else {
		size_t body;

		handoff__status_header(&server->peer, &buf);
		body = buf.len;
		handoff__report_text(&server->peer, report, &buf);
		if (!buf.failed)
			tell_event(server, buf.data + body);
	}
	if (request && !server->stopping) {
		server->request = NULL;
		handoff__control_reply(request, buf.failed ? NULL : buf.data);
	} else {
		free(buf.data);
	}
	handoff__stop_proceed(server);
}

static void
command_stop(struct handoff_server *server, struct handoff__request *request)
{
	if (server->stopping || server->request) {
		handoff__control_reply(request,
			failure(server->stopping ? "it is stopping already"
						 : "a handoff is under way: "
						   "wait for its end"));
		return;
	}
	server->request = request;
	handoff_server_stop(server);
}

static void
command_status(struct handoff_server *server, struct handoff__request *request,
	bool json)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&server->peer, &buf);
	if (json)
		handoff__status_json(&server->peer, &buf);
	else
		handoff__status_text(&server->peer, &buf);
	if (buf.failed) {
		free(buf.data);
		buf.data = NULL;
	}
	handoff__control_reply(request, buf.data);
}

static void
command_metrics(struct handoff_server *server, struct handoff__request *request)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&server->peer, &buf);
	handoff__metrics(&server->peer, &buf);
	handoff__notices_metrics(server, &buf);
	if (buf.failed) {
		free(buf.data);
		buf.data = NULL;
	}
	handoff__control_reply(request, buf.data);
}

/* The give may end within the call that begins it: the request is noted
 * first. */
static void
command_move(struct handoff_server *server, struct handoff__request *request,
	int (*fn)(struct handoff_server *server, bool silent), bool silent)
{
	int err;

	if (server->stopping || server->request) {
		handoff__control_reply(request,
			failure(server->stopping
					? "it is stopping"
					: "a handoff is under way: wait for "
					  "its end"));
		return;
	}
	server->request = request;
	err = fn(server, silent);
	if (err < 0 && server->request) {
		server->request = NULL;
		handoff__control_reply(
			request, failure(handoff_server_errmsg(server)));
	}
}

static int
do_maintenance(struct handoff_server *server, bool silent)
{
	(void)silent;
	return handoff_server_maintenance(server);
}

static void
command_say(struct handoff_server *server, struct handoff__request *request,
	const char *line)
{
	struct handoff__buf buf = {0};

	if (strcmp(line, "@list") != 0 &&
		handoff__says_line(server, line) < 0) {
		handoff__control_reply(
			request, failure(handoff_server_errmsg(server)));
		return;
	}
	handoff__status_header(&server->peer, &buf);
	if (strcmp(line, "@list") == 0)
		handoff__says_list(server, &buf);
	else
		handoff__buf_add(&buf, "said\n");
	handoff__control_reply(request, buf.failed ? NULL : buf.data);
}

void
handoff__command(void *arg, struct handoff__request *request, const char *line)
{
	struct handoff_server *server = arg;

	if (strcmp(line, "status") == 0)
		command_status(server, request, false);
	else if (strcmp(line, "status json") == 0)
		command_status(server, request, true);
	else if (strcmp(line, "metrics") == 0)
		command_metrics(server, request);
	else if (strcmp(line, "maintenance") == 0)
		command_move(server, request, do_maintenance, false);
	else if (strcmp(line, "ready") == 0)
		command_move(server, request, handoff_server_ready, false);
	else if (strcmp(line, "ready silent") == 0)
		command_move(server, request, handoff_server_ready, true);
	else if (strcmp(line, "stop") == 0)
		command_stop(server, request);
	else if (strncmp(line, "say ", 4) == 0)
		command_say(server, request, line + 4);
	else if (strcmp(line, "dump") == 0)
		handoff__dump_request(server, request);
	else
		handoff__control_reply(request,
			failure("unknown request: want status, status json, "
				"metrics, maintenance, ready, ready silent, "
				"say, stop or dump"));
}
