/* SPDX-License-Identifier: MIT */
/*
 * What a caller may wait for, each as a question to the statuses of the peers:
 * whether it is so, and if not, what is missing. Asks nobody and waits for
 * nothing.
 */
#include "control/until.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
	const struct handoff_wait_opts *opts;
	const struct handoff__contact *peers;
	size_t npeers;
	struct handoff__buf *buf;
};

static bool
is_named(const struct handoff__contact *peer, const char *name)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%ld", peer->pid);
	return strcmp(peer->name, name) == 0 || strcmp(pid, name) == 0;
}

static bool
has_role(const struct handoff__contact *peer, const char *role)
{
	return strcmp(peer->role, role) == 0;
}

static const struct handoff__contact *
find_role(const struct scene *s, const char *role)
{
	for (size_t i = 0; i < s->npeers; i++) {
		if (has_role(&s->peers[i], role))
			return &s->peers[i];
	}
	return NULL;
}

static bool
says(const struct handoff__contact *peer, const char *key, const char *value)
{
	size_t len = 0;
	const char *text = handoff__contact_value(peer, key, NULL, &len);

	return text && len == strlen(value) && strncmp(text, value, len) == 0;
}

/* Adds what is missing; false. */
static bool __attribute__((format(printf, 2, 3)))
lacks(const struct scene *s, const char *fmt, ...)
{
	char text[HANDOFF_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	handoff__buf_add(s->buf, "%s", text);
	return false;
}

static bool
lacks_name(const struct scene *s, const char *name)
{
	lacks(s, "no peer %s is there", name);
	for (size_t i = 0; i < s->npeers; i++)
		handoff__buf_add(s->buf, "%s%s (pid %ld)",
			i > 0 ? ", " : ": only ", s->peers[i].name,
			s->peers[i].pid);
	return false;
}

static bool
lacks_answer(const struct scene *s, const struct handoff__contact *peer)
{
	return lacks(s, "%s (pid %ld) does not answer", peer->name, peer->pid);
}

/* Of several with one name, the one that has that role. */
static const struct handoff__contact *
find_named(const struct scene *s, const char *name, const char *role)
{
	const struct handoff__contact *found = NULL;

	for (size_t i = 0; i < s->npeers; i++) {
		const struct handoff__contact *peer = &s->peers[i];

		if (is_named(peer, name) && (!found || has_role(peer, role)))
			found = peer;
	}
	return found;
}

static bool
owner_serves(const struct scene *s)
{
	const struct handoff__contact *peer =
		find_named(s, s->opts->owner, "owner");
	const char *idle;

	if (!peer)
		return lacks_name(s, s->opts->owner);
	if (!peer->role[0])
		return lacks_answer(s, peer);
	if (handoff__contact_is_ferry(peer))
		return lacks(
			s, "%s is a ferry, which serves nothing", peer->name);
	if (!has_role(peer, "owner"))
		return lacks(
			s, "%s (pid %ld) is a standby", peer->name, peer->pid);
	idle = handoff__contact_idle(peer);
	if (idle && strcmp(idle, "frozen") == 0)
		return lacks(s, "%s stands still until its lease is confirmed",
			peer->name);
	if (idle)
		return lacks(
			s, "%s waits for the lease of the service", peer->name);
	return true;
}

static bool
is_gone(const struct scene *s)
{
	for (size_t i = 0; i < s->npeers; i++) {
		if (is_named(&s->peers[i], s->opts->gone))
			return lacks(s, "%s (pid %ld) is still there",
				s->peers[i].name, s->peers[i].pid);
		if (strcmp(s->peers[i].name, "?") == 0)
			return lacks(s, "a peer has not told its name yet");
	}
	return true;
}

/* What the owner says of its link to the other peer. */
static bool
is_linked(const struct scene *s, const struct handoff__contact *owner,
	const struct handoff__contact *standby)
{
	if (says(owner, "partner", "ready"))
		return true;
	if (says(owner, "partner", "loading"))
		return lacks(s, "%s is not ready to serve yet", standby->name);
	if (says(owner, "partner", "hung"))
		return lacks(s, "%s hangs", standby->name);
	return lacks(s, "%s has not joined yet", standby->name);
}

static bool
standby_is_ready(const struct scene *s)
{
	const char *name = s->opts->joined;
	const struct handoff__contact *owner = find_role(s, "owner");
	const struct handoff__contact *peer =
		name ? find_named(s, name, "standby") : find_role(s, "standby");

	for (size_t i = 0; i < s->npeers; i++) {
		if (!s->peers[i].role[0])
			return lacks_answer(s, &s->peers[i]);
	}
	if (!peer && name)
		return lacks_name(s, name);
	if (!owner)
		return lacks(s, "no peer owns the service");
	if (!peer)
		return lacks(s, "no standby is there: only %s (pid %ld)",
			owner->name, owner->pid);
	if (has_role(peer, "owner"))
		return lacks(s, "%s (pid %ld) is no standby: it is the owner",
			peer->name, peer->pid);
	if (handoff__contact_is_ferry(peer))
		return lacks(s,
			"%s is a ferry, which holds copies and serves nothing",
			peer->name);
	return is_linked(s, owner, peer);
}

/* Both own something during a handoff, and after one that left some behind. */
static bool
all_is_covered(const struct scene *s)
{
	const struct handoff__contact *owner = find_role(s, "owner");
	unsigned long long uncovered = 0;

	for (size_t i = 0; i < s->npeers; i++) {
		const struct handoff__contact *peer = &s->peers[i];
		size_t len;
		const char *text =
			handoff__contact_value(peer, "uncovered", NULL, &len);

		if (!peer->role[0])
			return lacks_answer(s, peer);
		uncovered += text ? strtoull(text, NULL, 10) : 1;
	}
	if (!owner)
		return lacks(s, "no peer owns the service");
	if (s->npeers < 2)
		return lacks(s,
			"nothing covers %s (pid %ld): no other peer is "
			"there",
			owner->name, owner->pid);
	if (uncovered > 0)
		return lacks(s, "%llu %s not covered yet", uncovered,
			uncovered == 1 ? "entry is" : "entries are");
	return says(owner, "partner", "loading") ||
	       is_linked(s, owner, &s->peers[owner == s->peers ? 1 : 0]);
}

bool
handoff__until_asks(const struct handoff_wait_opts *opts)
{
	return opts->owner || opts->joined || opts->standby || opts->covered;
}

static bool
is_name(const char *name)
{
	return !name || handoff__name_ok(name);
}

const char *
handoff__until_wrong(const struct handoff_wait_opts *opts)
{
	if (!handoff__until_asks(opts) && !opts->gone)
		return "nothing is given that could be waited for";
	if (!is_name(opts->owner) || !is_name(opts->joined) ||
		!is_name(opts->gone))
		return "no peer can have the name that was given: names have "
		       "up to 31 bytes, without spaces";
	return opts->timeout_ms > HANDOFF__UNTIL_MAX_MS
		       ? "waits for a day at most"
		       : NULL;
}

void
handoff__until_text(
	const struct handoff_wait_opts *opts, struct handoff__buf *buf)
{
	const char *and = "";

	if (opts->owner) {
		handoff__buf_add(buf, "%s to serve", opts->owner);
		and = ", ";
	}
	if (opts->joined || opts->standby) {
		handoff__buf_add(buf, "%s%s to stand by", and,
			opts->joined ? opts->joined : "another peer");
		and = ", ";
	}
	if (opts->covered) {
		handoff__buf_add(buf, "%severy entry to be covered", and);
		and = ", ";
	}
	if (opts->gone)
		handoff__buf_add(buf, "%s%s to be gone", and, opts->gone);
}

static void
add_met(const struct scene *s)
{
	const struct handoff_wait_opts *opts = s->opts;
	const struct handoff__contact *standby = find_role(s, "standby");
	const char *and = "";

	if (opts->owner) {
		handoff__buf_add(s->buf, "%s serves", opts->owner);
		and = ", ";
	}
	if (opts->joined || opts->standby) {
		handoff__buf_add(s->buf, "%s%s (pid %ld) stands by", and,
			standby->name, standby->pid);
		and = ", ";
	}
	if (opts->covered) {
		handoff__buf_add(s->buf, "%severy entry is covered", and);
		and = ", ";
	}
	if (opts->gone)
		handoff__buf_add(s->buf, "%s%s is gone", and, opts->gone);
}

bool
handoff__until_met(const struct handoff_wait_opts *opts,
	const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	const struct scene s = {
		.opts = opts, .peers = peers, .npeers = npeers, .buf = buf};

	if (handoff__until_asks(opts) && npeers == 0)
		return lacks(&s, "no server is running");
	if (opts->gone && !is_gone(&s))
		return false;
	if (opts->owner && !owner_serves(&s))
		return false;
	if ((opts->standby || opts->joined) && !standby_is_ready(&s))
		return false;
	if (opts->covered && !all_is_covered(&s))
		return false;
	add_met(&s);
	return true;
}
