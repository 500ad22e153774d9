/* SPDX-License-Identifier: MIT */
/* Addresses of the component, without a server: what is taken, what is refused
 * with which sentence, files with secrets; and JetStream's answers. */
#include "support/support.h"

#include "nats/address.h"
#include "nats/answer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static struct handoff__error error;

static const char *
in_folder(const char *name, const char *text, unsigned mode)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void
begin(void)
{
	snprintf(folder, sizeof(folder), "%s", support_dir());
}

static struct handoff__nats_address
parse(const char *rest, bool tls)
{
	struct handoff__nats_address a;

	error.text[0] = '\0';
	if (handoff__nats_address_parse(&a, rest, tls, &error) < 0)
		fail_msg("%s", error.text);
	return a;
}

static void
refuse(const char *rest, bool tls, int err, const char *text)
{
	struct handoff__nats_address a;

	assert_int_equal(
		handoff__nats_address_parse(&a, rest, tls, &error), err);
	if (!strstr(error.text, text))
		fail_msg("'%s' is not in '%s'", text, error.text);
}

static void
test_parts(void **state)
{
	struct handoff__nats_address a;

	(void)state;
	a = parse("//127.0.0.1:4222/echo", false);
	assert_int_equal(a.nservers, 1);
	assert_string_equal(a.servers[0], "nats://127.0.0.1:4222");
	assert_string_equal(a.service, "echo");
	assert_string_equal(a.stream, "HANDOFF");
	assert_string_equal(a.state, "handoff.state.echo");
	assert_string_equal(a.live, "handoff.live.echo");
	assert_int_equal(a.replicas, 1);
	handoff__nats_address_free(&a);
	a = parse("//a,b:1,[::1]:2/x.y-z_1?replicas=5&stream=S", true);
	assert_int_equal(a.nservers, 3);
	assert_string_equal(a.servers[0], "tls://a");
	assert_string_equal(a.servers[2], "tls://[::1]:2");
	assert_string_equal(a.hosts, "a,b:1,[::1]:2");
	assert_string_equal(a.stream, "S");
	assert_int_equal(a.replicas, 5);
	handoff__nats_address_free(&a);
	a = parse("//a,b,c/x", false);
	assert_int_equal(a.replicas, 3);
	handoff__nats_address_free(&a);
	handoff__nats_address_free(&a);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *rest, *text;
	} bad[] = {
		{"", "want nats://HOST:PORT"},
		{"/tmp/echo", "want nats://HOST:PORT"},
		{"//127.0.0.1:4222", "want nats://HOST:PORT"},
		{"///echo", "'' is no HOST:PORT"},
		{"//a,,b/echo", "'' is no HOST:PORT"},
		{"//a b/echo", "'a b' is no HOST:PORT"},
		{"//me:secret@a/echo", "no user or password in an address"},
		{"//a,b,c,d,e,f,g,h,i/echo", "at most 8 servers"},
		{"//a/", "service ''"},
		{"//a/a..b", "service 'a..b'"},
		{"//a/a.", "service 'a.'"},
		{"//a/a>", "service 'a>'"},
		{"//a/b/c", "service 'b/c'"},
		{"//a/b?x=1", "'x' is no option"},
		{"//a/b?", "'' is no option"},
		{"//a/b?replicas=6", "want 1 to 5"},
		{"//a/b?replicas=11", "want 1 to 5"},
		{"//a/b?stream=x.y", "stream=x.y"},
		{"//a/b?ca=/x", "want nats+tls://"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse(bad[i].rest, false, -EINVAL, bad[i].text);
	refuse("//a/b?cert=/x", true, -EINVAL, "go together");
	refuse("//a/b?ca=/x&ca=/y", true, -EINVAL, "named already");
	refuse("//a/b?ca=/nowhere/x", true, -ENOENT, "cannot read /nowhere/x");
	refuse("//a/b?login=/nowhere/x", false, -EACCES,
		"cannot read /nowhere/x");
	refuse("//a/b?login=/x&creds=/y", false, -EINVAL, "either");
}

static void
test_secrets(void **state)
{
	struct handoff__nats_login login;
	struct handoff__nats_address a;
	char rest[200], big[600];
	const char *path;

	(void)state;
	begin();
	path = in_folder("login", "me:a:b\nmore\n", 0644);
	snprintf(rest, sizeof(rest), "//a/b?login=%s", path);
	refuse(rest, false, -EACCES, "its mode is 0644");
	path = in_folder("login", "me:a:b\nmore\n", 0600);
	a = parse(rest, false);
	assert_int_equal(handoff__nats_login_read(&login, a.login, &error), 0);
	assert_string_equal(login.user, "me");
	assert_string_equal(login.password, "a:b");
	in_folder("login", "token", 0600);
	assert_int_equal(handoff__nats_login_read(&login, a.login, &error), 0);
	assert_string_equal(login.user, "token");
	assert_null(login.password);
	in_folder("login", "", 0600);
	assert_int_equal(
		handoff__nats_login_read(&login, a.login, &error), -EINVAL);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	in_folder("login", big, 0600);
	assert_int_equal(
		handoff__nats_login_read(&login, a.login, &error), -EINVAL);
	assert_non_null(strstr(error.text, "want a line with USER:PASSWORD"));
	handoff__nats_address_free(&a);
}

/* The program may change its directory later. */
static void
test_relative_paths(void **state)
{
	struct handoff__nats_address a;
	char before[256], want[128];

	(void)state;
	begin();
	in_folder("ca.pem", "x", 0644);
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	a = parse("//a/b?ca=ca.pem", true);
	assert_int_equal(chdir(before), 0);
	snprintf(want, sizeof(want), "%s/ca.pem", folder);
	assert_string_equal(a.ca, want);
	handoff__nats_address_free(&a);
}

static struct handoff__nats_answer
answer(const char *json)
{
	struct handoff__nats_answer a;

	handoff__nats_answer_read(&a, json, strlen(json));
	return a;
}

static void
test_answers(void **state)
{
	struct handoff__nats_answer a;
	char big[5000];

	(void)state;
	a = answer("{\"stream\":\"HANDOFF\", \"seq\":17}");
	assert_int_equal(a.seq, 17);
	assert_int_equal(a.code, 0);
	a = answer("{\"error\":{\"code\":400,\"err_code\":10071,"
		   "\"description\":\"wrong last sequence: 4\"},\"seq\":0}");
	assert_int_equal(a.code, HANDOFF__NATS_WRONG_SEQUENCE);
	assert_int_equal(a.seq, 0);
	assert_string_equal(a.error, "wrong last sequence: 4");
	a = answer("{\"error\":{}}");
	assert_int_equal(a.code, 1);
	assert_string_equal(a.error, "");
	for (const char *const *text = (const char *const[]){"", "{",
		     "\"seq\":", "{\"seq\":\"x\"}", "{\"seq\":-1}", "seq",
		     NULL};
		*text; text++)
		assert_int_equal(answer(*text).seq, 0);
	memset(big, 'a', sizeof(big));
	memcpy(big, "{\"error\":{\"description\":\"", 25);
	handoff__nats_answer_read(&a, big, sizeof(big));
	assert_int_equal(strlen(a.error), sizeof(a.error) - 1);
	handoff__nats_answer_read(&a, NULL, 0);
	assert_int_equal(a.seq, 0);
}

static void
test_stream(void **state)
{
	struct handoff__nats_address a = parse("//a/b?replicas=2", false);
	char *json = handoff__nats_answer_stream(&a);

	(void)state;
	assert_non_null(strstr(json, "\"name\":\"HANDOFF\""));
	assert_non_null(strstr(json, "\"num_replicas\":2"));
	assert_non_null(strstr(json, "\"src\":\"handoff.state.>\""));
	free(json);
	handoff__nats_address_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_parts),
		handoff_test(test_refused),
		handoff_test(test_secrets),
		handoff_test(test_relative_paths),
		handoff_test(test_answers),
		handoff_test(test_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
