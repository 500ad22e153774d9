/* SPDX-License-Identifier: MIT */
/*
 * The calls behind the control tool: select the peer that a command is for,
 * send it, and compose the reply for the user.
 */
#include <handoff/control.h>

#include "base/loop.h"
#include "base/text.h"
#include "control/call.h"
#include "control/connections.h"
#include "control/exposition.h"
#include "control/hosts.h"
#include "control/listeners.h"
#include "control/look.h"
#include "control/output.h"
#include "control/table.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define END_MS   2000
#define WAIT_MAX 86400000u

static int
send_command(const struct handoff__call *call, struct handoff__contact *peer,
	const char *request)
{
	return handoff__call_send(call, peer, request, -1);
}

/* Returns what is known of all peers; the return value says whether one has not
 * answered. */
static int
finish_all(const struct handoff__call *call, struct handoff__buf *buf)
{
	int err = 0;

	for (size_t i = 0; i < call->npeers; i++) {
		if (!call->peers[i].role[0])
			err = -ETIMEDOUT;
	}
	return handoff__call_finish(call, err, buf);
}

static int
call_status(struct handoff__call *call, const void *arg)
{
	bool json = *(const bool *)arg;
	const struct handoff__contact *odd = NULL;
	struct handoff__buf buf = {.data = NULL};
	int err = handoff__call_ask(call, json ? "status json\n" : "status\n");

	if (err < 0)
		return err;
	if (json)
		odd = handoff__table_json(call->peers, call->npeers, &buf);
	else
		handoff__table(call->peers, call->npeers, &buf);
	if (odd) {
		free(buf.data);
		return handoff__call_explain(
			call, odd, -EPROTO, HANDOFF__STATUS_MS);
	}
	return finish_all(call, &buf);
}

static int
call_connections(struct handoff__call *call, const void *arg)
{
	bool json = *(const bool *)arg;
	const struct handoff__contact *odd = NULL;
	struct handoff__buf buf = {.data = NULL};
	int err = handoff__call_ask(
		call, json ? "connections json\n" : "connections\n");

	if (err < 0)
		return err;
	if (json)
		odd = handoff__table_json(call->peers, call->npeers, &buf);
	else
		handoff__connections(call->peers, call->npeers, &buf);
	if (odd) {
		free(buf.data);
		return handoff__call_explain(
			call, odd, -EPROTO, HANDOFF__STATUS_MS);
	}
	return finish_all(call, &buf);
}

static int
call_metrics(struct handoff__call *call, const void *arg)
{
	struct handoff__buf buf = {.data = NULL};
	int err = handoff__call_ask(call, "metrics\n");

	(void)arg;
	if (err < 0)
		return err;
	handoff__exposition(call->peers, call->npeers, &buf);
	return finish_all(call, &buf);
}

/* Whether a standby has seen the service owned: then the owner is gone and a
 * takeover is imminent, or the service is just moving. */
static bool
changes_owner(const struct handoff__call *call)
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
wait_for_owner(struct handoff__call *call, struct handoff__contact **owner)
{
	return handoff__call_find_role(call, "owner", changes_owner, owner);
}

/* Finds the owner; an error if there is none. */
static int
find_owner(struct handoff__call *call, struct handoff__contact **owner)
{
	struct handoff__buf buf = {.data = NULL};
	int err = wait_for_owner(call, owner);

	if (err < 0 || *owner)
		return err;
	if (changes_owner(call)) {
		handoff__buf_add(&buf, "a failover is under way, no peer has "
				       "taken over yet: ");
		handoff__call_names(call, &buf);
		handoff__buf_add(&buf, " in %s; try again", call->dir.path);
		return handoff__call_finish(call, -ECANCELED, &buf);
	}
	handoff__buf_add(&buf, "no peer owns the service: ");
	handoff__call_names(call, &buf);
	handoff__buf_add(&buf, " in %s: start a server with --listen on it",
		call->dir.path);
	return handoff__call_finish(call, -ECANCELED, &buf);
}

/* The service has moved with its listeners: adds the changes that the new owner
 * has made to them. If it cannot be queried, a later status shows them. */
