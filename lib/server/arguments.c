/* SPDX-License-Identifier: MIT */
/*
 * Parses the usual command-line options into the options of a server. Checks
 * each value on its own; combinations are checked by handoff_server_open, which
 * also sees what the program has set itself.
 */
#include "server/internal.h"

#include "base/argv.h"
#include "lease/lease.h"
#include "notice/transport.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define FIELD(name) offsetof(struct handoff_server_opts, name)
#define TIME_MAX_MS 3600000
#define CLIENTS_MAX 1000000
#define LEAST_SIZE  FIELD(workers) /* up to errbuf, which every version has */

static_assert(HANDOFF__LISTEN_MAX <= HANDOFF__ARGUMENT_LIST_MAX,
	"as many addresses as a server takes");
static_assert(sizeof(enum handoff_model) == sizeof(uint32_t),
	"a model is stored as a choice");
static_assert(FIELD(nlisten) == FIELD(listen) + sizeof(char **),
	"a list is followed by its length");
static_assert(FIELD(nnotices) == FIELD(notices) + sizeof(char **),
	"a list is followed by its length");

static int
check_name(const char *value, struct handoff__error *error)
{
	if (handoff__name_ok(value))
		return 0;
	return handoff__fail(error, -EINVAL,
		"'%.40s' is not a name: 1 to %d of A-Z a-z 0-9 . _ -, the "
		"first not a dot",
		value, HANDOFF_NAME_MAX - 1);
}

static int
check_model(const char *value, struct handoff__error *error)
{
	int model = handoff_model_parse(value);

	return model >= 0 ? model
			  : handoff__fail(error, -EINVAL,
				    "'%.40s' is none of loop, thread, fork, "
				    "iterative",
				    value);
}

#define MS(field)                                                              \
	.kind = HANDOFF__ARGUMENT_NUMBER, .offset = FIELD(field),              \
	.max = TIME_MAX_MS

static int
check_ttl(const char *text, struct handoff__error *error)
{
	unsigned long seconds = strtoul(text, NULL, 10);

	if (seconds * 1000 >= HANDOFF_LEASE_TTL_MIN_MS)
		return 0;
	return handoff__fail(error, -EINVAL,
		"%lu s are too short for a lease: want %d to %d", seconds,
		HANDOFF_LEASE_TTL_MIN_MS / 1000,
		HANDOFF_LEASE_TTL_MAX_MS / 1000);
}

static const struct handoff__argument table[] = {
	{.name = "dir",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(dir),
		.env = "HANDOFF_DIR"},
	{.name = "listen",
		.kind = HANDOFF__ARGUMENT_LIST,
		.offset = FIELD(listen),
		.max = HANDOFF__LISTEN_MAX,
		.check = handoff__argv_address},
	{.name = "name",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(name),
		.check = check_name},
	{.name = "model",
		.kind = HANDOFF__ARGUMENT_CHOICE,
		.offset = FIELD(model),
		.check = check_model},
	{.name = "workers",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		.offset = FIELD(workers),
		.max = HANDOFF__WORKERS_MAX},
	{.name = "max-connections",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		.offset = FIELD(max_connections),
		.max = CLIENTS_MAX},
	{.name = "max-per-address",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		.offset = FIELD(max_per_address),
		.max = CLIENTS_MAX},
	{.name = "refuse-excess",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(refuse_excess)},
	{.name = "origin",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		.offset = FIELD(origin),
		.max = HANDOFF__ORIGIN_MAX},
	{.name = "fence",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(fence)},
	{.name = "hang-timeout", MS(hang_timeout_ms)},
	{.name = "give-timeout", MS(give_timeout_ms)},
	{.name = "stop-timeout", MS(stop_timeout_ms)},
	{.name = "suspect-wait", MS(suspect_wait_ms)},
	{.name = "connect-timeout", MS(connect_timeout_ms)},
	{.name = "spread", MS(spread_ms)},
	{.name = "notices",
		.kind = HANDOFF__ARGUMENT_LIST,
		.offset = FIELD(notices),
		.max = HANDOFF__NOTICES_MAX,
		.check = handoff__transport_check},
	{.name = "lease",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(lease)},
	{.name = "lease-ttl",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		.offset = FIELD(lease_ttl_s),
		.max = HANDOFF_LEASE_TTL_MAX_MS / 1000,
		.check = check_ttl},
	{.name = "lease-host",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(lease_host),
		.check = check_name},
	{.name = "sessions",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(sessions)},
	{.name = "session-timeout", MS(session_timeout_ms)},
	{.name = "session-max",
		.kind = HANDOFF__ARGUMENT_NUMBER,
		.offset = FIELD(session_max),
		.max = CLIENTS_MAX},
	{.name = "session-listen",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(session_listen),
		.check = handoff__argv_address},
	{.name = "lock-memory",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(lock_memory)},
	{.name = "trace",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(trace)},
};

