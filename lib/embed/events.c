/* SPDX-License-Identifier: MIT */
/*
 * What the peer below tells, turned into events that the program pulls.
 */
#include "embed/embed.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

void
handoff__embed_tell(struct handoff_peer *peer,
	enum handoff_peer_event_type type, const char *fmt, ...)
{
	struct handoff_peer_event *ev;
	va_list ap;

	if (peer->nevents == HANDOFF__PEER_EVENTS) {
		peer->first_event =
			(peer->first_event + 1) % HANDOFF__PEER_EVENTS;
		peer->nevents--;
	}
	ev = &peer->events[(peer->first_event + peer->nevents++) %
			   HANDOFF__PEER_EVENTS];
	*ev = (struct handoff_peer_event){.type = type, .fd = -1};
	ev->generation = handoff__peer_generation(&peer->peer);
	va_start(ap, fmt);
	vsnprintf(ev->text, sizeof(ev->text), fmt, ap);
	va_end(ap);
	handoff__embed_soon(peer);
	handoff__log(&peer->log, HANDOFF_LOG_DEBUG, "%s", ev->text);
}

static int
on_entered(struct handoff__peer *below, struct handoff__entry *entry)
{
	struct handoff_entry *e = handoff__public_entry(entry);

	e->peer = below->arg;
	e->data = NULL;
	e->news = HANDOFF__NEWS_NONE;
	if (handoff__record_name(&entry->view, e->name) < 0)
		e->name[0] = '\0';
	return 0;
}

static void
on_closing(struct handoff__peer *below, struct handoff__entry *entry)
{
	(void)below;
	handoff__embed_news(handoff__public_entry(entry), HANDOFF__NEWS_NONE);
}

/* What the program has not been told of, or has released, moves at once. */
static bool
on_quiesce(struct handoff__peer *below, struct handoff__entry *entry)
{
	struct handoff_entry *e = handoff__public_entry(entry);

	(void)below;
	if (e->news == HANDOFF__NEWS_TAKEN || e->news == HANDOFF__NEWS_RELEASED)
		return true;
	handoff__embed_news(e, HANDOFF__NEWS_RELEASE);
	return false;
}

static void
on_pause(struct handoff__peer *below, bool paused)
{
	(void)below; /* what comes late follows, see entries.c */
	(void)paused;
}

static void
on_moved(struct handoff__peer *below, struct handoff__entry *entry)
{
	(void)below;
	handoff__embed_news(handoff__public_entry(entry),
		entry->mine ? HANDOFF__NEWS_TAKEN : HANDOFF__NEWS_NONE);
}

static void
on_settle(struct handoff__peer *below)
{
	(void)below;
}

void
handoff__embed_owner(struct handoff_peer *peer)
{
	char who[64];

	if (!peer->owner_due)
		return;
	peer->owner_due = false;
	handoff__embed_tell(peer, HANDOFF_PEER_OWNER,
		"owner: took over from %s (generation %llu)",
		handoff__peer_partner_text(&peer->peer, who),
		(unsigned long long)handoff__peer_generation(&peer->peer));
}

/* Entries follow one by one. OWNER comes after them, so that the program knows
 * then what it has not been given. */
static void
on_role(struct handoff__peer *below, enum handoff__cause cause)
{
	struct handoff_peer *peer = below->arg;
	char who[64];

	(void)cause;
	peer->owner_due = below->serving;
	if (!below->serving)
		handoff__embed_tell(peer, HANDOFF_PEER_STANDBY,
			"standby: %s serves (generation %llu)",
			handoff__peer_partner_text(below, who),
			(unsigned long long)handoff__peer_generation(below));
}

static void
on_given(struct handoff__peer *below, const struct handoff__report *report)
{
	handoff__embed_given(below->arg, report);
}

static void
on_partner(struct handoff__peer *below, bool here)
{
	struct handoff_peer *peer = below->arg;
	char who[64];

	handoff__peer_partner_text(below, who);
	if (here && below->serving)
		handoff__embed_tell(peer, HANDOFF_PEER_JOINED,
			"joined: %s is the standby", who);
	else if (here && below->arena.count > 0)
		handoff__embed_tell(peer, HANDOFF_PEER_STANDBY,
			"standby: %s serves (generation %llu)", who,
			(unsigned long long)handoff__peer_generation(below));
	if (here)
		return;
	handoff__embed_tell(peer, HANDOFF_PEER_LEFT, "left: %s is gone", who);
	if (!below->survival.serving && below->survival.entries == 0)
		handoff__embed_owner(peer);
	if (!below->serving && below->arena.count == 0 && peer->may_own &&
		handoff__embed_own(peer) < 0)
		handoff__log(
			&peer->log, HANDOFF_LOG_ERROR, "%s", peer->error.text);
}

static void
on_apart(struct handoff__peer *below, const char *text)
{
	handoff__embed_tell(below->arg, HANDOFF_PEER_APART, "%s", text);
}

static void
on_expelled(struct handoff__peer *below, const char *text)
{
	struct handoff_peer *peer = below->arg;

	handoff__log(&peer->log, HANDOFF_LOG_ERROR, "stop: %s", text);
	peer->stopping = true;
	peer->tries = 0;
}

static void
on_discard(struct handoff__peer *below, struct handoff__entry *entry)
{
	if (handoff__entry_poisoned(entry))
		below->tally.ends[HANDOFF__END_POISON]++;
	shutdown(entry->fd, SHUT_RDWR);
	handoff__peer_end(below, entry);
}

static void
on_failover(struct handoff__peer *below)
{
	const struct handoff__survival *s = &below->survival;
	struct handoff_peer *peer = below->arg;

	peer->owner_due = false;
	handoff__embed_tell(peer, HANDOFF_PEER_OWNER,
		"owner: the other peer died; took over %u of its entries in "
		"%u.%03u ms (generation %llu)",
		s->entries, s->took_us / 1000, s->took_us % 1000,
		(unsigned long long)handoff__peer_generation(below));
}

static void
on_hung(struct handoff__peer *below, const char *text)
{
	handoff__embed_tell(below->arg, HANDOFF_PEER_HUNG, "%s", text);
}

static void
on_lagging(struct handoff__peer *below, const char *text)
{
	handoff__embed_tell(below->arg, HANDOFF_PEER_LAGGING, "%s", text);
}

static void
on_refused(struct handoff__peer *below, const char *text)
{
	handoff__embed_tell(
		below->arg, HANDOFF_PEER_REFUSED, "refused: %s", text);
}

static void
on_said(struct handoff__peer *below)
{
	(void)below; /* lines are the server's */
}

static void
on_kept(struct handoff__peer *peer)
{
	struct handoff_peer *embed = peer->arg;

	handoff__control_keep(&embed->control);
}

const struct handoff__peer_ops handoff__embed_ops = {
	.entered = on_entered,
	.closing = on_closing,
	.quiesce = on_quiesce,
	.pause = on_pause,
	.moved = on_moved,
	.settle = on_settle,
	.role = on_role,
	.given = on_given,
	.partner = on_partner,
	.discard = on_discard,
	.failover = on_failover,
	.hung = on_hung,
	.lagging = on_lagging,
	.refused = on_refused,
	.apart = on_apart,
	.expelled = on_expelled,
	.said = on_said,
	.kept = on_kept,
};
