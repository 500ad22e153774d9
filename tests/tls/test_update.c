/* SPDX-License-Identifier: MIT */
/*
 * What comes after the handshake besides data: KeyUpdates whole and in pieces,
 * answered once, everything that is no KeyUpdate or not quite one, alerts; and
 * what this side sends of them.
 */
#include "support/support.h"

#include "tls/ends.h"

#include <errno.h>
#include <string.h>

static uint8_t sealed[1000], out[1000];

static const uint8_t plain_update[] = {24, 0, 0, 1, 0};
static const uint8_t requested[] = {24, 0, 0, 1, 1};

static int
receive(struct ends *e, size_t n, enum handoff__tls_event *event)
{
	*event = (enum handoff__tls_event)99;
	return handoff__tls_receive(&e->r, &e->messages, sealed, n,
		HANDOFF__TLS_CONTENT_MAX, out, event);
}

/* A TLS record comes; its error, or the event. */
static int
comes(struct ends *e, unsigned type, const void *content, size_t len)
{
	enum handoff__tls_event event;
	int rc = receive(e, ends_seal(e, type, content, len, sealed), &event);

	if (rc < 0)
		return rc;
	assert_int_equal(rc, event == HANDOFF__TLS_DATA ? len : 0);
	return (int)event;
}

static void
update_writer(struct ends *e)
{
	assert_int_equal(handoff__tls_dir_update(e->w.suite, &e->write), 0);
}

static void
data_still_comes(struct ends *e)
{
	assert_int_equal(comes(e, 23, "hello", 5), HANDOFF__TLS_DATA);
	assert_memory_equal(out, "hello", 5);
}

static void
try_updates(struct ends *e)
{
	struct handoff__tls_dir before;

	data_still_comes(e);
	assert_int_equal(comes(e, 22, plain_update, 5), HANDOFF__TLS_UPDATED);
	assert_false(e->messages.answer);
	assert_int_equal(e->read.updates, 1);
	before = e->write;
	update_writer(e);
	assert_memory_equal(&e->read, &e->write, sizeof(e->read));
	data_still_comes(e);
	assert_int_equal(comes(e, 22, requested, 5), HANDOFF__TLS_UPDATED);
	assert_true(e->messages.answer);
	update_writer(e);
	data_still_comes(e);
	/* Nothing comes with the old keys any more. */
	e->write = before;
	assert_int_equal(comes(e, 23, "hello", 5), -EBADMSG);
}

static void
key_updates_change_the_keys(void **state)
{
	struct ends e;
	unsigned i;

	(void)state;
	for (i = 0; i < HANDOFF__TLS_SUITES; i++) {
		ends_open(&e, i);
		try_updates(&e);
		ends_close(&e);
	}
}

/* In all 16 ways of cutting it. */
static void
key_update_comes_in_pieces(void **state)
{
	unsigned cuts, i;
	struct ends e;

	(void)state;
	ends_open(&e, 0);
	for (cuts = 0; cuts < 16; cuts++) {
		size_t begin = 0;

		for (i = 0; i < 4; i++) {
			if (!(cuts >> i & 1))
				continue;
			assert_int_equal(
				comes(&e, 22, requested + begin, i + 1 - begin),
				HANDOFF__TLS_NOTHING);
			begin = i + 1;
			assert_int_equal(e.messages.len, begin);
		}
		assert_int_equal(comes(&e, 22, requested + begin, 5 - begin),
			HANDOFF__TLS_UPDATED);
		assert_int_equal(e.messages.len, 0);
		update_writer(&e);
		data_still_comes(&e);
	}
	assert_int_equal(e.read.updates, 16);
	ends_close(&e);
}

/* Each on a connection of its own. */
static int
comes_first(unsigned type, const void *content, size_t len)
{
	struct ends e;
	int rc;

	ends_open(&e, 1);
	rc = comes(&e, type, content, len);
	if (rc < 0)
		assert_int_equal(e.read.updates, 0);
	ends_close(&e);
	return rc;
}

