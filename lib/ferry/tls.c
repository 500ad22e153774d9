/* SPDX-License-Identifier: MIT */
/*
 * Credentials and sessions by OpenSSL. A session reads and writes a pair of
 * memory buffers and never a socket, so what OpenSSL does cannot block or raise
 * a signal. Here alone is OpenSSL called.
 */
#include "ferry/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of each direction; the pages are not touched before they are needed. */
#define BUFFER ((size_t)256 * 1024)

/* A message of the handshake with a longer certificate is refused. */
#define CERTIFICATE_MAX (32L * 1024)

struct pin {
	unsigned char *der;
	int len;
};

struct handoff__tls {
	SSL_CTX *ctx;
	char own[HANDOFF__FINGERPRINT];
	char peer_file[96];
	struct pin pins[HANDOFF__PINS];
	uint32_t pins_count;
};

struct handoff__tls_session {
	const struct handoff__tls *tls;
	SSL *ssl;
	BIO *network; /* the end of the pair that faces the socket */
	bool refused; /* the other side's certificate */
	char peer[HANDOFF__FINGERPRINT];
};

static const char *
openssl_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "no reason given";
}

static void
format_fingerprint(const X509 *cert, char text[HANDOFF__FINGERPRINT])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	text[0] = '\0';
	if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != 32)
		return;
	for (unsigned i = 0; i < len; i++)
		snprintf(text + (size_t)3 * i, 4,
			i + 1 < len ? "%02X:" : "%02X", digest[i]);
}

/* A plain file: opening any other could wait. */
static FILE *
open_file(const char *path, const char *what, struct stat *st,
	struct handoff__error *error, int *err)
{
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	FILE *file = NULL;

	*err = path ? -errno : -EINVAL;
	if (fd >= 0) {
		*err = fstat(fd, st) < 0 ? -errno : 0;
		if (*err == 0 && !S_ISREG(st->st_mode))
			*err = -EINVAL;
		file = *err == 0 ? fdopen(fd, "r") : NULL;
		if (*err == 0 && !file)
			*err = -ENOMEM;
		if (!file)
			close(fd);
	}
	if (!file)
		handoff__fail(error, *err, "%s file '%.120s': %s", what,
			path ? path : "",
			*err == -EINVAL ? "not a file" : strerror(-*err));
	return file;
}

/* OpenSSL would ask at the terminal. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static int
load_cert(const char *path, X509 **cert, struct handoff__error *error)
{
	struct stat st;
	int err;
	FILE *file = open_file(path, "certificate", &st, error, &err);

	if (!file)
		return err;
	*cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (!*cert)
		return handoff__fail(error, -EINVAL,
			"certificate file '%.100s': no certificate in PEM "
			"(%.60s)",
			path, openssl_reason());
	return 0;
}

static int
load_key(const char *path, EVP_PKEY **key, struct handoff__error *error)
{
	bool locked = false;
	struct stat st;
	int err;
	FILE *file = open_file(path, "key", &st, error, &err);

	if (!file)
		return err;
	if (st.st_mode & S_IROTH) {
		fclose(file);
		return handoff__fail(error, -EPERM,
			"key file '%.100s': all users may read it, and with "
			"the key they can forge connections: chmod o-rwx",
			path);
	}
	*key = PEM_read_PrivateKey(file, NULL, no_passphrase, &locked);
	fclose(file);
	if (!*key && locked)
		return handoff__fail(error, -EINVAL,
			"key file '%.100s': it has a passphrase and nobody is "
			"there to type it: take the passphrase off",
			path);
	if (!*key)
		return handoff__fail(error, -EINVAL,
			"key file '%.100s': no private key in PEM (%.60s)",
			path, openssl_reason());
	return 0;
}

static int
install(struct handoff__tls *tls, X509 *cert, EVP_PKEY *key,
	const struct handoff__tls_files *files, struct handoff__error *error)
{
	if (X509_check_private_key(cert, key) != 1)
		return handoff__fail(error, -EINVAL,
			"key file '%.80s': it is not the key of the "
			"certificate "
			"in '%.80s'",
			files->key, files->cert);
	if (SSL_CTX_use_certificate(tls->ctx, cert) != 1 ||
		SSL_CTX_use_PrivateKey(tls->ctx, key) != 1)
		return handoff__fail(error, -EINVAL,
			"certificate file '%.100s': OpenSSL refuses it: %.60s",
			files->cert, openssl_reason());
	format_fingerprint(cert, tls->own);
	return 0;
}

static int
load_own(struct handoff__tls *tls, const struct handoff__tls_files *files,
	struct handoff__error *error)
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int err = load_cert(files->cert, &cert, error);

	if (err == 0)
		err = load_key(files->key, &key, error);
	if (err == 0)
		err = install(tls, cert, key, files, error);
	EVP_PKEY_free(key);
	X509_free(cert);
	return err;
}

static int
add_pin(struct handoff__tls *tls, X509 *cert, const char *path,
	struct handoff__error *error)
{
	struct pin *pin = &tls->pins[tls->pins_count];

	if (tls->pins_count == HANDOFF__PINS)
		return handoff__fail(error, -EINVAL,
			"certificate file '%.120s': more than %d certificates",
			path, HANDOFF__PINS);
	pin->len = i2d_X509(cert, &pin->der);
	if (pin->len <= 0)
		return handoff__fail(error, -ENOMEM,
			"certificate file '%.120s': out of memory", path);
	tls->pins_count++;
	return 0;
}

static int
load_pins(struct handoff__tls *tls, const char *path,
	struct handoff__error *error)
{
	struct stat st;
	int err;
	FILE *file = open_file(path, "certificate", &st, error, &err);
	X509 *cert;

	if (!file)
		return err;
	while (err == 0 && (cert = PEM_read_X509(file, NULL, NULL, NULL))) {
		err = add_pin(tls, cert, path, error);
		X509_free(cert);
	}
	fclose(file);
	if (err < 0)
		return err;
	/* what follows the last one is not a certificate that is broken */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE ||
		tls->pins_count == 0)
		return handoff__fail(error, -EINVAL,
			"certificate file '%.100s': certificate %u is not in "
			"PEM (%.60s)",
			path, tls->pins_count + 1, openssl_reason());
	handoff__copy(tls->peer_file, sizeof(tls->peer_file), path);
	return 0;
}

