/* SPDX-License-Identifier: MIT */
/*
 * Two peers with other addresses: the difference is reported while one is the
 * standby; a peer that becomes the owner opens its own addresses and closes the
 * others; an address that cannot be opened closes nothing.
 */
#include "server/duo.h"

#include "base/addr.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* TEST-NET-1 (RFC 5737): of no host. */
#define NOWHERE "192.0.2.77:7000"

static struct handoff__error error;

int __real_getaddrinfo(const char *, const char *, const struct addrinfo *,
	struct addrinfo **);
int __wrap_getaddrinfo(const char *, const char *, const struct addrinfo *,
	struct addrinfo **);

/* Names in this domain (RFC 6761, 6.2) are not sent to any name server. */
static unsigned asked;     /* how often such a name was to be resolved */
static const char *answer; /* a host, or NULL: no name server answers */
static const char *seen_dir;
static size_t files; /* of seen_dir at that time */

static size_t
count_files(const char *path)
{
	DIR *dir = opendir(path);
	size_t count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

int
__wrap_getaddrinfo(const char *host, const char *port,
	const struct addrinfo *hints, struct addrinfo **list)
{
	if (!host || strcmp(host, "host.test") != 0)
		return __real_getaddrinfo(host, port, hints, list);
	if (hints->ai_flags & AI_NUMERICHOST)
		return EAI_NONAME;
	asked++;
	files = seen_dir ? count_files(seen_dir) : 0;
	return answer ? __real_getaddrinfo(answer, port, hints, list)
		      : EAI_AGAIN;
}

/* A free port in an address. It is below those that the kernel chooses of
 * (ip_local_port_range), so that no other process is given it meanwhile. */
static void
free_address(const char *format, char address[HANDOFF_ADDRESS_MAX])
{
	static unsigned next;
	char bound[HANDOFF_ADDRESS_MAX], text[32], port[8];
	int fd = -1;

	for (int i = 0; i < 100 && fd < 0; i++) {
		unsigned at = (unsigned)getpid() * 61 + next++;

		snprintf(port, sizeof(port), "%u", 10000 + at % 22000);
		snprintf(text, sizeof(text), ":%s", port);
		fd = handoff__addr_listen(text, bound, &error);
	}
	assert_true(fd >= 0);
	close(fd);
	snprintf(address, HANDOFF_ADDRESS_MAX, format, port);
}

/* `a` is open and listens on the first of these; `b`, on the first of those,
 * is not open yet. */
static void
open_one_of(struct duo *duo, const char *const *a, const char *const *b)
{
	duo_init(duo, HANDOFF_MODEL_LOOP);
	duo->a.opts.listen = a;
	duo->b.opts.listen = b;
	duo->a.opts.nlisten = duo->b.opts.nlisten = 1;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

/* `a` listens on these, `b` on those. */
static void
open_with(struct duo *duo, const char *const *a, size_t na,
	const char *const *b, size_t nb)
{
	duo_init(duo, HANDOFF_MODEL_LOOP);
	duo->a.opts.listen = a;
	duo->a.opts.nlisten = na;
	duo->b.opts.listen = b;
	duo->b.opts.nlisten = nb;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_STANDBY);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static char logged[4096];

static void
log_line(enum handoff_log_level level, const char *line, void *arg)
{
	size_t len = strlen(logged);

	(void)arg;
	if (level == HANDOFF_LOG_ERROR)
		snprintf(logged + len, sizeof(logged) - len, "%s\n", line);
}

/* Opens `b`, whose errors are logged. */
static void
open_standby(struct duo *duo)
{
	duo->b.opts.log = log_line;
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_STANDBY);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

/* Both serve one client at once. */
static void
open_limited(struct duo *duo, const char *const *a, const char *const *b)
{
	duo_init(duo, HANDOFF_MODEL_LOOP);
	duo->a.opts.listen = a;
	duo->b.opts.listen = b;
	duo->a.opts.nlisten = duo->b.opts.nlisten = 1;
	duo->a.opts.max_connections = duo->b.opts.max_connections = 1;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	open_standby(duo);
}

static void
give(struct duo *duo)
{
	assert_int_equal(handoff_server_maintenance(duo->a.server), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_OWNER);
}

static bool
connects(const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	rc = connect(fd, (struct sockaddr *)&in, sizeof(in));
	close(fd);
	return rc == 0;
}

/* The addresses that it owns, one after the other. */
static const char *
listeners(struct host *host)
{
	static char text[1024];
	char address[HANDOFF_ADDRESS_MAX];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; handoff_server_listener(host->server, i, address,
				   sizeof(address)) >= 0;
		i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
			i > 0 ? " " : "", address);
	return text;
}

static void
difference_is_told(void **state)
{
	const char *a[] = {"127.0.0.1:0"};
	char wanted[HANDOFF_TEXT_MAX];
	const char *b[] = {NOWHERE};
	struct duo duo;

	(void)state;
	open_with(&duo, a, 1, b, 1);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_ADDRESSES);
	snprintf(wanted, sizeof(wanted),
		"addresses: differ from those of server (pid %d): when this "
		"peer "
		"serves it opens " NOWHERE " and closes %s",
		(int)getpid(), duo.a.address);
	assert_string_equal(duo.b.text, wanted);
	duo_close(&duo);
}

