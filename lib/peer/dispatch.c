/* SPDX-License-Identifier: MIT */
/*
 * Routes each message to its state machine, and acts on notes after the
 * iteration: the one place that knows all state machines. Decides nothing about
 * ownership (give.c, take.c) or copies (mirror.c).
 */
#include "peer/dispatch.h"

#include "base/fdpass.h"
#include "peer/beat.h"
#include "peer/candidates.h"
#include "peer/copies.h"
#include "peer/core.h"
#include "peer/death.h"
#include "peer/give.h"
#include "peer/guard.h"
#include "peer/loading.h"
#include "peer/loan.h"
#include "peer/mirror.h"
#include "peer/moves.h"
#include "peer/partner.h"
#include "peer/pulse.h"
#include "peer/quiet.h"
#include "peer/reconcile.h"
#include "peer/rejoin.h"
#include "peer/room.h"
#include "peer/survive.h"
#include "peer/take.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_MAX 4096 /* reads, each of several messages */
#define ACTS_MAX  64

static void
on_ready(struct handoff__pair *pair, const struct handoff__msg *msg)
{
	if (pair->partner == HANDOFF__PARTNER_GREETED) {
		pair->partner = HANDOFF__PARTNER_READY;
		pair->ops->partner(pair, true);
	} else if (pair->give.step == HANDOFF__GIVE_NONE) {
		/* of a list */
		if (pair->ops->accepted)
			pair->ops->accepted(pair);
	} else {
		handoff__give_on_ready(pair, msg);
	}
}

static void
on_bye(struct handoff__pair *pair, const struct handoff__msg *msg)
{
	pair->other_leaving = pair->other_left = true;
	handoff__core_break(
		pair, handoff__reason_text((enum handoff__reason)msg->reason));
}

/* The number of descriptors that belong to the message. */
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
	struct handoff__pair *pair = link->arg;
	size_t wanted = fds_of(msg);

	pair->pulse.received_us = handoff__now_us();
	if (nfds != wanted) {
		handoff__fdpass_close(fds, nfds);
		handoff__core_break(pair, "descriptors and message disagree");
		return;
	}
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__SEGMENT:
		handoff__copies_on_segment(pair, msg, fds[0]);
		return;
	case HANDOFF__MIRROR:
		handoff__copies_arrived(pair, msg, fds, nfds);
		return;
	case HANDOFF__HELD:
		handoff__mirror_answered(pair, msg);
		return;
	case HANDOFF__DROP:
		handoff__copies_dropped(pair, msg);
		return;
	case HANDOFF__MOVE:
		handoff__take_on_move(pair, msg);
		return;
	case HANDOFF__TAKE:
		handoff__moves_on_take(pair, msg);
		return;
	case HANDOFF__READY:
		on_ready(pair, msg);
		return;
	case HANDOFF__GAVE:
		handoff__take_on_gave(pair, msg);
		return;
	case HANDOFF__BYE:
		on_bye(pair, msg);
		return;
	case HANDOFF__HELLO:
		handoff__core_break(pair, "it sent HELLO twice");
		return;
	case HANDOFF__LEND:
		handoff__loan_keep(pair, fds[0]);
		return;
	case HANDOFF__LIFE:
		handoff__death_watch_children(pair, fds[0]);
		return;
	case HANDOFF__SAY:
		pair->ops->said(pair);
		return;
	case HANDOFF__BEAT:
		if (handoff__pulse_on_beat(pair, msg))
			handoff__reconcile(pair);
		return;
	case HANDOFF__LEAVE:
		pair->other_leaving = true;
		return;
	case HANDOFF__LOST:
		handoff__mirror_lost(pair, msg);
		return;
	case HANDOFF__LOADING:
		handoff__loading_on_message(pair, msg);
		return;
	case HANDOFF__ROOM:
		handoff__room_on_message(pair, msg);
		return;
	}
}

