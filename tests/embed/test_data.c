/* SPDX-License-Identifier: MIT */
/*
 * Data: states without a descriptor, by name and with a capacity of their own.
 * They move, survive, end and are converted as other entries.
 */
#include "embed/sides.h"

#include "embed/embed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIG (300u * 1024)

/* There is no memory to be mapped. */
static bool no_memory;

void *__real_mmap(
	void *addr, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(
	void *addr, size_t len, int prot, int flags, int fd, off_t offset);

void *
__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (no_memory) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(addr, len, prot, flags, fd, offset);
}

static struct handoff_entry_opts
data_opts(const char *name, size_t capacity)
{
	return (struct handoff_entry_opts){
		.size = sizeof(struct handoff_entry_opts),
		.kind = HANDOFF_ENTRY_DATA,
		.name = name,
		.capacity = capacity,
	};
}

static struct handoff_entry *
deposit(struct side *side, const char *name, size_t capacity)
{
	struct handoff_entry_opts opts = data_opts(name, capacity);
	struct handoff_entry *e = NULL;

	assert_int_equal(handoff_peer_deposit(side->peer, &e, &opts), 0);
	return e;
}

/* Two peers whose other entries have no states at all. */
static void
open_stateless(struct pair *p)
{
	const char *dir = support_dir();

	side_init(&p->a, dir, "one");
	side_init(&p->b, dir, "two");
	p->a.opts.state_size = p->b.opts.state_size = 0;
	assert_int_equal(handoff_peer_open(&p->a.peer, &p->a.opts), 0);
	pair_expect(p, &p->a, HANDOFF_PEER_OWNER);
	assert_int_equal(side_join(&p->b, &p->a), 0);
	pair_expect(p, &p->b, HANDOFF_PEER_STANDBY);
	pair_expect(p, &p->a, HANDOFF_PEER_JOINED);
}

static char *
big_text(char first)
{
	char *text = malloc(BIG);

	assert_non_null(text);
	for (size_t i = 0; i < BIG; i++)
		text[i] = (char)(first + (char)(i % 23));
	return text;
}

static void
assert_big(const struct handoff_entry *e, char first)
{
	char *text = big_text(first);
	size_t len;
	const char *state = handoff_entry_state(e, &len);

	assert_int_equal(len, BIG);
	assert_memory_equal(state, text, BIG);
	free(text);
}

static void
update_big(struct handoff_entry *e, char first)
{
	char *text = big_text(first);

	assert_int_equal(handoff_entry_update(e, text, BIG), 0);
	free(text);
}

static void
data_is_old_or_new(void **state)
{
	char *text = big_text('A'), *edit, *again;
	struct handoff_entry *e;
	struct pair p;

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "log", BIG);
	assert_state(e, "");
	assert_int_equal(handoff_entry_commit(e, 0), -EINVAL);
	update_big(e, 'A');
	assert_big(e, 'A');
	edit = handoff_entry_edit(e);
	assert_memory_equal(edit, text, BIG);
	memset(edit, 'x', BIG);
	assert_big(e, 'A');
	assert_int_equal(handoff_entry_commit(e, 3), 0);
	assert_state(e, "xxx");
	again = handoff_entry_edit(e);
	assert_ptr_not_equal(again, edit);
	assert_memory_equal(again, "xxx", 3);
	assert_int_equal(handoff_entry_commit(e, BIG + 4096), -EMSGSIZE);
	assert_int_equal(handoff_entry_update(e, text, BIG + 4096), -EMSGSIZE);
	assert_state(e, "xxx");
	/* it was being edited all the time */
	assert_int_equal(handoff_entry_commit(e, 2), 0);
	assert_state(e, "xx");
	assert_int_equal(handoff_entry_update(e, NULL, 0), 0);
	assert_state(e, "");
	free(text);
	pair_close(&p);
}

static void
release_next(struct pair *p, struct side *side)
{
	struct handoff_entry *e = pair_expect(p, side, HANDOFF_PEER_RELEASE);

	assert_int_equal(handoff_entry_release(e), 0);
}

static struct handoff_entry *
take_next(struct pair *p, struct side *side)
{
	struct handoff_entry *e = pair_expect(p, side, HANDOFF_PEER_TAKEN);

	if (side->event.fd >= 0)
		close(side->event.fd);
	return e;
}

