/* SPDX-License-Identifier: MIT */
/*
 * A connection's state, read from its record once, and what follows from it for
 * a turn. Changes nothing. Part of conn.c, and inline: each turn uses it.
 */
#ifndef HANDOFF_SERVER_CONN_STATE_H
#define HANDOFF_SERVER_CONN_STATE_H

#include "record/pass.h"

#include <sys/epoll.h>

/* Cached in locals: shared fields would be reloaded at each access. */
struct handoff__conn_state {
	const struct handoff__view *view;
	const struct handoff_service *service;
	const struct handoff__commit *commit;
	uint64_t unread, unsent;
};

static inline void
handoff__conn_state_load(struct handoff__conn_state *s)
{
	const struct handoff__record *rec = s->view->rec;
	const struct handoff__commit *c = handoff__record_commit(rec);

	s->commit = c;
	s->unread = handoff__rx_head(rec) - c->rx_tail;
	s->unsent = c->tx_head - handoff__tx_tail(rec);
}

static inline struct handoff__conn_state
handoff__conn_state_of(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__conn_state s = {.view = view, .service = service};

	handoff__conn_state_load(&s);
	return s;
}

/* Whether there is input, or an end of input, that the handler has not seen,
 * and that it does not keep waiting until a post comes. A session's service
 * takes what comes all the same: acknowledgements are among it. */
static inline bool
handoff__conn_state_input_due(const struct handoff__conn_state *s)
{
	uint32_t flags = s->commit->flags;

	if (__builtin_expect((flags & HANDOFF__WAITING) != 0, false))
		return (flags & HANDOFF__SESSION) && s->unread > 0;
	return s->unread > 0 || (flags & HANDOFF__HOLDS_INPUT) ||
	       (flags & (HANDOFF__EOF | HANDOFF__EOF_DONE)) == HANDOFF__EOF;
}

/* Whether there is, or may be, a post for the connection. Not before the
 * service's open has run, and not after it has closed. */
static inline bool
handoff__conn_state_posts_due(const struct handoff__conn_state *s)
{
	const struct handoff__commit *c = s->commit;

	return c->line_pos < handoff__posts_head(s->view->seg->ring) &&
	       !(c->flags & HANDOFF__NO_OUTPUT) &&
	       (!s->service->open || (c->flags & HANDOFF__OPENED));
}

/* What a paired connection has to do, a set of enum handoff__pass_due. */
static inline uint32_t
handoff__conn_state_pass(const struct handoff__conn_state *s)
{
	return s->commit->flags & HANDOFF__PAIRED
		       ? handoff__pass_due(s->view, s->commit)
		       : 0;
}

/* Whether there are bytes, or an end, of a pair to take, and room for it. Not
 * before the service's open has run. */
static inline bool
handoff__conn_state_take_due(const struct handoff__conn_state *s)
{
	return (handoff__conn_state_pass(s) & HANDOFF__PASS_TAKE) &&
	       s->unsent < s->view->seg->geo.tx_size &&
	       (!s->service->open || (s->commit->flags & HANDOFF__OPENED));
}

static inline bool
handoff__conn_state_due(const struct handoff__conn_state *s)
{
	uint32_t flags = s->commit->flags;

	if (flags & (HANDOFF__CLOSING | HANDOFF__GONE | HANDOFF__RESUMING))
		return false;
	if (!(flags & HANDOFF__OPENED))
		return s->service->open || handoff__rx_head(s->view->rec) > 0 ||
		       (flags & (HANDOFF__EOF | HANDOFF__PAIR_OVER)) ||
		       (handoff__conn_state_pass(s) & HANDOFF__PASS_TELL);
	if (s->unsent == s->view->seg->geo.tx_size)
		return false;
	return handoff__conn_state_input_due(s) ||
	       (flags & HANDOFF__PAIR_OVER) ||
	       (handoff__conn_state_pass(s) & HANDOFF__PASS_TELL);
}

static inline uint32_t
handoff__conn_state_want(const struct handoff__conn_state *s)
{
	uint32_t events = s->unsent > 0 ? EPOLLOUT : 0;

	if (s->commit->flags & HANDOFF__GONE)
		return 0;
	if (!(s->commit->flags & HANDOFF__EOF) &&
		s->unread < s->view->seg->geo.rx_size)
		events |= EPOLLIN;
	return events;
}

static inline bool
handoff__conn_state_pending(const struct handoff__conn_state *s)
{
	/* No event to wait for: the connection has ended, but the peer that
	 * should close it may have died first. */
	return s->unsent > 0 || handoff__conn_state_due(s) ||
	       handoff__conn_state_posts_due(s) ||
	       (s->commit->flags & (HANDOFF__CLOSING | HANDOFF__WAITING |
					   HANDOFF__RESUMING)) ||
	       handoff__conn_state_take_due(s) ||
	       (handoff__conn_state_pass(s) & HANDOFF__PASS_SETTLE) ||
	       handoff__conn_state_want(s) == 0;
}

/* Whether the connection is open and there is nothing to do but handle its
 * input. */
static inline bool
handoff__conn_state_is_plain(const struct handoff__conn_state *s)
{
	return s->commit->flags == HANDOFF__OPENED && s->unsent == 0 &&
	       !handoff__conn_state_posts_due(s);
}

#endif
