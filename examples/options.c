/* SPDX-License-Identifier: MIT */
/* The command line that server and alt_server share. */
#include "options.h"

#include "manager.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: %s --dir DIR%s [OPTION]...\n"
	"\n"
	"  --dir DIR          the service directory, made if it is not there\n"
	"%s"
	"  --service SERVICE  echo (default) or schedule\n"
	"  --data FILE        the timetable of the schedule\n"
	"  --model MODEL      loop (default), thread, fork, iterative\n"
	"  --workers N        threads that serve, model loop only (1)\n"
	"  --name NAME        of this peer (default: %s)\n"
	"  --fence            kill the other peer when it hangs, and take "
	"over\n"
	"  --hang-timeout MS  its silence that counts as hanging (5000)\n"
	"  --give-timeout MS  how long a handoff waits for handlers (5000)\n"
	"  --suspect-wait MS  how long an input that may have killed a "
	"process\n"
	"                     waits for a standby (30000)\n"
	"  --console FIFO     a named pipe; its lines are said to the clients\n"
	"  --systemd          take its sockets instead of --listen, and "
	"notify it\n"
	"  --verbose          print what is received\n"
	"  --daemon           run in the background; returns when it serves\n"
	"  --log FILE         print to the end of FILE; SIGHUP opens it anew\n"
	"  --pid-file FILE    holds the process number (with --daemon: "
	"DIR/NAME.pid)\n"
	"  --trace            log each connection that comes, moves or goes\n"
	"\n"
	"SIGUSR1 hands over (maintenance), SIGUSR2 takes back (ready),\n"
	"SIGTERM stops, handing over first if a standby is there.\n";

static const char usage_listen[] =
	"  --listen ADDR      127.0.0.1:7000, [::1]:7000, :7000, unix:/path;\n"
	"                     port 0 takes any free port; may be repeated\n";

static const struct option options[] = {
	{"dir", required_argument, NULL, 'd'},
	{"listen", required_argument, NULL, 'l'},
	{"service", required_argument, NULL, 's'},
	{"data", required_argument, NULL, 'D'},
	{"model", required_argument, NULL, 'm'},
	{"workers", required_argument, NULL, 'w'},
	{"name", required_argument, NULL, 'n'},
	{"fence", no_argument, NULL, 'f'},
	{"hang-timeout", required_argument, NULL, 't'},
	{"give-timeout", required_argument, NULL, 'g'},
	{"suspect-wait", required_argument, NULL, 'W'},
	{"console", required_argument, NULL, 'c'},
	{"systemd", no_argument, NULL, 'S'},
	{"verbose", no_argument, NULL, 'v'},
	{"daemon", no_argument, NULL, 'b'},
	{"log", required_argument, NULL, 'o'},
	{"pid-file", required_argument, NULL, 'p'},
	{"trace", no_argument, NULL, 'T'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* What is worth a line in the log of an operator. */
static void
print_log(enum handoff_log_level level, const char *text, void *arg)
{
	const struct options *o = arg;

	if (level <= HANDOFF_LOG_WARNING || o->server.trace ||
		(level <= HANDOFF_LOG_INFO && o->verbose))
		fprintf(stderr, "%s: %s\n", o->server.name, text);
}

static void
bad_usage(const char *program, const char *why)
{
	fprintf(stderr, "%s: %s (see --help)\n", program, why);
	exit(2);
}

static uint32_t
number(const char *program, const char *text, unsigned long max,
	const char *why)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end || n < 1 || n > max)
		bad_usage(program, why);
	return (uint32_t)n;
}

static uint32_t
milliseconds(const char *program, const char *text)
{
	return number(program, text, 3600000, "a time must be 1 to 3600000 ms");
}

static void
take_service(struct options *o, const char *program)
{
	if (strcmp(optarg, "echo") != 0 && strcmp(optarg, "schedule") != 0)
		bad_usage(program, "--service must be echo or schedule");
	o->service = optarg;
}

static void
take_model(struct options *o, const char *program)
{
	int model = handoff_model_parse(optarg);

	if (model < 0)
		bad_usage(program,
			"--model must be loop, thread, fork or iterative");
	o->server.model = (enum handoff_model)model;
}

static void
take(struct options *o, const char *program, int c)
{
	switch (c) {
	case 'd':
		o->server.dir = optarg;
		return;
	case 'l':
		if (o->server.nlisten == LISTEN_MAX)
			bad_usage(program, "too many --listen");
		o->listen[o->server.nlisten++] = optarg;
		return;
	case 's':
		take_service(o, program);
		return;
	case 'D':
		o->data = optarg;
		return;
	case 'm':
		take_model(o, program);
		return;
	case 'w':
		o->server.workers = number(
			program, optarg, 64, "--workers must be 1 to 64");
		return;
	case 'n':
		o->server.name = optarg;
		return;
	case 'f':
		o->server.fence = true;
		return;
	case 't':
		o->server.hang_timeout_ms = milliseconds(program, optarg);
		return;
	case 'g':
		o->server.give_timeout_ms = milliseconds(program, optarg);
		return;
	case 'W':
		o->server.suspect_wait_ms = milliseconds(program, optarg);
		return;
	case 'c':
		o->console = optarg;
		return;
	case 'S':
		if (!manager_known())
			bad_usage(program, "--systemd: this program was built "
					   "without libsystemd");
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
	case 'T':
		o->server.trace = true;
		return;
	default:
		bad_usage(program, "unknown option, or its value is missing");
	}
}

static void
check_service(struct options *o, const char *program)
{
	bool schedule = o->service && strcmp(o->service, "schedule") == 0;

	if (schedule && !o->data)
		bad_usage(program, "--service schedule needs --data FILE");
	if (!schedule && o->data)
		bad_usage(program, "--data goes with --service schedule");
}

void
parse_options(struct options *o, const char *program, bool listens, int argc,
	char **argv)
{
	bool seen[256] = {false};
	int c;

	opterr = 0;
	o->daemon.foreground = true;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			printf(usage, program, listens ? " --listen ADDR" : "",
				listens ? usage_listen : "", o->server.name);
			exit(0);
		}
		if (c != 'l' && c != '?' && seen[c])
			bad_usage(program, "an option is given twice");
		if (c == 'l' && !listens)
			bad_usage(program,
				"takes no --listen: the addresses come with "
				"ownership");
		if (c != '?' && optarg && optarg[0] == '\0')
			bad_usage(program, "an option has an empty value");
		seen[c] = true;
		take(o, program, c);
	}
	if (optind < argc)
		bad_usage(program, "takes options only");
	if (!o->server.dir ||
		(listens && o->server.nlisten == 0 && !o->systemd))
		bad_usage(program, listens ? "--dir and --listen are needed"
					   : "--dir is needed");
	check_service(o, program);
	o->server.size = sizeof(o->server);
	o->server.listen = o->listen;
	o->listens = listens;
	o->server.log = print_log;
	o->server.log_arg = o;
	o->daemon.size = sizeof(o->daemon);
	o->daemon.dir = o->server.dir;
	o->daemon.name = o->server.name;
}
