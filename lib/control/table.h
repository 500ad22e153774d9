/* SPDX-License-Identifier: MIT */
/*
 * The status of all peers for people: a row for each, and the last handoff.
 * Works on answers already received.
 */
#ifndef HANDOFF_CONTROL_TABLE_H
#define HANDOFF_CONTROL_TABLE_H

#include "base/text.h"
#include "control/contact.h"

/* Peers without a role have not answered; the others' `body` is the answer to
 * "status", see handoff__status_text. */
void handoff__table(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

/* The same as one JSON object; `body` is the answer to "status json". Returns a
 * peer whose answer is malformed; NULL: there is none. */
const struct handoff__contact *handoff__table_json(
	const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

#endif
