/* affinity.c - threads bound to the CPU of their rank. */
#include "host/affinity.h"
#include <muster/core/binding.h>
#include <string.h>

#include "os/os.h"

/* What this thread could use before the first of `teams` bound it. Of a thread, since affinity is.
 */
static _Thread_local struct {
    uint32_t teams;
    uint64_t before[MUSTER__AFFINITY_BITS / 64];
} held;

int muster__affinity_get(uint64_t *mask, uint32_t mask_bits)
{
    if (held.teams == 0 || mask_bits > MUSTER__AFFINITY_BITS)
        return muster__os_affinity_get(mask, mask_bits);
    memcpy(mask, held.before, mask_bits / 8);
    return (int)(mask_bits / 8);
}

bool muster__affinity_is_held(void)
{
    return held.teams > 0;
}

static int bind(uint32_t cpu)
{
    uint64_t mask[MUSTER__AFFINITY_BITS / 64] = {0};
    if (cpu >= MUSTER__AFFINITY_BITS)
        return -EINVAL;
    mask[cpu / 64] = UINT64_C(1) << cpu % 64;
    return muster__os_affinity_set(mask, MUSTER__AFFINITY_BITS);
}

int muster_binding_enter(uint32_t cpu)
{
    held.teams = 0; /* a leader's, copied by the fork: this process will never restore it */
    return bind(cpu);
}

int muster_binding_leave_inherited(void)
{
    if (held.teams == 0)
        return 0;
    held.teams = 0;
    return muster__os_affinity_set(held.before, MUSTER__AFFINITY_BITS);
}

int muster_binding_hold(uint32_t cpu)
{
    int status = 0;
    if (held.teams == 0)
        status = muster__os_affinity_get(held.before, MUSTER__AFFINITY_BITS);
    if (status >= 0)
        status = bind(cpu);
    if (status == 0)
        held.teams++;
    return status;
}

void muster_binding_release(void)
{
    if (held.teams > 0 && --held.teams == 0)
        /* CPUs may have gone meanwhile; the kernel then leaves those that are there. */
        (void)muster__os_affinity_set(held.before, MUSTER__AFFINITY_BITS);
}
