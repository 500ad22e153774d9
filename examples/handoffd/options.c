/* SPDX-License-Identifier: MIT */
/*
 * The command line of handoffd: the usual options are the library's, what is
 * left of it is read here.
 */
#include "options.h"

#include "manager.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: handoffd --dir DIR --listen ADDR|--standby|--systemd "
	"[OPTION]...\n"
	"\n"
	"%s"
	"\n"
	"  --standby            never listens: waits for an owner, as its\n"
	"                       standby; its --name is alt, else server\n"
	"  --service SERVICE    echo (default) or schedule\n"
	"  --data FILE          the timetable of the schedule\n"
	"  --console FIFO       a named pipe: its lines are said to clients\n"
	"  --systemd            take its sockets instead of --listen, and\n"
	"                       notify it\n"
	"  --verbose            print what is received\n"
	"  --daemon             run in the background; returns when it serves\n"
	"  --log FILE           print to the end of FILE; SIGHUP opens it "
	"anew\n"
	"  --pid-file FILE      holds the process number; with --daemon it is\n"
	"                       DIR/NAME.pid\n"
	"  --version            print the version of the library\n"
	"\n"
	"SIGUSR1 hands over (maintenance), SIGUSR2 takes back (ready),\n"
	"SIGTERM stops, handing over first if a standby is there.\n";

static const struct option own[] = {
	{"standby", no_argument, NULL, 'a'},
	{"service", required_argument, NULL, 's'},
	{"data", required_argument, NULL, 'D'},
	{"console", required_argument, NULL, 'c'},
	{"systemd", no_argument, NULL, 'S'},
	{"verbose", no_argument, NULL, 'v'},
	{"daemon", no_argument, NULL, 'b'},
	{"log", required_argument, NULL, 'o'},
	{"pid-file", required_argument, NULL, 'p'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

#define OWN (sizeof(own) / sizeof(own[0]))

/* What is worth a line in the log of an operator. */
static void
print_log(enum handoff_log_level level, const char *text, void *arg)
{
	const struct options *o = arg;
	char at[HANDOFF_STAMP_MAX];

	if (level <= HANDOFF_LOG_WARNING || o->server.trace ||
		(level <= HANDOFF_LOG_INFO && o->verbose))
		fprintf(stderr, "%s%s: %s\n",
			handoff_log_stamp(STDERR_FILENO, at, sizeof(at)),
			o->server.name, text);
}

static _Noreturn void
bad_usage(const char *what, const char *why)
{
	fprintf(stderr, "handoffd: %s%s (see --help)\n", what, why);
	exit(2);
}

static _Noreturn void
bad_value(const char *name, const char *why)
{
	fprintf(stderr, "handoffd: --%s %s (see --help)\n", name, why);
	exit(2);
}

static void
take(struct options *o, int c)
{
	switch (c) {
	case 'a':
		o->standby = true;
		return;
	case 's':
		if (strcmp(optarg, "echo") != 0 &&
			strcmp(optarg, "schedule") != 0)
			bad_value("service", "must be echo or schedule");
		o->service = optarg;
		return;
	case 'D':
		o->data = optarg;
		return;
	case 'c':
		o->console = optarg;
		return;
	case 'S':
		if (!manager_known())
			bad_value("systemd", "is not here: this program was "
					     "built without libsystemd");
		o->systemd = true;
		return;
	case 'v':
		o->verbose = true;
		return;
	case 'b':
		o->daemon.foreground = false;
		return;
	case 'o':
		o->daemon.log = optarg;
		return;
	case 'p':
		o->daemon.pid_file = optarg;
		return;
	}
}

static void
read_own(struct options *o, int argc, char **argv)
{
	bool seen[OWN] = {false};
	int c, i = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", own, &i)) != -1) {
		if (c == 'h')
			exit(printf(usage, handoff_server_opts_help()) < 0);
		if (c == 'V')
			exit(printf("handoffd %s\n", handoff_version()) < 0);
		if (c == ':')
			bad_usage(argv[optind - 1], " lacks its value");
		if (c == '?')
			bad_usage(argv[optind - 1], " is not an option");
		if (seen[i])
			bad_value(own[i].name, "is given twice");
		if (optarg && optarg[0] == '\0')
			bad_value(own[i].name, "has an empty value");
		seen[i] = true;
		take(o, c);
	}
	if (optind < argc)
		bad_usage(argv[optind], ": only options are taken");
}

/* What goes together. */
static void
check(const struct options *o)
{
	bool schedule = o->service && strcmp(o->service, "schedule") == 0;

	if (!o->server.dir)
		bad_usage("--dir DIR", " is needed");
	if (o->standby && o->server.nlisten > 0)
		bad_usage("--standby", " takes no --listen: the addresses come "
				       "with ownership");
	if (!o->standby && !o->systemd && o->server.nlisten == 0)
		bad_usage("--listen ADDR", " is needed, or --standby");
	if (schedule && !o->data)
		bad_usage("--service schedule", " needs --data FILE");
	if (!schedule && o->data)
		bad_usage("--data", " goes with --service schedule");
}

void
parse_options(struct options *o, int argc, char **argv)
{
	o->server.size = sizeof(o->server);
	o->server.log = print_log;
	o->server.log_arg = o;
	o->daemon.size = sizeof(o->daemon);
	o->daemon.foreground = true;
	if (handoff_server_opts_read(&o->server, &argc, argv) < 0)
		bad_usage(o->server.errbuf, "");
	read_own(o, argc, argv);
	check(o);
	if (!o->server.name)
		o->server.name = o->standby ? "alt" : "server";
	o->daemon.dir = o->server.dir;
	o->daemon.name = o->server.name;
}
