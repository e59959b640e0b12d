#define _GNU_SOURCE
#include "pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union ancillary {
	struct cmsghdr header;
	char space[CMSG_SPACE(PASS_MOST * sizeof(int))];
};

int pass_send(int socket, const void *message, size_t length, const int *fds, size_t count,
	      int flags)
{
	struct iovec data = {(void *)message, length};
	union ancillary ancillary = {0};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};

	if (count > 0) {
		header.msg_control = &ancillary;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		ancillary.header.cmsg_level = SOL_SOCKET;
		ancillary.header.cmsg_type = SCM_RIGHTS;
		ancillary.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&ancillary.header), fds, count * sizeof(int));
	}
	return sendmsg(socket, &header, flags | MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

ssize_t pass_receive(int socket, void *message, size_t length, int *fds, size_t count, int flags)
{
	struct iovec data = {message, length};
	union ancillary ancillary = {0};
	struct msghdr header = {.msg_iov = &data,
				.msg_iovlen = 1,
				.msg_control = &ancillary,
				.msg_controllen = sizeof(ancillary)};
	ssize_t got = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
	struct cmsghdr *passed = CMSG_FIRSTHDR(&header);

	if (got > 0 && got != (ssize_t)length) {
		errno = EBADMSG;
		return -1;
	}
	if (got > 0 && passed && passed->cmsg_level == SOL_SOCKET &&
	    passed->cmsg_type == SCM_RIGHTS && passed->cmsg_len == CMSG_LEN(count * sizeof(int)))
		memcpy(fds, CMSG_DATA(passed), count * sizeof(int));
	return got;
}
