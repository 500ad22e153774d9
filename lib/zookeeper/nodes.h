/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a service, below /handoff/SERVICE:
 *
 *   lock          ephemeral: its session has the lease; "TOKEN HOST"
 *   epoch         the last token; its version changes with each acquisition
 *   proof         what is written to prove a lease, and nobody reads
 *   notice        the retained notice
 *   members/HOST  ephemeral: a host that takes part, and what it says of itself
 */
#ifndef HANDOFF_ZOOKEEPER_NODES_H
#define HANDOFF_ZOOKEEPER_NODES_H

#include "zookeeper/place.h"
#include "zookeeper/session.h"

#define HANDOFF__ZK_TOP      "/handoff"
#define HANDOFF__ZK_PATH_MAX 128

struct handoff__zk_nodes {
	char root[HANDOFF__ZK_PATH_MAX];
	char lock[HANDOFF__ZK_PATH_MAX];
	char epoch[HANDOFF__ZK_PATH_MAX];
	char proof[HANDOFF__ZK_PATH_MAX];
	char notice[HANDOFF__ZK_PATH_MAX];
	char members[HANDOFF__ZK_PATH_MAX];

	/* Who may use them: those with the credentials; all on loopback. */
	struct ACL entries[4];
	struct ACL_vector acl, top_acl, notice_acl;

	/* the creation of those that stay */
	struct handoff__zk_session *s;
	void (*failed)(void *owner, const char *text);
	void *owner;
};

/* `place` must stay. */
void handoff__zk_nodes_init(struct handoff__zk_nodes *nodes,
	const struct handoff__zk_place *place, struct handoff__zk_session *s);

/* Asks for the creation of all that are not ephemeral and not there. `failed`
 * is told why one could not be created, or that others may write to one. */
void handoff__zk_nodes_create(struct handoff__zk_nodes *nodes);

/* Whether a request was not answered since its connection has broken. */
bool handoff__zk_unanswered(int rc);

/* Reads a number in decimal; how many bytes it has. 0: there is none. */
size_t handoff__zk_number(const char *data, size_t len, uint64_t *number);

#endif
