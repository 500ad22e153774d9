/* SPDX-License-Identifier: MIT */
/*
 * Any text as an address: it is refused with a sentence, or taken apart into
 * parts that make the same address when put together again.
 */
#include "fuzz.h"

#include "base/addr.h"

#include <errno.h>
#include <stdio.h>

static void
check_parts(const struct handoff__addr *addr)
{
	char text[2 * HANDOFF_ADDRESS_MAX];
	struct handoff__addr again;

	if (addr->local) {
		check(addr->path[0] != '\0');
		snprintf(text, sizeof(text), "unix:%s", addr->path);
	} else {
		check(strspn(addr->port, "0123456789") == strlen(addr->port));
		check(strtoul(addr->port, NULL, 10) <= 65535);
		snprintf(text, sizeof(text),
			addr->host[0] ? "[%s]:%s" : "%s:%s", addr->host,
			addr->port);
	}
	check(handoff__addr_parse(&again, text, NULL) == 0);
	check(memcmp(&again, addr, sizeof(again)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handoff__error error = {.text = ""};
	struct handoff__addr addr;
	/* As long as the text, so that a read past it is seen. */
	char *text = malloc(size + 1);
	int err;

	check(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	err = handoff__addr_parse(&addr, text, &error);
	check(err == 0 || (err == -EINVAL && error.text[0] != '\0'));
	if (err == 0)
		check_parts(&addr);
	free(text);
	return 0;
}
