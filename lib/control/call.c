/* SPDX-License-Identifier: MIT */
/*
 * The calls behind the control tool: find the live peers of a directory, select
 * the one that a command is for, and compose the reply for the user. The
 * exchange with one peer is contact.c's.
 */
#include <handoff/control.h>

#include "base/loop.h"
#include "base/text.h"
#include "control/addresses.h"
#include "control/contact.h"
#include "control/exposition.h"
#include "control/output.h"
#include "control/table.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_MS  2000
#define COMMAND_MS 60000
#define END_MS     2000
#define RETRY_MS   20

#define PEERS 2

struct call {
	struct handoff__dir dir;
	struct handoff__contact peers[PEERS];
	size_t npeers;
	char **reply;
};

/* Stores the sentence for the caller and returns `err`. */
static int __attribute__((format(printf, 3, 4)))
fail(const struct call *call, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(call->reply, fmt, ap) < 0)
		*call->reply = NULL;
	va_end(ap);
	return err;
}

/* Passes the text to the caller; -ENOMEM if it is incomplete. */
static int
finish(const struct call *call, int err, struct handoff__buf *buf)
{
	if (buf->failed) {
		free(buf->data);
		return -ENOMEM;
	}
	*call->reply = buf->data;
	return err;
}

static void
add_peer_names(const struct call *call, struct handoff__buf *buf)
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

/* Explains why a request was not answered with "ok". */
static int
explain(const struct call *call, const struct handoff__contact *peer, int err,
	int timeout_ms)
{
	if (err == -ECANCELED)
		return fail(call, err, "%s", peer->body);
	if (err == -ETIMEDOUT)
		return fail(call, err, "%s (pid %ld): no answer within %d s",
			peer->name, peer->pid, timeout_ms / 1000);
	return fail(call, err, "%s (pid %ld): %s", peer->name, peer->pid,
		reason(err));
}

static int
nobody_there(const struct call *call)
{
	return fail(call, -ENOENT,
		"no server is running in %s: start one with --dir %s",
		call->dir.path, call->dir.path);
}

/* Opens the directory and finds its live peers. */
static int
call_open(struct call *call, const char *dir, char **reply)
{
	struct handoff__error error;
	int err;

	memset(call, 0, sizeof(*call));
	call->dir.fd = -1;
	if (!reply)
		return -EINVAL;
	*reply = NULL;
	call->reply = reply;
	err = handoff__dir_open(
		&call->dir, dir, false, HANDOFF__ANY_USER, &error);
	if (err < 0)
		return fail(call, err, "%s", error.text);
	for (int place = 1; place <= PEERS; place++) {
		err = handoff__contact_find(
			&call->peers[call->npeers], &call->dir, place);
		if (err < 0)
			return fail(call, err,
				"service directory %s: cannot tell whether a "
				"peer holds peer.%d: %s",
				dir, place, strerror(-err));
		call->npeers += (size_t)err;
	}
	return call->npeers > 0 ? 0 : nobody_there(call);
}

static int
call_close(struct call *call, int err)
{
	for (size_t i = 0; i < call->npeers; i++)
		handoff__contact_free(&call->peers[i]);
	handoff__dir_close(&call->dir);
	return err;
}

/* Requests the status. A peer that closes the connection without an answer is
 * leaving or starting: its lock tells which. */
static int
ask_status(const struct call *call, struct handoff__contact *peer,
	const char *request)
{
	int64_t deadline_us = handoff__now_us() + STATUS_MS * INT64_C(1000);
	int err;

	for (;;) {
		err = handoff__contact_ask(
			peer, &call->dir, request, -1, deadline_us);
		if (err != -ECONNRESET)
			return err;
		if (handoff__now_us() >= deadline_us)
			return -ETIMEDOUT;
		poll(NULL, 0, RETRY_MS);
	}
}

static void
forget_peer(struct call *call, size_t i)
{
	handoff__contact_free(&call->peers[i]);
	call->npeers--;
	memmove(&call->peers[i], &call->peers[i + 1],
		(call->npeers - i) * sizeof(call->peers[0]));
}

/* Queries all peers. A peer that has left meanwhile is dropped, one that does
 * not answer has no role, and the owner is moved to the front. */
