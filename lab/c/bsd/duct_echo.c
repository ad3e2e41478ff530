/* Written as programs for OpenBSD's duct(4) are: its header and names, err(3), strtonum(3). */
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/types.h>
#include <sys/uio.h>
#include <dev/ductvar.h>

static __dead void
usage(void)
{
	extern char *__progname;
	fprintf(stderr, "usage: %s [-d DEVICE] [-n COUNT] WORDS\n", __progname);
	exit(1);
}

int
main(int argc, char *argv[])
{
	char path[PATH_MAX], answer[1024];
	struct duct_info_arg info;
	struct duct_packet_hdr hdr;
	struct iovec iov[2];
	const char *errstr;
	uint i, count = 1;
	int ch, fd;

	strlcpy(path, "/dev/duct0", sizeof(path));
	while ((ch = getopt(argc, argv, "d:n:")) != -1) {
		switch (ch) {
		case 'd':
			strlcpy(path, optarg, sizeof(path));
			break;
		case 'n':
			count = strtonum(optarg, 1, 99, &errstr);
			if (errstr != NULL)
				errx(1, "count is %s: %s", errstr, optarg);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 1)
		usage();
	if ((fd = open(path, O_RDWR)) == -1)
		err(1, "%s", path);
	if (ioctl(fd, DUCTIOC_GET_INFO, &info) == -1)
		err(1, "DUCTIOC_GET_INFO");
	for (i = 0; i < count; i++) {
		memset(&hdr, 0, sizeof(hdr));
		hdr.dpkt_source = info.duct_hwaddr;
		hdr.dpkt_destination = 0xec60;
		hdr.dpkt_length = strlen(argv[optind]);
		iov[0].iov_base = &hdr;
		iov[0].iov_len = sizeof(hdr);
		iov[1].iov_base = argv[optind];
		iov[1].iov_len = hdr.dpkt_length;
		if (writev(fd, iov, 2) == -1)
			err(1, "writev");
		iov[1].iov_base = answer;
		iov[1].iov_len = sizeof(answer);
		if (readv(fd, iov, 2) == -1)
			err(1, "readv");
		printf("%08x: %.*s\n", hdr.dpkt_source, (int)hdr.dpkt_length, answer);
	}
	return (0);
}
