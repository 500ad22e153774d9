/* SPDX-License-Identifier: MIT */
/*
 * What is told about a server: status and reports, as text and as JSON.
 */
#include "server/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEFT_MOST 20 /* entries named one by one */

static const char *
role_of(const struct handoff_server *server)
{
	return server->peer.serving ? "owner" : "standby";
}

void
handoff__status_header(struct handoff_server *server, struct handoff__buf *buf)
{
	handoff__buf_add(buf, "ok %s %s %s %d\n", server->opts.service->name,
		server->peer.name, role_of(server), (int)getpid());
}

static const char *
partner_state(const struct handoff_server *server)
{
	if (server->peer.pulse.hung)
		return "hung";
	switch (server->peer.partner) {
	case HANDOFF__PARTNER_READY:
		return "ready";
	case HANDOFF__PARTNER_GREETED:
		return "joining";
	case HANDOFF__PARTNER_DYING:
		return "dying";
	case HANDOFF__PARTNER_NONE:
		break;
	}
	return "none";
}

/* What would be lost if this process died now. */
static uint32_t
uncovered(const struct handoff_server *server)
{
	return server->peer.roster.uncovered;
}

/* Calls `add` for the name of each listener that this peer owns. */
static void
each_listener(struct handoff_server *server, struct handoff__buf *buf,
	void (*add)(struct handoff__buf *buf, const char *name, bool first))
{
	struct handoff__member *conn;
	bool first = true;

	TAILQ_FOREACH (conn, &server->listeners, node) {
		char name[HANDOFF_ADDRESS_MAX];

		if (!handoff__listen_name(conn, name))
			continue;
		add(buf, name, first);
		first = false;
	}
}

static void
add_json(struct handoff__buf *buf, const char *name, bool first)
{
	if (!first)
		handoff__buf_add(buf, ",");
	handoff__buf_json(buf, name);
}

static void
add_text(struct handoff__buf *buf, const char *name, bool first)
{
	handoff__buf_add(buf, first ? "%s" : ", %s", name);
}

void
handoff__status_json(struct handoff_server *server, struct handoff__buf *buf)
{
	const struct handoff__peer *peer = &server->peer;

	handoff__buf_add(buf,
		"{\"name\":\"%s\",\"pid\":%d,\"role\":\"%s\","
		"\"connections\":%u,\"held\":%u,\"listeners\":[",
		peer->name, (int)getpid(), role_of(server),
		peer->roster.connections, peer->roster.copies);
	each_listener(server, buf, add_json);
	handoff__buf_add(buf,
		"],\"generation\":%llu,\"uncovered\":%u,\"lagging\":%s,"
		"\"partner\":\"%s\"}\n",
		(unsigned long long)handoff__peer_generation(&server->peer),
		uncovered(server), peer->pulse.lagging ? "true" : "false",
		partner_state(server));
}

void
handoff__status_text(struct handoff_server *server, struct handoff__buf *buf)
{
	const struct handoff__peer *peer = &server->peer;
	char who[64];

	handoff__buf_add(buf, "%-16s pid %-8d %-8s generation %llu\n",
		peer->name, (int)getpid(), role_of(server),
		(unsigned long long)handoff__peer_generation(&server->peer));
	handoff__buf_add(
		buf, "  %-14s %u\n", "connections", peer->roster.connections);
	handoff__buf_add(
		buf, "  %-14s %u\n", "held copies", peer->roster.copies);
	if (peer->serving) {
		handoff__buf_add(buf, "  %-14s ", "listeners");
		each_listener(server, buf, add_text);
		handoff__buf_add(buf, "\n");
	}
	handoff__buf_add(buf, "  %-14s %s%s%s%s\n", "other peer",
		peer->partner == HANDOFF__PARTNER_NONE
			? ""
			: handoff__peer_partner_text(peer, who),
		peer->partner == HANDOFF__PARTNER_NONE ? "" : ", ",
		partner_state(server), peer->pulse.lagging ? ", lagging" : "");
	handoff__buf_add(buf, "  %-14s %u\n", "not covered", uncovered(server));
}

static void
add_left(struct handoff__buf *buf, const struct handoff__report *report)
{
	uint32_t named = report->nrefs < LEFT_MOST ? report->nrefs : LEFT_MOST;

	for (uint32_t i = 0; i < named; i++) {
		const struct handoff__ref *ref = &report->refs[i];
		bool conn = ref->id < (UINT64_C(1) << 63);

		handoff__buf_add(buf, "left behind: %s %llu: %s\n",
			conn ? "connection" : "descriptor",
			(unsigned long long)(ref->id & ~(UINT64_C(1) << 63)),
			handoff__reason_text((enum handoff__reason)ref->arg));
	}
	if (report->left > named)
		handoff__buf_add(buf, "left behind: and %u more\n",
			report->left - named);
}

/* `report` is of a give that was not refused. */
void
handoff__report_text(struct handoff_server *server,
	const struct handoff__report *report, struct handoff__buf *buf)
{
	const struct handoff__peer *peer = &server->peer;
	bool took = peer->serving;
	char who[64];

	handoff__buf_add(buf,
		"moved %u connection%s, %u listener%s %s %s in %u.%03u ms, %u "
		"left behind\n",
		report->moved, report->moved == 1 ? "" : "s", report->listeners,
		report->listeners == 1 ? "" : "s", took ? "from" : "to",
		handoff__peer_partner_text(peer, who), report->took_us / 1000,
		report->took_us % 1000, report->left);
	add_left(buf, report);
}
