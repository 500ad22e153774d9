/* SPDX-License-Identifier: MIT */
/*
 * The time stamp of a log line: ISO 8601 in local time with its UTC offset, so
 * that lines of several hosts can be compared.
 */
#include <handoff/common.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* systemd sets JOURNAL_STREAM to the device and inode of its stream to the
 * journal, which stamps lines itself (systemd.exec(5)). The comparison with
 * `fd` is needed since a program that redirects its output still has the
 * variable. */
static bool
is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char end;

	return stream &&
	       sscanf(stream, "%llu:%llu%c", &device, &inode, &end) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

const char *
handoff_log_stamp(int fd, char *stamp, size_t size)
{
	struct timespec now;
	struct tm tm;
	unsigned ahead;
	size_t len;

	if (size == 0)
		return "";
	stamp[0] = '\0';
	clock_gettime(CLOCK_REALTIME, &now);
	if (size < HANDOFF_STAMP_MAX || is_journal(fd) ||
		!localtime_r(&now.tv_sec, &tm))
		return stamp;
	ahead = (unsigned)labs(tm.tm_gmtoff) / 60;
	len = strftime(stamp, size, "%FT%T", &tm);
	snprintf(stamp + len, size - len, ".%03u%c%02u:%02u ",
		(unsigned)(now.tv_nsec / 1000000) % 1000,
		tm.tm_gmtoff < 0 ? '-' : '+', ahead / 60 % 100, ahead % 60);
	return stamp;
}
