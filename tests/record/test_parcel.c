/* SPDX-License-Identifier: MIT */
/*
 * Parcels: what cannot go in one, what one carries, and the record that it
 * becomes on the other host.
 */
#include "record/parcels.h"

#include "record/desk.h"
#include "record/pass.h"

#include <errno.h>
#include <string.h>

static struct host a, b;
static struct handoff__view from, to;

static void
open_hosts(uint32_t pass)
{
	parcels_host(&a, SIZE, SIZE, pass);
	parcels_host(&b, 2 * SIZE, 4 * SIZE, pass > 0 ? 2 * pass : 0);
	parcels_connection(&a, &from, 77);
}

static void
close_hosts(void)
{
	parcels_end(&a);
	parcels_end(&b);
}

static void
refused(enum handoff__unparcelled why, const char *sentence)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel = {.id = 99};

	assert_int_equal(handoff__parcel_refuse(&from, &error), why);
	if (why == HANDOFF__PARCEL_FINE) {
		assert_string_equal(error.text, "");
		return;
	}
	if (!strstr(error.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, error.text);
	assert_string_not_equal(handoff__parcel_word(why), "?");
	error.text[0] = '\0';
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), -EBUSY);
	assert_string_not_equal(error.text, "");
	assert_int_equal(parcel.id, 99);
}

static void
other_kinds_are_refused(void **state)
{
	(void)state;
	open_hosts(0);
	refused(HANDOFF__PARCEL_FINE, "");
	from.rec->kind = HANDOFF__LISTENER;
	refused(HANDOFF__PARCEL_LISTENER, "a listener stays");
	from.rec->kind = HANDOFF__EXTRA;
	refused(HANDOFF__PARCEL_EXTRA, "no connection");
	from.rec->kind = HANDOFF__DATA;
	refused(HANDOFF__PARCEL_DATA, "data of a program");
	from.rec->kind = 5;
	refused(HANDOFF__PARCEL_DAMAGED, "damaged");
	from.rec->kind = HANDOFF__CONNECTION;
	handoff__record_set_id(from.rec, 0);
	refused(HANDOFF__PARCEL_FREE, "no entry");
	handoff__record_set_id(from.rec, 77);
	handoff__owner_set(&from.rec->owner, 0);
	refused(HANDOFF__PARCEL_FREE, "no entry");
	assert_string_equal(handoff__parcel_word(HANDOFF__PARCELS), "?");
	close_hosts();
}

static void
turns_are_refused_until_they_are_over(void **state)
{
	(void)state;
	open_hosts(0);
	handoff__record_mark(from.rec, HANDOFF__IN_TURN);
	refused(HANDOFF__PARCEL_TURN, "in a turn");
	handoff__record_mark(from.rec, HANDOFF__AT_REST);
	handoff__handler_enter(from.rec);
	refused(HANDOFF__PARCEL_TURN, "in a turn");
	handoff__handler_leave(from.rec);
	handoff__desk_set(from.rec, 1);
	refused(HANDOFF__PARCEL_TURN, "in a turn");
	handoff__desk_set(from.rec, 0);
	refused(HANDOFF__PARCEL_FINE, "");
	assert_true(handoff__parcel_passes(HANDOFF__PARCEL_TURN));
	assert_true(handoff__parcel_passes(HANDOFF__PARCEL_POSTS));
	assert_true(handoff__parcel_passes(HANDOFF__PARCEL_INBOX));
	assert_false(handoff__parcel_passes(HANDOFF__PARCEL_FINE));
	assert_false(handoff__parcel_passes(HANDOFF__PARCEL_DATA));
	assert_false(handoff__parcel_passes(HANDOFF__PARCELS));
	close_hosts();
}

static void
damaged_records_are_refused(void **state)
{
	(void)state;
	open_hosts(0);
	from.rec->commit[1].rx_tail = 11;
	refused(HANDOFF__PARCEL_DAMAGED, "damaged");
	from.rec->commit[1].rx_tail = 5;
	refused(HANDOFF__PARCEL_FINE, "");
	from.rec->commit[1].state_len = STATE + 1;
	refused(HANDOFF__PARCEL_DAMAGED, "damaged");
	close_hosts();
}

