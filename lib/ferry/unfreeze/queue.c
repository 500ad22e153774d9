/* SPDX-License-Identifier: MIT */
/*
 * nfnetlink_queue by libmnl. Whole packets, without NFQA_CFG_F_GSO: the kernel
 * then cuts what segmentation offload has joined into segments of the sender's
 * size, each with its checksum. Never with NFQA_CFG_F_FAIL_OPEN: a packet that
 * nobody has decided about must not reach a frozen socket, which would
 * acknowledge it. Knows no flows.
 */
#include "ferry/unfreeze/queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE  16         /* messages of a reception */
#define BUFFER   (80 << 10) /* of one: a packet and its attributes */
#define VERDICTS (32 << 10) /* bytes */
#define ROOM     (64 << 20) /* of the socket */
#define LONGEST  131072     /* packets in the queue */
#define NUMBERS  64         /* tried */
#define WAIT_MS  2000

static int
on_answer(struct handoff__queue *queue, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
		return 0;
	if (nlh->nlmsg_seq != 0 && nlh->nlmsg_seq == queue->seq) {
		queue->acked = nlh->nlmsg_seq;
		queue->answer = e->error;
	}
	return 0;
}

static int
on_packet(struct handoff__queue *queue, const struct nlmsghdr *nlh)
{
	struct nlattr *attr[NFQA_MAX + 1] = {NULL};
	const struct nfqnl_msg_packet_hdr *header;
	uint32_t len;

	if (nfq_nlmsg_parse(nlh, attr) < 0 || !attr[NFQA_PACKET_HDR] ||
		mnl_attr_get_payload_len(attr[NFQA_PACKET_HDR]) <
			sizeof(*header))
		return 0;
	header = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	len = attr[NFQA_PAYLOAD] ? mnl_attr_get_payload_len(attr[NFQA_PAYLOAD])
				 : 0;
	queue->fn(queue->arg, ntohl(header->packet_id),
		len > 0 ? mnl_attr_get_payload(attr[NFQA_PAYLOAD]) : NULL, len,
		attr[NFQA_CAP_LEN] == NULL);
	return 1;
}

static int
on_message(struct handoff__queue *queue, unsigned char *data, size_t size)
{
	const struct nlmsghdr *nlh = (const void *)data;
	int len = (int)size, packets = 0;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_type == NLMSG_ERROR)
			packets += on_answer(queue, nlh);
		else if (nlh->nlmsg_type ==
			 (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
			packets += on_packet(queue, nlh);
	}
	return packets;
}