static void
other_messages_are_refused(void **state)
{
	uint8_t m[16] = {24, 0, 0, 1, 0};
	unsigned i;

	(void)state;
	for (i = 0; i < 256; i++) {
		m[0] = (uint8_t)i;
		assert_int_equal(comes_first(22, m, 5),
			i == 24 ? (int)HANDOFF__TLS_UPDATED : -EPROTO);
		assert_int_equal(comes_first(22, m, 1),
			i == 24 ? (int)HANDOFF__TLS_NOTHING : -EPROTO);
	}
	m[0] = 24;
	for (i = 0; i < 256; i++) {
		m[4] = (uint8_t)i;
		assert_int_equal(comes_first(22, m, 5),
			i < 2 ? (int)HANDOFF__TLS_UPDATED : -EINVAL);
	}
	m[4] = 0;
	for (i = 0; i < 256; i++) {
		m[3] = (uint8_t)i;
		assert_int_equal(comes_first(22, m, 4),
			i == 1 ? (int)HANDOFF__TLS_NOTHING : -EILSEQ);
	}
	assert_int_equal(comes_first(22, "\x18\1\0\1\0", 5), -EILSEQ);
	assert_int_equal(comes_first(22, "\x18\0\1\1\0", 5), -EILSEQ);
	assert_int_equal(comes_first(22, "", 0), -EPROTO);
}

static void
key_update_ends_its_record(void **state)
{
	(void)state;
	assert_int_equal(comes_first(22, "\x18\0\0\1\0\x18", 6), -EPROTO);
	assert_int_equal(
		comes_first(22, "\x18\0\0\1\0\x18\0\0\1\0", 10), -EPROTO);
	assert_int_equal(comes_first(22, "\x18\0\0\1\7\x18", 6), -EPROTO);
}

static void
message_is_not_interrupted(void **state)
{
	static const struct {
		unsigned type;
		const char *content;
		size_t len;
	} others[] = {{23, "hello", 5}, {23, "", 0}, {21, "\1\0", 2},
		{21, "\2\50", 2}};
	unsigned i, len;
	struct ends e;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (len = 1; len < 5; len++) {
			ends_open(&e, 0);
			assert_int_equal(comes(&e, 22, requested, len),
				HANDOFF__TLS_NOTHING);
			assert_int_equal(
				comes(&e, others[i].type, others[i].content,
					others[i].len),
				-EPROTO);
			ends_close(&e);
		}
	}
}

/* A state with more of a message than there can be. */
static void
damaged_state_is_refused(void **state)
{
	struct ends e;
	unsigned len;

	(void)state;
	for (len = 5; len < 256; len++) {
		ends_open(&e, 0);
		e.messages.len = (uint8_t)len;
		assert_int_equal(comes(&e, 22, requested, 5), -EPROTO);
		ends_close(&e);
	}
}

static int
event_of(unsigned alert)
{
	if (alert == 0)
		return HANDOFF__TLS_CLOSED;
	return alert == 90 ? HANDOFF__TLS_NOTHING : HANDOFF__TLS_ALERTED;
}

static void
alerts_are_told(void **state)
{
	unsigned alert, level;
	struct ends e;

	(void)state;
	ends_open(&e, 2);
	for (alert = 0; alert < 256; alert++) {
		for (level = 0; level < 4; level++) {
			uint8_t a[2] = {(uint8_t)level, (uint8_t)alert};

			assert_int_equal(comes(&e, 21, a, 2), event_of(alert));
			assert_int_equal(e.messages.alert, alert);
		}
	}
	ends_close(&e);
	assert_int_equal(comes_first(21, "\1", 1), -EPROTO);
	assert_int_equal(comes_first(21, "\1\0\1", 3), -EPROTO);
	assert_int_equal(comes_first(21, "\1\0\1\0", 4), -EPROTO);
	assert_int_equal(comes_first(21, "", 0), -EPROTO);
}

