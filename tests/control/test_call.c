/* SPDX-License-Identifier: MIT */
/*
 * The calls behind the control tool: which peer each command goes to, what it
 * returns, and the error if that peer does not exist.
 */
#include "control/fake.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void
status_names_all_owner_first(void **state)
{
	(void)state;
	fake_start_pair();
	assert_int_equal(fake_status(true), 0);
	assert_reply("{\"service\":\"echo\",\"peers\":["
		     "{\"name\":\"alt\",\"role\":\"owner\"},"
		     "{\"name\":\"server\",\"role\":\"standby\"}]}\n");
	assert_int_equal(fake_status(false), 0);
	assert_table("echo: generation 3", "\nalt ", " owner ", " 17 ",
		"\nserver ", " standby ", " 17 ", "no handoff yet\n");
	fake_kill(2);
	assert_int_equal(fake_status(true), 0);
	assert_reply("{\"service\":\"echo\",\"peers\":["
		     "{\"name\":\"server\",\"role\":\"standby\"}]}\n");
}

static void
metrics_of_all_are_one_text(void **state)
{
	(void)state;
	fake_start_pair();
	assert_int_equal(handoff_control_metrics(fake_dir.path, &reply), 0);
	assert_table("# TYPE handoff_up gauge\n", "peer=\"alt\"", "} 1\n",
		"peer=\"server\"", "} 1\n");
	fake_kill(1);
	fake_start(&(struct fake){
		.place = 1, .name = "server", .answer = answer_never});
	assert_int_equal(
		handoff_control_metrics(fake_dir.path, &reply), -ETIMEDOUT);
	assert_table("peer=\"alt\"", "} 1\n", "peer=\"server\"", "} 0\n");
	assert_int_equal(handoff_control_metrics(fake_dir.path, NULL), -EINVAL);
	fake_kill(1);
	fake_kill(2);
	assert_int_equal(
		handoff_control_metrics(fake_dir.path, &reply), -ENOENT);
	fake_start_owner(answer_text, "error unknown request: want status\n");
	free(reply);
	reply = NULL;
	assert_int_equal(
		handoff_control_metrics(fake_dir.path, &reply), -ECANCELED);
	assert_reply("unknown request: want status");
}

static void
commands_go_to_whom_they_are_for(void **state)
{
	(void)state;
	fake_start_pair();
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply), 0);
	assert_reply("alt got maintenance\n");
	assert_int_equal(
		handoff_control_ready(fake_dir.path, false, &reply), 0);
	assert_reply("server got ready\n");
	assert_int_equal(handoff_control_ready(fake_dir.path, true, &reply), 0);
	assert_reply("server got ready silent\n");
	assert_int_equal(handoff_control_stay(fake_dir.path, &reply), 0);
	assert_reply("alt got stay\n");
	assert_int_equal(handoff_control_stop(fake_dir.path, "alt", &reply), 0);
	assert_reply("alt got stop\n");
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "server", &reply), 0);
	assert_reply("server got stop\n");
}

static void
assert_file(const char *path, const char *text)
{
	char data[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, data, sizeof(data) - 1), strlen(text));
	assert_string_equal(data, text);
	close(fd);
}

static void
dump_goes_to_a_file(void **state)
{
	char path[128], missing[160];

	(void)state;
	fake_start_owner(answer_dump, NULL);
	snprintf(path, sizeof(path), "%.99s/picture", fake_dir.path);
	assert_int_equal(handoff_control_dump(fake_dir.path, path, &reply), 0);
	assert_reply("dumped\n");
	assert_file(path, "{}\n");
	snprintf(missing, sizeof(missing), "%.99s/missing/picture",
		fake_dir.path);
	assert_int_equal(
		handoff_control_dump(fake_dir.path, missing, &reply), -ENOENT);
	assert_reply(
		"%s: cannot create it: No such file or directory", missing);
}

static void
dump_that_fails_leaves_what_was_there(void **state)
{
	char path[128];

	(void)state;
	fake_start_owner(answer_dump, "error the disc is full\n");
	snprintf(path, sizeof(path), "%.99s/picture", fake_dir.path);
	assert_int_equal(
		handoff_control_dump(fake_dir.path, path, &reply), -ECANCELED);
	assert_reply("the disc is full");
	assert_int_equal(access(path, F_OK), -1);
}

static void
nobody_is_there(void **state)
{
	(void)state;
	/* The files of the dead are left behind. */
	fake_start_owner(answer_all, NULL);
	fake_kill(1);
	assert_int_equal(fake_status(true), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		fake_dir.path, fake_dir.path);
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply),
		-ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		fake_dir.path, fake_dir.path);
	assert_int_equal(
		handoff_control_ready(fake_dir.path, false, &reply), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		fake_dir.path, fake_dir.path);
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "server", &reply), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		fake_dir.path, fake_dir.path);
}

