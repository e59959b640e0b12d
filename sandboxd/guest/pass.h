/* Messages with descriptors, between the guest, an init and a template. */
#ifndef SANDBOXD_PASS_H
#define SANDBOXD_PASS_H

#include <stddef.h>
#include <sys/types.h>

enum { PASS_MOST = 6 }; /* descriptors */

/* Sends a whole message; returns 0, or -1 with errno set. `flags` are those of send(2). */
int pass_send(int socket, const void *message, size_t length, const int *fds, size_t count,
	      int flags);

/* Receives one of exactly `length` bytes, and its descriptors, which are closed on exec:
 * `fds` is filled when `count` of them came, and otherwise left as it was. Returns what
 * recv(2) does; any other length is -1 with EBADMSG. */
ssize_t pass_receive(int socket, void *message, size_t length, int *fds, size_t count, int flags);

#endif
