/* SPDX-License-Identifier: MIT */
/*
 * The takeover, once the other process is certainly dead: claims every entry
 * that it owned, at whatever instruction it died. Trusts nothing in a record;
 * impossible values end one connection, no more.
 */
#include "peer/survive.h"

#include "base/probe.h"
#include "lease/lease.h"
#include "peer/away.h"
#include "peer/blame.h"
#include "peer/companions.h"
#include "peer/convert.h"
#include "peer/core.h"
#include "peer/partner.h"
#include "peer/repair.h"
#include "peer/unfinished.h"
#include "record/batch.h"
#include "record/group.h"
#include "record/region.h"
#include "record/tenure.h"

#include <string.h>

/* how long after that time an end may be by the dead-man timer */
#define DEADMAN_NS UINT64_C(1000000000)

/* Ends an entry that cannot continue. */
static void
discard_entry(struct handoff__pair *pair, struct handoff__roster_entry *e,
	const char *why)
{
	if (why)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"connection %llu: closed after the other peer died: %s",
			(unsigned long long)e->id, why);
	pair->ops->discard(pair, e);
}

/* Claims the entry. True if it belonged to the dead peer, or one of the two had
 * offered it to the other, and it is ours now. */
static bool
claim_entry(struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	return handoff__record_id(e->view.rec) == e->id &&
	       handoff__owner_claim(&e->view.rec->owner, (uint32_t)pair->place,
		       handoff__pair_other_place(pair));
}

/* Whose an entry is that the dead carrier had in a batch. What it has not
 * decided is aborted. */
static enum handoff__elsewhere
settle_batch(struct handoff__pair *pair, uint32_t word)
{
	struct handoff__batches *batches = handoff__batches_of(&pair->arena);
	enum handoff__elsewhere whose =
		batches ? handoff__batch_whose(batches, word)
			: HANDOFF__ELSEWHERE_NONE;
	struct handoff__batch batch;

	if (whose != HANDOFF__ELSEWHERE_OPEN)
		return whose;
	if (handoff__batch_read(batches, handoff__owner_slot(word), &batch))
		handoff__batch_abort(batches, batch.slot, batch.id);
	whose = handoff__batch_whose(batches, word);
	return whose == HANDOFF__ELSEWHERE_OPEN ? HANDOFF__ELSEWHERE_NONE
						: whose;
}

/* Closes the copy of an entry that is not this host's, without a shutdown, and
 * frees its record. The owner word comes last, as always, and until then the
 * batch says the same to another survivor. */
static void
end_quietly(struct handoff__pair *pair, struct handoff__roster_entry *e,
	enum handoff__elsewhere whose)
{
	if (whose == HANDOFF__ELSEWHERE_NONE)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"connection %llu: closed after the ferry died: its "
			"record names a batch that does not exist",
			(unsigned long long)e->id);
	pair->survival.away++;
	pair->ops->closing(pair, e);
	handoff__arena_clear(&pair->arena, e->segment, e->slot);
	handoff__owner_set(&e->view.rec->owner, 0);
	handoff__roster_vacate(&pair->roster, e);
}

/* Whether an entry of a batch of the dead carrier is this peer's now. */
static bool
claim_elsewhere(struct handoff__pair *pair, struct handoff__roster_entry *e,
	uint32_t word)
{
	enum handoff__elsewhere whose = settle_batch(pair, word);

	if (whose == HANDOFF__ELSEWHERE_HERE)
		return handoff__owner_swap(
			&e->view.rec->owner, word, (uint32_t)pair->place);
	if (whose == HANDOFF__ELSEWHERE_DOUBT)
		pair->survival.in_doubt++;
	else
		end_quietly(pair, e, whose);
	return false;
}

/* The dead process may have moved a session to this record, and not entered
 * that in the index. */
static void
index_session(struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	uint64_t session =
		e->kind == HANDOFF__CONNECTION && !handoff__older(e->view.seg)
			? handoff__record_session(e->view.rec)
			: 0;

	if (session != 0)
		handoff__posts_move(&pair->arena, session, e->segment, e->slot);
}

