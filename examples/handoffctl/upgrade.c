/* SPDX-License-Identifier: MIT */
/*
 * The course of an upgrade. Until the move is made nothing has changed, and the
 * new program is ended after any failure; after it everything moves back
 * first. The one of the two programs that serves is never ended.
 */
#include "upgrade.h"

#include "check.h"
#include "peers.h"
#include "program.h"
#include "progress.h"
#include "unit.h"
#include "upgrade_lock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS   50    /* between two looks at the peers */
#define RETURN_MS 10000 /* until the old one serves again */
#define CLEAR_MS  3000  /* until it is clear which of the two serves */
#define END_MS    5000  /* of the new one, once it is told to stop */

struct upgrade {
	const char *dir;
	const struct upgrade_opts *opts;
	struct program program;
	struct peers peers;
	struct peer old, new; /* as last seen; new.pid 0: it has not joined */
	int signals;
	int code; /* the exit status of a failure */
	struct progress progress;
	char *moved; /* the answer to the move, or NULL */
	char why[HANDOFF_TEXT_MAX * 2];
};

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool __attribute__((format(printf, 2, 3)))
fail(struct upgrade *u, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->why, sizeof(u->why), fmt, ap);
	va_end(ap);
	return false;
}

static bool
read_peers(struct upgrade *u)
{
	const struct peer *peer;
	char why[HANDOFF_TEXT_MAX];

	if (peers_read(&u->peers, u->dir, why) < 0)
		return fail(u, "%s", why);
	peer = peers_find(&u->peers, u->old.pid);
	if (peer)
		u->old = *peer;
	peer = u->new.pid ? peers_find(&u->peers, u->new.pid) : NULL;
	if (peer)
		u->new = *peer;
	return true;
}

static bool
is_there(const struct upgrade *u, const struct peer *peer)
{
	return peer->pid && peers_find(&u->peers, peer->pid);
}

static bool
owns(const struct upgrade *u, const struct peer *peer)
{
	return is_there(u, peer) && peer_is(peer, "owner");
}

static const char *
signal_name(uint32_t sig)
{
	switch (sig) {
	case SIGINT:
		return "SIGINT";
	case SIGHUP:
		return "SIGHUP, for want of a terminal";
	case SIGQUIT:
		return "SIGQUIT";
	default:
		return "SIGTERM";
	}
}

