/* SPDX-License-Identifier: MIT */
/*
 * What the helper does with the batches of a dead ferry, by their words, with
 * connections between hosts; several at once, and such as nothing can be done
 * about.
 */
#include "ferry/gates.h"

#include "ferry/images.h"
#include "ferry/unfreeze/thaw.h"
#include "migrate/mode.h"
#include "record/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 200

static void
on_verdict(void *arg, uint32_t id, bool accept)
{
	(void)arg;
	(void)id;
	(void)accept;
}

static bool
on_send(void *arg, int family, const unsigned char *data, size_t len)
{
	(void)arg;
	(void)family;
	(void)data;
	(void)len;
	return true;
}

static void
on_say(void *arg, const char *text)
{
	handoff__copy(arg, 512, text);
}

/* Thawing in this process. */
struct thawing {
	struct handoff__flows flows;
	struct handoff__thaw thaw;
	struct handoff__arena arena;
	struct handoff__batches *batches;
	char said[512];
};

static void
open_thaw(struct thawing *f)
{
	const struct handoff__sink sink = {
		.verdict = on_verdict,
		.send = on_send,
	};

	memset(f->said, 0, sizeof(f->said));
	record_arena(&f->arena, 0);
	f->batches = handoff__batches_of(&f->arena);
	assert_int_equal(handoff__flows_init(&f->flows, &sink), 0);
	handoff__thaw_init(&f->thaw, &f->flows, on_say, f->said);
	assert_int_equal(handoff__thaw_arena(&f->thaw, f->arena.segments[0]->fd,
				 f->arena.segments[0]->geo.batches),
		0);
}

static void
close_thaw(struct thawing *f)
{
	handoff__thaw_fini(&f->thaw);
	handoff__flows_fini(&f->flows);
	handoff__arena_fini(&f->arena);
}

static uint32_t
take(struct thawing *f, uint32_t way, uint64_t id, const int *fds, uint32_t n)
{
	struct handoff__batch batch = {.id = id, .count = n, .peer = 1};

	assert_int_equal(handoff__batch_open(f->batches, way, &batch), 0);
	for (uint32_t i = 0; i < n; i++) {
		int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		struct handoff__flow flow;

		assert_int_equal(handoff__flow_of(copy, &flow), 0);
		assert_int_equal(
			handoff__flows_take(&f->flows, batch.slot, id,
				way == HANDOFF__BATCH_OUT ? HANDOFF__GATE_OUT
							  : HANDOFF__GATE_IN,
				&flow, &copy, 1),
			0);
	}
	return batch.slot;
}

static enum handoff__batch_state
state_of(const struct thawing *f, uint32_t slot)
{
	struct handoff__batch batch;

	return handoff__batch_read(f->batches, slot, &batch)
		       ? handoff__batch_state(batch.word)
		       : HANDOFF__BATCH_FREE;
}

static void
freeze(struct pair *p)
{
	struct handoff__error error = {""};
	struct handoff__image image;

	if (handoff__migrate_freeze(p->served, &image, &error) < 0)
		fail_msg("%s", error.text);
	handoff__image_free(&image);
}

/* A survivor was faster, or the batch is no longer there: it stays. */
static void
test_stays(void **state)
{
	struct thawing f;
	struct pair p[3];
	uint32_t slots[3];

	(void)state;
	hosts_need();
	open_thaw(&f);
	for (uint32_t i = 0; i < 3; i++) {
		pair_open(&p[i], FOUR);
		slots[i] = take(&f, HANDOFF__BATCH_OUT, i + 1, &p[i].served, 1);
		freeze(&p[i]);
	}
	handoff__batch_abort(f.batches, slots[1], 2);
	handoff__batch_abort(f.batches, slots[2], 3);
	assert_true(handoff__batch_free(f.batches, slots[2], 3));
	assert_false(handoff__thaw_all(&f.thaw, false));
	assert_int_equal(state_of(&f, slots[0]), HANDOFF__BATCH_ABORTED);
	assert_int_equal(state_of(&f, slots[1]), HANDOFF__BATCH_ABORTED);
	assert_int_equal(f.flows.counts.thawed, 3);
	assert_false(handoff__flows_guard(&f.flows));
	for (uint32_t i = 0; i < 3; i++) {
		pair_assert_works(&p[i], 1000);
		/* or no listener could have its port */
		assert_int_equal(
			socket_option(p[i].served, SOL_SOCKET, SO_REUSEADDR),
			1);
		pair_close(&p[i]);
	}
	close_thaw(&f);
}

