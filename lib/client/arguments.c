/* SPDX-License-Identifier: MIT */
/* Parses the usual command-line options into the options of a client. */
#include "client/client.h"

#include "base/argv.h"
#include "notice/transport.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#define FIELD(name) offsetof(struct handoff_client_opts, name)
#define LEAST_SIZE  FIELD(dir) /* up to errbuf, which every version has */

static_assert(FIELD(nendpoints) == FIELD(endpoints) + sizeof(char **),
	"a list is followed by its length");
static_assert(FIELD(nsubscriptions) == FIELD(subscriptions) + sizeof(char **),
	"a list is followed by its length");

static const struct handoff__argument table[] = {
	{.name = "connect",
		.kind = HANDOFF__ARGUMENT_LIST,
		.offset = FIELD(endpoints),
		.max = HANDOFF__ENDPOINTS_MAX,
		.check = handoff__argv_address},
	{.name = "dir",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(dir),
		.env = "HANDOFF_DIR"},
	{.name = "notices",
		.kind = HANDOFF__ARGUMENT_LIST,
		.offset = FIELD(subscriptions),
		.max = HANDOFF__NOTICES_MAX,
		.check = handoff__transport_check},
	{.name = "session",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(session)},
};

static const struct handoff__arguments known = {
	table, sizeof(table) / sizeof(table[0])};

static const char help[] =
	"  --connect ADDR       HOST:PORT, [IPV6]:PORT, unix:/PATH; the first\n"
	"                       is home, others are tried in turn\n"
	"  --dir DIR            the service directory, for notices of "
	"handoffs;\n"
	"                       without it the environment's HANDOFF_DIR\n"
	"  --notices ADDR       further notices: mq:DIR, sysv:DIR, unix:DIR, "
	"see\n"
	"                       handoff_notice(3); may be repeated\n"
	"  --session            goes on with its session on each new "
	"connection;\n"
	"                       the server must have sessions\n";

int
handoff_client_opts_read(
	struct handoff_client_opts *opts, int *argc, char **argv)
{
	if (!opts || opts->size < LEAST_SIZE)
		return -EINVAL;
	return handoff__argv_opts(&known, opts, opts->size, argc, argv,
		opts->errbuf, opts->errbuf_size);
}

const char *
handoff_client_opts_help(void)
{
	return help;
}
