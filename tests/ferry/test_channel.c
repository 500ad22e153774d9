/* SPDX-License-Identifier: MIT */
/* Two ferries that are connected by a channel. */
#include "ferry/links.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void
test_both_are_up_and_know_who_is_there(void **state)
{
	const struct handoff__channel_peer *pa, *pb;

	(void)state;
	a.opts.instance = 7;
	links_open();
	assert_null(handoff__channel_peer(a.channel));
	assert_int_equal(links_send(&a, 3), -ENOTCONN);
	links_wait_up();
	pa = handoff__channel_peer(a.channel);
	pb = handoff__channel_peer(b.channel);
	assert_string_equal(pa->fingerprint, handoff__tls_fingerprint(b.tls));
	assert_string_equal(pb->fingerprint, handoff__tls_fingerprint(a.tls));
	assert_string_equal(pa->address, handoff__channel_bound(b.channel));
	assert_string_equal(pa->address, pb->own);
	assert_string_equal(pb->address, pa->own);
	assert_int_equal(pa->local.ss_family, AF_INET);
	assert_int_equal(pb->instance, 7);
	assert_true(pa->instance != 0 && pa->instance != 7);
	assert_int_equal(a.ups + b.ups, 2);
	assert_int_equal(a.troubles + b.troubles + a.downs + b.downs, 0);
	assert_string_equal(handoff__channel_errmsg(a.channel), "");
}

static const size_t sizes[] = {0, 1, 7, 8, 16376, 16384, 16385, 70000, 0,
	1 << 20, HANDOFF__FRAME_MAX, 12};

#define SIZES (sizeof(sizes) / sizeof(*sizes))

static void
test_frames_of_all_sizes_go_both_ways_in_order(void **state)
{
	(void)state;
	links_open();
	links_wait_up();
	for (size_t i = 0; i < SIZES; i++) {
		assert_int_equal(links_send(&a, sizes[i]), 0);
		assert_int_equal(links_send(&b, sizes[SIZES - 1 - i]), 0);
		if (i % 3 == 0)
			handoff__channel_flush(a.channel);
	}
	links_until(a.frames == SIZES && b.frames == SIZES);
	assert_int_equal(a.bytes, b.bytes);
	assert_int_equal(handoff__channel_queued(a.channel), 0);
	assert_int_equal(links_send(&a, HANDOFF__FRAME_MAX + 1), -EMSGSIZE);
	assert_int_equal(a.downs + b.downs, 0);
}

static void
test_six_and_names_are_dialled(void **state)
{
	char to[64];

	(void)state;
	b.opts.listen = "localhost:0";
	links_open_listener();
	snprintf(to, sizeof(to), "localhost%s",
		strrchr(handoff__channel_bound(b.channel), ':'));
	links_open_dialler(to);
	links_wait_up();
	handoff__channel_free(a.channel);
	handoff__channel_free(b.channel);
	a.channel = b.channel = NULL;
	b.opts.listen = "[::1]:0";
	links_open();
	links_wait_up();
	assert_int_equal(
		handoff__channel_peer(a.channel)->local.ss_family, AF_INET6);
}

static void
test_a_dialler_waits_for_its_listener(void **state)
{
	char bound[HANDOFF_ADDRESS_MAX];

	(void)state;
	links_open_listener();
	handoff__copy(bound, sizeof(bound), handoff__channel_bound(b.channel));
	handoff__channel_free(b.channel);
	b.channel = NULL;
	links_open_dialler(bound);
	links_until(a.troubles == 1);
	assert_contains(a.trouble, "refused");
	assert_contains(a.trouble, bound);
	links_run(200); /* the same sentence is told once */
	assert_int_equal(a.troubles, 1);
	b.opts.listen = bound;
	links_open_listener();
	links_wait_up();
}

static void
test_one_byte_at_a_time_is_enough(void **state)
{
	struct relay r;

	(void)state;
	links_open_listener();
	relay_open(&r, 1);
	links_open_dialler(r.bound);
	links_wait_up();
	assert_int_equal(links_send(&a, 300), 0);
	assert_int_equal(links_send(&b, 0), 0);
	assert_int_equal(links_send(&b, 200), 0);
	links_until(b.frames == 1 && a.frames == 2);
	relay_close(&r);
	links_until(a.downs == 1 && b.downs == 1);
}

