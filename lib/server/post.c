/* SPDX-License-Identifier: MIT */
/*
 * Posts from outside of handlers, and an operator's lines, which are posts;
 * and who is woken by posts of whatever origin: the receivers among this
 * peer's connections get a turn, and the other peer is rung. What a receiver
 * then takes, once and in order, is up to its record: so it does not matter
 * which peer owns it by then, and a turn too many does nothing.
 */
#include "server/internal.h"
#include "server/posting.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define TAGS_MOST 8

/* The receivers of some posts to many. */
struct receivers {
	bool all;
	unsigned ntags;
	uint64_t tags[TAGS_MOST];
};

static struct handoff__post_ring *
ring_of(const struct handoff_server *server)
{
	return atomic_load(&server->pair.arena.posts.ring);
}

static void
wake(struct handoff__member *member)
{
	if (member->server->model->look)
		member->server->model->look(member);
	else
		handoff__member_kick(member);
}

static bool
is_receiver(const struct receivers *receivers,
	const struct handoff__roster_entry *e)
{
	uint64_t tag = atomic_load_explicit(
		&e->view.rec->extra.tag, memory_order_relaxed);

	for (unsigned i = 0; i < receivers->ntags; i++) {
		if (receivers->tags[i] == tag)
			return true;
	}
	return receivers->all;
}

/* Wakes this peer's connections among them. True if there are any. */
static bool
wake_many(struct handoff_server *server, const struct receivers *receivers)
{
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;
	bool any = false;

	while ((e = handoff__roster_next(roster, e))) {
		if (!e->mine || e->kind != HANDOFF__CONNECTION ||
			handoff__older(e->view.seg) ||
			!is_receiver(receivers, e) ||
			!handoff__record_posts_wait(&e->view))
			continue;
		any = true;
		wake(handoff__member_of(e));
	}
	return any;
}

static bool
wake_one(struct handoff_server *server, uint64_t id)
{
	const struct handoff__arena *arena = &server->pair.arena;
	struct handoff__roster_entry *e;
	uint32_t segment, slot;

	if (!handoff__posts_where(ring_of(server), id, &segment, &slot) ||
		!handoff__arena_record(arena, segment, slot))
		return false;
	e = handoff__roster_at(&server->pair.roster, segment, slot);
	if (!e || e->id == 0 || handoff__older(e->view.seg) ||
		handoff__record_number(e->view.rec) != id || !e->mine ||
		!handoff__record_posts_wait(&e->view))
		return false;
	wake(handoff__member_of(e));
	return true;
}

static void
add_receivers(struct receivers *receivers, const struct handoff__post *post)
{
	for (unsigned i = 0; post->to == HANDOFF__POST_TAG; i++) {
		if (i == TAGS_MOST)
			break;
		if (i == receivers->ntags)
			receivers->tags[receivers->ntags++] = post->id;
		if (receivers->tags[i] == post->id)
			return;
	}
	receivers->all = true;
}

/* Wakes the receivers of the posts that are new since the last call. */
static void
look_at_new(struct handoff_server *server)
{
	struct handoff__post_ring *ring = ring_of(server);
	struct receivers receivers = {.all = false};
	struct handoff__post post;
	uint64_t before = server->posts_seen;
	bool missed = false;
	bool any = false;

	if (!ring || handoff__posts_head(ring) == before)
		return;
	while (handoff__posts_walk(&server->pair.arena.posts,
		&server->posts_seen, &post, &missed)) {
		if (post.to == HANDOFF__POST_ONE)
			any |= wake_one(server, post.id);
		else
			add_receivers(&receivers, &post);
	}
	/* some were missed, or are for connections without a box */
	receivers.all |= missed || atomic_load(&ring->strays) > before;
	if (receivers.all || receivers.ntags > 0)
		any |= wake_many(server, &receivers);
	if (any)
		handoff__server_sweep_later(server);
}

/* Without a connection this peer does not want to be rung. Those that it gets
 * later look for themselves. */
static void
sleep_if_alone(struct handoff_server *server, struct handoff__post_ring *ring)
{
	if (server->pair.roster.connections == 0)
		atomic_store(&ring->awake[server->pair.place - 1], 0);
}

void
handoff__posts_awake(struct handoff_server *server)
{
	struct handoff__post_ring *ring = ring_of(server);
	_Atomic uint64_t *awake;

	if (!ring)
		return;
	awake = &ring->awake[server->pair.place - 1];
	if (atomic_load_explicit(awake, memory_order_relaxed))
		return;
	/* before the head is read: a peer that posts reads them the other way
	 * round */
	atomic_store(awake, 1);
	server->posts_due = server->due = true;
}

