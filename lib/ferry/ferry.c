/* SPDX-License-Identifier: MIT */
/*
 * The ferry: opened, run, stopped; what it does when peers, links and the gate
 * come and go. A batch, and a move, are the business of the files below.
 */
#include "ferry/ferry.h"

#include "ferry/carrier.h"
#include "ferry/choice.h"
#include "ferry/course.h"
#include "ferry/device.h"
#include "ferry/guarding.h"
#include "ferry/inbound.h"
#include "ferry/letters.h"
#include "ferry/mover.h"
#include "ferry/outbound.h"
#include "ferry/retreat.h"
#include "ferry/salvage.h"
#include "ferry/site.h"
#include "ferry/steer.h"
#include "ferry/taker.h"
#include "ferry/vet.h"
#include "peer/carrier.h"
#include "peer/elsewhere.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel may keep this process waiting for its network configuration; a
 * batch has a deadline of its own. */
#define SILENT_MS 5000
#define JOIN_US   100000 /* from one try to the next */
#define TICK_US   1000000
#define STEPS_MAX 32
#define FINAL_MS  200 /* what is still to be sent at the end */

static void
tell(struct handoff__ferry *ferry, const char *text)
{
	if (ferry->events.told)
		ferry->events.told(ferry, text);
	else
		handoff__log(&ferry->log, HANDOFF_LOG_INFO, "%s", text);
}

/* The peer's callbacks */

static struct handoff__freight *
load_of(struct handoff__ferry *ferry, struct handoff__roster_entry *e)
{
	int32_t slot = handoff__cargo(e)->load;

	return slot >= 0 && slot < HANDOFF__BATCHES ? ferry->loads[slot] : NULL;
}

static void
on_moved(struct handoff__ferry *ferry, struct handoff__roster_entry *e)
{
	struct handoff__freight *load = load_of(ferry, e);

	if (load && load->out)
		handoff__outbound_on_moved(load, e);
	else if (!load && e->mine)
		ferry->returns = true;
}

static void
on_closing(struct handoff__ferry *ferry, struct handoff__roster_entry *e)
{
	struct handoff__freight *load = load_of(ferry, e);

	if (ferry->mover.cursor == e)
		ferry->mover.cursor = NULL;
	if (load && load->out)
		handoff__outbound_on_closing(load, e);
	else if (load)
		handoff__inbound_on_closing(load, e);
}

static void
on_given(struct handoff__ferry *ferry, enum handoff__way way,
	const struct handoff__report *report)
{
	if (way == HANDOFF__WAY_IN)
		handoff__mover_on_given(ferry, report);
}

/* The link */

static void
on_up(const struct handoff__channel_peer *peer, void *arg)
{
	struct handoff__ferry *ferry = arg;

	if (handoff__prefix_holds(ferry->prefixes, ferry->nprefixes,
		    (const struct sockaddr *)&peer->local)) {
		handoff__channel_drop(ferry->channel,
			"link: this end has an address of the service, which "
			"would move away under it: use addresses that stay");
		return;
	}
	handoff__copy(ferry->other_address, sizeof(ferry->other_address),
		peer->address);
	handoff__letters_hello(ferry, true);
	ferry->due = true;
}

static void
tell_link(struct handoff__ferry *ferry, bool up)
{
	ferry->greeted = up;
	ferry->apart_us = handoff__now_us();
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		struct handoff__freight *load = ferry->loads[i];

		if (load && load->out)
			handoff__outbound_on_link(load, up);
		else if (load)
			handoff__inbound_on_link(load, up);
	}
	handoff__mover_on_link(ferry, up);
	handoff__taker_on_link(ferry, up);
	ferry->due = true;
}

static void
on_down(const char *sentence, void *arg)
{
	struct handoff__ferry *ferry = arg;

	(void)sentence; /* logged */
	if (ferry->greeted)
		tell_link(ferry, false);
}

