#define _GNU_SOURCE
#include "files.h"

#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	MOST_ENTRIES = 100000,
	MOST_BYTES = 8388608, /* of a listing: the daemon takes all of it at once */
	MOST_DEPTH = 64,
	CHUNK = 65536,
};

/* For a kernel without openat2, as gVisor's: one name after the other, none of them a
 * link or upwards. */
static int open_by_names(int folder, const char *path, int flags, mode_t mode)
{
	char name[NAME_MAX + 1];
	size_t length = strcspn(path, "/");

	if (length > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, path, length);
	name[length] = '\0';
	if (length == 0 || !strcmp(name, "..")) {
		errno = EXDEV;
		return -1;
	}
	if (path[length] == '\0')
		return openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	int below = openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int file = below < 0 ? -1 : open_by_names(below, path + length + 1, flags, mode);
	int saved = errno;

	close_fd(&below);
	errno = saved;
	return file;
}

static int open_beneath(int folder, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned int)(flags | O_NOFOLLOW | O_CLOEXEC),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	int file = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));

	return file < 0 && errno == ENOSYS ? open_by_names(folder, path, flags, mode) : file;
}

int files_create(int work, const char *path)
{
	char step[NAME_MAX + 1];
	int folder = work;

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		size_t length = (size_t)(slash - path);
		int next = -1;

		if (length == 0 || length > NAME_MAX) {
			errno = length == 0 ? EINVAL : ENAMETOOLONG;
		} else {
			memcpy(step, path, length);
			step[length] = '\0';
			if (mkdirat(folder, step, 0755) == 0 || errno == EEXIST)
				next = open_beneath(folder, step, O_PATH | O_DIRECTORY, 0);
		}
		int saved = errno;
		if (folder != work)
			close_fd(&folder);
		errno = saved;
		folder = next;
		if (folder < 0)
			return -1;
	}
	/* A fifo in its place would block; a file of ours never does. */
	int file = open_beneath(folder, path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0644);
	int saved = errno;
	struct stat status;

	if (folder != work)
		close_fd(&folder);
	if (file >= 0 && (fstat(file, &status) < 0 || !S_ISREG(status.st_mode))) {
		close_fd(&file);
		saved = EEXIST;
	}
	errno = saved;
	return file;
}

/* The program may replace it at any moment: both must be of the same one. */
int files_fifo(int work, const char *name, int flags, int *held)
{
	struct stat both, one;
	int end = -1;

	*held = -1;
	if (mkfifoat(work, name, 0600) < 0)
		return -1;
	*held = open_beneath(work, name, O_RDWR | O_NONBLOCK, 0);
	if (*held >= 0)
		end = open_beneath(work, name, flags | O_NONBLOCK, 0);
	if (end >= 0 && fstat(*held, &both) == 0 && fstat(end, &one) == 0 &&
	    S_ISFIFO(both.st_mode) && both.st_dev == one.st_dev && both.st_ino == one.st_ino)
		return end;
	files_remove(work, name);
	close_fd(&end);
	close_fd(held);
	errno = EEXIST;
	return -1;
}

void files_remove(int work, const char *name)
{
	unlinkat(work, name, 0); /* the program may have been first */
}

/* --- in the helper --- */

/* What a listing may still have. */
struct left {
	int entries;
	long bytes;
};

static void list_folder(FILE *out, int folder, const char *path, const char *leave_out, int depth,
			struct left *left)
{
	static const char letters[] = "?pc?d?b?f?l?s???"; /* by S_IFMT >> 12 */
	DIR *directory = fdopendir(folder);
	struct dirent *entry;

	if (!directory)
		exit(errno);
	while ((errno = 0, entry = readdir(directory))) {
		const char *name = entry->d_name;
		char below[PATH_MAX];
		struct stat status;

		if (!strcmp(name, ".") || !strcmp(name, "..") ||
		    (depth == 0 && !strcmp(name, leave_out)))
			continue;
		if (left->entries-- == 0)
			exit(E2BIG);
		if (snprintf(below, sizeof(below), "%s%s", path, name) >= (int)sizeof(below) - 1 ||
		    fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile, or nothing that can be named */
		left->bytes -= fprintf(out, "%c %lld %s", letters[(status.st_mode & S_IFMT) >> 12],
				       (long long)status.st_size, below);
		if (left->bytes < 0)
			exit(E2BIG);
		fputc('\0', out);
		if (S_ISDIR(status.st_mode) && depth < MOST_DEPTH) {
			int next = open_beneath(dirfd(directory), name, O_RDONLY | O_DIRECTORY, 0);

			if (next < 0)
				continue; /* unreadable, or swapped for something else */
			strcat(below, "/");
			list_folder(out, next, below, leave_out, depth + 1, left);
		}
	}
	if (errno)
		exit(errno);
	closedir(directory);
}

static _Noreturn void list(int work, int pipe, const char *leave_out)
{
	struct left left = {MOST_ENTRIES, MOST_BYTES};
	FILE *out = fdopen(pipe, "w");
	int folder = open_beneath(work, ".", O_RDONLY | O_DIRECTORY, 0);

	if (!out || folder < 0)
		exit(errno);
	list_folder(out, folder, "", leave_out, 0, &left);
	exit(fclose(out) == 0 ? 0 : errno);
}

static _Noreturn void send(int work, int pipe, const char *path)
{
	static uint8_t bytes[CHUNK];
	struct stat status;
	ssize_t count;
	int file = open_beneath(work, path, O_RDONLY | O_NONBLOCK, 0);

	if (file < 0 || fstat(file, &status) < 0)
		exit(errno);
	if (!S_ISREG(status.st_mode))
		exit(EINVAL);
	while ((count = read(file, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, step; done < count; done += step)
			if ((step = write(pipe, bytes + done, (size_t)(count - done))) < 0)
				exit(errno);
	exit(count == 0 ? 0 : errno);
}

/* --- in the guest --- */

static int start(struct helper *helper, int *pipe_end)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	helper->pid = fork();
	if (helper->pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
			exit(errno);
		*pipe_end = fds[1];
		return 0;
	}
	helper->pipe = fds[0];
	helper->reaped = false;
	close_fd(&fds[1]);
	if (helper->pid < 0 || fcntl(helper->pipe, F_SETFL, O_NONBLOCK) < 0) {
		close_fd(&helper->pipe);
		return -1;
	}
	return 0;
}

int files_list(struct helper *helper, int work, const char *leave_out)
{
	int pipe = -1;
	int result = start(helper, &pipe);

	if (pipe >= 0)
		list(work, pipe, leave_out);
	return result;
}

int files_read(struct helper *helper, int work, const char *path)
{
	int pipe = -1;
	int result = start(helper, &pipe);

	if (pipe >= 0)
		send(work, pipe, path);
	return result;
}
