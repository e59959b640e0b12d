/* What a program finds of the machine: the limits of its own run in /proc and /sys, and
 * the names of this host. What is the real machine's own is covered. */
#ifndef SANDBOXD_MACHINE_H
#define SANDBOXD_MACHINE_H

#include <stdbool.h>

/* Once for a container, in a mount namespace of the guest's own: lays out what every
 * child is shown, and binds /etc/hosts unless the network is the engine's. Returns 0, or
 * -1 with errno set. */
int machine_prepare(bool share_net);

/* Where a child cannot have namespaces after all: its program works in the folder that is
 * covered by this. */
void machine_withdraw(void);

/* Before a run begins: the container's limits may have changed. */
void machine_follow_limits(void);

/* As a run begins, from which on time goes on. */
void machine_tell_time(void);

/* In a child, once its proc is mounted below `root` and before its work folder is. */
void machine_show(int control, const char *root);

/* A file of the cgroup by its path in version 2 or else in version 1, or -1. */
int open_either(const char *second, const char *first);

#endif