static void
data_moves(void **state)
{
	struct handoff_entry *e;
	struct pair p;
	uint64_t id;

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "log", 2 * BIG);
	id = handoff_entry_id(e);
	update_big(e, 'A');
	/* the first half is the valid one, then the second */
	for (int i = 0; i < 3; i++) {
		struct side *from = i % 2 ? &p.b : &p.a;
		struct side *to = i % 2 ? &p.a : &p.b;

		pair_settle(&p);
		assert_int_equal(handoff_peer_give(from->peer), 0);
		release_next(&p, from);
		e = take_next(&p, to);
		assert_int_equal(to->event.fd, -1);
		assert_non_null(strstr(to->event.text, "taken: "));
		assert_int_equal(handoff_entry_kind(e), HANDOFF_ENTRY_DATA);
		assert_string_equal(handoff_entry_name(e), "log");
		assert_int_equal(handoff_entry_id(e), id);
		assert_big(e, (char)('A' + i));
		update_big(e, (char)('B' + i));
		assert_ptr_equal(handoff_peer_find(to->peer, "log"), e);
		assert_null(handoff_peer_find(from->peer, "log"));
		pair_expect(&p, from, HANDOFF_PEER_GAVE);
		assert_int_equal(from->outcome.connections, 0);
		assert_int_equal(from->outcome.left, 0);
	}
	pair_close(&p);
}

/* No program has memory that it must not look at. */
static void
released_data_is_not_had(void **state)
{
	struct handoff_entry *e;
	struct pair p;
	size_t len = 1;

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "log", 100);
	assert_int_equal(handoff_entry_update(e, "mine", 4), 0);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	release_next(&p, &p.a);
	assert_null(handoff_peer_find(p.a.peer, "log"));
	pair_settle(&p);
	assert_null(handoff_entry_state(e, &len));
	assert_int_equal(len, 0);
	assert_null(handoff_entry_edit(e));
	assert_int_equal(handoff_entry_update(e, "x", 1), -EINVAL);
	/* nor the other, before it has pulled TAKEN */
	assert_null(handoff_peer_find(p.b.peer, "log"));
	assert_state(take_next(&p, &p.b), "mine");
	assert_non_null(handoff_peer_find(p.b.peer, "log"));
	pair_close(&p);
}

static void
nothing_is_released_unasked(void **state)
{
	struct handoff_entry *e;
	struct pair p;

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "log", 100);
	assert_int_equal(handoff_entry_update(e, "mine", 4), 0);
	assert_int_equal(handoff_entry_release(e), -EINVAL);
	assert_state(e, "mine");
	assert_int_equal(handoff_entry_update(e, "still", 5), 0);
	pair_close(&p);
}

static struct handoff_entry *
deposit_kind(struct side *side, enum handoff_entry_kind kind, int fd)
{
	struct handoff_entry_opts opts = {
		.size = sizeof(opts), .kind = kind, .fd = fd, .name = "same"};
	struct handoff_entry *e = NULL;

	assert_int_equal(handoff_peer_deposit(side->peer, &e, &opts), 0);
	return e;
}

/* A connection is never served without the data that it needs. */
static void
data_is_taken_before_connections_and_released_after(void **state)
{
	static const enum handoff_entry_kind taken[] = {HANDOFF_ENTRY_LISTENER,
		HANDOFF_ENTRY_DATA, HANDOFF_ENTRY_DATA,
		HANDOFF_ENTRY_CONNECTION, HANDOFF_ENTRY_CONNECTION};
	static const enum handoff_entry_kind released[] = {
		HANDOFF_ENTRY_LISTENER, HANDOFF_ENTRY_CONNECTION,
		HANDOFF_ENTRY_CONNECTION, HANDOFF_ENTRY_DATA,
		HANDOFF_ENTRY_DATA};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pair p;

	(void)state;
	open_stateless(&p);
	deposit(&p.a, "first", 100);
	deposit_kind(&p.a, HANDOFF_ENTRY_CONNECTION, fd);
	deposit_kind(&p.a, HANDOFF_ENTRY_LISTENER, fd);
	deposit_kind(&p.a, HANDOFF_ENTRY_CONNECTION, fd);
	deposit(&p.a, "second", 100);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	/* all are asked for before any is answered */
	pair_settle(&p);
	for (int i = 0; i < 5; i++) {
		struct handoff_entry *e =
			pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE);

		assert_int_equal(handoff_entry_kind(e), released[i]);
		assert_int_equal(handoff_entry_release(e), 0);
	}
	pair_settle(&p);
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			handoff_entry_kind(take_next(&p, &p.b)), taken[i]);
	close(fd);
	pair_close(&p);
}

