/* SPDX-License-Identifier: MIT */
/*
 * The status of a peer, as text and as JSON. Changes nothing.
 */
#include "peer/status.h"

#include "base/build.h"
#include "peer/away.h"
#include "peer/blame.h"
#include "peer/core.h"
#include "peer/doubt.h"
#include "peer/guard.h"
#include "peer/last.h"
#include "peer/partner.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *
role_of(const struct handoff__pair *pair)
{
	return pair->serving ? "owner" : "standby";
}

/* A carrier may not know yet which service it is for. */
void
handoff__status_header(struct handoff__pair *pair, struct handoff__buf *buf)
{
	const char *service = pair->config.service->name;

	handoff__buf_add(buf, "ok %s %s %s %d\n", service[0] ? service : "-",
		pair->name, role_of(pair), (int)getpid());
}

static const char *
partner_state(const struct handoff__pair *pair)
{
	if (pair->pulse.hung)
		return "hung";
	switch (pair->partner) {
	case HANDOFF__PARTNER_READY:
		return pair->other_loading[0] ? "loading" : "ready";
	case HANDOFF__PARTNER_GREETED:
		return "joining";
	case HANDOFF__PARTNER_APART:
		return "apart";
	case HANDOFF__PARTNER_NONE:
		break;
	}
	return "none";
}

/* Entries that would be lost if this process died now. */
static uint32_t
uncovered(const struct handoff__pair *pair)
{
	return pair->roster.uncovered;
}

/* Calls `add` for the name of each listener that this peer owns. */
static void
each_listener(struct handoff__pair *pair, struct handoff__buf *buf,
	void (*add)(struct handoff__buf *buf, const char *name, bool first))
{
	struct handoff__roster_entry *e = NULL;
	bool first = true;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		char name[HANDOFF_ADDRESS_MAX];

		if (e->kind != HANDOFF__LISTENER || !e->mine ||
			handoff__record_name(&e->view, name) < 0)
			continue;
		add(buf, name, first);
		first = false;
	}
}

static void
add_name_json(struct handoff__buf *buf, const char *name, bool first)
{
	if (!first)
		handoff__buf_add(buf, ",");
	handoff__buf_json(buf, name);
}

/* A path may contain a newline, which would end the line. */
static void
add_text(struct handoff__buf *buf, const char *name, bool first)
{
	char text[HANDOFF_ADDRESS_MAX];

	(void)first;
	handoff__copy(text, sizeof(text), name);
	text[strcspn(text, "\n")] = '\0';
	handoff__buf_add(buf, "listener %s\n", text);
}

const char *
handoff__status_model(const struct handoff__pair *pair)
{
	if (pair->config.carrier)
		return "ferry";
	return pair->config.model ? pair->config.model : "own";
}

static uint32_t
workers_of(const struct handoff__pair *pair)
{
	return pair->config.workers > 0 ? pair->config.workers : 1;
}

static void
add_away_json(struct handoff__pair *pair, struct handoff__buf *buf)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);

	if (!handoff__pair_away(pair)) {
		handoff__buf_add(buf, "null");
		return;
	}
	handoff__buf_add(buf, "{\"since_ms\":%lld,\"failover\":%s,\"home\":",
		(long long)atomic_load(&board->away_ms),
		atomic_load(&board->away) == HANDOFF__AWAY_FAILOVER ? "true"
								    : "false");
	handoff__buf_json(buf, board->home);
	handoff__buf_add(buf, "}");
}

static bool
is_lacking(const struct handoff__pair *pair, unsigned lack)
{
	return (pair->lacks >> lack & 1u) != 0;
}

void
handoff__status_lacks(const struct handoff__pair *pair)
{
	for (unsigned i = 0; i < HANDOFF__LACKS; i++) {
		if (is_lacking(pair, i))
			handoff__log(pair->log, HANDOFF_LOG_WARNING,
				"survival: not promised: %s",
				handoff__lack_text((enum handoff__lack)i));
	}
}

static void
add_lacks_text(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	for (unsigned i = 0; i < HANDOFF__LACKS; i++) {
		if (is_lacking(pair, i))
			handoff__buf_add(buf, "survival not promised: %s\n",
				handoff__lack_text((enum handoff__lack)i));
	}
}

static void
add_lacks_json(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const char *comma = "";

	for (unsigned i = 0; i < HANDOFF__LACKS; i++) {
		if (!is_lacking(pair, i))
			continue;
		handoff__buf_add(buf, "%s\"%s\"", comma,
			handoff__lack_word((enum handoff__lack)i));
		comma = ",";
	}
}

/* Which program this is: of which library, which build, and since when. */
static void
add_program_json(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	char id[HANDOFF__BUILD_MAX];

	handoff__build_id(id);
	handoff__buf_add(buf,
		",\"version\":\"%s\",\"build\":\"%s\",\"started_ms\":%lld",
		handoff_version(), id, (long long)pair->started_ms);
}

