/* SPDX-License-Identifier: MIT */
/*
 * One move to the other host, but for its batches (outbound.c): asks the other
 * ferry, sends batches until little is left, then holds what is new, takes the
 * service from the server and sends the rest, and gives the addresses away.
 * Until then it can be broken off: what is not committed stays.
 */
#include "ferry/mover.h"

#include "ferry/carrier.h"
#include "ferry/choice.h"
#include "ferry/commons.h"
#include "ferry/course.h"
#include "ferry/drain.h"
#include "ferry/halfopen.h"
#include "ferry/letters.h"
#include "ferry/listeners.h"
#include "ferry/outbound.h"
#include "ferry/site.h"
#include "ferry/steer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEW         64     /* so many may be left for the last part */
#define SMALL       2      /* batches of so few, in a row */
#define OPEN_MOST   2      /* batches under way */
#define AGAIN_US    20000  /* for those that have to wait */
#define HALFOPEN_US 300000 /* how long these are waited for */
#define ENDING_US   250000 /* and those that end, while SYNs wait */
#define PORTS       64

static void
wake(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->due = true;
}

static void
on_deadline(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->mover.late = ferry->due = true;
}

static void
look_again(struct handoff__ferry *ferry, int64_t us)
{
	struct handoff__mover *mover = &ferry->mover;

	mover->again.fn = wake;
	mover->again.arg = ferry;
	if (!mover->again.armed)
		handoff__timer_arm(&ferry->loop, &mover->again, us);
}

/* Its answer shows that what was said before is in force. While there is no
 * helper all packets are dropped, and the next one is told everything first. */
static void
ask_gate(struct handoff__ferry *ferry)
{
	if (handoff__gate_count(ferry->gate) == 0)
		ferry->gate_asked++;
}

static bool
is_active(const struct handoff__ferry *ferry)
{
	return handoff__course_runs(ferry) &&
	       ferry->report.way == HANDOFF__FERRY_OUT;
}

static void
give_up_batches(struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (ferry->loads[i] && ferry->loads[i]->out)
			handoff__outbound_give_up(ferry->loads[i]);
	}
}

/* Connections of which only the other host knows whether they are its own. */
static uint32_t
count_doubt(const struct handoff__ferry *ferry)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		if (load && load->out &&
			load->s.state == HANDOFF__SENDING_COMMITTED)
			count += load->s.count;
	}
	return count;
}

static void
pass_new(struct handoff__ferry *ferry)
{
	if (ferry->mover.holding && ferry->gate)
		handoff__gate_default(ferry->gate, HANDOFF__GATE_PASS);
	ferry->mover.holding = false;
}

static void
finish(struct handoff__ferry *ferry, const char *text)
{
	struct handoff__mover *mover = &ferry->mover;
	bool flipped = count_doubt(ferry) > 0 ||
		       (ferry->gate && handoff__gate_flips(ferry->gate));

	handoff__timer_disarm(&ferry->loop, &mover->deadline);
	handoff__timer_disarm(&ferry->loop, &mover->again);
	if (text) {
		give_up_batches(ferry);
		pass_new(ferry);
		ferry->report.doubt = count_doubt(ferry);
		if (!flipped && ferry->gate)
			handoff__gate_rule(ferry->gate, false);
	}
	if (!ferry->report.dry)
		handoff__choice_report(ferry, false);
	mover->draining = false;
	if (text == NULL && !ferry->report.dry)
		handoff__drain_begin(ferry);
	mover->begun = mover->asked = mover->late = false;
	handoff__course_end(ferry, text);
	if (ferry->greeted)
		handoff__course_send(ferry);
	ferry->due = true;
}

void
handoff__mover_break(struct handoff__ferry *ferry, const char *why)
{
	if (is_active(ferry) && !ferry->mover.addressed)
		finish(ferry, why);
}

/* Why nothing can move now; NULL if it can. */
static const char *
objection(const struct handoff__ferry *ferry, bool rest)
{
	if (ferry->stopping)
		return "the ferry is stopping";
	if (!ferry->joined)
		return "two servers have the places of the service directory: "
		       "stop one of them first";
	if (!handoff__batches_of(&ferry->pair.arena))
		return "no server of this service is here";
	if (!rest && ferry->site == HANDOFF__FERRY_THERE)
		return "the service's addresses are not on this host";
	if (rest && ferry->site == HANDOFF__FERRY_HERE)
		return "the service's addresses are on this host";
	if (rest && handoff__commons_size(ferry) > 0 &&
		handoff__choice_count(ferry) > 0)
		return "the service has a shared region, which moves as a "
		       "whole: maintenance --to takes the addresses there "
		       "first, and ready then brings all of it home";
	if (!(ferry->other.flags & HANDOFF__LETTER_HAS_SERVER))
		return "no server that can serve has joined the other ferry: "
		       "start one there first";
	return NULL;
}

