/* SPDX-License-Identifier: MIT */
/*
 * A session that moves from one record to another: the old record or the new
 * one has it, never both or none, whichever instruction the process dies after:
 * a child is single-stepped and killed after the n-th one. HANDOFF_LONG=1 takes
 * every n.
 */
#include "support/support.h"

#include "base/loop.h"
#include "record/group.h"
#include "record/handling.h"
#include "server/merge.h"
#include "session/state.h"
#include "support/steps.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE       4096u
#define STATE      16384u
#define DEAD       1u /* the place of the owner */
#define STEPS_MOST 40000u
#define KEPT       "what the client has not got"
#define INNER      "inner state"

/* The last instructions, among which the commit is. */
#ifdef __SANITIZE_ADDRESS__
#define LAST 10u /* not so here, and each takes a second */
#else
#define LAST 70u
#endif

struct scene {
	struct handoff__arena arena;
	struct handoff__roster_entry from, to;
	struct handoff__session_wish wish;
};

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

static void
enter(struct scene *s, struct handoff__roster_entry *e, uint64_t id)
{
	uint32_t segment, slot;

	assert_int_equal(handoff__arena_alloc(&s->arena, DEAD, always, NULL,
				 &segment, &slot),
		0);
	*e = (struct handoff__roster_entry){.segment = segment,
		.slot = slot,
		.id = id,
		.kind = HANDOFF__CONNECTION,
		.fd = -1};
	handoff__view_make(&e->view, s->arena.segments[segment], slot);
	e->view.rec->kind = HANDOFF__CONNECTION;
	handoff__record_set_id(e->view.rec, id);
	handoff__posts_enter(&s->arena, id, segment, slot);
}

static struct handoff__session_head *
begin(struct handoff_conn *txn, const struct handoff__roster_entry *e)
{
	struct handoff__session_head *head;

	handoff__txn_begin(txn, &e->view);
	head = handoff__session_begin(txn);
	assert_non_null(head);
	memset(head->token, 7, sizeof(head->token));
	head->number = 5;
	return head;
}

/* It has output that was not acknowledged, a state, a deadline, a tag. */
static void
make_session(struct scene *s, const struct handoff__frame *asked)
{
	struct handoff__flow_limits limits = {
		.keep = 2048, .take = 1024, .memory = 1024};
	struct iovec kept = {.iov_base = KEPT, .iov_len = strlen(KEPT)};
	unsigned char header[HANDOFF__FRAME_HEADER];
	struct handoff__session_head *head;
	struct handoff__frame welcome;
	struct handoff_conn txn;

	head = begin(&txn, &s->from);
	head->mode = HANDOFF__SESSION_ON;
	handoff__flow_serve(&head->flow, &limits, asked);
	handoff__flow_welcome(&head->flow, false, &welcome);
	assert_int_equal(handoff__session_give_state(&txn, sizeof(INNER)), 0);
	head = txn.state;
	memcpy((char *)txn.state + handoff__session_inner_at(head), INNER,
		sizeof(INNER));
	assert_int_equal(handoff__session_keep(&txn, &kept, 1), 0);
	head = txn.state;
	handoff__flow_data(&head->flow, (uint32_t)strlen(KEPT), header);
	assert_int_equal(handoff_conn_deadline(&txn, 1000000), 0);
	handoff_conn_set_tag(&txn, 77);
	assert_int_equal(handoff_conn_label(&txn, "the student"), 0);
	handoff__commit_wrap(txn.next, 12345);
	txn.next->flags = HANDOFF__OPENED | HANDOFF__SESSION | HANDOFF__GONE;
	txn.next->line_pos = 0;
	atomic_store(&txn.view.rec->extra.session, 5);
	handoff__txn_commit(&txn);
}

static void
make_wish(struct scene *s, const struct handoff__frame *asked)
{
	struct handoff__session_head *head;
	struct handoff_conn txn;
	struct handoff__frame wish;
	struct handoff__flow flow;
	struct handoff__frame welcome = {.type = HANDOFF__FRAME_WELCOME,
		.to_server = asked->to_server,
		.to_client = asked->to_client};
	struct handoff__flow_limits limits = {
		.keep = 2048, .take = 2048, .memory = 4096};

	assert_int_equal(handoff__flow_begin(&flow, &limits, &welcome), 0);
	handoff__flow_wish(&flow, &wish);
	head = begin(&txn, &s->to);
	head->mode = HANDOFF__SESSION_WISH;
	head->wish_received = wish.received;
	head->wish_sent = wish.sent;
	head->wish_ack = wish.ack;
	txn.next->flags = HANDOFF__OPENED | HANDOFF__RESUMING;
	handoff__txn_commit(&txn);
}

