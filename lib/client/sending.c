/* SPDX-License-Identifier: MIT */
/*
 * What is in the outbox goes to the connection whose turn it is: to the old one
 * up to the fence, then to the present one. Others decide which that is.
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
	n = handoff__conn_write(client->old, &client->outbox, client->fence);
	if (n >= 0)
		client->fence -= (size_t)n;
	if (n >= 0 && client->fence > 0)
		return false;
	client->old_first = false;
	client->fence = 0;
	if (n >= 0)
		handoff__conn_end(client->old);
	else
		handoff__outbox_rewind(&client->outbox);
	return true;
}

void
handoff__client_flush(struct handoff_client *client)
{
	if (!flush_old(client) || !handoff__conn_is_open(client->now))
		return;
	if (handoff__conn_write(client->now, &client->outbox, SIZE_MAX) < 0)
		return;
	if (client->shut && handoff__outbox_unsent(&client->outbox) == 0)
		handoff__conn_end(client->now);
}
