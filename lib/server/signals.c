/* SPDX-License-Identifier: MIT */
/*
 * Signals as operators send them, taken from a signalfd: no handler is
 * installed, nothing is interrupted.
 */
#include "server/internal.h"

#include "base/high.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void
obey(struct handoff_server *server, uint32_t signal)
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
		handoff__server_event(server, HANDOFF_SERVER_REFUSED,
			"refused: %s", server->error.text);
}

static void
on_signal(void *arg, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		obey(arg, info.ssi_signo);
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
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	err = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (err != 0)
		return -err;
	server->signal_fd = handoff__high_raise(
		signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
	if (server->signal_fd < 0)
		return -errno;
	return handoff_server_watch(
		server, server->signal_fd, on_signal, server);
}