static int
ask_all(struct call *call, const char *request)
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
			return explain(call, peer, err, STATUS_MS);
		if (i > 0 && strcmp(peer->role, "owner") == 0) {
			struct handoff__contact owner = *peer;

			*peer = call->peers[0];
			call->peers[0] = owner;
		}
		i++;
	}
	return call->npeers > 0 ? 0 : nobody_there(call);
}

/* Finds the peer of that role. If there is none, but a peer has not answered,
 * returns an error about that peer, otherwise 0. */
static int
find_role(struct call *call, const char *role, struct handoff__contact **found)
{
	int err = ask_all(call, "status\n");

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
			return explain(
				call, &call->peers[i], -ETIMEDOUT, STATUS_MS);
	}
	return 0;
}

/* `fd` is sent with the request; -1: none. */
static int
command_with(const struct call *call, struct handoff__contact *peer,
	const char *request, int fd)
{
	struct handoff__buf buf = {.data = NULL};
	int err = handoff__contact_ask(peer, &call->dir, request, fd,
		handoff__now_us() + (int64_t)COMMAND_MS * 1000);
	size_t len;

	if (err < 0)
		return explain(call, peer, err, COMMAND_MS);
	len = strlen(peer->body);
	if (len == 0)
		handoff__buf_add(&buf, "%s: done", peer->name);
	else
		handoff__buf_add(&buf, "%s", peer->body);
	if (len == 0 || peer->body[len - 1] != '\n')
		handoff__buf_add(&buf, "\n");
	return finish(call, 0, &buf);
}

static int
command(const struct call *call, struct handoff__contact *peer,
	const char *request)
{
	return command_with(call, peer, request, -1);
}

/* Returns what is known of all peers; the return value says whether one has not
 * answered. */
static int
finish_all(const struct call *call, struct handoff__buf *buf)
{
	int err = 0;

	for (size_t i = 0; i < call->npeers; i++) {
		if (!call->peers[i].role[0])
			err = -ETIMEDOUT;
	}
	return finish(call, err, buf);
}

static int
status(struct call *call, bool json)
{
	const struct handoff__contact *odd = NULL;
	struct handoff__buf buf = {.data = NULL};
	int err = ask_all(call, json ? "status json\n" : "status\n");

	if (err < 0)
		return err;
	if (json)
		odd = handoff__table_json(call->peers, call->npeers, &buf);
	else
		handoff__table(call->peers, call->npeers, &buf);
	if (odd) {
		free(buf.data);
		return explain(call, odd, -EPROTO, STATUS_MS);
	}
	return finish_all(call, &buf);
}

static int
metrics(struct call *call)
{
	struct handoff__buf buf = {.data = NULL};
	int err = ask_all(call, "metrics\n");

	if (err < 0)
		return err;
	handoff__exposition(call->peers, call->npeers, &buf);
	return finish_all(call, &buf);
}

/* Whether a standby has seen the service owned: then the owner is gone and a
 * takeover is imminent, or the service is just moving. */
static bool
changes_owner(const struct call *call)
{
	for (size_t i = 0; i < call->npeers; i++) {
		const struct handoff__contact *peer = &call->peers[i];
		const char *body =
			strcmp(peer->role, "standby") == 0 ? peer->body : NULL;
		const char *at = body ? strstr(body, "generation ") : NULL;

		if (at && (at == body || at[-1] == '\n') &&
			strtoull(at + strlen("generation "), NULL, 10) > 0)
			return true;
	}
	return false;
}

/* Waits for the end of a failover, usually a moment. */
static int
wait_for_owner(struct call *call, struct handoff__contact **owner)
{
	int64_t deadline_us = handoff__now_us() + STATUS_MS * INT64_C(1000);
	int err;

	for (;;) {
		err = find_role(call, "owner", owner);
		if (err < 0 || *owner || !changes_owner(call) ||
			handoff__now_us() >= deadline_us)
			return err;
		poll(NULL, 0, RETRY_MS);
	}
}

