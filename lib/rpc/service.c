/* SPDX-License-Identifier: MIT */
/*
 * Makes a service of dispatch functions: checks the options, and takes one call
 * after the other from the input of a connection, when there is room for the
 * longest reply. The hooks of the service that the options have get their own
 * `arg` through functions here.
 */
#include "rpc/component.h"

#include "base/text.h"
#include "rpc/call.h"
#include "rpc/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAMS_MAX      64
#define DEFAULT_MAX_CALL  65536u
#define DEFAULT_MAX_REPLY 32768u
_Static_assert(HANDOFF__RPC_FRAGMENTS == HANDOFF_RPC_FRAGMENTS,
	"the limit that is published");

#define LEAST 1024u /* any refusal fits into this */

/* A record of several fragments is not contiguous. */
static int
execute_joined(const struct handoff_rpc *rpc, struct handoff_conn *conn,
	const void *input, const struct handoff__rpc_record *record)
{
	void *message = malloc(record->len + 1);
	int rc;

	if (!message)
		return -ENOMEM;
	handoff__rpc_join(message, input, record);
	rc = handoff__rpc_execute(rpc, conn, message, record->len);
	free(message);
	return rc;
}

/* One call: without room for its reply it stays where it is, and this is called
 * again once the output is sent. */
static int
take_call(struct handoff_conn *conn, const struct handoff_rpc *rpc)
{
	struct handoff__rpc_record record;
	size_t len;
	const uint8_t *input = handoff_conn_input(conn, &len);
	int rc = handoff__rpc_scan(input, len, rpc->max_call, &record);

	/* no error of the handler: the client of a session is told of this */
	if (rc < 0)
		handoff_conn_abort(conn);
	if (rc <= 0)
		return 0;
	if (handoff_conn_room(conn) < rpc->max_reply)
		return 0;
	if (record.fragments == 1)
		rc = handoff__rpc_execute(
			rpc, conn, input + HANDOFF__RPC_MARK, record.len);
	else
		rc = execute_joined(rpc, conn, input, &record);
	return rc < 0 ? rc : handoff_conn_consume(conn, record.wire);
}

static int
rpc_handle(struct handoff_conn *conn, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	if (handoff_conn_reason(conn) != HANDOFF_CONN_DEADLINE)
		return take_call(conn, rpc);
	return rpc->inner.handle ? rpc->inner.handle(conn, rpc->inner.arg) : 0;
}

static int
rpc_open(struct handoff_conn *conn, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	return rpc->inner.open(conn, rpc->inner.arg);
}

/* Without a hook what is posted, such as a line of the operator, would be
 * appended to the output, where only records may be: it is dropped. */
static int
rpc_posted(struct handoff_conn *conn, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	return rpc->inner.posted ? rpc->inner.posted(conn, rpc->inner.arg) : 0;
}

static void
rpc_ended(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	rpc->inner.ended(conn, reason, rpc->inner.arg);
}

static int
rpc_print(const void *state, char *text, size_t size, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	return rpc->inner.print(state, text, size, rpc->inner.arg);
}

static int
rpc_convert(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	const struct handoff_rpc *rpc = arg;

	return rpc->inner.convert(
		version, old, old_size, state, rpc->inner.arg);
}

static int
rpc_farewell(struct handoff_conn *conn, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	return rpc->inner.farewell(conn, rpc->inner.arg);
}

static void
rpc_left(uint64_t id, void *arg)
{
	const struct handoff_rpc *rpc = arg;

	rpc->inner.left(id, rpc->inner.arg);
}

/* Which programs there are. */
static int
check_programs(struct handoff__error *error, const struct handoff_rpc_opts *o)
{
	if (!o->programs || o->nprograms == 0 || o->nprograms > PROGRAMS_MAX)
		return handoff__fail(error, -EINVAL,
			"rpc: 1 to %d programs are needed, not %zu",
			PROGRAMS_MAX, o->programs ? o->nprograms : 0);
	for (size_t i = 0; i < o->nprograms; i++) {
		const struct handoff_rpc_program *p = &o->programs[i];

		if (!p->dispatch)
			return handoff__fail(error, -EINVAL,
				"rpc: program 0x%x version %u has no dispatch "
				"function",
				p->prog, p->vers);
		for (size_t j = 0; j < i; j++)
			if (o->programs[j].prog == p->prog &&
				o->programs[j].vers == p->vers)
				return handoff__fail(error, -EINVAL,
					"rpc: program 0x%x version %u is given "
					"twice",
					p->prog, p->vers);
	}
	return 0;
}

static int
check_limit(struct handoff__error *error, const char *what, uint32_t limit,
	uint32_t most)
{
	if (limit >= LEAST && limit <= most)
		return 0;
	return handoff__fail(error, -EINVAL,
		"rpc: %s is %u: %u to %u bytes are possible", what, limit,
		LEAST, most);
}

