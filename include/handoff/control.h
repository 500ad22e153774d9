/* SPDX-License-Identifier: MIT */
/*
 * What handoffctl does: asks the peers of a service directory over their
 * control sockets. These calls block, each with a deadline.
 */
#ifndef HANDOFF_CONTROL_H
#define HANDOFF_CONTROL_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Each call returns 0 when done and stores in `*reply` text that ends with a
 * newline, which the caller frees with free(3); or a negative errno with one
 * line in `*reply` (without a newline, also to be freed; NULL only when
 * memory is out): -ENOENT nobody is there, -ECANCELED refused, -ETIMEDOUT no
 * answer, and others of connect(2).
 */

/* Status of all peers: JSON (one object) or text. Peers that do not answer
 * are named with "role":"unresponsive" and make the call return -ETIMEDOUT;
 * `*reply` is the status all the same. */
HANDOFF_API int handoff_control_status(
	const char *dir, bool json, char **reply);

/* What all peers have counted, for a monitor: the text format of Prometheus,
 * version 0.0.4. A peer that does not answer has "handoff_up" 0 and makes the
 * call return -ETIMEDOUT; `*reply` is the text all the same. */
HANDOFF_API int handoff_control_metrics(const char *dir, char **reply);

/* The owner hands all to its standby; returns when that serves. If a
 * maintenance is under way already, and the peer that is away has come back or
 * is still away, nothing is changed and the reply says so. `name` (or NULL): of
 * the peer that is meant, or its pid; if that does not serve, nothing is
 * changed either. -ECANCELED also if there is no such peer. */
HANDOFF_API int handoff_control_maintenance(
	const char *dir, const char *name, char **reply);

/* The standby comes home; `silent` moves everything and tells no client. These
 * two return -EADDRNOTAVAIL if all has moved, but the peer that serves now can't
 * listen on some of its addresses; the reply is the answer all the same. */
HANDOFF_API int handoff_control_ready(
	const char *dir, bool silent, char **reply);

/* Says a line to the clients, as handoff_server_say: TEXT to all, "@3 TEXT"
 * to one; "@list" replies with a line for each connection: its number, its
 * address, the peer that owns it. */
HANDOFF_API int handoff_control_say(
	const char *dir, const char *text, char **reply);

/* The owner writes a picture of all entries, a JSON object a line, while it
 * goes on serving: to a file of mode 0600 that gets its name, also in place of
 * an older one, only when it is whole; to a pipe or device that is there; or,
 * for "-", to standard output. */
HANDOFF_API int handoff_control_dump(
	const char *dir, const char *path, char **reply);

/* Stops the peer of that name, or of that pid, in an orderly way. Returns when
 * its process has ended, or 2 seconds later if that lives on. */
HANDOFF_API int handoff_control_stop(
	const char *dir, const char *name, char **reply);

#ifdef __cplusplus
}
#endif

#endif
