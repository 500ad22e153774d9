/* SPDX-License-Identifier: MIT */
/* What the command line of a client says of TLS. */
#include "base/argv.h"
#include "tls/component.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* TLS is on by any of its options; --tls says so without one. */
struct wanted {
	struct handoff_tls_client_opts opts;
	bool tls;
};

/* What every version has. */
#define LEAST_SIZE HANDOFF__SIZE_TO(struct handoff_tls_client_opts, errbuf_size)

#define FIELD(name) offsetof(struct wanted, opts.name)

static_assert(FIELD(nalpn) == FIELD(alpn) + sizeof(char **),
	"a list is followed by its length");

static const struct handoff__argument table[] = {
	{.name = "tls",
		.kind = HANDOFF__ARGUMENT_FLAG,
		.offset = offsetof(struct wanted, tls)},
	{.name = "ca",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(ca_file)},
	{.name = "tls-name",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(name)},
	{.name = "tls-pin",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(pin)},
	{.name = "tls-cert",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(cert_file)},
	{.name = "tls-key",
		.kind = HANDOFF__ARGUMENT_TEXT,
		.offset = FIELD(key_file)},
	{.name = "tls-alpn",
		.kind = HANDOFF__ARGUMENT_LIST,
		.offset = FIELD(alpn),
		.max = 16},
};

static const struct handoff__arguments known = {
	table, sizeof(table) / sizeof(table[0])};

static const char help[] =
	"  --tls                speaks TLS 1.3; implied by those that follow\n"
	"  --ca FILE            who may certify the server, PEM; without it "
	"whom\n"
	"                       the system trusts\n"
	"  --tls-name NAME      that its certificate must have; without it the "
	"host\n"
	"                       of the address\n"
	"  --tls-pin HEX        SHA-256 of its public key; without --ca in "
	"place\n"
	"                       of CA and name\n"
	"  --tls-cert FILE, --tls-key FILE\n"
	"                       the client's own certificate and its key, PEM\n"
	"  --tls-alpn NAME      a protocol; may be repeated\n";

const char *
handoff_tls_client_opts_help(void)
{
	return help;
}

int
handoff_tls_client_opts_read(struct handoff_tls_client_opts *opts, int *argc,
	char **argv, char *errbuf, size_t errbuf_size)
{
	static const struct handoff__error lone = {
		"--tls-cert and --tls-key belong together: one is missing"};
	struct wanted wanted;
	const struct handoff_tls_client_opts *o = &wanted.opts;
	int err;

	if (!opts || opts->size < LEAST_SIZE)
		return -EINVAL;
	memset(&wanted, 0, sizeof(wanted));
	memcpy(&wanted.opts, opts, LEAST_SIZE);
	err = handoff__argv_opts(&known, &wanted, sizeof(wanted), argc, argv,
		errbuf, errbuf_size);
	if (err < 0)
		return err;
	if (!o->cert_file != !o->key_file) {
		handoff__error_copy(&lone, errbuf, errbuf_size);
		return -EINVAL;
	}
	memcpy(opts, o, LEAST_SIZE);
	return wanted.tls || o->ca_file || o->name || o->pin || o->cert_file ||
	       o->key_file || o->nalpn > 0;
}
