/* SPDX-License-Identifier: MIT */
/*
 * A lease engine for tests: "file:PATH" is a small file that is mapped, and
 * locked for each step, so any number of processes and "hosts" can use it. It
 * keeps the promises of <handoff/lease.h>, on CLOCK_BOOTTIME. Tests pull its
 * switches through a board. Programs get it by LD_PRELOAD of libfile_lease.so,
 * and scripts pull the switches by tools/leases.
 */
#ifndef TESTS_LEASE_FILE_ENGINE_H
#define TESTS_LEASE_FILE_ENGINE_H

#include <handoff/lease.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FILE_ENGINE_HOSTS 8

/* One per name of a host. */
struct file_host {
	char name[HANDOFF_NAME_MAX];
	char text[HANDOFF_TEXT_MAX];
	uint64_t session; /* 0: none */
	uint64_t secret;
	uint64_t ttl_ns;
	uint64_t heard_ns; /* the session lives a TTL longer */
	uint64_t end;      /* the end that has the session */
	/* switches */
	_Atomic bool cut;           /* nothing gets through */
	_Atomic bool mute;          /* requests get through, answers do not */
	_Atomic uint32_t delay_ms;  /* of answers */
	_Atomic uint32_t refuse;    /* so many calls fail with -ENOBUFS */
	_Atomic uint32_t grants_ms; /* a TTL at most; 0: as asked for */
	/* what was seen */
	_Atomic uint32_t acquires, proves, publishes, attaches;
};

struct file_board {
	pthread_mutex_t lock; /* of what is not atomic */
	uint64_t magic;
	uint64_t token;  /* the highest that was given */
	uint64_t holder; /* session that has the lease; 0: none */
	uint64_t last;   /* session or end that was numbered last */
	/* when a session that has the lease, and that its host has forgotten,
	 * ends; 0: that of a host in the table has it */
	uint64_t ghost_until_ns;
	uint64_t changes; /* of hosts and holder: watched by the ends */
	uint64_t down_ns; /* since when it answers nobody; 0: it does */
	uint64_t notices; /* how often one was published */
	uint32_t notice_len;
	unsigned char notice[HANDOFF_LEASE_NOTICE_MAX];
	struct file_host hosts[FILE_ENGINE_HOSTS];
};

/* Adds the engine, once per process. */
void file_engine_add(void);

/* Maps the file of an engine, and makes it if it is not there; NULL with
 * errno. */
struct file_board *file_board_open(const char *path);
void file_board_close(struct file_board *board);

/* The row of a host, made if it is not there; NULL: there are too many. */
struct file_host *file_board_host(struct file_board *board, const char *name);

/* Ends the session of a host, as if the engine had not heard of it for a
 * TTL. */
void file_board_expire(struct file_board *board, const char *name);

/* The majority is lost, or back: meanwhile no session ends, and those that
 * there are get a whole TTL then, as with a new leader. */
void file_board_down(struct file_board *board, bool down);

/* The name of the host that has the lease now; "" for none. Static memory. */
const char *file_board_owner(struct file_board *board);

#endif