/* Data may belong to one connection, and then moves with it or not at all. */
static void
data_moves_with_its_leader(void **state)
{
	struct handoff_entry_opts opts = data_opts("of a client", 100);
	struct handoff_entry *e, *data = NULL;
	struct pair p;
	int fd, client;

	(void)state;
	pair_open(&p);
	opts.with = e = side_deposit(&p.a, &fd, &client, "client", "");
	assert_int_equal(handoff_peer_deposit(p.a.peer, &data, &opts), 0);
	assert_int_equal(handoff_peer_commit(p.a.peer,
				 (struct handoff_change[]){{e, "state", 5},
					 {data, "its data", 8}},
				 2, sizeof(struct handoff_change)),
		0);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	assert_ptr_equal(pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE), e);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_ptr_equal(pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE), data);
	pair_settle(&p);
	assert_false(side_next(&p.b) && p.b.event.type == HANDOFF_PEER_TAKEN);
	assert_int_equal(handoff_entry_release(data), 0);
	e = take_next(&p, &p.b);
	assert_state(e, "state");
	data = take_next(&p, &p.b);
	assert_string_equal(handoff_entry_name(data), "of a client");
	assert_state(data, "its data");
	assert_ptr_equal(handoff_entry_leader(data), e);
	close(fd);
	close(client);
	pair_close(&p);
}

static void
names_of_data_are_unique(void **state)
{
	struct handoff_entry_opts opts = data_opts("log", 100);
	struct handoff_entry *e, *other = NULL;
	struct pair p;
	int fd, client;

	(void)state;
	pair_open(&p);
	e = deposit(&p.a, "log", 100);
	assert_int_equal(
		handoff_peer_deposit(p.a.peer, &other, &opts), -EEXIST);
	assert_non_null(strstr(handoff_peer_errmsg(p.a.peer), "log"));
	assert_null(other);
	/* of other entries they are not */
	other = side_deposit(&p.a, &fd, &client, "log", "");
	close(fd);
	close(client);
	handoff_entry_withdraw(other);
	handoff_entry_withdraw(e);
	assert_null(handoff_peer_find(p.a.peer, "log"));
	e = deposit(&p.a, "log", 100);
	assert_ptr_equal(handoff_peer_find(p.a.peer, "log"), e);
	pair_close(&p);
}

static void
entries_are_found_by_name(void **state)
{
	struct handoff_entry *e;
	struct pair p;
	int fd, client;

	(void)state;
	pair_open(&p);
	deposit(&p.a, "log", 100);
	e = side_deposit(&p.a, &fd, &client, "client", "");
	assert_ptr_equal(handoff_peer_find(p.a.peer, "client"), e);
	assert_null(handoff_peer_find(p.a.peer, "clients"));
	assert_null(handoff_peer_find(p.a.peer, ""));
	assert_null(handoff_peer_find(p.a.peer, NULL));
	assert_null(handoff_peer_find(NULL, "log"));
	pair_settle(&p);
	/* a copy is not had */
	assert_null(handoff_peer_find(p.b.peer, "log"));
	close(fd);
	close(client);
	pair_close(&p);
}

static void
bad_deposits_are_refused(void **state)
{
	const struct {
		const char *name;
		size_t capacity, len;
		int err;
		const char *why;
	} bad[] = {
		{NULL, 100, 0, -EINVAL, "needs a name"},
		{"", 100, 0, -EINVAL, "needs a name"},
		{"big", HANDOFF__DATA_MAX + 1, 0, -EMSGSIZE, "1073741824"},
		{"big", SIZE_MAX, 0, -EMSGSIZE, "1073741824"},
		{"long", 3, 4, -EMSGSIZE, "at most its capacity"},
	};
	struct handoff_entry *e = NULL;
	struct handoff_entry_opts opts;
	struct pair p;

	(void)state;
	pair_open(&p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		opts = data_opts(bad[i].name, bad[i].capacity);
		opts.state = "abcd";
		opts.len = bad[i].len;
		assert_int_equal(
			handoff_peer_deposit(p.a.peer, &e, &opts), bad[i].err);
		assert_non_null(
			strstr(handoff_peer_errmsg(p.a.peer), bad[i].why));
	}
	/* a capacity is of data alone */
	opts = data_opts("x", 100);
	opts.kind = HANDOFF_ENTRY_OTHER;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EINVAL);
	opts = data_opts("x", 100);
	opts.kind = (enum handoff_entry_kind)(HANDOFF_ENTRY_DATA + 1);
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EINVAL);
	assert_null(e);
	assert_int_equal(p.a.peer->pair.roster.owned, 0);
	/* as much as its first state, where nothing is said */
	opts = data_opts("short", 0);
	opts.state = "abcd";
	opts.len = 4;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), 0);
	assert_state(e, "abcd");
	pair_close(&p);
}

