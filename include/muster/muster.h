/* muster.h - all of Muster's C API. The functions of launch.h are in libmuster.so only. */
#ifndef MUSTER_H
#define MUSTER_H

#include <muster/base.h>
#include <muster/binding.h>
#include <muster/channels.h>
#include <muster/check.h>
#include <muster/child.h>
#include <muster/commit.h>
#include <muster/environment.h>
#include <muster/exact.h>
#include <muster/fault.h>
#include <muster/file.h>
#include <muster/host.h>
#include <muster/journal.h>
#include <muster/kernels.h>
#include <muster/launch.h>
#include <muster/launcher.h>
#include <muster/limits.h>
#include <muster/loop.h>
#include <muster/member.h>
#include <muster/mirror.h>
#include <muster/placement.h>
#include <muster/pool.h>
#include <muster/probe.h>
#include <muster/roll.h>
#include <muster/schedule.h>
#include <muster/segment.h>
#include <muster/select.h>
#include <muster/server.h>
#include <muster/swap.h>
#include <muster/symbol.h>
#include <muster/team.h>
#include <muster/timeline.h>
#include <muster/topology.h>
#include <muster/work.h>

#endif
