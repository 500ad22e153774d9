/* SPDX-License-Identifier: MIT */
/*
 * A connection becomes an image. Everything is read in repair mode and without
 * consuming it, so that the way back is to leave repair mode. A frozen socket
 * still takes and acknowledges packets: whether any came while it was read, or
 * since, is checked by what the kernel has counted.
 */
#include "migrate/migrate.h"
#include "migrate/mode.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define TRIES 3
/* A segment that is acknowledged in part stays whole in the queue. */
#define SEGMENT_MAX 65536
#define OPT_USEC_TS 64 /* TCPI_OPT_USEC_TS, Linux 6.10 */

/* TCP states by their numbers in the kernel's tcp_states.h. */
enum {
	FIN_WAIT1 = 4,
	FIN_WAIT2 = 5,
	CLOSE_WAIT = 8,
};

/* Where the two streams are. */
struct position {
	uint32_t in_end, out_end; /* the numbers behind both queues */
	int unread, unacked, unsent;
};

static int
failed(struct handoff__error *error, int err, const char *what)
{
	return handoff__fail(error, err, "connection: reading its %s: %s", what,
		strerror(-err));
}

static int
queue_length(int fd, unsigned long request, int *length)
{
	return ioctl(fd, request, length) < 0 ? -errno : 0;
}

static int
get_end(int fd, int queue, uint32_t *seq)
{
	int err = handoff__migrate_queue(fd, queue);

	return err < 0 ? err : handoff__migrate_get_seq(fd, seq);
}

static bool
same_streams(const struct handoff__image *a, const struct handoff__image *b)
{
	return a->in_seq == b->in_seq && a->in_len == b->in_len &&
	       a->out_seq == b->out_seq && a->out_len == b->out_len &&
	       a->unsent == b->unsent && a->input_ended == b->input_ended &&
	       a->output_end == b->output_end;
}

/* Leaves no queue selected: with the send queue selected the kernel would count
 * output as sent that an acknowledgement lets go. */
static int
get_position(int fd, struct position *p)
{
	int err = get_end(fd, TCP_SEND_QUEUE, &p->out_end);

	if (err == 0)
		err = get_end(fd, TCP_RECV_QUEUE, &p->in_end);
	if (err == 0)
		err = handoff__migrate_queue(fd, TCP_NO_QUEUE);
	if (err == 0)
		err = queue_length(fd, SIOCINQ, &p->unread);
	if (err == 0)
		err = queue_length(fd, SIOCOUTQ, &p->unacked);
	if (err == 0)
		err = queue_length(fd, SIOCOUTQNSD, &p->unsent);
	return err;
}

/* The kernel counts each segment that comes, under the socket's lock and before
 * it changes anything; its timers may send what was not sent, or close. So
 * nothing of the streams has changed while these are the same, and one call
 * tells what eight would. The last of them is for a copy that somebody writes
 * to meanwhile, against all rules. */
static int
get_seen(int fd, struct handoff__image_seen *seen, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);
	int err;

	memset(info, 0, sizeof(*info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) < 0)
		return -errno;
	err = queue_length(fd, SIOCOUTQ, &seen->unacked);
	seen->known = err == 0;
	seen->state = info->tcpi_state;
	seen->segs = info->tcpi_segs_in;
	seen->unsent = info->tcpi_notsent_bytes;
	return err;
}

static bool
same_seen(const struct handoff__image_seen *a,
	const struct handoff__image_seen *b)
{
	return a->known && b->known && a->state == b->state &&
	       a->segs == b->segs && a->unsent == b->unsent &&
	       a->unacked == b->unacked;
}

static bool
split_address(const struct sockaddr_storage *sa, unsigned char addr[16],
	uint16_t *port)
{
	struct sockaddr_in four;
	struct sockaddr_in6 six;

	if (sa->ss_family == AF_INET) {
		memcpy(&four, sa, sizeof(four));
		memcpy(addr, &four.sin_addr, sizeof(four.sin_addr));
		*port = ntohs(four.sin_port);
		return false;
	}
	memcpy(&six, sa, sizeof(six));
	memcpy(addr, &six.sin6_addr, sizeof(six.sin6_addr));
	*port = ntohs(six.sin6_port);
	return IN6_IS_ADDR_V4MAPPED(&six.sin6_addr);
}

/* Whether it is an IPv4 connection of an IPv6 socket is in `mapped`. */
static int
get_ends(int fd, struct handoff__image *image, bool *mapped)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	image->family = sa.ss_family;
	split_address(&sa, image->local, &image->local_port);
	len = sizeof(sa);
	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	*mapped = split_address(&sa, image->peer, &image->peer_port);
	return 0;
}

