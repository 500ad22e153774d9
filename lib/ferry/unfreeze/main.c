/* SPDX-License-Identifier: MIT */
/*
 * handoff-unfreeze: the helper of a ferry, which outlives it. Opens all that it
 * will ever open, confines itself, and serves one ferry after another. Not for
 * people: a ferry starts it.
 */
#include "ferry/unfreeze/confine.h"
#include "ferry/unfreeze/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How long it waits for the next ferry while there is nothing to guard. */
#define LINGER_MS 10000

struct options {
	const char *dir;
	int ferry; /* a connection to the ferry that has started it, or -1 */
	int log;   /* -1: no log */
	uint32_t user;
	uint32_t linger_ms;
};

static const char usage[] =
	"usage: handoff-unfreeze --dir DIR [--ferry FD] [--log FD] "
	"[--user UID]\n"
	"                        [--linger MS]\n"
	"The helper of handoff-ferry, which starts it; see "
	"handoff-unfreeze(8).\n";

static int
parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"dir", required_argument, NULL, 'd'},
		{"ferry", required_argument, NULL, 'f'},
		{"log", required_argument, NULL, 'l'},
		{"user", required_argument, NULL, 'u'},
		{"linger", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*options = (struct options){
		.ferry = -1,
		.log = -1,
		.linger_ms = LINGER_MS,
	};
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'd')
			options->dir = optarg;
		else if (c == 'f')
			options->ferry = atoi(optarg);
		else if (c == 'l')
			options->log = atoi(optarg);
		else if (c == 'u')
			options->user = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 'm')
			options->linger_ms =
				(uint32_t)strtoul(optarg, NULL, 10);
		else
			return c == 'h' ? 1 : -EINVAL;
	}
	return options->dir && optind == argc ? 0 : -EINVAL;
}

static void
on_client(void *arg, int fd)
{
	handoff__requests_accept(arg, fd);
}

/* The lock says that no other helper listens in this directory. */
static int
listen_there(struct handoff__guard *guard, struct handoff__error *error)
{
	guard->lock_fd = handoff__dir_lock(&guard->dir, HANDOFF__GATE_LOCK);
	if (guard->lock_fd == -EWOULDBLOCK)
		return handoff__fail(error, -EBUSY,
			"another handoff-unfreeze runs in %s", guard->dir.path);
	if (guard->lock_fd < 0)
		return handoff__fail(error, guard->lock_fd, "locking %s/%s: %s",
			guard->dir.path, HANDOFF__GATE_LOCK,
			strerror(-guard->lock_fd));
	guard->listen_fd = handoff__dir_listen(
		&guard->dir, HANDOFF__GATE_SOCKET, SOCK_SEQPACKET, error);
	if (guard->listen_fd < 0)
		return guard->listen_fd;
	return handoff__door_open(
		&guard->door, &guard->loop, guard->listen_fd, on_client, guard);
}

struct signals {
	struct handoff__watch watch;
	struct handoff__guard *guard;
};

/* Ended by hand, or with the service's other processes: not as long as
 * connections depend on it. */
static void
on_signal(struct handoff__watch *watch, uint32_t events)
{
	struct signals *signals = watch->arg;
	struct handoff__guard *guard = signals->guard;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (guard->ferry < 0 && !handoff__flows_guard(&guard->flows))
		handoff__guard_end(guard);
	else
		handoff__guard_log(guard,
			"signal %u ignored: it guards connections",
			info.ssi_signo);
}

static int
watch_signals(struct signals *signals, struct handoff__error *error)
{
	sigset_t set;
	int fd, err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	err = fd < 0 ? -errno : 0;
	signals->watch =
		(struct handoff__watch){.fn = on_signal, .arg = signals};
	if (err == 0)
		err = handoff__watch_add(
			&signals->guard->loop, &signals->watch, fd, EPOLLIN);
	return err < 0 ? handoff__fail(
				 error, err, "signals: %s", strerror(-err))
		       : 0;
}

static int
set_up(struct handoff__guard *guard, const struct options *options,
	struct signals *signals, struct handoff__error *error)
{
	int err = handoff__dir_open(
		&guard->dir, options->dir, false, options->user, error);

	if (err < 0)
		return err;
	err = handoff__loop_init(&guard->loop);
	if (err < 0)
		return handoff__fail(error, err, "epoll: %s", strerror(-err));
	err = handoff__guard_init(guard, error);
	if (err == 0)
		err = listen_there(guard, error);
	if (err == 0)
		err = watch_signals(signals, error);
	if (err == 0)
		err = handoff__confine_process(error);
#ifndef HANDOFF_COVERAGE
	if (err == 0)
		err = handoff__confine_calls(error);
#endif
	return err;
}

static int
run(struct handoff__guard *guard)
{
	int err = 0;

	while (!guard->ending && err >= 0)
		err = handoff__loop_dispatch(&guard->loop, -1);
	return err < 0 ? err : 0;
}

int
main(int argc, char **argv)
{
	static struct handoff__guard guard;
	struct signals signals = {.guard = &guard};
	struct handoff__error error = {""};
	struct options options;
	int err = parse(&options, argc, argv);

	if (err != 0) {
		fputs(usage, err > 0 ? stdout : stderr);
		return err > 0 ? 0 : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	guard.log_fd = options.log;
	guard.linger_ms = options.linger_ms;
	err = set_up(&guard, &options, &signals, &error);
	if (err < 0) {
		handoff__guard_log(&guard, "%s", error.text);
		if (options.ferry >= 0)
			handoff__requests_refuse(
				options.ferry, err, error.text);
		else
			fprintf(stderr, "handoff-unfreeze: %s\n", error.text);
		_exit(1);
	}
	if (options.ferry >= 0) {
		fcntl(options.ferry, F_SETFD, FD_CLOEXEC);
		handoff__requests_accept(&guard, options.ferry);
	}
	err = run(&guard);
	if (err < 0)
		handoff__guard_log(&guard, "epoll: %s", strerror(-err));
	handoff__guard_fini(&guard);
	_exit(err < 0);
}
