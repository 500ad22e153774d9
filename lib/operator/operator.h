/* SPDX-License-Identifier: MIT */
/*
 * What people and their tools see of a peer, the same for a server and for a
 * program with a loop of its own: the events that the program pulls, the
 * control socket, and the requests that wait there. Knows the peer below; of
 * who serves above it only the calls in handoff__operator_ops.
 *
 *   orders.c    what the request lines mean
 *   roles.c     what the peer below tells and both tell their programs alike
 *   operator.c  the object: events, the requests that wait, open and close
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
	/* A request to stop: begins it, unless that was done. When it has
	 * ended, handoff__operator_stopped. */
	void (*stop)(void *arg);
	/* Optional. A request that is not known here; false: nor there. */
	bool (*other)(
		void *arg, struct handoff__request *request, const char *line);
	const char *unknown; /* the answer then */
	/* Optional. Metrics beside those of the peer. */
	void (*metrics)(void *arg, struct handoff__buf *buf);
	/* Optional. Lines that follow a report that somebody waits for. */
	void (*remarks)(void *arg, const struct handoff__report *report,
		struct handoff__buf *buf);
	bool ready_is_silent; /* entries never stay until they end */
	/* What the program calls it. */
	struct {
		int waiting, standby, joined, left, gave, refused;
		int hung, lagging, apart;
	} types;
};

struct handoff__operator {
	const struct handoff__operator_ops *ops;
	void *arg; /* of the ops */
	struct handoff__pair *pair;
	struct handoff__loop *loop;
	const struct handoff__log *log;
	struct handoff__ring ring;
	struct handoff__happening pulled; /* what the program looks at */
	struct handoff__timer news;       /* there is something to pull */
	struct handoff__control control;
	struct handoff__waiting moves; /* wait for the end of a give */
	struct handoff__waiting stops; /* and of this program */
	bool stopping;                 /* it begins no give any more */
	bool ended;                    /* it has told its last */
};

/* operator.c */
/* Before anything is told. All that is pointed to outlives the operator. */
void handoff__operator_init(struct handoff__operator *op,
	const struct handoff__operator_ops *ops, void *arg,
	struct handoff__pair *pair, struct handoff__loop *loop,
	const struct handoff__log *log);
void handoff__operator_close(struct handoff__operator *op);

/* Adds an event, and wakes. */
void handoff__operator_tell(struct handoff__operator *op, int type,
	const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The oldest event, which is there until the next one is pulled; NULL if there
 * is none. */
const struct handoff__happening *handoff__operator_pull(
	struct handoff__operator *op);

/* Has the descriptor of the loop become readable: an outside loop then calls,
 * also if no turn is under way. */
void handoff__operator_wake(struct handoff__operator *op);

/* The stop has come to its end: the answer is this text after the header. */
void handoff__operator_stopped(
	struct handoff__operator *op, struct handoff__buf *body);

/* roles.c, the first four as calls of the peer whose `arg` is the operator. */
void handoff__operator_hung(struct handoff__pair *pair, const char *text);
void handoff__operator_lagging(struct handoff__pair *pair, const char *text);
void handoff__operator_refused(struct handoff__pair *pair, const char *text);
void handoff__operator_apart(struct handoff__pair *pair, const char *text);
/* The other peer came or went. `remark` follows "standby: ...". */
void handoff__operator_partner(
	struct handoff__operator *op, bool here, const char *remark);
void handoff__operator_standby(
	struct handoff__operator *op, const char *remark);
void handoff__operator_waits(struct handoff__operator *op);
/* A give or take that this peer is part of has ended. */
void handoff__operator_given(
	struct handoff__operator *op, const struct handoff__report *report);

/* orders.c */
/* Opens the control socket; the peer is open. */
int handoff__operator_open(
	struct handoff__operator *op, struct handoff__error *error);

#endif
