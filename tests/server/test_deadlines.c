/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections: the heap, single turns, and servers of every model
 * whose connections move. No test measures time; it compares with the clock
 * what came before what.
 */
#include "server/duo.h"
#include "server/solo.h"

#include "server/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 500

/* The heap. */

static struct handoff__record *records;
static struct handoff__member *members;

static void
set_at(int i, uint64_t at_ms)
{
	records[i].commit[0].deadline = at_ms > 0;
	records[i].extra.deadline_ms[0] = at_ms;
	records[i].touched |= HANDOFF__TIMED;
}

static void
open_heap(void)
{
	records = calloc(MANY, sizeof(*records));
	members = calloc(MANY, sizeof(*members));
	assert_true(records && members);
	for (int i = 0; i < MANY; i++) {
		members[i].entry.view.rec = &records[i];
		members[i].entry.mine = true;
	}
}

static void
close_heap(struct handoff__deadlines *d)
{
	assert_int_equal(d->count, 0);
	handoff__deadlines_free(d);
	free(members);
	free(records);
}

/* All of them come, each once, the earliest first. */
static void
heap_has_the_earliest_first(void **state)
{
	struct handoff__deadlines d = {.heap = NULL};
	uint64_t last = 0, now = handoff__boot_ms();
	struct handoff__member *member;
	unsigned count = 0;

	(void)state;
	open_heap();
	srand(1);
	for (int i = 0; i < MANY; i++) {
		set_at(i, now - 1 - (unsigned)rand() % 1000);
		assert_true(handoff__deadlines_note(&d, &members[i]) >= 0);
	}
	/* some end */
	for (int i = 0; i < MANY; i += 7)
		handoff__deadlines_drop(&d, &members[i]);
	while ((member = handoff__deadlines_due(&d))) {
		uint64_t at = handoff__record_deadline(member->entry.view.rec);

		assert_true(at >= last);
		assert_int_not_equal((member - members) % 7, 0);
		last = at;
		count++;
	}
	assert_int_equal(count, MANY - (MANY + 6) / 7);
	close_heap(&d);
}

/* Later ones cost nothing until their old time has come. */
static void
deadline_set_anew_is_noticed_late(void **state)
{
	struct handoff__deadlines d = {.heap = NULL};
	uint64_t now = handoff__boot_ms();

	(void)state;
	open_heap();
	set_at(0, now - 10);
	set_at(1, now + 100000);
	set_at(2, now - 20);
	for (int i = 0; i < 3; i++)
		handoff__deadlines_note(&d, &members[i]);
	set_at(0, now + 50000);
	assert_int_equal(handoff__deadlines_note(&d, &members[0]), 0);
	assert_int_equal(d.heap[0].at_ms, now - 20);
	set_at(2, 0);
	assert_int_equal(handoff__deadlines_wait_ms(&d), 0);
	assert_null(handoff__deadlines_due(&d));
	assert_int_equal(d.count, 2);
	assert_int_equal(d.heap[0].at_ms, now + 50000);
	assert_in_range(handoff__deadlines_wait_ms(&d), 1, 50000);
	/* an earlier one is noticed at once */
	set_at(1, now - 1);
	assert_int_equal(handoff__deadlines_note(&d, &members[1]), 1);
	/* not while a thread, a child or the other peer has it */
	members[1].active = true;
	assert_null(handoff__deadlines_due(&d));
	assert_int_equal(d.count, 1);
	members[1].active = false;
	handoff__deadlines_note(&d, &members[1]);
	assert_ptr_equal(handoff__deadlines_due(&d), &members[1]);
	/* one that was cleared is not watched, and not looked at again */
	set_at(1, 0);
	assert_int_equal(handoff__deadlines_note(&d, &members[1]), 0);
	assert_int_equal(records[1].touched, 0);
	handoff__deadlines_drop(&d, &members[0]);
	assert_int_equal(handoff__deadlines_wait_ms(&d), -1);
	close_heap(&d);
}

