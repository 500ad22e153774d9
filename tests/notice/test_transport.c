/* SPDX-License-Identifier: MIT */
/*
 * Several transports behind one handle, with some that this file adds: they are
 * written from the public header alone.
 */
#include "notice/board.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A file that is appended to: each message is HANDOFF__NOTICE_SIZE long. */
static int broken; /* its calls fail with this */

static int
file_open(void **end, const char *path,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	int how = side->publishes ? O_WRONLY | O_APPEND | O_CREAT : O_RDONLY;
	int *fd = malloc(sizeof(*fd));

	if (fd && (*fd = open(path, how | O_CLOEXEC, 0600)) < 0) {
		free(fd);
		fd = NULL;
	}
	*end = fd;
	if (fd)
		return 0;
	snprintf(errbuf, errbuf_size, "file:%s: cannot open it: %s", path,
		strerror(errno));
	return -errno;
}

static int
file_fd(void *end)
{
	(void)end;
	return -1; /* a file is always readable: it has to be asked */
}

static int
file_receive(void *end, void *data, size_t *len)
{
	return broken ? -broken : read(*(int *)end, data, *len) > 0;
}

static int
file_publish(void *end, const void *data, size_t len)
{
	char line[HANDOFF__NOTICE_SIZE] = "";

	memcpy(line, data, len);
	if (broken)
		return -broken;
	return write(*(int *)end, line, sizeof(line)) < 0 ? -errno : 0;
}

static void
file_close(void *end)
{
	close(*(int *)end);
	free(end);
}

static const struct handoff_transport file_transport = {
	.size = sizeof(file_transport),
	.prefix = "file:",
	.form = "file:PATH",
	.open = file_open,
	.fd = file_fd,
	.receive = file_receive,
	.publish = file_publish,
	.close = file_close};

extern const struct handoff_transport handoff__mq_transport;

const struct handoff_transport *const handoff__transports[] = {
	&handoff__mq_transport, NULL};

static char file[160];
static const char *both[] = {board.address, file};

/* The board, which publishes to its queues and to a file. */
static void
begin(void)
{
	board_begin();
	broken = 0;
	snprintf(file, sizeof(file), "file:%s/log", board.path);
	handoff__publisher_close(&board.pub);
	assert_int_equal(handoff__publisher_open(
				 &board.pub, &board.dir, both, 2, 0, NULL),
		0);
}

static void
subscribe(struct handoff_subscriber **sub, const char *const *addresses,
	size_t count)
{
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.addresses = addresses,
		.naddresses = count,
		.errbuf = board.sentence,
		.errbuf_size = sizeof(board.sentence),
	};

	assert_int_equal(handoff_subscriber_open(sub, &opts), 0);
}

static void
publish(uint64_t generation, uint64_t seq)
{
	struct handoff_notice n =
		board_notice(HANDOFF_NOTICE_MAINTENANCE, generation, seq);

	board_publish(&n);
}

static void
expect(struct handoff_subscriber *sub, uint64_t generation, uint64_t seq)
{
	const struct handoff_notice *n;

	assert_int_equal(handoff_subscriber_next(sub, &n), 1);
	assert_int_equal(n->generation, generation);
	assert_int_equal(n->seq, seq);
}

static void
expect_none(struct handoff_subscriber *sub)
{
	const struct handoff_notice *n;

	assert_int_equal(handoff_subscriber_next(sub, &n), 0);
}

