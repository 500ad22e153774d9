/* SPDX-License-Identifier: MIT */
/*
 * The table of engines, and the names of states. An engine is there when a
 * program or a component has added it; this library has none of its own, since
 * each takes a client library. Opens nothing.
 */
#include "lease/engines.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FORMS_MAX  200 /* bytes */
#define PREFIX_MAX 16  /* with a zero instead of the colon */

/* Of the whole process. Entries are never changed: a reader needs no lock. */
static struct handoff_lease_engine added[HANDOFF_LEASE_ADDED_MAX];
static atomic_size_t nadded;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

static size_t
count_added(void)
{
	return atomic_load_explicit(&nadded, memory_order_acquire);
}

/* "zk:HOST:PORT/SERVICE or file:DIR" */
static void
list_forms(char out[FORMS_MAX])
{
	size_t len = 0, count = count_added();

	snprintf(out, FORMS_MAX, "one of an engine, and none was added");
	for (size_t i = 0; i < count && len < FORMS_MAX; i++) {
		const char *sep = i == 0 ? "" : i + 1 == count ? " or " : ", ";

		len += (size_t)snprintf(
			out + len, FORMS_MAX - len, "%s%s", sep, added[i].form);
	}
}

static const struct handoff_lease_engine *
find(const char *address, const char **rest)
{
	size_t count = count_added();

	for (size_t i = 0; address && i < count; i++) {
		size_t len = strlen(added[i].prefix);

		if (strncmp(address, added[i].prefix, len) == 0) {
			*rest = address + len;
			return &added[i];
		}
	}
	return NULL;
}

const struct handoff_lease_engine *
handoff__engine_find(const char *object, const char *address, const char **rest,
	struct handoff__error *error)
{
	const struct handoff_lease_engine *engine = find(address, rest);
	char forms[FORMS_MAX];

	if (engine && (*rest)[0])
		return engine;
	list_forms(forms);
	handoff__fail(error, -EINVAL, "%s: address '%.120s': want %s", object,
		address ? address : "", forms);
	return NULL;
}

int
handoff__engine_check(const char *address, struct handoff__error *error)
{
	const char *rest = "";
	char forms[FORMS_MAX];

	if (find(address, &rest) && rest[0])
		return 0;
	list_forms(forms);
	return handoff__fail(error, -EINVAL,
		"'%.60s' is no address for a lease: want %s", address, forms);
}

static bool
has_calls(const struct handoff_lease_engine *e)
{
	return e->form && e->open && e->fd && e->next_event && e->acquire &&
	       e->prove && e->publish && e->retained && e->save && e->release &&
	       e->close;
}

static int
check_table(
	const struct handoff_lease_engine *engine, struct handoff__error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "0123456789+.-";
	const char *prefix = engine->prefix ? engine->prefix : "";
	size_t len = strspn(prefix, allowed);

	if (len == 0 || len >= PREFIX_MAX || strcmp(prefix + len, ":") != 0)
		return handoff__fail(error, -EINVAL,
			"lease engine: prefix '%.40s': want 1 to %d characters "
			"of a-z 0-9 + . - and a colon",
			prefix, PREFIX_MAX - 1);
	if (!has_calls(engine))
		return handoff__fail(error, -EINVAL,
			"lease engine %s it must have a form and all calls "
			"from open to close",
			prefix);
	return 0;
}

static int
add(const struct handoff_lease_engine *engine, struct handoff__error *error)
{
	size_t count = atomic_load(&nadded);
	const char *rest;

	if (find(engine->prefix, &rest))
		return handoff__fail(error, -EEXIST,
			"lease engine %s there is one with this prefix already",
			engine->prefix);
	if (count == HANDOFF_LEASE_ADDED_MAX)
		return handoff__fail(error, -ENOSPC,
			"lease engine %s at most %d can be added",
			engine->prefix, HANDOFF_LEASE_ADDED_MAX);
	added[count] = *engine;
	atomic_store_explicit(&nadded, count + 1, memory_order_release);
	return 0;
}

int
handoff_lease_engine_add(const struct handoff_lease_engine *engine,
	char *errbuf, size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	struct handoff_lease_engine table;
	int err = handoff__opts_copy(&table, sizeof(table), engine,
		offsetof(struct handoff_lease_engine, describe));

	if (err < 0)
		handoff__fail(&error, err,
			"lease engine: the size of its table is %s",
			err == -E2BIG ? "that of a later version, whose calls "
					"this one does not know"
				      : "wrong");
	else
		err = check_table(&table, &error);
	if (err == 0) {
		pthread_mutex_lock(&adding);
		err = add(&table, &error);
		pthread_mutex_unlock(&adding);
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
