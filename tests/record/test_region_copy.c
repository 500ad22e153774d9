/* SPDX-License-Identifier: MIT */
/*
 * The shared region moves to another host in parts: all of it, or none.
 */
#include "record/fixture.h"

#include "record/region.h"

#include <errno.h>
#include <string.h>

#define BYTES 100000u
#define PART  ((size_t)30000)
#define SELF  handoff__lock_name(1, 0)
#define PLACE 1u

struct side {
	struct handoff__arena arena;
	const struct handoff__segment *commons;
	struct handoff__region *region;
};

static struct side a, b;

static void
open_side(struct side *s, uint32_t size)
{
	record_arena(&s->arena, 0);
	handoff__arena_name(&s->arena, SELF);
	assert_int_equal(handoff__region_claim(
				 &s->arena, handoff__region_stamp_of(size, 1)),
		0);
	s->commons = handoff__arena_commons(&s->arena);
	s->region = (void *)(s->commons->base + s->commons->geo.shared);
}

static unsigned char
byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / 509);
}

static unsigned char *
bytes_of(struct side *s)
{
	return (unsigned char *)s->region + HANDOFF__SHARED_HEAD +
	       HANDOFF__UNDO_SIZE;
}

static void
open_sides(void)
{
	open_side(&a, BYTES);
	open_side(&b, BYTES);
	for (size_t i = 0; i < BYTES; i++)
		bytes_of(&a)[i] = byte_at(i);
	memset(bytes_of(&b), 'x', BYTES);
}

static void
close_sides(void)
{
	handoff__arena_fini(&a.arena);
	handoff__arena_fini(&b.arena);
}

static void
copy_part(size_t offset)
{
	size_t len = BYTES - offset < PART ? BYTES - offset : PART;
	unsigned char part[PART];

	assert_int_equal(
		handoff__region_export(a.commons, offset, part, len), 0);
	assert_int_equal(
		handoff__region_import(b.commons, offset, part, len), 0);
}

static void
assert_all(unsigned char (*wanted)(size_t i))
{
	for (size_t i = 0; i < BYTES; i++)
		if (bytes_of(&b)[i] != wanted(i))
			fail_msg("byte %zu is %u", i, bytes_of(&b)[i]);
}

static unsigned char
zero_at(size_t i)
{
	(void)i;
	return 0;
}

static void
is_free(struct side *s)
{
	assert_int_equal(handoff__lock_holder(&s->region->lock), 0);
	assert_int_equal(atomic_load(&s->region->importing), 0);
	assert_int_equal(handoff__region_enter(s->commons), 0);
	handoff__region_keep(s->commons);
}

static void
region_is_copied_in_parts(void **state)
{
	(void)state;
	open_sides();
	assert_int_equal(handoff__region_size(a.commons), BYTES);
	assert_int_equal(handoff__region_enter(a.commons), 0);
	assert_int_equal(handoff__region_import_begin(b.commons), 0);
	assert_int_equal(handoff__region_enter(b.commons), -EDEADLK);
	for (size_t i = 4; i-- > 0;)
		copy_part(i * PART);
	handoff__region_import_end(b.commons, true);
	handoff__region_keep(a.commons);
	assert_all(byte_at);
	is_free(&a);
	is_free(&b);
	close_sides();
}

/* The caller need not send what is 0. */
static void
what_does_not_come_is_zero(void **state)
{
	(void)state;
	open_sides();
	assert_int_equal(handoff__region_import_begin(b.commons), 0);
	copy_part(PART);
	handoff__region_import_end(b.commons, true);
	assert_int_equal(bytes_of(&b)[PART - 1], 0);
	assert_int_equal(bytes_of(&b)[PART], byte_at(PART));
	assert_int_equal(bytes_of(&b)[2 * PART], 0);
	close_sides();
}

static void
move_that_is_given_up_leaves_nothing(void **state)
{
	(void)state;
	open_sides();
	assert_int_equal(handoff__region_import_begin(b.commons), 0);
	copy_part(0);
	handoff__region_import_end(b.commons, false);
	assert_all(zero_at);
	is_free(&b);
	memset(bytes_of(&b), 'x', BYTES);
	assert_int_equal(handoff__region_clear(b.commons), 0);
	assert_all(zero_at);
	is_free(&b);
	close_sides();
}

/* Whatever it had got, and also if it had begun to clear it. */
static void
death_on_the_way_leaves_nothing(void **state)
{
	(void)state;
	open_sides();
	assert_int_equal(handoff__region_import_begin(b.commons), 0);
	copy_part(0);
	assert_int_equal(
		handoff__region_settle(&b.arena, PLACE, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_CLEARED);
	assert_all(zero_at);
	is_free(&b);
	assert_int_equal(
		handoff__region_settle(&b.arena, PLACE, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_FREE);
	/* one that was complete is kept */
	assert_int_equal(handoff__region_import_begin(b.commons), 0);
	for (size_t i = 0; i < 4; i++)
		copy_part(i * PART);
	atomic_store(&b.region->importing, 0);
	assert_int_equal(
		handoff__region_settle(&b.arena, PLACE, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_CLEAN);
	assert_all(byte_at);
	close_sides();
}

static void
parts_are_within_the_region(void **state)
{
	static const struct {
		size_t offset, len;
	} bad[] = {{BYTES, 1}, {BYTES - 1, 2}, {0, BYTES + 1}, {0, 0},
		{SIZE_MAX, 2}, {2, SIZE_MAX}};
	static unsigned char bytes[BYTES + 1];

	(void)state;
	open_sides();
	assert_int_equal(handoff__region_import_begin(b.commons), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(handoff__region_import(b.commons,
					 bad[i].offset, bytes, bad[i].len),
			-EINVAL);
		assert_int_equal(handoff__region_export(b.commons,
					 bad[i].offset, bytes, bad[i].len),
			-EINVAL);
	}
	handoff__region_import_end(b.commons, true);
	close_sides();
}

static void
service_without_a_region_has_none_to_copy(void **state)
{
	struct side s;

	(void)state;
	open_side(&s, 0);
	assert_int_equal(handoff__region_size(s.commons), 0);
	assert_int_equal(handoff__region_size(NULL), 0);
	assert_int_equal(handoff__region_import_begin(s.commons), -EINVAL);
	assert_int_equal(handoff__region_import_begin(NULL), -EINVAL);
	assert_int_equal(handoff__region_clear(s.commons), -EINVAL);
	handoff__arena_fini(&s.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(region_is_copied_in_parts),
		handoff_test(what_does_not_come_is_zero),
		handoff_test(move_that_is_given_up_leaves_nothing),
		handoff_test(death_on_the_way_leaves_nothing),
		handoff_test(parts_are_within_the_region),
		handoff_test(service_without_a_region_has_none_to_copy),
	};

	return cmocka_run_group_tests_name("region copy", tests, NULL, NULL);
}
