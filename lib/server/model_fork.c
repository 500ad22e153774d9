/* SPDX-License-Identifier: MIT */
/*
 * Model `fork`: a child process per connection, started at its first event. It
 * works on the shared record, so whatever happens to the child, the connection
 * is still here. While a child has it the descriptor is disarmed in the sets
 * (EPOLLONESHOT).
 *
 * Each child is watched by a pidfd of its own: any number of them may end
 * together, and children that the program has started are not reaped.
 */
#include "server/child.h"

#include "base/high.h"
#include "record/handling.h"
#include "record/region.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPLACED_MOST 3 /* dead children that are replaced */

static void
child_free(struct handoff__child *child)
{
	struct handoff_server *server = child->member->server;
	int pidfd = child->watch.fd;

	handoff__watch_del(&server->loop, &child->watch);
	close(pidfd);
	TAILQ_REMOVE(&server->children.list, child, node);
	server->children.count--;
	child->member->child = NULL;
	if (child->other)
		child->other->child = NULL;
	free(child);
}

static void
format_cause(const siginfo_t *info, char *text, size_t size)
{
	if (info->si_code == CLD_EXITED)
		snprintf(text, size, "exited with status %d", info->si_status);
	else if (info->si_pid == 0)
		snprintf(text, size, "was reaped by other code");
	else
		snprintf(text, size, "was killed by signal %d (%s)",
			info->si_status, strsignal(info->si_status));
}

/* Ends what a dead child had begun in the shared region; before anything else
 * is done with its record. */
static void
settle_shared(struct handoff_server *server, pid_t pid)
{
	enum handoff__settled how = handoff__region_settle(&server->pair.arena,
		(uint32_t)server->pair.place, (uint32_t)pid);

	if (how == HANDOFF__SETTLED_UNDONE)
		handoff__log(&server->log, HANDOFF_LOG_INFO,
			"the shared region is as it was before the last "
			"transaction of process %d, which did not commit",
			(int)pid);
}

/* Repairs the record of a dead child's connection by the kernel's counters.
 * Returns NULL, or why the connection cannot continue. */
static const char *
repair(struct handoff__member *member)
{
	struct handoff__survival survival = {0};
	const char *why = handoff__entry_repair(&member->entry, &survival);

	/* it may have died in a handler */
	handoff__state_erase(&member->entry.view);
	member->server->pair.tally.repaired += survival.repaired;
	return why && !*why ? "the client is gone" : why;
}

/* Logs that another child continues; `in_handler`: alone, see suspects.c. */
static void
replace(const struct handoff__member *member, pid_t pid, const char *cause,
	bool in_handler)
{
	unsigned long long id = member->entry.id;
	const struct handoff__log *log = &member->server->log;

	if (in_handler)
		handoff__log(log, HANDOFF_LOG_WARNING,
			"connection %llu: its process %d %s in the handler: "
			"another one continues, once",
			id, (int)pid, cause);
	else
		handoff__log(log, HANDOFF_LOG_WARNING,
			"connection %llu: its process %d %s: another one "
			"continues "
			"(%d of %d)",
			id, (int)pid, cause, member->deaths, REPLACED_MOST);
}

static void
set_waiting(struct handoff__member *member)
{
	member->result = (struct handoff__turn_result){
		.outcome = HANDOFF__TURN_WAIT,
		.want = (uint16_t)handoff__conn_want(&member->entry.view),
	};
}

/* Handles the death of a child. */
static void
log_death(struct handoff__member *member, pid_t pid, const siginfo_t *info)
{
	struct handoff__survival survival = {0};
	const char *why = repair(member);
	bool fourth = false;
	char cause[96];

	if (!why)
		why = handoff__entry_blame(&member->entry, &survival);
	if (!why && survival.in_handler == 0)
		fourth = member->deaths++ == REPLACED_MOST;
	member->server->pair.tally.handler_deaths += survival.in_handler;
	format_cause(info, cause, sizeof(cause));
	set_waiting(member);
	if (!why && !fourth) {
		handoff__record_unflag(&member->entry.view, HANDOFF__WAITING);
		replace(member, pid, cause, survival.in_handler > 0);
		return;
	}
	member->result.outcome = HANDOFF__TURN_END;
	member->result.end = handoff__entry_poisoned(&member->entry)
				     ? HANDOFF__END_POISON
				     : HANDOFF__END_DEATH;
	handoff__log(&member->server->log, HANDOFF_LOG_ERROR,
		"connection %llu: closed: its process %d %s%s%s",
		(unsigned long long)member->entry.id, (int)pid, cause,
		why ? ", and " : " like three before it", why ? why : "");
}

