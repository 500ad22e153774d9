/* SPDX-License-Identifier: MIT */
/*
 * The wire format of an image: fixed fields, little-endian, in one order, then
 * the unread input and the unacknowledged output. No system calls in here: a
 * fuzzer feeds it.
 */
#include "migrate/image.h"

#include "base/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC      0x4d494f48u /* HOIM */
#define VERSION    1
#define WINDOW_MAX (1u << 30) /* 65535 << 14, RFC 7323, 2.3 */
#define WSCALE_MAX 14
#define MSS_MAX    65535

/* magic, version, number of options, length of the message */
#define HEAD_SIZE (4 + 2 + 2 + 4)
/* family, ends, output_end, input_ended */
#define ENDS_SIZE (2 + 16 + 16 + 2 + 2 + 2 + 2)
/* sequences, mss, negotiated, scales, timestamp, window */
#define STREAM_SIZE  (2 * 4 + 4 + 4 + 2 + 2 + 4 + 5 * 4)
#define OPTIONS_SIZE (8 + HANDOFF__OPTS * 4 + 3 * 8 + 2 * 16)
#define QUEUES_SIZE  (3 * 4)
#define FIXED_SIZE                                                             \
	(HEAD_SIZE + ENDS_SIZE + STREAM_SIZE + OPTIONS_SIZE + QUEUES_SIZE)

void
handoff__image_free(struct handoff__image *image)
{
	if (!image)
		return;
	free(image->owned);
	image->owned = NULL;
	image->in = image->out = NULL;
	image->in_len = image->out_len = image->unsent = 0;
}

