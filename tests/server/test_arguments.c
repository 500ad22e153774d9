/* SPDX-License-Identifier: MIT */
/*
 * The usual options of a server on a command line: each sets its field, an
 * error names the option, and the help lists them all. Parsing a command line
 * is tested in tests/base/test_argv.c.
 */
#include "support/support.h"

#include <handoff.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 40

struct line {
	char *argv[WORDS_MAX + 1];
	int argc, rc;
	struct handoff_server_opts opts;
	char why[HANDOFF_TEXT_MAX];
};

static void
fill(struct line *line, const char *const *words)
{
	memset(line, 0, sizeof(*line));
	line->opts.size = sizeof(line->opts);
	line->opts.errbuf = line->why;
	line->opts.errbuf_size = sizeof(line->why);
	while (words[line->argc]) {
		line->argv[line->argc] = (char *)words[line->argc];
		line->argc++;
	}
}

static void
read_line(struct line *line, const char *const *words)
{
	fill(line, words);
	line->rc =
		handoff_server_opts_read(&line->opts, &line->argc, line->argv);
}

#define WORDS(...)                                                             \
	(const char *const[])                                                  \
	{                                                                      \
		"program", __VA_ARGS__, NULL                                   \
	}

static void
each_reaches_its_field(void **state)
{
	struct line line;
	const struct handoff_server_opts *o = &line.opts;

	(void)state;
	read_line(&line,
		WORDS("--dir", "/d", "--listen=:1", "--listen", "unix:/s",
			"--name=n", "--model=fork", "--workers=64",
			"--max-connections=1000000", "--max-per-address=5",
			"--refuse-excess", "--origin=7", "--fence",
			"--hang-timeout=1", "--give-timeout=2",
			"--stop-timeout=3", "--suspect-wait=4",
			"--connect-timeout=6", "--spread=3600000",
			"--lease=x:y", "--lease-ttl=9", "--lease-host=h",
			"--trace", "mine"));
	assert_int_equal(line.rc, 0);
	assert_int_equal(line.argc, 2);
	assert_string_equal(line.argv[1], "mine");
	assert_string_equal(o->dir, "/d");
	assert_int_equal(o->nlisten, 2);
	assert_string_equal(o->listen[0], ":1");
	assert_string_equal(o->listen[1], "unix:/s");
	assert_string_equal(o->name, "n");
	assert_int_equal(o->model, HANDOFF_MODEL_FORK);
	assert_int_equal(o->workers, 64);
	assert_int_equal(o->max_connections, 1000000);
	assert_int_equal(o->max_per_address, 5);
	assert_true(o->refuse_excess);
	assert_int_equal(o->origin, 7);
	assert_true(o->fence);
	assert_int_equal(o->hang_timeout_ms, 1);
	assert_int_equal(o->give_timeout_ms, 2);
	assert_int_equal(o->stop_timeout_ms, 3);
	assert_int_equal(o->suspect_wait_ms, 4);
	assert_int_equal(o->connect_timeout_ms, 6);
	assert_int_equal(o->spread_ms, 3600000);
	assert_string_equal(o->lease, "x:y");
	assert_int_equal(o->lease_ttl_s, 9);
	assert_string_equal(o->lease_host, "h");
	assert_true(o->trace);
	assert_string_equal(line.why, "");
}

/* Nothing but what was given is set. */
static void
defaults_stay(void **state)
{
	struct line line, before;

	(void)state;
	fill(&before, WORDS("--verbose"));
	read_line(&line, WORDS("--verbose"));
	assert_int_equal(line.rc, 0);
	assert_int_equal(line.argc, 2);
	before.opts.errbuf = line.why;
	assert_memory_equal(&line.opts, &before.opts, sizeof(line.opts));
}

static void
the_directory_of_the_environment(void **state)
{
	struct line line;

	(void)state;
	setenv("HANDOFF_DIR", "/e", 1);
	read_line(&line, WORDS("--trace"));
	assert_string_equal(line.opts.dir, "/e");
	read_line(&line, WORDS("--dir=/d"));
	assert_string_equal(line.opts.dir, "/d");
	unsetenv("HANDOFF_DIR");
}

