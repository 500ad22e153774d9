/* SPDX-License-Identifier: MIT */
/*
 * The handle of a peer and what the link brings. Decides nothing about
 * ownership (give.c) or copies (mirror.c).
 */
#include "peer/peer.h"

#include "peer/status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define DRAIN_MAX 4096 /* batches of messages */

static void on_message(struct handoff__link *link,
	const struct handoff__msg *msg, const int *fds, size_t nfds);
static void on_overflow(struct handoff__link *link);
static void on_writable(struct handoff__link *link);
static void on_closed(struct handoff__link *link, int err);

static const struct handoff__link_ops link_ops = {
	.message = on_message,
	.overflow = on_overflow,
	.writable = on_writable,
	.closed = on_closed,
};

const char *
handoff__peer_partner_text(const struct handoff__peer *peer, char text[64])
{
	snprintf(text, 64, "%s (pid %u)", peer->other.name, peer->other.pid);
	return text;
}

uint64_t
handoff__peer_generation(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	return board ? atomic_load(&board->generation) : 0;
}

bool
handoff__peer_away(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	return board && atomic_load(&board->away) != 0;
}

/* The other process is gone for certain: nothing of it runs any more. */
static void
partner_gone(struct handoff__peer *peer)
{
	const struct handoff__survival *survival = &peer->survival;

	handoff__pulse_stop(peer);
	handoff__survive(peer);
	peer->partner = HANDOFF__PARTNER_NONE;
	if (survival->serving || survival->entries > 0)
		handoff__tally_failover(peer);
	peer->ops->partner(peer, false);
	if (survival->serving || survival->entries > 0)
		peer->ops->failover(peer);
	memset(&peer->other, 0, sizeof(peer->other));
	handoff__loan_return(peer);
	handoff__join_candidates(peer);
}

static void
forget_process(struct handoff__peer *peer)
{
	handoff__watch_del(peer->loop, &peer->pidfd_watch);
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	peer->pidfd = -1;
}

/* What it sent before it died still counts: reads to the end of the link. */
static void
drain_link(struct handoff__peer *peer)
{
	for (int i = 0; i < DRAIN_MAX && peer->link.fd >= 0; i++)
		handoff__link_read(&peer->link);
	handoff__peer_cut(peer, "its process ended");
}

/* Does any process run that may touch what the other peer owns? */
static bool
other_lives(const struct handoff__peer *peer)
{
	return peer->pidfd >= 0 || peer->life >= 0;
}

void
handoff__peer_process_ended(struct handoff__peer *peer)
{
	if (other_lives(peer))
		return;
	if (peer->partner == HANDOFF__PARTNER_DYING)
		partner_gone(peer);
	else
		drain_link(peer);
}

static void
on_pidfd(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__peer *peer = watch->arg;

	(void)events;
	forget_process(peer);
	handoff__peer_process_ended(peer);
}

/* Ends the link. Until the pidfd tells that the process is gone too, and its
 * children with it, nothing that it owns is touched: it might still serve. */
void
handoff__peer_cut(struct handoff__peer *peer, const char *why)
{
	char who[64];

	if (peer->link.fd < 0)
		return;
	handoff__log(peer->log, HANDOFF_LOG_WARNING, "link: %s is gone: %s",
		handoff__peer_partner_text(peer, who), why);
	handoff__link_close(&peer->link);
	peer->partner = HANDOFF__PARTNER_DYING;
	handoff__mirror_forget(peer);
	handoff__give_broken(peer);
	if (!other_lives(peer))
		partner_gone(peer);
}

/* Sends what a new partner must have. Takes `fd` over. */
int
handoff__peer_adopt_link(
	struct handoff__peer *peer, int fd, const struct handoff__hello *hello)
{
	int pid = handoff__peer_pid(fd, false);
	struct handoff__msg ready = {.type = HANDOFF__READY};
	int err;