/* Waits for the next look; false: it was interrupted. */
static bool
wait_or_interrupt(struct upgrade *u, int ms)
{
	struct pollfd p[2] = {{.fd = u->signals, .events = POLLIN},
		{.fd = program_fd(&u->program), .events = POLLIN}};
	struct signalfd_siginfo info;

	if (u->program.how[0])
		p[1].fd = -1;
	if (poll(p, 2, ms) <= 0 || !p[0].revents ||
		read(u->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	return fail(u, "interrupted by %s", signal_name(info.ssi_signo));
}

/* Of the new program, as the beginning of a sentence. */
static const char *
new_name(const struct upgrade *u)
{
	return u->new.pid ? u->new.name : u->opts->argv[0];
}

static bool
fail_ended(struct upgrade *u, const char *when)
{
	const struct tail *tail = &u->program.tail;
	bool silent = u->program.begun && tail->fd >= 0 && !tail->any;
	char pid[24] = "";

	if (u->new.pid)
		snprintf(pid, sizeof(pid), " (pid %d)", (int)u->new.pid);
	return fail(u, "the new program, %.60s%s, %s%s%s%.200s%s", new_name(u),
		pid, u->program.how, u->program.begun ? when : "",
		silent           ? "; its log "
		: !tail->last[0] ? ""
		: tail->shared   ? "; the last line of its log: "
				 : "; its last line: ",
		silent ? u->opts->log : tail->last,
		silent ? " has nothing of it" : "");
}

static bool
find_any(struct upgrade *u)
{
	char why[HANDOFF_TEXT_MAX] = "";

	if (peers_read(&u->peers, u->dir, why) < 0 || u->peers.count == 0)
		return fail(u, "%s", why);
	return true;
}

/* The one peer that serves, alone. */
static bool
find_old(struct upgrade *u)
{
	const struct peer *one = &u->peers.peer[0], *two = &u->peers.peer[1];

	/* the first time says whether the directory is safe to lock */
	if (!find_any(u) || upgrade_lock(u->dir, u->why, sizeof(u->why)) < 0 ||
		!find_any(u))
		return false;
	if (u->peers.count > 1)
		return fail(u,
			"%s (pid %d) and %s (pid %d) hold both places of %s, "
			"and the new program needs one: stop the standby "
			"first, or upgrade one after the other as "
			"handoffctl(1) says",
			one->name, (int)one->pid, two->name, (int)two->pid,
			u->dir);
	if (peer_is(one, "unresponsive") && one->pid)
		return fail(u,
			"%s (pid %d) does not answer, so nothing can move: "
			"end it if it hangs, and start the new program by "
			"itself",
			one->name, (int)one->pid);
	if (one->ferry || !peer_is(one, "owner") || !one->pid)
		return fail(u,
			"%s (pid %d) does not serve, it is %s: there is "
			"nothing to be upgraded",
			one->name, (int)one->pid,
			one->ferry ? "a ferry" : one->role);
	u->old = *one;
	return true;
}

/* The peer beside the old one: whether that is the new program. */
static bool
find_new(struct upgrade *u)
{
	for (size_t i = 0; i < u->peers.count; i++) {
		const struct peer *peer = &u->peers.peer[i];

		if (peer->pid == u->old.pid || peer->pid == u->new.pid ||
			peer->pid == 0)
			continue;
		switch (program_claims(&u->program, peer->pid)) {
		case 1:
			u->new = *peer;
			break;
		case 0:
			return fail(u,
				"%s (pid %d), which this command has not "
				"started, has the second place of %s",
				peer->name, (int)peer->pid, u->dir);
		default:
			break; /* it has just ended */
		}
	}
	return true;
}

/* What is missing until everything can move, in `text`; "": nothing. */
static void
missing(const struct upgrade *u, char *text, size_t size)
{
	const struct peer *old = &u->old, *new = &u->new;

	text[0] = '\0';
	if (!is_there(u, new))
		snprintf(text, size, "%.60s has not joined %.120s", new_name(u),
			u->dir);
	else if (new->loading[0])
		snprintf(text, size, "%s is not ready to serve yet: %.160s",
			new->name, new->loading);
	else if (!peer_is(new, "standby"))
		snprintf(text, size, "%s is %s", new->name, new->role);
	else if (!peer_is(old, "owner"))
		snprintf(text, size, "%s is %s", old->name, old->role);
	else if (strcmp(old->partner, "ready") != 0)
		snprintf(text, size, "for %s the new program is %s", old->name,
			old->partner);
	else if (old->uncovered > 0 || old->lagging)
		snprintf(text, size,
			"%s has no copy of %lld connections or listeners yet",
			new->name, old->uncovered);
}

static bool
await_ready(struct upgrade *u)
{
	long long end_ms = now_ms() + u->opts->timeout_ms;
	char text[HANDOFF_TEXT_MAX];

	for (;;) {
		bool ended = program_ended(&u->program);

		if (!read_peers(u) || (!ended && !find_new(u)))
			return false;
		if (ended)
			return fail_ended(u, " before it was ready");
		if (!is_there(u, &u->old))
			return fail(u, "%s (pid %d) has ended meanwhile",
				u->old.name, (int)u->old.pid);
		missing(u, text, sizeof(text));
		if (text[0])
			progress_show(&u->progress, text);
		if (!text[0] || owns(u, &u->new))
			return true;
		if (now_ms() >= end_ms) {
			u->code = 3;
			return fail(u, "not ready within %g s: %s",
				u->opts->timeout_ms / 1000.0, text);
		}
		if (!wait_or_interrupt(u, LOOK_MS))
			return false;
	}
}

/* The lines that begin with "error", of an answer with several. */
static const char *
error_line(const char *reply)
{
	const char *at = strstr(reply, "\nerror ");

	return at ? at + 1 : reply;
}

static bool
move(struct upgrade *u)
{
	char name[16], *reply = NULL;
	const struct handoff_maintain_opts opts = {
		.size = sizeof(opts), .name = name, .whole = true};
	const char *line;
	int err;

	snprintf(name, sizeof(name), "%d", (int)u->old.pid);
	progress_show(&u->progress, "moves");
	err = handoff_control_maintain(u->dir, &opts, &reply);
	if (err < 0) {
		u->code = err == -EAGAIN ? 3 : 1;
		line = reply ? error_line(reply) : strerror(-err);
		fail(u, "%.*s", (int)strcspn(line, "\n"), line);
		free(reply);
		return false;
	}
	u->moved = reply;
	if (!read_peers(u))
		return false;
	return owns(u, &u->new) ||
	       fail(u, "%s does not serve after the move", new_name(u));
}

static bool
run_check(struct upgrade *u, struct check *check)
{
	long long end_ms = now_ms() + u->opts->timeout_ms;

	while (!check_ended(check)) {
		if (program_ended(&u->program))
			return fail_ended(u, " during the check");
		if (now_ms() >= end_ms)
			return fail(u, "the check has not ended within %g s",
				u->opts->timeout_ms / 1000.0);
		if (!wait_or_interrupt(u, LOOK_MS))
			return false;
	}
	return !check->how[0] || fail(u, "the check %s", check->how);
}

/* A check says nothing of a new program that hangs, or that does not serve any
 * more since another operator has moved everything. */
static bool
check_owner(struct upgrade *u)
{
	long long end_ms = now_ms() + CLEAR_MS;
	bool over;

	do {
		over = now_ms() >= end_ms;
		if (program_ended(&u->program))
			return fail_ended(u, " during the check");
		if (!read_peers(u))
			return false;
		if (owns(u, &u->new))
			return true;
		if (!wait_or_interrupt(u, LOOK_MS))
			return false;
	} while (!over && !owns(u, &u->old));
	return fail(u, "%s (pid %d) does not %s after the check", u->new.name,
		(int)u->new.pid,
		peer_is(&u->new, "unresponsive") ? "answer" : "serve");
}

/* The last moment for an interruption, too. */
static bool
accept_new(struct upgrade *u)
{
	struct check check;
	bool good;

	if (!wait_or_interrupt(u, 0))
		return false;
	if (!u->opts->check)
		return true;
	progress_show(&u->progress, "the check runs");
	if (!check_start(&check, u->opts->check, u->dir))
		return fail(u, "the check %s", check.how);
	good = run_check(u, &check);
	check_kill(&check);
	return good && check_owner(u);
}

static bool
await_owner(struct upgrade *u, const struct peer *peer)
{
	long long end_ms = now_ms() + RETURN_MS;

	while (read_peers(u) && !owns(u, peer)) {
		if (now_ms() >= end_ms)
			return false;
		poll(NULL, 0, LOOK_MS);
	}
	return owns(u, peer);
}

/* Everything to the old one, by the new one's hand, or by its death: the old
 * one has copies of all. */
static void
move_back(struct upgrade *u)
{
	char name[16], *reply = NULL;
	const struct handoff_maintain_opts opts = {
		.size = sizeof(opts), .name = name};

	snprintf(name, sizeof(name), "%d", (int)u->new.pid);
	progress_show(&u->progress, "moves back");
	if (!peer_is(&u->new, "unresponsive")) {
		handoff_control_maintain(u->dir, &opts, &reply);
		free(reply);
		if (await_owner(u, &u->old)) {
			handoff_control_stop(u->dir, name, &reply);
			free(reply);
			return;
		}
		if (u->new.uncovered > 0)
			return;
	}
	program_kill(&u->program);
	await_owner(u, &u->old);
}

/* How things stand after a failure. */
enum standing {
	OLD_SERVES, /* the new one may be ended */
	NEW_SERVES, /* and the old one is its standby */
	NEW_ALONE,  /* the old one has ended */
	/* what may be so for a moment: */
	NEW_NEEDED,  /* the old one has ended, the new one does not serve */
	OLD_SILENT,  /* the new one stands by, and may be needed */
	NOBODY_KNOWS /* `why` says why not */
};

static enum standing
look_once(struct upgrade *u)
{
	if (!read_peers(u))
		return NOBODY_KNOWS;
	find_new(u); /* it may have joined since the last look */
	if (owns(u, &u->old))
		return OLD_SERVES;
	if (!is_there(u, &u->old) && owns(u, &u->new))
		return NEW_ALONE;
	if (!is_there(u, &u->old) && !program_ended(&u->program))
		return NEW_NEEDED;
	if (!is_there(u, &u->new))
		return OLD_SERVES;
	if (owns(u, &u->new) || (peer_is(&u->new, "unresponsive") &&
					peer_is(&u->old, "standby")))
		return NEW_SERVES;
	return OLD_SILENT;
}

/* What is not clear may be so for a moment, while the service moves. */
static enum standing
look_around(struct upgrade *u)
{
	long long end_ms = now_ms() + CLEAR_MS;
	enum standing standing;

	do {
		standing = look_once(u);
		if (standing < NEW_NEEDED)
			break;
		poll(NULL, 0, LOOK_MS);
	} while (now_ms() < end_ms);
	return standing;
}

/* The new one is not ended, since it serves, or may have to. */
static int
leave_new(struct upgrade *u, enum standing standing, const char *why)
{
	program_release(&u->program);
	if (standing == NOBODY_KNOWS)
		fprintf(stderr,
			"handoffctl: upgrade: %s; which of the two programs "
			"serves is not known, and none was ended: %s\n",
			why, u->why);
	else if (standing == OLD_SILENT)
		fprintf(stderr,
			"handoffctl: upgrade: %s; %s (pid %d) does not answer, "
			"so %s (pid %d), its standby, was not ended\n",
			why, u->old.name, (int)u->old.pid, u->new.name,
			(int)u->new.pid);
	else if (standing == NEW_NEEDED)
		fprintf(stderr,
			"handoffctl: upgrade: %s; the new program, %.60s, is "
			"needed, since the old one has ended, and goes on: "
			"status says whether it serves\n",
			why, new_name(u));
	else
		fprintf(stderr,
			"handoffctl: upgrade: %s; %s (pid %d) serves, and was "
			"not ended: %s\n",
			why, u->new.name, (int)u->new.pid,
			standing == NEW_ALONE ? "the old program has ended"
					      : "it does not hand back");
	return 1;
}

static int
end_new(struct upgrade *u, bool back, const char *why)
{
	if (back && !program_wait(&u->program, END_MS))
		program_kill(&u->program);
	program_end(&u->program);
	if (!owns(u, &u->old) && !await_owner(u, &u->old))
		fprintf(stderr,
			"handoffctl: upgrade: %s; %s%s (pid %d) does not "
			"serve either: see status\n",
			why, back ? "everything was moved back: " : "",
			u->old.name, (int)u->old.pid);
	else
		fprintf(stderr,
			"handoffctl: upgrade: %s; %s%s (pid %d) serves on, "
			"and %s\n",
			why, back ? "everything was moved back: " : "",
			u->old.name, (int)u->old.pid,
			u->program.begun ? "the new program has been ended"
					 : "nothing was changed");
	return u->code;
}

/* The end of a failure: says who serves. Never ends the one that does. */
static int
give_up(struct upgrade *u)
{
	char why[sizeof(u->why)];
	enum standing standing;
	bool back;

	memcpy(why, u->why, sizeof(why));
	standing = look_around(u);
	back = standing == NEW_SERVES;
	if (back) {
		program_release(&u->program);
		move_back(u);
		standing = look_around(u);
	}
	progress_end(&u->progress);
	return standing == OLD_SERVES ? end_new(u, back, why)
				      : leave_new(u, standing, why);
}

/* The addresses that only one of the two has, as a maintenance tells them. */
static void
print_addresses(const char *line)
{
	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "opened ", 7) == 0 ||
			strncmp(line, "closed ", 7) == 0 ||
			strncmp(line, "kept ", 5) == 0)
			printf("%.*s\n", (int)strcspn(line, "\n"), line);
	}
}

