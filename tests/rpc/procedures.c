/* SPDX-License-Identifier: MIT */
/*
 * The procedures of counter.x. Each sum is changed in the transaction of its
 * call, so a call that is executed twice or not at all shows.
 */
#include "rpc/procedures.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What rpcgen -m defines, and declares nowhere. */
handoff_rpc_dispatch_fn counter_1, counter_3;

static bool_t
add(int n, struct sum *result, struct svc_req *rqstp)
{
	struct handoff_conn *conn = handoff_rpc_conn(rqstp);
	uint64_t *own = handoff_conn_state(conn);
	void *at;
	int err = handoff_conn_shared(conn, 0, sizeof(uint64_t), &at);

	memset(result, 0, sizeof(*result));
	if (err < 0) {
		handoff_rpc_fail(rqstp, err);
		return FALSE;
	}
	result->total = *(uint64_t *)at += (uint64_t)n;
	result->own = *own += (uint64_t)n;
	return TRUE;
}

bool_t
add_1_svc(int n, struct sum *result, struct svc_req *rqstp)
{
	return add(n, result, rqstp);
}

bool_t
add_3_svc(int n, struct sum *result, struct svc_req *rqstp)
{
	return add(n, result, rqstp);
}

bool_t
give_1_svc(struct bag bag, struct bag *result, struct svc_req *rqstp)
{
	(void)rqstp;
	memset(result, 0, sizeof(*result));
	result->bytes.bytes_val = malloc(bag.bytes.bytes_len + 1);
	result->numbers.numbers_val =
		calloc(bag.numbers.numbers_len + 1, sizeof(int));
	result->text = strdup(bag.text);
	if (!result->bytes.bytes_val || !result->numbers.numbers_val ||
		!result->text)
		abort();
	result->bytes.bytes_len = bag.bytes.bytes_len;
	result->numbers.numbers_len = bag.numbers.numbers_len;
	if (bag.bytes.bytes_len > 0)
		memcpy(result->bytes.bytes_val, bag.bytes.bytes_val,
			bag.bytes.bytes_len);
	if (bag.numbers.numbers_len > 0)
		memcpy(result->numbers.numbers_val, bag.numbers.numbers_val,
			bag.numbers.numbers_len * sizeof(int));
	return TRUE;
}

bool_t
made_1_svc(u_int len, struct page *result, struct svc_req *rqstp)
{
	(void)rqstp;
	result->text = malloc((size_t)len + 1);
	if (!result->text)
		abort();
	memset(result->text, 'x', len);
	result->text[len] = '\0';
	return TRUE;
}

bool_t
fail_1_svc(int err, int *result, struct svc_req *rqstp)
{
	struct sum sum;

	*result = 0;
	if (!add(1, &sum, rqstp))
		return FALSE;
	return handoff_rpc_fail(rqstp, -err) < 0;
}

bool_t
self_1_svc(char **result, struct svc_req *rqstp)
{
	const struct authunix_parms *aup =
		(const struct authunix_parms *)rqstp->rq_clntcred;
	char address[HANDOFF_ADDRESS_MAX] = "";

	handoff_conn_peer(handoff_rpc_conn(rqstp), address, sizeof(address));
	if (asprintf(result, "%d %s %u %u %s %u", (int)rqstp->rq_cred.oa_flavor,
		    aup ? aup->aup_machname : "", aup ? aup->aup_uid : 0,
		    aup ? aup->aup_len : 0, address,
		    svc_getrpccaller(rqstp->rq_xprt)->len) < 0)
		abort();
	return TRUE;
}

bool_t
die_1_svc(int n, void *result, struct svc_req *rqstp)
{
	const char *once = handoff_rpc_arg(rqstp);
	struct sum sum;

	(void)result;
	if (!add(n, &sum, rqstp))
		return FALSE;
	if (once && unlink(once) == 0)
		kill(getpid(), SIGKILL);
	return TRUE;
}

int
counter_1_freeresult(SVCXPRT *transp, xdrproc_t proc, caddr_t result)
{
	(void)transp;
	xdr_free(proc, result);
	return TRUE;
}

int
counter_3_freeresult(SVCXPRT *transp, xdrproc_t proc, caddr_t result)
{
	return counter_1_freeresult(transp, proc, result);
}

void
counter_options(struct handoff_rpc_opts *opts, const char *once)
{
	static const struct handoff_rpc_program programs[] = {
		{COUNTER, COUNTER_ONE, counter_1},
		{COUNTER, COUNTER_THREE, counter_3},
	};
	static struct handoff_service service;

	service = (struct handoff_service){
		.size = sizeof(service),
		.name = "counter",
		.state_size = sizeof(uint64_t),
		.shared_size = sizeof(uint64_t),
		.arg = (void *)(uintptr_t)once,
	};
	*opts = (struct handoff_rpc_opts){
		.size = sizeof(*opts),
		.programs = programs,
		.nprograms = 2,
		.service = &service,
		.multithreaded = true,
	};
}