/* What handlers do in the tests of a turn: each call is noted. */
static enum handoff_conn_reason calls[16];
static unsigned ncalls;
static int64_t set_ms; /* -1: the handler sets none */
static bool fails, closes, aborts, answers;

static int
timed(struct handoff_conn *conn, void *arg)
{
	size_t len;

	(void)arg;
	handoff_conn_input(conn, &len);
	if (ncalls < 16)
		calls[ncalls++] = handoff_conn_reason(conn);
	if (set_ms >= 0)
		assert_int_equal(handoff_conn_deadline(conn, set_ms), 0);
	if (fails)
		return -EIO;
	if (answers)
		handoff_conn_write(conn, "answer", 6);
	if (closes)
		handoff_conn_close(conn);
	if (aborts)
		handoff_conn_abort(conn);
	return handoff_conn_consume(conn, len);
}

static void
open_timed(struct fixture *f)
{
	open_conn(f, timed, NULL);
	ncalls = 0;
	set_ms = -1;
	fails = closes = aborts = answers = false;
}

/* The deadline that is set has passed. */
static void
pass(const struct fixture *f)
{
	uint32_t number = handoff__record_commit(f->rec)->deadline;

	assert_in_range(number, 1, 2);
	f->rec->extra.deadline_ms[number - 1] = 1;
}

static uint64_t
deadline(const struct fixture *f)
{
	return handoff__record_deadline(f->rec);
}

static void
set_with_input(struct fixture *f, int64_t ms)
{
	set_ms = ms;
	client_says(f, "x");
	assert_int_equal(turn(f, EPOLLIN), HANDOFF__TURN_WAIT);
	set_ms = -1;
	ncalls = 0;
}

static void
handler_runs_once_at_the_deadline(void **state)
{
	struct fixture f;
	uint64_t before = handoff__boot_ms();

	(void)state;
	open_timed(&f);
	set_with_input(&f, 5000);
	assert_true(deadline(&f) > before + 5000);
	assert_true(deadline(&f) <= handoff__boot_ms() + 5001);
	assert_false(handoff__conn_due(&f.view, &f.service));
	assert_in_range(handoff__conn_left_ms(f.rec), 1, 5001);
	turn(&f, 0);
	assert_int_equal(ncalls, 0);
	pass(&f);
	assert_true(handoff__conn_due(&f.view, &f.service));
	assert_true(handoff__conn_pending(&f.view, &f.service));
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	assert_int_equal(ncalls, 1);
	assert_int_equal(calls[0], HANDOFF_CONN_DEADLINE);
	assert_int_equal(deadline(&f), 0);
	assert_false(handoff__conn_due(&f.view, &f.service));
	turn(&f, 0);
	assert_int_equal(ncalls, 1);
	close_conn(&f);
}

/* Both slots of the record are used in turn, and 0 clears. */
static void
deadline_is_set_anew_and_cleared(void **state)
{
	struct fixture f;
	uint64_t first;

	(void)state;
	open_timed(&f);
	set_with_input(&f, 1000);
	first = deadline(&f);
	set_with_input(&f, INT64_C(366) * 24 * 3600 * 1000);
	assert_true(deadline(&f) > first + 1000000);
	set_with_input(&f, 1000);
	assert_true(deadline(&f) < first + 1000000);
	assert_int_equal(ncalls, 0);
	pass(&f);
	set_ms = 0;
	client_says(&f, "x");
	/* input comes first: its handler clears it */
	turn(&f, EPOLLIN);
	assert_int_equal(calls[0], HANDOFF_CONN_INPUT);
	assert_int_equal(ncalls, 1);
	assert_int_equal(deadline(&f), 0);
	turn(&f, 0);
	assert_int_equal(ncalls, 1);
	close_conn(&f);
}