/* Committed: nothing is unfrozen, and its packets are flipped. */
static void
test_is_away(void **state)
{
	struct thawing f;
	struct pair p;
	uint32_t slot;

	(void)state;
	hosts_need();
	open_thaw(&f);
	pair_open(&p, FOUR);
	slot = take(&f, HANDOFF__BATCH_OUT, 1, &p.served, 1);
	freeze(&p);
	handoff__batch_commit(f.batches, slot, 1);
	assert_false(handoff__thaw_all(&f.thaw, false));
	assert_int_equal(handoff__migrate_mode(p.served), 1);
	assert_int_equal(handoff__flows_slot(&f.flows, slot)->verdict,
		HANDOFF__GATE_FLIP);
	assert_int_equal(state_of(&f, slot), HANDOFF__BATCH_COMMITTED);
	/* once more changes nothing */
	assert_false(handoff__thaw_all(&f.thaw, true));
	assert_int_equal(f.flows.counts.thawed, 0);
	pair_close(&p);
	close_thaw(&f);
}

/* Flows without a batch that wait are let go, those that are flipped are not:
 * the listener is the other host's. */
static void
test_unknown(void **state)
{
	struct thawing f;

	(void)state;
	hosts_need();
	open_thaw(&f);
	handoff__flows_default(&f.flows, HANDOFF__GATE_HOLD);
	handoff__thaw_all(&f.thaw, false);
	assert_int_equal(f.flows.unknown, HANDOFF__GATE_PASS);
	handoff__flows_default(&f.flows, HANDOFF__GATE_FLIP);
	handoff__thaw_all(&f.thaw, false);
	assert_int_equal(f.flows.unknown, HANDOFF__GATE_FLIP);
	close_thaw(&f);
}

/* Batches that come: without their images, or with wrong ones, nothing can be
 * finished, and nothing waits for it; aborted ones are closed; open ones are
 * kept. */
static void
test_cannot_finish(void **state)
{
	struct thawing f;
	struct pair p;
	uint32_t slots[4];
	int memfd;

	(void)state;
	hosts_need();
	open_thaw(&f);
	pair_open(&p, FOUR);
	for (uint32_t i = 0; i < 4; i++)
		slots[i] = take(&f, HANDOFF__BATCH_IN, i + 1, &p.served, 1);
	handoff__batch_commit(f.batches, slots[0], 1);
	handoff__batch_commit(f.batches, slots[1], 2);
	memfd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(memfd, 4096), 0);
	handoff__flows_slot(&f.flows, slots[1])->images = memfd;
	handoff__batch_abort(f.batches, slots[2], 3);
	assert_false(handoff__thaw_all(&f.thaw, false));
	assert_int_equal(f.flows.counts.stuck, 2);
	assert_int_equal(f.flows.counts.finished, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_null(handoff__flows_slot(&f.flows, slots[i]));
	assert_non_null(handoff__flows_slot(&f.flows, slots[3]));
	assert_int_equal(state_of(&f, slots[3]), HANDOFF__BATCH_OPEN);
	assert_non_null(strstr(f.said, "in doubt"));
	pair_assert_works(&p, 1000);
	pair_close(&p);
	close_thaw(&f);
}

static void
test_wrong_image(void **state)
{
	struct handoff__error error = {""};
	struct handoff__image image;
	const struct handoff__image *images[1] = {&image};
	struct pair p, other;
	struct thawing f;
	uint32_t slot;

	(void)state;
	hosts_need();
	open_thaw(&f);
	pair_open(&p, FOUR);
	pair_open(&other, FOUR);
	if (handoff__migrate_freeze(other.served, &image, &error) < 0)
		fail_msg("%s", error.text);
	slot = take(&f, HANDOFF__BATCH_IN, 1, &p.served, 1);
	handoff__flows_slot(&f.flows, slot)->images =
		handoff__images_make(images, NULL, 1, &error);
	handoff__batch_commit(f.batches, slot, 1);
	assert_false(handoff__thaw_all(&f.thaw, false));
	assert_int_equal(f.flows.counts.stuck, 1);
	assert_non_null(strstr(f.said, "not that of its image"));
	pair_assert_works(&p, 1000);
	handoff__image_free(&image);
	pair_close(&p);
	pair_close(&other);
	close_thaw(&f);
}

