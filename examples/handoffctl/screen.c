/* SPDX-License-Identifier: MIT */
/*
 * Plain sequences of ECMA-48 and xterm's second screen, and no more than that.
 * The terminal is given back before any signal takes effect.
 */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l" /* the second screen, without a cursor */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define LINE  "\033[K\n" /* the rest of the line is erased */
#define BELOW "\033[J"

static const int caught[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

static void
enter(const struct screen *screen)
{
	struct termios raw = screen->before;

	if (screen->keys) {
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	if (screen->drawn)
		fputs(ENTER, stdout);
}

static void
leave(const struct screen *screen)
{
	if (screen->drawn)
		fputs(LEAVE, stdout);
	fflush(stdout);
	if (screen->keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->before);
}

static sigset_t
signal_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	return set;
}

void
screen_open(struct screen *screen)
{
	sigset_t set = signal_set();

	memset(screen, 0, sizeof(*screen));
	screen->drawn = isatty(STDOUT_FILENO);
	screen->keys =
		screen->drawn && tcgetattr(STDIN_FILENO, &screen->before) == 0;
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	screen->signals = signalfd(-1, &set, SFD_CLOEXEC);
	enter(screen);
}

void
screen_size(const struct screen *screen, size_t *rows, size_t *columns)
{
	struct winsize size;

	*rows = *columns = 1000;
	if (!screen->drawn)
		return;
	*rows = 24;
	*columns = 80;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 &&
		size.ws_col > 1) {
		*rows = size.ws_row;
		*columns = size.ws_col;
	}
}

bool
screen_draw(const struct screen *screen, const char *text, bool first)
{
	if (!screen->drawn) {
		if (!first)
			putchar('\n');
		fputs(text, stdout);
	} else {
		fputs(HOME, stdout);
		for (; *text; text++) {
			/* none after the last line, which would scroll */
			if (*text == '\n')
				fputs(text[1] ? LINE : "\033[K", stdout);
			else
				putchar(*text);
		}
		fputs(BELOW, stdout);
	}
	return fflush(stdout) == 0;
}

static long long
left_ms(long long end_ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return end_ms - ((long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

static enum screen_event
take_signal(struct screen *screen)
{
	struct signalfd_siginfo info;

	if (read(screen->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return SCREEN_TIME;
	if (info.ssi_signo == SIGWINCH)
		return SCREEN_REDRAW;
	if (info.ssi_signo == SIGTSTP) {
		leave(screen);
		raise(SIGSTOP);
		enter(screen);
		return SCREEN_REDRAW;
	}
	screen->ended_by = (int)info.ssi_signo;
	return SCREEN_END;
}

static enum screen_event
take_key(void)
{
	char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		return SCREEN_END;
	return n > 0 && (key == 'q' || key == 'Q') ? SCREEN_END : SCREEN_REDRAW;
}

enum screen_event
screen_wait(struct screen *screen, long long end_ms)
{
	struct pollfd p[3] = {{.fd = screen->signals, .events = POLLIN},
		{.fd = screen->keys ? STDIN_FILENO : -1, .events = POLLIN},
		{.fd = STDOUT_FILENO}};
	long long ms = left_ms(end_ms);

	if (poll(p, 3, ms > 0 ? (int)ms : 0) <= 0)
		return left_ms(end_ms) > 0 ? SCREEN_REDRAW : SCREEN_TIME;
	if (p[0].revents)
		return take_signal(screen);
	if (p[2].revents)
		return SCREEN_END;
	return take_key();
}

void
screen_close(struct screen *screen)
{
	sigset_t set = signal_set();

	leave(screen);
	close(screen->signals);
	if (screen->ended_by) {
		signal(screen->ended_by, SIG_DFL);
		raise(screen->ended_by);
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
