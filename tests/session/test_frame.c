/* SPDX-License-Identifier: MIT */
/*
 * The frames of the session protocol: vectors byte by byte, as the manual page
 * has them, that frames cut anywhere wait for their rest, and that lengths,
 * types and values that cannot be are refused.
 */
#include "support/support.h"

#include "session/frame.h"

#include <errno.h>
#include <string.h>

#define TOKEN "0123456789abcdef"

struct vector {
	const char *name;
	struct handoff__frame frame;
	size_t len;
	const char *bytes;
};

/* A string of known length, as an array with a zero at the end. */
#define BYTES(text) sizeof(text) - 1, text

static const struct vector vectors[] = {
	{"DATA", {.type = HANDOFF__FRAME_DATA, .len = 5, .ack = 0x01020304},
		BYTES("\x01\x00\x00\x05\x01\x02\x03\x04")},
	{"long DATA", {.type = HANDOFF__FRAME_DATA, .len = 0xffffff},
		BYTES("\x01\xff\xff\xff\x00\x00\x00\x00")},
	{"ACK", {.type = HANDOFF__FRAME_ACK, .ack = 0xfffffffe},
		BYTES("\x02\x00\x00\x00\xff\xff\xff\xfe")},
	{"END", {.type = HANDOFF__FRAME_END, .ack = 7},
		BYTES("\x03\x00\x00\x00\x00\x00\x00\x07")},
	{"ABORT",
		{.type = HANDOFF__FRAME_ABORT,
			.ack = 1,
			.reason = HANDOFF__ABORT_PROTOCOL,
			.text = "no"},
		BYTES("\x04\x00\x00\x04\x00\x00\x00\x01\x00\x02no")},
	{"SYNC", {.type = HANDOFF__FRAME_SYNC, .ack = 8},
		BYTES("\x05\x00\x00\x00\x00\x00\x00\x08")},
	{"NEW",
		{.type = HANDOFF__FRAME_NEW,
			.to_server = 65536,
			.to_client = 0x40000000},
		BYTES("\x10\x00\x00\x08\x00\x00\x00\x00"
		      "\x00\x01\x00\x00\x40\x00\x00\x00")},
	{"RESUME",
		{.type = HANDOFF__FRAME_RESUME,
			.ack = 9,
			.number = 0x2a,
			.token = TOKEN,
			.received = 0x0100000009,
			.sent = 0x0200000003},
		BYTES("\x11\x00\x00\x28\x00\x00\x00\x09"
		      "\x00\x00\x00\x00\x00\x00\x00\x2a" TOKEN
		      "\x00\x00\x00\x01\x00\x00\x00\x09"
		      "\x00\x00\x00\x02\x00\x00\x00\x03")},
	{"WELCOME",
		{.type = HANDOFF__FRAME_WELCOME,
			.ack = 3,
			.number = 0x2a,
			.token = TOKEN,
			.received = 0x0200000003,
			.to_server = 4096,
			.to_client = 256,
			.timeout_ms = 60000,
			.resumed = true},
		BYTES("\x12\x00\x00\x2d\x00\x00\x00\x03"
		      "\x00\x00\x00\x00\x00\x00\x00\x2a" TOKEN
		      "\x00\x00\x00\x02\x00\x00\x00\x03"
		      "\x00\x00\x10\x00\x00\x00\x01\x00"
		      "\x00\x00\xea\x60\x01")},
	{"REFUSED",
		{.type = HANDOFF__FRAME_REFUSED,
			.reason = HANDOFF__REFUSED_BUSY,
			.text = "later"},
		BYTES("\x13\x00\x00\x07\x00\x00\x00\x00\x00\x02later")},
	{"REFUSED without a text",
		{.type = HANDOFF__FRAME_REFUSED, .reason = 0xffff},
		BYTES("\x13\x00\x00\x02\x00\x00\x00\x00\xff\xff")},
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

/* What is decoded has its length; what is encoded needs none. */
static uint32_t
payload(const struct vector *v)
{
	return v->frame.type == HANDOFF__FRAME_DATA
		       ? v->frame.len
		       : (uint32_t)(v->len - HANDOFF__FRAME_HEADER);
}

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *v = &vectors[i];
		unsigned char out[HANDOFF__FRAME_MAX];
		struct handoff__frame frame;
		const char *why = v->name;

		memset(&frame, 0xee, sizeof(frame));
		assert_int_equal(
			handoff__frame_encode(&v->frame, out, sizeof(out)),
			v->len);
		assert_memory_equal(out, v->bytes, v->len);
		assert_int_equal(
			handoff__frame_decode(&frame, out, v->len, &why),
			(int)v->len);
		assert_int_equal(frame.type, v->frame.type);
		assert_int_equal(frame.len, payload(v));
		assert_int_equal(frame.ack, v->frame.ack);
		assert_true(frame.number == v->frame.number);
		assert_memory_equal(
			frame.token, v->frame.token, HANDOFF__FRAME_TOKEN);
		assert_true(frame.received == v->frame.received);
		assert_true(frame.sent == v->frame.sent);
		assert_int_equal(frame.to_server, v->frame.to_server);
		assert_int_equal(frame.to_client, v->frame.to_client);
		assert_int_equal(frame.timeout_ms, v->frame.timeout_ms);
		assert_int_equal(frame.resumed, v->frame.resumed);
		assert_int_equal(frame.reason, v->frame.reason);
		assert_string_equal(frame.text, v->frame.text);
	}
}

