/* SPDX-License-Identifier: MIT */
/*
 * A listener that has no descriptor for a client backs off, and accepts the
 * client when one is free; and descriptors held in reserve. accept4 is wrapped:
 * it counts calls, and fails when a test asks for it.
 */
#include "support/support.h"

#include "base/door.h"
#include "base/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static unsigned calls;
static int fails; /* an errno, or 0 */

int __real_accept4(
	int fd, struct sockaddr *addr, socklen_t *restrict len, int flags);
int __wrap_accept4(
	int fd, struct sockaddr *addr, socklen_t *restrict len, int flags);

int
__wrap_accept4(
	int fd, struct sockaddr *addr, socklen_t *restrict len, int flags)
{
	calls++;
	if (fails) {
		errno = fails;
		return -1;
	}
	return __real_accept4(fd, addr, len, flags);
}

struct fixture {
	struct handoff__loop loop;
	struct handoff__door door;
	int listener, client;
	unsigned clients, rooms;
};

static void
on_client(void *arg, int fd)
{
	struct fixture *f = arg;

	f->clients++;
	close(fd);
}

static void
on_room(void *arg)
{
	struct fixture *f = arg;

	f->rooms++;
}

/* A door with somebody before it. */
static void
open_door(struct fixture *f)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memset(f, 0, sizeof(*f));
	calls = 0;
	fails = 0;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/door", support_dir());
	f->listener =
		socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(f->listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(handoff__loop_init(&f->loop), 0);
	assert_int_equal(handoff__door_open(
				 &f->door, &f->loop, f->listener, on_client, f),
		0);
	f->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		connect(f->client, (struct sockaddr *)&sun, sizeof(sun)), 0);
}

static void
close_door(struct fixture *f)
{
	handoff__door_close(&f->door);
	handoff__loop_fini(&f->loop);
	close(f->listener);
	close(f->client);
}

static void
run_ms(struct fixture *f, int ms)
{
	int64_t end = handoff__now_us() + ms * 1000, now;

	while ((now = handoff__now_us()) < end)
		handoff__loop_dispatch(&f->loop, (int)((end - now) / 1000) + 1);
}

static void
client_comes_in(void **state)
{
	struct fixture f;

	(void)state;
	open_door(&f);
	f.door.room = on_room;
	f.door.room_arg = &f;
	handoff__loop_dispatch(&f.loop, 1000);
	assert_int_equal(f.clients, 1);
	assert_int_equal(f.rooms, 1);
	close_door(&f);
}

static void
door_backs_off(void **state)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL};
	struct fixture f;

	(void)state;
	open_door(&f);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		calls = 0;
		fails = errors[i];
		run_ms(&f, 250);
		assert_in_range(calls, 1, 4);
		assert_int_equal(f.clients, 0);
	}
	fails = 0;
	for (int n = 0; n < 50 && f.clients == 0; n++)
		handoff__loop_dispatch(&f.loop, 100);
	assert_int_equal(f.clients, 1);
	close_door(&f);
}

/* One that has gone again does not keep the next one waiting. */
static void
client_that_gave_up_is_passed_over(void **state)
{
	struct fixture f;

	(void)state;
	open_door(&f);
	fails = ECONNABORTED;
	handoff__loop_dispatch(&f.loop, 1000);
	fails = 0;
	handoff__loop_dispatch(&f.loop, 1000);
	assert_int_equal(calls, 2);
	assert_int_equal(f.clients, 1);
	close_door(&f);
}

static void
reserve_gives_what_it_holds(void **state)
{
	struct handoff__reserve r = {.count = 0};
	int before = support_open_fds();

	(void)state;
	assert_int_equal(handoff__reserve_release(&r, 4), 0);
	assert_true(handoff__reserve_fill(&r, 5));
	assert_int_equal(support_open_fds(), before + 5);
	assert_int_equal(handoff__reserve_release(&r, 3), 3);
	assert_int_equal(support_open_fds(), before + 2);
	assert_true(handoff__reserve_fill(&r, 1));
	assert_int_equal(support_open_fds(), before + 1);
	handoff__reserve_fini(&r);
	assert_int_equal(support_open_fds(), before);
	handoff__reserve_fini(&r);
}

static void
reserve_keeps_what_it_gets(void **state)
{
	struct handoff__reserve r = {.count = 0};
	int fd;

	(void)state;
	support_limit_descriptors(3);
	assert_false(handoff__reserve_fill(&r, 1000));
	assert_in_range(r.count, 1, 3);
	assert_int_equal(dup(STDIN_FILENO), -1);
	assert_int_equal(handoff__reserve_release(&r, 1), 1);
	fd = dup(STDIN_FILENO);
	assert_true(fd >= 0);
	close(fd);
	handoff__reserve_fini(&r);
	support_unlimit_descriptors();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(client_comes_in),
		handoff_test(door_backs_off),
		handoff_test(client_that_gave_up_is_passed_over),
		handoff_test(reserve_gives_what_it_holds),
		handoff_test(reserve_keeps_what_it_gets),
	};

	return cmocka_run_group_tests_name("door", tests, NULL, NULL);
}