bool
handoff__posts_look(struct handoff__member *member)
{
	const struct handoff__roster_entry *e = &member->entry;

	if (e->id == 0 || e->fd < 0 || !e->mine ||
		e->kind != HANDOFF__CONNECTION || handoff__older(e->view.seg) ||
		!ring_of(member->server) ||
		handoff__posts_head(ring_of(member->server)) == 0 ||
		!handoff__record_posts_wait(&e->view))
		return false;
	wake(member);
	return true;
}

bool
handoff__posts_pass(struct handoff_server *server)
{
	struct handoff__post_ring *ring = ring_of(server);
	struct receivers all = {.all = true};

	if (ring)
		sleep_if_alone(server, ring);
	if (!ring || handoff__posts_head(ring) == 0)
		return false;
	server->posts_seen = handoff__posts_head(ring);
	return wake_many(server, &all);
}

void
handoff__posts_proceed(struct handoff_server *server)
{
	struct handoff__post_ring *ring = ring_of(server);

	server->posts_due = false;
	if (!ring)
		return;
	if (handoff__posts_head(ring) != server->posts_told) {
		server->posts_told = handoff__posts_head(ring);
		atomic_thread_fence(memory_order_seq_cst);
		if (atomic_load(&ring->awake[2 - server->pair.place]))
			handoff__pair_say(&server->pair);
	}
	look_at_new(server);
}

void
handoff__posts_said(struct handoff_server *server)
{
	struct handoff__post_ring *ring = ring_of(server);

	if (ring)
		sleep_if_alone(server, ring);
	look_at_new(server);
}

static void
on_wake(void *arg)
{
	handoff__posts_proceed(arg);
}

/* A handler's posts exist: called in its thread, or child. */
static void
on_rang(void *arg)
{
	struct handoff_server *server = arg;

	if (handoff__within_loop(server))
		server->posts_due = server->due = true;
	else
		eventfd_write(server->returns.wake, 1);
}

void
handoff__posts_open(struct handoff_server *server)
{
	server->pair.arena.posts.rang = on_rang;
	server->pair.arena.posts.arg = server;
	server->returns.rung = on_wake;
	server->returns.arg = server;
}

/* Checks and publishes it, from any thread. */
static int
publish(struct handoff_server *server, struct handoff__posts *posts,
	const struct handoff_post *post, uint16_t flags)
{
	struct handoff__post internal;
	const void *data;
	int err = handoff__posting_check(posts, post, &internal, &data);

	if (err < 0)
		return err;
	internal.flags = flags;
	err = handoff__posts_add(posts, &internal, data, handoff__now_us());
	if (err == 0)
		eventfd_write(server->returns.wake, 1);
	return err;
}

/* The arena is not forgotten meanwhile. */
static int
post_from_outside(struct handoff_server *server,
	const struct handoff_post *post, uint16_t flags)
{
	struct handoff__posts *posts = &server->pair.arena.posts;
	int err = -ENOTCONN;

	atomic_fetch_add(&posts->users, 1);
	if (atomic_load(&posts->ring))
		err = publish(server, posts, post, flags);
	atomic_fetch_sub(&posts->users, 1);
	return err;
}

int
handoff_server_post(
	struct handoff_server *server, const struct handoff_post *post)
{
	if (!server || !post)
		return -EINVAL;
	return post_from_outside(server, post, 0);
}

static int
say_failed(struct handoff_server *server, uint64_t id, int err)
{
	if (err == -ENOTCONN)
		return handoff__fail(&server->error, err,
			"say: no peer serves yet: there is no connection");
	if (err == -ENOENT)
		return handoff__fail(&server->error, err,
			"say: there is no connection %llu",
			(unsigned long long)id);
	return handoff__fail(&server->error, err,
		"say: another process holds the ring of posts: try again");
}

int
handoff_server_say(struct handoff_server *server, uint64_t id, const char *text)
{
	char line[HANDOFF_SAY_MAX + 1];
	struct handoff_post post = {.size = sizeof(post),
		.to = id == 0 ? HANDOFF_POST_ALL : HANDOFF_POST_ONE,
		.id = id,
		.data = line};
	bool within;
	int err;

	if (!server || !text)
		return -EINVAL;
	post.len = strlen(text) + 1;
	within = handoff__within(server);
	if (post.len > sizeof(line) || strchr(text, '\n'))
		return within ? -EINVAL
			      : handoff__fail(&server->error, -EINVAL,
					"say: want one line of at most %d "
					"bytes",
					HANDOFF_SAY_MAX);
	memcpy(line, text, post.len - 1);
	line[post.len - 1] = '\n';
	err = post_from_outside(server, &post, HANDOFF__POST_LOSSY);
	if (err == -ETIMEDOUT)
		err = -EBUSY;
	return err < 0 && !within ? say_failed(server, id, err) : err;
}
