/* SPDX-License-Identifier: MIT */
/* The table of engines: those that a program or a component has added. */
#ifndef HANDOFF_LEASE_ENGINES_H
#define HANDOFF_LEASE_ENGINES_H

#include "base/text.h"

#include <handoff/lease.h>

/* Finds the engine of an address and what is behind its prefix. NULL if there
 * is none, with a sentence that begins with `object`. The table stays where it
 * is. */
const struct handoff_lease_engine *handoff__engine_find(const char *object,
	const char *address, const char **rest, struct handoff__error *error);

/* For lib/base/argv.h: whether an engine has this prefix. */
int handoff__engine_check(const char *address, struct handoff__error *error);

#endif
