/* SPDX-License-Identifier: MIT */
/*
 * What a process keeps of the connections that it serves: OpenSSL's object
 * while the handshake runs, then the key schedules. All of it can be made again
 * from the state of the connection, so it may be lost at any time. A handler
 * has the entry of its connection alone; only the table has a lock.
 */
#ifndef HANDOFF_TLS_CACHE_H
#define HANDOFF_TLS_CACHE_H

#include "tls/layer.h"

#include <pthread.h>

struct handoff__tls_handshake;

struct handoff__tls_entry {
	uint64_t id; /* of the connection */
	struct handoff__tls_entry *next;
	struct handoff__tls_handshake *handshake;
	struct handoff__tls_key read, write;
};

#define HANDOFF__TLS_SHARDS 16u /* locks, so that workers rarely wait */

struct handoff__tls_shard {
	pthread_mutex_t lock;
	struct handoff__tls_entry **buckets; /* a power of two of them */
	size_t nbuckets, count;
};

struct handoff__tls_cache {
	struct handoff__tls_shard shard[HANDOFF__TLS_SHARDS];
};

void handoff__tls_cache_init(struct handoff__tls_cache *cache);
void handoff__tls_cache_free(struct handoff__tls_cache *cache);

/* The connection's entry, made if there is none: it stays where it is until it
 * is dropped. NULL: no memory. */
struct handoff__tls_entry *handoff__tls_cache_get(
	struct handoff__tls_cache *cache, uint64_t id);

/* Forgets the connection, and erases its keys. */
void handoff__tls_cache_drop(struct handoff__tls_cache *cache, uint64_t id);

/* How many connections there are. */
size_t handoff__tls_cache_count(struct handoff__tls_cache *cache);

#endif
