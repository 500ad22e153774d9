/* SPDX-License-Identifier: MIT */
/*
 * The connection and its client. Uses only public calls of the library.
 */
#include "embed/stream.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
connect_tcp(int *accepted, int *connected)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	support_not_emulated("it has no getsockopt(TCP_INFO)");
	assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	*connected = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*connected, (struct sockaddr *)&sin, len), 0);
	*accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*accepted >= 0);
	close(listener);
}

void
deposit_stream(struct stream *s)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_CONNECTION,
		.fd = s->fd};

	pair_open(&s->p);
	assert_int_equal(
		handoff_peer_deposit(s->p.a.peer, &s->entry, &opts), 0);
}

void
open_stream(struct stream *s)
{
	connect_tcp(&s->fd, &s->client);
	deposit_stream(s);
}

void
close_stream(struct stream *s)
{
	close(s->fd);
	close(s->client);
	pair_close(&s->p);
}

void
put(const struct stream *s, const char *text)
{
	assert_int_equal(send(s->client, text, strlen(text), MSG_NOSIGNAL),
		(ssize_t)strlen(text));
	assert_true(support_poll(s->fd, POLLIN));
}

void
assert_progress(const struct stream *s, uint64_t read, uint64_t written)
{
	uint64_t in = 99, out = 99;

	assert_int_equal(handoff_entry_progress(s->entry, &in, &out), 0);
	assert_int_equal(in, read);
	assert_int_equal(out, written);
}