	peer->pidfd = pid > 0 ? pidfd_open(pid, 0) : pid;
	if (peer->pidfd < 0) {
		err = pid > 0 ? -errno : pid;
		close(fd);
		return handoff__fail(&peer->error, err,
			"link: cannot watch process %d: %s", pid,
			strerror(-err));
	}
	err = handoff__link_open(&peer->link, fd);
	if (err >= 0)
		err = handoff__watch_add(
			peer->loop, &peer->pidfd_watch, peer->pidfd, EPOLLIN);
	if (err < 0) {
		handoff__link_close(&peer->link);
		close(peer->pidfd);
		peer->pidfd = -1;
		return handoff__fail(&peer->error, err,
			"link: cannot watch it: %s", strerror(-err));
	}
	peer->other = *hello;
	peer->other.pid = (uint32_t)pid;
	peer->partner = HANDOFF__PARTNER_GREETED;
	peer->segments_sent = 0;
	peer->refusal[0] = '\0';
	if (handoff__peer_drifted(peer, hello))
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"link: %s (pid %d) has another configuration than this "
			"peer",
			hello->name, pid);
	handoff__pulse_start(peer);
	handoff__loan_give(peer);
	if (peer->serving)
		handoff__mirror_all(peer);
	if (peer->start_fd < 0)
		handoff__link_send(&peer->link, &ready, -1);
	return 0;
}

static void
on_ready(struct handoff__peer *peer, const struct handoff__msg *msg)
{
	if (peer->partner == HANDOFF__PARTNER_GREETED) {
		peer->partner = HANDOFF__PARTNER_READY;
		peer->ops->partner(peer, true);
	} else {
		handoff__give_on_ready(peer, msg);
	}
}

static void
on_segment(struct handoff__peer *peer, const struct handoff__msg *msg, int fd)
{
	int err;

	if (fd < 0) {
		handoff__peer_cut(peer, "a segment came without a descriptor");
		return;
	}
	err = handoff__arena_add(&peer->arena, msg->index, fd,
		peer->config.service->state_size, &peer->error);
	if (err < 0)
		handoff__peer_cut(peer, peer->error.text);
	else
		peer->segments_sent = peer->arena.count;
}

static void
close_fds(const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

/* How many descriptors belong to the message. */
static size_t
fds_of(const struct handoff__msg *msg)
{
	if (msg->type == HANDOFF__MIRROR)
		return msg->nrefs;
	return msg->type == HANDOFF__SEGMENT || msg->type == HANDOFF__LEND ||
	       msg->type == HANDOFF__LIFE;
}

static void
on_message(struct handoff__link *link, const struct handoff__msg *msg,
	const int *fds, size_t nfds)
{
	struct handoff__peer *peer = link->arg;
	size_t wanted = fds_of(msg);

	peer->pulse.heard_us = handoff__now_us();
	if (nfds != wanted) {
		close_fds(fds, nfds);
		handoff__peer_cut(peer, "descriptors and message disagree");
		return;
	}
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__SEGMENT:
		on_segment(peer, msg, fds[0]);
		return;
	case HANDOFF__MIRROR:
		handoff__mirror_arrived(peer, msg, fds, nfds);
		return;
	case HANDOFF__HELD:
		handoff__mirror_answered(peer, msg);
		return;
	case HANDOFF__DROP:
		handoff__mirror_dropped(peer, msg);
		return;
	case HANDOFF__MOVE:
		handoff__give_on_move(peer, msg);
		return;
	case HANDOFF__TAKE:
		handoff__give_on_take(peer, msg);
		return;
	case HANDOFF__READY:
		on_ready(peer, msg);
		return;
	case HANDOFF__GAVE:
		handoff__give_on_gave(peer, msg);
		return;
	case HANDOFF__BYE:
		handoff__peer_cut(
			peer, handoff__reason_text(
				      (enum handoff__reason)msg->reason));
		return;
	case HANDOFF__HELLO:
		handoff__peer_cut(peer, "it said HELLO twice");
		return;
	case HANDOFF__LEND:
		handoff__loan_keep(peer, fds[0]);
		return;
	case HANDOFF__LIFE:
		handoff__loan_life(peer, fds[0]);
		return;
	case HANDOFF__SAY:
		peer->ops->said(peer);
		return;
	case HANDOFF__BEAT:
		return;
	}
}