static void
deposit_without_memory_leaves_nothing(void **state)
{
	struct handoff_entry_opts opts = data_opts("log", 100);
	struct handoff_entry *e = NULL;
	struct pair p;

	(void)state;
	open_stateless(&p);
	no_memory = true;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -ENOMEM);
	no_memory = false;
	assert_non_null(
		strstr(handoff_peer_errmsg(p.a.peer), "cannot map data"));
	support_limit_descriptors(0);
	assert_int_equal(handoff_peer_deposit(p.a.peer, &e, &opts), -EMFILE);
	support_unlimit_descriptors();
	assert_non_null(
		strstr(handoff_peer_errmsg(p.a.peer), "Too many open files"));
	assert_null(e);
	assert_int_equal(p.a.peer->pair.roster.owned, 0);
	pair_settle(&p);
	assert_int_equal(p.b.peer->pair.roster.held, 0);
	deposit(&p.a, "log", 100);
	pair_close(&p);
}

/* Nothing is lost meanwhile. */
static void
data_waits_for_memory(void **state)
{
	struct handoff_entry *e;
	struct pair p;

	(void)state;
	pair_open(&p);
	e = deposit(&p.a, "log", 100);
	assert_int_equal(handoff_entry_update(e, "all of it", 9), 0);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	release_next(&p, &p.a);
	no_memory = true;
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	assert_non_null(strstr(p.b.logged, "Cannot allocate memory"));
	assert_null(handoff_peer_find(p.b.peer, "log"));
	no_memory = false;
	e = take_next(&p, &p.b);
	assert_state(e, "all of it");
	pair_close(&p);
}

static void
capacity_costs_nothing(void **state)
{
	struct handoff_entry *e;
	struct stat st;
	struct pair p;

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "huge", HANDOFF__DATA_MAX);
	for (int i = 0; i < 4; i++)
		assert_int_equal(handoff_entry_update(e, "text", 4), 0);
	assert_int_equal(fstat(e->entry.fd, &st), 0);
	assert_int_equal(st.st_blocks, 2 * 4096 / 512);
	pair_close(&p);
}

/* What the other peer sends as data is looked at before it is mapped. */
static void
hostile_data_is_refused(void **state)
{
	struct handoff_entry *e;
	struct pair p;
	int fd = memfd_create("bad", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "log", 100);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(dup3(fd, e->entry.fd, O_CLOEXEC), e->entry.fd);
	pair_settle(&p);
	assert_int_equal(p.b.peer->pair.roster.held, 0);
	assert_int_equal(e->entry.copy, HANDOFF__COPY_REFUSED);
	assert_int_equal(e->entry.refusal, HANDOFF__BAD_RECORD);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_REFUSED);
	assert_int_equal(p.a.event.reason, HANDOFF_REASON_RECORD);
	assert_int_equal(p.a.outcome.left, 1);
	assert_int_equal(p.a.outcome.left_by[HANDOFF_REASON_RECORD], 1);
	assert_non_null(strstr(p.a.event.text, "cannot take 1 of the entries"));
	close(fd);
	pair_close(&p);
}

static void
what_was_left_is_named(void **state)
{
	const struct handoff_left *left;
	struct pair p;

	(void)state;
	open_stateless(&p);
	deposit(&p.a, "log", 100);
	pair_settle(&p);
	p.a.peer->pair.config.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_REFUSED);
	assert_int_equal(p.a.outcome.left, 1);
	assert_int_equal(handoff_peer_left(p.a.peer, &left), 1);
	assert_int_equal(left->kind, HANDOFF_ENTRY_DATA);
	assert_string_equal(left->name, "log");
	assert_int_equal(handoff_peer_left(p.a.peer, &left), 0);
	pair_close(&p);
}

