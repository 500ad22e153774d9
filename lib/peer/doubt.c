/* SPDX-License-Identifier: MIT */
/*
 * Entries of batches that a dead carrier has left undecided: counted, and named
 * by their batch. Decides nothing about them, and touches none.
 */
#include "peer/doubt.h"

#include "record/batch.h"

#include <stdio.h>

static bool
is_elsewhere(const struct handoff__roster_entry *e)
{
	return !e->mine && handoff__owner_is_elsewhere(
				   handoff__owner_word(&e->view.rec->owner));
}

uint32_t
handoff__pair_in_doubt(const struct handoff__pair *pair)
{
	const struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	/* those of a carrier that lives are on their way */
	while (!pair->other.carrier &&
		(e = handoff__roster_next(&pair->roster, e)))
		count += is_elsewhere(e);
	return count;
}

/* What was sent to a carrier arrives there, whatever becomes of this process.
 */
static bool
is_sent(const struct handoff__pair *pair)
{
	return pair->other.carrier && pair->partner == HANDOFF__PARTNER_READY &&
	       TAILQ_EMPTY(&pair->roster.to_mirror);
}

static bool
ends_here(const struct handoff__roster_entry *e, bool sent)
{
	return is_elsewhere(e) && (!sent || e->copy == HANDOFF__COPY_REFUSED);
}

uint32_t
handoff__pair_doubt(
	const struct handoff__pair *pair, char text[HANDOFF_TEXT_MAX])
{
	const struct handoff__batches *table =
		handoff__batches_of(&pair->arena);
	const struct handoff__roster_entry *e = NULL;
	struct handoff__batch first = {.id = 0}, batch;
	uint32_t count = 0, others = 0;
	bool sent = is_sent(pair);

	while (table && (e = handoff__roster_next(&pair->roster, e))) {
		if (!ends_here(e, sent))
			continue;
		count++;
		if (!handoff__batch_read(table,
			    handoff__owner_slot(
				    handoff__owner_word(&e->view.rec->owner)),
			    &batch))
			continue;
		if (first.id == 0)
			first = batch;
		others += batch.id != first.id;
	}
	if (count > 0)
		snprintf(text, HANDOFF_TEXT_MAX,
			"%u connection%s of batch %016llx%s %s in doubt and "
			"would be lost: start handoff-ferry here again, which "
			"asks the other host",
			count, handoff__plural(count),
			(unsigned long long)first.id,
			others > 0 ? " and others" : "",
			count == 1 ? "is" : "are");
	return count;
}
