/* SPDX-License-Identifier: MIT */
/*
 * One conversation through a layer: an end of it, and the checks that the
 * program's table of calls is complete. Does no I/O; a conversation that has
 * not begun has no layer, and everything goes as it is.
 */
#ifndef HANDOFF_CLIENT_LAYER_H
#define HANDOFF_CLIENT_LAYER_H

#include "base/text.h"

#include <handoff/client.h>

struct handoff__layered {
	const struct handoff_client_layer *calls;
	void *end; /* NULL: there is none */
};

/* Copies the table. -EINVAL if a call lacks, -E2BIG. */
int handoff__layer_copy(struct handoff_client_layer *layer,
	const struct handoff_client_layer *from, struct handoff__error *error);

/* False if there is no memory. */
bool handoff__layered_begin(struct handoff__layered *layered,
	const struct handoff_client_layer *calls, const char *endpoint);
void handoff__layered_free(struct handoff__layered *layered);

/* Why it has FAILED: a negative errno, and a sentence that is valid until the
 * next call; 0 if it has not. */
int handoff__layered_failure(
	const struct handoff__layered *layered, const char **text);

/* A few words about it for people, or "". */
const char *handoff__layered_words(const struct handoff__layered *layered);

/* Plain text can be written: the handshake is done, and it has not failed. */
bool handoff__layered_is_open(const struct handoff__layered *layered);

/* The server has ended its direction in order, and all of it was read. */
bool handoff__layered_is_closed(const struct handoff__layered *layered);

#endif
