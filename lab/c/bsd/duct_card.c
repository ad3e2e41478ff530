/*
 * Written as programs for OpenBSD's duct(4) are: what the card is, a packet to it, one from it. The
 * device is a path, a name below /dev, or a number.
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/ioccom.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <dev/ductvar.h>

#define MOST	16384

static char device[PATH_MAX] = "/dev/duct0";
static char payload[MOST];

static __dead void
usage(void)
{
	extern char *__progname;
	fprintf(stderr, "usage: %s [-i | -r | -s ADDRHEX] [-d DEVICE]\n", __progname);
	exit(1);
}

static void
name_device(const char *name)
{
	const char *errstr;
	uint unit;

	if (name[0] == '/') {
		strlcpy(device, name, sizeof(device));
	} else if (isdigit((unsigned char)name[0])) {
		unit = strtonum(name, 0, 8, &errstr);
		if (errstr != NULL) {
			warnx("unit %s is %s", name, errstr);
			usage();
		}
		snprintf(device, sizeof(device), "/dev/duct%u", unit);
	} else {
		strlcpy(device, "/dev/", sizeof(device));
		strlcat(device, name, sizeof(device));
	}
}

static void
transmit(int fd, uint32_t address)
{
	struct duct_packet_hdr hdr;
	struct iovec iov[2];
	size_t have = 0;
	ssize_t more;

	while (have < sizeof(payload)) {
		if ((more = read(STDIN_FILENO, payload + have, sizeof(payload) - have)) == -1)
			err(1, "stdin");
		if (more == 0)
			break;
		have += more;
	}
	bzero(&hdr, sizeof(hdr));
	hdr.dpkt_destination = address;
	hdr.dpkt_length = have;
	iov[0].iov_base = &hdr;
	iov[0].iov_len = sizeof(hdr);
	iov[1].iov_base = payload;
	iov[1].iov_len = have;
	if (writev(fd, iov, 2) == -1)
		err(1, "writev");
}

static void
receive(int fd)
{
	struct duct_packet_hdr hdr;
	struct iovec iov[2];
	ssize_t length;

	iov[0].iov_base = &hdr;
	iov[0].iov_len = sizeof(hdr);
	iov[1].iov_base = payload;
	iov[1].iov_len = sizeof(payload);
	if ((length = readv(fd, iov, 2)) == -1)
		err(1, "readv");
	if ((size_t)length < sizeof(hdr))
		errx(1, "half a header");
	fprintf(stderr, "rx: %08x => %08x (%zd bytes)\n", hdr.dpkt_source, hdr.dpkt_destination,
	    length - sizeof(hdr));
	fwrite(payload, 1, length - sizeof(hdr), stdout);
}

int
main(int argc, char *argv[])
{
	struct duct_info_arg info;
	uint32_t address = 0;
	int ch, fd, mode = 0;
	char *end;

	while ((ch = getopt(argc, argv, "d:irs:")) != -1) {
		switch (ch) {
		case 'd':
			name_device(optarg);
			break;
		case 's':
			errno = 0;
			address = strtoul(optarg, &end, 16);
			if (*end != '\0' || errno != 0)
				usage();
			/* FALLTHROUGH */
		case 'i':
		case 'r':
			if (mode != 0)
				usage();
			mode = ch;
			break;
		default:
			usage();
		}
	}
	if ((fd = open(device, O_RDWR)) == -1)
		err(1, "%s", device);
	if (ioctl(fd, DUCTIOC_GET_INFO, &info) == -1)
		err(1, "DUCTIOC_GET_INFO");
	if (mode == 's')
		transmit(fd, address);
	else if (mode == 'r')
		receive(fd);
	else
		fprintf(stderr, "%s: duct v%u.%u, hwaddr: %08x\n", device, info.duct_major,
		    info.duct_minor, info.duct_hwaddr);
	close(fd);
	return (0);
}
