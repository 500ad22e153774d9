/* SPDX-License-Identifier: MIT */
/*
 * One turn of a connection. IN_TURN brackets everything that moves the
 * kernel's counters: a survivor that finds it set asks the kernel where the
 * stream stands, and trusts the record otherwise.
 */
#include "server/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Transactions of one connection before the others get their turn. */
#define ROUNDS 16

struct turn {
	const struct handoff__view *view;
	int fd;
	const struct handoff_service *service;
	struct handoff__turn_result *result;
};

static uint32_t
flags_of(const struct turn *t)
{
	return handoff__current(t->view->rec)->flags;
}

static bool
end(const struct turn *t, enum handoff__end kind, const char *why, int err)
{
	t->result->turn = HANDOFF__TURN_END;
	t->result->end = kind;
	t->result->why = why;
	t->result->err = err;
	return false;
}

/* False when the connection is at its end. */
static bool
receive(const struct turn *t)
{
	void *at;
	size_t room = handoff__record_rx_room(t->view, &at);
	ssize_t n;

	if (room == 0 || (flags_of(t) & HANDOFF__EOF))
		return true;
	n = recv(t->fd, at, room, MSG_DONTWAIT);
	if (n > 0) {
		t->view->rec->touched = 1;
		handoff__record_received(t->view, (size_t)n);
	} else if (n == 0) {
		handoff__record_flag(t->view, HANDOFF__EOF);
	} else if (errno != EAGAIN && errno != EINTR) {
		return end(t, HANDOFF__END_ERROR, "receive", errno);
	}
	return true;
}

