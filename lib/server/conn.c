/* SPDX-License-Identifier: MIT */
/*
 * One turn of a connection. IN_TURN brackets everything that moves the kernel's
 * counters: a survivor that finds it set reads the stream positions from the
 * kernel, and otherwise trusts the record.
 */
#include "server/conn.h"

#include "record/desk.h"
#include "record/handling.h"
#include "server/turn.h"
#include "session/session.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* transactions of one connection before others get their turn */
#define ROUNDS 16

/* A socket in repair mode, which is on its way from or to another host and not
 * finished yet, answers EPERM, or EINVAL where it has no queue selected. No
 * stream socket does otherwise. */
static bool
is_transient(int err)
{
	return err == ENOMEM || err == ENOBUFS || err == EPERM || err == EINVAL;
}

/* A call on the socket failed. Transient errors are retried shortly; all others
 * end the connection. */
static __attribute__((noinline, cold)) bool
call_failed(const struct turn *t, const char *what, int err)
{
	handoff__turn_end(t, HANDOFF__END_ERROR, what, err);
	if (is_transient(err))
		t->result->outcome = HANDOFF__TURN_RETRY;
	return false;
}

/* After the end of input, an event on the socket. False if it is of a
 * connection that waits for its pair, and was reset. */
static __attribute__((noinline, cold)) bool
still_connected(const struct turn *t)
{
	uint32_t flags = t->now.commit->flags;
	char byte;

	if (!(flags & HANDOFF__PAIRED) || (flags & HANDOFF__GONE) ||
		recv(t->txn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
		errno == EAGAIN || errno == EINTR)
		return true;
	return call_failed(t, "receive", errno);
}

/* A client that has ended its sending direction and waits for an answer that
 * comes later: false if it has gone. Its descriptor would then be reported for
 * ever. */
static __attribute__((noinline, cold)) bool
can_answer(struct turn *t)
{
	struct pollfd p = {.fd = t->txn.fd};

	if ((t->now.commit->flags & HANDOFF__WAITING) && poll(&p, 1, 0) == 1 &&
		(p.revents & (POLLHUP | POLLERR)))
		return handoff__turn_end(t, HANDOFF__END_CLIENT, NULL, 0);
	return still_connected(t);
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
		return can_answer(t);
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

/* Runs one transaction, for a constant reason. 1: something changed, 0: the
 * handler waits for more input, negative: it failed and nothing was
 * committed. */
static inline __attribute__((always_inline)) int
transact(struct turn *t, uint32_t reason)
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
	next->flags |= HANDOFF__OPENED | reason << HANDOFF__REASON_SHIFT;
	if (opened && (before->flags & HANDOFF__EOF))
		next->flags |= HANDOFF__EOF_DONE;
	if (reason == HANDOFF_CONN_DEADLINE)
		next->deadline = 0; /* unless the handler sets another one */
	if (reason == HANDOFF_CONN_PAIR)
		next->flags &= ~(uint32_t)HANDOFF__PAIR_OVER;
	handoff__handler_enter(t->txn.view.rec);
	rc = fn ? fn(&t->txn, service->arg) : 0;
	handoff__handler_leave(t->txn.view.rec);
	if (__builtin_expect(rc != 0, false))
		return handoff__effects_refused(t, rc);
	if (__builtin_expect((next->flags & (HANDOFF__TRANSIENT |
						    HANDOFF__HOLDS_INPUT)) != 0,
		    false))
		return handoff__effects_commit(t, before);
	if (next->tx_head != before->tx_head)
		handoff__record_touch(t->txn.view.rec);
	rc = next->rx_tail != before->rx_tail ||
	     next->tx_head != before->tx_head || next->flags != before->flags;
	handoff__txn_commit(&t->txn);
	handoff__conn_state_load(&t->now);
	return rc;
}

/* The transaction of a request; inlined in all its callers. */
static inline __attribute__((always_inline)) int
handle(struct turn *t)
{
	return transact(t, HANDOFF_CONN_INPUT);
}

static __attribute__((noinline, cold)) int
handle_room(struct turn *t)
{
	return transact(t, HANDOFF_CONN_ROOM);
}

static __attribute__((noinline, cold)) int
handle_deadline(struct turn *t)
{
	return transact(t, HANDOFF_CONN_DEADLINE);
}

/* Runs the handler if the deadline has passed. The service's close waits until
 * all is sent, but no longer. False when this turn is over. */
static __attribute__((noinline, cold)) bool
meet_deadline(struct turn *t)
{
	uint32_t flags = t->now.commit->flags;

	if (handoff__conn_left_ms(t->txn.view.rec) != 0)
		return true;
	if (!(flags & HANDOFF__CLOSING))
		return handle_deadline(t) >= 0;
	if (t->now.unsent == 0)
		return handoff__turn_end(t,
			handoff__turn_noted(flags, HANDOFF__END_SERVICE), NULL,
			0);
	return handoff__turn_end(t,
		handoff__turn_noted(flags, HANDOFF__END_DEADLINE),
		"its output was not sent by its deadline", 0);
}

static __attribute__((noinline, cold)) int
handle_pair(struct turn *t)
{
	return transact(t, HANDOFF_CONN_PAIR);
}

/* Tells the handler that there is no pair (any more). */
static __attribute__((noinline, cold)) int
lose_pair(struct turn *t)
{
	if (!(t->now.commit->flags & HANDOFF__PAIR_OVER)) {
		handoff__pass_over(t->now.view);
		handoff__conn_state_load(&t->now);
	}
	return handle_pair(t);
}

/* Whether it is to be told that, once its `open` has run. */
static bool
has_lost_pair(const struct turn *t)
{
	uint32_t flags = t->now.commit->flags;

	return (flags & HANDOFF__OPENED) &&
	       ((flags & HANDOFF__PAIR_OVER) ||
		       (handoff__conn_state_pass(&t->now) &
			       HANDOFF__PASS_TELL));
}

/* Runs transactions until the handler waits; `room`: the first one because
 * output was sent. False if it failed. */
static bool
run_handler(struct turn *t, bool room)
{
	int rc = 1;

	for (; rc > 0 && t->rounds > 0 && handoff__conn_state_due(&t->now);
		room = false) {
		if (has_lost_pair(t))
			rc = lose_pair(t);
		else
			rc = room ? handle_room(t) : handle(t);
	}
	return rc >= 0;
}

/* Moves what the pair has passed to the output. True: a handler has to wait for
 * nothing here. */
static bool
take_passed(struct turn *t)
{
	const struct handoff__view *view = t->now.view;

	if (handoff__conn_state_pass(&t->now) & HANDOFF__PASS_SETTLE) {
		handoff__pass_settle(view);
		handoff__conn_state_load(&t->now);
	}
	while (t->rounds > 0 && handoff__conn_state_take_due(&t->now)) {
		t->rounds--;
		handoff__pass_take(
			view, (t->now.commit->flags & HANDOFF__CLOSING) != 0);
		handoff__conn_state_load(&t->now);
	}
	return true;
}

/* Whether a connection that has sent everything waits for its pair, or goes on
 * in some other way, where any other connection might end. */
static __attribute__((noinline, cold)) bool
waits_for_pair(struct turn *t)
{
	const struct handoff__commit *c = t->now.commit;
	uint32_t flags = c->flags, due = handoff__conn_state_pass(&t->now);
	bool untaken =
		!(due & HANDOFF__PASS_TAKEN) || (flags & HANDOFF__CONNECT);

	if ((flags & HANDOFF__SHUT) && !(flags & HANDOFF__CLOSING))
		shutdown(t->txn.fd, SHUT_WR);
	if (!(flags & HANDOFF__PAIRED) || (flags & HANDOFF__CLOSING))
		return false;
	if (!(flags & HANDOFF__EOF))
		return untaken;
	if (t->now.unread > 0 && untaken)
		return true; /* the handler waits for room */
	return (flags & HANDOFF__PASS_END) && (due & HANDOFF__PASS_HERE) &&
	       !(flags & HANDOFF__SHUT);
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
	if ((flags & (HANDOFF__PAIRED | HANDOFF__SHUT)) && waits_for_pair(t))
		return;
	if ((flags & HANDOFF__EOF) &&
		(closing || (flags & HANDOFF__EOF_DONE))) {
		handoff__turn_end(t,
			handoff__turn_noted(
				flags, closing ? HANDOFF__END_SERVICE
					       : HANDOFF__END_CLIENT),
			NULL, 0);
	} else if (closing) {
		/* closing with unread input would reset the connection and may
		 * destroy sent data (RFC 9293, 3.6.1 and 3.10.4) */
		shutdown(t->txn.fd, SHUT_WR);
		handoff__record_discard(view);
		handoff__conn_state_load(&t->now);
		t->result->outcome = HANDOFF__TURN_LINGER;
	} else if (t->now.unread == view->seg->geo.rx_size &&
		   !(flags & HANDOFF__WAITING)) {
		handoff__turn_end(
			t, HANDOFF__END_INPUT, HANDOFF__INPUT_FULL, 0);
	}
}

/* As handoff__take_posts. */
static inline int
take_posts(struct turn *t)
{
	return handoff__conn_state_posts_due(&t->now) ? handoff__take_posts(t)
						      : 1;
}

/* Whether nothing may be sent any more: the connection ends at once. */
static bool
is_over(const struct turn *t)
{
	uint32_t flags = t->now.commit->flags;

	if (!(flags & HANDOFF__OVER))
		return false;
	handoff__turn_end(
		t, handoff__turn_noted(flags, HANDOFF__END_SERVICE), NULL, 0);
	return true;
}

/* Whether posts wait that may be taken now, after the handler has run: such as
 * were put off (`rc`) may be if it has consumed input since. */
static bool
takes_posts(const struct turn *t, int rc, uint64_t consumed)
{
	return handoff__conn_state_posts_due(&t->now) &&
	       (rc != HANDOFF__POSTS_LATER ||
		       t->now.commit->rx_tail != consumed);
}

/* A handler that stops while output is unsent may have stopped for lack of
 * room: it runs again once the output is sent. `asked`: it has just run and
 * waits. */
static void
run_steps(struct turn *t, bool asked)
{
	bool held_up, posts, room = false;
	uint64_t consumed;
	int rc = 1;

	if (t->txn.view.rec->touched & HANDOFF__TIMED) {
		if (!meet_deadline(t))
			return;
		/* unless it has something else to be asked about since */
		asked = asked && !(t->now.commit->flags & HANDOFF__HOLDS_INPUT);
	}
	do {
		if (!asked)
			rc = take_posts(t);
		consumed = t->now.commit->rx_tail;
		if (rc < 0 || (!asked && rc > 0 && take_passed(t) &&
				      !run_handler(t, room)))
			return;
		if (is_over(t))
			return;
		asked = false;
		room = true;
		posts = takes_posts(t, rc, consumed);
		held_up = posts ||
			  (t->now.unsent > 0 &&
				  (handoff__conn_state_input_due(&t->now) ||
					  (handoff__conn_state_pass(&t->now) &
						  HANDOFF__PASS_TAKE)));
		if (!transmit(t))
			return;
	} while (held_up && t->rounds > 0 && t->now.unsent == 0);
	if ((t->rounds == 0 &&
		    (handoff__conn_state_due(&t->now) ||
			    handoff__conn_state_take_due(&t->now))) ||
		(posts && t->now.unsent == 0))
		t->result->outcome = HANDOFF__TURN_AGAIN;
	else
		conclude_turn(t);
}

/* A connection whose socket has ended waits until its pair has taken what it
 * has passed; what the pair passes to it is dropped. */
static __attribute__((noinline, cold)) void
outlive(struct turn *t)
{
	uint32_t due = handoff__conn_state_pass(&t->now);

	if (due & HANDOFF__PASS_SETTLE)
		handoff__pass_settle(t->now.view);
	if (due & HANDOFF__PASS_TAKE)
		handoff__pass_take(t->now.view, true);
	handoff__conn_state_load(&t->now);
	due = handoff__conn_state_pass(&t->now);
	if (due & HANDOFF__PASS_TAKEN)
		handoff__turn_end(t,
			(enum handoff__end)atomic_load(
				&handoff__pass_head(t->now.view)->end),
			NULL, 0);
}

/* A session without a socket waits for a connection that resumes it; one that
 * asks for a session waits for the loop. No handler runs. */
static __attribute__((noinline, cold)) void
rest(struct turn *t)
{
	uint32_t flags = t->now.commit->flags;

	if (flags & HANDOFF__PAIRED)
		outlive(t);
	else if (flags & HANDOFF__CLOSING)
		handoff__turn_end(t,
			handoff__turn_noted(flags, HANDOFF__END_SERVICE), NULL,
			0);
	else
		t->result->outcome = HANDOFF__TURN_PARK;
}

/* Everything but the fast path. Records what a pair may wait for. */
static __attribute__((noinline)) void
steps(struct turn *t, bool asked)
{
	const struct handoff__commit *c = t->now.commit;
	uint32_t head = c->pass_head, flags = c->flags;

	if (handoff__turn_barred(t))
		handoff__turn_bar(t);
	else if (flags & (HANDOFF__GONE | HANDOFF__RESUMING))
		rest(t);
	else
		run_steps(t, asked);
	c = t->now.commit;
	if (((c->flags | flags) & HANDOFF__PAIRED) &&
		(c->pass_head != head || c->flags != flags))
		t->now.view->rec->touched |= HANDOFF__TOUCHED_PAIR;
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
		if (!transmit(t) || !handoff__conn_state_posts_due(&t->now))
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

bool
handoff__conn_may_end(const struct handoff__view *view, enum handoff__end kind)
{
	struct handoff__conn_state s = handoff__conn_state_of(view, NULL);

	if (!(s.commit->flags & HANDOFF__PAIRED) ||
		(handoff__conn_state_pass(&s) & HANDOFF__PASS_TAKEN))
		return true;
	if (!(s.commit->flags & HANDOFF__GONE))
		handoff__pass_outlive(view, kind);
	return false;
}

/* The outcome for a paired connection, which may not end yet, or not wait for
 * its socket. */
static __attribute__((noinline, cold)) void
leave_pair(struct turn *t, const struct handoff__view *view)
{
	struct handoff__turn_result *result = t->result;

	/* the loop looks at it: it may have to be connected */
	view->rec->touched |= HANDOFF__PAGES;
	if (result->outcome == HANDOFF__TURN_END &&
		!handoff__conn_may_end(view, (enum handoff__end)result->end)) {
		view->rec->touched |= HANDOFF__TOUCHED_PAIR;
		if (!(t->now.commit->flags & HANDOFF__RESET))
			shutdown(t->txn.fd, SHUT_RDWR);
		result->outcome = HANDOFF__TURN_WAIT;
	}
	handoff__conn_state_load(&t->now);
	if (result->outcome == HANDOFF__TURN_WAIT &&
		handoff__conn_state_want(&t->now) == 0)
		result->outcome = HANDOFF__TURN_PARK;
}

/* The socket of a session has ended, but the session has not: from here on the
 * record has no use for it. */
static void
lose_socket(struct turn *t)
{
	struct handoff__record *rec = t->txn.view.rec;

	handoff__txn_again(&t->txn);
	handoff__session_absent(&t->txn);
	t->txn.next->flags |= HANDOFF__GONE | HANDOFF__EOF | HANDOFF__EOF_DONE;
	t->txn.next->flags &= ~(uint32_t)HANDOFF__WAITING;
	atomic_store_explicit(&rec->extra.absent_ms,
		(int64_t)handoff__boot_ms(), memory_order_relaxed);
	handoff__txn_commit_state(&t->txn);
	handoff__conn_state_load(&t->now);
	/* the sweep ends it one day */
	rec->touched |= HANDOFF__PAGES;
	shutdown(t->txn.fd, SHUT_RDWR);
}

/* The outcome for a session that outlives its socket, and for a connection that
 * asks for one: the loop has to know. */
static __attribute__((noinline, cold)) void
leave_session(struct turn *t)
{
	struct handoff__turn_result *result = t->result;
	uint32_t flags = t->now.commit->flags;

	if (flags & HANDOFF__CLOSING)
		return;
	if ((flags & HANDOFF__RESUMING) &&
		result->outcome <= HANDOFF__TURN_AGAIN)
		result->outcome = HANDOFF__TURN_PARK;
	if (!(flags & HANDOFF__SESSION) ||
		result->outcome != HANDOFF__TURN_END ||
		(result->end != HANDOFF__END_CLIENT &&
			result->end != HANDOFF__END_ERROR))
		return;
	if (handoff__turn_barred(t)) {
		handoff__turn_bar(t);
		return;
	}
	lose_socket(t);
	result->outcome = HANDOFF__TURN_PARK;
}

/* Leaves the record in order for the process that continues with it, and
 * nothing of an ended connection on the desk. */
static __attribute__((noinline)) void
leave_turn(struct turn *t, const struct handoff__view *view)
{
	uint32_t events;

	if (t->now.commit->flags & HANDOFF__PAIRED)
		leave_pair(t, view);
	if (t->now.commit->flags & (HANDOFF__SESSION | HANDOFF__RESUMING))
		leave_session(t);
	events = handoff__conn_state_want(&t->now);
	handoff__desk_clear(view);
	if (t->txn.view.rx != view->rx &&
		(t->result->outcome == HANDOFF__TURN_END ||
			(t->now.commit->flags &
				(HANDOFF__CLOSING | HANDOFF__GONE))))
		handoff__desk_wipe(&t->txn.view);
	t->result->want = (uint16_t)events;
	handoff__record_mark(view->rec,
		events != EPOLLIN || handoff__conn_state_pending(&t->now)
			? HANDOFF__PENDING
			: HANDOFF__AT_REST);
	if (t->result->outcome == HANDOFF__TURN_END)
		handoff__conn_ended(
			view, t->txn.fd, t->now.service, t->result->end, 0);
	else if (t->result->outcome == HANDOFF__TURN_LINGER)
		handoff__conn_ended(view, t->txn.fd, t->now.service,
			HANDOFF__END_SERVICE, HANDOFF__ENDED_LINGERS);
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
	/* the sweep tells the service when nothing follows */
	if (service->idle)
		view->rec->touched |= HANDOFF__PAGES;
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
