/* SPDX-License-Identifier: MIT */
/*
 * A connection of a service with TLS, turn by turn: what is committed, what is
 * kept, what is run again when all that a process may lose is lost.
 */
#include "tls/secure.h"

#include "tls/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

static struct secure *
opened(void)
{
	static struct secure s;

	secure_init(&s);
	secure_open(&s);
	return &s;
}

static struct secure *
shaken(void)
{
	struct secure *s = opened();

	secure_handshake(s);
	return s;
}

static uint64_t
counted(struct secure *s, size_t at)
{
	struct handoff_tls_counts counts = {.size = sizeof(counts)};
	uint64_t value;

	assert_int_equal(handoff_tls_stats(&s->tls, &counts), 0);
	memcpy(&value, (char *)&counts + at, sizeof(value));
	return value;
}

#define count_of(s, member)                                                    \
	counted(s, offsetof(struct handoff_tls_counts, member))

static void
lines_come_and_go(void **state)
{
	struct secure *s = shaken();

	(void)state;
	secure_says(s, "one\n");
	secure_hears(s, "1: one\n");
	secure_says(s, "two\nthr");
	secure_hears(s, "2: two\n");
	secure_says(s, "ee\n");
	secure_hears(s, "3: three\n");
	assert_int_equal(handoff__record_unread(s->f.rec), 0);
	assert_int_equal(secure_head(s)->pending_len, 0);
	assert_string_equal(secure_seen.name, "a.test");
	assert_string_equal(secure_seen.alpn, "");
	assert_int_equal(count_of(s, handshakes), 1);
	secure_close(s);
}

/* In every turn of a handshake and after it. */
static void
what_a_process_keeps_may_be_lost(void **state)
{
	struct secure *s = opened();

	(void)state;
	while (SSL_do_handshake(s->ssl) != 1) {
		secure_flush(s);
		turn(&s->f, EPOLLIN);
		secure_forget(s);
		secure_fetch(s);
	}
	secure_flush(s);
	secure_forget(s);
	turns(&s->f);
	assert_int_equal(count_of(s, replays), 1);
	for (int i = 1; i < 5; i++) {
		char text[32];

		secure_forget(s);
		secure_says(s, "line\n");
		snprintf(text, sizeof(text), "%d: line\n", i);
		secure_hears(s, text);
		assert_int_equal(
			handoff__tls_cache_count(&secure_component(s)->cache),
			1);
	}
	secure_close(s);
}

/* Thousands of these may have survived a death. */
static void
handshakes_wait_for_their_clients(void **state)
{
	struct secure *s = opened();

	(void)state;
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	secure_forget(s);
	assert_int_equal(turn(&s->f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(count_of(s, replays), 0);
	secure_fetch(s);
	secure_handshake(s);
	assert_int_equal(count_of(s, replays), 1);
	secure_says(s, "one\n");
	secure_hears(s, "1: one\n");
	secure_close(s);
}

static void
client_that_leaves_needs_no_replay(void **state)
{
	struct secure *s = opened();

	(void)state;
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	secure_forget(s);
	shutdown(s->f.client, SHUT_WR);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_END);
	assert_int_equal(count_of(s, failed), 1);
	assert_int_equal(count_of(s, replays), 0);
	secure_close(s);
}

static void
seed_is_gone_after_the_handshake(void **state)
{
	struct secure *s = opened();
	uint8_t seed[HANDOFF__TLS_SEED];
	const unsigned char *states = handoff__record_state(&s->f.view, 0);
	size_t size = 2 * (size_t)s->tls.service.state_size;

	(void)state;
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	assert_int_equal(secure_head(s)->phase, HANDOFF__TLS_HANDSHAKE_ON);
	memcpy(seed, secure_head(s)->u.begin.seed, sizeof(seed));
	assert_non_null(memmem(states, size, seed, sizeof(seed)));
	secure_fetch(s);
	secure_handshake(s);
	secure_says(s, "one\n");
	assert_null(memmem(states, size, seed, sizeof(seed)));
	secure_close(s);
}

/* Of either direction, whichever side has changed its keys. */
static void
old_keys_are_gone_at_once(void **state)
{
	struct secure *s = shaken();
	const unsigned char *states = handoff__record_state(&s->f.view, 0);
	size_t size = 2 * (size_t)s->tls.service.state_size;
	uint8_t read[32], write[32];

	(void)state;
	s->f.arena.secret = true; /* as the server of a secret service has it */
	for (int kind = 0; kind < 2; kind++) {
		memcpy(read, secure_head(s)->u.open.read.secret, sizeof(read));
		memcpy(write, secure_head(s)->u.open.write.secret,
			sizeof(write));
		assert_non_null(memmem(states, size, read, sizeof(read)));
		SSL_key_update(s->ssl, kind == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED
						 : SSL_KEY_UPDATE_REQUESTED);
		secure_says(s, "one\n");
		assert_null(memmem(states, size, read, sizeof(read)));
		if (kind == 1)
			assert_null(memmem(states, size, write, sizeof(write)));
	}
	secure_close(s);
}

/* What was sent is compared before anything more is. */
static void
other_flight_ends_the_connection(void **state)
{
	struct secure *s = opened();
	struct handoff__tls_head *head;

	(void)state;
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	turns(&s->f);
	head = (struct handoff__tls_head *)(uintptr_t)secure_head(s);
	head->u.begin.seed[7] ^= 1;
	secure_forget(s);
	secure_fetch(s);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_LINGER);
	assert_int_equal(count_of(s, mismatches), 1);
	assert_int_equal(secure_head(s)->phase, HANDOFF__TLS_OVER);
	assert_false(secure_fetch(s));
	secure_close(s);
}

