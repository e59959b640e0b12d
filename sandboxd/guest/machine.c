#define _GNU_SOURCE
#include "machine.h"

#include "child.h"
#include "guest.h"
#include "init.h"

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
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* It lies where a child's work folder will cover it. */
#define SHOWN WORK_FOLDER
#define UUID "/sys/kernel/random/uuid"
#define UPTIME "%lld.%02ld 0.00\n"
#define SIZE "size=1m,nr_inodes=64,mode=0755"

enum {
	MOST_NAMES = 128, /* in /proc */
	NAME_ROOM = 32,
	CPUINFO_ROOM = 16384, /* of one processor */
	PERIOD_US = 100000,   /* of a CPU quota, unless it tells its own */
};

struct limits {
	long cpus;
	uint64_t memory_kib;
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

/* --- what the files say --- */

static void write_processor(FILE *out, char *text, long number, long cpus)
{
	static const struct {
		const char *field;
		bool own; /* each processor's, or the same for all */
	} counted[] = {{"processor", true},	 {"core id", true},   {"apicid", true},
		       {"initial apicid", true}, {"siblings", false}, {"cpu cores", false}};

	for (char *line = text; *line;) {
		size_t length = strcspn(line, "\n");
		size_t name = strcspn(line, "\t:\n");
		long value = -1;

		for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
			if (strlen(counted[i].field) == name &&
			    !strncmp(line, counted[i].field, name))
				value = counted[i].own ? number : cpus;
		if (value >= 0)
			fprintf(out, "%.*s\t: %ld\n", (int)name, line, value);
		else
			fprintf(out, "%.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
	fputc('\n', out);
}

/* The kind of processor is no secret, any program can ask it; how many there are is. */
static void write_cpuinfo(FILE *out, const struct limits *limits)
{
	static char text[CPUINFO_ROOM];
	FILE *real = fopen("/proc/cpuinfo", "re");
	size_t count = real ? fread(text, 1, sizeof(text) - 1, real) : 0;
	char *end;

	if (real)
		fclose(real);
	text[count] = '\0';
	end = strstr(text, "\n\n");
	if (end)
		end[1] = '\0';
	for (long i = 0; i < limits->cpus; i++)
		write_processor(out, text, i, limits->cpus);
}

static void write_meminfo(FILE *out, const struct limits *limits)
{
	static const char *const all[] = {"MemTotal", "MemFree", "MemAvailable"};
	static const char *const none[] = {
		"Buffers",   "Cached", "SwapCached",   "Active", "Inactive",	 "SwapTotal",
		"SwapFree",  "Dirty",  "Writeback",    "AnonPages", "Mapped",	 "Shmem",
		"KReclaimable", "Slab", "SReclaimable", "SUnreclaim", "Committed_AS"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fprintf(out, "%s: %12llu kB\n", all[i], (unsigned long long)limits->memory_kib);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		fprintf(out, "%s: %12d kB\n", none[i], 0);
}

static struct timespec since_boot(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail for this clock */
	return now;
}

static void write_stat(FILE *out, const struct limits *limits)
{
	struct timespec up = since_boot();
	long long idle = up.tv_sec * sysconf(_SC_CLK_TCK);

	fprintf(out, "cpu  0 0 0 %lld 0 0 0 0 0 0\n", idle * limits->cpus);
	for (long i = 0; i < limits->cpus; i++)
		fprintf(out, "cpu%ld 0 0 0 %lld 0 0 0 0 0 0\n", i, idle);
	fprintf(out, "intr 0\nctxt 0\nbtime %lld\nprocesses 0\nprocs_running 1\nprocs_blocked 0\n",
		(long long)time(NULL) - up.tv_sec);
}

/* The clocks tell it as well, and `ps` counts from it. */
static void write_uptime(FILE *out, const struct limits *limits)
{
	struct timespec up = since_boot();

	(void)limits;
	fprintf(out, UPTIME, (long long)up.tv_sec, up.tv_nsec / 10000000);
}

static void write_loadavg(FILE *out, const struct limits *limits)
{
	(void)limits;
	fputs("0.00 0.00 0.00 1/1 1\n", out);
}

static void write_vmstat(FILE *out, const struct limits *limits)
{
	(void)limits;
	fputs("pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\noom_kill 0\n", out);
}

static void write_swaps(FILE *out, const struct limits *limits)
{
	(void)limits;
	fputs("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", out);
}

static void write_processors(FILE *out, const struct limits *limits)
{
	if (limits->cpus > 1)
		fprintf(out, "0-%ld\n", limits->cpus - 1);
	else
		fputs("0\n", out);
}

static void write_kernel(FILE *out, const struct limits *limits)
{
	struct utsname name;

	(void)limits;
	if (uname(&name) == 0)
		fprintf(out, "%s\n", name.release);
}

static void write_host(FILE *out, const struct limits *limits)
{
	struct utsname name;

	(void)limits;
	if (uname(&name) == 0)
		fprintf(out, "%s\n", name.nodename);
}

/* Names of IPv6 of their own: who asks for localhost gets the address that everybody
 * listens at. */
static void write_hosts(FILE *out, const struct limits *limits)
{
	fputs("127.0.0.1\tlocalhost\n::1\tip6-localhost ip6-loopback\n127.0.1.1\t", out);
	write_host(out, limits);
}

static void write_nothing(FILE *out, const struct limits *limits)
{
	(void)out;
	(void)limits;
}

static const char *const folders[] = {
	"empty",	"proc",		"proc/sys",	   "proc/sys/kernel", "proc/sys/kernel/random",
	"sys",		"sys/devices",	"sys/devices/system", "sys/devices/system/cpu",
};

static const struct {
	const char *path;
	void (*write)(FILE *out, const struct limits *limits);
} files[] = {
	{"nothing", write_nothing},
	{"hosts", write_hosts},
	{"proc/cpuinfo", write_cpuinfo},
	{"proc/meminfo", write_meminfo},
	{"proc/stat", write_stat},
	{"proc/uptime", write_uptime},
	{"proc/loadavg", write_loadavg},
	{"proc/vmstat", write_vmstat},
	{"proc/swaps", write_swaps},
	{"proc/sys/kernel/hostname", write_host},
	{"proc/sys/kernel/osrelease", write_kernel},
	{"proc" UUID, write_nothing}, /* the kernel's own is mounted there */
	{"sys/devices/system/cpu/online", write_processors},
	{"sys/devices/system/cpu/possible", write_processors},
	{"sys/devices/system/cpu/present", write_processors},
};

static int write_one(size_t index)
{
	int fd = openat(machine.folder, files[index].path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0444);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out) {
		close_fd(&fd);
		return -1;
	}
	files[index].write(out, &machine.limits);
	return fclose(out) == 0 ? 0 : -1;
}

static int write_all(void)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (write_one(i) < 0)
			return -1;
	return 0;
}

/* --- the limits --- */

static int open_either(const char *second, const char *first)
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
	if (write_all() < 0)
		fatal("show the limits: %s", strerror(errno));
}

/* Written over, never emptied: the program may be reading. */
void machine_tell_time(void)
{
	char text[64];
	struct timespec up = since_boot();
	int length = snprintf(text, sizeof(text), UPTIME, (long long)up.tv_sec,
			      up.tv_nsec / 10000000);

	if (pwrite(machine.uptime, text, (size_t)length, 0) != length)
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

static const char *shown_instead(const char *name, bool folder)
{
	static char paths[sizeof(files) / sizeof(files[0])][64];

	if (!strcmp(name, "sys"))
		return SHOWN "/proc/sys";
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!strncmp(files[i].path, "proc/", 5) && !strcmp(files[i].path + 5, name)) {
			snprintf(paths[i], sizeof(paths[i]), SHOWN "/%s", files[i].path);
			return paths[i];
		}
	return folder ? SHOWN "/empty" : SHOWN "/nothing";
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
			shown_instead(entry->d_name, S_ISDIR(status.st_mode));
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
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mkdirat(machine.folder, folders[i], 0755) < 0)
			return -1;
	if (write_all() < 0)
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
	char target[PATH_MAX];

	for (size_t i = 0; i < machine.count; i++) {
		snprintf(target, sizeof(target), "%s/proc/%s", root, machine.covered[i].name);
		must_mount(control, machine.covered[i].instead, target, NULL, MS_BIND | MS_REC, NULL);
	}
	snprintf(target, sizeof(target), "%s/sys", root);
	must_mount(control, SHOWN "/sys", target, NULL, MS_BIND, NULL);
}
