/* SPDX-License-Identifier: MIT */
/*
 * Many subscribers of the board's transport in twenty processes, of which some
 * are killed, some are stopped, some do not read and some come late, while
 * notices are published: in the end each living one has the latest, and none
 * has got an older one after a newer.
 */
#ifndef TESTS_NOTICE_CROWD_H
#define TESTS_NOTICE_CROWD_H

/* Between board_begin and board_end; `count` is a multiple of 20. */
void crowd_scene(int count);

#endif