static int
begin(struct handoff__ferry *ferry, uint32_t flags)
{
	struct handoff__letter *letter;
	bool whole = flags & HANDOFF__LETTER_WHOLE;
	bool rest = flags & HANDOFF__LETTER_REST;
	const char *why = objection(ferry, rest);
	char text[HANDOFF_TEXT_MAX];

	if (handoff__course_runs(ferry))
		return handoff__fail(&ferry->error, -EBUSY,
			"another move is under way: wait for its end");
	if (!ferry->greeted)
		return handoff__fail(&ferry->error, -ENOTCONN,
			"there is no link to the other ferry: %s",
			handoff__channel_errmsg(ferry->channel));
	if (handoff__site_objection(ferry, text))
		return handoff__fail(&ferry->error, -EPERM, "%s", text);
	if (why)
		return handoff__fail(&ferry->error, -EPERM, "%s", why);
	if (handoff__letters_fits(ferry) < 0)
		return -EPERM;
	letter = calloc(1, sizeof(*letter));
	if (!letter)
		return handoff__fail(&ferry->error, -ENOMEM, "no memory");
	handoff__course_begin(ferry, HANDOFF__FERRY_OUT, HANDOFF__FERRY_ASKING);
	ferry->report.whole = whole;
	ferry->report.dry = flags & HANDOFF__LETTER_DRY;
	ferry->report.rest = rest;
	ferry->report.total = handoff__choice_count(ferry);
	letter->type = HANDOFF__LETTER_BEGIN;
	letter->flags = flags;
	letter->begin.connections = ferry->report.total;
	letter->begin.region = rest ? 0 : handoff__commons_size(ferry);
	if (!rest)
		handoff__listeners_describe(ferry, &letter->begin);
	ferry->report.listeners = letter->begin.nlisteners;
	handoff__letters_send(ferry, letter);
	free(letter);
	ferry->mover = (struct handoff__mover){
		.whole = !rest && (whole || handoff__commons_size(ferry) > 0),
		.rest = rest,
		.fetched = ferry->mover.fetched,
		.choices = ferry->mover.choices,
		.again = ferry->mover.again,
		.deadline = {.fn = on_deadline, .arg = ferry}};
	handoff__timer_arm(&ferry->loop, &ferry->mover.deadline,
		(int64_t)ferry->options.timeout_ms * 1000);
	return 0;
}

int
handoff__ferry_move(struct handoff__ferry *ferry, bool whole, bool dry)
{
	return begin(ferry, (whole ? HANDOFF__LETTER_WHOLE : 0u) |
				    (dry ? HANDOFF__LETTER_DRY : 0u));
}

static void
on_begun(struct handoff__ferry *ferry)
{
	if (!is_active(ferry) || ferry->report.step != HANDOFF__FERRY_ASKING ||
		ferry->mover.begun)
		return;
	ferry->mover.begun = true;
	if (ferry->report.dry) {
		handoff__choice_report(ferry, true);
		finish(ferry, NULL);
		return;
	}
	ferry->due = true;
}

/* The gate may be only starting. */
static void
proceed_asking(struct handoff__ferry *ferry)
{
	struct handoff__mover *mover = &ferry->mover;
	char why[HANDOFF_TEXT_MAX];

	if (mover->late && mover->begun)
		snprintf(why, sizeof(why), "the gate is not ready: %.180s",
			ferry->gate_text[0] ? ferry->gate_text
					    : "it is still starting");
	if (mover->late) {
		finish(ferry, mover->begun ? why
					   : "the other ferry has not answered "
					     "in time");
		return;
	}
	if (!mover->begun || mover->ruling || !ferry->gate ||
		!handoff__gate_is_ready(ferry->gate))
		return;
	mover->ruling = true;
	handoff__gate_default(ferry->gate, HANDOFF__GATE_PASS);
	handoff__gate_target(
		ferry->gate, ferry->device.ifindex, ferry->other.mac);
	handoff__gate_rule(ferry->gate, true);
}

