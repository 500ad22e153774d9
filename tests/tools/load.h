/* SPDX-License-Identifier: MIT */
/*
 * The parts of the load generator: the bytes of a stream, one connection, and
 * the run that drives them all. Uses nothing of the library under test, so it
 * is like any client.
 */
#ifndef TESTS_LOAD_H
#define TESTS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define LOAD_TARGETS 8

struct load_target {
	struct sockaddr_storage sa;
	socklen_t len;
};

struct load_opts {
	struct load_target targets[LOAD_TARGETS]; /* taken in turn */
	unsigned ntargets;
	unsigned connections; /* of them `active` stream, the others idle */
	unsigned active;
	unsigned churn; /* short connections per second */
	int64_t run_us; /* 0: until all bytes are echoed */
	uint64_t bytes; /* per streaming connection; 0: no end */
	uint64_t rate;  /* bytes per second and connection; 0: no limit */
	size_t chunk;   /* of one send, at most */
	bool vary;      /* it is of any length up to that */
	size_t window;  /* bytes under way and not yet echoed */
	uint64_t seed;
	bool half_close; /* end the sending side before the echoes came */
	bool sequential; /* one connection after the other */
	bool commands;   /* on standard input */
};

/* Silences by length: eight buckets for each power of two. */
#define LOAD_BUCKETS 320

struct load_gaps {
	int64_t max_us;
	uint64_t count;
	uint64_t bucket[LOAD_BUCKETS];
};

struct load_stats {
	unsigned connected;
	uint64_t sent, echoed, corrupt;
	unsigned resets, early_eof, refused, unfinished;
	unsigned churn, churn_failed;
	struct load_gaps gaps;  /* of the whole run */
	struct load_gaps since; /* since the last report */
};

/* Fills `out` with the stream's bytes from `pos` on. */
void load_fill(uint64_t key, uint64_t pos, unsigned char *out, size_t len);
/* How many of `len` bytes at `pos` differ from the stream's. */
size_t load_verify(
	uint64_t key, uint64_t pos, const unsigned char *in, size_t len);
uint64_t load_random(uint64_t *state);

void load_gap_add(struct load_gaps *gaps, int64_t us);
int64_t load_gap_quantile(const struct load_gaps *gaps, double q);

enum load_state {
	LOAD_FREE = 0,
	LOAD_CONNECTING,
	LOAD_OPEN,
	LOAD_ENDING, /* our side is closed, the end of the other is due */
	LOAD_DONE,
	LOAD_FAILED,
};

enum load_role { LOAD_STREAM, LOAD_IDLE, LOAD_CHURN };

#define LOAD_NO_MARK UINT64_MAX

struct load_conn {
	int fd;
	const struct load_target *target;
	enum load_state state;
	enum load_role role;
	uint64_t key;
	uint64_t sent, echoed;
	uint64_t limit; /* how much it may send; */
	bool last;      /* and it ends there */
	bool want_out;
	int64_t start_us;
	int64_t waiting_us; /* since when an echo is due; 0: none is */
	int64_t gap_us;     /* the longest silence since the last report */
	uint64_t mark;      /* a check is over when more is echoed */
};

struct load_run;

/* Begins to connect. 0; -EAGAIN: try again later; other errors have been
 * counted. */
int load_conn_start(struct load_run *run, struct load_conn *conn);
void load_conn_event(
	struct load_run *run, struct load_conn *conn, uint32_t events);
/* Sends what may be sent now and ends the connection when its time is. */
void load_conn_push(struct load_run *run, struct load_conn *conn);
/* Gives up a connection that did not end in time. */
void load_conn_give_up(struct load_run *run, struct load_conn *conn);

struct load_run {
	const struct load_opts *opts;
	struct load_stats stats;
	int epfd;
	int64_t now_us, start_us, stop_us, progress_us, tick_us;
	bool stopping, paused, checking;
	unsigned unchecked;
	struct load_conn *conns, *shorts;
	unsigned nshorts, started, connecting, served, open, streams;
	bool said_connected, said_ready;
	uint64_t random;
	unsigned char *buf;
};

#define LOAD_BUFFER 65536

/* No new bytes from here on; all ends in order. */
void load_stop(struct load_run *run);

/* What there is to read on standard input, and does it. Lines are:
 *   report  one JSON object: the counts so far, the silences since the last
 *           report, and the longest of the connections that were silent longest
 *   check   each connection sends something; "checked" once all are answered
 *   pause, resume   the streams send nothing meanwhile but for a check
 *   stop    as SIGTERM; so is the end of the input */
void load_commands_read(struct load_run *run);

int64_t load_now_us(void);

/* Runs to the end. `sigfd` is of signalfd(2): SIGUSR1 reports the silences
 * since the last report, any other signal ends the run in order. */
int load_run(struct load_run *run, const struct load_opts *opts, int sigfd);

#endif
