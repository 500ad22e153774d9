/* SPDX-License-Identifier: MIT */
/*
 * What a handler posts is kept in memory of its process until its transaction
 * commits, so that a handler that fails or runs again has posted nothing. Knows
 * no server: the ring says whom to tell.
 */
#include "server/posting.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

int
handoff__posting_check(const struct handoff__posts *posts,
	const struct handoff_post *from, struct handoff__post *post,
	const void **data)
{
	struct handoff_post given = {.size = 0};
	int err = handoff__opts_copy(&given, sizeof(given), from,
		HANDOFF__SIZE_TO(struct handoff_post, number));

	if (err < 0)
		return err;
	if (!given.data || given.len == 0 ||
		(unsigned)given.to > HANDOFF_POST_TAG ||
		(given.to == HANDOFF_POST_TAG && given.id == 0) ||
		(given.request != 0 && given.to != HANDOFF_POST_ONE))
		return -EINVAL;
	if (given.len > posts->most)
		return -EMSGSIZE;
	*post = (struct handoff__post){
		.to = (uint16_t)given.to,
		.len = (uint32_t)given.len,
		.id = given.id,
		.request = given.request,
		.source = given.source,
		.number = given.number,
	};
	*data = given.data;
	return given.to == HANDOFF_POST_ONE
		       ? handoff__posts_exists(posts, given.id)
		       : 0;
}

int
handoff_conn_post(struct handoff_conn *conn, const struct handoff_post *post)
{
	const struct handoff__posts *posts = conn->view.seg->posts;
	struct handoff__post internal;
	const void *data;
	int err = handoff__posting_check(posts, post, &internal, &data);

	if (err < 0)
		return err;
	internal.from = handoff_conn_id(conn);
	if (!(conn->next->flags & HANDOFF__POSTING))
		conn->staged = NULL;
	err = handoff__posts_stage(posts, &conn->staged, &internal, data);
	if (conn->staged)
		conn->next->flags |= HANDOFF__POSTING;
	return err;
}

const struct handoff_posted *
handoff_conn_posted(const struct handoff_conn *conn)
{
	return handoff_conn_reason(conn) == HANDOFF_CONN_POST ? conn->posted
							      : NULL;
}

uint64_t
handoff_conn_request(const struct handoff_conn *conn)
{
	const struct handoff__geometry *geo = &conn->view.seg->geo;
	uint64_t wrapped = handoff__commit_wrapped(geo, conn->next);

	/* not what this transaction has consumed */
	return wrapped != 0 ? wrapped
			    : handoff__commit_request(geo,
				      handoff__record_commit(conn->view.rec));
}

void
handoff_conn_set_tag(struct handoff_conn *conn, uint64_t tag)
{
	atomic_store_explicit(
		&conn->view.rec->extra.tag, tag, memory_order_relaxed);
}

int
handoff__posting_prepare(struct handoff_conn *txn)
{
	const struct handoff__view *view = &txn->view;
	const struct handoff__segment *seg = view->seg;

	return handoff__posts_prepare(seg->posts, txn->staged, seg->index,
		handoff__segment_slot(seg, view->rec),
		handoff__record_id(view->rec), txn->next->sequence);
}

void
handoff__posting_publish(struct handoff_conn *txn)
{
	struct handoff__posts *posts = txn->view.seg->posts;

	handoff__posts_publish(posts);
	handoff__posting_discard(txn);
	if (posts->rang)
		posts->rang(posts->arg);
}

void
handoff__posting_discard(struct handoff_conn *txn)
{
	free(txn->staged);
	txn->staged = NULL;
}
