/* SPDX-License-Identifier: MIT */
/*
 * Recognises the sockets that cannot move. Only looks: nothing is changed on
 * the socket, and no packet leaves. That the packets of a connection are held
 * is for others to see to.
 */
#include "migrate/refuse.h"

#include "migrate/mode.h"
#include "migrate/signing.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Numbers that older headers lack. */
#define AO_INFO        40  /* TCP_AO_INFO, Linux 6.7 */
#define PROTOCOL_MPTCP 262 /* IPPROTO_MPTCP, Linux 5.6 */

/* TCP states by their numbers in the kernel's tcp_states.h; libc's header for
 * them conflicts with linux/tcp.h. */
enum {
	ESTABLISHED = 1,
	SYN_SENT,
	SYN_RECV,
	FIN_WAIT1,
	FIN_WAIT2,
	TIME_WAIT,
	CLOSED,
	CLOSE_WAIT,
	LAST_ACK,
	LISTEN,
	CLOSING,
	NEW_SYN_RECV,
};

static const struct {
	const char *word, *why;
} reasons[HANDOFF__UNMOVABLES] = {
	[HANDOFF__MOVABLE] = {"movable", "it can move"},
	[HANDOFF__NOT_A_SOCKET] = {"no socket", "it is not a socket"},
	[HANDOFF__NOT_TCP] = {"not TCP", "it is not a TCP connection"},
	[HANDOFF__NOT_IP] = {"not IP", "it is neither IPv4 nor IPv6"},
	[HANDOFF__MPTCP] = {"MPTCP",
		"it is an MPTCP connection, which the kernel cannot describe"},
	[HANDOFF__LISTENS] = {"listener",
		"it listens: the other host opens a listener of its own"},
	[HANDOFF__HANDSHAKE] = {"handshake", "its handshake is not over"},
	[HANDOFF__TIME_WAIT] = {"TIME_WAIT", "both sides have ended it"},
	[HANDOFF__CLOSED] = {"closed",
		"it is closed, was reset, or was never connected"},
	[HANDOFF__LAST_ACK] = {"LAST_ACK",
		"both sides have ended it; it ends on this host"},
	[HANDOFF__BOTH_CLOSE] = {"CLOSING",
		"both sides have ended it; it ends on this host"},
	[HANDOFF__UNKNOWN_STATE] = {"unknown state",
		"it is in a state that this version does not know"},
	[HANDOFF__IN_REPAIR] = {"frozen",
		"it is in repair mode already: another process has frozen it"},
	[HANDOFF__ULP] = {"ULP",
		"a protocol in the kernel (ULP, such as TLS) is attached"},
	[HANDOFF__AO] = {"TCP-AO", "its segments are authenticated by TCP-AO"},
	[HANDOFF__MD5] = {"TCP-MD5", "its segments are signed by TCP-MD5"},
	[HANDOFF__URGENT] = {"urgent byte",
		"an urgent byte waits out of line: set SO_OOBINLINE"},
	[HANDOFF__LINK_LOCAL] = {"link-local",
		"its addresses are link-local, for an interface of this host"},
	[HANDOFF__LOOPBACK] = {"loopback", "its peer is on this host"},
};

const char *
handoff__unmovable_word(enum handoff__unmovable why)
{
	return (unsigned)why < HANDOFF__UNMOVABLES ? reasons[why].word : "?";
}

enum handoff__unmovable
handoff__migrate_refuse_state(unsigned state)
{
	switch (state) {
	case ESTABLISHED:
	case FIN_WAIT1:
	case FIN_WAIT2:
	case CLOSE_WAIT:
		return HANDOFF__MOVABLE;
	case SYN_SENT:
	case SYN_RECV:
	case NEW_SYN_RECV:
		return HANDOFF__HANDSHAKE;
	case TIME_WAIT:
		return HANDOFF__TIME_WAIT;
	case CLOSED:
		return HANDOFF__CLOSED;
	case LAST_ACK:
		return HANDOFF__LAST_ACK;
	case LISTEN:
		return HANDOFF__LISTENS;
	case CLOSING:
		return HANDOFF__BOTH_CLOSE;
	default:
		return HANDOFF__UNKNOWN_STATE;
	}
}

