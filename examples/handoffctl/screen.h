/* SPDX-License-Identifier: MIT */
/* A terminal that a program draws on, and leaves as it was. */
#ifndef HANDOFFCTL_SCREEN_H
#define HANDOFFCTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct screen {
	bool drawn, keys;      /* output, input is a terminal */
	int signals;           /* those that end or change it */
	int ended_by;          /* 0: no signal yet */
	struct termios before; /* of the input */
};

enum screen_event {
	SCREEN_TIME,   /* the time has passed */
	SCREEN_REDRAW, /* it has another size, or was stopped */
	SCREEN_END,    /* q, a signal, or its reader is gone */
};

/* Takes the terminal, if standard output is one. */
void screen_open(struct screen *screen);

/* Rows and columns; without a terminal very many. */
void screen_size(const struct screen *screen, size_t *rows, size_t *columns);

/* Draws over the last text; without a terminal after it and a blank line.
 * False: that cannot be written. */
bool screen_draw(const struct screen *screen, const char *text, bool first);

enum screen_event screen_wait(struct screen *screen, long long end_ms);

/* Gives the terminal back; ends by the signal, if it was one. */
void screen_close(struct screen *screen);

#endif
