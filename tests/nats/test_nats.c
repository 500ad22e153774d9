/* SPDX-License-Identifier: MIT */
/*
 * Notices by a real nats-server: each once and in order, the latest one for who
 * comes later or was cut off, numbers that go on, servers that are killed,
 * stopped and started again, and no call that blocks.
 */
#include "nats/place.h"

#include "base/loop.h"

#include <nats/nats.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is no wait for a server: generous, since the machine may be busy. */
#define AT_ONCE_US 1000000

static void
test_each_once_and_in_order(void **state)
{
	struct handoff_subscriber *sub, *late;
	const struct handoff_notice *n;
	struct publishing p;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	sub = place_subscribe(place_address("nats:", ""));
	for (uint64_t seq = 1; seq <= 5; seq++) {
		publishing_publish(&p, 1, seq);
		assert_int_equal(p.pub.told.reached, 1);
		place_hears(sub, 1, seq);
	}
	assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	publishing_says(&p, "connected to 127.0.0.1:");
	late = place_subscribe(place_address("nats:", ""));
	place_hears(late, 1, 5);
	publishing_publish(&p, 2, 1);
	place_hears(sub, 2, 1);
	place_hears(late, 2, 1);
	assert_int_equal(handoff_subscriber_next(late, &n), 0);
	handoff_subscriber_free(late);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

static void
test_one_that_never_reads(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	publishing_publish(&p, 1, 1);
	sub = place_subscribe(place_address("nats:", ""));
	place_hears(sub, 1, 1);
	for (uint64_t seq = 2; seq <= 100; seq++)
		publishing_publish(&p, 1, seq);
	place_hears(sub, 1, 100);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

/* A service of another name is another subject. */
static void
test_services_apart(void **state)
{
	struct handoff_subscriber *sub, *other;
	const struct handoff_notice *n;
	char address[128];
	struct publishing p;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	snprintf(address, sizeof(address), "nats://127.0.0.1:%d/echo.b",
		place_port());
	other = place_subscribe(address);
	sub = place_subscribe(place_address("nats:", ""));
	publishing_publish(&p, 1, 1);
	place_hears(sub, 1, 1);
	assert_int_equal(handoff_subscriber_next(other, &n), 0);
	handoff_subscriber_free(other);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

static void
test_numbers_go_on(void **state)
{
	struct handoff_notice last;
	struct publishing p;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	assert_int_equal(
		handoff__publisher_retained(&p.pub, PLACE_MS, &last), 0);
	publishing_publish(&p, 7, 3);
	publishing_close(&p);
	publishing_open(&p, place_address("nats:", ""));
	assert_int_equal(unlinkat(p.dir.fd, "notice", 0), 0);
	assert_int_equal(
		handoff__publisher_retained(&p.pub, PLACE_MS, &last), 1);
	assert_int_equal(last.generation, 7);
	assert_int_equal(last.seq, 3);
	publishing_close(&p);
	place_end();
}

/* One that a server's death cuts off has the latest notice when it is back. */
static void
test_server_killed(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;
	int64_t began;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	sub = place_subscribe(place_address("nats:", ""));
	publishing_publish(&p, 1, 1);
	place_hears(sub, 1, 1);
	place_kill();
	publishing_says(&p, "cannot connect to 127.0.0.1:");
	place_says(sub, "cannot connect to 127.0.0.1:");
	began = handoff__now_us();
	publishing_begin(&p, 1, 2);
	assert_int_equal(handoff__publisher_step(&p.pub, 16), -EAGAIN);
	publishing_begin(&p, 1, 3);
	assert_int_equal(handoff__publisher_step(&p.pub, 16), -EAGAIN);
	assert_in_range(handoff__now_us() - began, 0, AT_ONCE_US);
	place_restart();
	publishing_done(&p);
	place_hears(sub, 1, 3);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

/* One that is there and does not answer: no call waits for it. */
static void
test_server_stopped(void **state)
{
	struct handoff_subscriber *sub;
	const struct handoff_notice *n;
	struct publishing p;
	int64_t began;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	sub = place_subscribe(place_address("nats:", ""));
	publishing_publish(&p, 1, 1);
	place_hears(sub, 1, 1);
	place_signal(SIGSTOP);
	began = handoff__now_us();
	for (uint64_t seq = 2; seq <= 50; seq++) {
		publishing_begin(&p, 1, seq);
		assert_int_equal(handoff__publisher_step(&p.pub, 16), -EAGAIN);
		handoff__publisher_tend(&p.pub);
		assert_int_equal(handoff__publisher_keep(&p.pub), 0);
		assert_int_equal(handoff_subscriber_next(sub, &n), 0);
	}
	assert_in_range(handoff__now_us() - began, 0, AT_ONCE_US);
	publishing_says(&p, "has not answered a request to publish");
	place_signal(SIGCONT);
	publishing_done(&p);
	place_hears(sub, 1, 50);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

/* An owner that was cut off does not replace what its successor has said. */
static void
test_refused(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing old, new;

	(void)state;
	place_begin(NULL);
	publishing_open(&old, place_address("nats:", ""));
	publishing_publish(&old, 4, 1);
	publishing_open(&new, place_address("nats:", ""));
	publishing_publish(&new, 5, 1);
	publishing_publish(&old, 4, 2);
	assert_int_equal(old.pub.told.refused, 1);
	assert_int_equal(old.pub.told.reached, 0);
	publishing_says(&old, "what another owner has published is newer");
	assert_int_equal(handoff__publisher_keep(&old.pub), 0);
	sub = place_subscribe(place_address("nats:", ""));
	place_hears(sub, 5, 1);
	publishing_publish(&old, 6, 1);
	assert_int_equal(old.pub.told.reached, 1);
	place_hears(sub, 6, 1);
	handoff_subscriber_free(sub);
	publishing_close(&new);
	publishing_close(&old);
	place_end();
}

static void
leave_out(struct publishing *p, uint64_t seq)
{
	publishing_begin(p, 1, seq);
	handoff__publisher_skip(&p->pub);
	assert_true(handoff__publisher_done(&p->pub));
}

/* A notice of which nobody is to be told, as when a service starts, is retained
 * all the same, even where the server is not there at that moment; but not in
 * place of a newer one. */
static void
test_left_out(void **state)
{
	struct handoff_subscriber *sub, *late;
	struct publishing p, other;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	leave_out(&p, 1);
	sub = place_subscribe(place_address("nats:", ""));
	place_hears(sub, 1, 1);
	place_kill();
	place_says(sub, "cannot connect to 127.0.0.1:");
	leave_out(&p, 2);
	place_restart();
	place_hears(sub, 1, 2);
	late = place_subscribe(place_address("nats:", ""));
	place_hears(late, 1, 2);
	handoff_subscriber_free(late);

	publishing_open(&other, place_address("nats:", ""));
	publishing_publish(&other, 1, 9);
	place_hears(sub, 1, 9);
	leave_out(&p, 5);
	publishing_says(&p, "what another owner has published is newer");
	late = place_subscribe(place_address("nats:", ""));
	place_hears(late, 1, 9);
	handoff_subscriber_free(late);
	handoff_subscriber_free(sub);
	publishing_close(&other);
	publishing_close(&p);
	place_end();
}

static void
delete_stream(void)
{
	char url[64];
	natsConnection *nc;
	jsCtx *js;

	snprintf(url, sizeof(url), "nats://127.0.0.1:%d", place_port());
	assert_int_equal(natsConnection_ConnectTo(&nc, url), NATS_OK);
	assert_int_equal(natsConnection_JetStream(&js, nc, NULL), NATS_OK);
	assert_int_equal(js_DeleteStream(js, "HANDOFF", NULL, NULL), NATS_OK);
	jsCtx_Destroy(js);
	natsConnection_Destroy(nc);
}

/* An administrator removes the stream: it is made and filled again. */
static void
test_stream_removed(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	publishing_publish(&p, 3, 1);
	delete_stream();
	publishing_publish(&p, 3, 2);
	sub = place_subscribe(place_address("nats:", ""));
	place_hears(sub, 3, 2);
	delete_stream();
	for (int i = 0; handoff__publisher_keep(&p.pub) == 0; i++) {
		assert_in_range(i, 0, PLACE_MS / 10);
		poll(NULL, 0, 10);
	}
	handoff_subscriber_free(sub);
	sub = place_subscribe(place_address("nats:", ""));
	place_hears(sub, 3, 2);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

static void
test_a_child_frees(void **state)
{
	struct handoff_subscriber *sub;
	struct publishing p;
	pid_t pid;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	sub = place_subscribe(place_address("nats:", ""));
	publishing_publish(&p, 1, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct handoff_subscriber_opts opts = {.size = sizeof(opts),
			.address = place_address("nats:", "")};
		struct handoff_subscriber *again;

		handoff_subscriber_free(sub);
		_exit(handoff_subscriber_open(&again, &opts) == -ENOTSUP ? 0
									 : 1);
	}
	support_reap(pid);
	publishing_publish(&p, 1, 2);
	place_hears(sub, 1, 2);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

/* A listener that nobody answers on, as behind a broken firewall. */
static void
test_closed_while_connecting(void **state)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	struct handoff_subscriber *sub;
	char address[64];
	int64_t began;
	int fd;

	(void)state;
	place_begin(NULL);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(address, sizeof(address), "nats://127.0.0.1:%d/echo",
		ntohs(((struct sockaddr_in *)&at)->sin_port));
	began = handoff__now_us();
	sub = place_subscribe(address);
	assert_true(support_poll(fd, POLLIN) > 0);
	handoff_subscriber_free(sub);
	assert_in_range(handoff__now_us() - began, 0, AT_ONCE_US);
	close(fd);
	place_end();
}

/* No handler of the program runs in a thread that it has not started. */
static void
test_threads_block_signals(void **state)
{
	struct handoff_subscriber *sub;
	struct dirent *entry;
	struct publishing p;
	int others = 0;
	DIR *tasks;

	(void)state;
	place_begin(NULL);
	publishing_open(&p, place_address("nats:", ""));
	sub = place_subscribe(place_address("nats:", ""));
	publishing_publish(&p, 1, 1);
	place_hears(sub, 1, 1);
	tasks = opendir("/proc/self/task");
	while ((entry = readdir(tasks))) {
		char path[300], line[128];
		unsigned long long mask = 0;
		FILE *status;

		if (atoi(entry->d_name) == 0 || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			entry->d_name);
		status = fopen(path, "re");
		while (status && fgets(line, sizeof(line), status))
			sscanf(line, "SigBlk: %llx", &mask);
		fclose(status);
		others++;
		assert_true(mask >> (SIGTERM - 1) & 1);
		assert_true(mask >> (SIGUSR1 - 1) & 1);
	}
	closedir(tasks);
	assert_true(others >= 2);
	handoff_subscriber_free(sub);
	publishing_close(&p);
	place_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_threads_block_signals),
		handoff_test(test_each_once_and_in_order),
		handoff_test(test_one_that_never_reads),
		handoff_test(test_services_apart),
		handoff_test(test_numbers_go_on),
		handoff_test(test_server_killed),
		handoff_test(test_server_stopped),
		handoff_test(test_refused),
		handoff_test(test_left_out),
		handoff_test(test_stream_removed),
		handoff_test(test_a_child_frees),
		handoff_test(test_closed_while_connecting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
