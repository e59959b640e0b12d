#include "frame.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

uint8_t *inbox_space(struct inbox *inbox, size_t *room)
{
	*room = sizeof(inbox->bytes) - inbox->used;
	return inbox->bytes + inbox->used;
}

int inbox_next(const struct inbox *inbox, size_t *offset, struct frame *frame)
{
	const uint8_t *at = inbox->bytes + *offset;
	size_t left = inbox->used - *offset;
	uint32_t length;

	if (left < FRAME_HEADER)
		return 0;
	memcpy(&length, at, sizeof(length));
	length = le32toh(length);
	if (length > FRAME_PAYLOAD_MAX)
		return -1;
	if (left - FRAME_HEADER < length)
		return 0;
	frame->type = at[4];
	frame->payload = at + FRAME_HEADER;
	frame->length = length;
	*offset += FRAME_HEADER + length;
	return 1;
}

void inbox_consume(struct inbox *inbox, size_t offset)
{
	inbox->used -= offset;
	memmove(inbox->bytes, inbox->bytes + offset, inbox->used);
}

size_t outbox_room(const struct outbox *outbox)
{
	size_t taken = outbox->used + FRAME_HEADER + OUTBOX_RESERVE;

	return taken < sizeof(outbox->bytes) ? sizeof(outbox->bytes) - taken : 0;
}

uint8_t *outbox_payload(struct outbox *outbox)
{
	return outbox->bytes + outbox->used + FRAME_HEADER;
}

void outbox_commit(struct outbox *outbox, enum event type, size_t length)
{
	uint32_t wire = htole32((uint32_t)length);

	memcpy(outbox->bytes + outbox->used, &wire, sizeof(wire));
	outbox->bytes[outbox->used + 4] = (uint8_t)type;
	outbox->used += FRAME_HEADER + length;
}

bool outbox_add(struct outbox *outbox, enum event type, const void *payload, size_t length)
{
	if (sizeof(outbox->bytes) - outbox->used < FRAME_HEADER + length)
		return false;
	if (length > 0)
		memcpy(outbox_payload(outbox), payload, length);
	outbox_commit(outbox, type, length);
	return true;
}

int outbox_flush(struct outbox *outbox, int fd)
{
	ssize_t count = write(fd, outbox->bytes, outbox->used);

	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	outbox->used -= (size_t)count;
	memmove(outbox->bytes, outbox->bytes + count, outbox->used);
	return 0;
}
