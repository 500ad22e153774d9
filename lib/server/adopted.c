/* SPDX-License-Identifier: MIT */
/*
 * Listeners opened by another process and passed in. The owner enters them
 * beside those that it binds; a standby keeps them in case the service ends and
 * it has to start it.
 */
#include "server/internal.h"

#include "base/addr.h"
#include "base/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
open_adopted(struct handoff_server *server, size_t i)
{
	struct handoff__adopted *a = &server->adopted[server->nadopted];
	struct handoff_listen_fd given;
	struct handoff__addr addr;
	int err = handoff__opts_listen_fd(&server->opts, i, &given);

	if (err >= 0 && given.address)
		err = handoff__addr_parse(&addr, given.address, &server->error);
	if (err >= 0)
		err = handoff__adopt(given.fd, a->address, &server->error);
	if (err < 0)
		return err;
	a->fd = err;
	a->missing = true;
	server->nadopted++;
	server->was_passed = true;
	if (given.address)
		handoff__copy(a->address, sizeof(a->address), given.address);
	return 0;
}

int
handoff__adopted_open(struct handoff_server *server)
{
	size_t count = server->opts.nlisten_fds;
	int err = 0;

	if (count == 0)
		return 0;
	server->adopted = calloc(count, sizeof(*server->adopted));
	if (!server->adopted)
		return handoff__fail(
			&server->error, -ENOMEM, "server: out of memory");
	for (size_t i = 0; i < count && err >= 0; i++)
		err = open_adopted(server, i);
	return err;
}

bool
handoff__adopted_has(const struct handoff_server *server, const char *address)
{
	for (size_t i = 0; i < server->nadopted; i++) {
		if (handoff__adopt_is(server->adopted[i].fd, address))
			return true;
	}
	return false;
}

static int
enter_one(struct handoff_server *server, struct handoff__adopted *a)
{
	int err, fd = a->fd;
	struct handoff__roster_entry *e;

	a->fd = -1;
	e = handoff__pair_enter(
		&server->pair, fd, HANDOFF__LISTENER, a->address, &err);
	if (!e)
		return handoff__fail(&server->error, err,
			"address '%.120s': cannot be entered: %s", a->address,
			strerror(-err));
	handoff__record_flag(&e->view, HANDOFF__ADOPTED);
	handoff__member_of(e)->wanted = handoff__member_of(e)->fresh = true;
	handoff__operator_emit(&server->op, HANDOFF_SERVER_LISTENING,
		"listening on %s (passed in)", a->address);
	return 0;
}

int
handoff__adopted_enter(struct handoff_server *server)
{
	bool left = false;
	int err = 0;

	for (size_t i = 0; i < server->nadopted && err >= 0; i++) {
		struct handoff__adopted *a = &server->adopted[i];

		if (a->fd >= 0 && a->missing)
			err = enter_one(server, a);
		left |= a->fd >= 0;
	}
	if (err >= 0 && !left)
		handoff__adopted_close(server);
	return err;
}

void
handoff__adopted_close(struct handoff_server *server)
{
	for (size_t i = 0; i < server->nadopted; i++) {
		if (server->adopted[i].fd >= 0)
			close(server->adopted[i].fd);
	}
	free(server->adopted);
	server->adopted = NULL;
	server->nadopted = 0;
}