static int
check(struct handoff__error *error, struct handoff_rpc_opts *o,
	const struct handoff_service *s)
{
	int err = check_programs(error, o);

	o->max_call = handoff__opt_or(o->max_call, DEFAULT_MAX_CALL);
	o->max_reply = handoff__opt_or(o->max_reply, DEFAULT_MAX_REPLY);
	if (err == 0)
		err = check_limit(error, "max_call", o->max_call,
			HANDOFF_RPC_MESSAGE_MAX);
	if (err == 0)
		err = check_limit(error, "max_reply", o->max_reply,
			HANDOFF_RPC_REPLY_MAX);
	if (err < 0)
		return err;
	if ((unsigned)o->auth > HANDOFF_RPC_AUTH_SYS)
		return handoff__fail(error, -EINVAL,
			"rpc: auth is %d: not a member of handoff_rpc_auth",
			(int)o->auth);
	if (s->name && !handoff__name_ok(s->name))
		return handoff__fail(error, -EINVAL,
			"rpc: the name of its service is none: 1 to 31 of "
			"A-Z, a-z, 0-9, '.', '_' and '-'");
	return 0;
}

static uint32_t
larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void
fill_service(struct handoff_rpc *rpc, const struct handoff_rpc_opts *o,
	const struct handoff_service *s)
{
	handoff__copy(rpc->name, sizeof(rpc->name), s->name ? s->name : "rpc");
	rpc->inner = *s;
	rpc->service = *s;
	rpc->service.size = sizeof(rpc->service);
	rpc->service.name = rpc->name;
	rpc->service.arg = rpc;
	rpc->service.handle = rpc_handle;
	rpc->service.open = s->open ? rpc_open : NULL;
	rpc->service.posted = rpc_posted;
	rpc->service.ended = s->ended ? rpc_ended : NULL;
	rpc->service.print = s->print ? rpc_print : NULL;
	rpc->service.convert = s->convert ? rpc_convert : NULL;
	rpc->service.farewell = s->farewell ? rpc_farewell : NULL;
	rpc->service.left = s->left ? rpc_left : NULL;
	rpc->service.input_size = larger(o->max_call, s->input_size);
	/* Twice the longest reply: so calls need not wait until the one before
	 * is sent, and in a session, where some of it is kept until the client
	 * has acknowledged it, there is room for one some time. */
	rpc->service.output_size = larger(2 * o->max_reply, s->output_size);
	rpc->max_call = o->max_call;
	rpc->max_reply = o->max_reply;
	rpc->auth = o->auth;
	rpc->multithreaded = o->multithreaded;
}

static int
make(struct handoff_rpc **out, const struct handoff_rpc_opts *o,
	const struct handoff_service *s)
{
	struct handoff_rpc *rpc = calloc(1, sizeof(*rpc));

	if (!rpc)
		return -ENOMEM;
	pthread_mutex_init(&rpc->lock, NULL);
	fill_service(rpc, o, s);
	rpc->programs = calloc(o->nprograms, sizeof(*rpc->programs));
	if (!o->multithreaded)
		rpc->scratch = malloc(o->max_reply);
	if (!rpc->programs || (!o->multithreaded && !rpc->scratch)) {
		handoff_rpc_free(rpc);
		return -ENOMEM;
	}
	memcpy(rpc->programs, o->programs,
		o->nprograms * sizeof(*rpc->programs));
	rpc->nprograms = o->nprograms;
	*out = rpc;
	return 0;
}

int
handoff_rpc_open(struct handoff_rpc **out, const struct handoff_rpc_opts *opts)
{
	struct handoff__error error = {""};
	struct handoff_service service = {0};
	struct handoff_rpc_opts o;
	int err = handoff__opts_copy(&o, sizeof(o), opts,
		offsetof(struct handoff_rpc_opts, service));

	if (err < 0 || !out)
		return err < 0 ? err : -EINVAL;
	if (o.service)
		err = handoff__opts_copy(&service, sizeof(service), o.service,
			offsetof(struct handoff_service, arg));
	if (err < 0)
		handoff__fail(&error, err,
			"rpc: its service has a size or members that this "
			"library does not know");
	else
		err = check(&error, &o, &service);
	handoff__error_copy(&error, o.errbuf, o.errbuf_size);
	if (err < 0)
		return err;
	err = make(out, &o, &service);
	return err == -ENOMEM
		       ? handoff__no_memory("rpc", o.errbuf, o.errbuf_size)
		       : err;
}

const struct handoff_service *
handoff_rpc_service(const struct handoff_rpc *rpc)
{
	return rpc ? &rpc->service : NULL;
}

void
handoff_rpc_free(struct handoff_rpc *rpc)
{
	if (!rpc)
		return;
	pthread_mutex_destroy(&rpc->lock);
	free(rpc->programs);
	free(rpc->scratch);
	free(rpc);
}