static void
begin_last(struct handoff__ferry *ferry)
{
	ferry->report.step = HANDOFF__FERRY_LAST;
	handoff__gate_default(ferry->gate, HANDOFF__GATE_HOLD);
	ferry->mover.holding = true;
	ask_gate(ferry);
	ferry->mover.part = HANDOFF__MOVER_HOLD;
	ferry->due = true;
}

void
handoff__mover_on_ruled(
	struct handoff__ferry *ferry, bool on, int err, const char *text)
{
	char why[HANDOFF_TEXT_MAX];

	if (!is_active(ferry) || !ferry->mover.begun || !on)
		return;
	if (err < 0) {
		snprintf(why, sizeof(why), "packets cannot be held: %.180s",
			text ? text : strerror(-err));
		finish(ferry, why);
		return;
	}
	ferry->mover.ruled = true;
	if (ferry->report.step != HANDOFF__FERRY_ASKING)
		return;
	ferry->report.step = HANDOFF__FERRY_BATCHES;
	if (ferry->mover.whole)
		begin_last(ferry);
	ferry->due = true;
}

static void
on_fetch(struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	ferry->mover.fetched = true;
	if (begin(ferry, letter->flags & HANDOFF__LETTER_REST) < 0)
		handoff__letters_text(
			ferry, HANDOFF__LETTER_REFUSED, 0, ferry->error.text);
}

void
handoff__mover_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	char why[HANDOFF_TEXT_MAX];

	switch ((enum handoff__letter_type)letter->type) {
	case HANDOFF__LETTER_BEGUN:
		on_begun(ferry);
		return;
	case HANDOFF__LETTER_FETCH:
		on_fetch(ferry, letter);
		return;
	case HANDOFF__LETTER_ADDRESSED:
		if (is_active(ferry) && ferry->mover.addressed)
			finish(ferry, NULL);
		return;
	case HANDOFF__LETTER_REFUSED:
		if (!is_active(ferry) || ferry->mover.addressed)
			return;
		snprintf(why, sizeof(why), "%.60s: %.180s", ferry->other_host,
			letter->text);
		finish(ferry, why);
		return;
	default:
		return;
	}
}

/* What can go next, into `list`. */
static void
choose(struct handoff__ferry *ferry, struct handoff__choice *choice,
	struct handoff__roster_entry **list)
{
	uint32_t most = ferry->options.batch;

	*choice = (struct handoff__choice){.list = list,
		.most = most < HANDOFF_FDPASS_MAX ? most : HANDOFF_FDPASS_MAX};
	handoff__choose(ferry, choice);
}

static bool
is_late(struct handoff__ferry *ferry)
{
	if (ferry->mover.late)
		finish(ferry, "not everything could move in time");
	return ferry->mover.late;
}

/* What the other host has refused would be lost with the addresses. */
static bool
is_blocked(struct handoff__ferry *ferry)
{
	char why[HANDOFF_TEXT_MAX];
	uint32_t count = handoff__choice_stuck(ferry, handoff__refused_there);

	if (count == 0)
		return false;
	snprintf(why, sizeof(why),
		"%.60s has refused %u connection%s, which would be lost: %s",
		ferry->other_host, count, handoff__plural(count),
		ferry->refusal);
	finish(ferry, why);
	return true;
}

/* Of what comes back to a host that has the addresses all goes like this: no
 * connection begins here. What has come only just may not be forgotten there
 * yet. */
static bool
waits_for_rest(struct handoff__ferry *ferry, const struct handoff__choice *c)
{
	if (!ferry->mover.rest || c->count > 0)
		return false;
	if (c->later > 0)
		look_again(ferry, AGAIN_US);
	else
		finish(ferry, NULL);
	return true;
}

/* A second batch while the first is with the other host, where this one would
 * have nothing to do; not for a few, and `tried` once for each. */
static void
overlap(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	struct handoff__mover *mover = &ferry->mover;
	struct handoff__choice choice;

	if (handoff__outbound_here(ferry) > 0 ||
		mover->tried == ferry->report.batches)
		return;
	mover->tried = ferry->report.batches;
	choose(ferry, &choice, list);
	if (choice.count * 2 > choice.most)
		handoff__outbound_begin(ferry, list, choice.count, false);
}

/* Batches, until only few are left, and none of those has to be waited for.
 * While clients come and go there is always one. */
