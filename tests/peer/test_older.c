/* SPDX-License-Identifier: MIT */
/*
 * Records of layout 5, built here byte by byte according to
 * handoff_protocol(7), are read, taken over and converted; a death at any
 * instruction of the conversion loses none. A whole upgrade from an older
 * process is in tests/fault/layouts.py.
 */
#include "peer/fixture.h"

#include "peer/convert.h"
#include "peer/survive.h"
#include "peer/take.h"
#include "record/desk.h"
#include "record/older.h"
#include "record/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What follows is of the page, not of the library. */
#define PAGE     ((size_t)4096)
#define RECORDS  ((size_t)73728)
#define HEAD     ((size_t)160)
#define COMMITS  ((size_t)64)
#define COMMIT   ((size_t)48)
#define STATE    ((size_t)32)
#define STRIDE   ((size_t)256) /* 160 + 2 * 32, in steps of 64 */
#define SLOTS    ((size_t)4)
#define BUFFER   PAGE
#define EACH     (3 * BUFFER)
#define BUFFERS  (RECORDS + PAGE)
#define DESKS    (BUFFERS + SLOTS * EACH)
#define ALL_SIZE (DESKS + 128 * EACH)
#define OWN      1u
#define OTHER    2u
#define OFFERED  4u
#define SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#define ID       7u
#define OTHER_ID (UINT64_C(1) << 63)

struct fixture {
	struct side a;
	unsigned char *base;
	int fd[2]; /* a connection, the client's end second */
};

static void
put32(unsigned char *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void
put64(unsigned char *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint64_t
get64(const unsigned char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* An arena of one segment, owned by the other peer. */
static int
make_segment(uint32_t layout, off_t size)
{
	unsigned char head[128] = "HANDSEG1";
	int fd = memfd_create("layout5", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	put32(head + 8, layout);
	put32(head + 12, (uint32_t)SLOTS);
	put32(head + 16, (uint32_t)STATE);
	put32(head + 20, (uint32_t)BUFFER);
	put32(head + 24, (uint32_t)BUFFER);
	put32(head + 28, 1);
	put64(head + 32, ID + 1);
	put64(head + 40, 1);
	put64(head + 48, 3);
	put32(head + 60, OTHER);
	put64(head + 120, 0x1234);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	return fd;
}

/* Byte `at` of the stream of input, of output, of a state. */
static unsigned char
in_byte(uint64_t at)
{
	return (unsigned char)(at * 7 + 1);
}

static unsigned char
out_byte(uint64_t at)
{
	return (unsigned char)(at * 5 + 2);
}

static unsigned char
state_byte(unsigned at)
{
	return (unsigned char)(at * 3 + 3);
}

/* A connection of which 90 bytes of input are not handled, and 60 of output,
 * around the end of the ring, are not sent; its bytes lie in `buffers`. The
 * commit and state that are not valid are full of nonsense. */
static void
make_connection(unsigned char *rec, unsigned char *buffers, uint32_t sequence)
{
	unsigned char *commit = rec + COMMITS + (sequence & 1) * COMMIT;
	unsigned char *state = rec + HEAD + (sequence & 1) * STATE;

	memset(rec + 4, 0, HEAD - 4);
	memset(rec + COMMITS, 0xee, STRIDE - COMMITS);
	put32(rec + 4, HANDOFF__CONNECTION);
	put64(rec + 8, ID);
	put64(rec + 16, 1090); /* rx_head */
	put64(rec + 24, 5000); /* tx_tail */
	put32(rec + 32, HANDOFF__PENDING);
	put32(rec + 36, sequence);
	put64(rec + 40, 11);
	put64(rec + 48, 12);
	rec[56] = 1;
	put64(commit, 1000);
	put64(commit + 8, 5060);
	put64(commit + 16, 990);
	put64(commit + 24, 930);
	put32(commit + 32, HANDOFF__OPENED);
	put32(commit + 36, sequence);
	put64(commit + 40, 77);
	for (unsigned i = 0; i < STATE; i++)
		state[i] = state_byte(i);
	memset(buffers, 0xdd, EACH);
	for (uint64_t at = 1000; at < 1090; at++)
		buffers[at - 990] = in_byte(at);
	for (uint64_t at = 5000; at < 5060; at++)
		buffers[2 * BUFFER + (at - 930) % BUFFER] = out_byte(at);
}

static void
make_listener(unsigned char *rec, unsigned char *buffers)
{
	memset(rec + 4, 0, STRIDE - 4);
	put32(rec + 4, HANDOFF__LISTENER);
	put64(rec + 8, OTHER_ID);
	put64(rec + 16, sizeof("127.0.0.1:99"));
	rec[56] = 1;
	memcpy(buffers, "127.0.0.1:99", sizeof("127.0.0.1:99"));
}

static unsigned char *
record_at(const struct fixture *f, uint32_t slot)
{
	return f->base + RECORDS + slot * STRIDE;
}

static unsigned char *
buffers_at(const struct fixture *f, uint32_t slot)
{
	return f->base + BUFFERS + slot * EACH;
}

static void
set_owner(const struct fixture *f, uint32_t slot, uint32_t owner)
{
	put32(record_at(f, slot), owner);
}

/* A standby of an older peer that has a listener and a connection. Its link is
 * not there; what comes over it the test calls. */
static void
open_fixture(struct fixture *f, uint32_t sequence)
{
	struct handoff__arena *arena;

	side_init(&f->a, support_dir(), "one");
	assert_int_equal(side_open(&f->a, NULL), 0);
	arena = &f->a.pair.arena;
	assert_int_equal(handoff__arena_add(arena, 0, make_segment(5, ALL_SIZE),
				 STATE, &f->a.pair.error),
		0);
	f->base = arena->segments[0]->base;
	make_listener(record_at(f, 0), buffers_at(f, 0));
	make_connection(record_at(f, 1), buffers_at(f, 1), sequence);
	set_owner(f, 0, OTHER);
	set_owner(f, 1, OTHER);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0, f->fd),
		0);
	handoff__roster_enter(&f->a.pair.roster,
		handoff__roster_at(&f->a.pair.roster, 0, 0), 0, 0,
		fcntl(f->fd[0], F_DUPFD_CLOEXEC, 0), false);
	handoff__roster_enter(&f->a.pair.roster,
		handoff__roster_at(&f->a.pair.roster, 0, 1), 0, 1,
		fcntl(f->fd[0], F_DUPFD_CLOEXEC, 0), false);
	assert_int_equal(f->a.pair.roster.held, 2);
}

static void
close_fixture(struct fixture *f)
{
	close(f->fd[0]);
	close(f->fd[1]);
	side_close(&f->a);
}

static struct handoff__roster_entry *
entry(struct fixture *f, uint64_t id)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&f->a.pair.roster, e))) {
		if (e->id == id)
			return e;
	}
	fail_msg("there is no such entry");
	return NULL;
}

