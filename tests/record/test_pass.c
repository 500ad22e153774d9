/* SPDX-License-Identifier: MIT */
/*
 * Two records that pass bytes to each other, driven at random beside a model:
 * four positions in each direction, and streams whose every byte is known by
 * its position. After each step, at which a process may die, all that the
 * commits describe is compared.
 */
#include "record/fixture.h"

#include "record/pass.h"

#include <errno.h>
#include <string.h>

#define STEPS  60000
#define PERIOD 8191
#define LONG   (PERIOD + 65536)

/* passed: by a record's handler, taken: by its pair, sent: of that. */
struct side {
	struct handoff__view view;
	uint64_t passed, taken, sent;
};

struct run {
	struct handoff__arena arena;
	struct side sides[2]; /* the client, and the backend */
	uint64_t random;
	unsigned full, empty, abandoned, wraps;
};

static unsigned char pattern[LONG];

static uint64_t
draw(struct run *run)
{
	run->random ^= run->random >> 12;
	run->random ^= run->random << 25;
	run->random ^= run->random >> 27;
	return run->random * UINT64_C(2685821657736338717);
}

static size_t
draw_size(struct run *run, size_t most)
{
	uint64_t kind = draw(run) % 4;

	if (kind == 0)
		return most;
	return (size_t)(draw(run) % (kind == 1 ? 40 : most + 1));
}

static const unsigned char *
bytes_at(uint64_t position)
{
	return pattern + position % PERIOD;
}

static void
view_new(struct run *run, struct handoff__view *view, uint64_t id)
{
	uint32_t segment, slot;

	assert_int_equal(handoff__arena_alloc(&run->arena, 1, record_always,
				 NULL, &segment, &slot),
		0);
	handoff__view_make(view, run->arena.segments[segment], slot);
	view->rec->kind = HANDOFF__CONNECTION;
	handoff__record_set_id(view->rec, id);
}

static void
grow(struct handoff__arena *arena, uint32_t pass_size)
{
	struct handoff__geometry geo;

	assert_int_equal(handoff__geometry_make(&geo, 16, SIZE, SIZE), 0);
	assert_int_equal(handoff__geometry_extend(&geo, pass_size, 0, 0), 0);
	assert_int_equal(handoff__arena_grow(arena, &geo), 0);
}

static void
begin(struct run *run, uint32_t pass_size)
{
	memset(run, 0, sizeof(*run));
	run->random = 88172645463325252;
	for (int i = 0; i < LONG; i++)
		pattern[i] = i < PERIOD ? (unsigned char)(draw(run) >> 32)
					: pattern[i - PERIOD];
	handoff__arena_init(&run->arena);
	grow(&run->arena, pass_size);
	for (uint64_t i = 0; i < 2; i++)
		view_new(run, &run->sides[i].view, i + 1);
}

/* A transaction that asks for a connection, and its result. */
static int
ask(const struct handoff__view *view, const char *address)
{
	struct handoff_conn txn;
	int err;

	handoff__txn_begin(&txn, view);
	err = handoff_conn_connect(&txn, address);
	txn.next->flags |= HANDOFF__OPENED;
	handoff__txn_commit(&txn);
	return err;
}

static void
begin_pair(struct run *run)
{
	begin(run, SIZE);
	assert_int_equal(ask(&run->sides[0].view, "127.0.0.1:1"), 0);
	handoff__pass_join(&run->sides[0].view, &run->sides[1].view);
}

static const struct handoff__commit *
commit_of(const struct handoff__view *view)
{
	return handoff__record_commit(view->rec);
}

static uint32_t
due(const struct handoff__view *view)
{
	return handoff__pass_due(view, commit_of(view));
}

/* Everything that has been passed and not taken, and taken and not sent, is
 * there. */
static void
check(struct run *run)
{
	for (int i = 0; i < 2; i++) {
		struct side *a = &run->sides[i], *b = &run->sides[1 - i];
		const unsigned char *ring = handoff__pass_ring(&a->view);
		struct iovec iov[2];
		uint64_t at = a->sent;
		int pieces = handoff__record_tx_pieces(&b->view, iov);

		assert_int_equal(
			commit_of(&a->view)->pass_head, (uint32_t)a->passed);
		assert_int_equal(
			commit_of(&b->view)->pass_tail, (uint32_t)a->taken);
		for (uint64_t p = a->taken; p < a->passed; p += 97)
			assert_int_equal(ring[p & (SIZE - 1)], *bytes_at(p));
		for (int n = 0; n < pieces; n++, at += iov[n - 1].iov_len)
			assert_memory_equal(
				iov[n].iov_base, bytes_at(at), iov[n].iov_len);
		assert_int_equal(at, a->taken);
	}
}

