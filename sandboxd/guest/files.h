/* Files of the work folder, for the daemon: laid in, listed, read.
 *
 * The program may have made of the folder what it likes, and in a session it is
 * still running: no link is followed, no mount is crossed, nothing but a regular
 * file is opened, and what could take long is done in a process of its own. */
#ifndef SANDBOXD_FILES_H
#define SANDBOXD_FILES_H

#include "frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes a file, and the folders on its way; returns a descriptor to write to,
 * or -1 with errno set. A path that ends in "/" is of a folder, and there is no file. */
int files_create(int work, const char *path, const struct put *put);

/* Makes a fifo, and returns its end for O_RDONLY or O_WRONLY, non-blocking. While `*held`,
 * which is both its ends, is open no open of it blocks. -1 with errno set: there is none. */
int files_fifo(int work, const char *name, int flags, int *held);

void files_remove(int work, const char *name);

/* A process that writes what was asked for into a pipe. */
struct helper {
	pid_t pid; /* -1: none */
	int pipe;
	bool reaped;
	int status; /* its wait status, once reaped */
};

/* Lists everything below the work folder: for each, its type (one letter, as
 * find -printf %y has it), its size, its permission bits in octal, an errno, its path,
 * and a NUL, with blanks between. The errno, if it is not 0, tells why it could not be
 * looked at, or a folder not into; E2BIG is of a folder that lies too deep. */
int files_list(struct helper *helper, int work, const char *leave_out);

/* Sends the bytes of a regular file, or those of a part of it. */
int files_read(struct helper *helper, int work, const char *path, const struct range *range);

#endif
