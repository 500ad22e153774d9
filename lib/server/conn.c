/* SPDX-License-Identifier: MIT */
/*
 * One turn of a connection. IN_TURN brackets everything that moves the kernel's
 * counters: a survivor that finds it set reads the stream positions from the
 * kernel, and otherwise trusts the record.
 */
#include "server/conn.h"

#include "record/desk.h"
#include "record/handling.h"
#include "record/region.h"
#include "server/conn_state.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* transactions of one connection before others get their turn */
#define ROUNDS 16

struct turn {
	struct handoff_conn txn;        /* its view is that of the turn */
	struct handoff__conn_state now; /* reloaded after each change */
	int rounds;                     /* transactions left */
	struct handoff__turn_result *result;
};

static bool
end(const struct turn *t, enum handoff__end kind, const char *why, int err)
{
	t->result->outcome = HANDOFF__TURN_END;
	t->result->end = (uint8_t)kind;
	t->result->why = why;
	t->result->err = err;
	return false;
}

/* A call on the socket failed. Transient errors are retried shortly; all others
 * end the connection. */
static __attribute__((noinline, cold)) bool
call_failed(const struct turn *t, const char *what, int err)
{
	end(t, HANDOFF__END_ERROR, what, err);
	if (err == ENOMEM || err == ENOBUFS)
		t->result->outcome = HANDOFF__TURN_RETRY;
	return false;
}

/* Reads input. False when this turn is over. */
static bool
receive_input(struct turn *t)
{
	const struct handoff__view *view = t->now.view;
	void *at;
	size_t room;
	ssize_t n;

	if (t->now.commit->flags & HANDOFF__EOF)
		return true;
	room = handoff__record_rx_room(view, &at);
	if (room == 0)
		return true;
	n = recv(t->txn.fd, at, room, MSG_DONTWAIT);
	if (n > 0) {
		handoff__record_touch(view->rec);
		handoff__record_received(view, (size_t)n);
	} else if (n == 0) {
		handoff__record_flag(view, HANDOFF__EOF);
	} else if (errno != EAGAIN && errno != EINTR) {
		return call_failed(t, "receive", errno);
	}
	handoff__conn_state_load(&t->now);
	return true;
}

static ssize_t
send_pieces(int fd, struct iovec *iov, int pieces)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};

	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Sends output. False when this turn is over. */
static bool
transmit(struct turn *t)
{
	const struct handoff__view *view = t->now.view;
	struct iovec iov[2];
	int pieces;
	ssize_t n;

	if (t->now.unsent == 0)
		return true;
	pieces = handoff__record_tx_pieces(view, iov);
	n = pieces == 1 ? send(t->txn.fd, iov[0].iov_base, iov[0].iov_len,
				  MSG_DONTWAIT | MSG_NOSIGNAL)
			: send_pieces(t->txn.fd, iov, pieces);
	if (n >= 0) {
		/* a short write means that the kernel's buffer is full */
		handoff__record_sent(view, (size_t)n);
		handoff__conn_state_load(&t->now);
	} else if (errno != EAGAIN && errno != EINTR) {
		return call_failed(t, "send", errno);
	}
	return true;
}

/* Commits; 1 if that changed something the handler may act upon. */
static inline int
commit_turn(struct turn *t, const struct handoff__commit *before)
{
	const struct handoff__commit *next = t->txn.next;
	int changed = next->rx_tail != before->rx_tail ||
		      next->tx_head != before->tx_head ||
		      next->flags != before->flags;

	if (next->tx_head != before->tx_head)
		handoff__record_touch(t->txn.view.rec);
	handoff__txn_commit(&t->txn);
	handoff__conn_state_load(&t->now);
	return changed;
}