static bool small_buffers;

int __real_handoff__options_buffers(int fd,
	const struct handoff__image_options *options, uint32_t in, uint32_t out,
	struct handoff__error *error);
int __wrap_handoff__options_buffers(int fd,
	const struct handoff__image_options *options, uint32_t in, uint32_t out,
	struct handoff__error *error);

int
__wrap_handoff__options_buffers(int fd,
	const struct handoff__image_options *options, uint32_t in, uint32_t out,
	struct handoff__error *error)
{
	return small_buffers ? 0
			     : __real_handoff__options_buffers(
				       fd, options, in, out, error);
}

void __real_handoff__options_shrink(
	int fd, const struct handoff__image_options *options);
void __wrap_handoff__options_shrink(
	int fd, const struct handoff__image_options *options);

void
__wrap_handoff__options_shrink(
	int fd, const struct handoff__image_options *options)
{
	if (!small_buffers)
		__real_handoff__options_shrink(fd, options);
}

/* A batch of one connection that is this host's, and whose socket has no room
 * for all of its output, nor for its end. */
struct resting {
	struct handoff__restore restore;
	struct handoff__image image;
	struct thawing f;
	struct pair p;
	size_t all;
};

static void
open_resting(struct resting *r)
{
	const struct handoff__image *images[1] = {&r->image};
	struct handoff__error error = {""};
	uint32_t slot;
	int room;

	hosts_need();
	open_thaw(&r->f);
	pair_open(&r->p, FOUR);
	r->all = pair_answer_full(&r->p);
	assert_int_equal(shutdown(r->p.served, SHUT_WR), 0);
	pair_freeze(&r->p, &r->image);
	assert_true(r->image.unsent > 0);
	pair_carry(&r->p, &r->image, HOST_B, &r->restore);
	r->p.served = r->restore.fd;
	/* room for what was sent, and for little more */
	room = (int)(r->image.out_len - r->image.unsent);
	assert_int_equal(setsockopt(r->p.served, SOL_SOCKET, SO_SNDBUF, &room,
				 sizeof(room)),
		0);
	slot = take(&r->f, HANDOFF__BATCH_IN, 1, &r->p.served, 1);
	handoff__flows_slot(&r->f.flows, slot)->images =
		handoff__images_make(images, NULL, 1, &error);
	handoff__batch_commit(r->f.batches, slot, 1);
	host_route(TO_B);
	small_buffers = true;
	assert_false(handoff__thaw_all(&r->f.thaw, false));
	small_buffers = false;
	assert_int_equal(r->f.flows.counts.finished, 1);
	assert_true(handoff__thaw_rests(&r->f.thaw));
}

/* The client makes room, up to so much of it, and the rest is sent. */
static void
take_rests(struct resting *r, struct handoff__rests *rests, size_t until)
{
	while (r->p.from_served < until) {
		size_t left = until - r->p.from_served;

		pair_take_answer(&r->p, left < 4096 ? left : 4096);
		handoff__finish_rests(rests);
	}
}

static void
close_resting(struct resting *r)
{
	await_end(r->p.client);
	handoff__image_free(&r->image);
	pair_close(&r->p);
	close_thaw(&r->f);
}

/* Output that the socket has no room for is sent when there is some, and then
 * its end. */
static void
test_rest(void **state)
{
	struct resting r;

	(void)state;
	open_resting(&r);
	take_rests(&r, &r.f.thaw.rests, r.all);
	assert_false(handoff__thaw_rests(&r.f.thaw));
	close_resting(&r);
}

