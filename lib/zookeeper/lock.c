/* SPDX-License-Identifier: MIT */
/*
 * The lock of a service. To have it is to be the session of the ephemeral node
 * `lock`; the token is in `epoch`, whose version changes with each acquisition,
 * in one step with the creation of the lock. Decides nothing: when to ask, and
 * how long an answer counts, is the caller's business.
 */
#include "zookeeper/lock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALE_MAX 3
#define NEVER     INT32_MAX /* no epoch has this version */

static void read_epoch(struct handoff__zk_lease *l);
static void look(struct handoff__zk_lease *l, uint64_t serial, uint64_t above);

void
handoff__zk_tell(struct handoff__zk_lease *l,
	enum handoff_lease_event_kind kind, uint64_t serial, uint64_t token)
{
	struct handoff_lease_event event = {
		.kind = kind, .serial = serial, .token = token};

	if (kind == HANDOFF_LEASE_TAKEN)
		handoff__copy(event.by, sizeof(event.by), l->by);
	handoff__zk_queue_put(&l->queue, &event);
}

void
handoff__zk_tell_error(
	struct handoff__zk_lease *l, uint64_t serial, const char *what, int rc)
{
	struct handoff_lease_event event = {
		.kind = HANDOFF_LEASE_ERROR, .serial = serial};
	struct handoff__error error;

	handoff__fail(&error, -EIO,
		"zookeeper: cannot %s %.60s on %.60s: %.80s", what,
		l->nodes.root, handoff__zk_server(&l->s),
		rc == ZNOAUTH ? "not allowed: it is of other credentials"
			      : zerror(rc));
	handoff__copy(event.text, sizeof(event.text), error.text);
	handoff__zk_queue_put(&l->queue, &event);
}

struct handoff__zk_request *
handoff__zk_begin(struct handoff__zk_lease *l, uint64_t serial)
{
	struct handoff__zk_request *r = calloc(1, sizeof(*r));

	if (r) {
		r->l = l;
		r->serial = serial;
	}
	return r;
}

/* Of a request that was made with this result. */
int
handoff__zk_begun(struct handoff__zk_request *r, int rc)
{
	int err = handoff__zk_asked(&r->l->s, rc);

	if (err < 0)
		free(r);
	return err;
}

/* Counts an answer; whether it is one, for somebody. */
bool
handoff__zk_is_answer(struct handoff__zk_lease *l, int rc)
{
	handoff__zk_answered(&l->s);
	return !l->s.closing && !handoff__zk_unanswered(rc);
}

static bool
is_mine(const struct handoff__zk_lease *l, const struct Stat *stat)
{
	return stat->ephemeralOwner == zoo_client_id(l->s.zh)->client_id;
}

/* Notes what is known of the lock; whether that is new. */
static bool
note(struct handoff__zk_lease *l, enum handoff__zk_lock lock, uint64_t token)
{
	bool is_new = l->lock != lock || l->token != token;

	l->lock = lock;
	l->token = token;
	return is_new;
}

/* "TOKEN HOST" */
static uint64_t
parse_lock(struct handoff__zk_lease *l, const char *value, int len)
{
	uint64_t token;
	size_t size = len > 0 ? (size_t)len : 0;
	size_t at = handoff__zk_number(value, size, &token);
	char by[HANDOFF_NAME_MAX] = "";

	if (at > 0 && at < size && value[at] == ' ' &&
		size - at - 1 < sizeof(by))
		memcpy(by, value + at + 1, size - at - 1);
	handoff__copy(l->by, sizeof(l->by), handoff__name_ok(by) ? by : "?");
	return at > 0 ? token : 0;
}

/* What `version` belongs to must be read after the lock was taken. */
static void
on_mine(struct handoff__zk_lease *l, uint64_t token, uint64_t serial)
{
	if (token != l->epoch && l->stale++ < STALE_MAX) {
		read_epoch(l);
		look(l, serial, 0);
		return;
	}
	l->stale = 0;
	if (note(l, HANDOFF__ZK_MINE, token) || serial > 0) {
		l->held = token;
		l->version = token == l->epoch ? l->epoch_version : NEVER;
		handoff__zk_tell(l, HANDOFF_LEASE_ACQUIRED, serial, token);
	}
	if (l->release > 0)
		handoff__zk_lock_release(l);
}

