/* Takes all that there is of something: "bombs WHAT [COUNT]". With a count it takes
 * so much, and says "fits"; without one it goes on until it is stopped, or until the
 * kernel refuses, which it names. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static int process(void)
{
	pid_t child = fork();

	if (child == 0)
		pause();
	return child < 0 ? -1 : 0;
}

static int splitting(void)
{
	while (getpid())
		fork(); /* and so does each of them */
	return 0;
}

static void *idle(void *nothing)
{
	pause();
	return nothing;
}

static int thread(void)
{
	pthread_t made;

	errno = pthread_create(&made, NULL, idle, NULL);
	return errno ? -1 : 0;
}

static int touch(void *memory)
{
	if (memory == MAP_FAILED)
		return -1;
	memset(memory, 1, MIB);
	return 0;
}

static int heap(void)
{
	return touch(mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int shared(void)
{
	return touch(mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

static int memfd(void)
{
	int file = memfd_create("bomb", 0); /* each within the limit of a file's size */

	if (file < 0 || ftruncate(file, MIB) < 0)
		return -1;
	return touch(mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
}

static int segment(void)
{
	int made = shmget(IPC_PRIVATE, MIB, 0600);
	void *at = made < 0 ? MAP_FAILED : shmat(made, NULL, 0);

	return touch(at) < 0 ? -1 : shmdt(at);
}

static const struct {
	const char *name;
	int (*take)(void);
} all[] = {
	{"processes", process}, {"splitting", splitting}, {"threads", thread},
	{"heap", heap},		{"shared", shared},	  {"memfd", memfd},
	{"segments", segment},
};

int main(int argc, char **argv)
{
	long most = argc > 2 ? atol(argv[2]) : -1;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (argc < 2 || strcmp(argv[1], all[i].name))
			continue;
		for (long n = 0; n != most; n++)
			if (all[i].take() < 0) {
				puts(strerrorname_np(errno));
				return 1;
			}
		puts("fits");
		return 0;
	}
	return 2;
}