/* A move's worth. The figure is printed for the reader. */
static void
test_many_short_frames_leave_in_full_records(void **state)
{
	enum { FRAMES = 8000, LEN = 1500 };
	struct relay r;
	int64_t begin;

	(void)state;
	b.opts.queue_limit = (size_t)32 << 20;
	a.opts.queue_limit = (size_t)32 << 20;
	links_open_listener();
	relay_open(&r, SIZE_MAX);
	links_open_dialler(r.bound);
	links_wait_up();
	r.passed = 0;
	for (int i = 0; i < FRAMES; i++)
		assert_int_equal(links_send(&a, LEN), 0);
	links_until(b.frames == FRAMES);
	/* 22 bytes a record of 16384; and some beats */
	assert_in_range(r.passed, (LEN + 8) * FRAMES,
		(LEN + 8) * FRAMES / 16384 * (16384 + 22) + 10000);
	relay_close(&r);
	links_until(a.downs == 1);
	handoff__channel_free(a.channel);
	a.channel = NULL;
	b.frames = a.next = 0;
	links_until(!handoff__channel_peer(b.channel));
	links_open_dialler(handoff__channel_bound(b.channel));
	links_wait_up();
	begin = handoff__now_us();
	for (int i = 0; i < FRAMES; i++)
		assert_int_equal(links_send(&a, LEN), 0);
	links_until(b.frames == FRAMES);
	print_message("%d frames of %d bytes: %lld us\n", FRAMES, LEN,
		(long long)(handoff__now_us() - begin));
}

static void
test_the_queue_has_a_limit_and_says_when_it_has_room(void **state)
{
	int err = 0;

	(void)state;
	a.opts.frame_max = b.opts.frame_max = 100000;
	a.opts.queue_limit = 1000000;
	links_open();
	links_wait_up();
	assert_false(handoff__channel_full(a.channel));
	while (err == 0)
		err = links_send(&a, 10000);
	assert_int_equal(err, -ENOBUFS);
	assert_true(handoff__channel_full(a.channel));
	assert_in_range(handoff__channel_queued(a.channel), 1000000, 1210000);
	assert_int_equal(a.drains, 0);
	links_until(a.drains == 1);
	assert_true(handoff__channel_queued(a.channel) <= 500000);
	links_until(b.frames == a.next);
	links_run(20);
	assert_int_equal(a.drains, 1);
	assert_int_equal(a.downs, 0);
}

static void
test_a_frame_that_is_too_long_ends_the_link(void **state)
{
	(void)state;
	b.opts.frame_max = 1000;
	links_open();
	links_wait_up();
	assert_int_equal(links_send(&a, 1000), 0);
	assert_int_equal(links_send(&a, 1001), 0);
	links_until(a.downs == 1 && b.downs == 1);
	assert_int_equal(b.frames, 1);
	assert_contains(b.down, "a frame of 1001 bytes, the limit is 1000");
}

static void
test_beats_keep_an_idle_link(void **state)
{
	(void)state;
	a.opts.silent_ms = b.opts.silent_ms = LINKS_SILENT_MS;
	links_open();
	links_wait_up();
	links_run((int)LINKS_SILENT_MS * 5 / 2);
	assert_int_equal(a.downs + b.downs, 0);
}

/* A loop that was away for long reads what has come before it judges. */
static void
test_a_busy_ferry_does_not_take_the_other_for_dead(void **state)
{
	struct timespec away = {.tv_nsec = 250000000};

	(void)state;
	a.opts.beat_ms = 50;
	a.opts.silent_ms = 200;
	links_open();
	links_wait_up();
	/* so that epoll reports the timer before what came later */
	while (handoff__loop_dispatch(&loop, 0) > 0)
		;
	nanosleep(&away, NULL); /* the time that it is away */
	assert_int_equal(links_send(&b, 10), 0);
	handoff__channel_flush(b.channel);
	links_until(a.frames == 1 || a.downs > 0);
	assert_int_equal(a.downs, 0);
}

