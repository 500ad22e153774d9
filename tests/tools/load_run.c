/* SPDX-License-Identifier: MIT */
/*
 * The run of the load generator: one thread, one epoll set. Starts the
 * connections, keeps the beat of rates and short connections, and ends all in
 * order.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define MAX_CONNECTING 128
#define MAX_SHORTS     1024
#define SHORT_BYTES    16384
#define GRACE_US       10000000
#define TICK_US        1000

static void
prepare(struct load_run *run, struct load_conn *conn, unsigned index)
{
	const struct load_opts *opts = run->opts;

	conn->key = load_random(&run->random);
	conn->target = &opts->targets[index % opts->ntargets];
	if (index < opts->active) {
		conn->role = LOAD_STREAM;
		conn->limit = opts->bytes ? opts->bytes : UINT64_MAX;
		conn->last = opts->bytes > 0;
	} else {
		conn->role = LOAD_IDLE;
		conn->limit = 1;
		conn->last = false;
	}
}

/* Starts connections as far as the backlog of the other side allows. */
static void
start_more(struct load_run *run)
{
	unsigned limit = run->opts->sequential ? 1 : MAX_CONNECTING;

	while (!run->stopping && run->started < run->opts->connections &&
		(run->opts->sequential ? run->open : run->connecting) < limit) {
		struct load_conn *conn = &run->conns[run->started];

		prepare(run, conn, run->started);
		if (load_conn_start(run, conn) == -EAGAIN)
			return;
		run->started++;
	}
}

static void
start_short(struct load_run *run, struct load_conn *conn)
{
	conn->role = LOAD_CHURN;
	conn->key = load_random(&run->random);
	conn->target =
		&run->opts->targets[run->stats.churn % run->opts->ntargets];
	conn->limit = 1 + load_random(&run->random) % SHORT_BYTES;
	conn->last = true;
	load_conn_start(run, conn);
}

/* Keeps the rate of short connections; at most nshorts are open at once. */
static void
churn(struct load_run *run)
{
	struct load_conn *const end = run->shorts + run->nshorts;
	struct load_conn *conn;
	unsigned open = 0;
	int64_t due;

	for (conn = run->shorts; conn < end; conn++) {
		if (conn->state == LOAD_FREE)
			continue;
		open++;
		if (run->now_us - conn->start_us > GRACE_US)
			load_conn_give_up(run, conn);
	}
	if (run->stopping)
		return;
	due = (run->now_us - run->start_us) * run->opts->churn / 1000000 -
	      run->stats.churn - open;
	for (conn = run->shorts; conn < end && due > 0; conn++)
		if (conn->state == LOAD_FREE) {
			start_short(run, conn);
			due--;
		}
}

static void
tick(struct load_run *run)
{
	if (run->now_us - run->tick_us < TICK_US)
		return;
	run->tick_us = run->now_us;
	if (run->opts->churn > 0)
		churn(run);
	if (run->opts->rate > 0)
		for (unsigned i = 0; i < run->opts->active; i++)
			load_conn_push(run, &run->conns[i]);
}

/* The idle ones show that they still live. */
void
load_stop(struct load_run *run)
{
	if (run->stopping)
		return;
	run->stopping = true;
	run->paused = false;
	run->stop_us = run->now_us;
	for (unsigned i = 0; i < run->started; i++) {
		struct load_conn *conn = &run->conns[i];

		if (conn->role == LOAD_IDLE)
			conn->limit = conn->sent + 1;
		else if (!run->opts->half_close || !conn->last)
			conn->limit = conn->sent ? conn->sent : 1;
		conn->last = true;
		load_conn_push(run, conn);
	}
}

/* A silence that still lasts counts too. */
static void
count_open_gaps(struct load_run *run, struct load_gaps *gaps)
{
	for (unsigned i = 0; i < run->started; i++) {
		const struct load_conn *conn = &run->conns[i];
		int64_t gap = run->now_us - conn->waiting_us;

		if (conn->role == LOAD_STREAM && conn->state == LOAD_OPEN &&
			conn->waiting_us > 0 && gap > gaps->max_us)
			gaps->max_us = gap;
	}
}

