/* SPDX-License-Identifier: MIT */
/*
 * The wrapping service: its hooks, each of which picks by what the connection
 * is, and how it is made of the inner one.
 */
#include "base/text.h"
#include "tls/begin.h"
#include "tls/component.h"
#include "tls/current.h"
#include "tls/scratch.h"
#include "tls/serve.h"
#include "tls/state.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_SIZE 65536u      /* by default, as of any service */
#define BUFFER_MAX  (1u << 20)  /* the library's */
#define WRAPPED     0xc0000000u /* bits of versions of services that wrap */

static struct handoff__tls *
component_of(const struct handoff_tls *tls)
{
	return tls->component;
}

/* In course, and behind it. */
static bool
has_begun(const struct handoff__tls_head *head)
{
	return head->phase >= HANDOFF__TLS_OPEN;
}

static int
tls_open(struct handoff_conn *conn, void *arg)
{
	if (!handoff__tls_begin(conn))
		return -EBADMSG;
	return handoff__tls_begin_open(conn, component_of(arg));
}

static int
tls_handle(struct handoff_conn *conn, void *arg)
{
	struct handoff__tls_head *head = handoff__tls_begin(conn);

	if (!head)
		return -EBADMSG;
	return has_begun(head)
		       ? handoff__tls_serve_handle(conn, component_of(arg))
		       : handoff__tls_begin_handle(conn, component_of(arg));
}

/* For the inner service a connection begins with the end of its handshake, and
 * what was posted before that is not for it. */
static int
tls_posted(struct handoff_conn *conn, void *arg)
{
	struct handoff__tls_head *head = handoff__tls_begin(conn);

	if (!head)
		return -EBADMSG;
	return has_begun(head)
		       ? handoff__tls_serve_posted(conn, component_of(arg))
		       : 0;
}

static int
tls_farewell(struct handoff_conn *conn, void *arg)
{
	struct handoff__tls_head *head = handoff__tls_begin(conn);

	if (!head)
		return -EBADMSG;
	return has_begun(head)
		       ? handoff__tls_serve_farewell(conn, component_of(arg))
		       : 0;
}

/* Of a connection that the inner service has. */
static void
tls_ended(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	struct handoff__tls *w = component_of(arg);
	struct handoff__tls_head *head = handoff__tls_begin(conn);
	struct handoff_wrap_result result = {.size = sizeof(result)};
	struct handoff_wrap_call call = {
		.size = sizeof(call),
		.service = &w->inner,
		.hook = HANDOFF_WRAP_ENDED,
		.ended = reason,
	};

	if (!head)
		return;
	if (w->inner.ended && (head->flags & HANDOFF__TLS_SERVED)) {
		call.position = head->position;
		call.state_at = handoff__tls_inner_at(head);
		call.state_len = head->inner_len;
		if (handoff__tls_call(conn, head, &call, &result) == 0)
			head->inner_len = (uint32_t)result.state_len;
	}
	handoff__tls_erase(head);
}

static void
forget(struct handoff__tls *w, uint64_t id)
{
	handoff__tls_cache_drop(&w->cache, id);
	handoff__tls_heap_shrink(&w->heap, handoff__tls_cache_count(&w->cache));
}

static void
tls_left(uint64_t id, void *arg)
{
	struct handoff__tls *w = component_of(arg);

	forget(w, id);
	if (w->inner.left)
		w->inner.left(id, w->inner.arg);
}

/* Its keys are made again from the state when something comes. */
static void
tls_idle(uint64_t id, void *arg)
{
	struct handoff__tls *w = component_of(arg);

	forget(w, id);
	handoff__tls_scratch_rest(id);
	if (w->inner.idle)
		w->inner.idle(id, w->inner.arg);
}

static int
tls_print(const void *state, char *text, size_t size, void *arg)
{
	return handoff__tls_print(&component_of(arg)->inner, state, text, size);
}

static int
tls_convert(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	const struct handoff_tls *tls = arg;

	return handoff__tls_convert(&component_of(tls)->inner, version, old,
		old_size, state, tls->service.state_size);
}

