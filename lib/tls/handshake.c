/* SPDX-License-Identifier: MIT */
/*
 * One handshake: an SSL object between two memory buffers. It gets the input
 * TLS record by TLS record, so that where the handshake's last byte was does
 * not depend on how OpenSSL reads. All that it draws comes from the stream of
 * its seed; nothing is drawn after what the state of a key that other
 * handshakes share (the blinding of RSA) has a part in.
 */
#include "tls/handshake.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 5u

/* A fragment of the size that TLS allows (RFC 8446, 5.1). */
#define FRAGMENT_MAX 16384u

struct handoff__tls_handshake {
	struct handoff__tls_edition *edition;
	struct handoff__tls_stream *stream;
	SSL *ssl;
	BIO *in, *out;     /* of ssl */
	size_t fed;        /* bytes of input that OpenSSL has got */
	size_t record_end; /* where the TLS record ends that it has got the
			    * beginning of; `fed`, if there is none */
	enum handoff__tls_progress progress;
	bool finished; /* the server's Finished is in the output */
	bool alert_received;
	int alert; /* -1: none */
	struct handoff__tls_secrets secrets;
	struct handoff__tls_outcome outcome;
	char why[256];
};

/* ---- what OpenSSL reports ---- */

static void
see_message(int writes, int version, int type, const void *data, size_t len,
	SSL *ssl, void *arg)
{
	struct handoff__tls_handshake *hs = arg;
	const uint8_t *bytes = data;

	(void)version;
	(void)ssl;
	if (type == SSL3_RT_ALERT && len == 2) {
		hs->alert = bytes[1];
		hs->alert_received = !writes;
	} else if (type == SSL3_RT_HANDSHAKE && writes && len > 0 &&
		   bytes[0] == SSL3_MT_FINISHED) {
		hs->finished = true;
	} else if (type == SSL3_RT_HEADER && writes && hs->finished) {
		hs->outcome.sent++; /* begins after the one with Finished */
	}
}

static void
fail(struct handoff__tls_handshake *hs, const char *reason)
{
	char alert[96] = "";

	if (hs->alert >= 0)
		snprintf(alert, sizeof(alert), ": alert %d (%s) %s", hs->alert,
			SSL_alert_desc_string_long(hs->alert),
			hs->alert_received ? "received" : "sent");
	snprintf(
		hs->why, sizeof(hs->why), "TLS handshake: %s%s", reason, alert);
	hs->progress = HANDOFF__TLS_FAILED;
}

/* ---- its beginning and its end ---- */

static bool
set_up(struct handoff__tls_handshake *hs, SSL_CTX *ctx)
{
	hs->ssl = SSL_new(ctx);
	hs->in = BIO_new(BIO_s_mem());
	hs->out = BIO_new(BIO_s_mem());
	if (!hs->ssl || !hs->in || !hs->out) {
		BIO_free(hs->in);
		BIO_free(hs->out);
		return false;
	}
	BIO_set_mem_eof_return(hs->in, -1);
	SSL_set_bio(hs->ssl, hs->in, hs->out);
	SSL_set_msg_callback(hs->ssl, see_message);
	SSL_set_msg_callback_arg(hs->ssl, hs);
	SSL_set_max_cert_list(hs->ssl, HANDOFF__TLS_HANDSHAKE_MAX);
	SSL_set_accept_state(hs->ssl);
	return true;
}

static int
begin(struct handoff__tls_handshake *hs, const uint8_t *seed)
{
	const struct handoff__tls_lib *lib;
	SSL_CTX *ctx = handoff__tls_edition_ctx(hs->edition, &lib);
	bool good;

	if (!ctx)
		return -ENOMEM;
	hs->stream = handoff__tls_stream_new(lib, seed);
	if (!hs->stream)
		return -ENOMEM;
	handoff__tls_stream_play(hs->stream);
	good = set_up(hs, ctx);
	handoff__tls_stream_stop();
	return good ? 0 : -ENOMEM;
}

