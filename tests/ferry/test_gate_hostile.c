/* SPDX-License-Identifier: MIT */
/*
 * The helper among strangers: a flood of packets, messages that are none, and
 * what becomes of it when nobody needs it any more.
 */
#include "ferry/gates.h"

#include "ferry/note.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLOOD 100000

/* Strangers send to the service, each packet of a connection of its own. */
static void
flood(int raw, uint32_t n)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned char packet[60] = {0};
	struct iphdr *ip = (void *)packet;
	struct tcphdr *tcp = (void *)(packet + 20);

	to.sin_addr.s_addr = htonl(0x0a4d0064);
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->protocol = IPPROTO_TCP;
	ip->saddr = htonl(0x0a4d0003);
	ip->daddr = to.sin_addr.s_addr;
	tcp->doff = 5;
	tcp->syn = 1; /* waits */
	tcp->rst = 1; /* which nobody answers */
	tcp->source = htons((uint16_t)(n % 50000 + 1024));
	tcp->dest = htons((uint16_t)(n / 50000 + 1));
	while (sendto(raw, packet, sizeof(packet), 0, (struct sockaddr *)&to,
		       sizeof(to)) < 0)
		assert_true(errno == ENOBUFS || errno == EAGAIN);
}

static int
raw_socket(void)
{
	int fd;

	host_enter(HOST_C);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	assert_true(fd >= 0);
	host_enter(HOST_A);
	return fd;
}

static void
test_flood(void **state)
{
	struct gates g;
	struct pair p;
	uint32_t slot;
	int raw;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	gates_rule(&g);
	raw = raw_socket();
	pair_open(&p, FOUR);
	slot = gates_hold(&g, HANDOFF__GATE_OUT, 7, &p.served, 1);
	handoff__gate_release(g.gate, slot, &(uint32_t){0}, 1);
	handoff__gate_default(g.gate, HANDOFF__GATE_HOLD);
	gates_count(&g);
	for (uint32_t i = 0; i < FLOOD; i++) {
		flood(raw, i);
		if (i % 20000 == 0) {
			int64_t since = handoff__now_us();

			gates_count(&g);
			assert_true(handoff__now_us() - since < GATES_SOON_US);
			pair_assert_works(&p, 1000);
		}
	}
	pair_assert_works(&p, 100000);
	gates_count(&g);
	assert_true(g.counts.held_now > 1000);
	assert_true(g.counts.held_now <= 32768);
	assert_true(g.counts.overflowed > 0);
	handoff__gate_default(g.gate, HANDOFF__GATE_PASS);
	assert_int_equal(gates_count(&g)->held_now, 0);
	pair_assert_works(&p, 100000);
	hosts_assert_no_resets();
	close(raw);
	pair_close(&p);
	gates_close(&g);
}

