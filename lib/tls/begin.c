/* SPDX-License-Identifier: MIT */
/*
 * A handshake, one turn after another. The seed is committed with the first
 * byte of output, so that nothing leaves the process that cannot be made again;
 * and what has left is compared with what is made, always, before anything is
 * added to it. Sees no socket and no key but those of its outcome.
 */
#include "tls/begin.h"

#include "tls/handshake.h"
#include "tls/serve.h"
#include "tls/state.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

struct beginning {
	struct handoff_conn *conn;
	struct handoff__tls *w;
	struct handoff__tls_head *head; /* in the transaction's state */
	struct handoff__tls_entry *entry;
	struct handoff__tls_handshake *handshake;
};

/* For the log. */
static const char why_late[] =
	"TLS handshake: late, not finished in handshake_ms";
static const char why_left[] = "TLS handshake: ended by the client";
static const char why_stranger[] =
	"TLS handshake: begun in a process with another certificate, other "
	"options or another OpenSSL, which has died";

/* It ends, perhaps with an alert that is in the output already. */
static int
give_up(struct beginning *b, _Atomic uint64_t *counter, const char *why)
{
	handoff__tls_count(counter);
	handoff__tls_complain(&b->w->complaints, b->conn, "%s", why);
	handoff__tls_erase(b->head);
	handoff_conn_hold(b->conn, 0);
	handoff_conn_close(b->conn);
	return 0;
}

/* With a seed of its own, and by the certificates of now. */
static int
start(struct beginning *b)
{
	struct handoff__tls_head *head = b->head;

	if (getrandom(head->u.begin.seed, sizeof(head->u.begin.seed), 0) !=
		(ssize_t)sizeof(head->u.begin.seed))
		return -EIO;
	handoff__tls_contexts_identity(b->w->contexts, head->u.begin.identity);
	head->phase = HANDOFF__TLS_HANDSHAKE_ON;
	return handoff__tls_handshake_new(&b->entry->handshake, b->w->contexts,
		head->u.begin.identity, head->u.begin.seed);
}

/* One that has begun in another process, or whose object was lost. */
static int
again(struct beginning *b)
{
	struct handoff__tls_head *head = b->head;
	int rc = handoff__tls_handshake_new(&b->entry->handshake,
		b->w->contexts, head->u.begin.identity, head->u.begin.seed);

	if (rc == 0)
		handoff__tls_count(&b->w->counts.replays);
	if (rc == -ESTALE && head->u.begin.out_done == 0)
		return start(b); /* nothing of it has left */
	return rc;
}

static int
find_handshake(struct beginning *b)
{
	int rc = 0;

	if (b->head->phase == HANDOFF__TLS_NEW) {
		/* that of a turn that was undone had another seed */
		handoff__tls_handshake_free(b->entry->handshake);
		b->entry->handshake = NULL;
		rc = start(b);
	} else if (!b->entry->handshake) {
		rc = again(b);
	}
	b->handshake = b->entry->handshake;
	return rc;
}

static bool
hash(const struct handoff__tls *w, const uint8_t *data, size_t len,
	uint8_t out[32])
{
	return EVP_Digest(data, len, out, NULL, w->sha256, NULL) == 1;
}

/* Whether what has left the process is what this handshake has made. */
static bool
is_same(const struct beginning *b, const uint8_t *output, size_t len)
{
	const struct handoff__tls_head *head = b->head;
	uint8_t now[32];

	if (head->u.begin.out_done == 0)
		return true;
	return head->u.begin.out_done <= len &&
	       hash(b->w, output, head->u.begin.out_done, now) &&
	       CRYPTO_memcmp(now, head->u.begin.out_hash, sizeof(now)) == 0;
}

/* Writes as much of the output as there is room for. Negative: it is not what
 * was written before. */
static int
write_output(struct beginning *b, bool *all)
{
	struct handoff__tls_head *head = b->head;
	const uint8_t *output;
	size_t len = handoff__tls_handshake_output(b->handshake, &output);
	size_t done = head->u.begin.out_done;

	if (!is_same(b, output, len))
		return -EBADMSG;
	if (len > done)
		done += handoff_conn_write(b->conn, output + done, len - done);
	*all = done == len;
	if (done == head->u.begin.out_done)
		return 0;
	head->u.begin.out_done = (uint32_t)done;
	return hash(b->w, output, done, head->u.begin.out_hash) ? 0 : -ENOMEM;
}

/* The outcome becomes the state of an open connection. */
static int
take_outcome(struct beginning *b, const struct handoff__tls_outcome *outcome)
{
	struct handoff__tls_head *head = b->head;
	const struct handoff__tls_suite *suite =
		handoff__tls_suite_find(&b->w->suites, outcome->suite);
	int rc;

	if (!suite || suite->hash_len != outcome->secret_len)
		return -EPROTO;
	OPENSSL_cleanse(&head->u, sizeof(head->u));
	rc = handoff__tls_dir_init(suite, &head->u.open.read,
		outcome->client_secret, &outcome->client_keys);
	if (rc == 0)
		rc = handoff__tls_dir_init(suite, &head->u.open.write,
			outcome->server_secret, &outcome->server_keys);
	head->u.open.write.seq = outcome->sent;
	head->suite = outcome->suite;
	head->fragment = outcome->max_fragment;
	head->phase = HANDOFF__TLS_OPEN;
	if (outcome->peer_cut)
		head->flags |= HANDOFF__TLS_PEER_CUT;
	handoff_conn_consume(b->conn, outcome->used);
	return rc;
}

