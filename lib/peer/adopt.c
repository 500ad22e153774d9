/* SPDX-License-Identifier: MIT */
/*
 * Adopts a link that both peers have just agreed on, new or renewed: watches
 * the other process, and sends the partner what it needs first. Does not know
 * how the two have met.
 */
#include "peer/adopt.h"

#include "peer/core.h"
#include "peer/death.h"
#include "peer/fence.h"
#include "peer/loading.h"
#include "peer/loan.h"
#include "peer/mirror.h"
#include "peer/partner.h"
#include "peer/pulse.h"

#include <string.h>
#include <unistd.h>

static int
open_link(struct handoff__pair *pair, int fd, int passed,
	const struct handoff__hello *hello, bool again)
{
	pid_t pid = (pid_t)hello->pid;
	int err = 0;

	if (!again) {
		handoff__death_forget_process(pair);
		err = handoff__death_watch(pair, fd, passed, &pid);
		if (err < 0) {
			close(fd);
			return err;
		}
	} else if (passed >= 0) {
		close(passed);
	}
	err = handoff__link_open(&pair->link, fd);
	if (err < 0 && !again)
		handoff__death_forget_process(pair);
	if (err < 0)
		return handoff__fail(&pair->error, err,
			"link: cannot watch it: %s", strerror(-err));
	pid = again     ? (pid_t)pair->other.pid
	      : pid > 0 ? pid
			: (pid_t)hello->pid;
	pair->other = *hello;
	pair->other.pid = (uint32_t)pid;
	return 0;
}

int
handoff__adopt_link(struct handoff__pair *pair, int fd, int passed,
	const struct handoff__hello *hello)
{
	bool again = handoff__partner_again(pair, hello);
	struct handoff__msg ready = {.type = HANDOFF__READY};
	int err = open_link(pair, fd, passed, hello, again);
	char who[64];

	if (err < 0)
		return err;
	pair->partner = HANDOFF__PARTNER_GREETED;
	pair->rejoin.again = again;
	pair->rejoin.up_us = handoff__now_us();
	pair->segments_sent = again && hello->segments < pair->arena.count
				      ? hello->segments
			      : again ? pair->arena.count
				      : 0;
	pair->refusal[0] = pair->cut_why[0] = '\0';
	pair->other_leaving = pair->other_left = pair->ended = false;
	pair->other_loading[0] = '\0';
	if (handoff__partner_drifted(pair, hello))
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"link: %s has a different configuration from this peer",
			handoff__pair_partner_text(pair, who));
	handoff__fence_check(pair);
	if (again)
		handoff__loan_return(pair);
	handoff__pulse_start(pair);
	handoff__loan_give(pair);
	if (pair->serving || again)
		handoff__mirror_all(pair);
	if (pair->leaving)
		handoff__link_send(&pair->link,
			&(struct handoff__msg){.type = HANDOFF__LEAVE}, -1);
	if (pair->loading[0])
		handoff__loading_tell(pair);
	if (pair->start_fd < 0)
		handoff__link_send(&pair->link, &ready, -1);
	return 0;
}