/* The next ferry goes on where the helper has given up. */
static void
test_rest_goes_on(void **state)
{
	struct handoff__rests rests = TAILQ_HEAD_INITIALIZER(rests);
	struct handoff__error error = {""};
	struct resting r;

	(void)state;
	open_resting(&r);
	take_rests(&r, &r.f.thaw.rests, r.all / 3);
	handoff__finish_end(&r.f.thaw.rests);
	assert_false(handoff__thaw_rests(&r.f.thaw));
	small_buffers = true;
	if (handoff__finish(&rests, r.p.served, &r.image, &error) < 0)
		fail_msg("%s", error.text);
	small_buffers = false;
	take_rests(&r, &rests, r.all);
	assert_false(handoff__finish_rests(&rests));
	close_resting(&r);
}

/* Without a descriptor for the rest the socket stays as it is, and is not
 * ended: the next one that tries sends all of it. */
static void
test_rest_has_no_room(void **state)
{
	struct handoff__rests rests = TAILQ_HEAD_INITIALIZER(rests);
	struct handoff__error error = {""};
	struct rlimit before, none;
	struct resting r;
	int rc;

	(void)state;
	open_resting(&r);
	handoff__finish_end(&r.f.thaw.rests);
	small_buffers = true;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rc = handoff__finish(&rests, r.p.served, &r.image, &error);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(rc < 0);
	assert_true(TAILQ_EMPTY(&rests));
	rc = handoff__finish(&rests, r.p.served, &r.image, &error);
	small_buffers = false;
	if (rc < 0)
		fail_msg("%s", error.text);
	take_rests(&r, &rests, r.all);
	close_resting(&r);
}

/* A whole batch is served again within a second of the ferry's death. */
static void
test_many(void **state)
{
	static struct pair pairs[MANY];
	static int fds[MANY];
	struct gates g;
	int64_t since;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	for (int i = 0; i < MANY; i++) {
		pair_open(&pairs[i], (enum kind)(i % KINDS));
		fds[i] = pairs[i].served;
	}
	gates_hold(&g, HANDOFF__GATE_OUT, 7, fds, MANY);
	host_enter(HOST_A);
	for (int i = 0; i < MANY; i++) {
		freeze(&pairs[i]);
		pair_ask(&pairs[i], 500);
	}
	since = handoff__now_us();
	gates_die(&g);
	for (int i = 0; i < MANY; i++)
		pair_take_asked(&pairs[i], 500);
	assert_true(handoff__now_us() - since < GATES_SOON_US);
	hosts_assert_no_resets();
	for (int i = 0; i < MANY; i++)
		pair_close(&pairs[i]);
	gates_reopen(&g);
	assert_int_equal(gates_count(&g)->thawed, MANY);
	gates_close(&g);
}

/* The file of images is read by a process with a privilege. */
static void
test_images(void **state)
{
	static const size_t sizes[] = {0, 4, 8, 20, 4096};
	struct handoff__images images = {.data = NULL};
	struct handoff__error error = {""};
	struct handoff__image image;
	unsigned char row[24] = {2};
	int fd;

	(void)state;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(handoff__images_map(&images, fd), -EBADMSG);
	close(fd);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
		assert_int_equal(
			pwrite(fd, row, sizes[i] < 24 ? sizes[i] : 24, 0),
			(ssize_t)(sizes[i] < 24 ? sizes[i] : 24));
		assert_int_equal(handoff__images_map(&images, fd), -EBADMSG);
		fcntl(fd, F_ADD_SEALS,
			F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
				F_SEAL_SEAL);
		assert_int_equal(handoff__images_map(&images, fd),
			sizes[i] < 40 ? -EBADMSG : 0);
		close(fd);
	}
	assert_int_equal(
		handoff__images_read(&images, 0, &image, &error), -ENOENT);
	assert_int_equal(
		handoff__images_read(&images, 2, &image, &error), -ENOENT);
	handoff__images_unmap(&images);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_stays),
		handoff_test(test_is_away),
		handoff_test(test_unknown),
		handoff_test(test_cannot_finish),
		handoff_test(test_wrong_image),
		handoff_test(test_rest),
		handoff_test(test_rest_goes_on),
		handoff_test(test_rest_has_no_room),
		handoff_test(test_many),
		handoff_test(test_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
