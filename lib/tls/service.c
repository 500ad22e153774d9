/* SPDX-License-Identifier: MIT */
/*
 * The wrapping service: its hooks, each of which picks by what the connection
 * is, and how it is made of the inner one.
 */
#include "base/text.h"
#include "tls/component.h"

#include <errno.h>
#include <string.h>

int
handoff_tls_service(struct handoff_tls *tls,
	const struct handoff_service *inner,
	const struct handoff_tls_opts *opts)
{
	if (!tls || !inner || !opts)
		return -EINVAL;
	memset(tls, 0, sizeof(*tls));
	return -ENOSYS;
}
