/* SPDX-License-Identifier: MIT */
/*
 * The status of all peers as people read it: a row each, and the last handoff.
 * Made from what the peers have answered; asks nobody.
 */
#ifndef HANDOFF_CONTROL_TABLE_H
#define HANDOFF_CONTROL_TABLE_H

#include "base/text.h"
#include "control/contact.h"

/* Peers without a role have not answered; `body` of the others is that of
 * "status", see handoff__status_text. */
void handoff__table(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

#endif
