/* SPDX-License-Identifier: MIT */
/*
 * What the service of remote procedures is measured against: libtirpc's own
 * server, svc_run, with the same dispatch function, of which only the null
 * procedure is called; with --epoll its calls are found by epoll instead of
 * poll. Registers nowhere. Prints its address.
 */
#include "rpc/procedures.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BATCH 64 /* as of model loop */

/* What libtirpc has in its array for poll; those that are there already are
 * refused. A descriptor that it closes leaves by itself. */
static void
add_all(int epfd)
{
	for (int i = 0; i < svc_max_pollfd; i++) {
		struct epoll_event ev = {
			.events = EPOLLIN, .data.fd = svc_pollfd[i].fd};

		if (svc_pollfd[i].fd >= 0)
			epoll_ctl(epfd, EPOLL_CTL_ADD, ev.data.fd, &ev);
	}
}

static void
run_epoll(int listener)
{
	struct epoll_event events[BATCH];
	int epfd = epoll_create1(EPOLL_CLOEXEC), n;

	add_all(epfd);
	while ((n = epoll_wait(epfd, events, BATCH, -1)) >= 0) {
		for (int i = 0; i < n; i++) {
			svc_getreq_common(events[i].data.fd);
			if (events[i].data.fd == listener)
				add_all(epfd);
		}
	}
}

int
main(int argc, char **argv)
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
	if (argc > 1 && strcmp(argv[1], "--epoll") == 0)
		run_epoll(fd);
	else
		svc_run();
	return 1;
}
