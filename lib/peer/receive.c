/* SPDX-License-Identifier: MIT */
/*
 * New entries of a carrier from the parcels of another host: record, roster,
 * posts and companions. Restores no socket, and decides about no batch.
 */
#include "peer/receive.h"

#include "peer/companions.h"
#include "peer/core.h"
#include "record/parcel.h"
#include "record/post_ring.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

/* A number of our own origin that comes from another host is used up here
 * too. */
static void
use_number(struct handoff__board *board, uint64_t id)
{
	uint64_t next = atomic_load(&board->next_id);

	while (next <= id && (next ^ id) >> HANDOFF__ORIGIN_SHIFT == 0 &&
		!atomic_compare_exchange_weak(&board->next_id, &next, id + 1))
		;
}

/* For posts, and for clients that resume its session. */
static void
enter_for_posts(
	struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	uint64_t number = handoff__record_number(e->view.rec);

	handoff__posts_enter(&pair->arena, e->id, e->segment, e->slot);
	if (number != e->id)
		handoff__posts_move(&pair->arena, number, e->segment, e->slot);
}

/* Posts that waited for it where it was. If it does not come after all nobody
 * takes them. */
static int
add_posts(struct handoff__pair *pair, const struct handoff__parcel *parcel)
{
	struct handoff__posts *posts = &pair->arena.posts;
	const unsigned char *bytes;
	struct handoff__post post;
	uint32_t at = 0;
	int err = 0;

	if (parcel->posts_len > 0 && !handoff__posts_ring(posts))
		return -EMSGSIZE;
	while (err >= 0 && at < parcel->posts_len &&
		handoff__parcel_post(parcel, &at, &post, &bytes))
		err = post.len > posts->most
			      ? -EMSGSIZE
			      : handoff__posts_carry(posts, &post, bytes);
	return err == -ENOBUFS ? -EMSGSIZE : err;
}

/* By the box that it has for posts, or else by a search: entries of a program
 * with a loop of its own have no box. */
static struct handoff__roster_entry *
find(struct handoff__pair *pair, uint64_t id)
{
	const struct handoff__post_ring *ring =
		handoff__posts_ring(&pair->arena.posts);
	uint32_t segment, slot;
	struct handoff__roster_entry *e =
		ring && handoff__posts_where(ring, id, &segment, &slot)
			? handoff__roster_find(&pair->roster, segment, slot, id)
			: NULL;

	return e ? e : handoff__companions_find(pair, id);
}

/* Whether an entry with that id is here. A number that was not used yet needs
 * no search. */
static bool
is_here(struct handoff__pair *pair, uint64_t id)
{
	const struct handoff__board *board = handoff__arena_board(&pair->arena);
	uint64_t next = atomic_load(&board->next_id);

	return ((id ^ next) >> HANDOFF__ORIGIN_SHIFT != 0 || id < next) &&
	       handoff__roster_may_have(&pair->roster, id) && find(pair, id);
}

/* Whether another entry has its number, which is that of its session if it has
 * one: the two would be one to clients that resume it, and to posts. */
static bool
has_number(struct handoff__pair *pair, const struct handoff__parcel *parcel)
{
	uint64_t number = parcel->session ? parcel->session : parcel->id;
	const struct handoff__post_ring *ring =
		handoff__posts_ring(&pair->arena.posts);
	const struct handoff__roster_entry *e;
	const struct handoff__record *rec;
	uint32_t segment, slot;

	if (pair->config.streamless || !ring ||
		!handoff__posts_where(ring, number, &segment, &slot))
		return false;
	rec = handoff__arena_record(&pair->arena, segment, slot);
	if (!rec || handoff__record_id(rec) == 0 ||
		handoff__older(pair->arena.segments[segment]))
		return false;
	/* without an entry it is what a dead peer has left */
	e = handoff__roster_find(
		&pair->roster, segment, slot, handoff__record_id(rec));
	return e && e->kind == HANDOFF__CONNECTION &&
	       handoff__record_number(rec) == number;
}