static void
report_gaps(struct load_run *run)
{
	struct load_gaps *gaps = &run->stats.since;

	count_open_gaps(run, gaps);
	printf("{\"max_gap_us\":%lld,\"p99_gap_us\":%lld,\"echoes\":%llu}\n",
		(long long)gaps->max_us,
		(long long)load_gap_quantile(gaps, 0.99),
		(unsigned long long)gaps->count);
	*gaps = (struct load_gaps){.max_us = 0};
}

static void
signalled(struct load_run *run, int sigfd)
{
	struct signalfd_siginfo info;

	if (read(sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		report_gaps(run);
	else
		load_stop(run);
}

static void
say_progress(struct load_run *run)
{
	unsigned all = run->opts->connections;

	if (!run->said_connected && run->started == all &&
		(run->connecting == 0 || run->served == all)) {
		run->said_connected = true;
		puts("connected");
	}
	if (!run->said_ready && (run->opts->sequential || run->served == all)) {
		run->said_ready = true;
		puts("ready");
	}
	if (run->checking && run->unchecked == 0) {
		run->checking = false;
		puts("checked");
	}
}

/* Is it time for the last bytes? */
static bool
is_due(const struct load_run *run)
{
	const struct load_opts *opts = run->opts;

	if (opts->run_us > 0 && run->now_us - run->start_us >= opts->run_us)
		return true;
	if (opts->bytes == 0)
		return false;
	if (run->streams == 0 && run->started == opts->connections)
		return true;
	/* Where bytes count and not time, silence everywhere is an end. */
	return opts->run_us == 0 && run->now_us - run->progress_us > GRACE_US;
}

static bool
finished(struct load_run *run)
{
	if (!run->stopping && is_due(run))
		load_stop(run);
	return run->stopping &&
	       (run->open == 0 || run->now_us - run->stop_us > GRACE_US);
}

static void
clean_up(struct load_run *run)
{
	count_open_gaps(run, &run->stats.gaps);
	for (unsigned i = 0; i < run->started; i++)
		if (run->conns[i].fd >= 0)
			load_conn_give_up(run, &run->conns[i]);
	for (unsigned i = 0; i < run->nshorts; i++)
		if (run->shorts[i].state != LOAD_FREE)
			load_conn_give_up(run, &run->shorts[i]);
	free(run->conns);
	free(run->shorts);
	free(run->buf);
	close(run->epfd);
}

static int
set_up(struct load_run *run, const struct load_opts *opts, int sigfd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	*run = (struct load_run){.opts = opts, .random = opts->seed};
	run->nshorts = opts->churn > 0 ? MAX_SHORTS : 0;
	run->conns = calloc(opts->connections + 1, sizeof(*run->conns));
	run->shorts = calloc(run->nshorts + 1, sizeof(*run->shorts));
	run->buf = malloc(LOAD_BUFFER);
	run->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!run->conns || !run->shorts || !run->buf || run->epfd < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < opts->connections; i++)
		run->conns[i].fd = -1;
	if (epoll_ctl(run->epfd, EPOLL_CTL_ADD, sigfd, &ev) < 0)
		return -errno;
	ev.data.ptr = run;
	if (opts->commands &&
		epoll_ctl(run->epfd, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
		return -errno;
	run->now_us = run->start_us = run->progress_us = load_now_us();
	return 0;
}

static void
event(struct load_run *run, int sigfd, const struct epoll_event *ev)
{
	if (!ev->data.ptr)
		signalled(run, sigfd);
	else if (ev->data.ptr == run)
		load_commands_read(run);
	else
		load_conn_event(run, ev->data.ptr, ev->events);
}

int
load_run(struct load_run *run, const struct load_opts *opts, int sigfd)
{
	int err = set_up(run, opts, sigfd);

	if (err < 0)
		return err;
	while (!finished(run)) {
		struct epoll_event events[256];
		int n, wait_ms = opts->rate || opts->churn ? 1 : 20;

		start_more(run);
		n = epoll_wait(run->epfd, events, 256, wait_ms);
		run->now_us = load_now_us();
		for (int i = 0; i < n; i++)
			event(run, sigfd, &events[i]);
		tick(run);
		say_progress(run);
	}
	clean_up(run);
	return 0;
}
