/* SPDX-License-Identifier: MIT */
/*
 * The shared region of two servers: what handlers of both add to it is what
 * their connections have in their states, in every model; and the program reads
 * and changes it from outside.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REGION  8192u
#define FAR     5000u /* the second total: on another page */
#define CLIENTS 6
#define LINES   40

/* What a child of model fork does once. */
static atomic_int *fatal;

/* Adds 1 to the connection's count and to both totals, and answers the count.
 * "fail": then fails; "die": then kills its process, the first time. */
static int
add_lines(struct handoff_conn *conn, void *arg)
{
	uint32_t *count = handoff_conn_state(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	char text[32];
	void *first, *second;
	int err, n;

	(void)arg;
	if (len < 5)
		return 0;
	err = handoff_conn_shared(conn, 0, sizeof(uint64_t), &first);
	if (err < 0)
		return err;
	++*(uint64_t *)first;
	err = handoff_conn_shared(conn, FAR, sizeof(uint64_t), &second);
	if (err < 0)
		return err;
	if (memcmp(input, "fail\n", 5) == 0)
		return -EIO;
	if (memcmp(input, "die!\n", 5) == 0 && atomic_exchange(fatal, 0))
		kill(getpid(), SIGKILL);
	++*(uint64_t *)second;
	n = snprintf(text, sizeof(text), "%u\n", ++*count);
	handoff_conn_write(conn, text, (size_t)n);
	return handoff_conn_consume(conn, 5);
}

static void
init_shared(struct duo *duo, enum handoff_model model)
{
	struct host *hosts[] = {&duo->a, &duo->b};

	duo_init(duo, model);
	for (int i = 0; i < 2; i++) {
		hosts[i]->service.handle = add_lines;
		hosts[i]->service.shared_size = REGION;
		hosts[i]->service.shared_version = 2;
	}
}

static void
open_both(struct duo *duo)
{
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

struct totals {
	uint64_t first, second;
};

static int
read_totals(struct handoff_shared *shared, void *arg)
{
	struct totals *totals = arg;
	const void *at;

	if (handoff_shared_read(shared, 0, sizeof(uint64_t), &at) < 0)
		return -EIO;
	memcpy(&totals->first, at, sizeof(uint64_t));
	if (handoff_shared_read(shared, FAR, sizeof(uint64_t), &at) < 0)
		return -EIO;
	memcpy(&totals->second, at, sizeof(uint64_t));
	return 7;
}

/* As each of the two servers sees it. */
static void
totals_are(struct duo *duo, unsigned expected)
{
	struct host *hosts[] = {&duo->a, &duo->b};

	for (int i = 0; i < 2; i++) {
		struct totals totals = {0, 0};

		if (!hosts[i]->server)
			continue;
		assert_int_equal(handoff_server_shared(hosts[i]->server,
					 read_totals, &totals),
			7);
		assert_int_equal(totals.first, expected);
		assert_int_equal(totals.second, expected);
	}
}

/* Each of the clients sends so many lines at once, after `done` before. */
static void
add(struct duo *duo, const int fd[CLIENTS], unsigned done)
{
	char text[32];

	for (int n = 0; n < LINES; n++) {
		for (int i = 0; i < CLIENTS; i++)
			client_send(fd[i], "more\n");
	}
	for (unsigned n = done + 1; n <= done + LINES; n++) {
		snprintf(text, sizeof(text), "%u\n", n);
		for (int i = 0; i < CLIENTS; i++)
			client_expect(duo, fd[i], text);
	}
}

static void
handlers_add(enum handoff_model model)
{
	struct duo duo;
	int fd[CLIENTS];

	init_shared(&duo, model);
	open_both(&duo);
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = client_open(duo.a.address);
	add(&duo, fd, 0);
	totals_are(&duo, CLIENTS * LINES);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	add(&duo, fd, LINES);
	totals_are(&duo, 2 * CLIENTS * LINES);
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	duo_close(&duo);
}

static void
totals_are_those_of_all(void **state)
{
	handlers_add(duo_model(state));
}

static void
totals_are_those_of_all_children(void **state)
{
	(void)state;
	support_not_in_valgrind();
	handlers_add(HANDOFF_MODEL_FORK);
}

static void
handler_that_fails_changes_nothing(void **state)
{
	struct duo duo;
	int bad, good;

	init_shared(&duo, duo_model(state));
	open_both(&duo);
	good = client_open(duo.a.address);
	client_send(good, "more\n");
	client_expect(&duo, good, "1\n");
	bad = client_open(duo.a.address);
	client_send(bad, "fail\n");
	client_expect(&duo, bad, "");
	totals_are(&duo, 1);
	client_send(good, "more\n");
	client_expect(&duo, good, "2\n");
	totals_are(&duo, 2);
	close(bad);
	close(good);
	duo_close(&duo);
}

static void
child_that_dies_in_it_changes_nothing(void **state)
{
	struct duo duo;
	int dies, other;

	(void)state;
	support_not_in_valgrind();
	fatal = mmap(NULL, sizeof(*fatal), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(fatal != MAP_FAILED);
	init_shared(&duo, HANDOFF_MODEL_FORK);
	open_both(&duo);
	other = client_open(duo.a.address);
	dies = client_open(duo.a.address);
	client_send(other, "more\n");
	client_expect(&duo, other, "1\n");
	atomic_store(fatal, 1);
	client_send(dies, "die!\n");
	client_send(other, "more\n");
	client_expect(&duo, dies, "1\n"); /* by the next child */
	client_expect(&duo, other, "2\n");
	assert_int_equal(atomic_load(fatal), 0);
	totals_are(&duo, 3);
	close(dies);
	close(other);
	duo_close(&duo);
	munmap(fatal, sizeof(*fatal));
}

/* A table of who is there: one more with `open`, one less with `ended`. */
static int
count_in(struct handoff_conn *conn, void *arg)
{
	void *at;
	int err = handoff_conn_shared(conn, 0, sizeof(uint64_t), &at);

	(void)arg;
	if (err < 0)
		return err;
	++*(uint64_t *)at;
	err = handoff_conn_shared(conn, FAR, sizeof(uint64_t), &at);
	if (err < 0)
		return err;
	++*(uint64_t *)at;
	handoff_conn_write(conn, "in\n", 3);
	return 0;
}

static void
count_out(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	void *at;

	(void)reason;
	(void)arg;
	if (handoff_conn_shared(conn, 0, sizeof(uint64_t), &at) == 0)
		--*(uint64_t *)at;
	if (handoff_conn_shared(conn, FAR, sizeof(uint64_t), &at) == 0)
		--*(uint64_t *)at;
}

static void
ends_are_counted(enum handoff_model model)
{
	struct totals totals = {1, 1};
	struct duo duo;
	int fd[CLIENTS];

	init_shared(&duo, model);
	for (int i = 0; i < 2; i++) {
		struct host *host = i ? &duo.b : &duo.a;

		host->service.open = count_in;
		host->service.ended = count_out;
	}
	open_both(&duo);
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = client_open(duo.a.address);
		client_expect(&duo, fd[i], "in\n");
	}
	totals_are(&duo, CLIENTS);
	close(fd[0]);
	client_send(fd[1], "fail\n");
	client_expect(&duo, fd[1], "");
	close(fd[1]);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	for (int i = 2; i < CLIENTS; i++)
		close(fd[i]);
	for (int i = 0; i < 1000 && totals.first > 0; i++) {
		duo_turn(&duo);
		handoff_server_shared(duo.a.server, read_totals, &totals);
	}
	totals_are(&duo, 0);
	duo_close(&duo);
}

static void
table_of_who_is_there_is_true(void **state)
{
	ends_are_counted(duo_model(state));
}

static void
table_of_who_is_there_is_true_of_children(void **state)
{
	(void)state;
	support_not_in_valgrind();
	ends_are_counted(HANDOFF_MODEL_FORK);
}

static atomic_bool holds, may_release;

static int
hold(struct handoff_shared *shared, void *arg)
{
	(void)shared;
	(void)arg;
	atomic_store(&holds, true);
	while (!atomic_load(&may_release))
		usleep(1000);
	return 0;
}

static void *
hold_region(void *arg)
{
	handoff_server_shared(arg, hold, NULL);
	return NULL;
}

/* Refused once, by a holder that keeps the region for longer than anybody
 * waits. */
static void
count_out_late(
	struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	void *at;

	if (handoff_conn_shared(conn, 0, sizeof(uint64_t), &at) == -ETIMEDOUT)
		atomic_store(&may_release, true);
	else
		count_out(conn, reason, arg);
}

static void
end_is_counted_when_the_region_is_free(void **state)
{
	struct totals totals = {1, 1};
	struct duo duo;
	pthread_t holder;
	int fd;

	init_shared(&duo, duo_model(state));
	duo.a.service.open = duo.b.service.open = count_in;
	duo.a.service.ended = duo.b.service.ended = count_out_late;
	open_both(&duo);
	fd = client_open(duo.a.address);
	client_expect(&duo, fd, "in\n");
	atomic_store(&holds, false);
	atomic_store(&may_release, false);
	assert_int_equal(
		pthread_create(&holder, NULL, hold_region, duo.b.server), 0);
	while (!atomic_load(&holds))
		duo_turn(&duo);
	close(fd);
	while (!atomic_load(&may_release))
		duo_turn(&duo);
	pthread_join(holder, NULL);
	for (int i = 0; i < 5000 && totals.first > 0; i++) {
		duo_turn(&duo);
		handoff_server_shared(duo.a.server, read_totals, &totals);
	}
	totals_are(&duo, 0);
	duo_close(&duo);
}

/* Adds, and then asks itself for the answer. */
static int
add_later(struct handoff_conn *conn, void *arg)
{
	struct handoff_post post = {
		.size = sizeof(post),
		.data = "!",
		.len = 1,
		.to = HANDOFF_POST_ONE,
		.id = handoff_conn_id(conn),
		.request = handoff_conn_request(conn),
	};
	size_t len;
	int err;

	handoff_conn_input(conn, &len);
	if (len < 5)
		return 0;
	err = add_lines(conn, arg);
	if (err == 0)
		err = handoff_conn_post(conn, &post);
	return err < 0 ? err : HANDOFF_LATER;
}

static void
who_answers_later_adds_later(void **state)
{
	struct duo duo;
	int fd;

	init_shared(&duo, duo_model(state));
	duo.a.service.handle = duo.b.service.handle = add_later;
	duo.a.service.posted = duo.b.service.posted = add_lines;
	open_both(&duo);
	fd = client_open(duo.a.address);
	client_send(fd, "more\n");
	client_expect(&duo, fd, "1\n");
	totals_are(&duo, 1);
	close(fd);
	duo_close(&duo);
}

struct keeper {
	struct handoff_server *server;
	atomic_int step; /* 1: it has the region; 2: it may return */
	int rc;
};

static int
keep(struct handoff_shared *shared, void *arg)
{
	struct keeper *keeper = arg;
	void *at;

	if (handoff_shared_write(shared, 8, 1, &at) < 0)
		return -EIO;
	*(char *)at = 'k';
	atomic_store(&keeper->step, 1);
	while (atomic_load(&keeper->step) == 1)
		usleep(1000);
	return 0;
}

static void *
keep_in_thread(void *arg)
{
	struct keeper *keeper = arg;

	keeper->rc = handoff_server_shared(keeper->server, keep, keeper);
	return NULL;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
status_is(const struct host *host, const char *json, const char *text)
{
	struct handoff__buf buf = {0};

	handoff__shared_status(host->server, true, &buf);
	assert_string_equal(buf.data, json);
	buf.len = 0;
	handoff__shared_status(host->server, false, &buf);
	assert_int_equal(buf.len, strlen(text));
	assert_memory_equal(buf.data, text, buf.len);
	free(buf.data);
}

/* The other peer does not let go of the region: handlers are run again, and
 * the loop waits once. */
static void
handlers_wait_in_bounds(void **state)
{
	struct keeper keeper = {.rc = -1};
	struct totals totals;
	pthread_t thread;
	struct duo duo;
	int fd[CLIENTS];
	int64_t start;

	init_shared(&duo, duo_model(state));
	open_both(&duo);
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = client_open(duo.a.address);
		client_send(fd[i], "more\n");
		client_expect(&duo, fd[i], "1\n");
	}
	keeper.server = duo.b.server;
	assert_int_equal(
		pthread_create(&thread, NULL, keep_in_thread, &keeper), 0);
	while (atomic_load(&keeper.step) == 0)
		usleep(1000);
	start = now_ms();
	assert_int_equal(
		handoff_server_shared(duo.a.server, read_totals, &totals),
		-ETIMEDOUT);
	assert_true(now_ms() - start >= HANDOFF_SHARED_WAIT_MS);
	status_is(&duo.a,
		",\"shared\":{\"size\":8192,\"version\":2,\"holder\":\"alt\","
		"\"holder_child\":0,\"overdue\":true}",
		"! server: handlers wait for the shared region, which alt "
		"holds\n");
	start = now_ms();
	for (int i = 0; i < CLIENTS; i++)
		client_send(fd[i], "more\n");
	for (int i = 0; i < 100; i++)
		duo_turn(&duo);
	/* CLIENTS seconds, if each of them waited */
	assert_true(now_ms() - start <
		    (CLIENTS - 1) * (int64_t)HANDOFF_SHARED_WAIT_MS);
	atomic_store(&keeper.step, 2);
	for (int i = 0; i < CLIENTS; i++)
		client_expect(&duo, fd[i], "2\n");
	pthread_join(thread, NULL);
	assert_int_equal(keeper.rc, 0);
	totals_are(&duo, 2 * CLIENTS);
	status_is(&duo.b,
		",\"shared\":{\"size\":8192,\"version\":2,\"holder\":null,"
		"\"holder_child\":0,\"overdue\":false}",
		"");
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	duo_close(&duo);
}

static int
write_and_fail(struct handoff_shared *shared, void *arg)
{
	void *at;

	(void)arg;
	if (handoff_shared_write(shared, 0, 100, &at) < 0)
		return -EIO;
	memset(at, 'x', 100);
	return -EDOM;
}

static int
misuse(struct handoff_shared *shared, void *arg)
{
	struct host *host = arg;
	struct totals totals;
	const void *there;
	void *at;

	assert_int_equal(
		handoff_server_shared(host->server, read_totals, &totals),
		-EDEADLK);
	assert_int_equal(handoff_shared_write(shared, REGION, 1, &at), -EINVAL);
	assert_int_equal(handoff_shared_write(shared, 0, 0, &at), -EINVAL);
	assert_int_equal(handoff_shared_write(shared, 0, 1, NULL), -EINVAL);
	assert_int_equal(handoff_shared_write(NULL, 0, 1, &at), -EINVAL);
	assert_int_equal(
		handoff_shared_read(shared, 1, REGION, &there), -EINVAL);
	assert_int_equal(handoff_shared_read(NULL, 0, 1, &there), -EINVAL);
	return 0;
}

static void
program_is_checked(void **state)
{
	struct totals totals;
	struct duo duo;

	(void)state;
	init_shared(&duo, HANDOFF_MODEL_LOOP);
	duo.a.service.shared_size = HANDOFF_SHARED_MAX + 1;
	assert_int_equal(host_open(&duo.a, NULL), -EINVAL);
	assert_non_null(strstr(duo.a.why, "shared_size of service"));
	duo.a.service.shared_size = REGION;
	/* nobody serves */
	assert_int_equal(host_open(&duo.b, NULL), 0);
	assert_int_equal(
		handoff_server_shared(duo.b.server, read_totals, &totals),
		-ENOTCONN);
	assert_int_equal(host_open(&duo.a, &duo.b), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(
		handoff_server_shared(NULL, read_totals, NULL), -EINVAL);
	assert_int_equal(
		handoff_server_shared(duo.a.server, NULL, NULL), -EINVAL);
	assert_int_equal(
		handoff_server_shared(duo.b.server, write_and_fail, NULL),
		-EDOM);
	totals_are(&duo, 0);
	assert_int_equal(
		handoff_server_shared(duo.a.server, misuse, &duo.a), 0);
	totals_are(&duo, 0);
	duo_close(&duo);
}

static void
programs_agree_or_refuse(void **state)
{
	struct totals totals;
	struct duo duo;
	int fd;

	(void)state;
	init_shared(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	duo.b.service.shared_version = 3;
	assert_int_equal(host_open(&duo.b, &duo.a), -EPROTO);
	assert_non_null(strstr(duo.b.why, "shared region of 8192 bytes and "
					  "version 2 there, of 8192 and 3 "
					  "here"));
	/* one without a region joins, and does not have it */
	duo.b.service.shared_size = 0;
	duo.b.service.handle = serve_lines;
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	assert_int_equal(
		handoff_server_shared(duo.b.server, read_totals, &totals),
		-EINVAL);
	fd = client_open(duo.a.address);
	client_send(fd, "more\n");
	client_expect(&duo, fd, "1\n");
	status_is(&duo.b, ",\"shared\":null", "");
	close(fd);
	duo_close(&duo);
}

/* A program with a region joins one that has none, and takes over from it. */
static void
region_is_added_to_a_service(void **state)
{
	struct duo duo;
	int fd;

	(void)state;
	init_shared(&duo, HANDOFF_MODEL_LOOP);
	duo.a.service.shared_size = 0;
	duo.a.service.handle = serve_lines;
	open_both(&duo);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_send(fd, "more\n");
	client_expect(&duo, fd, "2\n");
	close(fd);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(totals_are_those_of_all),
		handoff_test(totals_are_those_of_all_children),
		each_model(handler_that_fails_changes_nothing),
		handoff_test(child_that_dies_in_it_changes_nothing),
		each_model(handlers_wait_in_bounds),
		each_model(table_of_who_is_there_is_true),
		each_model(end_is_counted_when_the_region_is_free),
		handoff_test(table_of_who_is_there_is_true_of_children),
		each_model(who_answers_later_adds_later),
		handoff_test(program_is_checked),
		handoff_test(programs_agree_or_refuse),
		handoff_test(region_is_added_to_a_service),
	};

	return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