/* All that the older record said. `in_turn`: it was, at its death. */
static void
assert_connection(const struct handoff__view *view)
{
	const struct handoff__record *rec = view->rec;
	const struct handoff__commit *c = handoff__record_commit(rec);
	const unsigned char *state =
		handoff__record_state(view, handoff__record_sequence(rec) & 1);
	struct iovec iov[2];
	uint64_t at = 5000;

	assert_false(handoff__older(view->seg));
	assert_true(handoff__record_ok(view));
	assert_int_equal(rec->kind, HANDOFF__CONNECTION);
	assert_int_equal(rec->id, ID);
	assert_int_equal(rec->rx_base, 11);
	assert_int_equal(rec->tx_base, 12);
	assert_int_equal(rec->activity, HANDOFF__PENDING);
	assert_int_equal(c->flags, HANDOFF__OPENED);
	assert_int_equal(c->line_pos, 0);
	assert_int_equal(c->state_len, STATE);
	assert_int_equal(handoff__desk_of(rec), 0);
	assert_int_equal(c->rx_tail, 1000);
	assert_int_equal(handoff__rx_head(rec), 1090);
	assert_int_equal(handoff__record_unread(rec), 90);
	for (unsigned i = 0; i < 90; i++)
		assert_int_equal(view->rx[c->rx_tail - c->rx_origin + i],
			in_byte(1000 + i));
	assert_int_equal(handoff__tx_tail(rec), 5000);
	assert_int_equal(handoff__record_unsent(rec), 60);
	for (int i = 0, n = handoff__record_tx_pieces(view, iov); i < n; i++) {
		const unsigned char *piece = iov[i].iov_base;

		for (size_t b = 0; b < iov[i].iov_len; b++)
			assert_int_equal(piece[b], out_byte(at++));
	}
	assert_int_equal(at, 5060);
	for (unsigned i = 0; i < STATE; i++)
		assert_int_equal(state[i], state_byte(i));
}

