/* SPDX-License-Identifier: MIT */
/* Finds a transport by the prefix of an address. Opens nothing. */
#include "notice/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FORMS_MAX 128 /* bytes */

/* "mq:DIR, sysv:DIR or unix:DIR" */
static void
list_forms(char out[FORMS_MAX])
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; handoff__transports[i] && len < FORMS_MAX; i++) {
		const char *sep = i == 0                       ? ""
				  : handoff__transports[i + 1] ? ", "
							       : " or ";

		len += (size_t)snprintf(out + len, FORMS_MAX - len, "%s%s", sep,
			handoff__transports[i]->form);
	}
}

static const struct handoff__transport *
find(const char *address, const char **rest)
{
	for (size_t i = 0; address && handoff__transports[i]; i++) {
		size_t len = strlen(handoff__transports[i]->prefix);

		if (strncmp(address, handoff__transports[i]->prefix, len) ==
			0) {
			*rest = address + len;
			return handoff__transports[i];
		}
	}
	return NULL;
}

const struct handoff__transport *
handoff__transport_find(const char *object, const char *address,
	const char **rest, struct handoff__error *error)
{
	const struct handoff__transport *transport = find(address, rest);
	char forms[FORMS_MAX];

	if (transport)
		return transport;
	list_forms(forms);
	handoff__fail(error, -EINVAL, "%s: address '%.120s': want %s", object,
		address ? address : "", forms);
	return NULL;
}

int
handoff__transport_check(const char *address, struct handoff__error *error)
{
	const char *rest = "";
	char forms[FORMS_MAX];

	if (find(address, &rest) && rest[0])
		return 0;
	list_forms(forms);
	return handoff__fail(error, -EINVAL,
		"'%.60s' is no address for notices: want %s", address, forms);
}
