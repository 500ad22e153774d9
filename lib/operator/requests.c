/* SPDX-License-Identifier: MIT */
/*
 * Runs the requests from the control socket. One handoff at a time; the
 * requests for it wait for its end.
 */
#include "operator/operator.h"

#include "operator/reply.h"
#include "peer/doubt.h"
#include "peer/metrics.h"
#include "peer/status.h"

#include <stdlib.h>
#include <string.h>

static void
answer_status(struct handoff__operator *op, struct handoff__request *request,
	bool json)
{
	struct handoff__buf buf = {0};

	handoff__status_header(op->pair, &buf);
	if (json)
		handoff__status_json(op->pair, &buf);
	else
		handoff__status_text(op->pair, &buf);
	if (op->ops->status)
		op->ops->status(op->arg, json, &buf);
	if (json)
		handoff__buf_add(&buf, "}\n");
	handoff__reply(request, &buf);
}

static void
answer_metrics(struct handoff__operator *op, struct handoff__request *request)
{
	struct handoff__buf buf = {0};

	handoff__status_header(op->pair, &buf);
	handoff__metrics(op->pair, &buf);
	if (op->ops->metrics)
		op->ops->metrics(op->arg, &buf);
	handoff__reply(request, &buf);
}

static int
give(struct handoff__operator *op)
{
	return handoff__pair_give_how(op->pair, HANDOFF__MAINTENANCE, &op->how);
}

static int
take_home(struct handoff__operator *op)
{
	return handoff__pair_home(op->pair, false);
}

static int
take_silently(struct handoff__operator *op)
{
	return handoff__pair_home(op->pair, true);
}

/* A repetition of the request in progress waits with it. */
static void
answer_move(struct handoff__operator *op, struct handoff__request *request,
	const char *line, int (*fn)(struct handoff__operator *op))
{
	bool first = op->moves.count == 0;

	if (op->stopping)
		handoff__reply_error(request, "it is stopping");
	else if (!handoff__waiting_add(&op->moves, request, line))
		handoff__reply_error(request,
			"another handoff is under way: wait for its end");
	else if (first && fn(op) < 0)
		handoff__waiting_reply(&op->moves,
			handoff__reply_failure(op->pair->error.text));
}

/* Nothing is left to be done: that is a success. */
static void
answer_done(struct handoff__operator *op, struct handoff__request *request,
	const char *text)
{
	struct handoff__buf buf = {0};

	handoff__status_header(op->pair, &buf);
	handoff__buf_add(&buf, "%s\n", text);
	handoff__reply(request, &buf);
}

static void
answer_ready(struct handoff__operator *op, struct handoff__request *request,
	const char *line, bool silent)
{
	char text[HANDOFF_TEXT_MAX];

	silent |= op->ops->ready_is_silent;
	if (op->moves.count == 0 && !op->stopping &&
		handoff__pair_is_home(op->pair, silent, text, sizeof(text)))
		answer_done(op, request, text);
	else
		answer_move(
			op, request, line, silent ? take_silently : take_home);
}

/* Reads " wait=MS" and " whole=1", and returns what follows: "" or " NAME". No
 * name has an equals sign. */
static const char *
read_how(const char *words, struct handoff__give_how *how)
{
	char *end;

	*how = (struct handoff__give_how){.wait_ms = 0};
	if (strncmp(words, " wait=", 6) == 0) {
		how->wait_ms = (uint32_t)strtoul(words + 6, &end, 10);
		words = end;
	}
	if (strncmp(words, " whole=1", 8) == 0) {
		how->whole = true;
		words += 8;
	}
	return words;
}

/* "maintenance", with options and a name */
static void
answer_maintenance(struct handoff__operator *op,
	struct handoff__request *request, const char *line)
{
	struct handoff__give_how how;
	const char *name = read_how(line + strlen("maintenance"), &how);
	char text[HANDOFF_TEXT_MAX];
	int repeats = 0;

	if (op->moves.count == 0 && !op->stopping) {
		op->how = how;
		repeats = handoff__pair_repeats(
			op->pair, *name ? name + 1 : name, text, sizeof(text));
	}
	if (repeats == 0)
		answer_move(op, request, line, give);
	else if (repeats < 0)
		handoff__reply_error(request, op->pair->error.text);
	else
		answer_done(op, request, text);
}

static void
answer_stay(struct handoff__operator *op, struct handoff__request *request)
{
	char text[HANDOFF_TEXT_MAX];

	if (op->moves.count > 0)
		handoff__reply_error(request,
			"another handoff is under way: wait for its end");
	else if (handoff__pair_stay(op->pair, text, sizeof(text)) < 0)
		handoff__reply_error(request, op->pair->error.text);
	else
		answer_done(op, request, text);
}

static void
answer_stop(struct handoff__operator *op, struct handoff__request *request)
{
	char why[HANDOFF_TEXT_MAX];

	if (handoff__pair_doubt(op->pair, why) > 0)
		handoff__reply_error(request, why);
	else if (handoff__waiting_add(&op->stops, request, "stop"))
		op->ops->stop(op->arg);
	else
		handoff__reply_error(request, "too many wait for its end");
}

static void
run_request(void *arg, struct handoff__request *request, const char *line)
{
	struct handoff__operator *op = arg;

	if (op->ops->instead && op->ops->instead(op->arg, request, line))
		return;
	if (strcmp(line, "status") == 0)
		answer_status(op, request, false);
	else if (strcmp(line, "status json") == 0)
		answer_status(op, request, true);
	else if (strcmp(line, "metrics") == 0)
		answer_metrics(op, request);
	else if (strcmp(line, "maintenance") == 0 ||
		 strncmp(line, "maintenance ", 12) == 0)
		answer_maintenance(op, request, line);
	else if (strcmp(line, "ready") == 0)
		answer_ready(op, request, line, false);
	else if (strcmp(line, "ready silent") == 0)
		answer_ready(op, request, line, true);
	else if (strcmp(line, "stay") == 0)
		answer_stay(op, request);
	else if (strcmp(line, "stop") == 0)
		answer_stop(op, request);
	else if (!op->ops->other || !op->ops->other(op->arg, request, line))
		handoff__reply_error(request, op->ops->unknown);
}

int
handoff__operator_open(
	struct handoff__operator *op, struct handoff__error *error)
{
	return handoff__control_open(&op->control, op->loop, &op->pair->dir,
		op->pair->place, op->log, run_request, op, error);
}
