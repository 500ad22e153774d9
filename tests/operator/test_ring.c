/* SPDX-License-Identifier: MIT */
/*
 * The queue of events that wait to be pulled: in order, bounded, the oldest
 * dropped first.
 */
#include "support/support.h"

#include "operator/ring.h"

#include <stdio.h>
#include <string.h>

static const struct handoff__operator_event *put(struct handoff__ring *ring,
	int type, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static const struct handoff__operator_event *
put(struct handoff__ring *ring, int type, const char *fmt, ...)
{
	const struct handoff__operator_event *h;
	va_list ap;

	va_start(ap, fmt);
	h = handoff__ring_put(ring, type, (uint64_t)type * 10, NULL, fmt, ap);
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
		cmocka_unit_test(text_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
