/* SPDX-License-Identifier: MIT */
/* The steering hook, with shell scripts in its place. */
#include "support/support.h"

#include "ferry/hook.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct handoff__loop loop;
static struct handoff__hook hook;
static struct handoff__error error;
static char path[256], output[256];

struct outcome {
	unsigned calls;
	int err;
	char why[HANDOFF_TEXT_MAX];
};

static void
note(void *arg, int err, const char *why)
{
	struct outcome *outcome = arg;

	outcome->calls++;
	outcome->err = err;
	snprintf(outcome->why, sizeof(outcome->why), "%s", why);
}

static void
write_script(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\nout='%s'\n%s\n", output, text) > 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int
setup(void **state)
{
	if (support_setup(state) < 0)
		return -1;
	memset(&hook, 0, sizeof(hook));
	snprintf(path, sizeof(path), "%.200s/hook", support_dir());
	snprintf(output, sizeof(output), "%.200s/output", support_dir());
	return handoff__loop_init(&loop);
}

static int
teardown(void **state)
{
	handoff__hook_close(&hook);
	handoff__loop_fini(&loop);
	return support_teardown(state);
}

#define hook_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
open_hook(const char *script, int timeout_ms)
{
	write_script(script, 0700);
	assert_int_equal(
		handoff__hook_open(&hook, &loop, path, timeout_ms, &error), 0);
}

static void
run_until(const struct outcome *outcome, unsigned calls)
{
	while (outcome->calls < calls)
		assert_true(handoff__loop_dispatch(&loop, -1) >= 0);
}

static struct handoff__flow
flow(int family, const char *local, uint16_t local_port, const char *peer,
	uint16_t peer_port)
{
	struct handoff__flow f = {.family = family == AF_INET ? 4 : 6,
		.local_port = local_port,
		.peer_port = peer_port};

	assert_int_equal(inet_pton(family, local, f.local), 1);
	assert_int_equal(inet_pton(family, peer, f.peer), 1);
	return f;
}

static void
assert_output(const char *expected)
{
	char text[1024];
	int fd = open(output, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	assert_string_equal(text, expected);
}

static void
flows_are_lines(void **state)
{
	struct handoff__flow flows[] = {
		flow(AF_INET, "192.0.2.7", 7000, "198.51.100.9", 40112),
		flow(AF_INET6, "2001:db8::7", 443, "2001:db8:1::9", 1024)};
	struct outcome outcome = {.calls = 0};

	(void)state;
	open_hook("echo \"$# $1 $(pwd)\" >$out; cat >>$out", 0);
	assert_int_equal(handoff__hook_run(&hook, HANDOFF__HOOK_FLIP, flows, 2,
				 note, &outcome),
		0);
	assert_int_equal(outcome.calls, 0);
	run_until(&outcome, 1);
	assert_int_equal(outcome.err, 0);
	assert_string_equal(outcome.why, "");
	assert_output("1 flip /\n4 192.0.2.7 7000 198.51.100.9 40112\n"
		      "6 2001:db8::7 443 2001:db8:1::9 1024\n");
}

/* What a shell sets itself is all there is, and no descriptor but three. */
static void
nothing_is_inherited(void **state)
{
	struct outcome outcome = {.calls = 0};
	int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */

	(void)state;
	assert_true(leak >= 0);
	setenv("HANDOFF_SECRET", "1", 1);
	open_hook("tr '\\0' '\\n' </proc/$$/environ >$out\n"
		  "for fd in /proc/$$/fd/*; do\n"
		  "  case ${fd##*/} in 0|1|2|10|255) ;; *) [ -e $fd ] && echo "
		  "${fd##*/} >>$out; esac\ndone\n"
		  "sed -En '/^Sig(Blk|Ign):/s/.*(.{7})$/\\1/p' "
		  "/proc/self/status >>$out",
		0);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(handoff__hook_run(&hook, HANDOFF__HOOK_FINAL, NULL, 0,
				 note, &outcome),
		0);
	run_until(&outcome, 1);
	signal(SIGPIPE, SIG_DFL);
	close(leak);
	assert_int_equal(outcome.err, 0);
	assert_output("0000000\n0000000\n"); /* libc has its own above 31 */
}

static void
a_failure_has_its_words(void **state)
{
	struct outcome outcome = {.calls = 0};
	char expected[600];

	(void)state;
	open_hook("echo 'no such \ttable' >&2; echo more >&2; exit 3", 0);
	handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0, note, &outcome);
	run_until(&outcome, 1);
	assert_int_equal(outcome.err, -ECANCELED);
	snprintf(expected, sizeof(expected),
		"hook %s hold: ended with status 3: no such ?table", path);
	assert_string_equal(outcome.why, expected);
	write_script("exit 1", 0700);
	handoff__hook_run(&hook, HANDOFF__HOOK_PASS, NULL, 0, note, &outcome);
	run_until(&outcome, 2);
	assert_non_null(strstr(outcome.why, "status 1: it gave no reason"));
	write_script("kill -9 $$", 0700);
	handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0, note, &outcome);
	run_until(&outcome, 3);
	assert_int_equal(outcome.err, -ECANCELED);
	assert_non_null(strstr(outcome.why, "was killed by signal 9"));
}

