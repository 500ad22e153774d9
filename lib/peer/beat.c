/* SPDX-License-Identifier: MIT */
/*
 * What is seen to at each beat of the pulse, besides the pulse itself: copies
 * that were refused, offers that were not accepted, and what got lost on the
 * way.
 */
#include "peer/beat.h"

#include "peer/core.h"
#include "peer/mirror.h"
#include "peer/pulse.h"
#include "peer/quiet.h"
#include "peer/reconcile.h"

void
handoff__beat(struct handoff__peer *peer)
{
	int64_t now = handoff__now_us();

	handoff__pulse_begin(peer, now);
	handoff__link_read(&peer->link);
	if (peer->partner == HANDOFF__PARTNER_NONE)
		return;
	if (handoff__link_up(&peer->link)) {
		handoff__pulse_send(peer);
		handoff__mirror_retry(peer, handoff__pulse_retries(peer));
	} else if (peer->link.fd < 0) {
		handoff__reconcile(peer);
	}
	handoff__quiet_strays(peer, now);
	handoff__pulse_end(peer, now);
}
