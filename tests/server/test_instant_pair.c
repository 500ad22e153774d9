/* SPDX-License-Identifier: MIT */
/*
 * A process that dies between any two instructions of the turns of a pair: the
 * client's, which passes what has come, the backend's, which takes and sends
 * that and passes its answer, and the client's again. A child is single-stepped
 * and killed after the n-th instruction. The survivor repairs what it leaves,
 * and both ends receive every byte once. The backend's connection is an active
 * open, whose counters begin elsewhere. HANDOFF_LONG=1 takes every n.
 */
#include "support/support.h"

#include "base/addr.h"
#include "base/progress.h"
#include "peer/pair.h"
#include "record/desk.h"
#include "record/pass.h"
#include "server/conn.h"
#include "support/steps.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE       4096u
#define STEPS_MOST 60000 /* of all children of a test */
#define SECONDS    1500

struct conn {
	struct handoff__view view;
	int fd, other; /* ours, and the other end's */
};

struct fixture {
	struct handoff__arena arena;
	struct handoff_service service;
	struct conn client, backend;
};

static uint32_t desk;

static int
forward(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const void *input = handoff_conn_input(conn, &len);

	(void)arg;
	return handoff_conn_consume(conn, handoff_conn_pass(conn, input, len));
}

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

static void
new_record(struct fixture *f, struct conn *conn, uint64_t id)
{
	uint32_t segment, slot;

	assert_int_equal(handoff__arena_alloc(
				 &f->arena, 1, always, NULL, &segment, &slot),
		0);
	handoff__view_make(&conn->view, f->arena.segments[segment], slot);
	conn->view.rec->kind = HANDOFF__CONNECTION;
	handoff__record_set_id(conn->view.rec, id);
	handoff__record_flag(&conn->view, HANDOFF__OPENED);
}

/* A TCP connection: its passive and its active end. */
static void
open_tcp(int *passive, int *active)
{
	char bound[HANDOFF_ADDRESS_MAX];
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int listener = handoff__addr_listen("127.0.0.1:0", bound, NULL);

	assert_true(listener >= 0);
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&in, &len), 0);
	*active = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*active, (struct sockaddr *)&in, len), 0);
	assert_true(support_poll(listener, POLLIN));
	*passive = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*passive >= 0);
	close(listener);
}

static void
open_pair(struct fixture *f)
{
	struct handoff__geometry geo;
	struct handoff__progress progress;
	struct handoff_conn txn;

	memset(f, 0, sizeof(*f));
	f->service = (struct handoff_service){.size = sizeof(f->service),
		.name = "test",
		.handle = forward,
		.pass_size = SIZE};
	handoff__arena_init(&f->arena);
	assert_int_equal(handoff__geometry_make(&geo, 0, SIZE, SIZE), 0);
	assert_int_equal(handoff__geometry_extend(&geo, SIZE, 0, 0), 0);
	assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	new_record(f, &f->client, 1);
	new_record(f, &f->backend, 2);
	open_tcp(&f->client.fd, &f->client.other);
	open_tcp(&f->backend.other, &f->backend.fd);
	handoff__txn_begin(&txn, &f->client.view);
	assert_int_equal(handoff_conn_connect(&txn, "127.0.0.1:1"), 0);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__progress(f->backend.fd, &progress), 0);
	/* the SYN */
	assert_int_equal(progress.written, 1);
	f->backend.view.rec->tx_base = 0 - progress.written;
	handoff__pass_join(&f->client.view, &f->backend.view);
}

static void
close_pair(struct fixture *f)
{
	close(f->client.fd);
	close(f->client.other);
	close(f->backend.fd);
	close(f->backend.other);
	handoff__arena_fini(&f->arena);
}

static void
turn(struct fixture *f, struct conn *conn, uint32_t events)
{
	struct handoff__turn_result result;

	handoff__conn_turn_at(
		desk, &conn->view, conn->fd, &f->service, events, &result);
}

/* What the process does that is to die. */
static void __attribute__((noreturn)) child_main(struct fixture *f)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	turn(f, &f->client, EPOLLIN);
	turn(f, &f->backend, EPOLLIN);
	turn(f, &f->client, 0);
	_exit(0);
}

/* Returns how many instructions it had: fewer than `most`, if it left. */
static unsigned
die_after(struct fixture *f, unsigned most)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		child_main(f);
	return steps_die(pid, most);
}

static void
inherit(struct conn *conn)
{
	struct handoff__roster_entry e = {.view = conn->view, .fd = conn->fd};
	struct handoff__survival survival = {0};

	assert_null(handoff__entry_repair(&e, &survival));
	assert_null(handoff__entry_blame(&e, &survival));
	assert_int_equal(handoff__desk_of(conn->view.rec), 0);
	assert_true(handoff__record_ok(&conn->view));
}

/* The desk is somebody else's by now. */
static void
scribble(const struct conn *conn)
{
	struct handoff__view at = conn->view;

	if (!desk)
		return;
	handoff__desk_buffers(&at, desk);
	memset(at.rx, '-', 200);
	memset(at.tx, '-', 200);
}

/* Exactly this comes, and no more. */
static void
hears(const struct conn *conn, const char *text)
{
	char got[200];
	size_t len = 0, want = strlen(text);

	while (len < want) {
		ssize_t n;

		assert_true(support_poll(conn->other, POLLIN));
		n = recv(conn->other, got + len, sizeof(got) - len,
			MSG_DONTWAIT);
		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_int_equal(len, want);
	assert_memory_equal(got, text, len);
	assert_int_equal(recv(conn->other, got, 1, MSG_DONTWAIT), -1);
}

static void
says(const struct conn *conn, const char *text)
{
	assert_int_equal(
		send(conn->other, text, strlen(text), 0), strlen(text));
	assert_true(support_poll(conn->fd, POLLIN) & POLLIN);
}

/* One life and death; returns how many instructions there were. */
static unsigned
play(struct fixture *f, unsigned most)
{
	unsigned n;

	says(&f->client, "question\n");
	says(&f->backend, "an answer\n");
	n = die_after(f, most);
	inherit(&f->client);
	inherit(&f->backend);
	scribble(&f->client);
	for (int i = 0; i < 3; i++) {
		turn(f, &f->client, EPOLLIN);
		turn(f, &f->backend, EPOLLIN);
	}
	hears(&f->backend, "question\n");
	hears(&f->client, "an answer\n");
	assert_int_equal(handoff__record_commit(f->client.view.rec)->flags &
				 HANDOFF__CONNECT,
		0);
	return n;
}

static void
play_all(void)
{
	const char *asked = getenv("HANDOFF_LONG");
	struct fixture f;
	unsigned all, step;

	support_not_in_valgrind();
	alarm(SECONDS);
	open_pair(&f);
	/* The first has pages to touch. */
	play(&f, UINT_MAX);
	all = play(&f, UINT_MAX);
	assert_true(all > 900);
	step = 1 + (unsigned)((uint64_t)all * all / 2 / STEPS_MOST);
	if (asked && strcmp(asked, "1") == 0)
		step = 1;
	for (unsigned n = 1; n < all; n += step)
		play(&f, n);
	close_pair(&f);
}

static void
in_its_own_buffers(void **state)
{
	(void)state;
	desk = 0;
	play_all();
}

static void
on_a_desk(void **state)
{
	(void)state;
	desk = handoff__desk_number(1, 5);
	play_all();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(in_its_own_buffers),
		handoff_test(on_a_desk),
	};

	return cmocka_run_group_tests_name("instant_pair", tests, NULL, NULL);
}