/* Decodes the child's exit status; false if it is not one of ours. */
static bool
parse_status(struct handoff__member *member, struct handoff__member *other,
	const siginfo_t *info)
{
	int outcome = info->si_status - HANDOFF__CHILD_STATUS, end;
	struct handoff__member *ended = member;

	if (other && outcome >= HANDOFF__CHILD_OTHER) {
		outcome -= HANDOFF__CHILD_OTHER;
		ended = other;
	}
	end = outcome - HANDOFF__TURN_END;
	if (info->si_code != CLD_EXITED || outcome < HANDOFF__TURN_WAIT ||
		end >= HANDOFF__ENDS)
		return false;
	set_waiting(member);
	if (other)
		set_waiting(other);
	ended->result.outcome =
		(uint8_t)(end > 0 ? HANDOFF__TURN_END : outcome);
	ended->result.end = (uint8_t)(end > 0 ? end : 0);
	return true;
}

/* Reaps the child if it has ended. */
static void
on_child(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__child *child = watch->arg;
	struct handoff__member *member = child->member, *other = child->other;
	siginfo_t info = {.si_pid = 0};
	pid_t pid = child->pid;

	(void)events;
	if (waitid(P_PIDFD, (id_t)watch->fd, &info, WEXITED | WNOHANG) < 0) {
		if (errno != ECHILD)
			return; /* the pidfd stays readable */
	} else if (info.si_pid == 0) {
		return;
	}
	child_free(child);
	settle_shared(member->server, pid);
	if (!parse_status(member, other, &info)) {
		handoff__child_died(member->server, pid);
		log_death(member, pid, &info);
		if (other)
			log_death(other, pid, &info);
		/* its posts may have become true by that */
		member->server->posts_due = member->server->due = true;
	}
	handoff__member_back(member);
	if (other)
		handoff__member_back(other);
}

/* A child that could not be watched was killed, and may have begun a turn:
 * repairs the record for the next one. */
static int
undo(struct handoff__member *member, pid_t pid, int err)
{
	const char *why;

	settle_shared(member->server, pid);
	why = repair(member);
	handoff__handler_absolve(member->entry.view.rec);
	if (!why)
		return err;
	handoff__log(&member->server->log, HANDOFF_LOG_ERROR,
		"connection %llu: closed: its process could not be watched "
		"(%s), and %s",
		(unsigned long long)member->entry.id, strerror(-err), why);
	member->result = (struct handoff__turn_result){
		.outcome = HANDOFF__TURN_END, .end = HANDOFF__END_DEATH};
	handoff__member_back(member);
	return 0;
}

/* The same for the other one of a pair, which waits. */
static void
undo_other(struct handoff__member *other, pid_t pid, int err)
{
	other->active = false;
	if (undo(other, pid, err) < 0)
		handoff__member_kick(other);
}

static int
not_started(struct handoff__child *child, int err)
{
	struct handoff__member *member = child->member, *other = child->other;
	pid_t pid = child->pid;

	free(child);
	if (other && pid > 0) {
		undo_other(other, pid, err);
	} else if (other) {
		other->active = false;
		handoff__member_kick(other);
	}
	return pid > 0 ? undo(member, pid, err) : err;
}

