/* SPDX-License-Identifier: MIT */
/*
 * Opening a server: which options are refused, with which errno and sentence,
 * and that a refused open leaves nothing behind.
 */
#include "server/duo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN_MAX 64

/* The first socket of the service directory that listens tells others that a
 * peer is there: it gets this signal then. */
static int early_signal;

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

int
__wrap_listen(int fd, int backlog)
{
	int rc = __real_listen(fd, backlog), number = early_signal;

	early_signal = 0;
	if (number != 0)
		raise(number);
	return rc;
}

/* Is refused by that errno with a sentence that has `why` in it; the handle
 * is left alone. */
static void
refused(struct host *host, int err, const char *why)
{
	struct handoff_server *before = (void *)host;

	host->server = before;
	host->why[0] = '\0';
	assert_int_equal(handoff_server_open(&host->server, &host->opts), err);
	assert_ptr_equal(host->server, before);
	host->server = NULL;
	if (!strstr(host->why, why))
		fail_msg("'%s' is not in '%s'", why, host->why);
}

static void
nothing_is_refused(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(handoff_server_open(NULL, &duo.a.opts), -EINVAL);
	assert_int_equal(handoff_server_open(&duo.a.server, NULL), -EINVAL);
}

static void
names_are_checked(void **state)
{
	static const char *const bad[] = {NULL, "", ".x", "a/b", "a b", "ä",
		"12345678901234567890123456789012"};
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		duo.a.opts.name = bad[i];
		refused(&duo.a, -EINVAL, "names of peer and service must be");
	}
	duo.a.opts.name = "server";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		duo.a.service.name = bad[i];
		refused(&duo.a, -EINVAL, "names of peer and service must be");
	}
}

static void
service_is_checked(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.service = NULL;
	refused(&duo.a, -EINVAL, "opts.service is missing");
	duo.a.opts.service = &duo.a.service;
	duo.a.service.size = 0;
	refused(&duo.a, -EINVAL, "opts.service is missing or of another size");
	duo.a.service.size = sizeof(duo.a.service);
	duo.a.service.handle = NULL;
	refused(&duo.a, -EINVAL, "service lines has no handler");
	duo.a.service.handle = serve_lines;
	duo.a.service.state_size = 65537;
	refused(&duo.a, -EINVAL, "state_size is at most 65536");
	duo.a.service.state_size = 4;
	duo.a.service.input_size = (1 << 20) + 1;
	refused(&duo.a, -EINVAL, "at most 1048576 bytes");
	duo.a.service.input_size = 0;
	duo.a.service.output_size = UINT32_MAX;
	refused(&duo.a, -EINVAL, "at most 1048576 bytes");
}

static void
counts_and_model_are_checked(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.nlisten = LISTEN_MAX + 1;
	refused(&duo.a, -EINVAL, "at most 64 addresses");
	duo.a.opts.nlisten = 1;
	duo.a.opts.listen = NULL;
	refused(&duo.a, -EINVAL, "at most 64 addresses");
	duo.a.opts.listen = duo.a.listen;
	duo.a.opts.nextras = 1;
	refused(&duo.a, -EINVAL, "extra descriptors");
	duo.a.opts.nextras = 0;
	duo.a.opts.model = (enum handoff_model)7;
	refused(&duo.a, -EINVAL, "unknown model");
}

/* Beginning again at generation 1, it would tell clients what they take for
 * old. */
static void
notice_that_cannot_be_read_is_no_absent_one(void **state)
{
	struct duo duo;
	char path[HANDOFF_TEXT_MAX];

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	snprintf(path, sizeof(path), "%s/notice", duo.a.opts.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	refused(&duo.a, -EISDIR, "cannot read the retained notice");
}

/* It would serve beside the host that has the lease. */
static void
parts_of_a_lease_need_one(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.lease_ttl_s = 15;
	refused(&duo.a, -EINVAL, "(--lease-ttl) without a lease");
	duo.a.opts.lease_ttl_s = 0;
	duo.a.opts.lease_host = "a";
	refused(&duo.a, -EINVAL, "(--lease-host) without a lease");
	duo.a.opts.lease = "x:y";
	duo.a.opts.lease_ttl_s = 4294970; /* 2.7 s in 32 bits of ms */
	refused(&duo.a, -EINVAL, "lease_ttl_s is 4294970: at most 3600");
}

static void
directory_is_checked(void **state)
{
	struct duo duo;
	char path[HANDOFF_TEXT_MAX], *longest = malloc(2000);

	(void)state;
	assert_non_null(longest);
	memset(longest, 'x', 2000);
	longest[1999] = '\0';
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	snprintf(path, sizeof(path), "%s/open", duo.a.opts.dir);
	duo.a.opts.dir = NULL;
	refused(&duo.a, -EINVAL, "there is no service directory");
	duo.a.opts.dir = "";
	refused(&duo.a, -EINVAL, "service directory: the path is empty");
	duo.a.opts.dir = longest;
	refused(&duo.a, -EINVAL, "longer than");
	duo.a.opts.dir = "/dev/null";
	refused(&duo.a, -ENOTDIR, "Not a directory");
	duo.a.opts.dir = "/nowhere/at/all";
	refused(&duo.a, -ENOENT, "cannot create it");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0750), 0);
	duo.a.opts.dir = path;
	refused(&duo.a, -EACCES, "chmod 700 it");
	free(longest);
}

