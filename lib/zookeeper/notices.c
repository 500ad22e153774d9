/* SPDX-License-Identifier: MIT */
/*
 * The transport "zk:": the retained notice is a node, which subscribers watch.
 * A watch tells that the node has changed, not what was in it meanwhile: states
 * may be skipped, the latest arrives.
 *
 * A notice's generation begins with its owner's token: the ensemble refuses one
 * that is below the epoch, so that an owner that was deposed cannot publish.
 * And it replaces only the notice that the publisher has seen, so that one
 * which was late, since the ensemble could not be reached, never replaces a
 * newer one.
 */
#include "notice/notice.h"
#include "zookeeper/component.h"
#include "zookeeper/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 10000
#define AGAIN_MS   3000 /* after an error that a connection does not end */

struct message {
	unsigned char data[HANDOFF_TRANSPORT_MESSAGE_MAX];
	size_t len;
};

enum sending { NOTHING, WAITS, SENT, DONE, FAILED, REFUSED };

struct end {
	struct handoff__zk_session s;
	struct handoff__zk_place place;
	struct handoff__zk_nodes nodes;
	bool publishes;
	struct handoff__error trouble; /* "" if there is none */
	int64_t trouble_ms;            /* when it came */
	char state[HANDOFF_TEXT_MAX];

	struct message latest; /* the retained one, as read or written last */
	int64_t zxid;          /* of its last change */
	int32_t version;       /* of its node; -1: unknown (publisher) */
	bool known;            /* it was read with this connection or before */
	bool fresh;            /* and the subscriber has not taken it */

	struct message out; /* publisher */
	enum sending sending;
	struct handoff_notice notice; /* what it is; generation 0: unknown */
	uint64_t attempt;             /* counts the requests to write */
	uint64_t epoch;
	int32_t epoch_version; /* -1: unknown */
};

struct attempt {
	struct end *e;
	uint64_t number;
	zoo_op_result_t results[2];
	struct Stat stat;
};

static void read_notice(struct end *e);
static void try_to_send(struct end *e);

static void
note_trouble(void *owner, const char *text)
{
	struct end *e = owner;

	handoff__copy(e->trouble.text, sizeof(e->trouble.text), text);
	e->trouble_ms = handoff__zk_now_ms();
}

static void
trouble(struct end *e, const char *what, int rc)
{
	struct handoff__error error;

	handoff__fail(&error, -EIO,
		"zookeeper: cannot %s %.60s on %.60s: %.80s", what,
		e->nodes.notice, handoff__zk_server(&e->s),
		rc == ZNOAUTH ? "not allowed: it is of other credentials"
			      : zerror(rc));
	note_trouble(e, error.text);
}

/* Counts an answer; whether it is one, for somebody. */
static bool
is_answer(struct end *e, int rc)
{
	handoff__zk_answered(&e->s);
	return !e->s.closing && !handoff__zk_unanswered(rc);
}

static void
watch(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct end *e = arg;

	(void)zh;
	(void)state;
	(void)path;
	if (type != ZOO_SESSION_EVENT && !e->s.closing && e->s.connected)
		read_notice(e);
}

static void
exists(int rc, const struct Stat *stat, const void *data)
{
	struct end *e = (void *)data;

	(void)stat;
	if (!is_answer(e, rc))
		return;
	if (rc == ZOK)
		read_notice(e);
	else if (rc != ZNONODE)
		trouble(e, "watch", rc);
}

static void
take(struct end *e, const char *value, int len, const struct Stat *stat)
{
	bool is_new = !e->known || stat->mzxid != e->zxid;

	if (len < 0)
		len = 0;
	if ((size_t)len > sizeof(e->latest.data)) {
		trouble(e, "read", ZMARSHALLINGERROR);
		return;
	}
	/* a publisher that may read the notice, but nothing else, lacks all */
	if (!e->publishes || e->epoch_version >= 0)
		e->trouble.text[0] = '\0';
	e->known = true;
	e->zxid = stat->mzxid;
	e->version = stat->version;
	e->latest.len = (size_t)len;
	memcpy(e->latest.data, value ? value : "", (size_t)len);
	if (is_new && len > 0)
		e->fresh = true;
	e->s.woken = true;
}

static void
has_notice(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct end *e = (void *)data;

	if (!is_answer(e, rc))
		return;
	if (rc == ZOK) {
		take(e, value, len, stat);
		try_to_send(e);
	} else if (rc == ZNONODE)
		handoff__zk_asked(&e->s, zoo_awexists(e->s.zh, e->nodes.notice,
						 watch, e, exists, e));
	else
		trouble(e, "read", rc);
}

static void
read_notice(struct end *e)
{
	handoff__zk_asked(
		&e->s, zoo_awget(e->s.zh, e->nodes.notice,
			       e->publishes ? NULL : watch, e, has_notice, e));
}

