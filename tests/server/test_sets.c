/* SPDX-License-Identifier: MIT */
/*
 * The two epoll sets: which one is waited on, connections in the wrong one, and
 * when the descriptor for other loops is readable.
 */
#include "support/support.h"

#include "server/sets.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MEMBERS 6

struct member {
	int fd; /* an eventfd: readable once it is written */
	int set;
	bool mine;
};

struct fixture {
	struct handoff__sets sets;
	int inner_ep, inner; /* what the library itself waits for */
	struct member members[MEMBERS];
};

static void
open_sets(struct fixture *f)
{
	struct epoll_event ev = {.events = EPOLLIN};

	memset(f, 0, sizeof(*f));
	f->inner_ep = epoll_create1(EPOLL_CLOEXEC);
	f->inner = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(
		epoll_ctl(f->inner_ep, EPOLL_CTL_ADD, f->inner, &ev), 0);
	assert_int_equal(handoff__sets_init(&f->sets, f->inner_ep), 0);
	for (int i = 0; i < MEMBERS; i++)
		f->members[i].set = -1;
}

static void
close_sets(struct fixture *f)
{
	for (int i = 0; i < MEMBERS; i++) {
		if (f->members[i].set >= 0)
			close(f->members[i].fd);
	}
	handoff__sets_fini(&f->sets);
	close(f->inner_ep);
	close(f->inner);
}

/* Adds the members from `first` on; all are quiet. */
static void
add(struct fixture *f, int first, int count, bool mine)
{
	for (int i = first; i < first + count; i++) {
		struct member *m = &f->members[i];

		m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		m->mine = mine;
		m->set = handoff__sets_add(&f->sets, m->fd, EPOLLIN, m, mine);
		assert_true(m->set >= 0);
	}
}

static void
write_to(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

/* What one look at the set of this peer's brings; inner is (void *)0. */
static int
look(const struct fixture *f, void *found[8])
{
	struct epoll_event batch[8];
	int n = epoll_wait(f->sets.ep[f->sets.mine], batch, 8, 0);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		found[i] = batch[i].data.ptr;
	return n;
}

static bool
fires(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents == POLLIN;
}

/* Hands the members over or back, as a give does. */
static void
own(struct fixture *f, int first, int count, bool mine)
{
	for (int i = first; i < first + count; i++) {
		f->members[i].mine = mine;
		handoff__sets_own(&f->sets, f->members[i].set, mine);
	}
}

static uint32_t
wrong(const struct fixture *f)
{
	uint32_t n = 0;

	for (int i = 0; i < MEMBERS; i++) {
		const struct member *m = &f->members[i];

		n += m->set >= 0 &&
		     m->set != handoff__sets_home(&f->sets, m->mine);
	}
	return n;
}

/* Moves each that is in the wrong set, as the caller of exchange must. */
static void
move_wrong(struct fixture *f)
{
	for (int i = 0; i < MEMBERS; i++) {
		struct member *m = &f->members[i];

		if (m->set < 0 ||
			m->set == handoff__sets_home(&f->sets, m->mine))
			continue;
		m->set = handoff__sets_move(
			&f->sets, m->set, m->fd, EPOLLIN, m, m->mine);
		assert_true(m->set >= 0);
	}
	assert_int_equal(handoff__sets_exchange(&f->sets), 0);
}

static void
only_what_is_mine_is_seen(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 1, true);
	add(&f, 1, 1, false);
	assert_int_equal(look(&f, found), 0);
	write_to(f.members[0].fd);
	write_to(f.members[1].fd);
	assert_int_equal(look(&f, found), 1);
	assert_ptr_equal(found[0], &f.members[0]);
	close_sets(&f);
}

/* The library's own descriptors count in both. */
static void
inner_is_seen_on_either_side(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 2, true);
	write_to(f.inner);
	assert_int_equal(look(&f, found), 1);
	assert_null(found[0]);
	own(&f, 0, 2, false);
	assert_int_equal(handoff__sets_exchange(&f.sets), 0);
	assert_int_equal(look(&f, found), 1);
	assert_null(found[0]);
	close_sets(&f);
}

