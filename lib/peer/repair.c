/* SPDX-License-Identifier: MIT */
/*
 * Repairs a record whose process died: in a turn its positions are only hints,
 * and the kernel's counters are authoritative. Ends nothing; says whether the
 * entry can continue.
 */
#include "peer/repair.h"

#include "base/progress.h"
#include "peer/core.h"
#include "peer/unfinished.h"
#include "record/desk.h"
#include "record/older.h"

#include <errno.h>
#include <string.h>

const char *
handoff__entry_repair(
	struct handoff__roster_entry *e, struct handoff__survival *survival)
{
	struct handoff__progress progress;
	/* it has use for its socket only as long as that is there */
	bool session = !handoff__older(e->view.seg) &&
		       handoff__record_session(e->view.rec) != 0;
	bool in_turn =
		handoff__record_activity(e->view.rec) == HANDOFF__IN_TURN;
	int rc;

	/* outside a turn a desk may hold another connection's bytes */
	if (!handoff__record_ok(&e->view) ||
		(!in_turn && handoff__desk_of(e->view.rec) != 0))
		return "its record is damaged";
	if (!in_turn)
		return NULL;
	/* the process may have died before it recorded that the buffers have
	 * pages */
	e->view.rec->touched |= HANDOFF__PAGES;
	/* nothing was read or written: the counters are behind the record */
	if (handoff__entry_unfinished(e)) {
		handoff__record_mark(e->view.rec, HANDOFF__PENDING);
		return NULL;
	}
	rc = session && handoff__record_absent(e->view.rec) != 0
		     ? -ENOTCONN
		     : handoff__progress(e->fd, &progress);
	if (rc == -ENOTCONN && !session)
		return "";
	/* Without counters the hints must do: bytes read or sent after the last
	 * hint are lost or duplicated. Of a session all that counts is in its
	 * state. */
	if (rc < 0 && rc != -EOPNOTSUPP && !session)
		return strerror(-rc);
	if (rc == 0) {
		rc = handoff__record_repair(
			&e->view, progress.read, progress.written);
		if (rc < 0)
			return "its record disagrees with the kernel";
		survival->in_turn++;
		survival->repaired += (uint32_t)rc;
	}
	/* of an older record the bytes on the desk are still needed */
	if (!handoff__older(e->view.seg))
		handoff__desk_clear(&e->view);
	/* there may be input that was never handled */
	handoff__record_mark(e->view.rec, HANDOFF__PENDING);
	return NULL;
}
