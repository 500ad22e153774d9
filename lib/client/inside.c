/* SPDX-License-Identifier: MIT */
/*
 * What a session carries: the messages themselves, or the cipher text of a
 * layer with the messages inside. The others need not know which.
 */
#include "client/client.h"

/* There may be memory again after this time. */
#define STARVED_US 100000

bool
handoff__client_has_layer(const struct handoff_client *client)
{
	return client->layer.begin != NULL;
}

struct handoff__outbox *
handoff__client_carried(struct handoff_client *client)
{
	return handoff__client_has_layer(client) ? &client->sealed.cipher
						 : &client->outbox;
}

void
handoff__client_follow(struct handoff_client *client)
{
	if (handoff__client_has_layer(client))
		handoff__sealed_follow(
			&client->sealed, &client->outbox, client->talk.acked);
}

bool
handoff__client_fill(struct handoff_client *client)
{
	bool whole;

	if (!handoff__client_has_layer(client))
		return client->shut;
	if (!client->sealed.layered.end)
		return false;
	whole = handoff__sealed_fill(
		&client->sealed, &client->outbox, client->shut);
	if (client->sealed.starved)
		handoff__timer_arm(
			&client->loop, &client->memory_timer, STARVED_US);
	return whole;
}

/* What the program has not heard of has no fate. */
static void
close_sealed(struct handoff_client *client, bool told)
{
	struct handoff__talk *talk = &client->talk;
	struct handoff__sealed *sealed = &client->sealed;
	struct handoff__fate before = talk->fate;

	if (!talk->known)
		return;
	handoff__client_follow(client);
	handoff__talk_close(talk, &sealed->cipher, told);
	if (sealed->layered.end)
		handoff__sealed_fate(sealed, &client->outbox,
			talk->fate.certain, told, &talk->fate);
	handoff__sealed_close(sealed);
	handoff__timer_disarm(&client->loop, &client->layer_timer);
	if (!client->owed)
		return;
	talk->fate = before;
	talk->first = client->owed == HANDOFF_CLIENT_CONNECTED;
}

void
handoff__client_close_session(struct handoff_client *client, bool told)
{
	if (handoff__client_has_layer(client))
		close_sealed(client, told);
	else
		handoff__talk_close(&client->talk, &client->outbox, told);
}
