/* SPDX-License-Identifier: MIT */
/*
 * Counts what a peer does, remembers the last handoff and logs it: one line in
 * each peer, with the same number in both. metrics.c and last.c export the
 * counts.
 */
#include "peer/tally.h"

#include "peer/core.h"
#include "peer/partner.h"
#include "peer/report.h"

#include <stdio.h>
#include <time.h>

#define CARRIED_MAX 96

/* The text about bytes, after `before`: nothing if the program keeps the
 * streams itself. */
static const char *
carried(const struct handoff__pair *pair, const char *before, uint64_t unread,
	uint64_t unsent, char text[CARRIED_MAX])
{
	text[0] = '\0';
	if (!pair->config.streamless)
		snprintf(text, CARRIED_MAX,
			"%s %llu byte%s unread, %llu unsent", before,
			(unsigned long long)unread, handoff__plural(unread),
			(unsigned long long)unsent);
	return text;
}

const uint32_t handoff__bounds_us[HANDOFF__BOUNDS + 1] = {100, 250, 500, 1000,
	2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000,
	2500000, 5000000, 10000000, 0};

void
handoff__histogram_add(struct handoff__histogram *h, uint32_t us)
{
	h->count++;
	h->sum_us += us;
	for (int i = 0; i < HANDOFF__BOUNDS; i++) {
		if (us <= handoff__bounds_us[i]) {
			h->counts[i]++;
			return;
		}
	}
}

void
handoff__tally_trace(struct handoff__pair *pair,
	const struct handoff__roster_entry *e, const char *what, uint64_t id,
	const struct handoff__load *load)
{
	char who[64], bytes[CARRIED_MAX];

	if (e->kind != HANDOFF__CONNECTION)
		return;
	handoff__log(pair->log, HANDOFF_LOG_DEBUG,
		"handoff %llu: connection %llu: %s %s%s",
		(unsigned long long)id, (unsigned long long)e->id, what,
		handoff__pair_partner_text(pair, who),
		carried(pair, ", with", load->unread, load->unsent, bytes));
}

void
handoff__tally_begun(
	struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	if (e->kind != HANDOFF__CONNECTION)
		return;
	pair->tally.begun++;
	if (pair->config.trace)
		handoff__log(pair->log, HANDOFF_LOG_DEBUG,
			"connection %llu: begins", (unsigned long long)e->id);
}

void
handoff__tally_ended(
	struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	struct handoff__load load;
	char bytes[CARRIED_MAX] = "";

	if (e->kind != HANDOFF__CONNECTION)
		return;
	handoff__load_of(e, &load);
	pair->tally.ended++;
	pair->tally.received += load.received;
	pair->tally.sent += load.sent;
	if (!pair->config.trace)
		return;
	if (!pair->config.streamless)
		snprintf(bytes, sizeof(bytes),
			" after %llu byte%s received, %llu sent",
			(unsigned long long)load.received,
			handoff__plural(load.received),
			(unsigned long long)load.sent);
	handoff__log(pair->log, HANDOFF_LOG_DEBUG, "connection %llu: ends%s",
		(unsigned long long)e->id, bytes);
}

void
handoff__tally_moved(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__moved *moved, struct handoff__report *report)
{
	const struct handoff__load *load = &moved->load;
	struct handoff__tally *tally = &pair->tally;

	tally->moved[way] += moved->connections;
	tally->unread[way] += load->unread;
	tally->unsent[way] += load->unsent;
	if (way == HANDOFF__WAY_OUT) {
		tally->received += load->received;
		tally->sent += load->sent;
	} else {
		tally->received -= load->received;
		tally->sent -= load->sent;
	}
	report->moved += moved->connections;
	report->listeners += moved->listeners;
	report->unread += load->unread;
	report->unsent += load->unsent;
}

void
handoff__tally_unmoved(struct handoff__pair *pair,
	const struct handoff__moved *moved, struct handoff__report *report)
{
	const struct handoff__load *load = &moved->load;
	struct handoff__tally *tally = &pair->tally;

	tally->moved[HANDOFF__WAY_OUT] -= moved->connections;
	tally->unread[HANDOFF__WAY_OUT] -= load->unread;
	tally->unsent[HANDOFF__WAY_OUT] -= load->unsent;
	tally->returned.connections += moved->connections;
	tally->returned.unread += load->unread;
	tally->returned.unsent += load->unsent;
	tally->received -= load->received;
	tally->sent -= load->sent;
	report->moved -= moved->connections;
	report->listeners -= moved->listeners;
	report->unread -= load->unread;
	report->unsent -= load->unsent;
}