static void
step_pass(struct run *run, struct side *side)
{
	struct handoff_conn txn;
	size_t room = SIZE - (size_t)(side->passed - side->taken), len, part;

	handoff__txn_begin(&txn, &side->view);
	assert_int_equal(handoff_conn_pass_room(&txn), room);
	len = draw_size(run, room + 10);
	if (len > room + 10)
		len = room + 10;
	part = len / 3 < room ? len / 3 : room;
	assert_int_equal(
		handoff_conn_pass(&txn, bytes_at(side->passed), part), part);
	assert_int_equal(handoff_conn_pass(&txn, bytes_at(side->passed + part),
				 len - part),
		len < room ? len - part : room - part);
	check(run);
	if (draw(run) % 4 == 0) {
		run->abandoned++;
		return;
	}
	handoff__txn_commit(&txn);
	run->wraps += side->passed / SIZE != (side->passed + len) / SIZE;
	side->passed += len < room ? len : room;
	run->full += side->passed - side->taken == SIZE;
}

/* `side` passed it, its pair takes it. */
static void
step_take(struct run *run, struct side *side, struct side *pair)
{
	uint64_t room = SIZE - (side->taken - side->sent);
	uint64_t len = side->passed - side->taken;
	bool waits = (due(&pair->view) & HANDOFF__PASS_TAKE) != 0;

	assert_int_equal(waits, len > 0);
	handoff__pass_take(&pair->view, false);
	side->taken += len < room ? len : room;
	run->empty += side->taken == side->passed;
}

static void
step_send(struct run *run, struct side *side, struct side *pair)
{
	size_t len = draw_size(run, (size_t)(side->taken - side->sent));

	if (len > side->taken - side->sent)
		len = (size_t)(side->taken - side->sent);
	handoff__record_sent(&pair->view, len);
	side->sent += len;
}

static void
streams_are_exact(void **state)
{
	struct run run;

	(void)state;
	begin_pair(&run);
	for (int i = 0; i < STEPS; i++) {
		struct side *side = &run.sides[draw(&run) % 2];
		struct side *pair = &run.sides[side == &run.sides[0]];
		uint64_t what = draw(&run) % 3;

		if (what == 0)
			step_pass(&run, side);
		else if (what == 1)
			step_take(&run, side, pair);
		else
			step_send(&run, side, pair);
		check(&run);
	}
	assert_true(run.full > 100 && run.empty > 100 && run.wraps > 100 &&
		    run.abandoned > 100);
	handoff__arena_fini(&run.arena);
}

/* Positions are 32 bits wide, and go round. */
static void
positions_go_round(void **state)
{
	struct run run;

	(void)state;
	begin_pair(&run);
	for (int i = 0; i < 2; i++) {
		struct side *side = &run.sides[i];
		struct handoff__record *pair = run.sides[1 - i].view.rec;

		side->passed = side->taken = side->sent = UINT32_MAX - 5000u;
		for (int k = 0; k < 2; k++) {
			side->view.rec->commit[k].pass_head =
				(uint32_t)side->passed;
			pair->commit[k].pass_tail = (uint32_t)side->taken;
		}
	}
	for (int i = 0; i < 20000; i++) {
		struct side *side = &run.sides[i % 2];
		struct side *pair = &run.sides[1 - i % 2];

		step_pass(&run, side);
		step_take(&run, side, pair);
		step_send(&run, side, pair);
		check(&run);
	}
	assert_true(run.sides[0].passed > UINT64_C(1) << 32);
	handoff__arena_fini(&run.arena);
}

static void
addresses_are_checked(void **state)
{
	static const char *const bad[] = {"localhost:80", "127.0.0.1:0",
		":7000", "unix:relative", "127.0.0.1", "", "127.0.0.1:70000"};
	static const char *const good[] = {
		"127.0.0.1:80", "[::1]:80", "unix:/a/path"};
	struct run run;
	const struct handoff__view *view = &run.sides[0].view;

	(void)state;
	begin(&run, SIZE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ask(view, bad[i]), -EINVAL);
	assert_int_equal(ask(view, NULL), -EINVAL);
	assert_false(handoff__pass_to_dial(view, 0));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ask(view, good[i]), 0);
		assert_string_equal(
			handoff__pass_wish(view, commit_of(view)->flags)
				->address,
			good[i]);
		assert_int_equal(ask(view, good[i]), -EISCONN);
		assert_true(handoff__pass_to_dial(view, 0));
		handoff__pass_over(view);
	}
	handoff__arena_fini(&run.arena);
}