static enum handoff__unmovable
refuse_kind(int fd)
{
	int family, type, protocol;

	if (handoff__migrate_get(fd, SOL_SOCKET, SO_TYPE, &type) < 0 ||
		handoff__migrate_get(fd, SOL_SOCKET, SO_DOMAIN, &family) < 0 ||
		handoff__migrate_get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) <
			0)
		return HANDOFF__NOT_A_SOCKET;
	if (family != AF_INET && family != AF_INET6)
		return HANDOFF__NOT_IP;
	if (protocol == PROTOCOL_MPTCP)
		return HANDOFF__MPTCP;
	return type == SOCK_STREAM && protocol == IPPROTO_TCP
		       ? HANDOFF__MOVABLE
		       : HANDOFF__NOT_TCP;
}

/* Without a protocol the kernel stores a length of 0. */
static bool
has_ulp(int fd)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	return getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len) == 0 && len > 0;
}

/* It fails with ENOENT without keys, with ENOPROTOOPT where there is no AO. */
static bool
has_ao(int fd)
{
	uint64_t info[8] = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, AO_INFO, info, &len) == 0;
}

static enum handoff__unmovable
refuse_attached(int fd, const struct tcp_info *info)
{
	if (has_ulp(fd))
		return HANDOFF__ULP;
	if (has_ao(fd))
		return HANDOFF__AO;
	/* A handshake with MD5 gives up one of the two: there is no room for
	 * both beside the signature. So few are asked about. */
	if ((info->tcpi_options & TCPI_OPT_TIMESTAMPS) &&
		(info->tcpi_options & TCPI_OPT_SACK))
		return HANDOFF__MOVABLE;
	return handoff__migrate_signed(fd) ? HANDOFF__MD5 : HANDOFF__MOVABLE;
}

/* EAGAIN: it is announced and has not come. */
static bool
is_urgent(int fd)
{
	char byte;
	int in_line = 0;

	if (handoff__migrate_get(fd, SOL_SOCKET, SO_OOBINLINE, &in_line) < 0 ||
		in_line)
		return false;
	return recv(fd, &byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) >= 0 ||
	       errno == EAGAIN;
}

static enum handoff__unmovable
refuse_six(const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_LINKLOCAL(addr))
		return HANDOFF__LINK_LOCAL;
	if (IN6_IS_ADDR_LOOPBACK(addr) ||
		(IN6_IS_ADDR_V4MAPPED(addr) && addr->s6_addr[12] == 127))
		return HANDOFF__LOOPBACK;
	return HANDOFF__MOVABLE;
}

/* Of the peer's only: the other address is of the same kind. */
static enum handoff__unmovable
refuse_address(int fd)
{
	struct sockaddr_storage sa = {0};
	struct sockaddr_in6 six;
	struct sockaddr_in four;
	socklen_t len = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
		return HANDOFF__CLOSED;
	if (sa.ss_family == AF_INET6) {
		memcpy(&six, &sa, sizeof(six));
		return refuse_six(&six.sin6_addr);
	}
	memcpy(&four, &sa, sizeof(four));
	return ntohl(four.sin_addr.s_addr) >> 24 == 127 ? HANDOFF__LOOPBACK
							: HANDOFF__MOVABLE;
}

/* What has that protocol and knows TCP_INFO is a TCP socket; only for another
 * it has to be asked what it is. */
static enum handoff__unmovable
get_info(int fd, struct tcp_info *info)
{
	enum handoff__unmovable why;
	socklen_t len = sizeof(*info);
	int protocol;

	if (handoff__migrate_get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) == 0 &&
		protocol == IPPROTO_TCP &&
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0)
		return HANDOFF__MOVABLE;
	why = refuse_kind(fd);
	return why != HANDOFF__MOVABLE ? why : HANDOFF__NOT_TCP;
}

static enum handoff__unmovable
find_reason(int fd)
{
	struct tcp_info info = {0};
	enum handoff__unmovable why = get_info(fd, &info);

	if (why != HANDOFF__MOVABLE)
		return why;
	why = handoff__migrate_refuse_state(info.tcpi_state);
	if (why != HANDOFF__MOVABLE)
		return why;
	if (handoff__migrate_mode(fd) != 0)
		return HANDOFF__IN_REPAIR;
	why = refuse_attached(fd, &info);
	if (why != HANDOFF__MOVABLE)
		return why;
	if (is_urgent(fd))
		return HANDOFF__URGENT;
	return refuse_address(fd);
}

enum handoff__unmovable
handoff__migrate_refuse(int fd, struct handoff__error *error)
{
	enum handoff__unmovable why = find_reason(fd);

	if (why != HANDOFF__MOVABLE)
		handoff__fail(error, 0, "connection: cannot move: %s",
			reasons[why].why);
	return why;
}
