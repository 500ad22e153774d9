/* SPDX-License-Identifier: MIT */
/*
 * Validates and adopts listening sockets that another process has opened: a
 * service manager, or the server's predecessor. Their creator does not know
 * which options connections need here.
 */
#include "base/adopt.h"

#include "base/high.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno
								  : value;
}

/* Returns NULL, or what is wrong with the socket. */
static const char *
objection_to_socket(int fd)
{
	int domain = option(fd, SO_DOMAIN);

	if (domain == -ENOTSOCK)
		return "it is not a socket";
	if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
		return "it is neither TCP nor a Unix socket";
	if (option(fd, SO_TYPE) != SOCK_STREAM ||
		(domain != AF_UNIX && option(fd, SO_PROTOCOL) != IPPROTO_TCP))
		return "it is not a stream: want TCP or a Unix stream socket";
	if (option(fd, SO_ACCEPTCONN) != 1)
		return "it does not listen";
	return NULL;
}

/* Sets the same options as addr.c does; the backlog is left as the opener chose
 * it. */
static int
prepare_socket(int fd)
{
	int one = 1, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (option(fd, SO_DOMAIN) == AF_UNIX)
		return 0;
	/* not optional: the kernel counts urgent data, see addr.c */
	if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)) < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

int
handoff__adopt(
	int fd, char bound[HANDOFF_ADDRESS_MAX], struct handoff__error *error)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	int copy = handoff__high_dup(fd);
	const char *why;
	int err;

	if (copy < 0)
		return handoff__fail(error, -errno,
			"listening socket %d: cannot be duplicated: %s", fd,
			strerror(errno));
	why = objection_to_socket(copy);
	err = why ? -EINVAL : prepare_socket(copy);
	if (err < 0) {
		close(copy);
		return handoff__fail(error, err,
			"listening socket %d: cannot be used: %s", fd,
			why ? why : strerror(-err));
	}
	getsockname(copy, (struct sockaddr *)&ss, &len);
	handoff__addr_format(
		(struct sockaddr *)&ss, len, bound, HANDOFF_ADDRESS_MAX);
	return copy;
}

static bool
same_port(in_port_t bound, in_port_t wanted)
{
	return wanted == 0 || bound == wanted;
}

/* An IPv4 address equals its IPv4-mapped form. */
static bool
same_inet(const struct sockaddr_storage *bound, socklen_t bound_len,
	const struct sockaddr_storage *wanted, socklen_t wanted_len)
{
	struct sockaddr_storage a = *bound, b = *wanted;
	const struct sockaddr_in *a4 = (const void *)&a, *b4 = (const void *)&b;
	const struct sockaddr_in6 *a6 = (const void *)&a;
	const struct sockaddr_in6 *b6 = (const void *)&b;

	handoff__addr_unmap((struct sockaddr *)&a, &bound_len);
	handoff__addr_unmap((struct sockaddr *)&b, &wanted_len);
	if (a.ss_family != b.ss_family)
		return false;
	if (a.ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr &&
		       same_port(a4->sin_port, b4->sin_port);
	return a.ss_family == AF_INET6 &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) ==
		       0 &&
	       a6->sin6_scope_id == b6->sin6_scope_id &&
	       same_port(a6->sin6_port, b6->sin6_port);
}

/* The number of an interface, which may be given by its name. */
static uint32_t
scope_of(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	return *text && !*end ? (uint32_t)number : if_nametoindex(text);
}

/* Reads a numeric address. getaddrinfo(3) would do it too, but needs memory: a
 * listener must not be taken for another one, and closed, for lack of that. */
static bool
read_inet(const char *host, const char *port, struct sockaddr_storage *ss,
	socklen_t *len)
{
	struct sockaddr_in *four = (void *)ss;
	struct sockaddr_in6 *six = (void *)ss;
	in_port_t number = htons((in_port_t)strtoul(port, NULL, 10));
	const char *scope = strchr(host, '%');
	char text[INET6_ADDRSTRLEN];

	memset(ss, 0, sizeof(*ss));
	if (inet_aton(host, &four->sin_addr)) {
		four->sin_family = AF_INET;
		four->sin_port = number;
		*len = sizeof(*four);
		return true;
	}
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(host, "%"), host);
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
		return false;
	six->sin6_family = AF_INET6;
	six->sin6_port = number;
	six->sin6_scope_id = scope ? scope_of(scope + 1) : 0;
	*len = sizeof(*six);
	return true;
}

static bool
is_bound_to(const struct handoff__addr *addr, const char *host,
	const struct sockaddr_storage *bound, socklen_t len)
{
	struct sockaddr_storage wanted;
	socklen_t wanted_len;

	return read_inet(host, addr->port, &wanted, &wanted_len) &&
	       same_inet(bound, len, &wanted, wanted_len);
}

static bool
takes_both(int fd)
{
	int only = 0;
	socklen_t len = sizeof(only);

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) < 0 ||
	       only == 0;
}

bool
handoff__adopt_is(int fd, const char *text)
{
	struct sockaddr_storage bound = {0};
	const struct sockaddr_un *sun = (const void *)&bound;
	socklen_t len = sizeof(bound);
	struct handoff__addr addr;

	if (handoff__addr_parse(&addr, text, NULL) < 0 ||
		getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
		return false;
	if (addr.local)
		return bound.ss_family == AF_UNIX &&
		       strncmp(sun->sun_path, addr.path,
			       sizeof(sun->sun_path)) == 0;
	if (addr.host[0])
		return is_bound_to(&addr, addr.host, &bound, len);
	if (is_bound_to(&addr, "::", &bound, len))
		return takes_both(fd);
	return is_bound_to(&addr, "0.0.0.0", &bound, len) &&
	       !handoff__addr_has_six();
}
