/* SPDX-License-Identifier: MIT */
/*
 * A server under systemd: listeners that systemd has opened, and notifications
 * (sd_notify(3)): ready, status, the main process, reload, stop, watchdog. A
 * library of its own, -lhandoff-systemd, built if libsystemd is present.
 *
 * A handle belongs to one thread at a time, that of its server.
 */
#ifndef HANDOFF_SYSTEMD_H
#define HANDOFF_SYSTEMD_H

#include <handoff/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_systemd;

/* `size` is sizeof(struct handoff_systemd_opts); zero means the default. The
 * library copies everything that the options point to. */
struct handoff_systemd_opts {
	size_t size;
	const char *fdname; /* FileDescriptorName= of the server's sockets;
			     * NULL: all listening sockets */
	const char *store;  /* keep TCP listeners that this process has bound in
			     * the descriptor store under this name, 1 to 31
			     * characters of [A-Za-z0-9._-]; NULL: do not */
	uint32_t extend_ms; /* timeout extension to request at a time while a
			     * handoff or a stop takes longer, default 10000 */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() writes its error; may be NULL */
	size_t errbuf_size;
};

/*
 * Reads what systemd passed to this process: LISTEN_FDS, NOTIFY_SOCKET,
 * WATCHDOG_USEC. It is no error if there is nothing: then no notifications are
 * sent. `opts` may be NULL. -EINVAL with a sentence: the options or the
 * environment are invalid, or a socket of that name does not listen.
 */
HANDOFF_API int handoff_systemd_open(
	struct handoff_systemd **out, const struct handoff_systemd_opts *opts);

/* Ends the notifications. Call it after its server, in whose loop it has a
 * timer, is freed; NULL is fine. Afterwards no callback runs, sockets that
 * were adopted and not attached are closed, and what errmsg pointed to is
 * invalid. */
HANDOFF_API void handoff_systemd_free(struct handoff_systemd *sd);

/* Sets listen_fds, nlisten_fds and listen_fd_size of `opts` to the sockets that
 * systemd has passed, which the handle keeps until it is attached or freed.
 * Returns their number. -EINVAL if `opts` has no size, or one without these
 * members. */
HANDOFF_API int handoff_systemd_adopt(
	struct handoff_systemd *sd, struct handoff_server_opts *opts);

/* Attaches to this server. Closes the adopted sockets, of which the server has
 * duplicates; feeds the watchdog from the server's loop, so that a hang is
 * detected. Uses one of the server's watches. */
HANDOFF_API int handoff_systemd_attach(
	struct handoff_systemd *sd, struct handoff_server *server);

/* Sends the notifications that follow from an event. Pass on every event that
 * is pulled, after attach(). Errors of sendmsg(2): the server continues all the
 * same. */
HANDOFF_API int handoff_systemd_event(
	struct handoff_systemd *sd, const struct handoff_server_event *event);

/* Call these around a reload of the program's own, see Type=notify-reload. */
HANDOFF_API int handoff_systemd_reloading(struct handoff_systemd *sd);
HANDOFF_API int handoff_systemd_ready(struct handoff_systemd *sd);

/* The last error on this handle; never NULL, valid until the next call. */
HANDOFF_API const char *handoff_systemd_errmsg(
	const struct handoff_systemd *sd);

#ifdef __cplusplus
}
#endif

#endif
