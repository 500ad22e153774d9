/* SPDX-License-Identifier: MIT */
/*
 * The callbacks of a peer without a service: what it gets is not watched and
 * not served, only kept, and what others may do with it is decided above.
 */
#include "ferry/carrier.h"

#include "peer/carrier.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define GIVE_AGAIN_US 200000

static struct handoff__ferry *
ferry_of(const struct handoff__pair *pair)
{
	return handoff__operator_arg(pair);
}

static int
on_entered(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff__cargo *cargo = handoff__cargo(e);
	struct handoff__ferry *ferry = ferry_of(pair);

	cargo->tries = 0;
	cargo->load = cargo->index = -1;
	cargo->why = NULL;
	cargo->again_us = 0;
	cargo->checked = cargo->leads = cargo->frozen = false;
	cargo->chosen = 0;
	/* it has come since the move began */
	if (e->kind == HANDOFF__CONNECTION &&
		ferry->report.way == HANDOFF__FERRY_OUT &&
		ferry->report.ended_ms == 0 && !ferry->report.dry)
		ferry->report.total++;
	if (ferry->hooks.entered)
		ferry->hooks.entered(ferry, e);
	return 0;
}

static void
on_closing(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	if (handoff__cargo(e)->load >= 0 && ferry->hooks.closing)
		ferry->hooks.closing(ferry, e);
}

/* No handler runs here. */
static bool
on_quiesce(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	(void)pair;
	return handoff__cargo(e)->load < 0;
}

static void
on_pause(struct handoff__pair *pair, bool paused)
{
	(void)pair;
	(void)paused;
}

static void
on_moved(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	ferry->due = true;
	if (ferry->hooks.moved)
		ferry->hooks.moved(ferry, e);
}

static void
on_settle(struct handoff__pair *pair)
{
	ferry_of(pair)->due = true;
}

static void
on_role(struct handoff__pair *pair, enum handoff__cause cause)
{
	struct handoff__ferry *ferry = ferry_of(pair);
	char who[64];

	(void)cause;
	ferry->due = true;
	handoff__log(&ferry->log, HANDOFF_LOG_INFO,
		pair->serving ? "this ferry has the service of %s"
			      : "%s serves",
		handoff__pair_partner_text(pair, who));
}

static void
on_given(struct handoff__pair *pair, enum handoff__way way,
	const struct handoff__report *report)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	ferry->due = true;
	/* one that is refused is tried again a little later */
	if (way == HANDOFF__WAY_OUT && report->reason != HANDOFF__OK)
		ferry->give_us = handoff__now_us() + GIVE_AGAIN_US;
	if (ferry->hooks.given)
		ferry->hooks.given(ferry, way, report);
	handoff__operator_given(&ferry->op, way, report);
}

static void
on_partner(struct handoff__pair *pair, bool here)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	ferry->due = true;
	handoff__operator_partner(&ferry->op, here, "");
}

static void
on_discard(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	shutdown(e->fd, SHUT_RDWR);
	handoff__pair_end(pair, e);
}

static void
on_failover(struct handoff__pair *pair)
{
	const struct handoff__survival *s = &pair->survival;
	struct handoff__ferry *ferry = ferry_of(pair);

	ferry->due = true;
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"the server has %s: %u connection%s held, served by nobody "
		"until a server joins",
		s->bye ? "left" : "died", s->taken.connections,
		handoff__plural(s->taken.connections));
}

static void
on_said(struct handoff__pair *pair)
{
	(void)pair; /* posts are taken by those that serve */
}

static void
on_expelled(struct handoff__pair *pair, const char *text)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "stop: %s", text);
	ferry->stopping = true;
}

static void
on_kept(struct handoff__pair *pair)
{
	handoff__control_keep(&ferry_of(pair)->op.control);
}

static void
on_room(struct handoff__pair *pair, int err)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	ferry->due = true;
	if (ferry->hooks.room)
		ferry->hooks.room(ferry, err);
}

static void
on_known(struct handoff__pair *pair)
{
	handoff__carrier_own(ferry_of(pair));
}

static void
on_accepted(struct handoff__pair *pair)
{
	ferry_of(pair)->due = true;
}

/* The server asks for the service: at home it may have it. Away it would serve
 * beside the other host. */
static enum handoff__reason
on_asked(struct handoff__pair *pair, enum handoff__cause cause)
{
	(void)cause;
	return ferry_of(pair)->site == HANDOFF__FERRY_HERE ? HANDOFF__OK
							   : HANDOFF__NOT_OWNER;
}

