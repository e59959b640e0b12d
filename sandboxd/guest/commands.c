/* The daemon's commands (frame.h), obeyed one after the other as they come. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void must_be(enum state state, const struct frame *frame)
{
	if (guest.state != state)
		fatal("frame %c out of place (state %d)", frame->type, guest.state);
}

static void write_message(const struct frame *frame)
{
	ssize_t count = write(guest.child.message, frame->payload, frame->length);

	if (count < 0 && errno == EPIPE && guest.kept)
		return; /* it has ended before its run, which will be told */
	if (count != (ssize_t)frame->length)
		fatal("write the message: %s", count < 0 ? strerror(errno) : "no room");
}

/* Of one name, and room is left for what is added to it. */
static void begin_streams(const struct frame *frame)
{
	char name[sizeof(guest.streams.name)];

	if (frame->length == 0 || frame->length >= sizeof(name) ||
	    memchr(frame->payload, '\0', frame->length) ||
	    memchr(frame->payload, '/', frame->length))
		fatal("not a name for streams");
	memcpy(name, frame->payload, frame->length);
	name[frame->length] = '\0';
	streams_make(name);
}

/* False where another interpreter has ended in a kept box while this was on its way. */
static bool may_prepare(const struct frame *frame)
{
	if (guest.kept)
		return guest.state == STARTING || guest.state == WAITING;
	must_be(WAITING, frame);
	return true;
}

static void take_go(const struct go *go)
{
	if (guest.state == STARTING) {
		guest.go = *go;
		guest.go_waits = true;
	} else if (guest.kept || !guest.put_error) {
		begin_run(go);
	} /* else the daemon was told, and gives this child up */
}

static void take_interrupt(const struct frame *frame)
{
	int number = frame->length == 1 ? frame->payload[0] : 0;

	if (number != SIGINT && number != SIGTERM && number != SIGHUP)
		fatal("not an interrupt");
	if (guest.state == RUNNING)
		interrupt_child(number);
}

static void obey(const struct frame *frame)
{
	uint64_t bytes;
	struct go go;

	switch (frame->type) {
	case CMD_WELCOME:
		guest.welcome = true;
		if (guest.state == WAITING)
			guest.deadline_us = 0;
		break;
	case CMD_CODE:
		put_code(frame);
		break;
	case CMD_MESSAGE:
		if (may_prepare(frame))
			write_message(frame);
		break;
	case CMD_SIZE:
		must_be(WAITING, frame);
		if (frame->length != sizeof(bytes))
			fatal("SIZE of %u bytes", frame->length);
		memcpy(&bytes, frame->payload, sizeof(bytes));
		resize(bytes);
		break;
	case CMD_PUT:
		begin_put(frame);
		break;
	case CMD_DATA:
		continue_put(frame);
		break;
	case CMD_PUT_END:
		end_put();
		break;
	case CMD_GO:
		if (frame->length != sizeof(go))
			fatal("GO of %u bytes", frame->length);
		memcpy(&go, frame->payload, sizeof(go));
		if (may_prepare(frame))
			take_go(&go);
		break;
	case CMD_STDIN:
		take_feed(&guest.stdin, guest.child.in, frame->payload, frame->length);
		break;
	case CMD_STDIN_EOF:
		if (guest.state == RUNNING)
			guest.stdin.ends = true;
		break;
	case CMD_STREAMS:
		if (guest.state == RUNNING)
			begin_streams(frame);
		break;
	case CMD_INPUT:
		take_feed(&guest.input, guest.streams.in, frame->payload, frame->length);
		break;
	case CMD_INPUT_EOF:
		if (guest.state == RUNNING)
			guest.input.ends = true;
		break;
	case CMD_INTERRUPT:
		take_interrupt(frame);
		break;
	case CMD_KILL:
		if (under_way())
			kill_child(CAUSE_KILLED);
		break;
	case CMD_LIST:
		list_files(frame);
		break;
	case CMD_READ:
		read_file(frame);
		break;
	case CMD_RELEASE:
		must_be(HELD, frame);
		if (guest.kept)
			fatal("RELEASE of a kept box");
		guest.state = LEAVING;
		break;
	case CMD_AGAIN:
		must_be(HELD, frame);
		start_again();
		break;
	default:
		fatal("unknown frame 0x%02x", frame->type);
	}
}

void hear_daemon(void)
{
	struct frame frame;
	size_t room, offset = 0;
	uint8_t *space = inbox_space(&guest.inbox, &room);
	ssize_t count = read(STDIN_FILENO, space, room);
	int got;

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0)
		exit(EXIT_SUCCESS); /* the daemon has gone */
	guest.inbox.used += (size_t)count;
	while ((got = inbox_next(&guest.inbox, &offset, &frame)) > 0)
		obey(&frame);
	if (got < 0)
		fatal("a frame over %d bytes", FRAME_PAYLOAD_MAX);
	inbox_consume(&guest.inbox, offset);
}
