/* SPDX-License-Identifier: MIT */
/*
 * The posts of a connection that is in a turn: each is taken in a transaction
 * of its own, before the handler runs, since one that always fills the output
 * would starve them. With the hook `posted` that is the transaction's handler;
 * without it the bytes are appended to the output.
 */
#include "record/handling.h"
#include "server/turn.h"

#include <errno.h>
#include <stdlib.h>

#define SMALL 4096u

static const struct handoff__posts *
posts_of(const struct turn *t)
{
	return t->txn.view.seg->posts;
}

/* Records that the posts up to `position` were taken, if there were any. */
static int
skip_to(struct turn *t, uint64_t position)
{
	if (position == t->now.commit->line_pos)
		return 1;
	handoff__txn_again(&t->txn);
	t->txn.next->line_pos = position;
	handoff__txn_commit(&t->txn);
	handoff__conn_state_load(&t->now);
	return 1;
}

static size_t
room_of(const struct turn *t)
{
	return t->now.view->seg->geo.tx_size - (size_t)t->now.unsent;
}

static int
append(struct turn *t, uint64_t end, const void *data, size_t len)
{
	handoff__txn_again(&t->txn);
	handoff_conn_write(&t->txn, data, len);
	handoff__record_touch(t->txn.view.rec);
	t->txn.next->line_pos = end;
	handoff__txn_commit(&t->txn);
	handoff__conn_state_load(&t->now);
	return 1;
}

/* The hook wants the post once more: when the output is sent; or, if a service
 * that wraps another one has kept that, when its client has taken more. */
static int
put_off(struct turn *t)
{
	handoff__effects_undo(t);
	return t->now.unsent > 0 ? 0 : HANDOFF__POSTS_LATER;
}

/* Runs the hook. It decides again whether it waits for an answer if this is
 * one, or if one may have been lost. */
static int
hand_over(struct turn *t, uint64_t end, const struct handoff_posted *posted)
{
	const struct handoff_service *service = t->now.service;
	const struct handoff__commit *before = t->now.commit;
	int rc;

	t->rounds--;
	handoff__txn_again(&t->txn);
	t->txn.next->line_pos = end;
	t->txn.next->flags |=
		HANDOFF__OPENED | (uint32_t)HANDOFF_CONN_POST
					  << HANDOFF__REASON_SHIFT;
	if (posted->request != 0 || posted->gap)
		t->txn.next->flags &= ~(uint32_t)HANDOFF__WAITING;
	t->txn.posted = posted;
	handoff__handler_enter(t->txn.view.rec);
	rc = service->posted(&t->txn, service->arg);
	handoff__handler_leave(t->txn.view.rec);
	if (rc == 0) {
		rc = handoff__effects_commit(t, before);
		return rc < 0 ? rc : 1;
	}
	if (rc == -EAGAIN && (t->now.unsent > 0 || service->inner))
		return put_off(t);
	rc = handoff__effects_refused(t, rc);
	return rc < 0 ? rc : 1;
}

/* Posts for it were dropped. */
static int
miss(struct turn *t, uint64_t position)
{
	struct handoff_posted posted = {.gap = true};

	if (t->now.service->posted && t->now.service->post_gaps)
		return hand_over(t, position, &posted);
	handoff__turn_end(t, HANDOFF__END_POSTS,
		"posts for it were dropped before it has taken them", 0);
	return -ENOBUFS;
}

/* Whether it fits into the output now; the hook may write more than that. */
static bool
fits(const struct turn *t, uint32_t len)
{
	size_t room = room_of(t);

	return len <= room &&
	       (!t->now.service->posted ||
		       room >= t->now.view->seg->geo.tx_size / 2);
}

static int
take(struct turn *t, uint64_t position, const struct handoff__post *post,
	void *data)
{
	struct handoff_posted posted = {
		.data = data,
		.len = post->len,
		.from = post->from,
		.request = post->request,
		.source = post->source,
		.number = post->number,
	};

	/* dropped meanwhile: the next round finds out */
	if (!handoff__posts_copy(posts_of(t), position, post, data))
		return 1;
	if (t->now.service->posted)
		return hand_over(t, position + post->size, &posted);
	return append(t, position + post->size, data, post->len);
}

/* Longer posts need memory. */
static int
take_long(struct turn *t, uint64_t position, const struct handoff__post *post)
{
	void *data = malloc(post->len);
	int rc;

	if (!data) {
		handoff__turn_end(t, HANDOFF__END_ERROR, "posts", ENOMEM);
		t->result->outcome = HANDOFF__TURN_RETRY;
		return -ENOMEM;
	}
	rc = take(t, position, post, data);
	free(data);
	return rc;
}

static uint64_t
request_of(const struct turn *t)
{
	return handoff__commit_request(&t->now.view->seg->geo, t->now.commit);
}

static int
take_one(struct turn *t)
{
	struct handoff__post_reader reader =
		handoff__record_reader(t->txn.view.rec);
	uint64_t position = t->now.commit->line_pos;
	struct handoff__post post;
	char data[SMALL];
	int rc = handoff__posts_find(posts_of(t), &reader, &position, &post);

	if (rc < 0)
		return miss(t, position);
	if (rc == 0)
		return skip_to(t, position);
	/* an answer to what is no longer asked */
	if (post.request != 0 && post.request != request_of(t))
		return skip_to(t, position + post.size);
	/* from a peer whose connections have more output */
	if (post.len > t->now.view->seg->geo.tx_size)
		return miss(t, position + post.size);
	if (!fits(t, post.len))
		return 0;
	return post.len <= SMALL ? take(t, position, &post, data)
				 : take_long(t, position, &post);
}

int
handoff__take_posts(struct turn *t)
{
	int rc = 1;

	while (rc == 1 && handoff__conn_state_posts_due(&t->now)) {
		if (t->now.service->posted && t->rounds <= 0)
			break;
		rc = take_one(t);
	}
	return rc;
}