/* The handler may set the next one: a beat. */
static void
handler_sets_the_next_one(void **state)
{
	struct fixture f;

	(void)state;
	open_timed(&f);
	set_with_input(&f, 1000);
	for (unsigned i = 1; i <= 5; i++) {
		pass(&f);
		set_ms = 1000;
		assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
		assert_int_equal(ncalls, i);
		assert_true(deadline(&f) > handoff__boot_ms());
	}
	close_conn(&f);
}

/* Until a transaction commits, nothing of it is true. */
static void
failed_transaction_sets_nothing(void **state)
{
	struct handoff_conn txn;
	struct fixture f;
	uint64_t first;

	(void)state;
	open_timed(&f);
	set_with_input(&f, 1000);
	first = deadline(&f);
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_deadline(&txn, 77777), 0);
	assert_int_equal(deadline(&f), first);
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_deadline(&txn, 0), 0);
	assert_int_equal(deadline(&f), first);
	assert_int_equal(handoff_conn_deadline(&txn, -1), -EINVAL);
	assert_int_equal(handoff_conn_deadline(&txn, INT64_MAX), -EINVAL);
	handoff__txn_commit(&txn);
	assert_int_equal(deadline(&f), 0);
	/* a handler that fails at the deadline ends it like any other */
	set_with_input(&f, 1000);
	pass(&f);
	fails = true;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_HANDLER);
	close_conn(&f);
}

/* What it answers is sent, and what it closes ended for that reason. */
static void
handler_closes_at_the_deadline(void **state)
{
	struct fixture f;

	(void)state;
	open_timed(&f);
	set_with_input(&f, 1000);
	pass(&f);
	answers = closes = true;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_LINGER);
	client_hears(&f, "answer", true);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_DEADLINE);
	close_conn(&f);
}

/* A client that reads nothing does not keep it from running. */
static void
blocked_output_does_not_hold_it_up(void **state)
{
	char data[SIZE] = {0};
	struct handoff_conn txn;
	struct fixture f;

	(void)state;
	for (int how = 0; how < 3; how++) {
		open_timed(&f);
		shrink(&f);
		set_with_input(&f, 1000);
		/* until the output is full */
		do {
			handoff__txn_begin(&txn, &f.view);
			handoff_conn_write(&txn, data, SIZE);
			handoff__txn_commit(&txn);
			assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
		} while (handoff__record_unsent(f.rec) < SIZE);
		assert_int_equal(ncalls, 0);
		aborts = how == 1;
		closes = how == 2;
		set_ms = how == 2 ? 1000 : -1;
		pass(&f);
		turn(&f, 0);
		assert_int_equal(ncalls, 1);
		assert_int_equal(calls[0], HANDOFF_CONN_DEADLINE);
		if (how == 1) {
			assert_int_equal(f.result.outcome, HANDOFF__TURN_END);
			assert_int_equal(f.result.end, HANDOFF__END_DEADLINE);
		} else {
			assert_int_equal(f.result.outcome, HANDOFF__TURN_WAIT);
			assert_int_equal(f.result.want, EPOLLOUT | EPOLLIN);
		}
		if (how == 2) {
			/* the time that a close has */
			pass(&f);
			assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
			assert_int_equal(f.result.end, HANDOFF__END_DEADLINE);
			assert_int_equal(ncalls, 1);
		}
		close_conn(&f);
	}
}

/* A client that has ended its sending, and takes its time with the rest. */
static void
half_closed_client_has_a_deadline_too(void **state)
{
	char data[SIZE] = {0};
	struct handoff_conn txn;
	struct fixture f;

	(void)state;
	open_timed(&f);
	shrink(&f);
	set_with_input(&f, 1000);
	do {
		handoff__txn_begin(&txn, &f.view);
		handoff_conn_write(&txn, data, SIZE);
		handoff__txn_commit(&txn);
		turn(&f, 0);
	} while (handoff__record_unsent(f.rec) < SIZE);
	client_ends_sending(&f);
	turn(&f, EPOLLIN);
	pass(&f);
	aborts = true;
	ncalls = 0;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(calls[0], HANDOFF_CONN_DEADLINE);
	close_conn(&f);
}

/* Servers. */

