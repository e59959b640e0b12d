#define _GNU_SOURCE
#include "facts.h"

#include "child.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The same limits have other names in the two versions of cgroups. */
static const struct {
	const char *key, *path;
} limits[] = {
	{"memory", "/sys/fs/cgroup/memory.max"},
	{"swap", "/sys/fs/cgroup/memory.swap.max"},
	{"pids", "/sys/fs/cgroup/pids.max"},
	{"cpu", "/sys/fs/cgroup/cpu.max"},
	{"memory", "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
	{"memsw", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"},
	{"pids", "/sys/fs/cgroup/pids/pids.max"},
	{"cpu", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"},
};

static void read_line(const char *path, char *line, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = fd < 0 ? -1 : read(fd, line, room - 1);

	close_fd(&fd);
	line[count < 0 ? 0 : count] = '\0';
	line[strcspn(line, "\n")] = '\0';
}

/* It tells so in its kernel's messages; those of Linux the container's filter hides. */
static bool in_gvisor(void)
{
	enum { READ_ALL = 3 };
	char messages[1024];
	int count = klogctl(READ_ALL, messages, sizeof(messages) - 1);

	messages[count < 0 ? 0 : count] = '\0';
	return strstr(messages, "Starting gVisor") != NULL;
}

size_t facts_of_container(char *text, size_t room)
{
	struct statvfs root;
	size_t used = 0;
	char line[64];
	int wrote;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		read_line(limits[i].path, line, sizeof(line));
		if (!line[0])
			continue;
		wrote = snprintf(text + used, room - used, "%s=%s\n", limits[i].key, line);
		if (wrote > 0 && (size_t)wrote < room - used)
			used += (size_t)wrote;
	}
	wrote = snprintf(text + used, room - used, "%sroot=%s\nuid=%u\n",
			 in_gvisor() ? "kernel=gVisor\n" : "",
			 statvfs("/", &root) == 0 && root.f_flag & ST_RDONLY ? "ro" : "rw",
			 (unsigned int)getuid());
	return used + (wrote > 0 && (size_t)wrote < room - used ? (size_t)wrote : 0);
}
