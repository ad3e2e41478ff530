/*
 * For programs that were written for OpenBSD's duct(4): duct.h under the name that they include.
 *
 * What else they need is in libbsd: cc $(pkg-config --cflags --libs libbsd-overlay duct) FILE.
 */
#ifndef DUCT_DEV_DUCTVAR_H
#define DUCT_DEV_DUCTVAR_H

#include <sys/types.h>

#include "../duct.h"
#include "../sys/ioccom.h"

#endif
