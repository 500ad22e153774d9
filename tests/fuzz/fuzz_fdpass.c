/* SPDX-License-Identifier: MIT */
/*
 * Any bytes with any number of descriptors as a message: it is refused with
 * nothing leaked and nothing changed, or what is received is what was sent.
 *
 * The input: how many descriptors are really sent, flags, room for
 * descriptors, room for payload, and the bytes of the message.
 */
#include "fuzz.h"

#include <handoff/fdpass.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX   4
#define FRAME    12
#define DGRAM    1  /* flags: a datagram socket, */
#define MAGIC    2  /* bytes 0 to 3 are set to the magic, */
#define COUNT    4  /* bytes 4 to 7 to the count of descriptors, */
#define LENGTH   8  /* bytes 8 to 11 to the length of the payload, */
#define CLOSE    16 /* and the sender leaves */
#define MAX_SENT 8

static int files[MAX_SENT];

static void
make_files(void)
{
	for (size_t i = 0; i < MAX_SENT; i++) {
		files[i] = memfd_create("fuzz", MFD_CLOEXEC);
		check(files[i] >= 0);
	}
}

/* A descriptor that leaks takes the lowest free number. */
static int
lowest_free(void)
{
	int fd = fcntl(0, F_DUPFD, 0);

	check(fd >= 0 && close(fd) == 0);
	return fd;
}

static void
put_u32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static void
send_raw(int sock, unsigned char *data, size_t len, size_t nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(files))];
	} control = {.buf = {0}};
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), files, nfds * sizeof(int));
	}
	check(sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)len);
}

static void
check_files(const int *fds, size_t nfds)
{
	struct stat sent, came;

	for (size_t i = 0; i < nfds; i++) {
		check(fstat(files[i], &sent) == 0);
		check(fstat(fds[i], &came) == 0);
		check(sent.st_ino == came.st_ino);
		check(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
		check(close(fds[i]) == 0);
	}
}

static void
receive(int sock, const unsigned char *sent, size_t sent_len, size_t sent_fds,
	size_t max_fds, size_t max_len)
{
	/* Just as large as they are said to be, so that a write past the end
	 * is seen. */
	int *fds = malloc(max_fds * sizeof(int));
	unsigned char *payload = malloc(max_len);
	size_t nfds = max_fds, len = max_len;
	int rc = handoff_fdpass_recv(sock, fds, &nfds, payload, &len);

	check(rc == 1 || rc < 0);
	if (rc == 1) {
		check(nfds == sent_fds && nfds <= max_fds);
		check(len == sent_len - FRAME && len <= max_len);
		check(len == 0 || memcmp(payload, sent + FRAME, len) == 0);
		check_files(fds, nfds);
	} else {
		check(nfds == max_fds && len == max_len);
	}
	free(payload);
	free(fds);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char message[512];
	size_t len = size - PREFIX, nfds;
	int before, sv[2];

	if (size < PREFIX || len > sizeof(message))
		return -1;
	if (files[0] == 0)
		make_files();
	nfds = data[0] % (MAX_SENT + 1);
	memcpy(message, data + PREFIX, len);
	if (len >= FRAME && (data[1] & MAGIC))
		put_u32(message, 0x46444f48);
	if (len >= FRAME && (data[1] & COUNT))
		put_u32(message + 4, (uint32_t)nfds);
	if (len >= FRAME && (data[1] & LENGTH))
		put_u32(message + 8, (uint32_t)(len - FRAME));
	before = lowest_free();
	check(socketpair(AF_UNIX,
		      (data[1] & DGRAM ? SOCK_DGRAM : SOCK_SEQPACKET) |
			      SOCK_CLOEXEC,
		      0, sv) == 0);
	send_raw(sv[0], message, len, nfds);
	if (data[1] & CLOSE)
		close(sv[0]);
	receive(sv[1], message, len, nfds, data[2], data[3] * 2u);
	close(sv[1]);
	if (!(data[1] & CLOSE))
		close(sv[0]);
	check(lowest_free() == before);
	return 0;
}
