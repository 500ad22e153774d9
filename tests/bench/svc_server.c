/* SPDX-License-Identifier: MIT */
/*
 * What the service of remote procedures is measured against: libtirpc's own
 * server, svc_run, with the same dispatch function, of which only the null
 * procedure is called. Registers nowhere. Prints its address.
 */
#include "rpc/procedures.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int
main(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct handoff_rpc_opts opts;
	SVCXPRT *xprt;

	counter_options(&opts, NULL);
	if (bind(fd, (struct sockaddr *)&sin, len) < 0 ||
		listen(fd, SOMAXCONN) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0) {
		perror("svc_server");
		return 1;
	}
	xprt = svc_vc_create(fd, 0, 0);
	/* protocol 0: no rpcbind */
	if (!xprt || !svc_register(xprt, COUNTER, COUNTER_ONE,
			     opts.programs->dispatch, 0)) {
		fprintf(stderr, "svc_server: cannot register\n");
		return 1;
	}
	printf("listening on 127.0.0.1:%u\n", ntohs(sin.sin_port));
	fflush(stdout);
	svc_run();
	return 1;
}
