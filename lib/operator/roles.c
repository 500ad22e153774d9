/* SPDX-License-Identifier: MIT */
/*
 * Turns what the peer below reports into events for the program and replies to
 * waiting requests: this peer's role, the other peer, the outcome of a give.
 */
#include "operator/operator.h"

#include "operator/reply.h"
#include "peer/idle.h"
#include "peer/status.h"

#include <stdio.h>
#include <string.h>

void
handoff__operator_hung(struct handoff__pair *pair, const char *text)
{
	struct handoff__operator *op = pair->arg;
	struct handoff__facts facts = {.over = !pair->pulse.hung};

	handoff__operator_emit_with(
		op, op->ops->types.hung, &facts, "%s", text);
}

void
handoff__operator_lagging(struct handoff__pair *pair, const char *text)
{
	struct handoff__operator *op = pair->arg;
	struct handoff__facts facts = {.over = !pair->pulse.lagging};

	handoff__operator_emit_with(
		op, op->ops->types.lagging, &facts, "%s", text);
}

void
handoff__operator_apart(struct handoff__pair *pair, const char *text)
{
	struct handoff__operator *op = pair->arg;

	handoff__operator_emit(op, op->ops->types.apart, "%s", text);
}

void
handoff__operator_refused(struct handoff__pair *pair,
	enum handoff__reason reason, const char *text)
{
	struct handoff__operator *op = pair->arg;
	struct handoff__facts facts = {
		.reason = handoff__public_reason(reason)};

	handoff__operator_emit_with(
		op, op->ops->types.refused, &facts, "refused: %s", text);
}

void
handoff__operator_waits(struct handoff__operator *op)
{
	handoff__operator_emit(op, op->ops->types.waiting,
		"waiting: no owner is in %s yet", op->pair->dir.path);
}

/* What the other peer does, which owns the service. */
static const char *
standby_of(const struct handoff__pair *pair)
{
	if (pair->other.carrier)
		return "has the service, and serves nothing";
	switch (handoff__pair_idle(pair)) {
	case HANDOFF__IDLE_WAITS:
		return "waits for the lease, and serves nothing";
	case HANDOFF__IDLE_STILL:
		return "stands still until the lease is confirmed";
	case HANDOFF__IDLE_NOT:
		break;
	}
	return "serves";
}

void
handoff__operator_standby(struct handoff__operator *op, const char *remark)
{
	char who[64];

	handoff__operator_emit(op, op->ops->types.standby,
		"standby: %s %s (generation %llu)%s",
		handoff__pair_partner_text(op->pair, who), standby_of(op->pair),
		(unsigned long long)handoff__pair_generation(op->pair), remark);
}

void
handoff__operator_partner(
	struct handoff__operator *op, bool here, const char *remark)
{
	const struct handoff__pair *pair = op->pair;
	struct handoff__facts facts = {.died = !pair->survival.bye};
	char who[64];

	handoff__pair_partner_text(pair, who);
	if (!here)
		handoff__operator_emit_with(op, op->ops->types.left, &facts,
			"left: %s is gone", who);
	else if (pair->serving)
		handoff__operator_emit(op, op->ops->types.joined,
			"joined: %s is the standby", who);
	else if (pair->arena.count > 0)
		handoff__operator_standby(op, remark);
}

/* an event is one line: the first line of a report says the most */
static void
emit_report(struct handoff__operator *op, const struct handoff__facts *facts,
	const char *text)
{
	handoff__operator_emit_with(op, op->ops->types.gave, facts, "%s: %.*s",
		op->pair->serving ? "took" : "gave", (int)strcspn(text, "\n"),
		text);
}

static char *
refusal(struct handoff__operator *op, const struct handoff__facts *facts,
	const struct handoff__report *report)
{
	char why[HANDOFF_TEXT_MAX];

	handoff__report_refusal(op->pair, report, why, sizeof(why));
	handoff__operator_emit_with(
		op, op->ops->types.refused, facts, "refused: %s", why);
	return handoff__reply_failure(why);
}

/* Stores what the iteration over the entries left behind needs. */
static void
remember_end(struct handoff__operator *op, enum handoff__way way,
	const struct handoff__report *report)
{
	op->ends++;
	op->ended_way = way;
	op->ended_report = *report;
	if (op->stopping && way == HANDOFF__WAY_OUT)
		op->stop_moved += report->moved;
	if (op->stopping && way == HANDOFF__WAY_OUT &&
		report->reason == HANDOFF__OK)
		op->stop_gave |= report->cause == HANDOFF__MAINTENANCE;
}

void
handoff__operator_held(struct handoff__operator *op,
	const struct handoff__log *log, struct handoff__buf *body)
{
	const struct handoff__pair *pair = op->pair;
	uint32_t count = pair->roster.connections + pair->roster.copies;
	char who[64], text[HANDOFF_TEXT_MAX];

	if (!pair->other.carrier || pair->partner == HANDOFF__PARTNER_NONE ||
		(count == 0 && !op->stop_gave && !pair->serving))
		return;
	snprintf(text, sizeof(text),
		"%s holds the service and %u connection%s, and serves nothing: "
		"clients wait until a server is started here",
		handoff__pair_partner_text(pair, who), count,
		handoff__plural(count));
	handoff__log(log, HANDOFF_LOG_WARNING, "stop: %s", text);
	handoff__buf_add(body, "%s\n", text);
}

void
handoff__operator_given(struct handoff__operator *op, enum handoff__way way,
	const struct handoff__report *report)
{
	struct handoff__facts facts = {
		.reason = handoff__public_reason(report->reason)};
	struct handoff__buf buf = {0};
	size_t body;

	remember_end(op, way, report);
	facts.end = op->ends;
	handoff__outcome_of(way, report, &facts.outcome);
	if (report->reason != HANDOFF__OK) {
		handoff__waiting_reply(&op->moves, refusal(op, &facts, report));
		return;
	}
	handoff__status_header(op->pair, &buf);
	body = buf.len;
	handoff__report_text(op->pair, report, &buf);
	if (!buf.failed)
		emit_report(op, &facts, buf.data + body);
	if (op->moves.count > 0 && op->ops->remarks)
		op->ops->remarks(op->arg, report, &buf);
	handoff__waiting_reply(&op->moves, handoff__reply_text(&buf));
}
