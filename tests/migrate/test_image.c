/* SPDX-License-Identifier: MIT */
/*
 * The wire format of a connection's image: what is written is read again, and
 * nothing else is.
 */
#include "support/support.h"

#include "migrate/image.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define IN  "unread"
#define OUT "unacknowledged and unsent"

static struct handoff__image
sample(void)
{
	struct handoff__image i = {
		.family = AF_INET6,
		.local = {0x20, 1, 0xd, 0xb8, [15] = 1},
		.peer = {0x20, 1, 0xd, 0xb8, [15] = 2},
		.local_port = 443,
		.peer_port = 40000,
		.in_seq = 0xfffffff0,
		.out_seq = 77,
		.mss = 1440,
		.negotiated = HANDOFF__IMAGE_WSCALE | HANDOFF__IMAGE_SACK |
			      HANDOFF__IMAGE_TIMESTAMPS,
		.snd_wscale = 7,
		.rcv_wscale = 14,
		.timestamp = 123456,
		.window =
			{
				.snd_wl1 = 0xfffffff1,
				.snd_wnd = 1000,
				.max_window = 2000,
				.rcv_wnd = 3000,
				.rcv_wup = 0xfffffff2,
			},
		.in = (const unsigned char *)IN,
		.in_len = sizeof(IN) - 1,
		.out = (const unsigned char *)OUT,
		.out_len = sizeof(OUT) - 1,
		.unsent = 7,
	};
	struct handoff__image_options *o = &i.options;

	o->has = (UINT64_C(1) << HANDOFF__OPTS) - 1;
	for (int k = 0; k < HANDOFF__OPTS; k++)
		o->value[k] = 1;
	o->pacing = UINT64_MAX;
	o->rcv_timeout_us = 1500000;
	strcpy(o->congestion, "cubic");
	strcpy(o->device, "eth0");
	return i;
}

/* The message of an image, to be freed. */
static unsigned char *
message(const struct handoff__image *image, size_t *size)
{
	struct handoff__error error = {""};
	unsigned char *data;

	*size = handoff__image_size(image);
	data = malloc(*size);
	assert_non_null(data);
	if (handoff__image_encode(image, data, *size, &error) < 0)
		fail_msg("%s", error.text);
	return data;
}

static void
assert_same(const struct handoff__image *a, const struct handoff__image *b)
{
	assert_int_equal(a->family, b->family);
	assert_memory_equal(a->local, b->local, sizeof(a->local));
	assert_memory_equal(a->peer, b->peer, sizeof(a->peer));
	assert_int_equal(a->local_port, b->local_port);
	assert_int_equal(a->peer_port, b->peer_port);
	assert_int_equal(a->input_ended, b->input_ended);
	assert_int_equal(a->output_end, b->output_end);
	assert_int_equal(a->in_seq, b->in_seq);
	assert_int_equal(a->out_seq, b->out_seq);
	assert_int_equal(a->mss, b->mss);
	assert_int_equal(a->negotiated, b->negotiated);
	assert_int_equal(a->snd_wscale, b->snd_wscale);
	assert_int_equal(a->rcv_wscale, b->rcv_wscale);
	assert_int_equal(a->timestamp, b->timestamp);
	assert_memory_equal(&a->window, &b->window, sizeof(a->window));
	assert_memory_equal(&a->options, &b->options, sizeof(a->options));
	assert_int_equal(a->in_len, b->in_len);
	assert_int_equal(a->out_len, b->out_len);
	assert_int_equal(a->unsent, b->unsent);
	assert_memory_equal(a->in, b->in, a->in_len);
	assert_memory_equal(a->out, b->out, a->out_len);
}

static void
assert_round_trip(const struct handoff__image *image)
{
	struct handoff__error error = {""};
	struct handoff__image again;
	size_t size;
	unsigned char *data = message(image, &size);

	if (handoff__image_decode(&again, data, size, &error) < 0)
		fail_msg("%s", error.text);
	assert_same(&again, image);
	assert_null(again.owned);
	free(data);
}