static int
launch_child(struct handoff__member *member, uint32_t events)
{
	struct handoff_server *server = member->server;
	struct handoff__child *child = calloc(1, sizeof(*child));
	struct handoff__member *other;
	int pidfd, err;

	if (!child)
		return -ENOMEM;
	child->member = member;
	child->other = handoff__member_take_pair(member);
	child->watch.fd = -1;
	child->watch.fn = on_child;
	child->watch.arg = child;
	pidfd = handoff__child_start(child, events);
	if (pidfd < 0)
		return not_started(child, pidfd);
	member->child = child;
	member->active = true;
	if (child->other)
		child->other->child = child;
	TAILQ_INSERT_TAIL(&server->children.list, child, node);
	server->children.count++;
	err = handoff__watch_add(&server->loop, &child->watch, pidfd, EPOLLIN);
	if (err < 0) {
		/* its end would go unnoticed */
		pid_t pid = child->pid;

		child->watch.fd = pidfd;
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		handoff__child_reap(server, child->pid);
		other = child->other;
		child_free(child);
		member->active = false;
		err = undo(member, pid, err);
		if (other)
			undo_other(other, pid, err);
	}
	return err;
}

static void
fork_event(struct handoff__member *member, uint32_t events)
{
	int err;

	/* a parked one stays so: its event is not to come again */
	if (member->armed != EPOLLONESHOT)
		member->armed = 0;
	if (handoff__member_simple(member, events)) {
		handoff__model_loop.event(member, events);
		return;
	}
	err = launch_child(member, events);
	if (err < 0)
		handoff__member_stall(member, "cannot start a process", err);
}

static bool
fork_quiesce(struct handoff__member *member)
{
	if (!member->child)
		return true;
	pidfd_send_signal(
		member->child->watch.fd, HANDOFF__CHILD_RETURN, NULL, 0);
	return false;
}

static void
fork_look(struct handoff__member *member)
{
	if (member->child)
		pidfd_send_signal(
			member->child->watch.fd, HANDOFF__CHILD_LOOK, NULL, 0);
	else
		handoff__member_kick(member);
}

/* If SIGCHLD is ignored the kernel reaps children itself, and their exit status
 * is lost (sigaction(2)). */
static int
check_sigchld(struct handoff_server *server)
{
	struct sigaction now;

	sigaction(SIGCHLD, NULL, &now);
	if (now.sa_handler != SIG_IGN && !(now.sa_flags & SA_NOCLDWAIT))
		return 0;
	return handoff__fail(&server->error, -EINVAL,
		"server: model fork needs SIGCHLD, which this process "
		"ignores: set it to SIG_DFL before");
}

static int
fork_start(struct handoff_server *server)
{
	int err = check_sigchld(server);

	if (err < 0)
		return err;
	if (pipe2(server->children.life, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		server->children.life[i] =
			handoff__high_raise(server->children.life[i]);
	/* used only as a wakeup from children: no connection is returned
	 * through it */
	return handoff__returns_open(
		&server->returns, &server->loop, handoff__member_back);
}

/* Kills all children; their connections pass to the other peer as they are. */
static uint32_t
fork_stop(struct handoff_server *server)
{
	struct handoff__children *children = &server->children;
	struct handoff__child *child;

	TAILQ_FOREACH (child, &children->list, node)
		pidfd_send_signal(child->watch.fd, SIGKILL, NULL, 0);
	while ((child = TAILQ_FIRST(&children->list))) {
		handoff__child_reap(server, child->pid);
		settle_shared(server, child->pid);
		handoff__handler_absolve(child->member->entry.view.rec);
		if (child->other)
			handoff__handler_absolve(child->other->entry.view.rec);
		child_free(child);
	}
	for (int i = 0; i < 2; i++) {
		if (children->life[i] > 0)
			close(children->life[i]);
		children->life[i] = 0;
	}
	handoff__returns_close(&server->returns);
	return 0;
}

const struct handoff__model_ops handoff__model_fork = {
	.name = "fork",
	.flags = EPOLLONESHOT,
	.spare = 1,
	.expendable = true,
	.start = fork_start,
	.stop = fork_stop,
	.event = fork_event,
	.quiesce = fork_quiesce,
	.look = fork_look,
};