/* A program that does not answer cannot be told to stop, and the command would
 * wait much longer than the operator has said. */
static bool
await_answer(struct upgrade *u, const struct peer *peer)
{
	long long end_ms = now_ms() + u->opts->timeout_ms;

	while (read_peers(u) && is_there(u, peer) &&
		peer_is(peer, "unresponsive")) {
		if (now_ms() >= end_ms)
			return fail(u, "no answer within %g s",
				u->opts->timeout_ms / 1000.0);
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

/* The new one serves: this is not interrupted any more. */
static int
finish(struct upgrade *u)
{
	char name[16], *reply = NULL;
	int err = -ETIMEDOUT;

	snprintf(name, sizeof(name), "%d", (int)u->old.pid);
	progress_show(&u->progress, "the old program ends");
	if (await_answer(u, &u->old))
		err = handoff_control_stop(u->dir, name, &reply);
	program_show(&u->program);
	progress_end(&u->progress);
	if (!read_peers(u) || (err < 0 && is_there(u, &u->old))) {
		fprintf(stderr,
			"handoffctl: upgrade: %s (pid %d) serves, but %s (pid "
			"%d) was not stopped: %s; to complete it end that one, "
			"by SIGKILL if it hangs, and give handoffctl stay\n",
			u->new.name, (int)u->new.pid, u->old.name,
			(int)u->old.pid, err < 0 && reply ? reply : u->why);
		free(reply);
		return 1;
	}
	free(reply);
	if (!await_owner(u, &u->new)) {
		fprintf(stderr,
			"handoffctl: upgrade: %s (pid %d) has ended, and %s "
			"(pid %d), which is to serve in its place, does not "
			"answer as the owner: see status\n",
			u->old.name, (int)u->old.pid, u->new.name,
			(int)u->new.pid);
		return 1;
	}
	/* a program of an older library cannot, and serves all the same */
	handoff_control_stay(u->dir, &reply);
	free(reply);
	print_addresses(u->moved);
	printf("upgraded: %s (pid %d) serves %lld connection%s in place of %s "
	       "(pid %d), which has ended\n",
		u->new.name, (int)u->new.pid, u->new.connections,
		u->new.connections == 1 ? "" : "s", u->old.name,
		(int)u->old.pid);
	/* what has been done counts, not whether it could be said */
	if (fflush(stdout) != 0)
		fprintf(stderr, "handoffctl: standard output: %s\n",
			strerror(errno));
	return 0;
}

/* A signal that is ignored, as SIGHUP by nohup(1), stays so. */
static void
catch_signals(struct upgrade *u)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action;
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigaction(signals[i], NULL, &action) == 0 &&
			action.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	u->signals = signalfd(-1, &set, SFD_CLOEXEC);
}

static int
run_course(struct upgrade *u)
{
	if (!await_ready(u))
		return give_up(u);
	program_release(&u->program);
	if (!move(u) || !accept_new(u))
		return give_up(u);
	return finish(u);
}

int
run_upgrade(const char *dir, const struct upgrade_opts *opts)
{
	struct upgrade u = {.dir = dir, .opts = opts, .code = 1};
	int code;

	catch_signals(&u);
	progress_begin(&u.progress, "upgrade");
	if (!find_old(&u)) {
		fprintf(stderr,
			"handoffctl: upgrade: %s; nothing was changed\n",
			u.why);
		return 1;
	}
	unit_watchdog(u.old.pid);
	if (program_start(&u.program, opts->argv, opts->log, u.old.pid, u.why,
		    sizeof(u.why)) < 0) {
		fprintf(stderr,
			"handoffctl: upgrade: %s; nothing was changed\n",
			u.why);
		return 1;
	}
	code = run_course(&u);
	program_close(&u.program);
	free(u.moved);
	return code;
}