/* A whole flight and a whole TLS record fit, whatever the inner service's
 * buffer is; as a power of two. */
static uint32_t
buffer_size(uint32_t size)
{
	uint32_t ring = BUFFER_SIZE;

	while (ring < size && ring < BUFFER_MAX)
		ring *= 2;
	return ring;
}

/* The head, texts, what may be pending, and the inner state. */
static uint32_t
state_size(const struct handoff__tls *w)
{
	return (uint32_t)sizeof(struct handoff__tls_head) +
	       HANDOFF_TLS_ALPN_MAX + HANDOFF_TLS_SERVER_NAME_MAX +
	       HANDOFF_TLS_PEER_MAX + w->input_size + HANDOFF__TLS_CONTENT_MAX +
	       16u + w->inner.state_size;
}

static void
make(struct handoff_tls *tls, struct handoff__tls *w)
{
	const struct handoff_service *inner = &w->inner;

	tls->service = (struct handoff_service){
		.size = sizeof(tls->service),
		.name = inner->name,
		.state_version = inner->state_version | HANDOFF__TLS_BIT,
		.state_size = state_size(w),
		.state_grows = true,
		.handle = tls_handle,
		.open = tls_open,
		.arg = tls,
		.input_size = buffer_size(w->input_size),
		.output_size = w->ring_size,
		.print = tls_print,
		.convert = inner->convert ? tls_convert : NULL,
		.convert_from = inner->convert
					? inner->convert_from | HANDOFF__TLS_BIT
					: 0,
		.shared_size = inner->shared_size,
		.shared_version = inner->shared_version,
		.ended = tls_ended,
		.posted = tls_posted,
		.post_size = inner->post_size,
		.post_gaps = inner->posted && inner->post_gaps,
		.farewell = tls_farewell,
		.left = tls_left,
		.inner = inner,
		.secret = true,
		.idle = tls_idle,
	};
}

static int
check_inner(const struct handoff_service *inner, struct handoff__error *error)
{
	if (!inner->handle || !inner->name)
		return handoff__fail(error, -EINVAL,
			"TLS: the service has no handler or no name");
	if (inner->pass_size > 0)
		return handoff__fail(error, -EOPNOTSUPP,
			"TLS: service %s has pairs (pass_size): a wrapped "
			"service cannot have them",
			inner->name);
	if (inner->state_version & WRAPPED)
		return handoff__fail(error, -EOPNOTSUPP,
			"TLS: service %s has sessions or TLS already: put "
			"sessions around the service with TLS, not into it",
			inner->name);
	return 0;
}

static int
take_inner(struct handoff__tls *w, const struct handoff_service *inner,
	struct handoff__error *error)
{
	int err = handoff__opts_copy(&w->inner, sizeof(w->inner), inner,
		offsetof(struct handoff_service, open));

	if (err < 0)
		return handoff__fail(
			error, err, "TLS: the service is of another size");
	err = check_inner(&w->inner, error);
	w->input_size = handoff__opt_or(w->inner.input_size, BUFFER_SIZE);
	w->output_size = handoff__opt_or(w->inner.output_size, BUFFER_SIZE);
	/* with all that sealing adds, and alerts */
	w->ring_size =
		buffer_size(w->output_size < BUFFER_MAX ? w->output_size + 1
							: w->output_size);
	if (err == 0 && state_size(w) > HANDOFF_WRAP_STATE_MAX)
		err = handoff__fail(error, -E2BIG,
			"TLS: the state of service %s would have %u bytes, of "
			"at most %u",
			w->inner.name, state_size(w), HANDOFF_WRAP_STATE_MAX);
	return err;
}

/* Certificates, and what of OpenSSL the record layer needs. */
static int
load(struct handoff__tls *w, const struct handoff_tls_opts *opts,
	struct handoff__error *error)
{
	const char *missing = "SHA256";
	int err = handoff__tls_contexts_open(&w->contexts, opts, error);
	OSSL_LIB_CTX *lib;

