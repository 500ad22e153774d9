/* SPDX-License-Identifier: MIT */
/* Confinement: what the helper cannot do any more, and what it still can. */
#include "support/support.h"

#include "ferry/unfreeze/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Fails by its line, since a child may not assert. */
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			leave(__LINE__);                                       \
	} while (0)
#define DENIED(call) CHECK((errno = 0, (call)) == -1 && errno == EPERM)

static int report = -1;

static _Noreturn void
leave(int line)
{
	(void)!write(report, &line, sizeof(line));
	_exit(line != 0);
}

static void
run(void (*fn)(void))
{
	int ends[2], line = -1, pid;

	support_not_in_valgrind();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		report = ends[1];
		fn();
		leave(0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &line, sizeof(line)), sizeof(line));
	close(ends[0]);
	if (line != 0)
		print_message("line %d\n", line);
	support_reap(pid);
}

static void
confine_calls(void)
{
	struct handoff__error error = {""};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(handoff__confine_calls(&error) == 0);
}

static void
try_what_is_denied(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), pair[2];
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};
	struct stat st;

	confine_calls();
	DENIED(open("/dev/null", O_RDONLY));
	DENIED(open("/proc/self/mem", O_RDWR));
	DENIED(openat(AT_FDCWD, ".", O_RDONLY));
	DENIED(creat("/tmp/handoff-confined", 0600));
	DENIED(socket(AF_INET, SOCK_STREAM, 0));
	DENIED(socket(AF_UNIX, SOCK_STREAM, 0));
	DENIED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	DENIED(bind(udp, (struct sockaddr *)&sa, sizeof(sa)));
	DENIED(connect(udp, (struct sockaddr *)&sa, sizeof(sa)));
	DENIED(listen(udp, 1));
	DENIED(execve("/bin/true", argv, NULL));
	DENIED(kill(getpid(), 0));
	DENIED(unlink("/tmp/handoff-confined"));
	DENIED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	DENIED(stat("/", &st));
	DENIED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	DENIED(ioctl(udp, SIOCGIFCONF, &st));
	DENIED(syscall(SYS_setuid, 0));
	DENIED(syscall(SYS_ptrace, 0, 0, 0, 0));
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
		errno == EPERM);
}

static void
test_denied(void **state)
{
	(void)state;
	run(try_what_is_denied);
}

static void
try_what_is_needed(void)
{
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), queued;
	int memfd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat st;
	uid_t user = geteuid();
	void *data;

	confine_calls();
	CHECK(geteuid() == user);
	CHECK(ioctl(udp, SIOCINQ, &queued) == 0);
	CHECK(fstat(memfd, &st) == 0);
	CHECK(fcntl(memfd, F_GET_SEALS) == 0);
	CHECK(lseek(memfd, 0, SEEK_END) == 0);
	CHECK(fcntl(memfd, F_DUPFD_CLOEXEC, 100) >= 100);
	data = mmap(NULL, 4096, PROT_READ, MAP_SHARED, memfd, 0);
	CHECK(data != MAP_FAILED && munmap(data, 4096) == 0);
	for (size_t size = 1; size < 100 << 20; size *= 4) {
		data = malloc(size);
		CHECK(data);
		memset(data, 1, size);
		data = realloc(data, 2 * size);
		CHECK(data);
		free(data);
	}
	CHECK(close(udp) == 0);
}

static void
test_allowed(void **state)
{
	(void)state;
	run(try_what_is_needed);
}

static void
try_process(void)
{
	struct handoff__error error = {""};
	struct rlimit limit;

	CHECK(handoff__confine_process(&error) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(limit.rlim_cur == limit.rlim_max);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	/* it was root's, and CAP_NET_RAW too */
	CHECK(open("/proc/1/environ", O_RDONLY) == -1);
	CHECK(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0) == -1);
	CHECK(errno == EPERM);
}

static void
test_process(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("SKIP: needs root, to have capabilities\n");
		skip();
	}
	run(try_process);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_denied),
		handoff_test(test_allowed),
		handoff_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