static void
on_hello(struct handoff__ferry *ferry, const struct handoff__letter_hello *h)
{
	struct handoff__identity identity = {
		.state_size = h->state_size,
		.state_version = h->state_version,
		.input_size = h->rx_size,
		.output_size = h->tx_size,
		.pass_size = h->pass_size,
		.shared_size = h->shared_size,
		.shared_version = h->shared_version,
		.config_hash = h->config_hash,
	};
	struct handoff__identity own;
	char text[HANDOFF_TEXT_MAX];
	int err = handoff__letters_judge(ferry, h);

	handoff__copy(identity.service, sizeof(identity.service), h->service);
	if (err == 0 && h->flags & HANDOFF__LETTER_KNOWS &&
		!handoff__pair_identity(&ferry->pair, &own) &&
		handoff__pair_identify(&ferry->pair, &identity) < 0)
		ferry->error = ferry->pair.error, err = -EPROTO;
	if (err < 0) {
		handoff__channel_drop(ferry->channel, ferry->error.text);
		return;
	}
	ferry->other = *h;
	if (ferry->gate)
		handoff__gate_target(
			ferry->gate, ferry->device.ifindex, h->mac);
	handoff__copy(ferry->other_host, sizeof(ferry->other_host), h->host);
	handoff__copy(ferry->other_name, sizeof(ferry->other_name), h->name);
	if (ferry->site != HANDOFF__FERRY_HERE)
		ferry->site = h->flags & HANDOFF__LETTER_AT_HOME
				      ? HANDOFF__FERRY_THERE
				      : HANDOFF__FERRY_NOWHERE;
	handoff__taker_on_hello(ferry, h);
	ferry->due = true;
	if (ferry->greeted) {
		handoff__site_compare(ferry);
		return;
	}
	snprintf(text, sizeof(text), "linked to %.200s", ferry->other_host);
	tell(ferry, text);
	tell_link(ferry, true);
	handoff__site_compare(ferry);
}

static void
on_letter(struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	switch ((enum handoff__letter_type)letter->type) {
	case HANDOFF__LETTER_HELLO:
		on_hello(ferry, &letter->hello);
		return;
	case HANDOFF__LETTER_BEGUN:
	case HANDOFF__LETTER_FETCH:
	case HANDOFF__LETTER_ADDRESSED:
		handoff__mover_on_letter(ferry, letter);
		return;
	case HANDOFF__LETTER_REFUSED:
		handoff__mover_on_letter(ferry, letter);
		handoff__taker_on_letter(ferry, letter);
		return;
	case HANDOFF__LETTER_BEGIN:
	case HANDOFF__LETTER_REPORT:
	case HANDOFF__LETTER_REGION:
	case HANDOFF__LETTER_ADDRESS:
		handoff__taker_on_letter(ferry, letter);
		return;
	case HANDOFF__LETTER_PREPARED:
	case HANDOFF__LETTER_SERVING:
	case HANDOFF__LETTER_QUERY:
	case HANDOFF__LETTER_LOST:
		handoff__outbound_on_letter(ferry, letter);
		return;
	case HANDOFF__LETTER_BATCH:
	case HANDOFF__LETTER_ENTRY:
	case HANDOFF__LETTER_END:
	case HANDOFF__LETTER_WITHDRAW:
	case HANDOFF__LETTER_COMMIT:
	case HANDOFF__LETTER_FORGET:
	case HANDOFF__LETTER_VERDICT:
		handoff__inbound_on_letter(ferry, letter);
		return;
	case HANDOFF__LETTER_ABORT: /* from either side */
		handoff__outbound_on_letter(ferry, letter);
		handoff__inbound_on_letter(ferry, letter);
		return;
	case HANDOFF__LETTER_BYE:
		return;
	}
}

static void
on_frame(uint32_t type, const void *body, uint32_t len, void *arg)
{
	struct handoff__ferry *ferry = arg;
	struct handoff__letter *letter = &ferry->letter;
	struct handoff__error error;

	if (handoff__letter_decode(letter, type, body, len, &error) < 0) {
		handoff__channel_drop(ferry->channel, error.text);
		return;
	}
	if (!ferry->greeted && type != HANDOFF__LETTER_HELLO) {
		handoff__channel_drop(ferry->channel,
			"link: the other ferry sent something before HELLO");
		return;
	}
	on_letter(ferry, letter);
}

static void
on_drained(void *arg)
{
	struct handoff__ferry *ferry = arg;

	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (ferry->loads[i] && ferry->loads[i]->out)
			handoff__outbound_drained(ferry->loads[i]);
	}
}

static const struct handoff__channel_ops channel_ops = {
	.up = on_up,
	.down = on_down,
	.frame = on_frame,
	.drained = on_drained,
};