/* Finds the owner; an error if there is none. */
static int
find_owner(struct call *call, struct handoff__contact **owner)
{
	struct handoff__buf buf = {.data = NULL};
	int err = wait_for_owner(call, owner);

	if (err < 0 || *owner)
		return err;
	if (changes_owner(call)) {
		handoff__buf_add(&buf, "a failover is under way, no peer has "
				       "taken over yet: ");
		add_peer_names(call, &buf);
		handoff__buf_add(&buf, " in %s; try again", call->dir.path);
		return finish(call, -ECANCELED, &buf);
	}
	handoff__buf_add(&buf, "no peer owns the service: ");
	add_peer_names(call, &buf);
	handoff__buf_add(&buf, " in %s: start a server with --listen on it",
		call->dir.path);
	return finish(call, -ECANCELED, &buf);
}

/* The service has moved with its listeners: adds the changes that the new owner
 * has made to them. If it cannot be queried, a later status shows them. */
static int
add_addresses(struct call *call, unsigned long long before)
{
	struct handoff__buf buf = {.data = NULL};
	struct handoff__contact *owner;
	char *answer = *call->reply;
	int err;

	*call->reply = NULL;
	err = find_role(call, "owner", &owner);
	free(*call->reply);
	*call->reply = answer;
	if (err < 0 || !owner || handoff__addresses_generation(owner) == before)
		return 0;
	handoff__buf_add(&buf, "%s", answer);
	err = handoff__addresses_add(owner, &buf);
	if (buf.failed) {
		free(buf.data);
		return err;
	}
	free(answer);
	return finish(call, err, &buf);
}

/* The owner decides which peer is meant: it knows what is in progress. */
static int
maintenance(struct call *call, const char *name)
{
	unsigned long long generation;
	struct handoff__contact *owner;
	char request[64];
	int err;

	if (name && (strlen(name) >= HANDOFF_NAME_MAX || strchr(name, '\n')))
		return fail(call, -EINVAL,
			"maintenance: no peer has the name that was given: "
			"names have up to %d bytes",
			HANDOFF_NAME_MAX - 1);
	err = find_owner(call, &owner);
	if (err < 0)
		return err;
	snprintf(request, sizeof(request), "maintenance%s%s\n", name ? " " : "",
		name ? name : "");
	generation = handoff__addresses_generation(owner);
	err = command(call, owner, request);
	return err < 0 ? err : add_addresses(call, generation);
}

static int
dump(struct call *call, const char *path)
{
	struct handoff__output output;
	struct handoff__contact *owner;
	struct handoff__error error;
	int err;

	if (!path || !path[0])
		return fail(call, -EINVAL, "dump: no file was given");
	err = find_owner(call, &owner);
	if (err < 0)
		return err;
	err = handoff__output_open(&output, path, &error);
	if (err < 0)
		return fail(call, err, "%s", error.text);
	err = command_with(call, owner, "dump\n", output.fd);
	if (err < 0) {
		handoff__output_drop(&output);
		return err;
	}
	err = handoff__output_finish(&output, &error);
	if (err < 0) {
		free(*call->reply);
		return fail(call, err, "%s", error.text);
	}
	return 0;
}

/* While the service moves, both peers may report their old or new role. */
static int
wait_for_standby(struct call *call, struct handoff__contact **standby)
{
	int64_t deadline_us = handoff__now_us() + STATUS_MS * INT64_C(1000);
	int err;

	for (;;) {
		err = find_role(call, "standby", standby);
		if (err < 0 || *standby || call->npeers == 1 ||
			handoff__now_us() >= deadline_us)
			return err;
		poll(NULL, 0, RETRY_MS);
	}
}

static int
ready(struct call *call, bool silent)
{
	struct handoff__buf buf = {.data = NULL};
	unsigned long long generation;
	struct handoff__contact *standby;
	int err = wait_for_standby(call, &standby);

	if (err < 0)
		return err;
	if (standby) {
		generation = handoff__addresses_generation(standby);
		err = command(
			call, standby, silent ? "ready silent\n" : "ready\n");
		return err < 0 ? err : add_addresses(call, generation);
	}
	if (call->npeers == 1) {
		handoff__buf_add(&buf, "no standby to bring home: only ");
		add_peer_names(call, &buf);
		handoff__buf_add(&buf,
			" is in %s; start the other server on it first",
			call->dir.path);
	} else {
		handoff__buf_add(&buf, "neither is a standby: ");
		add_peer_names(call, &buf);
	}
	return finish(call, -ECANCELED, &buf);
}

