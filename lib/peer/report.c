/* SPDX-License-Identifier: MIT */
/*
 * The report of one give: its outcome, why it was refused, and what was left
 * behind. Knows the report and the other peer's name, but not how a give works.
 */
#include "peer/report.h"

#include "peer/core.h"
#include "peer/partner.h"

#include <stdio.h>

#define LEFT_MOST 20 /* entries named individually */

static bool
is_connection(const struct handoff__ref *ref)
{
	return ref->id < UINT64_C(1) << 63;
}

static unsigned long long
ref_number(const struct handoff__ref *ref)
{
	return ref->id & ~(UINT64_C(1) << 63);
}

/* Looks up the kind and name of an entry that is no connection; false if it no
 * longer exists. */
static bool
other_of(const struct handoff__pair *pair, const struct handoff__ref *ref,
	enum handoff__kind *kind, char name[HANDOFF_ADDRESS_MAX])
{
	const struct handoff__record *rec =
		handoff__arena_record(&pair->arena, ref->segment, ref->slot);
	struct handoff__view view;

	if (!rec || handoff__record_id(rec) != ref->id)
		return false;
	handoff__view_make(
		&view, pair->arena.segments[ref->segment], ref->slot);
	*kind = rec->kind == HANDOFF__LISTENER || rec->kind == HANDOFF__DATA
			? (enum handoff__kind)rec->kind
			: HANDOFF__EXTRA;
	return handoff__record_name(&view, name) == 0;
}

enum handoff__kind
handoff__report_entry(const struct handoff__pair *pair,
	const struct handoff__ref *ref, char name[HANDOFF_ADDRESS_MAX])
{
	enum handoff__kind kind;

	name[0] = '\0';
	if (is_connection(ref))
		return HANDOFF__CONNECTION;
	return other_of(pair, ref, &kind, name) ? kind : HANDOFF__EXTRA;
}

static const char *
kind_text(enum handoff__kind kind)
{
	if (kind == HANDOFF__LISTENER)
		return "listener";
	return kind == HANDOFF__DATA ? "data" : "extra descriptor";
}

/* "connection 12", "listener 127.0.0.1:7000" */
static void
name_entry(const struct handoff__pair *pair, const struct handoff__ref *ref,
	struct handoff__buf *buf)
{
	char name[HANDOFF_ADDRESS_MAX];
	enum handoff__kind kind;

	if (is_connection(ref))
		handoff__buf_add(buf, "connection %llu", ref_number(ref));
	else if (other_of(pair, ref, &kind, name))
		handoff__buf_add(buf, "%s %s", kind_text(kind), name);
	else
		handoff__buf_add(buf, "descriptor %llu", ref_number(ref));
}

void
handoff__left_text(const struct handoff__pair *pair,
	const struct handoff__report *report, const char *indent,
	struct handoff__buf *buf)
{
	uint32_t named = report->nrefs < LEFT_MOST ? report->nrefs : LEFT_MOST;

	for (uint32_t i = 0; i < named; i++) {
		const struct handoff__ref *ref = &report->refs[i];

		handoff__buf_add(buf, "%s: ", indent);
		name_entry(pair, ref, buf);
		handoff__buf_add(buf, ": %s\n",
			handoff__reason_text((enum handoff__reason)ref->arg));
	}
	if (report->left > named)
		handoff__buf_add(
			buf, "%s: and %u more\n", indent, report->left - named);
}

void
handoff__left_json(const struct handoff__pair *pair,
	const struct handoff__report *report, struct handoff__buf *buf)
{
	char name[HANDOFF_ADDRESS_MAX];
	enum handoff__kind kind;

	for (uint32_t i = 0; i < report->nrefs; i++) {
		const struct handoff__ref *ref = &report->refs[i];

		handoff__buf_add(buf, "%s{\"%s\":%llu", i > 0 ? "," : "",
			is_connection(ref) ? "connection" : "descriptor",
			ref_number(ref));
		if (!is_connection(ref) && other_of(pair, ref, &kind, name)) {
			handoff__buf_add(buf, ",\"name\":");
			handoff__buf_json(buf, name);
		}
		handoff__buf_add(buf, ",\"reason\":\"%s\"}",
			handoff__reason_text((enum handoff__reason)ref->arg));
	}
}

void
handoff__report_text(struct handoff__pair *pair,
	const struct handoff__report *report, struct handoff__buf *buf)
{
	bool took = pair->serving;
	char who[64];

	handoff__buf_add(buf,
		"moved %u connection%s, %u listener%s %s %s in %u.%03u ms, %u "
		"left behind\n",
		report->moved, handoff__plural(report->moved),
		report->listeners, handoff__plural(report->listeners),
		took ? "from" : "to", handoff__pair_partner_text(pair, who),
		report->took_us / 1000, report->took_us % 1000, report->left);
	handoff__left_text(pair, report, "left behind", buf);
}

void
handoff__report_refusal(struct handoff__pair *pair,
	const struct handoff__report *report, char *text, size_t size)
{
	int64_t waited_us = handoff__now_us() - pair->move.began_us;
	char who[64];

	handoff__pair_partner_text(pair, who);
	if (report->reason == HANDOFF__UNREADY && pair->loading[0])
		snprintf(text, size,
			"not ready: %s, which is to give, is not ready to "
			"serve yet itself: %s: nothing was moved",
			pair->name, pair->loading);
	else if (report->reason == HANDOFF__UNREADY)
		snprintf(text, size,
			"not ready: %s is not ready to serve after %lld ms: "
			"%s: nothing was moved; try again later",
			who, (long long)waited_us / 1000, pair->other_loading);
	else if (report->reason == HANDOFF__UNANSWERED)
		snprintf(text, size,
			"%s has not answered within %lld ms: nothing was "
			"moved; is it stopped?",
			who, (long long)waited_us / 1000);
	else if (report->reason == HANDOFF__UNTAKEN)
		snprintf(text, size,
			"%s did not accept the offer in time: %s stays here; "
			"is it stopped?",
			who, report->id == 0 ? "everything" : "the rest");
	else if (report->reason == HANDOFF__LEAVING)
		snprintf(text, size,
			"%s is stopping, or the link to it broke: %s stays "
			"where it was",
			who, report->id == 0 ? "everything" : "the rest");
	else if (report->reason == HANDOFF__HANDLER_BUSY)
		snprintf(text, size,
			"%u entr%s not quiet within %lld ms: nothing was moved",
			report->left, report->left == 1 ? "y was" : "ies were",
			(long long)waited_us / 1000);
	else if (report->left > 0)
		snprintf(text, size,
			"%s cannot take %u of the entries: %s: nothing was "
			"moved",
			who, report->left,
			handoff__reason_text(report->reason));
	else
		snprintf(text, size, "%s refused: %s", who,
			handoff__reason_text(report->reason));
}
