/* SPDX-License-Identifier: MIT */
/*
 * The thread of an end: connects, runs a session, connects again. It blocks all
 * signals, and so do the threads that the client library starts from it, so
 * that no handler of the program runs in any of them.
 */
#include "nats/internal.h"

#include "nats/session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define STACK_SIZE (256ul * 1024) /* TLS and name resolution need some */
#define FIRST_MS   100
#define LONGEST_MS 3000

/* Half of it and more, so that thousands do not connect at once. */
static int
jitter(int ms)
{
	unsigned char random = 0;

	(void)!getrandom(&random, sizeof(random), 0);
	return ms / 2 + ms * random / 512;
}

static void
rest(struct handoff__nats_end *end, int ms)
{
	struct pollfd p = {.fd = end->wake, .events = POLLIN};
	eventfd_t count;

	poll(&p, 1, jitter(ms));
	eventfd_read(end->wake, &count);
}

/* False: it could not connect. */
static bool
run_session(struct handoff__nats_end *end)
{
	struct handoff__nats_session session;
	struct handoff__error error;

	if (handoff__nats_session_open(&session, end, &error) < 0) {
		handoff__nats_end_trouble(end, "%s", error.text);
		return false;
	}
	handoff__nats_end_connected(end, true);
	handoff__nats_session_run(&session, &error);
	handoff__nats_end_connected(end, false);
	handoff__nats_end_trouble(end, "%s", error.text);
	handoff__nats_session_close(&session);
	return true;
}

static void *
help(void *arg)
{
	struct handoff__nats_end *end = arg;
	int wait_ms = FIRST_MS;

	while (!handoff__nats_end_stopping(end)) {
		if (run_session(end))
			wait_ms = FIRST_MS;
		else if (wait_ms < LONGEST_MS)
			wait_ms *= 2;
		if (!handoff__nats_end_stopping(end))
			rest(end, wait_ms);
	}
	nats_ReleaseThreadMemory();
	handoff__nats_end_unref(end);
	return NULL;
}

/* The client library keeps threads for the whole process, which a child lacks:
 * there it would wait for them for ever. */
static bool
is_fork(void)
{
	static atomic_int user;
	int none = 0, self = getpid();

	return !atomic_compare_exchange_strong(&user, &none, self) &&
	       none != self;
}

int
handoff__nats_start(struct handoff__nats_end *end)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int err;

	if (is_fork())
		return -ENOTSUP;
	handoff__nats_end_ref(end);
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* it inherits the mask */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, help, end);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (err != 0)
		handoff__nats_end_unref(end);
	return -err;
}
