/* SPDX-License-Identifier: MIT */
/*
 * What is told about a peer: status and reports, as text and as JSON.
 */
#include "peer/status.h"

#include "peer/peer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEFT_MOST 20 /* entries named one by one */

static const char *
role_of(const struct handoff__peer *peer)
{
	return peer->serving ? "owner" : "standby";
}

void
handoff__status_header(struct handoff__peer *peer, struct handoff__buf *buf)
{
	handoff__buf_add(buf, "ok %s %s %s %d\n", peer->config.service->name,
		peer->name, role_of(peer), (int)getpid());
}

static const char *
partner_state(const struct handoff__peer *peer)
{
	if (peer->pulse.hung)
		return "hung";
	switch (peer->partner) {
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
uncovered(const struct handoff__peer *peer)
{
	return peer->roster.uncovered;
}

/* Calls `add` for the name of each listener that this peer owns. */
static void
each_listener(struct handoff__peer *peer, struct handoff__buf *buf,
	void (*add)(struct handoff__buf *buf, const char *name, bool first))
{
	struct handoff__entry *e = NULL;
	bool first = true;

	while ((e = handoff__roster_next(&peer->roster, e))) {
		char name[HANDOFF_ADDRESS_MAX];

		if (e->kind != HANDOFF__LISTENER || !e->mine ||
			handoff__record_name(&e->view, name) < 0)
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
handoff__status_json(struct handoff__peer *peer, struct handoff__buf *buf)
{

	handoff__buf_add(buf,
		"{\"name\":\"%s\",\"pid\":%d,\"role\":\"%s\","
		"\"connections\":%u,\"held\":%u,\"listeners\":[",
		peer->name, (int)getpid(), role_of(peer),
		peer->roster.connections, peer->roster.copies);
	each_listener(peer, buf, add_json);
	handoff__buf_add(buf,
		"],\"generation\":%llu,\"uncovered\":%u,\"lagging\":%s,"
		"\"partner\":\"%s\"}\n",
		(unsigned long long)handoff__peer_generation(peer),
		uncovered(peer), peer->pulse.lagging ? "true" : "false",
		partner_state(peer));
}

void
handoff__status_text(struct handoff__peer *peer, struct handoff__buf *buf)
{
	char who[64];

	handoff__buf_add(buf, "%-16s pid %-8d %-8s generation %llu\n",
		peer->name, (int)getpid(), role_of(peer),
		(unsigned long long)handoff__peer_generation(peer));
	handoff__buf_add(
		buf, "  %-14s %u\n", "connections", peer->roster.connections);
	handoff__buf_add(
		buf, "  %-14s %u\n", "held copies", peer->roster.copies);
	if (peer->serving) {
		handoff__buf_add(buf, "  %-14s ", "listeners");
		each_listener(peer, buf, add_text);
		handoff__buf_add(buf, "\n");
	}
	handoff__buf_add(buf, "  %-14s %s%s%s%s\n", "other peer",
		peer->partner == HANDOFF__PARTNER_NONE
			? ""
			: handoff__peer_partner_text(peer, who),
		peer->partner == HANDOFF__PARTNER_NONE ? "" : ", ",
		partner_state(peer), peer->pulse.lagging ? ", lagging" : "");
	handoff__buf_add(buf, "  %-14s %u\n", "not covered", uncovered(peer));
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
handoff__report_text(struct handoff__peer *peer,
	const struct handoff__report *report, struct handoff__buf *buf)
{
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

void
handoff__report_refusal(struct handoff__peer *peer,
	const struct handoff__report *report, char *text, size_t size)
{
	char who[64];

	handoff__peer_partner_text(peer, who);
	if (report->reason == HANDOFF__UNANSWERED)
		snprintf(text, size,
			"%s has not answered within %u ms: nothing was moved; "
			"is it stopped?",
			who, peer->config.give_timeout_ms);
	else if (report->reason == HANDOFF__LEAVING)
		snprintf(text, size,
			"%s went away during the handoff: what it had taken "
			"comes back, nothing is lost",
			who);
	else
		snprintf(text, size, "%s refused: %s", who,
			handoff__reason_text(report->reason));
}
