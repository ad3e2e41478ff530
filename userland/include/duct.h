/*
 * The character device /dev/duct0: what programs in C need to know.
 *
 * A packet is written and read as a header and the payload behind it, in one call (write, writev;
 * read, readv), from 0 to DUCT_MAX_PACKET bytes of payload. Errors are told by errno:
 *
 *   write   EINVAL    shorter than a header, or dpkt_length is not the number of bytes behind it
 *           EMSGSIZE  more than a packet carries
 *           EAGAIN    no transmit slot is free, and the file is O_NONBLOCK
 *   read    EAGAIN    no packet waits, and the file is O_NONBLOCK
 *   ioctl   EINVAL    bit 31 is not set in both mask and address
 *           ENOSPC    the card has no room for another filter
 *           ENOENT    the card has no such filter
 *           ENOTTY    no call of this device
 *   each    EINTR     a signal came while the call waited; nothing was sent or taken, but a filter may
 *                     have been changed
 *           EIO       the card failed: close every file of it, and the next open resets it
 *           ENODEV, ENOTCONN, ECONNABORTED
 *                     whoever serves the device has ended
 *
 * A write returns when the card has sent the packet or, with O_NONBLOCK, when it is queued. A read
 * returns one packet, cut to the buffer. The buffers of a call touch at most 32 pages, where one that
 * crosses a boundary counts twice; 14 buffers always fit. Call numbers are Linux'.
 */
#ifndef DUCT_H
#define DUCT_H

#include <stdint.h>
#include <sys/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the longest payload. */
#define DUCT_MAX_PACKET 16384

/* What precedes the payload. */
struct duct_packet_hdr {
    uint32_t dpkt_source;      /* of a packet that was read: who sent it; else not used */
    uint32_t dpkt_destination; /* where it goes to; bit 31 set: a multicast address */
    uint32_t dpkt_length;      /* bytes of payload */
    uint32_t dpkt_reserved;    /* nothing */
};

/* What the card says of itself. */
struct duct_info_arg {
    uint32_t duct_major; /* version */
    uint32_t duct_minor;
    uint32_t duct_hwaddr; /* its own address */
};

/* A multicast filter: packets come whose destination agrees with the address in the mask's bits. */
struct duct_mcast_arg {
    uint32_t duct_mask;
    uint32_t duct_addr;
};

#define DUCTIOC_GET_INFO _IOR('z', 0, struct duct_info_arg)
#define DUCTIOC_ADD_MCAST _IOW('z', 1, struct duct_mcast_arg)
#define DUCTIOC_RM_MCAST _IOW('z', 2, struct duct_mcast_arg)

/*
 * Further calls, which OpenBSD's duct(4) does not have.
 */

/* What could be done at once. */
struct duct_ready_arg {
    uint32_t duct_next; /* bytes of the next packet's payload; DUCT_NO_PACKET if none waits */
    uint32_t duct_free; /* packets that could be queued */
};

#define DUCT_NO_PACKET 0xffffffffU
#define DUCT_FOREVER 0xffffffffU

/*
 * How many milliseconds calls on this open file may wait; then they end with ETIMEDOUT. A packet
 * that the card has by then is still sent.
 */
#define DUCTIOC_SET_TIMEOUT _IOW('z', 128, uint32_t)
/* End the calls on this open file that wait, now and later, with ECANCELED. */
#define DUCTIOC_CANCEL _IO('z', 129)
#define DUCTIOC_GET_READY _IOR('z', 130, struct duct_ready_arg)

#ifdef __cplusplus
}
#endif

#endif
