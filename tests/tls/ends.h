/* SPDX-License-Identifier: MIT */
/*
 * Both ends of one direction of a connection, with the same secret, and TLS
 * records with any inner plain text, sealed by EVP calls of the test's own.
 */
#ifndef TESTS_TLS_ENDS_H
#define TESTS_TLS_ENDS_H

#include "tls/update.h"

struct ends {
	struct handoff__tls_suites suites;
	struct handoff__tls_dir write, read;
	struct handoff__tls_key write_key, read_key;
	struct handoff__tls_end w, r;
	struct handoff__tls_messages messages;
};

/* `which`: 0 to HANDOFF__TLS_SUITES - 1. */
void ends_open(struct ends *ends, unsigned which);
void ends_close(struct ends *ends);

/* A TLS record with `n` bytes of inner plain text (content, type, padding) and
 * the number dir->seq, which goes up. Returns its length. */
size_t ends_seal_inner(const struct handoff__tls_suite *suite,
	struct handoff__tls_dir *dir, const uint8_t *inner, size_t n,
	uint8_t *out);

/* Sealed by ends->w as it is, whatever it is. */
size_t ends_seal(struct ends *ends, unsigned type, const void *content,
	size_t len, uint8_t *out);

/* Asserts that the TLS record comes out of ends->r as that. */
void ends_expect(struct ends *ends, const uint8_t *record, size_t len,
	unsigned type, const void *content, size_t content_len);

/* Asserts that ends->r refuses it with `err`, that nothing has changed, and
 * that no plain text is left. */
void ends_refuse(struct ends *ends, const uint8_t *record, size_t len, int err);

/* The same bytes each time. */
void ends_fill(uint8_t *p, size_t len, unsigned seed);

/* Of hexadecimal digits; returns their number of bytes. */
size_t ends_hex(const char *digits, uint8_t *out);

#endif