/* What is to be done */

/* Offers the server what it has lent, and nothing else wants. */
static void
give_back(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX], *e = NULL;
	struct handoff__pair *pair = &ferry->pair;
	uint32_t n = 0, slot;

	if (!ferry->returns || handoff__pair_moving(pair) ||
		!handoff__carrier_has_server(ferry) ||
		(pair->serving && ferry->site == HANDOFF__FERRY_HERE))
		return;
	ferry->returns = false;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!e->mine || handoff__cargo(e)->load >= 0 ||
			(pair->serving && e->kind != HANDOFF__CONNECTION) ||
			handoff__entry_elsewhere(e, &slot))
			continue;
		/* its copy may still be on its way */
		if (e->copy != HANDOFF__COPY_HELD)
			ferry->returns = true;
		else
			list[n++] = e;
		if (n < HANDOFF_FDPASS_MAX)
			continue;
		handoff__pair_offer_list(pair, list, n);
		n = 0;
	}
	if (n > 0)
		handoff__pair_offer_list(pair, list, n);
}

static bool
has_listener(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		if (e->mine && e->kind == HANDOFF__LISTENER)
			return true;
	}
	return false;
}

/* The service is this ferry's, and it should not be: a server gets it. */
static void
give_service(struct handoff__ferry *ferry)
{
	bool moves = handoff__course_runs(ferry) &&
		     ferry->report.way == HANDOFF__FERRY_OUT &&
		     ferry->report.step != HANDOFF__FERRY_ASKING;

	if (!ferry->pair.serving || moves || ferry->taker.answer ||
		!handoff__carrier_has_server(ferry) ||
		handoff__pair_moving(&ferry->pair))
		return;
	if (ferry->stopping || ferry->site == HANDOFF__FERRY_HERE ||
		has_listener(ferry))
		handoff__carrier_give(ferry);
}

static void
free_loads(struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		struct handoff__freight *load = ferry->loads[i];

		if (!load)
			continue;
		if (load->out && handoff__outbound_over(load))
			handoff__outbound_free(load);
		else if (!load->out && handoff__inbound_over(load))
			handoff__inbound_free(load);
	}
}

static int
join(struct handoff__ferry *ferry)
{
	int err = handoff__carrier_open(ferry);
	char text[HANDOFF_TEXT_MAX];

	if (err >= 0)
		err = handoff__ferry_operator_open(ferry);
	if (err < 0)
		return err;
	handoff__pair_started(&ferry->pair);
	snprintf(text, sizeof(text), "waiting: no server is in %.200s",
		ferry->options.dir);
	if (ferry->pair.partner == HANDOFF__PARTNER_NONE)
		tell(ferry, text);
	return 0;
}

static void
on_back(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->due = true;
}

/* Joins when there is a place, and no other peer is just starting. */
static void
join_later(struct handoff__ferry *ferry)
{
	ferry->yielded = true;
	ferry->back.fn = on_back;
	ferry->back.arg = ferry;
	handoff__timer_arm(&ferry->loop, &ferry->back, JOIN_US);
}

/* The addresses came to a host that had waited for them: the server here finds
 * its service without an owner, as if it were started now. */
static bool
has_only_the_board(struct handoff__ferry *ferry)
{
	return ferry->joined && ferry->pair.serving &&
	       ferry->site == HANDOFF__FERRY_HERE &&
	       ferry->pair.roster.owned == 0 && ferry->nloads == 0 &&
	       !ferry->stopping && !ferry->taker.answer &&
	       !handoff__course_runs(ferry) &&
	       !handoff__pair_moving(&ferry->pair);
}

/* For a server: the ferry comes back when a place is free. */
static void
leave_place(struct handoff__ferry *ferry)
{
	tell(ferry, ferry->pair.serving
			    ? "leaves the service to the server here, and "
			      "joins again"
			    : "leaves its place to a server, and joins again "
			      "when one is free");
	handoff__ferry_operator_close(ferry);
	handoff__carrier_close(ferry);
	ferry->mover.cursor = NULL;
	join_later(ferry);
}

static void
try_to_join(struct handoff__ferry *ferry)
{
	if (ferry->back.armed)
		return;
	if (join(ferry) == 0) {
		ferry->yielded = false;
		tell(ferry, "has a place in the service directory");
		return;
	}
	handoff__carrier_close(ferry);
	join_later(ferry);
}

