/* SPDX-License-Identifier: MIT */
/*
 * An image becomes a connection: prepared, which nobody notices, and committed.
 * Output that was sent is restored as sent and without a packet; what is not
 * sent yet is sent as any output is. The order of the calls is what the kernel
 * demands: sequence numbers while the socket is closed, TCP's options once it
 * is connected and before it has sent anything.
 */
#include "migrate/migrate.h"
#include "migrate/mode.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

#define CHUNK     65536
#define MSS_LEAST 88 /* for TCP_MAXSEG: TCP_MIN_MSS of the kernel */

/* TCP's options by their numbers on the wire (RFC 9293, 3.2; RFC 7323; RFC
 * 2018). */
enum {
	TCPOPT_MSS = 2,
	TCPOPT_WSCALE = 3,
	TCPOPT_SACK = 4,
	TCPOPT_STAMP = 8,
};

/* TCP states by their numbers in the kernel's tcp_states.h. */
enum {
	ESTABLISHED = 1,
	CLOSE_WAIT = 8,
};

static int
failed(struct handoff__error *error, int err, const char *what)
{
	const char *why = "";

	if (err == -EPERM)
		why = ": it needs CAP_NET_ADMIN";
	else if (err == -EACCES)
		why = ": a port below 1024 needs CAP_NET_BIND_SERVICE";
	else if (err == -EADDRNOTAVAIL)
		why = ": the address is not configured here, or this host "
		      "still has a connection with these addresses";
	return handoff__fail(error, err, "connection: restoring %s: %s%s", what,
		strerror(-err), why);
}

static int
set_seqs(int fd, const struct handoff__image *image)
{
	int err = handoff__migrate_queue(fd, TCP_SEND_QUEUE);

	if (err == 0)
		err = handoff__migrate_set_seq(fd, image->out_seq);
	if (err == 0)
		err = handoff__migrate_queue(fd, TCP_RECV_QUEUE);
	if (err == 0)
		err = handoff__migrate_set_seq(fd, image->in_seq);
	return err;
}

static int
set_transparent(int fd, int family)
{
	return family == AF_INET
		       ? handoff__migrate_set(fd, IPPROTO_IP, IP_TRANSPARENT, 1)
		       : handoff__migrate_set(
				 fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
}

/* Without scaling the window's factor has to be said too: the socket has chosen
 * one of its own, which only a handshake would take back. */
static int
set_negotiated(int fd, const struct handoff__image *image)
{
	struct tcp_repair_opt opts[4];
	unsigned n = 0;
	uint32_t scales = image->snd_wscale | image->rcv_wscale << 16;

	opts[n++] = (struct tcp_repair_opt){TCPOPT_MSS, image->mss};
	opts[n++] = (struct tcp_repair_opt){TCPOPT_WSCALE, scales};
	if (image->negotiated & HANDOFF__IMAGE_SACK)
		opts[n++] = (struct tcp_repair_opt){TCPOPT_SACK, 0};
	if (image->negotiated & HANDOFF__IMAGE_TIMESTAMPS)
		opts[n++] = (struct tcp_repair_opt){TCPOPT_STAMP, 0};
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, opts,
		       (socklen_t)(n * sizeof(*opts))) < 0
		       ? -errno
		       : 0;
}

/* Newer kernels read the lowest bit as the unit of the timestamp. It may not go
 * back (RFC 7323, 5.2: PAWS). */
static int
set_timestamp(int fd, const struct handoff__image *image)
{
	uint32_t stamp = image->negotiated & HANDOFF__IMAGE_USEC
				 ? image->timestamp | 1
				 : (image->timestamp + 1) & ~UINT32_C(1);

	if (!(image->negotiated & HANDOFF__IMAGE_TIMESTAMPS))
		return 0;
	return handoff__migrate_set(fd, IPPROTO_TCP, TCP_TIMESTAMP, (int)stamp);
}

static int
set_window(int fd, const struct handoff__image *image)
{
	const struct tcp_repair_window window = {
		.snd_wl1 = image->window.snd_wl1,
		.snd_wnd = image->window.snd_wnd,
		.max_window = image->window.max_window,
		.rcv_wnd = image->window.rcv_wnd,
		.rcv_wup = image->window.rcv_wup,
	};

	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window,
		       sizeof(window)) < 0
		       ? -errno
		       : 0;
}