static void
assert_refused(const char *sentence, const char *const *words)
{
	struct line line;

	read_line(&line, words);
	assert_int_equal(line.rc, -EINVAL);
	assert_string_equal(line.why, sentence);
	assert_null(line.opts.dir);
	assert_string_equal(line.argv[1], "--dir=/d");
}

static void
values_that_are_wrong(void **state)
{
	(void)state;
	assert_refused("--model: 'fast' is none of loop, thread, fork, "
		       "iterative",
		WORDS("--dir=/d", "--model=fast"));
	assert_refused("--name: '../x' is not a name: 1 to 31 of A-Z a-z 0-9 "
		       ". _ -, the first not a dot",
		WORDS("--dir=/d", "--name", "../x"));
	assert_refused("--listen: address '7000': want HOST:PORT, "
		       "[IPV6]:PORT, :PORT or unix:/PATH",
		WORDS("--dir=/d", "--listen=:1", "--listen", "7000"));
	assert_refused("--workers: '65' is not a number from 1 to 64",
		WORDS("--dir=/d", "--workers=65"));
	assert_refused("--max-connections: '1000001' is not a number from 1 "
		       "to 1000000",
		WORDS("--dir=/d", "--max-connections=1000001"));
	assert_refused("--spread: '3600001' is not a number from 1 to 3600000",
		WORDS("--dir=/d", "--spread=3600001"));
	assert_refused("--lease-ttl: 1 s are too short for a lease: want 2 to "
		       "3600",
		WORDS("--dir=/d", "--lease-ttl=1"));
	assert_refused("--dir is given twice: '/d' and '/e'",
		WORDS("--dir=/d", "--dir=/e"));
	assert_refused("--fence takes no value, but got '1'",
		WORDS("--dir=/d", "--fence=1"));
}

static void
arguments_that_make_no_sense(void **state)
{
	struct line line;

	(void)state;
	fill(&line, WORDS("--dir"));
	assert_int_equal(
		handoff_server_opts_read(NULL, &line.argc, line.argv), -EINVAL);
	assert_int_equal(
		handoff_server_opts_read(&line.opts, NULL, line.argv), -EINVAL);
	assert_int_equal(handoff_server_opts_read(&line.opts, &line.argc, NULL),
		-EINVAL);
	line.argc = -1;
	assert_int_equal(
		handoff_server_opts_read(&line.opts, &line.argc, line.argv),
		-EINVAL);
	line.argc = 2;
	line.opts.size = sizeof(size_t);
	assert_int_equal(
		handoff_server_opts_read(&line.opts, &line.argc, line.argv),
		-EINVAL);
	assert_string_equal(line.why, "");
	/* Without a buffer the sentence is lost, and nothing else. */
	line.opts.size = sizeof(line.opts);
	line.opts.errbuf = NULL;
	assert_int_equal(
		handoff_server_opts_read(&line.opts, &line.argc, line.argv),
		-EINVAL);
}

/* Every option that begins a line of the help is one, with a value where the
 * help has a word for it; and lines fit a terminal. */
static void
the_help_is_true(void **state)
{
	char text[4096], *rest = text, *row;
	int count = 0;

	(void)state;
	assert_true(strlen(handoff_server_opts_help()) < sizeof(text));
	strcpy(text, handoff_server_opts_help());
	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((row = strsep(&rest, "\n")) && rest) {
		char name[32] = "", value[32] = "";
		struct line line;

		assert_in_range(strlen(row), 30, 79);
		assert_int_equal(row[22], ' ');
		assert_int_not_equal(row[23], ' ');
		if (row[2] == ' ')
			continue;
		row[22] = '\0';
		assert_in_range(sscanf(row, "%31s %31s", name, value), 1, 2);
		read_line(&line, WORDS(name));
		assert_int_equal(line.rc, value[0] ? -EINVAL : 0);
		assert_int_equal(line.argc, value[0] ? 2 : 1);
		count++;
	}
	assert_int_equal(count, 26);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_reaches_its_field),
		handoff_test(defaults_stay),
		handoff_test(the_directory_of_the_environment),
		handoff_test(values_that_are_wrong),
		handoff_test(arguments_that_make_no_sense),
		handoff_test(the_help_is_true),
	};

	return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
