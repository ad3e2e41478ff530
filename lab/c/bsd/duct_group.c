/*
 * Written as programs for OpenBSD's duct(4) are: joins a group, waits with poll(2) for a packet to it
 * that it sends itself, leaves the group, and asks for the quote of the day with an empty packet.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <dev/ductvar.h>

struct packet {
	struct duct_packet_hdr hdr;
	char text[256];
	TAILQ_ENTRY(packet) entry;
};
static TAILQ_HEAD(, packet) packets = TAILQ_HEAD_INITIALIZER(packets);

static void
transmit(int fd, uint32_t address, const char *text)
{
	struct packet packet;

	memset(&packet, 0, sizeof(packet));
	packet.hdr.dpkt_destination = address;
	packet.hdr.dpkt_length = strlcpy(packet.text, text, sizeof(packet.text));
	if (write(fd, &packet, sizeof(packet.hdr) + packet.hdr.dpkt_length) == -1)
		err(1, "write");
}

static void
receive(int fd)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	struct packet *packet = calloc(1, sizeof(*packet));
	struct iovec iov[2] = { { &packet->hdr, sizeof(packet->hdr) },
	    { packet->text, sizeof(packet->text) - 1 } };

	if (poll(&pfd, 1, 60000) != 1 || pfd.revents != POLLIN)
		errx(1, "poll: %x", pfd.revents);
	if (readv(fd, iov, 2) == -1)
		err(1, "readv");
	TAILQ_INSERT_TAIL(&packets, packet, entry);
}

int
main(void)
{
	struct duct_mcast_arg group = { 0xffff0000, 0x80770000 }, none = { 0xffff0000, 0x00770000 };
	struct packet *packet;
	int fd;

	if ((fd = open("/dev/duct0", O_RDWR)) == -1)
		err(1, "/dev/duct0");
	if (ioctl(fd, DUCTIOC_ADD_MCAST, &group) == -1)
		err(1, "DUCTIOC_ADD_MCAST");
	transmit(fd, 0x80771234, "to the group");
	receive(fd);
	if (ioctl(fd, DUCTIOC_RM_MCAST, &group) == -1)
		err(1, "DUCTIOC_RM_MCAST");
	if (ioctl(fd, DUCTIOC_RM_MCAST, &group) != -1 || errno != ENOENT)
		err(1, "DUCTIOC_RM_MCAST again");
	if (ioctl(fd, DUCTIOC_ADD_MCAST, &none) != -1 || errno != EINVAL)
		err(1, "DUCTIOC_ADD_MCAST of an address that is none");
	transmit(fd, 0xbeef, "");
	receive(fd);
	TAILQ_FOREACH(packet, &packets, entry)
		printf("%08x: %.*s\n", packet->hdr.dpkt_destination, (int)packet->hdr.dpkt_length,
		    packet->text);
	return (0);
}
