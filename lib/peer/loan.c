/* SPDX-License-Identifier: MIT */
/*
 * Descriptors lent to the other peer so that this one dies faster: taking an
 * epoll set with thousands of members down is most of what the kernel does
 * when a process with as many connections ends, and nobody may serve before it
 * is done. While the other peer has a copy of the set it is not taken down
 * with the process; the survivor closes its copy later, beside its work.
 */
#include "peer/loan.h"

#include "base/high.h"
#include "peer/core.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAVE 8 /* descriptors that are needed more than a quicker death */

void
handoff__loan_give(struct handoff__peer *peer)
{
	struct handoff__msg msg = {.type = HANDOFF__LEND};

	for (size_t i = 0; i < peer->config.nlend; i++)
		handoff__link_send(&peer->link, &msg, peer->config.lend[i]);
	msg.type = HANDOFF__LIFE;
	if (peer->config.life > 0)
		handoff__link_send(&peer->link, &msg, peer->config.life);
}

void
handoff__loan_keep(struct handoff__peer *peer, int fd)
{
	if (peer->nborrowed < HANDOFF__LEND_MAX &&
		handoff__high_fits(fd, LEAVE))
		peer->borrowed[peer->nborrowed++] = handoff__high_raise(fd);
	else
		close(fd);
}

static void
close_all(const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

struct loan {
	int fds[HANDOFF__LEND_MAX];
	size_t nfds;
};

static void *
closer_main(void *arg)
{
	struct loan *loan = arg;

	close_all(loan->fds, loan->nfds);
	free(loan);
	return NULL;
}

static int
start_closer(struct handoff__peer *peer, struct loan *loan)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&peer->closer, NULL, closer_main, loan);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static void
join_closer(struct handoff__peer *peer)
{
	if (peer->closing)
		pthread_join(peer->closer, NULL);
	peer->closing = false;
}

void
handoff__loan_return(struct handoff__peer *peer)
{
	struct loan *loan;

	if (peer->nborrowed == 0)
		return;
	join_closer(peer);
	loan = malloc(sizeof(*loan));
	if (loan) {
		memcpy(loan->fds, peer->borrowed, sizeof(loan->fds));
		loan->nfds = peer->nborrowed;
		peer->closing = start_closer(peer, loan) == 0;
	}
	if (!peer->closing) {
		free(loan);
		close_all(peer->borrowed, peer->nborrowed);
	}
	peer->nborrowed = 0;
}

void
handoff__loan_fini(struct handoff__peer *peer)
{
	join_closer(peer);
	close_all(peer->borrowed, peer->nborrowed);
	peer->nborrowed = 0;
}
