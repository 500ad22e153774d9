/* SPDX-License-Identifier: MIT */
/*
 * Records made from the parcels of another host, and what becomes of them until
 * the server has them. `two` is the carrier.
 */
#include "peer/fixture.h"

#include "record/batch.h"
#include "record/parcel.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int
carrier_setup(void **state)
{
	int err = side_setup(state);

	if (err < 0)
		return err;
	one.service.pass_size = 4096;
	side_carries(&two);
	pair_own(&one);
	pair_join(&one, &two);
	return 0;
}

#define carrier_test(f)                                                        \
	cmocka_unit_test_setup_teardown(f, carrier_setup, pair_finish)

static struct handoff__batch batch;

static struct handoff__batches *
batches(void)
{
	return handoff__batches_of(&two.pair.arena);
}

static void
open_batch(void)
{
	batch = (struct handoff__batch){.count = 1, .id = 5, .peer = 6};
	assert_int_equal(
		handoff__batch_open(batches(), HANDOFF__BATCH_IN, &batch), 0);
}

static struct handoff__parcel
parcel(uint64_t id)
{
	static const unsigned char state[32] = "the state of a connection";

	return (struct handoff__parcel){.id = id,
		.kind = HANDOFF__CONNECTION,
		.activity = HANDOFF__AT_REST,
		.flags = HANDOFF__OPENED,
		.state_size = 32,
		.state_version = 1,
		.rx_size = 4096,
		.tx_size = 4096,
		.pass_size = 4096,
		.consumed = 1000,
		.produced = 5000,
		.rx_base = 1003,
		.tx_base = 4998,
		.state = state,
		.state_len = 32,
		.in = (const unsigned char *)"abc",
		.in_len = 3,
		.out = (const unsigned char *)"xy",
		.out_len = 2};
}

static struct handoff__roster_entry *
receive(const struct handoff__parcel *p, int *err)
{
	int fd = memfd_create("entry", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return handoff__pair_receive(&two.pair, fd, p, batch.slot, err);
}

static struct handoff__roster_entry *
receive_well(const struct handoff__parcel *p)
{
	struct handoff__roster_entry *e;
	int err = 0;

	e = receive(p, &err);
	assert_int_equal(err, 0);
	assert_non_null(e);
	return e;
}

static void
commit(void)
{
	assert_int_equal(handoff__batch_commit(batches(), batch.slot, batch.id),
		HANDOFF__BATCH_COMMITTED);
}

static void
it_comes_with_all_it_had(void **state)
{
	struct handoff__parcel p = parcel(700);
	struct handoff__roster_entry *e, *copy;
	uint32_t slot;

	(void)state;
	open_batch();
	e = receive_well(&p);
	assert_int_equal(two.entered, 1);
	assert_true(e->mine);
	assert_int_equal(e->id, 700);
	assert_true(handoff__entry_elsewhere(e, &slot));
	assert_int_equal(slot, batch.slot);
	pair_run(&two, &one);
	assert_int_equal(e->copy, HANDOFF__COPY_HELD);
	copy = pair_find(&one, e);
	assert_non_null(copy);
	assert_false(copy->mine);
	assert_true(pair_same_file(e->fd, copy->fd));
	assert_int_equal(one.pair.roster.connections, 0);
	/* a number that a new connection here does not get, too */
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->id, 701);

	commit();
	assert_true(handoff__pair_return(&two.pair, e));
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	pair_run(&one, &two);
	assert_true(handoff__entry_accepted(&two.pair, e));
	assert_true(copy->mine);
	assert_int_equal(handoff__rx_head(copy->view.rec), 1003);
	assert_int_equal(handoff__record_unread(copy->view.rec), 3);
	assert_int_equal(handoff__record_unsent(copy->view.rec), 2);
	assert_true(handoff__record_ok(&copy->view));
	assert_string_equal(
		handoff__record_state(&copy->view,
			handoff__record_sequence(copy->view.rec) & 1),
		"the state of a connection");
	pair_assert_one_owner(&one, &two);
}

