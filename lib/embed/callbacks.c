/* SPDX-License-Identifier: MIT */
/*
 * Callbacks from the peer below: which peer owns an entry, and which one
 * serves. Only the peer calls these.
 */
#include "embed/embed.h"

#include "base/still.h"

#include <sys/socket.h>

static int
on_entered(struct handoff__pair *below, struct handoff__roster_entry *entry)
{
	struct handoff_entry *e = handoff__public_entry(entry);
	size_t half;

	e->peer = handoff__operator_arg(below);
	e->data = NULL;
	e->pending = HANDOFF__PENDING_NONE;
	e->told = false;
	e->looked = 0;
	e->memory.base = NULL;
	if (handoff__record_name(&entry->view, e->name) < 0)
		e->name[0] = '\0';
	return entry->kind == HANDOFF__DATA
		       ? handoff__data_check(entry->fd, &half)
		       : 0;
}

static void
on_closing(struct handoff__pair *below, struct handoff__roster_entry *entry)
{
	(void)below;
	handoff__embed_pend(
		handoff__public_entry(entry), HANDOFF__PENDING_NONE);
	handoff__data_unmap(&handoff__public_entry(entry)->memory);
}

/* An entry that the program has not been given, or has released, moves at
 * once. */
static bool
on_quiesce(struct handoff__pair *below, struct handoff__roster_entry *entry)
{
	struct handoff_entry *e = handoff__public_entry(entry);

	(void)below;
	if (e->pending == HANDOFF__PENDING_TAKEN ||
		e->pending == HANDOFF__PENDING_RELEASED)
		return true;
	handoff__embed_pend(e, HANDOFF__PENDING_RELEASE);
	return false;
}

/* Released, and what belongs to it was not in time. */
static void
on_resume(struct handoff__pair *below, struct handoff__roster_entry *entry)
{
	(void)below;
	handoff__embed_pend(
		handoff__public_entry(entry), HANDOFF__PENDING_TAKEN);
}

static void
on_pause(struct handoff__pair *below, bool paused)
{
	(void)below; /* entries that come late follow, see dispatch.c */
	(void)paused;
}

static void
on_moved(struct handoff__pair *below, struct handoff__roster_entry *entry)
{
	struct handoff_entry *e = handoff__public_entry(entry);

	(void)below;
	handoff__embed_pend(e,
		entry->mine ? HANDOFF__PENDING_TAKEN : HANDOFF__PENDING_NONE);
	if (!entry->mine)
		handoff__data_unmap(&e->memory);
}

static void
on_settle(struct handoff__pair *below)
{
	(void)below;
}

/* Entries follow one by one. OWNER comes after them, so that the program then
 * knows which it has not been given; STANDBY when none is left. */
static void
on_role(struct handoff__pair *below, enum handoff__cause cause)
{
	struct handoff_peer *peer = handoff__operator_arg(below);

	(void)cause;
	peer->owner_due = below->serving;
	peer->standby_due = !below->serving;
}

static void
on_given(struct handoff__pair *below, enum handoff__way way,
	const struct handoff__report *report)
{
	struct handoff_peer *peer = handoff__operator_arg(below);

	if (report->reason == HANDOFF__OK)
		handoff__embed_owner(peer);
	handoff__embed_standby(peer);
	handoff__operator_given(&peer->op, way, report);
	if (report->moved + report->listeners == 0)
		peer->tries = 0; /* the rest cannot be moved */
}

static void
on_partner(struct handoff__pair *below, bool here)
{
	struct handoff_peer *peer = handoff__operator_arg(below);

	/* It is back, and serves: entries of this peer are to follow. */
	peer->standby_due = here && !below->serving && below->roster.owned > 0;
	if (peer->standby_due)
		return;
	handoff__operator_partner(&peer->op, here, "");
	if (here)
		return;
	if (!below->survival.serving && below->survival.entries == 0)
		handoff__embed_owner(peer);
	if (!below->serving && below->arena.count == 0 && peer->may_own &&
		handoff__embed_own(peer) < 0)
		handoff__log(
			&peer->log, HANDOFF_LOG_ERROR, "%s", peer->error.text);
}

static void
on_expelled(struct handoff__pair *below, const char *text)
{
	struct handoff_peer *peer = handoff__operator_arg(below);

	handoff__log(&peer->log, HANDOFF_LOG_ERROR, "stop: %s", text);
	peer->op.stopping = true;
	peer->tries = 0;
}

static void
on_discard(struct handoff__pair *below, struct handoff__roster_entry *entry)
{
	if (handoff__entry_poisoned(entry))
		below->tally.ends[HANDOFF__END_POISON]++;
	/* a stream that lacks bytes has no end in order */
	if (handoff__entry_unfinished(entry))
		handoff__still_reset(entry->fd);
	shutdown(entry->fd, SHUT_RDWR);
	handoff__pair_end(below, entry);
}

static void
on_failover(struct handoff__pair *below)
{
	const struct handoff__survival *s = &below->survival;
	struct handoff_peer *peer = handoff__operator_arg(below);
	struct handoff__facts facts = {.end = 0};
	char loading[HANDOFF_TEXT_MAX];

	peer->owner_due = false;
	handoff__outcome_of_death(s, &facts);
	handoff__operator_emit_with(&peer->op, HANDOFF_PEER_OWNER, &facts,
		"owner: the other peer %s; took over %u of its entries in "
		"%u.%03u ms (generation %llu)%s",
		s->bye ? "left" : "died", s->entries, s->took_us / 1000,
		s->took_us % 1000,
		(unsigned long long)handoff__pair_generation(below),
		handoff__pair_loading_text(below, loading));
}

static void
on_said(struct handoff__pair *below)
{
	(void)below; /* only servers have lines */
}

static void
on_kept(struct handoff__pair *below)
{
	struct handoff_peer *peer = handoff__operator_arg(below);

	handoff__control_keep(&peer->op.control);
}

static void
on_leased(struct handoff__pair *below, enum handoff__lease_action action)
{
	handoff__embed_leased(handoff__operator_arg(below), action);
}

const struct handoff__pair_ops handoff__embed_ops = {
	.entered = on_entered,
	.closing = on_closing,
	.quiesce = on_quiesce,
	.resume = on_resume,
	.pause = on_pause,
	.moved = on_moved,
	.settle = on_settle,
	.role = on_role,
	.given = on_given,
	.partner = on_partner,
	.discard = on_discard,
	.failover = on_failover,
	.hung = handoff__operator_hung,
	.lagging = handoff__operator_lagging,
	.refused = handoff__operator_refused,
	.apart = handoff__operator_apart,
	.expelled = on_expelled,
	.said = on_said,
	.kept = on_kept,
	.leased = on_leased,
};