/* Sets a deadline by "in MS", answers "late MS" at it with the time since; a
 * line of anything else is echoed. "off" clears it. */
struct moment {
	uint64_t at_ms; /* of the deadline that was set last */
};

static atomic_uint early;

static int
handle_moment(struct handoff_conn *conn, void *arg)
{
	struct moment *moment = handoff_conn_state(conn);
	struct host *host = arg;
	size_t len, size;
	const char *in = handoff_conn_input(conn, &len);
	const char *newline = memchr(in, '\n', len);
	int64_t ms;

	if (handoff_conn_reason(conn) == HANDOFF_CONN_DEADLINE) {
		if (handoff__boot_ms() < moment->at_ms)
			atomic_fetch_add(&early, 1);
		handoff_conn_write(
			conn, host->opts.name, strlen(host->opts.name));
		handoff_conn_write(conn, " late\n", 6);
		return 0;
	}
	if (!newline)
		return 0;
	size = (size_t)(newline - in) + 1;
	if (memcmp(in, "in ", 3) == 0) {
		ms = atoi(in + 3);
		moment->at_ms = handoff__boot_ms() + (uint64_t)ms;
		assert_int_equal(handoff_conn_deadline(conn, ms), 0);
	} else if (memcmp(in, "off", 3) == 0) {
		handoff_conn_deadline(conn, 0);
	} else if (memcmp(in, "hold", 4) == 0) {
		atomic_fetch_add(&host->holding, 1);
		while (atomic_load(&host->hold))
			usleep(1000);
		atomic_fetch_sub(&host->holding, 1);
	}
	handoff_conn_write(conn, in, size);
	return handoff_conn_consume(conn, size);
}

