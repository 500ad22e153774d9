/* SPDX-License-Identifier: MIT */
/*
 * One connection attempt: names, addresses in order, timeouts, giving up. The
 * resolver is the real one for "localhost" and otherwise answers what a test
 * wants, when it wants it.
 */
#include "client/fixture.h"

#include "client/dial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct handoff__loop loop;
static struct handoff__dial dial;
static int calls, result;
static char text[HANDOFF_TEXT_MAX];

/* What the resolver answers for names: an error, or these addresses. */
static int name_error;
static const struct site *name_sites[2];
static bool hold;
static sem_t release;

int __real_getaddrinfo(const char *host, const char *port,
	const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(const char *host, const char *port,
	const struct addrinfo *hints, struct addrinfo **list);

static int
site_info(const struct site *site, const struct addrinfo *hints,
	struct addrinfo **list)
{
	return __real_getaddrinfo(
		"127.0.0.1", strrchr(site->address, ':') + 1, hints, list);
}

int
__wrap_getaddrinfo(const char *host, const char *port,
	const struct addrinfo *hints, struct addrinfo **list)
{
	int err;

	if ((hints->ai_flags & (AI_NUMERICHOST | AI_PASSIVE)) ||
		!strcmp(host, "localhost"))
		return __real_getaddrinfo(host, port, hints, list);
	if (hold)
		sem_wait(&release);
	if (name_error)
		return name_error;
	err = site_info(name_sites[0], hints, list);
	if (err == 0 && name_sites[1])
		err = site_info(name_sites[1], hints, &(*list)->ai_next);
	return err;
}

static bool no_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg);

struct start {
	void *(*fn)(void *);
	void *arg;
};

static atomic_int threads;

static void *
run(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	start.fn(start.arg);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg)
{
	struct start *start = malloc(sizeof(*start));

	if (no_threads || !start) {
		free(start);
		return EAGAIN;
	}
	*start = (struct start){fn, arg};
	atomic_fetch_add(&threads, 1);
	return __real_pthread_create(thread, attr, run, start);
}

static bool bind_to_target;

int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);

int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (bind_to_target)
		(void)!bind(fd, sa, len);
	return __real_connect(fd, sa, len);
}

static void
on_done(struct handoff__dial *d, int fd, const char *t)
{
	assert_ptr_equal(d, &dial);
	calls++;
	result = fd;
	snprintf(text, sizeof(text), "%s", t);
}

static void
begin(void)
{
	assert_int_equal(handoff__loop_init(&loop), 0);
	handoff__dial_init(&dial);
	dial.loop = &loop;
	dial.done = on_done;
	dial.timeout_ms = 3600000;
	dial.user_timeout_ms = 10000;
	calls = 0;
	name_error = 0;
	name_sites[0] = name_sites[1] = NULL;
	hold = no_threads = bind_to_target = false;
	sem_init(&release, 0, 0);
}

static void
start(const char *address)
{
	struct handoff__addr addr;

	assert_int_equal(handoff__addr_parse(&addr, address, NULL), 0);
	handoff__dial_start(&dial, &addr);
}

/* The answer: a socket or a negative errno; called back once. */
static int
finish(void)
{
	while (calls == 0)
		assert_in_range(handoff__loop_dispatch(&loop, 5000), 0, 32);
	assert_int_equal(calls, 1);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	assert_false(dial.timer.armed);
	assert_int_equal(dial.fd, -1);
	assert_null(dial.resolve);
	return result;
}

static void
finish_with_socket(const char *address)
{
	int fd = finish();

	assert_true(fd >= 0);
	assert_string_equal(text, address);
	close(fd);
}

/* Waits for helper threads to be through, which frees what they hold. */
static void
end(void)
{
	while (atomic_load(&threads) > 0)
		sched_yield();
	handoff__loop_fini(&loop);
	sem_destroy(&release);
}

static void
test_localhost(void **state)
{
	struct site site = site_open();
	char name[HANDOFF_ADDRESS_MAX];

	(void)state;
	begin();
	snprintf(name, sizeof(name), "localhost%s", strrchr(site.address, ':'));
	start(name);
	/* In a thread: nothing is known yet. */
	assert_int_equal(calls, 0);
	assert_non_null(dial.resolve);
	finish_with_socket(site.address);
	site_close(&site);
	end();
}

static void
test_numeric_takes_no_thread(void **state)
{
	struct site site = site_open();

	(void)state;
	begin();
	no_threads = true;
	start(site.address);
	assert_null(dial.resolve);
	finish_with_socket(site.address);
	site_close(&site);
	end();
}

static void
test_options(void **state)
{
	struct site site = site_open();
	int fd, value = 0;
	socklen_t len = sizeof(value);

	(void)state;
	begin();
	start(site.address);
	fd = finish();
	assert_true(fd >= 0);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len);
	assert_int_equal(value, 1);
	getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len);
	assert_int_equal(value, 10000);
	close(fd);
	site_close(&site);
	end();
}