static const struct handoff__arguments known = {
	table, sizeof(table) / sizeof(table[0])};

static_assert(sizeof(table) / sizeof(table[0]) <= HANDOFF__ARGUMENTS_MAX,
	"there is a place for each");

static const char help[] =
	"  --dir DIR            the service directory; without this option\n"
	"                       the environment's HANDOFF_DIR\n"
	"  --listen ADDR        HOST:PORT, [IPV6]:PORT, :PORT, unix:/PATH;\n"
	"                       port 0: any free port; may be repeated\n"
	"  --name NAME          of this peer\n"
	"  --model MODEL        loop (default), thread, fork, iterative\n"
	"  --workers N          threads that serve, model loop only (1)\n"
	"  --max-connections N  served at once; more wait (16384)\n"
	"  --max-per-address N  from one address, IPv6: from one /64; more\n"
	"                       are closed at once (any number)\n"
	"  --refuse-excess      more than --max-connections are closed too\n"
	"  --origin N           upper bits of ids, for directories between\n"
	"                       which connections are to move (0)\n"
	"  --fence              kill the other peer if it hangs; take over\n"
	"  --hang-timeout MS    its silence that counts as hanging (5000)\n"
	"  --give-timeout MS    how long a handoff waits for handlers (5000)\n"
	"  --stop-timeout MS    how long a stop without a standby lets\n"
	"                       connections finish (1000)\n"
	"  --suspect-wait MS    how long an input that may have killed a\n"
	"                       process waits for a standby (30000)\n"
	"  --connect-timeout MS for connections that a service makes (10000)\n"
	"  --spread MS          clients come home within this time (2000)\n"
	"  --notices ADDR       where clients are notified, see\n"
	"                       handoff_notice(3): mq:DIR, sysv:DIR, "
	"unix:DIR;\n"
	"                       may be repeated (mq: and the directory)\n"
	"  --lease ADDR         of several hosts serve only with this lease,\n"
	"                       see handoff_lease(3)\n"
	"  --lease-ttl SECONDS  after which a silent host has lost it (15)\n"
	"  --lease-host NAME    of this host among them (the system's)\n"
	"  --sessions           clients can have sessions, which outlive "
	"their\n"
	"                       connections, see handoff_session(3)\n"
	"  --session-timeout MS how long one lives without a connection "
	"(60000)\n"
	"  --session-max N      of those; above that the oldest ends (1000)\n"
	"  --session-listen AT  one more address, for sessions only\n"
	"  --lock-memory        keep the shared memory from being swapped\n"
	"  --trace              log each connection: it comes, moves, goes\n";

int
handoff_server_opts_read(
	struct handoff_server_opts *opts, int *argc, char **argv)
{
	if (!opts || opts->size < LEAST_SIZE)
		return -EINVAL;
	return handoff__argv_opts(&known, opts, opts->size, argc, argv,
		opts->errbuf, opts->errbuf_size);
}

const char *
handoff_server_opts_help(void)
{
	return help;
}