static void
on_overflow(struct handoff__link *link)
{
	handoff__mirror_overflow(link->arg);
}

static void
on_writable(struct handoff__link *link)
{
	handoff__mirror_pump(link->arg);
}

static void
on_closed(struct handoff__link *link, int err)
{
	handoff__peer_cut(link->arg, err == -ECONNRESET ? "end of the link"
				     : err == -EBADMSG
					     ? "it sent what is not a message"
					     : strerror(-err));
}

int
handoff__peer_open(struct handoff__peer *peer,
	const struct handoff__peer_config *config, struct handoff__loop *loop,
	const struct handoff__log *log, const struct handoff__peer_ops *ops,
	void *arg)
{
	const struct handoff_service *service = config->service;
	int err;

	memset(peer, 0, sizeof(*peer));
	peer->config = *config;
	handoff__copy(peer->name, sizeof(peer->name), config->name);
	peer->loop = loop;
	peer->log = log;
	peer->ops = ops;
	peer->arg = arg;
	peer->dir.fd = peer->lock_fd = peer->start_fd = peer->listen_fd = -1;
	peer->pidfd = peer->life = -1;
	peer->listen_watch.fd = peer->life_watch.fd = -1;
	peer->pidfd_watch =
		(struct handoff__watch){.fd = -1, .fn = on_pidfd, .arg = peer};
	peer->mirror_max = HANDOFF_FDPASS_MAX;
	handoff__link_init(&peer->link, loop, &link_ops, peer);
	handoff__arena_init(&peer->arena);
	handoff__roster_init(&peer->roster, &peer->arena, config->cell_size);
	handoff__give_init(peer);
	peer->arena.version = service->state_version;
	err = handoff__geometry_make(&peer->geo, service->state_size,
		service->input_size, service->output_size);
	peer->geo.state_version = service->state_version;
	if (err < 0)
		return handoff__fail(&peer->error, err,
			"service %s: state_size is at most %u, input_size and "
			"output_size at most %u bytes",
			service->name, HANDOFF__STATE_MAX, HANDOFF__BUFFER_MAX);
	peer->lacks = handoff__kernel_lacks();
	handoff__status_lacks(peer);
	return handoff__join(peer);
}

int
handoff__peer_own(struct handoff__peer *peer, uint64_t generation)
{
	int err = handoff__arena_grow(&peer->arena, &peer->geo);
	struct handoff__board *board;

	if (err < 0)
		return handoff__fail(&peer->error, err,
			"arena: cannot make a segment of %llu bytes: %s",
			(unsigned long long)peer->geo.size, strerror(-err));
	board = handoff__arena_board(&peer->arena);
	atomic_store(&board->generation, generation);
	atomic_store(&board->owner, (uint32_t)peer->slot);
	peer->serving = true;
	handoff__mirror_segments(peer);
	return 0;
}

void
handoff__peer_started(struct handoff__peer *peer)
{
	struct handoff__msg ready = {.type = HANDOFF__READY};

	if (peer->start_fd >= 0)
		close(peer->start_fd);
	peer->start_fd = -1;
	if (peer->link.fd >= 0)
		handoff__link_send(&peer->link, &ready, -1);
}

void
handoff__peer_close(struct handoff__peer *peer)
{
	struct handoff__msg bye = {
		.type = HANDOFF__BYE, .reason = HANDOFF__LEAVING};

	if (peer->link.fd >= 0)
		handoff__link_try(&peer->link, &bye, NULL, 0);
	handoff__link_close(&peer->link);
	forget_process(peer);
	handoff__timer_disarm(peer->loop, &peer->give.deadline);
	handoff__pulse_stop(peer);
	handoff__loan_fini(peer);
	handoff__roster_fini(&peer->roster);
	handoff__arena_fini(&peer->arena);
	handoff__join_leave(peer);
}

static bool
is_vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__entry *entry = handoff__roster_cell(arg, segment, slot);

	return entry && entry->id == 0;
}

