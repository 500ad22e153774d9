/* SPDX-License-Identifier: MIT */
/*
 * Pairs of sockets, and messages sent over them with sendmsg(2).
 */
#include "base/passing.h"

#include <handoff/fdpass.h>

#include "base/fdpass.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void
passing_pair(int type, int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sv), 0);
}

void
passing_close(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(close(fds[i]), 0);
}

void
passing_files(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = memfd_create("test", MFD_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
}

void
passing_same_file(int a, int b)
{
	struct stat sa, sb;

	assert_int_not_equal(a, b);
	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_true(sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

void
passing_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

void
passing_send(int sock, const void *data, size_t len, const int *fds,
	size_t nfds, size_t parts)
{
	union {
		struct cmsghdr align;
		char buf[8 * CMSG_SPACE(HANDOFF_FDPASS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t each = parts > 0 ? nfds / parts : 0;
	char *p = control.buf;

	memset(&control, 0, sizeof(control));
	for (size_t i = 0; i < parts; i++) {
		struct cmsghdr *cmsg = (struct cmsghdr *)(void *)p;

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(each * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds + i * each, each * sizeof(int));
		p += CMSG_SPACE(each * sizeof(int));
	}
	if (parts > 0)
		msg.msg_control = control.buf;
	msg.msg_controllen = (size_t)(p - control.buf);
	assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL), len);
}

int
passing_refused_with(int sock, size_t max_fds, size_t max_len)
{
	static unsigned char payload[HANDOFF_FDPASS_PAYLOAD_MAX];
	int fds[HANDOFF_FDPASS_MAX];
	size_t nfds = max_fds, len = max_len;
	int before = support_open_fds();
	int rc = handoff_fdpass_recv(sock, fds, &nfds, payload, &len);

	assert_true(rc < 0);
	assert_int_equal(support_open_fds(), before);
	assert_int_equal(nfds, max_fds);
	assert_int_equal(len, max_len);
	return rc;
}

int
passing_refused(int sock)
{
	return passing_refused_with(
		sock, HANDOFF_FDPASS_MAX, HANDOFF_FDPASS_PAYLOAD_MAX);
}

void
passing_empty(int sock)
{
	size_t nfds = 0, len = 0;

	assert_int_equal(handoff_fdpass_recv(sock, NULL, &nfds, NULL, &len), 0);
}

void
passing_usable(int from, int to)
{
	size_t nfds = 0, len = 8;
	char payload[8];

	assert_int_equal(handoff_fdpass_send(from, NULL, 0, "ok", 2), 1);
	assert_int_equal(
		handoff_fdpass_recv(to, NULL, &nfds, payload, &len), 1);
	assert_int_equal(len, 2);
	assert_memory_equal(payload, "ok", 2);
	passing_empty(to);
}