static void
put_info(struct handoff__image *image, const struct tcp_info *info)
{
	static const struct {
		unsigned kernel;
		uint32_t ours;
	} bits[] = {
		{TCPI_OPT_WSCALE, HANDOFF__IMAGE_WSCALE},
		{TCPI_OPT_SACK, HANDOFF__IMAGE_SACK},
		{TCPI_OPT_TIMESTAMPS, HANDOFF__IMAGE_TIMESTAMPS},
		{TCPI_OPT_ECN, HANDOFF__IMAGE_ECN},
		{OPT_USEC_TS, HANDOFF__IMAGE_USEC},
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
		if (info->tcpi_options & bits[i].kernel)
			image->negotiated |= bits[i].ours;
	}
	if (image->negotiated & HANDOFF__IMAGE_WSCALE) {
		image->snd_wscale = info->tcpi_snd_wscale;
		image->rcv_wscale = info->tcpi_rcv_wscale;
	}
	if (!(image->negotiated & HANDOFF__IMAGE_TIMESTAMPS))
		image->negotiated &= ~(uint32_t)HANDOFF__IMAGE_USEC;
}

static int
get_info(int fd, struct handoff__image *image, unsigned *state,
	struct handoff__error *error)
{
	struct tcp_info info;
	int mss, err = get_seen(fd, &image->seen, &info);

	if (err < 0)
		return failed(error, err, "TCP_INFO");
	if (handoff__migrate_refuse_state(info.tcpi_state) != HANDOFF__MOVABLE)
		return handoff__fail(error, -EOPNOTSUPP,
			"connection: cannot move: it ended while it was "
			"frozen");
	*state = info.tcpi_state;
	put_info(image, &info);
	/* in repair mode this is the peer's, without what is lost by options */
	err = handoff__migrate_get(fd, IPPROTO_TCP, TCP_MAXSEG, &mss);
	if (err < 0)
		return failed(error, err, "TCP_MAXSEG");
	image->mss = (uint32_t)mss;
	return 0;
}

/* Both FINs count as a byte: in the number behind a queue, this end's also in
 * SIOCOUTQ and SIOCOUTQNSD while it is there. The image counts bytes only, so
 * its input is numbered one too high after the peer's FIN, which shows to
 * nobody. */
static void
put_position(
	struct handoff__image *image, unsigned state, const struct position *p)
{
	bool fin = state == FIN_WAIT1 || state == FIN_WAIT2;
	uint32_t unsent = (uint32_t)p->unsent, unacked = (uint32_t)p->unacked;

	image->input_ended = state == CLOSE_WAIT;
	image->output_end = !fin         ? HANDOFF__IMAGE_OPEN
			    : unsent > 0 ? HANDOFF__IMAGE_END_DUE
					 : HANDOFF__IMAGE_END_SENT;
	image->unsent = fin && unsent > 0 ? unsent - 1 : unsent;
	image->out_len = fin && unacked > 0 ? unacked - 1 : unacked;
	image->out_seq = p->out_end - fin - image->out_len;
	image->in_len = (uint32_t)p->unread;
	image->in_seq = p->in_end - image->in_len;
}

/* A peek ends at an urgent mark, and the next one begins where it did: beyond
 * the mark only SO_PEEK_OFF leads (for TCP since Linux 6.9). */