static void
zero_bytes_of_data_are_nothing_special(void **state)
{
	struct ends e;
	unsigned i;

	(void)state;
	ends_open(&e, 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(comes(&e, 23, "", 0), HANDOFF__TLS_DATA);
	data_still_comes(&e);
	ends_close(&e);
}

static void
errors_of_opening_are_passed_on(void **state)
{
	enum handoff__tls_event event;
	struct ends e;
	size_t n;

	(void)state;
	ends_open(&e, 0);
	n = ends_seal(&e, 23, "hello", 5, sealed);
	sealed[7] ^= 1;
	assert_int_equal(receive(&e, n, &event), -EBADMSG);
	assert_int_equal(event, 99);
	sealed[7] ^= 1;
	assert_int_equal(handoff__tls_receive(
				 &e.r, &e.messages, sealed, n, 4, out, &event),
		-EMSGSIZE);
	ends_close(&e);
}

static void
send_update(struct ends *e, bool request)
{
	enum handoff__tls_event event;
	int n = handoff__tls_send_update(&e->w, &e->messages, request, sealed);

	assert_int_equal(n, HANDOFF__TLS_SEALED_UPDATE);
	assert_false(e->messages.answer);
	assert_int_equal(receive(e, (size_t)n, &event), 0);
	assert_int_equal(event, HANDOFF__TLS_UPDATED);
	assert_int_equal(e->messages.answer, request);
	assert_memory_equal(&e->read, &e->write, sizeof(e->read));
}

static void
own_updates_are_received(void **state)
{
	struct ends e;
	unsigned i;

	(void)state;
	for (i = 0; i < HANDOFF__TLS_SUITES; i++) {
		ends_open(&e, i);
		send_update(&e, false);
		send_update(&e, true);
		data_still_comes(&e);
		send_update(&e, false); /* the answer */
		data_still_comes(&e);
		assert_int_equal(e.write.updates, 3);
		ends_close(&e);
	}
}

static void
update_is_due(void **state)
{
	struct ends e;

	(void)state;
	ends_open(&e, 0);
	assert_int_equal(e.suites.records_a_key, 1u << 23);
	e.write.seq = (1u << 23) - 1;
	assert_false(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	e.write.seq++;
	assert_true(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	e.read = e.write;
	send_update(&e, false);
	assert_false(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	e.suites.records_a_key = 2;
	data_still_comes(&e);
	assert_false(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	data_still_comes(&e);
	assert_true(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	send_update(&e, false);
	/* Asked for twice, answered once. */
	comes(&e, 22, requested, 5);
	update_writer(&e);
	assert_true(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	comes(&e, 22, requested, 5);
	update_writer(&e);
	send_update(&e, false);
	assert_false(handoff__tls_update_due(&e.suites, &e.write, &e.messages));
	ends_close(&e);
}

static void
used_up_number_stops_an_update(void **state)
{
	struct ends e;

	(void)state;
	ends_open(&e, 0);
	e.write.seq = UINT64_MAX;
	e.messages.answer = 1;
	assert_int_equal(
		handoff__tls_send_update(&e.w, &e.messages, false, sealed),
		-EOVERFLOW);
	assert_true(e.messages.answer);
	assert_int_equal(e.write.updates, 0);
	ends_close(&e);
}

static void
own_alerts_are_received(void **state)
{
	static const uint8_t alerts[] = {0, 10, 20, 22, 47, 50, 80, 90};
	enum handoff__tls_type type;
	struct ends e;
	unsigned i;

	(void)state;
	ends_open(&e, 0);
	for (i = 0; i < sizeof(alerts); i++) {
		int n = handoff__tls_send_alert(&e.w, alerts[i], sealed);

		assert_int_equal(n, HANDOFF__TLS_SEALED_ALERT);
		assert_int_equal(handoff__tls_open(&e.r, sealed, (size_t)n,
					 16384, out, &type),
			2);
		assert_int_equal(type, HANDOFF__TLS_ALERT);
		assert_int_equal(
			out[0], alerts[i] == 0 || alerts[i] == 90 ? 1 : 2);
		assert_int_equal(out[1], alerts[i]);
	}
	ends_close(&e);
}

static void
errors_have_alerts(void **state)
{
	static const struct {
		int err;
		unsigned alert;
		const char *name;
	} all[] = {{-EPROTO, 10, "unexpected_message"},
		{-EBADMSG, 20, "bad_record_mac"},
		{-EMSGSIZE, 22, "record_overflow"},
		{-EINVAL, 47, "illegal_parameter"},
		{-EILSEQ, 50, "decode_error"}, {-ENOMEM, 80, "internal_error"},
		{-EOVERFLOW, 80, "internal_error"}};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(
			handoff__tls_alert_of(all[i].err), all[i].alert);
		assert_string_equal(
			handoff__tls_alert_name(all[i].alert), all[i].name);
	}
	assert_string_equal(handoff__tls_alert_name(0), "close_notify");
	assert_string_equal(handoff__tls_alert_name(48), "unknown_ca");
	assert_string_equal(handoff__tls_alert_name(255), "unknown");
	assert_true(HANDOFF__TLS_RESERVE >=
		    HANDOFF__TLS_SEALED_UPDATE + HANDOFF__TLS_SEALED_ALERT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(key_updates_change_the_keys),
		handoff_test(key_update_comes_in_pieces),
		handoff_test(other_messages_are_refused),
		handoff_test(key_update_ends_its_record),
		handoff_test(message_is_not_interrupted),
		handoff_test(damaged_state_is_refused),
		handoff_test(alerts_are_told),
		handoff_test(zero_bytes_of_data_are_nothing_special),
		handoff_test(errors_of_opening_are_passed_on),
		handoff_test(own_updates_are_received),
		handoff_test(update_is_due),
		handoff_test(used_up_number_stops_an_update),
		handoff_test(own_alerts_are_received),
		handoff_test(errors_have_alerts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