int
handoff__peer_alloc(
	struct handoff__peer *peer, uint32_t *segment, uint32_t *slot)
{
	int err = handoff__arena_alloc(&peer->arena, (uint32_t)peer->slot,
		is_vacant, &peer->roster, segment, slot);

	if (err != -ENOSPC)
		return err;
	err = handoff__arena_grow(&peer->arena, &peer->geo);
	if (err < 0)
		return err;
	handoff__mirror_segments(peer);
	return handoff__arena_alloc(&peer->arena, (uint32_t)peer->slot,
		is_vacant, &peer->roster, segment, slot);
}

struct handoff__entry *
handoff__peer_enter(struct handoff__peer *peer, int fd, enum handoff__kind kind,
	const char *name, int *err)
{
	struct handoff__board *board;
	struct handoff__record *rec;
	struct handoff__entry *entry;
	uint32_t segment, slot;

	*err = handoff__peer_alloc(peer, &segment, &slot);
	if (*err < 0) {
		close(fd);
		return NULL;
	}
	board = handoff__arena_board(&peer->arena);
	rec = handoff__arena_record(&peer->arena, segment, slot);
	rec->kind = kind;
	handoff__record_set_id(
		rec, handoff__board_number(board, kind == HANDOFF__CONNECTION) |
			     (uint64_t)(kind != HANDOFF__CONNECTION) << 63);
	entry = handoff__roster_cell(&peer->roster, segment, slot);
	handoff__roster_enter(&peer->roster, entry, segment, slot, fd, true);
	if (name)
		handoff__record_set_name(&entry->view, name);
	else
		handoff__record_listen(&entry->view);
	*err = peer->ops->entered(peer, entry);
	if (*err < 0) {
		handoff__arena_clear(&peer->arena, segment, slot);
		atomic_store(&rec->owner, 0);
		handoff__roster_vacate(&peer->roster, entry);
		return NULL;
	}
	handoff__tally_begun(peer, entry);
	if (peer->link.fd >= 0)
		handoff__roster_queue(entry, &peer->roster.to_mirror);
	return entry;
}

void
handoff__peer_end(struct handoff__peer *peer, struct handoff__entry *entry)
{
	bool known = peer->link.fd >= 0 &&
		     (entry->copy == HANDOFF__COPY_SENT ||
			     entry->copy == HANDOFF__COPY_HELD);

	bool barrier = entry->barrier, leaving = entry->leaving;

	assert(entry->mine);
	entry->barrier = entry->leaving = false;
	peer->ops->closing(peer, entry);
	handoff__tally_ended(peer, entry);
	handoff__arena_clear(&peer->arena, entry->segment, entry->slot);
	atomic_store(&entry->view.rec->owner, 0);
	handoff__roster_close(&peer->roster, entry);
	if (known)
		handoff__roster_queue(entry, &peer->roster.to_drop);
	else
		handoff__roster_vacate(&peer->roster, entry);
	/* Not before: a give that goes on looks at all that live. */
	handoff__give_ended(peer, barrier, leaving);
}

void
handoff__peer_flush(struct handoff__peer *peer)
{
	if (!TAILQ_EMPTY(&peer->roster.to_drop) ||
		!TAILQ_EMPTY(&peer->roster.to_mirror))
		handoff__mirror_pump(peer);
}

void
handoff__peer_say(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = HANDOFF__SAY};

	if (peer->link.fd >= 0)
		handoff__link_send(&peer->link, &msg, -1);
}

static void
close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Nothing is taken out of an epoll set: that is the parent's too. */
void
handoff__peer_forked(
	struct handoff__peer *peer, const struct handoff__entry *keep)
{
	struct handoff__entry *e = NULL;

	close_if(peer->link.fd);
	close_if(peer->listen_fd);
	close_if(peer->start_fd);
	close_if(peer->lock_fd);
	close_if(peer->pidfd);
	close_if(peer->life);
	close_if(peer->dir.fd);
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++)
		close_if(peer->pending[i].fd);
	for (size_t i = 0; i < peer->nborrowed; i++)
		close(peer->borrowed[i]);
	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (e != keep)
			close(e->fd);
	}
}
