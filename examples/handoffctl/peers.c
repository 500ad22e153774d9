/* SPDX-License-Identifier: MIT */
/*
 * Asks for the status as JSON and keeps what an upgrade decides by. Decides
 * nothing itself.
 */
#include "peers.h"

#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
parse_peer(struct peer *peer, const char *object)
{
	char model[16];

	memset(peer, 0, sizeof(*peer));
	json_text(json_member(object, "name"), peer->name, sizeof(peer->name));
	if (!peer->name[0])
		strcpy(peer->name, "?");
	peer->pid = (pid_t)json_number(json_member(object, "pid"));
	json_text(json_member(object, "role"), peer->role, sizeof(peer->role));
	json_text(json_member(object, "partner"), peer->partner,
		sizeof(peer->partner));
	json_text(json_member(object, "loading"), peer->loading,
		sizeof(peer->loading));
	json_text(json_member(object, "model"), model, sizeof(model));
	peer->ferry = strcmp(model, "ferry") == 0;
	peer->connections = json_number(json_member(object, "connections"));
	peer->uncovered = json_number(json_member(object, "uncovered"));
	peer->lagging = json_true(json_member(object, "lagging"));
}

void
peers_parse(struct peers *peers, const char *json)
{
	const char *object = json_first(json_member(json, "peers"));

	peers->count = 0;
	for (; object && peers->count < PEERS_MAX; object = json_next(object))
		parse_peer(&peers->peer[peers->count++], object);
}

int
peers_read(struct peers *peers, const char *dir, char *why)
{
	char *reply = NULL;
	int err = handoff_control_status(dir, true, &reply);

	peers->count = 0;
	if (reply && reply[0] == '{') {
		peers_parse(peers, reply);
		err = 0;
	} else if (err < 0) {
		snprintf(why, HANDOFF_TEXT_MAX, "%s",
			reply ? reply : strerror(-err));
	}
	free(reply);
	return err == -ENOENT ? 0 : err;
}

const struct peer *
peers_find(const struct peers *peers, pid_t pid)
{
	for (size_t i = 0; i < peers->count; i++) {
		if (peers->peer[i].pid == pid)
			return &peers->peer[i];
	}
	return NULL;
}

bool
peer_is(const struct peer *peer, const char *role)
{
	return peer && strcmp(peer->role, role) == 0;
}
