/* SPDX-License-Identifier: MIT */
/*
 * What an edition is made of: the bytes of the files, read once, so that each
 * thread makes its context of the same ones, whatever is in the files by then.
 */
#ifndef HANDOFF_TLS_MATERIAL_H
#define HANDOFF_TLS_MATERIAL_H

#include "tls/settings.h"

#include <openssl/ssl.h>

struct handoff__tls_file {
	unsigned char *data;
	size_t len;
};

struct handoff__tls_material {
	struct handoff__tls_file cert, key, client_ca;
};

/* Reads the files. -errno of open(2) and read(2), -EINVAL, or -EPERM for a key
 * that all users may read, with a sentence that names the file; to be freed in
 * either case. */
int handoff__tls_material_read(struct handoff__tls_material *material,
	const struct handoff__tls_settings *settings,
	struct handoff__error *error);

/* Erases them. */
void handoff__tls_material_free(struct handoff__tls_material *material);

/* Puts certificate, key and CAs into a context that is in `lib`. -EINVAL or
 * -ENOMEM with a sentence. */
int handoff__tls_material_install(const struct handoff__tls_material *material,
	const struct handoff__tls_settings *settings, OSSL_LIB_CTX *lib,
	SSL_CTX *ctx, struct handoff__error *error);

#endif
