/* The frames between the daemon and the guest.
 *
 * A frame is a little-endian u32 length, a type byte, and that many bytes of
 * payload. Python's side is frames.py; the two change together, and a change
 * that an older peer could misread raises FRAME_VERSION. */
#ifndef SANDBOXD_FRAME_H
#define SANDBOXD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FRAME_VERSION = 5,
	FRAME_HEADER = 5,
	FRAME_PAYLOAD_MAX = 65536,
	OUTBOX_RESERVE = 4096, /* room that output leaves for all other frames */
};

/* From the daemon. */
enum command {
	CMD_WELCOME = 'W', /* the engine knows this container: it has answered for its start */
	CMD_CODE = 'C',	   /* bytes appended to the program's code file */
	CMD_MESSAGE = 'M', /* bytes appended to what the runner reads at GO */
	CMD_SIZE = 'S',	   /* u64: bytes that all that is writable may take */
	CMD_PUT = 'P',	   /* struct put, path: lay that file in the work folder, of DATA; or
			    * where the path ends in "/", make that folder */
	CMD_DATA = 'D',	   /* bytes appended to that file */
	CMD_PUT_END = 'Q', /* of a file that is put in a kept box: FILE_END answers */
	CMD_GO = 'G',	   /* struct go: the run begins */
	CMD_STDIN = 'I',   /* bytes for the program, within the window */
	CMD_STDIN_EOF = 'E',
	CMD_STREAMS = 'N', /* name: make standard streams for the next run of a session */
	CMD_INPUT = 'J',   /* bytes for the stdin among these, within a window of its own */
	CMD_INPUT_EOF = 'X',
	CMD_INTERRUPT = 'T', /* u8: SIGINT, SIGTERM or SIGHUP to the program and its process group */
	CMD_KILL = 'K',	   /* end the run */
	CMD_LIST = 'L',	   /* say what is in the work folder */
	CMD_READ = 'R',	   /* struct range, path: send that file, or a part of it */
	CMD_RELEASE = 'F', /* a held run's files are not wanted any more */
	CMD_AGAIN = 'A',   /* another interpreter in a kept box; MESSAGE and GO follow at once */
};

/* To the daemon. */
enum event {
	EVT_HELLO = 'h',    /* key=value lines: version, namespaces, reason, limits */
	EVT_READY = 'r',    /* a child waits; the first proves what it is (proc_pid_status(5)) */
	EVT_STDOUT = 'o',
	EVT_STDERR = 'e',
	EVT_CREDIT = 'c',   /* u32: stdin bytes taken, so many more may come */
	EVT_STREAMS = 's',  /* u32: how many STREAMS there were; output from here on is the last's */
	EVT_INPUT_CREDIT = 'i', /* struct input_credit */
	EVT_NOTE = 'n',	    /* bytes the runner wrote about itself */
	EVT_EXIT = 'x',	    /* struct verdict */
	EVT_FILE = 'f',	    /* bytes answering LIST or READ */
	EVT_FILE_END = 'g', /* i32 errno: LIST, READ or PUT is done (0) or broke off */
	EVT_PUT_FAILED = 'p', /* i32 errno, then the path */
	EVT_FATAL = '!',    /* text: the guest cannot go on and exits */
};

/* What ends a run, in struct verdict. */
enum cause {
	CAUSE_EXITED = 0, /* the program ended by itself */
	CAUSE_TIMEOUT = 1,
	CAUSE_KILLED = 2, /* the daemon said KILL */
	CAUSE_OUTPUT = 3, /* OUTPUT_FLOOD times its output limit */
	CAUSE_LOST = 4,	  /* its namespace's init died: the status is unknown */
};

enum {
	GO_STDIN = 1, /* stdin will follow; otherwise it is at its end at once */
	GO_HOLD = 2,  /* keep the work folder after EXIT, until RELEASE */
	GO_NOTES = 4, /* the program goes on talking in notes: there is no limit to them */
	GO_KEEP = 8,  /* its box outlives it, with all files, for AGAIN; and is used by nobody else */
	GO_WHOLE = 16, /* its output is wanted at its end: what comes shortly before goes with that */
};

struct __attribute__((packed)) go {
	uint32_t timeout_ms;
	uint64_t output_limit; /* bytes a stream that are sent on */
	uint8_t flags;
};

enum {
	PUT_MODE = 1, /* the file gets this mode; a new one has 0644 otherwise */
	PUT_AT = 2,   /* from the offset on, and what else the file has stays */
};

struct __attribute__((packed)) put {
	uint8_t flags;
	uint16_t mode; /* permission bits, and no others */
	uint64_t offset;
};

struct __attribute__((packed)) range {
	uint64_t offset;
	uint64_t length; /* or as much of it as the file has */
};

struct __attribute__((packed)) verdict {
	uint8_t cause;
	int32_t exit_code; /* -1 when a signal ended it */
	int32_t signal;	   /* 0 when it exited */
	uint64_t ran_us;   /* from GO to the end of the program */
	uint64_t cpu_us;   /* of the program and all its descendants */
	uint64_t rss_bytes; /* the largest resident set among them */
	uint64_t written[2]; /* stdout and stderr, with what was thrown away */
	uint32_t oom_kills;
};

/* Credit for INPUT counts for the streams that it was sent to, and for no later ones. */
struct __attribute__((packed)) input_credit {
	uint32_t streams; /* how many STREAMS there were in the run */
	uint32_t bytes;
};

/* Reassembles frames from a byte stream of any chunking. */
struct inbox {
	size_t used;
	uint8_t bytes[FRAME_HEADER + FRAME_PAYLOAD_MAX];
};

struct frame {
	uint8_t type;
	const uint8_t *payload;
	uint32_t length;
};

/* Where the next bytes go, and how many fit. */
uint8_t *inbox_space(struct inbox *inbox, size_t *room);
/* The frame at `*offset`; 1: one was found and `*offset` moved past it,
 * 0: more bytes are needed, -1: the stream is broken (a length over the limit). */
int inbox_next(const struct inbox *inbox, size_t *offset, struct frame *frame);
/* Forgets the first `offset` bytes, which inbox_next has passed. */
void inbox_consume(struct inbox *inbox, size_t offset);

/* Frames that wait to be written. */
struct outbox {
	size_t used;
	uint8_t bytes[FRAME_HEADER + FRAME_PAYLOAD_MAX + OUTBOX_RESERVE];
};

/* Bytes of output that fit, with the reserve left for other frames. */
size_t outbox_room(const struct outbox *outbox);
/* Where a payload can be put in place, for outbox_commit. */
uint8_t *outbox_payload(struct outbox *outbox);
/* Makes a frame of the first `length` bytes there. */
void outbox_commit(struct outbox *outbox, enum event type, size_t length);
/* Adds a frame; false when it does not fit. */
bool outbox_add(struct outbox *outbox, enum event type, const void *payload, size_t length);
/* Writes what the descriptor takes; -1 with errno set when it failed. */
int outbox_flush(struct outbox *outbox, int fd);

#endif
