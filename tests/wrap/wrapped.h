/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of wrapping: one connection of a toy that wraps a service
 * of the test, and its client, which speaks frames.
 */
#ifndef TESTS_WRAP_WRAPPED_H
#define TESTS_WRAP_WRAPPED_H

#include "server/solo.h"
#include "wrap/toy.h"

struct wrapped {
	struct fixture f;
	struct handoff_service inner;
	struct toy toy;
};

/* A service with that handler, 32 bytes of state, and `w` as its argument. */
void wrapped_init(struct wrapped *w, handoff_handle_fn *handle);
/* Opens the connection, after what the test has changed in the two. */
void wrapped_open(struct wrapped *w);
void wrapped_close(struct wrapped *w);

/* The client sends a frame; what is not in a frame is for client_says. */
void wrapped_says(const struct wrapped *w, char type, const char *text);
void wrapped_sends(
	const struct wrapped *w, char type, const void *data, size_t len);

/* Exactly these bytes have come in frames, `types` of them, such as "ddb". */
void wrapped_hears(
	const struct wrapped *w, const char *text, const char *types);

#endif
