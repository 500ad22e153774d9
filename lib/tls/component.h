/* SPDX-License-Identifier: MIT */
/*
 * The component of TLS from the inside: it knows the library only by its public
 * calls and copies of base, and of OpenSSL no socket, no session and no ticket.
 *
 * Each file calls only those below it:
 *
 *   options.c   what a program's command line says of TLS
 *   client_options.c
 *               what the command line of a client says of TLS
 *   client.c    the layer of clients; of the server's side they know nothing
 *   client_end.c
 *               one conversation of a client
 *   client_trust.c
 *               whom a client trusts, and why a conversation has failed
 *   service.c   the wrapping service: its hooks, and how it is made
 *   begin.c     the turns of a handshake
 *   serve.c     the turns of an open connection, and its end
 *   current.c   what handlers can ask about their connection
 *   state.c     what a connection has in its state
 *   cache.c     what a process keeps of connections, and may lose
 *   heap.c      when the C library is to give memory back
 *   complaints.c
 *               what goes wrong with clients, in the log
 *   scratch.c   a thread's buffers for one turn
 *   update.c    what a TLS record means: data, KeyUpdates, alerts
 *   layer.c     TLS records, sealed and opened
 *   suite.c     the cipher suites and their key schedule
 *   handshake.c one handshake, that can be run again
 *   context.c   certificates and options in editions, for each thread
 *   identity.c  what decides on the bytes of a handshake
 *   material.c  the bytes of files, and what OpenSSL makes of them
 *   settings.c  the options, checked
 *   random.c    a library context with a random source of its own
 *   secrets.c   what OpenSSL derives for the keys
 */
#ifndef HANDOFF_TLS_COMPONENT_H
#define HANDOFF_TLS_COMPONENT_H

#include "tls/cache.h"
#include "tls/complaints.h"
#include "tls/context.h"
#include "tls/heap.h"
#include "tls/suite.h"

#include <handoff/tls.h>
#include <stdatomic.h>

/* As struct handoff_tls_counts; a turn that is undone afterwards may be counted
 * twice. */
struct handoff__tls_counts {
	_Atomic uint64_t handshakes, failed, late, replays, mismatches,
		strangers, key_updates_in, key_updates_out, alerts_in,
		alerts_out, truncated;
};

/* What handoff_tls_service has made; but for counts, complaints, cache, heap
 * and contexts nothing of it changes. */
struct handoff__tls {
	struct handoff_service inner;
	struct handoff__tls_contexts *contexts;
	struct handoff__tls_suites suites;
	EVP_MD *sha256;
	struct handoff__tls_cache cache;
	struct handoff__tls_heap heap;
	struct handoff__tls_counts counts;
	struct handoff__tls_complaints complaints;
	uint32_t handshake_ms;
	uint32_t input_size;  /* of the inner service, */
	uint32_t output_size; /* likewise */
	uint32_t ring_size;   /* of the connection's output */
};

/* A bit of the version of a state. */
#define HANDOFF__TLS_BIT 0x40000000u

static inline void
handoff__tls_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif
