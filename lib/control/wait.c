/* SPDX-License-Identifier: MIT */
/*
 * Waits until the peers of a directory are as a caller wants them: asks for the
 * status at an interval, since a peer notifies no operator, until it is so or
 * the time has passed. What it means to be so is until.c's.
 */
#include "base/loop.h"
#include "control/call.h"
#include "control/until.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS    100
#define LAST_MS    500 /* for the answers to the last look, beyond the limit */
#define DEFAULT_MS 60000

struct waiting {
	const char *dir;
	struct handoff_wait_opts opts;
	int64_t deadline_us;
	struct handoff__buf text; /* what is so, or what is missing */
};

static uint32_t
limit_ms(const struct waiting *w)
{
	return w->opts.timeout_ms > 0 ? w->opts.timeout_ms : DEFAULT_MS;
}

/* The last look too gives the peers a moment to answer. */
static int64_t
last_answer_us(const struct waiting *w)
{
	int64_t soon_us = handoff__now_us() + LAST_MS * INT64_C(1000);

	return w->deadline_us > soon_us ? w->deadline_us : soon_us;
}

/* Once: 1 it is so, 0 not yet, or an error that time does not change. A
 * directory may still be created; but one that is missing holds no answer to
 * whether a peer is gone. */
static int
look_once(struct waiting *w, char **reply)
{
	bool asks = handoff__until_asks(&w->opts);
	struct handoff__call call;
	int err = handoff__call_open(&call, w->dir, reply);
	bool missing = err == -ENOENT && call.dir.fd < 0;

	call.deadline_us = last_answer_us(w);
	if (err == -ENOENT && (!missing || asks))
		err = 0;
	else if (err == 0 && asks)
		err = handoff__call_ask(&call, "status\n");
	if (err == -ENOENT && !missing)
		err = 0;
	if (err == 0)
		err = handoff__until_met(
			&w->opts, call.peers, call.npeers, &w->text);
	return handoff__call_close(&call, err);
}

/* Some errors of one moment: a peer that has just begun or is about to end. */
static bool
may_pass(int err)
{
	return err == -ETIMEDOUT || err == -ECONNRESET || err == -ECANCELED ||
	       err == -EAGAIN;
}

static int
give_up(const struct waiting *w, int err, char **reply)
{
	struct handoff__buf buf = {.data = NULL};

	handoff__buf_add(&buf, "waited %u.%u s in %s for ", limit_ms(w) / 1000,
		limit_ms(w) % 1000 / 100, w->dir);
	if (err == -ECANCELED) {
		buf.len = 0;
		handoff__buf_add(&buf, "gave up waiting in %s for ", w->dir);
	}
	handoff__until_text(&w->opts, &buf);
	handoff__buf_add(&buf, ": %s", w->text.data ? w->text.data : "");
	if (buf.failed) {
		free(buf.data);
		return -ENOMEM;
	}
	*reply = buf.data;
	return err;
}

static int
wait_for_it(struct waiting *w, char **reply)
{
	for (;;) {
		int64_t left_us;
		int err = look_once(w, reply);

		if (err < 0 && !may_pass(err))
			return err;
		if (err < 0)
			handoff__buf_add(&w->text, "%s",
				*reply ? *reply : strerror(-err));
		free(*reply);
		*reply = NULL;
		if (w->text.failed)
			return -ENOMEM;
		if (err > 0)
			return 0;
		left_us = w->deadline_us - handoff__now_us();
		if (left_us <= 0)
			return give_up(w, -ETIMEDOUT, reply);
		if (w->opts.look &&
			!w->opts.look(w->opts.look_arg, w->text.data))
			return give_up(w, -ECANCELED, reply);
		free(w->text.data);
		w->text = (struct handoff__buf){.data = NULL};
		poll(NULL, 0,
			left_us < LOOK_MS * INT64_C(1000)
				? (int)(left_us / 1000) + 1
				: LOOK_MS);
	}
}

int
handoff_control_wait(
	const char *dir, const struct handoff_wait_opts *opts, char **reply)
{
	struct waiting w = {.dir = dir};
	const char *wrong;
	int err;

	if (!opts || !reply)
		return -EINVAL;
	*reply = NULL;
	err = handoff__opts_copy(&w.opts, sizeof(w.opts), opts,
		offsetof(struct handoff_wait_opts, timeout_ms));
	if (err < 0)
		return err;
	wrong = handoff__until_wrong(&w.opts);
	if (wrong)
		return asprintf(reply, "wait: %s", wrong) < 0 ? -ENOMEM
							      : -EINVAL;
	w.deadline_us = handoff__now_us() + limit_ms(&w) * INT64_C(1000);
	err = wait_for_it(&w, reply);
	if (err == 0) {
		handoff__buf_add(&w.text, "\n");
		*reply = w.text.failed ? NULL : w.text.data;
		return *reply ? 0 : -ENOMEM;
	}
	free(w.text.data);
	return err;
}
