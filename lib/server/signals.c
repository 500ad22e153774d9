/* SPDX-License-Identifier: MIT */
/*
 * An operator's signals, read from a signalfd: no handler is installed, nothing
 * is interrupted. With opts.signals they are blocked before the server becomes
 * visible to other processes.
 */
#include "server/child.h"

#include "base/high.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void
obey_signal(struct handoff_server *server, uint32_t signal)
{
	int err = 0;

	switch (signal) {
	case SIGUSR1:
		err = handoff_server_maintenance(server);
		break;
	case SIGUSR2:
		err = handoff_server_ready(server, false);
		break;
	default:
		handoff_server_stop(server);
		return;
	}
	if (err < 0)
		handoff__operator_emit(&server->op, HANDOFF_SERVER_REFUSED,
			"refused: %s", server->error.text);
}

static void
on_signal(int fd, void *arg)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		obey_signal(arg, info.ssi_signo);
}

/* Output to a pipe without a reader is lost, and must not kill the process. A
 * disposition that the program has set is kept. */
static void
ignore_broken_pipes(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

void
handoff__signals_restore(struct handoff_server *server)
{
	if (server->signal_fd >= 0)
		pthread_sigmask(SIG_SETMASK, &server->signals_before, NULL);
}

static int
watch_signals(struct handoff_server *server, const sigset_t *set)
{
	int fd = handoff__high_raise(
		signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK));
	int err;

	if (fd < 0)
		return -errno;
	err = handoff_server_watch(server, fd, on_signal, server);
	if (err < 0)
		close(fd);
	else
		server->signal_fd = fd;
	return err;
}

int
handoff_server_signals(struct handoff_server *server)
{
	sigset_t set;
	int err;

	if (!server || server->signal_fd >= 0)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	ignore_broken_pipes();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	err = -pthread_sigmask(SIG_BLOCK, &set, &server->signals_before);
	if (err < 0)
		return err;
	err = watch_signals(server, &set);
	if (err >= 0)
		return 0;
	/* blocked but never read, they could not even end the process */
	pthread_sigmask(SIG_SETMASK, &server->signals_before, NULL);
	return handoff__fail(&server->error, err,
		"server: cannot take signals: %s", strerror(-err));
}

int
handoff_server_reopen(struct handoff_server *server)
{
	struct handoff__child *child;

	if (!server || !server->opts.reopen)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	TAILQ_FOREACH (child, &server->children.list, node)
		pidfd_send_signal(
			child->watch.fd, HANDOFF__CHILD_REOPEN, NULL, 0);
	return 0;
}
