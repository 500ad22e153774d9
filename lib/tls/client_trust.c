/* SPDX-License-Identifier: MIT */
/*
 * Whom a client trusts: the server's certificate is checked by CA and name, by
 * its key, or by both, never by neither. And why a conversation has failed, in
 * words that say what to do.
 */
#include "base/addr.h"
#include "tls/conversation.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* False if it cannot be told. */
static bool
key_hash(X509 *cert, unsigned char hash[HANDOFF__TLS_PIN_LEN])
{
	unsigned char *der = NULL;
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, hash, NULL,
				     EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

/* OpenSSL forgets it. */
static int
suspect(struct handoff__tls_end *end, X509_STORE_CTX *store)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (!cert)
		cert = X509_STORE_CTX_get0_cert(store);
	if (cert && !end->suspect && X509_up_ref(cert) == 1)
		end->suspect = cert;
	end->depth = X509_STORE_CTX_get_error_depth(store);
	return 0;
}

static int
verify(X509_STORE_CTX *store, void *arg)
{
	const struct handoff__tls_client *client = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct handoff__tls_end *end = SSL_get_app_data(ssl);

	if (client->by_ca && X509_verify_cert(store) != 1)
		return suspect(end, store);
	if (!client->by_pin)
		return 1;
	if (key_hash(X509_STORE_CTX_get0_cert(store), end->seen) &&
		memcmp(end->seen, client->pin, sizeof(end->seen)) == 0) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

void
handoff__tls_client_trust(struct handoff__tls_client *client)
{
	assert(client->by_ca || client->by_pin);
	SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(client->ctx, verify, client);
}

static int
no_name(struct handoff__tls_end *end, const char *endpoint)
{
	snprintf(end->text, sizeof(end->text),
		"%.60s says no name that the server's certificate could have: "
		"give the name",
		endpoint);
	return -EINVAL;
}

int
handoff__tls_end_expect(struct handoff__tls_end *end, const char *endpoint)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(end->ssl);
	struct handoff__error error;
	struct handoff__addr addr;
	char *percent;

	handoff__copy(end->name, sizeof(end->name), end->client->name);
	if (!end->name[0]) {
		if (handoff__addr_parse(&addr, endpoint, &error) < 0)
			return no_name(end, endpoint);
		if (!addr.local)
			handoff__copy(end->name, sizeof(end->name), addr.host);
		/* the zone of a link-local address is this host's */
		percent = strchr(end->name, '%');
		if (percent)
			*percent = '\0';
	}
	if (!end->name[0])
		return end->client->by_ca ? no_name(end, endpoint) : 0;
	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* an address is no name for SNI (RFC 6066, section 3) */
	if (X509_VERIFY_PARAM_set1_ip_asc(param, end->name) == 1)
		return 0;
	ERR_clear_error();
	if (SSL_set_tlsext_host_name(end->ssl, end->name) != 1 ||
		X509_VERIFY_PARAM_set1_host(param, end->name, 0) != 1)
		return no_name(end, endpoint);
	return 0;
}

/* ---- why ---- */

/* The names of a certificate, as far as there is room. */
static void
list_names(X509 *cert, char *buf, size_t size)
{
	GENERAL_NAMES *names =
		cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL)
		     : NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	int n = names ? sk_GENERAL_NAME_num(names) : 0;

	for (int i = 0; bio && i < n; i++) {
		BIO_printf(bio, i > 0 ? ", " : "");
		GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(names, i));
	}
	n = bio ? BIO_read(bio, buf, (int)size - 1) : 0;
	buf[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	GENERAL_NAMES_free(names);
}

static void
wrong_name(struct handoff__tls_end *end)
{
	char names[80] = "";

	list_names(end->suspect, names, sizeof(names));
	snprintf(end->text, sizeof(end->text),
		"the server's certificate is not for %.60s, but for %s",
		end->name, names[0] ? names : "no name at all");
}

