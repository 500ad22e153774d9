/* SPDX-License-Identifier: MIT */
/*
 * The authenticator of a client that does not say who it is (AUTH_NONE, RFC
 * 5531, section 10.1). libtirpc has one for the whole process, which the first
 * call makes: threads may do that twice.
 */
#include "rpc/component.h"

static void
none_nextverf(AUTH *auth)
{
	(void)auth;
}

/* Two empty bodies of flavor 0. */
static int
none_marshal(AUTH *auth, XDR *xdrs)
{
	(void)auth;
	for (int i = 0; i < 4; i++) {
		int32_t zero = 0;

		if (!XDR_PUTINT32(xdrs, &zero))
			return FALSE;
	}
	return TRUE;
}

static int
none_validate(AUTH *auth, struct opaque_auth *verf)
{
	(void)auth;
	(void)verf;
	return TRUE;
}

static int
none_refresh(AUTH *auth, void *msg)
{
	(void)auth;
	(void)msg;
	return FALSE;
}

/* It is a part of the handle. */
static void
none_destroy(AUTH *auth)
{
	(void)auth;
}

static int
none_wrap(AUTH *auth, XDR *xdrs, xdrproc_t proc, caddr_t data)
{
	(void)auth;
	return proc(xdrs, data);
}

/* The type of AUTH has it without const; nothing writes to it. */
static struct auth_ops ops = {
	.ah_nextverf = none_nextverf,
	.ah_marshal = none_marshal,
	.ah_validate = none_validate,
	.ah_refresh = none_refresh,
	.ah_destroy = none_destroy,
	.ah_wrap = none_wrap,
	.ah_unwrap = none_wrap,
};

void
handoff__rpc_none_init(AUTH *auth)
{
	*auth = (AUTH){
		.ah_cred = _null_auth, .ah_verf = _null_auth, .ah_ops = &ops};
}
