/* SPDX-License-Identifier: MIT */
/*
 * The link as a transport: order, messages queued while the socket is full, and
 * the end of the link. Both ends are in this process.
 */
#include "support/support.h"

#include "peer/link.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 100000

/* One end with what its callbacks have seen. */
struct end {
	struct handoff__loop loop;
	struct handoff__link link;
	unsigned messages, descriptors, overflows, writables, closes;
	int close_err;
	uint32_t next_batch; /* what the next message must have */
	bool in_order;
	bool close_at_message, send_when_writable;
};

static void
on_message(struct handoff__link *link, const struct handoff__msg *msg,
	const int *fds, size_t nfds)
{
	struct end *end = link->arg;

	end->messages++;
	end->descriptors += (unsigned)nfds;
	end->in_order &= msg->batch == end->next_batch++;
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
	if (end->close_at_message)
		handoff__link_close(link);
}

static void
on_lost(struct handoff__link *link, const struct handoff__msg *msg)
{
	struct end *end = link->arg;

	end->overflows++;
	end->in_order &= msg->batch == end->next_batch++;
}

static void
on_writable(struct handoff__link *link)
{
	struct end *end = link->arg;
	struct handoff__msg beat = {.type = HANDOFF__BEAT};

	end->writables++;
	while (end->send_when_writable &&
		handoff__link_try(link, &beat, NULL, 0) > 0)
		;
}

static const struct handoff__link_ops ops = {
	.message = on_message,
	.lost = on_lost,
	.writable = on_writable,
};

static void
end_init(struct end *end)
{
	memset(end, 0, sizeof(*end));
	end->in_order = true;
	assert_int_equal(handoff__loop_init(&end->loop), 0);
	handoff__link_init(&end->link, &end->loop, &ops, end);
}

static void
end_fini(struct end *end)
{
	handoff__link_close(&end->link);
	handoff__loop_fini(&end->loop);
}

static void
make_pair(int sv[2])
{
	assert_int_equal(
		socketpair(AF_UNIX,
			SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv),
		0);
}

static void
open_pair(struct end *a, struct end *b)
{
	int sv[2];

	make_pair(sv);
	end_init(a);
	end_init(b);
	assert_int_equal(handoff__link_open(&a->link, sv[0]), 0);
	assert_int_equal(handoff__link_open(&b->link, sv[1]), 0);
}

/* A link with the bare other end of the socket. */
static int
open_single(struct end *a)
{
	int sv[2];

	make_pair(sv);
	end_init(a);
	assert_int_equal(handoff__link_open(&a->link, sv[0]), 0);
	return sv[1];
}

/* What the owner of a link does with one that is broken: what came before
 * counts. */
static int
turn(struct end *end)
{
	int n = handoff__loop_dispatch(&end->loop, 0);

	assert_true(n >= 0);
	if (end->link.fd < 0 || end->link.broken == 0)
		return n;
	while (handoff__link_read(&end->link))
		;
	end->closes++;
	end->close_err = end->link.broken;
	handoff__link_close(&end->link);
	return n;
}

/* Until neither has anything to do. */
static void
settle(struct end *a, struct end *b)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		int n = turn(a);

		n += b ? turn(b) : 0;
		if (n == 0)
			return;
	}
	fail_msg("the link never comes to rest");
}

static void
send_held(struct end *end, uint32_t batch, int fd)
{
	struct handoff__msg msg = {.type = HANDOFF__HELD, .batch = batch};

	handoff__link_send(&end->link, &msg, fd);
	assert_int_equal(end->link.broken, 0);
}

static void
messages_arrive_in_order(void **state)
{
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	for (uint32_t i = 0; i < 10; i++)
		send_held(&a, i, -1);
	settle(&a, &b);
	assert_int_equal(b.messages, 10);
	assert_true(b.in_order);
	assert_int_equal(b.descriptors, 0);
	assert_int_equal(a.messages, 0);
	end_fini(&a);
	end_fini(&b);
}

static void
descriptors_arrive_with_their_message(void **state)
{
	struct end a, b;
	struct handoff__msg msg = {.type = HANDOFF__HELD};
	int fds[HANDOFF_FDPASS_MAX];

	(void)state;
	open_pair(&a, &b);
	for (int i = 0; i < HANDOFF_FDPASS_MAX; i++)
		fds[i] = a.loop.epfd;
	assert_int_equal(
		handoff__link_try(&a.link, &msg, fds, HANDOFF_FDPASS_MAX), 1);
	settle(&a, &b);
	assert_int_equal(b.messages, 1);
	assert_int_equal(b.descriptors, HANDOFF_FDPASS_MAX);
	end_fini(&a);
	end_fini(&b);
}