static void
add_program_text(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	time_t at = (time_t)(pair->started_ms / 1000);
	char id[HANDOFF__BUILD_MAX], since[32];
	struct tm tm;

	handoff__build_id(id);
	localtime_r(&at, &tm);
	strftime(since, sizeof(since), "%F %T", &tm);
	handoff__buf_add(buf, "! %s: libhandoff %s%s%.8s, started %s\n",
		pair->name, handoff_version(), id[0] ? ", build " : "", id,
		since);
}

void
handoff__status_json(struct handoff__pair *pair, struct handoff__buf *buf)
{
	handoff__buf_add(buf,
		"{\"name\":\"%s\",\"pid\":%d,\"role\":\"%s\","
		"\"connections\":%u,\"held\":%u,\"listeners\":[",
		pair->name, (int)getpid(), role_of(pair),
		pair->roster.connections, pair->roster.copies);
	each_listener(pair, buf, add_name_json);
	handoff__buf_add(buf,
		"],\"generation\":%llu,\"uncovered\":%u,\"lagging\":%s,"
		"\"partner\":\"%s\",\"model\":\"%s\",\"workers\":%u,"
		"\"carrier\":%s,\"in_doubt\":%u,"
		"\"suspects\":%u,\"ended_as_poison\":%llu,"
		"\"ended_as_suspect\":%llu,\"survival_lacks\":[",
		(unsigned long long)handoff__pair_generation(pair),
		uncovered(pair), pair->pulse.lagging ? "true" : "false",
		partner_state(pair), handoff__status_model(pair),
		workers_of(pair), pair->other.carrier ? "true" : "false",
		handoff__pair_in_doubt(pair), handoff__pair_suspects(pair),
		(unsigned long long)pair->tally.ends[HANDOFF__END_POISON],
		(unsigned long long)pair->tally.ends[HANDOFF__END_SUSPECT]);
	add_lacks_json(pair, buf);
	handoff__buf_add(buf, "]");
	add_program_json(pair, buf);
	handoff__buf_add(buf, ",\"loading\":");
	handoff__buf_json(buf, pair->loading);
	handoff__buf_add(buf, ",\"maintenance\":");
	add_away_json(pair, buf);
	handoff__buf_add(buf, ",\"lease\":");
	handoff__pair_lease_json(pair, buf);
	handoff__buf_add(buf, ",\"last_handoff\":");
	handoff__last_json(pair, buf);
}

/* Printed only if there are any. */
static void
add_doubt(struct handoff__pair *pair, struct handoff__buf *buf)
{
	uint32_t count = handoff__pair_in_doubt(pair);

	if (count > 0)
		handoff__buf_add(buf,
			"in_doubt %u\n"
			"! %s: %u connection%s in doubt: a ferry died before "
			"it knew whether the other host still serves %s: start "
			"a ferry again\n",
			count, pair->name, count, count == 1 ? " is" : "s are",
			count == 1 ? "it" : "them");
}

/* Printed only if there are any. */
static void
add_suspects(struct handoff__pair *pair, struct handoff__buf *buf)
{
	const uint64_t *ends = pair->tally.ends;
	uint32_t suspects = handoff__pair_suspects(pair);

	handoff__buf_add(buf, "suspects %u\n", suspects);
	if (suspects > 0)
		handoff__buf_add(buf,
			"! %s: %u connection%s suspected: the handler ran when "
			"its process died, and it waits to be tried\n",
			pair->name, suspects, suspects == 1 ? " is" : "s are");
	if (ends[HANDOFF__END_POISON] + ends[HANDOFF__END_SUSPECT] > 0)
		handoff__buf_add(buf,
			"! %s: ended for a death in the handler: %llu the "
			"second time, %llu without a standby to try it "
			"beside\n",
			pair->name,
			(unsigned long long)ends[HANDOFF__END_POISON],
			(unsigned long long)ends[HANDOFF__END_SUSPECT]);
}

void
handoff__status_text(struct handoff__pair *pair, struct handoff__buf *buf)
{
	char away[160];

	handoff__buf_add(buf,
		"model %s\nworkers %u\nconnections %u\nheld %u\n"
		"generation %llu\nuncovered %u\nlagging %s\npartner %s\n",
		handoff__status_model(pair), workers_of(pair),
		pair->roster.connections, pair->roster.copies,
		(unsigned long long)handoff__pair_generation(pair),
		uncovered(pair), pair->pulse.lagging ? "yes" : "no",
		partner_state(pair));
	add_program_text(pair, buf);
	if (pair->other.carrier)
		handoff__buf_add(buf, "ferry %s\n", pair->other.name);
	if (pair->loading[0])
		handoff__buf_add(buf,
			"loading %s\n! %s: not ready to serve yet: %s\n",
			pair->loading, pair->name, pair->loading);
	add_suspects(pair, buf);
	add_doubt(pair, buf);
	each_listener(pair, buf, add_text);
	handoff__pair_away_text(pair, away, sizeof(away));
	if (away[0])
		handoff__buf_add(buf, "away %s\n", away);
	handoff__pair_lease_text(pair, buf);
	add_lacks_text(pair, buf);
	handoff__last_text(pair, buf);
}