/* Sends as much of the bytes as the selected queue takes; `at` is where it
 * stopped. */
static int
fill(int fd, const unsigned char *data, uint32_t end, uint32_t *at)
{
	while (*at < end) {
		size_t len = end - *at < CHUNK ? end - *at : CHUNK;
		ssize_t n =
			send(fd, data + *at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		*at += n > 0 ? (uint32_t)n : 0;
	}
	return 0;
}

static int
fill_input(int fd, const struct handoff__image *image)
{
	uint32_t at = 0;
	int err = 0;

	if (image->in_len > 0) {
		err = handoff__migrate_queue(fd, TCP_RECV_QUEUE);
		if (err == 0)
			err = fill(fd, image->in, image->in_len, &at);
	}
	return err == 0 ? handoff__migrate_queue(fd, TCP_NO_QUEUE) : err;
}

/* So that segments have their size from the first on; set as an option alone it
 * would be that of RFC 9293 until the path is looked at. */
static int
set_segment_size(int fd, const struct handoff__image *image)
{
	if (image->mss < MSS_LEAST)
		return 0;
	return handoff__migrate_set(
		fd, IPPROTO_TCP, TCP_MAXSEG, (int)image->mss);
}

static int
connect_to_peer(int fd, const struct handoff__image *image,
	struct handoff__error *error)
{
	struct sockaddr_storage sa;
	socklen_t len = handoff__image_local(image, &sa);
	int err = set_seqs(fd, image);

	if (err < 0)
		return failed(error, err, "its sequence numbers");
	err = set_segment_size(fd, image);
	if (err < 0)
		return failed(error, err, "its segment size");
	if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return failed(error, -errno, "its local address");
	len = handoff__image_peer(image, &sa);
	if (connect(fd, (const struct sockaddr *)&sa, len) < 0)
		return failed(error, -errno, "its peer's address");
	return 0;
}

/* The window comes after the input, against which the kernel checks it. */
static int
set_stream(int fd, const struct handoff__image *image,
	struct handoff__error *error)
{
	int err = set_negotiated(fd, image);

	if (err < 0)
		return failed(error, err, "its TCP options");
	err = set_timestamp(fd, image);
	if (err < 0)
		return failed(error, err, "its timestamp");
	err = fill_input(fd, image);
	if (err < 0)
		return failed(error, err, "its unread input");
	err = set_window(fd, image);
	return err < 0 ? failed(error, err, "its window") : 0;
}

static int
set_up(int fd, const struct handoff__image *image,
	const struct handoff__image_options *usual, unsigned flags,
	struct handoff__error *error)
{
	const struct handoff__image_options *o = &image->options;
	uint32_t out = image->out_len - image->unsent;
	int err = handoff__migrate_mode_on(fd, error);

	if (err < 0)
		return err;
	if (flags & HANDOFF__RESTORE_TRANSPARENT)
		err = set_transparent(fd, image->family);
	if (err < 0)
		return failed(error, err, "IP_TRANSPARENT");
	err = handoff__options_set(fd, HANDOFF__BEFORE_BIND, o, usual, error);
	if (err == 0 && !handoff__options_fit(usual, o, image->in_len, out))
		err = handoff__options_buffers(
			fd, o, image->in_len, out, error);
	if (err == 0)
		err = connect_to_peer(fd, image, error);
	if (err == 0)
		err = set_stream(fd, image, error);
	if (err == 0)
		err = handoff__options_set(
			fd, HANDOFF__PREPARED, o, usual, error);
	return err;
}

int
handoff__migrate_prepare_with(struct handoff__restore *restore,
	const struct handoff__image *image, struct handoff__usual *usual,
	unsigned flags, struct handoff__error *error)
{
	int blocking =
		image->options.value[HANDOFF__OPT_NONBLOCK] ? SOCK_NONBLOCK : 0;
	int fd, err = handoff__image_check(image, error);

	if (err < 0)
		return err;
	fd = socket(image->family, SOCK_STREAM | SOCK_CLOEXEC | blocking, 0);
	if (fd < 0)
		return failed(error, -errno, "its socket");
	err = set_up(fd, image,
		handoff__options_usual(usual, image->family, fd), flags, error);
	if (err < 0) {
		/* in repair mode, or not connected: no segment */
		close(fd);
		return err;
	}
	*restore = (struct handoff__restore){
		.stage = HANDOFF__RESTORE_PREPARED,
		.fd = fd,
	};
	return 0;
}

int
handoff__migrate_prepare(struct handoff__restore *restore,
	const struct handoff__image *image, unsigned flags,
	struct handoff__error *error)
{
	return handoff__migrate_prepare_with(
		restore, image, NULL, flags, error);
}

/* More than the image's buffer may be needed: how much of it a byte takes
 * depends on how the output was written. Its size is that of the image
 * afterwards, or it would grow with each move of a client that does not read.
 */
static int
fill_output_to(struct handoff__restore *restore,
	const struct handoff__image *image, uint32_t end)
{
	uint32_t room = end;
	int err = fill(restore->fd, image->out, end, &restore->taken);

	if (err != -EAGAIN)
		return err;
	while (err == -EAGAIN && room < HANDOFF__IMAGE_QUEUE_MAX) {
		room *= 2;
		err = handoff__options_buffers(
			restore->fd, &image->options, 0, room, NULL);
		if (err == 0)
			err = fill(
				restore->fd, image->out, end, &restore->taken);
	}
	handoff__options_shrink(restore->fd, &image->options);
	return err;
}

static uint32_t
sent_of(const struct handoff__image *image)
{
	return image->out_len - image->unsent;
}

/* Whether one more byte, or the FIN, would leave at once. If it would not, the
 * peer's acknowledgement of it, if it has it, would be one of something that
 * was never sent, and ignored as long as that lasts. */
static bool
lets_pass(int fd, const struct handoff__image *image)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_unacked < info.tcpi_snd_cwnd &&
	       sent_of(image) < image->window.snd_wnd;
}

