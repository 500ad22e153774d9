/* SPDX-License-Identifier: MIT */
/*
 * The options of the service as far as handshakes need them: checked, and a
 * copy of its own. It opens no file.
 */
#ifndef HANDOFF_TLS_SETTINGS_H
#define HANDOFF_TLS_SETTINGS_H

#include "base/text.h"

#include <handoff/tls.h>

struct handoff__tls_settings {
	char *cert_file, *key_file;
	char *client_ca_file; /* NULL: clients are not asked */
	char *version;
	enum handoff_tls_client_cert client;
	unsigned char *alpn; /* as on the wire: lengths and names */
	unsigned alpn_len;
	handoff_tls_configure_fn *configure;
	void *arg;
};

/* -EINVAL with a sentence, or -ENOMEM; to be freed in either case. */
int handoff__tls_settings_init(struct handoff__tls_settings *settings,
	const struct handoff_tls_opts *opts, struct handoff__error *error);
void handoff__tls_settings_free(struct handoff__tls_settings *settings);

#endif
