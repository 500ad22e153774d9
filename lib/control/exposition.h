/* SPDX-License-Identifier: MIT */
/*
 * The metrics of several peers as one text: what belongs to a family stands
 * together, below one HELP and TYPE. Knows no metric.
 */
#ifndef HANDOFF_CONTROL_EXPOSITION_H
#define HANDOFF_CONTROL_EXPOSITION_H

#include "base/text.h"
#include "control/contact.h"

/* Peers without a role have not answered; `body` of the others is that of
 * "metrics". */
void handoff__exposition(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

#endif
