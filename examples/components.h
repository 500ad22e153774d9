/* SPDX-License-Identifier: MIT */
/* The optional components that these programs were built with. */
#ifndef EXAMPLES_COMPONENTS_H
#define EXAMPLES_COMPONENTS_H

/* Makes the addresses of these components known: call it first in main. */
void components_register(void);

#endif