/* Port 0 is any, and none twice. */
static void
same_addresses_are_not_told(void **state)
{
	const char *a[] = {"127.0.0.1:0", "127.0.0.1:0", "[::1]:0"};
	const char *b[] = {"[::1]:0", "127.0.0.1:0", "127.0.0.1:0"};
	struct duo duo;
	char before[1024];

	(void)state;
	open_with(&duo, a, 3, b, 3);
	snprintf(before, sizeof(before), "%s", listeners(&duo.a));
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_string_equal(listeners(&duo.b), before);
	assert_false(host_had(&duo.a, HANDOFF_SERVER_ADDRESSES));
	assert_false(host_had(&duo.b, HANDOFF_SERVER_ADDRESSES));
	duo_close(&duo);
}

/* Any port is also one that the other peer has chosen. */
static void
any_port_takes_over_what_it_finds(void **state)
{
	char second[HANDOFF_ADDRESS_MAX];
	const char *a[] = {"127.0.0.1:0"}, *b[] = {second};
	struct duo duo;

	(void)state;
	free_address("127.0.0.1:%s", second);
	open_with(&duo, a, 1, b, 1);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_string_equal(listeners(&duo.a), second);
	duo_close(&duo);
}

static void
one_port_for_two_is_one_too_few(void **state)
{
	const char *a[] = {"127.0.0.1:0"};
	const char *b[] = {"127.0.0.1:0", "127.0.0.1:0"};
	struct duo duo;

	(void)state;
	open_with(&duo, a, 1, b, 2);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_ADDRESSES);
	assert_non_null(strstr(duo.b.text, "it opens 127.0.0.1:0"));
	assert_null(strstr(duo.b.text, "closes"));
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LISTENING);
	duo_close(&duo);
}

/* Old connections stay, those in the backlog too; new ones find the new
 * address, and nobody listens on the old one. */
static void
what_serves_has_its_own(void **state)
{
	char first[HANDOFF_ADDRESS_MAX], second[HANDOFF_ADDRESS_MAX];
	const char *a[] = {first}, *b[] = {second};
	struct duo duo;
	int old, waiting, client;

	(void)state;
	free_address("127.0.0.1:%s", first);
	free_address("127.0.0.1:%s", second);
	open_with(&duo, a, 1, b, 1);
	old = client_open(first);
	client_line(&duo, old, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	/* Before either has a turn. */
	waiting = client_open(first);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LISTENING);
	assert_string_equal(duo.b.address, second);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_non_null(strstr(duo.b.text, first));
	assert_string_equal(listeners(&duo.b), second);
	assert_false(connects(first));
	client_line(&duo, old, 2);
	client_line(&duo, waiting, 1);
	client = client_open(second);
	client_line(&duo, client, 1);
	/* And back. */
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_UNLISTENED);
	assert_string_equal(listeners(&duo.a), first);
	assert_false(connects(second));
	client_line(&duo, old, 3);
	client_line(&duo, client, 2);
	close(old);
	close(waiting);
	close(client);
	duo_close(&duo);
}