/* Part of a hello, of which nothing was answered: it begins anew. Of one that
 * was answered the rest cannot be made. */
static void
strangers_are_known_by_their_identity(void **state)
{
	struct secure *s = opened();
	struct handoff__tls_head *head;
	char hello[2048];
	int len;

	(void)state;
	SSL_do_handshake(s->ssl);
	len = BIO_read(s->out, hello, sizeof(hello));
	assert_int_equal(send(s->f.client, hello, 50, 0), 50);
	turns(&s->f);
	head = (struct handoff__tls_head *)(uintptr_t)secure_head(s);
	memset(head->u.begin.identity, 7, sizeof(head->u.begin.identity));
	secure_forget(s);
	send(s->f.client, hello + 50, (size_t)len - 50, 0);
	turns(&s->f);
	assert_int_equal(count_of(s, strangers), 0);
	secure_fetch(s);
	head = (struct handoff__tls_head *)(uintptr_t)secure_head(s);
	memset(head->u.begin.identity, 7, sizeof(head->u.begin.identity));
	secure_forget(s);
	SSL_do_handshake(s->ssl);
	secure_flush(s);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_LINGER);
	assert_int_equal(count_of(s, strangers), 1);
	secure_close(s);
}

/* A turn that is undone opens and seals the same numbers once more. */
static void
undone_turns_leave_nothing(void **state)
{
	struct secure *s = shaken();
	uint64_t read = secure_head(s)->u.open.read.seq;
	uint64_t write = secure_head(s)->u.open.write.seq;

	(void)state;
	secure_seen.returns = HANDOFF_LATER;
	s->f.service.posted = s->tls.service.posted;
	secure_says(s, "one\n");
	secure_hears(s, "");
	assert_int_equal(secure_head(s)->u.open.read.seq, read);
	assert_int_equal(secure_head(s)->u.open.write.seq, write);
	assert_true(handoff__record_unread(s->f.rec) > 0);
	secure_close(s);
}

static void
failed_handler_resets(void **state)
{
	struct secure *s = shaken();

	(void)state;
	assert_int_equal(SSL_write(s->ssl, "fail\n", 5), 5);
	secure_flush(s);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_END);
	assert_int_equal(s->f.result.end, HANDOFF__END_HANDLER);
	secure_hears(s, "");
	assert_int_equal(SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN, 0);
	secure_close(s);
}

/* TLS records of one byte: 2000 of them are 46000 bytes, and the input has room
 * for 4096. */
static void
small_records_do_not_fill_the_input(void **state)
{
	struct secure *s = shaken();
	char text[2048];

	(void)state;
	for (int i = 0; i < 2000; i++)
		secure_says(s, "x");
	assert_int_equal(secure_head(s)->pending_len, 2000);
	assert_int_equal(handoff__record_unread(s->f.rec), 0);
	secure_says(s, "\n");
	snprintf(text, sizeof(text), "1: %02000d\n", 0);
	for (char *at = text + 3; *at == '0'; at++)
		*at = 'x';
	secure_hears(s, text);
	secure_close(s);
}

