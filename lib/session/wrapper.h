/* SPDX-License-Identifier: MIT */
/*
 * A service that has been given sessions, as it lies in the caller's struct
 * handoff_session, whose service has the address of that as its `arg`.
 */
#ifndef HANDOFF_SESSION_WRAPPER_H
#define HANDOFF_SESSION_WRAPPER_H

#include "session/guesses.h"

#include <handoff/session.h>

struct handoff__wrapper {
	struct handoff_service inner;
	uint32_t timeout_ms, max_absent;
	uint32_t input_size; /* that of the service with sessions */
	const char *listen;
	struct handoff__guesses guesses;
};

/* A client's stream may be so far ahead of what the inner service has taken:
 * the window that is offered, and the memory, in which there is also room for
 * what the service waits for; see flow.h. */
static inline uint32_t
handoff__wrapper_window(const struct handoff__wrapper *w)
{
	return w->input_size < 131072 ? w->input_size : 131072;
}

static inline uint32_t
handoff__wrapper_memory(const struct handoff__wrapper *w)
{
	return w->input_size + handoff__wrapper_window(w) / 4;
}

/* NULL: that service has no sessions. */
struct handoff__wrapper *handoff__wrapper_of(
	const struct handoff_service *service);

#endif
