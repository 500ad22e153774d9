/* SPDX-License-Identifier: MIT */
/*
 * Gates of tests. The helper is the program of the build, started in the
 * namespace of its host.
 */
#include "ferry/gates.h"

#include "ferry/unfreeze/protocol.h"
#include "ferry/unfreeze/rules.h"
#include "record/fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVICE "gates"

static void
on_ready(void *arg, const char *how, bool leftover)
{
	struct gates *g = arg;

	(void)how;
	g->leftover = leftover;
	g->ready++;
}

static void
on_found(void *arg, struct handoff__gate_found *found)
{
	struct gates *g = arg;

	g->found++;
	g->found_slot = found->slot;
	g->found_count = found->count;
	g->found_direction = found->direction;
	g->found_verdict = found->verdict;
	g->found_fd = found->fds[0] < 0
			      ? -1
			      : fcntl(found->fds[0], F_DUPFD_CLOEXEC, 3);
	g->found_images = found->images < 0
				  ? -1
				  : fcntl(found->images, F_DUPFD_CLOEXEC, 3);
}

static void
on_table(void *arg, int segment_fd, uint64_t offset)
{
	struct handoff__batches_map map;
	struct handoff__batch batch = {.word = 0};
	struct gates *g = arg;

	g->tables++;
	assert_int_equal(handoff__batches_map(&map, segment_fd, offset), 0);
	handoff__batch_read(map.batches, 0, &batch);
	g->table_word = batch.word;
	handoff__batches_unmap(&map);
}

static void
on_held(void *arg, uint32_t slot, int err, const char *text)
{
	struct gates *g = arg;

	(void)slot;
	g->err = err;
	snprintf(g->text, sizeof(g->text), "%s", text);
	g->held++;
}

static void
on_ruled(void *arg, bool on, int err, const char *text)
{
	struct gates *g = arg;

	g->on = on;
	g->err = err;
	snprintf(g->text, sizeof(g->text), "%s", text);
	g->ruled++;
}

static void
on_counted(void *arg, const struct handoff__gate_counts *counts)
{
	struct gates *g = arg;

	g->counts = *counts;
	g->counted++;
}

static void
on_lost(void *arg, const char *text)
{
	struct gates *g = arg;

	(void)text;
	g->lost++;
}

static void
on_failed(void *arg, int err, const char *text)
{
	struct gates *g = arg;

	g->err = err;
	snprintf(g->text, sizeof(g->text), "%s", text);
	g->failed++;
}

static const struct handoff__gate_ops ops = {
	.ready = on_ready,
	.table = on_table,
	.found = on_found,
	.held = on_held,
	.ruled = on_ruled,
	.counted = on_counted,
	.lost = on_lost,
	.failed = on_failed,
};

void
gates_await(struct gates *g, const int *counter, int value)
{
	while (*counter < value) {
		int err = handoff__loop_dispatch(&g->loop, 10000);

		assert_true(err >= 0);
		if (err == 0)
			fail_msg("nothing happens: %s", g->text);
	}
}

static void
fill_addresses(struct handoff__gate_address addresses[2])
{
	memset(addresses, 0, 2 * sizeof(*addresses));
	addresses[0].family = 4;
	addresses[1].family = 6;
	assert_int_equal(inet_pton(AF_INET, "10.77.0.100", addresses[0].ip), 1);
	assert_int_equal(inet_pton(AF_INET6, "fd77::100", addresses[1].ip), 1);
}

static int
log_of_tests(void)
{
	return getenv("HANDOFF_TEST_LOG") ? 2 : -1;
}

static void
start_gate(struct gates *g, const char *program)
{
	struct handoff__gate_address addresses[2];
	const struct handoff__gate_opts opts = {
		.loop = &g->loop,
		.dir = &g->dir,
		.program = program,
		.name = SERVICE,
		.addresses = addresses,
		.naddresses = 2,
		.log_fd = log_of_tests(),
		.ops = &ops,
		.arg = g,
	};
	struct handoff__error error = {""};

	fill_addresses(addresses);
	host_enter(g->host);
	g->found_fd = g->found_images = -1;
	if (handoff__gate_open(&g->gate, &opts, &error) < 0)
		fail_msg("%s", error.text);
}

static void
await_gate(struct gates *g)
{
	int ready = g->ready + 1;

	while (g->ready < ready && g->failed == 0)
		assert_true(handoff__loop_dispatch(&g->loop, 10000) >= 0);
	if (g->ready < ready && g->err != -EOPNOTSUPP)
		fail_msg("%s", g->text);
	if (g->ready == ready) {
		assert_int_equal(
			handoff__gate_arena(g->gate, g->arena.segments[0]->fd,
				g->arena.segments[0]->geo.batches),
			0);
		return;
	}
	print_message("SKIP: %s\n", g->text);
	gates_close(g);
	skip();
}

const char *gates_program = HANDOFF_UNFREEZE;

void
gates_open_program(
	struct gates *g, enum host host, const char *path, const char *program)
{
	struct handoff__error error = {""};

