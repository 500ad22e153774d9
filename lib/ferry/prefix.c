/* SPDX-License-Identifier: MIT */
/*
 * Parses and compares addresses with prefixes. Asks nobody whether they exist.
 */
#include "ferry/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_usable_four(const uint8_t ip[16])
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224 &&
	       !(ip[0] == 169 && ip[1] == 254);
}

static bool
is_usable_six(const uint8_t ip[16])
{
	struct in6_addr six;

	memcpy(&six, ip, sizeof(six));
	return !IN6_IS_ADDR_UNSPECIFIED(&six) && !IN6_IS_ADDR_LOOPBACK(&six) &&
	       !IN6_IS_ADDR_MULTICAST(&six) && !IN6_IS_ADDR_LINKLOCAL(&six) &&
	       !IN6_IS_ADDR_V4MAPPED(&six);
}

static bool
parse_length(const char *text, unsigned most, uint8_t *length)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long value = strtoul(text, NULL, 10);

	if (digits == 0 || digits > 3 || text[digits] != '\0' || value < 1 ||
		value > most)
		return false;
	*length = (uint8_t)value;
	return true;
}

/* Returns what is wrong with it, or NULL. */
static const char *
parse_one(char *text, struct handoff__prefix *prefix)
{
	char *slash = strchr(text, '/');
	bool usable;

	memset(prefix, 0, sizeof(*prefix));
	if (!slash)
		return "want IP/PREFIX, for example 192.0.2.10/24";
	*slash = '\0';
	if (inet_pton(AF_INET, text, prefix->ip) == 1)
		prefix->family = 4;
	else if (inet_pton(AF_INET6, text, prefix->ip) == 1)
		prefix->family = 6;
	else
		return "not a numeric address";
	usable = prefix->family == 4 ? is_usable_four(prefix->ip)
				     : is_usable_six(prefix->ip);
	if (!usable)
		return "not an address that can move between hosts";
	if (!parse_length(
		    slash + 1, prefix->family == 4 ? 32 : 128, &prefix->length))
		return "the prefix must be a number of bits from 1 to 32, or "
		       "to 128 for IPv6";
	return NULL;
}

static bool
is_in(const struct handoff__prefix *list, uint32_t count,
	const struct handoff__prefix *one)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].family == one->family &&
			memcmp(list[i].ip, one->ip, sizeof(one->ip)) == 0)
			return true;
	}
	return false;
}

int
handoff__prefixes_parse(const char *text, struct handoff__prefix *list,
	uint32_t max, struct handoff__error *error)
{
	uint32_t count = 0;
	const char *why;
	char one[64];

	for (const char *at = text; at; count++) {
		size_t len = strcspn(at, ",");

		if (count == max)
			return handoff__fail(error, -EINVAL,
				"address of the service: more than %u of them",
				max);
		snprintf(one, sizeof(one), "%.*s",
			(int)(len < sizeof(one) ? len : sizeof(one) - 1), at);
		why = parse_one(one, &list[count]);
		if (!why && is_in(list, count, &list[count]))
			why = "it is there twice";
		if (why)
			return handoff__fail(error, -EINVAL,
				"address of the service '%.*s': %s",
				(int)(len < 60 ? len : 60), at, why);
		at = at[len] == ',' ? at + len + 1 : NULL;
	}
	if (count == 0)
		return handoff__fail(
			error, -EINVAL, "address of the service: none given");
	return (int)count;
}

void
handoff__prefix_format(
	const struct handoff__prefix *prefix, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(prefix->family == 4 ? AF_INET : AF_INET6, prefix->ip, ip,
		sizeof(ip));
	snprintf(text, size, "%s/%u", ip, prefix->length);
}

bool
handoff__prefix_holds(const struct handoff__prefix *list, uint32_t count,
	const struct sockaddr *sa)
{
	struct handoff__prefix one = {.family = 4};
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (sa->sa_family == AF_INET) {
		memcpy(&four, sa, sizeof(four));
		memcpy(one.ip, &four.sin_addr, 4);
		return is_in(list, count, &one);
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&six, sa, sizeof(six));
	if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) {
		memcpy(one.ip, &six.sin6_addr.s6_addr[12], 4);
		return is_in(list, count, &one);
	}
	one.family = 6;
	memcpy(one.ip, &six.sin6_addr, 16);
	return is_in(list, count, &one);
}
