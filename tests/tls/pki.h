/* SPDX-License-Identifier: MIT */
/* Certificates and keys for the tests of TLS, in the test's directory. */
#ifndef TESTS_TLS_PKI_H
#define TESTS_TLS_PKI_H

#include "support/support.h"

enum pki_type {
	PKI_ECDSA,
	PKI_RSA,
	PKI_ED25519,
};

struct pki {
	char cert[160], key[160]; /* paths */
};

/* NAME.crt and NAME.key, with the subject CN=NAME,O=Test; signed by `ca`, or by
 * itself as a CA. */
struct pki pki_make(const char *name, enum pki_type type, const struct pki *ca);

/* The same, for a server: with these names, such as "DNS:a.test,IP:127.0.0.1",
 * and valid between these seconds from now. */
struct pki pki_make_server(const char *name, const struct pki *ca,
	const char *names, long from, long to);

/* A path in the test's directory, in memory that the next call but three
 * reuses. */
const char *pki_path(const char *name);

void pki_write(const char *path, const char *text);

/* Appends a file to another. */
void pki_append(const char *path, const char *from);

#endif