static blkcnt_t
blocks_of(const struct secure *s)
{
	struct stat st;

	assert_int_equal(fstat(s->f.view.seg->fd, &st), 0);
	return st.st_blocks;
}

/* Nothing in the process, and its keys beside the record. */
static void
idle_connection_keeps_next_to_nothing(void **state)
{
	struct secure *s = shaken();
	struct handoff__tls_cache *cache = &secure_component(s)->cache;
	blkcnt_t all = 0;

	(void)state;
	for (int i = 1; i < 4; i++) {
		char text[32];

		secure_says(s, "line\n");
		snprintf(text, sizeof(text), "%d: line\n", i);
		secure_hears(s, text);
		assert_int_equal(handoff__tls_cache_count(cache), 1);
		handoff__arena_trim(&s->f.arena, 0, 0);
		handoff__state_trim(&s->f.view);
		s->tls.service.idle(handoff__record_id(s->f.rec), &s->tls);
		assert_int_equal(handoff__tls_cache_count(cache), 0);
		assert_null(handoff__tls_scratch(9, 0, 0)->in);
		assert_int_equal(handoff__record_commit(s->f.rec)->folded, 1);
		assert_true(all == 0 || blocks_of(s) == all);
		all = blocks_of(s);
	}
	secure_close(s);
}

/* What was pending for a moment does not cost its pages for ever. */
static void
idle_connection_gives_pages_back(void **state)
{
	static struct secure s;
	char text[1001];
	blkcnt_t before;

	(void)state;
	secure_init(&s);
	s.inner.input_size = 65536;
	secure_open(&s);
	secure_handshake(&s);
	memset(text, 'x', 1000);
	text[1000] = '\0';
	for (int i = 0; i < 20; i++)
		secure_says(&s, text);
	assert_int_equal(secure_head(&s)->pending_len, 20000);
	assert_true(s.f.rec->touched & HANDOFF__PAGES);
	before = blocks_of(&s);
	handoff__state_trim(&s.f.view); /* it is in use */
	assert_int_equal(secure_head(&s)->pending_len, 20000);
	SSL_shutdown(s.ssl);
	secure_flush(&s);
	turns(&s.f);
	assert_int_equal(secure_head(&s)->pending_len, 0);
	handoff__state_trim(&s.f.view);
	/* of each of the two states four pages at least, in units of 512 */
	assert_true(blocks_of(&s) <= before - 2 * 4 * 8);
	secure_close(&s);
}

static void
handler_that_wants_too_much_is_told_so(void **state)
{
	struct secure *s = shaken();
	char text[1025];

	(void)state;
	memset(text, 'x', 1024);
	text[1024] = '\0';
	secure_says(s, text);
	assert_int_equal(secure_head(s)->phase, HANDOFF__TLS_OPEN);
	secure_says(s, text);
	assert_int_equal(secure_head(s)->phase, HANDOFF__TLS_OVER);
	assert_int_equal(count_of(s, alerts_out), 1);
	secure_close(s);
}

/* Of an input that is full of answers that do not fit nothing is lost. */
static void
slow_client_holds_up_the_service(void **state)
{
	struct secure *s = shaken();
	char text[1001];
	unsigned heard = 0;
	size_t n;

	(void)state;
	shrink(&s->f);
	memset(text, 'y', 999);
	text[999] = '\n';
	for (int i = 0; i < 40; i++) {
		assert_int_equal(SSL_write(s->ssl, text, 1000), 1000);
		secure_flush(s);
		turns(&s->f);
	}
	assert_true(secure_seen.calls < 40 || handoff__record_unread(s->f.rec));
	while (heard < 40) {
		char got[1004];

		if (SSL_read_ex(s->ssl, got, 3 + (heard >= 9), &n) != 1) {
			turns(&s->f);
			assert_true(secure_fetch(s));
			continue;
		}
		for (size_t all = 0; all < 1000; all += n)
			while (SSL_read_ex(s->ssl, got, 1000 - all, &n) != 1) {
				turns(&s->f);
				assert_true(secure_fetch(s));
			}
		heard++;
	}
	secure_hears(s, "");
	secure_close(s);
}

