/* SPDX-License-Identifier: MIT */
/*
 * What is in the outbox goes to the connection whose turn it is: to the old one
 * up to the boundary, then to the present one. Others decide which that is.
 */
#include "client/client.h"

/* What of the outbox and the end of sending belongs to the old connection.
 * True when that is done and the present one's turn has come. */
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

void
handoff__client_flush(struct handoff_client *client)
{
	if (!flush_old(client) || !handoff__stream_is_open(client->now))
		return;
	if (handoff__stream_write(client->now, &client->outbox, SIZE_MAX) < 0)
		return;
	if (client->shut && handoff__outbox_unsent(&client->outbox) == 0)
		handoff__stream_end(client->now);
}
