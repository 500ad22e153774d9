/* SPDX-License-Identifier: MIT */
/*
 * What is shown while a command is carried out: which standby is waited for,
 * and how much of a dump there is. The peer answers when it has been shown.
 */
#include "control/fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A byte comes when progress has been shown. */
static int shown[2];

static void
put(int conn, const char *text)
{
	send(conn, text, strlen(text), MSG_NOSIGNAL);
}

/* The command is answered by a child, so that a status can be asked for
 * meanwhile. */
static void
answer_when_shown(const struct fake *fake, int conn, const char *line)
{
	char byte, text[128];

	if (strcmp(line, "status\n") == 0) {
		snprintf(text, sizeof(text), "ok echo %s %s %d\n%s", fake->name,
			fake->role, (int)getpid(), fake->text);
		put(conn, text);
		return;
	}
	if (strcmp(line, "dump\n") == 0) {
		(void)!read(shown[0], &byte, 1);
		answer_dump(
			&(struct fake){.name = fake->name, .role = fake->role},
			conn, line);
		return;
	}
	if (fork() != 0)
		return;
	(void)!read(shown[0], &byte, 1);
	answer_all(fake, conn, line);
	_exit(0);
}

static void
start(int place, const char *name, const char *role, const char *text)
{
	fake_start(&(struct fake){.place = place,
		.name = name,
		.role = role,
		.answer = answer_when_shown,
		.text = text});
}

/* The first line; only then the command may end. */
static void
see(void *arg, const char *text)
{
	char *seen = arg;

	if (!seen[0]) {
		snprintf(seen, 128, "%s", text);
		assert_int_equal(write(shown[1], "x", 1), 1);
	}
}

static int
setup(void **state)
{
	int err = fake_setup(state);

	assert_int_equal(pipe(shown), 0);
	return err;
}

static int
teardown(void **state)
{
	close(shown[0]);
	close(shown[1]);
	return fake_teardown(state);
}

static void
standby_that_is_waited_for(void **state)
{
	char seen[128] = "";
	const struct handoff_maintain_opts opts = {
		.size = sizeof(opts), .progress = see, .progress_arg = seen};

	(void)state;
	start(1, "server", "owner", "generation 1\npartner loading\n");
	start(2, "alt", "standby", "generation 1\nloading 40 % of the map\n");
	assert_int_equal(
		handoff_control_maintain(fake_dir.path, &opts, &reply), 0);
	assert_reply("server got maintenance\n");
	assert_string_equal(seen, "waits for alt: 40 % of the map");
}

static void
standby_that_comes_home(void **state)
{
	char seen[128] = "";
	const struct handoff_ready_opts opts = {.size = sizeof(opts),
		.silent = true,
		.progress = see,
		.progress_arg = seen};

	(void)state;
	start(1, "server", "standby", "generation 1\nloading its data\n");
	start(2, "alt", "owner", "generation 1\npartner loading\n");
	assert_int_equal(
		handoff_control_bring_home(fake_dir.path, &opts, &reply), 0);
	assert_reply("server got ready silent\n");
	assert_string_equal(seen, "waits for server: its data");
}

static void
dump_that_grows(void **state)
{
	char seen[128] = "", path[128];
	struct handoff_dump_opts opts = {.size = sizeof(opts),
		.path = path,
		.progress = see,
		.progress_arg = seen};

	(void)state;
	start(1, "server", "owner", "generation 1\n");
	snprintf(path, sizeof(path), "%.99s/picture", fake_dir.path);
	assert_int_equal(
		handoff_control_write_dump(fake_dir.path, &opts, &reply), 0);
	assert_reply("dumped\n");
	assert_string_equal(seen, "0.00 MiB written");
	opts.path = NULL;
	assert_int_equal(
		handoff_control_write_dump(fake_dir.path, &opts, &reply),
		-EINVAL);
	assert_reply("dump: no file was given");
}

static void
wrong_arguments_are_refused(void **state)
{
	const struct handoff_dump_opts dump = {.path = "x"};
	const struct handoff_ready_opts home = {.silent = true};

	(void)state;
	start(1, "server", "owner", "");
	assert_int_equal(
		handoff_control_write_dump("x", &dump, &reply), -EINVAL);
	assert_int_equal(
		handoff_control_write_dump("x", NULL, &reply), -EINVAL);
	assert_int_equal(
		handoff_control_bring_home("x", &home, &reply), -EINVAL);
	assert_int_equal(
		handoff_control_bring_home("x", NULL, &reply), -EINVAL);
	assert_int_equal(handoff_control_bring_home("x", &home, NULL), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			standby_that_is_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(
			standby_that_comes_home, setup, teardown),
		cmocka_unit_test_setup_teardown(
			dump_that_grows, setup, teardown),
		cmocka_unit_test_setup_teardown(
			wrong_arguments_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests_name("look", tests, NULL, NULL);
}
