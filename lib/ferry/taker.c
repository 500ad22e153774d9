/* SPDX-License-Identifier: MIT */
/*
 * One move to this host, but for its batches (inbound.c): whether a server is
 * here for it, the listeners that it needs, and the addresses, which are on lo
 * until the other host has given them up. The other ferry decides when.
 */
#include "ferry/taker.h"

#include "ferry/carrier.h"
#include "ferry/course.h"
#include "ferry/inbound.h"
#include "ferry/letters.h"
#include "ferry/listeners.h"
#include "ferry/outbound.h"
#include "ferry/site.h"

#include "record/region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_US  8000000 /* the server may take to get the service */
#define AGAIN_US   100000  /* then an address that is not used is tried again */
#define FAILED_US  1000000 /* and one that failed */
#define FETCH_MORE 5000    /* ms that a fetch has beyond the move itself */

static void
on_deadline(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->taker.late = ferry->due = true;
}

static void
arm(struct handoff__ferry *ferry, int64_t us)
{
	struct handoff__taker *taker = &ferry->taker;

	taker->deadline.fn = on_deadline;
	taker->deadline.arg = ferry;
	taker->late = false;
	handoff__timer_arm(&ferry->loop, &taker->deadline, us);
}

static void
wake(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->due = true;
}

static void
look_again(struct handoff__ferry *ferry, int err)
{
	struct handoff__taker *taker = &ferry->taker;

	taker->again.fn = wake;
	taker->again.arg = ferry;
	handoff__timer_arm(&ferry->loop, &taker->again,
		err == -ETIMEDOUT ? AGAIN_US : FAILED_US);
}

/* What is in doubt may be this host's yet. */
static bool
may_have_moved(const struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		if (load && !load->out && !handoff__inbound_over(load))
			return true;
	}
	return ferry->report.moved > 0;
}

/* The move has failed: what was filled makes no sense. */
static void
drop_region(struct handoff__ferry *ferry)
{
	const struct handoff__segment *commons =
		handoff__arena_commons(&ferry->pair.arena);

	if (ferry->taker.regioned && commons && !may_have_moved(ferry))
		handoff__region_clear(commons);
}

/* The same for the addresses, unless connections have come with them. */
static void
drop_addresses(struct handoff__ferry *ferry)
{
	struct handoff__error error;

	if (ferry->report.moved > 0 || ferry->site == HANDOFF__FERRY_HERE ||
		ferry->nloads > 0 ||
		ferry->pair.roster.connections + ferry->pair.roster.copies > 0)
		return;
	for (uint32_t i = 0; i < ferry->nprefixes; i++)
		handoff__address_off_lo(&ferry->prefixes[i], &error);
}

static void
end_taker(struct handoff__ferry *ferry, const char *text)
{
	struct handoff__taker *taker = &ferry->taker;

	handoff__timer_disarm(&ferry->loop, &taker->deadline);
	handoff__timer_disarm(&ferry->loop, &taker->again);
	if (text) {
		drop_region(ferry);
		drop_addresses(ferry);
	}
	/* what has stayed there is served there, as before */
	if (!text && !ferry->report.dry && ferry->gate &&
		!(ferry->report.rest && ferry->report.left > 0) &&
		handoff__gate_is_seeking(ferry->gate)) {
		handoff__gate_rule(ferry->gate, false);
		handoff__gate_seek(ferry->gate, false);
	}
	memset(taker, 0, offsetof(struct handoff__taker, deadline));
	handoff__course_end(ferry, text);
}

static void
refuse(struct handoff__ferry *ferry, const char *text)
{
	handoff__letters_text(ferry, HANDOFF__LETTER_REFUSED, 0, text);
	end_taker(ferry, text);
}

/* Why a move cannot come here now, or NULL. */
static const char *
objection(struct handoff__ferry *ferry)
{
	const struct handoff__pair *pair = &ferry->pair;

	if (ferry->stopping)
		return "the ferry is stopping";
	if (!ferry->joined)
		return "two servers have the places of the service directory: "
		       "stop one of them first";
	if (pair->partner != HANDOFF__PARTNER_READY)
		return "no server has joined the ferry: start one first";
	if (pair->other_loading[0])
		return "the server is not ready to serve yet";
	if (!handoff__carrier_has_server(ferry))
		return "the server is stopping";
	return NULL;
}

