/* SPDX-License-Identifier: MIT */
/*
 * Memory of a secret arena: it is overwritten before its pages go back to the
 * system, where nobody clears them until they are used again; and it is locked
 * if that was asked for. fallocate is wrapped: it looks at what is given back.
 */
#include "record/fixture.h"

#include "record/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE (12 * SIZE)

static const struct handoff__segment *watched;
static uint64_t given_back, unclean; /* bytes, and those that were not zero */

int __real_fallocate(int fd, int mode, off_t from, off_t len);
int __wrap_fallocate(int fd, int mode, off_t from, off_t len);

int
__wrap_fallocate(int fd, int mode, off_t from, off_t len)
{
	unsigned char *bytes = malloc((size_t)len);

	if (watched && watched->fd == fd) {
		assert_non_null(bytes);
		assert_int_equal(pread(fd, bytes, (size_t)len, from), len);
		for (off_t i = 0; i < len; i++)
			unclean += bytes[i] != 0;
		given_back += (uint64_t)len;
	}
	free(bytes);
	return __real_fallocate(fd, mode, from, len);
}

static void
open_secret(struct fixture *f, bool secret)
{
	record_open(f, STATE);
	f->arena.secret = secret;
	watched = f->arena.segments[0];
	given_back = unclean = 0;
}

static void
close_secret(struct fixture *f)
{
	watched = NULL;
	record_close(f);
}

/* Both states, the buffers and a desk have something in every page but one. */
static void
fill(const struct fixture *f)
{
	struct handoff__view desk = f->view;

	memset(handoff__record_state(&f->view, 0), 0xaa, STATE);
	memset(handoff__record_state(&f->view, 1), 0xaa, STATE);
	f->rec->commit[0].state_len = f->rec->commit[1].state_len = STATE;
	memset(f->view.rx, 0xbb, SIZE);
	memset(f->view.tx, 0xbb, SIZE);
	f->rec->touched |= HANDOFF__PAGES;
	handoff__desk_buffers(&desk, handoff__desk_number(1, 0));
	memset(desk.rx, 0xcc, SIZE);
	memset(desk.tx, 0xcc, SIZE);
}

static void
give_back_all(struct fixture *f)
{
	f->rec->commit[0].state_len = f->rec->commit[1].state_len = 5;
	handoff__state_trim(&f->view);
	handoff__arena_trim(&f->arena, 0, 0);
	fill(f);
	handoff__arena_clear(&f->arena, 0, 0);
	handoff__arena_clear_desks(&f->arena, 1);
}

static void
what_is_given_back_was_overwritten(void **state)
{
	struct fixture f;
	blkcnt_t before;

	(void)state;
	open_secret(&f, true);
	before = record_blocks(&f);
	fill(&f);
	give_back_all(&f);
	assert_true(given_back > 4 * STATE);
	assert_int_equal(unclean, 0);
	/* and no page was made for that: a few lie beside others in use */
	assert_in_range(record_blocks(&f), 0, before + 5 * (int)SIZE / 512);
	close_secret(&f);
}

/* As of an arena without secrets: so the test before can fail. */
static void
other_memory_is_given_back_as_it_is(void **state)
{
	struct fixture f;

	(void)state;
	open_secret(&f, false);
	fill(&f);
	give_back_all(&f);
	assert_true(unclean > 4 * SIZE);
	close_secret(&f);
}

static void
what_was_never_used_gets_no_pages(void **state)
{
	struct fixture f;
	blkcnt_t before;

	(void)state;
	open_secret(&f, true);
	before = record_blocks(&f);
	f.rec->touched |= HANDOFF__PAGES;
	handoff__arena_clear(&f.arena, 0, 0);
	handoff__arena_clear_desks(&f.arena, 2);
	assert_in_range(record_blocks(&f), 0, before + 5 * (int)SIZE / 512);
	close_secret(&f);
}

/* However long the ended connection's bytes are: a desk of a secret service
 * keeps its pages. */
