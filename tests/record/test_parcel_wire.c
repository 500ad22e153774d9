/* SPDX-License-Identifier: MIT */
/*
 * Parcels as messages: they come back as they were; and whatever is cut off,
 * changed or out of range is refused, or does no harm to the record.
 */
#include "record/parcels.h"

#include "record/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct host a, b;
static struct handoff__parcel parcel;
static unsigned char *data;
static size_t size;

static void
open_parcel(void)
{
	struct handoff__view view;
	struct handoff__extra *x;
	struct handoff_conn txn;

	parcels_host(&a, SIZE, SIZE, SIZE);
	parcels_host(&b, 2 * SIZE, SIZE, SIZE);
	parcels_connection(&a, &view, 77);
	x = &view.rec->extra;
	handoff__txn_begin(&txn, &view);
	assert_int_equal(handoff_conn_connect(&txn, "127.0.0.1:99"), 0);
	assert_int_equal(handoff_conn_pass(&txn, "passed", 6), 6);
	txn.next->deadline = 1;
	handoff__txn_commit(&txn);
	x->deadline_ms[0] = NOW_MS + 9000;
	x->tag = 123456789;
	x->since_ms = INT64_C(1700000000000);
	x->leader = 5;
	x->client.family = 4;
	x->client.port = 0x5000;
	memcpy(x->client.ip, "\x7f\0\0\1", 4);
	handoff__record_set_label(view.rec, "label");
	assert_int_equal(handoff__parcel_take(&parcel, &view, NOW_MS, NULL), 0);
	data = parcels_message(&parcel, &size);
}

static void
close_parcel(void)
{
	free(data);
	handoff__parcel_free(&parcel);
	parcels_end(&a);
	parcels_end(&b);
}

static void
parcel_comes_back(void **state)
{
	struct handoff__parcel got;
	unsigned char *again;
	size_t len;

	(void)state;
	open_parcel();
	assert_true(size <= HANDOFF__PARCEL_MOST);
	assert_int_equal(handoff__parcel_decode(&got, data, size, NULL), 0);
	assert_null(got.owned);
	assert_int_equal(got.id, 77);
	assert_int_equal(got.remaining_ms, 9000);
	assert_int_equal(got.state_version, VERSION);
	assert_int_equal(got.pass_len, 6);
	assert_memory_equal(got.pass, "passed", 6);
	assert_memory_equal(got.in, "input", 5);
	assert_memory_equal(got.out, "output", 6);
	assert_ptr_equal(got.pass + got.pass_len, data + size);
	again = parcels_message(&got, &len);
	assert_int_equal(len, size);
	assert_memory_equal(again, data, size);
	free(again);
	close_parcel();
}

/* The fields that another implementation would look for. */
static void
message_is_as_documented(void **state)
{
	static const unsigned char head[] = {'H', 'O', 'P', 'A', 1, 0, 1, 0};

	(void)state;
	open_parcel();
	assert_memory_equal(data, head, sizeof(head));
	assert_int_equal(data[8] | data[9] << 8, size);
	assert_int_equal(data[12], 77);
	assert_int_equal(data[36], STATE);
	assert_memory_equal(
		data + size - 37, "the state of serviceinputoutputpassed", 37);
	close_parcel();
}

static int
decode(const unsigned char *bytes, size_t len, struct handoff__error *error)
{
	/* memory of that size, so that valgrind sees a byte too many */
	unsigned char *copy = malloc(len > 0 ? len : 1);
	struct handoff__parcel got = {.id = 4711};
	int err;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	err = handoff__parcel_decode(&got, copy, len, error);
	if (err < 0)
		assert_int_equal(got.id, 4711);
	free(copy);
	return err;
}

