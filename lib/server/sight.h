/* SPDX-License-Identifier: MIT */
/*
 * What a record says at a moment, and what follows from it for the turn of its
 * connection. Changes nothing. Part of conn.c, and inline: each turn asks.
 */
#ifndef HANDOFF_SERVER_SIGHT_H
#define HANDOFF_SERVER_SIGHT_H

#include "record/record.h"

#include <sys/epoll.h>

/* Everything is asked of it, because what lies in shared memory is loaded anew
 * each time. */
struct handoff__sight {
	const struct handoff__view *view;
	const struct handoff_service *service;
	const struct handoff__commit *commit;
	uint64_t unread, unsent;
};

static inline void
handoff__sight_look(struct handoff__sight *s)
{
	const struct handoff__record *rec = s->view->rec;
	const struct handoff__commit *c = handoff__record_commit(rec);

	s->commit = c;
	s->unread = handoff__rx_head(rec) - c->rx_tail;
	s->unsent = c->tx_head - handoff__tx_tail(rec);
}

static inline struct handoff__sight
handoff__sight_of(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__sight s = {.view = view, .service = service};

	handoff__sight_look(&s);
	return s;
}

/* Is there input, or an end of it that the handler has not been told of? */
static inline bool
handoff__sight_news(const struct handoff__sight *s)
{
	return s->unread > 0 ||
	       (s->commit->flags & (HANDOFF__EOF | HANDOFF__EOF_DONE)) ==
		       HANDOFF__EOF;
}

/* Is there a line for the connection, or may there be? Not before the service
 * has greeted it, and not after it has said its last. */
static inline bool
handoff__sight_lines_due(const struct handoff__sight *s)
{
	const struct handoff__commit *c = s->commit;

	return c->line_pos < handoff__bulletin_head(s->view->seg->bulletin) &&
	       !(c->flags & HANDOFF__CLOSING) &&
	       (!s->service->open || (c->flags & HANDOFF__OPENED));
}

static inline bool
handoff__sight_due(const struct handoff__sight *s)
{
	uint32_t flags = s->commit->flags;

	if (flags & HANDOFF__CLOSING)
		return false;
	if (!(flags & HANDOFF__OPENED))
		return s->service->open || handoff__rx_head(s->view->rec) > 0 ||
		       (flags & HANDOFF__EOF);
	if (s->unsent == s->view->seg->geo.tx_size)
		return false;
	return handoff__sight_news(s);
}

static inline uint32_t
handoff__sight_want(const struct handoff__sight *s)
{
	uint32_t events = s->unsent > 0 ? EPOLLOUT : 0;

	if (!(s->commit->flags & HANDOFF__EOF) &&
		s->unread < s->view->seg->geo.rx_size)
		events |= EPOLLIN;
	return events;
}

static inline bool
handoff__sight_pending(const struct handoff__sight *s)
{
	/* With nothing to wait for it is at its end, and the peer that was
	 * about to end it may have died. */
	return s->unsent > 0 || handoff__sight_due(s) ||
	       handoff__sight_lines_due(s) ||
	       (s->commit->flags & HANDOFF__CLOSING) ||
	       handoff__sight_want(s) == 0;
}

/* Is the connection open, and nothing to be done but what its input asks? */
static inline bool
handoff__sight_is_plain(const struct handoff__sight *s)
{
	return s->commit->flags == HANDOFF__OPENED && s->unsent == 0 &&
	       !handoff__sight_lines_due(s);
}

#endif
