/* SPDX-License-Identifier: MIT */
/*
 * Reads files of certificates and keys, and makes of them what OpenSSL has in
 * an SSL_CTX. Of what is wrong with a file it says which file, what OpenSSL
 * says, and what to do. All objects belong to the context's own library
 * context; nothing is looked up in the default one.
 */
#include "tls/material.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A system's whole collection of CAs is about 250 KiB. */
#define FILE_MAX ((off_t)4 << 20)

static const char *
openssl_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "no reason given";
}

/* ---- reading ---- */

static int
read_all(int fd, struct handoff__tls_file *file, size_t size)
{
	file->data = malloc(size);
	if (!file->data)
		return -ENOMEM;
	file->len = 0;
	while (file->len < size) {
		ssize_t n = read(fd, file->data + file->len, size - file->len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break; /* shortened meanwhile */
		if (n > 0)
			file->len += (size_t)n;
	}
	return 0;
}

static int
read_open(int fd, struct handoff__tls_file *file, bool secret, const char *what,
	const char *path, struct handoff__error *error)
{
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return handoff__fail(error, -EINVAL,
			"%s file '%.120s': not a file", what, path);
	if (secret && (st.st_mode & S_IROTH))
		return handoff__fail(error, -EPERM,
			"%s file '%.100s': all users may read it, and with "
			"the key they can pose as this server: chmod o-rwx",
			what, path);
	if (st.st_size == 0 || st.st_size > FILE_MAX)
		return handoff__fail(error, -EINVAL, "%s file '%.120s': %s",
			what, path,
			st.st_size == 0 ? "empty" : "too long for one in PEM");
	err = read_all(fd, file, (size_t)st.st_size);
	if (err < 0)
		handoff__fail(error, err, "%s file '%.120s': %s", what, path,
			strerror(-err));
	return err;
}

static int
read_file(struct handoff__tls_file *file, bool secret, const char *what,
	const char *path, struct handoff__error *error)
{
	/* a plain file: opening any other could wait */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0) {
		err = -errno;
		return handoff__fail(error, err, "%s file '%.120s': %s", what,
			path, strerror(-err));
	}
	err = read_open(fd, file, secret, what, path, error);
	close(fd);
	return err;
}

int
handoff__tls_material_read(struct handoff__tls_material *material,
	const struct handoff__tls_settings *settings,
	struct handoff__error *error)
{
	int err;

	memset(material, 0, sizeof(*material));
	err = read_file(&material->cert, false, "certificate",
		settings->cert_file, error);
	if (err == 0)
		err = read_file(
			&material->key, true, "key", settings->key_file, error);
	if (err == 0 && settings->client_ca_file)
		err = read_file(&material->client_ca, false, "client CA",
			settings->client_ca_file, error);
	return err;
}

static void
erase(struct handoff__tls_file *file)
{
	if (file->data)
		OPENSSL_cleanse(file->data, file->len);
	free(file->data);
	memset(file, 0, sizeof(*file));
}

void
handoff__tls_material_free(struct handoff__tls_material *material)
{
	erase(&material->cert);
	erase(&material->key);
	erase(&material->client_ca);
}

/* ---- making objects of it ---- */

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

/* The next certificate; NULL at the end, or if it is broken. */
static X509 *
next_cert(BIO *bio, OSSL_LIB_CTX *lib)
{
	X509 *cert = X509_new_ex(lib, NULL);
	bool asked;

	if (cert && PEM_read_bio_X509(bio, &cert, no_passphrase, &asked))
		return cert;
	X509_free(cert);
	return NULL;
}

/* Calls `add` for each certificate of a file. */
static int
each_cert(const struct handoff__tls_file *file, const char *what,
	const char *path, OSSL_LIB_CTX *lib, SSL_CTX *ctx,
	bool (*add)(SSL_CTX *ctx, X509 *cert, unsigned i),
	struct handoff__error *error)
{
	BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
	bool good = bio != NULL;
	unsigned count = 0;
	X509 *cert;