static void
addresses_are_checked(void **state)
{
	static const struct {
		const char *address;
		int err;
	} bad[] = {{NULL, -EINVAL}, {"", -EINVAL}, {"127.0.0.1", -EINVAL},
		{"127.0.0.1:70000", -EINVAL}, {"[::1:7000", -EINVAL},
		{"192.0.2.1:0", -EADDRNOTAVAIL},
		{"unix:/nowhere/at/all", -ENOENT}};
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		duo.a.listen[0] = bad[i].address;
		refused(&duo.a, bad[i].err, "address '");
	}
}

/* It is there, and goes with the server, wherever that has moved to. */
static void
relative_socket_outlives_its_directory(void **state)
{
	int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct duo duo;

	(void)state;
	assert_true(home >= 0);
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(chdir(duo.a.opts.dir), 0);
	duo.a.listen[0] = "unix:socket";
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	assert_int_equal(fchdir(home), 0);
	close(home);
	assert_int_equal(strncmp(duo.a.address, "unix:/", 6), 0);
	assert_int_equal(access(duo.a.address + 5, F_OK), 0);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(access(duo.a.address + 5, F_OK), -1);
	duo_close(&duo);
}

static void
address_in_use_is_refused(void **state)
{
	struct duo duo;
	char path[HANDOFF_TEXT_MAX];

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	snprintf(path, sizeof(path), "%s/other", duo.a.opts.dir);
	duo.b.opts.dir = path;
	duo.b.listen[0] = duo.a.address;
	duo.b.opts.listen = duo.b.listen;
	duo.b.opts.nlisten = 1;
	refused(&duo.b, -EADDRINUSE, duo.a.address);
	duo_close(&duo);
}

static void
extras_are_checked(void **state)
{
	struct handoff_extra extra = {.name = "log", .fd = -1};
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.extras = &extra;
	duo.a.opts.nextras = 1;
	duo.a.opts.extra_size = sizeof(extra);
	refused(&duo.a, -EINVAL, "extra descriptor 0: bad name or descriptor");
	extra.fd = 0;
	extra.name = "a/b";
	refused(&duo.a, -EINVAL, "extra descriptor 0");
	extra.name = NULL;
	refused(&duo.a, -EINVAL, "extra descriptor 0");
}

/* Of a program that was compiled with a later header; what is not set does no
 * harm, and the second one is found behind it. */
static void
extras_may_be_larger(void **state)
{
	struct {
		struct handoff_extra known;
		uint64_t later;
	} extras[2] = {{.known = {.name = "one", .fd = 0}},
		{.known = {.name = "two", .fd = 1}}};
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.extras = &extras[0].known;
	duo.a.opts.nextras = 2;
	refused(&duo.a, -EINVAL, "opts.extra_size is 0: it must be");
	duo.a.opts.extra_size = offsetof(struct handoff_extra, fd);
	refused(&duo.a, -EINVAL,
		"must be the size of the structures in "
		"opts.extras");
	duo.a.opts.extra_size = SIZE_MAX;
	refused(&duo.a, -EINVAL, "opts.extra_size");
	duo.a.opts.extra_size = sizeof(extras[0]);
	extras[1].later = 1;
	refused(&duo.a, -E2BIG, "opts.extras set what this library does not");
	extras[1].later = 0;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_true(handoff_server_extra(duo.a.server, "one") >= 0);
	assert_true(handoff_server_extra(duo.a.server, "two") >= 0);
	duo_close(&duo);
}

/* Whatever was opened before the fault is closed: the descriptors are counted
 * around each test, and the place is free. */
static void
refused_server_leaves_its_place(void **state)
{
	struct duo duo;
	int fd;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_THREAD);
	duo.a.listen[0] = "192.0.2.1:0";
	for (int i = 0; i < 5; i++)
		refused(&duo.a, -EADDRNOTAVAIL, "address '");
	duo.a.listen[0] = "127.0.0.1:0";
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	close(fd);
	duo_close(&duo);
}

