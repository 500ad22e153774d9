/* SPDX-License-Identifier: MIT */
/*
 * What a connection can be like when it leaves: ended by one side, with a
 * window of zero, with bytes in any of its queues, with other options of TCP.
 */
#include "migrate/hosts.h"

#include "migrate/mode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
assert_end(int fd)
{
	char byte;

	assert_true(support_poll(fd, POLLIN) & POLLIN);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

/* Of the service's side by the kernel's numbers. */
enum { ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2 = 5, CLOSE_WAIT = 8 };

static void
client_has_ended(enum kind kind)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	char byte;

	hosts_need();
	pair_open(&p, kind);
	pair_ask(&p, 1000);
	shutdown(p.client, SHUT_WR);
	await_end(p.served);
	pair_freeze(&p, &image);
	assert_true(image.input_ended);
	assert_int_equal(image.in_len, 1000);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_take_asked(&p, 1000);
	/* the end is the caller's to know */
	assert_int_equal(recv(p.served, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	pair_answer(&p, 5000);
	pair_take_answer(&p, 5000);
	shutdown(p.served, SHUT_WR);
	assert_end(p.client);
	pair_await_unacked(&p, 0);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
client_has_ended_four(void **state)
{
	(void)state;
	client_has_ended(FOUR);
}

static void
client_has_ended_six(void **state)
{
	(void)state;
	client_has_ended(SIX);
}

/* After the move the client still sends, and ends. */
static void
assert_still_asks(struct pair *p)
{
	pair_ask(p, 1000);
	pair_take_asked(p, 1000);
	shutdown(p->client, SHUT_WR);
	assert_end(p->served);
	hosts_assert_no_resets();
	pair_close(p);
}

static void
service_has_ended(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_answer(&p, 100);
	shutdown(p.served, SHUT_WR);
	while (socket_state(p.served) != FIN_WAIT2)
		sched_yield();
	pair_freeze(&p, &image);
	assert_int_equal(image.output_end, HANDOFF__IMAGE_END_SENT);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_take_answer(&p, 100);
	assert_end(p.client);
	assert_still_asks(&p);
}

/* The client has neither the last bytes nor the FIN. */
static void
service_has_ended_unacknowledged(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, SIX);
	socket_deaf(p.client);
	pair_answer(&p, 3000);
	shutdown(p.served, SHUT_WR);
	pair_freeze(&p, &image);
	assert_int_equal(image.output_end, HANDOFF__IMAGE_END_SENT);
	assert_int_equal(image.out_len, 3000);
	assert_int_equal(image.unsent, 0);
	pair_carry(&p, &image, HOST_B, &restore);
	socket_hears(p.client);
	pair_land(&p, &image, HOST_B, &restore);
	assert_true(socket_state(p.served) == FIN_WAIT1 ||
		    socket_state(p.served) == FIN_WAIT2);
	handoff__image_free(&image);
	pair_take_answer(&p, 3000);
	assert_end(p.client);
	assert_still_asks(&p);
}

/* Its FIN waits behind output that the client's window does not let go. */
static void
service_has_ended_behind_output(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	size_t all;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	all = pair_answer_full(&p);
	shutdown(p.served, SHUT_WR);
	pair_freeze(&p, &image);
	assert_int_equal(image.output_end, HANDOFF__IMAGE_END_DUE);
	assert_true(image.unsent > 0);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_take_answer(&p, all);
	assert_end(p.client);
	assert_still_asks(&p);
}

static void
zero_window(enum kind kind)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	hosts_need();
	pair_open(&p, kind);
	pair_answer_full(&p);
	pair_freeze(&p, &image);
	assert_true(image.window.snd_wnd < image.mss);
	assert_true(image.unsent > 0);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
zero_window_four(void **state)
{
	(void)state;
	zero_window(FOUR);
}

static void
zero_window_six(void **state)
{
	(void)state;
	zero_window(SIX);
}

/* The client makes room while nobody hears of it. */
static void
zero_window_opened_meanwhile(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_answer_full(&p);
	pair_freeze(&p, &image);
	pair_take_answer(
		&p, (size_t)(p.to_client - p.from_served) - image.unsent);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* More than a new socket's buffer holds. */
static void
much_unread(enum kind kind)
{
	const int len = 128 * 1024;
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	size_t asked = 0;

	hosts_need();
	host_set(HOST_A, "ipv4/tcp_rmem", "4096 1048576 6291456");
	pair_open(&p, kind);
	while (asked < (size_t)len) {
		pair_ask(&p, 8192);
		asked += 8192;
		pair_await_unread(&p, (int)asked);
	}
	host_set(HOST_A, "ipv4/tcp_rmem", "4096 131072 6291456");
	pair_freeze(&p, &image);
	assert_int_equal(image.in_len, len);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_await_unread(&p, len);
	pair_assert_works(&p, 100000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
much_unread_four(void **state)
{
	(void)state;
	much_unread(FOUR);
}

static void
much_unread_six(void **state)
{
	(void)state;
	much_unread(SIX);
}

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* `lost`: the client has not got it; else its acknowledgements have not come.
 * Then also unread input is there. Nobody waits for a retransmission timer. */
static void
unacknowledged(enum kind kind, bool lost, size_t len)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;
	long begin;

	hosts_need();
	pair_open(&p, kind);
	pair_assert_works(&p, 100000);
	pair_ask(&p, 700);
	pair_await_unread(&p, 700);
	pair_await_unacked(&p, 0);
	if (lost)
		socket_deaf(p.client);
	else
		host_route(TO_HOLE);
	pair_answer(&p, len);
	if (!lost)
		pair_take_answer(&p, len);
	pair_freeze(&p, &image);
	assert_int_equal(image.in_len, 700);
	assert_int_equal(image.out_len, len);
	pair_carry(&p, &image, HOST_B, &restore);
	if (lost)
		socket_hears(p.client);
	begin = now_ms();
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	if (lost)
		pair_take_answer(&p, len);
	pair_await_unacked(&p, 0);
	assert_true(now_ms() - begin < 2000);
	pair_assert_works(&p, 100000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
lost_output_four(void **state)
{
	(void)state;
	unacknowledged(FOUR, true, 12000);
}

static void
lost_output_six(void **state)
{
	(void)state;
	unacknowledged(SIX, true, 12000);
}

static void
lost_acknowledgements(void **state)
{
	(void)state;
	unacknowledged(MAPPED, false, 12000);
}

static void
lost_output_of_much(void **state)
{
	(void)state;
	unacknowledged(FOUR, true, 50000);
}

/* More than may be under way from a new connection. */
static void
lost_acknowledgements_of_much(void **state)
{
	(void)state;
	unacknowledged(FOUR, false, 50000);
}

static uint16_t
sum_up(const unsigned char *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* An acknowledgement of the client's of `len` bytes more than it has, as a
 * stack that is not Linux may send. */
static void
acknowledge_part(const struct pair *p, uint32_t len)
{
	struct sockaddr_in from, to;
	socklen_t size = sizeof(from);
	uint32_t seq, ack;
	struct {
		uint32_t from, to;
		uint16_t protocol, length;
		struct tcphdr tcp;
	} packet = {.protocol = htons(IPPROTO_TCP), .length = htons(20)};
	int raw;

	handoff__migrate_mode_on(p->client, NULL);
	handoff__migrate_queue(p->client, TCP_SEND_QUEUE);
	assert_int_equal(handoff__migrate_get_seq(p->client, &seq), 0);
	handoff__migrate_queue(p->client, TCP_RECV_QUEUE);
	assert_int_equal(handoff__migrate_get_seq(p->client, &ack), 0);
	handoff__migrate_mode_off(p->client, NULL);
	getsockname(p->client, (struct sockaddr *)&from, &size);
	getpeername(p->client, (struct sockaddr *)&to, &size);
	packet.from = from.sin_addr.s_addr;
	packet.to = to.sin_addr.s_addr;
	packet.tcp.source = from.sin_port;
	packet.tcp.dest = to.sin_port;
	packet.tcp.seq = htonl(seq);
	packet.tcp.ack_seq = htonl(ack + len);
	packet.tcp.doff = 5;
	packet.tcp.ack = 1;
	packet.tcp.window = htons(500);
	packet.tcp.check =
		htons(sum_up((unsigned char *)&packet, sizeof(packet), 0));
	host_enter(HOST_C);
	raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
	assert_true(raw >= 0);
	to.sin_port = 0;
	assert_int_equal(sendto(raw, &packet.tcp, sizeof(packet.tcp), 0,
				 (struct sockaddr *)&to, sizeof(to)),
		sizeof(packet.tcp));
	close(raw);
	host_enter(HOST_A);
}

/* The kernel keeps a segment whole of which a part is acknowledged. */
static void
part_of_a_segment_acknowledged(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_ask(&p, 10);
	pair_take_asked(&p, 10);
	socket_deaf(p.client);
	pair_answer(&p, 1000);
	acknowledge_part(&p, 300);
	pair_await_unacked(&p, 700);
	/* it has them, of course, but for this */
	pair_freeze(&p, &image);
	assert_int_equal(image.out_len, 700);
	for (int i = 0; i < 700; i++)
		assert_int_equal(
			image.out[i], pair_answer_byte((uint64_t)(300 + i)));
	pair_carry(&p, &image, HOST_B, &restore);
	handoff__migrate_abandon(&restore);
	handoff__image_free(&image);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
urgent_byte_in_line(void **state)
{
	struct pair p;
	char text[16];

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	assert_int_equal(send(p.client, "abc", 3, 0), 3);
	assert_int_equal(send(p.client, "U", 1, MSG_OOB), 1);
	assert_int_equal(send(p.client, "defg", 4, 0), 4);
	pair_await_unread(&p, 8);
	pair_move(&p, HOST_B);
	assert_int_equal(recv(p.served, text, sizeof(text), MSG_DONTWAIT), 8);
	assert_memory_equal(text, "abcUdefg", 8);
	pair_assert_works(&p, 1000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* A buffer that holds a fraction of the output takes all of it, and is as small
 * as before when that has been sent. */
static void
small_send_buffer(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	pair_open(&p, FOUR);
	pair_answer_full(&p);
	pair_freeze(&p, &image);
	assert_true(image.unsent > 100000);
	image.options.value[HANDOFF__OPT_SNDBUF] = 4608;
	image.options.value[HANDOFF__OPT_BUF_LOCK] = 1;
	pair_carry(&p, &image, HOST_B, &restore);
	host_route(TO_B);
	assert_int_equal(handoff__migrate_commit(&restore, &image, NULL), 0);
	assert_int_equal(restore.taken, image.out_len);
	p.served = restore.fd;
	assert_int_equal(socket_option(p.served, SOL_SOCKET, SO_SNDBUF), 4608);
	handoff__image_free(&image);
	pair_assert_works(&p, 10000);
	hosts_assert_no_resets();
	pair_close(&p);
}

/* What the handshake of the client leaves out; the windows are right if a
 * megabyte passes in both directions. */
static void
without(const char *setting, unsigned bit)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	hosts_need();
	host_set(HOST_C, setting, "0");
	pair_open(&p, FOUR);
	host_set(HOST_C, setting, "1");
	pair_assert_works(&p, 10000);
	pair_freeze(&p, &image);
	assert_int_equal(image.negotiated & bit, 0);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_assert_works(&p, 1000000);
	pair_move(&p, HOST_A);
	pair_assert_works(&p, 1000000);
	hosts_assert_no_resets();
	pair_close(&p);
}

static void
without_scaling(void **state)
{
	(void)state;
	without("ipv4/tcp_window_scaling", HANDOFF__IMAGE_WSCALE);
}

static void
without_timestamps(void **state)
{
	(void)state;
	without("ipv4/tcp_timestamps", HANDOFF__IMAGE_TIMESTAMPS);
}

static void
without_sack(void **state)
{
	(void)state;
	without("ipv4/tcp_sack", HANDOFF__IMAGE_SACK);
}

/* It goes on without, which the image says. */
static void
with_ecn(void **state)
{
	struct handoff__restore restore;
	struct handoff__image image;
	struct pair p;

	(void)state;
	hosts_need();
	host_set(HOST_A, "ipv4/tcp_ecn", "1");
	host_set(HOST_C, "ipv4/tcp_ecn", "1");
	pair_open(&p, FOUR);
	host_set(HOST_A, "ipv4/tcp_ecn", "2");
	host_set(HOST_C, "ipv4/tcp_ecn", "2");
	pair_freeze(&p, &image);
	assert_true(image.negotiated & HANDOFF__IMAGE_ECN);
	pair_carry(&p, &image, HOST_B, &restore);
	pair_land(&p, &image, HOST_B, &restore);
	handoff__image_free(&image);
	pair_freeze(&p, &image);
	assert_false(image.negotiated & HANDOFF__IMAGE_ECN);
	pair_carry(&p, &image, HOST_A, &restore);
	pair_land(&p, &image, HOST_A, &restore);
	handoff__image_free(&image);
	pair_assert_works(&p, 100000);
	hosts_assert_no_resets();
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(client_has_ended_four),
		handoff_test(client_has_ended_six),
		handoff_test(service_has_ended),
		handoff_test(service_has_ended_unacknowledged),
		handoff_test(service_has_ended_behind_output),
		handoff_test(zero_window_four),
		handoff_test(zero_window_six),
		handoff_test(zero_window_opened_meanwhile),
		handoff_test(much_unread_four),
		handoff_test(much_unread_six),
		handoff_test(lost_output_four),
		handoff_test(lost_output_six),
		handoff_test(lost_acknowledgements),
		handoff_test(lost_acknowledgements_of_much),
		handoff_test(lost_output_of_much),
		handoff_test(part_of_a_segment_acknowledged),
		handoff_test(urgent_byte_in_line),
		handoff_test(small_send_buffer),
		handoff_test(without_scaling),
		handoff_test(without_timestamps),
		handoff_test(without_sack),
		handoff_test(with_ecn),
	};

	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