/* The addresses on lo: sockets may have them, and no neighbour hears of it. */
static int
prepare_addresses(struct handoff__ferry *ferry)
{
	struct handoff__arp_modes before;
	int err = handoff__device_quiet(&ferry->device, &before, &ferry->error);

	for (uint32_t i = 0; i < ferry->nprefixes && err >= 0; i++)
		err = handoff__address_to_lo(
			&ferry->device, &ferry->prefixes[i], &ferry->error);
	return err;
}

/* What an earlier move had forwarded comes back. If the addresses are here, its
 * packets are forwarded until it has come. */
static void
begin_return(struct handoff__ferry *ferry)
{
	struct handoff__gate *gate = ferry->gate;
	bool partial = gate && ferry->site == HANDOFF__FERRY_HERE &&
		       (ferry->report.rest || handoff__gate_flips(gate));

	ferry->mover.draining = false;
	if (!gate)
		return;
	handoff__gate_default(gate, HANDOFF__GATE_PASS);
	handoff__gate_seek(gate, partial);
	handoff__gate_unsettle(gate);
	handoff__gate_rule(gate, partial);
}

static void
on_begin(struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	struct handoff__taker *taker = &ferry->taker;
	bool fetched = ferry->report.step == HANDOFF__FERRY_FETCHING &&
		       handoff__course_runs(ferry);
	const char *why = objection(ferry);
	int opened;

	if (handoff__course_runs(ferry) && !fetched) {
		handoff__letters_text(ferry, HANDOFF__LETTER_REFUSED, 0,
			"another move is under way there");
		return;
	}
	if (!fetched)
		handoff__course_begin(
			ferry, HANDOFF__FERRY_IN, HANDOFF__FERRY_BATCHES);
	ferry->report.step = HANDOFF__FERRY_BATCHES;
	ferry->report.dry = letter->flags & HANDOFF__LETTER_DRY;
	ferry->report.whole = letter->flags & HANDOFF__LETTER_WHOLE;
	ferry->report.rest = letter->flags & HANDOFF__LETTER_REST;
	ferry->report.total = letter->begin.connections;
	taker->active = true;
	if (why) {
		refuse(ferry, why);
		return;
	}
	if (ferry->report.dry) {
		handoff__letters_plain(ferry, HANDOFF__LETTER_BEGUN, 0);
		end_taker(ferry, NULL);
		return;
	}
	begin_return(ferry);
	opened = ferry->report.rest ? 0 : prepare_addresses(ferry);
	taker->unused = opened == -ETIMEDOUT;
	if (opened >= 0 || taker->unused)
		opened = handoff__listeners_open(ferry, &letter->begin);
	if (opened < 0) {
		refuse(ferry, ferry->error.text);
		return;
	}
	ferry->report.listeners = (uint32_t)opened;
	taker->region = letter->begin.region;
	taker->answer = true;
	arm(ferry, SERVER_US);
}

static bool
owns_listener(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->mine && e->kind == HANDOFF__LISTENER)
			return true;
	}
	return false;
}

static bool
has_gate(const struct handoff__ferry *ferry)
{
	return ferry->gate && handoff__gate_is_ready(ferry->gate);
}

static const char *
late_text(const struct handoff__ferry *ferry)
{
	if (ferry->taker.unused)
		return ferry->error.text;
	if (!has_gate(ferry))
		return "its gate (handoff-unfreeze) cannot be started";
	return handoff__outbound_leaves(ferry)
		       ? "connections that have left it are in doubt"
		       : "the server there has not taken the listeners in time";
}

/* Whether the kernel takes packets to the addresses; if not it is asked again,
 * or `unused` is false and there is a sentence. */
static bool
are_used(struct handoff__ferry *ferry)
{
	int err = prepare_addresses(ferry);

	ferry->taker.unused = err == -ETIMEDOUT;
	if (ferry->taker.unused)
		look_again(ferry, err);
	return err >= 0;
}

/* The server gets the service, or only the listeners that it lacked, before a
 * connection comes. */