/* The handler asks for something else than a commit. */
static __attribute__((noinline, cold)) int
not_committed(const struct turn *t, int rc)
{
	uint32_t flags = t->txn.next->flags;

	if (flags & HANDOFF__SHARED)
		handoff__region_undo(t->txn.view.seg->commons);
	end(t, HANDOFF__END_HANDLER, "handler", rc < 0 ? -rc : EINVAL);
	if (rc == -ETIMEDOUT && (flags & HANDOFF__SHARED_LATE)) {
		t->result->outcome = HANDOFF__TURN_RETRY;
		t->result->why = "waits for the shared region";
	}
	return rc < 0 ? rc : -EINVAL;
}

/* Commits a transaction that does something beside its record: what comes
 * before the flip, and what follows from it. */
static __attribute__((noinline, cold)) int
finish_effects(struct turn *t, const struct handoff__commit *before)
{
	uint32_t flags = t->txn.next->flags;
	int changed;

	t->txn.next->flags &= ~(uint32_t)HANDOFF__TRANSIENT;
	changed = commit_turn(t, before);
	if (flags & HANDOFF__SHARED)
		handoff__region_keep(t->txn.view.seg->commons);
	return changed;
}

/* Runs one transaction. 1: something changed, 0: the handler waits for more
 * input, negative: it failed and nothing was committed. */
static inline int
handle(struct turn *t)
{
	const struct handoff_service *service = t->now.service;
	/* stays valid until the next but one transaction */
	const struct handoff__commit *before = t->now.commit;
	bool opened = (before->flags & HANDOFF__OPENED) != 0;
	handoff_handle_fn *fn = opened ? service->handle : service->open;
	struct handoff__commit *next;
	int rc;

	t->rounds--;
	handoff__txn_again(&t->txn);
	next = t->txn.next;
	next->flags |= HANDOFF__OPENED;
	if (opened && (before->flags & HANDOFF__EOF))
		next->flags |= HANDOFF__EOF_DONE;
	handoff__handler_enter(t->txn.view.rec);
	rc = fn ? fn(&t->txn, service->arg) : 0;
	handoff__handler_leave(t->txn.view.rec);
	if (__builtin_expect(rc != 0, false))
		return not_committed(t, rc);
	if (__builtin_expect((next->flags & HANDOFF__TRANSIENT) != 0, false))
		return finish_effects(t, before);
	return commit_turn(t, before);
}

/* Runs transactions until the handler waits. False if it failed. */
static bool
run_handler(struct turn *t)
{
	int rc = 1;

	while (rc > 0 && t->rounds > 0 && handoff__conn_state_due(&t->now))
		rc = handle(t);
	return rc >= 0;
}

/* Ends the turn when all output is sent; decides whether the connection
 * ends. */
static void
conclude_turn(struct turn *t)
{
	const struct handoff__view *view = t->now.view;
	uint32_t flags = t->now.commit->flags;
	bool closing = (flags & HANDOFF__CLOSING) != 0;

	if (t->now.unsent > 0)
		return;
	if ((flags & HANDOFF__EOF) &&
		(closing || (flags & HANDOFF__EOF_DONE))) {
		end(t, closing ? HANDOFF__END_SERVICE : HANDOFF__END_CLIENT,
			NULL, 0);
	} else if (closing) {
		/* closing with unread input would reset the connection and may
		 * destroy sent data (RFC 9293, 3.6.1 and 3.10.4) */
		shutdown(t->txn.fd, SHUT_WR);
		handoff__record_discard(view);
		handoff__conn_state_load(&t->now);
		t->result->outcome = HANDOFF__TURN_LINGER;
	} else if (t->now.unread == view->seg->geo.rx_size) {
		end(t, HANDOFF__END_INPUT,
			"the handler wants more input than input_size", 0);
	}
}

/* Appends lines before the handler runs: a handler that always fills the output
 * would starve them. False if they wait for room. */
static bool
append_lines(struct turn *t)
{
	bool all;

	if (!handoff__conn_state_lines_due(&t->now))
		return true;
	all = handoff__record_append_lines(t->now.view);
	handoff__conn_state_load(&t->now);
	return all;
}

