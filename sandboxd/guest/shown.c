/* What the files say that stand in the place of the machine's own. */
#define _GNU_SOURCE
#include "shown.h"

#include "child.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define UPTIME "%lld.%02ld 0.00\n"

enum {
	CPUINFO_ROOM = 16384, /* of one processor */
	LINE_ROOM = 64,
};

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

/* What the kernel says, if anything; nothing is covered where the guest is. */
static void read_line(const char *path, char line[LINE_ROOM])
{
	char source[LINE_ROOM];
	FILE *real;

	snprintf(source, sizeof(source), "/%s", path);
	real = fopen(source, "re");
	if (!real || !fgets(line, LINE_ROOM, real))
		line[0] = '\0';
	if (real)
		fclose(real);
}

/* Another: the machine's own would tell that two containers are on the same one. It stays
 * the same for as long as the container is up. */
static void write_boot(FILE *out, const struct limits *limits)
{
	static char id[LINE_ROOM];

	(void)limits;
	if (!id[0])
		read_line("proc" UUID, id);
	fputs(id, out);
}

static void write_nothing(FILE *out, const struct limits *limits)
{
	(void)out;
	(void)limits;
}

static const char *const folders[] = {
	"empty",	"proc",		"proc/sys",	   "proc/sys/kernel", "proc/sys/kernel/random",
	"proc/sys/net", "proc/sys/net/core", "proc/sys/vm", "sys", "sys/devices",
	"sys/devices/system", "sys/devices/system/cpu",
};

static const struct {
	const char *path;
	void (*write)(FILE *out, const struct limits *limits); /* NULL: as the kernel has it */
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
	{"proc/sys/kernel/osrelease", NULL},
	{"proc/sys/kernel/ostype", NULL},
	{"proc/sys/kernel/random/boot_id", write_boot},
	{"proc" UUID, write_nothing}, /* the kernel's own is mounted there */
	{"proc/sys/net/core/somaxconn", NULL},
	{"proc/sys/vm/overcommit_memory", NULL},
	{"sys/devices/system/cpu/online", write_processors},
	{"sys/devices/system/cpu/possible", write_processors},
	{"sys/devices/system/cpu/present", write_processors},
};

static int write_one(int folder, size_t index, const struct limits *limits)
{
	const char *path = files[index].path;
	char line[LINE_ROOM];
	int fd = openat(folder, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out) {
		close_fd(&fd);
		return -1;
	}
	if (files[index].write) {
		files[index].write(out, limits);
	} else {
		read_line(path, line);
		fputs(line, out);
	}
	return fclose(out) == 0 ? 0 : -1;
}

int shown_make_folders(int folder)
{
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mkdirat(folder, folders[i], 0755) < 0)
			return -1;
	return 0;
}

int shown_write(int folder, const struct limits *limits)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (write_one(folder, i, limits) < 0)
			return -1;
	return 0;
}

int shown_write_time(int file)
{
	char text[64];
	struct timespec up = since_boot();
	int length = snprintf(text, sizeof(text), UPTIME, (long long)up.tv_sec,
			      up.tv_nsec / 10000000);

	return pwrite(file, text, (size_t)length, 0) == length ? 0 : -1;
}

const char *shown_for(const char *name, bool folder)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!strncmp(files[i].path, "proc/", 5) && !strcmp(files[i].path + 5, name))
			return files[i].path;
	if (!strcmp(name, "sys"))
		return "proc/sys";
	return folder ? "empty" : "nothing";
}