/* Sends until nothing more goes out; the rest is in the queue. */
static uint32_t
fill(struct end *end, uint32_t queued)
{
	uint32_t sent = 0;

	while (end->link.queued < queued) {
		send_held(end, sent++, -1);
		assert_in_range(sent, 1, TURNS_MAX);
	}
	return sent;
}

static void
what_does_not_fit_waits_in_order(void **state)
{
	struct end a, b;
	uint32_t sent;

	(void)state;
	open_pair(&a, &b);
	sent = fill(&a, 500);
	assert_true(a.link.blocked);
	settle(&a, NULL);
	assert_int_equal(a.link.queued, 500);
	assert_int_equal(a.writables, 0);
	settle(&a, &b);
	assert_int_equal(b.messages, sent);
	assert_true(b.in_order);
	assert_int_equal(a.link.queued, 0);
	assert_false(a.link.blocked);
	assert_true(a.writables > 0);
	end_fini(&a);
	end_fini(&b);
}

static void
queued_descriptor_is_sent_later(void **state)
{
	struct end a, b;
	int fd = eventfd(0, EFD_CLOEXEC);
	uint32_t sent;

	(void)state;
	open_pair(&a, &b);
	sent = fill(&a, 1);
	send_held(&a, sent, fd);
	send_held(&a, sent + 1, -1);
	assert_int_equal(a.link.queued, 3);
	settle(&a, &b);
	assert_int_equal(b.messages, sent + 2);
	assert_true(b.in_order);
	assert_int_equal(b.descriptors, 1);
	close(fd);
	end_fini(&a);
	end_fini(&b);
}

/* Nothing may overtake what waits. */
static void
nothing_is_tried_while_others_wait(void **state)
{
	struct end a, b;
	struct handoff__msg beat = {.type = HANDOFF__BEAT};

	(void)state;
	open_pair(&a, &b);
	fill(&a, 10);
	/* There is room again, and this end does not know it yet. */
	handoff__link_read(&b.link);
	assert_int_equal(handoff__link_try(&a.link, &beat, NULL, 0), 0);
	settle(&a, &b);
	assert_true(b.in_order);
	assert_int_equal(handoff__link_try(&a.link, &beat, NULL, 0), 1);
	end_fini(&a);
	end_fini(&b);
}

static void
blocked_try_is_told_when_there_is_room(void **state)
{
	struct end a, b;
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	unsigned sent = 0;

	(void)state;
	open_pair(&a, &b);
	while (handoff__link_try(&a.link, &beat, NULL, 0) > 0)
		assert_in_range(++sent, 1, TURNS_MAX);
	settle(&a, NULL);
	assert_int_equal(a.writables, 0);
	settle(&a, &b);
	assert_int_equal(b.messages, sent);
	assert_int_equal(a.writables, 1);
	/* And no more, or the loop would spin. */
	assert_int_equal(a.link.watch.events, EPOLLIN);
	end_fini(&a);
	end_fini(&b);
}

/* Who fills it again from the callback is told again, and never spins. */
static void
writable_may_fill_it_again(void **state)
{
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	fill(&a, 1);
	a.send_when_writable = true;
	for (unsigned i = 1; i <= 5; i++) {
		settle(&a, NULL);
		assert_int_equal(a.writables, i - 1);
		handoff__link_read(&b.link);
		while (handoff__loop_dispatch(&b.loop, 0) > 0)
			;
		turn(&a);
		assert_int_equal(a.writables, i);
		assert_true(a.link.blocked);
	}
	a.send_when_writable = false;
	settle(&a, &b);
	assert_false(a.link.blocked);
	end_fini(&a);
	end_fini(&b);
}

static void
queue_is_bounded(void **state)
{
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	for (unsigned i = 0; a.link.broken == 0; i++) {
		handoff__link_send(&a.link, &beat, -1);
		assert_in_range(i, 0, TURNS_MAX);
	}
	assert_int_equal(a.link.broken, -ENOBUFS);
	assert_in_range(a.link.queued, 1000, 10000);
	/* A message was lost: nothing that follows may arrive. */
	assert_int_equal(handoff__link_try(&a.link, &beat, NULL, 0), -ENOTCONN);
	settle(&a, NULL);
	assert_int_equal(a.closes, 1);
	end_fini(&a);
	end_fini(&b);
}