static void
proceed_answer(struct handoff__ferry *ferry)
{
	struct handoff__taker *taker = &ferry->taker;
	const char *why = objection(ferry);

	if (!why && taker->late)
		why = late_text(ferry);
	if (!why && taker->unused && !are_used(ferry)) {
		if (taker->unused)
			return;
		why = ferry->error.text;
	}
	if (why) {
		refuse(ferry, why);
		return;
	}
	if (ferry->pair.serving || owns_listener(ferry)) {
		handoff__carrier_give(ferry);
		return;
	}
	/* what is still leaving is forwarded, and would be when it has come */
	if (handoff__pair_moving(&ferry->pair) || !has_gate(ferry) ||
		handoff__outbound_leaves(ferry))
		return;
	handoff__timer_disarm(&ferry->loop, &taker->deadline);
	taker->answer = false;
	/* what the helper has told of an earlier ferry only now */
	handoff__gate_unsettle(ferry->gate);
	handoff__letters_plain(ferry, HANDOFF__LETTER_BEGUN, 0);
	handoff__channel_flush(ferry->channel);
}

static int
take_addresses(struct handoff__ferry *ferry)
{
	struct handoff__error error;
	int err = 0;

	for (uint32_t i = 0; i < ferry->nprefixes && err >= 0; i++)
		err = handoff__address_to_device(
			&ferry->device, &ferry->prefixes[i], &ferry->error);
	if (err < 0) {
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "address: %s",
			ferry->error.text);
		return err;
	}
	if (handoff__announce_start(&ferry->announce, &ferry->device,
		    ferry->prefixes, ferry->nprefixes, &error) < 0)
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING, "announce: %s",
			error.text);
	ferry->site = HANDOFF__FERRY_HERE;
	ferry->present = (1u << ferry->nprefixes) - 1;
	return 0;
}

/* The other host has given them up already: until it succeeds. */
static void
proceed_address(struct handoff__ferry *ferry)
{
	int err = take_addresses(ferry);

	if (err < 0) {
		look_again(ferry, err);
		return;
	}
	ferry->taker.addressing = false;
	ferry->taker.addressed = true;
	handoff__site_came(ferry);
	handoff__letters_hello(ferry, false);
	handoff__letters_plain(ferry, HANDOFF__LETTER_ADDRESSED, 0);
	handoff__channel_flush(ferry->channel);
}

/* All of them are on lo, and the server here listens. */
static bool
is_where_it_was_to_go(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *e = NULL;
	struct handoff__error error;
	char other[IFNAMSIZ];

	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		if (handoff__address_spot(&ferry->device, &ferry->prefixes[i],
			    other, &error) != HANDOFF__ON_LO)
			return false;
	}
	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->kind == HANDOFF__LISTENER && !e->mine)
			return true;
	}
	return false;
}

/* A ferry before this one has died between two of them: here is where the
 * others are, so all are. */
static void
complete_addresses(struct handoff__ferry *ferry)
{
	struct handoff__error error;
	char other[IFNAMSIZ];
	bool lacks = false;

	for (uint32_t i = 0; i < ferry->nprefixes; i++)
		lacks |= handoff__address_spot(&ferry->device,
				 &ferry->prefixes[i], other,
				 &error) == HANDOFF__ABSENT;
	if (!lacks)
		return;
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"some of the addresses are here, and the others on neither "
		"host: takes them");
	take_addresses(ferry);
}

void
handoff__taker_on_hello(
	struct handoff__ferry *ferry, const struct handoff__letter_hello *hello)
{
	if (ferry->site == HANDOFF__FERRY_HERE &&
		!(hello->flags & HANDOFF__LETTER_AT_HOME) &&
		!handoff__course_runs(ferry))
		complete_addresses(ferry);
	if (ferry->site != HANDOFF__FERRY_NOWHERE ||
		hello->flags & HANDOFF__LETTER_AT_HOME ||
		/* a host that is only starting gets its addresses yet */
		!(hello->flags & HANDOFF__LETTER_HAS_SERVER) ||
		handoff__course_runs(ferry) ||
		!handoff__carrier_has_server(ferry) || ferry->pair.serving ||
		!is_where_it_was_to_go(ferry))
		return;
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"the addresses are on neither host, and were to come here: "
		"takes them");
	if (take_addresses(ferry) >= 0)
		handoff__site_came(ferry);
}

/* A part of the shared region: it is complete before the batch that goes with
 * it is decided. */