/* Connections that have come here without the addresses, or have stayed: once a
 * second, and when a move has ended. */
static void
count_astray(struct handoff__ferry *ferry)
{
	if (handoff__course_runs(ferry))
		ferry->recount = true;
	if (!ferry->recount || handoff__course_runs(ferry))
		return;
	ferry->recount = false;
	ferry->astray = 0;
	if (ferry->joined && ferry->site != HANDOFF__FERRY_HERE)
		handoff__choice_stays(ferry, &ferry->astray);
	handoff__retreat_look(ferry);
}

static void
step(struct handoff__ferry *ferry)
{
	if (ferry->yielded || has_only_the_board(ferry)) {
		if (ferry->joined)
			leave_place(ferry);
		try_to_join(ferry);
		return;
	}
	for (int i = 0; i < STEPS_MAX; i++) {
		ferry->due = false;
		handoff__pair_proceed(&ferry->pair);
		handoff__carrier_own(ferry);
		handoff__guarding_keep(ferry);
		handoff__salvage_proceed(ferry);
		for (uint32_t j = 0; ferry->nloads > 0 && j < HANDOFF__BATCHES;
			j++) {
			if (ferry->loads[j] && !ferry->loads[j]->out)
				handoff__inbound_proceed(ferry->loads[j]);
		}
		free_loads(ferry);
		handoff__mover_proceed(ferry);
		handoff__taker_proceed(ferry);
		handoff__retreat_proceed(ferry);
		give_service(ferry);
		give_back(ferry);
		if (!ferry->due && !ferry->pair.noted)
			break;
	}
	count_astray(ferry);
	if (ferry->greeted)
		handoff__letters_hello(ferry, false);
}

/* Opened and closed */

static void
on_tick(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->due = ferry->recount = true;
	handoff__site_watch(ferry);
	for (uint32_t i = 0; ferry->greeted && i < HANDOFF__BATCHES; i++) {
		if (ferry->loads[i] && !ferry->loads[i]->out)
			handoff__inbound_ask(ferry->loads[i]);
	}
	handoff__timer_arm(&ferry->loop, timer, TICK_US);
}

static int
open_network(struct handoff__ferry *ferry)
{
	const struct handoff__ferry_options *o = &ferry->options;
	struct handoff__tls_files files = {
		.cert = o->cert, .key = o->key, .peer = o->peer_cert};
	int err = handoff__prefixes_parse(
		o->address, ferry->prefixes, HANDOFF__PREFIXES, &ferry->error);

	if (err < 0)
		return err;
	ferry->nprefixes = (uint32_t)err;
	err = handoff__vet_link(ferry->prefixes, ferry->nprefixes, "--listen",
		o->listen, &ferry->error);
	if (err >= 0)
		err = handoff__vet_link(ferry->prefixes, ferry->nprefixes,
			"--to", o->to, &ferry->error);
	if (err >= 0)
		err = handoff__device_allowed(&ferry->error);
	if (err >= 0)
		err = handoff__device_find(
			&ferry->device, o->dev, &ferry->error);
	for (uint32_t i = 0; i < ferry->nprefixes && err >= 0; i++)
		err = handoff__vet_prefix(
			&ferry->device, &ferry->prefixes[i], &ferry->error);
	if (err >= 0)
		err = handoff__site_find(ferry);
	if (err >= 0)
		err = handoff__tls_open(&ferry->tls, &files, &ferry->error);
	return err;
}

static int
open_channel(struct handoff__ferry *ferry)
{
	struct handoff__channel_opts opts = {.loop = &ferry->loop,
		.tls = ferry->tls,
		.listen = ferry->options.listen,
		.to = ferry->options.to,
		.instance = ferry->pair.instance,
		.silent_ms = SILENT_MS,
		.log = ferry->log,
		.ops = &channel_ops,
		.arg = ferry};

	return handoff__channel_open(&ferry->channel, &opts, &ferry->error);
}