static void
round_trip(void **state)
{
	struct handoff__image i = sample();

	(void)state;
	assert_round_trip(&i);
	i.input_ended = true;
	assert_round_trip(&i);
	i.input_ended = false;
	i.output_end = HANDOFF__IMAGE_END_DUE;
	assert_round_trip(&i);
	i.unsent = 0;
	i.output_end = HANDOFF__IMAGE_END_SENT;
	assert_round_trip(&i);
	i.in_len = i.out_len = 0;
	i.window.snd_wl1 = i.window.rcv_wup = i.in_seq;
	assert_round_trip(&i);
}

static void
round_trip_of_four(void **state)
{
	struct handoff__image i = sample();

	(void)state;
	i.family = AF_INET;
	memcpy(i.local, (unsigned char[16]){10, 0, 0, 1}, 16);
	memcpy(i.peer, (unsigned char[16]){192, 0, 2, 1}, 16);
	assert_round_trip(&i);
}

/* From memory that ends where the message does. */
static void
truncated_at_every_byte(void **state)
{
	struct handoff__image i = sample(), again;
	size_t size;
	unsigned char *data = message(&i, &size);

	(void)state;
	for (size_t len = 0; len < size; len++) {
		unsigned char *part = malloc(len > 0 ? len : 1);
		struct handoff__error error = {""};

		assert_non_null(part);
		memcpy(part, data, len);
		memset(&again, 0xee, sizeof(again));
		assert_int_equal(
			handoff__image_decode(&again, part, len, &error),
			-EBADMSG);
		assert_true(error.text[0]);
		assert_int_equal(again.family, (int)0xeeeeeeee);
		free(part);
	}
	free(data);
}

static void
a_byte_too_many(void **state)
{
	struct handoff__image i = sample(), again;
	unsigned char longer[2048] = {0};
	size_t size;
	unsigned char *data = message(&i, &size);

	(void)state;
	assert_true(size < sizeof(longer));
	memcpy(longer, data, size);
	assert_int_equal(handoff__image_decode(&again, longer, size + 1, NULL),
		-EBADMSG);
	free(data);
}

static void
another_version(void **state)
{
	struct handoff__image i = sample(), again;
	struct handoff__error error;
	size_t size;
	unsigned char *data = message(&i, &size);

	(void)state;
	data[4]++;
	assert_int_equal(
		handoff__image_decode(&again, data, size, &error), -EPROTO);
	assert_non_null(strstr(error.text, "version 2"));
	data[4]--;
	data[0]++;
	assert_int_equal(
		handoff__image_decode(&again, data, size, &error), -EBADMSG);
	free(data);
}

static void
a_buffer_of_another_size(void **state)
{
	struct handoff__image i = sample();
	unsigned char data[2048];
	size_t size = handoff__image_size(&i);

	(void)state;
	assert_int_equal(
		handoff__image_encode(&i, data, size - 1, NULL), -EMSGSIZE);
	assert_int_equal(
		handoff__image_encode(&i, data, size + 1, NULL), -EMSGSIZE);
}

/* Every byte of a valid message with every one of its bits turned: it is
 * refused, or what was read can be written. */
static void
any_bit_turned(void **state)
{
	struct handoff__image i = sample(), again;
	size_t size;
	unsigned char *data = message(&i, &size);

	(void)state;
	for (size_t at = 0; at < size; at++) {
		for (int bit = 0; bit < 8; bit++) {
			data[at] ^= (unsigned char)(1 << bit);
			if (handoff__image_decode(&again, data, size, NULL) ==
				0) {
				assert_round_trip(&again);
			}
			data[at] ^= (unsigned char)(1 << bit);
		}
	}
	free(data);
}

/* The sentence names the field. */
static void
refused(const struct handoff__image *image, const char *field)
{
	struct handoff__error error = {""};

	assert_int_equal(handoff__image_check(image, &error), -EBADMSG);
	if (!strstr(error.text, field))
		fail_msg("'%s' does not say '%s'", error.text, field);
}

