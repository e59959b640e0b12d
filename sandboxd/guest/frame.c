#include "frame.h"

#include <endian.h>
#include <string.h>

uint8_t *frame_space(struct frame_reader *reader, size_t *room)
{
	*room = sizeof(reader->buffer) - reader->used;
	return reader->buffer + reader->used;
}

void frame_filled(struct frame_reader *reader, size_t count)
{
	reader->used += count;
}

int frame_next(const struct frame_reader *reader, size_t *offset, struct frame *frame)
{
	const uint8_t *at = reader->buffer + *offset;
	size_t left = reader->used - *offset;
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

void frame_consume(struct frame_reader *reader, size_t offset)
{
	reader->used -= offset;
	memmove(reader->buffer, reader->buffer + offset, reader->used);
}

void frame_header(uint8_t header[FRAME_HEADER], uint8_t type, uint32_t length)
{
	uint32_t wire = htole32(length);

	memcpy(header, &wire, sizeof(wire));
	header[4] = type;
}