static void
whole_give_turns_the_sets(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 4, true);
	write_to(f.members[2].fd);
	own(&f, 0, 4, false);
	assert_int_equal(handoff__sets_exchange(&f.sets), 0);
	assert_int_equal(wrong(&f), 0);
	assert_int_equal(look(&f, found), 0);
	/* And back: what was gathered meanwhile is there at once. */
	own(&f, 0, 4, true);
	assert_int_equal(handoff__sets_exchange(&f.sets), 0);
	assert_int_equal(wrong(&f), 0);
	assert_int_equal(look(&f, found), 1);
	assert_ptr_equal(found[0], &f.members[2]);
	close_sets(&f);
}

static void
few_that_move_are_named(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 4, true);
	own(&f, 0, 1, false);
	assert_int_equal(handoff__sets_exchange(&f.sets), 1);
	assert_int_equal(wrong(&f), 1);
	move_wrong(&f);
	write_to(f.members[0].fd);
	write_to(f.members[3].fd);
	assert_int_equal(look(&f, found), 1);
	assert_ptr_equal(found[0], &f.members[3]);
	close_sets(&f);
}

/* Most move and some stay: the sets are exchanged, and those that stay are
 * moved. */
static void
few_that_stay_are_named(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 5, true);
	own(&f, 0, 4, false);
	assert_int_equal(handoff__sets_exchange(&f.sets), 1);
	assert_int_equal(wrong(&f), 1);
	assert_int_not_equal(
		f.members[4].set, handoff__sets_home(&f.sets, true));
	move_wrong(&f);
	for (int i = 0; i < 5; i++)
		write_to(f.members[i].fd);
	assert_int_equal(look(&f, found), 1);
	assert_ptr_equal(found[0], &f.members[4]);
	close_sets(&f);
}

/* With as many on one side as on the other nothing is gained by turning. */
static void
even_split_does_not_turn_to_and_fro(void **state)
{
	struct fixture f;
	int mine;

	(void)state;
	open_sets(&f);
	add(&f, 0, 4, true);
	mine = f.sets.mine;
	own(&f, 0, 2, false);
	assert_int_equal(handoff__sets_exchange(&f.sets), 2);
	assert_int_equal(handoff__sets_exchange(&f.sets), 2);
	assert_int_equal(f.sets.mine, mine);
	move_wrong(&f);
	assert_int_equal(f.sets.mine, mine);
	close_sets(&f);
}

static void
empty_sets_do_not_turn(void **state)
{
	struct fixture f;
	int mine;

	(void)state;
	open_sets(&f);
	mine = f.sets.mine;
	assert_int_equal(handoff__sets_exchange(&f.sets), 0);
	assert_int_equal(f.sets.mine, mine);
	close_sets(&f);
}

/* Any sequence: the count that exchange returns is that of a look at each. */
static void
counts_are_right_after_anything(void **state)
{
	struct fixture f;
	uint32_t random = 12345, answer;

	(void)state;
	open_sets(&f);
	for (int i = 0; i < 5000; i++) {
		struct member *m;

		random = random * 1103515245 + 12345;
		m = &f.members[(random >> 16) % MEMBERS];
		if (m->set < 0) {
			add(&f, (int)(m - f.members), 1, (random >> 24) % 2);
		} else if ((random >> 24) % 3 == 0) {
			handoff__sets_del(&f.sets, m->set, m->fd, m->mine);
			close(m->fd);
			m->set = -1;
		} else {
			own(&f, (int)(m - f.members), 1, !m->mine);
		}
		answer = handoff__sets_exchange(&f.sets);
		assert_int_equal(answer, wrong(&f));
		assert_in_range(wrong(&f), 0, MEMBERS / 2);
		if ((random >> 28) % 4 == 0)
			move_wrong(&f);
	}
	close_sets(&f);
}

static void
deleted_member_is_not_seen(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 2, true);
	write_to(f.members[0].fd);
	handoff__sets_del(&f.sets, f.members[0].set, f.members[0].fd, true);
	close(f.members[0].fd);
	f.members[0].set = -1;
	assert_int_equal(look(&f, found), 0);
	assert_int_equal(f.sets.members[f.sets.mine][1], 1);
	close_sets(&f);
}