#define REFUSED(change, field)                                                 \
	do {                                                                   \
		struct handoff__image i = sample();                            \
		change;                                                        \
		refused(&i, field);                                            \
	} while (0)

static void
ends_out_of_range(void **state)
{
	(void)state;
	REFUSED(i.family = AF_UNIX, "family");
	REFUSED(i.local_port = 0, "local address");
	REFUSED(i.peer_port = 0, "peer's address");
	REFUSED(memset(i.local, 0, 16), "local address");
	REFUSED(memset(i.peer, 0, 16), "peer's address");
	REFUSED((i.peer[0] = 0xfe, i.peer[1] = 0x80), "peer's address");
	REFUSED(i.local[0] = 0xff, "local address");
	/* IPv4 has four bytes, is no multicast */
	REFUSED(i.family = AF_INET, "local address");
	REFUSED((i.family = AF_INET, memset(i.local, 0, 16), i.local[0] = 224),
		"local address");
	REFUSED((i.family = AF_INET, memset(i.local, 0, 16), i.local[0] = 127),
		"local address");
	REFUSED((memset(i.peer, 0, 16), i.peer[15] = 1), "peer's address");
	REFUSED((memset(i.peer, 0, 16), i.peer[10] = i.peer[11] = 0xff,
			i.peer[12] = 127),
		"peer's address");
	/* one end IPv4-mapped, the other not */
	REFUSED((memset(i.peer, 0, 16), i.peer[10] = i.peer[11] = 0xff,
			i.peer[12] = 10),
		"pair of addresses");
	REFUSED(i.output_end = (enum handoff__image_end)3, "state");
	REFUSED((i.unsent = 0, i.input_ended = true,
			i.output_end = HANDOFF__IMAGE_END_SENT),
		"state");
}

static void
stream_out_of_range(void **state)
{
	(void)state;
	REFUSED(i.negotiated |= 0x20, "set of TCP options");
	REFUSED((i.timestamp = 0, i.negotiated = HANDOFF__IMAGE_WSCALE |
						 HANDOFF__IMAGE_USEC),
		"set of TCP options");
	REFUSED(i.mss = 0, "segment size");
	REFUSED(i.mss = 65536, "segment size");
	REFUSED(i.snd_wscale = 15, "window scale");
	REFUSED(i.rcv_wscale = 15, "window scale");
	REFUSED(i.negotiated &= ~(unsigned)HANDOFF__IMAGE_WSCALE,
		"window scale");
	REFUSED(i.negotiated &= ~(unsigned)HANDOFF__IMAGE_TIMESTAMPS,
		"timestamp");
	REFUSED(i.window.snd_wnd = 2001, "window");
	REFUSED(i.window.max_window = (1u << 30) + 1, "window");
	REFUSED(i.window.rcv_wnd = (1u << 30) + 1, "window");
	/* beyond what is expected next, and the window */
	REFUSED(i.window.snd_wl1 = i.in_seq + i.in_len + 3001,
		"place of the window");
	REFUSED(i.window.rcv_wup = i.in_seq + i.in_len + 1,
		"place of the window");
	REFUSED(i.window.rcv_wup = i.in_seq + i.in_len - (1u << 30) - 1,
		"place of the window");
}

static void
queues_out_of_range(void **state)
{
	(void)state;
	REFUSED(i.in_len = HANDOFF__IMAGE_QUEUE_MAX + 1, "unread input");
	REFUSED(i.out_len = HANDOFF__IMAGE_QUEUE_MAX + 1, "output");
	REFUSED(i.unsent = i.out_len + 1, "unsent output");
	REFUSED(i.output_end = HANDOFF__IMAGE_END_SENT, "unsent output");
}

static void
options_out_of_range(void **state)
{
	(void)state;
	REFUSED(i.options.has |= UINT64_C(1) << HANDOFF__OPTS, "options");
	REFUSED(i.options.has &= ~UINT64_C(1), "SO_REUSEPORT");
	REFUSED(i.options.rcv_timeout_us = UINT64_MAX, "SO_RCVTIMEO");
	REFUSED(i.options.snd_timeout_us = UINT64_MAX, "SO_SNDTIMEO");
	REFUSED(memset(i.options.congestion, 'x', 16), "TCP_CONGESTION");
	REFUSED(i.options.device[1] = '/', "SO_BINDTODEVICE");
	REFUSED(i.options.device[1] = ' ', "SO_BINDTODEVICE");
}

