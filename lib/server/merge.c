/* SPDX-License-Identifier: MIT */
/*
 * The commit by which a session moves: all that its record says goes to the
 * record of another connection, with the answer to that one's client. Knows
 * records only; when that may happen, and what follows, is resume.c's.
 */
#include "server/merge.h"

#include "base/probe.h"
#include "record/group.h"
#include "record/handling.h"

#include <errno.h>

/* What the session's record says beside its state. What has no two copies
 * counts with the commit alone: until then the connection has none of it. */
static void
carry(struct handoff_conn *txn, const struct handoff__view *from)
{
	const struct handoff__commit *c = handoff__record_commit(from->rec);
	struct handoff__extra *x = &txn->view.rec->extra;
	const struct handoff__extra *y = &from->rec->extra;
	uint64_t deadline = handoff__record_deadline(from->rec);
	uint16_t spare =
		handoff__record_commit(txn->view.rec)->deadline == 1 ? 2 : 1;
	char label[HANDOFF__LABEL_MAX];

	txn->next->line_pos = c->line_pos;
	/* what the inner service has consumed */
	txn->next->pass_head = c->pass_head;
	txn->next->pass_tail = c->pass_tail;
	txn->next->deadline = deadline > 0 ? spare : 0;
	if (deadline > 0) {
		atomic_store(&x->deadline_ms[spare - 1], deadline);
		txn->view.rec->touched |= HANDOFF__TIMED;
	}
	atomic_store(&x->tag, atomic_load(&y->tag));
	atomic_store(&x->session, atomic_load(&y->session));
	handoff__record_label(from->rec, label);
	handoff__record_set_label(txn->view.rec, label);
	/* a handler that has killed a process may do so again */
	handoff__handling_set(
		txn->view.rec, handoff__handler_deaths(from->rec));
}

/* The record that had the session has nothing any more. */
static void
bequeath(const struct handoff__view *from)
{
	struct handoff__commit *next = handoff__prepare_commit(
		from, handoff__record_sequence(from->rec));

	next->flags = HANDOFF__OPENED | HANDOFF__CLOSING | HANDOFF__OVER |
		      HANDOFF__ENDED |
		      (uint32_t)HANDOFF_ENDED_CLIENT << HANDOFF__END_SHIFT;
	next->rx_tail = next->rx_origin = handoff__rx_head(from->rec);
	next->tx_head = next->tx_origin = handoff__tx_tail(from->rec);
	next->deadline = 0;
	/* a survivor has to look at it */
	handoff__record_mark(from->rec, HANDOFF__PENDING);
}

int
handoff__merge(const struct handoff__arena *arena, uint32_t place,
	const struct handoff__roster_entry *to,
	const struct handoff__roster_entry *from,
	const struct handoff__session_wish *wish)
{
	struct handoff__group group;
	struct handoff_conn txn;
	int err;

	if (!handoff__group_begin(&group, handoff__arena_commons(arena), place))
		return -EAGAIN;
	handoff__txn_begin(&txn, &to->view);
	txn.fd = to->fd;
	handoff__record_touch(to->view.rec);
	handoff__record_mark(to->view.rec, HANDOFF__PENDING);
	err = handoff__session_resume(&txn, &from->view, wish);
	if (err < 0) {
		handoff__group_drop(&group);
		return err;
	}
	carry(&txn, &from->view);
	txn.next->flags &= ~(uint32_t)(HANDOFF__RESUMING | HANDOFF__ERASE);
	txn.next->flags |= HANDOFF__SESSION | HANDOFF__OPENED;
	if (txn.next->rx_tail == txn.rx_head)
		txn.next->rx_origin = txn.rx_head;
	bequeath(&from->view);
	handoff__group_add(
		&group, &to->view, to->segment, to->slot, txn.next->state_len);
	handoff__group_add(&group, &from->view, from->segment, from->slot, 0);
	HANDOFF__PROBE2(resume, wish->number, to->id);
	handoff__group_commit(&group);
	/* what the other record had is cleared with that */
	handoff__state_erase(&to->view);
	return 0;
}
