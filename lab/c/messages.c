/* read, readv, write, writev: packets of every size, cut ones, and what is no packet. */
#include "check.h"
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096

/* Memory whose pages are known. */
static unsigned char (*pages)[PAGE];

/* A message in so many buffers of two bytes, each of which is on two pages; returns its bytes. */
static size_t torn(struct iovec *parts, int count)
{
    size_t size = packet(ECHO, count * 2 - HEADER, 1);
    int i;
    for (i = 0; i < count; i++) {
        parts[i].iov_base = &pages[2 * i][PAGE - 1];
        parts[i].iov_len = 2;
        memcpy(parts[i].iov_base, message + 2 * i, 2);
    }
    return size;
}

static int sizes[] = { 0, 1, 4095, 4096, 4097, DUCT_MAX_PACKET };

int main(int argc, char **argv)
{
    int fd = opened(argv, O_RDWR);
    uint32_t own = own_address(fd), i;
    struct duct_packet_hdr header;
    struct iovec parts[64];
    size_t size;

    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size = packet(ECHO, sizes[i], i);
        CHECK(write(fd, message, size) == (ssize_t)size);
        comes_back(fd, ECHO, size);
    }

    /* In several buffers, as many as a call may have. */
    size = packet(own, 1000, 5);
    for (i = 0; i < 31; i++) {
        parts[i].iov_base = message + i * 16;
        parts[i].iov_len = i < 30 ? 16 : size - 30 * 16;
    }
    CHECK(writev(fd, parts, 31) == (ssize_t)size);
    for (i = 0; i < 31; i++) {
        parts[i].iov_base = got + 1000 + i * 100;
        parts[i].iov_len = 33;
    }
    memset(got, 0, sizeof got);
    CHECK(readv(fd, parts, 31) == (ssize_t)size);
    for (i = 0; i < size - HEADER; i++)
        CHECK(got[1000 + (i + HEADER) / 33 * 100 + (i + HEADER) % 33] == message[HEADER + i]);
    CHECK(write(fd, message, size) == (ssize_t)size);
    parts[0].iov_base = &header;
    parts[0].iov_len = HEADER;
    parts[1].iov_base = got;
    parts[1].iov_len = sizeof got;
    CHECK(readv(fd, parts, 2) == (ssize_t)size);
    CHECK(header.dpkt_source == own && header.dpkt_destination == own);
    CHECK(memcmp(got, message + HEADER, size - HEADER) == 0);
    pages = mmap(NULL, 80 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    /* What counts is pages: a buffer that is on two of them counts twice. */
    size = torn(parts, 16);
    CHECK(writev(fd, parts, 16) == (ssize_t)size);
    comes_back(fd, ECHO, size);
    torn(parts, 17);
    FAILS(writev(fd, parts, 17), EINVAL);
    for (i = 0; i < 33; i++) {
        parts[i].iov_base = pages[i];
        parts[i].iov_len = 1;
    }
    size = packet(ECHO, 32 - HEADER, 1);
    for (i = 0; i < 33; i++)
        pages[i][0] = message[i];
    CHECK(writev(fd, parts, 32) == (ssize_t)size);
    comes_back(fd, ECHO, size);
    packet(ECHO, 33 - HEADER, 1);
    for (i = 0; i < 33; i++)
        pages[i][0] = message[i];
    FAILS(writev(fd, parts, 33), EINVAL);

    /* More buffers than that: what fits the first request is the packet's end. */
    size = packet(own, 1000, 5);
    CHECK(write(fd, message, size) == (ssize_t)size);
    for (i = 0; i < 64; i++) {
        parts[i].iov_base = got + i * 16;
        parts[i].iov_len = 8;
    }
    CHECK(readv(fd, parts, 64) >= 31 * 8);

    /* Cut to the reader's buffer, within the payload and within the header; the rest is gone. */
    for (i = 1; i < 40; i += 3) {
        size = packet(ECHO, 20, i);
        CHECK(write(fd, message, size) == (ssize_t)size);
        CHECK(read(fd, got, i) == (ssize_t)(i < size ? i : size));
        CHECK(i <= HEADER || memcmp(got + HEADER, message + HEADER, (i < size ? i : size) - HEADER) == 0);
    }
    CHECK(read(fd, got, 0) == 0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    FAILS(read(fd, got, 1), EAGAIN);
    CHECK(fcntl(fd, F_SETFL, 0) == 0);

    /* No packets. */
    size = packet(ECHO, 10, 0);
    FAILS(write(fd, message, 1), EINVAL);
    FAILS(write(fd, message, HEADER - 1), EINVAL);
    FAILS(write(fd, message, size - 1), EINVAL);
    FAILS(write(fd, message, size + 1), EINVAL);
    CHECK(write(fd, message, 0) == 0);
    header.dpkt_destination = ECHO;
    for (i = 0; i < 4; i++) {
        header.dpkt_length = (uint32_t[]){ 1, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0 }[i];
        FAILS(write(fd, &header, HEADER), EINVAL);
    }
    FAILS(write(fd, message, packet(ECHO, DUCT_MAX_PACKET + 1, 0)), EMSGSIZE);
    FAILS(write(fd, message, packet(ECHO, 40000, 0)), EMSGSIZE);
    FAILS(write(fd, message, packet(ECHO, 200000, 0)), EMSGSIZE);
    FAILS(write(fd, message, (size_t)1 << 31), EMSGSIZE);
    FAILS(write(fd, message, ((size_t)1 << 32) + 26), EMSGSIZE);
    CHECK(write(fd, message, (size_t)-1) == -1 && (errno == EINVAL || errno == EFAULT));
    FAILS(write(fd, (void *)8, 26), EFAULT);
    /* None of these was sent. */
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    FAILS(read(fd, got, sizeof got), EAGAIN);
    CHECK(fcntl(fd, F_SETFL, 0) == 0);
    size = packet(ECHO, 3, 9);
    CHECK(write(fd, message, size) == (ssize_t)size);
    /* A reader with absurdly much room. */
    CHECK(read(fd, got, (size_t)1 << 31) == (ssize_t)size);
    return DONE;
}