static void
no_ring_no_pair(void **state)
{
	struct run run;
	struct handoff_conn txn;

	(void)state;
	begin(&run, 0);
	assert_int_equal(ask(&run.sides[0].view, "127.0.0.1:80"), -EOPNOTSUPP);
	handoff__txn_begin(&txn, &run.sides[0].view);
	assert_int_equal(handoff_conn_pass(&txn, "x", 1), 0);
	assert_int_equal(handoff_conn_pass_room(&txn), 0);
	assert_int_equal(handoff_conn_pair(&txn), 0);
	assert_int_equal(handoff_conn_pair_error(&txn), -ENOTCONN);
	assert_false(handoff_conn_outgoing(&txn));
	handoff_conn_pass_end(&txn);
	assert_int_equal(txn.next->flags, HANDOFF__OPENED);
	handoff__arena_fini(&run.arena);
}

static void
pass(const struct handoff__view *view, const char *text, bool end)
{
	struct handoff_conn txn;

	handoff__txn_begin(&txn, view);
	assert_int_equal(
		handoff_conn_pass(&txn, text, strlen(text)), strlen(text));
	if (end)
		handoff_conn_pass_end(&txn);
	handoff__txn_commit(&txn);
}

/* A handler that dies before its commit has written the other address. */
static void
wishes_have_two_places(void **state)
{
	struct run run;
	const struct handoff__view *view = &run.sides[0].view;
	struct handoff_conn txn;

	(void)state;
	begin(&run, SIZE);
	assert_int_equal(ask(view, "127.0.0.1:1"), 0);
	atomic_store(&handoff__pass_wish(view, commit_of(view)->flags)->error,
		ECONNREFUSED);
	assert_true(due(view) & HANDOFF__PASS_TELL);
	handoff__pass_over(view);
	handoff__txn_begin(&txn, view);
	assert_int_equal(handoff_conn_pair_error(&txn), -ECONNREFUSED);
	assert_int_equal(handoff_conn_connect(&txn, "127.0.0.1:2"), 0);
	assert_int_equal(handoff_conn_pair_error(&txn), 0);
	/* dead: it runs again */
	handoff__txn_begin(&txn, view);
	assert_int_equal(handoff_conn_pair_error(&txn), -ECONNREFUSED);
	assert_string_equal(handoff__pass_wish(view, txn.next->flags)->address,
		"127.0.0.1:1");
	handoff__arena_fini(&run.arena);
}

/* What was passed waits for the next attempt, and is gone with a pair that had
 * been connected. */
static void
what_was_passed_waits(void **state)
{
	struct run run;
	const struct handoff__view *client = &run.sides[0].view;
	const struct handoff__view *backend = &run.sides[1].view;
	struct iovec iov[2];

	(void)state;
	begin(&run, SIZE);
	assert_int_equal(ask(client, "127.0.0.1:1"), 0);
	pass(client, "hello", false);
	atomic_store(
		&handoff__pass_wish(client, commit_of(client)->flags)->error,
		ETIMEDOUT);
	handoff__pass_over(client);
	assert_int_equal(ask(client, "127.0.0.1:2"), 0);
	handoff__pass_join(client, backend);
	assert_false(handoff__pass_to_dial(client, 0));
	assert_int_equal(due(client), HANDOFF__PASS_HERE);
	handoff__pass_take(backend, false);
	assert_int_equal(handoff__record_tx_pieces(backend, iov), 1);
	assert_int_equal(iov[0].iov_len, 5);
	/* used: it is not made again, and may not end before that is noted */
	assert_int_equal(due(client), HANDOFF__PASS_HERE | HANDOFF__PASS_TAKEN |
					      HANDOFF__PASS_SETTLE);
	assert_false(due(backend) & HANDOFF__PASS_TAKEN);
	handoff__pass_settle(client);
	assert_true(due(backend) & HANDOFF__PASS_TAKEN);
	pass(client, "late", false);
	handoff__record_set_id(backend->rec, 0);
	assert_int_equal(due(client), HANDOFF__PASS_TELL | HANDOFF__PASS_TAKEN);
	handoff__pass_over(client);
	assert_int_equal(commit_of(client)->pass_head, 0);
	assert_int_equal(commit_of(client)->flags & HANDOFF__PAIRED, 0);
	handoff__arena_fini(&run.arena);
}

static void
the_end_comes_last(void **state)
{
	struct run run;
	const struct handoff__view *client = &run.sides[0].view;
	const struct handoff__view *backend = &run.sides[1].view;
	struct handoff_conn txn;

	(void)state;
	begin_pair(&run);
	handoff__record_sent(backend, 0);
	pass(client, "all", true);
	handoff__txn_begin(&txn, client);
	assert_int_equal(handoff_conn_pass(&txn, "more", 4), 0);
	assert_int_equal(commit_of(backend)->flags & HANDOFF__SHUT, 0);
	handoff__pass_take(backend, false);
	assert_true(commit_of(backend)->flags & HANDOFF__SHUT);
	assert_false(due(backend) & HANDOFF__PASS_TAKE);
	assert_int_equal(handoff__record_unsent(backend->rec), 3);
	handoff__arena_fini(&run.arena);
}

