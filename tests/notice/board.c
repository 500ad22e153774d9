/* SPDX-License-Identifier: MIT */
/*
 * What the tests of queues share; see board.h.
 */
#include "notice/board.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

struct board board;

#define PATIENCE_MS 20000

static void
begin(const char *folder)
{
	const char *address = board.address;

	board.folder = folder;
	assert_int_equal(
		handoff__dir_open(&board.dir, board.path, false, false, NULL),
		0);
	assert_int_equal(handoff__publisher_open(
				 &board.pub, &board.dir, &address, 1, 0, NULL),
		0);
	board.sentence[0] = '\0';
}

void
board_begin_on(const char *prefix, const char *folder)
{
	snprintf(board.path, sizeof(board.path), "%s", support_dir());
	snprintf(board.address, sizeof(board.address), "%s%s", prefix,
		board.path);
	begin(folder);
}

void
board_begin_at(const char *address)
{
	snprintf(board.path, sizeof(board.path), "%s", support_dir());
	handoff__copy(board.address, sizeof(board.address), address);
	begin(NULL);
}

void
board_begin(void)
{
	board_begin_on("mq:", "subscribers");
}

void
board_end(void)
{
	handoff__publisher_close(&board.pub);
	handoff__dir_close(&board.dir);
}

int
board_subscribe(struct handoff_subscriber **sub)
{
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = board.address,
		.errbuf = board.sentence,
		.errbuf_size = sizeof(board.sentence),
	};

	return handoff_subscriber_open(sub, &opts);
}

struct handoff_notice
board_notice(enum handoff_notice_kind kind, uint64_t generation, uint64_t seq)
{
	return (struct handoff_notice){
		.service = "echo",
		.serving = "alt",
		.kind = kind,
		.generation = generation,
		.seq = seq,
	};
}

void
board_publish(const struct handoff_notice *n)
{
	assert_int_equal(handoff__publisher_begin(&board.pub, n), 0);
	if (!board.folder)
		handoff__publisher_finish(&board.pub, PATIENCE_MS);
	while (handoff__publisher_step(&board.pub, 1) > 0)
		;
}

int
board_folder(void)
{
	struct handoff__dir folder;

	assert_int_equal(handoff__registry_folder(
				 &folder, &board.dir, board.folder, true),
		0);
	return folder.fd;
}

int
board_files(char *name)
{
	char subs[160];
	struct dirent *entry;
	int count = 0;
	DIR *d;

	snprintf(subs, sizeof(subs), "%s/%s", board.path, board.folder);
	d = opendir(subs);
	while (d && (entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		count++;
		if (name)
			handoff__copy(name, HANDOFF__SUBSCRIBER_MAX + 1,
				entry->d_name);
	}
	if (d)
		closedir(d);
	return count;
}
