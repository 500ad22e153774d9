/* SPDX-License-Identifier: MIT */
/*
 * Parses the lines about addresses in a status. An older peer, and a program
 * with listeners of its own, send none.
 */
#include "control/listeners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Returns the value if the line is "KEY VALUE", and its length; otherwise
 * NULL. */
static const char *
line_value(const char *line, const char *key, size_t *len)
{
	size_t key_len = strlen(key);

	if (strncmp(line, key, key_len) != 0 || line[key_len] != ' ')
		return NULL;
	*len = strcspn(line, "\n") - key_len - 1;
	return line + key_len + 1;
}

static const char *
next_status_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

unsigned long long
handoff__listeners_generation(const struct handoff__contact *peer)
{
	size_t len;

	for (const char *line = peer->body; line && *line;
		line = next_status_line(line)) {
		const char *value = line_value(line, "generation", &len);

		if (value)
			return strtoull(value, NULL, 10);
	}
	return 0;
}

static unsigned
add_lines(const struct handoff__contact *peer, const char *key,
	const char *before, const char *after, struct handoff__buf *buf)
{
	unsigned count = 0;
	size_t len;

	for (const char *line = peer->body; line && *line;
		line = next_status_line(line)) {
		const char *value = line_value(line, key, &len);

		if (!value)
			continue;
		handoff__buf_add(
			buf, "%s%.*s%s\n", before, (int)len, value, after);
		count++;
	}
	return count;
}

int
handoff__listeners_add(
	const struct handoff__contact *peer, struct handoff__buf *buf)
{
	unsigned failed;

	add_lines(peer, "opened", "opened ", "", buf);
	add_lines(peer, "closed", "closed ", "", buf);
	failed = add_lines(peer, "failed", "error ", "", buf);
	/* with all of its addresses open, only a backlog keeps the rest */
	add_lines(peer, "only-there", "kept ",
		failed > 0 ? ": to be closed when all addresses of this peer "
			     "are open"
			   : ": to be closed when there is room for the "
			     "clients in its backlog (--max-connections)",
		buf);
	return failed > 0 ? -EADDRNOTAVAIL : 0;
}
