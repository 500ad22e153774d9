/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a state of the service: whether it is so, by statuses that the
 * peers have given, and what is missing. Asks nobody.
 */
#ifndef HANDOFF_CONTROL_UNTIL_H
#define HANDOFF_CONTROL_UNTIL_H

#include <handoff/control.h>

#include "base/text.h"
#include "control/contact.h"

#define HANDOFF__UNTIL_MAX_MS 86400000u

/* Whether all of `opts` is so, for peers whose `body` is the answer to
 * "status"; those that have not answered have no role. Adds the sentence that
 * says so, or what is missing; without a newline. */
bool handoff__until_met(const struct handoff_wait_opts *opts,
	const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

/* Whether the statuses matter: not for `gone` alone. */
bool handoff__until_asks(const struct handoff_wait_opts *opts);

/* Adds what is waited for: "alt to serve, every entry to be covered". */
void handoff__until_text(
	const struct handoff_wait_opts *opts, struct handoff__buf *buf);

/* Why `opts` cannot be waited for; NULL: it can. */
const char *handoff__until_wrong(const struct handoff_wait_opts *opts);

#endif
