/* SPDX-License-Identifier: MIT */
/* The peers of a service directory, as their status has them. */
#ifndef HANDOFFCTL_PEERS_H
#define HANDOFFCTL_PEERS_H

#include <handoff.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PEERS_MAX 2

struct peer {
	char name[HANDOFF_NAME_MAX]; /* "?" and pid 0: not known yet */
	pid_t pid;
	char role[16];    /* owner, standby or unresponsive */
	char partner[16]; /* the other one's state: ready, loading, ... */
	char loading[HANDOFF_TEXT_MAX]; /* why it cannot serve yet, or "" */
	long long connections, uncovered;
	bool lagging, ferry;
};

struct peers {
	struct peer peer[PEERS_MAX]; /* the owner first */
	size_t count;
};

/* Queries them. 0, also if one does not answer or there is none; or a negative
 * errno and the reason in `why`, which has HANDOFF_TEXT_MAX bytes. */
int peers_read(struct peers *peers, const char *dir, char *why);

/* The same of the text of a status. */
void peers_parse(struct peers *peers, const char *json);

/* The peer with that process ID; NULL: there is none. */
const struct peer *peers_find(const struct peers *peers, pid_t pid);

bool peer_is(const struct peer *peer, const char *role);

#endif
