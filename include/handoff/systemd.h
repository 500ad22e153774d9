/* SPDX-License-Identifier: MIT */
/*
 * A server under systemd: listeners that systemd opened, and what it is told
 * (sd_notify(3)): ready, status, the main process, reload, stop, watchdog. A
 * library of its own, -lhandoff-systemd, built where libsystemd is present.
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

/* `size` is sizeof(struct handoff_systemd_opts); zero means the default. All
 * that is pointed to is copied. */
struct handoff_systemd_opts {
	size_t size;
	const char *fdname; /* of the sockets that are for the server, as
			       FileDescriptorName= says; NULL: all that
			       listen */
	const char *store;  /* TCP listeners that were bound here are kept in
			       the descriptor store by this name, 1 to 31
			       characters of [A-Za-z0-9._-]; NULL: not */
	uint32_t extend_ms; /* what is asked for at a time while a handoff or
			       a stop takes longer, default 10000 */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() says what went wrong; may be NULL */
	size_t errbuf_size;
};

/*
 * Looks at what systemd gave this process: LISTEN_FDS, NOTIFY_SOCKET,
 * WATCHDOG_USEC. It is no error that it gave nothing: then nobody is told
 * anything. `opts` may be NULL. -EINVAL with a sentence: the options or the
 * environment make no sense, a socket of that name does not listen.
 */
HANDOFF_API int handoff_systemd_open(
	struct handoff_systemd **out, const struct handoff_systemd_opts *opts);

/* Says nothing more. After its server is freed, in whose loop it has a timer;
 * NULL is fine. Afterwards no callback runs, sockets that were adopted and not
 * attached are closed, and what errmsg pointed to is gone. */
HANDOFF_API void handoff_systemd_free(struct handoff_systemd *sd);

/* Sets listen_fds, nlisten_fds and listen_fd_size of `opts` to what systemd has
 * passed, which the handle keeps until it is attached or freed. Returns how
 * many. -EINVAL if `opts` has no size, or one without these members. */
HANDOFF_API int handoff_systemd_adopt(
	struct handoff_systemd *sd, struct handoff_server_opts *opts);

/* Goes with this server from here on. Closes what was adopted, of which the
 * server has duplicates; feeds the watchdog from the server's loop, so that
 * one that hangs is noticed. Uses one of the server's watches. */
HANDOFF_API int handoff_systemd_attach(
	struct handoff_systemd *sd, struct handoff_server *server);

/* Tells what follows from an event. Every event that is pulled is to be passed
 * on, after attach(). Errors of sendmsg(2): the server goes on all the same. */
HANDOFF_API int handoff_systemd_event(
	struct handoff_systemd *sd, const struct handoff_server_event *event);

/* Around a reload of the program's own, see Type=notify-reload. */
HANDOFF_API int handoff_systemd_reloading(struct handoff_systemd *sd);
HANDOFF_API int handoff_systemd_ready(struct handoff_systemd *sd);

/* What went wrong last on this handle; never NULL, valid until the next call.
 */
HANDOFF_API const char *handoff_systemd_errmsg(
	const struct handoff_systemd *sd);

#ifdef __cplusplus
}
#endif

#endif