	ERR_clear_error();
	while (good && (cert = next_cert(bio, lib))) {
		good = add(ctx, cert, count++);
		X509_free(cert);
	}
	BIO_free(bio);
	if (!good)
		return handoff__fail(error, -EINVAL,
			"%s file '%.100s': OpenSSL refuses certificate %u: "
			"%.80s",
			what, path, count, openssl_reason());
	/* what follows the last one is not a certificate that is broken */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE ||
		count == 0)
		return handoff__fail(error, -EINVAL,
			"%s file '%.100s': certificate %u is not in PEM "
			"(%.80s)",
			what, path, count + 1, openssl_reason());
	ERR_clear_error();
	return 0;
}

/* The server's own comes first, then those that certify it. */
static bool
add_own(SSL_CTX *ctx, X509 *cert, unsigned i)
{
	if (i == 0)
		return SSL_CTX_use_certificate(ctx, cert) == 1 &&
		       SSL_CTX_clear_chain_certs(ctx) == 1;
	return SSL_CTX_add1_chain_cert(ctx, cert) == 1;
}

static bool
add_client_ca(SSL_CTX *ctx, X509 *cert, unsigned i)
{
	(void)i;
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1 &&
	       SSL_CTX_add_client_CA(ctx, cert) == 1;
}

static int
read_key(const struct handoff__tls_file *file, const char *path,
	OSSL_LIB_CTX *lib, EVP_PKEY **key, struct handoff__error *error)
{
	BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
	bool asked = false;

	ERR_clear_error();
	*key = bio ? PEM_read_bio_PrivateKey_ex(
			     bio, NULL, no_passphrase, &asked, lib, NULL)
		   : NULL;
	BIO_free(bio);
	if (!*key && asked)
		return handoff__fail(error, -EINVAL,
			"key file '%.100s': it has a passphrase and nobody is "
			"there to type it: take the passphrase off",
			path);
	if (!*key)
		return handoff__fail(error, -EINVAL,
			"key file '%.100s': no private key in PEM (%.80s)",
			path, openssl_reason());
	return 0;
}

static int
install_key(const struct handoff__tls_material *material,
	const struct handoff__tls_settings *settings, OSSL_LIB_CTX *lib,
	SSL_CTX *ctx, struct handoff__error *error)
{
	EVP_PKEY *key = NULL;
	int err =
		read_key(&material->key, settings->key_file, lib, &key, error);

	if (err == 0 &&
		X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
		err = handoff__fail(error, -EINVAL,
			"key file '%.80s': it is not the key of the first "
			"certificate in '%.80s'",
			settings->key_file, settings->cert_file);
	else if (err == 0 && SSL_CTX_use_PrivateKey(ctx, key) != 1)
		err = handoff__fail(error, -EINVAL,
			"key file '%.100s': OpenSSL refuses it: %.80s",
			settings->key_file, openssl_reason());
	EVP_PKEY_free(key);
	return err;
}

static int
install_client_ca(const struct handoff__tls_material *material,
	const struct handoff__tls_settings *settings, OSSL_LIB_CTX *lib,
	SSL_CTX *ctx, struct handoff__error *error)
{
	int mode = SSL_VERIFY_PEER;

	if (settings->client == HANDOFF_TLS_CLIENT_NONE)
		return 0;
	if (settings->client == HANDOFF_TLS_CLIENT_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, SSL_CTX_get_verify_callback(ctx));
	return each_cert(&material->client_ca, "client CA",
		settings->client_ca_file, lib, ctx, add_client_ca, error);
}

int
handoff__tls_material_install(const struct handoff__tls_material *material,
	const struct handoff__tls_settings *settings, OSSL_LIB_CTX *lib,
	SSL_CTX *ctx, struct handoff__error *error)
{
	int err = each_cert(&material->cert, "certificate", settings->cert_file,
		lib, ctx, add_own, error);

	if (err == 0)
		err = install_key(material, settings, lib, ctx, error);
	if (err == 0)
		err = install_client_ca(material, settings, lib, ctx, error);
	return err;
}
