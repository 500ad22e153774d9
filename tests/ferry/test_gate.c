/* SPDX-License-Identifier: MIT */
/*
 * The gate and its helper, with connections between three hosts: packets are
 * held, pass, or go to the other host; ferries and helpers die.
 */
#include "ferry/gates.h"

#include "ferry/images.h"
#include "ferry/unfreeze/legacy.h"
#include "migrate/mode.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB ((size_t)1024)

static void
await_parked(struct gates *g, uint64_t packets)
{
	while (gates_count(g)->held_now < packets)
		;
}

static void
assert_nothing_arrives(const struct pair *p)
{
	char byte;

	assert_int_equal(
		recv(p->served, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* What is held waits, in the order in which it came, and passes. */
static void
hold_and_pass(enum kind kind)
{
	struct gates g;
	struct pair p;
	uint32_t slot;

	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	pair_open(&p, kind);
	pair_assert_works(&p, 100 * KIB);
	slot = gates_hold(&g, HANDOFF__GATE_OUT, 7, &p.served, 1);
	pair_ask(&p, 5000);
	await_parked(&g, 4);
	assert_nothing_arrives(&p);
	assert_int_equal(handoff__gate_pass(g.gate, slot), 0);
	pair_take_asked(&p, 5000);
	pair_assert_works(&p, 100 * KIB);
	assert_int_equal(gates_count(&g)->held_now, 0);
	assert_int_equal(g.counts.overflowed, 0);
	hosts_assert_no_resets();
	pair_close(&p);
	gates_close(&g);
}

static void
test_hold_four(void **state)
{
	(void)state;
	hold_and_pass(FOUR);
}

static void
test_hold_six(void **state)
{
	(void)state;
	hold_and_pass(SIX);
}

static void
test_hold_mapped(void **state)
{
	(void)state;
	hold_and_pass(MAPPED);
}

/* Other flows are not held. */
static void
test_others_pass(void **state)
{
	struct gates g;
	struct pair held, other;
	uint32_t slot;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	pair_open(&held, FOUR);
	pair_open(&other, FOUR);
	slot = gates_hold(&g, HANDOFF__GATE_OUT, 7, &held.served, 1);
	pair_ask(&held, 100);
	pair_assert_works(&other, 300 * KIB);
	assert_nothing_arrives(&held);
	handoff__gate_pass(g.gate, slot);
	pair_assert_works(&held, KIB);
	pair_close(&held);
	pair_close(&other);
	gates_close(&g);
}

/* A connection moves: to B, while the client goes on sending to A. */
struct move {
	struct gates g;
	struct pair p;
	uint32_t slot;
	struct handoff__image image;
	struct handoff__restore restore;
};

static void
begin_move(struct move *m, enum kind kind, const char *dir)
{
	struct handoff__error error = {""};

	gates_open(&m->g, HOST_A, dir);
	gates_rule(&m->g);
	pair_open(&m->p, kind);
	pair_assert_works(&m->p, 50 * KIB);
	m->slot = gates_hold(&m->g, HANDOFF__GATE_OUT, 7, &m->p.served, 1);
	host_enter(HOST_A);
	if (handoff__migrate_freeze(m->p.served, &m->image, &error) < 0)
		fail_msg("%s", error.text);
}

/* Segmentation offload makes these larger than the MTU on their way to A. */
static void
ask_much(struct move *m)
{
	pair_ask(&m->p, 60 * KIB);
	await_parked(&m->g, 3);
}

static void
prepare_there(struct move *m)
{
	struct handoff__error error = {""};

	host_enter(HOST_B);
	if (handoff__migrate_prepare(&m->restore, &m->image, 0, &error) < 0 ||
		handoff__migrate_unchanged(m->p.served, &m->image, &error) < 0)
		fail_msg("%s", error.text);
	host_enter(HOST_A);
	assert_int_equal(handoff__batch_commit(m->g.batches, m->slot, 7),
		HANDOFF__BATCH_COMMITTED);
}

static void
serve_there(struct move *m)
{
	struct handoff__error error = {""};

	host_enter(HOST_B);
	if (handoff__migrate_commit(&m->restore, &m->image, &error) < 0)
		fail_msg("%s", error.text);
	host_enter(HOST_A);
}

static void
end_here(struct move *m)
{
	struct handoff__error error = {""};

	if (handoff__migrate_end(m->p.served, &error) < 0)
		fail_msg("%s", error.text);
	close(m->p.served);
	m->p.served = m->restore.fd;
	handoff__image_free(&m->image);
}

static void
flip(enum kind kind)
{
	struct move m;
	long wrong;

	hosts_need();
	wrong = host_counter(HOST_B, "InCsumErrors");
	begin_move(&m, kind, support_dir());
	ask_much(&m);
	prepare_there(&m);
	serve_there(&m);
	assert_int_equal(handoff__gate_flip(m.g.gate, m.slot), 0);
	end_here(&m);
	pair_take_asked(&m.p, 60 * KIB);
	pair_assert_works(&m.p, 1000 * KIB);
	assert_true(gates_count(&m.g)->flipped > 100);
	assert_int_equal(m.g.counts.unsent, 0);
	assert_int_equal(m.g.counts.overflowed, 0);
	assert_int_equal(m.g.counts.held_now, 0);
	assert_int_equal(host_counter(HOST_B, "InCsumErrors"), wrong);
	hosts_assert_no_resets();
	pair_close(&m.p);
	handoff__gate_forget(m.g.gate, m.slot);
	gates_close(&m.g);
}

static void
test_flip_four(void **state)
{
	(void)state;
	flip(FOUR);
}

static void
test_flip_six(void **state)
{
	(void)state;
	flip(SIX);
}

static void
test_flip_mapped(void **state)
{
	(void)state;
	flip(MAPPED);
}

/* The ferry dies with an open batch: it is aborted, and goes on here. */
static void
test_ferry_dies_open(void **state)
{
	struct handoff__batch batch;
	struct move m;
	int64_t since;

	(void)state;
	hosts_need();
	begin_move(&m, FOUR, support_dir());
	ask_much(&m);
	since = handoff__now_us();
	gates_die(&m.g);
	pair_take_asked(&m.p, 60 * KIB);
	assert_true(handoff__now_us() - since < GATES_SOON_US);
	pair_assert_works(&m.p, 100 * KIB);
	assert_true(handoff__batch_read(m.g.batches, m.slot, &batch));
	assert_int_equal(
		handoff__batch_state(batch.word), HANDOFF__BATCH_ABORTED);
	handoff__image_free(&m.image);
	gates_reopen(&m.g);
	assert_int_equal(m.g.found, 0);
	assert_int_equal(gates_count(&m.g)->thawed, 1);
	hosts_assert_no_resets();
	pair_close(&m.p);
	gates_close(&m.g);
}

/* With the images, options that freezing replaced are as before. */
static void
test_thawed_with_options(void **state)
{
	const struct handoff__image *images[1];
	struct handoff__error error = {""};
	struct move m;
	int one = 1;

	(void)state;
	hosts_need();
	gates_open(&m.g, HOST_A, support_dir());
	gates_rule(&m.g);
	pair_open(&m.p, FOUR);
	setsockopt(m.p.served, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	m.slot = gates_hold(&m.g, HANDOFF__GATE_OUT, 7, &m.p.served, 1);
	if (handoff__migrate_freeze(m.p.served, &m.image, &error) < 0)
		fail_msg("%s", error.text);
	images[0] = &m.image;
	gates_images(&m.g, m.slot, images, 1);
	gates_die(&m.g);
	while (handoff__migrate_mode(m.p.served) == 1)
		sched_yield();
	pair_assert_works(&m.p, KIB);
	assert_int_equal(
		socket_option(m.p.served, SOL_SOCKET, SO_REUSEADDR), 1);
	handoff__image_free(&m.image);
	hosts_assert_no_resets();
	pair_close(&m.p);
	gates_reopen(&m.g);
	gates_close(&m.g);
}

/* The ferry dies after the commit: its packets go to B, which serves. */
static void
test_ferry_dies_committed(void **state)
{
	struct move m;

	(void)state;
	hosts_need();
	begin_move(&m, SIX, support_dir());
	ask_much(&m);
	prepare_there(&m);
	gates_die(&m.g);
	serve_there(&m);
	end_here(&m);
	pair_take_asked(&m.p, 60 * KIB);
	pair_assert_works(&m.p, 500 * KIB);
	assert_int_equal(m.g.tables, 0);
	gates_reopen(&m.g);
	/* the word is still there, should the server be dead too */
	assert_int_equal(m.g.tables, 1);
	assert_int_equal(handoff__batch_state((uint32_t)m.g.table_word),
		HANDOFF__BATCH_COMMITTED);
	assert_int_equal(m.g.found, 1);
	assert_int_equal(m.g.found_slot, m.slot);
	assert_int_equal(m.g.found_count, 1);
	assert_int_equal(m.g.found_verdict, HANDOFF__GATE_FLIP);
	assert_int_equal(m.g.found_fd, -1);
	assert_true(handoff__gate_is_ruled(m.g.gate));
	pair_assert_works(&m.p, 10 * KIB);
	hosts_assert_no_resets();
	pair_close(&m.p);
	handoff__gate_forget(m.g.gate, m.slot);
	gates_close(&m.g);
}

/* On the other host: prepared sockets are finished, or kept. */
struct arrival {
	struct gates g;
	struct pair p;
	uint32_t slot;
	struct handoff__image image;
	struct handoff__restore restore;
};

static void
arrive(struct arrival *a, size_t unread, size_t unacked)
{
	const struct handoff__image *images[1] = {&a->image};

	hosts_need();
	gates_open(&a->g, HOST_B, support_dir());
	host_enter(HOST_A);
	pair_open(&a->p, FOUR);
	pair_ask(&a->p, unread);
	pair_await_unread(&a->p, (int)unread);
	host_route(TO_HOLE);
	pair_answer(&a->p, unacked);
	pair_freeze(&a->p, &a->image);
	pair_carry(&a->p, &a->image, HOST_B, &a->restore);
	a->slot = gates_hold(&a->g, HANDOFF__GATE_IN, 9, &a->restore.fd, 1);
	gates_images(&a->g, a->slot, images, 1);
	gates_count(&a->g);
	host_route(TO_B);
	a->p.served = a->restore.fd;
}

static void
leave(struct arrival *a)
{
	hosts_assert_no_resets();
	pair_close(&a->p);
	handoff__image_free(&a->image);
	gates_close(&a->g);
}

static void
test_finished_after_death(void **state)
{
	struct arrival a;
	int64_t since;

	(void)state;
	arrive(&a, 3000, 40000);
	assert_int_equal(handoff__batch_commit(a.g.batches, a.slot, 9),
		HANDOFF__BATCH_COMMITTED);
	since = handoff__now_us();
	gates_die(&a.g);
	while (handoff__migrate_mode(a.p.served) == 1)
		sched_yield();
	assert_true(handoff__now_us() - since < GATES_SOON_US);
	/* lost, so it takes as long as the kernel takes */
	pair_take_answer(&a.p, 40000);
	pair_assert_works(&a.p, 100 * KIB);
	gates_reopen(&a.g);
	assert_int_equal(a.g.found, 0);
	assert_int_equal(gates_count(&a.g)->finished, 1);
	assert_int_equal(a.g.counts.stuck, 0);
	leave(&a);
}

/* In doubt: the next ferry gets it, and decides. */
static void
test_kept_in_doubt(void **state)
{
	struct handoff__images images = {.data = NULL};
	struct handoff__error error = {""};
	struct handoff__restore restore;
	struct handoff__image image;
	struct arrival a;

	(void)state;
	arrive(&a, 100, 200);
	gates_die(&a.g);
	gates_reopen(&a.g);
	assert_int_equal(a.g.found, 1);
	assert_int_equal(a.g.found_direction, HANDOFF__GATE_IN);
	assert_int_equal(a.g.found_slot, a.slot);
	assert_true(a.g.found_fd >= 0);
	assert_int_equal(handoff__images_map(&images, a.g.found_images), 0);
	assert_int_equal(handoff__images_read(&images, 0, &image, &error), 0);
	if (handoff__migrate_resume(&restore, a.g.found_fd, &image, &error) <
			0 ||
		handoff__migrate_commit(&restore, &image, &error) < 0)
		fail_msg("%s", error.text);
	handoff__images_unmap(&images);
	pair_assert_works(&a.p, 10 * KIB);
	close(a.g.found_fd);
	close(a.g.found_images);
	assert_int_equal(handoff__gate_forget(a.g.gate, a.slot), 0);
	leave(&a);
}

/* Output that does not fit, and the end of output after it. */
static void
test_finished_with_much_output(void **state)
{
	struct arrival a;
	size_t all;

	(void)state;
	hosts_need();
	gates_open(&a.g, HOST_B, support_dir());
	host_enter(HOST_A);
	pair_open(&a.p, FOUR);
	all = pair_answer_full(&a.p);
	assert_int_equal(shutdown(a.p.served, SHUT_WR), 0);
	pair_freeze(&a.p, &a.image);
	pair_carry(&a.p, &a.image, HOST_B, &a.restore);
	a.slot = gates_hold(&a.g, HANDOFF__GATE_IN, 9, &a.restore.fd, 1);
	{
		const struct handoff__image *images[1] = {&a.image};

		gates_images(&a.g, a.slot, images, 1);
	}
	host_route(TO_B);
	a.p.served = a.restore.fd;
	handoff__batch_commit(a.g.batches, a.slot, 9);
	gates_die(&a.g);
	pair_take_answer(&a.p, all);
	await_end(a.p.client);
	gates_reopen(&a.g);
	assert_int_equal(gates_count(&a.g)->finished, 1);
	leave(&a);
}

/* The helper dies: packets drop, and the next one goes on. */
static void
test_helper_dies(void **state)
{
	struct move m;
	int pid, was;

	(void)state;
	hosts_need();
	begin_move(&m, FOUR, support_dir());
	ask_much(&m);
	pid = gates_helper(&m.g);
	assert_true(pid > 0);
	was = m.g.ready;
	assert_int_equal(kill(pid, SIGKILL), 0);
	gates_await(&m.g, &m.g.lost, 1);
	gates_await(&m.g, &m.g.ready, was + 1);
	gates_await(&m.g, &m.g.held, 2);
	assert_true(gates_helper(&m.g) != pid);
	prepare_there(&m);
	serve_there(&m);
	handoff__gate_flip(m.g.gate, m.slot);
	end_here(&m);
	pair_take_asked(&m.p, 60 * KIB); /* by the client's timer */
	pair_assert_works(&m.p, 100 * KIB);
	hosts_assert_no_resets();
	pair_close(&m.p);
	gates_close(&m.g);
}

/* Both die: the rules drop until a ferry says what is to be done. */
static void
test_both_die(void **state)
{
	struct gates g;
	struct pair p;
	int pid;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	pair_open(&p, FOUR);
	gates_hold(&g, HANDOFF__GATE_OUT, 7, &p.served, 1);
	pid = gates_helper(&g);
	gates_die(&g);
	assert_int_equal(kill(pid, SIGKILL), 0);
	gates_await_end(&g);
	gates_reopen(&g);
	assert_true(g.leftover);
	pair_ask(&p, 100);
	assert_int_equal(gates_count(&g)->passed, 0);
	assert_nothing_arrives(&p);
	assert_int_equal(handoff__gate_rule(g.gate, false), 0);
	pair_take_asked(&p, 100);
	gates_await(&g, &g.ruled, 2);
	pair_assert_works(&p, KIB);
	hosts_assert_no_resets();
	pair_close(&p);
	gates_close(&g);
}

/* Flows without a batch, while they are held: what has begun goes on, what
 * begins waits. */
static void
test_default(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	struct gates g;
	struct pair p;
	int fd;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	pair_open(&p, FOUR);
	handoff__gate_default(g.gate, HANDOFF__GATE_HOLD);
	gates_count(&g);
	pair_assert_works(&p, 100);
	host_enter(HOST_C);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	sa.sin_port = htons(6999);
	sa.sin_addr.s_addr = htonl(0x0a4d0064);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), -1);
	assert_int_equal(errno, EINPROGRESS);
	host_enter(HOST_A);
	await_parked(&g, 1);
	gates_die(&g); /* then it passes */
	assert_true(support_poll(fd, POLLOUT) != 0);
	close(fd);
	pair_close(&p);
	gates_reopen(&g);
	gates_close(&g);
}

/* Some of a batch stay. */
static void
test_release(void **state)
{
	const uint32_t first = 0;
	struct gates g;
	struct pair p[2];
	uint32_t slot;
	int fds[2];

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	for (int i = 0; i < 2; i++) {
		pair_open(&p[i], FOUR);
		fds[i] = p[i].served;
	}
	slot = gates_hold(&g, HANDOFF__GATE_OUT, 7, fds, 2);
	pair_ask(&p[0], 100);
	pair_ask(&p[1], 100);
	await_parked(&g, 2);
	assert_int_equal(handoff__gate_release(g.gate, slot, &first, 1), 0);
	pair_take_asked(&p[0], 100);
	pair_assert_works(&p[0], KIB);
	assert_nothing_arrives(&p[1]);
	handoff__gate_pass(g.gate, slot);
	pair_assert_works(&p[1], KIB);
	pair_close(&p[0]);
	pair_close(&p[1]);
	gates_close(&g);
}

/* Nothing to guard: it ends by itself when its ferry is gone. */
static void
test_refuses_a_second_ferry(void **state)
{
	struct gates g;
	int fd;
	char data[2048];

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	fd = handoff__dir_connect(&g.dir, "gate", SOCK_SEQPACKET);
	assert_true(fd >= 0);
	assert_true(support_poll(fd, POLLIN) & POLLIN);
	assert_true(recv(fd, data, sizeof(data), 0) > 0);
	assert_non_null(memmem(data, sizeof(data), "another ferry", 13));
	assert_true(support_poll(fd, POLLRDHUP) & POLLRDHUP);
	close(fd);
	gates_close(&g);
}

static void
test_refused(void **state)
{
	struct gates g;
	struct pair p;
	struct handoff__flow flow;
	int none = -1;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	pair_open(&p, FOUR);
	gates_hold(&g, HANDOFF__GATE_OUT, 7, &p.served, 1);
	assert_int_equal(handoff__flow_of(p.served, &flow), 0);
	/* another batch has that flow */
	assert_int_equal(handoff__gate_hold(g.gate, 5, 8, HANDOFF__GATE_OUT,
				 &flow, &p.served, 1),
		0);
	gates_await(&g, &g.held, 2);
	assert_int_equal(g.err, -EEXIST);
	assert_int_equal(handoff__gate_pass(g.gate, 5), -ENOENT);
	assert_int_equal(handoff__gate_hold(g.gate, HANDOFF__GATE_SLOTS, 8,
				 HANDOFF__GATE_OUT, &flow, &none, 1),
		-EINVAL);
	/* without a target */
	assert_int_equal(handoff__gate_flip(g.gate, 0), -EINVAL);
	hosts_assert_no_resets();
	pair_close(&p);
	gates_close(&g);
}

/* Where the kernel has no nftables. */
static void
test_without_nftables(void **state)
{
	struct handoff__legacy legacy;
	int err;

	hosts_need();
	host_enter(HOST_A);
	handoff__legacy_open(&legacy);
	err = handoff__legacy_probe(&legacy, 4);
	handoff__legacy_close(&legacy);
	if (err < 0) {
		print_message("the kernel has no tables of iptables\n");
		skip();
	}
	gates_program = HANDOFF_UNFREEZE_LEGACY;
	hold_and_pass(FOUR);
	hold_and_pass(SIX);
	test_both_die(state);
	gates_program = HANDOFF_UNFREEZE;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_hold_four),
		handoff_test(test_hold_six),
		handoff_test(test_hold_mapped),
		handoff_test(test_others_pass),
		handoff_test(test_flip_four),
		handoff_test(test_flip_six),
		handoff_test(test_flip_mapped),
		handoff_test(test_ferry_dies_open),
		handoff_test(test_thawed_with_options),
		handoff_test(test_ferry_dies_committed),
		handoff_test(test_finished_after_death),
		handoff_test(test_kept_in_doubt),
		handoff_test(test_finished_with_much_output),
		handoff_test(test_helper_dies),
		handoff_test(test_both_die),
		handoff_test(test_default),
		handoff_test(test_release),
		handoff_test(test_refuses_a_second_ferry),
		handoff_test(test_refused),
		handoff_test(test_without_nftables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
