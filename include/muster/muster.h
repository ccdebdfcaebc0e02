/* muster.h - all of Muster's C API. The functions of leader.h are in libmuster.so only. */
#ifndef MUSTER_H
#define MUSTER_H

#include <muster/base.h>
#include <muster/bulk.h>
#include <muster/chunk.h>
#include <muster/environment.h>
#include <muster/exact.h>
#include <muster/kernel.h>
#include <muster/leader.h>
#include <muster/member.h>
#include <muster/report.h>
#include <muster/schedule.h>
#include <muster/types.h>

#endif