static void
every_part_of_a_message_is_refused(void **state)
{
	(void)state;
	open_parcel();
	for (size_t len = 0; len < size; len++) {
		struct handoff__error error = {""};

		assert_int_equal(decode(data, len, &error), -EBADMSG);
		assert_true(error.text[0] != '\0');
		/* also if it says that it is no longer */
		if (len >= 12) {
			unsigned char old[4];

			memcpy(old, data + 8, 4);
			for (int i = 0; i < 4; i++)
				data[8 + i] = (unsigned char)(len >> 8 * i);
			assert_int_equal(decode(data, len, NULL), -EBADMSG);
			memcpy(data + 8, old, 4);
		}
	}
	close_parcel();
}

static void
message_with_more_behind_it_is_refused(void **state)
{
	unsigned char *more;

	(void)state;
	open_parcel();
	more = malloc(size + 1);
	assert_non_null(more);
	memcpy(more, data, size);
	more[size] = 0;
	assert_int_equal(decode(more, size + 1, NULL), -EBADMSG);
	more[8]++;
	assert_int_equal(decode(more, size + 1, NULL), -EBADMSG);
	free(more);
	close_parcel();
}

static void
other_version_is_refused(void **state)
{
	struct handoff__error error = {""};

	(void)state;
	open_parcel();
	data[4] = 2;
	assert_int_equal(decode(data, size, &error), -EPROTO);
	assert_non_null(strstr(error.text, "version 2, known is 1"));
	close_parcel();
}

/* Runs what a server would with the record. */
static void
use(const struct handoff__view *view)
{
	struct handoff__view pair;
	struct handoff_conn txn;
	struct iovec iov[2];
	char label[HANDOFF__LABEL_MAX];
	size_t len;

	assert_true(handoff__record_ok(view));
	handoff__pass_pair(view, &pair);
	handoff__pass_due(view, handoff__record_commit(view->rec));
	handoff__pass_to_dial(view, 1);
	handoff__record_label(view->rec, label);
	handoff__record_posts_wait(view);
	handoff__record_tx_pieces(view, iov);
	handoff__txn_begin(&txn, view);
	handoff_conn_input(&txn, &len);
	assert_int_equal(handoff_conn_consume(&txn, len), 0);
	handoff_conn_write(&txn, "x", 1);
	handoff_conn_pass(&txn, "x", 1);
	handoff__txn_commit(&txn);
	assert_true(handoff__record_ok(view));
}

/* Each bit, one after the other: a parcel may be another one then, but the
 * record that it fills is whole. */
static void
every_flipped_bit_is_refused_or_harmless(void **state)
{
	unsigned refused = 0, filled = 0;
	struct handoff__view view;
	uint32_t stride;

	(void)state;
	open_parcel();
	parcels_record(&b, &view);
	stride = view.seg->geo.stride;
	for (size_t bit = 0; bit < size * 8; bit++) {
		struct handoff__error error = {""};
		struct handoff__parcel got;
		int err;

		data[bit / 8] ^= (unsigned char)(1 << bit % 8);
		err = handoff__parcel_decode(&got, data, size, &error);
		assert_true(err == 0 || error.text[0] != '\0');
		memset((char *)view.rec + 4, 0, stride - 4);
		if (err == 0)
			err = handoff__parcel_fill(
				&view, &got, THEN_MS, &error);
		if (err == 0) {
			use(&view);
			filled++;
		} else {
			assert_true(err == -EBADMSG || err == -EPROTO ||
				    err == -EMSGSIZE);
			assert_int_equal(handoff__record_id(view.rec), 0);
			refused++;
		}
		data[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_true(refused > 300 && filled > 300);
	close_parcel();
}

/* Sets one field out of its range. */
static void
bad_field(const struct handoff__parcel *p, const char *name)
{
	struct handoff__error error = {""};
	unsigned char bytes[1];

	assert_int_equal(handoff__parcel_check(p, &error), -EBADMSG);
	if (!strstr(error.text, name))
		fail_msg("'%s' is not in '%s'", name, error.text);
	assert_int_equal(handoff__parcel_encode(p, bytes, sizeof(bytes), NULL),
		-EBADMSG);
}

#define BAD(field, value, name)                                                \
	do {                                                                   \
		struct handoff__parcel p = parcel;                             \
                                                                               \
		p.field = value;                                               \
		bad_field(&p, name);                                           \
	} while (0)

static void
every_field_has_its_range(void **state)
{
	(void)state;
	open_parcel();
	assert_int_equal(handoff__parcel_check(&parcel, NULL), 0);
	BAD(id, 0, "id");
	BAD(id, UINT64_C(1) << 63, "id");
	BAD(kind, HANDOFF__LISTENER, "kind");
	BAD(kind, HANDOFF__DATA, "kind");
	BAD(activity, HANDOFF__IN_TURN, "activity");
	BAD(activity, 3, "activity");
	BAD(deaths, HANDOFF__DEATHS_MASK + 1, "deaths");
	BAD(flags, HANDOFF__GONE, "flags");
	BAD(flags, HANDOFF__OVER, "flags");
	BAD(flags, HANDOFF__ENDING, "flags");
	BAD(flags, HANDOFF__POSTING, "flags");
	BAD(flags, (HANDOFF_ENDED_PROTOCOL + 1) << HANDOFF__END_SHIFT, "flags");
	BAD(flags, HANDOFF__CONNECT, "wish");
	BAD(pass_size, 0, "room for a pair");
	BAD(state_size, HANDOFF__STATE_MAX + 1, "sizes");
	BAD(rx_size, SIZE + 1, "sizes");
	BAD(rx_size, 0, "sizes");
	BAD(tx_size, 2 * HANDOFF__BUFFER_MAX, "sizes");
	BAD(tx_size, 3 * SIZE, "sizes");
	BAD(pass_size, SIZE - 1, "sizes");
	BAD(state_len, STATE + 1, "state");
	BAD(in_len, SIZE + 1, "unread input");
	BAD(out_len, SIZE + 1, "unsent output");
	BAD(consumed, (UINT64_C(1) << 63) - 5, "position");
	BAD(consumed, UINT64_MAX, "position");
	BAD(produced, UINT64_C(1) << 63, "position");
	BAD(produced, 5, "position");
	BAD(pass_len, SIZE + 1, "passed");
	BAD(pair, UINT64_C(1) << 63, "pair");
	BAD(pair, 77, "pair");
	BAD(leader, 77, "leader");
	BAD(wish_error, UINT32_MAX, "without a pair");
	BAD(wish[0], 'x', "address to connect to");
	BAD(wish[0], '\0', "address to connect to");
	BAD(remaining_ms, UINT64_MAX, "deadline");
	BAD(timed, false, "deadline");
	BAD(client.family, 5, "client");
	BAD(session, 5, "session");
	BAD(session, UINT64_C(1) << 63, "session");
	BAD(flags, HANDOFF__SESSION | HANDOFF__RESUMING, "wish for a session");
	BAD(flags, HANDOFF__SESSION | HANDOFF__GONE, "without a connection");
	BAD(absent, true, "without a connection");
	BAD(absent_ms, 1, "time without a connection");
	BAD(posts_len, 1, "length of the posts");
	close_parcel();
}

/* As it is, but of a session without a connection. */
static void
make_absent(void)
{
	parcel.flags = HANDOFF__OPENED | HANDOFF__SESSION | HANDOFF__GONE |
		       HANDOFF__EOF | HANDOFF__EOF_DONE;
	parcel.session = 44;
	parcel.absent = true;
	parcel.absent_ms = 30000;
	parcel.consumed += parcel.in_len;
	parcel.in_len = parcel.out_len = parcel.pass_len = 0;
	parcel.leader = 0;
	memset(parcel.wish, 0, sizeof(parcel.wish));
}

static void
absent_session_has_no_connection(void **state)
{
	struct handoff__parcel got;
	unsigned char *message;
	size_t len;

	(void)state;
	open_parcel();
	make_absent();
	message = parcels_message(&parcel, &len);
	assert_int_equal(handoff__parcel_decode(&got, message, len, NULL), 0);
	assert_true(got.absent);
	assert_int_equal(got.absent_ms, 30000);
	assert_int_equal(got.session, 44);
	/* the mark, and the last field but one before the state */
	assert_int_equal(message[6], 1 | 4);
	assert_int_equal(
		message[len - 20 - 12] | message[len - 20 - 11] << 8, 30000);
	BAD(absent, false, "without a connection");
	BAD(absent_ms, HANDOFF__PARCEL_ABSENT_MOST + 1, "time");
	BAD(posts_len, HANDOFF__PARCEL_POSTS_MOST + 1, "length of the posts");
	BAD(session, 0, "session");
	BAD(in_len, 1, "connection, which it has not");
	BAD(out_len, 1, "connection, which it has not");
	BAD(pass_len, 1, "connection, which it has not");
	BAD(pair, 5, "connection, which it has not");
	BAD(leader, 5, "connection, which it has not");
	BAD(outgoing, 1, "connection, which it has not");
	for (uint32_t bit = 1; bit != 0; bit <<= 1) {
		struct handoff__parcel p = parcel;

		p.flags |= bit;
		if (bit & (HANDOFF__CLOSING | HANDOFF__ENDED | HANDOFF__PAIRED |
				  HANDOFF__RESET | HANDOFF__RESUMING))
			bad_field(&p, "without a connection");
	}
	free(message);
	close_parcel();
}

/* Each whole, and nothing behind the last one. */
static void
posts_have_the_length_of_all_of_them(void **state)
{
	static const struct handoff__post post = {
		.len = 5, .from = 9, .request = 3, .source = 7, .number = 8};
	unsigned char posts[2 * (HANDOFF__PARCEL_POST_HEAD + 5)];
	struct handoff__parcel got;
	const unsigned char *bytes;
	struct handoff__post found;
	unsigned char *message;
	uint32_t at = 0, one = HANDOFF__PARCEL_POST_HEAD + 5;
	size_t len;

	(void)state;
	open_parcel();
	make_absent();
	for (uint32_t i = 0; i < 2; i++) {
		handoff__parcel_put_post(posts + i * one, &post);
		memcpy(posts + (i + 1) * one - 5, i ? "world" : "hello", 5);
	}
	parcel.posts = posts;
	for (uint32_t n = 0; n <= 2 * one; n++) {
		struct handoff__error error = {""};

		parcel.posts_len = n;
		message = parcels_message(&parcel, &len);
		assert_int_equal(decode(message, len, &error),
			n % one == 0 ? 0 : -EBADMSG);
		free(message);
	}
	message = parcels_message(&parcel, &len);
	assert_int_equal(handoff__parcel_decode(&got, message, len, NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_true(handoff__parcel_post(&got, &at, &found, &bytes));
		assert_memory_equal(bytes, i ? "world" : "hello", 5);
		assert_int_equal(found.to, HANDOFF__POST_ONE);
		assert_int_equal(found.id, 44);
		assert_int_equal(found.from, 9);
		assert_int_equal(found.request, 3);
		assert_int_equal(found.source, 7);
		assert_int_equal(found.number, 8);
	}
	assert_int_equal(at, 2 * one);
	free(message);
	close_parcel();
}

static void
text_without_an_end_is_not_sent(void **state)
{
	struct handoff__error error = {""};

	(void)state;
	open_parcel();
	memset(parcel.label, 'x', sizeof(parcel.label));
	assert_int_equal(
		handoff__parcel_encode(&parcel, data, size, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "no end"));
	assert_int_equal(
		handoff__parcel_encode(&parcel, data, size - 1, &error),
		-EMSGSIZE);
	close_parcel();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(parcel_comes_back),
		handoff_test(message_is_as_documented),
		handoff_test(every_part_of_a_message_is_refused),
		handoff_test(message_with_more_behind_it_is_refused),
		handoff_test(other_version_is_refused),
		handoff_test(every_flipped_bit_is_refused_or_harmless),
		handoff_test(every_field_has_its_range),
		handoff_test(absent_session_has_no_connection),
		handoff_test(posts_have_the_length_of_all_of_them),
		handoff_test(text_without_an_end_is_not_sent),
	};

	return cmocka_run_group_tests_name("parcel wire", tests, NULL, NULL);
}
