/* Puts frame.c to any bytes, against what frame.h says.
 *
 * The first byte chooses: an inbox, which is given the rest in pieces, or an
 * outbox, for which the rest is orders. A length is a byte, of which the upper
 * values stand for the large ones that matter. */
#include "script.h"

#include "frame.c"

static struct inbox inbox;
static struct outbox outbox;

/* --- in: frames come out as they went in, however they arrive --- */

static void read_frames(struct script *script)
{
	size_t passed = 0; /* bytes of the stream that were given up as frames */

	inbox.used = 0;
	while (script_left(script) > 0) {
		size_t room, offset = 0, before = passed;
		uint8_t *space = inbox_space(&inbox, &room);
		size_t count = script_length(script);
		struct frame frame;
		int got;

		check(room > 0); /* else nothing could ever come */
		check(space == inbox.bytes + inbox.used);
		count = count < room ? count : room;
		/* As the script has it, or more than fits into one. */
		if (script_byte(script) % 4)
			count = script_take(script, space, count);
		else
			memset(space, script_byte(script), count);
		inbox.used += count;
		while ((got = inbox_next(&inbox, &offset, &frame)) > 0) {
			check(frame.length <= FRAME_PAYLOAD_MAX);
			check(frame.payload + frame.length <= inbox.bytes + inbox.used);
			check(frame.payload == inbox.bytes + offset - frame.length);
			check(frame.type == frame.payload[-1]);
			passed += FRAME_HEADER + frame.length;
			check(passed - before == offset);
		}
		if (got < 0)
			return;
		inbox_consume(&inbox, offset);
		check(inbox.used < sizeof(inbox.bytes));
	}
}

/* --- out: what was taken is written, whole and in order --- */

enum { ORDERS_MOST = 64 };

static uint8_t expected[ORDERS_MOST * (SCRIPT_MOST + FRAME_HEADER)]; /* all that was taken */
static size_t taken, written;

static ssize_t fake_write(int fd, const void *bytes, size_t length)
{
	size_t count = script_length(&the_script);

	check(fd == 1);
	if (count == 0) {
		errno = EAGAIN;
		return -1;
	}
	count = count < length ? count : length;
	check(written + count <= taken);
	check(memcmp(expected + written, bytes, count) == 0);
	written += count;
	return (ssize_t)count;
}

static void expect(uint8_t type, const uint8_t *payload, size_t length)
{
	uint32_t wire = (uint32_t)length;

	memcpy(expected + taken, &wire, sizeof(wire));
	expected[taken + 4] = type;
	if (length > 0)
		memcpy(expected + taken + FRAME_HEADER, payload, length);
	taken += FRAME_HEADER + length;
}

static void write_frames(struct script *script)
{
	static uint8_t payload[SCRIPT_MOST];
	size_t orders = 0;

	outbox.used = taken = written = 0;
	while (script_left(script) > 0 && orders++ < ORDERS_MOST) {
		uint8_t order = script_byte(script), type = script_byte(script);
		size_t length, room = outbox_room(&outbox);

		check(outbox.used <= sizeof(outbox.bytes));
		switch (order % 3) {
		case 0:
			length = script_length(script);
			memset(payload, type, length);
			if (outbox_add(&outbox, type, payload, length))
				expect(type, payload, length);
			else
				check(outbox.used + FRAME_HEADER + length > sizeof(outbox.bytes));
			break;
		case 1:
			length = script_length(script);
			length = length < room ? length : room;
			if (length == 0)
				break;
			memset(outbox_payload(&outbox), type, length);
			memset(payload, type, length);
			outbox_commit(&outbox, type, length);
			expect(type, payload, length);
			/* The reserve is still there for the others. */
			check(sizeof(outbox.bytes) - outbox.used >= OUTBOX_RESERVE);
			break;
		default:
			check(outbox_flush(&outbox, 1) == 0);
			check(outbox.used == taken - written);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	script_begin(data, size);
	if (script_byte(&the_script) % 2)
		read_frames(&the_script);
	else
		write_frames(&the_script);
	return 0;
}
