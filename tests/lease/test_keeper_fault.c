/* SPDX-License-Identifier: MIT */
/*
 * A keeper whose calls to the kernel fail (wrapped by the linker), and whose
 * engine fails: nothing leaks, the sentence says what failed, and the lease
 * still ends in time.
 */
#include "support/support.h"

#include "base/loop.h"
#include "lease/file_engine.h"
#include "lease/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TTL_MS 2000

static const char *failing; /* this call fails once, */
static int fails_with;

static bool
is_failing(const char *call)
{
	if (!failing || strcmp(failing, call) != 0)
		return false;
	failing = NULL;
	errno = fails_with;
	return true;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *
__wrap_calloc(size_t count, size_t size)
{
	return is_failing("calloc") ? NULL : __real_calloc(count, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *
__wrap_strdup(const char *text)
{
	return is_failing("strdup") ? NULL : __real_strdup(text);
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int
__wrap_epoll_create1(int flags)
{
	return is_failing("epoll_create1") ? -1 : __real_epoll_create1(flags);
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int
__wrap_timerfd_create(int clock, int flags)
{
	return is_failing("timerfd_create")
		       ? -1
		       : __real_timerfd_create(clock, flags);
}

int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int
__wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	return is_failing("epoll_ctl") ? -1
				       : __real_epoll_ctl(epfd, op, fd, event);
}

/* An engine that does what a test says. */
static struct {
	int fd, events_fail, save, tends;
	struct handoff_lease_event next;
	uint64_t acquired, proven; /* the serials that were asked with */
	bool closed;
} bad;

static int
bad_open(void **end, const char *rest, const struct handoff_lease_side *side,
	char *errbuf, size_t errbuf_size)
{
	(void)rest, (void)errbuf, (void)errbuf_size;
	assert_int_equal(side->size, sizeof(*side));
	assert_int_equal(side->ttl_ms, TTL_MS);
	assert_string_equal(side->text, "");
	*end = &bad;
	return 0;
}

static int
bad_fd(void *end)
{
	(void)end;
	return bad.fd;
}

static int
bad_next(void *end, struct handoff_lease_event *event)
{
	(void)end;
	if (bad.events_fail)
		return bad.events_fail;
	*event = bad.next;
	memset(&bad.next, 0, sizeof(bad.next));
	return event->kind != 0;
}

static int
bad_acquire(void *end, uint64_t serial, uint64_t above)
{
	(void)end, (void)above;
	bad.acquired = serial;
	return 0;
}

static int
bad_prove(void *end, uint64_t serial, uint64_t token)
{
	(void)end, (void)token;
	bad.proven = serial;
	return 0;
}

static int
bad_publish(void *end, uint64_t serial, uint64_t token, const void *data,
	size_t len)
{
	(void)end, (void)serial, (void)token, (void)data, (void)len;
	return -EIO;
}

static int
bad_retained(void *end, uint64_t serial)
{
	(void)end;
	bad.next = (struct handoff_lease_event){
		.kind = HANDOFF_LEASE_RETAINED, .serial = serial};
	return 0;
}

static int
bad_save(void *end, void *session, size_t size)
{
	(void)end;
	memset(session, 'x', size);
	return bad.save;
}

static int
bad_release(void *end, uint64_t serial)
{
	(void)end, (void)serial;
	return -EIO;
}

static void
bad_close(void *end)
{
	(void)end;
	bad.closed = true;
}

static int
bad_tend(void *end)
{
	(void)end;
	bad.tends++;
	return 0;
}

static const struct handoff_lease_engine bad_engine = {
	.size = sizeof(bad_engine),
	.prefix = "bad:",
	.form = "bad:",
	.open = bad_open,
	.fd = bad_fd,
	.next_event = bad_next,
	.acquire = bad_acquire,
	.prove = bad_prove,
	.publish = bad_publish,
	.retained = bad_retained,
	.save = bad_save,
	.release = bad_release,
	.close = bad_close,
	.tend = bad_tend,
};

static uint32_t acted, stored_len;
static char logged[4 * HANDOFF_TEXT_MAX];

static void
on_act(void *arg, enum handoff__lease_action action)
{
	(void)arg;
	acted |= action;
}

static void
on_store(void *arg, const struct handoff__lease_saved *saved, uint64_t ttl_ns)
{
	(void)arg, (void)ttl_ns;
	stored_len = saved->session_len;
}

static void
on_log(enum handoff_log_level level, const char *text, void *arg)
{
	size_t len = strlen(logged);

	(void)level, (void)arg;
	snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
}

static const struct handoff__keeper_hooks hooks = {
	.act = on_act, .store = on_store};

static int
open_keeper(struct handoff__keeper **keeper, const char *address,
	struct handoff__error *error)
{
	const struct handoff__keeper_opts opts = {.address = address,
		.host = "a",
		.ttl_ms = TTL_MS,
		.hooks = &hooks,
		.log = {.fn = on_log}};

	return handoff__keeper_open(keeper, &opts, error);
}

static int
setup(void **state)
{
	memset(&bad, 0, sizeof(bad));
	acted = stored_len = 0;
	logged[0] = '\0';
	failing = NULL;
	file_engine_add();
	handoff_lease_engine_add(&bad_engine, NULL, 0);
	return support_setup(state);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, support_teardown)

static void
test_calls_of_open(void **state)
{
	static const struct {
		const char *call;
		int err;
		const char *sentence;
	} calls[] = {
		{"calloc", ENOMEM, "lease: out of memory"},
		{"strdup", ENOMEM, "lease: out of memory"},
		{"epoll_create1", EMFILE, "epoll or timer: Too many open"},
		{"epoll_ctl", ENOSPC, "epoll or timer: No space left"},
	};
	char address[200];

	(void)state;
	snprintf(address, sizeof(address), "file:%s/lease", support_dir());
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct handoff__keeper *keeper;
		struct handoff__error error = {""};

		failing = calls[i].call;
		fails_with = calls[i].err;
		assert_int_equal(
			open_keeper(&keeper, address, &error), -calls[i].err);
		assert_null(failing);
		if (!strstr(error.text, calls[i].sentence))
			fail_msg("%s: '%s'", calls[i].call, error.text);
	}
}

static void
test_timer_cannot_be_made(void **state)
{
	struct handoff__keeper *keeper;
	struct handoff__error error;

	(void)state;
	failing = "timerfd_create";
	fails_with = EMFILE;
	assert_int_equal(open_keeper(&keeper, "bad:x", &error), -EMFILE);
	assert_true(bad.closed);
}

static void
test_engine_without_a_descriptor(void **state)
{
	struct handoff__keeper *keeper;
	struct handoff__error error;

	(void)state;
	bad.fd = -ENFILE;
	assert_int_equal(open_keeper(&keeper, "bad:x", &error), -ENFILE);
	assert_true(bad.closed);
}

/* A keeper that owns the lease of the engine of this file. */
static struct handoff__keeper *
own(void)
{
	struct handoff__keeper *keeper;
	struct handoff__error error;

	bad.fd = __real_timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	assert_int_equal(open_keeper(&keeper, "bad:x", &error), 0);
	bad.next.kind = HANDOFF_LEASE_CONNECTED;
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	bad.next.kind = HANDOFF_LEASE_VACANT;
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	assert_true(bad.acquired > 0);
	bad.next = (struct handoff_lease_event){.kind = HANDOFF_LEASE_ACQUIRED,
		.serial = bad.acquired,
		.token = 1};
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	assert_true(acted & HANDOFF__LEASE_WON);
	return keeper;
}

static void
finish(struct handoff__keeper *keeper)
{
	handoff__keeper_close(keeper);
	close(bad.fd);
}

/* Its descriptor is not asked any more, so nothing spins; time goes on. */
static void
test_engine_that_fails_ends_in_time(void **state)
{
	struct handoff__keeper *keeper = own();
	struct handoff__keeper_view view;
	unsigned calls = 0;

	(void)state;
	bad.events_fail = -EIO;
	while (!(acted & HANDOFF__LEASE_FREEZE) && calls < 100) {
		struct pollfd p = {handoff__keeper_fd(keeper), POLLIN, 0};

		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(handoff__keeper_dispatch(keeper), -EIO);
		calls++;
	}
	assert_true(acted & HANDOFF__LEASE_FREEZE);
	assert_in_range(calls, 2, 30);
	assert_true(bad.tends > 1);
	handoff__keeper_view(keeper, &view);
	assert_string_equal(
		view.error, "bad:x: the engine fails: Input/output error");
	/* once, although it failed each time */
	assert_null(strstr(
		strstr(logged, "the engine fails") + 1, "the engine fails"));
	finish(keeper);
}

static void
test_requests_that_fail(void **state)
{
	struct handoff__keeper *keeper = own();

	(void)state;
	assert_int_equal(handoff__keeper_publish(keeper, "x", 1), 0);
	assert_non_null(
		strstr(logged, "bad:x: cannot publish: Input/output error\n"));
	handoff__keeper_release(keeper);
	assert_non_null(strstr(logged,
		"bad:x: cannot release the lease: Input/output error\n"));
	assert_false(acted & HANDOFF__LEASE_RELEASED);
	finish(keeper);
}

static void
test_sessions_that_cannot_be_saved(void **state)
{
	struct handoff__keeper *keeper;

	(void)state;
	bad.save = -EIO;
	keeper = own();
	assert_int_equal(stored_len, 0);
	assert_non_null(strstr(logged, "the session cannot be saved"));
	finish(keeper);
	bad.save = HANDOFF_LEASE_SESSION_MAX + 1;
	keeper = own();
	assert_int_equal(stored_len, 0);
	finish(keeper);
	bad.save = HANDOFF_LEASE_SESSION_MAX;
	keeper = own();
	assert_int_equal(stored_len, HANDOFF_LEASE_SESSION_MAX);
	finish(keeper);
}

static void
test_tokens_are_used_up(void **state)
{
	struct handoff__keeper *keeper = own();

	(void)state;
	bad.next.kind = HANDOFF_LEASE_EXPIRED;
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	assert_true(acted & HANDOFF__LEASE_RESET);
	handoff__keeper_emptied(keeper);
	bad.next.kind = HANDOFF_LEASE_CONNECTED;
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	bad.next.kind = HANDOFF_LEASE_VACANT;
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	bad.next = (struct handoff_lease_event){.kind = HANDOFF_LEASE_ACQUIRED,
		.serial = bad.acquired,
		.token = UINT64_C(1) << 32};
	assert_int_equal(handoff__keeper_dispatch(keeper), 0);
	assert_int_equal(
		handoff__keeper_lease(keeper)->state, HANDOFF_LEASE_FREE);
	assert_non_null(strstr(logged, "tokens of 32 bits are used up"));
	finish(keeper);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_calls_of_open),
		test(test_timer_cannot_be_made),
		test(test_engine_without_a_descriptor),
		test(test_engine_that_fails_ends_in_time),
		test(test_requests_that_fail),
		test(test_sessions_that_cannot_be_saved),
		test(test_tokens_are_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
