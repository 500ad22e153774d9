/* SPDX-License-Identifier: MIT */
/*
 * Refusals at the start of what would fail, or change the host, only at the
 * first link or move. Changes nothing.
 */
#include "ferry/vet.h"

#include "ferry/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* "192.0.2.7:7001" or "[fd00::7]:7001"; false for a name. */
static bool
read_address(const char *text, struct sockaddr_storage *sa)
{
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;
	const char *end = strrchr(text, ':');
	char ip[INET6_ADDRSTRLEN];
	size_t len = end ? (size_t)(end - text) : 0;

	memset(sa, 0, sizeof(*sa));
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(ip))
		return false;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1)
		sa->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &in6->sin6_addr) == 1)
		sa->ss_family = AF_INET6;
	return sa->ss_family != AF_UNSPEC;
}

int
handoff__vet_link(const struct handoff__prefix *list, uint32_t count,
	const char *option, const char *text, struct handoff__error *error)
{
	struct sockaddr_storage sa;

	if (!text || !read_address(text, &sa) ||
		!handoff__prefix_holds(list, count, (struct sockaddr *)&sa))
		return 0;
	return handoff__fail(error, -EINVAL,
		"%s %.80s is an address of the service, which would move away "
		"under the link: use one that stays on its host",
		option, text);
}

int
handoff__vet_prefix(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	char text[HANDOFF__PREFIX_TEXT];
	int length = handoff__address_length(device, prefix, error);

	if (length <= 0 || length == prefix->length)
		return length < 0 ? length : 0;
	handoff__prefix_format(prefix, text, sizeof(text));
	return handoff__fail(error, -EINVAL,
		"--address %s: the device has it with /%d, which a move would "
		"change: give /%d, on both hosts",
		text, length, length);
}