/* Nothing is left of it, and the older program may have it again. */
static void
assert_freed(const struct fixture *f, uint32_t slot)
{
	for (uint32_t i = 0; i < STRIDE; i++)
		assert_int_equal(record_at(f, slot)[i], 0);
	for (uint32_t i = 0; i < EACH; i++)
		assert_int_equal(buffers_at(f, slot)[i], 0);
}

static void
segment_is_checked_by_its_own_layout(void **state)
{
	struct handoff__arena arena;
	struct handoff__error error;

	(void)state;
	handoff__arena_init(&arena);
	assert_int_equal(
		handoff__arena_add(&arena, 0, make_segment(5, ALL_SIZE + PAGE),
			STATE, &error),
		-EBADMSG);
	assert_int_equal(handoff__arena_add(&arena, 0,
				 make_segment(4, ALL_SIZE), STATE, &error),
		-EBADMSG);
	assert_int_equal(handoff__arena_add(&arena, 0,
				 make_segment(5, ALL_SIZE), STATE, &error),
		0);
	assert_int_equal(arena.segments[0]->geo.stride, STRIDE);
	assert_int_equal(arena.segments[0]->geo.desks, DESKS);
	assert_true(handoff__older(arena.segments[0]));
	handoff__arena_fini(&arena);
}

/* None of its records is used for an entry of ours, though they are free. */
static void
nothing_is_made_in_an_older_segment(void **state)
{
	struct fixture f;
	uint32_t segment, slot;

	(void)state;
	open_fixture(&f, 4);
	assert_int_equal(handoff__core_alloc(&f.a.pair, &segment, &slot), 0);
	assert_int_equal(segment, 1);
	assert_int_equal(
		f.a.pair.arena.segments[1]->geo.layout, HANDOFF__LAYOUT);
	close_fixture(&f);
}

static void
copy_of_an_older_record_is_whole(void **state)
{
	struct handoff__snapshot snap;
	unsigned char copy[STATE], bytes[2 * BUFFER];
	struct fixture f;

	for (uint32_t sequence = 4; sequence < 6; sequence++) {
		open_fixture(&f, sequence);
		assert_true(handoff__snapshot_take(
			&snap, &entry(&f, ID)->view, copy, bytes, BUFFER));
		assert_false(snap.unstable);
		assert_int_equal(snap.owner, OTHER);
		assert_int_equal(snap.state_len, STATE);
		assert_int_equal(snap.line_pos, 77);
		assert_int_equal(snap.in, 90);
		assert_int_equal(snap.out, 60);
		for (unsigned i = 0; i < STATE; i++)
			assert_int_equal(copy[i], state_byte(i));
		close_fixture(&f);
	}
	(void)state;
}

static void
offer_all(struct fixture *f)
{
	set_owner(f, 0, OWN | OFFERED);
	set_owner(f, 1, OWN | OFFERED);
}

static void
take_all(struct fixture *f)
{
	struct handoff__moved moved = {.connections = 0};

	handoff__take_all(&f->a.pair, HANDOFF__MAINTENANCE, 3, &moved);
	assert_int_equal(moved.connections, 1);
	assert_int_equal(moved.listeners, 1);
	assert_int_equal(moved.load.unread, 90);
	assert_int_equal(moved.load.unsent, 60);
}

/* Posts find the new record; of a connection that is still with the older peer
 * nobody can say that it does not exist. */
static void
assert_known_to_posts(struct fixture *f)
{
	const struct handoff__arena *arena = &f->a.pair.arena;
	uint32_t segment, slot;

	assert_true(handoff__posts_where(
		atomic_load(&arena->posts.ring), ID, &segment, &slot));
	assert_ptr_equal(handoff__arena_record(arena, segment, slot),
		entry(f, ID)->view.rec);
	atomic_store(&handoff__arena_board(arena)->next_id, ID + 10);
	assert_int_equal(handoff__posts_exists(&arena->posts, ID + 1), 0);
	assert_int_equal(
		handoff__posts_exists(&arena->posts, ID + 10), -ENOENT);
}

