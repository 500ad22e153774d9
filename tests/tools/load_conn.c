/* SPDX-License-Identifier: MIT */
/*
 * One connection of the load generator: connects, streams within its window,
 * verifies each byte that comes back, closes its side and waits for the end.
 * Every way it can go wrong is counted once.
 */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static void
finish(struct load_run *run, struct load_conn *conn, enum load_state state)
{
	if (conn->state == LOAD_CONNECTING)
		run->connecting--;
	if (conn->role != LOAD_CHURN && conn->echoed == 0)
		run->served++;
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	conn->state = state;
	run->open--;
	run->streams -= conn->role == LOAD_STREAM;
	if (conn->role == LOAD_CHURN) {
		run->stats.churn++;
		run->stats.churn_failed += state == LOAD_FAILED;
		conn->state = LOAD_FREE;
	}
}

static void
fail(struct load_run *run, struct load_conn *conn, int err)
{
	struct load_stats *stats = &run->stats;

	if (conn->state == LOAD_CONNECTING)
		stats->refused++;
	else
		stats->resets++;
	fprintf(stderr,
		"loadgen: connection failed %s after %llu of %llu bytes: "
		"error %d\n",
		conn->state == LOAD_CONNECTING ? "connecting" : "open",
		(unsigned long long)conn->echoed,
		(unsigned long long)conn->sent, err);
	finish(run, conn, LOAD_FAILED);
}

static void
watch(struct load_run *run, struct load_conn *conn, bool out)
{
	struct epoll_event ev = {
		.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0),
		.data.ptr = conn,
	};

	if (conn->want_out == out)
		return;
	conn->want_out = out;
	epoll_ctl(run->epfd, EPOLL_CTL_MOD, conn->fd, &ev);
}

int
load_conn_start(struct load_run *run, struct load_conn *conn)
{
	const struct load_target *target = conn->target;
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};
	int one = 1, err = 0;
	int fd = socket(target->sa.ss_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && target->sa.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd < 0 || connect(fd, (const struct sockaddr *)&target->sa,
			      target->len) < 0)
		err = errno;
	if (err == EAGAIN) {
		/* The backlog of a Unix socket is full (unix(7)). */
		close(fd);
		return -EAGAIN;
	}
	conn->fd = fd;
	conn->state = LOAD_CONNECTING;
	conn->sent = conn->echoed = 0;
	conn->want_out = true;
	conn->waiting_us = 0;
	conn->mark = LOAD_NO_MARK;
	conn->start_us = run->now_us;
	run->open++;
	run->connecting++;
	run->streams += conn->role == LOAD_STREAM;
	if (err != 0 && err != EINPROGRESS) {
		fail(run, conn, err);
		return -err;
	}
	if (epoll_ctl(run->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		fail(run, conn, errno);
		return -ENOMEM;
	}
	return 0;
}

static void
connected(struct load_run *run, struct load_conn *conn)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err) {
		fail(run, conn, err);
		return;
	}
	conn->state = LOAD_OPEN;
	run->connecting--;
	if (conn->role != LOAD_CHURN)
		run->stats.connected++;
	watch(run, conn, false);
}

static uint64_t
allowance(struct load_run *run, const struct load_conn *conn)
{
	const struct load_opts *opts = run->opts;
	uint64_t left = conn->limit - conn->sent;
	uint64_t room = opts->window - (conn->sent - conn->echoed);
	uint64_t chunk = opts->vary
				 ? 1 + load_random(&run->random) % opts->chunk
				 : opts->chunk;
	uint64_t most = chunk < left ? chunk : left;

	/* A check sends something in any case. */
	if (run->paused &&
		(conn->mark == LOAD_NO_MARK || conn->sent > conn->mark))
		return 0;
	if (opts->rate > 0 && conn->role == LOAD_STREAM) {
		uint64_t due = (uint64_t)(run->now_us - conn->start_us) *
			       opts->rate / 1000000;

		/* Whole chunks only, so that a rate is a steady beat. */
		if (due < conn->sent + most)
			return 0;
	}
	return most < room ? most : room;
}