	if (err < 0)
		return err;
	lib = handoff__tls_contexts_lib(w->contexts);
	err = handoff__tls_suites_init(&w->suites, lib, &missing);
	if (err == 0) {
		w->sha256 = EVP_MD_fetch(lib, "SHA256", NULL);
		err = w->sha256 ? 0 : -ENOTSUP;
	}
	if (err < 0)
		return handoff__fail(error, err,
			"TLS: this OpenSSL has no %s: install one with its "
			"default provider",
			missing);
	return 0;
}

static void
free_component(struct handoff__tls *w)
{
	handoff__tls_cache_free(&w->cache);
	handoff__tls_complaints_free(&w->complaints);
	handoff__tls_suites_free(&w->suites);
	EVP_MD_free(w->sha256);
	handoff__tls_contexts_free(w->contexts);
	free(w);
}

static int
open_component(struct handoff_tls *tls, const struct handoff_service *inner,
	const struct handoff_tls_opts *opts, struct handoff__error *error)
{
	struct handoff__tls *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return handoff__fail(error, -ENOMEM, "TLS: no memory");
	handoff__tls_cache_init(&w->cache);
	handoff__tls_complaints_init(&w->complaints, opts->log, opts->log_arg);
	w->handshake_ms =
		handoff__opt_or(opts->handshake_ms, HANDOFF_TLS_HANDSHAKE_MS);
	w->heap.trims = opts->trim_heap;
	err = take_inner(w, inner, error);
	if (err == 0)
		err = load(w, opts, error);
	if (err < 0) {
		free_component(w);
		return err;
	}
	tls->component = w;
	make(tls, w);
	return 0;
}

int
handoff_tls_service(struct handoff_tls *tls,
	const struct handoff_service *inner,
	const struct handoff_tls_opts *opts)
{
	struct handoff_tls_opts o = {.size = sizeof(o)};
	struct handoff__error error = {.text = ""};
	int err;

	if (!tls || !inner || !opts)
		return -EINVAL;
	memset(tls, 0, sizeof(*tls));
	err = handoff__opts_copy(&o, sizeof(o), opts,
		offsetof(struct handoff_tls_opts, client_ca_file));
	if (err < 0)
		return err;
	err = open_component(tls, inner, &o, &error);
	if (err < 0)
		handoff__error_copy(&error, o.errbuf, o.errbuf_size);
	return err;
}

void
handoff_tls_free(struct handoff_tls *tls)
{
	if (!tls || !component_of(tls))
		return;
	free_component(component_of(tls));
	memset(tls, 0, sizeof(*tls));
}

int
handoff_tls_reload(struct handoff_tls *tls, char *errbuf, size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	int err;

	if (!tls || !component_of(tls))
		return -EINVAL;
	err = handoff__tls_contexts_reload(component_of(tls)->contexts, &error);
	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}

static uint64_t
load_count(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

int
handoff_tls_stats(
	const struct handoff_tls *tls, struct handoff_tls_counts *stats)
{
	const struct handoff__tls_counts *c;
	struct handoff_tls_counts all = {.size = 0};
	size_t known;

	if (!tls || !component_of(tls) || !stats ||
		stats->size < sizeof(stats->size))
		return -EINVAL;
	c = &component_of(tls)->counts;
	known = stats->size < sizeof(all) ? stats->size : sizeof(all);
	all.size = stats->size;
	all.handshakes = load_count(&c->handshakes);
	all.failed = load_count(&c->failed);
	all.late = load_count(&c->late);
	all.replays = load_count(&c->replays);
	all.mismatches = load_count(&c->mismatches);
	all.strangers = load_count(&c->strangers);
	all.key_updates_in = load_count(&c->key_updates_in);
	all.key_updates_out = load_count(&c->key_updates_out);
	all.alerts_in = load_count(&c->alerts_in);
	all.alerts_out = load_count(&c->alerts_out);
	all.truncated = load_count(&c->truncated);
	memcpy(stats, &all, known);
	return 0;
}
