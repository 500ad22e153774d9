/* SPDX-License-Identifier: MIT */
/*
 * Kills a hanging peer, if that is configured: only if this process may kill
 * it, and only if all its entries are covered here. The caller decides when.
 */
#include "peer/fence.h"

#include "base/process.h"
#include "peer/core.h"
#include "peer/partner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

/* Counts the other peer's entries that have no copy here. */
static uint32_t
unheld(struct handoff__pair *pair)
{
	uint32_t count = 0, other = handoff__pair_other_place(pair);

	for (uint32_t i = 0; i < pair->arena.count; i++) {
		uint32_t slots = pair->arena.segments[i]->geo.slots;

		for (uint32_t s = 0; s < slots; s++) {
			const struct handoff__record *rec =
				handoff__arena_record(&pair->arena, i, s);

			if (handoff__owner_place(&rec->owner) == other &&
				!handoff__roster_find(&pair->roster, i, s,
					handoff__record_id(rec)))
				count++;
		}
	}
	return count;
}

/* The reason not to kill the hanging peer, or "". */
static void
why_not_fence(struct handoff__pair *pair, char *text, size_t size)
{
	uint32_t lost;

	text[0] = '\0';
	if (pair->unfenced)
		snprintf(text, size, "it cannot be killed from here");
	else if (pair->partner != HANDOFF__PARTNER_READY)
		snprintf(text, size, "it had not finished joining");
	else if ((lost = unheld(pair)) > 0)
		snprintf(text, size,
			"%u of its entries without a copy here would be lost",
			lost);
}

void
handoff__fence_kill(struct handoff__pair *pair)
{
	char who[64], why[96];

	if (!pair->config.fence || pair->pidfd < 0)
		return;
	handoff__pair_partner_text(pair, who);
	why_not_fence(pair, why, sizeof(why));
	if (why[0]) {
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"fence: %s hangs and is not killed: %s", who, why);
		return;
	}
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"fence: killing %s, which hangs", who);
	if (pidfd_send_signal(pair->pidfd, SIGKILL, NULL, 0) < 0)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"fence: cannot kill %s: %s", who, strerror(errno));
}

void
handoff__fence_check(struct handoff__pair *pair)
{
	int err =
		pair->config.fence ? handoff__process_may_kill(pair->pidfd) : 0;
	char who[64];

	pair->unfenced = err < 0;
	if (err < 0)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"fence: off: %s cannot be killed from here: %s",
			handoff__pair_partner_text(pair, who), strerror(-err));
}
