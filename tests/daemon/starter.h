/* SPDX-License-Identifier: MIT */
/*
 * Starts daemons as a program does: in a process of its own, which waits for
 * the outcome and exits. The daemon then runs a function of the test, talks
 * with it, and is its child, since the test reaps orphans.
 */
#ifndef TESTS_DAEMON_STARTER_H
#define TESTS_DAEMON_STARTER_H

#include "support/support.h"

#include <handoff/daemon.h>

#include <stdbool.h>
#include <sys/types.h>

/* Runs in the daemon with its handle; when it returns the handle is freed and
 * the process leaves by _exit(0). */
typedef void daemon_fn(struct handoff_daemon *daemon);

struct starter {
	struct handoff_daemon_opts opts;
	daemon_fn *fn;
	void (*before)(void); /* in the starter, before it starts */
	pid_t pid;            /* of the starter */
	pid_t daemon;         /* as it said; 0: not yet */
	int outcome;          /* where the starter tells it */
	int talk;             /* the test's end of a line to the daemon */
	int rc;               /* of handoff_daemon_start in the starter */
	char why[HANDOFF_TEXT_MAX];
	char heard[1024];
};

void starter_init(struct starter *s, daemon_fn *fn);

/* Starts and goes on; starter_end waits for the starter's outcome. */
void starter_begin(struct starter *s);
void starter_end(struct starter *s);

/* Both. */
void starter_run(struct starter *s);

/* Has start() returned in the starter? Waits for it that long. */
bool starter_returned(const struct starter *s, int ms);

/* The test's side of the talk: a line to the daemon, and the next line from it
 * (in `heard`). */
void tell(struct starter *s, const char *text);
const char *hear(struct starter *s);
void expect(struct starter *s, const char *text);

/* Ends the talk, and so a daemon that listens, and waits for the end of that;
 * its wait status. */
int farewell(struct starter *s);

/* The daemon's side. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The next line, or NULL when the test has said farewell. */
const char *listen_for(void);
/* Like listen_for, and dispatches the handle meanwhile. */
const char *listen_and_dispatch(struct handoff_daemon *daemon);

/* A daemon that says its pid when it is ready, prints TEXT when it is told
 * "print TEXT", and answers "done". On SIGHUP it says what dispatch returned.
 */
void obey(struct handoff_daemon *daemon);

/* A path in the directory of the test (static memory, eight of them). */
const char *in_dir(const char *name);

/* The content of a file, "" if there is none (static memory). */
const char *content(const char *path);
void make_file(const char *path, const char *text);

#endif
