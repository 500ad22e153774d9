/* SPDX-License-Identifier: MIT */
/*
 * The operator's side of a peer: the events queued for the program, and its
 * end.
 */
#include "operator/operator.h"

#include "operator/reply.h"
#include "peer/status.h"

#include <stdlib.h>

static void
on_wakeup(struct handoff__timer *timer)
{
	(void)timer; /* its only purpose is to make the loop run */
}

void
handoff__operator_init(struct handoff__operator *op,
	const struct handoff__operator_ops *ops, void *arg,
	struct handoff__pair *pair, struct handoff__loop *loop,
	const struct handoff__log *log)
{
	op->ops = ops;
	op->arg = arg;
	op->pair = pair;
	op->loop = loop;
	op->log = log;
	op->wakeup.fn = on_wakeup;
	op->control.fd = -1;
}

void
handoff__operator_close(struct handoff__operator *op)
{
	handoff__control_flush(&op->control);
	handoff__control_close(&op->control);
}

void
handoff__operator_wake(struct handoff__operator *op)
{
	if (!op->wakeup.armed)
		handoff__timer_arm(op->loop, &op->wakeup, 0);
}

static void
emit(struct handoff__operator *op, int type, const struct handoff__facts *facts,
	const char *fmt, va_list ap)
{
	const struct handoff__operator_event *event;

	if (op->ended)
		return;
	event = handoff__ring_put(&op->ring, type,
		op->ops->is_detail && op->ops->is_detail(type),
		handoff__pair_generation(op->pair), facts, fmt, ap);
	handoff__operator_wake(op);
	handoff__log(op->log, HANDOFF_LOG_DEBUG, "%s", event->text);
}

void
handoff__operator_emit(
	struct handoff__operator *op, int type, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(op, type, NULL, fmt, ap);
	va_end(ap);
}

void
handoff__operator_emit_with(struct handoff__operator *op, int type,
	const struct handoff__facts *facts, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(op, type, facts, fmt, ap);
	va_end(ap);
}

/* A copy: the ring may drop the slot before the program pulls again. */
const struct handoff__operator_event *
handoff__operator_pull(struct handoff__operator *op)
{
	const struct handoff__operator_event *oldest;

	if (op->ring.dropped > 0)
		handoff__log(op->log, HANDOFF_LOG_WARNING,
			"events: %u dropped: %d are kept until they are pulled",
			op->ring.dropped, HANDOFF__RING_SIZE);
	oldest = handoff__ring_take(&op->ring);
	if (!oldest)
		return NULL;
	op->pulled = *oldest;
	if (oldest->facts.end > 0) {
		op->walk_end = oldest->facts.end;
		op->walk_count = 0;
	}
	return &op->pulled;
}

void
handoff__operator_stopped(
	struct handoff__operator *op, struct handoff__buf *body)
{
	struct handoff__buf buf = {0};

	handoff__waiting_reply(
		&op->moves, handoff__reply_failure("it is stopping"));
	handoff__status_header(op->pair, &buf);
	if (body->data)
		handoff__buf_put(&buf, body->data, body->len);
	buf.failed |= body->failed;
	free(body->data);
	handoff__waiting_reply(&op->stops, handoff__reply_text(&buf));
}