/* Its leader must be here and stay; the pair of a connection is one of the
 * two. */
static int
find_others(struct handoff__pair *pair, const struct handoff__parcel *parcel,
	struct handoff__roster_entry **leader,
	struct handoff__roster_entry **other)
{
	*leader = *other = NULL;
	if (parcel->leader != 0) {
		*leader = find(pair, parcel->leader);
		if (!*leader || handoff__companions_check(pair, *leader) < 0)
			return -ENOENT;
	}
	if (parcel->pair != 0 && parcel->pair == parcel->leader)
		*other = *leader;
	else if (parcel->pair != 0)
		*other = find(pair, parcel->pair);
	return 0;
}

static bool
is_vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__roster_entry *e =
		handoff__roster_at(arg, segment, slot);

	return e && e->id == 0;
}

/* A record of that batch, with all that the parcel has. */
static int
make_record(struct handoff__pair *pair, const struct handoff__parcel *parcel,
	uint32_t batch, struct handoff__view *view, uint32_t *segment,
	uint32_t *slot)
{
	struct handoff__geometry geo;
	struct timespec now;
	int err = handoff__parcel_geometry(parcel, &geo);

	if (err >= 0)
		err = handoff__arena_alloc_fit(&pair->arena, &geo,
			handoff__owner_elsewhere(batch), is_vacant,
			&pair->roster, segment, slot);
	if (err < 0)
		return err;
	clock_gettime(CLOCK_BOOTTIME, &now);
	handoff__view_make(view, pair->arena.segments[*segment], *slot);
	err = handoff__parcel_fill(view, parcel,
		(uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
		&pair->error);
	if (err >= 0)
		return 0;
	handoff__arena_clear(&pair->arena, *segment, *slot);
	handoff__owner_set(&view->rec->owner, 0);
	handoff__arena_vacate(&pair->arena, *segment, *slot);
	return err;
}

/* Undoes handoff__pair_receive. */
static void
withdraw(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff__roster_entry *others[HANDOFF__TOGETHER_MAX];

	handoff__companions_part(pair, e, others);
	handoff__arena_clear(&pair->arena, e->segment, e->slot);
	handoff__owner_set(&e->view.rec->owner, 0);
	handoff__roster_vacate(&pair->roster, e);
}

struct handoff__roster_entry *
handoff__pair_receive(struct handoff__pair *pair, int fd,
	const struct handoff__parcel *parcel, uint32_t batch, int *err)
{
	struct handoff__roster_entry *leader = NULL, *other = NULL, *e;
	struct handoff__view view;
	uint32_t segment, slot;

	*err = is_here(pair, parcel->id)  ? -EEXIST
	       : has_number(pair, parcel) ? -EALREADY
					  : 0;
	if (*err == 0)
		*err = find_others(pair, parcel, &leader, &other);
	if (*err == 0)
		*err = make_record(pair, parcel, batch, &view, &segment, &slot);
	if (*err < 0) {
		close(fd);
		return NULL;
	}
	use_number(handoff__arena_board(&pair->arena), parcel->id);
	/* no connection that begins here is to have the number of a session */
	use_number(handoff__arena_board(&pair->arena), parcel->session);
	if (leader)
		handoff__parcel_link(&view, &leader->view);
	if (other) {
		handoff__parcel_link(&view, &other->view);
		handoff__parcel_link(&other->view, &view);
	}
	e = handoff__roster_at(&pair->roster, segment, slot);
	handoff__roster_enter(&pair->roster, e, segment, slot, fd, true);
	if (!pair->config.streamless)
		enter_for_posts(pair, e);
	handoff__companions_join(pair, e);
	*err = add_posts(pair, parcel);
	if (*err >= 0)
		*err = pair->ops->entered(pair, e);
	if (*err < 0) {
		withdraw(pair, e);
		return NULL;
	}
	handoff__tally_begun(pair, e);
	if (pair->link.fd >= 0)
		handoff__roster_queue(e, &pair->roster.to_mirror);
	pair->noted = true;
	return e;
}