static void
what_is_given_is_converted(void **state)
{
	char name[HANDOFF_ADDRESS_MAX];
	struct fixture f;

	(void)state;
	for (uint32_t sequence = 4; sequence < 6; sequence++) {
		open_fixture(&f, sequence);
		offer_all(&f);
		take_all(&f);
		assert_connection(&entry(&f, ID)->view);
		assert_known_to_posts(&f);
		assert_true(entry(&f, ID)->mine);
		assert_true(pair_same_file(entry(&f, ID)->fd, f.fd[0]));
		assert_int_equal(
			handoff__record_name(&entry(&f, OTHER_ID)->view, name),
			0);
		assert_string_equal(name, "127.0.0.1:99");
		assert_int_equal(
			handoff__record_commit(entry(&f, OTHER_ID)->view.rec)
				->state_len,
			0);
		assert_freed(&f, 0);
		assert_freed(&f, 1);
		assert_int_equal(f.a.pair.roster.owned, 2);
		assert_int_equal(f.a.pair.roster.held, 0);
		close_fixture(&f);
	}
}

/* What the older library's operator has said, and the client not got, comes
 * with the connection. */
static void
unread_lines_are_taken_along(void **state)
{
	struct handoff__bulletin *b;
	struct fixture f;
	struct iovec iov[2];
	const struct handoff__view *view;
	uint64_t at = 77;
	int n;

	(void)state;
	open_fixture(&f, 4);
	b = (void *)(f.base + PAGE);
	for (int i = 0; i < 3; i++, at += 32) {
		put64(b->ring + at, i == 1 ? ID + 1 : 0);
		put32(b->ring + at + 16, 5);
		put32(b->ring + at + 20, 32);
		memcpy(b->ring + at + 24, i == 0 ? "one!\n" : "two!\n", 5);
	}
	b->head = at;
	offer_all(&f);
	take_all(&f);
	view = &entry(&f, ID)->view;
	assert_int_equal(handoff__record_unsent(view->rec), 70);
	n = handoff__record_tx_pieces(view, iov);
	assert_true(iov[n - 1].iov_len >= 10);
	assert_memory_equal(
		(char *)iov[n - 1].iov_base + iov[n - 1].iov_len - 10,
		"one!\ntwo!\n", 10);
	close_fixture(&f);
}

static int
to_the_half(uint32_t version, const void *old, size_t old_size, void *new,
	void *arg)
{
	(void)arg;
	assert_int_equal(version, 1);
	assert_int_equal(old_size, STATE);
	memcpy(new, old, STATE / 2);
	return 0;
}

/* The state is of an older version too. */
static void
state_changes_with_the_layout(void **state)
{
	const unsigned char *new;
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	f.a.service.state_version = f.a.pair.arena.version =
		f.a.pair.geo.state_version = 2;
	f.a.service.convert = to_the_half;
	offer_all(&f);
	take_all(&f);
	new = handoff__record_state(&entry(&f, ID)->view, 0);
	for (unsigned i = 0; i < STATE; i++)
		assert_int_equal(new[i], i < STATE / 2 ? state_byte(i) : 0);
	close_fixture(&f);
}

static size_t
sixteen(const void *old, size_t size)
{
	assert_int_equal(size, STATE);
	assert_int_equal(*(const unsigned char *)old, state_byte(0));
	return 16;
}

/* A program with a loop of its own knows how long its states are. */
static void
state_is_copied_as_far_as_it_is_used(void **state)
{
	const unsigned char *new;
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	f.a.pair.config.state_used = sixteen;
	offer_all(&f);
	take_all(&f);
	assert_int_equal(
		handoff__record_commit(entry(&f, ID)->view.rec)->state_len, 16);
	new = handoff__record_state(&entry(&f, ID)->view, 0);
	for (unsigned i = 0; i < STATE; i++)
		assert_int_equal(new[i], i < 16 ? state_byte(i) : 0);
	close_fixture(&f);
}

/* Dead in a turn, its bytes on a desk of its own. Without counters of the
 * kernel (this is no TCP) the record's hints are all there is. */
