/* SPDX-License-Identifier: MIT */
/*
 * Finds the ferry of a directory and sends it what it alone understands. Knows
 * nothing of the other host: that is the ferry's.
 */
#include "control/hosts.h"

#include "control/look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX 255
#define DAY_MS   86400000u

struct handoff__contact *
handoff__hosts_ferry(struct handoff__call *call)
{
	for (size_t i = 0; i < call->npeers; i++) {
		if (handoff__contact_is_ferry(&call->peers[i]))
			return &call->peers[i];
	}
	return NULL;
}

static bool
is_leased(const struct handoff__call *call)
{
	size_t len;

	for (size_t i = 0; i < call->npeers; i++) {
		if (handoff__contact_value(
			    &call->peers[i], "lease", NULL, &len))
			return true;
	}
	return false;
}

/* One that does not answer may be the ferry. */
static int
fail_without_ferry(const struct handoff__call *call)
{
	struct handoff__buf buf = {.data = NULL};

	for (size_t i = 0; i < call->npeers; i++) {
		if (!call->peers[i].role[0])
			return handoff__call_explain(call, &call->peers[i],
				-ETIMEDOUT, HANDOFF__STATUS_MS);
	}
	if (is_leased(call)) {
		handoff__buf_add(&buf,
			"the service has a lease, which belongs to this host: "
			"no ferry carries it to another; stop the peers in %s, "
			"and the host that gets the lease then serves",
			call->dir.path);
		return handoff__call_finish(call, -ECANCELED, &buf);
	}
	handoff__buf_add(&buf, "no ferry is in %s: ", call->dir.path);
	handoff__call_names(call, &buf);
	if (call->npeers == HANDOFF__CALL_PEERS)
		handoff__buf_add(&buf,
			" hold both places; stop the standby, and the ferry "
			"can join");
	else
		handoff__buf_add(&buf, "; start handoff-ferry --dir %s there",
			call->dir.path);
	return handoff__call_finish(call, -ECANCELED, &buf);
}

static bool
is_host(const char *name)
{
	size_t len = strlen(name);

	return len <= HOST_MAX && strcspn(name, " \t\r\n") == len;
}

static int
check(const struct handoff__call *call,
	const struct handoff_maintain_opts *opts)
{
	const char *why = NULL;

	if (!opts->to[0])
		why = "the host is empty";
	else if (!is_host(opts->to))
		why = "the host is no name of a host: want up to 255 bytes "
		      "without spaces";
	else if (opts->name)
		why = "a move to another host takes no name of a peer";
	else if (opts->wait_ms > 0)
		why = "a move to another host takes a timeout, and waits for "
		      "no standby";
	else if (opts->timeout_ms > DAY_MS)
		why = "may take a day at most";
	return why ? handoff__call_fail(call, -EINVAL, "maintenance: %s", why)
		   : 0;
}

/* It has moved; but a line "error ..." tells of connections that are lost. */
static int
judge(const struct handoff__call *call, int err)
{
	return err == 0 && strstr(*call->reply, "\nerror ") ? -EADDRNOTAVAIL
							    : err;
}

static int
ask_to_move(struct handoff__call *call,
	const struct handoff_maintain_opts *opts,
	struct handoff__contact *ferry)
{
	struct handoff__look look;
	char request[HOST_MAX + 80], timeout[32] = "";
	int err;

	if (opts->timeout_ms > 0)
		snprintf(timeout, sizeof(timeout), " timeout=%u",
			opts->timeout_ms);
	snprintf(request, sizeof(request), "move%s%s%s host=%s\n", timeout,
		opts->whole ? " whole=1" : "", opts->dry_run ? " dry=1" : "",
		opts->to);
	handoff__look_begin(
		&look, call, opts->progress, opts->progress_arg, -1);
	call->wait_ms = opts->timeout_ms;
	err = handoff__call_send(call, ferry, request, -1);
	handoff__look_end(&look);
	return judge(call, err);
}

int
handoff__hosts_move(
	struct handoff__call *call, const struct handoff_maintain_opts *opts)
{
	struct handoff__contact *ferry;
	int err = check(call, opts);

	if (err == 0)
		err = handoff__call_ask(call, "status\n");
	if (err < 0)
		return err;
	ferry = handoff__hosts_ferry(call);
	return ferry ? ask_to_move(call, opts, ferry)
		     : fail_without_ferry(call);
}

int
handoff__hosts_fetch(const struct handoff__call *call,
	struct handoff__contact *ferry, bool silent)
{
	return judge(
		call, handoff__call_send(call, ferry,
			      silent ? "fetch silent=1\n" : "fetch\n", -1));
}

int
handoff__hosts_settle(struct handoff__call *call, const char *batch, bool here)
{
	struct handoff__contact *ferry;
	char request[64];
	int err;

	if (!batch || !batch[0] || strlen(batch) > 16 ||
		batch[strspn(batch, "0123456789abcdefABCDEF")])
		return handoff__call_fail(call, -EINVAL,
			"settle: a batch has up to 16 hexadecimal digits, as "
			"the status says");
	err = handoff__call_ask(call, "status\n");
	if (err < 0)
		return err;
	ferry = handoff__hosts_ferry(call);
	if (!ferry)
		return fail_without_ferry(call);
	snprintf(request, sizeof(request), "settle batch=%s here=%d\n", batch,
		here);
	return handoff__call_send(call, ferry, request, -1);
}