static void
alternate_keeps_all(void **state)
{
	struct duo duo;

	(void)state;
	duo_open(&duo, HANDOFF_MODEL_LOOP);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_string_equal(listeners(&duo.b), duo.a.address);
	assert_false(host_had(&duo.b, HANDOFF_SERVER_ADDRESSES));
	duo_close(&duo);
}

/* What another program has, or no host, is no reason to be reached nowhere;
 * when it can be opened it is, and only then are the others closed. */
static void
address_that_fails_closes_nothing(void **state)
{
	char first[HANDOFF_ADDRESS_MAX], taken[HANDOFF_ADDRESS_MAX];
	const char *a[] = {first}, *b[] = {taken, "[::1]:0"};
	struct duo duo;
	int other;

	(void)state;
	free_address("127.0.0.1:%s", first);
	other = handoff__addr_listen("127.0.0.1:0", taken, &error);
	assert_true(other >= 0);
	open_with(&duo, a, 1, b, 2);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LISTENING);
	assert_non_null(strstr(duo.b.text, "[::1]:"));
	assert_true(strncmp(listeners(&duo.b), first, strlen(first)) == 0);
	assert_true(connects(first));
	close(other);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LISTENING);
	assert_string_equal(duo.b.address, taken);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_false(connects(first));
	duo_close(&duo);
}

/* All addresses and one of them exclude each other: either makes room. */
static void
wildcard_replaces_one(void **state)
{
	char one[HANDOFF_ADDRESS_MAX], all[HANDOFF_ADDRESS_MAX];
	const char *a[] = {one}, *b[] = {all};
	struct duo duo;
	int client;

	(void)state;
	free_address("127.0.0.1:%s", one);
	snprintf(all, sizeof(all), "%s", strrchr(one, ':'));
	open_with(&duo, a, 1, b, 1);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LISTENING);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	client = client_open(one);
	client_line(&duo, client, 1);
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	assert_string_equal(listeners(&duo.a), one);
	client_line(&duo, client, 2);
	close(client);
	duo_close(&duo);
}

/* That of IPv4 is not that of both: the address of either is opened. */
static void
wildcard_of_both_replaces_one_of_four(void **state)
{
	char four[HANDOFF_ADDRESS_MAX], both[HANDOFF_ADDRESS_MAX];
	char six[HANDOFF_ADDRESS_MAX];
	const char *a[] = {four}, *b[] = {both};
	struct duo duo;

	(void)state;
	if (!handoff__addr_has_six())
		skip();
	free_address("0.0.0.0:%s", four);
	snprintf(both, sizeof(both), "%s", strrchr(four, ':'));
	snprintf(six, sizeof(six), "[::]%.8s", both);
	open_with(&duo, a, 1, b, 1);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_string_equal(listeners(&duo.b), six);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_UNLISTENED);
	assert_string_equal(listeners(&duo.a), four);
	duo_close(&duo);
}

/* It is opened again if what it made room for can't be after all: another
 * program has the same port on another address. When that is gone there is
 * another attempt. */
static void
room_that_was_made_in_vain_is_taken_back(void **state)
{
	char one[HANDOFF_ADDRESS_MAX], other[HANDOFF_ADDRESS_MAX],
		all[HANDOFF_ADDRESS_MAX], wanted[1024];
	const char *a[] = {one}, *b[] = {all};
	struct duo duo;
	int fd, client;

	(void)state;
	free_address("127.0.0.1:%s", one);
	snprintf(all, sizeof(all), "%s", strrchr(one, ':'));
	snprintf(other, sizeof(other), "127.0.0.2%.8s", all);
	open_one_of(&duo, a, b);
	open_standby(&duo);
	fd = handoff__addr_listen(other, other, &error);
	assert_true(fd >= 0);
	logged[0] = '\0';
	give(&duo);
	snprintf(wanted, sizeof(wanted),
		"address '%s': cannot listen: the service's listener %s, was "
		"closed for it in vain: another program is in the way too: "
		"retrying every second; until then this stays open: %s\n",
		all, one, one);
	assert_string_equal(logged, wanted);
	assert_false(host_had(&duo.b, HANDOFF_SERVER_UNLISTENED));
	assert_string_equal(listeners(&duo.b), one);
	client = client_open(one);
	client_line(&duo, client, 1);
	close(fd);
	while (!host_had(&duo.b, HANDOFF_SERVER_UNLISTENED))
		duo_turn(&duo); /* the next attempt is seconds away */
	assert_non_null(strstr(listeners(&duo.b), all));
	client_line(&duo, client, 2);
	close(client);
	duo_close(&duo);
}

