/* SPDX-License-Identifier: MIT */
/*
 * The child's side of model `fork`: it keeps what it needs for its connection,
 * closes the library's other descriptors, and exits with a status that encodes
 * the outcome of its last turn. It dies with its parent.
 */
#include "server/child.h"

#include "base/high.h"
#include "server/stay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads the parent's signals. True if the connection is wanted back. */
static bool
wanted_by_parent(const struct handoff__recall *recall)
{
	const struct handoff_server_opts *opts = &recall->server->opts;
	struct signalfd_siginfo info;
	bool back = false, reopen = false;

	while (read(recall->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		back |= info.ssi_signo == HANDOFF__CHILD_RETURN;
		reopen |= info.ssi_signo == HANDOFF__CHILD_REOPEN;
	}
	if (reopen)
		opts->reopen(opts->reopen_arg);
	return back;
}

static void
close_inherited(
	struct handoff_server *server, const struct handoff__child *child)
{
	const struct handoff__sets *sets = &server->sets;
	const struct handoff__child *sibling;

	handoff__pair_forked(&server->pair, &child->member->entry,
		child->other ? &child->other->entry : NULL);
	handoff__control_forked(&server->op.control);
	close(server->loop.epfd);
	close(server->loop.timerfd);
	close(sets->ep[0]);
	close(sets->ep[1]);
	if (sets->outer >= 0)
		close(sets->outer);
	if (server->signal_fd >= 0)
		close(server->signal_fd);
	close(server->children.life[0]);
	TAILQ_FOREACH (sibling, &server->children.list, node)
		close(sibling->watch.fd);
	handoff__reserve_fini(&server->reserve);
	handoff__adopted_close(server);
}

/* Blocks the parent's signals, and those blocked in the parent before the
 * fork. */
static int
open_parent_signals(const struct handoff_server *server, const sigset_t *before)
{
	static const int numbers[] = {HANDOFF__CHILD_RETURN,
		HANDOFF__CHILD_LOOK, HANDOFF__CHILD_REOPEN};
	size_t count = server->opts.reopen ? 3 : 2;
	sigset_t mask, blocked = *before;

	sigemptyset(&mask);
	for (size_t i = 0; i < count; i++) {
		sigaddset(&mask, numbers[i]);
		sigaddset(&blocked, numbers[i]);
	}
	/* before anything else: a signal that the parent has sent already must
	 * not kill this process */
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
status_of(const struct handoff__turn_result *result)
{
	return HANDOFF__CHILD_STATUS + (int)result->outcome +
	       (result->outcome == HANDOFF__TURN_END ? (int)result->end : 0);
}

static bool
only_waits(const struct handoff__member *member)
{
	return member->result.outcome == HANDOFF__TURN_WAIT ||
	       member->result.outcome == HANDOFF__TURN_PARK;
}

static int
status_of_child(const struct handoff__child *child)
{
	const struct handoff__member *member = child->member;
	bool other = child->other && only_waits(member);

	if (other)
		member = child->other;
	if (member->result.outcome == HANDOFF__TURN_END ||
		member->result.outcome == HANDOFF__TURN_PARK)
		handoff__member_log_end(member, &member->result);
	return status_of(&member->result) + (other ? HANDOFF__CHILD_OTHER : 0);
}

static void __attribute__((noreturn)) child_main(struct handoff__child *child,
	uint32_t events, pid_t parent, const sigset_t *before)
{
	struct handoff__member *member = child->member;
	struct handoff__recall recall = {.wanted = wanted_by_parent,
		.server = member->server,
		.bell = -1};
	char name[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE); /* the parent died before the prctl */
	snprintf(name, sizeof(name), "connection %llu",
		(unsigned long long)member->entry.id);
	prctl(PR_SET_NAME, name);
	member->server->forked = member->server->handling = true;
	close_inherited(member->server, child);
	recall.fd = open_parent_signals(member->server, before);
	if (recall.fd < 0) /* no turn has begun */
		_exit(HANDOFF__CHILD_STATUS + HANDOFF__TURN_RETRY);
	handoff__stay(member, child->other, events, &recall);
	_exit(status_of_child(child));
}

/* All signals are blocked before the fork, so that the parent's cannot kill the
 * child before its signalfd exists. */
static pid_t
fork_blocked(struct handoff__child *child, uint32_t events)
{
	sigset_t all, before;
	pid_t parent = getpid(), pid;
	int err;

	handoff__pair_forking(&child->member->server->pair);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	err = errno;
	if (pid == 0)
		child_main(child, events, parent, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -err : pid;
}

void
handoff__child_died(struct handoff_server *server, pid_t pid)
{
	handoff__posts_recover(&server->pair.arena,
		(uint32_t)server->pair.place, (uint32_t)pid);
}

void
handoff__child_reap(struct handoff_server *server, pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	handoff__child_died(server, pid);
}

/* Makes sure that the child's pidfd will get a descriptor, by reserving one: a
 * child that cannot be watched must not be started. The connection was promised
 * that descriptor. */
static int
open_spare(struct handoff_server *server)
{
	int spare;

	handoff__reserve_release(&server->reserve, 1);
	spare = handoff__high_dup(server->children.life[1]);
	return spare < 0 && handoff__spare_lend(server)
		       ? handoff__high_dup(server->children.life[1])
		       : spare;
}

int
handoff__child_start(struct handoff__child *child, uint32_t events)
{
	int spare = open_spare(child->member->server);
	int pidfd;

	if (spare < 0)
		return -errno;
	child->pid = fork_blocked(child, events);
	close(spare);
	if (child->pid < 0)
		return (int)child->pid;
	pidfd = handoff__high_raise(pidfd_open(child->pid, 0));
	if (pidfd >= 0)
		return pidfd;
	pidfd = -errno;
	kill(child->pid, SIGKILL);
	handoff__child_reap(child->member->server, child->pid);
	return pidfd;
}
