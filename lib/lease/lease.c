/* SPDX-License-Identifier: MIT */
/*
 * The state machine of a lease. It decides when to ask, how long an answer
 * counts and what has to stop; it asks nobody and reads no clock. An input
 * first takes in what has come, then `settle` judges the time and says what to
 * ask: so whatever the order of events, the end of validity is never missed.
 */
#include "lease/lease.h"

#include "base/text.h"

#include <string.h>

#define NS_PER_MS 1000000u

static bool
has_lease(const struct handoff__lease *l)
{
	return l->state == HANDOFF_LEASE_OWNER ||
	       l->state == HANDOFF_LEASE_DOUBT;
}

static uint64_t
validity(const struct handoff__lease *l)
{
	return l->ttl_ns / 3 * 2;
}

static uint64_t
interval(const struct handoff__lease *l)
{
	return l->ttl_ns / 6;
}

/* Half of the validity is gone: two proofs have stayed out. */
static uint64_t
doubt_at(const struct handoff__lease *l)
{
	uint64_t half = l->ttl_ns / 3;

	return l->valid_until_ns > half ? l->valid_until_ns - half : 0;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void
raise_to(uint64_t *value, uint64_t least_value)
{
	if (*value < least_value)
		*value = least_value;
}

/* Time does not go back, whatever a caller says. */
static uint64_t
advance(struct handoff__lease *l, uint64_t now)
{
	raise_to(&l->now_ns, now);
	return l->now_ns;
}

/* Answers to what is under way do not count any more. */
static void
forget_requests(struct handoff__lease *l)
{
	memset(l->proofs, 0, sizeof(l->proofs));
	l->read.serial = l->acquire.serial = 0;
	l->publish.serial = l->release.serial = 0;
}

static void
drop_token(struct handoff__lease *l)
{
	raise_to(&l->highest, l->token);
	l->token = l->valid_until_ns = 0;
	l->frozen = false;
	l->publish.wanted = false;
	forget_requests(l);
	l->acquire.due_ns = l->now_ns;
}

/* The token that is stored stays until all is reset: a survivor that finds
 * connections has to find that they are to be proven. */
static uint32_t
lose(struct handoff__lease *l)
{
	drop_token(l);
	l->state = HANDOFF_LEASE_LOST;
	return HANDOFF__LEASE_VALID | HANDOFF__LEASE_RESET;
}

/* The token is gone, as far as this host had one. */
static uint32_t
without_token(struct handoff__lease *l)
{
	if (has_lease(l))
		return lose(l);
	if (l->token != 0)
		drop_token(l);
	return 0;
}

/* Nothing to do with this engine any more: every later token would be wrong
 * too, or is this one again. */
static uint32_t
bar(struct handoff__lease *l, const char *complaint)
{
	drop_token(l);
	l->state = HANDOFF_LEASE_FREE;
	l->barred = l->release.wanted = true;
	l->release.due_ns = l->now_ns;
	l->complaint = complaint;
	return HANDOFF__LEASE_STORE | HANDOFF__LEASE_COMPLAIN;
}

static void
remember_proof(struct handoff__lease *l, uint64_t serial)
{
	struct handoff__lease_proof *proof = &l->proofs[l->next_proof];

	l->next_proof = (l->next_proof + 1) % HANDOFF__LEASE_PROOFS;
	*proof = (struct handoff__lease_proof){serial, l->now_ns};
}

/* Counts validity from when the request was sent, if it is known and newer than
 * what counts already. */
static uint32_t
count_proof(struct handoff__lease *l, uint64_t serial)
{
	for (unsigned i = 0; i < HANDOFF__LEASE_PROOFS && serial != 0; i++) {
		struct handoff__lease_proof *proof = &l->proofs[i];
		uint64_t until = proof->sent_ns + validity(l);

		if (proof->serial != serial)
			continue;
		proof->serial = 0;
		if (until <= l->valid_until_ns)
			return 0;
		raise_to(&l->counted_ns, proof->sent_ns);
		l->valid_until_ns = until;
		return HANDOFF__LEASE_VALID;
	}
	return 0;
}

/* Makes a request if it is due; again after a third of the TTL. */
static uint32_t
request(struct handoff__lease *l, struct handoff__lease_request *r,
	uint32_t action)
{
	if (!r->wanted || l->now_ns < r->due_ns)
		return 0;
	r->serial = ++l->serial;
	r->due_ns = l->now_ns + l->ttl_ns / 3;
	return action;
}

static uint32_t
prove(struct handoff__lease *l)
{
	if (l->now_ns < l->prove_due_ns)
		return 0;
	l->prove_serial = ++l->serial;
	l->prove_due_ns = l->now_ns + interval(l);
	remember_proof(l, l->prove_serial);
	return HANDOFF__LEASE_PROVE;
}

/* The notice first: it may say which tokens are used up. */
static uint32_t
ask_as_candidate(struct handoff__lease *l)
{
	uint32_t actions;

	if (l->read.wanted)
		return request(l, &l->read, HANDOFF__LEASE_READ);
	if (l->token != 0)
		return prove(l);
	actions = request(l, &l->acquire, HANDOFF__LEASE_ACQUIRE);
	if (actions)
		remember_proof(l, l->acquire.serial);
	return actions;
}

static uint32_t
ask(struct handoff__lease *l)
{
	if (!l->connected)
		return 0;
	switch (l->state) {
	case HANDOFF_LEASE_CANDIDATE:
		return ask_as_candidate(l);
	case HANDOFF_LEASE_OWNER:
		return prove(l) |
		       request(l, &l->publish, HANDOFF__LEASE_PUBLISH);
	case HANDOFF_LEASE_DOUBT:
		return prove(l);
	case HANDOFF_LEASE_FREE:
		return request(l, &l->release, HANDOFF__LEASE_RELEASE);
	case HANDOFF_LEASE_LOST:
		break;
	}
	return 0;
}

static uint32_t
doubt(struct handoff__lease *l)
{
	if (l->state == HANDOFF_LEASE_DOUBT)
		return 0;
	l->state = HANDOFF_LEASE_DOUBT;
	return HANDOFF__LEASE_DOUBTED;
}

/* What the time says about a lease. */
static uint32_t
judge(struct handoff__lease *l)
{
	uint32_t actions = 0;

	if (l->now_ns >= l->valid_until_ns) {
		actions = doubt(l);
		if (!l->frozen)
			actions |= HANDOFF__LEASE_FREEZE;
		l->frozen = true;
		return actions;
	}
	if (l->frozen)
		actions = HANDOFF__LEASE_THAW;
	l->frozen = false;
	if (l->now_ns >= doubt_at(l))
		return actions | doubt(l);
	if (l->state == HANDOFF_LEASE_DOUBT)
		actions |= HANDOFF__LEASE_CERTAIN;
	l->state = HANDOFF_LEASE_OWNER;
	return actions;
}

/* A candidate whose token is confirmed serves. */
static uint32_t
win(struct handoff__lease *l)
{
	if (l->state != HANDOFF_LEASE_CANDIDATE || l->token == 0 ||
		l->read.wanted || l->now_ns >= l->valid_until_ns)
		return 0;
	if (l->token <= l->floor)
		return bar(l, "lease: the engine has given a token that this "
			      "service has used before: its data is lost or "
			      "of another service");
	l->state = HANDOFF_LEASE_OWNER;
	return HANDOFF__LEASE_STORE | HANDOFF__LEASE_WON;
}

static uint32_t
settle(struct handoff__lease *l, uint32_t actions)
{
	actions |= win(l);
	if (has_lease(l))
		actions |= judge(l);
	actions |= ask(l);
	if (l->state == HANDOFF_LEASE_LOST)
		actions &= ~(uint32_t)HANDOFF__LEASE_STORE;
	/* it says the validity too */
	if (actions & HANDOFF__LEASE_STORE)
		actions &= ~(uint32_t)HANDOFF__LEASE_VALID;
	return actions;
}

/* Only a shorter TTL than that of the latest proof takes validity back. The
 * engine counts from that proof or later, and so from `counted_ns`. */
static void
adopt_ttl(struct handoff__lease *l, uint32_t granted_ms)
{
	uint64_t granted = (uint64_t)granted_ms * NS_PER_MS;

	l->ttl_ns = l->asked_ttl_ns;
	if (granted != 0)
		l->ttl_ns = least(l->ttl_ns, granted);
	l->valid_until_ns =
		least(l->valid_until_ns, l->counted_ns + validity(l));
}

static uint32_t
on_connected(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	l->connected = l->session = true;
	forget_requests(l);
	adopt_ttl(l, event->ttl_ms);
	l->prove_due_ns = l->read.due_ns = l->publish.due_ns = l->now_ns;
	l->release.due_ns = l->now_ns;
	/* the engine is about to say whether it is vacant */
	l->acquire.due_ns = l->now_ns + interval(l);
	return HANDOFF__LEASE_STORE;
}

static uint32_t
on_suspended(struct handoff__lease *l)
{
	l->connected = false;
	forget_requests(l);
	return 0;
}

static uint32_t
on_expired(struct handoff__lease *l)
{
	uint32_t actions = HANDOFF__LEASE_STORE;

	l->connected = l->session = false;
	forget_requests(l);
	if (l->release.wanted)
		actions |= HANDOFF__LEASE_RELEASED;
	l->release.wanted = false;
	return actions | without_token(l);
}

static uint32_t
on_vacant(struct handoff__lease *l)
{
	if (l->acquire.serial == 0)
		l->acquire.due_ns = l->now_ns;
	/* not of a session that has it: only a proof tells */
	l->prove_due_ns = l->now_ns;
	return 0;
}

static uint32_t
on_taken(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	uint32_t actions = 0;

	handoff__copy(l->by, sizeof(l->by), event->by);
	if (event->token > l->token)
		actions = without_token(l);
	else if (event->token == 0)
		l->prove_due_ns = l->now_ns;
	raise_to(&l->highest, event->token);
	l->acquire.serial = 0;
	/* asked again even if VACANT does not come, or came before this */
	l->acquire.due_ns = l->now_ns + l->ttl_ns / 2;
	return actions;
}

/* Or found, without a question. */
static bool
was_asked(const struct handoff__lease *l, uint64_t serial)
{
	if (serial == 0 || serial == l->acquire.serial)
		return true;
	for (unsigned i = 0; i < HANDOFF__LEASE_PROOFS; i++) {
		if (l->proofs[i].serial == serial)
			return true;
	}
	return false;
}

static uint32_t
adopt_token(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	bool asked = event->serial != 0 && event->serial == l->acquire.serial;

	if (event->token <= l->highest && !asked)
		return 0; /* of a session before this one */
	if (event->serial > l->serial)
		return bar(l, "lease: the engine has answered a request that "
			      "was never made: it does not keep its "
			      "promises");
	if (!was_asked(l, event->serial))
		return 0; /* of a session before, too */
	if (event->token <= l->highest)
		return bar(l, "lease: the engine has given a token that was "
			      "used before: it does not keep its promises");
	if (event->token > UINT32_MAX)
		return bar(l, "lease: the tokens of 32 bits are used up: "
			      "remove the service's data from the engine, "
			      "with all hosts stopped");
	l->token = event->token;
	l->valid_until_ns = 0;
	count_proof(l, event->serial);
	forget_requests(l);
	l->since = l->serial;
	l->prove_due_ns = l->now_ns;
	if (l->valid_until_ns != 0) /* that was one */
		l->prove_due_ns = l->counted_ns + interval(l);
	return 0;
}

/* Found by a session that is continued: now it can be proven, if that was too
 * early. */
static uint32_t
on_acquired_again(struct handoff__lease *l, uint64_t serial)
{
	if (serial == 0)
		l->prove_due_ns = l->now_ns;
	return count_proof(l, serial);
}

static uint32_t
on_acquired(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	if (l->state == HANDOFF_LEASE_FREE) {
		l->release.wanted = l->session;
		return 0;
	}
	if (l->state == HANDOFF_LEASE_LOST)
		return 0; /* asked for when it is empty */
	if (event->token == l->token && l->token != 0)
		return on_acquired_again(l, event->serial);
	if (l->state == HANDOFF_LEASE_CANDIDATE)
		return adopt_token(l, event);
	return event->token > l->token ? lose(l) : 0;
}

static uint32_t
on_refused(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	return event->serial > l->since ? without_token(l) : 0;
}

static uint32_t
on_published(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	if (event->serial == 0 || event->serial != l->publish.serial)
		return 0;
	l->publish.serial = 0;
	l->publish.wanted = false;
	return HANDOFF__LEASE_PUBLISHED;
}

static uint32_t
on_released(struct handoff__lease *l)
{
	if (!l->release.wanted)
		return 0;
	l->release.wanted = false;
	return HANDOFF__LEASE_RELEASED;
}

static void
fail_request(struct handoff__lease *l, struct handoff__lease_request *r,
	uint64_t serial)
{
	if (r->serial != serial || serial == 0)
		return;
	r->serial = 0;
	r->due_ns = l->now_ns + interval(l);
}

static uint32_t
on_error(struct handoff__lease *l, uint64_t serial)
{
	fail_request(l, &l->read, serial);
	fail_request(l, &l->acquire, serial);
	fail_request(l, &l->publish, serial);
	fail_request(l, &l->release, serial);
	return 0;
}

static uint32_t
take_in(struct handoff__lease *l, const struct handoff_lease_event *event)
{
	switch (event->kind) {
	case HANDOFF_LEASE_CONNECTED:
		return on_connected(l, event);
	case HANDOFF_LEASE_SUSPENDED:
		return on_suspended(l);
	case HANDOFF_LEASE_EXPIRED:
		return on_expired(l);
	case HANDOFF_LEASE_VACANT:
		return on_vacant(l);
	case HANDOFF_LEASE_TAKEN:
		return on_taken(l, event);
	case HANDOFF_LEASE_ACQUIRED:
		return on_acquired(l, event);
	case HANDOFF_LEASE_PROVEN:
		return l->token ? count_proof(l, event->serial) : 0;
	case HANDOFF_LEASE_PUBLISHED:
		return on_published(l, event);
	case HANDOFF_LEASE_REFUSED:
		return on_refused(l, event);
	case HANDOFF_LEASE_RETAINED:
		l->read.wanted = false;
		return 0;
	case HANDOFF_LEASE_RELEASED:
		return on_released(l);
	case HANDOFF_LEASE_ERROR:
		return on_error(l, event->serial);
	case HANDOFF_LEASE_MEMBERS:
		break;
	}
	return 0;
}

void
handoff__lease_init(struct handoff__lease *l, uint32_t ttl_ms)
{
	memset(l, 0, sizeof(*l));
	l->asked_ttl_ns =
		(uint64_t)handoff__opt_or(ttl_ms, HANDOFF_LEASE_TTL_MS) *
		NS_PER_MS;
	l->ttl_ns = l->asked_ttl_ns;
}

/*
 * A validity that was stored counts from the start at the latest: the session
 * is continued later than that, and the engine may then count the TTL of this
 * machine instead of the one that was in force before.
 */
static uint32_t
resume(struct handoff__lease *l, const struct handoff__lease_saved *saved)
{
	l->token = saved->token;
	raise_to(&l->highest, saved->token);
	if (saved->session_len == 0)
		return lose(l);
	l->valid_until_ns =
		least(saved->valid_until_ns, l->now_ns + validity(l));
	l->since = l->serial;
	l->state = HANDOFF_LEASE_OWNER;
	return 0;
}

uint32_t
handoff__lease_start(struct handoff__lease *l, uint64_t now,
	const struct handoff__lease_saved *saved)
{
	uint32_t actions = 0;

	l->counted_ns = advance(l, now);
	l->state = HANDOFF_LEASE_CANDIDATE;
	l->read.wanted = l->acquire.wanted = true;
	l->session = saved && saved->session_len > 0;
	if (saved && saved->token != 0)
		actions = resume(l, saved);
	return settle(l, actions);
}

uint32_t
handoff__lease_event(struct handoff__lease *l, uint64_t now,
	const struct handoff_lease_event *event)
{
	advance(l, now);
	return settle(l, take_in(l, event));
}

uint32_t
handoff__lease_failed(struct handoff__lease *l, uint64_t now, uint64_t serial)
{
	advance(l, now);
	return settle(l, on_error(l, serial));
}

uint32_t
handoff__lease_time(struct handoff__lease *l, uint64_t now)
{
	advance(l, now);
	return settle(l, 0);
}

uint32_t
handoff__lease_emptied(struct handoff__lease *l, uint64_t now)
{
	advance(l, now);
	if (l->state != HANDOFF_LEASE_LOST)
		return settle(l, 0);
	l->state = HANDOFF_LEASE_CANDIDATE;
	l->acquire.due_ns = l->now_ns;
	return settle(l, HANDOFF__LEASE_STORE);
}

uint32_t
handoff__lease_publish(struct handoff__lease *l, uint64_t now)
{
	advance(l, now);
	l->publish.wanted = has_lease(l);
	l->publish.serial = 0; /* of an older one */
	l->publish.due_ns = l->now_ns;
	return settle(l, 0);
}

uint32_t
handoff__lease_release(struct handoff__lease *l, uint64_t now)
{
	uint32_t actions = HANDOFF__LEASE_STORE;

	advance(l, now);
	drop_token(l);
	l->state = HANDOFF_LEASE_FREE;
	l->release.wanted = l->session;
	l->release.due_ns = l->now_ns;
	if (!l->session)
		actions |= HANDOFF__LEASE_RELEASED;
	return settle(l, actions);
}

void
handoff__lease_above(struct handoff__lease *l, uint64_t token)
{
	raise_to(&l->floor, token);
}

uint64_t
handoff__lease_used(const struct handoff__lease *l)
{
	return l->highest > l->floor ? l->highest : l->floor;
}

void
handoff__lease_save(
	const struct handoff__lease *l, struct handoff__lease_saved *saved)
{
	saved->token = has_lease(l) ? l->token : 0;
	saved->valid_until_ns = has_lease(l) ? l->valid_until_ns : 0;
	if (l->state == HANDOFF_LEASE_FREE)
		saved->session_len = 0;
}

static uint64_t
due_of(const struct handoff__lease_request *request)
{
	return request->wanted ? request->due_ns : HANDOFF__LEASE_NEVER;
}

/* When `ask` has something to say. */
static uint64_t
ask_due(const struct handoff__lease *l)
{
	if (!l->connected || l->state == HANDOFF_LEASE_LOST)
		return HANDOFF__LEASE_NEVER;
	if (l->state == HANDOFF_LEASE_FREE)
		return due_of(&l->release);
	if (l->state == HANDOFF_LEASE_OWNER)
		return least(l->prove_due_ns, due_of(&l->publish));
	if (l->state == HANDOFF_LEASE_DOUBT)
		return l->prove_due_ns;
	if (l->read.wanted)
		return l->read.due_ns;
	return l->token ? l->prove_due_ns : l->acquire.due_ns;
}

uint64_t
handoff__lease_due(const struct handoff__lease *l)
{
	uint64_t due = ask_due(l);

	if (l->state == HANDOFF_LEASE_OWNER)
		due = least(due, doubt_at(l));
	if (has_lease(l) && !l->frozen)
		due = least(due, l->valid_until_ns);
	return due;
}

bool
handoff__lease_may_begin(const struct handoff__lease *l, uint64_t now)
{
	return l->state == HANDOFF_LEASE_OWNER && now < doubt_at(l);
}

bool
handoff__lease_valid(const struct handoff__lease *l, uint64_t now)
{
	return has_lease(l) && now < l->valid_until_ns;
}

uint64_t
handoff__lease_deadman(const struct handoff__lease *l)
{
	return has_lease(l) && !l->frozen
		       ? handoff__lease_deadman_of(l->valid_until_ns, l->ttl_ns)
		       : 0;
}

uint64_t
handoff__lease_deadman_of(uint64_t valid_until_ns, uint64_t ttl_ns)
{
	return valid_until_ns == 0 ? 0 : valid_until_ns + ttl_ns / 4;
}
