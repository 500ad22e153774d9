/* SPDX-License-Identifier: MIT */
/*
 * The peers of a directory, for one call: found by their locks, queried, and
 * selected by their role. Knows no command; the exchange with one peer is
 * contact.c's.
 */
#include "control/call.h"

#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_MS 60000

/* how a refusal begins that may not be one in a while */
#define UNREADY     "not ready: "
#define UNREADY_LEN (sizeof(UNREADY) - 1)

int __attribute__((format(printf, 3, 4))) handoff__call_fail(
	const struct handoff__call *call, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(call->reply, fmt, ap) < 0)
		*call->reply = NULL;
	va_end(ap);
	return err;
}

int
handoff__call_finish(
	const struct handoff__call *call, int err, struct handoff__buf *buf)
{
	if (buf->failed) {
		free(buf->data);
		return -ENOMEM;
	}
	*call->reply = buf->data;
	return err;
}

void
handoff__call_names(const struct handoff__call *call, struct handoff__buf *buf)
{
	for (size_t i = 0; i < call->npeers; i++) {
		const struct handoff__contact *peer = &call->peers[i];

		handoff__buf_add(buf, "%s%s (pid %ld)", i > 0 ? ", " : "",
			peer->name, peer->pid);
	}
}

static const char *
reason(int err)
{
	switch (err) {
	case -ESRCH:
		return "it has left";
	case -ECONNRESET:
		return "it closed the connection without an answer: it is "
		       "stopping, or has died; status shows what has moved";
	case -EPERM:
		return "its socket is not served by the owner of the directory";
	case -EPROTO:
		return "its answer is not understood";
	case -EMSGSIZE:
		return "its answer is longer than 16 MiB";
	default:
		return strerror(-err);
	}
}

int
handoff__call_explain(const struct handoff__call *call,
	const struct handoff__contact *peer, int err, int timeout_ms)
{
	if (err == -ECANCELED)
		return handoff__call_fail(call, err, "%s", peer->body);
	if (err == -ETIMEDOUT)
		return handoff__call_fail(call, err,
			"%s (pid %ld): no answer within %d s", peer->name,
			peer->pid, timeout_ms / 1000);
	return handoff__call_fail(call, err, "%s (pid %ld): %s", peer->name,
		peer->pid, reason(err));
}

static int
nobody_there(const struct handoff__call *call)
{
	return handoff__call_fail(call, -ENOENT,
		"no server is running in %s: start one with --dir %s",
		call->dir.path, call->dir.path);
}

int
handoff__call_open(struct handoff__call *call, const char *dir, char **reply)
{
	struct handoff__error error;
	int err;

	memset(call, 0, sizeof(*call));
	call->reply = reply;
	err = handoff__dir_open(
		&call->dir, dir, false, HANDOFF__ANY_USER, &error);
	if (err < 0)
		return handoff__call_fail(call, err, "%s", error.text);
	for (int place = 1; place <= HANDOFF__CALL_PEERS; place++) {
		err = handoff__contact_find(
			&call->peers[call->npeers], &call->dir, place);
		if (err < 0)
			return handoff__call_fail(call, err,
				"service directory %s: cannot tell whether a "
				"peer holds peer.%d: %s",
				dir, place, strerror(-err));
		call->npeers += (size_t)err;
	}
	return call->npeers > 0 ? 0 : nobody_there(call);
}

int
handoff__call_close(struct handoff__call *call, int err)
{
	for (size_t i = 0; i < call->npeers; i++)
		handoff__contact_free(&call->peers[i]);
	handoff__dir_close(&call->dir);
	return err;
}

static int64_t
status_deadline(const struct handoff__call *call)
{
	int64_t usual_us =
		handoff__now_us() + HANDOFF__STATUS_MS * INT64_C(1000);

	return call->deadline_us > 0 && call->deadline_us < usual_us
		       ? call->deadline_us
		       : usual_us;
}

