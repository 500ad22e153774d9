/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a parcel: it is refused, or all of it is within its bounds and
 * written again it is what was read; and the record that it fills is in order,
 * whatever its buffers, and can be used and sent on.
 */
#include "fuzz.h"

#include "record/parcel.h"
#include "record/pass.h"

#include <errno.h>

#define NOW_MS 1000000u

static struct handoff__arena arena;

static bool
any(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

static void
check_strings(const struct handoff__parcel *p, const uint8_t *data, size_t size)
{
	check(p->state >= data && p->state + p->state_len == p->in);
	check(p->in + p->in_len == p->out && p->out + p->out_len == p->pass);
	check(p->pass + p->pass_len == p->posts);
	check(p->posts + p->posts_len == data + size);
	check(p->posts_len <= HANDOFF__PARCEL_POSTS_MOST);
	check(p->state_len <= p->state_size && p->in_len <= p->rx_size);
	check(p->out_len <= p->tx_size && p->pass_len <= p->pass_size);
}

/* All of them, and nothing else. */
static void
check_posts(const struct handoff__parcel *p)
{
	const unsigned char *bytes;
	struct handoff__post post;
	uint32_t at = 0;

	while (at < p->posts_len) {
		check(handoff__parcel_post(p, &at, &post, &bytes));
		check(bytes >= p->posts && bytes + post.len == p->posts + at);
	}
	check(at == p->posts_len && (at == 0 || p->absent));
}

/* What follows the end of a text is not carried, so this is not `data`. */
static void
check_again(const struct handoff__parcel *p, size_t size)
{
	unsigned char *once = malloc(size), *twice = malloc(size);
	struct handoff__parcel again;

	check(once && twice && handoff__parcel_size(p) == size);
	check(handoff__parcel_encode(p, once, size, NULL) == 0);
	check(handoff__parcel_decode(&again, once, size, NULL) == 0);
	check_strings(&again, once, size);
	check(handoff__parcel_encode(&again, twice, size, NULL) == 0);
	check(memcmp(once, twice, size) == 0);
	free(once);
	free(twice);
}

/* A turn. */
static void
use(const struct handoff__view *view)
{
	struct handoff__view pair;
	struct handoff_conn txn;
	struct iovec iov[2];
	unsigned char byte = 0;
	const void *in;
	size_t len;

	check(handoff__record_ok(view));
	check(!handoff__pass_pair(view, &pair));
	handoff__pass_due(view, handoff__record_commit(view->rec));
	handoff__pass_to_dial(view, 1);
	for (int i = handoff__record_tx_pieces(view, iov); i-- > 0;)
		byte ^= ((unsigned char *)iov[i].iov_base)[iov[i].iov_len - 1];
	handoff__txn_begin(&txn, view);
	in = handoff_conn_input(&txn, &len);
	if (len > 0)
		byte ^= ((const unsigned char *)in)[len - 1];
	check(handoff_conn_consume(&txn, len) == 0);
	handoff_conn_write(&txn, &byte, 1);
	handoff_conn_pass(&txn, &byte, 1);
	handoff__txn_commit(&txn);
	check(handoff__record_ok(view));
}

/* What was sent on is the same parcel, but for its deadline, and for a ring
 * that makes no sense while there is no pair. */
static void
send_on(const struct handoff__view *view, const struct handoff__parcel *p)
{
	struct handoff__parcel next;
	int err = handoff__parcel_take(&next, view, NOW_MS, NULL);

	check(err == 0 || err == -EBADMSG);
	if (err < 0)
		return;
	check(next.id == p->id && next.flags == p->flags);
	check(next.consumed == p->consumed && next.produced == p->produced);
	check(next.in_len == p->in_len && next.out_len == p->out_len);
	check(next.in_len == 0 || memcmp(next.in, p->in, p->in_len) == 0);
	check(next.out_len == 0 || memcmp(next.out, p->out, p->out_len) == 0);
	check(next.state_len == p->state_len);
	check(next.timed == p->timed);
	check(next.session == p->session && next.absent == p->absent);
	check(next.absent_ms <= p->absent_ms + 1);
	check(!p->absent || next.absent_ms >= p->absent_ms);
	handoff__parcel_free(&next);
}

/* Into a record as the parcel wants it, and into one with small buffers. */
static void
check_record(const struct handoff__parcel *p, bool small)
{
	struct handoff__geometry geo;
	struct handoff__error error = {""};
	struct handoff__view view;
	uint32_t segment, slot;
	int err;

	check(handoff__parcel_geometry(p, &geo) == 0);
	handoff__arena_init(&arena);
	handoff__arena_name(&arena, handoff__lock_name(1, 0));
	if (small) {
		check(handoff__geometry_make(&geo, p->state_size, 1, 1) == 0);
		geo.state_version = p->state_version;
	}
	geo.slots = 1;
	check(handoff__geometry_extend(
		      &geo, small ? 0 : p->pass_size, 4096, 4096) == 0);
	check(handoff__arena_grow(&arena, &geo) == 0);
	check(handoff__arena_alloc_fit(&arena, &geo,
		      handoff__owner_elsewhere(3), any, NULL, &segment,
		      &slot) == 0);
	handoff__view_make(&view, arena.segments[segment], slot);
	err = handoff__parcel_fill(&view, p, NOW_MS, &error);
	check(err == 0 || (small && err == -EMSGSIZE));
	if (err == 0) {
		check((handoff__record_absent(view.rec) != 0) == p->absent);
		send_on(&view, p);
		use(&view);
	} else {
		check(error.text[0] != '\0');
		check(handoff__record_id(view.rec) == 0);
	}
	handoff__arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *copy = exact_copy(data, size);
	struct handoff__error error = {""};
	struct handoff__parcel parcel;
	int err = handoff__parcel_decode(&parcel, copy, size, &error);

	check(err == 0 || err == -EBADMSG || err == -EPROTO);
	if (err < 0) {
		check(error.text[0] != '\0');
	} else {
		check_strings(&parcel, copy, size);
		check_posts(&parcel);
		check_again(&parcel, size);
		check_record(&parcel, false);
		check_record(&parcel, true);
	}
	free(copy);
	return 0;
}