static void
keys_change_when_they_are_worn(void **state)
{
	struct secure *s = shaken();
	char text[32];

	(void)state;
	secure_component(s)->suites.records_a_key = 4;
	for (int i = 1; i <= 20; i++) {
		secure_says(s, "line\n");
		snprintf(text, sizeof(text), "%d: line\n", i);
		secure_hears(s, text);
		assert_true(secure_head(s)->u.open.write.seq <= 5);
	}
	assert_true(count_of(s, key_updates_out) >= 4);
	assert_int_equal(secure_head(s)->u.open.write.updates,
		count_of(s, key_updates_out));
	secure_close(s);
}

static void
key_updates_are_answered(void **state)
{
	struct secure *s = shaken();

	(void)state;
	SSL_key_update(s->ssl, SSL_KEY_UPDATE_REQUESTED);
	secure_says(s, "one\n");
	secure_hears(s, "1: one\n");
	SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
	secure_says(s, "two\n");
	secure_hears(s, "2: two\n");
	assert_int_equal(count_of(s, key_updates_in), 2);
	assert_int_equal(count_of(s, key_updates_out), 1);
	secure_close(s);
}

static void
service_closes_in_order(void **state)
{
	struct secure *s = shaken();
	static const uint8_t none[sizeof(secure_head(s)->u)];

	(void)state;
	secure_says(s, "quit\n");
	secure_hears(s, "1: quit\n");
	secure_hears_end(s);
	assert_int_equal(s->f.result.outcome, HANDOFF__TURN_LINGER);
	assert_memory_equal(&secure_head(s)->u, none, sizeof(none));
	secure_close(s);
}

static void
service_aborts_without_a_word(void **state)
{
	struct secure *s = shaken();

	(void)state;
	assert_int_equal(SSL_write(s->ssl, "abort\n", 6), 6);
	secure_flush(s);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_END);
	secure_hears(s, "");
	assert_int_equal(SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN, 0);
	secure_close(s);
}

/* The client ends its direction; the service answers what is there. */
static void
half_closed_client_is_answered(void **state)
{
	struct secure *s = shaken();

	(void)state;
	assert_int_equal(SSL_write(s->ssl, "one\ntwo\nhalf", 12), 12);
	SSL_shutdown(s->ssl);
	secure_flush(s);
	turns(&s->f);
	secure_hears(s, "1: one\n2: two\n");
	secure_hears_end(s);
	assert_true(secure_seen.eof);
	assert_int_equal(secure_seen.last, HANDOFF_CONN_END);
	assert_int_equal(count_of(s, truncated), 0);
	secure_close(s);
}

static void
truncated_stream_is_no_end(void **state)
{
	struct secure *s = shaken();

	(void)state;
	assert_int_equal(SSL_write(s->ssl, "one\nhalf", 8), 8);
	secure_flush(s);
	client_ends_sending(&s->f);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_END);
	assert_int_equal(s->f.result.end, HANDOFF__END_CLIENT);
	secure_hears(s, "1: one\n");
	assert_false(secure_seen.eof);
	assert_int_equal(count_of(s, truncated), 1);
	secure_close(s);
}

/* What came in front of it is handled. */
static void
forged_record_ends_with_an_alert(void **state)
{
	struct secure *s = shaken();
	char bytes[256];
	int len;

	(void)state;
	assert_int_equal(SSL_write(s->ssl, "one\n", 4), 4);
	len = BIO_read(s->out, bytes, 128);
	memcpy(bytes + len, bytes, (size_t)len);
	assert_int_equal(send(s->f.client, bytes, 2 * (size_t)len, 0), 2 * len);
	turns(&s->f);
	secure_hears(s, "1: one\n");
	assert_int_equal(count_of(s, alerts_out), 1);
	assert_int_equal(secure_head(s)->phase, HANDOFF__TLS_OVER);
	secure_close(s);
}

