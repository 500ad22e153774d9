/* SPDX-License-Identifier: MIT */
/*
 * Requests of operators over the control socket of a peer, and its answers, as
 * bytes.
 */
#include "embed/sides.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Sends a line to the control socket of this place. */
static int
request(const struct side *side, int place, const char *line)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.%d",
		side->opts.dir, place);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(dprintf(fd, "%s\n", line), (int)strlen(line) + 1);
	return fd;
}

/* Waits for the reply, while both sides do their part, and what they are
 * asked for if they are willing; its beginning must be this. */
static void
assert_reply(struct pair *p, int fd, const char *beginning, bool willing)
{
	const struct handoff_peer_event *event;
	char text[2000] = "";

	for (int i = 0; i < 2000 && text[0] == '\0'; i++) {
		handoff_peer_wait(p->a.peer, 1);
		if (p->b.peer)
			handoff_peer_wait(p->b.peer, 0);
		while (handoff_peer_next(p->a.peer, &event) > 0 && willing) {
			if (event->type == HANDOFF_PEER_RELEASE)
				handoff_entry_release(event->entry);
			if (event->type == HANDOFF_PEER_TAKEN)
				close(event->fd);
		}
		recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	}
	text[strnlen(beginning, sizeof(text))] = '\0';
	assert_string_equal(text, beginning);
	close(fd);
}

static void
requests_that_make_no_sense_are_refused(void **state)
{
	struct pair p;

	(void)state;
	memset(&p, 0, sizeof(p));
	side_init(&p.a, support_dir(), "one");
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_reply(&p, request(&p.a, 1, "say hello"),
		"error this program knows status,", true);
	assert_reply(&p, request(&p.a, 1, "maintenance"),
		"error no standby is attached: start one", true);
	assert_reply(&p, request(&p.a, 1, "ready silent"),
		"error one serves already, and no standby is there to bring "
		"the service home to: start the other server on ",
		true);
	assert_reply(&p, request(&p.a, 1, "status"), "ok test one owner", true);
	assert_reply(
		&p, request(&p.a, 1, "status json"), "ok test one owner", true);
	assert_reply(
		&p, request(&p.a, 1, "metrics"), "ok test one owner", true);
	handoff_peer_free(p.a.peer);
}

static void
one_request_at_a_time(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd, client, first, again;

	(void)state;
	pair_open(&p);
	e = side_deposit(&p.a, &fd, &client, NULL, "");
	first = request(&p.a, 1, "maintenance");
	assert_ptr_equal(pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE), e);
	assert_reply(&p, request(&p.a, 1, "ready"),
		"error another handoff is under way", true);
	/* The same again waits with the first. */
	again = request(&p.a, 1, "maintenance");
	pair_settle(&p);
	assert_int_equal(handoff_entry_release(e), 0);
	assert_reply(&p, first, "ok test one standby", true);
	assert_reply(&p, again, "ok test one standby", true);
	assert_reply(&p, request(&p.a, 1, "ready"), "ok test one owner", true);
	close(fd);
	close(client);
	pair_close(&p);
}

/* Its standby takes no part any more. */
static void
refusal_is_told(void **state)
{
	struct pair p;
	const char *dir = support_dir();
	int told;

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	told = request(&p.a, 1, "maintenance");
	for (int i = 0; i < 1000 && p.a.event.type != HANDOFF_PEER_REFUSED;
		i++) {
		handoff_peer_wait(p.a.peer, 10);
		side_next(&p.a);
	}
	assert_non_null(strstr(p.a.event.text, "has not answered within "));
	assert_int_equal(p.a.event.reason, HANDOFF_REASON_UNANSWERED);
	assert_int_equal(p.a.outcome.reason, HANDOFF_REASON_UNANSWERED);
	assert_int_equal(p.a.outcome.direction, HANDOFF_DIRECTION_OUT);
	assert_int_equal(p.a.outcome.id, 0);
	assert_reply(&p, told, "error two (pid ", true);
	pair_close(&p);
}

/* It says so from the beginning, and the operator has time. */
static void
standby_that_loads_is_waited_for(void **state)
{
	struct pair p;
	const char *dir = support_dir();
	int fd, client, told;

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.give_timeout_ms = 50;
	p.b.opts.loading = "loads its data";
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	side_deposit(&p.a, &fd, &client, NULL, "");
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_REFUSED);
	assert_int_equal(p.a.event.reason, HANDOFF_REASON_UNREADY);
	assert_int_equal(p.a.outcome.reason, HANDOFF_REASON_UNREADY);
	assert_non_null(strstr(p.a.event.text, "loads its data"));
	assert_reply(&p, request(&p.a, 1, "maintenance wait=20"),
		"error not ready: two (pid ", true);
	told = request(&p.a, 1, "maintenance wait=3600000 one");
	pair_settle(&p);
	assert_int_equal(handoff_peer_loading(p.b.peer, "nearly"), 0);
	pair_settle(&p);
	while (side_next(&p.b))
		assert_int_not_equal(p.b.event.type, HANDOFF_PEER_OWNER);
	assert_int_equal(handoff_peer_loading(p.b.peer, NULL), 0);
	assert_reply(&p, told, "ok test one standby", true);
	assert_int_equal(handoff_peer_loading(NULL, "x"), -EINVAL);
	close(fd);
	close(client);
	pair_close(&p);
}

static void
stop_gives_what_it_can(void **state)
{
	struct pair p;
	struct handoff_entry *e;
	int fd[2], client[2], told;
	const char *dir = support_dir();

	(void)state;
	side_init(&p.a, dir, "one");
	side_init(&p.b, dir, "two");
	p.a.opts.give_timeout_ms = 50;
	assert_int_equal(handoff_peer_open(&p.a.peer, &p.a.opts), 0);
	assert_int_equal(side_join(&p.b, &p.a), 0);
	pair_expect(&p, &p.a, HANDOFF_PEER_JOINED);
	e = side_deposit(&p.a, &fd[0], &client[0], NULL, "given");
	side_deposit(&p.a, &fd[1], &client[1], NULL, "kept");
	told = request(&p.a, 1, "stop");
	assert_ptr_equal(pair_expect(&p, &p.a, HANDOFF_PEER_RELEASE), e);
	assert_int_equal(handoff_entry_release(e), 0);
	/* The other one is not released. */
	pair_expect(&p, &p.a, HANDOFF_PEER_STOP);
	assert_int_equal(p.a.event.moved, 1);
	assert_int_equal(p.a.event.kept, 1);
	assert_reply(&p, told, "ok test one standby", false);
	assert_reply(
		&p, request(&p.a, 1, "stop"), "ok test one standby", false);
	assert_reply(&p, request(&p.a, 1, "maintenance"),
		"error it is stopping", false);
	assert_state(pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN), "given");
	close(p.b.event.fd);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(client[i]);
	}
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(requests_that_make_no_sense_are_refused),
		handoff_test(one_request_at_a_time),
		handoff_test(refusal_is_told),
		handoff_test(standby_that_loads_is_waited_for),
		handoff_test(stop_gives_what_it_can),
	};

	return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