static void
inherit(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	uint32_t word = handoff__owner_word(&e->view.rec->owner);
	struct handoff__load load;
	const char *why = NULL, *blame;

	if (handoff__record_id(e->view.rec) == e->id &&
		handoff__owner_is_elsewhere(word)) {
		if (!claim_elsewhere(pair, e, word))
			return;
	} else if (!claim_entry(pair, e)) {
		/* it was closed, and its DROP was never sent */
		pair->ops->closing(pair, e);
		handoff__roster_vacate(&pair->roster, e);
		return;
	}
	pair->survival.entries++;
	if (pair->other.carrier)
		handoff__entry_begin(e);
	if (e->kind == HANDOFF__CONNECTION)
		why = handoff__entry_repair(e, &pair->survival);
	blame = why ? NULL : handoff__entry_blame(e, &pair->survival);
	/* a carrier counts it, and the next server ends it */
	if (!pair->config.carrier && !why)
		why = blame;
	handoff__load_of(e, &load);
	if (why)
		load.unread = load.unsent = 0; /* discarded with it */
	handoff__moved_add(&pair->survival.taken, e, &load);
	if (pair->config.trace)
		handoff__tally_trace(
			pair, e, "inherited from", pair->survival.id, &load);
	if (!why) {
		e = handoff__convert_entry(pair, e);
		if (!e) {
			pair->survival.closed++;
			return;
		}
	}
	handoff__roster_set_copy(&pair->roster, e, HANDOFF__COPY_NONE);
	handoff__roster_set_mine(&pair->roster, e, true);
	index_session(pair, e);
	handoff__companions_join(pair, e);
	pair->ops->moved(pair, e);
	if (why) {
		pair->survival.closed++;
		discard_entry(pair, e, why[0] ? why : NULL);
	}
}

/* Reports a connection that is lost. A record without an id was about to be
 * freed. */
static void
report_orphan(struct handoff__pair *pair, const struct handoff__segment *seg,
	uint32_t s)
{
	struct handoff__survival survival = {0};
	struct handoff__roster_entry e = {.kind = HANDOFF__CONNECTION};

	handoff__view_make(&e.view, seg, s);
	if (!pair->ops->orphan || handoff__record_id(e.view.rec) == 0 ||
		e.view.rec->kind != HANDOFF__CONNECTION ||
		!handoff__record_ok(&e.view))
		return;
	handoff__entry_blame(&e, &survival);
	pair->ops->orphan(pair, &e.view);
}

/* Whether a record without a descriptor here is to be freed: the dead peer's,
 * claimed first, or one of a batch, which is claimed if the batch says that it
 * is this host's, and kept if that is not known. */
static bool
claim_orphan(struct handoff__pair *pair, struct handoff__record *rec,
	uint32_t segment, uint32_t slot)
{
	uint32_t own = (uint32_t)pair->place;
	uint32_t word = handoff__owner_word(&rec->owner);
	enum handoff__elsewhere whose;

	if (!handoff__owner_is_elsewhere(word))
		return handoff__owner_swap(
			&rec->owner, handoff__pair_other_place(pair), own);
	/* this peer's own, or in doubt */
	if (handoff__roster_find(
		    &pair->roster, segment, slot, handoff__record_id(rec)))
		return false;
	whose = settle_batch(pair, word);
	if (whose == HANDOFF__ELSEWHERE_DOUBT)
		return false;
	return whose != HANDOFF__ELSEWHERE_HERE ||
	       handoff__owner_swap(&rec->owner, word, own);
}

/* Frees records of the dead peer for which there is no descriptor here, and
 * those that it was about to free. They are claimed first: if this process dies
 * meanwhile too, its survivor finds them. */
static void
free_orphans(struct handoff__pair *pair)
{
	struct handoff__arena *arena = &pair->arena;
	uint32_t own = (uint32_t)pair->place;

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++) {
			struct handoff__record *rec =
				handoff__arena_record(arena, i, s);

			if (!claim_orphan(pair, rec, i, s))
				continue;
			if (handoff__owner_word(&rec->owner) == own)
				report_orphan(pair, arena->segments[i], s);
			handoff__arena_clear(arena, i, s);
			handoff__owner_set(&rec->owner, 0);
			handoff__arena_vacate(arena, i, s);
			pair->survival.orphans++;
		}
	}
}

/* The peer died before anything but the arena had arrived, not even a listener:
 * the service is gone, and any program that can bind its addresses starts it
 * anew. */
static bool
forget_service(struct handoff__pair *pair)
{
	if (pair->serving || pair->roster.owned + pair->roster.held > 0)
		return false;
	/* a ferry has a board with nothing on it while the service is on the
	 * other host */
	pair->hosted = pair->other.carrier || handoff__pair_hosted(pair);
	if (pair->hosted)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"the ferry here has ended and had nothing of the "
			"service: the service is on another host, or was not "
			"here yet");
	if (pair->ops->unmapping)
		pair->ops->unmapping(pair);
	handoff__roster_fini(&pair->roster);
	handoff__arena_fini(&pair->arena);
	pair->arena.version = pair->config.service->state_version;
	pair->segments_sent = 0;
	return true;
}

