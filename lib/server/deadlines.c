/* SPDX-License-Identifier: MIT */
/*
 * The heap of watched deadlines, and the server's own. The deadline itself is
 * in the record, where the commit says which of two is valid: it moves with the
 * connection and is set, or has passed, together with the rest of a
 * transaction. Threads and children that stay with one connection watch its
 * deadline themselves.
 */
#include "server/deadlines.h"

#include "server/internal.h"

#include <stdlib.h>

#define SCAN_MOST 1024   /* entries at a time */
#define RETRY_US  100000 /* when there was no memory */

static void
put(struct handoff__deadlines *d, uint32_t at, struct handoff__alarm alarm)
{
	d->heap[at] = alarm;
	alarm.member->alarm = at + 1;
}

static void
sift_up(struct handoff__deadlines *d, uint32_t at, struct handoff__alarm alarm)
{
	for (uint32_t up; at > 0; at = up) {
		up = (at - 1) / 2;
		if (d->heap[up].at_ms <= alarm.at_ms)
			break;
		put(d, at, d->heap[up]);
	}
	put(d, at, alarm);
}

static void
sift_down(
	struct handoff__deadlines *d, uint32_t at, struct handoff__alarm alarm)
{
	for (uint32_t down; (down = 2 * at + 1) < d->count; at = down) {
		down += down + 1 < d->count &&
			d->heap[down + 1].at_ms < d->heap[down].at_ms;
		if (d->heap[down].at_ms >= alarm.at_ms)
			break;
		put(d, at, d->heap[down]);
	}
	put(d, at, alarm);
}

static bool
make_room(struct handoff__deadlines *d)
{
	uint32_t room = d->room > 0 ? 2 * d->room : 64;
	struct handoff__alarm *heap;

	if (d->count < d->room)
		return true;
	heap = realloc(d->heap, room * sizeof(*heap));
	if (!heap)
		return false;
	d->heap = heap;
	d->room = room;
	return true;
}

int
handoff__deadlines_note(
	struct handoff__deadlines *d, struct handoff__member *member)
{
	struct handoff__record *rec = member->entry.view.rec;
	struct handoff__alarm alarm = {
		.at_ms = handoff__record_deadline(rec), .member = member};
	uint32_t at = member->alarm - 1;

	if (alarm.at_ms == 0) {
		rec->touched &= (uint8_t)~HANDOFF__TIMED;
		return 0;
	}
	if (member->alarm > 0 && d->heap[at].at_ms <= alarm.at_ms)
		return 0;
	if (member->alarm == 0) {
		if (!make_room(d))
			return -ENOMEM;
		at = d->count++;
	}
	sift_up(d, at, alarm);
	return member->alarm == 1;
}

void
handoff__deadlines_drop(
	struct handoff__deadlines *d, struct handoff__member *member)
{
	uint32_t at = member->alarm - 1;
	struct handoff__alarm last;

	if (member->alarm == 0)
		return;
	member->alarm = 0;
	last = d->heap[--d->count];
	if (at == d->count)
		return;
	if (at > 0 && d->heap[(at - 1) / 2].at_ms > last.at_ms)
		sift_up(d, at, last);
	else
		sift_down(d, at, last);
}

/* Whether its record may be read here. If not, a thread, a child or the other
 * peer has it, and it is looked at when it comes back. */
static bool
is_here(const struct handoff__member *member)
{
	return member->sets > 0 ? member->served
				: member->entry.mine && !member->active;
}

struct handoff__member *
handoff__deadlines_due(struct handoff__deadlines *d)
{
	uint64_t now = d->count > 0 ? handoff__boot_ms() : 0;

	while (d->count > 0 && d->heap[0].at_ms <= now) {
		struct handoff__alarm alarm = d->heap[0];
		const struct handoff__view *view = &alarm.member->entry.view;

		alarm.at_ms = is_here(alarm.member)
				      ? handoff__record_deadline(view->rec)
				      : 0;
		/* set anew since, or cleared */
		if (alarm.at_ms > now) {
			sift_down(d, 0, alarm);
			continue;
		}
		handoff__deadlines_drop(d, alarm.member);
		if (alarm.at_ms > 0)
			return alarm.member;
	}
	return NULL;
}

int
handoff__deadlines_wait_ms(const struct handoff__deadlines *d)
{
	uint64_t now, left;

	if (d->count == 0)
		return -1;
	now = handoff__boot_ms();
	left = d->heap[0].at_ms > now ? d->heap[0].at_ms - now : 0;
	return left < HANDOFF__DEADLINE_WAIT_MS ? (int)left
						: HANDOFF__DEADLINE_WAIT_MS;
}

void
handoff__deadlines_free(struct handoff__deadlines *d)
{
	free(d->heap);
	*d = (struct handoff__deadlines){.heap = NULL};
}

static void
arm(struct handoff_server *server)
{
	int ms = handoff__deadlines_wait_ms(&server->deadlines);

	if (ms >= 0)
		handoff__timer_arm(
			&server->loop, &server->alarm, (int64_t)ms * 1000);
}

static void
on_alarm(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__member *member;

	while ((member = handoff__deadlines_due(&server->deadlines)))
		handoff__member_kick(member);
	arm(server);
}

void
handoff__deadlines_look(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	int rc = 0;

	if (server->model->timed)
		rc = server->model->timed(member);
	else if (member->entry.view.rec->touched & HANDOFF__TIMED)
		rc = handoff__deadlines_note(&server->deadlines, member);
	if (rc < 0)
		handoff__deadlines_missed(server);
	else if (rc > 0)
		arm(server);
}

/* A handoff brings thousands of connections, so not all at once. */
static void
on_scan(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__roster_entry *e;

	for (int i = 0; i < SCAN_MOST; i++) {
		struct handoff__member *member;

		e = handoff__server_next(server, &server->scanned);
		if (!e)
			return;
		member = handoff__member_of(e);
		if (e->mine && e->kind == HANDOFF__CONNECTION &&
			(server->model->timed || !member->active))
			handoff__deadlines_look(member);
	}
	handoff__timer_arm(&server->loop, &server->alarm_scan, 0);
}

void
handoff__deadlines_missed(struct handoff_server *server)
{
	server->scanned.begun = false;
	handoff__timer_arm(&server->loop, &server->alarm_scan, RETRY_US);
}

void
handoff__deadlines_scan(struct handoff_server *server)
{
	server->scanned.begun = false;
	handoff__timer_arm(&server->loop, &server->alarm_scan, 0);
}

void
handoff__deadlines_init(struct handoff_server *server)
{
	server->alarm.fn = on_alarm;
	server->alarm_scan.fn = on_scan;
	server->alarm.arg = server->alarm_scan.arg = server;
}
