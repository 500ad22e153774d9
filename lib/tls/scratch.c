/* SPDX-License-Identifier: MIT */
/*
 * Buffers of a thread, which grow to what the largest service needs. What was
 * in them is erased before they are freed.
 */
#include "tls/scratch.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool keyed;
static _Thread_local struct handoff__tls_scratch *mine;

static void
drop(unsigned char *buffer, size_t size)
{
	if (buffer)
		OPENSSL_cleanse(buffer, size);
	free(buffer);
}

static void
empty(struct handoff__tls_scratch *s)
{
	drop(s->in, s->in_size);
	drop(s->out, s->out_size);
	*s = (struct handoff__tls_scratch){.in = NULL};
}

static void
free_scratch(void *arg)
{
	empty(arg);
	free(arg);
}

static void
make_key(void)
{
	keyed = pthread_key_create(&key, free_scratch) == 0;
}

static bool
reserve(unsigned char **buffer, size_t *size, size_t wanted)
{
	unsigned char *bigger;

	if (*size >= wanted)
		return true;
	bigger = malloc(wanted);
	if (!bigger)
		return false;
	drop(*buffer, *size);
	*buffer = bigger;
	*size = wanted;
	return true;
}

static struct handoff__tls_scratch *
get(void)
{
	if (mine)
		return mine;
	pthread_once(&once, make_key);
	if (!keyed)
		return NULL;
	mine = calloc(1, sizeof(*mine));
	if (mine && pthread_setspecific(key, mine) != 0) {
		free(mine);
		mine = NULL;
	}
	return mine;
}

struct handoff__tls_scratch *
handoff__tls_scratch(uint64_t user, size_t in, size_t out)
{
	struct handoff__tls_scratch *s = get();

	if (!s || !reserve(&s->in, &s->in_size, in) ||
		!reserve(&s->out, &s->out_size, out))
		return NULL;
	s->user = user;
	return s;
}

void
handoff__tls_scratch_rest(uint64_t user)
{
	if (mine && mine->user == user)
		empty(mine);
}