static void
it_may_read_nothing_and_say_much(void **state)
{
	struct handoff__flow *flows = calloc(4096, sizeof(*flows));
	struct outcome outcome = {.calls = 0};

	(void)state;
	assert_non_null(flows);
	for (int i = 0; i < 4096; i++)
		flows[i] = flow(AF_INET6, "2001:db8::7", 443, "2001:db8::9", 1);
	signal(SIGPIPE, SIG_IGN);
	open_hook("head -c 200000 /dev/zero >&2; exit 1", 0);
	assert_int_equal(handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, flows,
				 4096, note, &outcome),
		0);
	run_until(&outcome, 1);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(outcome.err, -ECANCELED);
	free(flows);
}

/* What it has started ends with it. */
static void
it_has_a_time_limit(void **state)
{
	struct outcome outcome = {.calls = 0};

	(void)state;
	open_hook("sleep 1000 & wait", 50);
	handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0, note, &outcome);
	run_until(&outcome, 1);
	assert_int_equal(outcome.err, -ETIMEDOUT);
	assert_non_null(strstr(
		outcome.why, "did not end within 50 ms, and was killed"));
}

static void
runs_are_in_order(void **state)
{
	struct outcome outcome = {.calls = 0};

	(void)state;
	open_hook("echo $1 >>$out", 0);
	handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0, note, &outcome);
	handoff__hook_run(&hook, HANDOFF__HOOK_FLIP, NULL, 0, note, &outcome);
	handoff__hook_run(&hook, HANDOFF__HOOK_FINAL, NULL, 0, note, &outcome);
	run_until(&outcome, 3);
	assert_output("hold\nflip\nfinal\n");
	for (int i = 0; i < HANDOFF__HOOK_RUNS; i++)
		assert_int_equal(handoff__hook_run(&hook, HANDOFF__HOOK_HOLD,
					 NULL, 0, note, &outcome),
			0);
	assert_int_equal(handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0,
				 note, &outcome),
		-ENOBUFS);
}

/* One that is closed while it runs leaves no child. */
static void
closing_kills(void **state)
{
	struct outcome outcome = {.calls = 0};

	(void)state;
	open_hook("sleep 1000", 0);
	handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0, note, &outcome);
	while (hook.pid == 0 && outcome.calls == 0)
		assert_true(handoff__loop_dispatch(&loop, -1) >= 0);
	handoff__hook_close(&hook);
	assert_int_equal(outcome.calls, 0);
}

static int
refused(const char *at)
{
	return handoff__hook_open(&hook, &loop, at, 0, &error);
}

static void
what_may_not_run_is_refused(void **state)
{
	struct outcome outcome = {.calls = 0};

	(void)state;
	assert_int_equal(refused("hook"), -EINVAL);
	assert_string_equal(error.text, "hook hook: want an absolute path");
	assert_int_equal(refused(path), -ENOENT);
	write_script("", 0722);
	assert_int_equal(refused(path), -EPERM);
	write_script("", 0600);
	assert_int_equal(refused(path), -EACCES);
	assert_int_equal(refused("/tmp"), -EINVAL);
	write_script("", 0700);
	assert_int_equal(refused(path), 0);
	support_not_in_valgrind(); /* a failed exec is a status there */
	assert_int_equal(unlink(path), 0);
	handoff__hook_run(&hook, HANDOFF__HOOK_HOLD, NULL, 0, note, &outcome);
	run_until(&outcome, 1);
	assert_int_equal(outcome.err, -ENOENT);
	assert_non_null(strstr(outcome.why,
		" hold: cannot be started: No such file or directory"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		hook_test(flows_are_lines),
		hook_test(nothing_is_inherited),
		hook_test(a_failure_has_its_words),
		hook_test(it_may_read_nothing_and_say_much),
		hook_test(it_has_a_time_limit),
		hook_test(runs_are_in_order),
		hook_test(closing_kills),
		hook_test(what_may_not_run_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
