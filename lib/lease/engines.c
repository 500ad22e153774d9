/* SPDX-License-Identifier: MIT */
/*
 * The table of engines, and the names of states. An engine is there when a
 * program or a component has added it; this library has none of its own, since
 * each takes a client library. Opens nothing.
 */
#include "lease/engines.h"

#include "base/scheme.h"

#include <errno.h>

static struct handoff_lease_engine added[HANDOFF_LEASE_ADDED_MAX];
static struct handoff__schemes engines = {
	.noun = "lease engine",
	.purpose = "a lease",
	.nothing = "one of an engine, and none was added",
	.tables = added,
	.table_size = sizeof(added[0]),
	.tables_max = HANDOFF_LEASE_ADDED_MAX,
	.adding = PTHREAD_MUTEX_INITIALIZER,
};

const struct handoff_lease_engine *
handoff__engine_find(const char *object, const char *address, const char **rest,
	struct handoff__error *error)
{
	return handoff__scheme_find(&engines, object, address, rest, error);
}

int
handoff__engine_check(const char *address, struct handoff__error *error)
{
	return handoff__scheme_check(&engines, address, error);
}

static const char *
lacks(const struct handoff_lease_engine *e)
{
	if (e->form && e->open && e->fd && e->next_event && e->acquire &&
		e->prove && e->publish && e->retained && e->save &&
		e->release && e->close)
		return NULL;
	return "a form and all calls from open to close";
}

int
handoff_lease_engine_add(const struct handoff_lease_engine *engine,
	char *errbuf, size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	struct handoff_lease_engine table;
	int err = handoff__scheme_copy(&engines, &table, engine,
		offsetof(struct handoff_lease_engine, describe), &error);

	if (err == 0) {
		struct handoff__scheme scheme = {
			table.prefix, table.form, &table};

		err = handoff__scheme_add(
			&engines, &scheme, lacks(&table), &error);
	}
	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}

const char *
handoff_lease_state_name(enum handoff_lease_state state)
{
	switch (state) {
	case HANDOFF_LEASE_FREE:
		return "FREE";
	case HANDOFF_LEASE_CANDIDATE:
		return "CANDIDATE";
	case HANDOFF_LEASE_OWNER:
		return "OWNER";
	case HANDOFF_LEASE_DOUBT:
		return "DOUBT";
	case HANDOFF_LEASE_LOST:
		return "LOST";
	}
	return "?";
}
