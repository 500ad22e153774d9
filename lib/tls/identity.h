/* SPDX-License-Identifier: MIT */
/*
 * What a handshake depends on besides its seed and its input, as a hash: the
 * build of OpenSSL, the certificates, the options. Two processes with the same
 * identity make the same bytes of the same handshake; with different ones a
 * replay is not tried. It is a hint: what `configure` does is seen only as far
 * as OpenSSL shows it, so the bytes are compared all the same.
 */
#ifndef HANDOFF_TLS_IDENTITY_H
#define HANDOFF_TLS_IDENTITY_H

#include "tls/settings.h"

#include <openssl/ssl.h>

#define HANDOFF__TLS_IDENTITY 32 /* bytes */

/* Of a context that is set up in `lib`. False: OpenSSL has failed. */
bool handoff__tls_identity(uint8_t identity[HANDOFF__TLS_IDENTITY],
	OSSL_LIB_CTX *lib, SSL_CTX *ctx,
	const struct handoff__tls_settings *settings);

#endif