/* The inner service begins. */
static int
finish(struct beginning *b)
{
	const struct handoff_service *inner = &b->w->inner;
	const struct handoff__tls_outcome *outcome =
		handoff__tls_handshake_outcome(b->handshake);
	int rc = take_outcome(b, outcome);

	if (rc == 0)
		rc = handoff__tls_set_texts(b->conn, outcome->alpn,
			outcome->server_name, outcome->peer);
	if (rc == 0)
		rc = handoff__tls_set_inner(
			b->conn, inner->state_grows ? 0 : inner->state_size);
	handoff__tls_handshake_free(b->handshake);
	b->entry->handshake = NULL;
	if (rc < 0)
		return rc;
	b->head->flags |= HANDOFF__TLS_SERVED;
	handoff_conn_deadline(b->conn, 0);
	handoff_conn_hold(b->conn, 0);
	handoff__tls_count(&b->w->counts.handshakes);
	return handoff__tls_serve_open(b->conn, b->w);
}

/* It goes on, fails, or the client has had time enough. */
static int
go_on(struct beginning *b)
{
	enum handoff_conn_reason reason = handoff_conn_reason(b->conn);
	size_t len;
	const void *input = handoff_conn_input(b->conn, &len);
	enum handoff__tls_progress progress =
		handoff__tls_handshake_feed(b->handshake, input, len);
	bool all = false, received;
	int rc = write_output(b, &all);

	if (rc == -EBADMSG)
		return give_up(b, &b->w->counts.mismatches,
			"TLS handshake: run again it made other bytes than "
			"those that were sent: please report it");
	if (rc < 0)
		return rc;
	if (progress == HANDOFF__TLS_DONE && all)
		return finish(b);
	if (progress == HANDOFF__TLS_FAILED) {
		if (handoff__tls_handshake_alert(b->handshake, &received) >= 0)
			handoff__tls_count(received ? &b->w->counts.alerts_in
						    : &b->w->counts.alerts_out);
		return give_up(b, &b->w->counts.failed,
			handoff__tls_handshake_why(b->handshake));
	}
	if (reason == HANDOFF_CONN_DEADLINE)
		return give_up(b, &b->w->counts.late, why_late);
	if (handoff_conn_eof(b->conn) && all)
		return give_up(b, &b->w->counts.failed, why_left);
	b->head->u.begin.rests_at = all ? (uint32_t)len : 0;
	/* before that it can begin anew in any process */
	if (b->head->u.begin.out_done > 0)
		handoff_conn_hold(b->conn, b->w->handshake_ms);
	return 0;
}

/* Whether nothing of it runs in this process, and the client has sent nothing
 * more. */
static bool
rests(const struct beginning *b, size_t len)
{
	return b->head->phase == HANDOFF__TLS_HANDSHAKE_ON &&
	       !b->entry->handshake && b->head->u.begin.rests_at == len;
}

/* It is run again when there is a use for it: a survivor may have thousands of
 * these at once, and other connections wait. */
static int
let_rest(struct beginning *b)
{
	struct handoff__tls_edition *edition;

	if (handoff_conn_reason(b->conn) == HANDOFF_CONN_DEADLINE)
		return give_up(b, &b->w->counts.late, why_late);
	if (handoff_conn_eof(b->conn))
		return give_up(b, &b->w->counts.failed, why_left);
	if (b->head->u.begin.out_done == 0)
		return 0;
	edition = handoff__tls_edition_hold(
		b->w->contexts, b->head->u.begin.identity);
	if (!edition)
		return give_up(b, &b->w->counts.strangers, why_stranger);
	handoff__tls_edition_release(edition);
	return 0;
}

int
handoff__tls_begin_open(struct handoff_conn *conn, struct handoff__tls *w)
{
	return handoff_conn_deadline(conn, w->handshake_ms);
}

int
handoff__tls_begin_handle(struct handoff_conn *conn, struct handoff__tls *w)
{
	struct beginning b = {
		.conn = conn, .w = w, .head = handoff_conn_state(conn)};
	size_t len;
	int rc;

	handoff_conn_input(conn, &len);
	if (b.head->phase == HANDOFF__TLS_NEW && len == 0 &&
		handoff_conn_reason(conn) == HANDOFF_CONN_DEADLINE)
		return give_up(&b, &w->counts.late,
			"TLS handshake: late, nothing received in "
			"handshake_ms");
	if (b.head->phase == HANDOFF__TLS_NEW && len == 0)
		return 0;
	b.entry = handoff__tls_cache_get(&w->cache, handoff_conn_id(conn));
	if (b.entry && rests(&b, len))
		return let_rest(&b);
	rc = b.entry ? find_handshake(&b) : -ENOMEM;
	if (rc == -ESTALE)
		return give_up(&b, &w->counts.strangers, why_stranger);
	return rc < 0 ? rc : go_on(&b);
}
