/* SPDX-License-Identifier: MIT */
/* Certificates and keys for the tests, in the test's directory. */
#ifndef TESTS_FERRY_CERTS_H
#define TESTS_FERRY_CERTS_H

#include "support/support.h"

#include "ferry/tls.h"

struct credentials {
	char cert[128], key[128];
};

/* A self-signed certificate NAME.crt with NAME.key that is valid for so many
 * seconds from now; negative: has run out. */
struct credentials certs_make(const char *name, long seconds);

/* A path in the test's directory. */
const char *certs_path(char path[128], const char *name);

void certs_write(const char *path, const char *text);

/* Appends a file to another. */
void certs_append(const char *path, const char *from);

/* One with these files, or fails the test. */
struct handoff__tls *certs_open(
	const struct credentials *own, const char *peer);

#endif
