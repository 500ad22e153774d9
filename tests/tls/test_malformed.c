/* SPDX-License-Identifier: MIT */
/*
 * The same malformed TLS records to this layer and to a server of stock
 * OpenSSL: both end the connection, with the same alert, except where the table
 * names another one and why.
 */
#include "support/support.h"

#include "tls/ends.h"
#include "tls/stock.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>

#define BYTES(text) text, sizeof(text) - 1

#define MAX (HANDOFF__TLS_CONTENT_MAX + 1)

enum { SAME = 255 };

struct inner {
	const char *name;
	const char *bytes; /* content and type */
	size_t len;
	size_t before; /* so many bytes 'x' before them */
	size_t padding;
	uint8_t alert;
	uint8_t stock; /* SAME, or what OpenSSL sends instead */
};

static const struct inner inners[] = {
	{"zeros only", BYTES("\0\0\0\0"), 0, 0, 10, SAME},
	{"a zero", BYTES("\0"), 0, 0, 10, SAME},
	{"change_cipher_spec", BYTES("\1\x14"), 0, 0, 10, SAME},
	{"heartbeat", BYTES("\1\0\0\x18"), 0, 0, 10, SAME},
	{"type 1", BYTES("\1"), 0, 0, 10, SAME},
	{"type 255", BYTES("hello\xff"), 0, 0, 10, SAME},
	{"alert of 0 bytes", BYTES("\x15"), 0, 0, 10, SAME},
	{"alert of 0 bytes and padding", BYTES("\x15"), 0, 100, 10, SAME},
	{"alert of 1 byte", BYTES("\1\x15"), 0, 0, 10, SAME},
	{"alert of 3 bytes", BYTES("\1\0\0\x15"), 0, 0, 10, SAME},
	{"two alerts", BYTES("\1\x5a\1\0\x15"), 0, 0, 10, SAME},
	{"message of 0 bytes", BYTES("\x16"), 0, 0, 10, SAME},
	{"content too long", BYTES("x\x17"), MAX - 1, 0, 22, SAME},
	{"content too long by 239", BYTES("x\x17"), MAX + 237, 0, 22, SAME},
	/* RFC 8446, 5.4, which OpenSSL does not check. */
	{"padding too long", BYTES("\x17"), MAX - 10, 10, 22, 0},
	{"padding too long by 238", BYTES("\x17"), 1, MAX + 236, 22, 0},
	{"ClientHello", BYTES("\1\0\0\1\0\x16"), 0, 0, 10, SAME},
	{"NewSessionTicket", BYTES("\4\0\0\1\0\x16"), 0, 0, 10, SAME},
	{"EndOfEarlyData", BYTES("\5\0\0\0\x16"), 0, 0, 10, SAME},
	{"Certificate", BYTES("\x0b\0\0\1\0\x16"), 0, 0, 10, SAME},
	{"CertificateRequest", BYTES("\x0d\0\0\1\0\x16"), 0, 0, 10, SAME},
	{"Finished", BYTES("\x14\0\0\1\0\x16"), 0, 0, 10, SAME},
	{"message 255", BYTES("\xff\0\0\0\x16"), 0, 0, 10, SAME},
	{"KeyUpdate of 0 bytes", BYTES("\x18\0\0\0\x16"), 0, 0, 50, SAME},
	/* OpenSSL has a limit for each message. */
	{"KeyUpdate of 2 bytes", BYTES("\x18\0\0\2\0\0\x16"), 0, 0, 50, 47},
	{"endless KeyUpdate", BYTES("\x18\xff\xff\xff\x16"), 0, 0, 50, 47},
	{"KeyUpdate 2", BYTES("\x18\0\0\1\2\x16"), 0, 0, 47, SAME},
	{"KeyUpdate 255", BYTES("\x18\0\0\1\xff\x16"), 0, 0, 47, SAME},
	{"KeyUpdate and a byte", BYTES("\x18\0\0\1\0\x18\x16"), 0, 0, 10, SAME},
	{"two KeyUpdates", BYTES("\x18\0\0\1\1\x18\0\0\1\1\x16"), 0, 0, 10,
		SAME},
};

struct outer {
	const char *name;
	uint8_t header[5];
	uint8_t alert, stock;
};

/* With zeros behind them. */
static const struct outer outers[] = {
	{"handshake", {22, 3, 3, 0, 40}, 10, SAME},
	{"change_cipher_spec", {20, 3, 3, 0, 1}, 10, SAME},
	{"type 24", {24, 3, 3, 0, 40}, 10, SAME},
	{"type 0", {0, 3, 3, 0, 40}, 10, SAME},
	{"too long", {23, 3, 3, 0x41, 1}, 22, SAME},
	{"as long as can be said", {23, 3, 3, 255, 255}, 22, SAME},
	{"zeros as cipher text", {23, 3, 3, 0, 40}, 20, SAME},
	{"a tag alone", {23, 3, 3, 0, 16}, 20, SAME},
	{"less than a tag", {23, 3, 3, 0, 3}, 20, SAME},
	{"no bytes", {23, 3, 3, 0, 0}, 20, SAME},
};

