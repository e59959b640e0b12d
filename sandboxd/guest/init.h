/* What the parts of an init share. */
#ifndef SANDBOXD_INIT_H
#define SANDBOXD_INIT_H

#include <sys/types.h>

#define ROOT_FOLDER "/tmp/root"

/* Reports which step failed, with errno, and ends the init. */
_Noreturn void fail(int control, const char *step);
void must_mount(int control, const char *source, const char *target, const char *type,
		unsigned long flags, const char *data);
void make_folder(int control, const char *path, mode_t mode);

/* root.c: a root that the program can write to, on the tmpfs at /tmp. */
void make_writable_root(int control);
/* Makes it the root of this process and all that follow. */
void change_root(int control);

#endif
