/* SPDX-License-Identifier: MIT */
/*
 * The handshake of two processes that want to be peers: composes, judges and
 * explains HELLO, and reports a refusal once. Opens no socket and adopts no
 * link.
 */
#include "peer/hello.h"

#include "base/process.h"
#include "peer/core.h"
#include "peer/guard.h"
#include "peer/partner.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
handoff__hello_make(
	const struct handoff__pair *pair, struct handoff__hello *hello)
{
	const struct handoff_service *service = pair->config.service;
	uint64_t shared = handoff__core_shared(pair);

	memset(hello, 0, sizeof(*hello));
	hello->carrier = pair->config.carrier;
	hello->version_min = hello->carrier ? HANDOFF__PROTOCOL_CARRIER
					    : HANDOFF__PROTOCOL_MIN;
	hello->version_max = HANDOFF__PROTOCOL_MAX;
	hello->layout = HANDOFF__LAYOUT_OLDEST;
	hello->makes = HANDOFF__LAYOUT;
	hello->state_size = service->state_size;
	hello->state_version = service->state_version;
	hello->converts = service->convert ? service->convert_from + 1 : 0;
	hello->pid = (uint32_t)getpid();
	hello->place = (uint32_t)pair->place;
	hello->serving = pair->serving;
	hello->config_hash = pair->config.config_hash;
	hello->config_strict = pair->config.config_strict;
	hello->instance = pair->instance;
	hello->segments = pair->arena.count;
	hello->arena = handoff__core_arena_id(pair);
	hello->hang_ms = pair->config.hang_timeout_ms;
	hello->shared_size = (uint32_t)shared;
	hello->shared_version = (uint32_t)(shared >> 32);
	hello->input_size = service->input_size;
	hello->output_size = service->output_size;
	hello->pass_size = service->pass_size;
	hello->post_size = service->post_size;
	hello->grows = service->state_grows || pair->config.streamless;
	hello->lease = handoff__guard_lease_id(pair);
	handoff__copy(hello->service, sizeof(hello->service), service->name);
	handoff__copy(hello->name, sizeof(hello->name), pair->name);
}

/* The states must be of the same version, or the older ones convertible: the
 * service then moves from the older program to the newer one. */
static enum handoff__reason
judge_states(const struct handoff__hello *a, const struct handoff__hello *b)
{
	const struct handoff__hello *newer = a, *older = b;

	if (a->state_version == b->state_version)
		return a->state_size == b->state_size ? HANDOFF__OK
						      : HANDOFF__BAD_STATE_SIZE;
	if (a->state_version < b->state_version) {
		newer = b;
		older = a;
	}
	return newer->converts > 0 && (!newer->serving || a->again) &&
			       newer->converts - 1 <= older->state_version
		       ? HANDOFF__OK
		       : HANDOFF__BAD_STATE_VERSION;
}

/* The same for record layouts: the older peer reads only its own. */
static enum handoff__reason
judge_layouts(const struct handoff__hello *a, const struct handoff__hello *b)
{
	const struct handoff__hello *newer = a, *older = b;

	if (handoff__partner_layout(a) == handoff__partner_layout(b))
		return HANDOFF__OK;
	if (handoff__partner_layout(a) < handoff__partner_layout(b)) {
		newer = b;
		older = a;
	}
	return (!newer->serving || a->again) &&
			       newer->layout <= handoff__partner_layout(older)
		       ? HANDOFF__OK
		       : HANDOFF__BAD_LAYOUT;
}

/* A region that one of them does not use fits the other's. */
static enum handoff__reason
judge_shared(const struct handoff__hello *a, const struct handoff__hello *b)
{
	return a->shared_size == 0 || b->shared_size == 0 ||
			       (a->shared_size == b->shared_size &&
				       a->shared_version == b->shared_version)
		       ? HANDOFF__OK
		       : HANDOFF__BAD_SHARED;
}

/* A carrier may not know the service yet, and takes any states; two of them
 * have nothing to carry. */
static enum handoff__reason
judge_carrier(const struct handoff__hello *a, const struct handoff__hello *b)
{
	if ((a->carrier && b->carrier) ||
		(a->service[0] && b->service[0] &&
			strcmp(a->service, b->service) != 0))
		return HANDOFF__BAD_SERVICE;
	return handoff__partner_layout(a) == handoff__partner_layout(b)
		       ? HANDOFF__OK
		       : HANDOFF__BAD_LAYOUT;
}

static enum handoff__reason
judge_program(const struct handoff__pair *pair, const struct handoff__hello *h,
	struct handoff__hello *own)
{
	if (strcmp(h->service, own->service) != 0)
		return HANDOFF__BAD_SERVICE;
	own->again = h->again;
	if (judge_states(h, own) != HANDOFF__OK)
		return judge_states(h, own);
	if (judge_layouts(h, own) != HANDOFF__OK)
		return HANDOFF__BAD_LAYOUT;
	if (judge_shared(h, own) != HANDOFF__OK)
		return HANDOFF__BAD_SHARED;
	if (handoff__partner_drifted(pair, h) &&
		(h->config_strict || own->config_strict))
		return HANDOFF__BAD_CONFIG;
	return HANDOFF__OK;
}

