/*
 * For programs that were written for BSD and include this header: what they use of it.
 *
 * BSD's macros for ioctl numbers are not here. The numbers of this device are Linux', and so are its
 * macros; see sys/ioctl.h.
 */
#ifndef DUCT_SYS_IOCCOM_H
#define DUCT_SYS_IOCCOM_H

#include <sys/ioctl.h>

/* What BSD's sys/cdefs.h, and no other, calls a function that does not return. */
#ifndef __dead
#define __dead __attribute__((__noreturn__))
#endif

#endif