/* A length that makes no sense is no length. */
static void
damaged_length_is_empty(void **state)
{
	struct handoff_entry *e;
	struct pair p;
	uint64_t *word;
	size_t len;

	(void)state;
	open_stateless(&p);
	e = deposit(&p.a, "log", 100);
	word = handoff__record_state(&e->entry.view,
		handoff__record_sequence(e->entry.view.rec) & 1);
	*word = 4097 | HANDOFF__DATA_SECOND;
	assert_non_null(handoff_entry_state(e, &len));
	assert_int_equal(len, 0);
	assert_non_null(handoff_entry_edit(e));
	*word = UINT64_MAX;
	assert_non_null(handoff_entry_state(e, &len));
	assert_int_equal(len, 0);
	pair_close(&p);
}

/* From version 1 to 2: what it was, twice. "bad" has no conversion, and "long"
 * is longer than there is room for. */
static int
convert(uint32_t version, const void *old, size_t old_len, void *state,
	size_t *len, void *arg)
{
	unsigned *calls = arg;

	++*calls;
	assert_int_equal(version, 1);
	assert_int_equal(*len, 4096);
	if (memcmp(old, "bad", 3) == 0)
		return -EINVAL;
	memcpy(state, old, old_len);
	memcpy((char *)state + old_len, old, old_len);
	*len = memcmp(old, "long", 4) == 0 ? *len + 1 : 2 * old_len;
	return 0;
}

static void
older_data_is_converted_with_its_leader(void **state)
{
	struct handoff_entry_opts opts = data_opts("fine", 100);
	const char *dir = support_dir();
	struct handoff_entry *e, *data = NULL;
	unsigned calls = 0;
	struct pair p;

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.b.opts.state_version = 2;
	p.b.opts.convert = convert;
	p.b.opts.convert_arg = &calls;
	p.b.opts.convert_from = 1;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	opts.with = e = deposit(&p.a, "good", 100);
	opts.state = "fine";
	opts.len = 4;
	assert_int_equal(handoff_peer_deposit(p.a.peer, &data, &opts), 0);
	assert_int_equal(handoff_entry_update(e, "good", 4), 0);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	release_next(&p, &p.a);
	release_next(&p, &p.a);
	e = take_next(&p, &p.b);
	assert_state(e, "goodgood");
	data = take_next(&p, &p.b);
	assert_state(data, "finefine");
	assert_ptr_equal(handoff_entry_leader(data), e);
	pair_close(&p);
}

static void
older_data_is_converted(void **state)
{
	static const char *const names[] = {"good", "bad", "long", "fine"};
	const char *dir = support_dir();
	struct handoff_entry *e;
	unsigned calls = 0;
	struct pair p;

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.b.opts.state_version = 2;
	p.b.opts.convert = convert;
	p.b.opts.convert_arg = &calls;
	p.b.opts.convert_from = 1;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	for (int i = 0; i < 4; i++) {
		e = deposit(&p.a, names[i], 100);
		/* in either half */
		for (int n = 0; n <= i; n++)
			assert_int_equal(handoff_entry_update(
						 e, names[i], strlen(names[i])),
				0);
	}
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < 4; i++)
		release_next(&p, &p.a);
	e = take_next(&p, &p.b);
	assert_string_equal(handoff_entry_name(e), "good");
	assert_state(e, "goodgood");
	assert_int_equal(handoff_entry_update(e, "new", 3), 0);
	assert_state(e, "new");
	e = take_next(&p, &p.b);
	assert_string_equal(handoff_entry_name(e), "fine");
	assert_state(e, "finefine");
	pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
	assert_int_equal(calls, 4);
	assert_non_null(strstr(p.b.logged, "cannot be converted"));
	assert_null(handoff_peer_find(p.b.peer, "bad"));
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(data_is_old_or_new),
		handoff_test(data_moves),
		handoff_test(released_data_is_not_had),
		handoff_test(nothing_is_released_unasked),
		handoff_test(
			data_is_taken_before_connections_and_released_after),
		handoff_test(data_moves_with_its_leader),
		handoff_test(names_of_data_are_unique),
		handoff_test(entries_are_found_by_name),
		handoff_test(bad_deposits_are_refused),
		handoff_test(deposit_without_memory_leaves_nothing),
		handoff_test(data_waits_for_memory),
		handoff_test(capacity_costs_nothing),
		handoff_test(hostile_data_is_refused),
		handoff_test(what_was_left_is_named),
		handoff_test(damaged_length_is_empty),
		handoff_test(older_data_is_converted),
		handoff_test(older_data_is_converted_with_its_leader),
	};

	return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