static int
open_fds_of(int pid)
{
	char name[64];
	DIR *dir;
	int n = 0;

	snprintf(name, sizeof(name), "/proc/%d/fd", pid);
	dir = opendir(name);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int
connect_to(const struct gates *g)
{
	int fd = -1;

	while (fd < 0) {
		fd = handoff__dir_connect(
			&g->dir, HANDOFF__GATE_SOCKET, SOCK_SEQPACKET);
		assert_true(fd >= 0 || errno == EAGAIN);
	}
	return fd;
}

static void
put_open(struct handoff__note *note)
{
	uint8_t address[17] = {4, 10, 77, 0, 100};

	handoff__note_begin(note, HANDOFF__GATE_OPEN);
	handoff__put_u32(&note->w, HANDOFF__GATE_VERSION);
	handoff__put_text(&note->w, "gates", HANDOFF__GATE_NAME);
	handoff__put_u32(&note->w, 0);
	handoff__put_u32(&note->w, 1);
	handoff__note_put_bytes(note, address, sizeof(address));
}

/* A message of a type that is one, with whatever behind it, and descriptors of
 * all kinds. */
static void
put_nonsense(struct handoff__note *note, unsigned *seed, const int *fds)
{
	static const uint32_t words[] = {
		0, 1, 2, 63, 64, 253, 4096, UINT32_MAX};
	uint32_t len = (uint32_t)rand_r(seed) % 40;
	uint32_t type = (uint32_t)rand_r(seed) % (HANDOFF__GATE_END - 2) + 2;

	if (rand_r(seed) % 50 == 0)
		type = (uint32_t)rand_r(seed);
	handoff__note_begin(note, (enum handoff__gate_message)type);
	for (uint32_t i = 0; i < len; i++)
		handoff__put_u32(&note->w, rand_r(seed) % 4
						   ? words[rand_r(seed) % 8]
						   : (uint32_t)rand_r(seed));
	note->w.pos -= note->w.pos > 4 ? (size_t)rand_r(seed) % 4 : 0;
	for (int n = rand_r(seed) % 4; n > 0; n--)
		note->fds[note->nfds++] = fds[rand_r(seed) % 4];
}

static void
attack(struct gates *g, unsigned *seed, const int *fds)
{
	int fd = connect_to(g);
	struct handoff__note note;

	put_open(&note);
	if (rand_r(seed) % 8 == 0)
		note.data[rand_r(seed) % 64] = (unsigned char)rand_r(seed);
	handoff__note_send(&note, fd);
	for (int i = 0; i < 20; i++) {
		put_nonsense(&note, seed, fds);
		if (handoff__note_send(&note, fd) < 0)
			break;
	}
	/* it has taken all of it when it is gone */
	shutdown(fd, SHUT_WR);
	while (!(support_poll(fd, POLLRDHUP) & (POLLRDHUP | POLLHUP)))
		;
	close(fd);
}

/* Nothing that comes on its socket does it any harm, and it keeps nothing of
 * it. The table of batches is no table. */
static void
test_nonsense(void **state)
{
	struct gates g;
	unsigned seed = 5;
	int pid, before, fds[4];

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	pid = gates_helper(&g);
	gates_count(&g); /* it has taken the arena's */
	before = open_fds_of(pid);
	gates_die(&g);
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fds[2] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ftruncate(fds[1], 65536), 0);
	fcntl(fds[1], F_ADD_SEALS, F_SEAL_SHRINK);
	fds[3] = g.arena.segments[0]->fd;
	for (int i = 0; i < 300; i++)
		attack(&g, &seed, fds);
	assert_int_equal(gates_helper(&g), pid);
	gates_reopen(&g);
	for (uint32_t i = 0; i < HANDOFF__GATE_SLOTS; i++)
		handoff__gate_forget(g.gate, i);
	handoff__gate_default(g.gate, HANDOFF__GATE_PASS);
	gates_count(&g);
	assert_int_equal(open_fds_of(pid), before);
	if (g.found_fd >= 0)
		close(g.found_fd);
	if (g.found_images >= 0)
		close(g.found_images);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	gates_close(&g);
}

/* Without a ferry, and with nothing to guard, it ends, and its rule with it. */
static void
test_leaves(void **state)
{
	char *const argv[] = {(char *)(uintptr_t) "handoff-unfreeze",
		(char *)(uintptr_t) "--dir", (char *)(uintptr_t)support_dir(),
		(char *)(uintptr_t) "--linger", (char *)(uintptr_t) "100",
		NULL};
	char *const environment[] = {NULL};
	struct handoff__dir dir;
	struct gates g;
	int status, fd;
	pid_t pid;

	(void)state;
	hosts_need();
	assert_int_equal(posix_spawn(&pid, HANDOFF_UNFREEZE, NULL, NULL, argv,
				 environment),
		0);
	assert_int_equal(handoff__dir_open(&dir, argv[2], false, 0, NULL), 0);
	while ((fd = handoff__dir_connect(
			&dir, HANDOFF__GATE_SOCKET, SOCK_SEQPACKET)) < 0)
		sched_yield();
	close(fd);
	handoff__dir_close(&dir);
	gates_open(&g, HOST_A, argv[2]);
	assert_int_equal(gates_helper(&g), pid);
	gates_rule(&g);
	gates_die(&g);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	gates_close(&g); /* there are no rules */
}

/* Not while it guards something. */
static void
test_ignores_signals(void **state)
{
	struct gates g;
	struct pair p;
	uint32_t slot;
	int pid;

	(void)state;
	hosts_need();
	gates_open(&g, HOST_A, support_dir());
	pid = gates_helper(&g);
	pair_open(&p, FOUR);
	slot = gates_hold(&g, HANDOFF__GATE_OUT, 7, &p.served, 1);
	assert_int_equal(kill(pid, SIGTERM), 0);
	gates_count(&g);
	assert_int_equal(gates_helper(&g), pid);
	handoff__gate_pass(g.gate, slot);
	pair_close(&p);
	gates_close(&g);
}

static void
test_no_program(void **state)
{
	struct gates g;

	(void)state;
	hosts_need();
	gates_open_program(&g, HOST_A, support_dir(), "/nowhere/at/all");
	gates_await(&g, &g.failed, 1);
	assert_int_equal(g.err, -ENOENT);
	assert_non_null(strstr(g.text, "/nowhere/at/all"));
	gates_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_flood),
		handoff_test(test_nonsense),
		handoff_test(test_leaves),
		handoff_test(test_ignores_signals),
		handoff_test(test_no_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
