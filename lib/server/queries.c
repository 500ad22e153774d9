/* SPDX-License-Identifier: MIT */
/*
 * Queries of the program about its server. Changes nothing.
 */
#include "server/internal.h"

#include <errno.h>
#include <string.h>

static int
listener_name(const struct handoff__member *member, char *address, size_t size)
{
	char name[HANDOFF_ADDRESS_MAX];

	if (handoff__record_name(&member->entry.view, name) < 0)
		return -EBADMSG;
	if (strlen(name) >= size)
		return -ENOBUFS;
	handoff__copy(address, size, name);
	return member->entry.fd;
}

int
handoff_server_listener(const struct handoff_server *server, size_t i,
	char *address, size_t size)
{
	const struct handoff__member *member;

	if (!server || !address)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	TAILQ_FOREACH (member, &server->listeners, node) {
		if (member->entry.mine && i-- == 0)
			return listener_name(member, address, size);
	}
	return -ENOENT;
}

int
handoff_server_extra(const struct handoff_server *server, const char *name)
{
	struct handoff__roster_entry *e = NULL;

	if (handoff__server_check(server) < 0 || !name)
		return name && server ? -EDEADLK : -EINVAL;
	while ((e = handoff__roster_next(&server->pair.roster, e))) {
		char text[HANDOFF_ADDRESS_MAX];

		if (e->kind == HANDOFF__EXTRA &&
			handoff__record_name(&e->view, text) == 0 &&
			strcmp(text, name) == 0)
			return e->fd;
	}
	return -ENOENT;
}

int
handoff_server_partner(const struct handoff_server *server)
{
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	return server->pair.partner == HANDOFF__PARTNER_NONE ||
			       server->pair.partner == HANDOFF__PARTNER_APART
		       ? -ENOTCONN
		       : (int)server->pair.other.pid;
}

int
handoff_server_left(
	struct handoff_server *server, const struct handoff_left **left)
{
	const struct handoff__roster_entry *entry;
	int rc = handoff__server_check(server);

	if (rc < 0 || !left)
		return rc < 0 ? rc : -EINVAL;
	rc = handoff__operator_left(&server->op, &entry);
	if (rc > 0)
		*left = &server->op.left;
	return rc;
}

const char *
handoff_server_errmsg(const struct handoff_server *server)
{
	if (!server)
		return "";
	return handoff__within(server) ? "a handler may only say lines"
				       : server->error.text;
}

bool
handoff_server_moving(const struct handoff_server *server)
{
	return server && !handoff__within(server) &&
	       (handoff__pair_moving(&server->pair) ||
		       (server->op.stopping && !server->op.ended));
}
