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

static void
reply_error(struct handoff__request *request, const char *why)
{
	char *text;

	if (asprintf(&text, "error %s\n", why) < 0)
		text = NULL;
	handoff__control_reply(request, text);
}

static void
reply(struct handoff_peer *peer, struct handoff__request *request,
	struct handoff__buf *buf)
{
	(void)peer;
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
	reply(peer, request, &buf);
}

static void
order_metrics(struct handoff_peer *peer, struct handoff__request *request)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&peer->peer, &buf);
	handoff__metrics(&peer->peer, &buf);
	reply(peer, request, &buf);
}

/* The move may end within the call that begins it: the request is noted
 * first. */
static void
order_move(struct handoff_peer *peer, struct handoff__request *request,
	int (*fn)(struct handoff_peer *peer))
{
	int err;

	if (peer->stopping || peer->request) {
		reply_error(request, peer->stopping
					     ? "it is stopping"
					     : "a handoff is under way: wait "
					       "for its end");
		return;
	}
	peer->request = request;
	err = fn(peer);
	if (err < 0 && peer->request) {
		peer->request = NULL;
		reply_error(request, handoff_peer_errmsg(peer));
	}
}

/* One step further in a stop: gives what there is, and once or twice again what
 * came meanwhile, then has the program end. */
void
handoff__embed_stop(struct handoff_peer *peer)
{
	struct handoff__peer *below = &peer->peer;
	struct handoff__buf buf = {0};
	bool give = below->partner == HANDOFF__PARTNER_READY &&
		    below->roster.owned > 0 && !peer->stopped;

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
	if (!peer->request)
		return;
	handoff__status_header(below, &buf);
	handoff__buf_add(&buf, "stopped\n");
	reply(peer, peer->request, &buf);
	peer->request = NULL;
}

static void
order_stop(struct handoff_peer *peer, struct handoff__request *request)
{
	if (peer->stopping || peer->request) {
		reply_error(request, "it is stopping or handing over already");
		return;
	}
	peer->request = request;
	peer->stopping = true;
	handoff__peer_leaving(&peer->peer);
	peer->tries = STOP_TRIES;
	handoff__embed_stop(peer);
}

void
handoff__embed_given(
	struct handoff_peer *peer, const struct handoff__report *report)
{
	struct handoff__request *request = peer->request;
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
	if (request && !peer->stopping) {
		peer->request = NULL;
		reply(peer, request, &buf);
	} else {
		free(buf.data);
	}
	if (report->moved + report->listeners == 0)
		peer->tries = 0; /* the rest can't be moved */
	handoff__embed_stop(peer);
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
	else if (strcmp(line, "maintenance") == 0)
		order_move(peer, request, handoff_peer_give);
	else if (strcmp(line, "ready") == 0 ||
		 strcmp(line, "ready silent") == 0)
		order_move(peer, request, handoff_peer_take);
	else if (strcmp(line, "stop") == 0)
		order_stop(peer, request);
	else
		reply_error(request, "this program knows status, metrics, "
				     "maintenance, ready and stop");
}