/* The message's descriptors did not fit into the table. */
static void
on_lost(struct handoff__link *link, const struct handoff__msg *msg)
{
	struct handoff__pair *pair = link->arg;

	pair->pulse.received_us = handoff__now_us();
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__MIRROR:
		handoff__copies_overflow(pair, msg);
		return;
	case HANDOFF__SEGMENT:
		handoff__copies_lost_segment(pair, msg);
		return;
	case HANDOFF__LEND:
		return; /* only makes its process end more slowly */
	default:
		/* without LIFE the end of its children could not be detected */
		handoff__core_break(pair,
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

/* The other process is dead for certain, or has said BYE: takes over from
 * it. */
static void
partner_gone(struct handoff__pair *pair)
{
	const struct handoff__survival *survival = &pair->survival;

	handoff__pulse_stop(pair);
	handoff__rejoin_end(pair);
	handoff__survive(pair);
	pair->partner = HANDOFF__PARTNER_NONE;
	pair->other_leaving = pair->other_left = false;
	if (survival->serving || survival->entries > 0)
		handoff__tally_failover(pair);
	pair->ops->partner(pair, false);
	if (survival->serving || survival->entries > 0)
		pair->ops->failover(pair);
	memset(&pair->other, 0, sizeof(pair->other));
	pair->other_loading[0] = '\0';
	handoff__loan_return(pair);
}

/* Messages that it sent before the link broke still count. */
static void
drain_link(struct handoff__pair *pair)
{
	for (int i = 0; i < DRAIN_MAX && handoff__link_read(&pair->link); i++)
		;
}

static const char *
cut_text(const struct handoff__pair *pair)
{
	if (pair->cut_why[0])
		return pair->cut_why;
	switch (pair->link.broken) {
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
		return strerror(-pair->link.broken);
	}
}

/* Closes the link. Until the pidfd shows that the process is gone, and LIFE
 * that its children are, its entries are not touched: it may still serve. */
static void
cut_link(struct handoff__pair *pair)
{
	char who[64];

	drain_link(pair);
	handoff__log(pair->log, HANDOFF_LOG_WARNING, "link: closed to %s: %s",
		handoff__pair_partner_text(pair, who), cut_text(pair));
	handoff__link_close(&pair->link);
	pair->partner = HANDOFF__PARTNER_APART;
	/* before mirror_forget: revoked entries still count as held */
	handoff__give_broken(pair);
	handoff__quiet_broken(pair);
	handoff__take_broken(pair);
	handoff__mirror_forget(pair);
	if (pair->other_left) {
		handoff__death_forget_process(pair);
		handoff__death_forget_children(pair);
	}
	if (handoff__death_certain(pair))
		partner_gone(pair);
	else
		handoff__rejoin_begin(pair);
}

/* A link that a candidate brings ends the redialling. */
static bool
answer_candidates(struct handoff__pair *pair)
{
	if (!handoff__candidates_answer(pair))
		return false;
	if (pair->partner != HANDOFF__PARTNER_APART)
		handoff__rejoin_end(pair);
	return true;
}

/* Does one of the things that were noted. False if there is none. */
static bool
act_once(struct handoff__pair *pair)
{
	bool gone = pair->ended && handoff__death_certain(pair);

	pair->ended = false;
	if (pair->link.fd >= 0 && (pair->link.broken != 0 || gone)) {
		cut_link(pair);
		return true;
	}
	if (gone && pair->partner == HANDOFF__PARTNER_APART) {
		partner_gone(pair);
		return true;
	}
	return handoff__take_proceed(pair) || handoff__quiet_confirmed(pair) ||
	       handoff__quiet_recheck(pair) || handoff__moves_proceed(pair) ||
	       handoff__give_proceed(pair) || answer_candidates(pair);
}

bool
handoff__pair_proceed(struct handoff__pair *pair)
{
	bool acted = false;

	pair->noted = false;
	if (pair->left) {
		if (pair->guard.lingers)
			handoff__guard_proceed(pair);
		return false;
	}
	if (pair->pulse.due)
		handoff__beat(pair);
	for (int i = 0; i < ACTS_MAX; i++) {
		if (act_once(pair)) {
			acted = true;
			continue;
		}
		if (pair->grown || !TAILQ_EMPTY(&pair->roster.to_drop) ||
			!TAILQ_EMPTY(&pair->roster.to_mirror))
			handoff__mirror_pump(pair);
		if (pair->link.fd < 0 || pair->link.broken == 0)
			break;
	}
	if (handoff__pair_leased(pair))
		handoff__guard_proceed(pair);
	return acted;
}
