/* SPDX-License-Identifier: MIT */
/*
 * The handle of a peer: opened, made the owner of a service, started, retired,
 * closed. Everything in between is dispatch.c's.
 */
#include "peer/pair.h"

#include "peer/away.h"
#include "peer/candidates.h"
#include "peer/core.h"
#include "peer/death.h"
#include "peer/dispatch.h"
#include "peer/guard.h"
#include "peer/join.h"
#include "peer/loan.h"
#include "peer/mirror.h"
#include "peer/pulse.h"
#include "peer/rejoin.h"
#include "peer/status.h"
#include "peer/upkeep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* identifies a peer, no secret */
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

static int64_t
unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
handoff__pair_open(struct handoff__pair *pair,
	const struct handoff__pair_config *config, struct handoff__loop *loop,
	const struct handoff__log *log, const struct handoff__pair_ops *ops,
	void *arg)
{
	const struct handoff_service *service = config->service;
	int err;

	memset(pair, 0, sizeof(*pair));
	pair->config = *config;
	pair->known.name = pair->identity.service;
	if (config->carrier)
		pair->config.service = service = &pair->known;
	handoff__copy(pair->name, sizeof(pair->name), config->name);
	pair->loop = loop;
	pair->log = log;
	pair->ops = ops;
	pair->arg = arg;
	pair->dir.fd = pair->lock_fd = pair->start_fd = pair->listen_fd = -1;
	handoff__death_init(pair);
	pair->mirror_max = HANDOFF_FDPASS_MAX;
	handoff__link_init(&pair->link, loop, &handoff__dispatch_ops, pair);
	handoff__arena_init(&pair->arena);
	handoff__roster_init(&pair->roster, &pair->arena, config->entry_size);
	/* without memory it searches */
	if (config->carrier)
		handoff__roster_know_ids(&pair->roster);
	handoff__core_init(pair);
	handoff__guard_init(pair);
	handoff__rejoin_init(pair);
	pair->instance = random_number();
	pair->started_ms = unix_ms();
	pair->arena.version = service->state_version;
	/* a carrier does not know whether what it carries is */
	pair->arena.secret = config->carrier || service->secret;
	pair->arena.lock = config->lock_memory;
	if (config->origin > HANDOFF__ORIGIN_MAX)
		return handoff__fail(&pair->error, -EINVAL,
			"service %s: an origin is at most %u", service->name,
			HANDOFF__ORIGIN_MAX);
	err = handoff__geometry_make(&pair->geo, service->state_size,
		service->input_size, service->output_size);
	if (err >= 0)
		err = handoff__geometry_extend(
			&pair->geo, service->pass_size, service->post_size, 0);
	if (err >= 0 && service->state_grows)
		handoff__geometry_fold(&pair->geo);
	pair->geo.state_version = service->state_version;
	if (err < 0)
		return handoff__fail(&pair->error, err,
			"service %s: state_size is at most %u, input_size, "
			"output_size and pass_size at most %u bytes, post_size "
			"at most %u",
			service->name, HANDOFF__STATE_MAX, HANDOFF__BUFFER_MAX,
			HANDOFF__SHARED_MAX);
	err = config->lock_memory
		      ? handoff__arena_may_lock(pair->geo.size, &pair->error)
		      : 0;
	if (err >= 0)
		err = handoff__guard_open(pair);
	if (err < 0)
		return err;
	pair->lacks = handoff__kernel_lacks();
	handoff__status_lacks(pair);
	return handoff__join(pair);
}

int
handoff__pair_own(struct handoff__pair *pair, uint64_t generation)
{
	int err = pair->config.carrier && !pair->identity.service[0]
			  ? -EINVAL
			  : handoff__arena_grow(&pair->arena, &pair->geo);
	struct handoff__board *board;

	if (err < 0)
		return handoff__fail(&pair->error, err,
			"arena: cannot create a segment of %llu bytes: %s",
			(unsigned long long)pair->geo.size, strerror(-err));
	handoff__core_share(pair);
	board = handoff__arena_board(&pair->arena);
	board->id = random_number();
	handoff__board_begin(board, pair->config.origin);
	atomic_store(&board->generation, generation);
	handoff__owner_set(&board->owner, (uint32_t)pair->place);
	if (pair->hosted) {
		handoff__away_set_home(board, pair->name, pair->instance);
		atomic_store(&board->away, HANDOFF__AWAY_HOST);
	}
	pair->hosted = false;
	handoff__guard_claim(pair);
	pair->serving = true;
	handoff__mirror_segments(pair);
	return 0;
}

