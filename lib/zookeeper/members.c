/* SPDX-License-Identifier: MIT */
/*
 * The hosts that take part. The list is read anew whenever a host comes, goes
 * or says something else; what is read while that happens is read again. Knows
 * nothing of the lease.
 */
#include "zookeeper/members.h"

#include <stdio.h>
#include <string.h>

static void read_all(struct handoff__zk_members *m);

static void
watch(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct handoff__zk_members *m = arg;

	(void)zh;
	(void)state;
	(void)path;
	if (type != ZOO_SESSION_EVENT && !m->s->closing && m->s->connected)
		read_all(m);
}

/* What a node says, in the place of its host. */
static void
has_text(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct handoff__zk_member *member = (void *)data;
	size_t n = len > 0 ? (size_t)len : 0;

	(void)stat;
	if (rc != ZOK || n >= sizeof(member->text))
		n = 0;
	memcpy(member->text, value ? value : "", n);
	member->text[n] = '\0';
}

static void
read_done(struct handoff__zk_members *m)
{
	if (--m->reading > 0)
		return;
	m->changed(m->owner);
	if (m->again)
		read_all(m);
}

/* Answers come in the order of requests: the last one is for all. */
static void
has_member(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct handoff__zk_members *m = (void *)data;
	size_t at = m->count - m->reading;

	handoff__zk_answered(m->s);
	if (m->s->closing || handoff__zk_unanswered(rc) || m->reading == 0)
		return;
	has_text(rc, value, len, stat, &m->list[at]);
	read_done(m);
}

static bool
read_member(struct handoff__zk_members *m, const char *host)
{
	char path[HANDOFF__ZK_PATH_MAX];

	if (!handoff__name_ok(host) || m->count == HANDOFF__ZK_MEMBERS_MAX)
		return false;
	snprintf(path, sizeof(path), "%.90s/%s", m->nodes->members, host);
	if (handoff__zk_asked(m->s,
		    zoo_awget(m->s->zh, path, watch, m, has_member, m)) < 0)
		return false;
	handoff__copy(m->list[m->count].host, HANDOFF_NAME_MAX, host);
	m->list[m->count++].text[0] = '\0';
	return true;
}

static void
has_all(int rc, const struct String_vector *hosts, const void *data)
{
	struct handoff__zk_members *m = (void *)data;

	handoff__zk_answered(m->s);
	m->again = m->reading > 0; /* the texts of an older list are on their
				    * way */
	if (m->s->closing || rc != ZOK || m->again)
		return;
	m->count = 0;
	for (int i = 0; i < hosts->count; i++)
		read_member(m, hosts->data[i]);
	m->reading = (unsigned)m->count;
	if (m->count == 0)
		m->changed(m->owner);
}

static void
read_all(struct handoff__zk_members *m)
{
	handoff__zk_asked(m->s, zoo_awget_children(m->s->zh, m->nodes->members,
					watch, m, has_all, m));
}

static void
entered(int rc, const char *path, const void *data)
{
	struct handoff__zk_members *m = (void *)data;

	(void)rc;
	(void)path;
	handoff__zk_answered(m->s);
}

static void
create(struct handoff__zk_members *m)
{
	handoff__zk_asked(m->s,
		zoo_acreate(m->s->zh, m->path, m->text, (int)strlen(m->text),
			&m->nodes->acl, ZOO_EPHEMERAL, entered, m));
}

static void
removed(int rc, const void *data)
{
	struct handoff__zk_members *m = (void *)data;

	(void)rc;
	handoff__zk_answered(m->s);
}

static void
described(int rc, const struct Stat *stat, const void *data)
{
	struct handoff__zk_members *m = (void *)data;

	(void)rc;
	(void)stat;
	handoff__zk_answered(m->s);
}

static void
set_text(struct handoff__zk_members *m)
{
	handoff__zk_asked(
		m->s, zoo_aset(m->s->zh, m->path, m->text, (int)strlen(m->text),
			      -1, described, m));
}

/* A node of an earlier session of this host would vanish with that. */
static void
found(int rc, const struct Stat *stat, const void *data)
{
	struct handoff__zk_members *m = (void *)data;

	handoff__zk_answered(m->s);
	if (m->s->closing || handoff__zk_unanswered(rc))
		return;
	if (rc == ZOK &&
		stat->ephemeralOwner == zoo_client_id(m->s->zh)->client_id) {
		set_text(m);
		return;
	}
	if (rc == ZOK)
		handoff__zk_asked(
			m->s, zoo_adelete(m->s->zh, m->path, -1, removed, m));
	create(m);
}

void
handoff__zk_members_init(
	struct handoff__zk_members *m, const char *host, const char *text)
{
	snprintf(m->path, sizeof(m->path), "%.90s/%.31s", m->nodes->members,
		host);
	handoff__copy(m->text, sizeof(m->text), text);
	m->count = m->reading = 0;
}

void
handoff__zk_members_enter(struct handoff__zk_members *m)
{
	m->reading = 0;
	m->again = false;
	handoff__zk_asked(m->s, zoo_aexists(m->s->zh, m->path, 0, found, m));
	read_all(m);
}

void
handoff__zk_members_describe(struct handoff__zk_members *m, const char *text)
{
	handoff__copy(m->text, sizeof(m->text), text);
	if (m->s->connected)
		set_text(m);
}
