/* SPDX-License-Identifier: MIT */
/*
 * No call waits. Certificates are made once for each connection, in the test's
 * directory.
 */
#include "tls/secure.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MOST 65536

struct secure_seen secure_seen;

static void
look(struct handoff_conn *conn)
{
	secure_seen.calls++;
	secure_seen.last = handoff_conn_reason(conn);
	secure_seen.eof = handoff_conn_eof(conn);
	secure_seen.room = handoff_conn_room(conn);
	secure_seen.request = handoff_conn_request(conn);
	handoff__copy(secure_seen.alpn, sizeof(secure_seen.alpn),
		handoff_tls_alpn(conn));
	handoff__copy(secure_seen.name, sizeof(secure_seen.name),
		handoff_tls_server_name(conn));
}

static int
obey(struct handoff_conn *conn, const char *input)
{
	int returns = secure_seen.returns;

	if (strncmp(input, "quit", 4) == 0)
		handoff_conn_close(conn);
	if (strncmp(input, "abort", 5) == 0)
		handoff_conn_abort(conn);
	if (strncmp(input, "fail", 4) == 0)
		return -EPROTO;
	secure_seen.returns = 0;
	return returns;
}

static int
line(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	size_t n = end ? (size_t)(end - input) + 1 : 0;
	char head[16];

	(void)arg;
	look(conn);
	if (n == 0 || n + sizeof(head) > handoff_conn_room(conn))
		return 0;
	snprintf(head, sizeof(head),
		"%d: ", ++*(unsigned char *)handoff_conn_state(conn));
	handoff_conn_write(conn, head, strlen(head));
	handoff_conn_write(conn, input, n);
	handoff_conn_consume(conn, n);
	return obey(conn, input);
}

static void
ended(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	(void)conn;
	(void)reason;
	(void)arg;
	secure_seen.ended++;
}

void
secure_init(struct secure *s)
{
	memset(&secure_seen, 0, sizeof(secure_seen));
	memset(s, 0, sizeof(*s));
	s->inner = (struct handoff_service){.size = sizeof(s->inner),
		.name = "inner",
		.state_size = 32,
		.input_size = 2048,
		.output_size = 2048,
		.handle = line,
		.ended = ended};
}

static void
open_client(struct secure *s)
{
	s->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_NONE, NULL);
	s->ssl = SSL_new(s->ctx);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	assert_true(s->ssl && s->in && s->out);
	BIO_set_mem_eof_return(s->in, -1);
	SSL_set_bio(s->ssl, s->in, s->out);
	SSL_set_tlsext_host_name(s->ssl, "a.test");
	SSL_set_connect_state(s->ssl);
}

static void
log_line(enum handoff_log_level level, const char *text, void *arg)
{
	struct secure *s = arg;

	assert_int_equal(level, HANDOFF_LOG_INFO);
	s->nlines++;
	handoff__copy(s->line, sizeof(s->line), text);
}

void
secure_open(struct secure *s)
{
	struct handoff_tls_opts opts = {.size = sizeof(opts)};
	char why[HANDOFF_TEXT_MAX] = "";

	s->pki = pki_make("secure", PKI_ECDSA, NULL);
	opts.cert_file = s->pki.cert;
	opts.key_file = s->pki.key;
	opts.log = log_line;
	opts.log_arg = s;
	opts.errbuf = why;
	opts.errbuf_size = sizeof(why);
	if (handoff_tls_service(&s->tls, &s->inner, &opts) < 0)
		fail_msg("%s", why);
	open_service(&s->f, &s->tls.service);
	s->f.rec->kind = HANDOFF__CONNECTION;
	open_client(s);
}

void
secure_close(struct secure *s)
{
	SSL_free(s->ssl);
	SSL_CTX_free(s->ctx);
	ERR_clear_error();
	close_conn(&s->f);
	handoff_tls_free(&s->tls);
}

struct handoff__tls *
secure_component(struct secure *s)
{
	return s->tls.component;
}

const struct handoff__tls_head *
secure_head(struct secure *s)
{
	const struct handoff__tls_head *head = handoff__tls_head(
		handoff__record_state(
			&s->f.view, handoff__record_sequence(s->f.rec) & 1),
		handoff__record_commit(s->f.rec)->state_len);

	assert_non_null(head);
	return head;
}

bool
secure_flush(struct secure *s)
{
	char data[MOST];
	int n = BIO_read(s->out, data, sizeof(data));

	if (n <= 0)
		return false;
	assert_int_equal(send(s->f.client, data, (size_t)n, MSG_DONTWAIT), n);
	return true;
}

bool
secure_fetch(struct secure *s)
{
	char data[MOST];
	ssize_t n = recv(s->f.client, data, sizeof(data), MSG_DONTWAIT);

	s->ended = s->ended || n == 0;
	if (n > 0)
		assert_int_equal(BIO_write(s->in, data, (int)n), n);
	return n > 0;
}

void
secure_handshake(struct secure *s)
{
	bool moved = true;

	while (moved && SSL_do_handshake(s->ssl) != 1) {
		moved = secure_flush(s);
		turns(&s->f);
		moved |= secure_fetch(s);
	}
	assert_true(SSL_is_init_finished(s->ssl));
	secure_flush(s);
	turns(&s->f);
}

void
secure_forget(struct secure *s)
{
	s->tls.service.left(handoff__record_id(s->f.rec), &s->tls);
}

void
secure_says(struct secure *s, const char *text)
{
	int len = (int)strlen(text);

	assert_int_equal(SSL_write(s->ssl, text, len), len);
	secure_flush(s);
	turns(&s->f);
}

void
secure_hears(struct secure *s, const char *text)
{
	char got[MOST];
	size_t len = 0, n;

	secure_fetch(s);
	while (len < sizeof(got) - 1 &&
		SSL_read_ex(s->ssl, got + len, sizeof(got) - 1 - len, &n) == 1)
		len += n;
	got[len] = '\0';
	ERR_clear_error();
	assert_string_equal(got, text);
}

void
secure_hears_end(struct secure *s)
{
	secure_hears(s, "");
	assert_int_equal(SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN,
		SSL_RECEIVED_SHUTDOWN);
}
