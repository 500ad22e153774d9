/* SPDX-License-Identifier: MIT */
/*
 * The engine "zk:": its table of calls. What is written for the owner is one
 * step with a check of the epoch and the lock, so that the ensemble refuses an
 * owner that was deposed.
 *
 * A follower tells the leader only every half tick of which sessions it has
 * heard, so the leader may begin to count a little before the last proof: the
 * session is asked to live a quarter longer than the lease.
 */
#include "zookeeper/component.h"
#include "zookeeper/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVED_MAGIC 0x7a6b3031 /* "zk01" */

/* What `save` writes. */
struct saved {
	uint32_t magic;
	int64_t id;
	char password[sizeof(((clientid_t *)0)->passwd)];
};

static void
tell_trouble(void *owner, const char *text)
{
	struct handoff__zk_lease *l = owner;
	struct handoff_lease_event event = {.kind = HANDOFF_LEASE_ERROR};

	handoff__copy(event.text, sizeof(event.text), text);
	handoff__zk_queue_put(&l->queue, &event);
}

static void
members_changed(void *owner)
{
	handoff__zk_tell(owner, HANDOFF_LEASE_MEMBERS, 0, 0);
}

static int
open_place(struct handoff__zk_lease *l, const char *rest,
	const struct handoff_lease_side *side, struct handoff__error *error)
{
	clientid_t id = {0};
	struct saved saved;
	int err = handoff__zk_place_parse(&l->place, rest, true, error);

	if (err < 0)
		return err;
	l->s.hosts = l->place.hosts;
	l->s.auth = l->place.auth;
	l->s.timeout_ms = side->ttl_ms + side->ttl_ms / 4;
	l->s.changed = handoff__zk_lock_changed;
	l->s.owner = l->nodes.owner = l->members.owner = l;
	handoff__zk_nodes_init(&l->nodes, &l->place, &l->s);
	l->nodes.failed = tell_trouble;
	l->members.s = &l->s;
	l->members.nodes = &l->nodes;
	l->members.changed = members_changed;
	handoff__copy(l->host, sizeof(l->host), side->host);
	handoff__zk_members_init(&l->members, side->host, side->text);
	if (side->session_len == sizeof(saved)) {
		memcpy(&saved, side->session, sizeof(saved));
		if (saved.magic == SAVED_MAGIC) {
			id.client_id = saved.id;
			memcpy(id.passwd, saved.password, sizeof(id.passwd));
		}
	}
	return handoff__zk_open(&l->s, id.client_id != 0 ? &id : NULL, error);
}

static int
lease_open(void **end, const char *rest, const struct handoff_lease_side *side,
	char *errbuf, size_t errbuf_size)
{
	struct handoff__error error = {""};
	struct handoff__zk_lease *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return handoff__no_memory("zookeeper", errbuf, errbuf_size);
	handoff__zk_queue_init(&l->queue);
	err = open_place(l, rest, side, &error);
	if (err == 0) {
		*end = l;
		return 0;
	}
	handoff__error_copy(&error, errbuf, errbuf_size);
	handoff__zk_place_wipe(&l->place);
	free(l);
	return err;
}

static int
lease_fd(void *end)
{
	return ((struct handoff__zk_lease *)end)->s.epfd;
}

static int
lease_next(void *end, struct handoff_lease_event *event)
{
	struct handoff__zk_lease *l = end;
	int rc;

	if (!l->queue.first)
		handoff__zk_pump(&l->s);
	rc = handoff__zk_queue_take(&l->queue, event);
	l->s.woken = l->queue.first != NULL;
	handoff__zk_arm(&l->s);
	return rc;
}

/* What was put into the queue without the network. */
static int
tell_soon(struct handoff__zk_lease *l, enum handoff_lease_event_kind kind,
	uint64_t serial, uint64_t token)
{
	handoff__zk_tell(l, kind, serial, token);
	l->s.woken = true;
	handoff__zk_arm(&l->s);
	return 0;
}

