/* Bytes between the program's pipes and the daemon's frames. Every descriptor
 * here is non-blocking; EAGAIN means: another time. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool later(ssize_t count)
{
	return count < 0 && (errno == EAGAIN || errno == EINTR);
}

static uint64_t held_by(int pipe)
{
	int held = 0;

	if (pipe >= 0 && ioctl(pipe, FIONREAD, &held) < 0)
		fatal("look into a pipe: %s", strerror(errno));
	return (uint64_t)held;
}

/* Past its limit a stream is read and thrown away, so that the program neither
 * blocks nor floods the engine. */
void pump_output(int stream)
{
	uint8_t scratch[FRAME_PAYLOAD_MAX];
	uint64_t written = guest.verdict.written[stream];
	uint64_t left = written < guest.go.output_limit ? guest.go.output_limit - written : 0;
	size_t room = outbox_room(&guest.outbox);
	ssize_t count;

	if (left == 0) {
		count = read(guest.child.out[stream], scratch, sizeof(scratch));
	} else {
		if (room == 0)
			return;
		if (room > FRAME_PAYLOAD_MAX)
			room = FRAME_PAYLOAD_MAX;
		count = read(guest.child.out[stream], outbox_payload(&guest.outbox), room);
	}
	if (later(count))
		return;
	if (count < 0)
		fatal("read output: %s", strerror(errno));
	if (count == 0) {
		close_fd(&guest.child.out[stream]);
		guest.ahead[stream] = 0;
		return;
	}
	if (count < GATHERED_BYTES && held_by(guest.child.out[stream]) == 0)
		guest.gather_us = now_us() + GATHER_US;
	if (!(guest.go.flags & GO_WHOLE))
		guest.whole_us = 0; /* somebody waits for it */
	else if (guest.outbox.used == 0)
		guest.whole_us = now_us() + WHOLE_US;
	if (left > 0)
		outbox_commit(&guest.outbox, stream == 0 ? EVT_STDOUT : EVT_STDERR,
			      (uint64_t)count < left ? (size_t)count : (size_t)left);
	guest.verdict.written[stream] = written + (uint64_t)count;
	guest.ahead[stream] -= guest.ahead[stream] < (uint64_t)count ? guest.ahead[stream]
								     : (uint64_t)count;
	if (guest.state == RUNNING &&
	    guest.verdict.written[stream] / OUTPUT_FLOOD > guest.go.output_limit)
		kill_child(CAUSE_OUTPUT);
}

/* What a child says before it waits: its proof, if that was asked for, and then
 * an empty line, or that alone. */
static void hear_proof(const uint8_t *bytes, size_t length)
{
	if (length > sizeof(guest.proof) - guest.proof_used)
		fatal("a proof over %zu bytes", sizeof(guest.proof));
	memcpy(guest.proof + guest.proof_used, bytes, length);
	guest.proof_used += length;
	if (bytes[length - 1] != '\n')
		return;
	if (guest.proof_used == 1 ||
	    (guest.proof_used > 1 && guest.proof[guest.proof_used - 2] == '\n'))
		runner_waits(guest.proof, guest.proof_used - 1);
}

/* Whoever notes that something has ended has written its output before: all that
 * the pipes hold once the note was read goes first. What is written later may well
 * come after the note, so nobody who goes on writing can hold it back. */
static void look_ahead(void)
{
	for (int i = 0; i < 2; i++)
		guest.ahead[i] = held_by(guest.child.out[i]);
}

/* One that is whole, and no more than that. */
static bool is_line(const uint8_t *bytes, size_t length)
{
	return memchr(bytes, '\n', length) == bytes + length - 1;
}

/* The runner speaks first, to say that it waits. Later words may be the
 * program's own: they are sent on as they are, and mean nothing here. */
void take_note(void)
{
	ssize_t count = read(guest.child.note, guest.note, sizeof(guest.note));

	if (later(count))
		return;
	if (count <= 0) {
		close_fd(&guest.child.note);
	} else if (guest.state == STARTING) {
		hear_proof(guest.note, (size_t)count);
	} else if (guest.noted < NOTE_LIMIT || (guest.go.flags & GO_NOTES)) {
		guest.noted += (uint64_t)count;
		guest.note_used = (size_t)count;
		guest.note_begins = streams_opened() && is_line(guest.note, guest.note_used);
		look_ahead();
	}
}

void pass_note(void)
{
	if (guest.note_used == 0 || guest.ahead[0] > 0 || guest.ahead[1] > 0)
		return;
	/* The driver says first that a run begins, and then that it has ended. */
	if (guest.note_begins)
		send_along(EVT_NOTE, guest.note, guest.note_used);
	else
		send_event(EVT_NOTE, guest.note, guest.note_used);
	guest.note_used = 0;
}

void pump_feed(struct feed *feed, int *fd)
{
	ssize_t count = (ssize_t)feed->used;

	if (count > 0)
		count = write(*fd, feed->bytes, feed->used);
	if (later(count))
		return;
	if (count < 0) {
		/* The program closed its stdin: the rest has no reader. */
		close_fd(fd);
		count = (ssize_t)feed->used;
	}
	feed->credit += (uint32_t)count;
	feed->used -= (size_t)count;
	memmove(feed->bytes, feed->bytes + count, feed->used);
	if (feed->used == 0 && feed->ends)
		close_fd(fd);
}

void reset_feed(struct feed *feed)
{
	feed->credit = 0;
	feed->used = 0;
	feed->ends = false;
}

void take_feed(struct feed *feed, int fd, const uint8_t *bytes, size_t length)
{
	if (guest.state != RUNNING)
		return; /* the run ended while it was under way */
	if (fd < 0) {
		feed->credit += (uint32_t)length;
		return;
	}
	if (length > sizeof(feed->bytes) - feed->used)
		fatal("stdin past the window");
	memcpy(feed->bytes + feed->used, bytes, length);
	feed->used += length;
}

/* What a helper sends. Its end is told when it was reaped. */
void pump_file(void)
{
	size_t room = outbox_room(&guest.outbox);
	ssize_t count;

	if (room == 0)
		return;
	count = read(guest.helper.pipe, outbox_payload(&guest.outbox),
		     room < FRAME_PAYLOAD_MAX ? room : FRAME_PAYLOAD_MAX);
	if (later(count))
		return;
	if (count < 0)
		fatal("read from a helper: %s", strerror(errno));
	if (count == 0)
		close_fd(&guest.helper.pipe);
	else
		outbox_commit(&guest.outbox, EVT_FILE, (size_t)count);
}