/* With clients in its backlog, and no room for them, the listener in the way
 * stays, and is tried again when there is room. */
static void
room_is_made_when_clients_have_gone(void **state)
{
	char one[HANDOFF_ADDRESS_MAX], all[HANDOFF_ADDRESS_MAX];
	const char *a[] = {one}, *b[] = {all};
	struct duo duo;
	int first, second;

	(void)state;
	free_address("127.0.0.1:%s", one);
	snprintf(all, sizeof(all), "%s", strrchr(one, ':'));
	open_limited(&duo, a, b);
	first = client_open(one);
	client_line(&duo, first, 1);
	second = client_open(one);
	logged[0] = '\0';
	give(&duo);
	assert_non_null(strstr(logged, one));
	assert_non_null(strstr(logged, ", which is in the way, stays until "
				       "there is room for the clients in its "
				       "backlog: retrying every second; "));
	close(first);
	client_line(&duo, second, 1);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_non_null(strstr(listeners(&duo.b), all));
	close(second);
	duo_close(&duo);
}

static void
path_goes_with_its_listener(void **state)
{
	char path[HANDOFF_ADDRESS_MAX], other[HANDOFF_ADDRESS_MAX];
	const char *a[] = {path}, *b[] = {other};
	struct stat st;
	struct duo duo;

	(void)state;
	snprintf(path, sizeof(path), "unix:%s/a.sock", support_dir());
	snprintf(other, sizeof(other), "unix:%s/b.sock", support_dir());
	open_with(&duo, a, 1, b, 1);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_string_equal(listeners(&duo.b), other);
	assert_int_equal(lstat(path + 5, &st), -1);
	assert_int_equal(lstat(other + 5, &st), 0);
	duo_close(&duo);
}

/* Another program has its name meanwhile. */
static void
path_of_another_stays(void **state)
{
	char path[HANDOFF_ADDRESS_MAX], bound[HANDOFF_ADDRESS_MAX];
	const char *a[] = {path}, *b[] = {"127.0.0.1:0"};
	struct stat st;
	struct duo duo;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "unix:%s/a.sock", support_dir());
	open_with(&duo, a, 1, b, 1);
	unlink(path + 5);
	fd = handoff__addr_listen(path, bound, &error);
	assert_true(fd >= 0);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_int_equal(lstat(path + 5, &st), 0);
	duo_close(&duo);
	close(fd);
}

/* A peer that closes its handle leaves its service to the other one. */
static void
addresses_change_with_the_last_peer(void **state)
{
	char first[HANDOFF_ADDRESS_MAX], second[HANDOFF_ADDRESS_MAX];
	const char *a[] = {first}, *b[] = {second};
	struct duo duo;

	(void)state;
	free_address("127.0.0.1:%s", first);
	free_address("127.0.0.1:%s", second);
	open_with(&duo, a, 1, b, 1);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_string_equal(listeners(&duo.b), second);
	assert_false(connects(first));
	duo_close(&duo);
}

static void
standby_with_a_bad_address_is_refused(void **state)
{
	const char *bad[] = {"nonsense"};
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo.b.opts.listen = bad;
	duo.b.opts.nlisten = 1;
	assert_int_equal(host_open(&duo.b, &duo.a), -EINVAL);
	assert_non_null(strstr(duo.b.why, "'nonsense'"));
	duo_close(&duo);
}

/* By an owner and by a standby alike; host names by what they stand for. */
static void
refused_pair(const char *one, const char *other, const char *why)
{
	const char *bad[] = {"127.0.0.1:0", one, other};
	struct duo duo;

	answer = "127.0.0.1";
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.b.opts.listen = bad;
	duo.b.opts.nlisten = 3;
	assert_int_equal(host_open(&duo.b, NULL), -EINVAL);
	assert_string_equal(duo.b.why, why);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo.b.why[0] = '\0';
	assert_int_equal(host_open(&duo.b, &duo.a), -EINVAL);
	assert_string_equal(duo.b.why, why);
	duo_close(&duo);
}

