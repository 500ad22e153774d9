/* SPDX-License-Identifier: MIT */
/*
 * Repair mode (TCP_REPAIR), which only privilege switches; everything else that
 * is done in it needs none. Knows nothing of images.
 */
#include "migrate/mode.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int
handoff__migrate_get(int fd, int level, int name, int *value)
{
	int v = 0;
	socklen_t len = sizeof(v);

	if (getsockopt(fd, level, name, &v, &len) < 0)
		return -errno;
	if (len != sizeof(v))
		return -EOPNOTSUPP;
	*value = v;
	return 0;
}

int
handoff__migrate_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno
								      : 0;
}

int
handoff__migrate_mode(int fd)
{
	int on = 0;
	int err = handoff__migrate_get(fd, IPPROTO_TCP, TCP_REPAIR, &on);

	return err < 0 ? err : on != 0;
}

static int
switch_to(int fd, int mode, const char *to, struct handoff__error *error)
{
	int err = handoff__migrate_set(fd, IPPROTO_TCP, TCP_REPAIR, mode);

	if (err == -EPERM)
		return handoff__fail(error, err,
			"connection: switching repair mode %s needs "
			"CAP_NET_ADMIN in its network namespace",
			to);
	if (err < 0)
		return handoff__fail(error, err,
			"connection: switching repair mode %s: %s", to,
			strerror(-err));
	return 0;
}

int
handoff__migrate_mode_on(int fd, struct handoff__error *error)
{
	return switch_to(fd, TCP_REPAIR_ON, "on", error);
}

int
handoff__migrate_mode_off(int fd, struct handoff__error *error)
{
	return switch_to(fd, TCP_REPAIR_OFF_NO_WP, "off", error);
}

int
handoff__migrate_mode_off_probing(int fd, struct handoff__error *error)
{
	return switch_to(fd, TCP_REPAIR_OFF, "off", error);
}

int
handoff__migrate_queue(int fd, int queue)
{
	return handoff__migrate_set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
}

int
handoff__migrate_get_seq(int fd, uint32_t *seq)
{
	int v = 0;
	int err = handoff__migrate_get(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &v);

	if (err == 0)
		*seq = (uint32_t)v;
	return err;
}

int
handoff__migrate_set_seq(int fd, uint32_t seq)
{
	return handoff__migrate_set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, (int)seq);
}
