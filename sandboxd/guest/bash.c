/* The driver of sessions in Bash: a builtin that it loads, which runs one piece of
 * code after another in the shell itself, as the script that it has begun to read.
 *
 * Where a script would end its shell (`exit`, an error under `set -e`, a variable that
 * `set -u` misses), Bash jumps to the place that it calls top level; so does it at an
 * interrupt. For each piece that place is here, and all that the shell knows stays as
 * it is. There is no line of shell in this, for a trap, a trace or a function to meet.
 *
 * What to run comes on stdin, which is moved to where no program finds it by chance: a
 * line of numbers, which are that of the run and the sizes of what follows them (the
 * name of its streams, its arguments and environment, its code). Lines of JSON on the
 * descriptor for notes tell that a run begins, and can be interrupted from here on, and
 * that it has ended.
 *
 * Everything of Bash's and of the C library's is found in the process that loads this,
 * at once: a Bash that has not all of it (before 5.1) refuses to load it, and says why. */
#define _GNU_SOURCE
#include "bash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SCRIPT "/sandbox/main.sh"

enum { NOTE = 4, PRIVATE = 240, SIZES = 3 };

/* --- the talk --- */

static int commands, notes;

static void tell(const char *line, int length)
{
	for (int sent = 0; sent < length;) {
		ssize_t count = write(notes, line + sent, (size_t)(length - sent));

		if (count < 0 && errno != EINTR)
			exit_shell(EXIT_FAILURE);
		sent += count < 0 ? 0 : (int)count;
	}
}

static void tell_begin(size_t run)
{
	char line[64];

	tell(line, snprintf(line, sizeof(line), "{\"run\":%zu}\n", run));
}

static void tell_end(size_t run, int status)
{
	struct rusage own, children;
	char line[160];
	long seconds, micros, peak;

	if (getrusage(RUSAGE_SELF, &own) < 0 || getrusage(RUSAGE_CHILDREN, &children) < 0)
		exit_shell(EXIT_FAILURE);
	seconds = own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
		  children.ru_stime.tv_sec;
	micros = own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
		 children.ru_stime.tv_usec;
	peak = own.ru_maxrss > children.ru_maxrss ? own.ru_maxrss : children.ru_maxrss;
	tell(line, snprintf(line, sizeof(line),
			    "{\"run\":%zu,\"exit_code\":%d,\"cpu\":%ld.%06ld,\"memory\":%ld}\n", run,
			    status & 255, seconds + micros / 1000000, micros % 1000000,
			    peak * 1024));
}

/* False at the end of what there is to run. */
static bool read_all(char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t count = read(commands, bytes, length);

		if (count < 0 && errno == EINTR)
			continue; /* a trap of the program's runs with its next command */
		if (count <= 0)
			return false;
		bytes += count;
		length -= (size_t)count;
	}
	return true;
}

static bool read_header(size_t numbers[], size_t count)
{
	char byte;

	for (size_t i = 0; i < count; i++) {
		numbers[i] = 0;
		while (read_all(&byte, 1) && byte >= '0' && byte <= '9')
			numbers[i] = numbers[i] * 10 + (size_t)(byte - '0');
		if (byte != (i + 1 < count ? ' ' : '\n'))
			return false;
	}
	return true;
}

/* With a NUL behind it, as text has. */
static char *read_text(size_t length)
{
	char *text = malloc(length + 1);

	if (!text || !read_all(text, length))
		exit_shell(EXIT_FAILURE);
	text[length] = '\0';
	return text;
}

/* --- what a piece is given --- */

/* Where they could not be made those of the last one go on. */
static void open_streams(const char *name)
{
	static const int flags[] = {O_RDONLY, O_WRONLY, O_WRONLY};
	char path[PATH_MAX];

	for (int number = 0; number < 3; number++) {
		int fd;

		snprintf(path, sizeof(path), "%s.%d", name, number);
		fd = open(path, flags[number]);
		if (fd < 0)
			continue;
		/* Where a piece has closed its own, this one is that number already. */
		if ((fd != number && (dup2(fd, number) < 0 || close(fd) < 0)) ||
		    (unlink(path) < 0 && errno != ENOENT))
			exit_shell(EXIT_FAILURE);
	}
}

/* Fields that a NUL ends each: how many arguments there are, these, and NAME=VALUE. */
static void set_arguments(const char *fields, const char *end)
{
	WORD_LIST *list = NULL, *reversed = NULL;
	size_t count = (size_t)atol(fields);
	const char *field = fields + strlen(fields) + 1;
	const char *first = field;

	for (size_t i = 0; i < count; i++)
		field += strlen(field) + 1;
	for (const char *variable = field; variable < end; variable += strlen(variable) + 1)
		reversed = make_word_list(make_word(variable), reversed);
	if (reversed)
		export_builtin(reversed);
	dispose_words(reversed);
	/* A list is made from its end. */
	for (const char *last = field; last > first;) {
		last--;
		while (last > first && last[-1] != '\0')
			last--;
		list = make_word_list(make_word(last), list);
	}
	remember_args(list, 1);
	dispose_words(list);
}

/* --- running it --- */

static char frame[] = "cells"; /* all that Bash has to undo since a piece began */
static sigjmp_buf piece;       /* where its end is awaited */
static bool runs, ran; /* a piece, and something of it */
static int depth; /* of a script's own commands in what `set -x` shows */
static pid_t shell;