/* False when the connection is at its end. */
static bool
transmit(const struct turn *t)
{
	struct iovec iov[2];
	int pieces;

	while ((pieces = handoff__record_tx_pieces(t->view, iov)) > 0) {
		struct msghdr msg = {
			.msg_iov = iov, .msg_iovlen = (size_t)pieces};
		ssize_t n = pieces == 1 ? send(t->fd, iov[0].iov_base,
						  iov[0].iov_len,
						  MSG_DONTWAIT | MSG_NOSIGNAL)
					: sendmsg(t->fd, &msg,
						  MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			handoff__record_sent(t->view, (size_t)n);
		else if (errno == EAGAIN)
			return true;
		else if (errno != EINTR)
			return end(t, HANDOFF__END_ERROR, "send", errno);
	}
	return true;
}

/* Is there input, or an end of it that the handler has not been told of? */
static bool
news(const struct handoff__view *view)
{
	uint32_t flags = handoff__current(view->rec)->flags;

	return handoff__record_unread(view->rec) > 0 ||
	       (flags & (HANDOFF__EOF | HANDOFF__EOF_DONE)) == HANDOFF__EOF;
}

/* Is there a line for the connection, or may there be? Not before the service
 * has greeted it, and not after it has said its last. */
static bool
lines_due(
	const struct handoff__view *view, const struct handoff_service *service)
{
	const struct handoff__commit *c = handoff__current(view->rec);

	return c->heard < handoff__bulletin_head(view->bulletin) &&
	       !(c->flags & HANDOFF__CLOSING) &&
	       (!service->open || (c->flags & HANDOFF__OPENED));
}

bool
handoff__conn_due(
	const struct handoff__view *view, const struct handoff_service *service)
{
	const struct handoff__commit *c = handoff__current(view->rec);

	if (c->flags & HANDOFF__CLOSING)
		return false;
	if (!(c->flags & HANDOFF__OPENED))
		return service->open || view->rec->rx_head > 0 ||
		       (c->flags & HANDOFF__EOF);
	if (handoff__record_unsent(view->rec) == view->geo->tx_size)
		return false;
	return news(view);
}

/* One transaction. 1: something changed, 0: the handler waits for more,
 * negative: it failed and nothing happened. */
static int
handle(const struct turn *t)
{
	struct handoff_conn txn;
	struct handoff__commit before = *handoff__current(t->view->rec);
	bool opened = (before.flags & HANDOFF__OPENED) != 0;
	handoff_handle_fn *fn = opened ? t->service->handle : t->service->open;
	int rc;

	handoff__txn_begin(&txn, t->view);
	txn.next->flags |= HANDOFF__OPENED;
	if (opened && (before.flags & HANDOFF__EOF))
		txn.next->flags |= HANDOFF__EOF_DONE;
	rc = fn ? fn(&txn, t->service->arg) : 0;
	if (rc < 0)
		return rc;
	if (txn.next->tx_head != before.tx_head)
		t->view->rec->touched = 1;
	rc = txn.next->rx_tail != before.rx_tail ||
	     txn.next->tx_head != before.tx_head ||
	     txn.next->flags != before.flags;
	handoff__txn_commit(&txn);
	return rc;
}

/* Runs transactions until the handler waits. False when it failed. */
static bool
run(const struct turn *t, int *rounds)
{
	while (handoff__conn_due(t->view, t->service) && *rounds > 0) {
		int rc = handle(t);

		--*rounds;
		if (rc < 0)
			return end(t, HANDOFF__END_HANDLER, "handler", -rc);
		if (rc == 0)
			return true;
	}
	return true;
}

/* All has been sent: is that the end? */
static void
conclude(const struct turn *t)
{
	uint32_t flags = flags_of(t);
	bool closing = (flags & HANDOFF__CLOSING) != 0;

	if (handoff__record_unsent(t->view->rec) > 0)
		return;
	if ((flags & HANDOFF__EOF) &&
		(closing || (flags & HANDOFF__EOF_DONE))) {
		end(t, closing ? HANDOFF__END_SERVICE : HANDOFF__END_CLIENT,
			NULL, 0);
	} else if (closing) {
		/* Closing with input unread would reset the connection and
		 * may destroy what was sent (RFC 9293, 3.6.1 and 3.10.4). */
		shutdown(t->fd, SHUT_WR);
		handoff__record_discard(t->view);
		t->result->turn = HANDOFF__TURN_LINGER;
	} else if (handoff__record_unread(t->view->rec) ==
		   t->view->geo->rx_size) {
		end(t, HANDOFF__END_INPUT,
			"the handler wants more input than input_size", 0);
	}
}

uint32_t
handoff__conn_want(const struct handoff__view *view)
{
	uint32_t flags = handoff__current(view->rec)->flags, want = 0;

	if (!(flags & HANDOFF__EOF) &&
		handoff__record_unread(view->rec) < view->geo->rx_size)
		want |= EPOLLIN;
	if (handoff__record_unsent(view->rec) > 0)
		want |= EPOLLOUT;
	return want;
}

bool
handoff__conn_pending(
	const struct handoff__view *view, const struct handoff_service *service)
{
	/* With nothing to wait for it is at its end, and who was about to end
	 * it may have died. */
	return handoff__record_unsent(view->rec) > 0 ||
	       handoff__conn_due(view, service) || lines_due(view, service) ||
	       (handoff__current(view->rec)->flags & HANDOFF__CLOSING) ||
	       handoff__conn_want(view) == 0;
}

/* Lines come before the handler: one that always fills the output would keep
 * them out. False if they wait for room. */
static bool
hear(const struct turn *t)
{
	return !lines_due(t->view, t->service) || handoff__record_hear(t->view);
}

/* A handler that stops while output is unsent may have stopped for lack of
 * room: it is asked again once that is gone. */
static void
steps(const struct turn *t, uint32_t events)
{
	const struct handoff__record *rec = t->view->rec;
	int rounds = ROUNDS;
	bool held_up, lines;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !receive(t))
		return;
	do {
		if (hear(t) && !run(t, &rounds))
			return;
		lines = lines_due(t->view, t->service);
		held_up = lines ||
			  (handoff__record_unsent(rec) > 0 && news(t->view));
		if (!transmit(t))
			return;
	} while (held_up && rounds > 0 && handoff__record_unsent(rec) == 0);
	if ((rounds == 0 && handoff__conn_due(t->view, t->service)) ||
		(lines && handoff__record_unsent(rec) == 0))
		t->result->turn = HANDOFF__TURN_AGAIN;
	else
		conclude(t);
}

void
handoff__conn_turn(const struct handoff__view *view, int fd,
	const struct handoff_service *service, uint32_t events,
	struct handoff__turn_result *result)
{
	struct turn t = {
		.view = view, .fd = fd, .service = service, .result = result};

	memset(result, 0, sizeof(*result));
	handoff__record_mark(view->rec, HANDOFF__IN_TURN);
	steps(&t, events);
	result->want = handoff__conn_want(view);
	handoff__record_mark(view->rec,
		result->want != EPOLLIN || handoff__conn_pending(view, service)
			? HANDOFF__PENDING
			: HANDOFF__AT_REST);
}
