/* SPDX-License-Identifier: MIT */
/*
 * One turn of a connection: read, handle, commit, send. The same in every model
 * and in both peers; touches only the socket and the record.
 */
#ifndef HANDOFF_SERVER_CONN_H
#define HANDOFF_SERVER_CONN_H

#include "base/text.h"
#include "peer/tally.h"
#include "record/record.h"

enum handoff__turn {
	HANDOFF__TURN_WAIT = 0, /* for the events in `want` */
	HANDOFF__TURN_AGAIN,    /* there is more to do at once */
	HANDOFF__TURN_RETRY,    /* the kernel is short of memory: retry
				 * shortly */
	HANDOFF__TURN_PARK,     /* for its pair, and no event of its socket */
	HANDOFF__TURN_LINGER,   /* all output is sent: wait for the client's
				 * end */
	HANDOFF__TURN_END,      /* close it */
};

struct handoff__turn_result {
	uint8_t outcome; /* enum handoff__turn */
	uint8_t end;     /* END: enum handoff__end */
	uint16_t want;   /* EPOLLIN, EPOLLOUT */
	int err;         /* END: the errno behind it, or 0 */
	const char *why; /* END: NULL for an orderly end */
};

/* `why` of HANDOFF__END_INPUT */
#define HANDOFF__INPUT_FULL "the handler wants more input than input_size"

/* `events` are those of epoll(7), 0 to continue with what is there. */
void handoff__conn_turn(const struct handoff__view *view, int fd,
	const struct handoff_service *service, uint32_t events,
	struct handoff__turn_result *result);

/* The same on a desk, see record/desk.h. */
void handoff__conn_turn_at(uint32_t desk, const struct handoff__view *view,
	int fd, const struct handoff_service *service, uint32_t events,
	struct handoff__turn_result *result);

/* How handoff__conn_ended runs. */
#define HANDOFF__ENDED_LINGERS 1u /* its client has not ended yet */
#define HANDOFF__ENDED_AT_ONCE 2u /* there is no other time to try it again */

/* The connection has ended, or will once its client has: runs the service's
 * `ended`, unless that has run. A turn with that outcome has done so itself.
 * `why` is the reason unless another one was noted; `fd` is -1 if the socket is
 * lost. False if it has waited for the shared region in vain: call it again. */
bool handoff__conn_ended(const struct handoff__view *view, int fd,
	const struct handoff_service *service, enum handoff__end why,
	uint32_t how);

/* The connection ends with the server, once its output is sent: runs the
 * service's `farewell`, if it has one, and marks it. */
void handoff__conn_farewell(const struct handoff__view *view, int fd,
	const struct handoff_service *service);

/* The events that the connection waits for, from its record alone. */
uint32_t handoff__conn_want(const struct handoff__view *view);

/* The longest wait for a deadline, so that the time for which the host sleeps,
 * which counts, is noticed. */
#define HANDOFF__DEADLINE_WAIT_MS 60000

/* Milliseconds until the connection's deadline, -1 if it has none; a wait may
 * be shorter than that. 0: a turn without an event runs the handler for it. */
int handoff__conn_left_ms(const struct handoff__record *rec);

/* Whether the handler has anything to process. */
bool handoff__conn_due(const struct handoff__view *view,
	const struct handoff_service *service);

/* Whether there is nothing to do that the last turn, which waits, could not do:
 * all that is due is input of which the handler wants more. */
bool handoff__conn_idle(const struct handoff__view *view,
	const struct handoff_service *service);

/* Whether there is anything to do without a further event. */
bool handoff__conn_pending(const struct handoff__view *view,
	const struct handoff_service *service);

/* The connection is to be ended, by another thread than that of its turns.
 * False if its pair has still to take what it has passed: then it is parked. */
bool handoff__conn_may_end(
	const struct handoff__view *view, enum handoff__end end);

#endif