static int
add_addresses(struct handoff__call *call, unsigned long long before)
{
	struct handoff__buf buf = {.data = NULL};
	struct handoff__contact *owner;
	char *answer = *call->reply;
	int err;

	*call->reply = NULL;
	err = handoff__call_find_role(call, "owner", NULL, &owner);
	free(*call->reply);
	*call->reply = answer;
	if (err < 0 || !owner || handoff__listeners_generation(owner) == before)
		return 0;
	handoff__buf_add(&buf, "%s", answer);
	err = handoff__listeners_add(owner, &buf);
	if (buf.failed) {
		free(buf.data);
		return err;
	}
	free(answer);
	return handoff__call_finish(call, err, &buf);
}

/* The owner decides which peer is meant: it knows what is in progress. */
static int
call_maintenance(struct handoff__call *call, const void *arg)
{
	const struct handoff_maintain_opts *opts = arg;
	const char *name = opts->name;
	unsigned long long generation;
	struct handoff__contact *owner;
	char request[96], wait[32] = "";
	struct handoff__look look;
	int err;

	if (opts->to)
		return handoff__hosts_move(call, opts);
	if (opts->dry_run || opts->timeout_ms > 0)
		return handoff__call_fail(call, -EINVAL,
			"maintenance: a dry run and a timeout need another "
			"host to move to");
	if (opts->wait_ms > WAIT_MAX)
		return handoff__call_fail(
			call, -EINVAL, "maintenance: waits for a day at most");
	if (name && !name[0])
		return handoff__call_fail(
			call, -EINVAL, "maintenance: the name is empty");
	if (name && (strlen(name) >= HANDOFF_NAME_MAX || strchr(name, '\n')))
		return handoff__call_fail(call, -EINVAL,
			"maintenance: no peer has the name that was given: "
			"names have up to %d bytes",
			HANDOFF_NAME_MAX - 1);
	err = find_owner(call, &owner);
	if (err < 0)
		return err;
	if (opts->wait_ms > 0)
		snprintf(wait, sizeof(wait), " wait=%u", opts->wait_ms);
	call->wait_ms = opts->wait_ms;
	snprintf(request, sizeof(request), "maintenance%s%s%s%s\n", wait,
		opts->whole ? " whole=1" : "", name ? " " : "",
		name ? name : "");
	generation = handoff__listeners_generation(owner);
	handoff__look_begin(
		&look, call, opts->progress, opts->progress_arg, -1);
	err = send_command(call, owner, request);
	handoff__look_end(&look);
	return err < 0 ? err : add_addresses(call, generation);
}

static int
call_dump(struct handoff__call *call, const void *arg)
{
	const struct handoff_dump_opts *opts = arg;
	const char *path = opts->path;
	struct handoff__look look;
	struct handoff__output output;
	struct handoff__contact *owner;
	struct handoff__error error;
	int err;

	if (!path || !path[0])
		return handoff__call_fail(
			call, -EINVAL, "dump: no file was given");
	err = find_owner(call, &owner);
	if (err < 0)
		return err;
	err = handoff__output_open(&output, path, &error);
	if (err < 0)
		return handoff__call_fail(call, err, "%s", error.text);
	handoff__look_begin(
		&look, call, opts->progress, opts->progress_arg, output.fd);
	err = handoff__call_send(call, owner, "dump\n", output.fd);
	handoff__look_end(&look);
	if (err < 0) {
		handoff__output_drop(&output);
		return err;
	}
	err = handoff__output_finish(&output, &error);
	if (err < 0) {
		free(*call->reply);
		return handoff__call_fail(call, err, "%s", error.text);
	}
	return 0;
}

/* While the service moves, both peers may report their old or new role. */
static bool
both_are_there(const struct handoff__call *call)
{
	return call->npeers > 1;
}

/* How the state begins of a service that has gone with its ferry. */
#define HOSTED "the service is on another host"

