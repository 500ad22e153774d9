/* SPDX-License-Identifier: MIT */
/*
 * What operators ask for, whether over the control socket or by the public
 * calls. One handoff at a time; the requests for it wait for its end.
 */
#include "server/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool
handoff_server_moving(const struct handoff_server *server)
{
	return server && !handoff__within(server) &&
	       (handoff__peer_moving(&server->peer) ||
		       (server->stopping && !server->stopped));
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

/* After READY the connections stay where they are until their clients leave.
 */
static void
add_spread(struct handoff_server *server, const struct handoff__report *report,
	struct handoff__buf *buf)
{
	if (report->cause == HANDOFF__HOME && server->peer.serving)
		handoff__buf_add(buf,
			"clients come home by themselves within %u.%03u s; "
			"ready --silent moves what is left\n",
			server->opts.spread_ms / 1000,
			server->opts.spread_ms % 1000);
}

/* A give or take that this peer is part of has ended. */
void
handoff__command_given(
	struct handoff_server *server, const struct handoff__report *report)
{
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
		add_spread(server, report, &buf);
		if (!buf.failed)
			tell_event(server, buf.data + body);
		if (server->moves.count > 0)
			handoff__notices_warn(server, &buf);
	}
	if (buf.failed) {
		free(buf.data);
		buf.data = NULL;
	}
	handoff__waiting_reply(&server->moves, buf.data);
}

static void
reply_buf(struct handoff__request *request, struct handoff__buf *buf)
{
	if (buf->failed) {
		free(buf->data);
		buf->data = NULL;
	}
	handoff__control_reply(request, buf->data);
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
	reply_buf(request, &buf);
}

static void
command_metrics(struct handoff_server *server, struct handoff__request *request)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&server->peer, &buf);
	handoff__metrics(&server->peer, &buf);
	handoff__notices_metrics(server, &buf);
	reply_buf(request, &buf);
}

/* A request that repeats the one under way waits with it. */
static void
command_move(struct handoff_server *server, struct handoff__request *request,
	const char *line, int (*fn)(struct handoff_server *server))
{
	bool first = server->moves.count == 0;

	if (server->stopping) {
		handoff__control_reply(request, failure("it is stopping"));
		return;
	}
	if (!handoff__waiting_add(&server->moves, request, line)) {
		handoff__control_reply(request,
			failure("another handoff is under way: wait for its "
				"end"));
		return;
	}
	if (first && fn(server) < 0)
		handoff__waiting_reply(
			&server->moves, failure(handoff_server_errmsg(server)));
}

static int
do_ready(struct handoff_server *server)
{
	return handoff_server_ready(server, false);
}

static int
do_ready_silent(struct handoff_server *server)
{
	return handoff_server_ready(server, true);
}

/* "maintenance", "maintenance NAME" */
static void
command_maintenance(struct handoff_server *server,
	struct handoff__request *request, const char *line)
{
	const char *name = line + strlen("maintenance");
	struct handoff__buf buf = {0};
	char text[HANDOFF_TEXT_MAX];
	int repeats = 0;

	if (server->moves.count == 0)
		repeats = handoff__peer_repeats(&server->peer,
			*name ? name + 1 : name, text, sizeof(text));
	if (repeats == 0) {
		command_move(server, request, line, handoff_server_maintenance);
		return;
	}
	if (repeats < 0) {
		handoff__control_reply(
			request, failure(server->peer.error.text));
		return;
	}
	handoff__status_header(&server->peer, &buf);
	handoff__buf_add(&buf, "%s\n", text);
	reply_buf(request, &buf);
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
	reply_buf(request, &buf);
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
	else if (strcmp(line, "maintenance") == 0 ||
		 strncmp(line, "maintenance ", 12) == 0)
		command_maintenance(server, request, line);
	else if (strcmp(line, "ready") == 0)
		command_move(server, request, line, do_ready);
	else if (strcmp(line, "ready silent") == 0)
		command_move(server, request, line, do_ready_silent);
	else if (strcmp(line, "stop") == 0)
		handoff__stop_request(server, request);
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