static void
test_a_cut_is_noticed_and_the_link_comes_again(void **state)
{
	struct relay r;
	char why[64];

	(void)state;
	a.opts.silent_ms = b.opts.silent_ms = LINKS_SILENT_MS;
	a.opts.handshake_ms = LINKS_SILENT_MS;
	links_open_listener();
	relay_open(&r, SIZE_MAX);
	links_open_dialler(r.bound);
	links_wait_up();
	r.most = 0;
	links_until(a.downs == 1 && b.downs == 1);
	snprintf(why, sizeof(why), "nothing came for %u ms", LINKS_SILENT_MS);
	assert_contains(a.down, why);
	assert_contains(b.down, why);
	assert_null(handoff__channel_peer(a.channel));
	assert_string_equal(handoff__channel_errmsg(b.channel), b.down);
	links_until(r.accepted >= 2); /* it dials in vain */
	r.most = SIZE_MAX;
	links_wait_up();
	assert_int_equal(links_send(&a, 100), 0);
	links_until(b.frames == 1);
	relay_close(&r);
}

static void
test_a_half_closed_link_is_down(void **state)
{
	struct relay r;

	(void)state;
	links_open_listener();
	relay_open(&r, SIZE_MAX);
	links_open_dialler(r.bound);
	links_wait_up();
	assert_int_equal(links_send(&a, 100), 0);
	links_until(b.frames == 1);
	relay_shut(&r, 0);
	links_until(b.downs == 1 && a.downs == 1);
	assert_contains(b.down, "has closed the connection");
	links_wait_up();
	relay_reset(&r);
	links_until(b.downs == 2 && a.downs == 2);
	links_wait_up();
	relay_close(&r);
}

/* Without MSG_NOSIGNAL the test would end here. */
static void
test_sending_to_a_side_that_goes_away_raises_no_signal(void **state)
{
	(void)state;
	links_open();
	links_wait_up();
	while (!handoff__channel_full(a.channel))
		assert_int_equal(links_send(&a, 100000), 0);
	handoff__channel_free(b.channel);
	b.channel = NULL;
	for (int i = 0; i < 100 && a.downs == 0; i++) {
		links_send(&a, 1000);
		handoff__channel_flush(a.channel);
		handoff__channel_flush(a.channel);
		handoff__loop_dispatch(&loop, 1);
	}
	links_until(a.downs == 1);
	assert_int_equal(links_send(&a, 10), -ENOTCONN);
}

static void
test_what_came_before_the_end_is_given_out(void **state)
{
	(void)state;
	links_open();
	links_wait_up();
	for (int i = 0; i < 20; i++)
		assert_int_equal(links_send(&a, 1000), 0);
	handoff__channel_free(a.channel);
	a.channel = NULL;
	links_until(b.downs == 1);
	assert_int_equal(b.frames, 20);
	assert_contains(b.down, "has ended the link");
}

static void
test_a_link_is_dropped_with_a_sentence_for_both(void **state)
{
	(void)state;
	links_open();
	links_wait_up();
	handoff__channel_drop(b.channel, "another\nservice");
	assert_int_equal(b.downs, 1);
	assert_contains(b.down, "another\nservice");
	links_until(a.downs == 1);
	assert_contains(a.down, "another?service");
	links_wait_up(); /* it dials again */
	handoff__channel_drop(a.channel, "for a reason");
	links_until(b.downs == 2);
	assert_contains(b.down, "for a reason");
	links_wait_up();
}

static void
count_line(enum handoff_log_level level, const char *text, void *arg)
{
	(void)text;
	*(unsigned *)arg += level <= HANDOFF_LOG_INFO;
}

/* It comes and goes every two seconds until somebody mends it: said once. */
static void
test_an_owner_may_drop_a_link_that_is_just_up(void **state)
{
	unsigned lines = 0;

	(void)state;
	b.opts.log = (struct handoff__log){.fn = count_line, .arg = &lines};
	b.refuse = "this is an address of the service";
	links_open();
	links_until(b.downs >= 3);
	assert_int_equal(b.ups, b.downs);
	assert_int_equal(lines, 2); /* up, and down */
	links_until(strstr(handoff__channel_errmsg(a.channel), b.refuse));
	b.refuse = NULL;
	links_wait_up();
	assert_int_equal(lines, 2);
}

static void
test_the_same_instance_replaces_its_connection(void **state)
{
	struct side second;

	(void)state;
	a.opts.instance = 9;
	links_open();
	links_wait_up();
	second = a;
	second.opts.arg = &second;
	second.ups = second.troubles = 0;
	assert_int_equal(
		handoff__channel_open(&second.channel, &second.opts, NULL), 0);
	links_until(second.ups == 1);
	assert_int_equal(b.downs, 1);
	assert_contains(b.down, "has dialled again");
	assert_int_equal(b.ups, 2);
	handoff__channel_free(second.channel);
}

