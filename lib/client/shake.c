/* SPDX-License-Identifier: MIT */
/*
 * The handshake of a layer on a new connection, where there is no session: as
 * long as it lasts, the connection that is in use goes on.
 */
#include "client/client.h"

#include <errno.h>

static void
failed(struct handoff_client *client, int err, const char *text)
{
	char why[HANDOFF_TEXT_MAX];

	handoff__copy(why, sizeof(why), text);
	handoff__client_trial_cancel(client);
	handoff__client_attempt_failed(client, err, why);
}

bool
handoff__client_shake(struct handoff_client *client)
{
	struct handoff__stream *conn = client->old;
	int rc = handoff__stream_shake(conn);

	if (rc < 0)
		failed(client, rc, handoff__stream_why(conn, rc));
	if (rc <= 0)
		return false;
	handoff__timer_disarm(&client->loop, &client->trial.timer);
	client->shaking = false;
	return true;
}

bool
handoff__client_begin_shake(struct handoff_client *client)
{
	const char *endpoint = client->endpoints[client->next].text;

	client->shaking = true;
	if (!handoff__stream_wrap(client->old, &client->layer, endpoint)) {
		failed(client, -ENOMEM, "no memory for the layer");
		return false;
	}
	handoff__timer_arm(&client->loop, &client->trial.timer,
		(int64_t)client->dial.timeout_ms * 1000);
	return handoff__client_shake(client);
}
