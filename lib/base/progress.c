/* SPDX-License-Identifier: MIT */
/*
 * Positions of a TCP stream from the kernel's counters (tcp(7)):
 *
 *   read    = tcpi_bytes_received - SIOCINQ
 *   written = tcpi_bytes_acked + SIOCOUTQ
 *
 * A FIN counts as one byte in either direction: in bytes_received once it has
 * arrived, in bytes_acked or SIOCOUTQ once it was sent; SIOCINQ excludes it.
 * The connection's state says whether either FIN is counted.
 */
#include "base/progress.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TRIES 1000

/* up to the last field that is read here */
#define INFO_LEN                                                               \
	(offsetof(struct tcp_info, tcpi_bytes_received) +                      \
		sizeof(((struct tcp_info *)0)->tcpi_bytes_received))

/* TCP states by their numbers in the kernel's tcp_states.h; libc's header for
 * them conflicts with linux/tcp.h. */
enum {
	FIN_WAIT1 = 4,
	FIN_WAIT2 = 5,
	CLOSED = 7,
	CLOSE_WAIT = 8,
	LAST_ACK = 9,
	CLOSING = 11,
};

static bool
fin_received(unsigned state)
{
	return state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING;
}

static bool
fin_sent(unsigned state)
{
	return state == FIN_WAIT1 || state == FIN_WAIT2 || state == CLOSING ||
	       state == LAST_ACK;
}

/* Kernels before 4.1, and emulations of them, return a shorter structure;
 * others return the full length but fill in little of it (gVisor). A real Linux
 * socket always has a segment size. */
static int
get_info(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) < 0)
		return errno == ENOPROTOOPT ? -EOPNOTSUPP : -errno;
	return len < INFO_LEN || info->tcpi_snd_mss == 0 ? -EOPNOTSUPP : 0;
}

static int
get_queues(int fd, int *in, int *out)
{
	if (ioctl(fd, SIOCINQ, in) < 0 || ioctl(fd, SIOCOUTQ, out) < 0)
		return errno == ENOTTY ? -EOPNOTSUPP : -errno;
	return 0;
}

int
handoff__progress_known(int fd)
{
	struct tcp_info info;
	int in, out, err = get_info(fd, &info);

	return err < 0 ? err : get_queues(fd, &in, &out);
}

/* The counters come from several calls; data may arrive in between. */
static bool
still(const struct tcp_info *a, const struct tcp_info *b)
{
	return a->tcpi_bytes_received == b->tcpi_bytes_received &&
	       a->tcpi_bytes_acked == b->tcpi_bytes_acked &&
	       a->tcpi_state == b->tcpi_state;
}

int
handoff__progress(int fd, struct handoff__progress *progress)
{
	struct tcp_info before, after;
	int err = get_info(fd, &before);

	for (int i = 0; i < TRIES && err == 0; i++) {
		int in, out;

		err = get_queues(fd, &in, &out);
		if (err == 0)
			err = get_info(fd, &after);
		if (err == 0 && still(&before, &after)) {
			if (after.tcpi_state == CLOSED)
				return -ENOTCONN;
			progress->read = (uint64_t)after.tcpi_bytes_received -
					 (uint64_t)in -
					 fin_received(after.tcpi_state);
			progress->written = (uint64_t)after.tcpi_bytes_acked +
					    (uint64_t)out -
					    fin_sent(after.tcpi_state);
			progress->ended = fin_sent(after.tcpi_state);
			return 0;
		}
		before = after;
	}
	return err < 0 ? err : -EAGAIN;
}
