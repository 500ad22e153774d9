/* SPDX-License-Identifier: MIT */
/*
 * A client gets TLS by a layer between its bytes and those on their way: the
 * rest of the program is not changed. Where these programs were built without
 * the component, the options are refused.
 */
#include "tls_client.h"

#include <stdio.h>
#include <string.h>

#ifdef EXAMPLES_TLS

#include <handoff/tls.h>

static struct handoff_tls_client_opts tls = {.size = sizeof(tls)};
static struct handoff_client_layer layer;
static bool wanted;

bool
tls_client_read_options(
	struct handoff_client_opts *opts, int *argc, char **argv)
{
	int rc = handoff_tls_client_opts_read(
		&tls, argc, argv, opts->errbuf, opts->errbuf_size);

	wanted = rc > 0;
	return rc >= 0;
}

bool
tls_client_wrap(struct handoff_client_opts *opts)
{
	int err;

	if (!wanted)
		return true;
	tls.errbuf = opts->errbuf;
	tls.errbuf_size = opts->errbuf_size;
	err = handoff_tls_client(&layer, &tls);
	if (err < 0 && !*opts->errbuf)
		snprintf(opts->errbuf, opts->errbuf_size, "TLS: %s",
			strerror(-err));
	opts->layer = &layer;
	return err == 0;
}

const char *
tls_client_help(void)
{
	return handoff_tls_client_opts_help();
}

#else

bool
tls_client_read_options(
	struct handoff_client_opts *opts, int *argc, char **argv)
{
	for (int i = 1; i < *argc; i++) {
		if (strncmp(argv[i], "--tls", 5) != 0 &&
			strncmp(argv[i], "--ca", 4) != 0)
			continue;
		snprintf(opts->errbuf, opts->errbuf_size,
			"%s: built without TLS, since OpenSSL was "
			"not found (on Debian: libssl-dev)",
			argv[i]);
		return false;
	}
	return true;
}

bool
tls_client_wrap(struct handoff_client_opts *opts)
{
	(void)opts;
	return true;
}

const char *
tls_client_help(void)
{
	return "";
}

#endif
