/* SPDX-License-Identifier: MIT */
/* A program with a service of remote procedures. */
#include <handoff.h>
#include <handoff/rpc.h>

#include <stdio.h>
#include <string.h>

static void
dispatch(struct svc_req *rqstp, SVCXPRT *transp)
{
	(void)rqstp;
	svcerr_noproc(transp);
}

int
main(void)
{
	struct handoff_rpc_program program = {7, 1, dispatch};
	struct handoff_rpc_opts opts;
	struct handoff_rpc *rpc = NULL;
	int err;

	memset(&opts, 0, sizeof(opts));
	opts.size = sizeof(opts);
	opts.programs = &program;
	opts.nprograms = 1;
	err = handoff_rpc_open(&rpc, &opts);
	printf("handoff %s: %s\n", handoff_version(),
		err == 0 && handoff_rpc_service(rpc) ? "hello" : "not opened");
	handoff_rpc_free(rpc);
	return err < 0;
}
