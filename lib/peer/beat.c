/* SPDX-License-Identifier: MIT */
/*
 * The work that is due at each beat besides the pulse itself: retries refused
 * copies, revokes offers that were not accepted or repeats them, and detects
 * lost messages.
 */
#include "peer/beat.h"

#include "peer/core.h"
#include "peer/loading.h"
#include "peer/mirror.h"
#include "peer/pulse.h"
#include "peer/quiet.h"
#include "peer/reconcile.h"

void
handoff__beat(struct handoff__pair *pair)
{
	int64_t now = handoff__now_us();

	handoff__pulse_begin(pair, now);
	handoff__link_read(&pair->link);
	if (pair->partner == HANDOFF__PARTNER_NONE)
		return;
	if (handoff__link_up(&pair->link)) {
		handoff__pulse_send(pair);
		handoff__loading_beat(pair);
		handoff__mirror_retry(pair, handoff__pulse_retries(pair));
	} else if (pair->link.fd < 0) {
		handoff__reconcile(pair);
	}
	handoff__quiet_revoke_late(pair, now);
	handoff__quiet_retry(pair, now);
	handoff__pulse_end(pair, now);
}