/* What the checks of a record let pass, and those of a parcel do not. */
static void
nonsense_in_a_record_is_no_parcel(void **state)
{
	struct handoff__parcel parcel = {.id = 99};
	struct handoff__error error = {""};

	(void)state;
	open_hosts(0);
	from.rec->extra.client.family = 5;
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "address of the client"));
	assert_int_equal(parcel.id, 99);
	close_hosts();
}

static void
ends_are_refused_and_lingering_is_not(void **state)
{
	static const uint32_t over[] = {HANDOFF__GONE, HANDOFF__OVER,
		HANDOFF__ENDING | HANDOFF__CLOSING};

	(void)state;
	open_hosts(0);
	for (int i = 0; i < 3; i++) {
		handoff__record_flag(&from, over[i]);
		refused(HANDOFF__PARCEL_ENDING, "it is ending");
		handoff__record_unflag(&from, over[i]);
	}
	/* it has sent nothing more than its last output to do */
	handoff__record_flag(
		&from, HANDOFF__ENDING | HANDOFF__ENDED | HANDOFF__CLOSING |
			       HANDOFF_ENDED_SERVICE << HANDOFF__END_SHIFT);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	close_hosts();
}

/* The number of its session goes with it. */
static void
session_goes_with_its_connection(void **state)
{
	(void)state;
	open_hosts(0);
	atomic_store(&from.rec->extra.session, 44);
	handoff__record_flag(&from, HANDOFF__SESSION);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	assert_int_equal(handoff__record_session(to.rec), 44);
	assert_int_equal(handoff__record_absent(to.rec), 0);
	close_hosts();
}

/* Its client is answered where it comes to. */
static void
wish_for_a_session_goes_along(void **state)
{
	(void)state;
	open_hosts(0);
	handoff__record_flag(&from, HANDOFF__RESUMING);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	close_hosts();
}

/* As a turn does that finds the end of the socket of a session. */
static void
lose_socket(const struct handoff__view *view, int64_t since_ms)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);

	handoff__record_discard(view);
	handoff__record_set_positions(
		view->rec, handoff__rx_head(view->rec), c->tx_head);
	atomic_store(&view->rec->extra.session, 44);
	atomic_store(&view->rec->extra.absent_ms, since_ms);
	handoff__record_flag(view, HANDOFF__SESSION | HANDOFF__GONE |
					   HANDOFF__EOF | HANDOFF__EOF_DONE);
}

static void
session_without_a_connection_goes_with_the_time_it_has_left(void **state)
{
	(void)state;
	open_hosts(0);
	lose_socket(&from, NOW_MS - 2000);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	assert_int_equal(handoff__record_session(to.rec), 44);
	assert_int_equal(handoff__record_absent(to.rec), THEN_MS - 2000);
	assert_int_equal(to.rec->extra.owed, 0);
	close_hosts();
}

/* The other host may have booted after that; 0 would be no time at all. */
static void
session_may_be_absent_since_before_the_host_has_booted(void **state)
{
	static const int64_t since[][2] = {
		{NOW_MS - THEN_MS - 1000, -1000},
		{NOW_MS - THEN_MS, -1},
		{NOW_MS - THEN_MS + 1, 1},
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		open_hosts(0);
		lose_socket(&from, since[i][0]);
		parcels_send(&from, &b, &to);
		assert_int_equal(handoff__record_absent(to.rec), since[i][1]);
		close_hosts();
	}
}

/* Any process of the service may have written it. */
static void
time_that_cannot_be_is_none(void **state)
{
	static const int64_t since[] = {NOW_MS + 1, INT64_MAX, INT64_MIN,
		(int64_t)NOW_MS - (int64_t)HANDOFF__PARCEL_ABSENT_MOST - 1};

	(void)state;
	for (int i = 0; i < 4; i++) {
		open_hosts(0);
		lose_socket(&from, since[i]);
		parcels_send(&from, &b, &to);
		assert_int_equal(handoff__record_absent(to.rec), THEN_MS);
		close_hosts();
	}
}

/* A stop, or another connection that has it now. */
static void
session_that_ends_is_refused(void **state)
{
	static const uint32_t over[] = {
		HANDOFF__OVER, HANDOFF__CLOSING, HANDOFF__ENDING};

	(void)state;
	open_hosts(0);
	lose_socket(&from, 1);
	for (int i = 0; i < 3; i++) {
		handoff__record_flag(&from, over[i]);
		refused(HANDOFF__PARCEL_ENDING, "it is ending");
		handoff__record_unflag(&from, over[i]);
	}
	refused(HANDOFF__PARCEL_FINE, "");
	close_hosts();
}

