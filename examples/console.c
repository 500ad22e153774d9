/* SPDX-License-Identifier: MIT */
/*
 * The command line of client, its input and the lines that it tells. Nothing
 * here is about handoffs.
 */
#include "console.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
	"usage: client --connect ADDR [--connect ADDR]... [OPTION]...\n"
	"\n"
	"  --connect ADDR  127.0.0.1:7000, [::1]:7000, host:7000, unix:/path;\n"
	"                  the first is home, the others are tried in turn\n"
	"  --dir DIR       the service directory, to be told of handoffs\n"
	"  --input FIFO    read this named pipe, made if it is not there, in\n"
	"                  place of standard input: echo hello > FIFO\n"
	"  --name NAME     of this client in what it tells (default: client)\n"
	"\n"
	"Lines of the input are sent; what comes back is printed.\n";

static const struct option options[] = {
	{"connect", required_argument, NULL, 'c'},
	{"dir", required_argument, NULL, 'd'},
	{"input", required_argument, NULL, 'i'},
	{"name", required_argument, NULL, 'n'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static void
bad_usage(const char *why)
{
	fprintf(stderr, "client: %s (see --help)\n", why);
	exit(2);
}

/* Names end up in lines for people. */
static const char *
checked_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	if (strlen(name) >= HANDOFF_NAME_MAX ||
		strspn(name, allowed) != strlen(name))
		bad_usage("--name must be 1 to 31 of A-Z a-z 0-9 . _ -");
	return name;
}

static void
take(struct console *o, int c)
{
	switch (c) {
	case 'c':
		if (o->client.nendpoints == ENDPOINTS_MAX)
			bad_usage("too many --connect");
		o->endpoints[o->client.nendpoints++] = optarg;
		return;
	case 'd':
		if (strlen(optarg) > sizeof(o->notices) - sizeof("mq:"))
			bad_usage("the path of --dir is too long");
		snprintf(o->notices, sizeof(o->notices), "mq:%s", optarg);
		o->client.notices = o->notices;
		return;
	case 'i':
		o->path = optarg;
		return;
	case 'n':
		o->name = checked_name(optarg);
		return;
	}
}

static void
open_input(struct console *o)
{
	struct handoff_fifo_opts opts = {.size = sizeof(opts),
		.path = o->path,
		.errbuf = o->why,
		.errbuf_size = sizeof(o->why)};

	if (o->path && handoff_fifo_open(&o->fifo, &opts) < 0)
		fail(o, "", o->why);
	o->input = o->fifo ? handoff_fifo_fd(o->fifo) : STDIN_FILENO;
}

void
read_command_line(struct console *o, int argc, char **argv)
{
	bool seen[256] = {false};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			exit(0);
		}
		if (c == '?')
			bad_usage("unknown option, or its value is missing");
		if (optarg[0] == '\0')
			bad_usage("the value of an option is empty");
		if (c != 'c' && seen[c])
			bad_usage("an option is given twice");
		seen[c] = true;
		take(o, c);
	}
	if (optind < argc)
		bad_usage("takes options only");
	if (o->client.nendpoints == 0)
		bad_usage("--connect is needed");
	o->client.size = sizeof(o->client);
	o->client.endpoints = o->endpoints;
	o->client.errbuf = o->why;
	o->client.errbuf_size = sizeof(o->why);
	open_input(o);
}

void
tell(const struct console *console, const char *text)
{
	struct timespec now;
	char clock[16];

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(clock, sizeof(clock), "%T", localtime(&now.tv_sec));
	fprintf(stderr, "%s.%03ld %s: %s\n", clock, now.tv_nsec / 1000000,
		console->name, text);
}

void
fail(const struct console *console, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s%s%s\n", console->name, what,
		what[0] ? ": " : "", why);
	handoff_fifo_free(console->fifo);
	exit(1);
}
