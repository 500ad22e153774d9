/* SPDX-License-Identifier: MIT */
/*
 * The client's side: a layer on OpenSSL over memory BIOs. It knows nothing of
 * sockets and sessions, and nothing of the server's side.
 */
#include "base/text.h"
#include "tls/component.h"

#include <errno.h>
#include <string.h>

int
handoff_tls_client(struct handoff_client_layer *layer,
	const struct handoff_tls_client_opts *opts)
{
	if (!layer || !opts)
		return -EINVAL;
	memset(layer, 0, sizeof(*layer));
	return -ENOSYS;
}
