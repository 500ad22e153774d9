/* SPDX-License-Identifier: MIT */
/*
 * The record layer against OpenSSL's own: it takes the place of a server, and
 * of a client, and both sides send data of any length, padding, TLS records of
 * 0 bytes and KeyUpdates in any order. Each byte is compared.
 */
#include "support/support.h"

#include "tls/ends.h"
#include "tls/stock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#define STEPS 3000
#define MOST  40000 /* of one write */

static const char *const names[] = {"TLS_AES_128_GCM_SHA256",
	"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};

/* One stream of bytes: each is a function of its position. */
struct stream {
	uint64_t sent, received;
	unsigned seed;
};

struct talk {
	struct place place;
	struct stream ours, theirs;
	unsigned their_updates, our_requests;
	uint32_t random;
};

static uint8_t buffer[MOST], wire[23 * MOST];

static uint32_t
below(struct talk *t, uint32_t n)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 17;
	t->random ^= t->random << 5;
	return t->random % n;
}

/* Mostly short, now and then longer than a TLS record. */
static size_t
some_length(struct talk *t)
{
	return 1 + below(t, below(t, 8) == 0 ? MOST : 300);
}

static uint8_t
byte_at(const struct stream *s, uint64_t at)
{
	return (uint8_t)((at * 2654435761u + s->seed) >> 13);
}

static void
make(struct stream *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		buffer[i] = byte_at(s, s->sent + i);
	s->sent += len;
}

static void
compare(struct stream *s, const uint8_t *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		assert_int_equal(data[i], byte_at(s, s->received + i));
	s->received += len;
}

static void
put(struct talk *t, size_t n)
{
	assert_int_equal(BIO_write(t->place.out, wire, (int)n), n);
}

static void
we_update(struct talk *t, bool request)
{
	int n = handoff__tls_send_update(
		&t->place.w, &t->place.messages, request, wire);

	assert_int_equal(n, HANDOFF__TLS_SEALED_UPDATE);
	put(t, (size_t)n);
	t->our_requests += request;
}

static void
we_send(struct talk *t)
{
	size_t len = some_length(t), n;
	size_t fragment = 1 + below(t, 1u << below(t, 15));

	make(&t->ours, len);
	n = handoff__tls_sealed_len(len, fragment);
	memcpy(wire + HANDOFF__TLS_HEADER, buffer, len);
	assert_int_equal(
		handoff__tls_seal_data(&t->place.w, wire, len, fragment), n);
	put(t, n);
}

/* A TLS record with padding, and one without content. */
static void
we_pad(struct talk *t)
{
	size_t len = below(t, 100), pad = below(t, 2000);

	make(&t->ours, len);
	buffer[len] = HANDOFF__TLS_APPLICATION;
	memset(buffer + len + 1, 0, pad);
	put(t, ends_seal_inner(t->place.w.suite, &t->place.write, buffer,
		       len + 1 + pad, wire));
}

static void
we_receive(struct talk *t)
{
	enum handoff__tls_event event;
	int n;

	while (BIO_ctrl_pending(t->place.in) > 0) {
		n = place_receive(&t->place, buffer, &event);
		assert_true(n >= 0);
		if (event == HANDOFF__TLS_DATA)
			compare(&t->theirs, buffer, (size_t)n);
		else
			assert_int_equal(event, HANDOFF__TLS_UPDATED);
	}
	if (t->place.messages.answer)
		we_update(t, false);
}

static void
they_send(struct talk *t)
{
	size_t len = some_length(t);

	make(&t->theirs, len);
	assert_int_equal(SSL_write(t->place.other, buffer, (int)len), len);
}

static void
they_receive(struct talk *t)
{
	int n;

	while ((n = SSL_read(t->place.other, buffer, sizeof(buffer))) > 0)
		compare(&t->ours, buffer, (size_t)n);
	assert_int_equal(SSL_get_error(t->place.other, n), SSL_ERROR_WANT_READ);
}

static void
they_update(struct talk *t)
{
	int type = below(t, 2) ? SSL_KEY_UPDATE_REQUESTED
			       : SSL_KEY_UPDATE_NOT_REQUESTED;

	/* What was asked of it has to be done first. */
	they_receive(t);
	assert_int_equal(SSL_do_handshake(t->place.other), 1);
	assert_int_equal(SSL_key_update(t->place.other, type), 1);
	assert_int_equal(SSL_do_handshake(t->place.other), 1);
	t->their_updates++;
}

