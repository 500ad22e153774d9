/* SPDX-License-Identifier: MIT */
/*
 * The client is OpenSSL's own, in the default library context, and draws from
 * its random source.
 */
#include "tls/tape.h"

#include "tls/keylog.h"

#include <openssl/err.h>
#include <string.h>

SSL_CTX *
tape_client_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	assert_non_null(ctx);
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_keylog_callback(ctx, keylog_read);
	return ctx;
}

void
tape_client_cert(SSL_CTX *ctx, const struct pki *pki)
{
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, pki->cert), 1);
	assert_int_equal(
		SSL_CTX_use_PrivateKey_file(ctx, pki->key, SSL_FILETYPE_PEM),
		1);
}

void
tape_client_open(struct tape_client *client, SSL_CTX *ctx)
{
	memset(client, 0, sizeof(*client));
	client->ssl = SSL_new(ctx);
	client->in = BIO_new(BIO_s_mem());
	client->out = BIO_new(BIO_s_mem());
	assert_true(client->ssl && client->in && client->out);
	BIO_set_mem_eof_return(client->in, -1);
	SSL_set_bio(client->ssl, client->in, client->out);
	SSL_set_app_data(client->ssl, &client->secrets);
	SSL_set_connect_state(client->ssl);
}

void
tape_client_close(struct tape_client *client)
{
	SSL_free(client->ssl);
	ERR_clear_error();
}

void
tape_client_step(struct tape_client *client, struct tape *tape,
	const uint8_t *data, size_t len)
{
	int n;

	if (len > 0)
		assert_int_equal(BIO_write(client->in, data, (int)len), len);
	client->done = SSL_do_handshake(client->ssl) == 1;
	n = BIO_read(client->out, tape->input + tape->input_len,
		(int)(TAPE_MAX - tape->input_len));
	tape->input_len += n > 0 ? (size_t)n : 0;
}

struct handoff__tls_contexts *
tape_contexts(const struct handoff_tls_opts *opts)
{
	struct handoff__tls_contexts *contexts = NULL;
	struct handoff__error error = {""};

	if (handoff__tls_contexts_open(&contexts, opts, &error) < 0)
		fail_msg("%s", error.text);
	return contexts;
}

static void
write_down(struct tape *tape, const struct handoff__tls_handshake *hs)
{
	const uint8_t *output;
	bool received;

	tape->output_len = handoff__tls_handshake_output(hs, &output);
	assert_true(tape->output_len <= TAPE_MAX);
	if (tape->output_len > 0)
		memcpy(tape->output, output, tape->output_len);
	memcpy(tape->identity, handoff__tls_handshake_identity(hs),
		HANDOFF__TLS_IDENTITY);
	if (tape->progress == HANDOFF__TLS_DONE)
		tape->outcome = *handoff__tls_handshake_outcome(hs);
	else
		assert_null(handoff__tls_handshake_outcome(hs));
	handoff__copy(
		tape->why, sizeof(tape->why), handoff__tls_handshake_why(hs));
	tape->alert = handoff__tls_handshake_alert(hs, &received);
}

void
tape_record_client(struct tape *tape, struct handoff__tls_contexts *contexts,
	struct tape_client *client, unsigned seed)
{
	struct handoff__tls_handshake *hs;
	size_t seen = 0, before;
	const uint8_t *output;

	memset(tape, 0, sizeof(*tape));
	memset(tape->seed, (int)seed, sizeof(tape->seed));
	assert_int_equal(
		handoff__tls_handshake_new(&hs, contexts, NULL, tape->seed), 0);
	do {
		size_t len = handoff__tls_handshake_output(hs, &output);

		before = tape->input_len;
		tape_client_step(client, tape, output + seen, len - seen);
		seen = len;
		tape->progress = handoff__tls_handshake_feed(
			hs, tape->input, tape->input_len);
	} while (tape->progress == HANDOFF__TLS_WANT_INPUT &&
		 tape->input_len > before);
	write_down(tape, hs);
	handoff__tls_handshake_free(hs);
}

void
tape_record(struct tape *tape, struct handoff__tls_contexts *contexts,
	SSL_CTX *ctx, unsigned seed)
{
	struct tape_client client;

	tape_client_open(&client, ctx);
	tape_record_client(tape, contexts, &client, seed);
	if (tape->progress == HANDOFF__TLS_DONE) {
		assert_true(client.done);
		assert_int_equal(tape->outcome.used, tape->input_len);
		assert_int_equal(
			tape->outcome.secret_len, client.secrets.client_len);
		assert_memory_equal(tape->outcome.client_secret,
			client.secrets.client, client.secrets.client_len);
		assert_memory_equal(tape->outcome.server_secret,
			client.secrets.server, client.secrets.server_len);
	}
	tape_client_close(&client);
}

bool
tape_same(const struct handoff__tls_outcome *a,
	const struct handoff__tls_outcome *b)
{
	return a->used == b->used && a->sent == b->sent &&
	       a->max_fragment == b->max_fragment && a->suite == b->suite &&
	       a->secret_len == b->secret_len &&
	       memcmp(a->client_secret, b->client_secret, a->secret_len) == 0 &&
	       memcmp(a->server_secret, b->server_secret, a->secret_len) == 0 &&
	       strcmp(a->alpn, b->alpn) == 0 &&
	       strcmp(a->server_name, b->server_name) == 0 &&
	       strcmp(a->peer, b->peer) == 0 && a->peer_cut == b->peer_cut;
}

struct handoff__tls_handshake *
tape_begin(const struct tape *tape, struct handoff__tls_contexts *contexts)
{
	struct handoff__tls_handshake *hs = NULL;

	assert_int_equal(handoff__tls_handshake_new(
				 &hs, contexts, tape->identity, tape->seed),
		0);
	return hs;
}

size_t
tape_is_prefix(const struct tape *tape, const struct handoff__tls_handshake *hs)
{
	const uint8_t *output;
	size_t len = handoff__tls_handshake_output(hs, &output);

	assert_in_range(len, 0, tape->output_len);
	if (len > 0)
		assert_memory_equal(output, tape->output, len);
	return len;
}

void
tape_finish(const struct tape *tape, struct handoff__tls_handshake *hs)
{
	assert_int_equal(
		handoff__tls_handshake_feed(hs, tape->input, tape->input_len),
		tape->progress);
	assert_int_equal(tape_is_prefix(tape, hs), tape->output_len);
	if (tape->progress == HANDOFF__TLS_DONE)
		assert_true(tape_same(
			handoff__tls_handshake_outcome(hs), &tape->outcome));
	handoff__tls_handshake_free(hs);
}

void
tape_replay(const struct tape *tape, struct handoff__tls_contexts *contexts)
{
	tape_finish(tape, tape_begin(tape, contexts));
}
