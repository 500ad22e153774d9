/* SPDX-License-Identifier: MIT */
/*
 * How the calls behind the control tool deal with peers that are silent, leave,
 * start late, answer nonsense or too much, or belong to another user.
 */
#include "control/fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY 65534

/* Whether a lock is held can't be told: flock fails with this. */
static int blind;

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

int
__wrap_flock(int fd, int how)
{
	if (!(how & LOCK_SH) || blind == 0)
		return __real_flock(fd, how);
	errno = blind;
	return -1;
}

static void
silent_peer_is_unresponsive(void **state)
{
	(void)state;
	fake_start_owner(answer_all, NULL);
	fake_start(&(struct fake){
		.place = 2, .name = "alt", .answer = answer_never});
	assert_int_equal(fake_status(true), -ETIMEDOUT);
	assert_reply("{\"service\":\"echo\",\"peers\":["
		     "{\"name\":\"server\",\"role\":\"owner\"},"
		     "{\"name\":\"alt\",\"pid\":%d,\"role\":\"unresponsive\"}"
		     "]}\n",
		(int)fake_pids[2]);
	assert_int_equal(fake_status(false), -ETIMEDOUT);
	assert_table("echo: generation 3", "\nserver ", " owner ", "\nalt ",
		" unresponsive ", " - ", "no handoff yet\n");
	/* It may be the one that could come home: nobody can tell. */
	assert_int_equal(handoff_control_ready(fake_dir.path, false, &reply),
		-ETIMEDOUT);
	assert_reply("alt (pid %d): no answer within 2 s", (int)fake_pids[2]);
	/* The owner can be reached, and that is enough. */
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply), 0);
	assert_reply("server got maintenance\n");
}

/* It knows of the other hosts, its standby does not. */
static void
owner_says_what_a_lease_keeps_from_being_ready(void **state)
{
	(void)state;
	fake_start_owner(answer_only_text,
		"ok echo server owner 1\n"
		"lease CANDIDATE token 0 valid_ms 0\nas the owner\n");
	fake_start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "standby",
		.answer = answer_all});
	for (int silent = 0; silent < 2; silent++) {
		assert_int_equal(handoff_control_ready(
					 fake_dir.path, silent != 0, &reply),
			0);
		assert_non_null(strstr(reply, "as the owner\n"));
		free(reply);
		reply = NULL;
	}
}

static void
nobody_answers(void **state)
{
	(void)state;
	fake_start(&(struct fake){.place = 1, .name = "server"});
	fake_start(&(struct fake){.place = 2});
	assert_int_equal(fake_status(true), -ETIMEDOUT);
	assert_reply("{\"service\":null,\"peers\":["
		     "{\"name\":\"server\",\"pid\":%d,"
		     "\"role\":\"unresponsive\"},"
		     "{\"name\":null,\"pid\":null,"
		     "\"role\":\"unresponsive\"}]}\n",
		(int)fake_pids[1]);
}

static void
peer_that_leaves_is_forgotten(void **state)
{
	(void)state;
	fake_start(&(struct fake){
		.place = 1, .name = "old", .answer = answer_by_leaving});
	fake_start(&(struct fake){.place = 2,
		.name = "alt",
		.role = "owner",
		.answer = answer_all});
	assert_int_equal(fake_status(false), 0);
	assert_table("echo: ", "\nalt ", " owner ");
	fake_kill(1);
	fake_kill(2);
	fake_start(&(struct fake){
		.place = 1, .name = "old", .answer = answer_by_leaving});
	assert_int_equal(fake_status(false), -ENOENT);
	assert_reply("no server is running in %s: start one with --dir %s",
		fake_dir.path, fake_dir.path);
}

static void
status_is_asked_again(void **state)
{
	(void)state;
	fake_start_owner(answer_but_first, NULL);
	assert_int_equal(fake_status(false), 0);
	assert_table("echo: ", "\nserver ", " owner ");
}

/* The lock comes before the socket. */
static void
starting_peer_is_waited_for(void **state)
{
	pid_t pid;

	(void)state;
	fake_start(&(struct fake){.place = 1, .name = "server"});
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct fake fake = {.name = "server",
			.role = "owner",
			.answer = answer_all};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		poll(NULL, 0, 50);
		fake_serve(&fake, handoff__dir_listen(&fake_dir, "control.1",
					  SOCK_STREAM, NULL));
	}
	fake_pids[2] = pid;
	assert_int_equal(fake_status(false), 0);
	assert_table("echo: ", "\nserver ", " owner ");
}

/* It has its lock, and writes its name a moment later. */
static void
peer_that_has_just_come_has_a_name(void **state)
{
	char line[32];
	pid_t pid;
	int fd, len;

	(void)state;
	fake_start(&(struct fake){.place = 1,
		.role = "owner",
		.answer = answer_only_text,
		.text = "ok echo server owner 1\nstopped\n"});
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		poll(NULL, 0, 50);
		fd = openat(fake_dir.fd, "peer.1", O_WRONLY | O_CLOEXEC);
		len = snprintf(
			line, sizeof(line), "server %d\n", (int)fake_pids[1]);
		_exit(fd < 0 || write(fd, line, (size_t)len) != len);
	}
	assert_int_equal(
		handoff_control_stop(fake_dir.path, "server", &reply), 0);
	support_reap(pid);
}

