/* SPDX-License-Identifier: MIT */
/*
 * What has come of a batch and belongs to this host is the server's: at once,
 * or as soon as there is one. The ferry has the service, and no other peer is
 * there.
 */
#include "support/support.h"

#include "ferry/carrier.h"
#include "ferry/freight.h"
#include "ferry/landing.h"
#include "ferry/unloading.h"
#include "record/keep.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT 3
#define SLOT  2
/* of a service with sessions */
#define VERSION (HANDOFF__SESSION_BIT | 1)

static struct handoff__ferry *ferry;
static struct handoff__freight *load;

static void
on_timer(struct handoff__timer *timer)
{
	(void)timer;
}

/* One of the batch, which is decided: it belongs here. */
static void
add_item(uint32_t i)
{
	int err, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct handoff__roster_entry *e = handoff__pair_enter(
		&ferry->pair, fd, HANDOFF__CONNECTION, "", &err);

	assert_non_null(e);
	handoff__owner_set(&e->view.rec->owner, handoff__owner_elsewhere(SLOT));
	handoff__cargo(e)->load = SLOT;
	handoff__cargo(e)->index = (int32_t)i;
	load->items[i].entry = e;
	load->items[i].id = e->id;
	load->count++;
}

static int
setup(void **state)
{
	struct handoff__identity id = {.service = "test",
		.state_size = 32,
		.state_version = VERSION,
		.input_size = 4096,
		.output_size = 4096};

	if (support_setup(state) < 0)
		return -1;
	ferry = calloc(1, sizeof(*ferry));
	assert_non_null(ferry);
	ferry->options.dir = support_dir();
	ferry->options.name = "ferry";
	assert_int_equal(handoff__loop_init(&ferry->loop), 0);
	handoff__operator_init(&ferry->op, &handoff__ferry_operator_ops, ferry,
		&ferry->pair, &ferry->loop, &ferry->log);
	if (handoff__carrier_open(ferry) < 0)
		fail_msg("%s", ferry->error.text);
	assert_int_equal(handoff__pair_identify(&ferry->pair, &id), 0);
	assert_int_equal(handoff__pair_own(&ferry->pair, 1), 0);
	handoff__pair_started(&ferry->pair);
	load = handoff__freight_make(ferry, COUNT, false, on_timer);
	assert_non_null(load);
	load->slot = SLOT;
	return 0;
}

static int
teardown(void **state)
{
	struct handoff__roster_entry *e;

	while ((e = handoff__roster_next(&ferry->pair.roster, NULL)))
		handoff__pair_end(&ferry->pair, e);
	free(load);
	handoff__carrier_close(ferry);
	handoff__loop_fini(&ferry->loop);
	free(ferry);
	return support_teardown(state);
}

/* The word came while the service itself was given to a server, and that give
 * had to leave them behind: nothing else would offer them again. */
static void
those_that_cannot_be_offered_now_are_given_back_later(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < COUNT; i++)
		add_item(i);
	assert_int_equal(handoff__carrier_holding(ferry), 0);
	ferry->returns = false;
	handoff__unloading_offer(load);
	assert_int_equal(handoff__carrier_holding(ferry), COUNT);
	assert_int_equal(ferry->received, COUNT);
	assert_true(ferry->returns);
}

/* The same a little later: the server has the service, and that give is not
 * over yet. */
static void
those_that_wait_for_the_end_of_a_give_are_given_back_then(void **state)
{
	struct handoff__pair *pair = &ferry->pair;
	enum handoff__partner_state partner = pair->partner;

	(void)state;
	for (uint32_t i = 0; i < COUNT; i++)
		add_item(i);
	ferry->joined = true;
	pair->link.fd = STDIN_FILENO; /* nothing is sent */
	pair->partner = HANDOFF__PARTNER_READY;
	pair->serving = false;
	pair->give.step = HANDOFF__GIVE_DRAIN;
	assert_true(handoff__carrier_has_server(ferry));
	ferry->returns = false;
	handoff__unloading_offer(load);
	assert_int_equal(handoff__carrier_holding(ferry), COUNT);
	assert_true(ferry->returns);
	pair->give.step = HANDOFF__GIVE_NONE;
	pair->serving = true;
	pair->partner = partner;
	pair->link.fd = -1;
	ferry->joined = false;
}

static void
of_an_empty_batch_nothing_is_given_back(void **state)
{
	(void)state;
	ferry->returns = false;
	handoff__unloading_offer(load);
	assert_false(ferry->returns);
}

/* The ferry before has died before the server had a copy of it. A session of
 * that number, which comes again, would be found there. */
