/* SPDX-License-Identifier: MIT */
/*
 * A link that has just been agreed upon, new or made anew: what is watched
 * from then on, and what the partner is sent first. How the two have met is
 * not known here.
 */
#include "peer/adopt.h"

#include "peer/core.h"
#include "peer/death.h"
#include "peer/fence.h"
#include "peer/loan.h"
#include "peer/mirror.h"
#include "peer/partner.h"
#include "peer/pulse.h"

#include <string.h>
#include <unistd.h>

static int
open_link(struct handoff__peer *peer, int fd, int passed,
	const struct handoff__hello *hello, bool again)
{
	pid_t pid = (pid_t)hello->pid;
	int err = 0;

	if (!again) {
		handoff__death_forget_process(peer);
		err = handoff__death_watch(peer, fd, passed, &pid);
		if (err < 0) {
			close(fd);
			return err;
		}
	} else if (passed >= 0) {
		close(passed);
	}
	err = handoff__link_open(&peer->link, fd);
	if (err < 0 && !again)
		handoff__death_forget_process(peer);
	if (err < 0)
		return handoff__fail(&peer->error, err,
			"link: cannot watch it: %s", strerror(-err));
	pid = again     ? (pid_t)peer->other.pid
	      : pid > 0 ? pid
			: (pid_t)hello->pid;
	peer->other = *hello;
	peer->other.pid = (uint32_t)pid;
	return 0;
}

/* Sends what a new partner must have. */
int
handoff__adopt_link(struct handoff__peer *peer, int fd, int passed,
	const struct handoff__hello *hello)
{
	bool again = handoff__partner_again(peer, hello);
	struct handoff__msg ready = {.type = HANDOFF__READY};
	int err = open_link(peer, fd, passed, hello, again);
	char who[64];

	if (err < 0)
		return err;
	peer->partner = HANDOFF__PARTNER_GREETED;
	peer->rejoin.again = again;
	peer->rejoin.up_us = handoff__now_us();
	peer->segments_sent = again && hello->segments < peer->arena.count
				      ? hello->segments
			      : again ? peer->arena.count
				      : 0;
	peer->refusal[0] = peer->cut_why[0] = '\0';
	peer->other_leaving = peer->other_left = peer->ended = false;
	if (handoff__partner_drifted(peer, hello))
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"link: %s has another configuration than this peer",
			handoff__peer_partner_text(peer, who));
	handoff__fence_check(peer);
	if (again)
		handoff__loan_return(peer);
	handoff__pulse_start(peer);
	handoff__loan_give(peer);
	if (peer->serving || again)
		handoff__mirror_all(peer);
	if (peer->leaving)
		handoff__link_send(&peer->link,
			&(struct handoff__msg){.type = HANDOFF__LEAVE}, -1);
	if (peer->start_fd < 0)
		handoff__link_send(&peer->link, &ready, -1);
	return 0;
}