static void
duo_timed(struct duo *duo, enum handoff_model model)
{
	duo_init(duo, model);
	duo->a.service.handle = duo->b.service.handle = handle_moment;
	duo->a.service.state_size = duo->b.service.state_size =
		sizeof(struct moment);
	duo->a.opts.name = "a";
	duo->b.opts.name = "b";
	atomic_store(&early, 0);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
client_asks(struct duo *duo, int fd, const char *line)
{
	client_send(fd, line);
	client_expect(duo, fd, line);
}

static void
end_timed(struct duo *duo, const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		close(fds[i]);
	duo_close(duo);
}

/* Idle ones, each in its time; those that are cleared, or set anew before, have
 * none. */
static void
deadlines_come_in_order(void **state)
{
	struct duo duo;
	int fds[5];

	duo_timed(&duo, duo_model(state));
	for (int i = 0; i < 5; i++)
		fds[i] = client_open(duo.a.address);
	client_asks(&duo, fds[0], "in 60\n");
	client_asks(&duo, fds[1], "in 30\n");
	client_asks(&duo, fds[2], "in 5000\n");
	client_asks(&duo, fds[2], "off\n");
	client_asks(&duo, fds[3], "in 5000\n");
	client_asks(&duo, fds[3], "in 100000\n");
	client_asks(&duo, fds[4], "in 1\n");
	client_expect(&duo, fds[4], "a late\n");
	client_expect(&duo, fds[1], "a late\n");
	client_expect(&duo, fds[0], "a late\n");
	client_asks(&duo, fds[2], "nothing before\n");
	client_asks(&duo, fds[3], "nothing before\n");
	/* again, on a connection that has had one */
	client_asks(&duo, fds[0], "in 1\n");
	client_expect(&duo, fds[0], "a late\n");
	assert_int_equal(atomic_load(&early), 0);
	end_timed(&duo, fds, 5);
}

/* A client that never stops sending does not keep it from running. */
static void
busy_client_has_a_deadline_too(void **state)
{
	char line[64] = "";
	struct duo duo;
	int fd;

	duo_timed(&duo, duo_model(state));
	fd = client_open(duo.a.address);
	client_asks(&duo, fd, "in 30\n");
	for (int i = 0; !strstr(line, "late"); i++) {
		ssize_t n;

		assert_in_range(i, 0, 100000);
		send(fd, "x\n", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
		duo_turn(&duo);
		n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
		line[n > 0 ? n : 0] = '\0';
	}
	end_timed(&duo, &fd, 1);
}

/* The deadline of that connection has passed, and nobody has looked yet. */
static void
pass_unseen(struct host *host, uint64_t id)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t number;

	while ((e = handoff__roster_next(&host->server->pair.roster, e))) {
		if (e->id != id)
			continue;
		number = handoff__record_commit(e->view.rec)->deadline;
		assert_in_range(number, 1, 2);
		atomic_store(&e->view.rec->extra.deadline_ms[number - 1], 1);
		return;
	}
	fail_msg("there is no such connection");
}

/* Set here, passes there, whichever peer has it by then. */
static void
deadline_moves_with_its_connection(void **state)
{
	struct duo duo;
	int fds[3];

	duo_timed(&duo, duo_model(state));
	for (int i = 0; i < 3; i++)
		fds[i] = client_open(duo.a.address);
	client_asks(&duo, fds[0], "in 200000\n");
	client_asks(&duo, fds[1], "in 100000\n");
	client_asks(&duo, fds[2], "in 100000\n");
	while (duo.a.server->pair.roster.uncovered > 0)
		duo_turn(&duo);
	pass_unseen(&duo.a, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_expect(&duo, fds[0], "b late\n");
	client_asks(&duo, fds[1], "in 1\n");
	client_expect(&duo, fds[1], "b late\n");
	/* and back: the first peer still watches an old time */
	client_asks(&duo, fds[2], "in 200000\n");
	pass_unseen(&duo.b, 3);
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	client_expect(&duo, fds[2], "a late\n");
	client_asks(&duo, fds[1], "in 1\n");
	client_expect(&duo, fds[1], "a late\n");
	end_timed(&duo, fds, 3);
}

/* One that passes while its handler runs: right after that. */
static void
deadline_passes_in_the_handler(void **state)
{
	struct duo duo;
	uint64_t set;
	int fd;

	duo_timed(&duo, duo_model(state));
	atomic_store(&duo.a.hold, true);
	fd = client_open(duo.a.address);
	client_asks(&duo, fd, "in 500\n");
	set = handoff__boot_ms();
	client_send(fd, "hold\n");
	for (int i = 0; atomic_load(&duo.a.holding) == 0; i++) {
		assert_in_range(i, 0, 1000);
		duo_turn(&duo);
	}
	while (handoff__boot_ms() < set + 510)
		duo_turn(&duo);
	atomic_store(&duo.a.hold, false);
	client_expect(&duo, fd, "hold\na late\n");
	assert_int_equal(atomic_load(&early), 0);
	end_timed(&duo, &fd, 1);
}

int
main(void)
{
	const struct CMUnitTest heap[] = {
		handoff_test(heap_has_the_earliest_first),
		handoff_test(deadline_set_anew_is_noticed_late),
	};
	const struct CMUnitTest turns[] = {
		handoff_test(handler_runs_once_at_the_deadline),
		handoff_test(deadline_is_set_anew_and_cleared),
		handoff_test(handler_sets_the_next_one),
		handoff_test(failed_transaction_sets_nothing),
		handoff_test(handler_closes_at_the_deadline),
		handoff_test(blocked_output_does_not_hold_it_up),
		handoff_test(half_closed_client_has_a_deadline_too),
	};
	const struct CMUnitTest servers[] = {
		each_model(deadlines_come_in_order),
		each_model(busy_client_has_a_deadline_too),
		each_model(deadline_moves_with_its_connection),
		thread_and_workers(deadline_passes_in_the_handler),
	};

	return cmocka_run_group_tests_name("heap", heap, NULL, NULL) +
	       cmocka_run_group_tests_name("turns", turns, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "turns on a desk", turns, on_a_desk, NULL) +
	       cmocka_run_group_tests_name("servers", servers, NULL, NULL);
}
