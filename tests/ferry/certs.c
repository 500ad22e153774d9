/* SPDX-License-Identifier: MIT */
/*
 * Makes keys of P-256 and signs a certificate with each itself.
 */
#include "ferry/certs.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>

const char *
certs_path(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", support_dir(), name);
	return path;
}

void
certs_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

void
certs_append(const char *path, const char *from)
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

static X509 *
sign(EVP_PKEY *key, const char *name, long seconds)
{
	X509 *cert = X509_new();
	X509_NAME *subject;
	static long serial;

	assert_non_null(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	X509_gmtime_adj(
		X509_getm_notBefore(cert), seconds < 0 ? 2 * seconds : 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
	subject = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, subject);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

struct credentials
certs_make(const char *name, long seconds)
{
	struct credentials c;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert;
	FILE *file;

	assert_non_null(key);
	cert = sign(key, name, seconds);
	snprintf(c.cert, sizeof(c.cert), "%s/%s.crt", support_dir(), name);
	snprintf(c.key, sizeof(c.key), "%s/%s.key", support_dir(), name);
	file = fopen(c.cert, "we");
	assert_true(file && PEM_write_X509(file, cert) == 1);
	assert_int_equal(fclose(file), 0);
	file = fopen(c.key, "we");
	assert_true(file && PEM_write_PrivateKey(
				    file, key, NULL, NULL, 0, NULL, NULL) == 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(c.key, 0600), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	return c;
}

struct handoff__tls *
certs_open(const struct credentials *own, const char *peer)
{
	struct handoff__tls_files files = {
		.cert = own->cert, .key = own->key, .peer = peer};
	struct handoff__error error = {""};
	struct handoff__tls *tls = NULL;

	if (handoff__tls_open(&tls, &files, &error) < 0)
		fail_msg("%s", error.text);
	return tls;
}
