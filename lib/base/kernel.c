/* SPDX-License-Identifier: MIT */
/*
 * Probes each kernel feature by using it. Keeps nothing.
 */
#include "base/kernel.h"

#include "base/fdpass.h"
#include "base/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const struct {
	const char *word, *text;
} lacks[HANDOFF__LACKS] = {
	[HANDOFF__LACKS_COUNTERS] = {"counters",
		"this kernel's TCP_INFO has no byte counters: after a crash "
		"bytes in flight may be lost or duplicated"},
	[HANDOFF__LACKS_PIDFD] = {"pidfd",
		"this kernel has no pidfd that can be waited for (Linux 5.4): "
		"peers cannot watch each other"},
	[HANDOFF__LACKS_MEMFD] = {"memfd",
		"this kernel has no memfd that can be sealed: peers cannot "
		"share memory"},
	[HANDOFF__LACKS_RIGHTS] = {"rights",
		"this kernel does not pass descriptors (SCM_RIGHTS): a standby "
		"cannot hold copies"},
};

const char *
handoff__lack_word(enum handoff__lack lack)
{
	return lacks[lack].word;
}

const char *
handoff__lack_text(enum handoff__lack lack)
{
	return lacks[lack].text;
}

/* Distinguishes a shortage of resources from a missing feature. */
static bool
is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM ||
	       err == ENOBUFS || err == EINTR || err == EAGAIN;
}

/* An unconnected socket has the counters like any other. A host without TCP
 * needs none. */
static bool
lacks_counters(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	rc = handoff__progress_known(fd);
	close(fd);
	return rc < 0 && !is_shortage(-rc);
}

/* This process is alive, so its pidfd must not be readable. waitid(2) must fail
 * with ECHILD, since the process is not its own child: any other error means
 * that it does not know P_PIDFD. */
static bool
lacks_pidfd(void)
{
	siginfo_t info;
	struct pollfd p = {.events = POLLIN};
	bool lacking;

	p.fd = pidfd_open(getpid(), 0);
	if (p.fd < 0)
		return !is_shortage(errno);
	lacking = poll(&p, 1, 0) != 0 ||
		  (waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED | WNOHANG) < 0 &&
			  errno != ECHILD);
	close(p.fd);
	return lacking;
}

static bool
lacks_memfd(void)
{
	int fd = memfd_create("handoff-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool lacking;

	if (fd < 0)
		return !is_shortage(errno);
	lacking = fcntl(fd, F_ADD_SEALS, SEALS) < 0 ||
		  fcntl(fd, F_GET_SEALS) != SEALS;
	close(fd);
	return lacking;
}

static bool
lacks_rights(void)
{
	int sv[2], got = -1;
	char byte = 0;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return !is_shortage(errno);
	n = handoff__fdpass_send_text(sv[0], &byte, 1, sv[0]);
	if (n == 1)
		n = handoff__fdpass_recv_text(sv[1], &byte, 1, &got);
	if (got >= 0)
		close(got);
	close(sv[0]);
	close(sv[1]);
	return got < 0 && !(n < 0 && is_shortage((int)-n));
}

uint32_t
handoff__kernel_lacks(void)
{
	return (uint32_t)lacks_counters() << HANDOFF__LACKS_COUNTERS |
	       (uint32_t)lacks_pidfd() << HANDOFF__LACKS_PIDFD |
	       (uint32_t)lacks_memfd() << HANDOFF__LACKS_MEMFD |
	       (uint32_t)lacks_rights() << HANDOFF__LACKS_RIGHTS;
}
