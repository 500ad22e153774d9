/* SPDX-License-Identifier: MIT */
/*
 * Writes the outbox to the connection that may send: to the old one up to the
 * boundary, then to the current one. Other files choose the boundary.
 */
#include "client/client.h"

/* Writes the old connection's share of the outbox, then half-closes it. True
 * once that is done and the current connection may send. */
static bool
flush_old(struct handoff_client *client)
{
	ssize_t n;

	if (!client->old_first)
		return true;
	n = handoff__stream_write(
		client->old, &client->outbox, client->boundary);
	if (n >= 0)
		client->boundary -= (size_t)n;
	if (n >= 0 && client->boundary > 0)
		return false;
	client->old_first = false;
	client->boundary = 0;
	if (n >= 0)
		handoff__stream_end(client->old);
	else
		handoff__outbox_rewind(&client->outbox);
	return true;
}

/* Whole frames: a connection that is tried rests its predecessor. */
static void
flush_session(struct handoff_client *client)
{
	struct handoff__outbox *box = handoff__client_carried(client);
	struct handoff__talk *talk = &client->talk;
	struct iovec iov[3];
	ssize_t n = 1;

	if (!talk->known || handoff__stream_is_open(client->old) ||
		!handoff__stream_is_open(client->now))
		return;
	while (n > 0) {
		bool end = handoff__client_fill(client);
		int pieces = handoff__talk_output(talk, box, end, iov);

		if (pieces == 0)
			return;
		n = handoff__stream_send(client->now, iov, pieces);
		if (n <= 0)
			return;
		handoff__talk_written(talk, box, (size_t)n);
		handoff__client_follow(client);
	}
}

void
handoff__client_flush(struct handoff_client *client)
{
	if (client->talk.on) {
		flush_session(client);
		return;
	}
	if (!flush_old(client) || !handoff__stream_is_open(client->now))
		return;
	if (handoff__stream_write(client->now, &client->outbox, SIZE_MAX) < 0)
		return;
	if (client->shut && handoff__outbox_unsent(&client->outbox) == 0)
		handoff__stream_end(client->now);
}