static uint8_t record[70000], plain[70000];

struct pair {
	struct stock stock;
	struct place client;          /* sends, in the client's place */
	struct handoff__tls_dir mine; /* what the server reads with */
	struct handoff__tls_key key;
	struct handoff__tls_messages messages;
};

static void
pair_open(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	stock_open(&p->stock, "TLS_AES_128_GCM_SHA256", NULL);
	place_take(&p->client, &p->stock, false);
	p->mine = p->client.write;
}

static void
pair_close(struct pair *p)
{
	handoff__tls_key_drop(&p->key);
	place_leave(&p->client);
	stock_close(&p->stock);
	ERR_clear_error();
}

/* The alert of stock OpenSSL; 0: it goes on. */
static unsigned
to_stock(struct pair *p, size_t n)
{
	enum handoff__tls_event event;
	int rc;

	assert_int_equal(BIO_write(p->client.out, record, (int)n), n);
	rc = SSL_read(p->client.other, plain, sizeof(plain));
	if (BIO_ctrl_pending(p->client.in) == 0) {
		assert_true(rc > 0 || SSL_get_error(p->client.other, rc) ==
					      SSL_ERROR_WANT_READ);
		return 0;
	}
	assert_true(rc <= 0);
	assert_int_equal(place_receive(&p->client, plain, &event), 0);
	assert_int_equal(event, HANDOFF__TLS_ALERTED);
	return p->client.messages.alert;
}

/* The alert of this layer; 0: it goes on. */
static unsigned
to_layer(struct pair *p, size_t n)
{
	struct handoff__tls_end end = {p->client.w.suite, &p->mine, &p->key};
	enum handoff__tls_event event;
	int rc = handoff__tls_record_len(record, n);

	if (rc >= 0) {
		assert_int_equal(rc, n);
		rc = handoff__tls_receive(&end, &p->messages, record, n,
			HANDOFF__TLS_CONTENT_MAX, plain, &event);
	}
	return rc < 0 ? handoff__tls_alert_of(rc) : 0;
}

static void
both(struct pair *p, const char *name, size_t n, uint8_t alert, uint8_t stock)
{
	unsigned ours = to_layer(p, n), theirs = to_stock(p, n);

	if (ours != alert || theirs != (stock == SAME ? alert : stock))
		fail_msg("%s: alert %u of the layer, %u of OpenSSL", name, ours,
			theirs);
}

static void
inner_plain_text(void **state)
{
	static uint8_t inner[20000];
	struct pair p;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(inners) / sizeof(inners[0]); i++) {
		const struct inner *in = &inners[i];
		size_t n = in->before + in->len + in->padding;

		pair_open(&p);
		memset(inner, 0, sizeof(inner));
		memset(inner, 'x', in->before);
		memcpy(inner + in->before, in->bytes, in->len);
		n = ends_seal_inner(
			p.client.w.suite, &p.client.write, inner, n, record);
		both(&p, in->name, n, in->alert, in->stock);
		pair_close(&p);
	}
}

static void
outer_header(void **state)
{
	struct pair p;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(outers) / sizeof(outers[0]); i++) {
		const struct outer *out = &outers[i];

		pair_open(&p);
		memset(record, 0, sizeof(record));
		memcpy(record, out->header, 5);
		both(&p, out->name,
			5u + (out->header[3] * 256u) + out->header[4],
			out->alert, out->stock);
		pair_close(&p);
	}
}

/* A message that has begun, and then something else. */
static void
interruption(void **state)
{
	static const struct inner others[] = {
		{"data within a message", BYTES("x\x17"), 0, 0, 10, SAME},
		{"no data within a message", BYTES("\x17"), 0, 0, 10, SAME},
		{"an alert within a message", BYTES("\2\x28\x15"), 0, 0, 10,
			SAME},
		{"close_notify within a message", BYTES("\1\0\x15"), 0, 0, 10,
			SAME},
	};
	struct pair p;
	unsigned i;
	size_t n;

	(void)state;
	for (i = 0; i < 4; i++) {
		pair_open(&p);
		n = ends_seal_inner(p.client.w.suite, &p.client.write,
			(const uint8_t *)"\x18\0\x16", 3, record);
		both(&p, "part of a KeyUpdate", n, 0, 0);
		n = ends_seal_inner(p.client.w.suite, &p.client.write,
			(const uint8_t *)others[i].bytes, others[i].len,
			record);
		both(&p, others[i].name, n, others[i].alert, others[i].stock);
		pair_close(&p);
	}
}

static void
each_damaged_byte(void **state)
{
	struct pair p;
	size_t i, n = 5 + 6 + 16;

	(void)state;
	for (i = 5; i < n; i++) {
		pair_open(&p);
		assert_int_equal(
			ends_seal_inner(p.client.w.suite, &p.client.write,
				(const uint8_t *)"hello\x17", 6, record),
			n);
		record[i] ^= 0x80;
		both(&p, "a damaged byte", n, 20, SAME);
		pair_close(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(inner_plain_text),
		handoff_test(outer_header),
		handoff_test(interruption),
		handoff_test(each_damaged_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
