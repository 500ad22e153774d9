/* SPDX-License-Identifier: MIT */
/*
 * The table of batches: opened, decided, freed, as a model of it says; mapped
 * alone. A table that makes no sense has no batches.
 */
#include "record/batches.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void
table_is_a_page_of_the_commons(void **state)
{
	const struct handoff__geometry *geo;
	struct table t;

	(void)state;
	open_table(&t);
	geo = &t.arena.segments[0]->geo;
	assert_int_equal(geo->batches % HANDOFF__BATCHES_SIZE, 0);
	assert_true(geo->batches >= geo->groups + (uint64_t)HANDOFF__GROUPS *
							  HANDOFF__GROUP_SIZE);
	assert_true(geo->batches + HANDOFF__BATCHES_SIZE <= geo->posts);
	assert_ptr_equal(t.batches, t.arena.segments[0]->base + geo->batches);
	/* a segment behind it has none, and the arena still this one */
	assert_int_equal(handoff__arena_grow(&t.arena, geo), 0);
	assert_int_equal(t.arena.segments[1]->geo.batches, 0);
	assert_ptr_equal(handoff__batches_of(&t.arena), t.batches);
	close_table(&t);
	assert_null(handoff__batches_of(&t.arena));
}

static void
batch_is_opened_decided_and_freed(void **state)
{
	struct handoff__batch b;
	struct table t;
	uint32_t slot;

	(void)state;
	open_table(&t);
	assert_false(handoff__batch_read(t.batches, 0, &b));
	assert_false(handoff__batch_read(t.batches, HANDOFF__BATCHES, &b));
	assert_false(handoff__batch_read(t.batches, UINT32_MAX, &b));
	slot = open_batch(t.batches, OUT, 9);
	assert_batch(t.batches, slot, 9, OUT, HANDOFF__BATCH_OPEN);
	assert_false(handoff__batch_free(t.batches, slot, 9));
	assert_int_equal(handoff__batch_commit(t.batches, slot, 9),
		HANDOFF__BATCH_COMMITTED);
	assert_int_equal(handoff__batch_abort(t.batches, slot, 9),
		HANDOFF__BATCH_COMMITTED);
	assert_batch(t.batches, slot, 9, OUT, HANDOFF__BATCH_COMMITTED);
	assert_false(handoff__batch_free(t.batches, slot, 8));
	assert_true(handoff__batch_free(t.batches, slot, 9));
	assert_false(handoff__batch_free(t.batches, slot, 9));
	assert_false(handoff__batch_read(t.batches, slot, &b));
	slot = open_batch(t.batches, IN, 10);
	assert_int_equal(handoff__batch_abort(t.batches, slot, 10),
		HANDOFF__BATCH_ABORTED);
	assert_int_equal(handoff__batch_commit(t.batches, slot, 10),
		HANDOFF__BATCH_ABORTED);
	assert_batch(t.batches, slot, 10, IN, HANDOFF__BATCH_ABORTED);
	close_table(&t);
}

/* One that still believes in an earlier batch of the slot changes nothing. */
static void
decision_for_an_earlier_batch_is_of_no_effect(void **state)
{
	struct table t;
	uint32_t slot, word;

	(void)state;
	open_table(&t);
	slot = open_batch(t.batches, OUT, 1);
	word = t.batches->slots[slot].word;
	handoff__batch_abort(t.batches, slot, 1);
	assert_true(handoff__batch_free(t.batches, slot, 1));
	assert_int_equal(open_batch(t.batches, OUT, 2), slot);
	assert_int_not_equal(t.batches->slots[slot].word, word);
	assert_int_equal(
		handoff__batch_abort(t.batches, slot, 1), HANDOFF__BATCH_FREE);
	assert_int_equal(
		handoff__batch_commit(t.batches, slot, 1), HANDOFF__BATCH_FREE);
	assert_int_equal(handoff__batch_commit(t.batches, HANDOFF__BATCHES, 2),
		HANDOFF__BATCH_FREE);
	assert_false(handoff__batch_free(t.batches, HANDOFF__BATCHES, 2));
	assert_batch(t.batches, slot, 2, OUT, HANDOFF__BATCH_OPEN);
	/* nor does one that has loaded the word of the earlier one */
	assert_false(atomic_compare_exchange_strong(
		&t.batches->slots[slot].word, &word, word + 1));
	close_table(&t);
}

static void
count_in_the_word_wraps(void **state)
{
	struct table t;

	(void)state;
	open_table(&t);
	t.batches->slots[0].word = 0xffffff00u;
	assert_int_equal(open_batch(t.batches, IN, 4), 0);
	assert_int_equal(
		t.batches->slots[0].word, IN | (uint32_t)HANDOFF__BATCH_OPEN);
	assert_batch(t.batches, 0, 4, IN, HANDOFF__BATCH_OPEN);
	close_table(&t);
}

