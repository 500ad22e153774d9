/* SPDX-License-Identifier: MIT */
/*
 * What operators and their tools see of a peer, the same for a server and for a
 * program with a loop of its own: the events that the program pulls, the
 * control socket, and the requests that wait there. Knows the peer below; of
 * the layer above only the calls in handoff__operator_ops.
 *
 *   requests.c  opens the control socket, parses and runs the request lines
 *   roles.c     events of the peer below, reported alike by both layers above
 *   outcome.c   the outcome of a handoff, and the entries that it left behind,
 *               as the public interface names them
 *   operator.c  the object: events, and the requests that wait
 *   reply.c     replies
 *   ring.c      events that are not pulled yet
 *
 * Each calls only those below it.
 */
#ifndef HANDOFF_OPERATOR_OPERATOR_H
#define HANDOFF_OPERATOR_OPERATOR_H

#include "base/loop.h"
#include "control/control.h"
#include "control/waiting.h"
#include "operator/ring.h"
#include "peer/pair.h"

struct handoff__operator_ops {
	/* A stop was requested: begins it, unless it has begun. Calls
	 * handoff__operator_stopped when it has ended. */
	void (*stop)(void *arg);
	/* Optional. Handles a request in place of what is done with it here;
	 * false: as usual. */
	bool (*instead)(
		void *arg, struct handoff__request *request, const char *line);
	/* Optional. Handles a request that is unknown here; false if it is
	 * unknown there too. */
	bool (*other)(
		void *arg, struct handoff__request *request, const char *line);
	const char *unknown; /* the reply to an unknown request */
	/* Optional. Adds lines or JSON members to those of the peer. */
	void (*status)(void *arg, bool json, struct handoff__buf *buf);
	/* Optional. Adds metrics to those of the peer. */
	void (*metrics)(void *arg, struct handoff__buf *buf);
	/* Optional. Appends lines to a report that a client waits for. */
	void (*remarks)(void *arg, const struct handoff__report *report,
		struct handoff__buf *buf);
	/* `ready` moves everything, like `ready --silent`: an entry left here
	 * would stay until it ends. */
	bool ready_is_silent;
	/* Optional. Whether events of this type are a detail beside the others:
	 * dropped first if the program does not pull. */
	bool (*is_detail)(int type);
	/* the program's event types */
	struct {
		int waiting, standby, joined, left, gave, refused;
		int hung, lagging, apart;
	} types;
};

struct handoff__operator {
	const struct handoff__operator_ops *ops;
	void *arg; /* passed to the ops */
	struct handoff__pair *pair;
	struct handoff__loop *loop;
	const struct handoff__log *log;
	struct handoff__ring ring;
	struct handoff__operator_event pulled; /* valid until the next pull */
	/* The last handoff that has ended, in either direction, and the
	 * position of the iteration over the entries left behind. */
	uint32_t ends;
	enum handoff__way ended_way;
	struct handoff__report ended_report;
	uint32_t walk_end;                /* the outcome pulled last */
	uint32_t walk_count;              /* entries returned so far */
	uint32_t walk_segment, walk_slot; /* of the last one, if this peer
					   * gave */
	struct handoff_left left;         /* returned to the program */
	char left_name[HANDOFF_ADDRESS_MAX];
	uint32_t stop_moved; /* connections handed over during the stop */
	bool stop_gave;      /* and the service */
	struct handoff__timer
		wakeup; /* runs the loop while events are queued */
	struct handoff__control control;
	struct handoff__waiting moves; /* requests that wait for the end of a
					* give */
	struct handoff__waiting stops; /* requests that wait for the end of a
					* stop */
	struct handoff__give_how how;  /* what the first of `moves` asked for */
	bool stopping;                 /* begins no further give */
	bool ended;                    /* the last event has been emitted */
};

/* The owner of the peer below: the `arg` of its operator. */
static inline void *
handoff__operator_arg(const struct handoff__pair *pair)
{
	const struct handoff__operator *op = pair->arg;

	return op->arg;
}

/* operator.c */
/* Call it before any event. Everything passed in must outlive the operator. */
void handoff__operator_init(struct handoff__operator *op,
	const struct handoff__operator_ops *ops, void *arg,
	struct handoff__pair *pair, struct handoff__loop *loop,
	const struct handoff__log *log);
void handoff__operator_close(struct handoff__operator *op);

/* Queues an event and wakes the loop. */
void handoff__operator_emit(struct handoff__operator *op, int type,
	const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with the facts that belong to the sentence. */
void handoff__operator_emit_with(struct handoff__operator *op, int type,
	const struct handoff__facts *facts, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Returns the oldest event, which is valid until the next pull; NULL if there
 * is none. */
const struct handoff__operator_event *handoff__operator_pull(
	struct handoff__operator *op);

/* Makes the loop's descriptor readable, so that an outer loop dispatches it. */
void handoff__operator_wake(struct handoff__operator *op);

/* The stop has ended: replies with the status header and `body`. */
void handoff__operator_stopped(
	struct handoff__operator *op, struct handoff__buf *body);

/* roles.c; the first four are callbacks of a peer whose `arg` is the
 * operator */
void handoff__operator_hung(struct handoff__pair *pair, const char *text);
void handoff__operator_lagging(struct handoff__pair *pair, const char *text);
void handoff__operator_refused(struct handoff__pair *pair,
	enum handoff__reason reason, const char *text);
void handoff__operator_apart(struct handoff__pair *pair, const char *text);
/* The other peer came or went. `remark` is appended to "standby: ...". */
void handoff__operator_partner(
	struct handoff__operator *op, bool here, const char *remark);
void handoff__operator_standby(
	struct handoff__operator *op, const char *remark);
void handoff__operator_waits(struct handoff__operator *op);
/* At the end of a stop: adds a line, if all goes to a ferry, which serves
 * nothing. */
void handoff__operator_held(struct handoff__operator *op,
	const struct handoff__log *log, struct handoff__buf *body);
/* A give or take that involves this peer has ended. */
void handoff__operator_given(struct handoff__operator *op,
	enum handoff__way way, const struct handoff__report *report);

/* outcome.c */
/* OTHER for a reason without a public name. */
enum handoff_reason handoff__public_reason(enum handoff__reason reason);
void handoff__outcome_of(enum handoff__way way,
	const struct handoff__report *report, struct handoff_outcome *outcome);
/* The outcome of the other peer's death. */
void handoff__outcome_of_death(
	const struct handoff__survival *survival, struct handoff__facts *facts);
/* The outcome of an event, or NULL. */
const struct handoff_outcome *handoff__facts_outcome(
	const struct handoff__facts *facts);
/* Returns the next entry left behind: 1, 0, -ESTALE. `*entry` is the entry if
 * it is still here, or NULL. */
int handoff__operator_left(struct handoff__operator *op,
	const struct handoff__roster_entry **entry);

/* requests.c */
/* Opens the control socket; the peer must be open. */
int handoff__operator_open(
	struct handoff__operator *op, struct handoff__error *error);

#endif