static void
has_epoch(int rc, const char *value, int len, const struct Stat *stat,
	const void *data)
{
	struct end *e = (void *)data;

	if (!is_answer(e, rc))
		return;
	if (rc != ZOK || handoff__zk_number(value, len > 0 ? (size_t)len : 0,
				 &e->epoch) == 0) {
		trouble(e, "publish to", rc);
		return;
	}
	e->epoch_version = stat->version;
	try_to_send(e);
}

static void
synced(int rc, const char *path, const void *data)
{
	(void)path;
	is_answer((void *)data, rc);
}

/* What a publisher has to know. A server may be behind what a majority has. */
static void
read_for_publisher(struct end *e)
{
	e->epoch_version = e->version = -1;
	handoff__zk_asked(
		&e->s, zoo_async(e->s.zh, e->nodes.notice, synced, e));
	handoff__zk_asked(
		&e->s, zoo_aget(e->s.zh, e->nodes.epoch, 0, has_epoch, e));
	read_notice(e);
}

static void
changed(void *owner, enum handoff__zk_change change)
{
	struct end *e = owner;

	if (change != HANDOFF__ZK_CONNECTED) {
		if (e->sending == SENT)
			e->sending = WAITS;
		e->attempt++;
		/* the number of its change may come again if data were lost */
		if (change == HANDOFF__ZK_EXPIRED && !e->publishes)
			e->known = false;
		return;
	}
	if (!e->publishes) {
		read_notice(e);
		return;
	}
	handoff__zk_nodes_create(&e->nodes);
	read_for_publisher(e);
}

/* Publishing */

static void
end_sending(struct end *e, enum sending outcome)
{
	e->sending = outcome;
	e->s.woken = true;
}

static void
refuse(struct end *e, const char *what, uint64_t theirs, uint64_t ours)
{
	struct handoff__error error;

	handoff__fail(&error, -EPERM,
		"zookeeper: %.60s on %.60s: refused, since another owner has "
		"%s %llu: this one had %llu",
		e->nodes.notice, handoff__zk_server(&e->s), what,
		(unsigned long long)theirs, (unsigned long long)ours);
	note_trouble(e, error.text);
	end_sending(e, REFUSED);
}

/* Whether it is clear without asking what becomes of the message. */
static bool
is_decided(struct end *e)
{
	uint64_t token = e->notice.generation >> 32;
	struct handoff_notice there;

	if (token < e->epoch) {
		refuse(e, "the token", e->epoch, token);
		return true;
	}
	if (e->notice.generation == 0 ||
		handoff__notice_decode(&there, e->latest.data, e->latest.len) <
			0 ||
		handoff__notice_newer(&e->notice, &there))
		return false;
	if (handoff__notice_newer(&there, &e->notice))
		refuse(e, "published generation", there.generation,
			e->notice.generation);
	else /* the engine of the lease has published it already */
		end_sending(e, DONE);
	return true;
}

static void
sent(int rc, const void *data)
{
	struct attempt *a = (void *)data;
	struct end *e = a->e;
	bool current = a->number == e->attempt;
	int32_t version = a->stat.version;

	free(a);
	if (!is_answer(e, rc) || !current || e->sending != SENT)
		return;
	if (rc == ZOK) {
		e->trouble.text[0] = '\0';
		e->version = version;
		e->latest = e->out;
		end_sending(e, DONE);
	} else if (rc == ZBADVERSION) {
		e->sending = WAITS;
		read_for_publisher(e);
	} else {
		trouble(e, "publish to", rc);
		end_sending(e, FAILED);
	}
}

static void
try_to_send(struct end *e)
{
	struct attempt *a;
	zoo_op_t ops[2];

	if (e->sending != WAITS || !e->s.connected || e->epoch_version < 0 ||
		e->version < 0 || is_decided(e))
		return;
	a = calloc(1, sizeof(*a));
	if (!a) {
		end_sending(e, FAILED);
		return;
	}
	a->e = e;
	a->number = ++e->attempt;
	zoo_check_op_init(&ops[0], e->nodes.epoch, e->epoch_version);
	zoo_set_op_init(&ops[1], e->nodes.notice, (char *)e->out.data,
		(int)e->out.len, e->version, &a->stat);
	e->sending = SENT;
	if (handoff__zk_asked(&e->s,
		    zoo_amulti(e->s.zh, 2, ops, a->results, sent, a)) < 0) {
		free(a);
		e->sending = WAITS;
	}
}

/* The calls of the transport */