static void
table_is_limited_and_walked(void **state)
{
	struct handoff__batch b = {.slot = 0}, found;
	struct table t;
	uint32_t n = 0;

	(void)state;
	open_table(&t);
	assert_false(handoff__batch_next(t.batches, &b));
	for (uint64_t id = 1; id <= HANDOFF__BATCHES; id++)
		open_batch(t.batches, id % 2 ? OUT : IN, id);
	b = batch_of(HANDOFF__BATCHES + 1);
	assert_int_equal(handoff__batch_open(t.batches, IN, &b), -ENOSPC);
	b = batch_of(7);
	assert_int_equal(handoff__batch_open(t.batches, OUT, &b), -EEXIST);
	b = batch_of(0);
	assert_int_equal(handoff__batch_open(t.batches, OUT, &b), -EINVAL);
	for (b.slot = 0; handoff__batch_next(t.batches, &b); b.slot++)
		assert_int_equal(b.id, ++n);
	assert_int_equal(n, HANDOFF__BATCHES);
	assert_true(handoff__batch_find(t.batches, 0, 30, 0, &found));
	assert_int_equal(found.id, 30);
	assert_true(handoff__batch_find(t.batches, IN, 30, 90, &found));
	assert_false(handoff__batch_find(t.batches, OUT, 30, 90, &found));
	assert_false(handoff__batch_find(t.batches, IN, 30, 91, &found));
	assert_false(handoff__batch_find(t.batches, IN, 99, 0, &found));
	close_table(&t);
}

/* The other host may have chosen the same number. */
static void
ids_of_two_senders_are_two_batches(void **state)
{
	struct handoff__batch b;
	struct table t;
	uint32_t out, in;

	(void)state;
	open_table(&t);
	out = open_batch(t.batches, OUT, 5);
	in = open_batch(t.batches, IN, 5);
	assert_int_not_equal(out, in);
	assert_true(handoff__batch_find(t.batches, IN, 5, 15, &b));
	assert_int_equal(b.slot, in);
	b = batch_of(5);
	b.peer = 16;
	assert_int_equal(handoff__batch_open(t.batches, IN, &b), 0);
	close_table(&t);
}

static void
slot_that_was_taken_and_not_opened_is_recovered(void **state)
{
	struct handoff__batch b;
	struct table t;
	uint32_t word = 0x300u | OUT | HANDOFF__BATCH_WRITTEN;

	(void)state;
	open_table(&t);
	open_batch(t.batches, OUT, 1);
	t.batches->slots[1].word = word;
	assert_false(handoff__batch_read(t.batches, 1, &b));
	assert_int_equal(handoff__batches_recover(t.batches), 1);
	assert_int_equal(t.batches->slots[1].word, 0x300u);
	assert_int_equal(handoff__batches_recover(t.batches), 0);
	assert_batch(t.batches, 0, 1, OUT, HANDOFF__BATCH_OPEN);
	assert_int_equal(open_batch(t.batches, IN, 2), 1);
	assert_int_equal(t.batches->slots[1].word & ~0xffu, 0x400u);
	close_table(&t);
}

/* What no library writes reads as no batch, and nobody decides it. */
static void
damaged_words_are_no_batches(void **state)
{
	static const uint32_t words[] = {0x01u, 0x31u, 0x05u, 0x1fu, 0x0fu,
		0x36u, 0xffffffffu, 0x41u, 0x14u, 0x02u};
	struct handoff__batch b;
	struct table t;

	(void)state;
	open_table(&t);
	open_batch(t.batches, OUT, 6);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		t.batches->slots[0].word = words[i];
		assert_false(handoff__batch_read(t.batches, 0, &b));
		assert_int_equal(handoff__batch_commit(t.batches, 0, 6),
			HANDOFF__BATCH_FREE);
		assert_false(handoff__batch_free(t.batches, 0, 6));
		assert_int_equal(t.batches->slots[0].word, words[i]);
		assert_int_equal(handoff__batch_whose(t.batches,
					 handoff__owner_elsewhere(0)),
			HANDOFF__ELSEWHERE_NONE);
	}
	t.batches->slots[0].word = 0x100u | OUT | HANDOFF__BATCH_OPEN;
	t.batches->slots[0].id = 0;
	assert_false(handoff__batch_read(t.batches, 0, &b));
	close_table(&t);
}

