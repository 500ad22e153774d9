/* SPDX-License-Identifier: MIT */
/*
 * Descriptors lent to the other peer so that this process dies faster. Tearing
 * down an epoll set with thousands of members is most of the kernel's work at
 * the end of such a process, and the survivor may not serve before it is done.
 * While the survivor holds a copy, the set outlives the process; the survivor
 * closes its copy later, beside its other work.
 */
#include "peer/loan.h"

#include "base/fdpass.h"
#include "base/high.h"
#include "peer/core.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAVE 8 /* descriptors needed more than a faster death */

void
handoff__loan_give(struct handoff__pair *pair)
{
	struct handoff__msg msg = {.type = HANDOFF__LEND};

	for (size_t i = 0; i < pair->config.nlend; i++)
		handoff__link_send(&pair->link, &msg, pair->config.lend[i]);
	msg.type = HANDOFF__LIFE;
	if (pair->config.life > 0)
		handoff__link_send(&pair->link, &msg, pair->config.life);
}

void
handoff__loan_keep(struct handoff__pair *pair, int fd)
{
	if (pair->nborrowed < HANDOFF__LEND_MAX &&
		handoff__high_fits(fd, LEAVE))
		pair->borrowed[pair->nborrowed++] = handoff__high_raise(fd);
	else
		close(fd);
}

struct loan {
	int fds[HANDOFF__LEND_MAX];
	size_t nfds;
};

static void *
closer_main(void *arg)
{
	struct loan *loan = arg;

	handoff__fdpass_close(loan->fds, loan->nfds);
	free(loan);
	return NULL;
}

static int
start_closer(struct handoff__pair *pair, struct loan *loan)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&pair->closer, NULL, closer_main, loan);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

void
handoff__loan_settle(struct handoff__pair *pair)
{
	if (pair->closing)
		pthread_join(pair->closer, NULL);
	pair->closing = false;
}

void
handoff__loan_return(struct handoff__pair *pair)
{
	struct loan *loan;

	if (pair->nborrowed == 0)
		return;
	handoff__loan_settle(pair);
	loan = malloc(sizeof(*loan));
	if (loan) {
		memcpy(loan->fds, pair->borrowed, sizeof(loan->fds));
		loan->nfds = pair->nborrowed;
		pair->closing = start_closer(pair, loan) == 0;
	}
	if (!pair->closing) {
		free(loan);
		handoff__fdpass_close(pair->borrowed, pair->nborrowed);
	}
	pair->nborrowed = 0;
}

void
handoff__loan_fini(struct handoff__pair *pair)
{
	handoff__loan_settle(pair);
	handoff__fdpass_close(pair->borrowed, pair->nborrowed);
	pair->nborrowed = 0;
}