/* Functions under way stand in three arrays; some of Bash's jumps leave them there. */
static void leave_functions(void)
{
	static const char *const arrays[] = {"FUNCNAME", "BASH_SOURCE", "BASH_LINENO"};

	if (reset_local_contexts)
		reset_local_contexts();
	variable_context = 0;
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		const struct variable *found = find_variable(arrays[i]);

		while (found && array_reference(found->value, 1)) /* 0: the script's own */
			array_dispose_element(array_shift(found->value, 1, 0));
	}
}

/* Undoes what Bash has not done to its end, as it does before it reads on. */
static void unwind(void)
{
	run_unwind_frame(frame);
	leave_functions();
	indirection_level = depth;
	loop_level = continuing = breaking = funcnest = 0;
	executing_list = comsub_ignore_return = return_catch_flag = running_trap = 0;
	begin_unwind_frame(frame);
}

/* Returns whether there may be more. */
static bool execute_next(void)
{
	COMMAND *command;

	if (parse_command() != 0) {
		ran = true;
		last_command_exit_value = EX_BADUSAGE;
		return false;
	}
	command = global_command;
	global_command = NULL;
	if (command) {
		ran = true;
		add_unwind_protect(dispose_command, command);
		last_command_exit_value = execute_command(command);
		run_unwind_frame(frame);
		begin_unwind_frame(frame);
	}
	return !EOF_Reached;
}

/* Returns whether it would have ended the shell. */
static bool evaluate(char *text, const char *name)
{
	sigjmp_buf outer;
	enum jump jump;
	bool ends;

	memcpy(&outer, &top_level, sizeof(outer));
	reset_parser();
	push_stream(1);
	with_input_from_string(text, name);
	EOF_Reached = 0;
	begin_unwind_frame(frame);
	jump = (enum jump)sigsetjmp(top_level, 0);
	memcpy(&piece, &top_level, sizeof(piece));
	ends = jump != NOT_JUMPED && jump != DISCARD;
	if (jump != NOT_JUMPED) {
		ran = true;
		unwind();
	}
	if (!ends)
		while (execute_next())
			;
	run_unwind_frame(frame);
	pop_stream();
	memcpy(&top_level, &outer, sizeof(outer));
	return ends;
}

/* An `exec` that fails ends the process at once, its trap for that run: it comes here. */
static void at_exit(int status, void *unused)
{
	(void)unused;
	if (!runs || getpid() != shell || on_exit(at_exit, NULL) != 0)
		return;
	initialize_signals(1);
	if (restore_traps)
		restore_traps();
	restore_default_signal(EXIT_TRAP);
	last_command_exit_value = status;
	memcpy(&top_level, &piece, sizeof(piece));
	jump_to_top_level(EXITPROG);
}

/* Whoever leaves the shell runs its trap for that, once. */
static void leave(void)
{
	int status = last_command_exit_value;
	char *trap;

	if (!signal_is_trapped(EXIT_TRAP) || signal_is_ignored(EXIT_TRAP))
		return;
	trap = strdup(trap_list[EXIT_TRAP]);
	if (!trap)
		exit_shell(EXIT_FAILURE);
	restore_default_signal(EXIT_TRAP);
	if (!evaluate(trap, "exit trap"))
		last_command_exit_value = status;
	free(trap);
}

/* Between pieces an interrupt finds nobody: one that came late is forgotten, also by Bash,
 * which has noted it and would act at its next command. */
static void mind_interrupts(bool mind)
{
	const struct timespec now = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	if (mind) {
		while (sigtimedwait(&set, NULL, &now) > 0)
			;
		interrupt_state = 0;
	}
	sigprocmask(mind ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

/* The status stays with the shell, but a piece of which nothing ran has not failed. */
static int run_piece(size_t run, char *code)
{
	/* A shell that reads a script would end at once. */
	if (!signal_is_trapped(SIGINT))
		set_signal_handler(SIGINT, sigint_sighandler);
	read_but_dont_execute = just_one_command = 0;
	mind_interrupts(true);
	tell_begin(run);
	runs = true;
	ran = false;
	if (evaluate(code, SCRIPT))
		leave();
	runs = false;
	mind_interrupts(false);
	if (getpid() != shell)
		_exit(last_command_exit_value); /* a child of the shell's came this far */
	unlink_fifo_list();
	return ran ? last_command_exit_value : 0;
}

static int serve(WORD_LIST *arguments)
{
	size_t numbers[1 + SIZES];
	struct builtin *own = builtin_address_internal("cells", 1);

	(void)arguments;
	own->flags = BUILTIN_DELETED;
	own->function = NULL;
	commands = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, PRIVATE);
	notes = fcntl(NOTE, F_DUPFD_CLOEXEC, PRIVATE);
	shell = getpid();
	depth = indirection_level;
	if (commands < 0 || notes < 0 || close(NOTE) < 0 || on_exit(at_exit, NULL) != 0)
		return EXIT_FAILURE;
	/* Bash does so once it needs them, and would take SIGINT from the piece under way. */
	initialize_terminating_signals();
	mind_interrupts(false);
	tell_end(0, 0);
	while (read_header(numbers, 1 + SIZES)) {
		char *streams = read_text(numbers[1]);
		char *fields = read_text(numbers[2]);
		char *code = read_text(numbers[3]);

		open_streams(streams);
		free(streams);
		set_arguments(fields, fields + numbers[2]);
		free(fields);
		tell_end(numbers[0], run_piece(numbers[0], code));
		free(code);
	}
	return EXIT_SUCCESS;
}

static const char *const about[] = {"Runs the pieces of a session.", NULL};
struct builtin cells_struct = {"cells", serve, BUILTIN_ENABLED, about, "cells", NULL};
