/* SPDX-License-Identifier: MIT */
/*
 * The credentials of a ferry, and TLS sessions that read and write memory.
 *
 * Both sides prove that they have the key of a pinned certificate: exactly the
 * certificates of a file are accepted, compared as a whole (DER). There is no
 * CA, no chain and no name, and dates are not looked at: the pin is the trust,
 * and a move must not fail because a certificate ran out at night or because a
 * host that has just booted has no time yet. A certificate that is no longer
 * valid is taken out of the file; two certificates in the file make a change of
 * keys possible without a gap.
 *
 * TLS 1.3 only. No tickets, no resumption, no early data, no renegotiation.
 */
#ifndef HANDOFF_FERRY_TLS_H
#define HANDOFF_FERRY_TLS_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* SHA-256 of a certificate as `openssl x509 -fingerprint -sha256` prints it,
 * with its terminating zero. */
#define HANDOFF__FINGERPRINT 96

/* At most so many certificates are pinned. */
#define HANDOFF__PINS 16

struct handoff__tls;
struct handoff__tls_session;

struct handoff__tls_files {
	const char *cert; /* PEM; the first certificate counts */
	const char *key;  /* PEM without a passphrase, not readable by all */
	const char *peer; /* PEM, 1 to HANDOFF__PINS certificates */
};

/* Reads the files; they are not read again. -errno with a sentence that names
 * the file: that of open(2), -EINVAL for what it has in it, -EPERM for a key
 * that all users may read. */
int handoff__tls_open(struct handoff__tls **out,
	const struct handoff__tls_files *files, struct handoff__error *error);
void handoff__tls_free(struct handoff__tls *tls); /* NULL is fine */

/* Of its own certificate. */
const char *handoff__tls_fingerprint(const struct handoff__tls *tls);

/*
 * One session. It has no socket: its owner puts in what came from the network
 * and sends what it gives out. Nothing blocks, no signal is raised. The tls
 * must outlive its sessions.
 */
int handoff__tls_session_open(struct handoff__tls_session **out,
	const struct handoff__tls *tls, bool dialled,
	struct handoff__error *error);
void handoff__tls_session_free(struct handoff__tls_session *session);

/* 1: both have shown their certificates (a dialler knows that the other side
 * has accepted its own only when data comes). 0: put in or send more. -EPROTO,
 * -EACCES (not the pinned certificate; the sentence has the fingerprint) or
 * -EPROTONOSUPPORT (TLS version, or not TLS) with a sentence; what is to be
 * sent then tells the other side why. */
int handoff__tls_handshake(
	struct handoff__tls_session *session, struct handoff__error *error);

/* The other side's certificate, after the handshake or after -EACCES; "" before
 * that. */
const char *handoff__tls_peer(const struct handoff__tls_session *session);

/* Where to put bytes that came, and how many there is room for. Afterwards
 * _came says how many were put there. */
size_t handoff__tls_space(struct handoff__tls_session *session, char **at);
void handoff__tls_came(struct handoff__tls_session *session, size_t len);

/* What is to be sent next, as far as it lies in one piece. Afterwards _sent
 * says how much of it was sent. */
size_t handoff__tls_output(struct handoff__tls_session *session, char **at);
void handoff__tls_sent(struct handoff__tls_session *session, size_t len);

/* Decrypts: a number of bytes; -EAGAIN: put in more; -EPIPE: the other side has
 * ended the session; -EPROTO, -EACCES as above with a sentence. */
ssize_t handoff__tls_read(struct handoff__tls_session *session, void *data,
	size_t size, struct handoff__error *error);

/* Encrypts up to `len` bytes: a number; -EAGAIN: send first; -EPROTO with a
 * sentence. Only _output shows what is to be sent. */
ssize_t handoff__tls_write(struct handoff__tls_session *session,
	const void *data, size_t len, struct handoff__error *error);

/* Tells the other side that no more comes (close_notify). */
void handoff__tls_end(struct handoff__tls_session *session);

#endif