static bool
readable(struct handoff_subscriber *sub, int ms)
{
	struct pollfd p = {.fd = handoff_subscriber_fd(sub), .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static void
test_each_once_and_in_order(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin();
	subscribe(&sub, both, 2);
	for (uint64_t seq = 1; seq <= 3; seq++)
		publish(1, seq);
	publish(2, 1);
	assert_true(handoff__publisher_done(&board.pub));
	assert_int_equal(board.pub.told.reached, 2);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		assert_true(readable(sub, 0));
		expect(sub, 1, seq);
	}
	expect(sub, 2, 1);
	expect_none(sub);
	handoff_subscriber_free(sub);
	board_end();
}

/* The queue keeps four, the file all: the older ones are not passed over. */
static void
test_one_has_lost_some(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin();
	subscribe(&sub, both, 2);
	for (uint64_t seq = 1; seq <= 9; seq++)
		publish(1, seq);
	for (uint64_t seq = 1; seq <= 9; seq++)
		expect(sub, 1, seq);
	expect_none(sub);
	handoff_subscriber_free(sub);
	board_end();
}

static void
publish_on(const char *const *address, uint64_t seq)
{
	handoff__publisher_close(&board.pub);
	assert_int_equal(handoff__publisher_open(
				 &board.pub, &board.dir, address, 1, 0, NULL),
		0);
	publish(1, seq);
}

/* One that pulls a single notice each time the descriptor is readable: the
 * newer one was taken from the queue while the older was looked for. */
static void
test_readable_while_one_waits(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin();
	subscribe(&sub, both, 2);
	publish_on(&both[1], 1);
	publish_on(&both[0], 2);
	assert_true(readable(sub, 0));
	expect(sub, 1, 1);
	assert_true(readable(sub, 0));
	expect(sub, 1, 2);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_without_a_descriptor(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin();
	subscribe(&sub, &both[1], 1);
	expect_none(sub);
	publish(4, 1);
	assert_true(readable(sub, 10000));
	expect(sub, 4, 1);
	expect_none(sub);
	publish(4, 2);
	assert_int_equal(handoff_subscriber_wait(sub, 10000), 0);
	expect(sub, 4, 2);
	handoff_subscriber_free(sub);
	board_end();
}

/* One that fails does not keep the other from its notices. */
static void
test_one_fails(void **state)
{
	struct handoff_subscriber *sub, *alone;
	const struct handoff_notice *n;
	struct handoff_notice published;

	(void)state;
	begin();
	subscribe(&sub, both, 2);
	subscribe(&alone, &both[1], 1);
	broken = EIO;
	published = board_notice(HANDOFF_NOTICE_READY, 1, 1);
	assert_int_equal(
		handoff__publisher_begin(&board.pub, &published), -EIO);
	while (handoff__publisher_step(&board.pub, 16) > 0)
		;
	expect(sub, 1, 1);
	expect_none(sub);
	assert_non_null(strstr(handoff_subscriber_errmsg(sub), "file"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(handoff_subscriber_next(alone, &n), -EIO);

	/* It was not published there: only that is done again. */
	assert_false(handoff__publisher_done(&board.pub));
	assert_int_equal(board.pub.outlets[1].err, -EIO);
	assert_int_equal(handoff__publisher_retry(&board.pub), -EIO);
	broken = 0;
	assert_int_equal(handoff__publisher_retry(&board.pub), 0);
	assert_int_equal(handoff__publisher_step(&board.pub, 16), 0);
	assert_true(handoff__publisher_done(&board.pub));
	assert_int_equal(board.pub.outlets[0].told.reached, 1);
	assert_int_equal(board.pub.outlets[1].told.reached, 1);
	/* It is asked again after a second. */
	while (handoff_subscriber_next(alone, &n) < 0)
		poll(NULL, 0, 10);
	assert_int_equal(n->seq, 1);
	expect_none(sub);
	handoff_subscriber_free(alone);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_addresses(void **state)
{
	const char *many[18], *unknown[] = {file, "pigeon:home"};
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.addresses = unknown,
		.naddresses = 2,
		.errbuf = board.sentence,
		.errbuf_size = sizeof(board.sentence),
	};
	struct handoff_subscriber *sub = NULL;
	struct handoff__publisher pub;
	struct handoff__error error = {0};

	(void)state;
	begin();
	assert_int_equal(handoff_subscriber_open(&sub, &opts), -EINVAL);
	assert_non_null(strstr(board.sentence,
		"address 'pigeon:home': want mq:DIR or file:PATH"));
	assert_int_equal(handoff__publisher_open(
				 &pub, &board.dir, unknown, 2, 0, &error),
		-EINVAL);
	assert_non_null(strstr(error.text, "pigeon:home"));
	assert_int_equal(pub.noutlets, 0);
	for (size_t i = 0; i < 18; i++)
		many[i] = file;
	opts.addresses = many;
	opts.naddresses = 17;
	assert_int_equal(handoff_subscriber_open(&sub, &opts), -EINVAL);
	assert_int_equal(
		handoff__publisher_open(&pub, &board.dir, many, 17, 0, &error),
		-EINVAL);
	assert_non_null(strstr(error.text, "at most 16"));
	opts.naddresses = 16;
	opts.address = board.address;
	assert_int_equal(handoff_subscriber_open(&sub, &opts), 0);
	handoff_subscriber_free(sub);
	unknown[0] = "file:/nowhere/at/all";
	opts.addresses = unknown;
	opts.naddresses = 1;
	opts.address = NULL;
	assert_int_equal(handoff_subscriber_open(&sub, &opts), -ENOENT);
	assert_non_null(strstr(board.sentence, "cannot open it"));
	board_end();
}

/* An engine elsewhere, which confirms a message and tells what it retains when
 * the test says so. */
static struct {
	int fd;
	bool connected;
	size_t len;
	char message[HANDOFF_TRANSPORT_MESSAGE_MAX];
} engine;

static int
slow_open(void **end, const char *rest,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	(void)errbuf;
	(void)errbuf_size;
	assert_string_equal(rest, "x");
	assert_true(side->publishes);
	engine.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*end = &engine;
	return 0;
}

static int
slow_fd(void *end)
{
	(void)end;
	return engine.fd;
}

static int
slow_publish(void *end, const void *data, size_t len)
{
	(void)end;
	memcpy(engine.message, data, len);
	engine.len = len;
	return 0;
}

static void
slow_close(void *end)
{
	(void)end;
	close(engine.fd);
}

static int
slow_step(void *end, unsigned max, struct handoff_transport_told *told)
{
	(void)end;
	if (max == 0)
		return 0;
	if (!engine.connected)
		return -EAGAIN;
	told->reached++;
	return 0;
}

static int
slow_retained(void *end, void *data, size_t *len)
{
	(void)end;
	if (!engine.connected)
		return -EAGAIN;
	memcpy(data, engine.message, engine.len);
	*len = engine.len;
	return engine.len > 0;
}

static int
slow_tend(void *end)
{
	eventfd_t count;

	(void)end;
	engine.connected =
		eventfd_read(engine.fd, &count) == 0 || engine.connected;
	return 0;
}

static const struct handoff_transport slow_transport = {
	.size = sizeof(slow_transport),
	.prefix = "slow:",
	.form = "slow:x",
	.open = slow_open,
	.fd = slow_fd,
	.receive = file_receive,
	.publish = slow_publish,
	.close = slow_close,
	.step = slow_step,
	.retained = slow_retained,
	.tend = slow_tend,
};

/* One that is not reachable, and is later; the queue does not wait for it. */
static void
test_one_waits(void **state)
{
	const char *addresses[] = {"slow:x", board.address};
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 3, 1);
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	handoff__publisher_close(&board.pub);
	memset(&engine, 0, sizeof(engine));
	assert_int_equal(handoff_transport_add(&slow_transport, NULL, 0), 0);
	assert_int_equal(handoff__publisher_open(
				 &board.pub, &board.dir, addresses, 2, 0, NULL),
		0);
	subscribe(&sub, &addresses[1], 1);
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), 0);
	while (handoff__publisher_step(&board.pub, 16) > 0)
		;
	expect(sub, 3, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			handoff__publisher_step(&board.pub, 16), -EAGAIN);
	handoff__publisher_tend(&board.pub);
	assert_int_equal(handoff__publisher_step(&board.pub, 16), -EAGAIN);
	assert_false(handoff__publisher_done(&board.pub));
	assert_false(handoff__publisher_missed(&board.pub));
	eventfd_write(engine.fd, 1);
	assert_int_equal(handoff__publisher_step(&board.pub, 16), -EAGAIN);
	handoff__publisher_tend(&board.pub);
	assert_int_equal(handoff__publisher_step(&board.pub, 16), 0);
	assert_true(handoff__publisher_done(&board.pub));
	assert_int_equal(board.pub.told.reached, 2);

	/* at the end of a server: it waits, but not for long */
	engine.connected = false;
	assert_int_equal(handoff__publisher_begin(&board.pub, &n), 0);
	handoff__publisher_finish(&board.pub, 20);
	assert_false(handoff__publisher_done(&board.pub));
	assert_true(handoff__publisher_missed(&board.pub));
	assert_int_equal(handoff__publisher_step(&board.pub, 16), 0);
	assert_int_equal(handoff__publisher_retry(&board.pub), 0);
	eventfd_write(engine.fd, 1);
	handoff__publisher_finish(&board.pub, 10000);
	assert_true(handoff__publisher_done(&board.pub));
	handoff_subscriber_free(sub);
	board_end();
}

/* What is retained elsewhere is waited for. */
static void
test_retained_elsewhere(void **state)
{
	static const char *addresses[] = {"slow:x"};
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 7, 2), got;

	(void)state;
	board_begin();
	handoff__publisher_close(&board.pub);
	memset(&engine, 0, sizeof(engine));
	assert_int_equal(handoff__publisher_open(
				 &board.pub, &board.dir, addresses, 1, 0, NULL),
		0);
	assert_int_equal(handoff__publisher_retained(&board.pub, 20, &got), 0);
	engine.len = (size_t)handoff__notice_encode(
		&n, engine.message, sizeof(engine.message));
	eventfd_write(engine.fd, 1);
	assert_int_equal(
		handoff__publisher_retained(&board.pub, 10000, &got), 1);
	assert_int_equal(got.generation, 7);
	board_end();
}

