/* A root file system that the program can write to, for those that ask for it.
 *
 * Each folder of the container's root gets an overlay, with its upper side on the
 * tmpfs that all writing goes to. The image's files belong to a user that does not
 * exist in the program's namespace, which could not even add to a folder: so every
 * folder is made anew in the upper side, the program's own. It can add, replace
 * and remove what it likes, and nothing of that outlives its namespaces.
 *
 * Where the engine has mounted something of its own (into /etc) the kernel allows
 * no overlay, which might show what lies under it; that folder is copied. */
#define _GNU_SOURCE
#include "child.h"
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UPPER "/tmp/upper"
#define SCRATCH "/tmp/scratch"

enum { OPEN_FOLDERS = 32 };

static const char *copy_to; /* nftw hands nothing to what it calls */

static int joined(char path[PATH_MAX], const char *first, const char *second)
{
	if (snprintf(path, PATH_MAX, "%s%s", first, second) < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

static int copy_folder(const char *path, const struct stat *status)
{
	char copy[PATH_MAX];

	if (joined(copy, copy_to, path) < 0)
		return -1;
	/* Its own folder must let the program in, whatever the image's did. */
	return mkdir(copy, (status->st_mode & 07777) | 0700);
}

static bool may_be_folder(const struct dirent *entry)
{
	return (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
	       strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

/* The folders of one file system. What is none is told by the folder that holds it: to ask
 * each of an image's files would take longer than all else here. */
static int copy_folders(const char *path, dev_t device)
{
	char below[PATH_MAX];
	struct stat status;
	struct dirent *entry;
	int result = lstat(path, &status);
	DIR *folder;

	if (result < 0 || !S_ISDIR(status.st_mode) || status.st_dev != device)
		return result;
	folder = opendir(path);
	if (!folder)
		return errno == EACCES ? 0 : -1; /* the program could not read it either */
	result = copy_folder(path, &status);
	while (result == 0 && (errno = 0, entry = readdir(folder))) {
		int length = snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);

		if (!may_be_folder(entry))
			continue;
		errno = ENAMETOOLONG;
		result = length < (int)sizeof(below) ? copy_folders(below, device) : -1;
	}
	if (errno)
		result = -1;
	int saved = errno;
	closedir(folder);
	errno = saved;
	return result;
}

static int copy_link(const char *path, const char *copy)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0)
		return -1;
	target[length] = '\0';
	return symlink(target, copy);
}

static int copy_file(const char *path, const char *copy, const struct stat *status)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = -1;
	ssize_t count = 0;

	if (from < 0)
		return errno == EACCES ? 0 : -1; /* the program could not read it either */
	to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, status->st_mode & 0777);
	if (to >= 0)
		while ((count = sendfile(to, from, NULL, INT_MAX)) > 0)
			;
	close_fd(&from);
	if (to < 0 || count < 0)
		return -1;
	close_fd(&to);
	return 0;
}

static int copy_anything(const char *path, const struct stat *status, int kind, struct FTW *at)
{
	char copy[PATH_MAX];

	(void)at;
	if (kind == FTW_D)
		return copy_folder(path, status);
	if (joined(copy, copy_to, path) < 0)
		return -1;
	if (kind == FTW_SL)
		return copy_link(path, copy);
	return S_ISREG(status->st_mode) ? copy_file(path, copy, status) : 0;
}

static void add_folder(int control, const char *path)
{
	char options[4 * PATH_MAX], scratch[PATH_MAX], target[PATH_MAX];
	struct stat status;

	if (joined(target, ROOT_FOLDER, path) < 0 || joined(scratch, SCRATCH, path) < 0 ||
	    lstat(path, &status) < 0)
		fail(control, path);
	copy_to = UPPER;
	if (copy_folders(path, status.st_dev) < 0)
		fail(control, path);
	make_folder(control, scratch, 0700);
	make_folder(control, target, 0755);
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=" UPPER "%s,workdir=%s,userxattr",
		 path, path, scratch);
	if (mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, options) == 0)
		return;
	if (errno != EINVAL || rmdir(target) < 0)
		fail(control, path);
	copy_to = ROOT_FOLDER;
	/* Engine's mounts of single files are crossed: their content is what counts. */
	if (nftw(path, copy_anything, OPEN_FOLDERS, FTW_PHYS) != 0)
		fail(control, path);
}

/* These get mounts of their own afterwards. */
static bool is_mount_point(const char *name)
{
	static const char *const names[] = {"dev", "proc", "sandbox", "sys", "tmp"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void add_entry(int control, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct stat status;

	if (joined(path, "/", name) < 0 || joined(target, ROOT_FOLDER, path) < 0 ||
	    lstat(path, &status) < 0)
		fail(control, name);
	if (is_mount_point(name))
		make_folder(control, target, 0755);
	else if (S_ISDIR(status.st_mode) && access(path, R_OK | X_OK) == 0)
		add_folder(control, path);
	else if (S_ISDIR(status.st_mode))
		make_folder(control, target, 0755);
	else if (S_ISLNK(status.st_mode) && copy_link(path, target) < 0)
		fail(control, path);
}

void make_writable_root(int control)
{
	struct dirent *entry;
	DIR *root;

	make_folder(control, UPPER, 0755);
	make_folder(control, SCRATCH, 0700);
	make_folder(control, ROOT_FOLDER, 0755);
	/* pivot_root wants a mount */
	must_mount(control, ROOT_FOLDER, ROOT_FOLDER, NULL, MS_BIND, NULL);
	root = opendir("/");
	if (!root)
		fail(control, "open the root");
	while ((errno = 0, entry = readdir(root)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			add_entry(control, entry->d_name);
	if (errno || closedir(root) < 0)
		fail(control, "read the root");
	must_mount(control, "/dev", ROOT_FOLDER "/dev", NULL, MS_BIND | MS_REC, NULL);
}

void change_root(int control)
{
	if (chdir(ROOT_FOLDER) < 0)
		fail(control, "chdir " ROOT_FOLDER);
	/* The old root is stacked on the new one, and taken off at once. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		fail(control, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		fail(control, "leave the old root");
	if (chdir("/") < 0)
		fail(control, "chdir /");
}
