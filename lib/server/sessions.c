/* SPDX-License-Identifier: MIT */
/*
 * What operators and monitors see of the sessions of this peer: how many there
 * are, and what has become of others. Reads what turns may be writing, and
 * never a token.
 */
#include "server/internal.h"

#include "session/session.h"

static bool
has_sessions(const struct handoff_server *server)
{
	struct handoff__session_limits limits;

	return handoff__session_limits(server->opts.service, &limits);
}

/* Those of this peer, the absent ones included. */
static uint32_t
count_sessions(const struct handoff_server *server)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	while ((e = handoff__roster_next(&server->pair.roster, e)))
		count += e->mine && e->kind == HANDOFF__CONNECTION &&
			 !handoff__older(e->view.seg) &&
			 atomic_load_explicit(&e->view.rec->extra.session,
				 memory_order_relaxed) != 0;
	return count;
}

void
handoff__sessions_status(const struct handoff_server *server, bool json,
	struct handoff__buf *buf)
{
	const struct handoff__resumes *r = &server->resumes;

	if (!has_sessions(server)) {
		handoff__buf_add(buf, "%s", json ? ",\"sessions\":null" : "");
		return;
	}
	if (json)
		handoff__buf_add(buf,
			",\"sessions\":{\"count\":%u,\"absent\":%u}",
			count_sessions(server), r->absent);
	else if (r->absent > 0)
		handoff__buf_add(buf,
			"absent %u\n"
			"! %s: %u session%s without a connection\n",
			r->absent, server->pair.name, r->absent,
			r->absent == 1 ? " is" : "s are");
}

static void
single(const struct handoff_server *server, struct handoff__buf *buf,
	const char *name, const char *type, uint64_t value, const char *help)
{
	handoff__metrics_family(buf, name, type, help);
	handoff__metrics_sample(&server->pair, buf, name, "", value);
}

void
handoff__sessions_metrics(
	const struct handoff_server *server, struct handoff__buf *buf)
{
	static const char *const reasons[] = {
		[HANDOFF__REFUSED_UNKNOWN] = "reason=\"unknown\"",
		[HANDOFF__REFUSED_BUSY] = "reason=\"busy\"",
		[HANDOFF__REFUSED_LIMIT] = "reason=\"limit\"",
		[HANDOFF__REFUSED_POSITION] = "reason=\"position\"",
	};
	const struct handoff__resumes *r = &server->resumes;

	if (!has_sessions(server))
		return;
	single(server, buf, "sessions", "gauge", count_sessions(server),
		"Sessions of clients that this peer has.");
	single(server, buf, "sessions_absent", "gauge", r->absent,
		"Those of them without a connection.");
	single(server, buf, "sessions_resumed_total", "counter", r->resumed,
		"Sessions that went on with another connection.");
	handoff__metrics_family(buf, "sessions_refused_total", "counter",
		"Connections that asked for a session and did not get it, by "
		"the reason.");
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i])
			handoff__metrics_sample(&server->pair, buf,
				"sessions_refused_total", reasons[i],
				r->refused[i]);
	}
	single(server, buf, "sessions_expired_total", "counter", r->expired,
		"Sessions that ended without a connection: their time was up, "
		"or there were too many.");
}