static int
add(const struct handoff_transport *transport)
{
	board.sentence[0] = '\0';
	return handoff_transport_add(
		transport, board.sentence, sizeof(board.sentence));
}

static void
expect_refused(int err, const char *sentence, struct handoff_transport bad)
{
	assert_int_equal(add(&bad), err);
	if (!strstr(board.sentence, sentence))
		fail_msg("'%s' is not in '%s'", sentence, board.sentence);
	assert_int_equal(handoff_transport_add(&bad, NULL, 0), err);
}

/* Before all others: what is added stays. */
static void
test_added(void **state)
{
	struct handoff_transport t = file_transport;
	const char *rest;

	(void)state;
	assert_null(handoff__transport_find("x", "file:a", &rest, NULL));
	assert_int_equal(add(&t), 0);
	memset(&t, 0, sizeof(t)); /* the library has a copy */
	assert_non_null(handoff__transport_find("x", "file:a", &rest, NULL));
	assert_string_equal(rest, "a");
	assert_int_equal(handoff__transport_check("file:a", NULL), 0);
	assert_int_equal(handoff__transport_check("file:", NULL), -EINVAL);
}

static void
test_refused(void **state)
{
	static const char *const prefixes[] = {"", ":", "mq",
		"a b:", "Mq:", "mq:x", "mq::", "a-name-that-is-to:", NULL};
	struct handoff_transport t = file_transport;
	struct {
		struct handoff_transport known;
		void *more;
	} later = {file_transport, &later};

	(void)state;
	expect_refused(-EEXIST, "file: there is one", t);
	t.prefix = "mq:";
	expect_refused(-EEXIST, "mq: there is one", t);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		t.prefix = prefixes[i];
		expect_refused(-EINVAL, "want 1 to 15 characters", t);
	}
	t.prefix = "tape:";
	t.close = NULL;
	expect_refused(-EINVAL, "tape: it must have", t);
	t = file_transport;
	t.size = 8;
	expect_refused(-EINVAL, "size", t);
	assert_int_equal(handoff_transport_add(NULL, NULL, 0), -EINVAL);
	later.known.size = sizeof(later);
	later.known.prefix = "later:";
	assert_int_equal(add(&later.known), -E2BIG);
	assert_non_null(strstr(board.sentence, "later version"));
	later.more = NULL;
	assert_int_equal(add(&later.known), 0);
	/* the first version of the table ends before what may be NULL */
	t.size = offsetof(struct handoff_transport, step);
	t.prefix = "first:";
	assert_int_equal(add(&t), 0);
}

static void
test_too_many(void **state)
{
	static char names[HANDOFF_TRANSPORT_ADDED_MAX + 1][16];
	struct handoff_transport t = file_transport;
	const char *rest;
	int added = 0;

	(void)state;
	for (int i = 0; i <= HANDOFF_TRANSPORT_ADDED_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "n%d:", i);
		t.prefix = names[i];
		if (add(&t) == 0)
			added++;
		else
			assert_non_null(strstr(board.sentence, "at most 16"));
	}
	/* with those of the tests before */
	assert_int_equal(added, HANDOFF_TRANSPORT_ADDED_MAX - 4);
	assert_ptr_equal(
		handoff__transport_find("x", "n11:b", &rest, NULL)->open,
		file_open);
	assert_null(handoff__transport_find("x", "n12:b", &rest, NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_added),
		handoff_test(test_each_once_and_in_order),
		handoff_test(test_one_has_lost_some),
		handoff_test(test_readable_while_one_waits),
		handoff_test(test_without_a_descriptor),
		handoff_test(test_one_fails),
		handoff_test(test_addresses),
		handoff_test(test_one_waits),
		handoff_test(test_retained_elsewhere),
		handoff_test(test_refused),
		handoff_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