static int
lease_acquire(void *end, uint64_t serial, uint64_t above)
{
	struct handoff__zk_lease *l = end;

	if (!l->s.connected)
		return -ENOTCONN;
	if (l->released) {
		l->released = false;
		handoff__zk_members_enter(&l->members);
	}
	if (l->lock == HANDOFF__ZK_MINE)
		return tell_soon(l, HANDOFF_LEASE_ACQUIRED, serial, l->token);
	handoff__zk_lock_acquire(l, serial, above);
	handoff__zk_arm(&l->s);
	return 0;
}

/* What is written as the owner: the answer, or REFUSED. */
static void
wrote(int rc, struct handoff__zk_request *r, enum handoff_lease_event_kind kind,
	const char *what)
{
	struct handoff__zk_lease *l = r->l;
	uint64_t serial = r->serial;

	free(r);
	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc == ZOK)
		handoff__zk_tell(l, kind, serial, 0);
	else if (rc == ZBADVERSION || rc == ZNONODE)
		handoff__zk_tell(l, HANDOFF_LEASE_REFUSED, serial, 0);
	else
		handoff__zk_tell_error(l, serial, what, rc);
}

static void
proven(int rc, const void *data)
{
	wrote(rc, (void *)data, HANDOFF_LEASE_PROVEN, "prove the lease of");
}

static void
published(int rc, const void *data)
{
	wrote(rc, (void *)data, HANDOFF_LEASE_PUBLISHED, "publish for");
}

/* Writes to a node if the session has the lease with that token. */
static int
write_as_owner(struct handoff__zk_lease *l, struct handoff__zk_request *r,
	const char *path, const void *data, size_t len, void_completion_t done)
{
	zoo_op_t ops[3];
	int err;

	if (!r)
		return -ENOMEM;
	zoo_check_op_init(&ops[0], l->nodes.epoch, l->version);
	zoo_check_op_init(&ops[1], l->nodes.lock, -1);
	zoo_set_op_init(&ops[2], path, data, (int)len, -1, &r->stat);
	err = handoff__zk_begun(
		r, zoo_amulti(l->s.zh, 3, ops, r->results, done, r));
	handoff__zk_arm(&l->s);
	return err;
}

/* 0: go on; 1: it was answered; or a negative errno. */
static int
check_owner(struct handoff__zk_lease *l, uint64_t serial, uint64_t token)
{
	if (!l->s.connected)
		return -ENOTCONN;
	if (l->held == token &&
		(l->lock == HANDOFF__ZK_MINE || l->lock == HANDOFF__ZK_UNKNOWN))
		return 0;
	if (l->lock == HANDOFF__ZK_UNKNOWN && l->held == 0)
		return -EAGAIN;
	tell_soon(l, HANDOFF_LEASE_REFUSED, serial, 0);
	return 1;
}

static int
lease_prove(void *end, uint64_t serial, uint64_t token)
{
	struct handoff__zk_lease *l = end;
	int rc = check_owner(l, serial, token);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	return write_as_owner(l, handoff__zk_begin(l, serial), l->nodes.proof,
		l->host, strlen(l->host), proven);
}

static int
lease_publish(void *end, uint64_t serial, uint64_t token, const void *data,
	size_t len)
{
	struct handoff__zk_lease *l = end;
	int rc;

	if (len > HANDOFF_LEASE_NOTICE_MAX)
		return -EMSGSIZE;
	rc = check_owner(l, serial, token);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	return write_as_owner(l, handoff__zk_begin(l, serial), l->nodes.notice,
		data, len, published);
}

static void
synced(int rc, const char *path, const void *data)
{
	struct handoff__zk_lease *l = (void *)data;

	(void)rc;
	(void)path;
	handoff__zk_answered(&l->s);
}

static void
has_notice(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct handoff__zk_request *r = (void *)data;
	struct handoff__zk_lease *l = r->l;
	struct handoff_lease_event event = {.kind = HANDOFF_LEASE_RETAINED,
		.serial = r->serial,
		.data = value,
		.len = len > 0 ? (size_t)len : 0};

	(void)stat;
	free(r);
	if (!handoff__zk_is_answer(l, rc))
		return;
	if (rc == ZNONODE)
		event.len = 0;
	else if (rc != ZOK || event.len > HANDOFF_LEASE_NOTICE_MAX) {
		handoff__zk_tell_error(l, event.serial, "read the notice of",
			rc == ZOK ? ZMARSHALLINGERROR : rc);
		return;
	}
	handoff__zk_queue_put(&l->queue, &event);
}

