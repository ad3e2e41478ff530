/* What the programs are written with: checks, packets, the address of the card. */
#ifndef CHECK_H
#define CHECK_H

#include <duct.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ECHO 0xEC60
#define NOBODY 0x0BADF00D
#define HEADER sizeof(struct duct_packet_hdr)
#define LONGEST (HEADER + DUCT_MAX_PACKET)

static int checks;

#define CHECK(what)                                                                               \
    do {                                                                                          \
        if (!(what)) {                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold (errno: %s)\n", __FILE__, __LINE__, #what,   \
                strerror(errno));                                                                 \
            exit(1);                                                                              \
        }                                                                                         \
        checks++;                                                                                 \
    } while (0)
/* A call that must fail, with this errno. */
#define FAILS(call, code) CHECK((call) == -1 && errno == (code))
#define DONE (printf("%d checks hold\n", checks), 0)

static unsigned char message[1 << 18], got[1 << 18];

static int opened(char **argv, int flags)
{
    int fd = open(argv[1], flags);
    CHECK(fd >= 0);
    return fd;
}

/* Make a message in `message`; returns its bytes. */
static inline size_t packet(uint32_t destination, uint32_t size, int seed)
{
    struct duct_packet_hdr header = { 0, destination, size, 0 };
    uint32_t i;
    memcpy(message, &header, HEADER);
    for (i = 0; i < size; i++)
        message[HEADER + i] = (unsigned char)(i * 7 + seed);
    return HEADER + size;
}

static inline uint32_t own_address(int fd)
{
    struct duct_info_arg info;
    CHECK(ioctl(fd, DUCTIOC_GET_INFO, &info) == 0);
    return info.duct_hwaddr;
}

/* Read a packet that is in `message`, from `source`. */
static inline void comes_back(int fd, uint32_t source, size_t size)
{
    struct duct_packet_hdr header;
    CHECK(read(fd, got, sizeof got) == (ssize_t)size);
    memcpy(&header, got, HEADER);
    CHECK(header.dpkt_source == source);
    CHECK(header.dpkt_length == size - HEADER);
    CHECK(memcmp(got + HEADER, message + HEADER, size - HEADER) == 0);
}

#endif
