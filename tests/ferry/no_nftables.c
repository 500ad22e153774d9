/* SPDX-License-Identifier: MIT */
/* As if the kernel had no nftables: what is asked of them (by --wrap) fails,
 * and the queue works. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>

ssize_t __real_mnl_socket_sendto(
	const struct mnl_socket *nl, const void *buf, size_t len);
ssize_t __wrap_mnl_socket_sendto(
	const struct mnl_socket *nl, const void *buf, size_t len);

ssize_t
__wrap_mnl_socket_sendto(
	const struct mnl_socket *nl, const void *buf, size_t len)
{
	const struct nlmsghdr *head = buf;

	if (head->nlmsg_type != NFNL_MSG_BATCH_BEGIN &&
		NFNL_SUBSYS_ID(head->nlmsg_type) != NFNL_SUBSYS_NFTABLES)
		return __real_mnl_socket_sendto(nl, buf, len);
	errno = EPROTONOSUPPORT;
	return -1;
}