static void
proceed_batches(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	struct handoff__mover *mover = &ferry->mover;
	uint32_t open = handoff__outbound_open(ferry);
	struct handoff__choice choice;
	bool few;

	if (is_late(ferry) || open >= OPEN_MOST)
		return;
	if (mover->rest && handoff__freight_comes(ferry)) {
		look_again(ferry, AGAIN_US);
		return;
	}
	if (open > 0) {
		overlap(ferry);
		return;
	}
	choose(ferry, &choice, list);
	if ((choice.later == 0 && is_blocked(ferry)) ||
		waits_for_rest(ferry, &choice))
		return;
	few = handoff__choice_count(ferry) - choice.stay - choice.last <= FEW;
	if (!mover->rest && choice.later == 0 &&
		(choice.count == 0 || (few && mover->small++ == SMALL))) {
		begin_last(ferry);
		return;
	}
	if (choice.count == 0 ||
		handoff__outbound_begin(ferry, list, choice.count, false) < 0)
		look_again(ferry, AGAIN_US);
}

static int
count_halfopen(struct handoff__ferry *ferry)
{
	struct handoff__error error;
	uint16_t ports[PORTS];
	uint32_t n = handoff__listeners_ports(ferry, ports, PORTS);

	return handoff__halfopen_count(
		ferry->prefixes, ferry->nprefixes, ports, n, &error);
}

/* The answer of the gate says that the hold is in force: no connection begins
 * here any more. */
static void
proceed_hold(struct handoff__ferry *ferry)
{
	if (ferry->gate_answered != ferry->gate_asked)
		return;
	ferry->mover.part = HANDOFF__MOVER_HALFOPEN;
	ferry->mover.since_us = handoff__now_us();
	ferry->due = true;
}

/* A client that has our SYN-ACK gets to us once more, and then the listeners
 * have its connection. */
static void
proceed_halfopen(struct handoff__ferry *ferry)
{
	if (count_halfopen(ferry) > 0 &&
		handoff__now_us() - ferry->mover.since_us < HALFOPEN_US) {
		look_again(ferry, 1000);
		return;
	}
	ferry->mover.part = HANDOFF__MOVER_SERVICE;
	ferry->due = true;
}

static void
proceed_service(struct handoff__ferry *ferry)
{
	struct handoff__pair *pair = &ferry->pair;
	char why[HANDOFF_TEXT_MAX];

	if (pair->serving && !handoff__pair_moving(pair)) {
		handoff__listeners_accept(ferry);
		ferry->mover.part = HANDOFF__MOVER_REST;
		ferry->due = true;
		return;
	}
	if (pair->serving || ferry->mover.asked)
		return;
	if (handoff__pair_take(pair, HANDOFF__HOME_SILENT) < 0) {
		snprintf(why, sizeof(why), "the server gives nothing: %.200s",
			pair->error.text);
		finish(ferry, why);
		return;
	}
	ferry->mover.asked = true;
}

void
handoff__mover_on_given(
	struct handoff__ferry *ferry, const struct handoff__report *report)
{
	char why[HANDOFF_TEXT_MAX];

	if (!is_active(ferry) || !ferry->mover.asked || ferry->pair.serving)
		return;
	snprintf(why, sizeof(why), "the server has not given the service: %s",
		handoff__reason_text(report->reason));
	finish(ferry, why);
}

/* The point of no return: everything is the other host's. */
static void
give_addresses(struct handoff__ferry *ferry)
{
	int err = 0;

	handoff__listeners_close(ferry);
	handoff__gate_default(ferry->gate, HANDOFF__GATE_FLIP);
	ferry->mover.holding = false;
	handoff__announce_stop(&ferry->announce);
	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		err = handoff__address_off_device(
			&ferry->device, &ferry->prefixes[i], &ferry->error);
		if (err < 0)
			handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
				"address: %s", ferry->error.text);
	}
	handoff__steer_final(ferry);
	ferry->site = HANDOFF__FERRY_THERE;
	ferry->present = 0;
	ferry->mover.addressed = true;
	ferry->report.step = HANDOFF__FERRY_ADDRESS;
	handoff__letters_plain(ferry, HANDOFF__LETTER_ADDRESS, 0);
	handoff__channel_flush(ferry->channel);
}

/* Connections that end here need their addresses until they have; clients that
 * do not answer any more are not waited for. */
