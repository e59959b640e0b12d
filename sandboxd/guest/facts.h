/* What holds for this container and its children, read from the kernel: for the
 * daemon to compare with what it asked for. */
#ifndef SANDBOXD_FACTS_H
#define SANDBOXD_FACTS_H

#include <stddef.h>

/* Adds key=value lines about the container; returns how many bytes. */
size_t facts_of_container(char *text, size_t room);

#endif