static void
what_nobody_has_is_freed_with_an_aborted_batch(void **state)
{
	struct handoff__arena *arena = &ferry->pair.arena;
	struct handoff__record *rec;
	uint32_t segment, slot;
	struct handoff__roster_entry *e;

	(void)state;
	add_item(0);
	e = load->items[0].entry;
	segment = e->segment;
	slot = e->slot;
	rec = e->view.rec;
	handoff__roster_vacate(&ferry->pair.roster, e);
	load->count = 0;
	handoff__unloading_abandon(load);
	assert_int_not_equal(handoff__record_id(rec), 0);
	load->resumed = true;
	handoff__unloading_abandon(load);
	assert_ptr_equal(handoff__arena_record(arena, segment, slot), rec);
	assert_int_equal(handoff__record_id(rec), 0);
	assert_int_equal(handoff__owner_word(&rec->owner), 0);
}

static struct handoff__parcel
absent_session(void)
{
	return (struct handoff__parcel){.id = 700,
		.kind = HANDOFF__CONNECTION,
		.activity = HANDOFF__PENDING,
		.flags = HANDOFF__OPENED | HANDOFF__SESSION | HANDOFF__GONE |
			 HANDOFF__EOF | HANDOFF__EOF_DONE,
		.state_size = 32,
		.state_version = VERSION,
		.rx_size = 4096,
		.tx_size = 4096,
		.state = (const unsigned char *)"the state",
		.state_len = 10,
		.session = 650,
		.absent = true,
		.absent_ms = 5000};
}

/* As if it had come from the other ferry, with an image of so many bytes. */
static struct handoff__item *
come(const struct handoff__parcel *p, uint32_t image_len)
{
	struct handoff__item *item = &load->items[load->count++];
	struct handoff__error error = {""};

	item->parcel_len = (uint32_t)handoff__parcel_size(p);
	item->image_len = image_len;
	item->body = calloc(1, item->parcel_len + image_len);
	assert_non_null(item->body);
	if (handoff__parcel_encode(p, item->body, item->parcel_len, &error) < 0)
		fail_msg("%s", error.text);
	handoff__landing_prepare(load, item);
	free(item->body);
	return item;
}

static void
absent_session_needs_neither_image_nor_gate(void **state)
{
	struct handoff__parcel p = absent_session();
	struct handoff__item *item;
	struct handoff__images images = {.data = NULL};
	uint64_t id = load->r.id = 5;
	int64_t now = (int64_t)handoff__boot_ms();
	int fd;

	(void)state;
	item = come(&p, 0);
	assert_string_equal(item->why, "");
	assert_non_null(item->entry);
	assert_true(item->absent && item->entry->fd >= 0);
	assert_false(item->entry->view.rec->touched & HANDOFF__UNFINISHED);
	assert_in_range(now + 10000 - 5000 -
				handoff__record_absent(item->entry->view.rec),
		1, 10000);
	handoff__unloading_guard(load);
	assert_true(load->guard_empty);
	assert_false(load->guard_failed || load->guarded);
	/* the next ferry knows that no socket is to be finished */
	fd = handoff__keep_get(&ferry->pair.arena, SLOT, id);
	assert_true(fd >= 0);
	assert_int_equal(handoff__images_map(&images, fd), 0);
	assert_int_equal(images.count, 0);
	handoff__images_unmap(&images);
	close(fd);
	handoff__landing_finish(load, item);
	assert_non_null(item->entry);
	handoff__unloading_abandon(load);
	assert_null(item->entry);
	assert_int_equal(ferry->pair.roster.owned, 0);
}

static void
refused(const struct handoff__parcel *p, uint32_t image_len, const char *why)
{
	struct handoff__item *item = come(p, image_len);

	assert_null(item->entry);
	if (!strstr(item->why, why))
		fail_msg("'%s' is not in '%s'", why, item->why);
}

static void
absent_session_is_one_of_this_service(void **state)
{
	struct handoff__parcel p = absent_session();

	(void)state;
	refused(&p, 8, "an image");
	p.state_version = 1;
	refused(&p, 0, "a service without sessions");
	/* and what has a connection has an image */
	p = absent_session();
	p.flags &= ~(uint32_t)HANDOFF__GONE;
	p.absent = false;
	p.absent_ms = 0;
	refused(&p, 0, "image");
}

#define unloading_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		unloading_test(
			those_that_cannot_be_offered_now_are_given_back_later),
		unloading_test(
			those_that_wait_for_the_end_of_a_give_are_given_back_then),
		unloading_test(of_an_empty_batch_nothing_is_given_back),
		unloading_test(what_nobody_has_is_freed_with_an_aborted_batch),
		unloading_test(absent_session_needs_neither_image_nor_gate),
		unloading_test(absent_session_is_one_of_this_service),
	};

	return cmocka_run_group_tests_name("unloading", tests, NULL, NULL);
}
