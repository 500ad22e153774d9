/* SPDX-License-Identifier: MIT */
/*
 * The floor for the cost of a handoff: measures passing N connected TCP sockets
 * with SCM_RIGHTS, 253 a message, over a SOCK_SEQPACKET socket between two
 * processes on cores of their own. Uses nothing of the library. Prints one JSON
 * object.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH     253
#define MAX_FDS   18000
#define MAX_ROUND 100

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(BATCH * sizeof(int))];
};

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "rawpass: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "rawpass: not pinned to core %u: %s\n", cpu,
			strerror(errno));
}

static void
send_batch(int sock, const int *fds, size_t n)
{
	char byte = 0;
	union control control;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg;

	memset(&control, 0, CMSG_SPACE(n * sizeof(int)));
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != 1)
		die("sendmsg");
}

static size_t
recv_batch(int sock, int *fds)
{
	char byte;
	union control control;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	size_t n;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		exit(0);
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || (msg.msg_flags & MSG_CTRUNC))
		die("recvmsg: descriptors missing");
	n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
	return n;
}

/* Receives rounds of `n` descriptors for ever; `ends` tells when each was
 * complete. */
static void
receiver(int sock, size_t n, _Atomic int64_t *ends)
{
	static int fds[MAX_FDS];

	for (int round = 0;; round++) {
		size_t got = 0;

		while (got < n)
			got += recv_batch(sock, fds + got);
		ends[round] = now_ns();
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		if (send(sock, "", 1, MSG_NOSIGNAL) != 1)
			exit(0);
	}
}

/* A child holds the clients' ends, so that this process has only one
 * descriptor per connection, like a server. */
static pid_t
connect_all(int listener, int *fds, size_t n)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	pid_t pid;

	getsockname(listener, (struct sockaddr *)&sin, &len);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		for (size_t i = 0; i < n; i++) {
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

			if (fd < 0 ||
				connect(fd, (struct sockaddr *)&sin, len) < 0)
				die("connect");
		}
		pause();
		_exit(0);
	}
	for (size_t i = 0; i < n; i++) {
		fds[i] = accept4(
			listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fds[i] < 0)
			die("accept");
	}
	return pid;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
measure(int sock, const int *fds, size_t n, int rounds,
	const _Atomic int64_t *ends)
{
	int64_t took[MAX_ROUND];
	char byte;

	/* The first round grows the receiver's table and does not count. */
	for (int round = 0; round <= rounds; round++) {
		int64_t start = now_ns();

		for (size_t i = 0; i < n; i += BATCH)
			send_batch(
				sock, fds + i, n - i < BATCH ? n - i : BATCH);
		if (recv(sock, &byte, 1, 0) != 1)
			die("recv");
		if (round > 0)
			took[round - 1] = ends[round] - start;
	}
	qsort(took, (size_t)rounds, sizeof(took[0]), by_size);
	printf("{\"descriptors\":%zu,\"rounds\":%d,\"median_us\":%.1f,"
	       "\"min_us\":%.1f,\"max_us\":%.1f,\"ns_each\":%.1f}\n",
		n, rounds, (double)took[rounds / 2] / 1e3,
		(double)took[0] / 1e3, (double)took[rounds - 1] / 1e3,
		(double)took[rounds / 2] / (double)n);
}

static int
open_listener(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
		listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
main(int argc, char **argv)
{
	static int fds[MAX_FDS];
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	int rounds = argc > 2 ? atoi(argv[2]) : 9;
	int pair[2], size = 4 << 20;
	_Atomic int64_t *ends;
	pid_t holder, peer;

	if (n == 0 || n > MAX_FDS || rounds < 1 || rounds >= MAX_ROUND) {
		fprintf(stderr, "usage: rawpass DESCRIPTORS [ROUNDS]\n");
		return 2;
	}
	raise_limit();
	ends = mmap(NULL, (MAX_ROUND + 1) * sizeof(*ends),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ends == MAP_FAILED ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("set up");
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	peer = fork();
	if (peer == 0) {
		close(pair[0]);
		pin(1);
		receiver(pair[1], n, ends);
	}
	close(pair[1]);
	holder = connect_all(open_listener(), fds, n);
	pin(0);
	measure(pair[0], fds, n, rounds, ends);
	close(pair[0]);
	kill(holder, SIGTERM);
	waitpid(holder, NULL, 0);
	waitpid(peer, NULL, 0);
	return 0;
}