static void
watch_lock(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct handoff__zk_lease *l = arg;

	(void)zh;
	(void)state;
	(void)path;
	if (type != ZOO_SESSION_EVENT && !l->s.closing && l->s.connected)
		look(l, 0, 0);
}

static void
is_vacant(int rc, const struct Stat *stat, const void *data)
{
	struct handoff__zk_lease *l = (void *)data;

	(void)stat;
	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc == ZOK) /* it was made meanwhile */
		look(l, 0, 0);
	else if (rc != ZNONODE)
		handoff__zk_tell_error(l, 0, "watch the lock of", rc);
	else if (note(l, HANDOFF__ZK_VACANT, 0))
		handoff__zk_tell(l, HANDOFF_LEASE_VACANT, 0, 0);
	if (l->lock == HANDOFF__ZK_VACANT && l->release > 0)
		handoff__zk_lock_release(l);
}

static void
has_lock(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct handoff__zk_request *r = (void *)data;
	struct handoff__zk_lease *l = r->l;
	uint64_t serial = r->serial, above = r->above;

	free(r);
	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc == ZOK && is_mine(l, stat)) {
		on_mine(l, parse_lock(l, value, len), serial);
	} else if (rc == ZOK) {
		if (note(l, HANDOFF__ZK_TAKEN, parse_lock(l, value, len)) ||
			serial > 0)
			handoff__zk_tell(
				l, HANDOFF_LEASE_TAKEN, serial, l->token);
		if (l->release > 0)
			handoff__zk_lock_release(l);
	} else if (rc != ZNONODE) {
		handoff__zk_tell_error(l, serial, "read the lock of", rc);
	} else {
		handoff__zk_asked(&l->s, zoo_awexists(l->s.zh, l->nodes.lock,
						 watch_lock, l, is_vacant, l));
		if (serial > 0)
			handoff__zk_lock_acquire(l, serial, above);
	}
}

/* Reads the lock, and watches it. With a serial: the answer to `acquire`. */
static void
look(struct handoff__zk_lease *l, uint64_t serial, uint64_t above)
{
	struct handoff__zk_request *r = handoff__zk_begin(l, serial);

	if (!r)
		return;
	r->above = above;
	handoff__zk_begun(r,
		zoo_awget(l->s.zh, l->nodes.lock, watch_lock, l, has_lock, r));
}

static void
has_epoch(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct handoff__zk_lease *l = (void *)data;

	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc != ZOK) {
		handoff__zk_tell_error(l, 0, "read the epoch of", rc);
		return;
	}
	if (handoff__zk_number(value, len > 0 ? (size_t)len : 0, &l->epoch) ==
		0)
		l->epoch = UINT32_MAX;
	l->epoch_version = stat->version;
}

static void
read_epoch(struct handoff__zk_lease *l)
{
	handoff__zk_asked(
		&l->s, zoo_aget(l->s.zh, l->nodes.epoch, 0, has_epoch, l));
}

static void
acquired(int rc, const void *data)
{
	struct handoff__zk_request *r = (void *)data;
	struct handoff__zk_lease *l = r->l;
	struct handoff__zk_request is = *r;

	free(r);
	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc == ZOK) {
		l->epoch = is.token;
		l->epoch_version = is.stat.version;
		on_mine(l, is.token, is.serial);
	} else if (rc == ZNODEEXISTS || rc == ZBADVERSION) {
		/* the epoch has moved on: what acquire reads is newer */
		look(l, is.serial, is.above);
	} else {
		handoff__zk_tell_error(l, is.serial, "take the lock of", rc);
	}
}

static int
take_lock(struct handoff__zk_request *r)
{
	struct handoff__zk_lease *l = r->l;
	char epoch[16], lock[16 + HANDOFF_NAME_MAX];
	zoo_op_t ops[2];

	snprintf(epoch, sizeof(epoch), "%" PRIu32, (uint32_t)r->token);
	snprintf(lock, sizeof(lock), "%s %s", epoch, l->host);
	zoo_set_op_init(&ops[0], l->nodes.epoch, epoch, (int)strlen(epoch),
		l->epoch_version, &r->stat);
	zoo_create_op_init(&ops[1], l->nodes.lock, lock, (int)strlen(lock),
		&l->nodes.acl, ZOO_EPHEMERAL, NULL, 0);
	return handoff__zk_begun(
		r, zoo_amulti(l->s.zh, 2, ops, r->results, acquired, r));
}

