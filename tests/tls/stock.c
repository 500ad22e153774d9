/* SPDX-License-Identifier: MIT */
/*
 * Stock OpenSSL over memory BIOs, with a certificate of its own. It uses no
 * call of the component under test but to set up the test's place.
 */
#include "tls/stock.h"

#include "support/support.h"
#include "tls/ends.h"

#include <string.h>

#include <openssl/x509.h>

static void
certify(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	assert_non_null(key);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		(const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
keylog(const SSL *ssl, const char *line)
{
	struct stock *stock = SSL_get_app_data(ssl);
	char text[2 * HANDOFF__TLS_SECRET_MAX + 1] = "";
	const char *last = strrchr(line, ' ') + 1;

	if (strlen(last) < sizeof(text))
		strcpy(text, last);
	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
		ends_hex(text, stock->client_secret);
	if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
		ends_hex(text, stock->server_secret);
}

static BIO *
memory(void)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_non_null(bio);
	BIO_set_mem_eof_return(bio, -1);
	return bio;
}

static void
shake(struct stock *stock)
{
	int i;

	for (i = 0; i < 10; i++)
		if (SSL_do_handshake(stock->client) == 1 &&
			SSL_do_handshake(stock->server) == 1)
			return;
		else
			SSL_do_handshake(stock->server);
	fail_msg("stock OpenSSL does not shake hands with itself");
}

void
stock_open(struct stock *stock, const char *suite, void (*tune)(struct stock *))
{
	memset(stock, 0, sizeof(*stock));
	stock->ctx = SSL_CTX_new(TLS_method());
	assert_non_null(stock->ctx);
	SSL_CTX_set_min_proto_version(stock->ctx, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(stock->ctx, 0);
	SSL_CTX_set_keylog_callback(stock->ctx, keylog);
	certify(stock->ctx);
	assert_int_equal(SSL_CTX_set_ciphersuites(stock->ctx, suite), 1);
	stock->client = SSL_new(stock->ctx);
	stock->server = SSL_new(stock->ctx);
	stock->to_server = memory();
	stock->to_client = memory();
	BIO_up_ref(stock->to_server);
	BIO_up_ref(stock->to_client);
	SSL_set_bio(stock->client, stock->to_client, stock->to_server);
	SSL_set_bio(stock->server, stock->to_server, stock->to_client);
	SSL_set_app_data(stock->client, stock);
	SSL_set_app_data(stock->server, stock);
	SSL_set_connect_state(stock->client);
	SSL_set_accept_state(stock->server);
	if (tune)
		tune(stock);
	shake(stock);
	assert_int_equal(BIO_ctrl_pending(stock->to_server), 0);
	assert_int_equal(BIO_ctrl_pending(stock->to_client), 0);
}

void
stock_close(struct stock *stock)
{
	SSL_free(stock->client);
	SSL_free(stock->server);
	SSL_CTX_free(stock->ctx);
}

void
place_take(struct place *place, struct stock *stock, bool server)
{
	unsigned id = SSL_CIPHER_get_protocol_id(
		SSL_get_current_cipher(stock->client));
	const struct handoff__tls_suite *suite;

	memset(place, 0, sizeof(*place));
	assert_int_equal(
		handoff__tls_suites_init(&place->suites, NULL, NULL), 0);
	suite = handoff__tls_suite_find(&place->suites, id);
	assert_non_null(suite);
	assert_int_equal(
		handoff__tls_dir_init(suite, &place->read,
			server ? stock->client_secret : stock->server_secret,
			NULL),
		0);
	assert_int_equal(
		handoff__tls_dir_init(suite, &place->write,
			server ? stock->server_secret : stock->client_secret,
			NULL),
		0);
	place->r = (struct handoff__tls_end){
		suite, &place->read, &place->read_key};
	place->w = (struct handoff__tls_end){
		suite, &place->write, &place->write_key};
	place->other = server ? stock->client : stock->server;
	place->in = server ? stock->to_server : stock->to_client;
	place->out = server ? stock->to_client : stock->to_server;
}

void
place_leave(struct place *place)
{
	handoff__tls_key_drop(&place->read_key);
	handoff__tls_key_drop(&place->write_key);
	handoff__tls_suites_free(&place->suites);
}

int
place_receive(struct place *place, uint8_t *out, enum handoff__tls_event *event)
{
	static uint8_t record[HANDOFF__TLS_RECORD_MAX];
	int len;

	*event = (enum handoff__tls_event)99;
	assert_int_equal(BIO_read(place->in, record, HANDOFF__TLS_HEADER),
		HANDOFF__TLS_HEADER);
	len = handoff__tls_record_len(record, HANDOFF__TLS_HEADER);
	if (len < 0)
		return len;
	assert_int_equal(BIO_read(place->in, record + HANDOFF__TLS_HEADER,
				 len - HANDOFF__TLS_HEADER),
		len - HANDOFF__TLS_HEADER);
	return handoff__tls_receive(&place->r, &place->messages, record,
		(size_t)len, HANDOFF__TLS_CONTENT_MAX, out, event);
}
