/* SPDX-License-Identifier: MIT */
/*
 * The component of remote procedure calls from the inside: it knows the library
 * only by its public calls and base/text. Of libtirpc it uses the XDR routines
 * and the tables that stubs call through; none of its transports, none of its
 * lists of programs, and no rpcbind, so that threads share nothing.
 *
 * Each file calls only those below it:
 *
 *   service.c   the service: which calls are executed, and when
 *   call.c      one call: the transport that the dispatch function sees
 *   clnt.c      the client's side: the table that client stubs call through
 *   none.c      a client that does not say who it is
 *   message.c   the head of a call, and who calls
 *   record.c    record marking
 */
#ifndef HANDOFF_RPC_COMPONENT_H
#define HANDOFF_RPC_COMPONENT_H

#include <handoff/rpc.h>

#include <pthread.h>

/* What handoff_rpc_open has made. Nothing of it changes afterwards, but for
 * `scratch` under the lock. */
struct handoff_rpc {
	struct handoff_service service; /* as the server sees it */
	struct handoff_service inner;   /* hooks and their `arg` */
	struct handoff_rpc_program *programs;
	size_t nprograms;
	uint32_t max_call, max_reply;
	enum handoff_rpc_auth auth;
	bool multithreaded;
	char name[32];
	pthread_mutex_t lock; /* of procedures with static results */
	void *scratch;        /* for a reply of max_reply bytes; NULL if they
			       * run at once */
};

/* none.c */
void handoff__rpc_none_init(AUTH *auth);

/* As xdr_void, of the type that libtirpc calls it by. */
static inline bool_t
handoff__rpc_void(XDR *xdrs, ...)
{
	(void)xdrs;
	return TRUE;
}

#endif