/* The record says it has lost its socket, and something to send over it. */
static void
session_without_a_connection_has_nothing_to_send(void **state)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel;

	(void)state;
	open_hosts(0);
	atomic_store(&from.rec->extra.session, 44);
	handoff__record_flag(&from, HANDOFF__SESSION | HANDOFF__GONE);
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "connection, which it has not"));
	close_hosts();
}

static void
inbox_is_refused_until_the_next_commit(void **state)
{
	struct handoff__extra *x;

	(void)state;
	open_hosts(0);
	x = &from.rec->extra;
	x->inbox = 6;
	x->inbox_sequence = handoff__record_sequence(from.rec);
	refused(HANDOFF__PARCEL_FINE, "");
	x->inbox_len = 10;
	refused(HANDOFF__PARCEL_INBOX, "after the next one");
	handoff__record_flag(&from, 0);
	refused(HANDOFF__PARCEL_FINE, "");
	parcels_send(&from, &b, &to);
	assert_int_equal(to.rec->extra.inbox, 0);
	close_hosts();
}

static int
post(enum handoff__post_to how, uint64_t id)
{
	struct handoff__post post = {.to = (uint16_t)how, .id = id, .len = 5};

	return handoff__posts_add(&a.arena.posts, &post, "hello", 1);
}

/* Only those that are for it: others would keep it here for ever. */
static void
posts_are_refused_if_they_are_for_it(void **state)
{
	(void)state;
	open_hosts(0);
	atomic_store(&handoff__arena_board(&a.arena)->next_id, 100);
	handoff__posts_enter(&a.arena, 77, 0, 0);
	handoff__posts_enter(&a.arena, 76, 0, 1);
	from.rec->extra.tag = 8;
	assert_int_equal(post(HANDOFF__POST_ONE, 76), 0);
	assert_int_equal(post(HANDOFF__POST_TAG, 9), 0);
	assert_int_equal(post(HANDOFF__POST_OTHERS, 77), 0);
	refused(HANDOFF__PARCEL_FINE, "");
	assert_int_equal(post(HANDOFF__POST_TAG, 8), 0);
	refused(HANDOFF__PARCEL_POSTS, "after its next turn");
	handoff__record_skip_posts(&from);
	refused(HANDOFF__PARCEL_FINE, "");
	assert_int_equal(post(HANDOFF__POST_ONE, 77), 0);
	refused(HANDOFF__PARCEL_POSTS, "after its next turn");
	handoff__record_skip_posts(&from);
	/* old ones there are not for it */
	assert_int_equal(handoff__posts_add(&b.arena.posts,
				 &(struct handoff__post){
					 .to = HANDOFF__POST_ALL, .len = 3},
				 "old", 1),
		0);
	parcels_send(&from, &b, &to);
	assert_false(handoff__record_posts_wait(&to));
	close_hosts();
}

static void
set_extra(struct handoff__record *rec)
{
	struct handoff__extra *x = &rec->extra;

	x->tag = UINT64_C(0x1122334455667788);
	x->since_ms = -5;
	x->leader = UINT64_C(1) << 63 | 4;
	x->outgoing = 1;
	x->client.family = 6;
	x->client.port = 0x1234;
	memset(x->client.ip, 0xa5, sizeof(x->client.ip));
	handoff__record_set_label(rec, "a label for people");
}

/* Nobody takes posts for a session without a connection: they go with it, once,
 * and those that come later are found. */
static void
posts_go_with_a_session_without_a_connection(void **state)
{
	static unsigned char large[15000];
	struct handoff__error error = {""};
	struct handoff__parcel parcel;
	const unsigned char *bytes;
	struct handoff__post found,
		big = {.to = HANDOFF__POST_ONE, .id = 44, .len = sizeof(large)};
	uint32_t at = 0;

	(void)state;
	open_hosts(0);
	atomic_store(&handoff__arena_board(&a.arena)->next_id, 100);
	handoff__posts_enter(&a.arena, 44, 0, 0);
	lose_socket(&from, 1);
	assert_int_equal(post(HANDOFF__POST_ONE, 44), 0);
	assert_int_equal(post(HANDOFF__POST_ONE, 76), 0);
	assert_int_equal(post(HANDOFF__POST_ALL, 0), 0);
	refused(HANDOFF__PARCEL_FINE, "");
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), 0);
	assert_int_equal(parcel.posts_len, 2 * (HANDOFF__PARCEL_POST_HEAD + 5));
	while (handoff__parcel_post(&parcel, &at, &found, &bytes)) {
		assert_int_equal(found.len, 5);
		assert_memory_equal(bytes, "hello", 5);
	}
	assert_int_equal(at, parcel.posts_len);
	assert_false(handoff__parcel_outdated(&from, parcel.posts_end));
	assert_int_equal(post(HANDOFF__POST_ONE, 76), 0);
	assert_false(handoff__parcel_outdated(&from, parcel.posts_end));
	assert_int_equal(post(HANDOFF__POST_OTHERS, 76), 0);
	assert_true(handoff__parcel_outdated(&from, parcel.posts_end));
	handoff__parcel_free(&parcel);
	/* with too many it stays, and if it has missed some */
	for (int i = 0; i < 5; i++) {
		if (i < 4)
			refused(HANDOFF__PARCEL_FINE, "");
		assert_int_equal(
			handoff__posts_add(&a.arena.posts, &big, large, 1), 0);
	}
	refused(HANDOFF__PARCEL_POSTS, "64 KiB at most");
	close_hosts();
}

static void
everything_is_in_a_parcel(void **state)
{
	struct handoff_conn txn;
	const void *in;
	size_t len;

	(void)state;
	open_hosts(0);
	set_extra(from.rec);
	handoff__handling_set(from.rec, 1);
	handoff__record_flag(&from, HANDOFF__EOF | HANDOFF__WAITING);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	assert_int_equal(to.rec->touched, HANDOFF__PAGES);
	/* and it goes on there */
	handoff__txn_begin(&txn, &to);
	in = handoff_conn_input(&txn, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(in, "input", 5);
	assert_memory_equal(txn.state, "the state of service", 20);
	assert_int_equal(handoff_conn_state_len(&txn), 20);
	assert_true(handoff_conn_eof(&txn));
	assert_int_equal(handoff_conn_consume(&txn, 5), 0);
	assert_int_equal(handoff_conn_write(&txn, "!", 1), 1);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__record_unsent(to.rec), 7);
	close_hosts();
}

/* A quiet one makes no page there. */
static void
quiet_connection_stays_small(void **state)
{
	(void)state;
	open_hosts(0);
	handoff__record_discard(&from);
	handoff__record_sent(&from, 6);
	handoff__record_mark(from.rec, HANDOFF__AT_REST);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	assert_int_equal(to.rec->touched, 0);
	assert_int_equal(handoff__record_activity(to.rec), HANDOFF__AT_REST);
	close_hosts();
}

static void
deadline_is_as_far_away_as_it_was(void **state)
{
	static const struct {
		uint64_t at, there;
	} cases[] = {
		{NOW_MS + 500, THEN_MS + 501},
		{NOW_MS + 1, THEN_MS + 2},
		{NOW_MS, THEN_MS + 1},
		{1, THEN_MS + 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		open_hosts(0);
		from.rec->extra.deadline_ms[1] = cases[i].at;
		handoff__record_flag(&from, 0);
		handoff__commit_of(from.rec, handoff__record_sequence(from.rec))
			->deadline = 2;
		parcels_send(&from, &b, &to);
		assert_int_equal(
			handoff__record_deadline(to.rec), cases[i].there);
		assert_true(to.rec->touched & HANDOFF__TIMED);
		close_hosts();
	}
	open_hosts(0);
	from.rec->extra.deadline_ms[0] = 7; /* of an earlier commit */
	parcels_send(&from, &b, &to);
	assert_int_equal(handoff__record_deadline(to.rec), 0);
	assert_false(to.rec->touched & HANDOFF__TIMED);
	close_hosts();
}

static void
fails(const struct handoff__parcel *parcel, int err, const char *sentence)
{
	struct handoff__error error = {""};
	static unsigned char before[8192];
	uint32_t stride = to.seg->geo.stride;

	assert_true(stride <= sizeof(before));
	memcpy(before, to.rec, stride);
	assert_int_equal(
		handoff__parcel_fill(&to, parcel, THEN_MS, &error), err);
	if (!strstr(error.text, sentence))
		fail_msg("'%s' is not in '%s'", sentence, error.text);
	assert_memory_equal(before, to.rec, stride);
}

static void
what_does_not_fit_is_refused_with_the_sizes(void **state)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel, p;
	unsigned char *bytes;

	(void)state;
	open_hosts(SIZE);
	parcels_record(&b, &to);
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), 0);
	bytes = test_malloc(1u << 18);
	memset(bytes, 'x', 1u << 18);
	p = parcel;
	p.rx_size = p.tx_size = p.pass_size = 1u << 18;
	p.in = p.out = p.pass = bytes;
	p.in_len = 2 * SIZE + 1;
	p.consumed = 0;
	fails(&p, -EMSGSIZE,
		"8193 bytes of unread input do not fit into the "
		"8192 that this host has");
	p.in_len = 2 * SIZE;
	p.out_len = 4 * SIZE + 1;
	p.produced = p.out_len;
	fails(&p, -EMSGSIZE,
		"16385 bytes of unsent output do not fit into "
		"the 16384");
	p.out_len = 4 * SIZE;
	p.pass_len = 2 * SIZE + 1;
	fails(&p, -EMSGSIZE,
		"8193 bytes of what it passes to its pair do not "
		"fit into the 8192");
	p.pass_len = 2 * SIZE;
	assert_int_equal(handoff__parcel_fill(&to, &p, THEN_MS, &error), 0);
	assert_true(handoff__record_ok(&to));
	test_free(bytes);
	handoff__parcel_free(&parcel);
	close_hosts();
}

static void
other_states_and_rings_are_refused(void **state)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel, p;

	(void)state;
	open_hosts(0);
	parcels_record(&b, &to);
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), 0);
	p = parcel;
	p.state_version++;
	fails(&p, -EPROTO,
		"has 48 bytes and version 4, the record is for 48 "
		"bytes and version 3");
	p = parcel;
	p.state_size++;
	fails(&p, -EPROTO, "has 49 bytes and version 3");
	p = parcel;
	p.flags |= HANDOFF__PAIRED;
	p.pass_size = SIZE;
	fails(&p, -EMSGSIZE, "a ring to its pair do not fit into the 0");
	p = parcel;
	p.id = 0;
	fails(&p, -EBADMSG, "its id is out of range");
	handoff__parcel_free(&parcel);
	handoff__parcel_free(&parcel);
	handoff__parcel_free(NULL);
	close_hosts();
}

/* Its program has not been updated there, or here: the other one converts it
 * when it gets it. */
static void
state_of_another_version_gets_a_record_of_its_own(void **state)
{
	struct handoff__parcel parcel;
	struct handoff__geometry geo;
	uint32_t segment, slot;

	(void)state;
	open_hosts(SIZE);
	parcels_end(&b);
	handoff__arena_init(&b.arena);
	b.geo.state_version = VERSION + 1;
	assert_int_equal(handoff__arena_grow(&b.arena, &b.geo), 0);
	b.arena.version = VERSION + 1;
	assert_int_equal(handoff__parcel_take(&parcel, &from, NOW_MS, NULL), 0);
	assert_int_equal(handoff__parcel_geometry(&parcel, &geo), 0);
	assert_int_equal(handoff__arena_alloc_fit(&b.arena, &geo, 1,
				 record_always, NULL, &segment, &slot),
		-ENOSPC);
	assert_int_equal(handoff__arena_grow(&b.arena, &geo), 0);
	assert_int_equal(handoff__arena_alloc_fit(&b.arena, &geo, 1,
				 record_always, NULL, &segment, &slot),
		0);
	assert_int_equal(segment, 1);
	handoff__view_make(&to, b.arena.segments[1], slot);
	assert_int_equal(handoff__parcel_fill(&to, &parcel, THEN_MS, NULL), 0);
	parcels_assert_same(&from, &to);
	assert_int_equal(to.seg->geo.state_version, VERSION);
	handoff__parcel_free(&parcel);
	close_hosts();
}