static void
wrong_key(struct handoff__tls_end *end)
{
	char hex[2 * HANDOFF__TLS_PIN_LEN + 1];

	for (size_t i = 0; i < HANDOFF__TLS_PIN_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", end->seen[i]);
	snprintf(end->text, sizeof(end->text),
		"the server's key is not the pinned one: its pin is %s", hex);
}

static void
wrong_time(struct handoff__tls_end *end, bool expired)
{
	const X509 *cert = end->suspect;
	BIO *bio = BIO_new(BIO_s_mem());
	char date[40] = "";
	int n = -1;

	if (cert && bio &&
		ASN1_TIME_print(bio, expired ? X509_get0_notAfter(cert)
					     : X509_get0_notBefore(cert)) == 1)
		n = BIO_read(bio, date, sizeof(date) - 1);
	date[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	snprintf(end->text, sizeof(end->text), "%s %s: %s",
		end->depth == 0 ? "the server's certificate"
				: "a certificate of the server's CAs",
		expired ? "has expired" : "is not valid yet", date);
}

static void
not_trusted(struct handoff__tls_end *end, long result)
{
	const char *ca = end->client->ca_file;

	end->err = -EACCES;
	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		wrong_name(end);
		return;
	case X509_V_ERR_APPLICATION_VERIFICATION:
		wrong_key(end);
		return;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		wrong_time(end, result == X509_V_ERR_CERT_HAS_EXPIRED);
		return;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		snprintf(end->text, sizeof(end->text),
			"the server's certificate is not by a CA of %.60s (%s)",
			ca[0] ? ca : "this system",
			X509_verify_cert_error_string(result));
		return;
	default:
		snprintf(end->text, sizeof(end->text),
			"the server's certificate is not good: %s",
			X509_verify_cert_error_string(result));
	}
}

/* The last word of the server's. */
static void
alerted(struct handoff__tls_end *end, int alert)
{
	const char *what = SSL_alert_desc_string_long(alert);
	const char *hint = "";

	end->err = -ECONNABORTED;
	switch (alert) {
	case SSL_AD_CERTIFICATE_REQUIRED:
	case SSL_AD_HANDSHAKE_FAILURE:
		if (!end->client->certified)
			hint = ": does it want a certificate of the client?";
		break;
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
		hint = ": it does not accept the client's certificate";
		break;
	case SSL_AD_PROTOCOL_VERSION:
		hint = ": it has no TLS 1.3";
		break;
	case SSL_AD_NO_APPLICATION_PROTOCOL:
		hint = ": it has none of the protocols (ALPN)";
		break;
	}
	/* 116 is newer than the table of names */
	if (alert == SSL_AD_CERTIFICATE_REQUIRED)
		what = "certificate required";
	else if (alert == SSL_AD_NO_APPLICATION_PROTOCOL)
		what = "no application protocol";
	snprintf(end->text, sizeof(end->text),
		"the server ends TLS with alert %d, %s%s", alert, what, hint);
}

static void
violated(struct handoff__tls_end *end, unsigned long code)
{
	const char *why = ERR_reason_error_string(code);
	bool begins = !SSL_is_init_finished(end->ssl) &&
		      SSL_get0_peer_certificate(end->ssl) == NULL;

	end->err = -EPROTO;
	switch (ERR_GET_REASON(code)) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
		if (!begins)
			break;
		snprintf(end->text, sizeof(end->text),
			"what the server answers is not TLS 1.3: is it a "
			"server with TLS?");
		return;
	case SSL_R_UNSUPPORTED_PROTOCOL:
		snprintf(end->text, sizeof(end->text),
			"the server has no TLS 1.3");
		return;
	}
	snprintf(end->text, sizeof(end->text),
		"TLS has failed: %s: the server, or somebody on the way, does "
		"not keep to it",
		why ? why : "no reason given");
}

void
handoff__tls_end_explain(struct handoff__tls_end *end)
{
	long result = SSL_get_verify_result(end->ssl);
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);

	if (result != X509_V_OK && !SSL_is_init_finished(end->ssl))
		not_trusted(end, result);
	else if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
		 reason > SSL_AD_REASON_OFFSET &&
		 reason <= SSL_AD_REASON_OFFSET + 255)
		alerted(end, reason - SSL_AD_REASON_OFFSET);
	else
		violated(end, code);
}
