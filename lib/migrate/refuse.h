/* SPDX-License-Identifier: MIT */
/* What cannot move, by name, before anything is done to it. */
#ifndef HANDOFF_MIGRATE_REFUSE_H
#define HANDOFF_MIGRATE_REFUSE_H

#include "base/text.h"

enum handoff__unmovable {
	HANDOFF__MOVABLE,
	HANDOFF__NOT_A_SOCKET,
	HANDOFF__NOT_TCP,
	HANDOFF__NOT_IP,
	HANDOFF__MPTCP,
	HANDOFF__LISTENS,
	HANDOFF__HANDSHAKE,
	HANDOFF__TIME_WAIT,
	HANDOFF__CLOSED,
	HANDOFF__LAST_ACK,
	HANDOFF__BOTH_CLOSE,
	HANDOFF__UNKNOWN_STATE,
	HANDOFF__IN_REPAIR,
	HANDOFF__ULP,
	HANDOFF__AO,
	HANDOFF__MD5,
	HANDOFF__URGENT,
	HANDOFF__LINK_LOCAL,
	HANDOFF__LOOPBACK,
	HANDOFF__UNMOVABLES,
};

/* Whether the connection can move. HANDOFF__MOVABLE, or the reason why not with
 * a sentence. About ten system calls; call it in the network namespace of the
 * socket. */
enum handoff__unmovable handoff__migrate_refuse(
	int fd, struct handoff__error *error);

/* The same for a state of TCP alone, by the kernel's number. */
enum handoff__unmovable handoff__migrate_refuse_state(unsigned state);

/* The reason in a few words, for counts: "1 MPTCP, 2 LAST_ACK". */
const char *handoff__unmovable_word(enum handoff__unmovable why);

#endif
