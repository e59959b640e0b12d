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
	FRAME_VERSION = 1,
	FRAME_HEADER = 5,
	FRAME_PAYLOAD_MAX = 65536,
};

/* From the daemon. */
enum command {
	CMD_CODE = 'C',	   /* bytes appended to the program's code file */
	CMD_MESSAGE = 'M', /* bytes appended to what the runner reads at GO */
	CMD_GO = 'G',	   /* struct go: the run begins */
	CMD_STDIN = 'I',   /* bytes for the program, within the window */
	CMD_STDIN_EOF = 'E',
	CMD_KILL = 'K',	   /* end the run */
};

/* To the daemon. */
enum event {
	EVT_HELLO = 'h',  /* key=value lines: version, namespaces, reason */
	EVT_READY = 'r',  /* a child waits */
	EVT_STDOUT = 'o',
	EVT_STDERR = 'e',
	EVT_CREDIT = 'c', /* u32: stdin bytes taken, so many more may come */
	EVT_NOTE = 'n',	  /* bytes the runner wrote about itself */
	EVT_EXIT = 'x',	  /* struct verdict */
	EVT_FATAL = '!',  /* text: the guest cannot go on and exits */
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
};

struct __attribute__((packed)) go {
	uint32_t timeout_ms;
	uint64_t output_limit; /* bytes a stream that are sent on */
	uint8_t flags;
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

/* Reassembles frames from a byte stream of any chunking. */
struct frame_reader {
	size_t used;
	uint8_t buffer[FRAME_HEADER + FRAME_PAYLOAD_MAX];
};

struct frame {
	uint8_t type;
	const uint8_t *payload;
	uint32_t length;
};

/* Where the next bytes go, and how many fit. */
uint8_t *frame_space(struct frame_reader *reader, size_t *room);
/* `count` bytes were written there. */
void frame_filled(struct frame_reader *reader, size_t count);
/* The frame at `*offset`; 1: one was found and `*offset` moved past it,
 * 0: more bytes are needed, -1: the stream is broken (a length over the limit). */
int frame_next(const struct frame_reader *reader, size_t *offset, struct frame *frame);
/* Forgets the first `offset` bytes, which frame_next has passed. */
void frame_consume(struct frame_reader *reader, size_t offset);

void frame_header(uint8_t header[FRAME_HEADER], uint8_t type, uint32_t length);

#endif