int
handoff__queue_receive(struct handoff__queue *queue)
{
	struct mmsghdr messages[AT_ONCE] = {0};
	struct iovec iov[AT_ONCE];
	int n, packets = 0;

	for (int i = 0; i < AT_ONCE; i++) {
		iov[i].iov_base = queue->buffers + (size_t)i * BUFFER;
		iov[i].iov_len = BUFFER;
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(handoff__queue_fd(queue), messages, AT_ONCE, MSG_DONTWAIT,
		NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS
			       ? 0
			       : -errno;
	for (int i = 0; i < n; i++)
		packets +=
			on_message(queue, iov[i].iov_base, messages[i].msg_len);
	return packets;
}

static struct nlmsghdr *
begin(struct handoff__queue *queue, unsigned char *data, uint16_t number)
{
	struct nlmsghdr *nlh =
		nfq_nlmsg_put((char *)data, NFQNL_MSG_CONFIG, number);

	nlh->nlmsg_flags |= NLM_F_ACK;
	nlh->nlmsg_seq = ++queue->seq;
	return nlh;
}

/* Packets may come between the request and its answer. */
static int
ask(struct handoff__queue *queue, const struct nlmsghdr *nlh)
{
	struct pollfd p = {.fd = handoff__queue_fd(queue), .events = POLLIN};

	if (mnl_socket_sendto(queue->netlink, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (queue->acked != queue->seq) {
		int n = poll(&p, 1, WAIT_MS);

		if (n == 0)
			return -ETIMEDOUT;
		n = handoff__queue_receive(queue);
		if (n < 0)
			return n;
	}
	return queue->answer;
}

static int
ask_command(struct handoff__queue *queue, uint16_t number, uint8_t command)
{
	unsigned char data[256] = {0};
	struct nlmsghdr *nlh = begin(queue, data, number);

	nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, command);
	return ask(queue, nlh);
}

static int
ask_length(struct handoff__queue *queue, uint16_t number)
{
	unsigned char data[256] = {0};
	struct nlmsghdr *nlh = begin(queue, data, number);

	mnl_attr_put_u32(nlh, NFQA_CFG_QUEUE_MAXLEN, htonl(LONGEST));
	return ask(queue, nlh);
}

static int
ask_packets(struct handoff__queue *queue, uint16_t number)
{
	unsigned char data[256] = {0};
	struct nlmsghdr *nlh = begin(queue, data, number);

	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, 0xffff);
	return ask(queue, nlh);
}

/* Another process's queue is -EPERM, an own one -EBUSY. */
int
handoff__queue_bind(struct handoff__queue *queue, uint16_t first,
	struct handoff__error *error)
{
	uint16_t number = first;
	int err = -EBUSY;

	if (queue->bound)
		return 0;
	for (int i = 0; i < NUMBERS; i++) {
		number = (uint16_t)(first + i);
		err = ask_command(queue, number, NFQNL_CFG_CMD_BIND);
		if (err != -EPERM && err != -EBUSY)
			break;
	}
	if (err < 0)
		return handoff__fail(error, err,
			"queue: binding to one of the numbers %u to %u: %s%s",
			first, number, strerror(-err),
			err == -EPERM ? ": other programs have them, or "
					"CAP_NET_ADMIN is missing"
				      : "");
	err = ask_length(queue, number);
	if (err == 0)
		err = ask_packets(queue, number);
	if (err < 0) {
		ask_command(queue, number, NFQNL_CFG_CMD_UNBIND);
		return handoff__fail(error, err,
			"queue: asking number %u for whole packets: %s", number,
			strerror(-err));
	}
	queue->number = number;
	queue->bound = true;
	return 0;
}

/* It is asked by taking it for a moment. */
bool
handoff__queue_is_free(struct handoff__queue *queue, uint16_t number)
{
	if ((queue->bound && queue->number == number) ||
		ask_command(queue, number, NFQNL_CFG_CMD_BIND) < 0)
		return false;
	ask_command(queue, number, NFQNL_CFG_CMD_UNBIND);
	return true;
}

static int
set_up(struct handoff__queue *queue, struct handoff__error *error)
{
	int room = ROOM, on = 1, fd;

	queue->netlink = mnl_socket_open2(
		NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!queue->netlink ||
		mnl_socket_bind(queue->netlink, 0, MNL_SOCKET_AUTOPID) < 0)
		return handoff__fail(error, -errno,
			"queue: opening a netlink socket: %s", strerror(errno));
	fd = handoff__queue_fd(queue);
	/* in a user namespace nothing is forced: what everybody may have */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) <
			0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) < 0)
		return handoff__fail(
			error, -errno, "queue: SO_RCVBUF: %s", strerror(errno));
	/* What the socket has no room for is dropped, as it should be. */
	setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	queue->verdicts = calloc(1, VERDICTS);
	queue->buffers = malloc((size_t)AT_ONCE * BUFFER);
	if (!queue->verdicts || !queue->buffers)
		return handoff__fail(error, -ENOMEM, "queue: no memory");
	return 0;
}

int
handoff__queue_open(struct handoff__queue *queue, handoff__queued_fn *fn,
	void *arg, struct handoff__error *error)
{
	int err;

	*queue = (struct handoff__queue){.fn = fn, .arg = arg};
	err = set_up(queue, error);
	if (err < 0)
		handoff__queue_close(queue);
	return err;
}

void
handoff__queue_close(struct handoff__queue *queue)
{
	if (queue->netlink)
		mnl_socket_close(queue->netlink);
	free(queue->verdicts);
	free(queue->buffers);
	*queue = (struct handoff__queue){.netlink = NULL};
}

int
handoff__queue_fd(const struct handoff__queue *queue)
{
	return mnl_socket_get_fd(queue->netlink);
}

/* One message for each packet: a batch verdict would decide about all that wait
 * with lower numbers. */
void
handoff__queue_verdict(struct handoff__queue *queue, uint32_t id, bool accept)
{
	char *at = (char *)queue->verdicts + queue->verdicts_len;
	struct nlmsghdr *nlh =
		nfq_nlmsg_put(at, NFQNL_MSG_VERDICT, queue->number);

	nfq_nlmsg_verdict_put(nlh, (int)id, accept ? NF_ACCEPT : NF_DROP);
	queue->verdicts_len += (nlh->nlmsg_len + 3u) & ~3u;
	if (queue->verdicts_len > VERDICTS - 256)
		handoff__queue_flush(queue);
}

/* The kernel's errors are about packets that are gone. */
void
handoff__queue_flush(struct handoff__queue *queue)
{
	if (queue->verdicts_len > 0)
		mnl_socket_sendto(
			queue->netlink, queue->verdicts, queue->verdicts_len);
	queue->verdicts_len = 0;
}
