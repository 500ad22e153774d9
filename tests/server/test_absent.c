/* SPDX-License-Identifier: MIT */
/*
 * Sessions without a connection are bounded: by their number at once, and by
 * the descriptors that clients need. The oldest ends first, wherever it became
 * absent.
 */
#include "server/internal.h"
#include "server/speaker.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE 200
#define MANY  24u

static char logged[8192];

static void
keep_log(enum handoff_log_level level, const char *text, void *arg)
{
	size_t len = strlen(logged);

	(void)arg;
	if (level == HANDOFF_LOG_WARNING)
		snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
}

static unsigned
count_logged(const char *what)
{
	unsigned count = 0;

	for (const char *at = logged; (at = strstr(at, what)); at++)
		count++;
	return count;
}

static void
open_first(struct duo *duo, void **state, uint32_t most)
{
	logged[0] = '\0';
	duo_init(duo, duo_model(state));
	speaker_sessions(duo, 0, most);
	duo->a.opts.log = keep_log;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

/* Without the help of the sweep. */
static void
await_absent(struct duo *duo, struct host *host, unsigned count)
{
	struct handoff_server *server = host->server;

	for (int idle = 0; server->resumes.absent != count ||
			   server->pair.roster.connections != count;) {
		idle += !duo_turn(duo);
		handoff__timer_disarm(&server->loop, &server->sweep);
		if (idle > 1000)
			fail_msg("%u sessions absent of %u connections, not %u",
				server->resumes.absent,
				server->pair.roster.connections, count);
	}
}

static void
begin(struct duo *duo, struct speaker *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		speaker_begin(&s[i], duo, duo->a.address);
		speaker_line(&s[i], duo, 1);
	}
}

/* It has lost its connection a moment before whatever comes next. */
static void
cut(struct duo *duo, struct host *host, struct speaker *s)
{
	uint32_t others = host->server->pair.roster.connections -
			  host->server->resumes.absent - 1;
	int64_t then;

	speaker_cut(s);
	while (host->server->pair.roster.connections -
			host->server->resumes.absent >
		others)
		duo_turn(duo);
	for (then = (int64_t)handoff__boot_ms();
		(int64_t)handoff__boot_ms() - then < 2;)
		duo_turn(duo);
}

static void
assert_ended(struct duo *duo, struct speaker *s)
{
	assert_int_equal(speaker_answer(s, duo, speaker_ask(s, duo->a.address)),
		HANDOFF__REFUSED_UNKNOWN);
}

static void
assert_lives(struct duo *duo, struct speaker *s)
{
	speaker_resume(s, duo, duo->a.address);
	speaker_line(s, duo, 2);
	speaker_cut(s);
}

static void
too_many_end_at_once(void **state)
{
	struct duo duo;
	static struct speaker s[MANY];

	open_first(&duo, state, 2);
	begin(&duo, s, MANY);
	for (unsigned i = 0; i < MANY; i++)
		speaker_cut(&s[i]);
	await_absent(&duo, &duo.a, 2);
	assert_int_equal(duo.a.server->resumes.expired, MANY - 2);
	duo_close(&duo);
}

/* They come in another order than that in which they became absent. */
static void
oldest_is_known_after_a_handoff(void **state)
{
	struct duo duo;
	static struct speaker s[4];

	open_first(&duo, state, 3);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	begin(&duo, s, 4);
	for (int i = 2; i >= 0; i--)
		cut(&duo, &duo.a, &s[i]);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	while (duo.b.server->resumes.absent < 3 ||
		duo.b.server->pair.roster.connections < 4)
		duo_turn(&duo);
	speaker_cut(&s[3]);
	await_absent(&duo, &duo.b, 3);
	assert_ended(&duo, &s[2]);
	assert_lives(&duo, &s[0]);
	assert_lives(&duo, &s[1]);
	assert_lives(&duo, &s[3]);
	duo_close(&duo);
}

/* --- descriptors --- */

static struct rlimit before;
static int fill[TABLE];
static unsigned filled;

static void
limit_table(void)
{
	struct rlimit now;

	support_not_in_valgrind(); /* it has descriptors of its own */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = TABLE;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void
fill_table(void)
{
	int fd;

	for (filled = 0; (fd = dup(STDIN_FILENO)) >= 0;)
		fill[filled++] = fd;
}

static void
empty_table(void)
{
	while (filled > 0)
		close(fill[--filled]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* A client that has its own descriptor already. */
static void
connect_late(int fd, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1))};

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
}

/* `spare`: the server has its reserve, and lacks one for the client alone. */
static void
make_room(void **state, bool spare, unsigned left)
{
	static struct speaker s[MANY];
	struct duo duo;
	int fd;

	limit_table();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	open_first(&duo, state, 100);
	begin(&duo, s, MANY);
	for (unsigned i = 0; i < MANY; i++)
		cut(&duo, &duo.a, &s[i]);
	if (!spare)
		assert_true(handoff__spare_drop(duo.a.server));
	fill_table();
	handoff__listen_update(duo.a.server);
	for (int i = 0; i < 20; i++)
		duo_turn(&duo);
	/* for nobody */
	assert_int_equal(duo.a.server->resumes.absent, MANY);
	connect_late(fd, duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(duo.a.server->resumes.absent, left);
	assert_int_equal(count_logged("make room"), 1);
	assert_int_equal(count_logged("backlog"), 0);
	empty_table();
	assert_ended(&duo, &s[0]);
	assert_ended(&duo, &s[MANY - left - 1]);
	assert_lives(&duo, &s[MANY - left]);
	assert_lives(&duo, &s[MANY - 1]);
	close(fd);
	duo_close(&duo);
}

static void
one_ends_for_a_client(void **state)
{
	make_room(state, true, MANY - 1);
}

/* The reserve of 16 as well. */
static void
as_many_end_as_are_needed(void **state)
{
	make_room(state, false, MANY - 17);
}

static void
nothing_is_left_to_end(void **state)
{
	struct duo duo;
	struct speaker s;
	int fd;

	limit_table();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	open_first(&duo, state, 100);
	begin(&duo, &s, 1);
	cut(&duo, &duo.a, &s);
	assert_true(handoff__spare_drop(duo.a.server));
	fill_table();
	handoff__listen_update(duo.a.server);
	connect_late(fd, duo.a.address);
	while (!duo.a.server->starved)
		duo_turn(&duo);
	assert_int_equal(duo.a.server->resumes.absent, 0);
	assert_int_equal(count_logged("backlog"), 1);
	empty_table();
	client_line(&duo, fd, 1);
	close(fd);
	duo_close(&duo);
}

static void
too_small_a_table_is_told_at_open(void **state)
{
	static const uint32_t most[] = {0, 50};
	struct duo duo;

	for (unsigned i = 0; i < 2; i++) {
		limit_table();
		open_first(&duo, state, most[i]);
		empty_table();
		assert_int_equal(
			count_logged("1000 without a connection (session_max) "
				     "do not fit into RLIMIT_NOFILE, which is "
				     "200"),
			i == 0);
		assert_int_equal(count_logged("RLIMIT_NOFILE"), i == 0);
		duo_close(&duo);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(too_many_end_at_once),
		each_model(oldest_is_known_after_a_handoff),
		each_model(one_ends_for_a_client),
		each_model(as_many_end_as_are_needed),
		each_model(nothing_is_left_to_end),
		handoff_test(too_small_a_table_is_told_at_open),
	};

	return cmocka_run_group_tests_name("absent", tests, NULL, NULL);
}