static void
addresses_that_exclude_each_other_are_refused(void **state)
{
	(void)state;
	refused_pair("127.0.0.1:7", "127.0.0.1:7",
		"address '127.0.0.1:7' is given twice");
	refused_pair("127.0.0.1:7", "host.test:7",
		"address '127.0.0.1:7' is given twice");
	refused_pair("unix:/run/a", "unix:/run/a",
		"address 'unix:/run/a' is given twice");
	refused_pair(":7", "127.0.0.1:7",
		"addresses ':7' and '127.0.0.1:7' exclude each other: "
		"leave one out");
	refused_pair("[::1]:7", ":7",
		"addresses '[::1]:7' and ':7' exclude each other: "
		"leave one out");
}

static void
host_name_is_resolved_before_a_peer_joins(void **state)
{
	char named[HANDOFF_ADDRESS_MAX], numeric[HANDOFF_ADDRESS_MAX];
	const char *a[] = {"127.0.0.1:0"}, *b[] = {named};
	struct duo duo;
	size_t before;

	(void)state;
	free_address("127.0.0.1:%s", numeric);
	snprintf(named, sizeof(named), "host.test%s", strrchr(numeric, ':'));
	asked = 0;
	answer = "127.0.0.1";
	open_one_of(&duo, a, b);
	seen_dir = duo.b.opts.dir;
	before = count_files(seen_dir);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	seen_dir = NULL;
	assert_int_equal(files, before);
	assert_int_equal(asked, 1);
	answer = "127.0.0.3";
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_UNLISTENED);
	assert_string_equal(listeners(&duo.b), numeric);
	assert_int_equal(asked, 1);
	duo_close(&duo);
}

/* It fails with the reason of then; the serving loop asks no name server. */
static void
host_name_that_does_not_resolve_is_left_at_that(void **state)
{
	char first[HANDOFF_ADDRESS_MAX];
	const char *a[] = {first}, *b[] = {"[::1]:0", "host.test:7000"};
	struct duo duo;

	(void)state;
	free_address("127.0.0.1:%s", first);
	asked = 0;
	answer = NULL;
	logged[0] = '\0';
	open_one_of(&duo, a, b);
	duo.b.opts.nlisten = 2;
	duo.b.opts.log = log_line;
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	assert_non_null(strstr(
		logged, "address 'host.test:7000': cannot resolve the host: "));
	assert_non_null(strstr(logged, ": not retried before this peer is "
				       "started again\n"));
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	logged[0] = '\0';
	give(&duo);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LISTENING);
	assert_non_null(strstr(logged, "; until then this stays open: "));
	assert_non_null(strstr(logged, "cannot resolve the host: "));
	assert_non_null(strstr(logged, ": not retried before this peer is "));
	assert_true(connects(first));
	assert_int_equal(asked, 1);
	duo_close(&duo);
}

static void
owner_needs_its_host_name(void **state)
{
	const char *a[] = {"host.test:7000"};
	struct duo duo;

	(void)state;
	answer = NULL;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.listen = a;
	assert_int_equal(host_open(&duo.a, NULL), -EINVAL);
	assert_non_null(strstr(duo.a.why, "cannot resolve the host"));
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(difference_is_told),
		handoff_test(same_addresses_are_not_told),
		handoff_test(any_port_takes_over_what_it_finds),
		handoff_test(one_port_for_two_is_one_too_few),
		handoff_test(what_serves_has_its_own),
		handoff_test(alternate_keeps_all),
		handoff_test(address_that_fails_closes_nothing),
		handoff_test(wildcard_replaces_one),
		handoff_test(wildcard_of_both_replaces_one_of_four),
		handoff_test(room_that_was_made_in_vain_is_taken_back),
		handoff_test(room_is_made_when_clients_have_gone),
		handoff_test(path_goes_with_its_listener),
		handoff_test(path_of_another_stays),
		handoff_test(addresses_change_with_the_last_peer),
		handoff_test(standby_with_a_bad_address_is_refused),
		handoff_test(addresses_that_exclude_each_other_are_refused),
		handoff_test(host_name_is_resolved_before_a_peer_joins),
		handoff_test(host_name_that_does_not_resolve_is_left_at_that),
		handoff_test(owner_needs_its_host_name),
	};

	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
