/* SPDX-License-Identifier: MIT */
/*
 * Missing kernel features are detected, and no present one is reported as
 * missing. The probing calls are wrapped: they answer as other kernels do.
 */
#include "support/support.h"

#include "base/kernel.h"
#include "base/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* An errno that the call fails with; 0: it is this kernel's. */
static struct {
	int getsockopt, pidfd_open, waitid, memfd_create, seal, sendmsg, socket;
	bool cut, empty; /* TCP_INFO: as before 4.1, as in gVisor */
	bool unpollable; /* what is polled */
	bool dropping;   /* descriptors do not arrive */
} old;

int __real_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int __real_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_fcntl(int fd, int cmd, long arg);
int __wrap_fcntl(int fd, int cmd, ...);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);

static bool
fails(int err)
{
	errno = err;
	return err != 0;
}

int
__wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len)
{
	int rc;

	if (fails(old.getsockopt))
		return -1;
	if (old.cut && *len > 104)
		*len = 104; /* of Linux 3.13 to 4.0 */
	rc = __real_getsockopt(fd, level, name, to, len);
	if (old.empty)
		memset(to, 0, *len);
	return rc;
}

int
__wrap_pidfd_open(pid_t pid, unsigned flags)
{
	return fails(old.pidfd_open) ? -1 : __real_pidfd_open(pid, flags);
}

int
__wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	if (!old.unpollable)
		return __real_poll(fds, n, timeout);
	fds[0].revents = POLLNVAL;
	return 1;
}

int
__wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	return fails(old.waitid) ? -1 : __real_waitid(type, id, info, options);
}

int
__wrap_memfd_create(const char *name, unsigned flags)
{
	return fails(old.memfd_create) ? -1 : __real_memfd_create(name, flags);
}

int
__wrap_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_ADD_SEALS && fails(old.seal))
		return -1;
	return __real_fcntl(fd, cmd, arg);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr bare = *msg;

	if (fails(old.sendmsg))
		return -1;
	if (old.dropping)
		bare.msg_controllen = 0;
	return __real_sendmsg(fd, &bare, flags);
}

int
__wrap_socket(int domain, int type, int protocol)
{
	return fails(old.socket) ? -1 : __real_socket(domain, type, protocol);
}

static int
fresh(void **state)
{
	memset(&old, 0, sizeof(old));
	return support_setup(state);
}

#define kernel_test(f)                                                         \
	{                                                                      \
#f, f, fresh, support_teardown, NULL                           \
	}

static uint32_t
bit(enum handoff__lack lack)
{
	return 1u << lack;
}

static void
need_counters(void)
{
	support_not_emulated("it has no getsockopt(TCP_INFO)");
}

static void
this_kernel_lacks_nothing(void **state)
{
	(void)state;
	need_counters();
	assert_int_equal(handoff__kernel_lacks(), 0);
}

static void
counters_that_are_not_told_are_missed(void **state)
{
	(void)state;
	old.cut = true;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_COUNTERS));
	old.cut = false;
	old.empty = true;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_COUNTERS));
	old.empty = false;
	old.getsockopt = ENOPROTOOPT;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_COUNTERS));
}

/* Before 5.3; before 5.4, for children; behind a filter. */
static void
pidfd_that_cannot_be_waited_for_is_missed(void **state)
{
	(void)state;
	need_counters();
	old.pidfd_open = ENOSYS;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_PIDFD));
	old.pidfd_open = EPERM;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_PIDFD));
	old.pidfd_open = 0;
	old.unpollable = true;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_PIDFD));
	old.unpollable = false;
	old.waitid = EINVAL;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_PIDFD));
}

static void
memory_that_cannot_be_sealed_is_missed(void **state)
{
	(void)state;
	need_counters();
	old.memfd_create = ENOSYS;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_MEMFD));
	old.memfd_create = 0;
	old.seal = EINVAL;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_MEMFD));
}

static void
descriptors_that_do_not_pass_are_missed(void **state)
{
	(void)state;
	need_counters();
	old.dropping = true;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_RIGHTS));
	old.dropping = false;
	old.sendmsg = EPERM;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS_RIGHTS));
}

static void
all_that_is_missing_is_told(void **state)
{
	(void)state;
	old.cut = old.unpollable = old.dropping = true;
	old.seal = EINVAL;
	assert_int_equal(handoff__kernel_lacks(), bit(HANDOFF__LACKS) - 1);
	for (unsigned i = 0; i < HANDOFF__LACKS; i++) {
		assert_true(handoff__lack_word((enum handoff__lack)i)[0]);
		assert_true(handoff__lack_text((enum handoff__lack)i)[0]);
	}
}

/* A table that is full says nothing of the kernel. */
static void
shortage_is_no_lack(void **state)
{
	(void)state;
	old.pidfd_open = old.memfd_create = old.socket = EMFILE;
	old.sendmsg = ENOBUFS;
	assert_int_equal(handoff__kernel_lacks(), 0);
	old.socket = 0;
	old.getsockopt = ENOBUFS;
	assert_int_equal(handoff__kernel_lacks(), 0);
}

/* Where there is no TCP none of its counters are needed. */
static void
kernel_without_tcp_needs_no_counters(void **state)
{
	(void)state;
	old.socket = EAFNOSUPPORT;
	assert_int_equal(handoff__kernel_lacks(), 0);
}

/* Half of what is there must not pass for zeros. */
static void
progress_needs_all_counters(void **state)
{
	struct handoff__progress progress = {.read = 11, .written = 12};
	int fd;

	(void)state;
	need_counters();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(handoff__progress_known(fd), 0);
	assert_int_equal(handoff__progress(fd, &progress), -ENOTCONN);
	old.cut = true;
	assert_int_equal(handoff__progress(fd, &progress), -EOPNOTSUPP);
	old.cut = false;
	old.empty = true;
	assert_int_equal(handoff__progress(fd, &progress), -EOPNOTSUPP);
	assert_int_equal(handoff__progress_known(fd), -EOPNOTSUPP);
	assert_int_equal(progress.read, 11);
	assert_int_equal(progress.written, 12);
	close(fd);
	assert_int_equal(handoff__progress_known(fd), -EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		kernel_test(this_kernel_lacks_nothing),
		kernel_test(counters_that_are_not_told_are_missed),
		kernel_test(pidfd_that_cannot_be_waited_for_is_missed),
		kernel_test(memory_that_cannot_be_sealed_is_missed),
		kernel_test(descriptors_that_do_not_pass_are_missed),
		kernel_test(all_that_is_missing_is_told),
		kernel_test(shortage_is_no_lack),
		kernel_test(kernel_without_tcp_needs_no_counters),
		kernel_test(progress_needs_all_counters),
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