/* A conversion moves one of the two to another record, with a larger ring. */
static void
a_conversion_carries(void **state)
{
	struct run run;
	struct side *client = &run.sides[0], *backend = &run.sides[1];
	struct handoff__view to, small;
	uint64_t random;

	(void)state;
	begin_pair(&run);
	for (int i = 0; i < 50; i++) {
		step_pass(&run, client);
		step_take(&run, client, backend);
		step_send(&run, client, backend);
	}
	run.random = random = 12345;
	while (client->passed - client->taken < 3000)
		step_pass(&run, client);
	grow(&run.arena, 2 * SIZE);
	handoff__view_make(&to, run.arena.segments[1], 7);
	assert_int_equal(handoff__pass_carry(&to, &client->view), 0);
	assert_int_equal(commit_of(&to)->pass_head, (uint32_t)client->passed);
	for (uint64_t p = client->taken; p < client->passed; p++)
		assert_int_equal(handoff__pass_ring(&to)[p & (2 * SIZE - 1)],
			*bytes_at(p));
	assert_string_equal(
		handoff__pass_head(&to)->wishes[1].address, "127.0.0.1:1");
	grow(&run.arena, 0);
	handoff__view_make(&small, run.arena.segments[2], 7);
	assert_int_equal(handoff__pass_carry(&small, &client->view), -EMSGSIZE);
	handoff__arena_fini(&run.arena);
}

static int
carry_to(struct run *run, struct handoff__view *to, uint32_t slot)
{
	handoff__view_make(to, run->arena.segments[0], slot);
	return handoff__pass_carry(to, &run->sides[0].view);
}

/* However much it has passed before: what the pair did not take is lost. */
static void
a_conversion_finds_that_the_pair_has_ended(void **state)
{
	struct run run;
	struct side *client = &run.sides[0], *backend = &run.sides[1];
	struct handoff__view to;
	uint32_t from, len;

	(void)state;
	begin_pair(&run);
	while (client->passed < 3 * SIZE) {
		step_pass(&run, client);
		step_take(&run, client, backend);
		step_send(&run, client, backend);
	}
	handoff__pass_settle(&client->view);
	handoff__record_set_id(backend->view.rec, 0);
	assert_int_equal(handoff__pass_untaken(&client->view, &from, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(carry_to(&run, &to, 9), 0);
	assert_int_equal(commit_of(&to)->pass_head, (uint32_t)client->passed);
	handoff__arena_fini(&run.arena);
}

/* It could not be connected; the handler may ask for another one. */
static void
a_conversion_keeps_what_waits_for_another_pair(void **state)
{
	struct run run;
	const struct handoff__view *client = &run.sides[0].view;
	struct handoff__view to;

	(void)state;
	begin(&run, SIZE);
	assert_int_equal(ask(client, "127.0.0.1:1"), 0);
	pass(client, "hello", false);
	assert_int_equal(carry_to(&run, &to, 9), 0);
	assert_memory_equal(handoff__pass_ring(&to), "hello", 5);
	atomic_store(
		&handoff__pass_wish(client, commit_of(client)->flags)->error,
		ECONNREFUSED);
	handoff__pass_over(client);
	assert_int_equal(carry_to(&run, &to, 10), 0);
	assert_int_equal(commit_of(&to)->pass_head, 5);
	assert_memory_equal(handoff__pass_ring(&to), "hello", 5);
	handoff__arena_fini(&run.arena);
}

/* A record that another process has damaged. */
static void
damage_is_contained(void **state)
{
	struct run run;
	struct handoff__view *client = &run.sides[0].view;
	struct handoff__view *backend = &run.sides[1].view;
	struct handoff__extra *extra;

	(void)state;
	begin_pair(&run);
	extra = &client->rec->extra;
	for (int i = 0; i < 2; i++)
		client->rec->commit[i].pass_head = 123456789;
	handoff__pass_take(backend, false);
	assert_int_equal(handoff__record_unsent(backend->rec), 0);
	assert_true(handoff__record_ok(backend));
	extra->pair_segment = 77;
	assert_false(handoff__pass_pair(client, backend));
	extra->pair_segment = 0;
	extra->pair_slot = 1u << 30;
	assert_false(handoff__pass_pair(client, backend));
	handoff__arena_fini(&run.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(streams_are_exact),
		handoff_test(positions_go_round),
		handoff_test(addresses_are_checked),
		handoff_test(no_ring_no_pair),
		handoff_test(wishes_have_two_places),
		handoff_test(what_was_passed_waits),
		handoff_test(the_end_comes_last),
		handoff_test(a_conversion_carries),
		handoff_test(a_conversion_finds_that_the_pair_has_ended),
		handoff_test(a_conversion_keeps_what_waits_for_another_pair),
		handoff_test(damage_is_contained),
	};

	return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}
