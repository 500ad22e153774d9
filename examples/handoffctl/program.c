/* SPDX-License-Identifier: MIT */
/*
 * handoffctl's side of the program that it has started: through its starter at
 * first, and by a pidfd of the peer from then on. Knows nothing of peers'
 * states.
 */
#include "program.h"

#include "starter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORD_MS 500

/* <sys/pidfd.h> is younger than the system calls. */
static int
open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void
signal_pidfd(int pidfd, int sig)
{
	syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

int
program_start(struct program *p, char *const argv[], const char *log, pid_t old,
	char *why, size_t size)
{
	int out = -1;

	memset(p, 0, sizeof(*p));
	p->begun = true;
	p->pidfd = -1;
	p->tail.fd = -1;
	if (log) {
		out = open(
			log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (out < 0) {
			snprintf(why, size, "--log %s: %s", log,
				strerror(errno));
			return -1;
		}
		tail_open(&p->tail, log, old);
	}
	p->starter = starter_fork(argv, out, &p->line);
	if (out >= 0)
		close(out);
	if (p->starter < 0) {
		snprintf(why, size, "no process could be started: %s",
			strerror(-(int)p->starter));
		tail_close(&p->tail);
		return -1;
	}
	return 0;
}

int
program_fd(const struct program *p)
{
	return p->starter > 0 ? p->line : p->pidfd;
}

static void
describe(struct program *p, const struct starter_word *word)
{
	int status = word->status;

	p->begun = word->errnum == 0;
	if (word->errnum)
		snprintf(p->how, sizeof(p->how), "could not be started: %s",
			strerror(word->errnum));
	else if (WIFSIGNALED(status))
		snprintf(p->how, sizeof(p->how), "was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(p->how, sizeof(p->how), "ended with exit status %d",
			WEXITSTATUS(status));
}

static bool
has_event(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) > 0;
}

/* By the word of the starter. If the peer has ended that comes at once, unless
 * it is not the process that was started and that one goes on. */
static void
look_at_starter(struct program *p)
{
	bool gone = p->pidfd >= 0 && has_event(p->pidfd, 0);
	struct starter_word word = {.status = 0};
	ssize_t n = -1;

	if (has_event(p->line, gone ? WORD_MS : 0))
		n = recv(p->line, &word, sizeof(word), MSG_DONTWAIT);
	if (n == (ssize_t)sizeof(word))
		describe(p, &word);
	else if (n == 0)
		strcpy(p->how, "was lost: its starter was killed");
	else if (gone)
		strcpy(p->how, "ended");
}

void
program_show(struct program *p)
{
	tail_show(&p->tail);
}

bool
program_ended(struct program *p)
{
	if (!p->how[0] && p->starter > 0)
		look_at_starter(p);
	else if (!p->how[0] && p->pidfd >= 0 && has_event(p->pidfd, 0))
		strcpy(p->how, "ended");
	program_show(p);
	return p->how[0] != '\0';
}

int
program_claims(struct program *p, pid_t pid)
{
	int pidfd = open_pidfd(pid);

	if (pidfd < 0)
		return -1;
	/* asked after the pidfd was opened: it is still that process */
	if (p->starter <= 0 || !starter_has(p->starter, pid)) {
		close(pidfd);
		return 0;
	}
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = pidfd;
	return 1;
}

static void
order(struct program *p, char what)
{
	struct starter_word word;

	send(p->line, &what, 1, MSG_NOSIGNAL);
	while (recv(p->line, &word, sizeof(word), 0) > 0) {
		if (!p->how[0])
			describe(p, &word);
	}
	close(p->line);
	waitpid(p->starter, NULL, 0);
	p->starter = 0;
}

void
program_release(struct program *p)
{
	if (p->starter > 0)
		order(p, STARTER_RELEASE);
}

bool
program_wait(struct program *p, int ms)
{
	return p->pidfd < 0 || has_event(p->pidfd, ms);
}

void
program_kill(struct program *p)
{
	if (p->pidfd < 0)
		return;
	signal_pidfd(p->pidfd, SIGKILL);
	has_event(p->pidfd, -1);
}

void
program_end(struct program *p)
{
	if (p->starter > 0) {
		order(p, STARTER_END);
	} else if (p->pidfd >= 0) {
		signal_pidfd(p->pidfd, SIGTERM);
		if (!program_wait(p, STARTER_GRACE_MS))
			program_kill(p);
	}
	program_show(p);
}

void
program_close(struct program *p)
{
	if (p->starter > 0)
		order(p, STARTER_END);
	if (p->pidfd >= 0)
		close(p->pidfd);
	tail_close(&p->tail);
	p->pidfd = -1;
}
