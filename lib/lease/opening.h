/* SPDX-License-Identifier: MIT */
/* The options of a keeper, and how it opens its engine. */
#ifndef HANDOFF_LEASE_OPENING_H
#define HANDOFF_LEASE_OPENING_H

#include "base/text.h"
#include "lease/lease.h"

struct handoff__keeper_hooks; /* keeper.h */

struct handoff__keeper_opts {
	const char *address; /* such as "zk:HOST:PORT/SERVICE" */
	const char *host;    /* this host's name; see handoff_lease_side */
	const char *text;    /* what it says of itself; NULL for nothing */
	uint32_t user;
	uint32_t ttl_ms;                          /* 0: HANDOFF_LEASE_TTL_MS */
	const struct handoff__lease_saved *saved; /* NULL: a host that starts */
	const struct handoff__keeper_hooks *hooks;
	void *arg;
	struct handoff__log log;
};

/* Whether the options can be used at all: 0, or -EINVAL with a sentence that
 * names the option. Opens nothing. */
int handoff__keeper_check(
	const struct handoff__keeper_opts *opts, struct handoff__error *error);

/* The same, and whether the engine takes its address and what that names, such
 * as a file of credentials: an end is opened, and closed at once. An address
 * that can perhaps be used later is no error. */
int handoff__keeper_try(
	const struct handoff__keeper_opts *opts, struct handoff__error *error);

/* An end of the engine at the address, which begins to connect. On failure
 * `*engine` is NULL, and there is a sentence. */
int handoff__keeper_open_end(const struct handoff__keeper_opts *opts,
	const struct handoff_lease_engine **engine, void **end,
	struct handoff__error *error);

#endif
