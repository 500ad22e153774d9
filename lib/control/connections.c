/* SPDX-License-Identifier: MIT */
/*
 * Formats lists of connections. A line of an answer is "ID ADDRESS SINCE_MS
 * RECEIVED SENT LABEL"; the last one says how many are left out.
 */
#include "control/connections.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct line {
	unsigned long long id, received, sent;
	long long since_ms;
	char address[HANDOFF_ADDRESS_MAX];
	const char *label;
	int label_len;
};

/* False at the end, and at a line of another form. */
static bool
next_line(const char **at, struct line *line)
{
	const char *end = strchrnul(*at, '\n');
	int label = 0;

	if (sscanf(*at, "%llu %127s %lld %llu %llu %n", &line->id,
		    line->address, &line->since_ms, &line->received,
		    &line->sent, &label) < 5 ||
		label == 0)
		return false;
	/* an empty label: %n is behind the newline */
	line->label = *at + label < end ? *at + label : end;
	line->label_len = (int)(end - line->label);
	*at = *end ? end + 1 : end;
	return true;
}

static unsigned long long
omitted(const char *at)
{
	unsigned long long count = 0;

	return sscanf(at, "omitted %llu", &count) == 1 ? count : 0;
}

static void
format_time(long long ms, char text[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (ms <= 0 || !gmtime_r(&seconds, &tm) ||
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, 32, "-");
}

/* The widths of the columns that differ most. */
static void
measure(const struct handoff__contact *peers, size_t npeers, int *peer,
	int *address)
{
	struct line line;

	*peer = 4;
	*address = 6;
	for (size_t i = 0; i < npeers; i++) {
		const char *at = peers[i].role[0] ? peers[i].body : "";
		int len = (int)strlen(peers[i].name);

		*peer = len > *peer ? len : *peer;
		while (next_line(&at, &line)) {
			len = (int)strlen(line.address);
			*address = len > *address ? len : *address;
		}
	}
}

static void
add_rows(const struct handoff__contact *peer, int wide, int address,
	struct handoff__buf *buf)
{
	const char *at = peer->role[0] ? peer->body : "";
	unsigned long long more;
	struct line line;
	char since[32];

	while (next_line(&at, &line)) {
		format_time(line.since_ms, since);
		handoff__buf_add(buf,
			"%-*s  %8llu  %-*s  %-20s  %12llu  %12llu  %.*s\n",
			wide, peer->name, line.id, address, line.address, since,
			line.received, line.sent, line.label_len, line.label);
	}
	more = omitted(at);
	if (more > 0)
		handoff__buf_add(buf, "%s: %llu more connection%s not listed\n",
			peer->name, more, more == 1 ? " is" : "s are");
	if (!peer->role[0])
		handoff__buf_add(buf, "%s: unresponsive\n", peer->name);
}

void
handoff__connections(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	int wide, address;

	measure(peers, npeers, &wide, &address);
	handoff__buf_add(buf, "%-*s  %8s  %-*s  %-20s  %12s  %12s  %s\n", wide,
		"PEER", "ID", address, "CLIENT", "SINCE", "RECEIVED", "SENT",
		"LABEL");
	for (size_t i = 0; i < npeers; i++)
		add_rows(&peers[i], wide, address, buf);
}
