/* SPDX-License-Identifier: MIT */
/*
 * What comes over the link goes to the machine that it is for, and what was
 * noted meanwhile is acted upon after the turn: the one place that knows all
 * machines. Decides nothing about ownership (give.c, take.c) or copies
 * (mirror.c).
 */
#include "peer/dispatch.h"

#include "peer/beat.h"
#include "peer/candidates.h"
#include "peer/copies.h"
#include "peer/core.h"
#include "peer/death.h"
#include "peer/give.h"
#include "peer/loan.h"
#include "peer/mirror.h"
#include "peer/moves.h"
#include "peer/partner.h"
#include "peer/pulse.h"
#include "peer/reconcile.h"
#include "peer/rejoin.h"
#include "peer/survive.h"
#include "peer/take.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_MAX 4096 /* batches of messages */
#define ACTS_MAX  64

static void
on_ready(struct handoff__peer *peer, const struct handoff__msg *msg)
{
	if (peer->partner == HANDOFF__PARTNER_GREETED) {
		peer->partner = HANDOFF__PARTNER_READY;
		peer->ops->partner(peer, true);
	} else {
		handoff__give_on_ready(peer, msg);
	}
}

static void
close_unwanted(const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

/* How many descriptors belong to the message. */
static size_t
fds_of(const struct handoff__msg *msg)
{
	if (msg->type == HANDOFF__MIRROR)
		return msg->nrefs;
	return msg->type == HANDOFF__SEGMENT || msg->type == HANDOFF__LEND ||
	       msg->type == HANDOFF__LIFE;
}

static void
on_message(struct handoff__link *link, const struct handoff__msg *msg,
	const int *fds, size_t nfds)
{
	struct handoff__peer *peer = link->arg;
	size_t wanted = fds_of(msg);

	peer->pulse.heard_us = handoff__now_us();
	if (nfds != wanted) {
		close_unwanted(fds, nfds);
		handoff__core_break(peer, "descriptors and message disagree");
		return;
	}
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__SEGMENT:
		handoff__copies_on_segment(peer, msg, fds[0]);
		return;
	case HANDOFF__MIRROR:
		handoff__copies_arrived(peer, msg, fds, nfds);
		return;
	case HANDOFF__HELD:
		handoff__mirror_answered(peer, msg);
		return;
	case HANDOFF__DROP:
		handoff__copies_dropped(peer, msg);
		return;
	case HANDOFF__MOVE:
		handoff__take_on_move(peer, msg);
		return;
	case HANDOFF__TAKE:
		handoff__moves_on_take(peer, msg);
		return;
	case HANDOFF__READY:
		on_ready(peer, msg);
		return;
	case HANDOFF__GAVE:
		handoff__take_on_gave(peer, msg);
		return;
	case HANDOFF__BYE:
		peer->other_leaving = peer->other_left = true;
		handoff__core_break(
			peer, handoff__reason_text(
				      (enum handoff__reason)msg->reason));
		return;
	case HANDOFF__HELLO:
		handoff__core_break(peer, "it said HELLO twice");
		return;
	case HANDOFF__LEND:
		handoff__loan_keep(peer, fds[0]);
		return;
	case HANDOFF__LIFE:
		handoff__death_watch_children(peer, fds[0]);
		return;
	case HANDOFF__SAY:
		peer->ops->said(peer);
		return;
	case HANDOFF__BEAT:
		if (handoff__pulse_on_beat(peer, msg))
			handoff__reconcile(peer);
		return;
	case HANDOFF__LEAVE:
		peer->other_leaving = true;
		return;
	case HANDOFF__LOST:
		handoff__mirror_lost(peer, msg);
		return;
	}
}

/* The descriptor table is full. */
static void
on_lost(struct handoff__link *link, const struct handoff__msg *msg)
{
	struct handoff__peer *peer = link->arg;

	peer->pulse.heard_us = handoff__now_us();
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__MIRROR:
		handoff__copies_overflow(peer, msg);
		return;
	case HANDOFF__SEGMENT:
		handoff__copies_lost_segment(peer, msg);
		return;
	case HANDOFF__LEND:
		return; /* its process is slower to die */
	default:
		/* Without its LIFE nobody knows when its children are gone. */
		handoff__core_break(peer,
			"a descriptor that must not be lost found no room in "
			"the table");
	}
}

