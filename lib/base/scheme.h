/* SPDX-License-Identifier: MIT */
/*
 * Tables of calls that are chosen by the prefix of an address, such as the
 * transports of notices: those of the library, and those that a program has
 * added. What is in a table is the business of its owner.
 */
#ifndef HANDOFF_BASE_SCHEME_H
#define HANDOFF_BASE_SCHEME_H

#include "base/text.h"

#include <pthread.h>
#include <stdatomic.h>

#define HANDOFF__SCHEMES_MAX 32

struct handoff__scheme {
	const char *prefix; /* of its addresses, with the colon: "mq:" */
	const char *form;   /* of its addresses, for people: "mq:DIR" */
	const void *table;
};

/* Of the whole process. An entry never changes: a reader needs no lock. */
struct handoff__schemes {
	const char *noun;    /* for sentences: "transport" */
	const char *purpose; /* of an address: "notices" */
	const char *nothing; /* instead of forms while there are none */
	void *tables;        /* room for those that are added */
	size_t table_size;
	size_t tables_max;
	/* initialised to PTHREAD_MUTEX_INITIALIZER; the rest to zero */
	pthread_mutex_t adding;
	size_t own;
	atomic_size_t count;
	struct handoff__scheme list[HANDOFF__SCHEMES_MAX];
};

/* Enters one of the library itself, before any other call. */
void handoff__scheme_own(
	struct handoff__schemes *schemes, const struct handoff__scheme *scheme);

/*
 * Adds a copy of a table. `lacks` names what it must have and has not, NULL for
 * nothing. -EINVAL, -EEXIST or -ENOSPC with a sentence; see
 * handoff_transport_add.
 */
int handoff__scheme_add(struct handoff__schemes *schemes,
	const struct handoff__scheme *scheme, const char *lacks,
	struct handoff__error *error);

/* Copies the table that a program gives, of `least` bytes or more, with the
 * calls it lacks set to NULL. */
int handoff__scheme_copy(const struct handoff__schemes *schemes, void *table,
	const void *given, size_t least, struct handoff__error *error);

/* The table of an address, and what is behind its prefix. NULL if there is
 * none or nothing is behind it, with a sentence that begins with `object`. */
const void *handoff__scheme_find(const struct handoff__schemes *schemes,
	const char *object, const char *address, const char **rest,
	struct handoff__error *error);

/* For lib/base/argv.h: whether there is one with this prefix, and something
 * behind it. */
int handoff__scheme_check(const struct handoff__schemes *schemes,
	const char *address, struct handoff__error *error);

#endif