static int
peek_on(int fd, unsigned char *data, size_t len)
{
	size_t got = 0;
	int err = handoff__migrate_set(fd, SOL_SOCKET, SO_PEEK_OFF, 0);

	while (err == 0 && got < len) {
		ssize_t n = recv(
			fd, data + got, len - got, MSG_PEEK | MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else
			err = n < 0 ? -errno : -ENODATA;
	}
	return err;
}

static int
peek_in(int fd, const struct handoff__image *image, unsigned char *data,
	struct handoff__error *error)
{
	const struct handoff__image_options *o = &image->options;
	int was = handoff__image_has(o, HANDOFF__OPT_PEEK_OFF)
			  ? o->value[HANDOFF__OPT_PEEK_OFF]
			  : -1;
	int err = handoff__migrate_queue(fd, TCP_RECV_QUEUE);
	ssize_t n = 0;

	if (err == 0 && was < 0)
		n = recv(fd, data, image->in_len, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		err = -errno;
	if (err == 0 && (size_t)n < image->in_len) {
		err = peek_on(fd, data, image->in_len);
		handoff__migrate_set(fd, SOL_SOCKET, SO_PEEK_OFF, was);
	}
	if (err == -EOPNOTSUPP)
		return handoff__fail(error, err,
			"connection: cannot move: an urgent byte is in its "
			"input, and this kernel cannot read beyond it (Linux "
			"6.9 can)");
	return err < 0 ? failed(error, err, "input") : 0;
}

/* The kernel returns the queue's segments whole: what is acknowledged already
 * is at the front. It copies as much as there is room for, and returns the
 * length of all. */
static int
peek_out(int fd, struct handoff__image *image, unsigned char *data,
	struct handoff__error *error)
{
	const size_t room = (size_t)image->out_len + SEGMENT_MAX;
	int err = handoff__migrate_queue(fd, TCP_SEND_QUEUE);
	ssize_t n = 0;

	if (err == 0)
		n = recv(fd, data, room, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		err = -errno;
	if (err < 0)
		return failed(error, err, "output");
	if ((size_t)n < image->out_len || (size_t)n > room)
		return handoff__fail(error, -EAGAIN,
			"connection: its send queue has %zd bytes, of which "
			"%u are not acknowledged",
			n, image->out_len);
	image->out = data + ((size_t)n - image->out_len);
	return 0;
}

static int
get_queues(int fd, struct handoff__image *image, struct handoff__error *error)
{
	size_t room = image->out_len > 0 ? image->out_len + SEGMENT_MAX : 0;
	unsigned char *data;
	int err = 0;

	if (image->in_len > HANDOFF__IMAGE_QUEUE_MAX ||
		image->out_len > HANDOFF__IMAGE_QUEUE_MAX)
		return handoff__fail(error, -EOPNOTSUPP,
			"connection: cannot move: it has %u bytes of input and "
			"%u of output, the most is %u",
			image->in_len, image->out_len,
			HANDOFF__IMAGE_QUEUE_MAX);
	if (image->in_len + room == 0)
		return 0;
	data = malloc(image->in_len + room);
	if (!data)
		return handoff__fail(error, -ENOMEM,
			"connection: no memory for its %u bytes of input and "
			"%u of output",
			image->in_len, image->out_len);
	image->owned = data;
	image->in = data;
	if (image->in_len > 0)
		err = peek_in(fd, image, data, error);
	if (err == 0 && image->out_len > 0)
		err = peek_out(fd, image, data + image->in_len, error);
	if (err < 0)
		return err;
	err = handoff__migrate_queue(fd, TCP_NO_QUEUE);
	return err < 0 ? failed(error, err, "queues") : 0;
}

/* After the queues: reading these may send a window update. */
static int
get_window(int fd, struct handoff__image *image, struct handoff__error *error)
{
	struct tcp_repair_window window = {0};
	socklen_t len = sizeof(window);
	int stamp;

	if (getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &len) < 0)
		return failed(error, -errno, "TCP_REPAIR_WINDOW");
	image->window.snd_wl1 = window.snd_wl1;
	image->window.snd_wnd = window.snd_wnd;
	image->window.max_window = window.max_window;
	image->window.rcv_wnd = window.rcv_wnd;
	image->window.rcv_wup = window.rcv_wup;
	if (image->negotiated & HANDOFF__IMAGE_TIMESTAMPS) {
		int err = handoff__migrate_get(
			fd, IPPROTO_TCP, TCP_TIMESTAMP, &stamp);

		if (err < 0)
			return failed(error, err, "TCP_TIMESTAMP");
		image->timestamp = (uint32_t)stamp;
	}
	return 0;
}

/* Out of line, SIOCINQ ends at an urgent mark, and so would the image. */
static int
check_mark(int fd, const struct handoff__image *image, int unread,
	struct handoff__error *error)
{
	const struct handoff__image_options *o = &image->options;
	int all = unread, err;

	if (o->value[HANDOFF__OPT_OOBINLINE])
		return 0;
	err = handoff__migrate_set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (err == 0)
		err = queue_length(fd, SIOCINQ, &all);
	handoff__migrate_set(fd, SOL_SOCKET, SO_OOBINLINE, 0);
	if (err < 0)
		return failed(error, err, "input");
	return all == unread ? 0
			     : handoff__fail(error, -EOPNOTSUPP,
				       "connection: cannot move: an urgent "
				       "byte is in its input and out of line: "
				       "set SO_OOBINLINE");
}

/* -EAGAIN if a packet came in between. What was counted is read first, so that
 * whatever comes after it shows. */
static int
describe(int fd, struct handoff__image *image, struct handoff__error *error)
{
	struct handoff__image_seen later = {0};
	struct position position = {0};
	struct tcp_info info;
	unsigned state = 0;
	int err = get_info(fd, image, &state, error);

	if (err < 0)
		return err;
	err = get_position(fd, &position);
	if (err < 0)
		return failed(error, err, "position");
	err = check_mark(fd, image, position.unread, error);
	if (err < 0)
		return err;
	put_position(image, state, &position);
	err = get_queues(fd, image, error);
	if (err == 0)
		err = get_window(fd, image, error);
	if (err < 0)
		return err;
	err = get_seen(fd, &later, &info);
	if (err < 0)
		return failed(error, err, "position");
	return same_seen(&image->seen, &later)
		       ? 0
		       : handoff__fail(error, -EAGAIN,
				 "connection: it changed while it was read: "
				 "its packets must be held before the freeze");
}

static int
describe_still(
	int fd, struct handoff__image *image, struct handoff__error *error)
{
	const struct handoff__image empty = *image;
	int err = -EAGAIN;

	for (int i = 0; i < TRIES && err == -EAGAIN; i++) {
		handoff__image_free(image);
		*image = empty;
		err = describe(fd, image, error);
	}
	return err == 0 ? handoff__image_check(image, error) : err;
}

static int
compare(int fd, const struct handoff__image *image,
	struct handoff__error *error)
{
	struct handoff__image now = {0};
	struct position position = {0};
	unsigned state = 0;
	int err = get_position(fd, &position);

	if (err < 0)
		return failed(error, err, "position");
	err = get_info(fd, &now, &state, error);
	if (err < 0)
		return err;
	put_position(&now, state, &position);
	return same_streams(&now, image)
		       ? 0
		       : handoff__fail(error, -EAGAIN,
				 "connection: a packet has come or left since "
				 "it was frozen: its image is stale");
}

/* A segment that came may have changed nothing that the image has. */
int
handoff__migrate_unchanged(int fd, const struct handoff__image *image,
	struct handoff__error *error)
{
	struct handoff__image_seen now = {0};
	struct tcp_info info;

	if (handoff__migrate_mode(fd) != 1)
		return handoff__fail(
			error, -EINVAL, "connection: it is not frozen");
	if (get_seen(fd, &now, &info) == 0 && same_seen(&now, &image->seen))
		return 0;
	return compare(fd, image, error);
}

/* What repair mode has replaced, and reading the input. */
static int
give_back(int fd, const struct handoff__image_options *o)
{
	const int32_t *value = o->value;
	int err = handoff__migrate_set(
		fd, SOL_SOCKET, SO_REUSEADDR, value[HANDOFF__OPT_REUSEADDR]);

	if (err == 0)
		err = handoff__migrate_set(fd, SOL_SOCKET, SO_OOBINLINE,
			value[HANDOFF__OPT_OOBINLINE]);
	if (err == 0 && handoff__image_has(o, HANDOFF__OPT_PEEK_OFF))
		err = handoff__migrate_set(fd, SOL_SOCKET, SO_PEEK_OFF,
			value[HANDOFF__OPT_PEEK_OFF]);
	return err;
}

int
handoff__migrate_unfreeze(int fd, const struct handoff__image *image,
	struct handoff__error *error)
{
	int err = handoff__migrate_mode(fd);

	if (err < 0)
		return failed(error, err, "repair mode");
	if (err == 0)
		return 0;
	err = handoff__migrate_mode_off(fd, error);
	if (err < 0)
		return err;
	err = image ? give_back(fd, &image->options)
		    : handoff__migrate_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	return err < 0 ? handoff__fail(error, err,
				 "connection: setting its options again: %s",
				 strerror(-err))
		       : 0;
}

int
handoff__migrate_freeze(
	int fd, struct handoff__image *image, struct handoff__error *error)
{
	struct handoff__image i = {0};
	bool mapped = false;
	int err;

	if (handoff__migrate_refuse(fd, error) != HANDOFF__MOVABLE)
		return -EOPNOTSUPP;
	err = get_ends(fd, &i, &mapped);
	if (err < 0)
		return failed(error, err, "addresses");
	err = handoff__options_read(fd, i.family, mapped, &i.options, error);
	if (err == 0)
		err = handoff__migrate_mode_on(fd, error);
	if (err < 0)
		return err;
	err = describe_still(fd, &i, error);
	if (err < 0) {
		handoff__image_free(&i);
		handoff__migrate_unfreeze(fd, &i, NULL);
		return err;
	}
	*image = i;
	return 0;
}

int
handoff__migrate_end(int fd, struct handoff__error *error)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	if (handoff__migrate_mode(fd) != 1)
		return handoff__fail(error, -EINVAL,
			"connection: it is not frozen: ending it would reset "
			"its peer");
	if (connect(fd, &none, sizeof(none)) < 0)
		return handoff__fail(error, -errno, "connection: ending it: %s",
			strerror(errno));
	/* It is closed: other holders of a copy shall read that, and not EPERM.
	 * Without the privilege they read EPERM. */
	handoff__migrate_mode_off(fd, NULL);
	return 0;
}