static void
test_another_instance_waits_until_the_first_is_gone(void **state)
{
	struct side second;

	(void)state;
	links_open();
	links_wait_up();
	second = a;
	second.opts.arg = &second;
	second.ups = second.troubles = 0;
	assert_int_equal(
		handoff__channel_open(&second.channel, &second.opts, NULL), 0);
	links_until(second.troubles > 0);
	assert_contains(second.trouble, "another ferry is connected");
	assert_int_equal(b.downs + a.downs, 0);
	assert_int_equal(second.ups, 0);
	handoff__channel_free(a.channel);
	a.channel = NULL;
	links_until(second.ups == 1);
	assert_int_equal(b.downs, 1);
	handoff__channel_free(second.channel);
}

static void
refused(struct handoff__channel_opts opts, int err, const char *words)
{
	struct handoff__channel *channel = NULL;
	struct handoff__error error = {""};

	opts.tls = a.tls;
	assert_int_equal(handoff__channel_open(&channel, &opts, &error), err);
	assert_null(channel);
	assert_contains(error.text, words);
}

static void
test_what_cannot_be_opened_is_said(void **state)
{
	struct handoff__channel_opts opts = a.opts;

	(void)state;
	links_open_listener();
	refused(opts, -EINVAL, "listen on or one to dial");
	opts.listen = opts.to = "127.0.0.1:1";
	refused(opts, -EINVAL, "listen on or one to dial");
	opts.listen = NULL;
	opts.to = "unix:/tmp/x";
	refused(opts, -EINVAL, "want HOST:PORT");
	opts.to = ":7000";
	refused(opts, -EINVAL, "want HOST:PORT");
	opts.to = "127.0.0.1:0";
	refused(opts, -EINVAL, "want HOST:PORT");
	opts.to = "127.0.0.1";
	refused(opts, -EINVAL, "127.0.0.1");
	opts.to = NULL;
	opts.listen = handoff__channel_bound(b.channel);
	refused(opts, -EADDRINUSE, handoff__channel_bound(b.channel));
	opts.listen = "unix:/tmp/x";
	refused(opts, -EINVAL, "want HOST:PORT");
	opts.listen = "192.0.2.1:0";
	refused(opts, -EADDRNOTAVAIL, "192.0.2.1");
	opts.listen = "127.0.0.1:0";
	opts.silent_ms = 199;
	refused(opts, -EINVAL, "at least twice");
}

static void
test_a_channel_can_be_freed_at_any_time(void **state)
{
	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		a.ups = b.ups = 0;
		links_open();
		for (int i = 0; i < turns; i++)
			handoff__loop_dispatch(&loop, 20);
		handoff__channel_free(turns % 2 ? a.channel : b.channel);
		if (turns % 2)
			a.channel = NULL;
		else
			b.channel = NULL;
		handoff__loop_dispatch(&loop, 20);
		handoff__channel_free(a.channel);
		handoff__channel_free(b.channel);
		a.channel = b.channel = NULL;
		assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		links_test(test_both_are_up_and_know_who_is_there),
		links_test(test_frames_of_all_sizes_go_both_ways_in_order),
		links_test(test_six_and_names_are_dialled),
		links_test(test_a_dialler_waits_for_its_listener),
		links_test(test_one_byte_at_a_time_is_enough),
		links_test(test_many_short_frames_leave_in_full_records),
		links_test(
			test_the_queue_has_a_limit_and_says_when_it_has_room),
		links_test(test_a_frame_that_is_too_long_ends_the_link),
		links_test(test_beats_keep_an_idle_link),
		links_test(test_a_busy_ferry_does_not_take_the_other_for_dead),
		links_test(test_a_cut_is_noticed_and_the_link_comes_again),
		links_test(test_a_half_closed_link_is_down),
		links_test(
			test_sending_to_a_side_that_goes_away_raises_no_signal),
		links_test(test_what_came_before_the_end_is_given_out),
		links_test(test_a_link_is_dropped_with_a_sentence_for_both),
		links_test(test_an_owner_may_drop_a_link_that_is_just_up),
		links_test(test_the_same_instance_replaces_its_connection),
		links_test(test_another_instance_waits_until_the_first_is_gone),
		links_test(test_what_cannot_be_opened_is_said),
		links_test(test_a_channel_can_be_freed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
