/* Ends, or does not, in a way that is hard to see or to bring about: "endings HOW [NUMBER]". */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BURNERS = 90, ORPHANS = 1000, STATUS = 5 };

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(1);
}

/* Every signal that can be, after which it goes on. */
static int ignore(int number)
{
	(void)number;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_IGN);
	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			raise(i);
	say("ignored\n");
	while (pause())
		;
	return STATUS;
}

static int stop(int number)
{
	(void)number;
	say("before\n");
	raise(SIGSTOP);
	say("after\n");
	return 0;
}

static int kill_all(int number)
{
	if (fork() == 0)
		for (;;)
			pause();
	kill(-1, number);
	waitpid(-1, NULL, 0);
	say("alone\n");
	return STATUS;
}

static int kill_parent(int number)
{
	kill(getppid(), number);
	while (pause())
		;
	return STATUS;
}

/* All that its pid namespace's init can be sent. */
static int kill_init(int number)
{
	(void)number;
	for (int i = 0; i < NSIG; i++) {
		kill(1, i);
		sigqueue(1, i, (union sigval){.sival_int = 1});
		syscall(SYS_tgkill, 1, 1, i);
	}
	say("sent\n");
	return STATUS;
}

static int close_all(int number)
{
	close_range(0, ~0U, 0);
	for (volatile int i = 0; i < number; i++)
		;
	return STATUS;
}

/* A grandchild in a session of its own, which keeps the pipes. */
static int daemonise(int number)
{
	say("parent\n");
	if (fork() == 0) {
		setsid();
		if (fork() == 0)
			for (;;)
				sleep((unsigned int)number);
		_exit(0);
	}
	wait(NULL);
	return STATUS;
}

/* A child that speaks once its parent is gone. */
static int late(int number)
{
	pid_t parent = getpid();

	(void)number;
	say("early\n");
	if (fork() == 0) {
		while (getppid() == parent)
			sched_yield();
		for (;;)
			say("late\n");
	}
	return STATUS;
}

static int burn(int number)
{
	(void)number;
	for (int i = 0; i < BURNERS; i++)
		if (fork() == 0)
			for (;;)
				;
	return STATUS;
}

static int orphans(int number)
{
	(void)number;
	for (int i = 0; i < ORPHANS; i++) {
		pid_t child = fork();

		if (child == 0 && fork() >= 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return STATUS;
}

/* Its parent waits in the kernel until it execs or ends. */
static int hold_parent(int number)
{
	say("before\n");
	if (vfork() == 0)
		for (;;)
			sleep((unsigned int)number);
	say("after\n");
	return 0;
}

static int exit_with(int number)
{
	exit(number);
}

static int raise_it(int number)
{
	signal(number, SIG_DFL);
	raise(number);
	return STATUS;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*end)(int);
	} all[] = {
		{"ignore", ignore},	  {"stop", stop},	  {"kill-all", kill_all},
		{"kill-parent", kill_parent}, {"kill-init", kill_init}, {"close", close_all},
		{"daemonise", daemonise}, {"late", late},	  {"burn", burn},
		{"orphans", orphans},	  {"vfork", hold_parent}, {"exit", exit_with},
		{"raise", raise_it},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc > 1 && !strcmp(argv[1], all[i].name))
			return all[i].end(argc > 2 ? atoi(argv[2]) : 0);
	return 2;
}
