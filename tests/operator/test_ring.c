/* SPDX-License-Identifier: MIT */
/*
 * The queue of events that wait to be pulled: in order, bounded, the oldest
 * dropped first.
 */
#include "support/support.h"

#include "operator/ring.h"

#include <stdio.h>
#include <string.h>

#define DETAIL 1000 /* types from here on */

static const struct handoff__operator_event *put(struct handoff__ring *ring,
	int type, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static const struct handoff__operator_event *
put(struct handoff__ring *ring, int type, const char *fmt, ...)
{
	const struct handoff__operator_event *h;
	va_list ap;

	va_start(ap, fmt);
	h = handoff__ring_put(
		ring, type, type >= DETAIL, (uint64_t)type * 10, NULL, fmt, ap);
	va_end(ap);
	return h;
}

static void
take(struct handoff__ring *ring, int type)
{
	const struct handoff__operator_event *h = handoff__ring_take(ring);
	char text[32];

	snprintf(text, sizeof(text), "event %d", type);
	assert_non_null(h);
	assert_int_equal(h->type, type);
	assert_int_equal(h->generation, type * 10);
	assert_string_equal(h->text, text);
}

static void
pulled_in_order(void **state)
{
	struct handoff__ring ring = {.count = 0};

	(void)state;
	assert_null(handoff__ring_take(&ring));
	/* Several times around it. */
	for (int i = 0; i < 3 * HANDOFF__RING_SIZE; i += 2) {
		put(&ring, i, "event %d", i);
		put(&ring, i + 1, "event %d", i + 1);
		take(&ring, i);
		take(&ring, i + 1);
		assert_null(handoff__ring_take(&ring));
	}
}

static void
the_oldest_is_dropped(void **state)
{
	struct handoff__ring ring = {.count = 0};
	int last = HANDOFF__RING_SIZE + 3;

	(void)state;
	for (int i = 1; i <= last; i++)
		put(&ring, i, "event %d", i);
	assert_int_equal(ring.count, HANDOFF__RING_SIZE);
	for (int i = 4; i <= last; i++)
		take(&ring, i);
	assert_null(handoff__ring_take(&ring));
}

/* A detail goes first, the new one itself if it is the only one; nothing else
 * is dropped for it. */
static void
details_are_dropped_first(void **state)
{
	struct handoff__ring ring = {.count = 0};
	int last = HANDOFF__RING_SIZE - 2;

	(void)state;
	put(&ring, 1, "event %d", 1);
	put(&ring, DETAIL, "event %d", DETAIL);
	for (int i = 2; i <= last; i++)
		put(&ring, i, "event %d", i);
	put(&ring, DETAIL + 1, "event %d", DETAIL + 1);
	assert_int_equal(ring.dropped, 0);
	put(&ring, DETAIL + 2, "event %d", DETAIL + 2);
	assert_int_equal(ring.dropped, 1);
	put(&ring, last + 1, "event %d", last + 1);
	put(&ring, last + 2, "event %d", last + 2);
	assert_int_equal(ring.dropped, 3);
	put(&ring, DETAIL + 3, "event %d", DETAIL + 3);
	assert_int_equal(ring.dropped, 4);
	for (int i = 1; i <= last + 2; i++)
		take(&ring, i);
	assert_int_equal(ring.dropped, 0);
	assert_null(handoff__ring_take(&ring));
}

/* However much happened, and whatever the place of the ring's beginning. */
static void
details_never_push_out_others(void **state)
{
	struct handoff__ring ring = {.count = 0};

	(void)state;
	for (int start = 0; start < 2 * HANDOFF__RING_SIZE; start += 37) {
		put(&ring, 1, "event %d", 1);
		for (int i = 0; i < HANDOFF__RING_SIZE + start; i++) {
			put(&ring, DETAIL, "event %d", DETAIL);
			if (i == HANDOFF__RING_SIZE / 2)
				put(&ring, 2, "event %d", 2);
		}
		put(&ring, 3, "event %d", 3);
		take(&ring, 1);
		for (int want = 2; want <= 3;) {
			const struct handoff__operator_event *h =
				handoff__ring_take(&ring);

			assert_non_null(h);
			if (h->type >= DETAIL)
				continue;
			assert_int_equal(h->type, want++);
		}
		assert_null(handoff__ring_take(&ring));
	}
}

static void
text_is_bounded(void **state)
{
	struct handoff__ring ring = {.count = 0};
	const struct handoff__operator_event *h;
	char text[2 * HANDOFF_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	h = put(&ring, 1, "%s", text);
	assert_int_equal(strlen(h->text), HANDOFF_TEXT_MAX - 1);
	assert_ptr_equal(handoff__ring_take(&ring), h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pulled_in_order),
		cmocka_unit_test(the_oldest_is_dropped),
		cmocka_unit_test(details_are_dropped_first),
		cmocka_unit_test(details_never_push_out_others),
		cmocka_unit_test(text_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
