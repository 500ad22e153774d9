/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a service: paths, access control lists, creation. Does not know
 * what they are used for.
 */
#include "zookeeper/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct ACL
entry(int perms, const char *scheme, const char *id)
{
	/* the client only reads them */
	return (struct ACL){
		.perms = perms,
		.id = {.scheme = (char *)scheme, .id = (char *)id},
	};
}

static void
set_acls(struct handoff__zk_nodes *n, const struct handoff__zk_place *place)
{
	int all = ZOO_PERM_ALL, below = ZOO_PERM_READ | ZOO_PERM_CREATE;
	bool anyone = strcmp(place->readers, "anyone") == 0;

	if (!place->auth[0]) {
		n->entries[0] = entry(all, "world", "anyone");
		n->acl = (struct ACL_vector){1, n->entries};
		n->top_acl = n->notice_acl = n->acl;
		return;
	}
	/* "auth" is for the server the digest of what the session has shown */
	n->entries[0] = entry(below, "world", "anyone");
	n->entries[1] = entry(all, "auth", "");
	n->entries[2] = entry(
		ZOO_PERM_READ, anyone ? "world" : "digest", place->readers);
	n->top_acl = (struct ACL_vector){2, n->entries};
	n->acl = (struct ACL_vector){1, n->entries + 1};
	n->notice_acl =
		(struct ACL_vector){place->readers[0] ? 2 : 1, n->entries + 1};
}

static void
set_path(char path[HANDOFF__ZK_PATH_MAX], const char *service, const char *name)
{
	snprintf(path, HANDOFF__ZK_PATH_MAX, HANDOFF__ZK_TOP "/%s%s", service,
		name);
}

void
handoff__zk_nodes_init(struct handoff__zk_nodes *n,
	const struct handoff__zk_place *place, struct handoff__zk_session *s)
{
	set_path(n->root, place->service, "");
	set_path(n->lock, place->service, "/lock");
	set_path(n->epoch, place->service, "/epoch");
	set_path(n->proof, place->service, "/proof");
	set_path(n->notice, place->service, "/notice");
	set_path(n->members, place->service, "/members");
	set_acls(n, place);
	n->s = s;
}

/* An inconsistency is of the client: an answer was not to its oldest request,
 * so it has broken the connection, and says that to all of them. */
bool
handoff__zk_unanswered(int rc)
{
	return rc == ZRUNTIMEINCONSISTENCY || rc == ZCONNECTIONLOSS ||
	       rc == ZOPERATIONTIMEOUT || rc == ZCLOSING ||
	       rc == ZSESSIONEXPIRED || rc == ZSESSIONMOVED ||
	       rc == ZAUTHFAILED;
}

size_t
handoff__zk_number(const char *data, size_t len, uint64_t *number)
{
	size_t i;

	*number = 0;
	for (i = 0; i < len && data[i] >= '0' && data[i] <= '9'; i++) {
		if (*number > UINT32_MAX)
			return 0;
		*number = *number * 10 + (uint64_t)(data[i] - '0');
	}
	return i;
}

static void
tell(struct handoff__zk_nodes *n, const char *what, const char *why)
{
	struct handoff__error error;

	handoff__fail(&error, -EACCES, "zookeeper: %s %.80s on %.60s: %.100s",
		what, n->root, handoff__zk_server(n->s), why);
	n->failed(n->owner, error.text);
}

static void
created(int rc, const char *path, const void *data)
{
	struct handoff__zk_nodes *n = (void *)data;

	(void)path;
	handoff__zk_answered(n->s);
	if (n->s->closing || rc == ZOK || rc == ZNODEEXISTS ||
		handoff__zk_unanswered(rc))
		return;
	tell(n, "cannot create the nodes of",
		rc == ZNOAUTH ? "not allowed: they, or /handoff, are of other "
				"credentials"
			      : zerror(rc));
}

/* An older node keeps the list that it was created with. */
static void
has_acl(int rc, struct ACL_vector *acl, struct Stat *stat, const void *data)
{
	struct handoff__zk_nodes *n = (void *)data;
	bool open = false;

	(void)stat;
	handoff__zk_answered(n->s);
	if (n->s->closing || rc != ZOK)
		return;
	for (int i = 0; i < acl->count; i++) {
		if (strcmp(acl->data[i].id.scheme, "world") == 0 &&
			(acl->data[i].perms & ~ZOO_PERM_READ) != 0)
			open = true;
	}
	if (open)
		tell(n, "anybody may write to",
			"the nodes were created "
			"without credentials: "
			"remove them");
}

void
handoff__zk_nodes_create(struct handoff__zk_nodes *n)
{
	const struct {
		const char *path, *data;
		const struct ACL_vector *acl;
	} nodes[] = {
		{HANDOFF__ZK_TOP, "", &n->top_acl},
		{n->root, "", &n->acl},
		{n->epoch, "0", &n->acl},
		{n->proof, "", &n->acl},
		{n->notice, "", &n->notice_acl},
		{n->members, "", &n->acl},
	};

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		handoff__zk_asked(
			n->s, zoo_acreate(n->s->zh, nodes[i].path,
				      nodes[i].data, (int)strlen(nodes[i].data),
				      nodes[i].acl, 0, created, n));
	if (n->acl.data != n->entries)
		handoff__zk_asked(
			n->s, zoo_aget_acl(n->s->zh, n->epoch, has_acl, n));
}
