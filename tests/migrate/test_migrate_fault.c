/* SPDX-License-Identifier: MIT */
/*
 * Each call of a freeze, a preparation and a commit fails in turn: nothing is
 * half applied, and the connection goes on where it should. And what this
 * kernel cannot show: other kernels, and packets that come at the wrong time.
 */
#include "migrate/hosts.h"

#include "migrate/mode.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Which call fails: 0 none, else it counts down to it. */
static int countdown;
static bool counting, has_failed;

static bool
fails(void)
{
	if (!counting || has_failed || --countdown > 0)
		return false;
	has_failed = true;
	errno = EIO;
	return true;
}

static void
fail_call(int number)
{
	counting = true;
	has_failed = false;
	countdown = number;
}

/* Whether there was such a call. */
static bool
has_been(void)
{
	counting = false;
	return has_failed;
}

/* An option that is answered otherwise, once or always. */
static int fake_level, fake_name, fake_errno;
static const char *fake_text;

/* What the client sends while the service is asked for its unread input. */
static struct pair *talking;
static int left_to_say;

int __real_socket(int domain, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *sa, socklen_t len);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __real_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int __real_getpeername(int fd, struct sockaddr *sa, socklen_t *len);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __real_setsockopt(
	int fd, int level, int name, const void *value, socklen_t len);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __real_send(int fd, const void *data, size_t len, int flags);
int __real_shutdown(int fd, int how);
int __real_ioctl(int fd, unsigned long request, void *arg);
void *__real_malloc(size_t size);

int __wrap_socket(int domain, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int __wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_setsockopt(
	int fd, int level, int name, const void *value, socklen_t len);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
void *__wrap_malloc(size_t size);

int
__wrap_socket(int domain, int type, int protocol)
{
	return fails() ? -1 : __real_socket(domain, type, protocol);
}

int
__wrap_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return fails() ? -1 : __real_bind(fd, sa, len);
}

int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return fails() ? -1 : __real_connect(fd, sa, len);
}

int
__wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	return fails() ? -1 : __real_getsockname(fd, sa, len);
}

int
__wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	return fails() ? -1 : __real_getpeername(fd, sa, len);
}

int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (fails())
		return -1;
	if (fake_text && level == fake_level && name == fake_name) {
		*len = (socklen_t)strlen(fake_text);
		memcpy(value, fake_text, *len);
		return 0;
	}
	return __real_getsockopt(fd, level, name, value, len);
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (fails())
		return -1;
	if (fake_errno && level == fake_level && name == fake_name) {
		errno = fake_errno;
		return -1;
	}
	return __real_setsockopt(fd, level, name, value, len);
}

ssize_t
__wrap_recv(int fd, void *data, size_t len, int flags)
{
	return fails() ? -1 : __real_recv(fd, data, len, flags);
}

/* How much of the next sends is refused as if the buffer were full. */
static int full_sends;

ssize_t
__wrap_send(int fd, const void *data, size_t len, int flags)
{
	if (fails())
		return -1;
	if (full_sends > 0) {
		full_sends--;
		errno = EAGAIN;
		return -1;
	}
	return __real_send(fd, data, len, flags);
}

int
__wrap_shutdown(int fd, int how)
{
	return fails() ? -1 : __real_shutdown(fd, how);
}

static void
say_something(int fd)
{
	struct pair *p = talking;
	int before = 0, after = 0;

	left_to_say--;
	talking = NULL;
	assert_int_equal(__real_ioctl(fd, SIOCINQ, &before), 0);
	pair_ask(p, 1);
	pair_await_unread(p, before + 1);
	assert_int_equal(__real_ioctl(fd, SIOCINQ, &after), 0);
	talking = p;
}

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (talking && left_to_say > 0 && request == SIOCINQ)
		say_something(fd);
	return fails() ? -1 : __real_ioctl(fd, request, arg);
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

static void
assert_thawed(const struct pair *p)
{
	assert_int_equal(handoff__migrate_mode(p->served), 0);
	assert_int_equal(socket_option(p->served, SOL_SOCKET, SO_REUSEADDR), 1);
	assert_int_equal(socket_option(p->served, SOL_SOCKET, SO_PEEK_OFF), -1);
}

/* With bytes in both queues, and beyond an urgent mark, so that every call
 * there is is made. */