static void
take_and_fill(uint64_t read, uint64_t written, uint64_t outq)
{
	struct handoff__parcel parcel;

	assert_int_equal(handoff__parcel_take(&parcel, &from, NOW_MS, NULL), 0);
	if (read > 0)
		assert_int_equal(handoff__parcel_counted(
					 &parcel, read, written, outq, NULL),
			0);
	parcels_record(&b, &to);
	assert_int_equal(handoff__parcel_fill(&to, &parcel, THEN_MS, NULL), 0);
	handoff__parcel_free(&parcel);
}

/* The new socket counts from zero: then the record's positions are right. */
static void
positions_begin_where_the_new_socket_does(void **state)
{
	(void)state;
	open_hosts(0);
	take_and_fill(0, 0, 0);
	assert_int_equal(handoff__record_repair(&to, 0, 0), 0);
	/* two of the three bytes that were sent are in its queue, and count as
	 * written */
	take_and_fill(10, 3, 2);
	assert_int_equal(handoff__record_repair(&to, 0, 2), 0);
	assert_int_equal(handoff__record_repair(&to, 0, 1), -ERANGE);
	/* a turn there reads 7 bytes and writes 4, and dies */
	assert_int_equal(handoff__record_repair(&to, 7, 6), 1);
	assert_int_equal(handoff__rx_head(to.rec), 17);
	assert_int_equal(handoff__tx_tail(to.rec), 7);
	close_hosts();
}

/* Of a program that does its own input and output; the record knows nothing of
 * its positions but the base. */
static void
positions_of_a_program_are_the_kernels(void **state)
{
	(void)state;
	open_hosts(0);
	record_begin_at(from.rec, 0, 0);
	from.rec->sequence = 0;
	from.rec->rx_base = 1000;
	from.rec->tx_base = (uint64_t)-50;
	handoff__record_set_name(&from, "a name");
	take_and_fill(234, 90, 0);
	assert_string_equal((char *)to.rx, "a name");
	assert_int_equal(to.rec->rx_base, 1234);
	assert_int_equal(to.rec->tx_base, 40);
	take_and_fill(234, 90, 41);
	assert_int_equal(to.rec->rx_base, 1234);
	assert_int_equal(to.rec->tx_base, (uint64_t)-1);
	close_hosts();
}

static void
record_that_disagrees_with_the_kernel_is_damaged(void **state)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel;

	(void)state;
	open_hosts(0);
	from.rec->rx_base = 4;
	from.rec->tx_base = 1;
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), 0);
	assert_int_equal(handoff__parcel_counted(&parcel, 6, 2, 1, &error), 0);
	assert_int_equal(parcel.rx_base, 10);
	assert_int_equal(parcel.tx_base, 2);
	assert_int_equal(
		handoff__parcel_counted(&parcel, 7, 2, 0, &error), -EBADMSG);
	assert_int_equal(
		handoff__parcel_counted(&parcel, 6, 3, 0, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "10 bytes read and 4 written"));
	assert_int_equal(parcel.tx_base, 2);
	handoff__parcel_free(&parcel);
	close_hosts();
}

/* How far the new socket has to come before its program goes on: what the
 * record says itself, if its program does not count. */
static void
output_of_the_image_is_owed(void **state)
{
	struct handoff__error error = {""};
	struct handoff__parcel parcel;

	(void)state;
	open_hosts(0);
	assert_int_equal(
		handoff__parcel_take(&parcel, &from, NOW_MS, &error), 0);
	parcels_record(&b, &to);
	parcel.outq = 2;
	parcel.tx_base = handoff__tx_tail(from.rec) - parcel.outq;
	parcel.outq_ends = true;
	assert_int_equal(handoff__parcel_fill(&to, &parcel, THEN_MS, NULL), 0);
	assert_int_equal(to.rec->extra.owed, 0);
	assert_int_equal(handoff__record_due(&to), handoff__tx_tail(from.rec));
	parcels_record(&b, &to);
	parcel.tx_base = 1000;
	assert_int_equal(handoff__parcel_fill(&to, &parcel, THEN_MS, NULL), 0);
	assert_int_equal(handoff__record_due(&to),
		(1000 + parcel.outq) | HANDOFF__OWED_END);
	parcels_record(&b, &to);
	parcel.outq_ends = false;
	assert_int_equal(handoff__parcel_fill(&to, &parcel, THEN_MS, NULL), 0);
	assert_int_equal(handoff__record_due(&to), 1000 + parcel.outq);
	handoff__parcel_free(&parcel);
	close_hosts();
}