/* With the send queue selected output and FIN count as sent, and no packet
 * leaves. If the peer has not got them, only the retransmission timer would
 * send them again, which is at three seconds without a measured round trip. So
 * the last byte, or the FIN, is left to be sent: what the peer answers to it
 * says what it lacks. */
static int
fill_output(struct handoff__restore *restore,
	const struct handoff__image *image, struct handoff__error *error)
{
	bool end = image->output_end == HANDOFF__IMAGE_END_SENT;
	uint32_t sent = sent_of(image);
	int err = handoff__migrate_queue(restore->fd, TCP_SEND_QUEUE);

	if (err == 0)
		err = fill_output_to(
			restore, image, sent > 0 && !end ? sent - 1 : sent);
	if (err == 0 && !lets_pass(restore->fd, image)) {
		err = fill_output_to(restore, image, sent);
		if (err == 0 && end && shutdown(restore->fd, SHUT_WR) < 0)
			err = -errno;
	}
	if (err < 0)
		return failed(error, err, "its output");
	restore->stage = HANDOFF__RESTORE_FILLED;
	return 0;
}

/* In a segment of its own, which neither unsent output nor a cork keeps back. A
 * second FIN is none. */
static void
send_last(struct handoff__restore *restore, const struct handoff__image *image)
{
	const int32_t *option = image->options.value;
	int nodelay = option[HANDOFF__OPT_NODELAY];

	if (restore->taken < sent_of(image)) {
		if (send(restore->fd, image->out + restore->taken, 1,
			    MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR) == 1)
			restore->taken++;
		if (nodelay && !option[HANDOFF__OPT_CORK])
			return;
		handoff__migrate_set(restore->fd, IPPROTO_TCP, TCP_NODELAY, 1);
		handoff__migrate_set(
			restore->fd, IPPROTO_TCP, TCP_NODELAY, nodelay);
	} else if (image->output_end == HANDOFF__IMAGE_END_SENT) {
		shutdown(restore->fd, SHUT_WR);
	}
}

/* A probe asks the peer what it has, and for its window: where nothing else
 * that is about to be sent does, and either may have changed while packets were
 * dropped. */