static enum handoff__elsewhere
whose(uint32_t way, enum handoff__batch_state to)
{
	enum handoff__elsewhere answer;
	struct table t;
	uint32_t slot;

	open_table(&t);
	open_batch(t.batches, IN, 1);
	slot = open_batch(t.batches, way, 77);
	if (to == HANDOFF__BATCH_COMMITTED)
		handoff__batch_commit(t.batches, slot, 77);
	if (to == HANDOFF__BATCH_ABORTED)
		handoff__batch_abort(t.batches, slot, 77);
	answer =
		handoff__batch_whose(t.batches, handoff__owner_elsewhere(slot));
	close_table(&t);
	return answer;
}

static void
word_says_whose_the_entries_are(void **state)
{
	struct table t;

	(void)state;
	assert_int_equal(
		whose(OUT, HANDOFF__BATCH_OPEN), HANDOFF__ELSEWHERE_OPEN);
	assert_int_equal(
		whose(OUT, HANDOFF__BATCH_COMMITTED), HANDOFF__ELSEWHERE_AWAY);
	assert_int_equal(
		whose(OUT, HANDOFF__BATCH_ABORTED), HANDOFF__ELSEWHERE_HERE);
	assert_int_equal(
		whose(IN, HANDOFF__BATCH_OPEN), HANDOFF__ELSEWHERE_DOUBT);
	assert_int_equal(
		whose(IN, HANDOFF__BATCH_COMMITTED), HANDOFF__ELSEWHERE_HERE);
	assert_int_equal(
		whose(IN, HANDOFF__BATCH_ABORTED), HANDOFF__ELSEWHERE_AWAY);
	open_table(&t);
	assert_int_equal(
		handoff__batch_whose(t.batches, 1), HANDOFF__ELSEWHERE_NONE);
	assert_int_equal(
		handoff__batch_whose(t.batches, handoff__owner_elsewhere(3)),
		HANDOFF__ELSEWHERE_NONE);
	assert_int_equal(handoff__batch_whose(t.batches, UINT32_MAX),
		HANDOFF__ELSEWHERE_NONE);
	close_table(&t);
}

/* None of the swaps of a give, or after a death, is about such a word. */
static void
owner_word_elsewhere_is_nobodys(void **state)
{
	handoff__owner owner;

	(void)state;
	for (uint32_t slot = 0; slot < HANDOFF__BATCHES; slot++) {
		uint32_t word = handoff__owner_elsewhere(slot);

		assert_true(handoff__owner_is_elsewhere(word));
		assert_int_equal(handoff__owner_slot(word), slot);
		atomic_init(&owner, word);
		assert_int_equal(
			handoff__owner_place(&owner), HANDOFF__ELSEWHERE);
		for (uint32_t own = 1; own <= 2; own++) {
			assert_false(
				handoff__owner_offer(&owner, own, 3 - own));
			assert_false(handoff__owner_accept(&owner, own));
			assert_false(
				handoff__owner_revoke(&owner, own, 3 - own));
			assert_false(
				handoff__owner_claim(&owner, own, 3 - own));
		}
		assert_int_equal(handoff__owner_word(&owner), word);
	}
	for (uint32_t word = 0; word <= 2; word++) {
		assert_false(handoff__owner_is_elsewhere(word));
		assert_false(
			handoff__owner_is_elsewhere(word | HANDOFF__OFFERED));
	}
}

static void
other_process_maps_the_table_alone(void **state)
{
	struct handoff__batches_map map;
	struct table t;
	uint32_t slot;

	(void)state;
	open_table(&t);
	slot = open_batch(t.batches, OUT, 11);
	assert_int_equal(handoff__batches_map(&map, t.arena.segments[0]->fd,
				 t.arena.segments[0]->geo.batches),
		0);
	assert_ptr_not_equal(map.batches, t.batches);
	assert_batch(map.batches, slot, 11, OUT, HANDOFF__BATCH_OPEN);
	assert_int_equal(handoff__batch_abort(map.batches, slot, 11),
		HANDOFF__BATCH_ABORTED);
	assert_batch(t.batches, slot, 11, OUT, HANDOFF__BATCH_ABORTED);
	handoff__batches_unmap(&map);
	handoff__batches_unmap(&map);
	close_table(&t);
}

static void
table_is_mapped_only_where_it_can_be(void **state)
{
	struct handoff__batches_map map;
	struct table t;
	const struct handoff__segment *seg;
	int fd;

	(void)state;
	open_table(&t);
	seg = t.arena.segments[0];
	assert_int_equal(handoff__batches_map(&map, -1, 0), -EBADMSG);
	assert_int_equal(
		handoff__batches_map(&map, seg->fd, seg->geo.batches + 8),
		-EBADMSG);
	assert_int_equal(
		handoff__batches_map(&map, seg->fd, seg->geo.file), -EBADMSG);
	assert_int_equal(handoff__batches_map(&map, seg->fd, UINT64_MAX - 4095),
		-EBADMSG);
	/* the last page of the file is within it */
	assert_int_equal(handoff__batches_map(&map, seg->fd,
				 seg->geo.file - HANDOFF__BATCHES_SIZE),
		0);
	handoff__batches_unmap(&map);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 2 * (off_t)HANDOFF__BATCHES_SIZE), 0);
	assert_int_equal(handoff__batches_map(&map, fd, 0), -EBADMSG);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(handoff__batches_map(&map, fd, 0), 0);
	handoff__batches_unmap(&map);
	close(fd);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, HANDOFF__BATCHES_SIZE - 1), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(handoff__batches_map(&map, fd, 0), -EBADMSG);
	close(fd);
	close_table(&t);
}

