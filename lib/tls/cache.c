/* SPDX-License-Identifier: MIT */
/*
 * A table of entries by connection number, in shards with a lock each, which
 * grow. Never evicts: an entry goes when its connection leaves the process.
 */
#include "tls/cache.h"

#include "tls/handshake.h"

#include <stdlib.h>

#define BUCKETS 64u /* of a shard, at the beginning */

void
handoff__tls_cache_init(struct handoff__tls_cache *cache)
{
	for (size_t i = 0; i < HANDOFF__TLS_SHARDS; i++) {
		cache->shard[i] = (struct handoff__tls_shard){.count = 0};
		pthread_mutex_init(&cache->shard[i].lock, NULL);
	}
}

static void
free_entry(struct handoff__tls_entry *entry)
{
	handoff__tls_handshake_free(entry->handshake);
	handoff__tls_key_drop(&entry->read);
	handoff__tls_key_drop(&entry->write);
	OPENSSL_cleanse(entry, sizeof(*entry));
	free(entry);
}

static void
free_shard(struct handoff__tls_shard *shard)
{
	for (size_t i = 0; i < shard->nbuckets; i++) {
		while (shard->buckets[i]) {
			struct handoff__tls_entry *entry = shard->buckets[i];

			shard->buckets[i] = entry->next;
			free_entry(entry);
		}
	}
	free(shard->buckets);
	pthread_mutex_destroy(&shard->lock);
}

void
handoff__tls_cache_free(struct handoff__tls_cache *cache)
{
	for (size_t i = 0; i < HANDOFF__TLS_SHARDS; i++)
		free_shard(&cache->shard[i]);
}

/* Numbers are counted, so their lowest bits pick the shard. */
static struct handoff__tls_shard *
shard_of(struct handoff__tls_cache *cache, uint64_t id)
{
	return &cache->shard[id % HANDOFF__TLS_SHARDS];
}

static struct handoff__tls_entry **
bucket_of(const struct handoff__tls_shard *shard, uint64_t id)
{
	return &shard->buckets[id / HANDOFF__TLS_SHARDS % shard->nbuckets];
}

/* Without memory it stays as it is, and is slower. */
static void
grow(struct handoff__tls_shard *shard)
{
	struct handoff__tls_shard bigger = *shard;

	bigger.nbuckets = shard->nbuckets > 0 ? 2 * shard->nbuckets : BUCKETS;
	bigger.buckets =
		calloc(bigger.nbuckets, sizeof(struct handoff__tls_entry *));
	if (!bigger.buckets)
		return;
	for (size_t i = 0; i < shard->nbuckets; i++) {
		while (shard->buckets[i]) {
			struct handoff__tls_entry *entry = shard->buckets[i];
			struct handoff__tls_entry **to =
				bucket_of(&bigger, entry->id);

			shard->buckets[i] = entry->next;
			entry->next = *to;
			*to = entry;
		}
	}
	free(shard->buckets);
	shard->buckets = bigger.buckets;
	shard->nbuckets = bigger.nbuckets;
}

static struct handoff__tls_entry **
find(const struct handoff__tls_shard *shard, uint64_t id)
{
	struct handoff__tls_entry **at;

	if (shard->nbuckets == 0)
		return NULL;
	for (at = bucket_of(shard, id); *at && (*at)->id != id;
		at = &(*at)->next)
		;
	return at;
}

static struct handoff__tls_entry *
get(struct handoff__tls_shard *shard, uint64_t id)
{
	struct handoff__tls_entry **at = find(shard, id), *entry;

	if (at && *at)
		return *at;
	if (shard->count >= shard->nbuckets)
		grow(shard);
	if (shard->nbuckets == 0)
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	at = bucket_of(shard, id);
	entry->id = id;
	entry->next = *at;
	*at = entry;
	shard->count++;
	return entry;
}

struct handoff__tls_entry *
handoff__tls_cache_get(struct handoff__tls_cache *cache, uint64_t id)
{
	struct handoff__tls_shard *shard = shard_of(cache, id);
	struct handoff__tls_entry *entry;

	pthread_mutex_lock(&shard->lock);
	entry = get(shard, id);
	pthread_mutex_unlock(&shard->lock);
	return entry;
}

void
handoff__tls_cache_drop(struct handoff__tls_cache *cache, uint64_t id)
{
	struct handoff__tls_shard *shard = shard_of(cache, id);
	struct handoff__tls_entry **at, *entry = NULL;

	pthread_mutex_lock(&shard->lock);
	at = find(shard, id);
	if (at && *at) {
		entry = *at;
		*at = entry->next;
		shard->count--;
	}
	pthread_mutex_unlock(&shard->lock);
	if (entry)
		free_entry(entry);
}

size_t
handoff__tls_cache_count(struct handoff__tls_cache *cache)
{
	size_t count = 0;

	for (size_t i = 0; i < HANDOFF__TLS_SHARDS; i++) {
		pthread_mutex_lock(&cache->shard[i].lock);
		count += cache->shard[i].count;
		pthread_mutex_unlock(&cache->shard[i].lock);
	}
	return count;
}