/* Finds peers by name or by process ID. Returns the number of matches. */
static size_t
find(struct call *call, const char *name, struct handoff__contact **found)
{
	size_t named = 0;

	for (size_t i = 0; i < call->npeers; i++) {
		if (strcmp(call->peers[i].name, name) == 0) {
			*found = &call->peers[i];
			named++;
		}
	}
	for (size_t i = 0; named == 0 && i < call->npeers; i++) {
		char pid[24];

		snprintf(pid, sizeof(pid), "%ld", call->peers[i].pid);
		if (strcmp(pid, name) == 0) {
			*found = &call->peers[i];
			return 1;
		}
	}
	return named;
}

/* Waits for the end of the process too, which frees its other resources, such
 * as a pid file; but not for long, if it continues with other work. */
static int
stop_peer(struct call *call, struct handoff__contact *peer)
{
	struct handoff__buf buf = {.data = NULL};
	struct pollfd p = {.fd = -1, .events = POLLIN};
	bool left, ended = false;
	int err;

	peer->pidfd = &p.fd;
	err = command(call, peer, "stop\n");
	peer->pidfd = NULL;
	/* it was stopping already, on another request */
	left = err == -ECONNRESET || err == -ESRCH;
	if ((err >= 0 || left) && p.fd >= 0)
		ended = poll(&p, 1, END_MS) > 0;
	if (p.fd >= 0)
		close(p.fd);
	if (!left || !ended)
		return err;
	free(*call->reply);
	handoff__buf_add(&buf, "stopped\n");
	return finish(call, 0, &buf);
}

static int
stop(struct call *call, const char *name)
{
	struct handoff__buf buf = {.data = NULL};
	struct handoff__contact *peer = NULL;
	size_t found;

	if (!name)
		return fail(call, -EINVAL, "stop: no name was given");
	found = find(call, name, &peer);
	if (found == 1)
		return stop_peer(call, peer);
	if (found > 1) {
		handoff__buf_add(&buf, "two peers have the name %s: ", name);
		add_peer_names(call, &buf);
		handoff__buf_add(&buf, "; name one by its pid");
		return finish(call, -ECANCELED, &buf);
	}
	handoff__buf_add(&buf, "no peer %.63s in %s: ", name, call->dir.path);
	add_peer_names(call, &buf);
	handoff__buf_add(&buf, call->npeers == 1 ? " is there" : " are there");
	return finish(call, -ENOENT, &buf);
}

/* The owner knows more of the clients than a standby does. */
static int
say(struct call *call, const char *text)
{
	struct handoff__buf buf = {.data = NULL};
	struct handoff__contact *peer;
	int err;

	if (!text || strchr(text, '\n') || strlen(text) > HANDOFF_SAY_MAX)
		return fail(call, -EINVAL,
			"say: want one line of at most %d bytes",
			HANDOFF_SAY_MAX);
	err = wait_for_owner(call, &peer);
	if (err < 0)
		return err;
	if (!peer)
		return fail(call, -ENOENT,
			"say: no peer serves: there is no client");
	handoff__buf_add(&buf, "say %s\n", text);
	if (buf.failed)
		return -ENOMEM;
	err = command(call, peer, buf.data);
	free(buf.data);
	return err;
}

int
handoff_control_status(const char *dir, bool json, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : status(&call, json));
}

int
handoff_control_metrics(const char *dir, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : metrics(&call));
}

int
handoff_control_maintenance(const char *dir, const char *name, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : maintenance(&call, name));
}

int
handoff_control_ready(const char *dir, bool silent, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : ready(&call, silent));
}

int
handoff_control_dump(const char *dir, const char *path, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : dump(&call, path));
}

int
handoff_control_stop(const char *dir, const char *name, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : stop(&call, name));
}

int
handoff_control_say(const char *dir, const char *text, char **reply)
{
	struct call call;
	int err = call_open(&call, dir, reply);

	return call_close(&call, err < 0 ? err : say(&call, text));
}