	*g = (struct gates){.host = host, .path = path};
	assert_int_equal(handoff__loop_init(&g->loop), 0);
	if (handoff__dir_open(&g->dir, path, true, 0, &error) < 0)
		fail_msg("%s", error.text);
	record_arena(&g->arena, 0);
	g->batches = handoff__batches_of(&g->arena);
	assert_non_null(g->batches);
	start_gate(g, program);
}

void
gates_open(struct gates *g, enum host host, const char *path)
{
	gates_open_program(g, host, path, gates_program);
	await_gate(g);
}

void
gates_reopen(struct gates *g)
{
	start_gate(g, gates_program);
	await_gate(g);
}

void
gates_die(struct gates *g)
{
	handoff__gate_free(g->gate);
	g->gate = NULL;
}

static void
assert_no_rules(const struct gates *g)
{
	struct handoff__error error = {""};
	struct handoff__rules rules;
	struct handoff__gate_address addresses[2];

	fill_addresses(addresses);
	host_enter(g->host);
	assert_int_equal(handoff__rules_open(&rules, &error), 0);
	assert_int_equal(
		handoff__rules_name(&rules, SERVICE, addresses, 2, &error), 0);
	assert_int_equal(handoff__rules_found(&rules), 0);
	assert_true(handoff__legacy_found(&rules.legacy, 4) <= 0);
	assert_true(handoff__legacy_found(&rules.legacy, 6) <= 0);
	handoff__rules_close(&rules);
}

void
gates_close(struct gates *g)
{
	if (g->gate)
		handoff__gate_end(g->gate);
	handoff__gate_free(g->gate);
	gates_await_end(g);
	assert_no_rules(g);
	handoff__arena_fini(&g->arena);
	handoff__loop_fini(&g->loop);
	handoff__dir_close(&g->dir);
}

void
gates_rule(struct gates *g)
{
	const unsigned char *mac = hosts_link();
	int ruled = g->ruled + 1;

	host_enter(g->host);
	if (g->host == HOST_A)
		assert_int_equal(handoff__gate_target(g->gate,
					 (int)if_nametoindex("ab"), mac),
			0);
	assert_int_equal(handoff__gate_rule(g->gate, true), 0);
	gates_await(g, &g->ruled, ruled);
	if (g->err < 0)
		fail_msg("%s", g->text);
	assert_true(g->on);
}

uint32_t
gates_hold(struct gates *g, enum handoff__gate_direction direction, uint64_t id,
	const int *fds, uint32_t n)
{
	struct handoff__batch batch = {.id = id, .count = n, .peer = 1};
	struct handoff__flow *flows = calloc(n, sizeof(*flows));
	int held = g->held + 1;

	assert_non_null(flows);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(handoff__flow_of(fds[i], &flows[i]), 0);
	assert_int_equal(
		handoff__batch_open(g->batches,
			direction == HANDOFF__GATE_OUT ? HANDOFF__BATCH_OUT
						       : HANDOFF__BATCH_IN,
			&batch),
		0);
	assert_int_equal(handoff__gate_hold(g->gate, batch.slot, id, direction,
				 flows, fds, n),
		0);
	free(flows);
	gates_await(g, &g->held, held);
	if (g->err < 0)
		fail_msg("%s", g->text);
	assert_true(handoff__gate_is_held(g->gate, batch.slot));
	return batch.slot;
}

const struct handoff__gate_counts *
gates_count(struct gates *g)
{
	int counted = g->counted + 1;

	assert_int_equal(handoff__gate_count(g->gate), 0);
	gates_await(g, &g->counted, counted);
	return &g->counts;
}

static bool
is_helper(int pid, const char *path)
{
	char name[64], line[512] = "";
	size_t len;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", pid);
	file = fopen(name, "re");
	if (!file)
		return false;
	len = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	return len > 0 && strcmp(line, "handoff-unfreeze") == 0 &&
	       memmem(line, len, path, strlen(path)) != NULL;
}

int
gates_helper(const struct gates *g)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	int pid = 0;

	assert_non_null(dir);
	while (pid == 0 && (d = readdir(dir))) {
		int n = atoi(d->d_name);

		if (n > 0 && is_helper(n, g->path))
			pid = n;
	}
	closedir(dir);
	return pid;
}

void
gates_await_end(const struct gates *g)
{
	int fd;

	while (gates_helper(g) != 0)
		sched_yield();
	/* its memory, and with it its name, goes before its descriptors */
	while ((fd = handoff__dir_connect(
			&g->dir, HANDOFF__GATE_SOCKET, SOCK_SEQPACKET)) >= 0) {
		close(fd);
		sched_yield();
	}
}

void
gates_images(struct gates *g, uint32_t slot,
	const struct handoff__image *const *images, uint32_t n)
{
	struct handoff__error error = {""};
	int fd = handoff__images_make(images, NULL, n, &error);

	if (fd < 0)
		fail_msg("%s", error.text);
	assert_int_equal(handoff__gate_images(g->gate, slot, fd), 0);
}
