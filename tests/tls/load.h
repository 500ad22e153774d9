/* SPDX-License-Identifier: MIT */
/*
 * tls_load: connections of stock OpenSSL to an echo service. load_conn.c is one
 * of them, load.c the loop and the command line. Neither knows the library.
 */
#ifndef TESTS_TLS_LOAD_H
#define TESTS_TLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

struct load_counts {
	uint64_t bytes, blocks, handshakes, short_ones;
	uint64_t updates, updates_seen; /* KeyUpdates sent, and received */
	/* What must not be: bytes that are others, connections that ended or
	 * stood still after the handshake, or under it once the server had
	 * answered. Of `lost`, those that were reset. */
	uint64_t wrong, lost, reset, stalled, broken;
	/* What may be at a death: not accepted, or ended before any answer. */
	uint64_t unanswered, refused;
};

struct load {
	struct sockaddr_storage to;
	socklen_t to_len;
	SSL_CTX *ctx;
	const char *name; /* that the certificate must be for */
	int epoll;
	unsigned pause_ms; /* between two blocks, at most */
	unsigned patience_s;
	bool updates, stopping;
	unsigned open; /* connections that have not ended for good */
	uint64_t random;
	struct load_counts counts;
};

enum load_phase { LOAD_WAITING, LOAD_SHAKING, LOAD_TALKING, LOAD_OVER };

struct load_conn {
	struct load *load;
	enum load_phase phase;
	bool short_one; /* two blocks, and then another connection */
	bool shaken;    /* the first handshake is done */
	bool last, ended;
	unsigned blocks; /* of this connection */
	int fd;
	uint32_t events;
	SSL *ssl;
	uint64_t seed, sent, received; /* of this connection */
	uint64_t until;                /* `sent` at the end of this block */
	size_t writing;                /* of an SSL_write to be repeated */
	size_t window, most;           /* in flight; of one SSL_write */
	int64_t due_ms;                /* the next block, or connection */
	int64_t heard_ms;
};

int64_t load_now_ms(void);
uint64_t load_random(struct load *load, uint64_t below);

void load_conn_open(struct load *load, struct load_conn *c, bool short_one);
/* Something may be done: the socket says so, or the time. */
void load_conn_step(struct load_conn *c);
/* Looks at the clock. */
void load_conn_tick(struct load_conn *c, int64_t now_ms);
void load_conn_free(struct load_conn *c);

#endif
