/* SPDX-License-Identifier: MIT */
/*
 * The command line. Checks each option and that they go together; files,
 * addresses and devices are checked by those that use them.
 */
#include "ferry/options.h"

#include "base/argv.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct read_options {
	struct handoff__ferry_options ferry;
	bool help, version;
};

#define FIELD(name) offsetof(struct read_options, ferry.name)

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

#define TEXT(word, field)                                                      \
	{                                                                      \
		.name = (word), .kind = HANDOFF__ARGUMENT_TEXT,                \
		.offset = FIELD(field)                                         \
	}
#define NUMBER(word, field, most)                                              \
	{                                                                      \
		.name = (word), .kind = HANDOFF__ARGUMENT_NUMBER,              \
		.offset = FIELD(field), .max = (most)                          \
	}

static const struct handoff__argument table[] = {
	{.name = "dir",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(dir),
		.env = "HANDOFF_DIR"},
	TEXT("listen", listen),
	TEXT("to", to),
	TEXT("cert", cert),
	TEXT("key", key),
	TEXT("peer-cert", peer_cert),
	TEXT("address", address),
	TEXT("dev", dev),
	TEXT("hook", hook),
	{.name = "name",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(name),
		.check = check_name},
	TEXT("log", log),
	NUMBER("batch", batch, HANDOFF__FERRY_BATCH_MOST),
	NUMBER("timeout", timeout_ms, 3600000),
	{.name = "verbose",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = FIELD(verbose)},
	{.name = "help",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = offsetof(struct read_options, help)},
	{.name = "version",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = offsetof(struct read_options, version)},
};

static const struct handoff__arguments known = {
	table, sizeof(table) / sizeof(table[0])};

static const char help[] =
	"usage: handoff-ferry --dir DIR (--listen ADDR | --to ADDR)\n"
	"                     --cert FILE --key FILE --peer-cert FILE\n"
	"                     --address IP/PREFIX[,...] --dev IF [OPTION]...\n"
	"\n"
	"  --dir DIR            the service directory; without this option\n"
	"                       the environment's HANDOFF_DIR\n"
	"  --listen ADDR        waits there for the ferry of the other host\n"
	"  --to ADDR            or dials it there; either can send to the "
	"other\n"
	"  --cert FILE          this ferry's certificate, PEM\n"
	"  --key FILE           its key\n"
	"  --peer-cert FILE     the other ferry's certificate: no other is\n"
	"                       accepted\n"
	"  --address LIST       the service's addresses, which move with it\n"
	"  --dev IF             the network device that they are on\n"
	"  --hook PROGRAM       is told which flows go to the other host, for\n"
	"                       a router that steers them\n"
	"  --name NAME          of this ferry (ferry)\n"
	"  --batch N            connections that move at a time (64)\n"
	"  --timeout MS         how long a move may take (30000)\n"
	"  --log FILE           appends its log there\n"
	"  --verbose            logs each step\n"
	"  --help, --version\n";

const char *
handoff__ferry_options_help(void)
{
	return help;
}

static int
lacks(struct handoff__error *error, const char *option)
{
	return handoff__fail(error, -EINVAL, "%s is needed", option);
}

static int
check_needed(
	const struct handoff__ferry_options *o, struct handoff__error *error)
{
	if (!o->dir)
		return lacks(error, "--dir DIR");
	if (!o->listen && !o->to)
		return lacks(error, "--listen ADDR or --to ADDR");
	if (o->listen && o->to)
		return handoff__fail(error, -EINVAL,
			"--listen and --to: only one of the two ferries "
			"dials, so there may be one of these");
	if (!o->cert || !o->key)
		return lacks(error, "--cert FILE and --key FILE");
	if (!o->peer_cert)
		return lacks(error, "--peer-cert FILE");
	if (!o->address)
		return lacks(error, "--address IP/PREFIX");
	if (!o->dev)
		return lacks(error, "--dev IF");
	return 0;
}

int
handoff__ferry_options_read(struct handoff__ferry_options *options, int argc,
	char **argv, struct handoff__error *error)
{
	struct read_options read = {
		.ferry = {.name = "ferry",
			.batch = HANDOFF__FERRY_BATCH,
			.timeout_ms = HANDOFF__FERRY_TIMEOUT_MS}};
	int err = handoff__argv_read(
		&known, &read, sizeof(read), &argc, argv, error);

	if (err < 0)
		return err;
	if (read.help)
		return HANDOFF__FERRY_HELP;
	if (read.version)
		return HANDOFF__FERRY_VERSION;
	if (argc > 1)
		return handoff__fail(
			error, -EINVAL, "%.60s is not an option", argv[1]);
	err = check_needed(&read.ferry, error);
	if (err == 0)
		*options = read.ferry;
	return err;
}
