/* SPDX-License-Identifier: MIT */
/*
 * The addresses of listeners that a peer without any of its own, an alternate,
 * has lost with the lease: until they are open again, or another peer has
 * opened its own, they are its addresses. Opens nothing.
 */
#include "server/internal.h"

#include "base/addr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Its record may have another one's name by now, if the other peer has closed
 * it. */
static bool
address_of(const struct handoff__member *member, char name[HANDOFF_ADDRESS_MAX])
{
	struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(ss);

	if (getsockname(member->entry.fd, (struct sockaddr *)&ss, &len) < 0)
		return false;
	handoff__addr_format(
		(struct sockaddr *)&ss, len, name, HANDOFF_ADDRESS_MAX);
	return true;
}

void
handoff__inherited_keep(const struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	char name[HANDOFF_ADDRESS_MAX];
	size_t i = server->opts.nlisten;

	if (handoff__pair_holds(&server->pair) || server->was_passed ||
		(i > 0 && !server->inherited) || i == HANDOFF__LISTEN_MAX ||
		!address_of(member, name))
		return;
	server->listen[i] = strdup(name);
	if (!server->listen[i]) {
		handoff__log(&server->log, HANDOFF_LOG_ERROR,
			"address '%.120s': not opened again when this host has "
			"the lease: out of memory",
			name);
		return;
	}
	server->opts.listen = (const char *const *)server->listen;
	server->opts.nlisten = i + 1;
	server->addresses.missing[i] = false;
	server->inherited = true;
}

void
handoff__inherited_forget(struct handoff_server *server)
{
	if (!server->inherited)
		return;
	for (size_t i = 0; i < server->opts.nlisten; i++) {
		free(server->listen[i]);
		server->listen[i] = NULL;
		server->addresses.missing[i] = false;
	}
	server->opts.nlisten = 0;
	server->inherited = false;
}

bool
handoff__inherited_nothing(const struct handoff_server *server)
{
	return server->lease && server->pair.serving &&
	       handoff__pair_holds(&server->pair) &&
	       TAILQ_EMPTY(&server->listeners) &&
	       !handoff__server_listens(server);
}