enum handoff__reason
handoff__hello_judge(
	const struct handoff__pair *pair, const struct handoff__hello *h)
{
	struct handoff__hello own;
	enum handoff__reason reason;

	handoff__hello_make(pair, &own);
	if (h->version_min > own.version_max ||
		h->version_max < own.version_min)
		return HANDOFF__BAD_VERSION;
	reason = h->carrier || own.carrier ? judge_carrier(h, &own)
					   : judge_program(pair, h, &own);
	/* a ferry has none, and would take what belongs to the host */
	if (reason == HANDOFF__OK && h->lease != own.lease)
		reason = HANDOFF__BAD_LEASE;
	if (reason != HANDOFF__OK)
		return reason;
	if (h->place != handoff__pair_other_place(pair) ||
		!handoff__name_ok(h->name))
		return HANDOFF__GARBAGE;
	return HANDOFF__OK;
}

/* Explains why the two layouts do not fit, and what to do. */
static void
explain_layout(const struct handoff__hello *own, const struct handoff__hello *h,
	char *text, size_t size)
{
	uint32_t there = handoff__partner_layout(h);

	if (there < own->layout)
		snprintf(text, size,
			"record layout %u there, %u here, which follows %u at "
			"the oldest: upgrade by a version between them",
			there, own->makes, own->layout);
	else if (h->layout > own->makes && h->refusal == HANDOFF__OK)
		snprintf(text, size,
			"record layout %u there, which follows %u at the "
			"oldest, %u here: upgrade by a version between them",
			there, h->layout, own->makes);
	else
		snprintf(text, size,
			"record layout %u there, %u here: an older library "
			"takes nothing over from a newer one",
			there, own->makes);
}

/* A state version is shown as the program has it, without what says that its
 * service has sessions. */
static void
explain_states(const struct handoff__hello *own, const struct handoff__hello *h,
	char *text, size_t size)
{
	uint32_t differ = own->state_version ^ h->state_version;
	bool there = (h->state_version & HANDOFF__SESSION_BIT) != 0;

	if (differ & HANDOFF__SESSION_BIT)
		snprintf(text, size,
			"the service there %s sessions, the one here %s: start "
			"both with --sessions, or both without",
			there ? "has" : "has no", there ? "has none" : "has");
	else
		snprintf(text, size, "state version %u there, %u here",
			h->state_version & ~HANDOFF__SESSION_BIT,
			own->state_version & ~HANDOFF__SESSION_BIT);
}

void
handoff__hello_explain(const struct handoff__pair *pair,
	const struct handoff__hello *h, enum handoff__reason reason, char *text,
	size_t size)
{
	struct handoff__hello own;

	handoff__hello_make(pair, &own);
	switch (reason) {
	case HANDOFF__BAD_VERSION:
		snprintf(text, size,
			"link protocol %u to %u there, %u to %u here",
			h->version_min, h->version_max, own.version_min,
			own.version_max);
		return;
	case HANDOFF__BAD_SERVICE:
		if (h->carrier && own.carrier) {
			snprintf(text, size,
				"it is a ferry, and so is this peer");
			return;
		}
		snprintf(text, size, "service %s there, %s here", h->service,
			own.service);
		return;
	case HANDOFF__BAD_STATE_SIZE:
		snprintf(text, size, "state of %u byte%s there, %u here",
			h->state_size, handoff__plural(h->state_size),
			own.state_size);
		return;
	case HANDOFF__BAD_STATE_VERSION:
		explain_states(&own, h, text, size);
		return;
	case HANDOFF__BAD_LAYOUT:
		explain_layout(&own, h, text, size);
		return;
	case HANDOFF__BAD_SHARED:
		snprintf(text, size,
			"shared region of %u byte%s and version %u there, of "
			"%u and %u here",
			h->shared_size, handoff__plural(h->shared_size),
			h->shared_version, own.shared_size, own.shared_version);
		return;
	case HANDOFF__BAD_LEASE:
		handoff__copy(text, size,
			h->carrier || own.carrier
				? "the service has a lease, which belongs to "
				  "its host: no ferry carries it to another; "
				  "stop the peers of this host, and the one "
				  "that gets the lease then serves"
				: "only one of the two has a lease, or theirs "
				  "differ in address, TTL or host: start both "
				  "with the same --lease, --lease-ttl and "
				  "--lease-host");
		return;
	case HANDOFF__BAD_CONFIG:
		snprintf(text, size,
			"configuration %016llx there, %016llx here",
			(unsigned long long)h->config_hash,
			(unsigned long long)own.config_hash);
		return;
	default:
		handoff__copy(text, size, handoff__reason_text(reason));
	}
}

int
handoff__hello_send(int fd, const struct handoff__hello *hello)
{
	struct handoff__msg msg = {.type = HANDOFF__HELLO, .hello = *hello};
	int self = handoff__process_self();
	int err = handoff__link_send_sync(fd, &msg, self);

	if (self >= 0)
		close(self);
	return err;
}

/* A repeated cause is only counted. */
void
handoff__hello_refused(struct handoff__pair *pair, enum handoff__reason reason,
	const char *why)
{
	char text[HANDOFF_TEXT_MAX];

	pair->tally.refused++;
	snprintf(text, sizeof(text), "%.180s", why);
	if (strcmp(text, pair->refusal) == 0) {
		pair->refusals++;
		return;
	}
	if (pair->refusals > 0)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"link: refused %u time%s more: %s", pair->refusals,
			handoff__plural(pair->refusals), pair->refusal);
	pair->refusals = 0;
	handoff__copy(pair->refusal, sizeof(pair->refusal), text);
	handoff__log(pair->log, HANDOFF_LOG_WARNING, "link: refused %s", text);
	pair->ops->refused(pair, reason, pair->refusal);
}
