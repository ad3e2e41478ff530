/* ioctl: what the card is, filters with each of their errors, numbers that are none. */
#include "check.h"

int main(int argc, char **argv)
{
    int fd = opened(argv, O_RDWR), i;
    struct duct_info_arg info;
    struct duct_mcast_arg group = { 0xFFFF0000, 0x80010000 }, none = { 0xFFFF0000, 0x80020000 };
    struct duct_mcast_arg no_mask = { 0x7FFFFFFF, 0x80000001 }, no_address = { 0x80000000, 1 };
    size_t size;

    CHECK(ioctl(fd, DUCTIOC_GET_INFO, &info) == 0);
    CHECK(info.duct_major == 2 && info.duct_minor == 1 && info.duct_hwaddr != 0);

    CHECK(ioctl(fd, DUCTIOC_ADD_MCAST, &group) == 0);
    size = packet(0x8001BEEF, 5, 1);
    CHECK(write(fd, message, size) == (ssize_t)size);
    comes_back(fd, info.duct_hwaddr, size);
    FAILS(ioctl(fd, DUCTIOC_RM_MCAST, &none), ENOENT);
    CHECK(ioctl(fd, DUCTIOC_RM_MCAST, &group) == 0);
    FAILS(ioctl(fd, DUCTIOC_RM_MCAST, &group), ENOENT);
    FAILS(ioctl(fd, DUCTIOC_ADD_MCAST, &no_mask), EINVAL);
    FAILS(ioctl(fd, DUCTIOC_ADD_MCAST, &no_address), EINVAL);
    FAILS(ioctl(fd, DUCTIOC_RM_MCAST, &no_mask), EINVAL);
    for (i = 0; i < 15; i++) {
        group.duct_addr = 0x80030000 + (i << 16);
        CHECK(ioctl(fd, DUCTIOC_ADD_MCAST, &group) == 0);
    }
    FAILS(ioctl(fd, DUCTIOC_ADD_MCAST, &none), ENOSPC);

    /* The whole number counts: group, number, size and direction. */
    FAILS(ioctl(fd, _IOR('z', 3, struct duct_info_arg), &info), ENOTTY);
    FAILS(ioctl(fd, _IOR('y', 0, struct duct_info_arg), &info), ENOTTY);
    FAILS(ioctl(fd, _IOR('z', 0, struct duct_mcast_arg), &info), ENOTTY);
    FAILS(ioctl(fd, _IOW('z', 0, struct duct_info_arg), &info), ENOTTY);
    FAILS(ioctl(fd, _IOWR('z', 1, struct duct_mcast_arg), &group), ENOTTY);
    FAILS(ioctl(fd, _IO('z', 0)), ENOTTY);
    CHECK(!isatty(fd));
    FAILS(ioctl(fd, DUCTIOC_GET_INFO, (void *)8), EFAULT);
    return DONE;
}
