/* SPDX-License-Identifier: MIT */
/*
 * An operator's lines, from the console or `handoffctl say`: parses the
 * recipient, and lists the connections. Does not know where a line comes from.
 */
#include "server/internal.h"

#include "base/addr.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static void
list_one(struct handoff_server *server, const struct handoff__roster_entry *e,
	struct handoff__buf *buf)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char peer[HANDOFF_ADDRESS_MAX] = "?";

	if (getpeername(e->fd, (struct sockaddr *)&addr, &len) == 0)
		handoff__addr_format(
			(struct sockaddr *)&addr, len, peer, sizeof(peer));
	handoff__buf_add(buf, "%llu %s %s\n", (unsigned long long)e->id, peer,
		e->mine ? server->pair.name : server->pair.other.name);
}

void
handoff__says_list(struct handoff_server *server, struct handoff__buf *buf)
{
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(roster, e))) {
		if (e->kind == HANDOFF__CONNECTION)
			list_one(server, e, buf);
	}
}

bool
handoff__says_to_any(struct handoff_server *server)
{
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(roster, e))) {
		if (e->kind == HANDOFF__CONNECTION)
			return true;
	}
	return false;
}

/* Parses "@3 text", "@@text" and "text": recipient and text. Negative:
 * neither. */
static int
address(const char *line, uint64_t *id, const char **text)
{
	char *end;

	*id = 0;
	*text = line;
	if (line[0] != '@')
		return 0;
	if (line[1] == '@') {
		*text = line + 1;
		return 0;
	}
	errno = 0;
	*id = strtoull(line + 1, &end, 10);
	if (line[1] < '0' || line[1] > '9' || errno || *id == 0 ||
		(*end != ' ' && *end != '\0'))
		return -EINVAL;
	*text = *end ? end + 1 : end;
	return 0;
}

int
handoff__says_line(struct handoff_server *server, const char *line)
{
	const char *text;
	uint64_t id;

	if (address(line, &id, &text) < 0)
		return handoff__fail(&server->error, -EINVAL,
			"say: '%.40s': want TEXT, @NUMBER TEXT or @list (@@ "
			"for "
			"a text that begins with @)",
			line);
	return handoff_server_say(server, id, text);
}