/* Requests the status. A peer that closes the connection without an answer is
 * leaving or starting: its lock tells which. */
static int
ask_status(const struct handoff__call *call, struct handoff__contact *peer,
	const char *request)
{
	int64_t deadline_us = status_deadline(call);
	int err;

	for (;;) {
		err = handoff__contact_ask(
			peer, &call->dir, request, -1, deadline_us);
		if (err != -ECONNRESET)
			return err;
		if (handoff__now_us() >= deadline_us)
			return -ETIMEDOUT;
		poll(NULL, 0, HANDOFF__RETRY_MS);
	}
}

static void
forget_peer(struct handoff__call *call, size_t i)
{
	handoff__contact_free(&call->peers[i]);
	call->npeers--;
	memmove(&call->peers[i], &call->peers[i + 1],
		(call->npeers - i) * sizeof(call->peers[0]));
}

int
handoff__call_ask(struct handoff__call *call, const char *request)
{
	size_t i = 0;

	while (i < call->npeers) {
		struct handoff__contact *peer = &call->peers[i];
		int err = ask_status(call, peer, request);

		if (err == -ESRCH) {
			forget_peer(call, i);
			continue;
		}
		if (err < 0 && err != -ETIMEDOUT)
			return handoff__call_explain(
				call, peer, err, HANDOFF__STATUS_MS);
		if (i > 0 && strcmp(peer->role, "owner") == 0) {
			struct handoff__contact owner = *peer;

			*peer = call->peers[0];
			call->peers[0] = owner;
		}
		i++;
	}
	return call->npeers > 0 ? 0 : nobody_there(call);
}

static int
find_role(struct handoff__call *call, const char *role,
	struct handoff__contact **found)
{
	int err = handoff__call_ask(call, "status\n");

	*found = NULL;
	if (err < 0)
		return err;
	for (size_t i = 0; i < call->npeers; i++) {
		if (strcmp(call->peers[i].role, role) == 0) {
			*found = &call->peers[i];
			return 0;
		}
	}
	for (size_t i = 0; i < call->npeers; i++) {
		if (!call->peers[i].role[0])
			return handoff__call_explain(call, &call->peers[i],
				-ETIMEDOUT, HANDOFF__STATUS_MS);
	}
	return 0;
}

int
handoff__call_find_role(struct handoff__call *call, const char *role,
	bool (*may_come)(const struct handoff__call *call),
	struct handoff__contact **found)
{
	int64_t deadline_us = status_deadline(call);
	int err;

	for (;;) {
		err = find_role(call, role, found);
		if (err < 0 || *found || !may_come || !may_come(call) ||
			handoff__now_us() >= deadline_us)
			return err;
		poll(NULL, 0, HANDOFF__RETRY_MS);
	}
}

int
handoff__call_send(const struct handoff__call *call,
	struct handoff__contact *peer, const char *request, int fd)
{
	struct handoff__buf buf = {.data = NULL};
	int64_t ms = (int64_t)COMMAND_MS + call->wait_ms;
	size_t len;
	int err;

	peer->idle = call->look;
	peer->idle_arg = call->look_arg;
	err = handoff__contact_ask(
		peer, &call->dir, request, fd, handoff__now_us() + ms * 1000);
	peer->idle = NULL;
	if (err == -ECANCELED && strncmp(peer->body, UNREADY, UNREADY_LEN) == 0)
		return handoff__call_fail(
			call, -EAGAIN, "%s", peer->body + UNREADY_LEN);
	if (err < 0)
		return handoff__call_explain(call, peer, err, (int)ms);
	len = strlen(peer->body);
	if (len == 0)
		handoff__buf_add(&buf, "%s: done", peer->name);
	else
		handoff__buf_add(&buf, "%s", peer->body);
	if (len == 0 || peer->body[len - 1] != '\n')
		handoff__buf_add(&buf, "\n");
	return handoff__call_finish(call, 0, &buf);
}