static void
has_epoch_to_acquire(int rc, const char *value, int len,
	const struct Stat *stat, const void *data)
{
	struct handoff__zk_request *r = (void *)data;
	struct handoff__zk_lease *l = r->l;

	has_epoch(rc, value, len, stat, l);
	if (l->s.closing || rc != ZOK) {
		free(r);
		return;
	}
	r->token = (r->above > l->epoch ? r->above : l->epoch) + 1;
	if (r->token > UINT32_MAX) {
		handoff__zk_tell_error(l, r->serial,
			"find a token that is left for", ZBADARGUMENTS);
		free(r);
		return;
	}
	take_lock(r);
}

void
handoff__zk_lock_acquire(
	struct handoff__zk_lease *l, uint64_t serial, uint64_t above)
{
	struct handoff__zk_request *r = handoff__zk_begin(l, serial);

	if (!r)
		return;
	r->above = above;
	handoff__zk_begun(r,
		zoo_aget(l->s.zh, l->nodes.epoch, 0, has_epoch_to_acquire, r));
}

static void
removed(int rc, const void *data)
{
	handoff__zk_is_answer((void *)data, rc);
}

static void
lock_removed(int rc, const void *data)
{
	struct handoff__zk_request *r = (void *)data;
	struct handoff__zk_lease *l = r->l;
	uint64_t serial = r->serial;

	free(r);
	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc != ZOK && rc != ZNONODE && rc != ZBADVERSION) {
		handoff__zk_tell_error(l, serial, "remove the lock of", rc);
	} else {
		l->released = true;
		l->token = l->held = 0;
		handoff__zk_tell(l, HANDOFF_LEASE_RELEASED, serial, 0);
	}
	l->release = 0;
}

/* Once it is known of which session the lock is. */
void
handoff__zk_lock_release(struct handoff__zk_lease *l)
{
	struct handoff__zk_request *r = handoff__zk_begin(l, l->release);
	zoo_op_t ops[2];

	if (!r)
		return;
	handoff__zk_asked(
		&l->s, zoo_adelete(l->s.zh, l->members.path, -1, removed, l));
	/* another's lock has another epoch, and stays */
	zoo_check_op_init(&ops[0], l->nodes.epoch,
		l->lock == HANDOFF__ZK_MINE ? l->version : NEVER);
	zoo_delete_op_init(&ops[1], l->nodes.lock, -1);
	handoff__zk_begun(
		r, zoo_amulti(l->s.zh, 2, ops, r->results, lock_removed, r));
}

static void
on_connected(struct handoff__zk_lease *l)
{
	struct handoff_lease_event event = {.kind = HANDOFF_LEASE_CONNECTED};

	event.ttl_ms = (uint32_t)zoo_recv_timeout(l->s.zh) / 5 * 4;
	handoff__zk_queue_put(&l->queue, &event);
	l->lock = HANDOFF__ZK_UNKNOWN;
	handoff__zk_nodes_create(&l->nodes);
	read_epoch(l);
	look(l, 0, 0);
	if (!l->released && l->release == 0)
		handoff__zk_members_enter(&l->members);
}

void
handoff__zk_lock_changed(void *owner, enum handoff__zk_change change)
{
	struct handoff__zk_lease *l = owner;

	if (change == HANDOFF__ZK_CONNECTED) {
		on_connected(l);
		return;
	}
	handoff__zk_tell(l,
		change == HANDOFF__ZK_SUSPENDED ? HANDOFF_LEASE_SUSPENDED
						: HANDOFF_LEASE_EXPIRED,
		0, 0);
	l->lock = HANDOFF__ZK_UNKNOWN;
	if (change == HANDOFF__ZK_EXPIRED) {
		l->token = l->held = 0;
		if (l->release > 0) {
			handoff__zk_tell(
				l, HANDOFF_LEASE_RELEASED, l->release, 0);
			l->release = 0;
			l->released = true;
		}
	}
}
