/* SPDX-License-Identifier: MIT */
/*
 * Notifies systemd of the server's events. Of two peers in one unit only the
 * owner notifies: the unit has its status, and its watchdog watches the owner.
 */
#include "systemd/systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define MESSAGE_MAX (HANDOFF_TEXT_MAX + 128)

static int
send_text(struct handoff_systemd *sd, const char *text, const int *fds,
	unsigned nfds)
{
	int rc = sd_pid_notify_with_fds(0, 0, text, fds, nfds);
	bool again = sd->failing;

	sd->failing = rc < 0;
	if (rc >= 0)
		return 0;
	handoff__fail(&sd->error, rc, "systemd: cannot be notified: %s",
		strerror(-rc));
	if (!again)
		handoff__log(
			&sd->log, HANDOFF_LOG_WARNING, "%s", sd->error.text);
	return rc;
}

static int notify(struct handoff_systemd *sd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int
notify(struct handoff_systemd *sd, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return send_text(sd, text, NULL, 0);
}

/* Whether to stay silent: the owner notifies for the unit. */
static bool
is_silent(const struct handoff_systemd *sd)
{
	return !sd->enabled || (sd->shared && sd->role != HANDOFF_SERVER_OWNER);
}

/* a newline would start another assignment */
static void
set_status(struct handoff_systemd *sd, const char *text)
{
	handoff__copy(sd->status, sizeof(sd->status), text);
	for (char *c = sd->status; *c; c++) {
		if ((unsigned char)*c < ' ')
			*c = '?';
	}
}

/* This process' first status also carries READY=1. */
static int
notify_status(struct handoff_systemd *sd, bool main_process)
{
	char main_pid[32] = "";
	const char *ready = sd->ready ? "" : "READY=1\n";

	if (is_silent(sd))
		return 0;
	if (main_process)
		snprintf(main_pid, sizeof(main_pid), "MAINPID=%d\n",
			(int)getpid());
	sd->ready = true;
	return notify(sd, "%s%sSTATUS=%s", main_pid, ready, sd->status);
}

/* Whether systemd has this socket already. */
static bool
was_passed(const struct handoff_systemd *sd, int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return true;
	for (size_t i = 0; i < sd->npassed; i++) {
		if (sd->cookies[i] == cookie)
			return true;
	}
	return false;
}

/* Unix sockets are not stored: their path is removed at the stop, and a socket
 * without a path would be useless to the next process. */
static int
store_listener(struct handoff_systemd *sd)
{
	char text[MESSAGE_MAX], address[HANDOFF_ADDRESS_MAX];
	int fds[HANDOFF__PASSED_MAX], fd;
	unsigned n = 0;

	for (size_t i = 0; n < HANDOFF__PASSED_MAX; i++) {
		fd = handoff_server_listener(
			sd->server, i, address, sizeof(address));
		if (fd < 0)
			break;
		if (strncmp(address, "unix:", 5) != 0 && !was_passed(sd, fd))
			fds[n++] = fd;
	}
	if (n == 0)
		return 0;
	sd->stored = true;
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", sd->store);
	return send_text(sd, text, fds, n);
}

/* The listeners belong to another unit now. A copy here would keep them open
 * after that unit ends. */
static int
unstore(struct handoff_systemd *sd)
{
	sd->stored = false;
	return notify(sd, "FDSTOREREMOVE=1\nFDNAME=%s", sd->store);
}

static void
find_unit(struct handoff_systemd *sd)
{
	int pid = handoff_server_partner(sd->server);

	if (pid > 0)
		sd->shared = handoff__systemd_same_unit(pid);
}

static int
notify_owner(struct handoff_systemd *sd)
{
	bool takes = sd->shared && sd->role != HANDOFF_SERVER_OWNER;
	int err = 0, sent;

	sd->role = HANDOFF_SERVER_OWNER;
	sd->handed = false;
	/* before READY=1, so that a ready service can be restarted */
	if (sd->store[0])
		err = store_listener(sd);
	sent = notify_status(sd, takes);
	return err < 0 ? err : sent;
}

static int
notify_standby(struct handoff_systemd *sd)
{
	int err;

	sd->handed |= sd->role == HANDOFF_SERVER_OWNER;
	sd->role = HANDOFF_SERVER_STANDBY;
	find_unit(sd);
	err = notify_status(sd, false);
	if (err >= 0 && !sd->shared && sd->stored)
		err = unstore(sd);
	return err;
}

/* With NotifyAccess=main systemd accepts messages only from this process until
 * then. */
static int
notify_gave(struct handoff_systemd *sd)
{
	int pid = handoff_server_partner(sd->server);
	bool announces = sd->handed && sd->shared && pid > 0;

	sd->handed = false;
	return announces ? notify(sd, "MAINPID=%d", pid) : 0;
}

static uint64_t
extension_us(const struct handoff_systemd *sd)
{
	return (uint64_t)sd->opts.extend_ms * 1000;
}

static void
extend_later(struct handoff_systemd *sd)
{
	/* halfway, so that a late wakeup does not miss the deadline */
	sd->extend_due = handoff__systemd_now() + extension_us(sd) / 2;
	handoff__systemd_arm(sd);
}

static int
notify_giving(struct handoff_systemd *sd)
{
	if (is_silent(sd) || sd->extend_due > 0)
		return 0;
	extend_later(sd);
	return notify(sd, "EXTEND_TIMEOUT_USEC=%" PRIu64, extension_us(sd));
}

/* If the other peer continues the unit, the unit is not stopping. */
static int
notify_stopping(struct handoff_systemd *sd)
{
	if (is_silent(sd) ||
		(sd->shared && handoff_server_partner(sd->server) > 0))
		return 0;
	extend_later(sd);
	return notify(sd, "STOPPING=1\nSTATUS=%s\nEXTEND_TIMEOUT_USEC=%" PRIu64,
		sd->status, extension_us(sd));
}

void
handoff__systemd_extend(struct handoff_systemd *sd)
{
	extend_later(sd);
	notify(sd, "EXTEND_TIMEOUT_USEC=%" PRIu64, extension_us(sd));
}

void
handoff__systemd_watchdog(struct handoff_systemd *sd)
{
	if (!is_silent(sd))
		notify(sd, "WATCHDOG=1");
}

int
handoff_systemd_event(
	struct handoff_systemd *sd, const struct handoff_server_event *event)
{
	if (!sd || !event || !sd->server)
		return -EINVAL;
	if (!sd->enabled)
		return 0;
	/* every end of a move comes with an event */
	if (sd->extend_due > 0 && !handoff_server_moving(sd->server))
		sd->extend_due = 0;
	switch (event->type) {
	case HANDOFF_SERVER_LISTENING:
		/* after OWNER, if it could not be opened at once */
		return sd->store[0] && sd->role == HANDOFF_SERVER_OWNER
			       ? store_listener(sd)
			       : 0;
	case HANDOFF_SERVER_OWNER:
		set_status(sd, event->text);
		return notify_owner(sd);
	case HANDOFF_SERVER_STANDBY:
		set_status(sd, event->text);
		return notify_standby(sd);
	case HANDOFF_SERVER_WAITING:
		sd->role = HANDOFF_SERVER_WAITING;
		set_status(sd, event->text);
		return notify_status(sd, false);
	case HANDOFF_SERVER_JOINED:
		find_unit(sd);
		/* fall through */
	case HANDOFF_SERVER_LEFT:
	case HANDOFF_SERVER_HUNG:
	case HANDOFF_SERVER_LAGGING:
		set_status(sd, event->text);
		return notify_status(sd, false);
	case HANDOFF_SERVER_GIVING:
		return notify_giving(sd);
	case HANDOFF_SERVER_GAVE:
		return notify_gave(sd);
	case HANDOFF_SERVER_STOPPING:
		set_status(sd, event->text);
		return notify_stopping(sd);
	default:
		return 0;
	}
}

int
handoff_systemd_reloading(struct handoff_systemd *sd)
{
	if (!sd)
		return -EINVAL;
	if (is_silent(sd))
		return 0;
	return notify(sd, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		handoff__systemd_now());
}

int
handoff_systemd_ready(struct handoff_systemd *sd)
{
	if (!sd)
		return -EINVAL;
	sd->ready = false;
	return notify_status(sd, false);
}
