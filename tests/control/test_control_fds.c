/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that come with a request to the control socket: taken, or closed.
 */
#include "control/fixture.h"

#include "base/fdpass.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sends with a new file beside it; returns the file. */
static int
say_with_file(int fd, const char *text)
{
	int file = memfd_create("test", MFD_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(
		handoff__fdpass_send_text(fd, text, strlen(text), file),
		strlen(text));
	fixture_settle();
	return file;
}

static void
descriptor_comes_with_a_request(void **state)
{
	struct stat there, here;
	int fd, file;

	(void)state;
	f.takes = true;
	fd = fixture_connect();
	file = say_with_file(fd, "du");
	fixture_say(fd, "mp\n");
	assert_string_equal(fixture_hear(fd), "got dump\n");
	assert_true(f.taken >= 0);
	assert_int_equal(fstat(file, &there), 0);
	assert_int_equal(fstat(f.taken, &here), 0);
	assert_true(there.st_dev == here.st_dev && there.st_ino == here.st_ino);
	close(f.taken);
	close(file);
	close(fd);
}

static void
descriptor_that_nobody_wants_is_closed(void **state)
{
	int fd, file, before;

	(void)state;
	for (int later = 0; later < 2; later++) {
		f.later = later;
		fd = fixture_connect();
		fixture_settle();
		before = support_open_fds();
		file = say_with_file(fd, "status\n");
		close(file);
		assert_int_equal(support_open_fds(), before);
		/* What follows the line is not looked at, and not kept. */
		close(say_with_file(fd, "more\n"));
		assert_int_equal(support_open_fds(), before);
		if (later)
			handoff__control_reply(f.request, strdup("done\n"));
		fixture_hear(fd);
		close(fd);
		fixture_settle();
	}
}

static void
descriptor_without_a_request_is_closed(void **state)
{
	int fd, before = support_open_fds();

	(void)state;
	fixture_open();
	/* The client leaves before the line ends. */
	fd = fixture_connect();
	close(say_with_file(fd, "du"));
	close(fd);
	fixture_settle();
	assert_int_equal(fixture_in_use(), 0);
	/* The server does. */
	fd = fixture_connect();
	close(say_with_file(fd, "du"));
	fixture_close();
	close(fd);
	assert_int_equal(support_open_fds(), before);
}

static void
more_descriptors_are_refused(void **state)
{
	int fd, before;

	(void)state;
	f.takes = true;
	fd = fixture_connect();
	fixture_settle();
	before = support_open_fds();
	close(say_with_file(fd, "du"));
	close(say_with_file(fd, "mp\n"));
	assert_int_equal(support_open_fds(), before);
	assert_string_equal(fixture_hear(fd),
		"error the request carries more than one descriptor\n");
	assert_int_equal(f.count, 0);
	assert_int_equal(f.taken, -1);
	close(fd);
}

static void
descriptor_that_finds_no_room_is_told(void **state)
{
	int fd;

	(void)state;
	support_not_in_valgrind();
	fd = fixture_connect();
	fixture_settle();
	assert_int_equal(
		handoff__fdpass_send_text(fd, "dump\n", 5, STDIN_FILENO), 5);
	support_limit_descriptors(0);
	fixture_settle();
	support_unlimit_descriptors();
	assert_string_equal(fixture_hear(fd),
		"error the descriptor that came with the request found no room "
		"in the descriptor table\n");
	assert_int_equal(f.count, 0);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		control_test(descriptor_comes_with_a_request),
		control_test(descriptor_that_nobody_wants_is_closed),
		handoff_test(descriptor_without_a_request_is_closed),
		control_test(more_descriptors_are_refused),
		control_test(descriptor_that_finds_no_room_is_told),
	};

	return cmocka_run_group_tests_name("control_fds", tests, NULL, NULL);
}
