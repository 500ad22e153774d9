/* SPDX-License-Identifier: MIT */
/*
 * What operators ask for over the control socket, for a program that has its
 * own loop: the same commands as for a server, as far as they make sense.
 */
#include "embed/embed.h"

#include "peer/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_TRIES 3

static char *
failure(const char *why)
{
	char *text;

	return asprintf(&text, "error %s\n", why) < 0 ? NULL : text;
}

static void
reply_error(struct handoff__request *request, const char *why)
{
	handoff__control_reply(request, failure(why));
}

static void
reply(struct handoff__request *request, struct handoff__buf *buf)
{
	if (buf->failed) {
		free(buf->data);
		buf->data = NULL;
	}
	handoff__control_reply(request, buf->data);
}

static void
order_status(
	struct handoff_peer *peer, struct handoff__request *request, bool json)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&peer->peer, &buf);
	if (json)
		handoff__status_json(&peer->peer, &buf);
	else
		handoff__status_text(&peer->peer, &buf);
	reply(request, &buf);
}

static void
order_metrics(struct handoff_peer *peer, struct handoff__request *request)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&peer->peer, &buf);
	handoff__metrics(&peer->peer, &buf);
	reply(request, &buf);
}

/* A request that repeats the one under way waits with it. */
static void
order_move(struct handoff_peer *peer, struct handoff__request *request,
	const char *line, int (*fn)(struct handoff_peer *peer))
{
	bool first = peer->moves.count == 0;

	if (peer->stopping) {
		reply_error(request, "it is stopping");
		return;
	}
	if (!handoff__waiting_add(&peer->moves, request, line)) {
		reply_error(request,
			"another handoff is under way: wait for its end");
		return;
	}
	if (first && fn(peer) < 0)
		handoff__waiting_reply(
			&peer->moves, failure(handoff_peer_errmsg(peer)));
}

/* "maintenance", "maintenance NAME" */
static void
order_maintenance(struct handoff_peer *peer, struct handoff__request *request,
	const char *line)
{
	const char *name = line + strlen("maintenance");
	struct handoff__buf buf = {0};
	char text[HANDOFF_TEXT_MAX];
	int repeats = 0;

	if (peer->moves.count == 0)
		repeats = handoff__peer_repeats(&peer->peer,
			*name ? name + 1 : name, text, sizeof(text));
	if (repeats == 0) {
		order_move(peer, request, line, handoff_peer_give);
	} else if (repeats < 0) {
		reply_error(request, peer->peer.error.text);
	} else {
		handoff__status_header(&peer->peer, &buf);
		handoff__buf_add(&buf, "%s\n", text);
		reply(request, &buf);
	}
}

static void
reply_stops(struct handoff_peer *peer)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&peer->peer, &buf);
	handoff__buf_add(&buf, "stopped\n");
	if (buf.failed) {
		free(buf.data);
		buf.data = NULL;
	}
	handoff__waiting_reply(&peer->stops, buf.data);
}

/* One step further in a stop: gives what there is, and once or twice again what
 * came meanwhile, then has the program end. */
void
handoff__embed_stop(struct handoff_peer *peer)
{
	struct handoff__peer *below = &peer->peer;
	bool give = below->partner == HANDOFF__PARTNER_READY &&
		    !below->other_leaving && below->roster.owned > 0 &&
		    !peer->stopped;

	if (!peer->stopping || handoff__peer_moving(below))
		return;
	if (give && peer->tries > 0) {
		peer->tries--;
		if (handoff__peer_give(below, below->serving
						      ? HANDOFF__MAINTENANCE
						      : HANDOFF__REST) >= 0)
			return;
	}
	if (peer->stopped)
		return;
	peer->stopped = true;
	handoff__embed_tell(peer, HANDOFF_PEER_STOP, "stop");
	reply_stops(peer);
	handoff__peer_retire(below);
}

static void
order_stop(struct handoff_peer *peer, struct handoff__request *request)
{
	if (!handoff__waiting_add(&peer->stops, request, "stop")) {
		reply_error(request, "too many wait for its end");
		return;
	}
	if (peer->stopped)
		reply_stops(peer);
	if (peer->stopping)
		return;
	peer->stopping = true;
	peer->tries = STOP_TRIES;
	handoff__peer_leave(&peer->peer);
	handoff__embed_soon(peer);
}

void
handoff__embed_given(
	struct handoff_peer *peer, const struct handoff__report *report)
{
	struct handoff__buf buf = {0};
	char why[HANDOFF_TEXT_MAX];

	if (report->reason != HANDOFF__OK) {
		handoff__report_refusal(&peer->peer, report, why, sizeof(why));
		handoff__embed_tell(
			peer, HANDOFF_PEER_REFUSED, "refused: %s", why);
		handoff__buf_add(&buf, "error %s\n", why);
	} else {
		size_t body;

		handoff__embed_owner(peer);
		handoff__status_header(&peer->peer, &buf);
		body = buf.len;
		handoff__report_text(&peer->peer, report, &buf);
		if (!buf.failed)
			handoff__embed_tell(peer, HANDOFF_PEER_GAVE, "%s: %.*s",
				peer->peer.serving ? "took" : "gave",
				(int)strcspn(buf.data + body, "\n"),
				buf.data + body);
	}
	if (buf.failed) {
		free(buf.data);
		buf.data = NULL;
	}
	handoff__waiting_reply(&peer->moves, buf.data);
	if (report->moved + report->listeners == 0)
		peer->tries = 0; /* the rest can't be moved */
}

void
handoff__embed_order(
	void *arg, struct handoff__request *request, const char *line)
{
	struct handoff_peer *peer = arg;

	if (strcmp(line, "status") == 0)
		order_status(peer, request, false);
	else if (strcmp(line, "status json") == 0)
		order_status(peer, request, true);
	else if (strcmp(line, "metrics") == 0)
		order_metrics(peer, request);
	else if (strcmp(line, "maintenance") == 0 ||
		 strncmp(line, "maintenance ", 12) == 0)
		order_maintenance(peer, request, line);
	else if (strcmp(line, "ready") == 0 ||
		 strcmp(line, "ready silent") == 0)
		order_move(peer, request, line, handoff_peer_take);
	else if (strcmp(line, "stop") == 0)
		order_stop(peer, request);
	else
		reply_error(request, "this program knows status, metrics, "
				     "maintenance, ready and stop");
}
