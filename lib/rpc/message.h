/* SPDX-License-Identifier: MIT */
/*
 * The head of a call (RFC 5531, section 9) and the credentials of AUTH_SYS in
 * it (RFC 5531, appendix A). Pure: reads bytes that a client can choose, and
 * never one beyond them.
 */
#ifndef HANDOFF_RPC_MESSAGE_H
#define HANDOFF_RPC_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <rpc/rpc.h>

/* What is to become of a message. */
enum handoff__rpc_verdict {
	HANDOFF__RPC_CALL,    /* it is a call */
	HANDOFF__RPC_NOT,     /* it is none: there is nothing to reply to */
	HANDOFF__RPC_VERSION, /* of another version of the protocol */
	HANDOFF__RPC_GARBAGE, /* its head is cut off */
	HANDOFF__RPC_BADCRED, /* its credentials are too long */
	HANDOFF__RPC_BADVERF, /* its verifier is too long */
};

struct handoff__rpc_auth {
	uint32_t flavor;
	uint32_t len; /* at most MAX_AUTH_BYTES */
	const uint8_t *data;
};

struct handoff__rpc_head {
	uint32_t xid, prog, vers, proc;
	struct handoff__rpc_auth cred, verf;
	const uint8_t *args;
	size_t args_len;
};

/* What is not known is 0; xid is for every verdict but NOT. Pointers are into
 * the message. */
enum handoff__rpc_verdict handoff__rpc_parse(
	const void *message, size_t len, struct handoff__rpc_head *head);

/* The credentials of AUTH_SYS, and room for what they point to. */
struct handoff__rpc_sys {
	struct authunix_parms aup;
	char machine[MAX_MACHINE_NAME + 1];
	gid_t gids[NGRPS];
};

/* AUTH_OK, or AUTH_BADCRED. */
enum auth_stat handoff__rpc_sys_parse(
	const struct handoff__rpc_auth *cred, struct handoff__rpc_sys *sys);

#endif
