/* SPDX-License-Identifier: MIT */
/* One connection on its way to this host. */
#ifndef HANDOFF_FERRY_LANDING_H
#define HANDOFF_FERRY_LANDING_H

#include "ferry/freight.h"

/* It does not come: `fmt` takes the word. */
void handoff__landing_refuse(
	struct handoff__item *item, const char *fmt, const char *word);

/* Reads the message, makes a silent socket and an entry of it, or refuses it by
 * name. For an absent session any socket will do, and nothing is left to be
 * finished. */
void handoff__landing_prepare(
	struct handoff__freight *load, struct handoff__item *item);

/* It serves from here on. */
void handoff__landing_finish(
	struct handoff__freight *load, struct handoff__item *item);

/* The item's entry is in no batch any more. */
void handoff__landing_part(struct handoff__item *item);

/* Nothing of it stays: silent, for all that have a copy. */
void handoff__landing_drop(
	struct handoff__freight *load, struct handoff__item *item);

/* Why this image may not become a connection of this service, or NULL. */
const char *handoff__landing_objection(
	const struct handoff__ferry *ferry, const struct handoff__image *image);

#endif