/* It has agreed to send no more than 512 bytes in one. */
static void
long_fragment_ends_with_an_alert(void **state)
{
	struct secure *s = opened();
	struct handoff__tls_key key = {.ctx = NULL};
	struct handoff__tls_dir dir;
	struct handoff__tls_end end = {.dir = &dir, .key = &key};
	uint8_t text[513] = "", sealed[513 + HANDOFF__TLS_OVERHEAD];
	int len;

	(void)state;
	SSL_set_tlsext_max_fragment_length(
		s->ssl, TLSEXT_max_fragment_length_512);
	secure_handshake(s);
	assert_int_equal(secure_head(s)->fragment, 512);
	end.suite = handoff__tls_suite_find(
		&secure_component(s)->suites, secure_head(s)->suite);
	for (size_t size = 512; size <= 513; size++) {
		dir = secure_head(s)->u.open.read;
		len = handoff__tls_seal(
			&end, HANDOFF__TLS_APPLICATION, text, size, sealed);
		assert_true(len > 0);
		assert_int_equal(
			send(s->f.client, sealed, (size_t)len, 0), len);
		turns(&s->f);
		assert_int_equal(count_of(s, alerts_out), size - 512);
	}
	assert_int_equal(secure_head(s)->phase, HANDOFF__TLS_OVER);
	handoff__tls_key_drop(&key);
	secure_close(s);
}

static int
print(const void *state, char *text, size_t size, void *arg)
{
	(void)arg;
	snprintf(text, size, "count %d", *(const unsigned char *)state);
	return 0;
}

static void
description_has_no_secret(void **state)
{
	static struct secure s;
	char text[300];

	(void)state;
	secure_init(&s);
	s.inner.print = print;
	secure_open(&s);
	secure_handshake(&s);
	secure_says(&s, "one\ntw");
	assert_int_equal(s.tls.service.print(
				 secure_head(&s), text, sizeof(text), &s.tls),
		0);
	assert_string_equal(text,
		"TLS 1.3, suite 1302: 1 and 1 TLS records, 0 and 0 key updates "
		"received and sent, 2 B pending; count 1");
	memset(text, 'x', sizeof(text));
	s.tls.service.print(secure_head(&s), text, 20, &s.tls);
	assert_int_equal(strnlen(text, sizeof(text)), 19);
	assert_int_equal(text[20], 'x');
	secure_close(&s);
}

static int
convert(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	(void)arg;
	assert_int_equal(version, 0);
	assert_int_equal(old_size, 32);
	*(unsigned char *)state =
		(unsigned char)(*(const unsigned char *)old + 100);
	return 0;
}

/* A newer program has another inner state, and goes on with the keys. */
static void
inner_state_is_converted(void **state)
{
	struct secure *s = shaken();
	struct handoff_service inner = s->inner;
	struct handoff_tls_opts opts = {.size = sizeof(opts),
		.cert_file = s->pki.cert,
		.key_file = s->pki.key};
	static struct handoff_tls newer;
	static _Alignas(16) unsigned char converted[200000];
	const struct handoff__tls_head *old, *head;
	int len;

	(void)state;
	inner.state_version = 1;
	inner.state_size = 48;
	inner.convert = convert;
	assert_int_equal(handoff_tls_service(&newer, &inner, &opts), 0);
	secure_says(s, "one\npending");
	old = secure_head(s);
	assert_true(newer.service.state_size <= sizeof(converted));
	len = newer.service.convert(s->tls.service.state_version, old,
		handoff__tls_len(old), converted, &newer);
	head = handoff__tls_head(converted, (size_t)len);
	assert_non_null(head);
	assert_int_equal(head->inner_len, 48);
	assert_int_equal(converted[handoff__tls_inner_at(head)], 101);
	assert_int_equal(head->pending_len, 7);
	assert_memory_equal(&head->u, &old->u, sizeof(head->u));
	/* a connection in plain text does not become one with TLS */
	assert_int_equal(
		newer.service.convert(0, converted, 32, converted, &newer),
		-EPROTO);
	memset(converted, 9, 64);
	assert_int_equal(newer.service.convert(s->tls.service.state_version,
				 converted, 400, converted, &newer),
		-EBADMSG);
	handoff_tls_free(&newer);
	secure_close(s);
}