/* A server wants the place of a ferry that has nothing to do. */
static bool
on_yield(struct handoff__pair *pair)
{
	struct handoff__ferry *ferry = ferry_of(pair);

	if (pair->serving || pair->roster.owned > 0 || ferry->nloads > 0 ||
		(ferry->report.way != 0 && ferry->report.ended_ms == 0))
		return false;
	ferry->yielded = ferry->due = true;
	return true;
}

static const struct handoff__pair_ops ops = {
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
	.hung = handoff__operator_hung,
	.lagging = handoff__operator_lagging,
	.refused = handoff__operator_refused,
	.apart = handoff__operator_apart,
	.expelled = on_expelled,
	.said = on_said,
	.kept = on_kept,
	.known = on_known,
	.accepted = on_accepted,
	.room = on_room,
	.asked = on_asked,
	.yield = on_yield,
};

/* Numbers of connections that begin here must not be those that come from
 * another host with theirs: the hosts are told apart by their devices. */
static uint32_t
origin_of(const struct handoff__device *device)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(device->mac); i++)
		hash = (hash ^ device->mac[i]) * 16777619u;
	return 1 + hash % HANDOFF__ORIGIN_MAX;
}

int
handoff__carrier_open(struct handoff__ferry *ferry)
{
	struct handoff__pair_config config = {
		.dir = ferry->options.dir,
		.name = ferry->options.name,
		.give_timeout_ms = HANDOFF__GIVE_TIMEOUT_MS,
		.hang_timeout_ms = HANDOFF__HANG_TIMEOUT_MS,
		.entry_size = sizeof(struct handoff__cargo),
		.own_fds = 1,
		.carrier = true,
		.origin = origin_of(&ferry->device),
	};
	int err = handoff__pair_open(&ferry->pair, &config, &ferry->loop,
		&ferry->log, &ops, &ferry->op);
	ferry->opened = true;
	ferry->joined = err >= 0;
	if (err < 0)
		ferry->error = ferry->pair.error;
	return err;
}

void
handoff__carrier_close(struct handoff__ferry *ferry)
{
	struct handoff__pair *pair = &ferry->pair;

	if (!ferry->opened)
		return;
	handoff__pair_close(pair, pair->roster.owned == 0);
	ferry->opened = ferry->joined = false;
}

bool
handoff__carrier_has_server(const struct handoff__ferry *ferry)
{
	const struct handoff__pair *pair = &ferry->pair;

	return ferry->joined && pair->partner == HANDOFF__PARTNER_READY &&
	       handoff__link_up(&pair->link) && !pair->other_leaving &&
	       !pair->other_loading[0];
}

void
handoff__carrier_own(struct handoff__ferry *ferry)
{
	struct handoff__pair *pair = &ferry->pair;
	struct handoff__identity identity;

	/* while it joins it does not know yet whether the other one serves */
	if (!ferry->joined || ferry->site == HANDOFF__FERRY_HERE ||
		pair->arena.count > 0 || pair->serving ||
		!handoff__pair_identity(pair, &identity) ||
		(pair->partner != HANDOFF__PARTNER_NONE && pair->other.serving))
		return;
	if (handoff__pair_own(pair, 1) < 0) {
		handoff__log(
			&ferry->log, HANDOFF_LOG_ERROR, "%s", pair->error.text);
		return;
	}
	ferry->due = true;
	handoff__log(&ferry->log, HANDOFF_LOG_INFO,
		"owns %s here, without connections: its addresses are not on "
		"this host",
		identity.service);
}

uint32_t
handoff__carrier_holding(struct handoff__ferry *ferry)
{
	struct handoff__pair *pair = &ferry->pair;
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	if (!ferry->joined || pair->roster.owned == 0)
		return 0;
	while ((e = handoff__roster_next(&pair->roster, e)))
		count += e->mine && e->kind == HANDOFF__CONNECTION &&
			 handoff__cargo(e)->load < 0;
	return count;
}

bool
handoff__carrier_give(struct handoff__ferry *ferry)
{
	struct handoff__pair *pair = &ferry->pair;

	if (!handoff__carrier_has_server(ferry) || handoff__pair_moving(pair) ||
		pair->roster.owned == 0 || handoff__now_us() < ferry->give_us)
		return false;
	if (handoff__pair_give(pair,
		    pair->serving ? HANDOFF__HOME_SILENT : HANDOFF__REST) == 0)
		return true;
	ferry->give_us = handoff__now_us() + GIVE_AGAIN_US;
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING, "%s", pair->error.text);
	return false;
}