static int
open_place(struct end *e, const char *rest, struct handoff__error *error)
{
	int err = handoff__zk_place_parse(&e->place, rest, e->publishes, error);

	if (err < 0)
		return err;
	e->s.hosts = e->place.hosts;
	e->s.auth = e->place.auth;
	e->s.timeout_ms = TIMEOUT_MS;
	e->s.changed = changed;
	e->s.owner = e->nodes.owner = e;
	e->nodes.failed = note_trouble;
	e->epoch_version = e->version = -1;
	handoff__zk_nodes_init(&e->nodes, &e->place, &e->s);
	return handoff__zk_open(&e->s, NULL, error);
}

static int
notices_open(void **end, const char *rest,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	struct handoff__error error = {""};
	struct end *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return handoff__no_memory("zookeeper", errbuf, errbuf_size);
	e->publishes = side->publishes;
	err = open_place(e, rest, &error);
	if (err == 0) {
		*end = e;
		return 0;
	}
	handoff__error_copy(&error, errbuf, errbuf_size);
	handoff__zk_place_wipe(&e->place);
	free(e);
	return err;
}

static int
notices_fd(void *end)
{
	return ((struct end *)end)->s.epfd;
}

/* Tries again what an error has ended: a node may be there by now, or the
 * credentials may have been corrected. */
static void
do_what_is_due(struct end *e)
{

	handoff__zk_pump(&e->s);
	if (!e->s.connected || !e->trouble.text[0] || e->sending == REFUSED ||
		handoff__zk_now_ms() < e->trouble_ms + AGAIN_MS)
		return;
	e->trouble_ms = handoff__zk_now_ms();
	changed(e, HANDOFF__ZK_CONNECTED);
}

/* A publisher is asked at once for what there is now. */
static int
notices_tend(void *end)
{
	struct end *e = end;

	do_what_is_due(e);
	if (e->publishes)
		e->s.woken = false;
	handoff__zk_arm(&e->s);
	return 0;
}

static int
copy_out(const struct message *m, void *data, size_t *len)
{
	if (m->len > *len)
		return -EMSGSIZE;
	memcpy(data, m->data, m->len);
	*len = m->len;
	return 1;
}

static int
notices_receive(void *end, void *data, size_t *len)
{
	struct end *e = end;
	int rc;

	if (!e->fresh)
		do_what_is_due(e);
	rc = e->fresh ? copy_out(&e->latest, data, len) : 0;
	e->fresh = e->s.woken = false;
	handoff__zk_arm(&e->s);
	return rc;
}

static int
notices_retained(void *end, void *data, size_t *len)
{
	struct end *e = end;

	handoff__zk_pump(&e->s);
	e->s.woken = false;
	handoff__zk_arm(&e->s);
	if (!e->known)
		return -EAGAIN;
	return e->latest.len > 0 ? copy_out(&e->latest, data, len) : 0;
}

static int
notices_publish(void *end, const void *data, size_t len)
{
	struct end *e = end;

	if (len > sizeof(e->out.data))
		return -EMSGSIZE;
	memcpy(e->out.data, data, len);
	e->out.len = len;
	if (handoff__notice_decode(&e->notice, data, len) < 0)
		e->notice = (struct handoff_notice){0};
	e->sending = WAITS;
	try_to_send(e);
	handoff__zk_arm(&e->s);
	return 0;
}

static int
notices_step(void *end, unsigned max, struct handoff_transport_told *told)
{
	struct end *e = end;
	bool waits;

	handoff__zk_pump(&e->s);
	/* one that is left out is retained all the same */
	waits = e->sending == WAITS || e->sending == SENT;
	told->reached += e->sending == DONE;
	told->failed += e->sending == FAILED;
	told->refused += e->sending == REFUSED;
	if (!waits)
		e->sending = NOTHING;
	e->s.woken = false;
	handoff__zk_arm(&e->s);
	return waits && max > 0 ? -EAGAIN : 0;
}

static const char *
notices_state(void *end)
{
	struct end *e = end;

	if (e->trouble.text[0])
		return e->trouble.text;
	snprintf(e->state, sizeof(e->state), "%s %.200s",
		e->s.connected ? "connected to" : "connecting to",
		handoff__zk_server(&e->s));
	return e->state;
}

static void
notices_close(void *end)
{
	struct end *e = end;

	if (!e)
		return;
	handoff__zk_close(&e->s, true);
	handoff__zk_place_wipe(&e->place);
	free(e);
}

const struct handoff_transport handoff__zk_transport = {
	.size = sizeof(struct handoff_transport),
	.prefix = HANDOFF__ZK_PREFIX,
	.form = HANDOFF__ZK_FORM,
	.open = notices_open,
	.fd = notices_fd,
	.receive = notices_receive,
	.publish = notices_publish,
	.close = notices_close,
	.step = notices_step,
	.retained = notices_retained,
	.tend = notices_tend,
	.state = notices_state,
};
