/* SPDX-License-Identifier: MIT */
/*
 * Notifications to systemd: the exact messages, in order, for two servers in
 * two units or in one. Each server has a manager of its own, which shows the
 * sender of each message.
 */
#include "systemd/manager.h"
#include "systemd/systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURNS_MAX 100000
#define EXTEND_MS 10000

struct unit {
	struct host *host;
	struct manager manager;
	struct handoff_systemd *sd;
};

/* Two servers, and where each of them is told of. */
struct units {
	struct duo duo;
	struct unit a, b;
	struct handoff_systemd_opts opts;
};

static void
units_init(struct units *units, enum handoff_model model)
{
	manager_none();
	duo_init(&units->duo, model);
	units->a.host = &units->duo.a;
	units->b.host = &units->duo.b;
	units->a.sd = units->b.sd = NULL;
	units->opts =
		(struct handoff_systemd_opts){.size = sizeof(units->opts)};
	manager_open(&units->a.manager, units->duo.a.opts.dir, "notify.a");
	manager_open(&units->b.manager, units->duo.a.opts.dir, "notify.b");
}

static void
unit_open(struct units *units, struct unit *unit, struct host *other)
{
	manager_hears(&unit->manager);
	assert_int_equal(handoff_systemd_open(&unit->sd, &units->opts), 0);
	assert_int_equal(handoff_systemd_adopt(unit->sd, &unit->host->opts), 0);
	assert_int_equal(host_open(unit->host, other), 0);
	assert_int_equal(
		handoff_systemd_attach(unit->sd, unit->host->server), 0);
}

/* Passes on what comes up to an event of that type. */
static void
pass_on(struct units *units, struct unit *unit,
	enum handoff_server_event_type until)
{
	const struct handoff_server_event *ev = NULL;

	for (int i = 0; !ev || ev->type != until; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		if (handoff_server_next(unit->host->server, &ev) != 1) {
			duo_turn(&units->duo);
			continue;
		}
		if (ev->type == HANDOFF_SERVER_LISTENING)
			snprintf(unit->host->address,
				sizeof(unit->host->address), "%.100s",
				ev->text + strlen("listening on "));
		manager_hears(&unit->manager);
		assert_int_equal(handoff_systemd_event(unit->sd, ev), 0);
	}
}

/* Both run, and have said that. */
static void
units_open(struct units *units, enum handoff_model model)
{
	units_init(units, model);
	unit_open(units, &units->a, NULL);
	pass_on(units, &units->a, HANDOFF_SERVER_OWNER);
	unit_open(units, &units->b, units->a.host);
	pass_on(units, &units->b, HANDOFF_SERVER_STANDBY);
	pass_on(units, &units->a, HANDOFF_SERVER_JOINED);
}

static void
unit_close(struct unit *unit)
{
	handoff_server_free(unit->host->server);
	unit->host->server = NULL;
	handoff_systemd_free(unit->sd);
	unit->sd = NULL;
	manager_close(&unit->manager);
}

static void
units_close(struct units *units)
{
	unit_close(&units->a);
	unit_close(&units->b);
}

static void
move(struct units *units)
{
	assert_int_equal(handoff_server_maintenance(units->a.host->server), 0);
	pass_on(units, &units->b, HANDOFF_SERVER_OWNER);
	pass_on(units, &units->a, HANDOFF_SERVER_GAVE);
}

static const char *
format(const char *fmt, int pid)
{
	static char text[MESSAGE_MAX];

	snprintf(text, sizeof(text), fmt, pid, pid);
	return text;
}

static void
expect(struct unit *unit, const char *fmt)
{
	manager_expect(&unit->manager, format(fmt, (int)getpid()));
}

