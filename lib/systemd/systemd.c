/* SPDX-License-Identifier: MIT */
/*
 * The handle of the systemd component: the descriptors that systemd passed to
 * this process, and the timer in the server's loop. Never blocks.
 */
#include "systemd/systemd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define DEFAULT_EXTEND_MS 10000

static int
check_opts(struct handoff_systemd *sd, const struct handoff_systemd_opts *opts)
{
	struct handoff_systemd_opts *o = &sd->opts;
	int err = opts ? handoff__opts_copy(
				 o, sizeof(*o), opts, sizeof(opts->size))
		       : 0;

	if (err == -E2BIG) {
		/* The caller's structure is longer, so these fields exist. */
		o->errbuf = opts->errbuf;
		o->errbuf_size = opts->errbuf_size;
	}
	if (err < 0)
		return handoff__fail(&sd->error, err,
			"systemd: the options have an impossible size, or one "
			"is set that this library does not know");
	if (o->store && !handoff__name_ok(o->store))
		return handoff__fail(&sd->error, -EINVAL,
			"systemd: opts.store must be 1 to %d characters of A-Z "
			"a-z 0-9 . _ - (got '%.40s')",
			HANDOFF_NAME_MAX - 1, o->store);
	handoff__copy(
		sd->fdname, sizeof(sd->fdname), o->fdname ? o->fdname : "");
	handoff__copy(sd->store, sizeof(sd->store), o->store ? o->store : "");
	if (o->extend_ms == 0)
		o->extend_ms = DEFAULT_EXTEND_MS;
	sd->log.fn = o->log;
	sd->log.arg = o->log_arg;
	return 0;
}

/* Takes one descriptor of LISTEN_FDS, unless it is meant for the program. */
static int
take_descriptor(struct handoff_systemd *sd, int fd, const char *name)
{
	bool kept = sd->store[0] && strcmp(name, sd->store) == 0;
	bool named = sd->fdname[0] && strcmp(name, sd->fdname) == 0;
	socklen_t len = sizeof(sd->cookies[0]);

	if (sd->fdname[0] && !named && !kept)
		return 0;
	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
		if (named)
			return handoff__fail(&sd->error, -EINVAL,
				"systemd: the socket '%.80s' that was passed "
				"does not listen: want ListenStream= and "
				"Accept=no",
				name);
		handoff__log(&sd->log, HANDOFF_LOG_INFO,
			"systemd: descriptor %d, '%s', is not a listening "
			"socket: left alone",
			fd, name);
		return 0;
	}
	if (sd->npassed == HANDOFF__PASSED_MAX)
		return handoff__fail(&sd->error, -EINVAL,
			"systemd: more than %d listening sockets were passed",
			HANDOFF__PASSED_MAX);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &sd->cookies[sd->npassed],
		    &len) < 0)
		return handoff__fail(&sd->error, -errno,
			"systemd: descriptor %d: %s", fd, strerror(errno));
	sd->passed[sd->npassed++].fd = fd;
	sd->stored |= kept;
	return 0;
}

static int
take_passed(struct handoff_systemd *sd)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), err = 0;

	if (n < 0)
		return handoff__fail(&sd->error, n,
			"systemd: cannot parse LISTEN_FDS, LISTEN_PID and "
			"LISTEN_FDNAMES: %s",
			strerror(-n));
	for (int i = 0; i < n && err >= 0; i++)
		err = take_descriptor(sd, SD_LISTEN_FDS_START + i, names[i]);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return err;
}

static int
no_memory_for_systemd(const struct handoff_systemd_opts *opts)
{
	struct handoff_systemd_opts known = {.size = 0};

	if (opts)
		handoff__opts_copy(
			&known, sizeof(known), opts, sizeof(opts->size));
	return handoff__no_memory("systemd", known.errbuf, known.errbuf_size);
}

int
handoff_systemd_open(
	struct handoff_systemd **out, const struct handoff_systemd_opts *opts)
{
	struct handoff_systemd *sd;
	const char *socket = getenv("NOTIFY_SOCKET");
	int err;

	if (!out)
		return -EINVAL;
	sd = calloc(1, sizeof(*sd));
	if (!sd)
		return no_memory_for_systemd(opts);
	sd->timer_fd = -1;
	sd->enabled = socket && socket[0];
	err = check_opts(sd, opts);
	if (err >= 0)
		err = take_passed(sd);
	/* sd_watchdog_enabled(3) is 0 if WATCHDOG_PID names another process */
	if (err >= 0 && sd_watchdog_enabled(0, &sd->watchdog_us) <= 0)
		sd->watchdog_us = 0;
	sd->watchdog_us /= 2;
	if (err < 0) {
		handoff__error_copy(
			&sd->error, sd->opts.errbuf, sd->opts.errbuf_size);
		handoff_systemd_free(sd);
		return err;
	}
	*out = sd;
	return 0;
}

static void
close_adopted(struct handoff_systemd *sd)
{
	for (size_t i = 0; sd->adopted && i < sd->npassed; i++) {
		if (sd->passed[i].fd >= 0)
			close(sd->passed[i].fd);
		sd->passed[i].fd = -1;
	}
}

void
handoff_systemd_free(struct handoff_systemd *sd)
{
	if (!sd)
		return;
	close_adopted(sd);
	if (sd->timer_fd >= 0)
		close(sd->timer_fd);
	free(sd);
}

int
handoff_systemd_adopt(
	struct handoff_systemd *sd, struct handoff_server_opts *opts)
{
	if (!sd || !opts || sd->server)
		return -EINVAL;
	if (opts->size <
		HANDOFF__SIZE_TO(struct handoff_server_opts, listen_fd_size))
		return handoff__fail(&sd->error, -EINVAL,
			"systemd: the options of the server have size %zu: set "
			"it first",
			opts->size);
	opts->listen_fds = sd->passed;
	opts->nlisten_fds = sd->npassed;
	opts->listen_fd_size = sizeof(sd->passed[0]);
	sd->adopted = true;
	return (int)sd->npassed;
}

static void
on_systemd_timer(int fd, void *arg)
{
	struct handoff_systemd *sd = arg;
	uint64_t now = handoff__systemd_now(), count;

	(void)!read(fd, &count, sizeof(count));
	if (sd->watchdog_due > 0 && now >= sd->watchdog_due) {
		sd->watchdog_due = now + sd->watchdog_us;
		handoff__systemd_watchdog(sd);
	}
	if (sd->extend_due > 0 && now >= sd->extend_due)
		handoff__systemd_extend(sd);
	handoff__systemd_arm(sd);
}

int
handoff_systemd_attach(
	struct handoff_systemd *sd, struct handoff_server *server)
{
	int err = 0;

	if (!sd || !server || sd->server)
		return -EINVAL;
	if (sd->enabled) {
		sd->timer_fd = timerfd_create(
			CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		err = sd->timer_fd < 0
			      ? -errno
			      : handoff_server_watch(server, sd->timer_fd,
					on_systemd_timer, sd);
	}
	if (err < 0)
		return handoff__fail(&sd->error, err,
			"systemd: cannot add a timer to the server's loop: %s",
			strerror(-err));
	close_adopted(sd);
	sd->server = server;
	if (sd->enabled && sd->watchdog_us > 0) {
		sd->watchdog_due = handoff__systemd_now() + sd->watchdog_us;
		handoff__systemd_arm(sd);
	}
	return 0;
}

const char *
handoff_systemd_errmsg(const struct handoff_systemd *sd)
{
	return sd ? sd->error.text : "";
}