static int
switch_off(const struct handoff__restore *restore,
	const struct handoff__image *image, struct handoff__error *error)
{
	bool all_filled =
		restore->taken > 0 && restore->taken >= sent_of(image);
	int err;

	if (handoff__migrate_mode(restore->fd) == 0)
		return 0; /* resumed */
	err = handoff__migrate_queue(restore->fd, TCP_NO_QUEUE);
	if (err < 0)
		return failed(error, err, "its queues");
	return all_filled || image->window.snd_wnd < image->mss
		       ? handoff__migrate_mode_off_probing(restore->fd, error)
		       : handoff__migrate_mode_off(restore->fd, error);
}

/* From here on it serves; what fails now is the stream's own end, which the
 * caller finds on the socket. */
__attribute__((noinline)) void
handoff__migrate_send(
	struct handoff__restore *restore, const struct handoff__image *image)
{
	bool due = image->output_end == HANDOFF__IMAGE_END_DUE;

	restore->stage = HANDOFF__RESTORE_SERVING;
	send_last(restore, image);
	handoff__options_set(
		restore->fd, HANDOFF__SERVING, &image->options, NULL, NULL);
	fill_output_to(restore, image, image->out_len);
	restore->end_due = due && restore->taken < image->out_len;
	if (due && !restore->end_due)
		shutdown(restore->fd, SHUT_WR);
}

int
handoff__migrate_commit(struct handoff__restore *restore,
	const struct handoff__image *image, struct handoff__error *error)
{
	int err = 0;

	if (restore->stage == HANDOFF__RESTORE_NONE ||
		restore->stage == HANDOFF__RESTORE_SERVING)
		return handoff__fail(
			error, -EINVAL, "connection: it is not prepared");
	if (restore->stage == HANDOFF__RESTORE_PREPARED)
		err = fill_output(restore, image, error);
	if (err == 0)
		err = switch_off(restore, image, error);
	if (err < 0)
		return err;
	handoff__migrate_send(restore, image);
	return 0;
}

/* What was ever put into the send queue: the counter begins with the socket. A
 * FIN counts as a byte. */
static int
get_written(int fd, uint64_t *written, bool *ended)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	int queued;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
		ioctl(fd, SIOCOUTQ, &queued) < 0)
		return -errno;
	*ended =
		info.tcpi_state != ESTABLISHED && info.tcpi_state != CLOSE_WAIT;
	*written = (uint64_t)info.tcpi_bytes_acked + (uint64_t)queued -
		   (*ended ? 1u : 0u);
	return 0;
}

static bool
is_same(int fd, const struct handoff__image *image)
{
	struct sockaddr_storage is = {0}, should;
	socklen_t len = sizeof(is);

	handoff__image_local(image, &should);
	if (getsockname(fd, (struct sockaddr *)&is, &len) < 0 ||
		memcmp(&is, &should, len) != 0)
		return false;
	len = handoff__image_peer(image, &should);
	return getpeername(fd, (struct sockaddr *)&is, &len) == 0 &&
	       memcmp(&is, &should, len) == 0;
}

int
handoff__migrate_resume(struct handoff__restore *restore, int fd,
	const struct handoff__image *image, struct handoff__error *error)
{
	struct handoff__restore r = {
		.stage = HANDOFF__RESTORE_PREPARED,
		.fd = fd,
	};
	uint64_t written = 0;
	bool ended = false;
	int err;

	if (!is_same(fd, image))
		return handoff__fail(error, -EINVAL,
			"connection: the descriptor is not that of its image");
	err = get_written(fd, &written, &ended);
	if (err < 0)
		return failed(error, err, "what was left");
	r.taken = written < image->out_len ? (uint32_t)written : image->out_len;
	if (handoff__migrate_mode(fd) == 0 ||
		(r.taken >= sent_of(image) &&
			(ended ||
				image->output_end != HANDOFF__IMAGE_END_SENT)))
		r.stage = HANDOFF__RESTORE_FILLED;
	*restore = r;
	return 0;
}

void
handoff__migrate_abandon(struct handoff__restore *restore)
{
	if (restore->stage != HANDOFF__RESTORE_PREPARED &&
		restore->stage != HANDOFF__RESTORE_FILLED)
		return;
	close(restore->fd);
	restore->fd = -1;
	restore->stage = HANDOFF__RESTORE_NONE;
}