void
handoff__tally_inherited(
	struct handoff__pair *pair, const struct handoff__moved *moved)
{
	pair->tally.inherited += moved->connections;
	pair->tally.received -= moved->load.received;
	pair->tally.sent -= moved->load.sent;
}

void
handoff__tally_left(struct handoff__pair *pair, enum handoff__reason reason)
{
	pair->tally.left[reason < HANDOFF__REASONS ? reason : 0]++;
}

static void
remember(struct handoff__pair *pair, enum handoff__way way, bool death,
	const struct handoff__report *report)
{
	struct handoff__last *last = &pair->last;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	last->report = *report;
	last->way = way;
	last->death = death;
	last->at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	handoff__copy(last->other, sizeof(last->other), pair->other.name);
	last->other_pid = pair->other.pid;
}

static void
log_handoff(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__report *r)
{
	const char *verb = way == HANDOFF__WAY_OUT ? "gave" : "took";
	const char *whom = way == HANDOFF__WAY_OUT ? "to" : "from";
	char who[64], load[CARRIED_MAX];

	handoff__log(pair->log, HANDOFF_LOG_INFO,
		"handoff %llu: %s %u connection%s, %u listener%s %s %s in "
		"%u.%03u ms%s; %u left behind%s",
		(unsigned long long)r->id, verb, r->moved,
		handoff__plural(r->moved), r->listeners,
		handoff__plural(r->listeners), whom,
		handoff__pair_partner_text(pair, who), r->took_us / 1000,
		r->took_us % 1000,
		carried(pair, "; they carried", r->unread, r->unsent, load),
		r->left, r->reason == HANDOFF__OK ? "" : "; it broke off");
}

void
handoff__tally_handoff(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__report *report)
{
	enum handoff__outcome outcome = report->reason == HANDOFF__OK
						? HANDOFF__DONE
					: report->id ? HANDOFF__BROKEN
						     : HANDOFF__REFUSED;
	char why[HANDOFF_TEXT_MAX];

	pair->tally.handoffs[way][outcome]++;
	if (outcome == HANDOFF__REFUSED) {
		handoff__report_refusal(pair, report, why, sizeof(why));
		handoff__log(pair->log, HANDOFF_LOG_INFO,
			"handoff: refused, nothing has moved: %s", why);
		return;
	}
	if (outcome == HANDOFF__DONE)
		handoff__histogram_add(&pair->tally.took[way], report->took_us);
	remember(pair, way, false, report);
	log_handoff(pair, way, report);
}

void
handoff__tally_failover(struct handoff__pair *pair)
{
	const struct handoff__survival *s = &pair->survival;
	const struct handoff__report report = {
		.id = s->id,
		.moved = s->taken.connections,
		.listeners = s->taken.listeners,
		.left = s->closed,
		.took_us = s->took_us,
		.unread = s->taken.load.unread,
		.unsent = s->taken.load.unsent,
	};
	char who[64], load[CARRIED_MAX];

	handoff__histogram_add(&pair->tally.failovers, s->took_us);
	remember(pair, HANDOFF__WAY_IN, true, &report);
	handoff__log(pair->log, HANDOFF_LOG_INFO,
		"handoff %llu: %s is gone: took over %u connection%s, %u "
		"listener%s in %u.%03u ms%s; %u repaired, %u closed",
		(unsigned long long)s->id,
		handoff__pair_partner_text(pair, who), report.moved,
		handoff__plural(report.moved), report.listeners,
		handoff__plural(report.listeners), s->took_us / 1000,
		s->took_us % 1000,
		carried(pair, "; they carried", report.unread, report.unsent,
			load),
		s->repaired, s->closed);
}

/* A connection in a turn, possibly in another thread or process, counts as far
 * as its record says. */
void
handoff__tally_passed(struct handoff__pair *pair, struct handoff__load *all)
{
	struct handoff__roster_entry *e = NULL;

	*all = (struct handoff__load){
		.received = pair->tally.received, .sent = pair->tally.sent};
	while ((e = handoff__roster_next(&pair->roster, e))) {
		struct handoff__record *rec = e->view.rec;

		if (!e->mine || e->kind != HANDOFF__CONNECTION)
			continue;
		all->received += handoff__rx_head(rec);
		all->sent += handoff__tx_tail(rec);
	}
}