static int
bring_home(struct handoff__call *call, bool silent)
{
	struct handoff__buf buf = {.data = NULL};
	unsigned long long generation;
	struct handoff__contact *standby, *ferry;
	const char *away;
	size_t len;
	int err = handoff__call_find_role(
		call, "standby", both_are_there, &standby);

	if (err < 0)
		return err;
	/* whichever of the two the owner is: the ferry knows where the service
	 * is */
	ferry = handoff__hosts_ferry(call);
	if (ferry)
		return handoff__hosts_fetch(call, ferry, silent);
	/* without the lease nothing is brought home: the owner says why, since
	 * it knows of the other hosts */
	if (handoff__contact_idle(&call->peers[0]))
		return send_command(call, &call->peers[0],
			silent ? "ready silent\n" : "ready\n");
	if (standby) {
		generation = handoff__listeners_generation(standby);
		err = send_command(
			call, standby, silent ? "ready silent\n" : "ready\n");
		return err < 0 ? err : add_addresses(call, generation);
	}
	/* the owner says what to do */
	away = handoff__contact_value(&call->peers[0], "away", NULL, &len);
	if (call->npeers == 1 && away &&
		strncmp(away, HOSTED, strlen(HOSTED)) == 0)
		return send_command(call, &call->peers[0], "ready\n");
	if (call->npeers == 1) {
		handoff__buf_add(&buf, "no standby to bring home: only ");
		handoff__call_names(call, &buf);
		handoff__buf_add(&buf,
			" is in %s; start the other server on it first",
			call->dir.path);
	} else {
		handoff__buf_add(&buf, "neither is a standby: ");
		handoff__call_names(call, &buf);
	}
	return handoff__call_finish(call, -ECANCELED, &buf);
}

static int
call_ready(struct handoff__call *call, const void *arg)
{
	const struct handoff_ready_opts *opts = arg;
	struct handoff__look look;
	int err;

	handoff__look_begin(
		&look, call, opts->progress, opts->progress_arg, -1);
	err = bring_home(call, opts->silent);
	handoff__look_end(&look);
	return err;
}

/* Finds peers by name or by process ID. Returns the number of matches. */
static size_t
find_named(struct handoff__call *call, const char *name,
	struct handoff__contact **found)
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
stop_peer(struct handoff__call *call, struct handoff__contact *peer)
{
	struct handoff__buf buf = {.data = NULL};
	struct pollfd p = {.fd = -1, .events = POLLIN};
	bool left, ended = false;
	int err;

	peer->pidfd = &p.fd;
	err = send_command(call, peer, "stop\n");
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
	return handoff__call_finish(call, 0, &buf);
}

static int
call_stop(struct handoff__call *call, const void *arg)
{
	const char *name = arg;
	struct handoff__buf buf = {.data = NULL};
	struct handoff__contact *peer = NULL;
	size_t found;

	if (!name || !name[0])
		return handoff__call_fail(
			call, -EINVAL, "stop: no name was given");
	found = find_named(call, name, &peer);
	if (found == 1)
		return stop_peer(call, peer);
	if (found > 1) {
		handoff__buf_add(&buf, "two peers have the name %s: ", name);
		handoff__call_names(call, &buf);
		handoff__buf_add(&buf, "; name one by its pid");
		return handoff__call_finish(call, -ECANCELED, &buf);
	}
	handoff__buf_add(&buf, "no peer %.63s in %s: ", name, call->dir.path);
	handoff__call_names(call, &buf);
	handoff__buf_add(&buf, call->npeers == 1 ? " is there" : " are there");
	return handoff__call_finish(call, -ENOENT, &buf);
}

/* The owner knows more of the clients than a standby does. */
static int
call_say(struct handoff__call *call, const void *arg)
{
	const char *text = arg;
	struct handoff__buf buf = {.data = NULL};
	struct handoff__contact *peer;
	int err;

	if (!text || strchr(text, '\n') || strlen(text) > HANDOFF_SAY_MAX)
		return handoff__call_fail(call, -EINVAL,
			"say: want one line of at most %d bytes",
			HANDOFF_SAY_MAX);
	err = wait_for_owner(call, &peer);
	if (err < 0)
		return err;
	if (!peer)
		return handoff__call_fail(call, -ENOENT,
			"say: no peer serves: there is no client");
	handoff__buf_add(&buf, "say %s\n", text);
	if (buf.failed)
		return -ENOMEM;
	err = send_command(call, peer, buf.data);
	free(buf.data);
	return err;
}

