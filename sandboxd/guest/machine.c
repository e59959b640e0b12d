#define _GNU_SOURCE
#include "machine.h"

#include "child.h"
#include "guest.h"
#include "init.h"
#include "shown.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* It lies where a child's work folder will cover it. */
#define SHOWN WORK_FOLDER
#define SIZE "size=1m,nr_inodes=64,mode=0755"

enum {
	MOST_NAMES = 128, /* in /proc */
	NAME_ROOM = 32,
	PERIOD_US = 100000,   /* of a CPU quota, unless it tells its own */
};

static struct {
	int folder; /* the files, by a way that can be written to; what children see cannot */
	int cpu, memory; /* the container's limits, as its cgroup tells them */
	int uptime;
	struct limits real; /* what the machine has */
	struct limits limits;
	size_t count;
	struct {
		char name[NAME_ROOM];
		const char *instead;
	} covered[MOST_NAMES];
} machine;

/* --- the limits --- */

int open_either(const char *second, const char *first)
{
	int fd = open(second, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? open(first, O_RDONLY | O_CLOEXEC) : fd;
}

/* A limit that is none is a word, or larger than the machine. */
static uint64_t read_limit(int fd, uint64_t most, uint64_t *period)
{
	char text[64];
	ssize_t count = pread(fd, text, sizeof(text) - 1, 0);
	char *end;
	unsigned long long value;

	text[count < 0 ? 0 : count] = '\0';
	value = strtoull(text, &end, 10);
	if (end == text || value == 0)
		return most;
	if (period && *end == ' ')
		*period = strtoull(end, NULL, 10);
	return value < most ? value : most;
}

static struct limits read_limits(void)
{
	uint64_t period = PERIOD_US;
	uint64_t quota = read_limit(machine.cpu, INT64_MAX, &period);
	uint64_t cpus = period ? quota / period + (quota % period > 0) : 1;
	const struct limits *real = &machine.real;

	return (struct limits){
		.cpus = cpus < (uint64_t)real->cpus ? (long)cpus : real->cpus,
		.memory_kib = read_limit(machine.memory, real->memory_kib * 1024, NULL) / 1024,
	};
}

void machine_follow_limits(void)
{
	struct limits now = read_limits();

	if (now.cpus == machine.limits.cpus && now.memory_kib == machine.limits.memory_kib)
		return;
	machine.limits = now;
	if (shown_write(machine.folder, &machine.limits) < 0)
		fatal("show the limits: %s", strerror(errno));
}

void machine_tell_time(void)
{
	if (shown_write_time(machine.uptime) < 0)
		fatal("show the time: %s", strerror(errno));
}

/* --- in the guest's mount namespace --- */

/* What is the kernel's, or the kind of machine's, or the namespace's own. Each name that is
 * covered costs a child 10 us; what tells of this machine, or of what it does, is. */
static bool is_harmless(const char *name)
{
	static const char *const harmless[] = {
		"cgroups", "config.gz",	  "consoles",	 "crypto", "devices", "dma",	"driver",
		"execdomains", "filesystems", "iomem", "ioports", "key-users", "misc", "mtrr",
		"sysvipc", "tty", "version"};

	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (!strcmp(name, harmless[i]))
			return true;
	return false;
}

/* All that the program could read there and that is not its own processes'. */
static int find_covered(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (errno = 0, entry = readdir(proc))) {
		struct stat status;

		if ((entry->d_name[0] >= '0' && entry->d_name[0] <= '9') ||
		    entry->d_name[0] == '.' || is_harmless(entry->d_name) ||
		    fstatat(dirfd(proc), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
		    S_ISLNK(status.st_mode) || !(status.st_mode & S_IROTH))
			continue;
		if (machine.count == MOST_NAMES || strlen(entry->d_name) >= NAME_ROOM) {
			errno = E2BIG;
			break;
		}
		strcpy(machine.covered[machine.count].name, entry->d_name);
		machine.covered[machine.count++].instead =
			shown_for(entry->d_name, S_ISDIR(status.st_mode));
	}
	int saved = errno;
	if (proc)
		closedir(proc);
	errno = saved;
	return errno ? -1 : 0;
}

static int lay_out(void)
{
	const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount("tmpfs", SHOWN, "tmpfs", safe, SIZE) < 0)
		return -1;
	machine.folder = open(SHOWN, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (machine.folder < 0)
		return -1;
	if (shown_make_folders(machine.folder) < 0 ||
	    shown_write(machine.folder, &machine.limits) < 0)
		return -1;
	machine.uptime = openat(machine.folder, "proc/uptime", O_WRONLY | O_CLOEXEC);
	if (machine.uptime < 0)
		return -1;
	/* On top of itself, for reading alone. */
	if (mount(SHOWN, SHOWN, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, SHOWN, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | safe, NULL) < 0)
		return -1;
	return mount("/proc" UUID, SHOWN "/proc" UUID, NULL, MS_BIND, NULL);
}

int machine_prepare(bool share_net)
{
	machine.cpu = open_either("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
	machine.memory = open_either("/sys/fs/cgroup/memory.max",
				     "/sys/fs/cgroup/memory/memory.limit_in_bytes");
	machine.real = (struct limits){
		.cpus = sysconf(_SC_NPROCESSORS_ONLN),
		.memory_kib = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			      (uint64_t)sysconf(_SC_PAGESIZE) / 1024,
	};
	machine.limits = read_limits();
	/* What is mounted from here on is the guest's and its children's alone. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && find_covered() == 0 &&
	    lay_out() == 0 &&
	    (share_net || mount(SHOWN "/hosts", "/etc/hosts", NULL, MS_BIND, NULL) == 0))
		return 0;
	int saved = errno;
	machine_withdraw();
	errno = saved;
	return -1;
}

void machine_withdraw(void)
{
	/* What the container itself has mounted there stays: it is locked. */
	while (umount2(SHOWN, MNT_DETACH) == 0)
		;
}

/* --- in a child --- */

void machine_show(int control, const char *root)
{
	char source[PATH_MAX], target[PATH_MAX];

	for (size_t i = 0; i < machine.count; i++) {
		snprintf(source, sizeof(source), SHOWN "/%s", machine.covered[i].instead);
		snprintf(target, sizeof(target), "%s/proc/%s", root, machine.covered[i].name);
		must_mount(control, source, target, NULL, MS_BIND | MS_REC, NULL);
	}
	snprintf(target, sizeof(target), "%s/sys", root);
	must_mount(control, SHOWN "/sys", target, NULL, MS_BIND, NULL);
}