static bool
is_pinned(const struct handoff__tls *tls, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);
	bool found = false;

	for (uint32_t i = 0; len > 0 && i < tls->pins_count; i++)
		found |= tls->pins[i].len == len &&
			 memcmp(tls->pins[i].der, der, (size_t)len) == 0;
	OPENSSL_free(der);
	return found;
}

/* In place of all of OpenSSL's checks of a certificate. That the other side has
 * its key is checked by the handshake itself (CertificateVerify). */
static int
on_certificate(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct handoff__tls_session *session = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get0_cert(store);

	(void)arg;
	format_fingerprint(cert, session->peer);
	session->refused = !is_pinned(session->tls, cert);
	/* becomes the alert bad_certificate */
	X509_STORE_CTX_set_error(
		store, session->refused ? X509_V_ERR_CERT_REJECTED : X509_V_OK);
	return !session->refused;
}

static bool
set_context(struct handoff__tls *tls)
{
	static const unsigned char name[] = "handoff-ferry";
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	tls->ctx = ctx;
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
		SSL_CTX_set_max_early_data(ctx, 0) != 1 ||
		SSL_CTX_set_session_id_context(ctx, name, sizeof(name) - 1) !=
			1)
		return false;
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATE_MAX);
	SSL_CTX_set_verify(
		ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_certificate, NULL);
	return true;
}

int
handoff__tls_open(struct handoff__tls **out,
	const struct handoff__tls_files *files, struct handoff__error *error)
{
	struct handoff__tls *tls = calloc(1, sizeof(*tls));
	int err = 0;

	if (!tls)
		return handoff__fail(error, -ENOMEM, "TLS: out of memory");
	ERR_clear_error();
	if (!set_context(tls))
		err = handoff__fail(error, -ENOMEM,
			"TLS: OpenSSL cannot set up TLS 1.3: %s",
			openssl_reason());
	if (err == 0)
		err = load_own(tls, files, error);
	if (err == 0)
		err = load_pins(tls, files->peer, error);
	ERR_clear_error();
	if (err < 0) {
		handoff__tls_free(tls);
		return err;
	}
	*out = tls;
	return 0;
}

void
handoff__tls_free(struct handoff__tls *tls)
{
	if (!tls)
		return;
	for (uint32_t i = 0; i < tls->pins_count; i++)
		OPENSSL_free(tls->pins[i].der);
	SSL_CTX_free(tls->ctx);
	free(tls);
}

const char *
handoff__tls_fingerprint(const struct handoff__tls *tls)
{
	return tls->own;
}

int
handoff__tls_session_open(struct handoff__tls_session **out,
	const struct handoff__tls *tls, bool dialled,
	struct handoff__error *error)
{
	struct handoff__tls_session *session = calloc(1, sizeof(*session));
	BIO *inner = NULL;

