/* SPDX-License-Identifier: MIT */
/*
 * After a move to this host that has failed: the server here has the listeners,
 * and often the service, for clients that go on to the other host. Both come
 * back to this ferry, as they were before. A server with listeners of its own
 * goes on with these. Moves nothing between hosts.
 */
#include "ferry/retreat.h"

#include "ferry/carrier.h"
#include "ferry/choice.h"
#include "ferry/course.h"
#include "ferry/listeners.h"
#include "peer/elsewhere.h"

static bool
is_idle(const struct handoff__ferry *ferry)
{
	return ferry->joined && ferry->greeted && !ferry->stopping &&
	       ferry->site == HANDOFF__FERRY_THERE &&
	       ferry->other.flags & HANDOFF__LETTER_AT_HOME &&
	       !handoff__course_runs(ferry) && ferry->nloads == 0 &&
	       !handoff__pair_moving(&ferry->pair);
}

/* The server's listeners that came with a move, into `list`; `*own`: those that
 * it has besides. */
static uint32_t
find_lent(struct handoff__ferry *ferry, struct handoff__roster_entry **list,
	uint32_t most, uint32_t *own)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t n = 0;

	*own = 0;
	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->kind != HANDOFF__LISTENER || e->mine)
			continue;
		if (!handoff__listener_is_lent(ferry, e))
			++*own;
		else if (n < most)
			list[n++] = e;
	}
	return n;
}

void
handoff__retreat_look(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	struct handoff__pair *pair = &ferry->pair;
	uint32_t n, own, cut;

	if (!is_idle(ferry) || pair->serving ||
		!handoff__carrier_has_server(ferry))
		return;
	n = find_lent(ferry, list, HANDOFF_FDPASS_MAX, &own);
	if (n == 0)
		return;
	handoff__choice_stays(ferry, &cut);
	if (cut > 0 || (own == 0 && handoff__choice_count(ferry) > 0))
		return;
	ferry->retreating =
		(own > 0 ? handoff__pair_take_list(pair, list, n)
			 : handoff__pair_take(pair, HANDOFF__HOME_SILENT)) >= 0;
}

void
handoff__retreat_proceed(struct handoff__ferry *ferry)
{
	struct handoff__error error;

	if (!ferry->retreating)
		return;
	if (!is_idle(ferry)) {
		ferry->retreating = handoff__pair_moving(&ferry->pair);
		return;
	}
	if (handoff__listeners_close(ferry) == 0)
		return;
	ferry->retreating = false;
	for (uint32_t i = 0; i < ferry->nprefixes; i++)
		handoff__address_off_lo(&ferry->prefixes[i], &error);
	handoff__log(&ferry->log, HANDOFF_LOG_INFO,
		"%s has given back what a move to this host had given it, "
		"since "
		"the service stays on the other host",
		ferry->pair.other.name);
}