/* `folded`: nothing has happened on the session for long. */
static void
open_scene(struct scene *s, bool folded)
{
	struct handoff__geometry geo;
	struct handoff__frame asked = {.type = HANDOFF__FRAME_NEW,
		.to_server = 1024,
		.to_client = 1024};

	memset(s, 0, sizeof(*s));
	handoff__arena_init(&s->arena);
	assert_int_equal(handoff__geometry_make(&geo, STATE, SIZE, SIZE), 0);
	assert_int_equal(handoff__geometry_extend(&geo, 0, 65536, 0), 0);
	handoff__geometry_fold(&geo);
	assert_int_equal(handoff__arena_grow(&s->arena, &geo), 0);
	enter(s, &s->from, 5);
	enter(s, &s->to, 9);
	make_session(s, &asked);
	if (folded)
		handoff__state_trim(&s->from.view);
	assert_int_equal(
		handoff__record_commit(s->from.view.rec)->folded, folded);
	make_wish(s, &asked);
	assert_true(handoff__session_wish(&s->to.view, &s->wish));
	assert_int_equal(handoff__session_check(&s->from.view, &s->wish), 0);
}

static void
close_scene(struct scene *s)
{
	handoff__arena_fini(&s->arena);
}

static const struct handoff__session_head *
head_of(const struct handoff__roster_entry *e)
{
	const struct handoff__view *view = &e->view;

	return handoff__session_head(handoff__record_valid_state(view),
		handoff__record_commit(view->rec)->state_len, NULL);
}

/* The whole session is in this record. */
static void
has_session(const struct handoff__roster_entry *e)
{
	const struct handoff__record *rec = e->view.rec;
	const struct handoff__session_head *head = head_of(e);
	char label[HANDOFF__LABEL_MAX];

	assert_int_equal(handoff__record_session(rec), 5);
	assert_non_null(head);
	assert_int_equal(head->mode, HANDOFF__SESSION_ON);
	assert_int_equal(head->number, 5);
	assert_int_equal(head->kept_len, strlen(KEPT));
	assert_memory_equal(head + 1, KEPT, strlen(KEPT));
	assert_int_equal(head->inner_len, sizeof(INNER));
	assert_string_equal(
		(const char *)head + handoff__session_inner_at(head), INNER);
	assert_true(handoff__record_deadline(rec) > handoff__boot_ms());
	assert_int_equal(atomic_load(&rec->extra.tag), 77);
	handoff__record_label(rec, label);
	assert_string_equal(label, "the student");
	assert_int_equal(handoff__commit_wrapped(&e->view.seg->geo,
				 handoff__record_commit(rec)),
		12346);
}

/* The client gets WELCOME and what it has not got. */
static void
has_answer(const struct handoff__roster_entry *e)
{
	struct handoff__frame frame;
	struct iovec iov[2];
	int rc;

	assert_int_equal(handoff__record_tx_pieces(&e->view, iov), 1);
	rc = handoff__frame_decode(
		&frame, iov[0].iov_base, iov[0].iov_len, NULL);
	assert_true(rc > 0);
	assert_int_equal(frame.type, HANDOFF__FRAME_WELCOME);
	assert_true(frame.resumed);
	assert_int_equal(iov[0].iov_len,
		(size_t)rc + HANDOFF__FRAME_HEADER + strlen(KEPT));
	assert_memory_equal(
		(char *)iov[0].iov_base + rc + HANDOFF__FRAME_HEADER, KEPT,
		strlen(KEPT));
}

static bool
has_moved(const struct scene *s)
{
	return handoff__record_session(s->to.view.rec) != 0;
}

/* As the survivor finds it. True if it has moved. */
static bool
is_whole(const struct scene *s)
{
	uint32_t from = handoff__record_commit(s->from.view.rec)->flags;
	uint32_t to = handoff__record_commit(s->to.view.rec)->flags;

	assert_true(handoff__record_ok(&s->from.view));
	assert_true(handoff__record_ok(&s->to.view));
	if (!has_moved(s)) {
		has_session(&s->from);
		assert_int_equal(from,
			HANDOFF__OPENED | HANDOFF__SESSION | HANDOFF__GONE);
		assert_int_equal(to, HANDOFF__OPENED | HANDOFF__RESUMING);
		assert_int_equal(head_of(&s->to)->mode, HANDOFF__SESSION_WISH);
		assert_int_equal(handoff__record_unsent(s->to.view.rec), 0);
		return false;
	}
	has_session(&s->to);
	has_answer(&s->to);
	assert_true(to & HANDOFF__SESSION);
	assert_false(to & (HANDOFF__RESUMING | HANDOFF__GONE));
	assert_int_equal(handoff__record_session(s->from.view.rec), 0);
	assert_true(from & HANDOFF__CLOSING);
	assert_true(from & HANDOFF__OVER);
	assert_true(from & HANDOFF__ENDED);
	/* both get a turn of the survivor */
	assert_int_equal(
		handoff__record_activity(s->from.view.rec), HANDOFF__PENDING);
	assert_int_equal(
		handoff__record_activity(s->to.view.rec), HANDOFF__PENDING);
	return true;
}