static void
on_writable(struct handoff__link *link)
{
	handoff__mirror_pump(link->arg);
}

const struct handoff__link_ops handoff__dispatch_ops = {
	.message = on_message,
	.lost = on_lost,
	.writable = on_writable,
};

/* The other process is gone for certain, or touches nothing any more: what it
 * had is ours. */
static void
partner_gone(struct handoff__peer *peer)
{
	const struct handoff__survival *survival = &peer->survival;

	handoff__pulse_stop(peer);
	handoff__rejoin_end(peer);
	handoff__survive(peer);
	peer->partner = HANDOFF__PARTNER_NONE;
	peer->other_leaving = peer->other_left = false;
	if (survival->serving || survival->entries > 0)
		handoff__tally_failover(peer);
	peer->ops->partner(peer, false);
	if (survival->serving || survival->entries > 0)
		peer->ops->failover(peer);
	memset(&peer->other, 0, sizeof(peer->other));
	handoff__loan_return(peer);
}

/* What it sent before the link broke still counts. */
static void
drain_link(struct handoff__peer *peer)
{
	for (int i = 0; i < DRAIN_MAX && handoff__link_read(&peer->link); i++)
		;
}

static const char *
cut_text(const struct handoff__peer *peer)
{
	if (peer->cut_why[0])
		return peer->cut_why;
	switch (peer->link.broken) {
	case 0:
		return "its process ended";
	case -ECONNRESET:
	case -EPIPE:
		return "end of the link";
	case -EBADMSG:
		return "it sent what is not a message";
	case -ENOBUFS:
		return "it does not read its link";
	default:
		return strerror(-peer->link.broken);
	}
}

/* Ends the link. Until the pidfd tells that the process is gone too, and its
 * children with it, nothing that it owns is touched: it might still serve. */
static void
cut_link(struct handoff__peer *peer)
{
	char who[64];

	drain_link(peer);
	handoff__log(peer->log, HANDOFF_LOG_WARNING, "link: closed to %s: %s",
		handoff__peer_partner_text(peer, who), cut_text(peer));
	handoff__link_close(&peer->link);
	peer->partner = HANDOFF__PARTNER_APART;
	/* What is taken back counts as held, as far as the give knows. */
	handoff__give_broken(peer);
	handoff__take_broken(peer);
	handoff__mirror_forget(peer);
	if (peer->other_left) {
		handoff__death_forget_process(peer);
		handoff__death_forget_children(peer);
	}
	if (handoff__death_certain(peer))
		partner_gone(peer);
	else
		handoff__rejoin_begin(peer);
}

/* A link that a candidate brings is one that need not be dialled any more. */
static bool
answer_candidates(struct handoff__peer *peer)
{
	if (!handoff__candidates_answer(peer))
		return false;
	if (peer->partner != HANDOFF__PARTNER_APART)
		handoff__rejoin_end(peer);
	return true;
}

/* Does one thing of those that were noted. False if there is none. */
static bool
act_once(struct handoff__peer *peer)
{
	bool gone = peer->ended && handoff__death_certain(peer);

	peer->ended = false;
	if (peer->link.fd >= 0 && (peer->link.broken != 0 || gone)) {
		cut_link(peer);
		return true;
	}
	if (gone && peer->partner == HANDOFF__PARTNER_APART) {
		partner_gone(peer);
		return true;
	}
	return handoff__take_proceed(peer) || handoff__give_proceed(peer) ||
	       answer_candidates(peer);
}

bool
handoff__peer_after_turn(struct handoff__peer *peer)
{
	bool acted = false;

	peer->noted = false;
	if (peer->left)
		return false;
	if (peer->pulse.due)
		handoff__beat(peer);
	for (int i = 0; i < ACTS_MAX; i++) {
		if (act_once(peer)) {
			acted = true;
			continue;
		}
		if (peer->grown || !TAILQ_EMPTY(&peer->roster.to_drop) ||
			!TAILQ_EMPTY(&peer->roster.to_mirror))
			handoff__mirror_pump(peer);
		if (peer->link.fd < 0 || peer->link.broken == 0)
			break;
	}
	return acted;
}
