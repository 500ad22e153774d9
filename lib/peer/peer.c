/* SPDX-License-Identifier: MIT */
/*
 * The handle of a peer, what the link brings, and what follows from it after
 * the turn. Decides nothing about ownership (give.c, take.c) or copies
 * (mirror.c).
 */
#include "peer/peer.h"

#include "peer/status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#define DRAIN_MAX 4096 /* batches of messages */
#define ACTS_MAX  64

static void on_message(struct handoff__link *link,
	const struct handoff__msg *msg, const int *fds, size_t nfds);
static void on_lost(struct handoff__link *link, const struct handoff__msg *msg);
static void on_writable(struct handoff__link *link);

static const struct handoff__link_ops link_ops = {
	.message = on_message,
	.lost = on_lost,
	.writable = on_writable,
};

/* The other process is gone for certain, or touches nothing any more: what it
 * had is ours. */
static void
partner_gone(struct handoff__peer *peer)
{
	const struct handoff__survival *survival = &peer->survival;

	handoff__pulse_stop(peer);
	handoff__rejoin_end(peer);
	handoff__survive(peer);
	peer->partner = HANDOFF__PARTNER_NONE;
	peer->other_leaving = peer->other_left = false;
	if (survival->serving || survival->entries > 0)
		handoff__tally_failover(peer);
	peer->ops->partner(peer, false);
	if (survival->serving || survival->entries > 0)
		peer->ops->failover(peer);
	memset(&peer->other, 0, sizeof(peer->other));
	handoff__loan_return(peer);
}

/* What it sent before the link broke still counts. */
static void
drain_link(struct handoff__peer *peer)
{
	for (int i = 0; i < DRAIN_MAX && handoff__link_read(&peer->link); i++)
		;
}

static const char *
cut_text(const struct handoff__peer *peer)
{
	if (peer->cut_why[0])
		return peer->cut_why;
	switch (peer->link.broken) {
	case 0:
		return "its process ended";
	case -ECONNRESET:
	case -EPIPE:
		return "end of the link";
	case -EBADMSG:
		return "it sent what is not a message";
	case -ENOBUFS:
		return "it does not read its link";
	default:
		return strerror(-peer->link.broken);
	}
}

/* Ends the link. Until the pidfd tells that the process is gone too, and its
 * children with it, nothing that it owns is touched: it might still serve. */
static void
cut(struct handoff__peer *peer)
{
	char who[64];

	drain_link(peer);
	handoff__log(peer->log, HANDOFF_LOG_WARNING, "link: closed to %s: %s",
		handoff__peer_partner_text(peer, who), cut_text(peer));
	handoff__link_close(&peer->link);
	peer->partner = HANDOFF__PARTNER_APART;
	/* What is taken back counts as held, as far as the give knows. */
	handoff__give_broken(peer);
	handoff__take_broken(peer);
	handoff__mirror_forget(peer);
	if (peer->other_left) {
		handoff__death_forget_process(peer);
		handoff__death_forget_children(peer);
	}
	if (handoff__death_certain(peer))
		partner_gone(peer);
	else
		handoff__rejoin_begin(peer);
}

/* A link that a candidate brings is one that need not be dialled any more. */
static bool
answer_candidates(struct handoff__peer *peer)
{
	if (!handoff__candidates_answer(peer))
		return false;
	if (peer->partner != HANDOFF__PARTNER_APART)
		handoff__rejoin_end(peer);
	return true;
}

/* Does one thing of those that were noted. False if there is none. */
static bool
act(struct handoff__peer *peer)
{
	bool gone = peer->ended && handoff__death_certain(peer);

	peer->ended = false;
	if (peer->link.fd >= 0 && (peer->link.broken != 0 || gone)) {
		cut(peer);
		return true;
	}
	if (gone && peer->partner == HANDOFF__PARTNER_APART) {
		partner_gone(peer);
		return true;
	}
	return handoff__take_proceed(peer) || handoff__give_proceed(peer) ||
	       answer_candidates(peer);
}

bool
handoff__peer_after_turn(struct handoff__peer *peer)
{
	bool acted = false;

	peer->noted = false;
	if (peer->left)
		return false;
	if (peer->pulse.due)
		handoff__beat(peer);
	for (int i = 0; i < ACTS_MAX; i++) {
		if (act(peer)) {
			acted = true;
			continue;
		}
		if (peer->grown || !TAILQ_EMPTY(&peer->roster.to_drop) ||
			!TAILQ_EMPTY(&peer->roster.to_mirror))
			handoff__mirror_pump(peer);
		if (peer->link.fd < 0 || peer->link.broken == 0)
			break;
	}
	return acted;
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
		handoff__core_break(peer, "descriptors and message disagree");
		return;
	}
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__SEGMENT:
		handoff__copies_on_segment(peer, msg, fds[0]);
		return;
	case HANDOFF__MIRROR:
		handoff__copies_arrived(peer, msg, fds, nfds);
		return;
	case HANDOFF__HELD:
		handoff__mirror_answered(peer, msg);
		return;
	case HANDOFF__DROP:
		handoff__copies_dropped(peer, msg);
		return;
	case HANDOFF__MOVE:
		handoff__take_on_move(peer, msg);
		return;
	case HANDOFF__TAKE:
		handoff__moves_on_take(peer, msg);
		return;
	case HANDOFF__READY:
		on_ready(peer, msg);
		return;
	case HANDOFF__GAVE:
		handoff__take_on_gave(peer, msg);
		return;
	case HANDOFF__BYE:
		peer->other_leaving = peer->other_left = true;
		handoff__core_break(
			peer, handoff__reason_text(
				      (enum handoff__reason)msg->reason));
		return;
	case HANDOFF__HELLO:
		handoff__core_break(peer, "it said HELLO twice");
		return;
	case HANDOFF__LEND:
		handoff__loan_keep(peer, fds[0]);
		return;
	case HANDOFF__LIFE:
		handoff__death_watch_children(peer, fds[0]);
		return;
	case HANDOFF__SAY:
		peer->ops->said(peer);
		return;
	case HANDOFF__BEAT:
		if (handoff__pulse_on_beat(peer, msg))
			handoff__reconcile(peer);
		return;
	case HANDOFF__LEAVE:
		peer->other_leaving = true;
		return;
	case HANDOFF__LOST:
		handoff__mirror_lost(peer, msg);
		return;
	}
}

