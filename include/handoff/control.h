/* SPDX-License-Identifier: MIT */
/*
 * The calls behind handoffctl: requests to the peers of a service directory
 * over their control sockets. They block, each with a deadline.
 */
#ifndef HANDOFF_CONTROL_H
#define HANDOFF_CONTROL_H

#include <handoff/common.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Each call returns 0 on success and stores in `*reply` a text that ends with a
 * newline, to be freed with free(3); or a negative errno with one line in
 * `*reply` (without a newline, also to be freed; NULL only if memory is out):
 * -ENOENT there is no peer, -ECANCELED refused, -ETIMEDOUT no answer, and
 * errors of connect(2).
 */

/* Status of all peers: JSON (one object) or text. A peer that does not answer
 * is listed with "role":"unresponsive" and makes the call return -ETIMEDOUT;
 * `*reply` is the status all the same. */
HANDOFF_API int handoff_control_status(
	const char *dir, bool json, char **reply);

/* How well the service stands, as one line for a monitor, "HANDOFF OK - ...",
 * which begins with the sentence that the status begins with. Returns what
 * monitoring plugins exit with: 0 OK, 1 warning, 2 critical, among them that no
 * server is running, 3 it cannot be known, as if the directory cannot be used;
 * `*reply` has the line in each case. -EINVAL, -ENOMEM. */
HANDOFF_API int handoff_control_check(const char *dir, char **reply);

/* Connections of all peers, at most 1000 of each, and how many are left out:
 * JSON (one object) or text. Otherwise as the status. */
HANDOFF_API int handoff_control_connections(
	const char *dir, bool json, char **reply);

/* Metrics of all peers for a monitor: the text format of Prometheus, version
 * 0.0.4. A peer that does not answer has "handoff_up" 0 and makes the call
 * return -ETIMEDOUT; `*reply` is the text all the same. */
HANDOFF_API int handoff_control_metrics(const char *dir, char **reply);

/* The owner hands everything to its standby; returns when that serves. If a
 * maintenance is in progress, nothing changes and the reply says so, whether or
 * not the home peer is back; but if the standby is a third peer, the service
 * moves to it. `name` (or NULL) is the name or process ID of the peer to be
 * maintained; if it does not serve, nothing changes either. -ECANCELED also if
 * there is no such peer. */
HANDOFF_API int handoff_control_maintenance(
	const char *dir, const char *name, char **reply);

/* What a move has come to, as a line of text without a newline. */
typedef void handoff_progress_fn(void *arg, const char *text);

/* `size` is sizeof(struct handoff_maintain_opts); zero means the default. */
struct handoff_maintain_opts {
	size_t size;
	const char *name; /* as above, or NULL */
	uint32_t wait_ms; /* how long the owner waits for a standby that is not
			   * ready to serve yet, at most a day; default: its
			   * give_timeout_ms */
	bool whole;       /* everything moves, or nothing and the command is
			   * refused */
	/* To another host, by the ferry of the directory: its name or that of
	 * its ferry, the address of that, or "-" for whichever it is; without
	 * `name` and `wait_ms`. */
	const char *to;
	bool dry_run;        /* with `to`: only says what would move */
	uint32_t timeout_ms; /* with `to`: of the whole move, at most a day;
			      * default: that of the ferry */
	handoff_progress_fn *progress; /* called up to ten times a second while
					* it is under way: how far a move to
					* another host has come, or which
					* standby is waited for */
	void *progress_arg;
};

/* The same with options. Both return -EAGAIN if the standby was not ready to
 * serve in time; the reply has the reason that it gives. */
HANDOFF_API int handoff_control_maintain(const char *dir,
	const struct handoff_maintain_opts *opts, char **reply);

/* Brings the service home to the standby; `silent` moves everything without
 * notifying clients. If it is on another host it comes from there, by the ferry
 * of the directory, and no client is notified. Both calls return -EADDRNOTAVAIL
 * if everything has moved but the new owner cannot listen on some of its
 * addresses, or connections were left on the other host that their address has
 * left; the reply is the answer all the same. */
