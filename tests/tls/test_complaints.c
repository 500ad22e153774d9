/* SPDX-License-Identifier: MIT */
/*
 * What the log says of clients that fail: each kind of failure has one line
 * with its reason, a client that does no wrong has none, and no client can fill
 * the log.
 */
#include "tls/secure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct secure *
opened(void)
{
	static struct secure s;

	secure_init(&s);
	secure_open(&s);
	return &s;
}

/* It is the only line of the log. */
static void
assert_logged(const struct secure *s, const char *why)
{
	char line[HANDOFF_TEXT_MAX];

	snprintf(line, sizeof(line), "connection %" PRIu64 " of unix:: %s",
		handoff__record_number(s->f.rec), why);
	assert_string_equal(s->line, line);
	assert_int_equal(s->nlines, 1);
}

static void
old_version(struct secure *s)
{
	SSL_set_max_proto_version(s->ssl, TLS1_2_VERSION);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
}

static void
plain_text(struct secure *s)
{
	assert_int_equal(
		send(s->f.client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
}

static void
rejected_certificate(struct secure *s)
{
	SSL_set_verify(s->ssl, SSL_VERIFY_PEER, NULL);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	secure_fetch(s);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
}

static void
left_in_the_hello(struct secure *s)
{
	assert_int_equal(send(s->f.client, "\x16\x03\x01", 3, 0), 3);
	client_ends_sending(&s->f);
}

/* What the client has seen is not what its seed makes. */
static void
other_flight(struct secure *s)
{
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	((struct handoff__tls_head *)(uintptr_t)secure_head(s))
		->u.begin.seed[7] ^= 1;
	secure_forget(s);
	secure_fetch(s);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
}

static void
stranger(struct secure *s)
{
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	((struct handoff__tls_head *)(uintptr_t)secure_head(s))
		->u.begin.identity[0] ^= 1;
	secure_forget(s);
	secure_fetch(s);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
}

static void
forged_record(struct secure *s)
{
	static const char record[] = "\x17\x03\x03\x00\x14"
				     "not under that key..";

	secure_handshake(s);
	assert_int_equal(send(s->f.client, record, 25, 0), 25);
}

static void
too_long_line(struct secure *s)
{
	char text[2049];

	secure_handshake(s);
	memset(text, 'x', 2048);
	text[2048] = '\0';
	secure_says(s, text);
}

static void
client_with_an_alert(struct secure *s)
{
	secure_handshake(s);
	secure_says(s, "one\n");
	secure_fetch(s);
	/* then it gets a TLS record that it cannot open */
	assert_int_equal(BIO_write(s->in,
				 "\x17\x03\x03\x00\x14"
				 "not under that key..",
				 25),
		25);
	assert_int_equal(SSL_read(s->ssl, (char[64]){""}, 64), 7);
	assert_true(SSL_read(s->ssl, (char[64]){""}, 64) < 0);
	secure_flush(s);
}

static void
each_failure_has_one_line(void **state)
{
	static const struct {
		void (*act)(struct secure *s);
		const char *why;
	} cases[] = {
		{old_version, "TLS handshake: unsupported protocol: alert 70 "
			      "(protocol version) sent"},
		{plain_text, "TLS handshake: http request"},
		{rejected_certificate,
			"TLS handshake: tlsv1 alert unknown ca: alert 48 "
			"(unknown CA) received"},
		{left_in_the_hello, "TLS handshake: ended by the client"},
		{other_flight,
			"TLS handshake: run again it made other bytes than "
			"those that were sent: please report it"},
		{stranger,
			"TLS handshake: begun in a process with another "
			"certificate, other options or another OpenSSL, which "
			"has died"},
		{forged_record, "TLS: what has come is not right: alert 20 "
				"(bad_record_mac) sent"},
		{too_long_line, "TLS: the handler waits for more than its "
				"input_size: alert 80 (internal_error) sent"},
		{client_with_an_alert, "TLS: ended by the client: alert 20 "
				       "(bad_record_mac) received"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secure *s = opened();

		cases[i].act(s);
		turns(&s->f);
		assert_logged(s, cases[i].why);
		secure_close(s);
	}
}

static void
good_client_has_none(void **state)
{
	struct secure *s = opened();

	(void)state;
	secure_handshake(s);
	secure_says(s, "quit\n");
	secure_hears(s, "1: quit\n");
	secure_hears_end(s);
	assert_int_equal(s->nlines, 0);
	secure_close(s);
}

static void
log_has_a_limit(void **state)
{
	struct secure *s = opened();
	struct handoff__tls_complaints *c = &secure_component(s)->complaints;
	struct handoff_conn conn = {.view = s->f.view};

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		handoff__tls_complain(c, &conn, "%s", "why");
	assert_int_equal(s->nlines, 10);
	assert_null(strstr(s->line, "more"));
	c->since_us -= 10000000;
	handoff__tls_complain(c, &conn, "%s", "why");
	assert_int_equal(s->nlines, 11);
	assert_non_null(
		strstr(s->line, ": why (and 2 more since the last such line)"));
	handoff__tls_complain(c, &conn, "%s", "why");
	assert_int_equal(s->nlines, 12);
	assert_null(strstr(s->line, "more"));
	secure_close(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_failure_has_one_line),
		handoff_test(good_client_has_none),
		handoff_test(log_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