static int
open_all(struct handoff__ferry *ferry)
{
	int err = handoff__loop_init(&ferry->loop);

	if (err < 0)
		return handoff__fail(&ferry->error, err,
			"cannot create an event loop: %s", strerror(-err));
	handoff__announce_init(&ferry->announce, &ferry->loop);
	err = open_network(ferry);
	if (err >= 0)
		err = handoff__steer_open(ferry);
	if (err >= 0)
		err = handoff__dir_open(&ferry->dir, ferry->options.dir, true,
			0, &ferry->error);
	if (err >= 0)
		handoff__site_remember(ferry);
	if (err >= 0)
		err = join(ferry);
	if (err == -EBUSY) {
		handoff__log(&ferry->log, HANDOFF_LOG_INFO,
			"waits for its place: %s", ferry->error.text);
		handoff__carrier_close(ferry);
		join_later(ferry);
		err = 0;
	}
	if (err >= 0)
		err = open_channel(ferry);
	if (err < 0)
		return err;
	ferry->tick.fn = on_tick;
	ferry->tick.arg = ferry;
	handoff__timer_arm(&ferry->loop, &ferry->tick, TICK_US);
	return 0;
}

int
handoff__ferry_open(struct handoff__ferry **out,
	const struct handoff__ferry_options *options,
	const struct handoff__log *log, struct handoff__error *error)
{
	struct handoff__ferry *ferry = calloc(1, sizeof(*ferry));
	int err;

	if (!ferry)
		return handoff__fail(error, -ENOMEM, "no memory");
	ferry->options = *options;
	ferry->log = *log;
	ferry->apart_us = handoff__now_us();
	TAILQ_INIT(&ferry->rests);
	ferry->loop.epfd = ferry->loop.timerfd = -1;
	ferry->dir.fd = -1;
	ferry->hooks = (struct handoff__ferry_hooks){
		.entered = handoff__salvage_entered,
		.moved = on_moved,
		.closing = on_closing,
		.given = on_given,
		.room = handoff__inbound_on_room};
	handoff__operator_init(&ferry->op, &handoff__ferry_operator_ops, ferry,
		&ferry->pair, &ferry->loop, &ferry->log);
	err = open_all(ferry);
	if (err < 0) {
		*error = ferry->error;
		handoff__ferry_free(ferry);
		return err;
	}
	*out = ferry;
	return 0;
}

/* Events of the peer, for people. */
static void
print_events(struct handoff__ferry *ferry)
{
	const struct handoff__operator_event *event;
	char at[HANDOFF_STAMP_MAX];

	while ((event = handoff__operator_pull(&ferry->op)))
		printf("%s%s: %s\n",
			handoff_log_stamp(STDOUT_FILENO, at, sizeof(at)),
			ferry->options.name, event->text);
}

/* Whether everything is given that a server takes. */
static bool
has_stopped(struct handoff__ferry *ferry)
{
	if (!ferry->stopping)
		return false;
	return handoff__now_us() > ferry->stop_us ||
	       (!handoff__pair_moving(&ferry->pair) &&
		       !handoff__course_runs(ferry) &&
		       (!handoff__carrier_has_server(ferry) ||
			       handoff__carrier_holding(ferry) == 0));
}

int
handoff__ferry_run(struct handoff__ferry *ferry, struct handoff__error *error)
{
	while (!has_stopped(ferry)) {
		int rc = handoff__loop_dispatch(
			&ferry->loop, ferry->stopping ? FINAL_MS : -1);

		if (rc < 0 && rc != -EINTR)
			return handoff__fail(
				error, rc, "epoll_wait: %s", strerror(-rc));
		step(ferry);
		print_events(ferry);
	}
	return 0;
}

void
handoff__ferry_free(struct handoff__ferry *ferry)
{
	if (!ferry)
		return;
	handoff__steer_close(ferry);
	handoff__salvage_close(ferry);
	handoff__channel_free(ferry->channel);
	/* the helper acts by the words from here on */
	handoff__gate_free(ferry->gate);
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (ferry->loads[i] && ferry->loads[i]->out)
			handoff__outbound_free(ferry->loads[i]);
		else if (ferry->loads[i])
			handoff__inbound_free(ferry->loads[i]);
	}
	if (ferry->joined)
		handoff__ferry_operator_close(ferry);
	handoff__carrier_close(ferry);
	handoff__dir_close(&ferry->dir);
	handoff__tls_free(ferry->tls);
	handoff__loop_fini(&ferry->loop);
	free(ferry);
}
