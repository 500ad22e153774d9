/* SPDX-License-Identifier: MIT */
/*
 * A service is told when nothing happens on a connection, in every model, and
 * in a service that is wrapped.
 */
#include "server/duo.h"

#include "base/loop.h"
#include "wrap/toy.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Shared with the children of model fork. */
static struct {
	atomic_uint idle;
	atomic_ullong id;
} * seen;

static void
count_idle(uint64_t id, void *arg)
{
	(void)arg;
	atomic_store(&seen->id, id);
	atomic_fetch_add(&seen->idle, 1);
}

static void
open_one(struct duo *duo, enum handoff_model model)
{
	if (!seen)
		seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(seen, MAP_FAILED);
	atomic_store(&seen->idle, 0);
	duo_init(duo, model);
	duo->a.service.idle = count_idle;
}

static void
run_one(struct duo *duo)
{
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

/* Until so many were told, or nobody for that time. */
static void
expect_idle(struct duo *duo, unsigned count, int ms)
{
	int64_t end = handoff__now_us() + ms * 1000;

	while (handoff__now_us() < end && atomic_load(&seen->idle) < count)
		duo_turn(duo);
}

static void
expect_one(struct duo *duo)
{
	int fd;

	run_one(duo);
	fd = client_open(duo->a.address);
	client_line(duo, fd, 1);
	assert_int_equal(atomic_load(&seen->idle), 0);
	expect_idle(duo, 1, 20000);
	assert_int_equal(atomic_load(&seen->idle), 1);
	assert_int_equal(atomic_load(&seen->id), 1);
	client_line(duo, fd, 2);
	close(fd);
	duo_close(duo);
}

static void
idle_connection_is_told_of(void **state)
{
	struct duo duo;

	open_one(&duo, duo_model(state));
	expect_one(&duo);
}

static void
children_tell_it(void **state)
{
	struct duo duo;

	(void)state;
	support_not_in_valgrind();
	open_one(&duo, HANDOFF_MODEL_FORK);
	expect_one(&duo);
}

/* Nor of one that waits for the rest of its input, which may come any time. */
static void
nothing_is_told_twice(void **state)
{
	struct duo duo;
	int fd, half;

	open_one(&duo, duo_model(state));
	run_one(&duo);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	half = client_open(duo.a.address);
	client_send(half, "half a ");
	expect_idle(&duo, 2, 6000);
	assert_int_equal(atomic_load(&seen->idle), 1);
	assert_int_equal(atomic_load(&seen->id), 1);
	client_send(half, "line\n");
	client_expect(&duo, half, "1 half a line\n");
	client_line(&duo, fd, 2);
	expect_idle(&duo, 3, 20000);
	assert_int_equal(atomic_load(&seen->idle), 3);
	close(fd);
	close(half);
	duo_close(&duo);
}

static void
wrapped_service_is_told(void **state)
{
	unsigned char frame[TOY_HEAD + 6];
	struct duo duo;
	struct toy toy;
	int fd;

	open_one(&duo, duo_model(state));
	toy_init(&toy, &duo.a.service, 4096);
	duo.a.opts.service = &toy.service;
	run_one(&duo);
	fd = client_open(duo.a.address);
	toy_head(frame, 'd', 6);
	memcpy(frame + TOY_HEAD, "hello\n", 6);
	toy_mask(frame + TOY_HEAD, 6);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
	expect_idle(&duo, 1, 20000);
	assert_int_equal(atomic_load(&seen->idle), 1);
	close(fd);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(idle_connection_is_told_of),
		handoff_test(children_tell_it),
		handoff_test(nothing_is_told_twice),
		handoff_test(wrapped_service_is_told),
	};

	return cmocka_run_group_tests_name("idle", tests, NULL, NULL);
}