/* From what a majority has: a server may be behind. */
static int
lease_retained(void *end, uint64_t serial)
{
	struct handoff__zk_lease *l = end;
	struct handoff__zk_request *r;
	int err;

	if (!l->s.connected)
		return -ENOTCONN;
	r = handoff__zk_begin(l, serial);
	if (!r)
		return -ENOMEM;
	handoff__zk_asked(
		&l->s, zoo_async(l->s.zh, l->nodes.notice, synced, l));
	err = handoff__zk_begun(
		r, zoo_aget(l->s.zh, l->nodes.notice, 0, has_notice, r));
	handoff__zk_arm(&l->s);
	return err;
}

static int
lease_save(void *end, void *session, size_t size)
{
	struct handoff__zk_lease *l = end;
	const clientid_t *id = l->s.zh ? zoo_client_id(l->s.zh) : NULL;
	struct saved saved = {.magic = SAVED_MAGIC};

	if (!id || id->client_id == 0 || l->released)
		return 0;
	if (size < sizeof(saved))
		return -EMSGSIZE;
	saved.id = id->client_id;
	memcpy(saved.password, id->passwd, sizeof(saved.password));
	memcpy(session, &saved, sizeof(saved));
	return (int)sizeof(saved);
}

static int
lease_release(void *end, uint64_t serial)
{
	struct handoff__zk_lease *l = end;

	if (l->released)
		return tell_soon(l, HANDOFF_LEASE_RELEASED, serial, 0);
	l->release = serial;
	if (l->s.connected && l->lock != HANDOFF__ZK_UNKNOWN) {
		handoff__zk_lock_release(l);
		handoff__zk_arm(&l->s);
	}
	return 0;
}

static void
lease_close(void *end)
{
	struct handoff__zk_lease *l = end;

	if (!l)
		return;
	handoff__zk_close(&l->s, l->released);
	handoff__zk_queue_free(&l->queue);
	handoff__zk_place_wipe(&l->place);
	free(l);
}

static int
lease_describe(void *end, const char *text)
{
	struct handoff__zk_lease *l = end;

	handoff__zk_members_describe(&l->members, text);
	if (l->s.connected)
		handoff__zk_arm(&l->s);
	return 0;
}

static int
lease_member(void *end, size_t i, struct handoff_lease_member *member)
{
	struct handoff__zk_lease *l = end;
	const struct handoff__zk_member *m = &l->members.list[i];

	if (i >= l->members.count)
		return 0;
	*member = (struct handoff_lease_member){0};
	handoff__copy(member->host, sizeof(member->host), m->host);
	handoff__copy(member->text, sizeof(member->text), m->text);
	member->owner =
		l->lock == HANDOFF__ZK_MINE    ? strcmp(m->host, l->host) == 0
		: l->lock == HANDOFF__ZK_TAKEN ? strcmp(m->host, l->by) == 0
					       : false;
	return 1;
}

static const char *
lease_state(void *end)
{
	struct handoff__zk_lease *l = end;

	snprintf(l->state, sizeof(l->state), "%s %.200s",
		l->s.connected ? "connected to" : "connecting to",
		handoff__zk_server(&l->s));
	return l->state;
}

const struct handoff_lease_engine handoff__zk_engine = {
	.size = sizeof(struct handoff_lease_engine),
	.prefix = HANDOFF__ZK_PREFIX,
	.form = HANDOFF__ZK_FORM,
	.open = lease_open,
	.fd = lease_fd,
	.next_event = lease_next,
	.acquire = lease_acquire,
	.prove = lease_prove,
	.publish = lease_publish,
	.retained = lease_retained,
	.save = lease_save,
	.release = lease_release,
	.close = lease_close,
	.describe = lease_describe,
	.member = lease_member,
	.state = lease_state,
};
