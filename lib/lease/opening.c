/* SPDX-License-Identifier: MIT */
/*
 * The options of a keeper: whether they can be used, and an end of the engine
 * that they name. Drives nothing.
 */
#include "lease/opening.h"

#include "lease/engines.h"

#include <errno.h>
#include <string.h>

static int
check_host(const struct handoff__keeper_opts *o, struct handoff__error *error)
{
	if (!o->host || !handoff__name_ok(o->host))
		return handoff__fail(error, -EINVAL,
			"lease: name of this host '%.60s': want 1 to 31 "
			"characters of A-Z a-z 0-9 . _ -",
			o->host ? o->host : "");
	if (o->text && strlen(o->text) >= HANDOFF_TEXT_MAX)
		return handoff__fail(error, -EINVAL,
			"lease: what this host says of itself is longer than "
			"%d bytes",
			HANDOFF_TEXT_MAX - 1);
	return 0;
}

int
handoff__keeper_check(
	const struct handoff__keeper_opts *o, struct handoff__error *error)
{
	uint32_t ttl_ms = handoff__opt_or(o->ttl_ms, HANDOFF_LEASE_TTL_MS);
	const char *rest;

	if (!handoff__engine_find("lease", o->address, &rest, error))
		return -EINVAL;
	if (ttl_ms < HANDOFF_LEASE_TTL_MIN_MS ||
		ttl_ms > HANDOFF_LEASE_TTL_MAX_MS)
		return handoff__fail(error, -EINVAL,
			"lease: a TTL of %u ms: want %d to %d", ttl_ms,
			HANDOFF_LEASE_TTL_MIN_MS, HANDOFF_LEASE_TTL_MAX_MS);
	if (o->saved && o->saved->session_len > HANDOFF_LEASE_SESSION_MAX)
		return handoff__fail(error, -EINVAL,
			"lease: a saved session of %u bytes: at most %d",
			o->saved->session_len, HANDOFF_LEASE_SESSION_MAX);
	return check_host(o, error);
}

int
handoff__keeper_open_end(const struct handoff__keeper_opts *o,
	const struct handoff_lease_engine **engine, void **end,
	struct handoff__error *error)
{
	const struct handoff_lease_side side = {
		.size = sizeof(side),
		.user = o->user,
		.ttl_ms = handoff__opt_or(o->ttl_ms, HANDOFF_LEASE_TTL_MS),
		.host = o->host,
		.text = o->text ? o->text : "",
		.session = o->saved ? o->saved->session : NULL,
		.session_len = o->saved ? o->saved->session_len : 0,
	};
	const char *rest = "";
	int err;

	*engine = handoff__engine_find("lease", o->address, &rest, error);
	err = *engine ? (*engine)->open(end, rest, &side, error->text,
				sizeof(error->text))
		      : -EINVAL;
	if (err < 0)
		*engine = NULL;
	return err;
}

int
handoff__keeper_try(
	const struct handoff__keeper_opts *o, struct handoff__error *error)
{
	const struct handoff_lease_engine *engine;
	void *end;
	int err = handoff__keeper_check(o, error);

	if (err >= 0 &&
		(err = handoff__keeper_open_end(o, &engine, &end, error)) >= 0)
		engine->close(end);
	return err < 0 && err != -EAGAIN ? err : 0;
}
