/* SPDX-License-Identifier: MIT */
/*
 * Makes keys and signs certificates, by OpenSSL. A key of RSA takes long to
 * make, so all certificates of a program have the same one.
 */
#include "tls/pki.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The test's directory, the same one each time. */
static const char *
folder(void)
{
	static char path[64];

	if (access(path, F_OK) != 0)
		snprintf(path, sizeof(path), "%s", support_dir());
	return path;
}

const char *
pki_path(const char *name)
{
	static char paths[4][160];
	static unsigned i;

	snprintf(paths[++i % 4], sizeof(paths[0]), "%s/%s", folder(), name);
	return paths[i % 4];
}

void
pki_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

void
pki_append(const char *path, const char *from)
{
	FILE *to = fopen(path, "ae"), *file = fopen(from, "re");
	char data[8192];
	size_t n;

	assert_true(to && file);
	n = fread(data, 1, sizeof(data), file);
	assert_int_equal(fwrite(data, 1, n, to), n);
	fclose(file);
	assert_int_equal(fclose(to), 0);
}

static EVP_PKEY *
make_key(enum pki_type type)
{
	static EVP_PKEY *rsa;

	if (type == PKI_ECDSA)
		return EVP_EC_gen("P-256");
	if (type == PKI_ED25519)
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!rsa)
		rsa = EVP_RSA_gen(2048);
	EVP_PKEY_up_ref(rsa);
	return rsa;
}

static EVP_PKEY *
read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key;

	assert_non_null(file);
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(key);
	return key;
}

static X509 *
read_cert(const char *path)
{
	FILE *file = fopen(path, "re");
	X509 *cert;

	assert_non_null(file);
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(cert);
	return cert;
}

static void
extend(X509 *cert, int nid, const char *text)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, text);

	assert_true(ext && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static X509 *
fill(EVP_PKEY *key, const char *name, const struct pki *ca)
{
	X509 *cert = X509_new(), *issuer = ca ? read_cert(ca->cert) : NULL;
	X509_NAME *subject;
	static long serial;

	assert_non_null(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	subject = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC,
		(const unsigned char *)"Test", -1, -1, 0);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(
		cert, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(cert, key);
	extend(cert, NID_basic_constraints,
		ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
	X509_free(issuer);
	return cert;
}

static void
sign(X509 *cert, EVP_PKEY *key)
{
	const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();

	assert_true(X509_sign(cert, key, md) > 0);
}

static struct pki
write_pair(const char *name, X509 *cert, EVP_PKEY *key)
{
	struct pki pki;
	FILE *file;

	snprintf(pki.cert, sizeof(pki.cert), "%s/%.40s.crt", folder(), name);
	snprintf(pki.key, sizeof(pki.key), "%s/%.40s.key", folder(), name);
	file = fopen(pki.cert, "we");
	assert_true(file && PEM_write_X509(file, cert) == 1);
	assert_int_equal(fclose(file), 0);
	file = fopen(pki.key, "we");
	assert_true(file && PEM_write_PrivateKey(
				    file, key, NULL, NULL, 0, NULL, NULL) == 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(pki.key, 0600), 0);
	return pki;
}

struct pki
pki_make(const char *name, enum pki_type type, const struct pki *ca)
{
	EVP_PKEY *key = make_key(type), *signer = ca ? read_key(ca->key) : key;
	struct pki pki;
	X509 *cert;

	assert_non_null(key);
	cert = fill(key, name, ca);
	sign(cert, signer);
	pki = write_pair(name, cert, key);
	X509_free(cert);
	if (ca)
		EVP_PKEY_free(signer);
	EVP_PKEY_free(key);
	return pki;
}

struct pki
pki_make_server(const char *name, const struct pki *ca, const char *names,
	long from, long to)
{
	EVP_PKEY *key = make_key(PKI_ECDSA), *signer = read_key(ca->key);
	X509 *cert = fill(key, name, ca);
	struct pki pki;

	X509_gmtime_adj(X509_getm_notBefore(cert), from);
	X509_gmtime_adj(X509_getm_notAfter(cert), to);
	extend(cert, NID_subject_alt_name, names);
	sign(cert, signer);
	pki = write_pair(name, cert, key);
	X509_free(cert);
	EVP_PKEY_free(signer);
	EVP_PKEY_free(key);
	return pki;
}