/* Cut anywhere: it waits, and changes nothing. */
static void
test_part_of_a_frame(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		for (size_t len = 0; len < vectors[i].len; len++) {
			struct handoff__frame frame = {.number = 99};

			assert_int_equal(handoff__frame_decode(&frame,
						 vectors[i].bytes, len, NULL),
				0);
			assert_true(frame.number == 99);
		}
	}
}

static void
test_no_room(void **state)
{
	unsigned char out[HANDOFF__FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		for (size_t size = 0; size < vectors[i].len; size++) {
			memset(out, 0xaa, sizeof(out));
			assert_int_equal(handoff__frame_encode(
						 &vectors[i].frame, out, size),
				0);
			assert_int_equal(out[size], 0xaa);
		}
	}
}

/* A frame is refused as soon as its header says what cannot be. */
static void
test_headers_that_lie(void **state)
{
	static const struct {
		const char *bytes, *why;
	} bad[] = {
		{"\x00\x00\x00\x00\0\0\0\0", "a frame of an unknown type"},
		{"\x06\x00\x00\x00\0\0\0\0", "a frame of an unknown type"},
		{"\x05\x00\x00\x01\0\0\0\0", "a SYNC with a payload"},
		{"\x14\x00\x00\x02\0\0\0\0", "a frame of an unknown type"},
		{"\xff\xff\xff\xff\0\0\0\0", "a frame of an unknown type"},
		{"\x01\x00\x00\x00\0\0\0\0", "a DATA without bytes"},
		{"\x02\x00\x00\x01\0\0\0\0", "an ACK with a payload"},
		{"\x03\x00\x01\x00\0\0\0\0", "an END with a payload"},
		{"\x10\x00\x00\x07\0\0\0\0", "a NEW that is not 8 bytes long"},
		{"\x10\x00\x00\x09\0\0\0\0", "a NEW that is not 8 bytes long"},
		{"\x11\x00\x00\x27\0\0\0\0",
			"a RESUME that is not 40 bytes long"},
		{"\x11\xff\xff\xff\0\0\0\0",
			"a RESUME that is not 40 bytes long"},
		{"\x12\x00\x00\x2e\0\0\0\0",
			"a WELCOME that is not 45 bytes long"},
		{"\x13\x00\x00\x01\0\0\0\0",
			"a reason that is not 2 to 202 bytes long"},
		{"\x13\x00\x00\xcb\0\0\0\0",
			"a reason that is not 2 to 202 bytes long"},
		{"\x04\x00\x00\x00\0\0\0\0",
			"a reason that is not 2 to 202 bytes long"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct handoff__frame frame = {.number = 99};
		const char *why = NULL;

		assert_int_equal(handoff__frame_decode(&frame, bad[i].bytes,
					 HANDOFF__FRAME_HEADER, &why),
			-EPROTO);
		assert_string_equal(why, bad[i].why);
		assert_true(frame.number == 99);
		assert_int_equal(handoff__frame_decode(&frame, bad[i].bytes,
					 HANDOFF__FRAME_HEADER, NULL),
			-EPROTO);
	}
}

static void
refuses(const char *bytes, size_t len, const char *expected)
{
	struct handoff__frame frame = {.number = 99};
	const char *why = NULL;

	assert_int_equal(
		handoff__frame_decode(&frame, bytes, len, &why), -EPROTO);
	assert_string_equal(why, expected);
	assert_true(frame.number == 99);
}

static void
test_values_that_cannot_be(void **state)
{
	static const char window[] = "a window that is not 256 to 1073741824 "
				     "bytes";
	static const char ack[] = "an acknowledgement where there is no "
				  "session";
	char welcome[HANDOFF__FRAME_WELCOME_LEN];

	(void)state;
	refuses("\x10\x00\x00\x08\0\0\0\0\x00\x00\x00\xff\x00\x00\x10\x00", 16,
		window);
	refuses("\x10\x00\x00\x08\0\0\0\0\x00\x00\x10\x00\x00\x00\x00\x00", 16,
		window);
	refuses("\x10\x00\x00\x08\0\0\0\0\x40\x00\x00\x01\x00\x00\x10\x00", 16,
		window);
	refuses("\x10\x00\x00\x08\0\0\0\1\x00\x00\x10\x00\x00\x00\x10\x00", 16,
		ack);
	refuses("\x13\x00\x00\x02\1\0\0\0\x00\x01", 10, ack);
	memcpy(welcome, vectors[8].bytes, sizeof(welcome));
	welcome[sizeof(welcome) - 1] = 2;
	refuses(welcome, sizeof(welcome),
		"a WELCOME that is neither new nor resumed");
	welcome[sizeof(welcome) - 1] = 1;
	welcome[HANDOFF__FRAME_HEADER + 35] = '\xff';
	welcome[HANDOFF__FRAME_HEADER + 34] = 0;
	refuses(welcome, sizeof(welcome), window);
}

/* What _decode refuses is not written either. */
static void
test_encode_refuses(void **state)
{
	const struct handoff__frame frames[] = {
		{.type = (enum handoff__frame_type)0x20},
		{.type = HANDOFF__FRAME_DATA},
		{.type = HANDOFF__FRAME_DATA, .len = 0x1000000},
		{.type = HANDOFF__FRAME_NEW,
			.to_server = 255,
			.to_client = 256},
		{.type = HANDOFF__FRAME_REFUSED, .ack = 1},
	};
	unsigned char out[HANDOFF__FRAME_MAX] = {0xaa};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		assert_int_equal(
			handoff__frame_encode(&frames[i], out, sizeof(out)), 0);
		assert_int_equal(out[0], 0xaa);
	}
}