static void
desk_is_wiped_where_it_is(void **state)
{
	struct fixture f;
	struct handoff__view desk;

	(void)state;
	open_secret(&f, true);
	desk = f.view;
	handoff__desk_buffers(&desk, handoff__desk_number(1, 0));
	memset(desk.rx, 0xcc, 2 * SIZE);
	memset(desk.tx, 0xcc, SIZE);
	handoff__record_set_positions(f.rec, 10 * SIZE, 0);
	f.rec->commit[0].tx_head = f.rec->commit[1].tx_head = 10 * SIZE;
	handoff__desk_wipe(&desk);
	for (size_t i = 0; i < 2 * SIZE; i++)
		assert_int_equal(desk.rx[i], 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(desk.tx[i], 0);
	close_secret(&f);
}

/* Only the state that is not valid, as long as its commit says. */
static void
erasing_leaves_the_valid_state(void **state)
{
	struct fixture f;
	unsigned char *one, *two;

	(void)state;
	open_secret(&f, true);
	fill(&f);
	one = handoff__record_state(&f.view, 0);
	two = handoff__record_state(&f.view, 1);
	assert_int_equal(handoff__record_sequence(f.rec) & 1, 0);
	f.rec->commit[1].state_len = 100;
	handoff__state_erase(&f.view);
	for (int i = 0; i < 100; i++)
		assert_int_equal(two[i], 0);
	assert_int_equal(two[100], 0xaa);
	assert_int_equal(one[0], 0xaa);
	/* a damaged length leads nowhere else */
	f.rec->commit[1].state_len = UINT32_MAX;
	handoff__state_erase(&f.view);
	assert_int_equal(two[STATE - 1], 0);
	f.arena.secret = false;
	memset(two, 0xaa, STATE);
	handoff__state_erase(&f.view);
	assert_int_equal(two[0], 0xaa);
	close_secret(&f);
}

/* Whether the mapping at that address has a flag of smaps, see proc(5). */
static bool
has_flag(const void *base, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[4096], begin[32];
	bool there = false, has = false;

	assert_non_null(file);
	snprintf(begin, sizeof(begin), "%lx-", (unsigned long)base);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, begin, strlen(begin)) == 0)
			there = true;
		if (there && strncmp(line, "VmFlags:", 8) == 0) {
			has = strstr(line, flag) != NULL;
			break;
		}
	}
	fclose(file);
	return has;
}

static void
need_lock(void)
{
	struct handoff__error error = {.text = ""};

	support_not_emulated("it locks nothing");
	if (handoff__arena_may_lock(UINT64_C(1) << 30, &error) < 0) {
		print_message("SKIP: %s\n", error.text);
		skip();
	}
}

static void
segments_are_locked_if_that_was_asked_for(void **state)
{
	struct handoff__arena arena;
	struct handoff__geometry geo;

	(void)state;
	need_lock();
	handoff__arena_init(&arena);
	assert_int_equal(handoff__geometry_make(&geo, 16, SIZE, SIZE), 0);
	assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	arena.lock = true;
	assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	assert_false(has_flag(arena.segments[0]->base, " lo"));
	assert_true(has_flag(arena.segments[1]->base, " lo"));
	/* both are in no core dump */
	assert_true(has_flag(arena.segments[0]->base, " dd"));
	assert_true(has_flag(arena.segments[1]->base, " dd"));
	handoff__arena_fini(&arena);
}

/* Locked pages are given back as well. */
static void
locked_memory_is_given_back(void **state)
{
	struct fixture f;
	blkcnt_t before;

	(void)state;
	need_lock();
	record_open(&f, STATE);
	f.arena.secret = f.arena.lock = true;
	assert_int_equal(
		handoff__arena_grow(&f.arena, &f.arena.segments[0]->geo), 0);
	handoff__view_make(&f.view, f.arena.segments[1], 0);
	f.rec = f.view.rec;
	watched = f.arena.segments[1];
	given_back = unclean = 0;
	fill(&f);
	before = record_blocks(&f);
	handoff__arena_clear(&f.arena, 1, 0);
	assert_int_equal(unclean, 0);
	assert_true(given_back > 0);
	assert_in_range(record_blocks(&f), 0, before);
	close_secret(&f);
}

/* In a process that may lock next to nothing, and is not privileged. */
static int
limited(void)
{
	const struct rlimit few = {.rlim_cur = 65536, .rlim_max = 65536};
	struct handoff__error error = {.text = ""};
	struct handoff__arena arena;
	struct handoff__geometry geo;

	if (setrlimit(RLIMIT_MEMLOCK, &few) < 0 ||
		(geteuid() == 0 && setuid(65534) < 0))
		return 1;
	if (handoff__arena_may_lock(1 << 20, &error) != -ENOMEM ||
		!strstr(error.text, "cannot lock 1048576 bytes") ||
		!strstr(error.text, "RLIMIT_MEMLOCK") ||
		!strstr(error.text, "65536 bytes"))
		return 2;
	handoff__arena_init(&arena);
	arena.lock = true;
	handoff__geometry_make(&geo, 16, SIZE, SIZE);
	if (handoff__arena_grow(&arena, &geo) != -ENOMEM || arena.count != 0)
		return 3;
	handoff__arena_fini(&arena);
	return 0;
}

static void
limit_is_named(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	support_not_emulated("it locks nothing");
	support_not_in_valgrind(); /* has no mlock2(2) */
	pid = fork();
	if (pid == 0)
		_exit(limited());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_is_given_back_was_overwritten),
		handoff_test(other_memory_is_given_back_as_it_is),
		handoff_test(what_was_never_used_gets_no_pages),
		handoff_test(desk_is_wiped_where_it_is),
		handoff_test(erasing_leaves_the_valid_state),
		handoff_test(segments_are_locked_if_that_was_asked_for),
		handoff_test(locked_memory_is_given_back),
		handoff_test(limit_is_named),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