static void
damaged_state_is_refused(void **state)
{
	struct secure *s = shaken();
	struct handoff__tls_head *head;

	(void)state;
	secure_says(s, "one\n");
	head = (struct handoff__tls_head *)(uintptr_t)secure_head(s);
	head->pending_len = 1u << 31;
	assert_int_equal(SSL_write(s->ssl, "two\n", 4), 4);
	secure_flush(s);
	assert_int_equal(turns(&s->f), HANDOFF__TURN_END);
	assert_int_equal(s->f.result.end, HANDOFF__END_HANDLER);
	secure_close(s);
}

static void
services_that_cannot_be_wrapped(void **state)
{
	struct secure *s = opened();
	struct handoff_tls_opts opts = {.size = sizeof(opts),
		.cert_file = s->pki.cert,
		.key_file = s->pki.key};
	struct handoff_service inner = s->inner;
	struct handoff_tls tls;

	(void)state;
	assert_int_equal(
		handoff_tls_service(&tls, &s->tls.service, &opts), -EOPNOTSUPP);
	inner.pass_size = 4096;
	assert_int_equal(handoff_tls_service(&tls, &inner, &opts), -EOPNOTSUPP);
	inner = s->inner;
	inner.handle = NULL;
	assert_int_equal(handoff_tls_service(&tls, &inner, &opts), -EINVAL);
	assert_int_equal(handoff_tls_service(NULL, &inner, &opts), -EINVAL);
	assert_int_equal(handoff_tls_service(&tls, &s->inner, NULL), -EINVAL);
	opts.cert_file = NULL;
	assert_int_equal(handoff_tls_service(&tls, &s->inner, &opts), -EINVAL);
	handoff_tls_free(NULL);
	secure_close(s);
}

/* Whatever case the client writes it in; and what is no host name ends the
 * handshake. */
static void
server_name_is_a_host_name(void **state)
{
	struct secure *s = opened();

	(void)state;
	SSL_set_tlsext_host_name(s->ssl, "A-1.Test_2");
	secure_handshake(s);
	secure_says(s, "one\n");
	assert_string_equal(secure_seen.name, "a-1.test_2");
	secure_close(s);
	s = opened();
	SSL_set_tlsext_host_name(s->ssl, "a\n.test");
	while (SSL_do_handshake(s->ssl) != 1) {
		secure_flush(s);
		turns(&s->f);
		secure_fetch(s);
	}
	secure_flush(s);
	turns(&s->f);
	assert_int_equal(count_of(s, failed), 1);
	assert_int_equal(count_of(s, handshakes), 0);
	secure_close(s);
}

static void
names_are_for_inner_handlers(void **state)
{
	struct secure *s = shaken();
	struct handoff_conn conn = {.view = s->f.view};

	(void)state;
	assert_null(handoff_tls_alpn(&conn));
	assert_null(handoff_tls_peer(NULL));
	assert_false(handoff_tls_peer_cut(&conn));
	secure_close(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(lines_come_and_go),
		handoff_test(what_a_process_keeps_may_be_lost),
		handoff_test(handshakes_wait_for_their_clients),
		handoff_test(client_that_leaves_needs_no_replay),
		handoff_test(seed_is_gone_after_the_handshake),
		handoff_test(old_keys_are_gone_at_once),
		handoff_test(other_flight_ends_the_connection),
		handoff_test(strangers_are_known_by_their_identity),
		handoff_test(undone_turns_leave_nothing),
		handoff_test(failed_handler_resets),
		handoff_test(small_records_do_not_fill_the_input),
		handoff_test(idle_connection_keeps_next_to_nothing),
		handoff_test(idle_connection_gives_pages_back),
		handoff_test(handler_that_wants_too_much_is_told_so),
		handoff_test(slow_client_holds_up_the_service),
		handoff_test(keys_change_when_they_are_worn),
		handoff_test(key_updates_are_answered),
		handoff_test(service_closes_in_order),
		handoff_test(service_aborts_without_a_word),
		handoff_test(half_closed_client_is_answered),
		handoff_test(truncated_stream_is_no_end),
		handoff_test(forged_record_ends_with_an_alert),
		handoff_test(long_fragment_ends_with_an_alert),
		handoff_test(description_has_no_secret),
		handoff_test(inner_state_is_converted),
		handoff_test(damaged_state_is_refused),
		handoff_test(services_that_cannot_be_wrapped),
		handoff_test(server_name_is_a_host_name),
		handoff_test(names_are_for_inner_handlers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
