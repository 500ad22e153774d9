/* SPDX-License-Identifier: MIT */
/*
 * The turns of one connection, one after the other. Touches only its socket,
 * its record and its result: it runs in a thread or process that owns nothing
 * else.
 */
#include "server/stay.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define IDLE_MS  3000
#define RETRY_MS 100

static void
trim(struct handoff__member *member)
{
	struct handoff__record *rec = member->entry.view.rec;

	if (handoff__record_unsent(rec) > 0 || handoff__record_unread(rec) > 0)
		return;
	handoff__arena_trim(&member->server->pair.arena, member->entry.segment,
		member->entry.slot);
	rec->touched &= (uint8_t)~HANDOFF__PAGES;
}

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
	bool trimmed = !(rec->touched & HANDOFF__PAGES);

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
			trim(member);
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

void
handoff__stay(struct handoff__member *member, uint32_t events,
	const struct handoff__recall *recall)
{
	do {
		handoff__conn_turn(&member->entry.view, member->entry.fd,
			member->server->opts.service, events, &member->result);
	} while (!member->on_trial && go_on(member, &events, recall));
}