static bool
after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static bool
is_zero(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static bool
is_mapped(const unsigned char addr[16])
{
	return is_zero(addr, 10) && addr[10] == 0xff && addr[11] == 0xff;
}

/* RFC 1122, 3.2.1.3: not this host, a loopback or a group. */
static bool
four_ok(const unsigned char addr[4])
{
	return addr[0] != 0 && addr[0] != 127 && addr[0] < 224;
}

/* An address that a connection can have, and that means the same elsewhere: not
 * link-local, a group, ::1 or none. */
static bool
address_ok(int family, const unsigned char addr[16])
{
	if (family == AF_INET)
		return four_ok(addr) && is_zero(addr + 4, 12);
	if (is_mapped(addr))
		return four_ok(addr + 12);
	return !is_zero(addr, 15) && addr[0] != 0xff &&
	       !(addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80);
}

static const char *
bad_ends(const struct handoff__image *i)
{
	if (i->family != AF_INET && i->family != AF_INET6)
		return "family";
	if (!address_ok(i->family, i->local) || i->local_port == 0)
		return "local address";
	if (!address_ok(i->family, i->peer) || i->peer_port == 0)
		return "peer's address";
	if (i->family == AF_INET6 && is_mapped(i->local) != is_mapped(i->peer))
		return "pair of addresses";
	if ((unsigned)i->output_end > HANDOFF__IMAGE_END_SENT ||
		(i->input_ended && i->output_end != HANDOFF__IMAGE_OPEN))
		return "state";
	return NULL;
}

static const char *
bad_negotiated(const struct handoff__image *i)
{
	const uint32_t known = HANDOFF__IMAGE_WSCALE | HANDOFF__IMAGE_SACK |
			       HANDOFF__IMAGE_TIMESTAMPS | HANDOFF__IMAGE_ECN |
			       HANDOFF__IMAGE_USEC;
	bool scaled = (i->negotiated & HANDOFF__IMAGE_WSCALE) != 0;
	bool stamped = (i->negotiated & HANDOFF__IMAGE_TIMESTAMPS) != 0;

	if (i->negotiated & ~known ||
		(!stamped && i->negotiated & HANDOFF__IMAGE_USEC))
		return "set of TCP options";
	if (i->mss == 0 || i->mss > MSS_MAX)
		return "segment size";
	if (i->snd_wscale > (scaled ? WSCALE_MAX : 0) ||
		i->rcv_wscale > (scaled ? WSCALE_MAX : 0))
		return "window scale";
	return !stamped && i->timestamp != 0 ? "timestamp" : NULL;
}

/* What the kernel demands in tcp_repair_set_window(), and that no window is
 * larger than it can be. */
static const char *
bad_window(const struct handoff__image *i)
{
	const struct handoff__image_window *w = &i->window;
	uint32_t rcv_nxt = i->in_seq + i->in_len;

	if (w->max_window > WINDOW_MAX || w->snd_wnd > w->max_window ||
		w->rcv_wnd > WINDOW_MAX)
		return "window";
	if (after(w->snd_wl1, rcv_nxt + w->rcv_wnd) ||
		after(w->rcv_wup, rcv_nxt) || rcv_nxt - w->rcv_wup > WINDOW_MAX)
		return "place of the window";
	return NULL;
}

static const char *
bad_queues(const struct handoff__image *i)
{
	if (i->in_len > HANDOFF__IMAGE_QUEUE_MAX)
		return "length of the unread input";
	if (i->out_len > HANDOFF__IMAGE_QUEUE_MAX)
		return "length of the output";
	if (i->unsent > i->out_len ||
		(i->unsent > 0 && i->output_end == HANDOFF__IMAGE_END_SENT))
		return "length of the unsent output";
	return NULL;
}

int
handoff__image_check(
	const struct handoff__image *image, struct handoff__error *error)
{
	const char *bad = bad_ends(image);

	if (!bad)
		bad = bad_negotiated(image);
	if (!bad)
		bad = bad_queues(image);
	if (!bad)
		bad = bad_window(image);
	if (!bad)
		bad = handoff__options_bad(&image->options);
	if (bad)
		return handoff__fail(error, -EBADMSG,
			"image of a connection: its %s is out of range", bad);
	return 0;
}

size_t
handoff__image_size(const struct handoff__image *image)
{
	return FIXED_SIZE + (size_t)image->in_len + image->out_len;
}

/* Each of these pairs is one part of the format; the two must agree. */
static void
put_ends(struct handoff__wire *w, const struct handoff__image *i)
{
	handoff__put_u16(w, i->family == AF_INET6 ? 6 : 4);
	handoff__put_bytes(w, i->local, sizeof(i->local));
	handoff__put_bytes(w, i->peer, sizeof(i->peer));
	handoff__put_u16(w, i->local_port);
	handoff__put_u16(w, i->peer_port);
	handoff__put_u16(w, (uint16_t)i->output_end);
	handoff__put_u16(w, i->input_ended);
}

static void
get_ends(struct handoff__wire *w, struct handoff__image *i)
{
	uint16_t family = handoff__get_u16(w), ended;

	i->family = family == 6 ? AF_INET6 : family == 4 ? AF_INET : AF_UNSPEC;
	handoff__get_bytes(w, i->local, sizeof(i->local));
	handoff__get_bytes(w, i->peer, sizeof(i->peer));
	i->local_port = handoff__get_u16(w);
	i->peer_port = handoff__get_u16(w);
	i->output_end = (enum handoff__image_end)handoff__get_u16(w);
	ended = handoff__get_u16(w);
	i->input_ended = ended == 1;
	if (ended > 1)
		w->bad = true;
}

static void
put_stream(struct handoff__wire *w, const struct handoff__image *i)
{
	handoff__put_u32(w, i->in_seq);
	handoff__put_u32(w, i->out_seq);
	handoff__put_u32(w, i->mss);
	handoff__put_u32(w, i->negotiated);
	handoff__put_u16(w, (uint16_t)i->snd_wscale);
	handoff__put_u16(w, (uint16_t)i->rcv_wscale);
	handoff__put_u32(w, i->timestamp);
	handoff__put_u32(w, i->window.snd_wl1);
	handoff__put_u32(w, i->window.snd_wnd);
	handoff__put_u32(w, i->window.max_window);
	handoff__put_u32(w, i->window.rcv_wnd);
	handoff__put_u32(w, i->window.rcv_wup);
}

static void
get_stream(struct handoff__wire *w, struct handoff__image *i)
{
	i->in_seq = handoff__get_u32(w);
	i->out_seq = handoff__get_u32(w);
	i->mss = handoff__get_u32(w);
	i->negotiated = handoff__get_u32(w);
	i->snd_wscale = handoff__get_u16(w);
	i->rcv_wscale = handoff__get_u16(w);
	i->timestamp = handoff__get_u32(w);
	i->window.snd_wl1 = handoff__get_u32(w);
	i->window.snd_wnd = handoff__get_u32(w);
	i->window.max_window = handoff__get_u32(w);
	i->window.rcv_wnd = handoff__get_u32(w);
	i->window.rcv_wup = handoff__get_u32(w);
}

static void
put_options(struct handoff__wire *w, const struct handoff__image_options *o)
{
	handoff__put_u64(w, o->has);
	for (int i = 0; i < HANDOFF__OPTS; i++)
		handoff__put_u32(w, (uint32_t)o->value[i]);
	handoff__put_u64(w, o->pacing);
	handoff__put_u64(w, o->rcv_timeout_us);
	handoff__put_u64(w, o->snd_timeout_us);
	handoff__put_text(w, o->congestion, sizeof(o->congestion));
	handoff__put_text(w, o->device, sizeof(o->device));
}

static void
get_options(struct handoff__wire *w, struct handoff__image_options *o)
{
	o->has = handoff__get_u64(w);
	for (int i = 0; i < HANDOFF__OPTS; i++)
		o->value[i] = (int32_t)handoff__get_u32(w);
	o->pacing = handoff__get_u64(w);
	o->rcv_timeout_us = handoff__get_u64(w);
	o->snd_timeout_us = handoff__get_u64(w);
	handoff__get_text(w, o->congestion, sizeof(o->congestion));
	handoff__get_text(w, o->device, sizeof(o->device));
}

int
handoff__image_encode(const struct handoff__image *image, unsigned char *data,
	size_t size, struct handoff__error *error)
{
	struct handoff__wire w = {.data = data, .size = size};
	int err = handoff__image_check(image, error);

	if (err < 0)
		return err;
	if (size != handoff__image_size(image))
		return handoff__fail(error, -EMSGSIZE,
			"image of a connection: it has %zu bytes, not %zu",
			handoff__image_size(image), size);
	handoff__put_u32(&w, MAGIC);
	handoff__put_u16(&w, VERSION);
	handoff__put_u16(&w, HANDOFF__OPTS);
	handoff__put_u32(&w, (uint32_t)size);
	put_ends(&w, image);
	put_stream(&w, image);
	put_options(&w, &image->options);
	handoff__put_u32(&w, image->in_len);
	handoff__put_u32(&w, image->out_len);
	handoff__put_u32(&w, image->unsent);
	handoff__put_bytes(&w, image->in, image->in_len);
	handoff__put_bytes(&w, image->out, image->out_len);
	return w.bad ? handoff__fail(error, -EBADMSG,
			       "image of a connection: it cannot be written")
		     : 0;
}

static int
get_head(struct handoff__wire *w, size_t size, struct handoff__error *error)
{
	uint32_t magic = handoff__get_u32(w), version = handoff__get_u16(w);
	uint32_t options = handoff__get_u16(w), length = handoff__get_u32(w);

	if (w->bad || magic != MAGIC)
		return handoff__fail(error, -EBADMSG,
			"image of a connection: %zu bytes that are none", size);
	if (version != VERSION)
		return handoff__fail(error, -EPROTO,
			"image of a connection: its format is version %u, "
			"known is %u: both hosts need the same",
			version, VERSION);
	if (options != HANDOFF__OPTS || length != size)
		return handoff__fail(error, -EBADMSG,
			"image of a connection: it says %u bytes and %u "
			"options, these are %zu and %d",
			length, options, size, HANDOFF__OPTS);
	return 0;
}

int
handoff__image_decode(struct handoff__image *image, const unsigned char *data,
	size_t size, struct handoff__error *error)
{
	/* nothing is written to it */
	struct handoff__wire w = {.data = (unsigned char *)data, .size = size};
	struct handoff__image i = {0};
	int err = get_head(&w, size, error);

	if (err < 0)
		return err;
	get_ends(&w, &i);
	get_stream(&w, &i);
	get_options(&w, &i.options);
	i.in_len = handoff__get_u32(&w);
	i.out_len = handoff__get_u32(&w);
	i.unsent = handoff__get_u32(&w);
	if (w.bad || i.in_len > size - w.pos ||
		i.out_len != size - w.pos - i.in_len)
		return handoff__fail(error, -EBADMSG,
			"image of a connection: %zu bytes do not hold its "
			"fields and queues",
			size);
	i.in = data + w.pos;
	i.out = i.in + i.in_len;
	err = handoff__image_check(&i, error);
	if (err == 0)
		*image = i;
	return err;
}

static socklen_t
to_address(int family, const unsigned char addr[16], uint16_t port,
	struct sockaddr_storage *sa)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	memset(sa, 0, sizeof(*sa));
	if (family == AF_INET) {
		four.sin_port = htons(port);
		memcpy(&four.sin_addr, addr, sizeof(four.sin_addr));
		memcpy(sa, &four, sizeof(four));
		return sizeof(four);
	}
	six.sin6_port = htons(port);
	memcpy(&six.sin6_addr, addr, sizeof(six.sin6_addr));
	memcpy(sa, &six, sizeof(six));
	return sizeof(six);
}

socklen_t
handoff__image_local(
	const struct handoff__image *image, struct sockaddr_storage *sa)
{
	return to_address(image->family, image->local, image->local_port, sa);
}

socklen_t
handoff__image_peer(
	const struct handoff__image *image, struct sockaddr_storage *sa)
{
	return to_address(image->family, image->peer, image->peer_port, sa);
}