/* Modulo 2^64, as positions and bases are. */
static void
socket_lacks_what_is_due(void **state)
{
	struct handoff__record *rec;

	(void)state;
	open_hosts(0);
	rec = from.rec;
	rec->tx_base = 10;
	assert_true(handoff__record_lacks(rec, 15, 4, false));
	assert_false(handoff__record_lacks(rec, 15, 5, false));
	assert_false(handoff__record_lacks(rec, 15, 6, false));
	assert_true(
		handoff__record_lacks(rec, 15 | HANDOFF__OWED_END, 5, false));
	assert_false(
		handoff__record_lacks(rec, 15 | HANDOFF__OWED_END, 5, true));
	assert_true(
		handoff__record_lacks(rec, 15 | HANDOFF__OWED_END, 4, true));
	rec->tx_base = (uint64_t)-10;
	assert_true(handoff__record_lacks(rec, 15, 24, false));
	assert_false(handoff__record_lacks(rec, 15, 25, false));
	close_hosts();
}

static int
put_back(const char *text)
{
	return handoff__parcel_put_back(
		&to, (const unsigned char *)text, strlen(text), NULL);
}

static void
what_the_new_socket_did_not_take_is_put_back(void **state)
{
	struct iovec iov[2] = {{.iov_len = 0}};

	(void)state;
	open_hosts(0);
	take_and_fill(10, 3, 3);
	assert_int_equal(put_back("bc"), 0);
	assert_true(handoff__record_ok(&to));
	assert_int_equal(handoff__record_tx_pieces(&to, iov), 1);
	assert_int_equal(iov[0].iov_len, 8);
	assert_memory_equal(iov[0].iov_base, "bcoutput", 8);
	/* the socket has one byte, which counts */
	assert_int_equal(handoff__record_repair(&to, 0, 1), 0);
	/* more than was ever sent */
	assert_int_equal(put_back("xx"), -EMSGSIZE);
	assert_int_equal(put_back("a"), 0);
	assert_int_equal(handoff__record_unsent(to.rec), 9);
	assert_int_equal(handoff__record_repair(&to, 0, 0), 0);
	close_hosts();
}

