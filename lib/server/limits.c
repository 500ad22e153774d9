/* SPDX-License-Identifier: MIT */
/*
 * Connections counted by address: in a hash table in this process, of all
 * connections of the service that it has descriptors of. So a give changes
 * nothing here, and the standby that takes over counts already. The /64 of an
 * IPv6 address counts as one: it is what one client gets.
 */
#include "server/limits.h"

#include "server/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LEAST    64       /* nodes */
#define QUIET_US 10000000 /* between two lines of the log */

/* In the list of its bucket, or of those that are not used. */
struct handoff__address_count {
	uint64_t key;
	uint32_t family; /* 4 or 6 */
	uint32_t count;
	uint32_t next; /* 0: the last one */
};

static uint64_t
key_of(const struct handoff__client *client)
{
	uint64_t key = 0;

	memcpy(&key, client->ip, client->family == 4 ? 4 : 8);
	return key;
}

/* Mixes all bits (the finaliser of MurmurHash3). */
static uint32_t *
bucket_of(const struct handoff__limits *limits, uint64_t key)
{
	key ^= limits->seed;
	key = (key ^ key >> 33) * UINT64_C(0xff51afd7ed558ccd);
	key = (key ^ key >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return &limits->buckets[(key ^ key >> 33) & (limits->size - 1)];
}

static struct handoff__address_count *
find(const struct handoff__limits *limits, const struct handoff__client *client)
{
	uint64_t key = key_of(client);
	uint32_t at = limits->size > 0 ? *bucket_of(limits, key) : 0;

	for (; at > 0; at = limits->nodes[at].next) {
		if (limits->nodes[at].key == key &&
			limits->nodes[at].family == client->family)
			return &limits->nodes[at];
	}
	return NULL;
}

static void
link_node(struct handoff__limits *limits, uint32_t at)
{
	uint32_t *bucket = bucket_of(limits, limits->nodes[at].key);

	limits->nodes[at].next = *bucket;
	*bucket = at;
}

/* Doubles the table. All nodes are in use then. */
static bool
grow(struct handoff__limits *limits)
{
	uint32_t before = limits->size;
	uint32_t size = before > 0 ? 2 * before : LEAST;
	struct handoff__address_count *nodes =
		realloc(limits->nodes, size * sizeof(*nodes));
	uint32_t *buckets;

	if (!nodes)
		return false;
	limits->nodes = nodes;
	buckets = calloc(size, sizeof(*buckets));
	if (!buckets)
		return false;
	free(limits->buckets);
	limits->buckets = buckets;
	limits->size = size;
	if (before == 0 && getrandom(&limits->seed, sizeof(limits->seed),
				   GRND_NONBLOCK) < 0)
		limits->seed = (uint64_t)handoff__now_us();
	for (uint32_t i = 1; i < before; i++)
		link_node(limits, i);
	for (uint32_t i = before > 0 ? before : 1; i < size; i++)
		nodes[i].next = i + 1 < size ? i + 1 : 0;
	limits->unused = before > 0 ? before : 1;
	return true;
}

uint32_t
handoff__limits_enter(
	struct handoff__limits *limits, const struct handoff__client *client)
{
	struct handoff__address_count *node;

	if (client->family == 0)
		return 0;
	node = find(limits, client);
	if (!node) {
		if (limits->unused == 0 && !grow(limits))
			return 0;
		node = &limits->nodes[limits->unused];
		limits->unused = node->next;
		node->key = key_of(client);
		node->family = client->family;
		node->count = 0;
		link_node(limits, (uint32_t)(node - limits->nodes));
	}
	node->count++;
	return (uint32_t)(node - limits->nodes);
}

void
handoff__limits_leave(struct handoff__limits *limits, uint32_t number)
{
	struct handoff__address_count *node;
	uint32_t *at;

	if (number == 0)
		return;
	node = &limits->nodes[number];
	if (--node->count > 0)
		return;
	at = bucket_of(limits, node->key);
	while (*at != number)
		at = &limits->nodes[*at].next;
	*at = node->next;
	node->next = limits->unused;
	limits->unused = number;
}

uint32_t
handoff__limits_count(
	struct handoff__limits *limits, const struct handoff__client *client)
{
	const struct handoff__address_count *node =
		client->family > 0 ? find(limits, client) : NULL;

	return node ? node->count : 0;
}

void
handoff__limits_free(struct handoff__limits *limits)
{
	free(limits->nodes);
	free(limits->buckets);
	memset(limits, 0, sizeof(*limits));
}

void
handoff__limits_refuse(struct handoff_server *server, enum handoff__limit limit)
{
	struct handoff__limits *limits = &server->limits;
	int64_t now = handoff__now_us();
	uint32_t count = ++limits->unlogged[limit];

	limits->refused[limit]++;
	if (limits->logged_us[limit] > 0 &&
		now - limits->logged_us[limit] < QUIET_US)
		return;
	limits->logged_us[limit] = now;
	limits->unlogged[limit] = 0;
	if (limit == HANDOFF__LIMIT_TOTAL)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"accept: %u connection%s refused: there are %u "
			"already (max_connections)",
			count, count == 1 ? " was" : "s were",
			server->pair.roster.connections);
	else
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"accept: %u connection%s refused: their addresses have "
			"%u already (max_per_address)",
			count, count == 1 ? " was" : "s were",
			server->opts.max_per_address);
}

void
handoff__limits_metrics(
	const struct handoff_server *server, struct handoff__buf *buf)
{
	static const char *const labels[HANDOFF__LIMITS] = {
		"limit=\"total\"", "limit=\"address\""};

	handoff__metrics_family(buf, "refused_connections_total", "counter",
		"Connections that were closed at once, by the limit that they "
		"were above.");
	for (int i = 0; i < HANDOFF__LIMITS; i++)
		handoff__metrics_sample(&server->pair, buf,
			"refused_connections_total", labels[i],
			server->limits.refused[i]);
}