static void
armed_for_nothing_is_not_seen(void **state)
{
	struct fixture f;
	void *found[8];

	(void)state;
	open_sets(&f);
	add(&f, 0, 1, true);
	write_to(f.members[0].fd);
	assert_int_equal(handoff__sets_arm(&f.sets, f.members[0].set,
				 f.members[0].fd, 0, &f.members[0]),
		0);
	assert_int_equal(look(&f, found), 0);
	assert_int_equal(handoff__sets_arm(&f.sets, f.members[0].set,
				 f.members[0].fd, EPOLLOUT, &f.members[0]),
		0);
	assert_int_equal(look(&f, found), 1);
	assert_int_equal(handoff__sets_arm(&f.sets, f.members[0].set, f.inner,
				 EPOLLIN, &f.members[0]),
		-ENOENT);
	close_sets(&f);
}

static void
what_cannot_be_watched_is_no_member(void **state)
{
	struct fixture f;

	(void)state;
	open_sets(&f);
	assert_int_equal(
		handoff__sets_add(&f.sets, -1, EPOLLIN, NULL, true), -EBADF);
	assert_int_equal(f.sets.members[0][1] + f.sets.members[1][1], 0);
	close_sets(&f);
}

static void
outer_fires_for_the_right_set(void **state)
{
	struct fixture f;
	int outer;

	(void)state;
	open_sets(&f);
	add(&f, 0, 2, true);
	add(&f, 2, 1, false);
	outer = handoff__sets_outer(&f.sets);
	assert_true(outer >= 0);
	assert_int_equal(handoff__sets_outer(&f.sets), outer);
	assert_false(fires(outer));
	write_to(f.members[2].fd); /* the other's */
	assert_false(fires(outer));
	write_to(f.members[0].fd);
	assert_true(fires(outer));
	/* All of mine is given, and what was the other's comes here. */
	own(&f, 0, 2, false);
	own(&f, 2, 1, true);
	assert_int_equal(handoff__sets_exchange(&f.sets), 0);
	assert_true(fires(outer));
	own(&f, 2, 1, false);
	move_wrong(&f);
	assert_false(fires(outer));
	write_to(f.inner);
	assert_true(fires(outer));
	close_sets(&f);
}

/* Asked for late, when events are there already. */
static void
outer_fires_for_what_came_before_it(void **state)
{
	struct fixture f;

	(void)state;
	open_sets(&f);
	add(&f, 0, 3, true);
	own(&f, 0, 3, false);
	handoff__sets_exchange(&f.sets);
	own(&f, 0, 3, true);
	handoff__sets_exchange(&f.sets);
	write_to(f.members[1].fd);
	assert_true(fires(handoff__sets_outer(&f.sets)));
	close_sets(&f);
}

/* A loop of the user's that is an epoll inside of an epoll. */
static void
outer_fits_into_other_loops(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct fixture f;
	int user, users;

	(void)state;
	open_sets(&f);
	add(&f, 0, 1, true);
	user = epoll_create1(EPOLL_CLOEXEC);
	users = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(user, EPOLL_CTL_ADD,
				 handoff__sets_outer(&f.sets), &ev),
		0);
	assert_int_equal(epoll_ctl(users, EPOLL_CTL_ADD, user, &ev), 0);
	assert_false(fires(users));
	write_to(f.inner);
	assert_true(fires(users));
	close(user);
	close(users);
	close_sets(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(only_what_is_mine_is_seen),
		handoff_test(inner_is_seen_on_either_side),
		handoff_test(whole_give_turns_the_sets),
		handoff_test(few_that_move_are_named),
		handoff_test(few_that_stay_are_named),
		handoff_test(even_split_does_not_turn_to_and_fro),
		handoff_test(empty_sets_do_not_turn),
		handoff_test(counts_are_right_after_anything),
		handoff_test(deleted_member_is_not_seen),
		handoff_test(armed_for_nothing_is_not_seen),
		handoff_test(what_cannot_be_watched_is_no_member),
		handoff_test(outer_fires_for_the_right_set),
		handoff_test(outer_fires_for_what_came_before_it),
		handoff_test(outer_fits_into_other_loops),
	};

	return cmocka_run_group_tests_name("sets", tests, NULL, NULL);
}
