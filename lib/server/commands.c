/* SPDX-License-Identifier: MIT */
/*
 * What a server adds to lib/operator: the public calls for the same commands,
 * say, dump, and the notices of a handoff.
 */
#include "server/internal.h"

#include "operator/reply.h"

#include <errno.h>
#include <string.h>

int
handoff_server_maintenance(struct handoff_server *server)
{
	int err;

	if (!server)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	err = handoff__pair_give(&server->pair, HANDOFF__MAINTENANCE);
	if (err < 0)
		server->error = server->pair.error;
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
	err = handoff__pair_home(&server->pair, silent);
	if (err < 0)
		server->error = server->pair.error;
	return err;
}

int
handoff_server_loading(struct handoff_server *server, const char *why)
{
	if (!server)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	handoff__pair_loading(&server->pair, why);
	return 0;
}

/* After READY the connections stay where they are until their clients leave. */
static void
add_spread(struct handoff_server *server, const struct handoff__report *report,
	struct handoff__buf *buf)
{
	if (report->cause == HANDOFF__HOME && server->pair.serving)
		handoff__buf_add(buf,
			"clients come home on their own within %u.%03u s; "
			"ready --silent moves what is left\n",
			server->opts.spread_ms / 1000,
			server->opts.spread_ms % 1000);
}

static void
remarks(void *arg, const struct handoff__report *report,
	struct handoff__buf *buf)
{
	add_spread(arg, report, buf);
	handoff__notices_warn(arg, buf);
}

static void
metrics(void *arg, struct handoff__buf *buf)
{
	handoff__notices_metrics(arg, buf);
	handoff__limits_metrics(arg, buf);
	handoff__sessions_metrics(arg, buf);
}

static void
status(void *arg, bool json, struct handoff__buf *buf)
{
	handoff__addresses_status(arg, json, buf);
	handoff__shared_status(arg, json, buf);
	handoff__sessions_status(arg, json, buf);
	handoff__notices_status(arg, json, buf);
}

static void
stop(void *arg)
{
	struct handoff_server *server = arg;

	if (!server->op.stopping)
		handoff_server_stop(server);
}

static void
command_say(struct handoff_server *server, struct handoff__request *request,
	const char *line)
{
	struct handoff__buf buf = {0};

	if (strcmp(line, "@list") != 0 &&
		handoff__says_line(server, line) < 0) {
		handoff__reply_error(request, server->error.text);
		return;
	}
	handoff__status_header(&server->pair, &buf);
	if (strcmp(line, "@list") == 0)
		handoff__says_list(server, &buf);
	else
		handoff__buf_add(&buf, "said%s\n",
			handoff__says_to_any(server)
				? ""
				: ", but no client is connected");
	handoff__reply(request, &buf);
}

static bool
other(void *arg, struct handoff__request *request, const char *line)
{
	if (strncmp(line, "say ", 4) == 0)
		command_say(arg, request, line + 4);
	else if (strcmp(line, "dump") == 0)
		handoff__dump_request(arg, request);
	else if (strcmp(line, "connections") == 0)
		handoff__walk_request(arg, request, false);
	else if (strcmp(line, "connections json") == 0)
		handoff__walk_request(arg, request, true);
	else
		return false;
	return true;
}

static bool
is_detail(int type)
{
	switch (type) {
	case HANDOFF_SERVER_LISTENING:
	case HANDOFF_SERVER_UNLISTENED:
	case HANDOFF_SERVER_ADDRESSES:
	case HANDOFF_SERVER_REACHABLE:
	case HANDOFF_SERVER_CONSOLE:
		return true;
	default:
		return false;
	}
}

const struct handoff__operator_ops handoff__server_operator_ops = {
	.stop = stop,
	.other = other,
	.unknown = "unknown request: want status, status json, metrics, "
		   "maintenance, ready, ready silent, stay, connections, say, "
		   "stop or dump",
	.status = status,
	.metrics = metrics,
	.remarks = remarks,
	.is_detail = is_detail,
	.types =
		{
			.waiting = HANDOFF_SERVER_WAITING,
			.standby = HANDOFF_SERVER_STANDBY,
			.joined = HANDOFF_SERVER_JOINED,
			.left = HANDOFF_SERVER_LEFT,
			.gave = HANDOFF_SERVER_GAVE,
			.refused = HANDOFF_SERVER_REFUSED,
			.hung = HANDOFF_SERVER_HUNG,
			.lagging = HANDOFF_SERVER_LAGGING,
			.apart = HANDOFF_SERVER_APART,
		},
};