	if (session)
		session->ssl = SSL_new(tls->ctx);
	if (!session || !session->ssl ||
		BIO_new_bio_pair(&inner, BUFFER, &session->network, BUFFER) !=
			1) {
		handoff__tls_session_free(session);
		return handoff__fail(error, -ENOMEM, "TLS: out of memory");
	}
	session->tls = tls;
	SSL_set_bio(session->ssl, inner, inner);
	if (SSL_set_app_data(session->ssl, session) != 1) {
		handoff__tls_session_free(session);
		return handoff__fail(error, -ENOMEM, "TLS: out of memory");
	}
	if (dialled)
		SSL_set_connect_state(session->ssl);
	else
		SSL_set_accept_state(session->ssl);
	*out = session;
	return 0;
}

void
handoff__tls_session_free(struct handoff__tls_session *session)
{
	if (!session)
		return;
	SSL_free(session->ssl);
	BIO_free(session->network);
	free(session);
}

const char *
handoff__tls_peer(const struct handoff__tls_session *session)
{
	return session->peer;
}

/* The alerts by which the other side refuses the certificate of this one. */
static bool
is_certificate_alert(int reason)
{
	switch (reason) {
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return true;
	default:
		return false;
	}
}

static bool
is_other_version(int reason)
{
	switch (reason) {
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_WRONG_SSL_VERSION:
		return true;
	default:
		return false;
	}
}

static bool
is_no_tls(int reason)
{
	switch (reason) {
	case SSL_R_BAD_PACKET_LENGTH:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_WRONG_VERSION_NUMBER:
		return true;
	default:
		return false;
	}
}

static int
explain(const struct handoff__tls_session *session,
	struct handoff__error *error)
{
	int reason = ERR_GET_REASON(ERR_peek_last_error());

	if (session->refused)
		return handoff__fail(error, -EACCES,
			"its certificate is none of those in '%.60s': SHA-256 "
			"fingerprint %s",
			session->tls->peer_file, session->peer);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return handoff__fail(
			error, -EACCES, "it has shown no certificate");
	if (is_certificate_alert(reason))
		return handoff__fail(error, -EACCES,
			"it refuses the certificate of this ferry (is it in "
			"its "
			"--peer-cert file?): SHA-256 fingerprint %s",
			session->tls->own);
	if (is_other_version(reason))
		return handoff__fail(error, -EPROTONOSUPPORT,
			"it does not speak TLS 1.3 (%s)", openssl_reason());
	if (is_no_tls(reason))
		return handoff__fail(error, -EPROTONOSUPPORT,
			"what it sends is not TLS: is a ferry there?");
	return handoff__fail(error, -EPROTO, "TLS: %s", openssl_reason());
}

/* What a call's result means: -EAGAIN, -EPIPE, or a failure with its
 * sentence. */
static int
judge(const struct handoff__tls_session *session, int rc,
	struct handoff__error *error)
{
	switch (SSL_get_error(session->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return -EPIPE;
	default:
		rc = explain(session, error);
		ERR_clear_error();
		return rc;
	}
}

int
handoff__tls_handshake(
	struct handoff__tls_session *session, struct handoff__error *error)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(session->ssl);
	if (rc == 1)
		return 1;
	rc = judge(session, rc, error);
	if (rc == -EPIPE)
		return handoff__fail(error, -EPROTO,
			"it has ended the session during the handshake");
	return rc == -EAGAIN ? 0 : rc;
}

size_t
handoff__tls_space(struct handoff__tls_session *session, char **at)
{
	int n = BIO_nwrite0(session->network, at);

	return n > 0 ? (size_t)n : 0;
}

void
handoff__tls_came(struct handoff__tls_session *session, size_t len)
{
	char *at;

	(void)BIO_nwrite(session->network, &at, (int)len);
}

size_t
handoff__tls_output(struct handoff__tls_session *session, char **at)
{
	int n = BIO_nread0(session->network, at);

	return n > 0 ? (size_t)n : 0;
}

void
handoff__tls_sent(struct handoff__tls_session *session, size_t len)
{
	char *at;

	(void)BIO_nread(session->network, &at, (int)len);
}

ssize_t
handoff__tls_read(struct handoff__tls_session *session, void *data, size_t size,
	struct handoff__error *error)
{
	size_t n = 0;
	int rc;

	ERR_clear_error();
	rc = SSL_read_ex(session->ssl, data, size, &n);
	return rc == 1 ? (ssize_t)n : judge(session, rc, error);
}

ssize_t
handoff__tls_write(struct handoff__tls_session *session, const void *data,
	size_t len, struct handoff__error *error)
{
	size_t n = 0;
	int rc;

	ERR_clear_error();
	rc = SSL_write_ex(session->ssl, data, len, &n);
	return rc == 1 ? (ssize_t)n : judge(session, rc, error);
}

void
handoff__tls_end(struct handoff__tls_session *session)
{
	ERR_clear_error();
	(void)SSL_shutdown(session->ssl);
	ERR_clear_error();
}