/* The descriptor table is full. */
static void
on_lost(struct handoff__link *link, const struct handoff__msg *msg)
{
	struct handoff__peer *peer = link->arg;

	peer->pulse.heard_us = handoff__now_us();
	switch ((enum handoff__msg_type)msg->type) {
	case HANDOFF__MIRROR:
		handoff__copies_overflow(peer, msg);
		return;
	case HANDOFF__SEGMENT:
		handoff__copies_lost_segment(peer, msg);
		return;
	case HANDOFF__LEND:
		return; /* its process is slower to die */
	default:
		/* Without its LIFE nobody knows when its children are gone. */
		handoff__core_break(peer,
			"a descriptor that must not be lost found no room in "
			"the table");
	}
}

static void
on_writable(struct handoff__link *link)
{
	handoff__mirror_pump(link->arg);
}

/* Told apart, not kept secret. */
static uint64_t
random_number(void)
{
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) !=
			(ssize_t)sizeof(number) ||
		number == 0)
		number = (uint64_t)handoff__now_us() << 20 ^ (uint64_t)getpid();
	return number;
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
	handoff__death_init(peer);
	peer->mirror_max = HANDOFF_FDPASS_MAX;
	handoff__link_init(&peer->link, loop, &link_ops, peer);
	handoff__arena_init(&peer->arena);
	handoff__roster_init(&peer->roster, &peer->arena, config->cell_size);
	handoff__core_init(peer);
	handoff__rejoin_init(peer);
	peer->instance = random_number();
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
	board->id = random_number();
	atomic_store(&board->generation, generation);
	handoff__owner_set(&board->owner, (uint32_t)peer->slot);
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
	handoff__upkeep_start(peer);
	if (peer->link.fd >= 0)
		handoff__link_send(&peer->link, &ready, -1);
}

void
handoff__peer_leave(struct handoff__peer *peer)
{
	struct handoff__msg leave = {.type = HANDOFF__LEAVE};

	if (!peer->leaving && handoff__link_up(&peer->link))
		handoff__link_send(&peer->link, &leave, -1);
	peer->leaving = true;
	handoff__upkeep_stop(peer);
}

void
handoff__peer_retire(struct handoff__peer *peer)
{
	handoff__peer_leave(peer);
	peer->left = true;
	handoff__watch_del(peer->loop, &peer->link.watch);
	handoff__timer_disarm(peer->loop, &peer->link.retry);
	handoff__timer_disarm(peer->loop, &peer->move.deadline);
	handoff__death_forget_process(peer);
	handoff__death_forget_children(peer);
	handoff__pulse_stop(peer);
	handoff__rejoin_end(peer);
	handoff__candidates_deafen(peer);
}

void
handoff__peer_close(struct handoff__peer *peer, bool quiet)
{
	struct handoff__msg bye = {
		.type = HANDOFF__BYE, .reason = HANDOFF__LEAVING};

	handoff__peer_retire(peer);
	if (quiet)
		handoff__link_try(&peer->link, &bye, NULL, 0);
	handoff__link_close(&peer->link);
	handoff__upkeep_fini(peer);
	handoff__loan_fini(peer);
	handoff__roster_fini(&peer->roster);
	handoff__arena_fini(&peer->arena);
	handoff__join_leave(peer);
}

struct handoff__entry *
handoff__peer_enter(struct handoff__peer *peer, int fd, enum handoff__kind kind,
	const char *name, int *err)
{
	struct handoff__board *board;
	struct handoff__record *rec;
	struct handoff__entry *entry;
	uint32_t segment, slot;

	*err = handoff__core_alloc(peer, &segment, &slot);
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
		handoff__owner_set(&rec->owner, 0);
		handoff__roster_vacate(&peer->roster, entry);
		return NULL;
	}
	handoff__tally_begun(peer, entry);
	if (peer->link.fd >= 0)
		handoff__roster_queue(entry, &peer->roster.to_mirror);
	peer->noted = true;
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
	handoff__owner_set(&entry->view.rec->owner, 0);
	handoff__roster_close(&peer->roster, entry);
	if (known)
		handoff__roster_queue(entry, &peer->roster.to_drop);
	else
		handoff__roster_vacate(&peer->roster, entry);
	/* Not before: a give that goes on looks at all that live. */
	handoff__barrier_ended(peer, barrier, leaving);
}

void
handoff__peer_say(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = HANDOFF__SAY};

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
	close_if(peer->rejoin.dial.fd);
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		close_if(peer->pending[i].fd);
		close_if(peer->pending[i].passed);
	}
	for (size_t i = 0; i < peer->nborrowed; i++)
		close(peer->borrowed[i]);
	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (e != keep)
			close(e->fd);
	}
}
