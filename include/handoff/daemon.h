/* SPDX-License-Identifier: MIT */
/*
 * A daemon: a process in a session of its own, without a terminal, with a log
 * file and a pid file, whose starter returns only when it serves or has said
 * why it does not. Any program can use it, with a server or without.
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

/* `size` is sizeof(struct handoff_daemon_opts); zero means the default. All
 * that is pointed to is copied. Paths may be relative to the working directory
 * of the call. */
struct handoff_daemon_opts {
	size_t size;
	bool foreground; /* does not fork: the log and the pid file only */
	const char *log; /* gets standard output and error, at its end; made
			    with mode 0640. None: /dev/null, and in the
			    foreground they stay what they are */
	const char *pid_file; /* locked for life and removed at the end. None:
				 `dir`/`name`.pid if these are given, and in
				 the foreground no file */
	const char *dir;      /* the service directory; made with mode 0700 if
				 it is not there, otherwise must be private */
	const char *name;     /* of this peer */
	uint32_t umask;       /* of a daemon, default 027 */
	char *errbuf;         /* where start() says what went wrong */
	size_t errbuf_size;
	bool signals; /* the program will take SIGTERM, SIGINT, SIGUSR1 and
			 SIGUSR2, as a server does with the option of the same
			 name: they are blocked before there is a pid file by
			 which they could be sent */
};

/*
 * Forks, once more in a new session, and returns 0 in the new process, which
 * can never get a terminal (setsid(2)): standard input is /dev/null, output
 * and error are the log, the pid file is locked, SIGHUP is blocked, SIGPIPE is
 * ignored unless it is handled. No thread may exist yet. In the foreground all
 * this is done in the calling process, but for the session and the descriptors:
 * output and error become the log when it is ready, so that a failure is still
 * seen.
 *
 * The caller gets 1 when the new process has called handoff_daemon_ready, or a
 * negative errno and a sentence in `errbuf`: what that process said with
 * handoff_daemon_fail; -ESRCH, it died; -EALREADY, another process holds the
 * pid file; -EBUSY, there are threads; -EEXIST, the pid file is another kind of
 * file; -EINVAL, -E2BIG and others of open(2) and fork(2). *out is set with 0
 * only.
 */
HANDOFF_API int handoff_daemon_start(
	struct handoff_daemon **out, const struct handoff_daemon_opts *opts);

/* Says to the caller of start() that this process serves: that returns 1. The
 * working directory becomes the root, and not before, so that relative paths
 * can be used until then. -EPIPE: the caller is gone, nobody waits for it. In
 * the foreground the log is used from here on. */
HANDOFF_API int handoff_daemon_ready(struct handoff_daemon *daemon);

/* Says to the caller of start() why this process will not serve: `err`, a
 * negative errno, and the sentence are what that returns, once this process
 * has ended. Nothing in the foreground, and after ready(). */
HANDOFF_API int handoff_daemon_fail(
	struct handoff_daemon *daemon, int err, const char *text);

/* One pollable descriptor, always the same and only ever POLLIN, for a loop of
 * the program's own; the library's. Or a negative errno. */
HANDOFF_API int handoff_daemon_fd(struct handoff_daemon *daemon);

/* Does what is to do without blocking: 0 or a negative errno. Opens the log
 * anew if SIGHUP came; if that fails the old file is used on and told so. In
 * the foreground without a log SIGHUP means what it always does. */
HANDOFF_API int handoff_daemon_dispatch(struct handoff_daemon *daemon);

/* Waits up to `timeout_ms` (-1: for ever) until there is something to do, and
 * does it: 0, also when the time is over or a signal came; or a negative errno.
 */
HANDOFF_API int handoff_daemon_wait(
	struct handoff_daemon *daemon, int timeout_ms);

/* Opens the log anew at once: for a child of the process, which has standard
 * output and error of its own (see handoff_server_reopen). 0, also without a
 * log, or the errno as above. */
HANDOFF_API int handoff_daemon_reopen(struct handoff_daemon *daemon);

/* Removes the pid file; NULL is fine. The process stays as start() has made it:
 * in its session, with the log as its output and error, and SIGHUP, which
 * nothing acts upon any more, blocked. Afterwards the descriptor is closed, and
 * what errmsg pointed to is gone. */
HANDOFF_API void handoff_daemon_free(struct handoff_daemon *daemon);

/* What went wrong last on this handle; never NULL, valid until the next call.
 */
HANDOFF_API const char *handoff_daemon_errmsg(
	const struct handoff_daemon *daemon);

#ifdef __cplusplus
}
#endif

#endif
