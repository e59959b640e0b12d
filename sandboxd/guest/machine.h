/* What a program finds of the machine: the limits of its own run in /proc and /sys, and
 * the names of this host. What is the real machine's own is covered. */
#ifndef SANDBOXD_MACHINE_H
#define SANDBOXD_MACHINE_H

#include <stdbool.h>

/* Once for a container, in a mount namespace of the guest's own: lays out what every
 * child is shown, and binds /etc/hosts unless the network is the engine's. Returns 0, or
 * -1 with errno set. */
int machine_prepare(bool share_net);

/* Takes that off the folder in which a program without namespaces works. */
void machine_uncover(void);

/* As a run begins: the container's limits may have changed, and time has gone on. */
void machine_refresh(void);

/* In a child, once its proc is mounted below `root` and before its work folder is. */
void machine_show(int control, const char *root);

#endif