/* Each option has a range, but those that are any number. */
static void
every_option_has_a_range(void **state)
{
	static const enum handoff__image_option any[] = {
		HANDOFF__OPT_MARK,
		HANDOFF__OPT_NOTSENT_LOWAT,
		HANDOFF__OPT_PRIORITY,
	};
	const size_t count = sizeof(any) / sizeof(*any);

	(void)state;
	for (int k = 0; k < HANDOFF__OPTS; k++) {
		struct handoff__image i = sample();
		bool free_of_range = false;

		for (size_t j = 0; j < count; j++)
			free_of_range |=
				any[j] == (enum handoff__image_option)k;
		i.options.value[k] = INT32_MIN;
		assert_int_equal(handoff__image_check(&i, NULL),
			free_of_range ? 0 : -EBADMSG);
	}
	REFUSED(i.options.value[HANDOFF__OPT_NODELAY] = 2, "TCP_NODELAY");
	REFUSED(i.options.value[HANDOFF__OPT_KEEPCNT] = 128, "TCP_KEEPCNT");
	REFUSED(i.options.value[HANDOFF__OPT_TOS] = 256, "IP_TOS");
	REFUSED(i.options.value[HANDOFF__OPT_BUF_LOCK] = 4, "SO_BUF_LOCK");
}

/* The lengths of the queues must be what follows. */
static void
lengths_that_lie(void **state)
{
	struct handoff__image i = sample(), again;
	size_t size;
	unsigned char *data = message(&i, &size);
	unsigned char *lengths = data + size - i.in_len - i.out_len - 12;

	(void)state;
	for (int at = 0; at < 8; at++) {
		lengths[at] ^= 0x80;
		assert_int_equal(
			handoff__image_decode(&again, data, size, NULL),
			-EBADMSG);
		lengths[at] ^= 0x80;
	}
	/* the sum is right, one of them beyond the message */
	lengths[0] = 0xff;
	lengths[1] = lengths[2] = lengths[3] = 0xff;
	lengths[4] = (unsigned char)(i.in_len + i.out_len + 1);
	assert_int_equal(
		handoff__image_decode(&again, data, size, NULL), -EBADMSG);
	free(data);
}

static void
addresses(void **state)
{
	struct handoff__image i = sample();
	struct sockaddr_storage sa;
	struct sockaddr_in six_as_four;
	struct sockaddr_in6 six;

	(void)state;
	assert_int_equal(handoff__image_local(&i, &sa), sizeof(six));
	memcpy(&six, &sa, sizeof(six));
	assert_int_equal(six.sin6_family, AF_INET6);
	assert_int_equal(ntohs(six.sin6_port), 443);
	assert_memory_equal(&six.sin6_addr, i.local, 16);
	i.family = AF_INET;
	assert_int_equal(handoff__image_peer(&i, &sa), sizeof(six_as_four));
	memcpy(&six_as_four, &sa, sizeof(six_as_four));
	assert_int_equal(six_as_four.sin_family, AF_INET);
	assert_int_equal(ntohs(six_as_four.sin_port), 40000);
	assert_memory_equal(&six_as_four.sin_addr, i.peer, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(round_trip),
		handoff_test(round_trip_of_four),
		handoff_test(truncated_at_every_byte),
		handoff_test(a_byte_too_many),
		handoff_test(another_version),
		handoff_test(a_buffer_of_another_size),
		handoff_test(any_bit_turned),
		handoff_test(ends_out_of_range),
		handoff_test(stream_out_of_range),
		handoff_test(queues_out_of_range),
		handoff_test(options_out_of_range),
		handoff_test(every_option_has_a_range),
		handoff_test(lengths_that_lie),
		handoff_test(addresses),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
