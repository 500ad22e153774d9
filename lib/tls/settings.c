/* SPDX-License-Identifier: MIT */
/*
 * Checks the options that concern handshakes, and copies them. What the files
 * have in them is not looked at.
 */
#include "tls/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The most bytes of an extension's list of names. */
#define ALPN_LIST_MAX 65535u

static bool
copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static int
check_client(struct handoff__tls_settings *settings,
	const struct handoff_tls_opts *opts, struct handoff__error *error)
{
	bool has_ca = opts->client_ca_file != NULL;

	settings->client = opts->client;
	if (has_ca && opts->client == HANDOFF_TLS_CLIENT_NONE)
		settings->client = HANDOFF_TLS_CLIENT_REQUIRED;
	if ((unsigned)opts->client > HANDOFF_TLS_CLIENT_REQUIRED)
		return handoff__fail(error, -EINVAL,
			"TLS: client %u is none of HANDOFF_TLS_CLIENT_...",
			(unsigned)opts->client);
	if (!has_ca && opts->client != HANDOFF_TLS_CLIENT_NONE)
		return handoff__fail(error, -EINVAL,
			"TLS: clients are to be asked for a certificate, but "
			"there is no client_ca_file: set it, or leave client "
			"as it is");
	return 0;
}

static int
check_alpn(const struct handoff_tls_opts *opts, size_t *total,
	struct handoff__error *error)
{
	*total = 0;
	for (size_t i = 0; i < opts->nalpn; i++) {
		size_t len =
			opts->alpn && opts->alpn[i] ? strlen(opts->alpn[i]) : 0;

		if (len == 0 || len >= HANDOFF_TLS_ALPN_MAX)
			return handoff__fail(error, -EINVAL,
				"TLS: protocol %zu of alpn has %zu bytes, not "
				"1 to %d",
				i + 1, len, HANDOFF_TLS_ALPN_MAX - 1);
		*total += len + 1;
	}
	if (*total > ALPN_LIST_MAX)
		return handoff__fail(error, -EINVAL,
			"TLS: %zu protocols in alpn are too many", opts->nalpn);
	return 0;
}

static int
copy_alpn(struct handoff__tls_settings *settings,
	const struct handoff_tls_opts *opts, struct handoff__error *error)
{
	size_t total, at = 0;
	int err = check_alpn(opts, &total, error);

	if (err < 0 || total == 0)
		return err;
	settings->alpn = malloc(total);
	if (!settings->alpn)
		return handoff__fail(error, -ENOMEM, "TLS: out of memory");
	for (size_t i = 0; i < opts->nalpn; i++) {
		size_t len = strlen(opts->alpn[i]);

		settings->alpn[at++] = (unsigned char)len;
		memcpy(settings->alpn + at, opts->alpn[i], len);
		at += len;
	}
	settings->alpn_len = (unsigned)total;
	return 0;
}

int
handoff__tls_settings_init(struct handoff__tls_settings *settings,
	const struct handoff_tls_opts *opts, struct handoff__error *error)
{
	int err;

	memset(settings, 0, sizeof(*settings));
	settings->configure = opts->configure;
	settings->arg = opts->arg;
	if (!opts->cert_file || !opts->key_file)
		return handoff__fail(error, -EINVAL,
			"TLS: no %s: a server needs a certificate and its key",
			opts->cert_file ? "key_file" : "cert_file");
	err = check_client(settings, opts, error);
	if (err == 0)
		err = copy_alpn(settings, opts, error);
	if (err == 0 &&
		(!copy_text(&settings->cert_file, opts->cert_file) ||
			!copy_text(&settings->key_file, opts->key_file) ||
			!copy_text(&settings->client_ca_file,
				opts->client_ca_file) ||
			!copy_text(&settings->version, opts->version)))
		err = handoff__fail(error, -ENOMEM, "TLS: out of memory");
	return err;
}

void
handoff__tls_settings_free(struct handoff__tls_settings *settings)
{
	free(settings->cert_file);
	free(settings->key_file);
	free(settings->client_ca_file);
	free(settings->version);
	free(settings->alpn);
	memset(settings, 0, sizeof(*settings));
}