int
handoff__tls_handshake_new(struct handoff__tls_handshake **out,
	struct handoff__tls_contexts *contexts, const uint8_t *identity,
	const uint8_t seed[HANDOFF__TLS_SEED])
{
	struct handoff__tls_handshake *hs = calloc(1, sizeof(*hs));
	int err = -ESTALE;

	if (!hs)
		return -ENOMEM;
	hs->alert = -1;
	hs->edition = handoff__tls_edition_hold(contexts, identity);
	if (hs->edition)
		err = begin(hs, seed);
	ERR_clear_error();
	if (err < 0) {
		handoff__tls_handshake_free(hs);
		return err;
	}
	*out = hs;
	return 0;
}

void
handoff__tls_handshake_free(struct handoff__tls_handshake *hs)
{
	if (!hs)
		return;
	SSL_free(hs->ssl); /* with its buffers */
	handoff__tls_stream_free(hs->stream);
	if (hs->edition)
		handoff__tls_edition_release(hs->edition);
	OPENSSL_cleanse(hs, sizeof(*hs));
	free(hs);
}

/* ---- input ---- */

/* A TLS record that would make the input too long: OpenSSL gets a header with a
 * length that no TLS record may have, and so answers with an alert under the
 * keys of the moment. */
static void
refuse_length(struct handoff__tls_handshake *hs, const uint8_t *header)
{
	const uint8_t impossible[HEADER] = {
		header[0], header[1], header[2], 0xff, 0xff};

	BIO_write(hs->in, impossible, HEADER);
	hs->record_end = SIZE_MAX;
}

/* Finds out where the TLS record ends that begins at `fed`. */
static void
begin_record(struct handoff__tls_handshake *hs, const uint8_t *input)
{
	const uint8_t *header = input + hs->fed;
	size_t len = HEADER + (size_t)(header[3] << 8 | header[4]);

	if (hs->fed + len > HANDOFF__TLS_HANDSHAKE_MAX)
		refuse_length(hs, header);
	else
		hs->record_end += len;
}

/* Gives OpenSSL what there is of one TLS record; a header is given whole. False
 * if there is nothing new. */
static bool
give(struct handoff__tls_handshake *hs, const uint8_t *input, size_t len)
{
	size_t n;

	if (hs->fed == hs->record_end && len - hs->fed >= HEADER)
		begin_record(hs, input);
	if (hs->record_end == SIZE_MAX)
		return true;
	n = (len < hs->record_end ? len : hs->record_end) - hs->fed;
	if (n == 0)
		return false;
	if (BIO_write(hs->in, input + hs->fed, (int)n) != (int)n) {
		fail(hs, "out of memory");
		return false;
	}
	hs->fed += n;
	return true;
}

/* ---- the outcome ---- */

static bool
set_peer(struct handoff__tls_outcome *outcome, const X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len = -1;

	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
			   XN_FLAG_RFC2253) >= 0)
		len = BIO_get_mem_data(bio, &text);
	if (len >= 0) {
		outcome->peer_cut = (size_t)len >= sizeof(outcome->peer);
		snprintf(outcome->peer, sizeof(outcome->peer), "%.*s", (int)len,
			len > 0 ? text : "");
	}
	BIO_free(bio);
	return len >= 0;
}

/* A host name in lower case (RFC 1035 2.3.3); false: it is none, and might do
 * harm in logs and paths. */
static bool
set_server_name(struct handoff__tls_outcome *outcome, const char *name)
{
	size_t len = strlen(name);

	if (len >= sizeof(outcome->server_name))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
				 c == '-' || c == '.' || c == '_'))
			return false;
		outcome->server_name[i] = c;
	}
	outcome->server_name[len] = '\0';
	return true;
}

static bool
set_names(struct handoff__tls_outcome *outcome, SSL *ssl)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const unsigned char *alpn = NULL;
	unsigned alpn_len = 0;

	SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
	if (alpn_len >= sizeof(outcome->alpn) ||
		!set_server_name(outcome, name ? name : ""))
		return false;
	if (alpn_len > 0)
		memcpy(outcome->alpn, alpn, alpn_len);
	return !cert || set_peer(outcome, cert);
}

