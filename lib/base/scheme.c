/* SPDX-License-Identifier: MIT */
/* Finds and adds tables of calls by the prefix of an address. Opens nothing. */
#include "base/scheme.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FORMS_MAX  200 /* bytes */
#define PREFIX_MAX 16  /* with a zero instead of the colon */

static size_t
count_of(const struct handoff__schemes *schemes)
{
	return atomic_load_explicit(&schemes->count, memory_order_acquire);
}

/* "mq:DIR, sysv:DIR or unix:DIR" */
static void
list_forms(const struct handoff__schemes *schemes, char out[FORMS_MAX])
{
	size_t len = 0, count = count_of(schemes);

	snprintf(out, FORMS_MAX, "%s", schemes->nothing);
	for (size_t i = 0; i < count && len < FORMS_MAX; i++) {
		const char *sep = i == 0 ? "" : i + 1 == count ? " or " : ", ";

		len += (size_t)snprintf(out + len, FORMS_MAX - len, "%s%s", sep,
			schemes->list[i].form);
	}
}

static const struct handoff__scheme *
find(const struct handoff__schemes *schemes, const char *address,
	const char **rest)
{
	size_t count = count_of(schemes);

	for (size_t i = 0; address && i < count; i++) {
		const struct handoff__scheme *scheme = &schemes->list[i];
		size_t len = strlen(scheme->prefix);

		if (strncmp(address, scheme->prefix, len) == 0) {
			*rest = address + len;
			return scheme;
		}
	}
	return NULL;
}

const void *
handoff__scheme_find(const struct handoff__schemes *schemes, const char *object,
	const char *address, const char **rest, struct handoff__error *error)
{
	const struct handoff__scheme *scheme = find(schemes, address, rest);
	char forms[FORMS_MAX];

	if (scheme && (*rest)[0])
		return scheme->table;
	list_forms(schemes, forms);
	handoff__fail(error, -EINVAL, "%s: address '%.120s': want %s", object,
		address ? address : "", forms);
	return NULL;
}

int
handoff__scheme_check(const struct handoff__schemes *schemes,
	const char *address, struct handoff__error *error)
{
	const char *rest = "";
	char forms[FORMS_MAX];

	if (find(schemes, address, &rest) && rest[0])
		return 0;
	list_forms(schemes, forms);
	return handoff__fail(error, -EINVAL,
		"'%.60s' is no address for %s: want %s", address,
		schemes->purpose, forms);
}

int
handoff__scheme_copy(const struct handoff__schemes *schemes, void *table,
	const void *given, size_t least, struct handoff__error *error)
{
	int err = handoff__opts_copy(table, schemes->table_size, given, least);

	if (err == 0)
		return 0;
	return handoff__fail(error, err, "%s: the size of its table is %s",
		schemes->noun,
		err == -E2BIG ? "that of a later version, whose calls this "
				"one does not know"
			      : "wrong");
}

static int
check(const struct handoff__schemes *schemes, const char *prefix,
	const char *lacks, struct handoff__error *error)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "0123456789+.-";
	size_t len = strspn(prefix, allowed);

	if (len == 0 || len >= PREFIX_MAX || strcmp(prefix + len, ":") != 0)
		return handoff__fail(error, -EINVAL,
			"%s: prefix '%.40s': want 1 to %d characters of "
			"a-z 0-9 + . - and a colon",
			schemes->noun, prefix, PREFIX_MAX - 1);
	if (lacks)
		return handoff__fail(error, -EINVAL, "%s %s it must have %s",
			schemes->noun, prefix, lacks);
	return 0;
}

/* An entry is whole before it is counted. */
static void
enter(struct handoff__schemes *schemes, const struct handoff__scheme *scheme)
{
	size_t count = count_of(schemes);

	schemes->list[count] = *scheme;
	atomic_store_explicit(&schemes->count, count + 1, memory_order_release);
}

static int
add(struct handoff__schemes *schemes, const struct handoff__scheme *scheme,
	struct handoff__error *error)
{
	size_t added = count_of(schemes) - schemes->own;
	struct handoff__scheme entry = *scheme;
	const char *rest;

	if (find(schemes, scheme->prefix, &rest))
		return handoff__fail(error, -EEXIST,
			"%s %s there is one with this prefix already",
			schemes->noun, scheme->prefix);
	if (added == schemes->tables_max)
		return handoff__fail(error, -ENOSPC,
			"%s %s at most %zu can be added", schemes->noun,
			scheme->prefix, schemes->tables_max);
	entry.table =
		memcpy((char *)schemes->tables + added * schemes->table_size,
			scheme->table, schemes->table_size);
	enter(schemes, &entry);
	return 0;
}

int
handoff__scheme_add(struct handoff__schemes *schemes,
	const struct handoff__scheme *scheme, const char *lacks,
	struct handoff__error *error)
{
	int err = check(
		schemes, scheme->prefix ? scheme->prefix : "", lacks, error);

	if (err < 0)
		return err;
	pthread_mutex_lock(&schemes->adding);
	err = add(schemes, scheme, error);
	pthread_mutex_unlock(&schemes->adding);
	return err;
}

void
handoff__scheme_own(
	struct handoff__schemes *schemes, const struct handoff__scheme *scheme)
{
	enter(schemes, scheme);
	schemes->own++;
}
