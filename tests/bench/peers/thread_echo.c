/* SPDX-License-Identifier: MIT */
/*
 * A minimal echo server with a thread for each connection, that blocks: one
 * recv and one send a request and nothing else.
 */
#include "peer.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_SIZE (1u << 20)

static void *
serve(void *arg)
{
	unsigned char buffer[PEER_BUFFER];
	int fd = (int)(intptr_t)arg;
	ssize_t len;

	while ((len = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		ssize_t sent, at = 0;

		while (at < len) {
			sent = send(fd, buffer + at, (size_t)(len - at),
				MSG_NOSIGNAL);
			if (sent < 0)
				goto end;
			at += sent;
		}
	}
end:
	close(fd);
	return NULL;
}

int
main(void)
{
	int listener = peer_listen(0);
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t id;

		if (fd < 0)
			continue;
		if (pthread_create(&id, &attr, serve, (void *)(intptr_t)fd)) {
			perror("pthread_create");
			exit(1);
		}
	}
}