static bool
set_keys(struct handoff__tls_handshake *hs)
{
	struct handoff__tls_outcome *outcome = &hs->outcome;
	const SSL_CIPHER *cipher = SSL_get_current_cipher(hs->ssl);
	struct handoff__tls_secrets *secrets = &hs->secrets;

	outcome->suite = SSL_CIPHER_get_protocol_id(cipher);
	outcome->secret_len = outcome->suite == 0x1302 ? 48 : 32;
	if (outcome->suite < 0x1301 || outcome->suite > 0x1303 ||
		secrets->client_len != outcome->secret_len ||
		secrets->server_len != outcome->secret_len)
		return false;
	memcpy(outcome->client_secret, secrets->client, outcome->secret_len);
	memcpy(outcome->server_secret, secrets->server, outcome->secret_len);
	outcome->client_keys = secrets->client_keys;
	outcome->server_keys = secrets->server_keys;
	return true;
}

/* What the record layer goes on with. */
static void
finish(struct handoff__tls_handshake *hs)
{
	uint8_t mode =
		SSL_SESSION_get_max_fragment_length(SSL_get0_session(hs->ssl));

	hs->outcome.used = hs->fed;
	hs->outcome.max_fragment =
		mode >= 1 && mode <= 4 ? 256u << mode : FRAGMENT_MAX;
	if (hs->fed != hs->record_end || SSL_has_pending(hs->ssl))
		fail(hs, "OpenSSL has left some of its input");
	else if (!set_keys(hs))
		fail(hs, "OpenSSL derives its secrets elsewhere");
	else if (!set_names(&hs->outcome, hs->ssl))
		fail(hs, "a name is too long, or no host name");
	else
		hs->progress = HANDOFF__TLS_DONE;
	OPENSSL_cleanse(&hs->secrets, sizeof(hs->secrets));
}

static void
step(struct handoff__tls_handshake *hs)
{
	const char *reason;
	int result = SSL_accept(hs->ssl);
	int error =
		result == 1 ? SSL_ERROR_NONE : SSL_get_error(hs->ssl, result);

	if (result == 1) {
		finish(hs);
	} else if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) {
		reason = ERR_reason_error_string(ERR_peek_last_error());
		fail(hs, reason ? reason : "OpenSSL gives no reason");
	} else if (error == SSL_ERROR_ZERO_RETURN) {
		fail(hs, "the client has ended it");
	} else if (error != SSL_ERROR_WANT_READ) {
		fail(hs, "a callback that configure has set wants to wait");
	} else if (hs->record_end == SIZE_MAX) {
		fail(hs, "the client has sent too much");
	}
}

enum handoff__tls_progress
handoff__tls_handshake_feed(
	struct handoff__tls_handshake *hs, const void *input, size_t len)
{
	handoff__tls_stream_play(hs->stream);
	handoff__tls_secrets_note(&hs->secrets);
	ERR_clear_error();
	while (hs->progress == HANDOFF__TLS_WANT_INPUT && give(hs, input, len))
		step(hs);
	ERR_clear_error();
	handoff__tls_secrets_note(NULL);
	handoff__tls_stream_stop();
	return hs->progress;
}

/* ---- what it tells its owner ---- */

size_t
handoff__tls_handshake_output(
	const struct handoff__tls_handshake *hs, const uint8_t **output)
{
	char *data = NULL;
	long len = BIO_get_mem_data(hs->out, &data);

	*output = (const uint8_t *)data;
	return len > 0 ? (size_t)len : 0;
}

const uint8_t *
handoff__tls_handshake_identity(const struct handoff__tls_handshake *hs)
{
	return handoff__tls_edition_identity(hs->edition);
}

const struct handoff__tls_outcome *
handoff__tls_handshake_outcome(const struct handoff__tls_handshake *hs)
{
	return hs->progress == HANDOFF__TLS_DONE ? &hs->outcome : NULL;
}

const char *
handoff__tls_handshake_why(const struct handoff__tls_handshake *hs)
{
	return hs->why;
}

int
handoff__tls_handshake_alert(
	const struct handoff__tls_handshake *hs, bool *received)
{
	*received = hs->alert_received;
	return hs->alert;
}
