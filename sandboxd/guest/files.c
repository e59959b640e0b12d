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
	MOST_DEPTH = 256,     /* each takes a descriptor and 32 KiB */
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

/* The folder that a path's last name is in, made if need be, and that name; -1 with
 * errno set. It is the work folder itself or a descriptor of its own. */
static int open_parent(int work, const char *path, const char **name)
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
	*name = path;
	return folder;
}

/* Makes the file what was asked for, before anything is written to it. */
static int set_up(int file, const struct put *put)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return -1;
	if (!S_ISREG(status.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	if ((put->flags & PUT_MODE) && fchmod(file, put->mode) < 0)
		return -1;
	return (put->flags & PUT_AT) && lseek(file, (off_t)put->offset, SEEK_SET) < 0 ? -1 : 0;
}

int files_create(int work, const char *path, const struct put *put)
{
	/* A fifo in its place would block; a file of ours never does. */
	int flags = O_WRONLY | O_CREAT | O_NONBLOCK | (put->flags & PUT_AT ? 0 : O_TRUNC);
	const char *name;
	int folder, file;

	/* Neither setuid nor setgid nor sticky. */
	if (put->mode & ~(S_IRWXU | S_IRWXG | S_IRWXO)) {
		errno = EINVAL;
		return -1;
	}
	folder = open_parent(work, path, &name);
	if (folder < 0 || (folder != work && *name == '\0'))
		return folder; /* nothing can be written to it */
	file = open_beneath(folder, name, flags, 0644);
	int saved = errno;

	if (folder != work)
		close_fd(&folder);
	if (file >= 0 && set_up(file, put) < 0) {
		saved = errno;
		close_fd(&file);
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

/* A listing under way: where it is, and what it may still have. */
struct listing {
	FILE *out;
	const char *leave_out;
	int entries;
	long bytes;
	size_t used;
	char path[(MOST_DEPTH + 1) * (NAME_MAX + 1)];
};

static void tell(struct listing *listing, const struct stat *status, int error)
{
	static const char letters[] = "?pc?d?b?f?l?s???"; /* by S_IFMT >> 12 */

	if (listing->entries-- == 0)
		exit(E2BIG);
	listing->bytes -= fprintf(listing->out, "%c %lld %o %d %s",
				  letters[(status->st_mode & S_IFMT) >> 12],
				  (long long)status->st_size, status->st_mode & 0777, error,
				  listing->path);
	if (listing->bytes < 0)
		exit(E2BIG);
	fputc('\0', listing->out);
}

static void list_folder(struct listing *listing, int folder, int depth);

static void list_entry(struct listing *listing, int folder, const char *name, int depth)
{
	struct stat status = {0};
	int error = 0, below = -1;

	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return; /* gone meanwhile */
		error = errno;
	} else if (S_ISDIR(status.st_mode) && depth == MOST_DEPTH) {
		error = E2BIG;
	} else if (S_ISDIR(status.st_mode)) {
		below = open_beneath(folder, name, O_RDONLY | O_DIRECTORY, 0);
		error = below < 0 ? errno : 0; /* unreadable, or swapped for something else */
	}
	tell(listing, &status, error);
	if (below >= 0) {
		listing->path[listing->used++] = '/';
		list_folder(listing, below, depth + 1);
	}
}

static void list_folder(struct listing *listing, int folder, int depth)
{
	DIR *directory = fdopendir(folder);
	size_t used = listing->used;
	struct dirent *entry;

	if (!directory)
		exit(errno);
	while ((errno = 0, entry = readdir(directory))) {
		const char *name = entry->d_name;
		size_t length = strlen(name);

		if (!strcmp(name, ".") || !strcmp(name, "..") ||
		    (depth == 0 && !strcmp(name, listing->leave_out)))
			continue;
		if (used + length + 1 >= sizeof(listing->path))
			exit(ENAMETOOLONG);
		memcpy(listing->path + used, name, length + 1);
		listing->used = used + length;
		list_entry(listing, dirfd(directory), name, depth);
	}
	if (errno)
		exit(errno);
	closedir(directory);
}

static _Noreturn void list(int work, int pipe, const char *leave_out)
{
	static struct listing listing = {.entries = MOST_ENTRIES, .bytes = MOST_BYTES};
	int folder = open_beneath(work, ".", O_RDONLY | O_DIRECTORY, 0);

	listing.leave_out = leave_out;
	listing.out = fdopen(pipe, "w");
	if (!listing.out || folder < 0)
		exit(errno);
	list_folder(&listing, folder, 0);
	exit(fclose(listing.out) == 0 ? 0 : errno);
}

static _Noreturn void send(int work, int pipe, const char *path, const struct range *range)
{
	static uint8_t bytes[CHUNK];
	struct stat status;
	uint64_t left = range->length;
	ssize_t count = 0;
	int file = open_beneath(work, path, O_RDONLY | O_NONBLOCK, 0);

	if (file < 0 || fstat(file, &status) < 0)
		exit(errno);
	if (!S_ISREG(status.st_mode))
		exit(EINVAL);
	if (lseek(file, (off_t)range->offset, SEEK_SET) < 0)
		exit(errno);
	while (left > 0 &&
	       (count = read(file, bytes, left < sizeof(bytes) ? left : sizeof(bytes))) > 0) {
		for (ssize_t done = 0, step; done < count; done += step)
			if ((step = write(pipe, bytes + done, (size_t)(count - done))) < 0)
				exit(errno);
		left -= (uint64_t)count;
	}
	exit(count < 0 ? errno : 0);
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

int files_read(struct helper *helper, int work, const char *path, const struct range *range)
{
	int pipe = -1;
	int result = start(helper, &pipe);

	if (pipe >= 0)
		send(work, pipe, path, range);
	return result;
}
