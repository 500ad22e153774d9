/* SPDX-License-Identifier: MIT */
/*
 * Traffic secrets as OpenSSL tells them in lines of the SSLKEYLOGFILE format,
 * which is another way than that of the component.
 */
#ifndef TESTS_TLS_KEYLOG_H
#define TESTS_TLS_KEYLOG_H

#include "tls/secrets.h"

#include <openssl/ssl.h>

/* For SSL_CTX_set_keylog_callback; the secrets of a connection are what its
 * SSL_get_app_data points to. */
void keylog_read(const SSL *ssl, const char *line);

#endif
