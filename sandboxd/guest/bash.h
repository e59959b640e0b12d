/* What the driver of sessions uses of Bash itself, as its own headers have it from 5.1 on
 * (shell.h, builtins.h, variables.h, trap.h, sig.h): there are none where this is built. */
#ifndef SANDBOXD_BASH_H
#define SANDBOXD_BASH_H

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

typedef struct word_list WORD_LIST;
typedef struct word_desc WORD_DESC;
typedef struct command COMMAND;
typedef struct array ARRAY;
typedef void handler(int);

struct builtin {
	const char *name;
	int (*function)(WORD_LIST *);
	int flags;
	const char *const *long_doc;
	const char *short_doc;
	char *handle;
};

struct variable { /* goes on */
	char *name;
	ARRAY *value;
};

enum {
	BUILTIN_ENABLED = 1,
	BUILTIN_DELETED = 2,
	EXIT_TRAP = 0,
	EX_BADUSAGE = 2,
};

enum jump { NOT_JUMPED, FORCE_EOF, DISCARD, EXITPROG };

extern sigjmp_buf top_level;
extern char *trap_list[];
extern COMMAND *global_command;
extern volatile sig_atomic_t interrupt_state;
extern int last_command_exit_value, EOF_Reached, read_but_dont_execute, just_one_command;
extern int indirection_level, loop_level, continuing, breaking, funcnest, executing_list,
	comsub_ignore_return, return_catch_flag, running_trap, variable_context;

extern struct builtin *builtin_address_internal(const char *name, int disabled_too);
extern void jump_to_top_level(enum jump jump) __attribute__((noreturn));
extern void exit_shell(int status) __attribute__((noreturn));

extern void reset_parser(void);
extern void push_stream(int reset_line);
extern void pop_stream(void);
extern void with_input_from_string(char *text, const char *name);
extern int parse_command(void);
extern int execute_command(COMMAND *command);
extern void dispose_command(COMMAND *command);

extern void begin_unwind_frame(char *tag);
extern void add_unwind_protect(void (*cleanup)(COMMAND *), COMMAND *argument);
extern void run_unwind_frame(char *tag);
extern void reset_local_contexts(void) __attribute__((weak)); /* since 5.2 */
extern void unlink_fifo_list(void);

extern WORD_DESC *make_word(const char *text);
extern WORD_LIST *make_word_list(WORD_DESC *word, WORD_LIST *rest);
extern void dispose_words(WORD_LIST *list);
extern void remember_args(WORD_LIST *list, int forget);
extern int export_builtin(WORD_LIST *list);
extern struct variable *find_variable(const char *name);
extern char *array_reference(ARRAY *array, intmax_t at);
extern void *array_shift(ARRAY *array, int count, int flags);
extern void array_dispose_element(void *element);

extern int signal_is_trapped(int number);
extern int signal_is_ignored(int number);
extern void restore_default_signal(int number);
extern handler *set_signal_handler(int number, handler *handle);
extern void sigint_sighandler(int number);
extern void initialize_signals(int again);
extern void initialize_terminating_signals(void);
extern void restore_traps(void) __attribute__((weak)); /* since 5.2 */

#endif
