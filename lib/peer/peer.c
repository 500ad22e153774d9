/* SPDX-License-Identifier: MIT */
/*
 * The handle of a peer: opened, made the owner of a service, started, retired,
 * closed. What happens in between is dispatch.c's.
 */
#include "peer/peer.h"

#include "peer/candidates.h"
#include "peer/core.h"
#include "peer/death.h"
#include "peer/dispatch.h"
#include "peer/join.h"
#include "peer/loan.h"
#include "peer/mirror.h"
#include "peer/pulse.h"
#include "peer/rejoin.h"
#include "peer/status.h"
#include "peer/upkeep.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

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
	handoff__link_init(&peer->link, loop, &handoff__dispatch_ops, peer);
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