/* What the table should be. */
struct model {
	uint64_t id[HANDOFF__BATCHES];
	uint32_t way[HANDOFF__BATCHES];
	enum handoff__batch_state state[HANDOFF__BATCHES];
};

static void
compare(const struct table *t, const struct model *m)
{
	struct handoff__batch b;

	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (m->state[i] == HANDOFF__BATCH_FREE)
			assert_false(handoff__batch_read(t->batches, i, &b));
		else
			assert_batch(t->batches, i, m->id[i], m->way[i],
				m->state[i]);
	}
}

static void
model_open(struct table *t, struct model *m, uint64_t id, uint32_t way)
{
	struct handoff__batch b = batch_of(id);
	int err = handoff__batch_open(t->batches, way, &b);

	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (m->state[i] != HANDOFF__BATCH_FREE && m->id[i] == id &&
			m->way[i] == way) {
			assert_int_equal(err, -EEXIST);
			return;
		}
	}
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (m->state[i] != HANDOFF__BATCH_FREE)
			continue;
		assert_int_equal(err, 0);
		assert_int_equal(b.slot, i);
		m->id[i] = id;
		m->way[i] = way;
		m->state[i] = HANDOFF__BATCH_OPEN;
		return;
	}
	assert_int_equal(err, -ENOSPC);
}

static void
model_decide(struct table *t, struct model *m, uint32_t slot, uint64_t id,
	enum handoff__batch_state to)
{
	enum handoff__batch_state is =
		to == HANDOFF__BATCH_COMMITTED
			? handoff__batch_commit(t->batches, slot, id)
			: handoff__batch_abort(t->batches, slot, id);

	if (m->state[slot] == HANDOFF__BATCH_FREE || m->id[slot] != id) {
		assert_int_equal(is, HANDOFF__BATCH_FREE);
		return;
	}
	if (m->state[slot] == HANDOFF__BATCH_OPEN)
		m->state[slot] = to;
	assert_int_equal(is, m->state[slot]);
}

static void
model_free(struct table *t, struct model *m, uint32_t slot, uint64_t id)
{
	bool can = m->state[slot] != HANDOFF__BATCH_FREE &&
		   m->state[slot] != HANDOFF__BATCH_OPEN && m->id[slot] == id;

	assert_int_equal(handoff__batch_free(t->batches, slot, id), can);
	if (can)
		m->state[slot] = HANDOFF__BATCH_FREE;
}

static void
table_is_what_its_model_is(void **state)
{
	struct model m = {.id = {0}};
	uint64_t x = 88172645463325252u;
	struct table t;

	(void)state;
	open_table(&t);
	for (int i = 0; i < 20000; i++) {
		uint32_t slot;
		uint64_t id;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		slot = (uint32_t)(x >> 8) % HANDOFF__BATCHES;
		id = x % 16 < 12 ? m.id[slot] : 1 + (x >> 20) % 100;
		if (x >> 60 < 7)
			model_open(
				&t, &m, 1 + (x >> 20) % 100, x & 1 ? OUT : IN);
		else if (x >> 60 < 9)
			model_decide(
				&t, &m, slot, id, HANDOFF__BATCH_COMMITTED);
		else if (x >> 60 < 11)
			model_decide(&t, &m, slot, id, HANDOFF__BATCH_ABORTED);
		else
			model_free(&t, &m, slot, id);
		compare(&t, &m);
	}
	close_table(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(table_is_a_page_of_the_commons),
		handoff_test(batch_is_opened_decided_and_freed),
		handoff_test(decision_for_an_earlier_batch_is_of_no_effect),
		handoff_test(count_in_the_word_wraps),
		handoff_test(table_is_limited_and_walked),
		handoff_test(ids_of_two_senders_are_two_batches),
		handoff_test(slot_that_was_taken_and_not_opened_is_recovered),
		handoff_test(damaged_words_are_no_batches),
		handoff_test(word_says_whose_the_entries_are),
		handoff_test(owner_word_elsewhere_is_nobodys),
		handoff_test(other_process_maps_the_table_alone),
		handoff_test(table_is_mapped_only_where_it_can_be),
		handoff_test(table_is_what_its_model_is),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