/* The service is now away from the peer that died, unless it was away from this
 * one. */
static void
inherit_service(struct handoff__pair *pair, struct handoff__board *board)
{
	uint32_t away = atomic_load(&board->away);

	handoff__owner_set(&board->owner, (uint32_t)pair->place);
	if (away != HANDOFF__AWAY_NOT && handoff__away_at_home(pair)) {
		away = HANDOFF__AWAY_NOT;
	} else if (away == HANDOFF__AWAY_NOT) {
		handoff__away_set_home(
			board, pair->other.name, pair->other.instance);
		away = HANDOFF__AWAY_FAILOVER;
	}
	atomic_store(&board->away, away);
	atomic_fetch_add(&board->generation, 1);
	pair->serving = true;
}

/* Commits of several records, which the dead peer may have left half flipped:
 * before any of its records is looked at. */
static void
finish_groups(struct handoff__pair *pair)
{
	struct handoff__group_found found;

	handoff__group_finish(
		&pair->arena, handoff__pair_other_place(pair), &found);
	if (found.damaged > 0)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"commits of several entries: %u list%s of the dead "
			"peer damaged: ignored, so their states are the old "
			"ones",
			found.damaged, handoff__plural(found.damaged));
	pair->survival.finished = found.finished;
}

/* Before the records: the sequence of the one that the dead process was
 * changing says whether the region keeps what it has written there. */
static void
settle_region(struct handoff__pair *pair)
{
	enum handoff__settled how = handoff__region_settle(&pair->arena,
		handoff__pair_other_place(pair), HANDOFF__LOCK_ANY);

	if (how == HANDOFF__SETTLED_UNDONE)
		handoff__log(pair->log, HANDOFF_LOG_INFO,
			"the shared region is as it was before the other "
			"peer's last transaction, which did not commit");
}

/* The kernel that ended it has no words. One whose sockets stood still in time
 * had no such timer, and it is not known here whether they did. */
static void
tell_of_deadman(struct handoff__pair *pair)
{
	const struct handoff__tenure *tenure = handoff__tenure_of(&pair->arena);
	uint64_t at_ns, now = handoff__boot_ns();
	struct handoff__tenure_kept kept;
	char who[64];

	if (!tenure || atomic_load(&tenure->leased) == 0 || pair->other_left)
		return;
	handoff__tenure_read(tenure, &kept);
	at_ns = handoff__lease_deadman_of(kept.valid_ns, kept.ttl_ns);
	if (at_ns == 0 || now < at_ns || now - at_ns > DEADMAN_NS)
		return;
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"lease: %s ended %llu ms after the time of its dead-man timer: "
		"that ends a process (SIGKILL) that is stopped or hangs and "
		"does not let its connections stand still in time",
		handoff__pair_partner_text(pair, who),
		(unsigned long long)((now - at_ns) / 1000000));
}

void
handoff__survive(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	struct handoff__survival *survival = &pair->survival;
	struct handoff__roster_entry *e = NULL;

	memset(survival, 0, sizeof(*survival));
	survival->bye = pair->other_left;
	if (!board || forget_service(pair))
		return;
	tell_of_deadman(pair);
	survival->started_us = handoff__now_us();
	survival->id = atomic_load(&board->generation) + !pair->serving;
	finish_groups(pair);
	if (pair->other.carrier && handoff__batches_of(&pair->arena))
		handoff__batches_recover(handoff__batches_of(&pair->arena));
	settle_region(pair);
	handoff__posts_recover(&pair->arena, handoff__pair_other_place(pair),
		HANDOFF__LOCK_ANY);
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!e->mine && !(e->marks & HANDOFF__FOLLOWS))
			inherit(pair, e);
	}
	while (pair->roster.followers > 0 &&
		(e = handoff__roster_next(&pair->roster, e))) {
		if (!e->mine && e->marks & HANDOFF__FOLLOWS)
			inherit(pair, e);
	}
	handoff__companions_join_all(pair);
	free_orphans(pair);
	handoff__arena_clear_desks(
		&pair->arena, handoff__pair_other_place(pair));
	if (!pair->serving) {
		inherit_service(pair, board);
		survival->serving = true;
	}
	pair->ops->settle(pair);
	survival->took_us =
		(uint32_t)(handoff__now_us() - survival->started_us);
	HANDOFF__PROBE4(failover, survival->id, survival->taken.connections,
		survival->repaired, survival->took_us);
	handoff__tally_inherited(pair, &survival->taken);
	pair->tally.repaired += survival->repaired;
	pair->tally.handler_deaths += survival->in_handler;
}
