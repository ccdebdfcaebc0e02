/* core.h - what the Swift library and the tests stand on: all of the C core. Not installed, and no
 * promise: any of it may change from one version to the next. */
#ifndef MUSTER_CORE_CORE_H
#define MUSTER_CORE_CORE_H

#include <muster/muster.h>

#include <muster/core/binding.h>
#include <muster/core/channels.h>
#include <muster/core/check.h>
#include <muster/core/child.h>
#include <muster/core/fault.h>
#include <muster/core/file.h>
#include <muster/core/host.h>
#include <muster/core/journal.h>
#include <muster/core/launcher.h>
#include <muster/core/limits.h>
#include <muster/core/loop.h>
#include <muster/core/mirror.h>
#include <muster/core/placement.h>
#include <muster/core/pool.h>
#include <muster/core/populate.h>
#include <muster/core/probe.h>
#include <muster/core/roll.h>
#include <muster/core/schedule.h>
#include <muster/core/segment.h>
#include <muster/core/select.h>
#include <muster/core/server.h>
#include <muster/core/swap.h>
#include <muster/core/symbol.h>
#include <muster/core/team.h>
#include <muster/core/timeline.h>
#include <muster/core/topology.h>
#include <muster/core/tree.h>
#include <muster/core/work.h>

#endif
