/* SPDX-License-Identifier: MIT */
/*
 * A filter of one instruction, or a least TTL that nothing has, and repair mode
 * where it is possible. Knows nothing of what the sockets are for, and
 * remembers nothing about them: the kernel does.
 */
#include "base/still.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno
								      : 0;
}

static int
get_option(int fd, int level, int name, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, level, name, value, &len) < 0 ? -errno : 0;
}

/* Whether packets of a network may come to it. */
static int
is_tcp(int fd)
{
	int domain = 0, protocol = 0;
	int err = get_option(fd, SOL_SOCKET, SO_DOMAIN, &domain);

	if (err < 0 || (domain != AF_INET && domain != AF_INET6))
		return err;
	err = get_option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
	return err < 0 ? err : protocol == IPPROTO_TCP;
}

/* Some kernels let only CAP_NET_ADMIN attach a filter. A packet that another
 * host has forwarded has a TTL below the greatest, and so have those of every
 * system that begins with 64 or 128. */
#define GREATEST_TTL 255

static int
set_least_ttl(int fd, int ttl)
{
	int v6 = set_option(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl);
	int v4 = set_option(fd, IPPROTO_IP, IP_MINTTL, ttl);

	return v6 == -ENOPROTOOPT ? v4 : v6 < 0 ? v6 : v4;
}

static bool
has_least_ttl(int fd)
{
	int ttl = 0;

	return get_option(fd, IPPROTO_IP, IP_MINTTL, &ttl) == 0 &&
	       ttl == GREATEST_TTL;
}

static int
attach_filter(int fd)
{
	struct sock_filter none[] = {{.code = BPF_RET | BPF_K, .k = 0}};
	const struct sock_fprog program = {.len = 1, .filter = none};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		       sizeof(program)) < 0
		       ? -errno
		       : 0;
}

static int
drop_all(int fd)
{
	int err = attach_filter(fd);

	return err == -EPERM ? set_least_ttl(fd, GREATEST_TTL) : err;
}

bool
handoff__still_in_repair(int fd)
{
	int on = 0;

	return get_option(fd, IPPROTO_TCP, TCP_REPAIR, &on) == 0 && on != 0;
}

/* With the send queue selected a probe for a loss only marks a segment as sent.
 * The filter comes first: an acknowledgement would let the kernel mark the
 * whole queue. A listener has no repair mode, and an unprivileged process
 * neither. */
static bool
enter_repair(int fd)
{
	if (set_option(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON) < 0)
		return false;
	if (set_option(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE) == 0)
		return true;
	set_option(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	return false;
}

int
handoff__still_freeze(int fd)
{
	int err = is_tcp(fd);

	if (err <= 0)
		return err;
	err = drop_all(fd);
	if (err < 0)
		return err;
	return enter_repair(fd) ? HANDOFF__STILL_DEAF | HANDOFF__STILL_REPAIR
				: HANDOFF__STILL_DEAF;
}

int
handoff__still_thaw(int fd)
{
	int err = is_tcp(fd);
	bool stood_in;

	if (err <= 0)
		return err;
	if (handoff__still_in_repair(fd)) {
		set_option(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
		err = set_option(
			fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
		if (err < 0)
			return err;
	}
	stood_in = has_least_ttl(fd);
	if (stood_in)
		set_least_ttl(fd, 0);
	err = set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	return err == -ENOENT || (err == -EPERM && stood_in) ? 0 : err;
}

int
handoff__still_reset(int fd)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	int err = is_tcp(fd);

	if (err <= 0)
		return err;
	if (handoff__still_in_repair(fd))
		set_option(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	return connect(fd, &nowhere, sizeof(nowhere)) < 0 ? -errno : 0;
}