static int
call_stay(struct handoff__call *call, const void *arg)
{
	struct handoff__contact *owner;
	int err = find_owner(call, &owner);

	(void)arg;
	return err < 0 ? err : send_command(call, owner, "stay\n");
}

struct settle {
	const char *batch;
	bool here;
};

static int
call_settle(struct handoff__call *call, const void *arg)
{
	const struct settle *settle = arg;

	return handoff__hosts_settle(call, settle->batch, settle->here);
}

/* The frame of each public call: runs one command with the live peers of the
 * directory. */
static int
with_peers(const char *dir, char **reply,
	int (*command)(struct handoff__call *call, const void *arg),
	const void *arg)
{
	struct handoff__call call;
	int err;

	if (!reply)
		return -EINVAL;
	*reply = NULL;
	err = handoff__call_open(&call, dir, reply);
	return handoff__call_close(&call, err < 0 ? err : command(&call, arg));
}

int
handoff_control_status(const char *dir, bool json, char **reply)
{
	return with_peers(dir, reply, call_status, &json);
}

int
handoff_control_connections(const char *dir, bool json, char **reply)
{
	return with_peers(dir, reply, call_connections, &json);
}

int
handoff_control_metrics(const char *dir, char **reply)
{
	return with_peers(dir, reply, call_metrics, NULL);
}

int
handoff_control_maintenance(const char *dir, const char *name, char **reply)
{
	const struct handoff_maintain_opts opts = {.name = name};

	return with_peers(dir, reply, call_maintenance, &opts);
}

int
handoff_control_maintain(
	const char *dir, const struct handoff_maintain_opts *opts, char **reply)
{
	struct handoff_maintain_opts known = {.size = 0};
	int err;

	if (!opts || !reply)
		return -EINVAL;
	*reply = NULL;
	err = handoff__opts_copy(&known, sizeof(known), opts,
		offsetof(struct handoff_maintain_opts, wait_ms));
	return err < 0 ? err : with_peers(dir, reply, call_maintenance, &known);
}

int
handoff_control_ready(const char *dir, bool silent, char **reply)
{
	const struct handoff_ready_opts opts = {.silent = silent};

	return with_peers(dir, reply, call_ready, &opts);
}

int
handoff_control_bring_home(
	const char *dir, const struct handoff_ready_opts *opts, char **reply)
{
	struct handoff_ready_opts known = {.size = 0};
	int err;

	if (!opts || !reply)
		return -EINVAL;
	*reply = NULL;
	err = handoff__opts_copy(&known, sizeof(known), opts,
		offsetof(struct handoff_ready_opts, progress));
	return err < 0 ? err : with_peers(dir, reply, call_ready, &known);
}

int
handoff_control_stay(const char *dir, char **reply)
{
	return with_peers(dir, reply, call_stay, NULL);
}

int
handoff_control_settle(
	const char *dir, const char *batch, bool here, char **reply)
{
	const struct settle settle = {.batch = batch, .here = here};

	return with_peers(dir, reply, call_settle, &settle);
}

int
handoff_control_dump(const char *dir, const char *path, char **reply)
{
	const struct handoff_dump_opts opts = {.path = path};

	return with_peers(dir, reply, call_dump, &opts);
}

int
handoff_control_write_dump(
	const char *dir, const struct handoff_dump_opts *opts, char **reply)
{
	struct handoff_dump_opts known = {.size = 0};
	int err;

	if (!opts || !reply)
		return -EINVAL;
	*reply = NULL;
	err = handoff__opts_copy(&known, sizeof(known), opts,
		offsetof(struct handoff_dump_opts, progress));
	return err < 0 ? err : with_peers(dir, reply, call_dump, &known);
}

int
handoff_control_stop(const char *dir, const char *name, char **reply)
{
	return with_peers(dir, reply, call_stop, name);
}

int
handoff_control_say(const char *dir, const char *text, char **reply)
{
	return with_peers(dir, reply, call_say, text);
}