static void
nobody_is_told_without_a_socket(void **state)
{
	struct units units;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "2000", 1);
	assert_int_equal(handoff_systemd_open(&units.a.sd, NULL), 0);
	assert_int_equal(host_open(units.a.host, NULL), 0);
	assert_int_equal(
		handoff_systemd_attach(units.a.sd, units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(handoff_systemd_reloading(units.a.sd), 0);
	assert_int_equal(handoff_systemd_ready(units.a.sd), 0);
	for (int i = 0; i < 5; i++)
		duo_turn(&units.duo);
	assert_int_equal(handoff_server_stop(units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_STOPPED);
	manager_silence(&units.a.manager);
	units_close(&units);
}

static void
owner_starts_and_stops(void **state)
{
	struct units units;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	unit_open(&units, &units.a, NULL);
	manager_silence(&units.a.manager);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	expect(&units.a, "READY=1\nSTATUS=owner: serves lines (generation 1)");
	assert_int_equal(handoff_server_stop(units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_STOPPED);
	expect(&units.a,
		"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=10000000");
	manager_silence(&units.a.manager);
	units_close(&units);
}

static void
alternate_is_ready_when_it_waits(void **state)
{
	struct units units;
	char text[MESSAGE_MAX];

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	unit_open(&units, &units.b, NULL);
	pass_on(&units, &units.b, HANDOFF_SERVER_WAITING);
	snprintf(text, sizeof(text),
		"READY=1\nSTATUS=waiting: no owner is in %s yet",
		units.duo.a.opts.dir);
	manager_expect(&units.b.manager, text);
	unit_open(&units, &units.a, units.b.host);
	pass_on(&units, &units.b, HANDOFF_SERVER_STANDBY);
	expect(&units.b,
		"STATUS=standby: server (pid %d) serves (generation 1)");
	units_close(&units);
}

static void
two_units_hand_over(void **state)
{
	struct units units;

	(void)state;
	units_open(&units, HANDOFF_MODEL_LOOP);
	expect(&units.a, "READY=1\nSTATUS=owner: serves lines (generation 1)");
	expect(&units.a, "STATUS=joined: alt (pid %d) is the standby");
	expect(&units.b, "READY=1\nSTATUS=standby: server (pid %d) serves "
			 "(generation 1)");
	move(&units);
	expect(&units.a, "EXTEND_TIMEOUT_USEC=10000000");
	expect(&units.a, "STATUS=standby: alt (pid %d) serves (generation 2)");
	expect(&units.b, "STATUS=owner: took over from server (pid %d) "
			 "(generation 2)");
	/* The standby stops; its unit does, and the other goes on. */
	assert_int_equal(handoff_server_stop(units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_STOPPED);
	expect(&units.a,
		"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=10000000");
	manager_silence(&units.a.manager);
	manager_silence(&units.b.manager);
	units_close(&units);
}

/* A stop that hands over first is a stop of the unit all the same. */
static void
two_units_hand_over_in_a_stop(void **state)
{
	struct units units;

	(void)state;
	units_open(&units, HANDOFF_MODEL_LOOP);
	while (manager_next(&units.a.manager))
		;
	assert_int_equal(handoff_server_stop(units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_STOPPED);
	expect(&units.a,
		"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=10000000");
	expect(&units.a, "STATUS=standby: alt (pid %d) serves (generation 2)");
	manager_silence(&units.a.manager);
	units_close(&units);
}

/* A hot upgrade: the unit goes on with another main process, which both say;
 * the standby is silent, since the unit's status is not its own. */
static void
one_unit_goes_on(void **state)
{
	struct units units;

	(void)state;
	manager_none();
	for (int way = 0; way < 3; way++) {
		units_init(&units, HANDOFF_MODEL_LOOP);
		manager_unit_way = way;
		manager_other_unit = manager_unit;
		unit_open(&units, &units.a, NULL);
		pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
		unit_open(&units, &units.b, units.a.host);
		pass_on(&units, &units.b, HANDOFF_SERVER_STANDBY);
		pass_on(&units, &units.a, HANDOFF_SERVER_JOINED);
		expect(&units.a,
			"READY=1\nSTATUS=owner: serves lines (generation 1)");
		expect(&units.a, "STATUS=joined: alt (pid %d) is the standby");
		manager_silence(&units.b.manager);
		move(&units);
		expect(&units.a, "EXTEND_TIMEOUT_USEC=10000000");
		expect(&units.a, "MAINPID=%d");
		expect(&units.b, "MAINPID=%d\nREADY=1\nSTATUS=owner: took over "
				 "from server (pid %d) "
				 "(generation 2)");
		assert_int_equal(handoff_server_stop(units.a.host->server), 0);
		pass_on(&units, &units.a, HANDOFF_SERVER_STOPPED);
		manager_silence(&units.a.manager);
		manager_silence(&units.b.manager);
		units_close(&units);
		support_teardown(state);
		support_setup(state);
	}
}

/* The other peer goes on with the unit: it does not stop. */
static void
one_unit_does_not_stop(void **state)
{
	struct units units;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	manager_other_unit = manager_unit;
	unit_open(&units, &units.a, NULL);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	unit_open(&units, &units.b, units.a.host);
	pass_on(&units, &units.b, HANDOFF_SERVER_STANDBY);
	pass_on(&units, &units.a, HANDOFF_SERVER_JOINED);
	while (manager_next(&units.a.manager))
		;
	assert_int_equal(handoff_server_stop(units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_STOPPED);
	expect(&units.a, "EXTEND_TIMEOUT_USEC=10000000");
	expect(&units.a, "MAINPID=%d");
	manager_silence(&units.a.manager);
	unit_close(&units.a);
	pass_on(&units, &units.b, HANDOFF_SERVER_OWNER);
	while (manager_next(&units.b.manager))
		;
	/* Now it is alone. */
	pass_on(&units, &units.b, HANDOFF_SERVER_LEFT);
	while (manager_next(&units.b.manager))
		;
	assert_int_equal(handoff_server_stop(units.b.host->server), 0);
	pass_on(&units, &units.b, HANDOFF_SERVER_STOPPED);
	expect(&units.b,
		"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=10000000");
	unit_close(&units.b);
}

/* Nobody knows: then each is what it is without the other. */
static void
unknown_units_are_two(void **state)
{
	struct units units;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	manager_unit = manager_other_unit = NULL;
	unit_open(&units, &units.a, NULL);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	unit_open(&units, &units.b, units.a.host);
	pass_on(&units, &units.b, HANDOFF_SERVER_STANDBY);
	expect(&units.b, "READY=1\nSTATUS=standby: server (pid %d) serves "
			 "(generation 1)");
	units_close(&units);
}

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* From the loop, and from nowhere else: one that hangs is silent. */
static void
watchdog_is_fed_by_the_loop(void **state)
{
	struct units units;
	int64_t begin;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	setenv("WATCHDOG_USEC", "40000", 1);
	unit_open(&units, &units.a, NULL);
	assert_int_equal(units.a.sd->watchdog_us, 20000);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	expect(&units.a, "READY=1\nSTATUS=owner: serves lines (generation 1)");
	manager_hears(&units.a.manager);
	begin = now_us();
	for (int n = 0; n < 5;) {
		duo_turn(&units.duo);
		if (!manager_next(&units.a.manager))
			continue;
		assert_string_equal(units.a.manager.text, "WATCHDOG=1");
		n++;
	}
	/* Each came after half the time, not before. */
	assert_true(now_us() - begin >= 5 * 20000 - 20000);
	/* No turn of the loop, no sign of life. */
	poll(NULL, 0, 100);
	manager_silence(&units.a.manager);
	units_close(&units);
}

static void
watchdog_of_others_is_not_fed(void **state)
{
	struct units units;
	int64_t begin = now_us();

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	setenv("WATCHDOG_USEC", "2000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	unit_open(&units, &units.a, NULL);
	while (now_us() - begin < 50000)
		duo_turn(&units.duo);
	manager_silence(&units.a.manager);
	units_close(&units);
}

/* Or it would hide that the owner hangs. */
static void
standby_of_one_unit_feeds_no_watchdog(void **state)
{
	struct units units;
	int64_t begin;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	manager_other_unit = manager_unit;
	unit_open(&units, &units.a, NULL);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	setenv("WATCHDOG_USEC", "2000", 1);
	unit_open(&units, &units.b, units.a.host);
	pass_on(&units, &units.b, HANDOFF_SERVER_STANDBY);
	manager_hears(&units.b.manager);
	while (manager_next(&units.b.manager))
		; /* it may have said so before it knew the other */
	for (begin = now_us(); now_us() - begin < 50000;)
		duo_turn(&units.duo);
	manager_silence(&units.b.manager);
	move(&units);
	manager_hears(&units.b.manager);
	while (!manager_next(&units.b.manager) ||
		strcmp(units.b.manager.text, "WATCHDOG=1") != 0)
		duo_turn(&units.duo);
	units_close(&units);
}

/* As long as a handler holds the handoff up, and no longer. */
static void
time_is_asked_for_while_it_drains(void **state)
{
	struct units units;
	int client, asked = 0;

	(void)state;
	units_init(&units, HANDOFF_MODEL_THREAD);
	units.opts.extend_ms = 20;
	unit_open(&units, &units.a, NULL);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	unit_open(&units, &units.b, units.a.host);
	pass_on(&units, &units.b, HANDOFF_SERVER_STANDBY);
	pass_on(&units, &units.a, HANDOFF_SERVER_JOINED);
	while (manager_next(&units.a.manager))
		;
	client = client_open(units.a.host->address);
	client_line(&units.duo, client, 1);
	atomic_store(&units.a.host->hold, true);
	client_send(client, "hello\n");
	while (atomic_load(&units.a.host->holding) != 1)
		duo_turn(&units.duo);
	assert_int_equal(handoff_server_maintenance(units.a.host->server), 0);
	pass_on(&units, &units.a, HANDOFF_SERVER_STANDBY);
	while (asked < 4) {
		if (!manager_next(&units.a.manager))
			duo_turn(&units.duo);
		else
			asked += strcmp(units.a.manager.text,
					 "EXTEND_TIMEOUT_USEC=20000") == 0;
	}
	atomic_store(&units.a.host->hold, false);
	pass_on(&units, &units.a, HANDOFF_SERVER_GAVE);
	client_expect(&units.duo, client, "2 hello\n");
	while (manager_next(&units.a.manager))
		;
	for (int64_t begin = now_us(); now_us() - begin < 60000;)
		duo_turn(&units.duo);
	manager_silence(&units.a.manager);
	close(client);
	units_close(&units);
}

static void
reload_is_told(void **state)
{
	struct units units;
	uint64_t before, told, after;
	char rest;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	unit_open(&units, &units.a, NULL);
	pass_on(&units, &units.a, HANDOFF_SERVER_OWNER);
	assert_true(manager_next(&units.a.manager));
	before = (uint64_t)now_us();
	assert_int_equal(handoff_systemd_reloading(units.a.sd), 0);
	after = (uint64_t)now_us();
	assert_true(manager_next(&units.a.manager));
	assert_int_equal(sscanf(units.a.manager.text,
				 "RELOADING=1\nMONOTONIC_USEC=%" SCNu64 "%c",
				 &told, &rest),
		1);
	assert_in_range(told, before, after);
	assert_int_equal(handoff_systemd_ready(units.a.sd), 0);
	expect(&units.a, "READY=1\nSTATUS=owner: serves lines (generation 1)");
	manager_silence(&units.a.manager);
	units_close(&units);
}

/* A line end in a sentence would begin another assignment. */
static void
status_is_one_line(void **state)
{
	struct handoff_server_event ev = {
		.type = HANDOFF_SERVER_LEFT, .text = "left: x\nMAINPID=1\ty"};
	char longest[HANDOFF_TEXT_MAX] = "";
	struct units units;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	unit_open(&units, &units.a, NULL);
	manager_hears(&units.a.manager);
	assert_int_equal(handoff_systemd_event(units.a.sd, &ev), 0);
	expect(&units.a, "READY=1\nSTATUS=left: x?MAINPID=1?y");
	memset(longest, 'x', sizeof(longest) - 1);
	ev.text = longest;
	assert_int_equal(handoff_systemd_event(units.a.sd, &ev), 0);
	assert_true(manager_next(&units.a.manager));
	assert_int_equal(strlen(units.a.manager.text),
		strlen("STATUS=") + sizeof(longest) - 1);
	units_close(&units);
}

static void
count_warnings(enum handoff_log_level level, const char *text, void *arg)
{
	int *warnings = arg;

	*warnings += level == HANDOFF_LOG_WARNING &&
		     strstr(text, "cannot be notified") != NULL;
}

/* The server goes on, and the log is told once. */
static void
deaf_manager_is_told_of_once(void **state)
{
	struct handoff_server_event ev = {
		.type = HANDOFF_SERVER_LEFT, .text = "left"};
	struct units units;
	int warnings = 0;

	(void)state;
	units_init(&units, HANDOFF_MODEL_LOOP);
	units.opts.log = count_warnings;
	units.opts.log_arg = &warnings;
	unit_open(&units, &units.a, NULL);
	manager_hears(&units.a.manager);
	assert_string_equal(handoff_systemd_errmsg(units.a.sd), "");
	unlink(units.a.manager.path);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			handoff_systemd_event(units.a.sd, &ev), -ENOENT);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(handoff_systemd_errmsg(units.a.sd),
		"cannot be notified: No such file"));
	units_close(&units);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(nobody_is_told_without_a_socket),
		handoff_test(owner_starts_and_stops),
		handoff_test(alternate_is_ready_when_it_waits),
		handoff_test(two_units_hand_over),
		handoff_test(two_units_hand_over_in_a_stop),
		handoff_test(one_unit_goes_on),
		handoff_test(one_unit_does_not_stop),
		handoff_test(unknown_units_are_two),
		handoff_test(watchdog_is_fed_by_the_loop),
		handoff_test(watchdog_of_others_is_not_fed),
		handoff_test(standby_of_one_unit_feeds_no_watchdog),
		handoff_test(time_is_asked_for_while_it_drains),
		handoff_test(reload_is_told),
		handoff_test(status_is_one_line),
		handoff_test(deaf_manager_is_told_of_once),
	};

	return cmocka_run_group_tests_name("tell", tests, NULL, NULL);
}