static int
merge(struct scene *s)
{
	return handoff__merge(&s->arena, DEAD, &s->to, &s->from, &s->wish);
}

static void
moves_as_a_whole(void **state)
{
	struct scene s;

	(void)state;
	for (int folded = 0; folded < 2; folded++) {
		open_scene(&s, folded);
		assert_false(is_whole(&s));
		assert_int_equal(merge(&s), 0);
		assert_true(is_whole(&s));
		close_scene(&s);
	}
}

static void
what_does_not_fit_changes_nothing(void **state)
{
	struct handoff__group groups[HANDOFF__GROUP_LISTS];
	char full[SIZE] = "";
	struct handoff_conn txn;
	struct scene s;

	(void)state;
	open_scene(&s, false);
	handoff__txn_begin(&txn, &s.to.view);
	assert_int_equal(handoff_conn_write(&txn, full, SIZE - 20), SIZE - 20);
	handoff__txn_commit(&txn);
	assert_int_equal(merge(&s), -ENOBUFS);
	handoff__record_sent(&s.to.view, SIZE - 20);
	assert_false(is_whole(&s));
	for (uint32_t i = 0; i < HANDOFF__GROUP_LISTS; i++)
		assert_true(handoff__group_begin(
			&groups[i], handoff__arena_commons(&s.arena), DEAD));
	assert_int_equal(merge(&s), -EAGAIN);
	assert_false(is_whole(&s));
	handoff__group_drop(&groups[3]);
	assert_int_equal(merge(&s), 0);
	assert_true(is_whole(&s));
	close_scene(&s);
}

static void
deaths_of_its_handler_go_with_it(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, false);
	handoff__handling_set(s.from.view.rec, 1);
	assert_int_equal(merge(&s), 0);
	assert_int_equal(handoff__handler_deaths(s.to.view.rec), 1);
	close_scene(&s);
}

static void __attribute__((noreturn)) child_main(struct scene *s)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	_exit(merge(s) == 0 ? 0 : 1);
}

/* A merge in a child that is killed after so many instructions. Returns how
 * many it had: fewer, if it left before. */
static unsigned
die_after(struct scene *s, unsigned most)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		child_main(s);
	return steps_die(pid, most);
}

static unsigned
instructions(bool folded)
{
	struct scene s;
	unsigned count;

	open_scene(&s, folded);
	count = die_after(&s, STEPS_MOST);
	assert_in_range(count, LAST, STEPS_MOST - 1);
	close_scene(&s);
	return count;
}

/* In strides up to the last ones, and never past their begin. */
static unsigned
next_death(unsigned n, unsigned all, unsigned stride)
{
	if (n >= all - LAST)
		return n + 1;
	return n + stride < all - LAST ? n + stride : all - LAST;
}

static void
die_everywhere(bool folded)
{
	unsigned stride, all, before = 0, after = 0;
	bool moved = false;

	all = instructions(folded);
	/* some hundred, however many a sanitizer makes of it */
	stride = getenv("HANDOFF_LONG") ? 1 : 47 + all / 60;
	for (unsigned n = 0; n <= all; n = next_death(n, all, stride)) {
		struct handoff__group_found found;
		struct scene s;

		open_scene(&s, folded);
		die_after(&s, n);
		handoff__group_finish(&s.arena, DEAD, &found);
		assert_int_equal(found.damaged, 0);
		/* once it has moved it is never back */
		assert_true(is_whole(&s) || !moved);
		moved = has_moved(&s);
		before += !moved;
		after += moved;
		/* and the survivor can do it, or it is done */
		if (!moved) {
			assert_int_equal(merge(&s), 0);
			assert_true(is_whole(&s));
		}
		close_scene(&s);
	}
	assert_true(moved);
	assert_true(before > 1);
	assert_true(after > 1);
	print_message("%u deaths before the commit, %u after\n", before, after);
}

static void
death_at_any_instruction_leaves_it_in_one_record(void **state)
{
	(void)state;
	support_not_in_valgrind();
	die_everywhere(false);
	die_everywhere(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(moves_as_a_whole),
		handoff_test(what_does_not_fit_changes_nothing),
		handoff_test(deaths_of_its_handler_go_with_it),
		handoff_test(death_at_any_instruction_leaves_it_in_one_record),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