static void
directory_is_checked(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/missing", support_dir());
	assert_int_equal(handoff_control_status(path, true, &reply), -ENOENT);
	assert_reply("service directory %s: cannot open it: No such file or "
		     "directory",
		path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(handoff_control_stop(path, "a", &reply), -EACCES);
	assert_non_null(strstr(reply, "chmod 700"));
}

static void
bad_arguments_are_refused(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	assert_int_equal(
		handoff_control_status(fake_dir.path, true, NULL), -EINVAL);
	assert_int_equal(handoff_control_maintenance(fake_dir.path, NULL, NULL),
		-EINVAL);
	assert_int_equal(
		handoff_control_ready(fake_dir.path, true, NULL), -EINVAL);
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "a", NULL), -EINVAL);
	assert_int_equal(
		handoff_control_stop(fake_dir.path, NULL, &reply), -EINVAL);
	assert_reply("stop: no name was given");
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "", &reply), -EINVAL);
	assert_reply("stop: no name was given");
	assert_int_equal(handoff_control_maintenance(fake_dir.path, "", &reply),
		-EINVAL);
	assert_reply("maintenance: the name is empty");
	assert_int_equal(
		handoff_control_dump(fake_dir.path, "-", NULL), -EINVAL);
	assert_int_equal(
		handoff_control_dump(fake_dir.path, NULL, &reply), -EINVAL);
	assert_reply("dump: no file was given");
	assert_int_equal(
		handoff_control_dump(fake_dir.path, "", &reply), -EINVAL);
	assert_reply("dump: no file was given");
	assert_int_equal(handoff_control_status(NULL, true, &reply), -EINVAL);
	assert_non_null(reply);
}

static void
without_an_owner(void **state)
{
	(void)state;
	fake_start(&(struct fake){.place = 1,
		.name = "alt",
		.role = "waiting",
		.answer = answer_all});
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply),
		-ECANCELED);
	assert_reply("no peer owns the service: alt (pid %d) in %s: start a "
		     "server with --listen on it",
		(int)fake_pids[1], fake_dir.path);
}

static void
without_a_standby(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	assert_int_equal(
		handoff_control_ready(fake_dir.path, true, &reply), -ECANCELED);
	assert_reply("no standby to bring home: only server (pid %d) is in "
		     "%s; start the other server on it first",
		(int)fake_pids[1], fake_dir.path);
	fake_start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "waiting",
		.answer = answer_all});
	assert_int_equal(
		handoff_control_ready(fake_dir.path, true, &reply), -ECANCELED);
	assert_reply("neither is a standby: server (pid %d), alt (pid %d)",
		(int)fake_pids[1], (int)fake_pids[2]);
}

static void
stop_of_a_stranger(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "alt", &reply), -ENOENT);
	assert_reply("no peer alt in %s: server (pid %d) is there",
		fake_dir.path, (int)fake_pids[1]);
	fake_start(
		&(struct fake){.place = 2, .name = "b", .answer = answer_all});
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "alt", &reply), -ENOENT);
	assert_reply("no peer alt in %s: server (pid %d), b (pid %d) are there",
		fake_dir.path, (int)fake_pids[1], (int)fake_pids[2]);
}

static void
stop_waits_for_the_end(void **state)
{
	siginfo_t info = {0};

	(void)state;
	fake_start_owner(answer_and_end_slowly, NULL);
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "server", &reply), 0);
	assert_reply("stop\n");
	assert_int_equal(waitid(P_PID, (id_t)fake_pids[1], &info,
				 WEXITED | WNOHANG | WNOWAIT),
		0);
	assert_int_equal(info.si_pid, fake_pids[1]);
}

static void
twins_are_told_apart_by_pid(void **state)
{
	char pid[16];

	(void)state;
	fake_start_owner(answer_all, NULL);
	fake_start(&(struct fake){.place = 2,
		.name = "server",
		.role = "standby",
		.answer = answer_all});
	assert_int_equal(handoff_control_stop(fake_dir.path, "server", &reply),
		-ECANCELED);
	assert_reply("two peers have the name server: server (pid %d), server "
		     "(pid %d); name one by its pid",
		(int)fake_pids[1], (int)fake_pids[2]);
	snprintf(pid, sizeof(pid), "%d", (int)fake_pids[2]);
	assert_int_equal(handoff_control_stop(fake_dir.path, pid, &reply), 0);
	assert_reply("server got stop\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		fake_test(status_names_all_owner_first),
		fake_test(metrics_of_all_are_one_text),
		fake_test(commands_go_to_whom_they_are_for),
		fake_test(dump_goes_to_a_file),
		fake_test(dump_that_fails_leaves_what_was_there),
		fake_test(nobody_is_there),
		fake_test(directory_is_checked),
		fake_test(bad_arguments_are_refused),
		fake_test(without_an_owner),
		fake_test(without_a_standby),
		fake_test(stop_of_a_stranger),
		fake_test(stop_waits_for_the_end),
		fake_test(twins_are_told_apart_by_pid),
	};

	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