static void
on_region(struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	struct handoff__taker *taker = &ferry->taker;
	const struct handoff__segment *commons =
		handoff__arena_commons(&ferry->pair.arena);
	int err = commons && taker->active && ferry->report.moved == 0
			  ? 0
			  : -EPROTO;

	if (err == 0 && letter->offset == 0)
		err = handoff__region_import_begin(commons);
	if (err == 0)
		err = handoff__region_import(
			commons, letter->offset, letter->bytes, letter->len);
	if (err < 0) {
		handoff__letters_text(ferry, HANDOFF__LETTER_REFUSED, 0,
			"the shared region cannot be filled");
		return;
	}
	taker->regioned = letter->offset + letter->len >= taker->region;
	if (taker->regioned)
		handoff__region_import_end(commons, true);
}

static void
on_report(struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	if (!handoff__course_runs(ferry) ||
		ferry->report.way != HANDOFF__FERRY_IN)
		return;
	handoff__course_receive(ferry, &letter->report);
	if (letter->report.step == HANDOFF__FERRY_IDLE)
		end_taker(ferry, letter->report.ok
					 ? NULL
					 : (letter->text[0] ? letter->text
							    : "it has failed"));
}

void
handoff__taker_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	switch ((enum handoff__letter_type)letter->type) {
	case HANDOFF__LETTER_BEGIN:
		on_begin(ferry, letter);
		return;
	case HANDOFF__LETTER_ADDRESS:
		ferry->taker.addressing = true;
		proceed_address(ferry);
		return;
	case HANDOFF__LETTER_REPORT:
		on_report(ferry, letter);
		return;
	case HANDOFF__LETTER_REGION:
		on_region(ferry, letter);
		return;
	case HANDOFF__LETTER_REFUSED:
		if (handoff__course_runs(ferry) &&
			ferry->report.step == HANDOFF__FERRY_FETCHING)
			end_taker(ferry, letter->text);
		return;
	default:
		return;
	}
}

void
handoff__taker_proceed(struct handoff__ferry *ferry)
{
	struct handoff__taker *taker = &ferry->taker;

	if (taker->again.armed)
		return;
	if (taker->addressing)
		proceed_address(ferry);
	else if (taker->answer)
		proceed_answer(ferry);
	else if (taker->late && handoff__course_runs(ferry) &&
		 ferry->report.step == HANDOFF__FERRY_FETCHING)
		end_taker(ferry, "the other ferry has not answered in time");
}

void
handoff__taker_on_link(struct handoff__ferry *ferry, bool up)
{
	if (up || !handoff__course_runs(ferry) ||
		ferry->report.way != HANDOFF__FERRY_IN)
		return;
	end_taker(ferry, ferry->taker.addressed
				 ? NULL
				 : "the link to the other ferry broke");
}

int
handoff__ferry_fetch(struct handoff__ferry *ferry)
{
	struct handoff__letter letter = {.type = HANDOFF__LETTER_FETCH};
	const char *why = objection(ferry);
	char text[HANDOFF_TEXT_MAX];

	if (handoff__course_runs(ferry))
		return handoff__fail(&ferry->error, -EBUSY,
			"another move is under way: wait for its end");
	handoff__site_command(ferry, "add", text, sizeof(text));
	if (!ferry->greeted)
		return handoff__fail(&ferry->error, -ENOTCONN,
			"there is no link to the other ferry: %.120s; if that "
			"host is down, the service can begin here: %.90s",
			handoff__channel_errmsg(ferry->channel), text);
	if (handoff__site_objection(ferry, text))
		return handoff__fail(&ferry->error, -EPERM, "%s", text);
	if (why)
		return handoff__fail(
			&ferry->error, -EPERM, "on this host: %s", why);
	if (ferry->site == HANDOFF__FERRY_HERE)
		letter.flags = HANDOFF__LETTER_REST;
	else if (!(ferry->other.flags & HANDOFF__LETTER_GUEST))
		return handoff__fail(&ferry->error, -EPERM,
			"the service is at home on %.60s and was not moved "
			"there from this host: maintenance --to there moves it "
			"here",
			ferry->other_host);
	handoff__course_begin(
		ferry, HANDOFF__FERRY_IN, HANDOFF__FERRY_FETCHING);
	arm(ferry, (int64_t)(ferry->options.timeout_ms + FETCH_MORE) * 1000);
	handoff__letters_send(ferry, &letter);
	return 0;
}