static void
send_some(struct load_run *run, struct load_conn *conn)
{
	uint64_t most;

	while ((most = allowance(run, conn)) > 0) {
		ssize_t n;

		load_fill(conn->key, conn->sent, run->buf, (size_t)most);
		n = send(conn->fd, run->buf, (size_t)most, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			watch(run, conn, true);
			return;
		}
		if (n < 0) {
			fail(run, conn, errno);
			return;
		}
		if (conn->sent == conn->echoed)
			conn->waiting_us = run->now_us;
		conn->sent += (uint64_t)n;
		run->stats.sent += (uint64_t)n;
	}
	watch(run, conn, false);
}

void
load_conn_push(struct load_run *run, struct load_conn *conn)
{
	if (conn->state != LOAD_OPEN)
		return;
	send_some(run, conn);
	if (conn->state != LOAD_OPEN || !conn->last || conn->sent < conn->limit)
		return;
	if (!run->opts->half_close && conn->echoed < conn->sent)
		return;
	shutdown(conn->fd, SHUT_WR);
	conn->state = LOAD_ENDING;
}

static void
ended(struct load_run *run, struct load_conn *conn)
{
	if (conn->state == LOAD_ENDING && conn->echoed == conn->sent) {
		finish(run, conn, LOAD_DONE);
		return;
	}
	run->stats.early_eof++;
	fprintf(stderr, "loadgen: end of stream after %llu of %llu bytes, %s\n",
		(unsigned long long)conn->echoed,
		(unsigned long long)conn->sent,
		conn->state == LOAD_ENDING ? "half-closed" : "open");
	finish(run, conn, LOAD_FAILED);
}

static void
take(struct load_run *run, struct load_conn *conn, size_t len)
{
	uint64_t due = conn->sent - conn->echoed;
	size_t good = len < due ? len : (size_t)due;
	size_t bad = load_verify(conn->key, conn->echoed, run->buf, good);
	int64_t gap = run->now_us - conn->waiting_us;

	if (bad > 0 || good < len)
		fprintf(stderr,
			"loadgen: %zu wrong and %zu surplus bytes at position "
			"%llu\n",
			bad, len - good, (unsigned long long)conn->echoed);
	run->stats.corrupt += bad + (len - good);
	if (conn->echoed == 0 && good > 0 && conn->role != LOAD_CHURN)
		run->served++;
	conn->echoed += good;
	run->stats.echoed += good;
	if (conn->role == LOAD_STREAM && conn->waiting_us > 0) {
		load_gap_add(&run->stats.gaps, gap);
		load_gap_add(&run->stats.since, gap);
		conn->gap_us = gap > conn->gap_us ? gap : conn->gap_us;
	}
	if (conn->mark != LOAD_NO_MARK && conn->echoed > conn->mark) {
		conn->mark = LOAD_NO_MARK;
		run->unchecked--;
	}
	conn->waiting_us = conn->echoed < conn->sent ? run->now_us : 0;
	run->progress_us = run->now_us;
}

static void
receive(struct load_run *run, struct load_conn *conn)
{
	ssize_t n = recv(conn->fd, run->buf, LOAD_BUFFER, 0);

	if (n > 0)
		take(run, conn, (size_t)n);
	else if (n == 0)
		ended(run, conn);
	else if (errno != EAGAIN && errno != EINTR)
		fail(run, conn, errno);
}

void
load_conn_event(struct load_run *run, struct load_conn *conn, uint32_t events)
{
	if (conn->state == LOAD_CONNECTING)
		connected(run, conn);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) &&
		(conn->state == LOAD_OPEN || conn->state == LOAD_ENDING))
		receive(run, conn);
	load_conn_push(run, conn);
}

void
load_conn_give_up(struct load_run *run, struct load_conn *conn)
{
	run->stats.unfinished++;
	fprintf(stderr, "loadgen: gave up after %llu of %llu bytes, %s\n",
		(unsigned long long)conn->echoed,
		(unsigned long long)conn->sent,
		conn->state == LOAD_CONNECTING ? "connecting"
		: conn->state == LOAD_ENDING   ? "half-closed"
					       : "open");
	finish(run, conn, LOAD_FAILED);
}
