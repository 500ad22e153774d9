/* SPDX-License-Identifier: MIT */
/*
 * Which sockets are not complete: of connections that were moved to another
 * host by repair mode, in every state in which a ferry may leave one. Each is
 * finished as the next ferry does it, and the client gets every byte.
 */
#include "migrate/hosts.h"
#include "record/fixture.h"

#include "peer/unfinished.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection on B whose ferry is about to commit it, and its record, which
 * says that all of the image's output was sent. */
struct arrival {
	struct pair p;
	struct handoff__image image;
	struct handoff__restore restore;
	struct handoff__arena arena;
	struct handoff__roster_entry entry;
	size_t all; /* of the answers */
};

static void
take_record(struct arrival *a)
{
	struct handoff__record *rec;

	record_arena(&a->arena, 0);
	a->entry = (struct handoff__roster_entry){
		.kind = HANDOFF__CONNECTION,
		.id = 1,
		.fd = a->restore.fd,
	};
	handoff__view_make(&a->entry.view, a->arena.segments[0], 0);
	rec = a->entry.view.rec;
	record_begin_at(rec, a->p.to_served, a->all);
	rec->rx_base = rec->rx_base - a->image.in_len;
	rec->tx_base = a->all - a->image.out_len;
	handoff__entry_begin(&a->entry);
}

/* Much more than the client's window takes, and some input that is unread. */
static void
arrive(struct arrival *a, enum kind kind, bool ends)
{
	hosts_need();
	pair_open(&a->p, kind);
	pair_ask(&a->p, 2000);
	pair_await_unread(&a->p, 2000);
	a->all = pair_answer_full(&a->p);
	if (ends)
		assert_int_equal(shutdown(a->p.served, SHUT_WR), 0);
	pair_freeze(&a->p, &a->image);
	assert_true(a->image.unsent > 0);
	assert_int_equal(a->image.in_len, 2000);
	pair_carry(&a->p, &a->image, HOST_B, &a->restore);
	host_route(TO_B);
	a->p.served = a->restore.fd;
	take_record(a);
}

