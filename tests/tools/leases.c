/* SPDX-License-Identifier: MIT */
/*
 * Pulls the switches of the test engine on a file, for scripts:
 *
 *   leases PATH                     prints "TOKEN OWNER NOTICES" (OWNER "-":
 *                                   nobody)
 *   leases PATH cut|heal HOST       nothing gets through, or all
 *   leases PATH mute|unmute HOST    answers do not, or do
 *   leases PATH delay HOST MS       answers come later
 *   leases PATH expire HOST         its session ends
 *   leases PATH down|up             the majority is lost, or back
 */
#include "lease/file_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
show(struct file_board *board)
{
	const char *owner = file_board_owner(board);

	printf("%llu %s %llu\n", (unsigned long long)board->token,
		owner[0] ? owner : "-", (unsigned long long)board->notices);
	return 0;
}

static int
pull_of_host(struct file_board *board, const char *what, const char *name,
	const char *value)
{
	struct file_host *host = file_board_host(board, name);

	if (!host)
		return 1;
	if (strcmp(what, "cut") == 0 || strcmp(what, "heal") == 0)
		host->cut = what[0] == 'c';
	else if (strcmp(what, "mute") == 0 || strcmp(what, "unmute") == 0)
		host->mute = what[0] == 'm';
	else if (strcmp(what, "delay") == 0 && value)
		host->delay_ms = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(what, "expire") == 0)
		file_board_expire(board, name);
	else
		return 2;
	return 0;
}

int
main(int argc, char **argv)
{
	struct file_board *board = argc > 1 ? file_board_open(argv[1]) : NULL;

	if (!board) {
		fprintf(stderr, "usage: leases PATH [WHAT [HOST [MS]]]\n");
		return 2;
	}
	if (argc == 2)
		return show(board);
	if (strcmp(argv[2], "down") == 0 || strcmp(argv[2], "up") == 0)
		file_board_down(board, argv[2][0] == 'd');
	else
		return argc > 3 ? pull_of_host(board, argv[2], argv[3],
					  argc > 4 ? argv[4] : NULL)
				: 2;
	return 0;
}