/* It never came: nothing is left of it at either peer. */
static void
aborted_one_leaves_nothing(void **state)
{
	struct handoff__parcel p = parcel(700);
	struct handoff__roster_entry *e;

	(void)state;
	open_batch();
	e = receive_well(&p);
	pair_run(&two, &one);
	handoff__batch_abort(batches(), batch.slot, batch.id);
	handoff__pair_end(&two.pair, e);
	pair_run(&two, &one);
	assert_int_equal(one.pair.roster.held, 0);
	assert_int_equal(two.pair.roster.owned, 0);
	assert_int_equal(handoff__pair_forget_batch(&two.pair, batch.slot), 0);
	assert_true(handoff__batch_free(batches(), batch.slot, batch.id));
	/* and it may come again */
	open_batch();
	receive_well(&p);
	pair_run(&two, &one);
	assert_int_equal(one.pair.roster.held, 1);
}

static void
same_number_comes_once(void **state)
{
	struct handoff__parcel p = parcel(0);
	int err = 0;

	(void)state;
	open_batch();
	/* of a connection that the server has */
	p.id = pair_enter(&one, HANDOFF__CONNECTION)->id;
	pair_run(&one, &two);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EEXIST);
	/* and one that has come already, here and from elsewhere */
	p.id = 50;
	receive_well(&p);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EEXIST);
	p.id = (UINT64_C(3) << HANDOFF__ORIGIN_SHIFT) + 1;
	receive_well(&p);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EEXIST);
	/* a lower one that is free */
	p.id = 49;
	receive_well(&p);
	assert_int_equal(two.pair.roster.owned, 3);
	/* other origins have numbers of their own */
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->id, 51);
}

static struct handoff__parcel
session(uint64_t id, uint64_t number)
{
	struct handoff__parcel p = parcel(id);

	p.flags |= HANDOFF__SESSION;
	p.session = number;
	return p;
}

/* Two entries of one session would be one to its client. */
static void
same_session_comes_once(void **state)
{
	struct handoff__parcel p = session(700, 650);
	struct handoff__roster_entry *plain;
	int err = 0;

	(void)state;
	open_batch();
	receive_well(&p);
	p = session(701, 650);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EALREADY);
	assert_int_equal(two.pair.roster.owned, 1);
	/* the number of a connection that is another one */
	plain = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	p = session(702, plain->id);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EALREADY);
	/* and the other way round */
	p = parcel(650);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EALREADY);
	p = session(703, 651);
	receive_well(&p);
	assert_int_equal(two.pair.roster.owned, 2);
}

/* It takes them when its client is back, and nobody else does. */
static void
posts_for_an_absent_session_come_along(void **state)
{
	static const struct handoff__post head = {
		.len = 5, .from = 9, .source = 7, .number = 1};
	unsigned char posts[2 * (HANDOFF__PARCEL_POST_HEAD + 5)];
	struct handoff__parcel p = session(700, 650);
	struct handoff__post_reader reader, other = {.id = 651};
	struct handoff__roster_entry *e;
	struct handoff__post post;
	uint64_t at, begin;
	char text[5];

	(void)state;
	open_batch();
	p.flags |= HANDOFF__GONE | HANDOFF__EOF | HANDOFF__EOF_DONE;
	p.absent = true;
	p.in_len = p.out_len = 0;
	p.rx_base = p.consumed;
	p.tx_base = p.produced;
	for (uint32_t i = 0; i < 2; i++) {
		handoff__parcel_put_post(posts + i * sizeof(posts) / 2, &head);
		memcpy(posts + (i + 1) * sizeof(posts) / 2 - 5,
			i ? "world" : "hello", 5);
	}
	p.posts = posts;
	p.posts_len = sizeof(posts);
	e = receive_well(&p);
	at = begin = handoff__record_commit(e->view.rec)->line_pos;
	assert_int_equal(
		handoff__posts_find(&two.pair.arena.posts, &other, &at, &post),
		0);
	at = begin;
	reader = handoff__record_reader(e->view.rec);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(handoff__posts_find(&two.pair.arena.posts,
					 &reader, &at, &post),
			1);
		assert_int_equal(post.from, 9);
		assert_int_equal(post.source, 7);
		assert_true(handoff__posts_copy(
			&two.pair.arena.posts, at, &post, text));
		assert_memory_equal(text, i ? "world" : "hello", 5);
		at += post.size;
	}
	assert_int_equal(
		handoff__posts_find(&two.pair.arena.posts, &reader, &at, &post),
		0);
}

