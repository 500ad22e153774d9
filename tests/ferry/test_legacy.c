/* SPDX-License-Identifier: MIT */
/*
 * Queue rules by the options of ip_tables, in a network namespace of this
 * process, as iptables-legacy(8) shows them: put in place, replaced, removed,
 * and what others have there stays as it is.
 */
#include "support/support.h"

#include "ferry/unfreeze/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "/usr/sbin/iptables-legacy"

static const struct handoff__gate_address addresses[] = {
	{.family = 4, .ip = {127, 0, 0, 7}},
	{.family = 6, .ip = {0xfd, [15] = 7}},
	{.family = 4, .ip = {10, 9, 8, 7}},
};

static void
run(const char *line)
{
	if (system(line) != 0)
		fail_msg("%s", line);
}

/* What a command says. */
static void
read_all(const char *line, char *text, size_t size)
{
	FILE *f = popen(line, "r");
	size_t n = fread(text, 1, size - 1, f);

	text[n] = '\0';
	assert_int_equal(pclose(f), 0);
}

static void
need(void)
{
	if (unshare(CLONE_NEWNET) < 0 || access(TOOL, X_OK) < 0 ||
		system(TOOL " -t raw -S > /dev/null 2>&1") != 0) {
		print_message("needs root, and iptables-legacy in the kernel "
			      "and as a program\n");
		skip();
	}
	run("ip link set lo up");
}

static void
open_rules(struct handoff__rules *rules)
{
	struct handoff__error error = {""};

	if (handoff__rules_open(rules, &error) < 0 ||
		handoff__rules_name(rules, "test", addresses, 3, &error) < 0 ||
		handoff__rules_probe(rules, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(rules->way, HANDOFF__RULES_LEGACY);
	assert_non_null(strstr(handoff__rules_text(rules->way), "iptables"));
}

static void
install(struct handoff__rules *rules, uint16_t number)
{
	struct handoff__error error = {""};

	if (handoff__rules_install(rules, number, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(handoff__rules_found(rules), 1);
}

static void
test_rules_are_put_in_place_and_removed(void **state)
{
	struct handoff__error error = {""};
	char text[4096], wanted[4096];
	struct handoff__rules rules;
	const char *c;

	(void)state;
	need();
	open_rules(&rules);
	c = rules.legacy.chain;
	assert_int_equal(handoff__rules_found(&rules), 0);
	for (int number = 5; number < 7; number++) {
		install(&rules, (uint16_t)number);
		read_all(TOOL " -t raw -S", text, sizeof(text));
		snprintf(wanted, sizeof(wanted),
			"-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-N %s\n"
			"-A PREROUTING -j %s\n"
			"-A %s -d 127.0.0.7/32 -p tcp -j NFQUEUE --queue-num "
			"%d\n"
			"-A %s -d 127.0.0.7/32 -p icmp -m icmp --icmp-type 3 "
			"-j NFQUEUE --queue-num %d\n"
			"-A %s -d 10.9.8.7/32 -p tcp -j NFQUEUE --queue-num "
			"%d\n"
			"-A %s -d 10.9.8.7/32 -p icmp -m icmp --icmp-type 3 "
			"-j NFQUEUE --queue-num %d\n"
			"-A %s -j RETURN\n",
			c, c, c, number, c, number, c, number, c, number, c);
		/* the program does not show the last one */
		wanted[strlen(wanted) - strlen("-A  -j RETURN\n") - strlen(c)] =
			'\0';
		assert_string_equal(text, wanted);
		read_all("/usr/sbin/ip6tables-legacy -t raw -S", text,
			sizeof(text));
		snprintf(wanted, sizeof(wanted),
			"-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-N %s\n"
			"-A PREROUTING -j %s\n"
			"-A %s -d fd00::7/128 -p tcp -j NFQUEUE --queue-num "
			"%d\n"
			"-A %s -d fd00::7/128 -p ipv6-icmp -m icmp6 "
			"--icmpv6-type 2 -j NFQUEUE --queue-num %d\n",
			c, c, c, number, c, number);
		assert_string_equal(text, wanted);
	}
	if (handoff__rules_remove(&rules, &error) < 0 ||
		handoff__rules_remove(&rules, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(handoff__rules_found(&rules), 0);
	read_all(TOOL " -t raw -S", text, sizeof(text));
	assert_string_equal(text, "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n");
	handoff__rules_close(&rules);
}

static void
connect_in_vain(void)
{
	struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(0x7f000007),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(
		connect(fd, (struct sockaddr *)&four, sizeof(four)), -1);
	assert_int_equal(errno, EINPROGRESS);
	close(fd);
}

static void
test_those_of_others_stay(void **state)
{
	struct handoff__error error = {""};
	struct handoff__rules rules;
	char before[4096], text[4096];

	(void)state;
	need();
	run(TOOL " -t raw -N mine");
	run(TOOL " -t raw -A mine -d 127.0.0.9 -j ACCEPT");
	run(TOOL " -t raw -A mine -p tcp");
	run(TOOL " -t raw -A PREROUTING -j mine");
	run(TOOL " -t raw -A PREROUTING -p udp -j DROP");
	run(TOOL " -t raw -A OUTPUT -p tcp -g mine");
	run(TOOL " -t raw -P OUTPUT ACCEPT");
	connect_in_vain();
	read_all(TOOL " -t raw -S -v", before, sizeof(before));
	assert_non_null(strstr(before, "-c 2 100"));
	open_rules(&rules);
	for (uint16_t i = 0; i < 3; i++)
		install(&rules, i);
	/* its rules come first, and drop as long as nobody reads the queue */
	connect_in_vain();
	snprintf(text, sizeof(text), TOOL " -t raw -S %s -v",
		rules.legacy.chain);
	read_all(text, text, sizeof(text));
	assert_non_null(strstr(text, "-p tcp -c 1 60 -j NFQUEUE"));
	handoff__rules_remove(&rules, &error);
	connect_in_vain();
	read_all(TOOL " -t raw -S -v", text, sizeof(text));
	/* a SYN and a RST each, and the SYN that was dropped */
	assert_non_null(strstr(text, "-A OUTPUT -p tcp -c 5 260 -g mine"));
	read_all(TOOL " -t raw -S", text, sizeof(text));
	assert_string_equal(text,
		"-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-N mine\n"
		"-A PREROUTING -j mine\n-A PREROUTING -p udp -j DROP\n"
		"-A OUTPUT -p tcp -g mine\n-A mine -d 127.0.0.9/32 -j ACCEPT\n"
		"-A mine -p tcp\n");
	handoff__rules_close(&rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_rules_are_put_in_place_and_removed),
		handoff_test(test_those_of_others_stay),
	};

	return cmocka_run_group_tests_name("legacy", tests, NULL, NULL);
}