/* In any place of the ring, up to its whole size. */
static void
putting_back_wraps_and_is_bounded(void **state)
{
	static unsigned char text[8 * SIZE];
	struct handoff__error error = {""};
	struct handoff__parcel parcel, p;
	struct iovec iov[2] = {{.iov_len = 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)(i * 7 + i / 251);
	open_hosts(0);
	assert_int_equal(handoff__parcel_take(&parcel, &from, NOW_MS, NULL), 0);
	for (uint32_t sent = 4 * SIZE - 3; sent < 4 * SIZE + 4; sent++) {
		parcels_record(&b, &to);
		p = parcel;
		p.out = text + sent;
		p.out_len = 100;
		p.produced = sent + 100;
		assert_int_equal(
			handoff__parcel_fill(&to, &p, THEN_MS, NULL), 0);
		assert_int_equal(handoff__parcel_put_back(
					 &to, text + 3, 4 * SIZE - 99, &error),
			-EMSGSIZE);
		assert_non_null(
			strstr(error.text, "its buffer of 16384, which has "
					   "100 already"));
		assert_int_equal(
			handoff__parcel_put_back(&to,
				text + sent - (4 * SIZE - 100),
				sent < 4 * SIZE - 100 ? 0 : 4 * SIZE - 100,
				&error),
			0);
		assert_true(handoff__record_ok(&to));
		assert_int_equal(handoff__record_unsent(to.rec), 4 * SIZE);
		assert_int_equal(handoff__record_tx_pieces(&to, iov), 2);
		assert_memory_equal(iov[0].iov_base,
			text + sent - (4 * SIZE - 100), iov[0].iov_len);
		assert_memory_equal(iov[1].iov_base,
			text + sent - (4 * SIZE - 100) + iov[0].iov_len,
			iov[1].iov_len);
	}
	handoff__parcel_free(&parcel);
	close_hosts();
}

/* The attempt of this host is not the other's. */
static void
pair_that_is_still_to_come_is_connected_there(void **state)
{
	const struct handoff__wish *wish;
	struct handoff_conn txn;

	(void)state;
	open_hosts(SIZE);
	handoff__txn_begin(&txn, &from);
	assert_int_equal(handoff_conn_connect(&txn, "127.0.0.1:99"), 0);
	assert_int_equal(handoff_conn_pass(&txn, "hello", 5), 5);
	handoff__txn_commit(&txn);
	atomic_store(&handoff__pass_wish(&from, txn.next->flags)->dialer, 1);
	parcels_send(&from, &b, &to);
	parcels_assert_same(&from, &to);
	assert_true(handoff__pass_to_dial(&to, 1));
	wish = handoff__pass_wish(&to, txn.next->flags);
	assert_string_equal(wish->address, "127.0.0.1:99");
	assert_memory_equal(handoff__pass_ring(&to), "hello", 5);
	close_hosts();
}

/* Two that are a pair go together, and find each other by their ids. */
static void
pair_and_leader_are_linked_by_their_ids(void **state)
{
	struct handoff__view back, back_there, found;

	(void)state;
	open_hosts(SIZE);
	parcels_connection(&a, &back, 78);
	handoff__record_flag(&from, HANDOFF__PAIRED);
	handoff__pass_join(&from, &back);
	back.rec->extra.leader = 77;
	handoff__record_mark(back.rec, HANDOFF__IN_TURN);
	refused(HANDOFF__PARCEL_TURN, "in a turn");
	handoff__record_mark(back.rec, HANDOFF__PENDING);
	parcels_send(&from, &b, &to);
	parcels_send(&back, &b, &back_there);
	assert_false(handoff__pass_pair(&to, &found));
	assert_true(handoff__parcel_link(&to, &back_there));
	assert_true(handoff__parcel_link(&back_there, &to));
	assert_true(handoff__pass_pair(&to, &found));
	assert_ptr_equal(found.rec, back_there.rec);
	assert_true(handoff__pass_pair(&back_there, &found));
	assert_ptr_equal(found.rec, to.rec);
	assert_ptr_equal(handoff__arena_record(&b.arena,
				 back_there.rec->extra.leader_segment,
				 back_there.rec->extra.leader_slot),
		to.rec);
	assert_true(to.rec->extra.leader_segment == UINT32_MAX);
	parcels_record(&b, &found);
	assert_false(handoff__parcel_link(&to, &found));
	handoff__record_set_id(found.rec, 79);
	assert_false(handoff__parcel_link(&to, &found));
	close_hosts();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(other_kinds_are_refused),
		handoff_test(turns_are_refused_until_they_are_over),
		handoff_test(damaged_records_are_refused),
		handoff_test(nonsense_in_a_record_is_no_parcel),
		handoff_test(ends_are_refused_and_lingering_is_not),
		handoff_test(session_goes_with_its_connection),
		handoff_test(wish_for_a_session_goes_along),
		handoff_test(
			session_without_a_connection_goes_with_the_time_it_has_left),
		handoff_test(
			session_may_be_absent_since_before_the_host_has_booted),
		handoff_test(time_that_cannot_be_is_none),
		handoff_test(session_that_ends_is_refused),
		handoff_test(session_without_a_connection_has_nothing_to_send),
		handoff_test(inbox_is_refused_until_the_next_commit),
		handoff_test(posts_are_refused_if_they_are_for_it),
		handoff_test(posts_go_with_a_session_without_a_connection),
		handoff_test(everything_is_in_a_parcel),
		handoff_test(quiet_connection_stays_small),
		handoff_test(deadline_is_as_far_away_as_it_was),
		handoff_test(what_does_not_fit_is_refused_with_the_sizes),
		handoff_test(other_states_and_rings_are_refused),
		handoff_test(state_of_another_version_gets_a_record_of_its_own),
		handoff_test(positions_begin_where_the_new_socket_does),
		handoff_test(positions_of_a_program_are_the_kernels),
		handoff_test(record_that_disagrees_with_the_kernel_is_damaged),
		handoff_test(output_of_the_image_is_owed),
		handoff_test(socket_lacks_what_is_due),
		handoff_test(what_the_new_socket_did_not_take_is_put_back),
		handoff_test(pair_that_is_still_to_come_is_connected_there),
		handoff_test(pair_and_leader_are_linked_by_their_ids),
		handoff_test(putting_back_wraps_and_is_bounded),
	};

	return cmocka_run_group_tests_name("parcel", tests, NULL, NULL);
}