static void
step(struct talk *t)
{
	switch (below(t, 12)) {
	case 0:
		they_update(t);
		break;
	case 1:
		we_update(t, below(t, 2));
		break;
	case 2:
		we_pad(t);
		break;
	case 3:
	case 4:
		we_receive(t);
		break;
	case 5:
	case 6:
		they_receive(t);
		break;
	case 7:
	case 8:
	case 9:
		they_send(t);
		break;
	default:
		we_send(t);
		break;
	}
}

/* Both say that they have no more. */
static void
end(struct talk *t)
{
	enum handoff__tls_event event;
	int n;

	we_receive(t);
	they_receive(t);
	assert_int_equal(SSL_shutdown(t->place.other), 0);
	/* An answer of it to a KeyUpdate of ours may come first. */
	do
		assert_int_equal(place_receive(&t->place, buffer, &event), 0);
	while (event == HANDOFF__TLS_UPDATED);
	assert_int_equal(event, HANDOFF__TLS_CLOSED);
	n = handoff__tls_send_alert(
		&t->place.w, HANDOFF__TLS_CLOSE_NOTIFY, wire);
	put(t, (size_t)n);
	assert_int_equal(SSL_shutdown(t->place.other), 1);
	assert_int_equal(t->ours.received, t->ours.sent);
	assert_int_equal(t->theirs.received, t->theirs.sent);
}

static size_t
random_padding(SSL *ssl, int type, size_t len, void *arg)
{
	(void)ssl;
	(void)type;
	return len % 3 == 0 ? below(arg, 300) : 0;
}

static void
talk(const char *name, bool server, bool pads)
{
	struct talk t = {.ours.seed = 1, .theirs.seed = 2, .random = 99};
	struct stock stock;
	unsigned i;

	stock_open(&stock, name, NULL);
	place_take(&t.place, &stock, server);
	if (pads) {
		SSL_set_record_padding_callback(t.place.other, random_padding);
		SSL_set_record_padding_callback_arg(t.place.other, &t);
	}
	for (i = 0; i < STEPS; i++)
		step(&t);
	end(&t);
	assert_true(t.place.read.updates >= t.their_updates);
	assert_true(t.their_updates > 50);
	assert_true(t.our_requests > 50);
	/* It has answered, so at least once more than on its own. */
	assert_true(t.place.read.updates > t.their_updates);
	assert_true(t.ours.sent > 100000 && t.theirs.sent > 100000);
	assert_int_equal(ERR_peek_error(), 0);
	place_leave(&t.place);
	stock_close(&stock);
}

static void
in_the_place_of_a_server(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		talk(names[i], true, i == 0);
}

static void
in_the_place_of_a_client(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		talk(names[i], false, i == 1);
}

static void
short_fragments(struct stock *stock)
{
	assert_int_equal(SSL_set_tlsext_max_fragment_length(
				 stock->client, TLSEXT_max_fragment_length_512),
		1);
}

/* With max_fragment_length (RFC 6066) it refuses what is longer, and so does
 * the layer with that limit. */
static void
fragments_of_512_bytes(void **state)
{
	struct stock stock;
	struct place p;
	uint8_t data[600];
	int n;

	(void)state;
	stock_open(&stock, names[0], short_fragments);
	place_take(&p, &stock, true);
	memset(buffer + HANDOFF__TLS_HEADER, 'x', 600);
	n = handoff__tls_seal_data(&p.w, buffer, 600, 512);
	BIO_write(p.out, buffer, n);
	assert_int_equal(SSL_read(p.other, data, 600), 512);
	assert_int_equal(SSL_read(p.other, data, 600), 88);
	assert_int_equal(SSL_write(p.other, data, 600), 600);
	assert_int_equal(BIO_read(p.in, buffer, sizeof(buffer)), 600 + 2 * 22);
	assert_int_equal(handoff__tls_record_len(buffer, 600), 512 + 22);
	n = handoff__tls_seal(
		&p.w, HANDOFF__TLS_APPLICATION, wire, 513, buffer);
	BIO_write(p.out, buffer, n);
	assert_int_equal(SSL_read(p.other, data, 600), -1);
	assert_int_equal(
		ERR_GET_REASON(ERR_peek_error()), SSL_R_DATA_LENGTH_TOO_LONG);
	ERR_clear_error();
	place_leave(&p);
	stock_close(&stock);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(in_the_place_of_a_server),
		handoff_test(in_the_place_of_a_client),
		handoff_test(fragments_of_512_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
