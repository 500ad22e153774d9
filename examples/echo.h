/* SPDX-License-Identifier: MIT */
/* The service that the demo servers share: it sends back what it gets. */
#ifndef EXAMPLES_ECHO_H
#define EXAMPLES_ECHO_H

#include <handoff.h>

/* With `verbose`, prints each piece of input with its connection's number. */
const struct handoff_service *echo_service(bool verbose);

#endif
