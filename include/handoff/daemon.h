/* SPDX-License-Identifier: MIT */
/*
 * A daemon: a process in a session of its own, without a terminal, with a log
 * file and a pid file, whose starter returns only when the daemon serves or has
 * reported why it does not. Any program can use it, with a server or without.
 * It is public because a server of your own needs it to start like the example
 * servers, which are written with public calls only.
 *
 * A handle belongs to one thread at a time.
 */
#ifndef HANDOFF_DAEMON_H
#define HANDOFF_DAEMON_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_daemon;

/* `size` is sizeof(struct handoff_daemon_opts); zero means the default. The
 * library copies everything that the options point to. Paths may be relative to
 * the working directory at the call. */
struct handoff_daemon_opts {
	size_t size;
	bool foreground; /* do not fork: only the log and the pid file */
	const char *log; /* gets standard output and error appended; created
			  * with mode 0640. Without it: /dev/null; in the
			  * foreground they are left alone */
	const char *pid_file; /* locked for life and removed at the end. Without
			       * it: `dir`/`name`.pid if these are given; in the
			       * foreground no file */
	const char *dir;      /* the service directory; created with mode 0700
			       * if it does not exist, otherwise it must be
			       * private */
	const char *name;     /* of this peer */
	uint32_t umask;       /* of a daemon, default 027 */
	char *errbuf;         /* where start() writes its error */
	size_t errbuf_size;
	bool signals; /* the program will handle SIGTERM, SIGINT, SIGUSR1 and
		       * SIGUSR2, as a server does with the option of the same
		       * name: they are blocked before the pid file exists, by
		       * which they could be sent */
};

/*
 * Forks, once more in a new session, and returns 0 in the new process, which
 * can never acquire a controlling terminal (setsid(2)): standard input is
 * /dev/null, output and error are the log, the pid file is locked, SIGHUP is
 * blocked, SIGPIPE is ignored unless it is handled. No thread may exist yet. In
 * the foreground all this is done in the calling process, except for the
 * session and the descriptors: output and error become the log when it is
 * ready, so that a failure is still visible.
 *
 * The caller gets 1 when the new process has called handoff_daemon_ready, or a
 * negative errno and a sentence in `errbuf`: what that process reported with
 * handoff_daemon_fail; -ESRCH, it died; -EALREADY, another process holds the
 * pid file; -EBUSY, there are threads; -EEXIST, the pid file is another kind of
 * file; -EINVAL, -E2BIG and errors of open(2) and fork(2). *out is set only
 * with 0.
 */
HANDOFF_API int handoff_daemon_start(
	struct handoff_daemon **out, const struct handoff_daemon_opts *opts);

/* Reports to the caller of start() that this process serves: start() returns 1.
 * Only now the working directory becomes the root, so that relative paths work
 * until then. -EPIPE: the starter has ended. In the foreground the log is used
 * from here on. */
HANDOFF_API int handoff_daemon_ready(struct handoff_daemon *daemon);

/* Reports to the caller of start() why this process will not serve: start()
 * returns `err`, a negative errno, and the sentence, once this process has
 * ended. Does nothing in the foreground and after ready(). */
HANDOFF_API int handoff_daemon_fail(
	struct handoff_daemon *daemon, int err, const char *text);

/* Returns one pollable descriptor, always the same and only ever POLLIN, for
 * the program's own loop; it belongs to the library. Or a negative errno. */
HANDOFF_API int handoff_daemon_fd(struct handoff_daemon *daemon);

/* Does all work that is due without blocking: 0 or a negative errno. Reopens
 * the log after SIGHUP; if that fails the old file remains in use, with a line
 * about it. In the foreground without a log SIGHUP has its default effect. */
HANDOFF_API int handoff_daemon_dispatch(struct handoff_daemon *daemon);

/* Waits up to `timeout_ms` (-1: forever) for work and does it: 0, also after a
 * timeout or a signal; or a negative errno. */
HANDOFF_API int handoff_daemon_wait(
	struct handoff_daemon *daemon, int timeout_ms);

/* Reopens the log at once: for a child of the process, which has its own
 * standard output and error (see handoff_server_reopen). 0, also without a log,
 * or the errno as above. */
HANDOFF_API int handoff_daemon_reopen(struct handoff_daemon *daemon);

/* Removes the pid file; NULL is fine. The process stays as start() has made it:
 * in its session, with the log as its output and error, and with SIGHUP, which
 * is no longer handled, blocked. Afterwards the descriptor is closed, and what
 * errmsg pointed to is invalid. */
HANDOFF_API void handoff_daemon_free(struct handoff_daemon *daemon);

/* The last error on this handle; never NULL, valid until the next call. */
HANDOFF_API const char *handoff_daemon_errmsg(
	const struct handoff_daemon *daemon);

#ifdef __cplusplus
}
#endif

#endif