static bool
waits_for_ends(struct handoff__ferry *ferry)
{
	struct handoff__error error;
	uint16_t ports[PORTS];
	uint32_t n = handoff__listeners_ports(ferry, ports, PORTS);
	int64_t now = handoff__now_us();

	if (ferry->mover.ends_us == 0)
		ferry->mover.ends_us = now;
	return now - ferry->mover.ends_us < ENDING_US &&
	       handoff__halfopen_ending(
		       ferry->prefixes, ferry->nprefixes, ports, n, &error) > 0;
}

/* Nothing can go any more: all that is here stays for a reason. */
static void
give_if_empty(
	struct handoff__ferry *ferry, const struct handoff__choice *choice)
{
	if (choice->stay < handoff__choice_count(ferry))
		finish(ferry, "some connections could not be chosen");
	else if (waits_for_ends(ferry))
		look_again(ferry, AGAIN_US);
	else
		give_addresses(ferry);
}

/* Everything in one batch: the first of it to serve there does so with the
 * shared region, which no other may then change here. */
static void
send_whole(struct handoff__ferry *ferry)
{
	struct handoff__choice choice = {
		.most = handoff__choice_count(ferry) + 1};
	char why[HANDOFF_TEXT_MAX];
	int err = 0;

	choice.list =
		calloc(choice.most, sizeof(struct handoff__roster_entry *));
	if (!choice.list) {
		finish(ferry, "no memory");
		return;
	}
	handoff__choose(ferry, &choice);
	if (choice.stay > 0) {
		snprintf(why, sizeof(why),
			"%u connection%s cannot move, and all are to move or "
			"none",
			choice.stay, handoff__plural(choice.stay));
		finish(ferry, why);
	} else if (choice.later > 0) {
		look_again(ferry, AGAIN_US);
	} else if (choice.count == 0) {
		give_if_empty(ferry, &choice);
	} else {
		err = handoff__commons_send(ferry);
		if (err == 0)
			err = handoff__outbound_begin(
				ferry, choice.list, choice.count, true);
		if (err == -ENOSPC || err == -ENOENT)
			look_again(ferry, AGAIN_US);
		else if (err < 0)
			finish(ferry, "the shared region cannot be sent");
	}
	free(choice.list);
}

static void
proceed_rest(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	struct handoff__choice choice;

	if (is_late(ferry) || handoff__outbound_open(ferry) > 0)
		return;
	if (ferry->mover.whole) {
		send_whole(ferry);
		return;
	}
	choose(ferry, &choice, list);
	if (choice.count == 0 && choice.later == 0) {
		if (!is_blocked(ferry))
			give_if_empty(ferry, &choice);
	} else if (choice.count == 0 || handoff__outbound_begin(ferry, list,
						choice.count, false) < 0)
		look_again(ferry, AGAIN_US);
}

static void
proceed_last(struct handoff__ferry *ferry)
{
	switch (ferry->mover.part) {
	case HANDOFF__MOVER_HALFOPEN:
		if (!is_late(ferry))
			proceed_halfopen(ferry);
		return;
	case HANDOFF__MOVER_HOLD:
		if (!is_late(ferry))
			proceed_hold(ferry);
		return;
	case HANDOFF__MOVER_SERVICE:
		if (!is_late(ferry))
			proceed_service(ferry);
		return;
	case HANDOFF__MOVER_REST:
		proceed_rest(ferry);
		return;
	}
}

void
handoff__mover_proceed(struct handoff__ferry *ferry)
{
	if (!is_active(ferry)) {
		handoff__drain_proceed(ferry);
		return;
	}
	switch (ferry->report.step) {
	case HANDOFF__FERRY_ASKING:
		proceed_asking(ferry);
		return;
	case HANDOFF__FERRY_BATCHES:
		proceed_batches(ferry);
		return;
	case HANDOFF__FERRY_LAST:
		proceed_last(ferry);
		return;
	case HANDOFF__FERRY_IDLE:
	case HANDOFF__FERRY_ADDRESS:
	case HANDOFF__FERRY_FETCHING:
		return;
	}
}

void
handoff__mover_on_link(struct handoff__ferry *ferry, bool up)
{
	if (!is_active(ferry))
		return;
	if (up && ferry->mover.addressed)
		handoff__letters_plain(ferry, HANDOFF__LETTER_ADDRESS, 0);
	else if (!up && !ferry->mover.addressed)
		finish(ferry, "the link to the other ferry broke");
}
