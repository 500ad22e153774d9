/* SPDX-License-Identifier: MIT */
/*
 * The hosts that take part: each has an ephemeral node in which it says
 * something of itself, and watches those of all. Knows nothing of the lease.
 */
#ifndef HANDOFF_ZOOKEEPER_MEMBERS_H
#define HANDOFF_ZOOKEEPER_MEMBERS_H

#include "zookeeper/nodes.h"

#define HANDOFF__ZK_MEMBERS_MAX 64

struct handoff__zk_member {
	char host[HANDOFF_NAME_MAX];
	char text[HANDOFF_TEXT_MAX];
};

struct handoff__zk_members {
	struct handoff__zk_session *s;
	struct handoff__zk_nodes *nodes;
	void (*changed)(void *owner);
	void *owner;
	char path[HANDOFF__ZK_PATH_MAX]; /* of this host */
	char text[HANDOFF_TEXT_MAX];     /* what it says of itself */

	struct handoff__zk_member list[HANDOFF__ZK_MEMBERS_MAX];
	size_t count;
	unsigned reading; /* nodes that are being read */
	bool again;       /* the list has changed meanwhile */
};

/* The fields up to `owner` are set; the text is cut if it is too long. */
void handoff__zk_members_init(
	struct handoff__zk_members *m, const char *host, const char *text);

/* After the session has connected: enters this host, and reads all. */
void handoff__zk_members_enter(struct handoff__zk_members *m);

/* Says something else of this host, now or with the next session. */
void handoff__zk_members_describe(
	struct handoff__zk_members *m, const char *text);

#endif
