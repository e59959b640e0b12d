/* What the parts of the guest share: guest.c has the loop, commands.c the daemon's
 * commands, exchange.c those on files, start.c and life.c the life of a child, pump.c
 * the bytes that flow, streams.c the pipes that a session's runs get for that. */
#ifndef SANDBOXD_GUEST_H
#define SANDBOXD_GUEST_H

#include "child.h"
#include "files.h"
#include "frame.h"
#include "template.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	STDIN_WINDOW = 262144, /* what the daemon may send ahead of CREDIT */
	NOTE_LIMIT = 65536,    /* bytes a run that did not ask for more; the rest is thrown away */
	GATHER_US = 500,       /* less than what two streams' writes may be apart to keep their order */
	WHOLE_US = 5000,       /* what is wanted at the end waits so long for it: most programs are quicker */
	GATHERED_BYTES = 4096, /* a larger read is no line, and is followed by the next at once */
	OUTPUT_FLOOD = 64,     /* times the output limit, then the run is ended */
	TEARDOWN_MS = 10000,   /* a namespace that outlives its kill by this is given up */
	WELCOME_MS = 10000,    /* the first child does not wait longer for the daemon's word */
	REASON_BYTES = 128,
	LATE_PIPES = 64,       /* of earlier runs of a session, that are read still */
};

enum state {
	STARTING, /* a child is being made; nobody may use it yet */
	WAITING,  /* it waits; the daemon fills in files, code and message */
	RUNNING,  /* from GO until its end is known */
	DRAINING, /* all its processes are gone, what they wrote is not sent yet */
	HELD,	  /* its verdict is sent, its files are still wanted, or its whole box */
	LEAVING,  /* its namespaces are being taken down */
};

/* Stdin on its way to the program. */
struct feed {
	uint32_t credit; /* taken and not told yet */
	bool ends;
	size_t used;
	uint8_t bytes[STDIN_WINDOW];
};

/* Of the run of a session that is under way. */
struct streams {
	uint32_t number; /* how many there were */
	bool told;	 /* that to the daemon */
	char name[NAME_MAX];
	int held[3]; /* until the driver has opened them */
	int last[2]; /* what is printed to until then */
	int in;	     /* what INPUT goes to */
	size_t late_used;
	int late[LATE_PIPES];
};

struct guest {
	enum state state;
	bool namespaces;
	bool greeted;
	bool welcome;
	bool kept;     /* the child's box outlives its interpreters, from the first GO on */
	bool go_waits; /* for another one to wait for it */
	char reason[REASON_BYTES]; /* why there are no namespaces */
	int oom_fd; /* what the cgroup says of memory that ran out; -1: nothing */
	struct options options;
	struct sock_fprog filter;
	struct template template;
	struct child child;
	struct helper helper;
	struct go go;
	struct verdict verdict;
	uint32_t oom_before; /* kills for want of memory that were before the run */
	uint64_t started_us;
	uint64_t deadline_us; /* 0: none */
	uint64_t gather_us;   /* until then output is left in its pipes */
	uint64_t whole_us;    /* until then it is left in the outbox */
	uint64_t noted;
	bool note_begins;    /* the next note says that a session's run begins, and nothing more */
	size_t note_used;    /* of one that waits until what was written before it is sent: */
	uint64_t ahead[2];   /* so much of either stream */
	uint8_t note[1024];
	size_t proof_used; /* of a child that proves itself */
	uint8_t proof[4096];
	int put;	     /* the file that DATA goes to, or -1 */
	int put_error;	     /* errno of one that could not be laid; before GO: no run */
	bool put_ended;	     /* in a kept box, and not told yet */
	struct feed stdin;   /* in a session, what its driver is told */
	struct feed input;   /* in a session, stdin of the run */
	struct streams streams;
	struct outbox outbox;
	struct inbox inbox;
};

extern struct guest guest;

uint64_t now_us(void);
/* Frames other than output are few and small; the reserve holds them. */
void send_event(enum event type, const void *payload, size_t length);
/* What nobody waits for goes with what somebody does, or soon. */
void send_along(enum event type, const void *payload, size_t length);
/* Says what cannot be, and ends the process and with it the container. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* commands.c */
void hear_daemon(void);
/* Whatever does not fit the state ends the guest. */
void must_be(enum state state, const struct frame *frame);

/* exchange.c */
void begin_put(const struct frame *frame);
void continue_put(const struct frame *frame);
void put_code(const struct frame *frame);
void end_put(void);
void list_files(const struct frame *frame);
void read_file(const struct frame *frame);

/* start.c */
void start_first_child(void);
void start_child(void);
void start_again(void);
void prepared(void);
void do_without_namespaces(const struct report *report);
void runner_waits(const uint8_t *proof, size_t length);
_Noreturn void child_failed(const char *what, int status);

/* life.c */
void set_deadline(uint64_t milliseconds);
uint32_t oom_kills(void);
/* Whether there is a program whose end EXIT will tell. */
bool under_way(void);
/* Gives the init an order and waits until it is done. False when the init is gone instead;
 * where the program ends first that is seen to. */
bool must_obey(const struct order *order, const char *what);
/* The same of an order that was given. */
bool await_done(const char *what);
void resize(uint64_t bytes);
void begin_run(const struct go *go);
void interrupt_child(int number);
void kill_child(enum cause cause);
void hear_init(void);
void hear_template(void);
void reap(int signals);
void follow_up(void);
void deadline_passed(void);

/* pump.c */
void pump_output(int stream);
void take_note(void);
void pass_note(void);
void pump_feed(struct feed *feed, int *fd);
void pump_file(void);
/* What it holds has no reader any more, and is not told of. */
void reset_feed(struct feed *feed);
void take_feed(struct feed *feed, int fd, const uint8_t *bytes, size_t length);

/* streams.c */
void streams_init(void);
void streams_make(const char *name);
/* True at the first word from the driver of a run that has streams of its own. */
bool streams_opened(void);
void streams_close(void);
void pump_late(size_t which);
void late_ended(size_t which);

#endif
