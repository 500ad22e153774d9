/* SPDX-License-Identifier: MIT */
/*
 * A record whose process died, perhaps in a turn, when its positions are
 * hints: the kernel knows better. Ends nothing; says whether it can go on.
 */
#include "peer/repair.h"

#include "base/progress.h"
#include "peer/core.h"
#include "record/desk.h"

#include <errno.h>
#include <string.h>

const char *
handoff__entry_repair(
	struct handoff__roster_entry *e, struct handoff__survival *survival)
{
	struct handoff__progress progress;
	bool in_turn =
		handoff__record_activity(e->view.rec) == HANDOFF__IN_TURN;
	int rc;

	/* What lies on a desk after a turn may be anybody's. */
	if (!handoff__record_ok(&e->view) ||
		(!in_turn && handoff__desk_of(e->view.rec) != 0))
		return "its record is damaged";
	if (!in_turn)
		return NULL;
	/* It may have had no time to note that its buffers have pages. */
	e->view.rec->touched = 1;
	rc = handoff__progress(e->fd, &progress);
	if (rc == -ENOTCONN)
		return "";
	/* Without counters the hints are all there is: what was taken or given
	 * after the last of them is lost or doubled. */
	if (rc < 0 && rc != -EOPNOTSUPP)
		return strerror(-rc);
	if (rc == 0) {
		rc = handoff__record_repair(
			&e->view, progress.read, progress.written);
		if (rc < 0)
			return "its record disagrees with the kernel";
		survival->in_turn++;
		survival->repaired += (uint32_t)rc;
	}
	handoff__desk_clear(&e->view);
	/* There may be input that was never handled. */
	handoff__record_mark(e->view.rec, HANDOFF__PENDING);
	return NULL;
}