/* Up to the instruction after repair mode was switched off. */
static void
commit_half(struct arrival *a)
{
	struct handoff__error error = {""};
	struct handoff__image half = a->image;
	struct handoff__restore restore = a->restore;

	half.out_len -= half.unsent;
	half.unsent = 0;
	half.output_end = HANDOFF__IMAGE_OPEN;
	if (handoff__migrate_commit(&restore, &half, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(restore.taken, half.out_len);
}

static void
finish(struct arrival *a)
{
	struct handoff__error error = {""};

	if (handoff__migrate_resume(
		    &a->restore, a->p.served, &a->image, &error) < 0 ||
		handoff__migrate_commit(&a->restore, &a->image, &error) < 0)
		fail_msg("%s", error.text);
	pair_send_rest(&a->p, a->image.out + a->restore.taken,
		a->image.out_len - a->restore.taken);
}

static void
assert_finished(struct arrival *a)
{
	assert_false(handoff__entry_lacks(&a->entry));
	assert_true(handoff__entry_marked(&a->entry));
	assert_false(handoff__entry_unfinished(&a->entry));
	assert_false(handoff__entry_marked(&a->entry));
	assert_int_equal(a->entry.view.rec->extra.owed, 0);
}

static void
leave(struct arrival *a)
{
	hosts_assert_no_resets();
	handoff__image_free(&a->image);
	handoff__arena_fini(&a->arena);
	pair_close(&a->p);
}

static void
what_lacks_output_is_unfinished(enum kind kind)
{
	struct arrival a;

	arrive(&a, kind, false);
	/* in repair mode */
	assert_true(handoff__entry_unfinished(&a.entry));
	commit_half(&a);
	assert_true(handoff__entry_unfinished(&a.entry));
	/* what was acknowledged since counts, too */
	pair_take_answer(&a.p, 10000);
	assert_true(handoff__entry_unfinished(&a.entry));
	assert_true(handoff__entry_marked(&a.entry));
	finish(&a);
	assert_finished(&a);
	pair_take_answer(&a.p, a.all - 10000);
	pair_take_asked(&a.p, 2000);
	pair_assert_works(&a.p, 5000);
	assert_false(handoff__entry_lacks(&a.entry));
	leave(&a);
}

static void
output_four(void **state)
{
	(void)state;
	what_lacks_output_is_unfinished(FOUR);
}

static void
output_six(void **state)
{
	(void)state;
	what_lacks_output_is_unfinished(SIX);
}

static void
output_mapped(void **state)
{
	(void)state;
	what_lacks_output_is_unfinished(MAPPED);
}

/* The record of a program with a loop of its own has no positions; the end
 * belongs to what it has written. */
static void
what_lacks_its_end_is_unfinished(void **state)
{
	struct handoff__record *rec;
	struct arrival a;

	(void)state;
	arrive(&a, FOUR, true);
	rec = a.entry.view.rec;
	record_begin_at(rec, 0, 0);
	rec->tx_base = a.all - a.image.out_len;
	atomic_store(&rec->extra.owed, a.all | HANDOFF__OWED_END);
	assert_true(handoff__entry_unfinished(&a.entry));
	commit_half(&a);
	assert_true(handoff__entry_unfinished(&a.entry));
	atomic_store(&rec->extra.owed, a.all);
	assert_true(handoff__entry_unfinished(&a.entry));
	pair_send_rest(&a.p, a.image.out + (a.image.out_len - a.image.unsent),
		a.image.unsent);
	assert_false(handoff__entry_lacks(&a.entry));
	atomic_store(&rec->extra.owed, a.all | HANDOFF__OWED_END);
	assert_true(handoff__entry_unfinished(&a.entry));
	finish(&a);
	assert_finished(&a);
	pair_take_asked(&a.p, 2000);
	leave(&a);
}

/* Its owner has gone on long since; and the other way round a record that was
 * put back what the socket did not take. */
static void
what_has_more_is_finished(void **state)
{
	struct arrival a;

	(void)state;
	arrive(&a, FOUR, false);
	finish(&a);
	pair_take_answer(&a.p, a.all);
	pair_answer(&a.p, 3000);
	assert_false(handoff__entry_lacks(&a.entry));
	handoff__record_set_positions(
		a.entry.view.rec, a.p.to_served, a.all - 5000);
	assert_finished(&a);
	pair_take_asked(&a.p, 2000);
	pair_take_answer(&a.p, 3000);
	leave(&a);
}

/* There is nothing to wait for. */
static void
what_has_no_counters_is_finished(void **state)
{
	struct handoff__roster_entry *e;
	struct arrival a;
	int sv[2];

	(void)state;
	arrive(&a, FOUR, false);
	e = &a.entry;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	e->fd = sv[0];
	assert_false(handoff__entry_lacks(e));
	close(sv[0]);
	close(sv[1]);
	/* reset: the turn finds out */
	e->fd = a.p.served;
	commit_half(&a);
	assert_true(handoff__entry_lacks(e));
	assert_int_equal(
		connect(e->fd, &(struct sockaddr){.sa_family = AF_UNSPEC},
			sizeof(struct sockaddr)),
		0);
	assert_false(handoff__entry_lacks(e));
	e->kind = HANDOFF__LISTENER;
	assert_false(handoff__entry_lacks(e));
	handoff__image_free(&a.image);
	handoff__arena_fini(&a.arena);
	pair_close(&a.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(output_four),
		handoff_test(output_six),
		handoff_test(output_mapped),
		handoff_test(what_lacks_its_end_is_unfinished),
		handoff_test(what_has_more_is_finished),
		handoff_test(what_has_no_counters_is_finished),
	};

	return cmocka_run_group_tests_name("unfinished", tests, NULL, NULL);
}