/* A text of the other side cannot write to a terminal. */
static void
test_text_is_printable(void **state)
{
	struct handoff__frame frame = {.type = HANDOFF__FRAME_ABORT,
		.reason = 1,
		.text = "a\033[2Jb\n\xc3\xa9\x7f"};
	unsigned char out[HANDOFF__FRAME_MAX];
	size_t len = handoff__frame_encode(&frame, out, sizeof(out));

	(void)state;
	assert_int_equal(len, HANDOFF__FRAME_HEADER + 2 + 10);
	assert_int_equal(
		handoff__frame_decode(&frame, out, len, NULL), (int)len);
	assert_string_equal(frame.text, "a?[2Jb????");
}

static void
test_longest_text(void **state)
{
	struct handoff__frame frame = {.type = HANDOFF__FRAME_REFUSED}, again;
	unsigned char out[HANDOFF__FRAME_MAX];

	(void)state;
	memset(frame.text, 'x', HANDOFF__FRAME_TEXT);
	assert_int_equal(handoff__frame_encode(&frame, out, sizeof(out)),
		HANDOFF__FRAME_MAX);
	assert_int_equal(
		handoff__frame_decode(&again, out, HANDOFF__FRAME_MAX, NULL),
		HANDOFF__FRAME_MAX);
	assert_string_equal(again.text, frame.text);
}

static void
test_preface(void **state)
{
	static const unsigned char bytes[] = {
		0xf5, 0x48, 0x53, 0x45, 0x53, 0x53, 0x00, 0x01, 0x10};

	(void)state;
	assert_memory_equal(handoff__preface, bytes, HANDOFF__PREFACE_LEN);
	for (size_t len = 0; len < HANDOFF__PREFACE_LEN; len++)
		assert_int_equal(handoff__preface_check(bytes, len),
			HANDOFF__PREFACE_PARTIAL);
	for (size_t len = HANDOFF__PREFACE_LEN; len <= sizeof(bytes); len++)
		assert_int_equal(handoff__preface_check(bytes, len),
			HANDOFF__PREFACE_SESSION);
}

static void
test_preface_of_others(void **state)
{
	unsigned char bytes[HANDOFF__PREFACE_LEN];

	(void)state;
	assert_int_equal(
		handoff__preface_check("GET /", 1), HANDOFF__PREFACE_PLAIN);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		memcpy(bytes, handoff__preface, sizeof(bytes));
		bytes[i] ^= 0x40;
		if (i < 6) { /* known at that byte */
			assert_int_equal(handoff__preface_check(bytes, i + 1),
				HANDOFF__PREFACE_PLAIN);
			assert_int_equal(handoff__preface_check(bytes, 8),
				HANDOFF__PREFACE_PLAIN);
			continue;
		}
		assert_int_equal(handoff__preface_check(bytes, 7),
			HANDOFF__PREFACE_PARTIAL);
		assert_int_equal(handoff__preface_check(bytes, 8),
			HANDOFF__PREFACE_VERSION);
	}
}

static void
test_texts(void **state)
{
	const char *unknown = handoff__refusal_text(0);

	(void)state;
	for (unsigned reason = 1; reason <= HANDOFF__REFUSED_VERSION; reason++)
		assert_string_not_equal(handoff__refusal_text(reason), unknown);
	assert_string_equal(handoff__refusal_text(7), unknown);
	assert_string_equal(handoff__refusal_text(65535), unknown);
	for (size_t i = 0; i < VECTORS; i++) {
		const char *name = handoff__frame_name(vectors[i].frame.type);

		assert_non_null(strstr(vectors[i].name, name));
	}
	assert_string_equal(
		handoff__frame_name((enum handoff__frame_type)0), "a frame");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_part_of_a_frame),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_headers_that_lie),
		cmocka_unit_test(test_values_that_cannot_be),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_text_is_printable),
		cmocka_unit_test(test_longest_text),
		cmocka_unit_test(test_preface),
		cmocka_unit_test(test_preface_of_others),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
