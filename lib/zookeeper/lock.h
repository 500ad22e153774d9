/* SPDX-License-Identifier: MIT */
/*
 * The lock of a service: which session has it, to take it and to remove it.
 * Answers that concern it become events in the queue of the end.
 */
#ifndef HANDOFF_ZOOKEEPER_LOCK_H
#define HANDOFF_ZOOKEEPER_LOCK_H

#include "zookeeper/members.h"
#include "zookeeper/queue.h"

enum handoff__zk_lock {
	HANDOFF__ZK_UNKNOWN,
	HANDOFF__ZK_VACANT,
	HANDOFF__ZK_MINE,
	HANDOFF__ZK_TAKEN,
};

/* An end of the engine. */
struct handoff__zk_lease {
	struct handoff__zk_session s;
	struct handoff__zk_place place;
	struct handoff__zk_nodes nodes;
	struct handoff__zk_members members;
	struct handoff__zk_queue queue;
	char host[HANDOFF_NAME_MAX];
	char state[HANDOFF_TEXT_MAX];

	uint64_t epoch; /* as read last, and its version */
	int32_t epoch_version;
	unsigned stale; /* how often it was older than the lock */

	enum handoff__zk_lock lock;
	uint64_t token; /* of the lock */
	char by[HANDOFF_NAME_MAX];

	uint64_t held;   /* the token that this session has, as far as known, */
	int32_t version; /* and the epoch's version with it; 0: none */

	uint64_t release; /* the serial of what is to be released; 0: nothing */
	bool released;
};

/* One request of the caller. */
struct handoff__zk_request {
	struct handoff__zk_lease *l;
	uint64_t serial, token, above;
	zoo_op_result_t results[3];
	struct Stat stat;
};

/* NULL without memory. */
struct handoff__zk_request *handoff__zk_begin(
	struct handoff__zk_lease *l, uint64_t serial);

/* Of a request that was made with this result of the client: 0, or a negative
 * errno, and it is freed. */
int handoff__zk_begun(struct handoff__zk_request *r, int rc);

/* Counts an answer; whether it is one, for somebody. */
bool handoff__zk_is_answer(struct handoff__zk_lease *l, int rc);

void handoff__zk_tell(struct handoff__zk_lease *l,
	enum handoff_lease_event_kind kind, uint64_t serial, uint64_t token);

/* Tells that a request with this serial, or another, has failed: what was
 * tried, and the answer. */
void handoff__zk_tell_error(
	struct handoff__zk_lease *l, uint64_t serial, const char *what, int rc);

/* What the session calls. */
void handoff__zk_lock_changed(void *owner, enum handoff__zk_change change);

void handoff__zk_lock_acquire(
	struct handoff__zk_lease *l, uint64_t serial, uint64_t above);

/* Removes the lock, if this session has it, and the membership, once that is
 * known; `l->release` is set. */
void handoff__zk_lock_release(struct handoff__zk_lease *l);

#endif