static void
others_on_the_directory_are_refused(void **state)
{
	struct duo duo;
	struct host third;

	(void)state;
	duo_open(&duo, HANDOFF_MODEL_LOOP);
	third = duo.b;
	third.opts.name = "third";
	third.opts.errbuf = third.why;
	assert_int_equal(host_open(&third, &duo.a), -EBUSY);
	assert_non_null(strstr(third.why, "has two peers already"));
	duo_close(&duo);
}

static void
another_service_is_refused(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo.b.service.state_size = 8;
	assert_int_equal(host_open(&duo.b, &duo.a), -EPROTO);
	duo.b.server = NULL;
	assert_non_null(strstr(duo.b.why, "state of 4 bytes there, 8 here"));
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	assert_non_null(strstr(duo.a.text, "state of 8 bytes there, 4 here"));
	duo_close(&duo);
}

/* The log of both, as far as it warns. */
static void
count_warnings(enum handoff_log_level level, const char *text, void *arg)
{
	atomic_uint *warnings = arg;

	*warnings += level == HANDOFF_LOG_WARNING &&
		     strstr(text, "a different configuration");
}

/* One of them asking for it is enough. */
static void
another_configuration_is_refused_or_told(void **state)
{
	struct duo duo;
	atomic_uint warnings = 0;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.log = duo.b.opts.log = count_warnings;
	duo.a.opts.log_arg = duo.b.opts.log_arg = &warnings;
	duo.a.opts.config_hash = 1;
	duo.a.opts.config_strict = true;
	duo.b.opts.config_hash = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), -EPROTO);
	duo.b.server = NULL;
	assert_non_null(strstr(duo.b.why, "configuration 0000000000000001 "
					  "there, 0000000000000002 here"));
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	assert_int_equal(warnings, 0);
	duo.b.opts.config_hash = 0; /* has none to compare */
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	assert_int_equal(warnings, 0);
	duo_close(&duo);

	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.log = duo.b.opts.log = count_warnings;
	duo.a.opts.log_arg = duo.b.opts.log_arg = &warnings;
	duo.a.opts.config_hash = 1;
	duo.b.opts.config_hash = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	assert_int_equal(warnings, 2);
	duo_close(&duo);
}

/* A caller that was built with a later header. */
static void
unknown_options_may_only_be_zero(void **state)
{
	struct {
		struct handoff_server_opts opts;
		char more[16];
	} later;
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	memset(&later, 0, sizeof(later));
	later.opts = duo.a.opts;
	later.opts.size = sizeof(later);
	later.more[15] = 1;
	assert_int_equal(
		handoff_server_open(&duo.a.server, &later.opts), -E2BIG);
	assert_non_null(strstr(duo.a.why, "an option that this library does"));
	later.more[15] = 0;
	assert_int_equal(handoff_server_open(&duo.a.server, &later.opts), 0);
	duo_close(&duo);
}

static void
unknown_parts_of_a_service_may_only_be_zero(void **state)
{
	struct {
		struct handoff_service service;
		char more[16];
	} later;
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	memset(&later, 0, sizeof(later));
	later.service = duo.a.service;
	later.service.size = sizeof(later);
	duo.a.opts.service = &later.service;
	later.more[0] = 1;
	refused(&duo.a, -E2BIG, "opts.service");
	later.more[0] = 0;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_close(&duo);
}

/* A caller that was built with an earlier header: its structures end where
 * its memory does, as the sanitizer sees. */
static void
shorter_options_are_taken(void **state)
{
	size_t size = offsetof(struct handoff_server_opts, listen);
	struct handoff_server_opts *earlier = malloc(size);
	struct duo duo;

	(void)state;
	assert_non_null(earlier);
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.b.opts.size = size;
	memcpy(earlier, &duo.b.opts, size);
	assert_int_equal(handoff_server_open(&duo.b.server, earlier), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_WAITING);
	handoff_server_free(duo.b.server);
	duo.b.server = NULL;
	/* Refused without a word: it has no place for one. */
	duo.b.opts.name = "a/b";
	memcpy(earlier, &duo.b.opts, size);
	assert_int_equal(handoff_server_open(&duo.b.server, earlier), -EINVAL);
	free(earlier);
}

static void
size_must_make_sense(void **state)
{
	static const size_t sizes[] = {0, 1, 8,
		offsetof(struct handoff_server_opts, listen) - 1, 5000,
		SIZE_MAX};
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		duo.a.opts.size = sizes[i];
		assert_int_equal(
			handoff_server_open(&duo.a.server, &duo.a.opts),
			-EINVAL);
	}
}

/* With no place for it, or little. */
static void
sentence_is_cut_to_its_buffer(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.name = NULL;
	duo.a.opts.errbuf_size = 8;
	refused(&duo.a, -EINVAL, "server:");
	assert_int_equal(strlen(duo.a.why), 7);
	duo.a.opts.errbuf_size = 0;
	refused(&duo.a, -EINVAL, "");
	assert_string_equal(duo.a.why, "");
	duo.a.opts.errbuf = NULL;
	duo.a.opts.errbuf_size = 100;
	refused(&duo.a, -EINVAL, "");
}

