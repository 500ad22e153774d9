/* SPDX-License-Identifier: MIT */
/*
 * The time stamp of a log line, and when it is left out.
 */
#include "support/support.h"

#include <handoff/common.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Of the time zones of this test, both without rules. */
static void
zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
}

/* What the stamp means, in milliseconds since 1970. */
static long long
meaning(const char *stamp)
{
	int milliseconds, hours, minutes;
	struct tm tm = {0};
	char sign;

	assert_int_equal(
		strlen(stamp), strlen("2026-11-29T14:02:11.123+01:00 "));
	assert_int_equal(sscanf(stamp, "%4d-%2d-%2dT%2d:%2d:%2d.%3d%c%2d:%2d",
				 &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
				 &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
				 &milliseconds, &sign, &hours, &minutes),
		10);
	assert_int_equal(stamp[strlen(stamp) - 1], ' ');
	tm.tm_year -= 1900;
	tm.tm_mon--;
	minutes += hours * 60;
	return ((long long)timegm(&tm) -
		       (sign == '-' ? -60LL : 60LL) * minutes) *
		       1000 +
	       milliseconds;
}

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
it_is_now(void **state)
{
	static const char *const zones[] = {"UTC0", "EAST-5:45", "WEST+3:30"};
	static const char *const ends[] = {"+00:00 ", "+05:45 ", "-03:30 "};
	char stamp[HANDOFF_STAMP_MAX];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	for (int i = 0; i < 3; i++) {
		long long before = now_ms();

		zone(zones[i]);
		assert_ptr_equal(
			handoff_log_stamp(2, stamp, sizeof(stamp)), stamp);
		assert_true(meaning(stamp) >= before);
		assert_true(meaning(stamp) <= now_ms());
		assert_string_equal(stamp + strlen(stamp) - 7, ends[i]);
	}
	unsetenv("TZ");
}

static void
none_without_room(void **state)
{
	char stamp[HANDOFF_STAMP_MAX] = "x";

	(void)state;
	assert_string_equal(handoff_log_stamp(2, NULL, 0), "");
	assert_string_equal(handoff_log_stamp(2, stamp, sizeof(stamp) - 1), "");
}

/* It has a time for each line; a log beside it has not. */
static void
none_for_the_journal(void **state)
{
	char stream[64], stamp[HANDOFF_STAMP_MAX];
	struct stat st;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fstat(ends[1], &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
		(unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_string_equal(
		handoff_log_stamp(ends[1], stamp, sizeof(stamp)), "");
	close(ends[0]);
	close(ends[1]);
	/* Not that descriptor, or nonsense. */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_string_not_equal(
		handoff_log_stamp(ends[1], stamp, sizeof(stamp)), "");
	assert_string_not_equal(
		handoff_log_stamp(-1, stamp, sizeof(stamp)), "");
	setenv("JOURNAL_STREAM", "1", 1);
	assert_string_not_equal(
		handoff_log_stamp(ends[1], stamp, sizeof(stamp)), "");
	unsetenv("JOURNAL_STREAM");
	close(ends[0]);
	close(ends[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(it_is_now),
		handoff_test(none_without_room),
		handoff_test(none_for_the_journal),
	};

	return cmocka_run_group_tests_name("stamp", tests, NULL, NULL);
}