/* A handler that stops while output is unsent may have stopped for lack of
 * room: it runs again once the output is sent. `asked`: it has just run and
 * waits. */
static __attribute__((noinline)) void
steps(struct turn *t, bool asked)
{
	bool held_up, lines;

	do {
		if (!asked && append_lines(t) && !run_handler(t))
			return;
		asked = false;
		lines = handoff__conn_state_lines_due(&t->now);
		held_up = lines ||
			  (t->now.unsent > 0 &&
				  handoff__conn_state_input_due(&t->now));
		if (!transmit(t))
			return;
	} while (held_up && t->rounds > 0 && t->now.unsent == 0);
	if ((t->rounds == 0 && handoff__conn_state_due(&t->now)) ||
		(lines && t->now.unsent == 0))
		t->result->outcome = HANDOFF__TURN_AGAIN;
	else
		conclude_turn(t);
}

/* The fast path of a request and its answer; most turns end here. */
static inline void
answer(struct turn *t)
{
	int rc = handle(t);

	if (rc < 0)
		return;
	if (rc > 0 && t->now.unread == 0 &&
		t->now.commit->flags == HANDOFF__OPENED) {
		if (!transmit(t) || !handoff__conn_state_lines_due(&t->now))
			return;
	}
	steps(t, rc == 0);
}

/* Uses the desk, if one is given and both buffers are empty. */
static inline bool
begin_turn(struct turn *t, uint32_t desk, const struct handoff__view *view,
	const struct handoff_service *service)
{
	t->txn.view = *view;
	t->now.view = &t->txn.view;
	t->now.service = service;
	handoff__conn_state_load(&t->now);
	if (desk == 0 || t->now.unread > 0 || t->now.unsent > 0)
		return false;
	handoff__desk_buffers(&t->txn.view, desk);
	handoff__desk_set(view->rec, desk);
	return true;
}

/* Leaves the record in order for the process that continues with it, and
 * nothing of an ended connection on the desk. */
static __attribute__((noinline)) void
leave_turn(const struct turn *t, const struct handoff__view *view)
{
	uint32_t events = handoff__conn_state_want(&t->now);

	handoff__desk_clear(view);
	if (t->txn.view.rx != view->rx &&
		(t->result->outcome == HANDOFF__TURN_END ||
			(t->now.commit->flags & HANDOFF__CLOSING)))
		handoff__desk_wipe(&t->txn.view);
	t->result->want = (uint16_t)events;
	handoff__record_mark(view->rec,
		events != EPOLLIN || handoff__conn_state_pending(&t->now)
			? HANDOFF__PENDING
			: HANDOFF__AT_REST);
}

void
handoff__conn_turn_at(uint32_t desk, const struct handoff__view *view, int fd,
	const struct handoff_service *service, uint32_t events,
	struct handoff__turn_result *result)
{
	struct turn t;
	bool at_desk;

	t.txn.fd = fd;
	t.rounds = ROUNDS;
	t.result = result;
	*result = (struct handoff__turn_result){.want = EPOLLIN};
	handoff__record_mark(view->rec, HANDOFF__IN_TURN);
	at_desk = begin_turn(&t, desk, view, service);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !receive_input(&t)) {
		leave_turn(&t, view);
		return;
	}
	if (t.now.unread > 0 && handoff__conn_state_is_plain(&t.now))
		answer(&t);
	else
		steps(&t, false);
	if (t.now.unread > 0 || !handoff__conn_state_is_plain(&t.now)) {
		leave_turn(&t, view);
		return;
	}
	if (at_desk)
		handoff__desk_set(view->rec, 0);
	handoff__record_mark(view->rec, HANDOFF__AT_REST);
}

void
handoff__conn_turn(const struct handoff__view *view, int fd,
	const struct handoff_service *service, uint32_t events,
	struct handoff__turn_result *result)
{
	handoff__conn_turn_at(0, view, fd, service, events, result);
}