HANDOFF_API int handoff_control_ready(
	const char *dir, bool silent, char **reply);

/* `size` is sizeof(struct handoff_ready_opts); zero means the default. */
struct handoff_ready_opts {
	size_t size;
	bool silent;
	handoff_progress_fn *progress; /* as for a maintenance */
	void *progress_arg;
};

/* The same with options. */
HANDOFF_API int handoff_control_bring_home(
	const char *dir, const struct handoff_ready_opts *opts, char **reply);

/* The service is at home with the peer that serves: the maintenance or failover
 * by which it came there is over, and nothing is to be brought home any more.
 * Nothing moves. */
HANDOFF_API int handoff_control_stay(const char *dir, char **reply);

/* Decides about a batch of connections that a broken-off move between two hosts
 * has left in doubt, by the ferry of the directory, because the other host is
 * gone for good: with `here` they are served by this one, otherwise dropped.
 * `batch` is its number as the status has it, in hexadecimal. -ECANCELED also
 * while the other host can be reached. */
HANDOFF_API int handoff_control_settle(
	const char *dir, const char *batch, bool here, char **reply);

/* Sends a line to the clients, like handoff_server_say: TEXT to all, "@3 TEXT"
 * to one; "@list" replies with a line for each connection: its number, its
 * address, the peer that owns it. */
HANDOFF_API int handoff_control_say(
	const char *dir, const char *text, char **reply);

/* The owner writes a snapshot of all entries, one JSON object per line, while
 * it continues to serve: to a file of mode 0600 that gets its name only when it
 * is complete, and may replace an older one; to an existing pipe or device; or,
 * for "-", to standard output. */
HANDOFF_API int handoff_control_dump(
	const char *dir, const char *path, char **reply);

/* `size` is sizeof(struct handoff_dump_opts). */
struct handoff_dump_opts {
	size_t size;
	const char *path;
	handoff_progress_fn *progress; /* or NULL; called up to ten times a
					* second with how much of a file has
					* been written */
	void *progress_arg;
};

/* The same with options. */
HANDOFF_API int handoff_control_write_dump(
	const char *dir, const struct handoff_dump_opts *opts, char **reply);

/* Stops the peer with that name or process ID in an orderly way. Returns when
 * its process has ended, or 2 seconds later if the process continues. */
HANDOFF_API int handoff_control_stop(
	const char *dir, const char *name, char **reply);

/* Called about every 0.1 s while it is waited, with a line about what is
 * missing; false: gives up. */
typedef bool handoff_wait_fn(void *arg, const char *text);

/* What is waited for: all that is given must be so at the same time, and
 * something must be given. A name is that of a peer, or its process ID. `size`
 * is sizeof(struct handoff_wait_opts); zero means the default. */
struct handoff_wait_opts {
	size_t size;
	const char *owner;  /* it serves: no ferry, and no host without its
			     * lease, does */
	const char *gone;   /* no peer has that name: it has released its place;
			     * the directory must exist */
	const char *joined; /* a standby of that name, as with `standby` */
	bool standby;       /* a standby is there that could serve: it answers,
			     * is linked, and is ready to serve; no ferry */
	bool covered;       /* another peer has a copy of every entry: nothing
			     * is lost if one of the two dies */
	uint32_t timeout_ms;   /* at most a day; default: 60 s */
	handoff_wait_fn *look; /* or NULL */
	void *look_arg;
};

/* Waits until all of it is so, by asking for the status every 0.1 s. The reply
 * then says it in a line. A directory or peers that are not there yet are
 * waited for, too. Errors: -ETIMEDOUT the time has passed, -ECANCELED `look`
 * gave up; the reply has what was missing last. -EINVAL if nothing is given, or
 * a name that none can be. What cannot be used at all, the directory itself
 * say, ends it at once. */
HANDOFF_API int handoff_control_wait(
	const char *dir, const struct handoff_wait_opts *opts, char **reply);

#ifdef __cplusplus
}
#endif

#endif