/* What begins here is not to have the number of a session that is older. */
static void
number_of_a_session_is_used_up(void **state)
{
	struct handoff__parcel p = session(50, 900);

	(void)state;
	open_batch();
	receive_well(&p);
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->id, 901);
}

static void
pairs_come_together(void **state)
{
	struct handoff__roster_entry *list[2], *client, *backend;
	struct handoff__parcel p = parcel(81), q = parcel(82);
	int err = 0;

	(void)state;
	open_batch();
	p.pair = 82;
	q.pair = q.leader = 81;
	p.flags |= HANDOFF__PAIRED;
	q.flags |= HANDOFF__PAIRED;
	q.outgoing = 1;
	/* a companion needs its leader */
	assert_null(receive(&q, &err));
	assert_int_equal(err, -ENOENT);
	list[0] = receive_well(&p);
	list[1] = receive_well(&q);
	client = list[0];
	backend = list[1];
	assert_ptr_equal(handoff__pair_leader(&two.pair, backend), client);
	assert_ptr_equal(handoff__entry_leads(&two.pair, backend), client);
	assert_int_equal(client->view.rec->extra.pair_segment, 0);
	assert_int_equal(client->view.rec->extra.pair_slot, backend->slot);
	assert_int_equal(backend->view.rec->extra.pair_slot, client->slot);
	assert_int_equal(backend->view.rec->extra.leader_slot, client->slot);
	pair_run(&two, &one);
	commit();
	assert_true(handoff__pair_return(&two.pair, list[1]));
	assert_true(handoff__pair_return(&two.pair, list[0]));
	assert_int_equal(handoff__pair_offer_list(&two.pair, list, 2), 2);
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.connections, 2);
	assert_ptr_equal(
		handoff__pair_leader(&one.pair, pair_find(&one, backend)),
		pair_find(&one, client));
	pair_assert_one_owner(&one, &two);
}

/* A companion whose leader is the server's cannot come alone. */
static void
leader_must_be_the_carriers(void **state)
{
	struct handoff__parcel p = parcel(90);
	int err = 0;

	(void)state;
	open_batch();
	p.leader = pair_enter(&one, HANDOFF__CONNECTION)->id;
	pair_run(&one, &two);
	assert_null(receive(&p, &err));
	assert_int_equal(err, -ENOENT);
	assert_int_equal(two.pair.roster.owned, 0);
}

static void
room_is_asked_for(void **state)
{
	struct handoff__geometry geo;
	struct handoff__parcel p = parcel(700);
	int err = 0;

	(void)state;
	open_batch();
	p.state_version = 2;
	assert_null(receive(&p, &err));
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(handoff__parcel_geometry(&p, &geo), 0);
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1), 1);
	pair_run(&one, &two);
	assert_int_equal(two.room, 0);
	assert_int_equal(receive_well(&p)->segment, 1);
}

static void
what_cannot_be_entered_leaves_nothing(void **state)
{
	struct handoff__parcel p = parcel(700);
	int err = 0;

	(void)state;
	open_batch();
	two.refuse_entered = -ENOMEM;
	assert_null(receive(&p, &err));
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(two.pair.roster.owned, 0);
	assert_int_equal(handoff__pair_forget_batch(&two.pair, batch.slot), 0);
	two.refuse_entered = 0;
	/* a parcel that is none */
	p.activity = 77;
	assert_null(receive(&p, &err));
	assert_int_equal(err, -EBADMSG);
	assert_int_equal(handoff__pair_forget_batch(&two.pair, batch.slot), 0);
	p.activity = HANDOFF__PENDING;
	receive_well(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		carrier_test(it_comes_with_all_it_had),
		carrier_test(aborted_one_leaves_nothing),
		carrier_test(same_number_comes_once),
		carrier_test(same_session_comes_once),
		carrier_test(posts_for_an_absent_session_come_along),
		carrier_test(number_of_a_session_is_used_up),
		carrier_test(pairs_come_together),
		carrier_test(leader_must_be_the_carriers),
		carrier_test(room_is_asked_for),
		carrier_test(what_cannot_be_entered_leaves_nothing),
	};

	return cmocka_run_group_tests_name("receive", tests, NULL, NULL);
}
