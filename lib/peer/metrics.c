/* SPDX-License-Identifier: MIT */
/*
 * Exports the tally and the state of a peer as metrics. Counters start at 0
 * with the process and never decrease.
 */
#include "peer/metrics.h"

#include "peer/blame.h"
#include "peer/core.h"
#include "peer/doubt.h"
#include "peer/guard.h"
#include "peer/idle.h"
#include "peer/partner.h"
#include "peer/status.h"

#include <stdio.h>

#define LABELS 64

/* handoff__bounds_us in seconds, as text: formatting would follow the program's
 * locale, where a number may have a comma. */
static const char *const bounds[HANDOFF__BOUNDS] = {"0.0001", "0.00025",
	"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
	"0.25", "0.5", "1", "2.5", "5", "10"};

void
handoff__metrics_family(struct handoff__buf *buf, const char *name,
	const char *type, const char *help)
{
	handoff__buf_add(buf, "# HELP handoff_%s %s\n# TYPE handoff_%s %s\n",
		name, help, name, type);
}

/* Names of peers and services need no escapes (handoff__name_ok). */
static void
add_labels(const struct handoff__pair *pair, struct handoff__buf *buf,
	const char *name, const char *labels)
{
	handoff__buf_add(buf,
		"handoff_%s{service=\"%s\",peer=\"%s\",place=\"%d\"%s%s} ",
		name, pair->config.service->name, pair->name, pair->place,
		labels[0] ? "," : "", labels);
}

void
handoff__metrics_sample(const struct handoff__pair *pair,
	struct handoff__buf *buf, const char *name, const char *labels,
	uint64_t value)
{
	add_labels(pair, buf, name, labels);
	handoff__buf_add(buf, "%llu\n", (unsigned long long)value);
}

static void
single(const struct handoff__pair *pair, struct handoff__buf *buf,
	const char *name, const char *type, uint64_t value, const char *help)
{
	handoff__metrics_family(buf, name, type, help);
	handoff__metrics_sample(pair, buf, name, "", value);
}

/* Prints three or six decimals, depending on the unit. */
static void
seconds(const struct handoff__pair *pair, struct handoff__buf *buf,
	const char *name, const char *labels, uint64_t value, unsigned unit)
{
	add_labels(pair, buf, name, labels);
	handoff__buf_add(buf, "%llu.%0*llu\n",
		(unsigned long long)(value / unit), unit == 1000 ? 3 : 6,
		(unsigned long long)(value % unit));
}

void
handoff__metrics_seconds(const struct handoff__pair *pair,
	struct handoff__buf *buf, const char *name, const char *labels,
	uint64_t us)
{
	seconds(pair, buf, name, labels, us, 1000000);
}

static void
histogram(const struct handoff__pair *pair, struct handoff__buf *buf,
	const char *name, const char *label, const struct handoff__histogram *h)
{
	char full[LABELS], labels[LABELS];
	uint64_t below = 0;

	snprintf(full, sizeof(full), "%s_bucket", name);
	for (int i = 0; i < HANDOFF__BOUNDS; i++) {
		below += h->counts[i];
		snprintf(labels, sizeof(labels), "%s%sle=\"%s\"", label,
			label[0] ? "," : "", bounds[i]);
		handoff__metrics_sample(pair, buf, full, labels, below);
	}
	snprintf(labels, sizeof(labels), "%s%sle=\"+Inf\"", label,
		label[0] ? "," : "");
	handoff__metrics_sample(pair, buf, full, labels, h->count);
	snprintf(full, sizeof(full), "%s_sum", name);
	handoff__metrics_seconds(pair, buf, full, label, h->sum_us);
	snprintf(full, sizeof(full), "%s_count", name);
	handoff__metrics_sample(pair, buf, full, label, h->count);
}

/* Only of a service that has one. */
static void
add_lease_metrics(struct handoff__pair *pair, struct handoff__buf *buf)
{
	struct handoff__leased seen;

	if (!handoff__pair_lease_seen(pair, &seen))
		return;
	single(pair, buf, "lease_state", "gauge", seen.state,
		"The lease of this host: 1: candidate, 2: owner, 3: in doubt, "
		"4: lost.");
	single(pair, buf, "lease_token", "gauge", seen.token,
		"The token of the lease; 0: none.");
	handoff__metrics_family(buf, "lease_valid_seconds", "gauge",
		"How long this host may serve without another confirmation.");
	handoff__metrics_seconds(
		pair, buf, "lease_valid_seconds", "", seen.valid_ms * 1000);
	single(pair, buf, "lease_frozen", "gauge", seen.frozen,
		"Whether connections stand still, since the lease was not "
		"confirmed in time.");
	single(pair, buf, "lease_connected", "gauge", seen.connected,
		"Whether this peer keeps the lease and its engine answers.");
}