static void
end_of_the_other_is_told_once(void **state)
{
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	send_held(&b, 0, -1);
	end_fini(&b);
	settle(&a, NULL);
	assert_int_equal(a.messages, 1);
	assert_int_equal(a.closes, 1);
	assert_int_equal(a.close_err, -ECONNRESET);
	assert_int_equal(a.link.fd, -1);
	end_fini(&a);
}

/* What came before the end counts, even if answering it fails. */
static void
answers_to_the_dead_are_no_error(void **state)
{
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	for (uint32_t i = 0; i < 3; i++)
		send_held(&b, i, -1);
	end_fini(&b);
	handoff__link_send(&a.link, &beat, -1);
	assert_int_equal(a.link.broken, -EPIPE);
	settle(&a, NULL);
	assert_int_equal(a.messages, 3);
	assert_int_equal(a.closes, 1);
	end_fini(&a);
}

static void
closed_link_takes_nothing(void **state)
{
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	struct end a;

	(void)state;
	end_init(&a);
	assert_int_equal(handoff__link_try(&a.link, &beat, NULL, 0), -ENOTCONN);
	handoff__link_read(&a.link);
	handoff__link_close(&a.link);
	end_fini(&a);
}

/* Its letters are freed, and a new socket begins with none of them. */
static void
reopened_link_begins_afresh(void **state)
{
	struct end a, b;
	int sv[2];

	(void)state;
	open_pair(&a, &b);
	fill(&a, 100);
	handoff__link_close(&a.link);
	handoff__link_close(&b.link);
	assert_int_equal(a.link.queued, 0);
	make_pair(sv);
	assert_int_equal(handoff__link_open(&a.link, sv[0]), 0);
	assert_int_equal(handoff__link_open(&b.link, sv[1]), 0);
	send_held(&a, 0, -1);
	settle(&a, &b);
	assert_int_equal(b.messages, 1);
	assert_true(b.in_order);
	end_fini(&a);
	end_fini(&b);
}

static void
callback_may_close_the_link(void **state)
{
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	b.close_at_message = true;
	for (uint32_t i = 0; i < 5; i++)
		send_held(&a, i, -1);
	settle(&a, &b);
	assert_int_equal(b.messages, 1);
	assert_int_equal(a.closes, 1);
	end_fini(&a);
	end_fini(&b);
}

/* Descriptors that come with what is no message are not leaked: the checks
 * around each test count them. */
static void
garbage_closes_the_link(void **state)
{
	static const unsigned char garbage[] = {99, 0, 0, 0};
	struct end a;
	int fds[2], other;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		other = open_single(&a);
		fds[0] = fds[1] = other;
		if (kind == 0)
			assert_int_equal(send(other, "rubbish", 7, 0), 7);
		else
			assert_int_equal(
				handoff_fdpass_send(other, fds, 2, garbage,
					kind == 1 ? sizeof(garbage) : 0),
				1);
		settle(&a, NULL);
		assert_int_equal(a.closes, 1);
		assert_int_equal(a.close_err, -EBADMSG);
		assert_int_equal(a.messages, 0);
		close(other);
		end_fini(&a);
	}
}

static void
full_descriptor_table_is_no_end(void **state)
{
	struct end a, b;
	struct handoff__msg msg = {.type = HANDOFF__HELD};
	int fds[8];

	(void)state;
	support_not_in_valgrind();
	open_pair(&a, &b);
	for (int i = 0; i < 8; i++)
		fds[i] = a.loop.epfd;
	for (; msg.batch < 3; msg.batch++)
		assert_int_equal(handoff__link_try(&a.link, &msg, fds,
					 msg.batch == 1 ? 8 : 1),
			1);
	support_limit_descriptors(4);
	settle(&a, &b);
	support_unlimit_descriptors();
	assert_int_equal(b.overflows, 1);
	assert_int_equal(b.messages, 2);
	assert_int_equal(b.descriptors, 2);
	assert_true(b.in_order);
	assert_int_equal(b.closes, 0);
	end_fini(&a);
	end_fini(&b);
}

