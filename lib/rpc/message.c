/* SPDX-License-Identifier: MIT */
/*
 * Reads heads of calls. A cursor that has run out stays so, and gives zeros:
 * callers look once, at the end. libtirpc's own reader of AUTH_SYS checks a
 * length after it has read that far, and is not used.
 */
#include "rpc/message.h"

#include "rpc/record.h"

#include <stdbool.h>
#include <string.h>

struct cursor {
	const uint8_t *at;
	size_t left;
	bool out;
};

/* `len` bytes, and what fills them up to a multiple of four; NULL if that is
 * more than there is. */
static const uint8_t *
take(struct cursor *c, size_t len)
{
	size_t whole = (len + 3) & ~(size_t)3;
	const uint8_t *at = c->at;

	if (c->out || whole > c->left) {
		c->out = true;
		return NULL;
	}
	c->at += whole;
	c->left -= whole;
	return at;
}

static uint32_t
number(struct cursor *c)
{
	const uint8_t *at = take(c, 4);

	return at ? handoff__rpc_get(at) : 0;
}

/* False if it is longer than it may be. */
static bool
read_auth(struct cursor *c, struct handoff__rpc_auth *auth)
{
	auth->flavor = number(c);
	auth->len = number(c);
	if (auth->len > MAX_AUTH_BYTES)
		return false;
	auth->data = take(c, auth->len);
	return true;
}

enum handoff__rpc_verdict
handoff__rpc_parse(
	const void *message, size_t len, struct handoff__rpc_head *head)
{
	struct cursor c = {.at = message, .left = len};
	uint32_t type;

	memset(head, 0, sizeof(*head));
	head->xid = number(&c);
	type = number(&c);
	if (c.out || type != CALL)
		return HANDOFF__RPC_NOT;
	if (number(&c) != RPC_MSG_VERSION)
		return c.out ? HANDOFF__RPC_GARBAGE : HANDOFF__RPC_VERSION;
	head->prog = number(&c);
	head->vers = number(&c);
	head->proc = number(&c);
	if (!read_auth(&c, &head->cred))
		return HANDOFF__RPC_BADCRED;
	if (!read_auth(&c, &head->verf))
		return HANDOFF__RPC_BADVERF;
	if (c.out)
		return HANDOFF__RPC_GARBAGE;
	head->args = c.at;
	head->args_len = c.left;
	return HANDOFF__RPC_CALL;
}

enum auth_stat
handoff__rpc_sys_parse(
	const struct handoff__rpc_auth *cred, struct handoff__rpc_sys *sys)
{
	struct cursor c = {.at = cred->data, .left = cred->len};
	struct authunix_parms *aup = &sys->aup;
	const uint8_t *machine;
	uint32_t len;

	aup->aup_time = number(&c);
	len = number(&c);
	if (len > MAX_MACHINE_NAME)
		return AUTH_BADCRED;
	machine = take(&c, len);
	aup->aup_uid = number(&c);
	aup->aup_gid = number(&c);
	aup->aup_len = number(&c);
	if (aup->aup_len > NGRPS)
		return AUTH_BADCRED;
	for (uint32_t i = 0; i < aup->aup_len; i++)
		sys->gids[i] = number(&c);
	if (c.out)
		return AUTH_BADCRED;
	memcpy(sys->machine, machine, len);
	sys->machine[len] = '\0';
	aup->aup_machname = sys->machine;
	aup->aup_gids = sys->gids;
	return AUTH_OK;
}