static void
add_state_metrics(struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__roster *roster = &pair->roster;
	const struct handoff__pulse *pulse = &pair->pulse;
	bool serves = handoff__idle_serves(pair);
	bool ready = pair->partner == HANDOFF__PARTNER_READY && !pulse->hung;

	single(pair, buf, "serving", "gauge", serves,
		"Whether this peer owns the service and may serve it.");
	single(pair, buf, "generation", "gauge", handoff__pair_generation(pair),
		"How often the service has changed hands, from 1.");
	single(pair, buf, "connections", "gauge", roster->connections,
		"Connections that this peer serves.");
	single(pair, buf, "held", "gauge", roster->copies,
		"Connections of the other peer that this one has a copy of.");
	single(pair, buf, "uncovered", "gauge", roster->uncovered,
		"Entries of this peer of which the other has no copy.");
	single(pair, buf, "suspects", "gauge", handoff__pair_suspects(pair),
		"Connections here whose handler has not returned since its "
		"process died.");
	single(pair, buf, "in_doubt", "gauge", handoff__pair_in_doubt(pair),
		"Connections that a ferry which died has left undecided.");
	single(pair, buf, "standby_attached", "gauge",
		serves && ready && !pair->other.carrier,
		"Whether this peer serves the service and has a standby that "
		"can, too.");
	single(pair, buf, "lagging", "gauge", pulse->lagging,
		"Whether the standby of this peer falls behind with its "
		"copies.");
	single(pair, buf, "hung", "gauge", pulse->hung,
		"Whether the other peer is silent although it lives.");
}

static void
add_ends(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	static const char *const ends[HANDOFF__ENDS] = {
		[HANDOFF__END_OTHER] = "reason=\"other\"",
		[HANDOFF__END_CLIENT] = "reason=\"client\"",
		[HANDOFF__END_SERVICE] = "reason=\"service\"",
		[HANDOFF__END_ERROR] = "reason=\"error\"",
		[HANDOFF__END_HANDLER] = "reason=\"handler\"",
		[HANDOFF__END_INPUT] = "reason=\"input\"",
		[HANDOFF__END_STOP] = "reason=\"stop\"",
		[HANDOFF__END_DEATH] = "reason=\"death\"",
		[HANDOFF__END_STATE] = "reason=\"state\"",
		[HANDOFF__END_POISON] = "reason=\"poison\"",
		[HANDOFF__END_SUSPECT] = "reason=\"suspect\"",
		[HANDOFF__END_DEADLINE] = "reason=\"deadline\"",
		[HANDOFF__END_POSTS] = "reason=\"posts\"",
		[HANDOFF__END_PROTOCOL] = "reason=\"protocol\"",
	};
	const struct handoff__tally *tally = &pair->tally;
	uint64_t other = tally->ended;

	handoff__metrics_family(buf, "closed_total", "counter",
		"Connections that ended here, by the reason.");
	for (int i = 1; i < HANDOFF__ENDS; i++) {
		if (!ends[i])
			continue;
		other -= tally->ends[i];
		handoff__metrics_sample(
			pair, buf, "closed_total", ends[i], tally->ends[i]);
	}
	handoff__metrics_sample(pair, buf, "closed_total", ends[0], other);
}

static void
add_connections(struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__tally *tally = &pair->tally;
	struct handoff__load all;

	single(pair, buf, "accepted_total", "counter", tally->begun,
		"Connections that began here.");
	add_ends(pair, buf);
	if (pair->config.streamless)
		return;
	handoff__tally_passed(pair, &all);
	single(pair, buf, "bytes_received_total", "counter", all.received,
		"Bytes that this peer has read from clients.");
	single(pair, buf, "bytes_sent_total", "counter", all.sent,
		"Bytes that this peer has written to clients.");
}

static const char *const directions[HANDOFF__WAYS] = {
	[HANDOFF__WAY_OUT] = "direction=\"gave\"",
	[HANDOFF__WAY_IN] = "direction=\"took\"",
};

/* Adds a counter for each direction; `more` may add labels. */
static void
by_direction(const struct handoff__pair *pair, struct handoff__buf *buf,
	const char *name, const char *more,
	const uint64_t counts[HANDOFF__WAYS])
{
	char labels[LABELS];

	for (int way = 0; way < HANDOFF__WAYS; way++) {
		snprintf(labels, sizeof(labels), "%s%s%s", directions[way],
			more[0] ? "," : "", more);
		handoff__metrics_sample(pair, buf, name, labels, counts[way]);
	}
}

static void
add_carried_metrics(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__tally *t = &pair->tally;
	uint64_t unread[] = {t->unread[HANDOFF__WAY_OUT] + t->returned.unread,
		t->unread[HANDOFF__WAY_IN]};
	uint64_t unsent[] = {t->unsent[HANDOFF__WAY_OUT] + t->returned.unsent,
		t->unsent[HANDOFF__WAY_IN]};

	handoff__metrics_family(buf, "carried_bytes_total", "counter",
		"Bytes that moved with them in buffers.");
	by_direction(
		pair, buf, "carried_bytes_total", "kind=\"unread\"", unread);
	by_direction(
		pair, buf, "carried_bytes_total", "kind=\"unsent\"", unsent);
}

static void
add_handoffs(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	static const char *const outcomes[HANDOFF__OUTCOMES] = {
		[HANDOFF__DONE] = "outcome=\"done\"",
		[HANDOFF__REFUSED] = "outcome=\"refused\"",
		[HANDOFF__BROKEN] = "outcome=\"broken\"",
	};
	const struct handoff__tally *t = &pair->tally;
	const uint64_t moved[] = {
		t->moved[HANDOFF__WAY_OUT] + t->returned.connections,
		t->moved[HANDOFF__WAY_IN]};

	handoff__metrics_family(buf, "handoffs_total", "counter",
		"Handoffs of this peer, by the direction and how they ended.");
	for (int i = 0; i < HANDOFF__OUTCOMES; i++) {
		const uint64_t counts[] = {t->handoffs[HANDOFF__WAY_OUT][i],
			t->handoffs[HANDOFF__WAY_IN][i]};

		by_direction(pair, buf, "handoffs_total", outcomes[i], counts);
	}
	handoff__metrics_family(buf, "moved_connections_total", "counter",
		"Connections that handoffs have moved from this peer or to "
		"it.");
	by_direction(pair, buf, "moved_connections_total", "", moved);
	handoff__metrics_family(buf, "returned_connections_total", "counter",
		"Those that were given, and came back since the other peer did "
		"not accept them.");
	handoff__metrics_sample(pair, buf, "returned_connections_total", "",
		t->returned.connections);
	if (!pair->config.streamless)
		add_carried_metrics(pair, buf);
	handoff__metrics_family(buf, "handoff_seconds", "histogram",
		"From the first entry that moved until all were served.");
	for (int way = 0; way < HANDOFF__WAYS; way++)
		histogram(pair, buf, "handoff_seconds", directions[way],
			&t->took[way]);
	if (pair->last.report.id == 0)
		return;
	handoff__metrics_family(buf, "last_handoff_timestamp_seconds", "gauge",
		"When anything last moved to or from this peer.");
	seconds(pair, buf, "last_handoff_timestamp_seconds", "",
		(uint64_t)pair->last.at_ms, 1000);
}

static void
add_left(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	static const struct {
		enum handoff__reason reason;
		const char *labels;
	} known[] = {
		{HANDOFF__BAD_STATE_VERSION, "reason=\"bad_state\""},
		{HANDOFF__TABLE_FULL, "reason=\"table_full\""},
		{HANDOFF__BAD_RECORD, "reason=\"bad_record\""},
		{HANDOFF__NO_MEMORY, "reason=\"no_memory\""},
		{HANDOFF__HANDLER_BUSY, "reason=\"handler_busy\""},
		{HANDOFF__UNANSWERED, "reason=\"unanswered\""},
		{HANDOFF__UNTAKEN, "reason=\"untaken\""},
		{HANDOFF__LEAVING, "reason=\"leaving\""},
	};
	uint64_t other = 0;

	handoff__metrics_family(buf, "left_behind_total", "counter",
		"Entries that a handoff by this peer has left behind, by the "
		"reason.");
	for (int i = 0; i < HANDOFF__REASONS; i++)
		other += pair->tally.left[i];
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint64_t count = pair->tally.left[known[i].reason];

		other -= count;
		handoff__metrics_sample(
			pair, buf, "left_behind_total", known[i].labels, count);
	}
	handoff__metrics_sample(
		pair, buf, "left_behind_total", "reason=\"other\"", other);
}

static void
add_deaths(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__tally *tally = &pair->tally;

	single(pair, buf, "failovers_total", "counter", tally->failovers.count,
		"Times that this peer took over what one that was gone had "
		"owned.");
	handoff__metrics_family(buf, "failover_seconds", "histogram",
		"From the certainty of that until all could be served.");
	histogram(pair, buf, "failover_seconds", "", &tally->failovers);
	single(pair, buf, "inherited_connections_total", "counter",
		tally->inherited, "Connections that were taken over then.");
	single(pair, buf, "repaired_total", "counter", tally->repaired,
		"Records with stale positions, after the death of a process.");
	single(pair, buf, "handler_deaths_total", "counter",
		tally->handler_deaths,
		"Connections whose handler ran when its process died.");
	single(pair, buf, "refused_peers_total", "counter", tally->refused,
		"Processes that wanted to join and could not.");
}

void
handoff__metrics(struct handoff__pair *pair, struct handoff__buf *buf)
{
	char labels[2 * LABELS];

	snprintf(labels, sizeof(labels), "version=\"%s\",model=\"%s\"",
		handoff_version(), handoff__status_model(pair));
	handoff__metrics_family(
		buf, "info", "gauge", "The peer; its value is always 1.");
	handoff__metrics_sample(pair, buf, "info", labels, 1);
	single(pair, buf, "workers", "gauge",
		pair->config.workers > 0 ? pair->config.workers : 1,
		"Threads that connections are spread over.");
	add_state_metrics(pair, buf);
	add_lease_metrics(pair, buf);
	add_connections(pair, buf);
	add_handoffs(pair, buf);
	add_left(pair, buf);
	add_deaths(pair, buf);
}
