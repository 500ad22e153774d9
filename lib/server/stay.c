/* SPDX-License-Identifier: MIT */
/*
 * The turns of one connection, one after the other. Touches only its socket,
 * its record and its result: it runs in a thread or process that owns nothing
 * else.
 */
#include "server/stay.h"

#include "record/pass.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define IDLE_MS  3000
#define RETRY_MS 100

/* How long to wait: until the deadline, or until the buffers are trimmed. */
static int
wait_ms(bool trimmed, int left)
{
	if (trimmed || (left >= 0 && left < IDLE_MS))
		return left;
	return IDLE_MS;
}

/* Waits for the socket, or for the connection's deadline. False if the
 * connection is wanted back; `*events` is 0 at the deadline, which comes before
 * any input, and after a spurious wakeup. */
static bool
wait_for_input(struct handoff__member *member, uint32_t *events,
	const struct handoff__recall *recall)
{
	const struct handoff__record *rec = member->entry.view.rec;
	struct pollfd fds[3] = {
		{.fd = recall->fd, .events = POLLIN},
		{.fd = member->entry.fd, .events = (short)member->result.want},
		{.fd = recall->bell, .events = POLLIN},
	};
	bool trimmed = handoff__member_trimmed(member);

	for (;;) {
		int left = handoff__conn_left_ms(rec);
		int ms = wait_ms(trimmed, left);
		int n = poll(fds, 3, ms);
		eventfd_t count;

		if (n < 0 && errno != EINTR) {
			member->result.outcome = HANDOFF__TURN_RETRY;
			return false;
		}
		if (n > 0 && fds[2].revents)
			eventfd_read(recall->bell, &count);
		if (n > 0 || left == 0) {
			*events = left == 0 ? 0 : (uint32_t)fds[1].revents;
			return n <= 0 || !fds[0].revents ||
			       !recall->wanted(recall);
		}
		if (n == 0 && ms == IDLE_MS) {
			handoff__member_trim(member);
			trimmed = true;
		}
	}
}

/* Checks for a recall between turns, for a client that never lets it wait. */
static bool
called_back(const struct handoff__recall *recall, int timeout_ms)
{
	struct pollfd p = {.fd = recall->fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0 && recall->wanted(recall);
}

/* False if the connection is to be given back. */
static bool
go_on(struct handoff__member *member, uint32_t *events,
	const struct handoff__recall *recall)
{
	switch (member->result.outcome) {
	case HANDOFF__TURN_WAIT:
		return wait_for_input(member, events, recall);
	case HANDOFF__TURN_AGAIN:
		*events = 0;
		return !called_back(recall, 0);
	case HANDOFF__TURN_RETRY:
		*events = EPOLLIN;
		return !called_back(recall, RETRY_MS);
	default:
		return false;
	}
}

/* Whether it has a pair, or waits for one: it is served with that, or after the
 * server has connected it. */
static bool
is_paired(const struct handoff__view *view)
{
	return view->seg->geo.pass_size > 0 &&
	       (handoff__record_commit(view->rec)->flags & HANDOFF__PAIRED);
}

/* A pair: two connections, of which one is served after the other. */
struct both {
	struct handoff__member *members[2];
	uint32_t events[2];
	bool due[2];
	const struct handoff__recall *recall;
};

/* One turn. False if both are to be given back. */
static bool
turn_of(struct both *b, int which)
{
	struct handoff__member *member = b->members[which];
	struct handoff__record *rec = member->entry.view.rec;

	handoff__conn_turn(&member->entry.view, member->entry.fd,
		member->server->opts.service, b->events[which],
		&member->result);
	b->events[which] = 0;
	b->due[which] = member->result.outcome == HANDOFF__TURN_AGAIN;
	if (rec->touched & HANDOFF__TOUCHED_PAIR) {
		rec->touched &= (uint8_t)~HANDOFF__TOUCHED_PAIR;
		b->due[1 - which] = true;
	}
	return member->result.outcome <= HANDOFF__TURN_PARK &&
	       member->result.outcome != HANDOFF__TURN_RETRY &&
	       !(handoff__record_commit(rec)->flags & HANDOFF__GONE);
}

/* The one that is to wait less; negative is for ever. */
static int
least_ms(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Polls the sockets of both until one's deadline at the latest. */
static int
poll_both(struct both *b, struct pollfd fds[4])
{
	int left = -1;
	bool touched = false;

	for (int i = 0; i < 2; i++) {
		const struct handoff__member *m = b->members[i];
		bool waits = m->result.outcome == HANDOFF__TURN_WAIT;

		fds[i] = (struct pollfd){.fd = waits ? m->entry.fd : -1,
			.events = (short)m->result.want};
		left = least_ms(left, handoff__conn_left_ms(m->entry.view.rec));
		touched |= !handoff__member_trimmed(m);
	}
	fds[2] = (struct pollfd){.fd = b->recall->fd, .events = POLLIN};
	fds[3] = (struct pollfd){.fd = b->recall->bell, .events = POLLIN};
	return poll(fds, 4, wait_ms(!touched, left));
}

/* Waits for the sockets of both. False if they are wanted back. */
static bool
wait_for_either(struct both *b)
{
	struct pollfd fds[4];
	int n = poll_both(b, fds);
	eventfd_t count;

	if (n < 0)
		return errno == EINTR;
	/* there are posts, for either of them */
	if (fds[3].revents)
		eventfd_read(b->recall->bell, &count);
	for (int i = 0; i < 2; i++) {
		const struct handoff__view *view = &b->members[i]->entry.view;

		b->events[i] = n > 0 ? (uint32_t)fds[i].revents : 0;
		b->due[i] = b->events[i] != 0 || fds[3].revents ||
			    handoff__conn_left_ms(view->rec) == 0;
		if (n == 0 && !b->due[i])
			handoff__member_trim(b->members[i]);
	}
	if (!fds[2].revents)
		return true;
	/* not wanted back: there is something else, for either of them */
	b->due[0] = b->due[1] = true;
	return !b->recall->wanted(b->recall);
}

static void
stay_with_both(struct both *b)
{
	bool stays = true;

	while (stays) {
		for (int i = 0; i < 2 && stays; i++) {
			if (b->due[i])
				stays = turn_of(b, i);
		}
		if (stays)
			stays = b->due[0] || b->due[1]
					? !called_back(b->recall, 0)
					: wait_for_either(b);
	}
	/* the loop gives the other one a turn that is due */
	for (int i = 0; i < 2; i++) {
		if (b->due[i])
			b->members[1 - i]->entry.view.rec->touched |=
				HANDOFF__TOUCHED_PAIR;
	}
}

void
handoff__stay(struct handoff__member *member, struct handoff__member *other,
	uint32_t events, const struct handoff__recall *recall)
{
	const struct handoff__view *view = &member->entry.view;

	if (other) {
		struct both b = {.members = {member, other},
			.events = {events, 0},
			.due = {true, true},
			.recall = recall};

		other->result = (struct handoff__turn_result){
			.want = (uint16_t)handoff__conn_want(
				&other->entry.view)};
		stay_with_both(&b);
		return;
	}
	do {
		handoff__conn_turn(view, member->entry.fd,
			member->server->opts.service, events, &member->result);
	} while (!member->on_trial && !is_paired(view) &&
		 go_on(member, &events, recall));
}