static void
load(struct pair *p)
{
	socket_deaf(p->client);
	pair_answer(p, 5000);
	pair_ask(p, 100);
	assert_int_equal(send(p->client, "U", 1, MSG_OOB), 1);
	assert_int_equal(send(p->client, "after", 5, 0), 5);
	pair_await_unread(p, 106);
}

static void
unload(struct pair *p)
{
	char text[8];

	pair_take_asked(p, 100);
	assert_int_equal(recv(p->served, text, sizeof(text), MSG_DONTWAIT), 6);
	assert_memory_equal(text, "Uafter", 6);
	pair_take_answer(p, 5000);
}

static void
freezing(void **state)
{
	struct handoff__image image;
	struct pair p;
	int failed = 0;
	bool more = true;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	load(&p);
	socket_deaf(p.served);
	for (int i = 1; more; i++) {
		struct handoff__error error = {""};
		int fds = support_open_fds(), err;

		memset(&image, 0xee, sizeof(image));
		fail_call(i);
		err = handoff__migrate_freeze(p.served, &image, &error);
		more = has_been();
		if (err == 0) {
			assert_int_equal(handoff__migrate_unfreeze(
						 p.served, &image, NULL),
				0);
			handoff__image_free(&image);
		} else {
			assert_true(more);
			assert_true(error.text[0]);
			assert_int_equal(image.family, (int)0xeeeeeeee);
			failed++;
		}
		assert_thawed(&p);
		assert_int_equal(support_open_fds(), fds);
	}
	/* half of all calls read options */
	assert_true(failed > 60);
	socket_hears(p.served);
	socket_hears(p.client);
	unload(&p);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
preparing(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	int failed = 0;
	bool more = true;
	long sent;

	(void)state;
	hosts_need();
	pair_open(&p, SIX);
	load(&p);
	pair_freeze(&p, &image);
	sent = host_counter(HOST_B, "OutSegs");
	host_enter(HOST_B);
	for (int i = 1; more; i++) {
		struct handoff__error error = {""};
		int fds = support_open_fds(), err;

		restore.fd = -77;
		fail_call(i);
		err = handoff__migrate_prepare(&restore, &image, 0, &error);
		more = has_been();
		if (err == 0) {
			handoff__migrate_abandon(&restore);
		} else {
			assert_true(more);
			assert_true(error.text[0]);
			assert_int_equal(restore.fd, -77);
			failed++;
		}
		assert_int_equal(support_open_fds(), fds);
		assert_int_equal(host_counter(HOST_B, "OutSegs"), sent);
	}
	assert_true(failed > 20);
	pair_unfreeze(&p, &image);
	socket_hears(p.client);
	unload(&p);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* A commit that fails can be called again, and nothing is there twice. */
static void
committing(void **state)
{
	enum host at = HOST_A;
	struct pair p;
	int failed = 0;
	bool more = true;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	for (int i = 1; more; i++) {
		struct handoff__restore restore;
		struct handoff__image image;
		int err;

		at = at == HOST_A ? HOST_B : HOST_A;
		load(&p);
		pair_freeze(&p, &image);
		pair_carry(&p, &image, at, &restore);
		socket_hears(p.client);
		host_route(at == HOST_A ? TO_A : TO_B);
		fail_call(i);
		err = handoff__migrate_commit(&restore, &image, NULL);
		more = has_been();
		if (err < 0) {
			assert_int_not_equal(
				restore.stage, HANDOFF__RESTORE_SERVING);
			pair_land(&p, &image, at, &restore);
			failed++;
		} else {
			p.served = restore.fd;
			pair_send_rest(&p, image.out + restore.taken,
				image.out_len - restore.taken);
		}
		handoff__image_free(&image);
		unload(&p);
	}
	assert_true(failed >= 4);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* The buffer takes nothing until it is made larger, which is taken back. */
static void
send_buffer_that_must_grow(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	load(&p);
	pair_freeze(&p, &image);
	pair_carry(&p, &image, HOST_B, &restore);
	socket_hears(p.client);
	full_sends = 3;
	pair_land(&p, &image, HOST_B, &restore);
	assert_int_equal(full_sends, 0);
	assert_int_equal(restore.taken, image.out_len);
	assert_int_equal(socket_option(p.served, SOL_SOCKET, SO_SNDBUF),
		image.options.value[HANDOFF__OPT_SNDBUF]);
	handoff__image_free(&image);
	unload(&p);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* It never does: the commit fails, and is whole when there is memory. */
static void
send_buffer_that_does_not_grow(void **state)
{
	struct handoff__error error = {""};
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	load(&p);
	pair_freeze(&p, &image);
	pair_carry(&p, &image, HOST_B, &restore);
	socket_hears(p.client);
	full_sends = 1000;
	assert_true(handoff__migrate_commit(&restore, &image, &error) < 0);
	assert_non_null(strstr(error.text, "its output"));
	assert_int_equal(restore.stage, HANDOFF__RESTORE_PREPARED);
	full_sends = 0;
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	unload(&p);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* Nobody holds the packets: it is noticed, not moved. */
static void
input_all_the_time(void **state)
{
	struct handoff__error error = {""};
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_ask(&p, 10);
	pair_await_unread(&p, 10);
	talking = &p;
	left_to_say = 1000;
	assert_int_equal(
		handoff__migrate_freeze(p.served, &image, &error), -EAGAIN);
	talking = NULL;
	assert_non_null(strstr(error.text, "must be held"));
	assert_thawed(&p);
	pair_assert_works(&p, 10000);
	pair_close(&p);
}

/* The last packet comes while it is read: it is read again. */
static void
input_once(void **state)
{
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_ask(&p, 10);
	pair_await_unread(&p, 10);
	talking = &p;
	left_to_say = 2;
	assert_int_equal(handoff__migrate_freeze(p.served, &image, NULL), 0);
	talking = NULL;
	assert_int_equal(image.in_len, 12);
	assert_int_equal(handoff__migrate_unfreeze(p.served, &image, NULL), 0);
	handoff__image_free(&image);
	assert_thawed(&p);
	pair_assert_works(&p, 10000);
	pair_close(&p);
}

static void
attached_protocols(void **state)
{
	struct handoff__error error = {""};
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	fake_level = IPPROTO_TCP;
	fake_name = TCP_ULP;
	fake_text = "tls";
	assert_int_equal(
		handoff__migrate_refuse(p.served, &error), HANDOFF__ULP);
	assert_non_null(strstr(error.text, "ULP"));
	fake_name = 40; /* TCP_AO_INFO */
	assert_int_equal(
		handoff__migrate_refuse(p.served, &error), HANDOFF__AO);
	assert_non_null(strstr(error.text, "TCP-AO"));
	fake_text = NULL;
	assert_int_equal(
		handoff__migrate_refuse(p.served, &error), HANDOFF__MOVABLE);
	pair_close(&p);
}

/* Before Linux 6.9. */
static void
kernel_that_cannot_peek_on(void **state)
{
	struct handoff__error error = {""};
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	load(&p);
	socket_deaf(p.served);
	fake_level = SOL_SOCKET;
	fake_name = SO_PEEK_OFF;
	fake_errno = EOPNOTSUPP;
	assert_int_equal(
		handoff__migrate_freeze(p.served, &image, &error), -EOPNOTSUPP);
	fake_errno = 0;
	assert_non_null(strstr(error.text, "urgent"));
	assert_thawed(&p);
	socket_hears(p.served);
	socket_hears(p.client);
	unload(&p);
	pair_assert_works(&p, 1000);
	pair_close(&p);
}

/* Before Linux 5.14. */
static void
kernel_without_buffer_locks(void **state)
{
	struct handoff__restore restore;
	struct handoff__error error = {""};
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_freeze(&p, &image);
	host_enter(HOST_B);
	fake_level = SOL_SOCKET;
	fake_name = 72; /* SO_BUF_LOCK */
	fake_errno = ENOPROTOOPT;
	assert_int_equal(handoff__migrate_prepare(&restore, &image, 0, &error),
		-ENOPROTOOPT);
	fake_errno = 0;
	assert_non_null(strstr(error.text, "SO_BUF_LOCK"));
	pair_unfreeze(&p, &image);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(freezing),
		handoff_test(preparing),
		handoff_test(committing),
		handoff_test(send_buffer_that_must_grow),
		handoff_test(send_buffer_that_does_not_grow),
		handoff_test(input_all_the_time),
		handoff_test(input_once),
		handoff_test(attached_protocols),
		handoff_test(kernel_that_cannot_peek_on),
		handoff_test(kernel_without_buffer_locks),
	};

	return cmocka_run_group_tests_name("migrate_fault", tests, NULL, NULL);
}
