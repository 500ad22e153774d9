/* SPDX-License-Identifier: MIT */
/*
 * A session moves from one record to another, by one commit of both.
 */
#ifndef HANDOFF_SERVER_MERGE_H
#define HANDOFF_SERVER_MERGE_H

#include "peer/roster.h"
#include "session/session.h"

/* Both entries are of the peer in `place`, and nobody else works on them; the
 * wish is that of `to`, and was checked. Afterwards `to` has the session, and
 * `from` has nothing and is to be closed; its hook `ended` does not run. A
 * process that dies meanwhile leaves both or none of that, to be finished as
 * any commit of several records. -EAGAIN: too many commits are under way;
 * -ENOBUFS, -EBADMSG as handoff__session_resume: nothing has changed. */
int handoff__merge(const struct handoff__arena *arena, uint32_t place,
	const struct handoff__roster_entry *to,
	const struct handoff__roster_entry *from,
	const struct handoff__session_wish *wish);

#endif
