/* SPDX-License-Identifier: MIT */
/*
 * Selects the addresses of the host's interfaces that are worth showing to
 * people. Opens nothing and caches nothing: they may change at any time.
 */
#include "base/reach.h"

#include "base/addr.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* in the order in which they are listed */
enum scope { SCOPE_WIDE, SCOPE_LINK, SCOPE_LOOPBACK, SCOPES };

union address {
	struct sockaddr sa;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static enum scope
scope_of(const union address *a)
{
	if (a->sa.sa_family == AF_INET) {
		uint32_t host = ntohl(a->four.sin_addr.s_addr);

		if (host >> 24 == IN_LOOPBACKNET)
			return SCOPE_LOOPBACK;
		/* 169.254/16, RFC 3927 */
		return host >> 16 == 0xa9fe ? SCOPE_LINK : SCOPE_WIDE;
	}
	if (IN6_IS_ADDR_LOOPBACK(&a->six.sin6_addr))
		return SCOPE_LOOPBACK;
	return IN6_IS_ADDR_LINKLOCAL(&a->six.sin6_addr) ? SCOPE_LINK
							: SCOPE_WIDE;
}

static bool
is_wildcard(const union address *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->four.sin_addr.s_addr == htonl(INADDR_ANY);
	return a->sa.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&a->six.sin6_addr);
}

/* Copies the address of an interface that is up and has an IP address. */
static bool
copy_address(union address *out, const struct ifaddrs *ifa)
{
	if (!ifa->ifa_addr || !(ifa->ifa_flags & IFF_UP))
		return false;
	if (ifa->ifa_addr->sa_family == AF_INET)
		memcpy(&out->four, ifa->ifa_addr, sizeof(out->four));
	else if (ifa->ifa_addr->sa_family == AF_INET6)
		memcpy(&out->six, ifa->ifa_addr, sizeof(out->six));
	else
		return false;
	return true;
}

static void
add_address(struct handoff__reach *reach, union address *a, in_port_t port)
{
	bool four = a->sa.sa_family == AF_INET;

	if (reach->count == HANDOFF__REACH_MAX) {
		reach->more++;
		return;
	}
	*(four ? &a->four.sin_port : &a->six.sin6_port) = port;
	handoff__addr_format(&a->sa, four ? sizeof(a->four) : sizeof(a->six),
		reach->list[reach->count++], HANDOFF_ADDRESS_MAX);
}

void
handoff__reach_select(struct handoff__reach *reach,
	const struct sockaddr *bound, bool both, const struct ifaddrs *list)
{
	const union address *b = (const void *)bound;
	in_port_t port = b->sa.sa_family == AF_INET ? b->four.sin_port
						    : b->six.sin6_port;

	if (!is_wildcard(b))
		return;
	for (int scope = 0; scope < SCOPES; scope++) {
		for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
			union address a;

			if (!copy_address(&a, i) || (int)scope_of(&a) != scope)
				continue;
			if (a.sa.sa_family == b->sa.sa_family ||
				(both && a.sa.sa_family == AF_INET))
				add_address(reach, &a, port);
		}
	}
}

int
handoff__reach_add(struct handoff__reach *reach, int listener)
{
	union address bound = {.sa.sa_family = AF_UNSPEC};
	socklen_t len = sizeof(bound), size = sizeof(int);
	struct ifaddrs *list;
	int six_only = 0;

	/* A longer Unix socket path is truncated (getsockname(2)); only the
	 * family matters. */
	if (getsockname(listener, &bound.sa, &len) < 0)
		return -errno;
	if (!is_wildcard(&bound))
		return 0;
	getsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, &size);
	if (getifaddrs(&list) < 0)
		return -errno;
	handoff__reach_select(reach, &bound.sa,
		bound.sa.sa_family == AF_INET6 && !six_only, list);
	freeifaddrs(list);
	return 0;
}

static bool
is_same(const union address *a, const union address *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	return a->sa.sa_family == AF_INET
		       ? a->four.sin_addr.s_addr == b->four.sin_addr.s_addr
		       : IN6_ARE_ADDR_EQUAL(
				 &a->six.sin6_addr, &b->six.sin6_addr);
}

bool
handoff__reach_is_coming(const char *address, const struct ifaddrs *list)
{
	struct sockaddr_storage ss;
	union address own, other;
	socklen_t len;
	bool coming = false;

	if (handoff__addr_numeric(address, &ss, &len) < 0 ||
		ss.ss_family == AF_UNIX)
		return false;
	memcpy(&own, &ss, sizeof(own));
	if (scope_of(&own) == SCOPE_LOOPBACK)
		return false;
	for (; list; list = list->ifa_next) {
		if (!copy_address(&other, list) || !is_same(&own, &other))
			continue;
		if (!(list->ifa_flags & IFF_LOOPBACK))
			return false;
		coming = true;
	}
	return coming;
}

bool
handoff__reach_coming(const char *address)
{
	struct ifaddrs *list;
	bool coming;

	if (getifaddrs(&list) < 0)
		return false;
	coming = handoff__reach_is_coming(address, list);
	freeifaddrs(list);
	return coming;
}