static void
test_all_addresses_in_order(void **state)
{
	struct site dead = site_dead(), site = site_open();

	(void)state;
	begin();
	name_sites[0] = &dead;
	name_sites[1] = &site;
	start("two.addresses:1");
	finish_with_socket(site.address);
	/* The first one that answers is taken. */
	calls = 0;
	name_sites[0] = &site;
	name_sites[1] = &dead;
	start("two.addresses:1");
	finish_with_socket(site.address);
	site_close(&site);
	end();
}

static void
test_no_address_answers(void **state)
{
	struct site dead[2] = {site_dead(), site_dead()};
	char want[HANDOFF_TEXT_MAX];

	(void)state;
	begin();
	name_sites[0] = &dead[0];
	name_sites[1] = &dead[1];
	start("two.addresses:1");
	assert_int_equal(finish(), -ECONNREFUSED);
	snprintf(want, sizeof(want), "%s: Connection refused", dead[1].address);
	assert_string_equal(text, want);
	end();
}

/* Silence costs the timeout; then the name's next address is tried. */
static void
test_connect_timeout(void **state)
{
	int fill[SITE_FILL];
	struct site full = site_full(fill), site = site_open();

	(void)state;
	begin();
	dial.timeout_ms = 300; /* the other one has so long, too */
	name_sites[0] = &full;
	name_sites[1] = &site;
	start("two.addresses:1");
	finish_with_socket(site.address);
	calls = 0;
	start(full.address);
	assert_int_equal(finish(), -ETIMEDOUT);
	assert_string_equal(text, "Connection timed out");
	for (int i = 0; i < SITE_FILL; i++)
		close(fill[i]);
	site_close(&full);
	site_close(&site);
	end();
}

static void
test_unknown_name(void **state)
{
	(void)state;
	begin();
	name_error = EAI_NONAME;
	start("no.such.host:1");
	assert_int_equal(finish(), -ENOENT);
	assert_string_equal(text, "cannot resolve the host: "
				  "Name or service not known");
	calls = 0;
	no_threads = true;
	start("no.thread:1");
	assert_int_equal(finish(), -EAGAIN);
	assert_string_equal(text, "cannot resolve the host: "
				  "Resource temporarily unavailable");
	end();
}

/* The resolver hangs: the attempt ends in time, the thread later. */
static void
test_slow_name(void **state)
{
	(void)state;
	begin();
	dial.timeout_ms = 10;
	hold = true;
	name_error = EAI_AGAIN;
	start("slow.host:1");
	assert_int_equal(finish(), -ETIMEDOUT);
	assert_string_equal(text, "cannot resolve the host within 10 ms");
	sem_post(&release);
	end();
}

static void
test_cancel(void **state)
{
	int fill[SITE_FILL];
	struct site full = site_full(fill);

	(void)state;
	begin();
	handoff__dial_cancel(&dial);
	hold = true;
	name_error = EAI_AGAIN;
	start("slow.host:1");
	handoff__dial_cancel(&dial);
	handoff__dial_cancel(&dial);
	sem_post(&release);
	start(full.address);
	assert_true(dial.fd >= 0);
	handoff__dial_cancel(&dial);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	assert_int_equal(calls, 0);
	for (int i = 0; i < SITE_FILL; i++)
		close(fill[i]);
	site_close(&full);
	end();
}

static void
test_unix(void **state)
{
	char path[100], address[HANDOFF_ADDRESS_MAX];
	int fd;

	(void)state;
	begin();
	snprintf(path, sizeof(path), "unix:%.80s/socket", support_dir());
	start(path);
	assert_int_equal(finish(), -ENOENT);
	assert_string_equal(text, "No such file or directory");
	fd = handoff__addr_listen(path, address, NULL);
	assert_true(fd >= 0);
	calls = 0;
	start(path);
	finish_with_socket(path);
	close(fd);
	end();
}

/* A connection to itself is none. */
static void
test_meets_itself(void **state)
{
	struct site dead = site_dead();

	(void)state;
	begin();
	bind_to_target = true;
	start(dead.address);
	assert_int_equal(finish(), -ECONNREFUSED);
	assert_string_equal(text, "Connection refused");
	end();
}

static void
test_ipv6(void **state)
{
	char address[HANDOFF_ADDRESS_MAX];
	int fd = handoff__addr_listen("[::1]:0", address, NULL);

	(void)state;
	if (fd < 0) {
		print_message("SKIP: this host has no IPv6 loopback\n");
		skip();
	}
	begin();
	start(address);
	finish_with_socket(address);
	close(fd);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_localhost),
		handoff_test(test_numeric_takes_no_thread),
		handoff_test(test_options),
		handoff_test(test_all_addresses_in_order),
		handoff_test(test_no_address_answers),
		handoff_test(test_connect_timeout),
		handoff_test(test_unknown_name),
		handoff_test(test_slow_name),
		handoff_test(test_cancel),
		handoff_test(test_unix),
		handoff_test(test_meets_itself),
		handoff_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
