/* SPDX-License-Identifier: MIT */
/*
 * Merges the metrics of several peers into one text: each family is contiguous,
 * below one HELP and TYPE. Knows no particular metric.
 */
#ifndef HANDOFF_CONTROL_EXPOSITION_H
#define HANDOFF_CONTROL_EXPOSITION_H

#include "base/text.h"
#include "control/contact.h"

/* Peers without a role have not answered; the others' `body` is the answer to
 * "metrics". */
void handoff__exposition(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

#endif