void
handoff__pair_started(struct handoff__pair *pair)
{
	struct handoff__msg ready = {.type = HANDOFF__READY};

	if (pair->start_fd >= 0)
		close(pair->start_fd);
	pair->start_fd = -1;
	handoff__upkeep_start(pair);
	if (pair->link.fd >= 0)
		handoff__link_send(&pair->link, &ready, -1);
}

void
handoff__pair_leave(struct handoff__pair *pair)
{
	struct handoff__msg leave = {.type = HANDOFF__LEAVE};

	if (!pair->leaving && handoff__link_up(&pair->link))
		handoff__link_send(&pair->link, &leave, -1);
	/* a peer that stops does not wait long for another to be ready */
	if (!pair->leaving && pair->give.step == HANDOFF__GIVE_LOAD)
		handoff__core_set_deadline(pair, pair->config.give_timeout_ms);
	pair->leaving = true;
	handoff__upkeep_stop(pair);
}

void
handoff__pair_retire(struct handoff__pair *pair)
{
	handoff__pair_leave(pair);
	pair->left = true;
	handoff__watch_del(pair->loop, &pair->link.watch);
	handoff__timer_disarm(pair->loop, &pair->link.retry);
	handoff__timer_disarm(pair->loop, &pair->move.deadline);
	handoff__death_forget_process(pair);
	handoff__death_forget_children(pair);
	handoff__pulse_stop(pair);
	handoff__rejoin_end(pair);
	handoff__candidates_stop(pair);
	handoff__guard_retire(pair);
}

void
handoff__pair_close(struct handoff__pair *pair, bool quiet)
{
	struct handoff__msg bye = {
		.type = HANDOFF__BYE, .reason = HANDOFF__LEAVING};

	pair->guard.lingers = false;
	handoff__pair_retire(pair);
	if (quiet)
		handoff__link_try(&pair->link, &bye, NULL, 0);
	handoff__link_close(&pair->link);
	handoff__upkeep_fini(pair);
	handoff__loan_fini(pair);
	handoff__roster_fini(&pair->roster);
	handoff__roster_forget_ids(&pair->roster);
	handoff__arena_fini(&pair->arena);
	handoff__join_leave(pair);
}

void
handoff__pair_say(struct handoff__pair *pair)
{
	struct handoff__msg msg = {.type = HANDOFF__SAY};

	handoff__link_send(&pair->link, &msg, -1);
}

static void
close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
handoff__pair_forking(struct handoff__pair *pair)
{
	handoff__loan_settle(pair);
}

/* Nothing is removed from an epoll set: the sets are shared with the parent. */
void
handoff__pair_forked(struct handoff__pair *pair,
	const struct handoff__roster_entry *keep,
	const struct handoff__roster_entry *other)
{
	struct handoff__roster_entry *e = NULL;

	handoff__arena_name(&pair->arena,
		handoff__lock_name((uint32_t)pair->place, (uint32_t)getpid()));
	close_if(pair->link.fd);
	close_if(pair->listen_fd);
	close_if(pair->start_fd);
	close_if(pair->lock_fd);
	close_if(pair->pidfd);
	close_if(pair->life);
	close_if(pair->dir.fd);
	close_if(pair->rejoin.dial.fd);
	handoff__guard_forked(pair);
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		close_if(pair->pending[i].fd);
		close_if(pair->pending[i].passed);
	}
	for (size_t i = 0; i < pair->nborrowed; i++)
		close(pair->borrowed[i]);
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e != keep && e != other)
			close(e->fd);
	}
}

void
handoff__pair_abandon(struct handoff__pair *pair)
{
	handoff__pair_forked(pair, NULL, NULL);
	for (size_t i = 0; i < HANDOFF__SEGMENTS_MAX; i++) {
		free(pair->roster.entries[i]);
		pair->roster.entries[i] = NULL;
		free(pair->roster.rings[i]);
		pair->roster.rings[i] = NULL;
	}
	handoff__roster_forget_ids(&pair->roster);
	handoff__arena_fini(&pair->arena);
	free(pair->upkeep.path);
	pair->upkeep.path = NULL;
}