static void
bare_socket_sends_and_receives(void **state)
{
	struct handoff__msg msg = {.type = HANDOFF__BYE, .reason = 7}, came;
	int sv[2], fd = 0;

	(void)state;
	make_pair(sv);
	assert_int_equal(handoff__link_send_sync(sv[0], &msg, -1), 0);
	assert_int_equal(handoff__link_recv_sync(sv[1], &came, &fd, 0), 0);
	assert_int_equal(came.type, HANDOFF__BYE);
	assert_int_equal(came.reason, 7);
	assert_int_equal(fd, -1);
	assert_int_equal(handoff__link_send_sync(sv[0], &msg, sv[0]), 0);
	assert_int_equal(handoff__link_recv_sync(sv[1], &came, &fd, 0), 0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(
		handoff__link_recv_sync(sv[1], &came, &fd, 0), -ETIMEDOUT);
	assert_int_equal(handoff__link_recv_sync(
				 sv[1], &came, &fd, handoff__now_us() + 20000),
		-ETIMEDOUT);
	close(sv[0]);
	assert_int_equal(handoff__link_recv_sync(sv[1], &came, &fd, INT64_MAX),
		-ECONNRESET);
	assert_int_equal(handoff__link_send_sync(sv[1], &msg, -1), -EPIPE);
	close(sv[1]);
}

static void
full_bare_socket_is_not_waited_for(void **state)
{
	struct handoff__msg msg = {.type = HANDOFF__BEAT};
	int sv[2], err;

	(void)state;
	make_pair(sv);
	for (unsigned i = 0;
		(err = handoff__link_send_sync(sv[0], &msg, -1)) == 0; i++)
		assert_in_range(i, 0, TURNS_MAX);
	assert_int_equal(err, -EAGAIN);
	close(sv[0]);
	close(sv[1]);
}

static void
bare_socket_refuses_descriptors_and_garbage(void **state)
{
	struct handoff__msg came;
	unsigned char ready[] = {8, 0, 0, 0};
	int sv[2], fd;

	(void)state;
	make_pair(sv);
	assert_int_equal(
		handoff_fdpass_send(sv[0], sv, 2, ready, sizeof(ready)), 1);
	assert_true(handoff__link_recv_sync(sv[1], &came, &fd, 0) < 0);
	assert_int_equal(
		handoff_fdpass_send(sv[0], NULL, 0, ready, sizeof(ready) - 1),
		1);
	assert_int_equal(
		handoff__link_recv_sync(sv[1], &came, &fd, 0), -EBADMSG);
	/* One that comes with garbage is not leaked. */
	assert_int_equal(
		handoff_fdpass_send(sv[0], sv, 1, ready, sizeof(ready) - 1), 1);
	assert_int_equal(
		handoff__link_recv_sync(sv[1], &came, &fd, 0), -EBADMSG);
	close(sv[0]);
	close(sv[1]);
}

struct late {
	int fd;
	struct handoff__msg msg;
};

static void *
send_late(void *arg)
{
	struct late *late = arg;

	handoff__link_send_sync(late->fd, &late->msg, -1);
	return NULL;
}

static void
bare_socket_waits_for_a_message(void **state)
{
	struct late late = {.msg = {.type = HANDOFF__READY}};
	struct handoff__msg came;
	pthread_t thread;
	int sv[2], fd;

	(void)state;
	make_pair(sv);
	late.fd = sv[0];
	assert_int_equal(pthread_create(&thread, NULL, send_late, &late), 0);
	assert_int_equal(handoff__link_recv_sync(sv[1], &came, &fd,
				 handoff__now_us() + 5000000),
		0);
	assert_int_equal(came.type, HANDOFF__READY);
	pthread_join(thread, NULL);
	close(sv[0]);
	close(sv[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(messages_arrive_in_order),
		handoff_test(descriptors_arrive_with_their_message),
		handoff_test(what_does_not_fit_waits_in_order),
		handoff_test(queued_descriptor_is_sent_later),
		handoff_test(nothing_is_tried_while_others_wait),
		handoff_test(blocked_try_is_told_when_there_is_room),
		handoff_test(writable_may_fill_it_again),
		handoff_test(queue_is_bounded),
		handoff_test(end_of_the_other_is_told_once),
		handoff_test(answers_to_the_dead_are_no_error),
		handoff_test(closed_link_takes_nothing),
		handoff_test(reopened_link_begins_afresh),
		handoff_test(callback_may_close_the_link),
		handoff_test(garbage_closes_the_link),
		handoff_test(full_descriptor_table_is_no_end),
		handoff_test(bare_socket_sends_and_receives),
		handoff_test(full_bare_socket_is_not_waited_for),
		handoff_test(bare_socket_refuses_descriptors_and_garbage),
		handoff_test(bare_socket_waits_for_a_message),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