static void
peer_that_cannot_be_told_is_no_absent_one(void **state)
{
	(void)state;
	fake_start_owner(answer_all, "");
	blind = ENFILE;
	assert_int_equal(fake_status(false), -ENFILE);
	blind = 0;
	assert_reply("service directory %s: cannot tell whether a peer holds "
		     "peer.1: Too many open files in system",
		fake_dir.path);
}

static void
refusal_is_passed_on(void **state)
{
	(void)state;
	fake_start_owner(answer_text,
		"error no standby is attached: start \"alt\" 100% first\nx");
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply),
		-ECANCELED);
	assert_reply("no standby is attached: start \"alt\" 100%% first");
	assert_int_equal(handoff_control_stop(fake_dir.path, "server", &reply),
		-ECANCELED);
	assert_reply("no standby is attached: start \"alt\" 100%% first");
}

static void
refused_status_is_passed_on(void **state)
{
	(void)state;
	fake_start_owner(answer_only_text, "error too many at once\n");
	assert_int_equal(fake_status(true), -ECANCELED);
	assert_reply("too many at once");
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply),
		-ECANCELED);
	assert_reply("too many at once");
}

static void
closing_without_an_answer(void **state)
{
	(void)state;
	fake_start_owner(answer_text, "");
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply),
		-ECONNRESET);
	assert_reply("server (pid %d): it closed the connection without an "
		     "answer: it is stopping, or has died; status shows what "
		     "has moved",
		(int)fake_pids[1]);
}

static void
answer_ends_with_a_newline(void **state)
{
	(void)state;
	fake_start_owner(answer_ok_and_text, "");
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply), 0);
	assert_reply("server: done\n");
	assert_int_equal(fake_status(false), 0);
	assert_table("echo: generation -", "\nserver ", " owner ",
		"no handoff yet\n");
	fake_kill(1);
	fake_start_owner(answer_ok_and_text, "moved\n3 connections");
	assert_int_equal(
		handoff_control_maintenance(fake_dir.path, NULL, &reply), 0);
	assert_reply("moved\n3 connections\n");
}

static void
nonsense_is_not_understood(void **state)
{
	static const char *const nonsense[] = {"hello\n", "\n", "ok\n",
		"ok echo server owner 1", "ok echo server owner\n",
		"ok echo server owner x\n", "ok echo server owner 1 more\n",
		"ok echo a/b owner 1\n", "ok e\"cho server owner 1\n",
		"okay echo server owner 1\n", "error\n", "error none",
		"ok echo server owner 1\nno object\n",
		"ok echo server owner 1\n{\n",
		"ok echo 12345678901234567890123456789012 owner 1\n{}"};

	(void)state;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		fake_start_owner(answer_only_text, nonsense[i]);
		assert_int_equal(fake_status(true), -EPROTO);
		assert_non_null(strstr(reply, "its answer is not understood"));
		free(reply);
		reply = NULL;
		fake_kill(1);
	}
	fake_start_owner(answer_a_nul, NULL);
	assert_int_equal(fake_status(true), -EPROTO);
}

static void
answers_are_bounded(void **state)
{
	(void)state;
	fake_start_owner(answer_megabytes, "15");
	assert_int_equal(fake_status(true), 0);
	assert_int_equal(strlen(reply),
		strlen("{\"service\":\"echo\",\"peers\":[{}]}\n") +
			15 * ((1 << 20) - 1));
	free(reply);
	reply = NULL;
	fake_kill(1);
	fake_start_owner(answer_megabytes, "17");
	assert_int_equal(fake_status(true), -EMSGSIZE);
	assert_reply("server (pid %d): its answer is longer than 16 MiB",
		(int)fake_pids[1]);
}

/* An owner of another user, for which the test must be root. */
static void
start_as_nobody(void)
{
	if (geteuid() != 0)
		skip();
	fake_start(&(struct fake){.place = 1,
		.name = "server",
		.role = "owner",
		.answer = answer_all,
		.uid = NOBODY});
}

static void
socket_of_another_user_is_refused(void **state)
{
	(void)state;
	start_as_nobody();
	assert_int_equal(fake_status(true), -EPERM);
	assert_reply("server (pid %d): its socket is not served by the owner "
		     "of the directory",
		(int)fake_pids[1]);
}

static void
root_may_ask_the_service_of_a_user(void **state)
{
	(void)state;
	start_as_nobody();
	assert_int_equal(fchown(fake_dir.fd, NOBODY, NOBODY), 0);
	assert_int_equal(fake_status(false), 0);
	assert_table("echo: ", "\nserver ", " owner ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		fake_test(silent_peer_is_unresponsive),
		fake_test(owner_says_what_a_lease_keeps_from_being_ready),
		fake_test(nobody_answers),
		fake_test(peer_that_leaves_is_forgotten),
		fake_test(status_is_asked_again),
		fake_test(starting_peer_is_waited_for),
		fake_test(peer_that_has_just_come_has_a_name),
		fake_test(peer_that_cannot_be_told_is_no_absent_one),
		fake_test(refusal_is_passed_on),
		fake_test(refused_status_is_passed_on),
		fake_test(closing_without_an_answer),
		fake_test(answer_ends_with_a_newline),
		fake_test(nonsense_is_not_understood),
		fake_test(answers_are_bounded),
		fake_test(socket_of_another_user_is_refused),
		fake_test(root_may_ask_the_service_of_a_user),
	};

	return cmocka_run_group_tests_name("call_answers", tests, NULL, NULL);
}
