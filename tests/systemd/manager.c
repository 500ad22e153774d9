/* SPDX-License-Identifier: MIT */
/*
 * The mock: messages as received, byte for byte. Stands in for the part of
 * libsystemd that asks which unit a process is of.
 */
#include "systemd/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *manager_unit, *manager_other_unit;
int manager_unit_way;

static int
unit_of(int way, pid_t pid, char **name)
{
	const char *unit = pid == 0 ? manager_unit : manager_other_unit;

	if (way != manager_unit_way || !unit)
		return -ENODATA;
	*name = strdup(unit);
	return *name ? 0 : -ENOMEM;
}

int __wrap_sd_pid_get_user_unit(pid_t pid, char **name);
int __wrap_sd_pid_get_unit(pid_t pid, char **name);
int __wrap_sd_pid_get_cgroup(pid_t pid, char **name);

int
__wrap_sd_pid_get_user_unit(pid_t pid, char **name)
{
	return unit_of(0, pid, name);
}

int
__wrap_sd_pid_get_unit(pid_t pid, char **name)
{
	return unit_of(1, pid, name);
}

int
__wrap_sd_pid_get_cgroup(pid_t pid, char **name)
{
	return unit_of(2, pid, name);
}

void
manager_none(void)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",
		"WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	manager_unit = "one.service";
	manager_other_unit = "other.service";
	manager_unit_way = 1;
}

void
manager_open(struct manager *manager, const char *dir, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	memset(manager, 0, sizeof(*manager));
	snprintf(manager->path, sizeof(manager->path), "%s/%s", dir, name);
	assert_in_range(strlen(manager->path), 1, sizeof(sun.sun_path) - 1);
	memcpy(sun.sun_path, manager->path, strlen(manager->path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	/* Out of the way of what is passed. */
	manager->fd = fcntl(fd, F_DUPFD_CLOEXEC, 60);
	close(fd);
	assert_int_equal(
		bind(manager->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	manager_hears(manager);
}

static void
drop_fds(struct manager *manager)
{
	for (int i = 0; i < manager->nfds; i++)
		close(manager->fds[i]);
	manager->nfds = 0;
}

void
manager_close(struct manager *manager)
{
	drop_fds(manager);
	close(manager->fd);
	unsetenv("NOTIFY_SOCKET");
}

void
manager_hears(const struct manager *manager)
{
	assert_int_equal(setenv("NOTIFY_SOCKET", manager->path, 1), 0);
}

bool
manager_next(struct manager *manager)
{
	char control[CMSG_SPACE(sizeof(manager->fds))];
	struct iovec iov = {manager->text, sizeof(manager->text) - 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	drop_fds(manager);
	n = recvmsg(manager->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return false;
	assert_int_equal(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC), 0);
	manager->text[n] = '\0';
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		manager->nfds =
			(int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(manager->fds, CMSG_DATA(c),
			(size_t)manager->nfds * sizeof(int));
	}
	return true;
}

void
manager_expect(struct manager *manager, const char *text)
{
	if (!manager_next(manager))
		fail_msg("it was told nothing, not '%s'", text);
	assert_string_equal(manager->text, text);
}

void
manager_silence(struct manager *manager)
{
	if (manager_next(manager))
		fail_msg("it was told '%s'", manager->text);
}

void
manager_pass(struct manager *manager, int n, const int *fds, const char *names)
{
	char text[16];

	assert_in_range(n, 0, PASS_MAX);
	for (int i = 0; i < n; i++) {
		manager->saved[i] = fcntl(PASS_START + i, F_DUPFD_CLOEXEC, 100);
		assert_true(fds[i] > PASS_START + n);
	}
	for (int i = 0; i < n; i++) {
		assert_true(dup2(fds[i], PASS_START + i) >= 0);
		close(fds[i]);
	}
	manager->npassed = n;
	snprintf(text, sizeof(text), "%d", n);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
}

void
manager_unpass(struct manager *manager)
{
	for (int i = 0; i < manager->npassed; i++) {
		close(PASS_START + i);
		if (manager->saved[i] < 0)
			continue;
		dup2(manager->saved[i], PASS_START + i);
		close(manager->saved[i]);
	}
	manager->npassed = 0;
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}
