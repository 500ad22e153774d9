/* SPDX-License-Identifier: MIT */
/*
 * The usual options of a client on a command line. Parsing a command line is
 * tested in tests/base/test_argv.c.
 */
#include "support/support.h"

#include <handoff.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char why[HANDOFF_TEXT_MAX];

static struct handoff_client_opts
no_options(void)
{
	why[0] = '\0';
	return (struct handoff_client_opts){
		.size = sizeof(struct handoff_client_opts),
		.notices = "mq:/default",
		.errbuf = why,
		.errbuf_size = sizeof(why)};
}

static void
each_reaches_its_field(void **state)
{
	char *argv[] = {"client", "--connect", ":1", "--name=n", "--dir=/d",
		"--connect=unix:/s", "--session", NULL};
	struct handoff_client_opts opts = no_options();
	int argc = 7;

	(void)state;
	assert_int_equal(handoff_client_opts_read(&opts, &argc, argv), 0);
	assert_int_equal(argc, 2);
	assert_string_equal(argv[1], "--name=n");
	assert_int_equal(opts.nendpoints, 2);
	assert_string_equal(opts.endpoints[0], ":1");
	assert_string_equal(opts.endpoints[1], "unix:/s");
	assert_string_equal(opts.dir, "/d");
	assert_true(opts.session);
}

static void
the_directory_of_the_environment(void **state)
{
	char *argv[] = {"client", NULL};
	struct handoff_client_opts opts = no_options();
	int argc = 1;

	(void)state;
	setenv("HANDOFF_DIR", "/e", 1);
	assert_int_equal(handoff_client_opts_read(&opts, &argc, argv), 0);
	assert_string_equal(opts.dir, "/e");
	unsetenv("HANDOFF_DIR");
}

static void
what_is_wrong_is_said(void **state)
{
	char *argv[] = {"client", "--dir=/d", "--connect", "7000", NULL};
	struct handoff_client_opts opts = no_options();
	int argc = 4;

	(void)state;
	assert_int_equal(handoff_client_opts_read(&opts, &argc, argv), -EINVAL);
	assert_string_equal(why, "--connect: address '7000': want HOST:PORT, "
				 "[IPV6]:PORT, :PORT or unix:/PATH");
	assert_int_equal(argc, 4);
	assert_null(opts.dir);
	assert_int_equal(handoff_client_opts_read(NULL, &argc, argv), -EINVAL);
	assert_int_equal(handoff_client_opts_read(&opts, NULL, argv), -EINVAL);
	assert_int_equal(handoff_client_opts_read(&opts, &argc, NULL), -EINVAL);
	opts.size = sizeof(size_t);
	assert_int_equal(handoff_client_opts_read(&opts, &argc, argv), -EINVAL);
}

/* A program that was built before options had a directory. */
static void
without_the_field_it_is_left(void **state)
{
	char *argv[] = {"client", "--dir=/d", "--connect=:1", NULL};
	struct handoff_client_opts opts = no_options();
	int argc = 3;

	(void)state;
	opts.size = offsetof(struct handoff_client_opts, dir);
	assert_int_equal(handoff_client_opts_read(&opts, &argc, argv), 0);
	assert_int_equal(argc, 2);
	assert_string_equal(argv[1], "--dir=/d");
	assert_null(opts.dir);
	assert_int_equal(opts.nendpoints, 1);
}

/* `dir` is where notices come from, before `notices`. */
static void
a_directory_stands_for_notices(void **state)
{
	const char *to[] = {"127.0.0.1:1"};
	struct handoff_client_opts opts = no_options();
	struct handoff_client *client = NULL;
	char longest[5000];

	(void)state;
	opts.endpoints = to;
	opts.nendpoints = 1;
	opts.dir = "/nowhere/at/all";
	assert_int_equal(handoff_client_open(&client, &opts), -ENOENT);
	assert_non_null(strstr(why, "/nowhere/at/all"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	opts.dir = longest;
	assert_int_equal(handoff_client_open(&client, &opts), -EINVAL);
	assert_non_null(strstr(why, "is longer than 4096 bytes"));
	opts.dir = support_dir();
	assert_int_equal(handoff_client_open(&client, &opts), 0);
	handoff_client_free(client);
}

static void
the_help_has_them(void **state)
{
	const char *help = handoff_client_opts_help();

	(void)state;
	assert_non_null(strstr(help, "  --connect ADDR       "));
	assert_non_null(strstr(help, "\n  --dir DIR            "));
	assert_non_null(strstr(help, "\n  --session            "));
	assert_int_equal(help[strlen(help) - 1], '\n');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_reaches_its_field),
		handoff_test(the_directory_of_the_environment),
		handoff_test(what_is_wrong_is_said),
		handoff_test(without_the_field_it_is_left),
		handoff_test(a_directory_stands_for_notices),
		handoff_test(the_help_has_them),
	};

	return cmocka_run_group_tests_name(
		"client_arguments", tests, NULL, NULL);
}
