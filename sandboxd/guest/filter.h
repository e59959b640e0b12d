/* The system calls a program may make. */
#ifndef SANDBOXD_FILTER_H
#define SANDBOXD_FILTER_H

#include <linux/filter.h>

/* Compiles the filter once, so that a child only has to install it.
 * Returns 0, or -1 with errno set. */
int filter_compile(struct sock_fprog *filter);

/* Installs it for good in the calling thread and all that it starts;
 * needs no_new_privs. Returns 0, or -1 with errno set. */
int filter_install(const struct sock_fprog *filter);

#endif