static void
models_have_names(void **state)
{
	(void)state;
	assert_int_equal(handoff_model_parse("loop"), HANDOFF_MODEL_LOOP);
	assert_int_equal(handoff_model_parse("thread"), HANDOFF_MODEL_THREAD);
	assert_int_equal(handoff_model_parse("Loop"), -EINVAL);
	assert_int_equal(handoff_model_parse("loop "), -EINVAL);
	assert_int_equal(handoff_model_parse(""), -EINVAL);
	assert_int_equal(handoff_model_parse(NULL), -EINVAL);
}

/* Also the file of the socket that could be bound. */
static void
failed_open_leaves_no_socket(void **state)
{
	struct duo duo;
	char path[HANDOFF_ADDRESS_MAX];
	const char *listen[2] = {path, "unix:/nowhere/at/all"};

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	snprintf(path, sizeof(path), "unix:%s/socket", duo.a.opts.dir);
	duo.a.opts.listen = listen;
	duo.a.opts.nlisten = 2;
	refused(&duo.a, -ENOENT, "/nowhere/at/all");
	assert_int_equal(access(path + 5, F_OK), -1);
}

/* What it did before is done again; what is pending is forgotten. */
static void
forget_signals(const sigset_t *before)
{
	static const int numbers[] = {
		SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPIPE};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		signal(numbers[i], SIG_IGN);
		signal(numbers[i], SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, before, NULL);
}

/* It ends as it would have a moment later. */
static void
signal_that_comes_early_is_obeyed(void **state)
{
	sigset_t before;
	struct duo duo;

	(void)state;
	sigprocmask(SIG_BLOCK, NULL, &before);
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.signals = true;
	early_signal = SIGTERM;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	early_signal = SIGUSR1;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	assert_non_null(strstr(duo.a.text, "no standby is attached"));
	handoff_server_free(duo.a.server);
	forget_signals(&before);
}

/* Nobody would take them. */
static void
signals_of_an_open_that_fails_are_let_go(void **state)
{
	sigset_t before, after;
	struct duo duo;

	(void)state;
	sigprocmask(SIG_BLOCK, NULL, &before);
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.signals = true;
	duo.a.opts.dir = "/nowhere/at/all";
	refused(&duo.a, -ENOENT, "cannot create it");
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (int i = 1; i <= SIGTERM; i++)
		assert_int_equal(
			sigismember(&before, i), sigismember(&after, i));
	forget_signals(&before);
}

/* A handler of the program's stays. */
static void
sigpipe_is_ignored(void **state)
{
	struct sigaction now;
	sigset_t before;
	struct duo duo;

	(void)state;
	sigprocmask(SIG_BLOCK, NULL, &before);
	for (int i = 0; i < 2; i++) {
		signal(SIGPIPE, i ? _exit : SIG_DFL);
		duo_init(&duo, HANDOFF_MODEL_LOOP);
		duo.a.opts.signals = true;
		assert_int_equal(host_open(&duo.a, NULL), 0);
		sigaction(SIGPIPE, NULL, &now);
		assert_ptr_equal(now.sa_handler, i ? _exit : SIG_IGN);
		assert_int_equal(handoff_server_signals(duo.a.server), -EINVAL);
		handoff_server_free(duo.a.server);
		forget_signals(&before);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(nothing_is_refused),
		handoff_test(names_are_checked),
		handoff_test(service_is_checked),
		handoff_test(counts_and_model_are_checked),
		handoff_test(parts_of_a_lease_need_one),
		handoff_test(directory_is_checked),
		handoff_test(failed_open_leaves_no_socket),
		handoff_test(signal_that_comes_early_is_obeyed),
		handoff_test(signals_of_an_open_that_fails_are_let_go),
		handoff_test(sigpipe_is_ignored),
		handoff_test(notice_that_cannot_be_read_is_no_absent_one),
		handoff_test(addresses_are_checked),
		handoff_test(relative_socket_outlives_its_directory),
		handoff_test(address_in_use_is_refused),
		handoff_test(extras_are_checked),
		handoff_test(extras_may_be_larger),
		handoff_test(refused_server_leaves_its_place),
		handoff_test(others_on_the_directory_are_refused),
		handoff_test(another_service_is_refused),
		handoff_test(another_configuration_is_refused_or_told),
		handoff_test(unknown_options_may_only_be_zero),
		handoff_test(unknown_parts_of_a_service_may_only_be_zero),
		handoff_test(shorter_options_are_taken),
		handoff_test(size_must_make_sense),
		handoff_test(sentence_is_cut_to_its_buffer),
		handoff_test(models_have_names),
	};

	return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