static void
what_lay_on_the_desk_of_the_dead_goes_along(void **state)
{
	uint32_t desk = handoff__desk_number(OTHER, 3);
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	make_connection(
		record_at(&f, 1), f.base + DESKS + (desk - 1) * EACH, 5);
	memset(buffers_at(&f, 1), 0, EACH);
	put32(record_at(&f, 1) + 32, HANDOFF__IN_TURN);
	put32(record_at(&f, 1) + 60, 0x500 | desk);
	handoff__survive(&f.a.pair);
	assert_int_equal(f.a.pair.survival.entries, 2);
	assert_int_equal(f.a.pair.survival.closed, 0);
	assert_connection(&entry(&f, ID)->view);
	assert_freed(&f, 1);
	for (uint32_t i = 0; i < EACH; i++)
		assert_int_equal(f.base[DESKS + (desk - 1) * EACH + i], 0);
	close_fixture(&f);
}

/* One that makes no sense ends alone. */
static void
damaged_record_of_the_dead_ends_alone(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 5);
	put64(record_at(&f, 1) + COMMITS + COMMIT, UINT64_MAX / 2);
	handoff__survive(&f.a.pair);
	assert_int_equal(f.a.pair.survival.entries, 2);
	assert_int_equal(f.a.pair.survival.closed, 1);
	assert_int_equal(f.a.discarded, 1);
	assert_freed(&f, 1);
	assert_int_equal(f.a.pair.roster.owned, 1);
	assert_true(entry(&f, OTHER_ID)->mine);
	close_fixture(&f);
}

static void __attribute__((noreturn)) child_main(struct fixture *f)
{
	struct handoff__moved moved = {.connections = 0};

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	handoff__take_all(&f->a.pair, HANDOFF__MAINTENANCE, 3, &moved);
	_exit(moved.connections == 1 ? 0 : 1);
}

/* What a death at this moment would leave of the connection: the older record
 * as it was, for the older peer to take back; or, once its id is gone, one of
 * ours that is complete. True if it is the latter. */
static bool
assert_one_is_whole(const struct fixture *f, const unsigned char *as_it_was)
{
	const unsigned char *rec = record_at(f, 1);
	struct handoff__view view;

	if (get64(rec + 8) == ID) {
		assert_true(rec[0] == (OWN | OFFERED) || rec[0] == OWN);
		assert_memory_equal(rec + 4, as_it_was + 4, STRIDE - 4);
		assert_memory_equal(buffers_at(f, 1), as_it_was + STRIDE, EACH);
		return false;
	}
	assert_int_equal(get64(rec + 8), 0);
	for (uint32_t slot = 0; slot < 2; slot++) {
		handoff__view_make(&view, f->a.pair.arena.segments[1], slot);
		if (handoff__record_id(view.rec) != ID)
			continue;
		assert_int_equal(view.rec->owner, OWN);
		assert_connection(&view);
		return true;
	}
	fail_msg("neither the older record nor one of ours is there");
	return true;
}

/* The memory that both share is looked at after each instruction: a death
 * there leaves just that. */
static void
death_at_any_instant_loses_nothing(void **state)
{
	static unsigned char as_it_was[STRIDE + EACH];
	unsigned steps = 0, after = 0;
	struct fixture f;
	int status;
	pid_t pid;

	(void)state;
	support_not_in_valgrind();
	open_fixture(&f, 5);
	/* So that the child's records are in memory that is seen here. */
	assert_int_equal(
		handoff__arena_grow(&f.a.pair.arena, &f.a.pair.geo), 0);
	offer_all(&f);
	memcpy(as_it_was, record_at(&f, 1), STRIDE);
	memcpy(as_it_was + STRIDE, buffers_at(&f, 1), EACH);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child_main(&f);
	for (;;) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		after += assert_one_is_whole(&f, as_it_was);
		steps++;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Both have been seen, for long. */
	assert_true(after > 100 && steps - after > 500);
	close_fixture(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(segment_is_checked_by_its_own_layout),
		handoff_test(nothing_is_made_in_an_older_segment),
		handoff_test(copy_of_an_older_record_is_whole),
		handoff_test(what_is_given_is_converted),
		handoff_test(unread_lines_are_taken_along),
		handoff_test(state_changes_with_the_layout),
		handoff_test(state_is_copied_as_far_as_it_is_used),
		handoff_test(what_lay_on_the_desk_of_the_dead_goes_along),
		handoff_test(damaged_record_of_the_dead_ends_alone),
		handoff_test(death_at_any_instant_loses_nothing),
	};

	return cmocka_run_group_tests_name("older", tests, NULL, NULL);
}
