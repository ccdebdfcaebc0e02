/* environment.c - what the environment says about the launcher that started this process.
 *
 * Invariant: a rank or a size is only believed when no other launcher contradicts it.
 */
#define _GNU_SOURCE
#include <muster/environment.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define VALUE_MAX INT32_MAX

/* Sources of the names:
 *   Open MPI    Open MPI FAQ, "environment variables set for every process"; also what
 *               muster_join is measured against in the tests
 *   PMIx        PMIx standard 4.1, 2.1: PMIX_RANK and PMIX_NAMESPACE; the size only by a call
 *   PMI         MPICH, "Hydra: PMI environment"; also Slurm's --mpi=pmi2, Intel MPI, Flux
 *   Slurm       srun(1), OUTPUT ENVIRONMENT VARIABLES
 *   Flux        flux-environment(7)
 *   Kubernetes  "Indexed Job for Parallel Processing with Static Work Assignment" */
static const struct {
    uint32_t outer;
    bool is_task_only; /* without a size of its own the rank is no rank of a task */
    const char *launcher;
    const char *rank;
    const char *size; /* NULL: it gives none */
} launchers[] = {
    {MUSTER_OUTER_OPEN_MPI, false, "Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {MUSTER_OUTER_PMIX, false, "PMIx", "PMIX_RANK", NULL},
    {MUSTER_OUTER_PMI, false, "PMI", "PMI_RANK", "PMI_SIZE"},
    {MUSTER_OUTER_SLURM, true, "Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
    {MUSTER_OUTER_FLUX, false, "Flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE"},
    {MUSTER_OUTER_KUBERNETES, false, "Kubernetes", "JOB_COMPLETION_INDEX", NULL},
};

static const char host_rank[] = "MUSTER_HOST_RANK";
static const char host_size[] = "MUSTER_HOST_SIZE";

static const char *value_of(const char *const *variables, const char *name)
{
    size_t length = strlen(name);
    for (; variables && *variables; variables++)
        if (strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
            return *variables + length + 1;
    return NULL;
}

/* Reads one variable. Returns: 1: there, 0: absent, -EINVAL: no number. An empty one is absent:
 * that is how scripts take a variable back. */
static int hear(const char *const *variables, const char *name, const char *launcher,
                uint32_t outer, struct muster_environment_variable *heard)
{
    const char *text = name ? value_of(variables, name) : NULL;
    if (!text || *text == '\0')
        return 0;
    *heard = (struct muster_environment_variable){
        .name = name, .launcher = launcher, .value = 0, .outer = outer};
    return muster__text_number(text, VALUE_MAX, &heard->value) ? 1 : -EINVAL;
}

static int blame(struct muster_environment *found, struct muster_environment_variable first,
                 struct muster_environment_variable second, int status)
{
    found->rank = first;
    found->size = second;
    return status;
}

/* Hears a further launcher: what it says must be what the first one said. */
static int agree(struct muster_environment *found, struct muster_environment_variable *known,
                 struct muster_environment_variable heard)
{
    if (!known->name)
        *known = heard;
    else if (known->value != heard.value)
        return blame(found, *known, heard, -ENOTUNIQ);
    return 0;
}

/* Hears all launchers of the table. explicit_rank, explicit_size: that half is decided already, so
 * nobody may contradict it. */
static int hear_launchers(const char *const *variables, struct muster_environment *found,
                          bool explicit_rank, bool explicit_size)
{
    const struct muster_environment_variable nothing = {0};
    struct muster_environment_variable rank = found->rank, size = found->size;
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
        struct muster_environment_variable its_rank = nothing, its_size = nothing;
        const char *launcher = launchers[i].launcher;
        int has_rank = hear(variables, launchers[i].rank, launcher, launchers[i].outer, &its_rank);
        int has_size = hear(variables, launchers[i].size, launcher, launchers[i].outer, &its_size);
        if (has_rank == 0 || (has_size == 0 && launchers[i].is_task_only))
            continue;
        if (has_rank < 0 && !explicit_rank)
            return blame(found, its_rank, nothing, has_rank);
        if (has_size < 0 && !explicit_size)
            return blame(found, its_size, nothing, has_size);
        int status = explicit_rank ? 0 : agree(found, &rank, its_rank);
        if (status == 0 && has_size > 0 && !explicit_size)
            status = agree(found, &size, its_size);
        if (status)
            return status;
    }
    found->rank = rank;
    found->size = size;
    return 0;
}

int muster_environment_read(const char *const *variables, struct muster_environment *found)
{
    const struct muster_environment_variable nothing = {0};
    if (!variables)
        variables = (const char *const *)environ;
    struct muster_environment it = {.host_size = 1};
    *found = it;
    int explicit_rank = hear(variables, host_rank, "set by hand", MUSTER_OUTER_EXPLICIT, &it.rank);
    int explicit_size = hear(variables, host_size, "set by hand", MUSTER_OUTER_EXPLICIT, &it.size);
    if (explicit_rank < 0)
        return blame(found, it.rank, nothing, explicit_rank);
    if (explicit_size < 0)
        return blame(found, it.size, nothing, explicit_size);
    int status = 0;
    const char *team = value_of(variables, MUSTER_VARIABLE_TEAM);
    struct muster_environment_variable rank = nothing, size = nothing;
    if (team && *team &&
        (status = hear(variables, MUSTER_VARIABLE_GLOBAL_RANK, "muster run", MUSTER_OUTER_MUSTER,
                       &rank)) > 0 &&
        (status = hear(variables, MUSTER_VARIABLE_GLOBAL_SIZE, "muster run", MUSTER_OUTER_MUSTER,
                       &size)) > 0) {
        it.rank = explicit_rank ? it.rank : rank;
        it.size = explicit_size ? it.size : size;
        status = 0;
    } else if (status < 0) {
        return blame(found, size.name ? size : rank, nothing, status);
    } else {
        status = hear_launchers(variables, &it, explicit_rank > 0, explicit_size > 0);
    }
    if (status == 0 && !it.rank.name != !it.size.name)
        status = -ENODATA;
    if (status == 0 && it.rank.name && it.rank.value >= it.size.value)
        status = -ERANGE;
    if (status == 0 && it.rank.name) {
        it.host_rank = it.rank.value;
        it.host_size = it.size.value;
    }
    *found = it;
    return status;
}

static const char remedy[] = "unset what does not describe this process (env -u NAME ...), or set "
                             "MUSTER_HOST_RANK and MUSTER_HOST_SIZE";

int muster_environment_describe(int status, const struct muster_environment *found, char *text,
                                size_t size_bytes)
{
    if (size_bytes == 0)
        return -EINVAL;
    const struct muster_environment_variable *rank = &found->rank, *size = &found->size;
    const struct muster_environment_variable *one = rank->name ? rank : size;
    switch (status) {
    case 0:
        if (!rank->name)
            snprintf(text, size_bytes, "no other launcher");
        else if (rank->outer == size->outer)
            snprintf(text, size_bytes, "host %u of %u by %s and %s (%s)", found->host_rank,
                     found->host_size, rank->name, size->name, rank->launcher);
        else
            snprintf(text, size_bytes, "host %u of %u by %s (%s) and %s (%s)", found->host_rank,
                     found->host_size, rank->name, rank->launcher, size->name, size->launcher);
        break;
    case -ENOTUNIQ:
        snprintf(text, size_bytes, "%s=%u (%s) and %s=%u (%s) disagree: %s", rank->name,
                 rank->value, rank->launcher, size->name, size->value, size->launcher, remedy);
        break;
    case -ERANGE:
        snprintf(text, size_bytes, "%s=%u (%s) is not below %s=%u (%s): %s", rank->name,
                 rank->value, rank->launcher, size->name, size->value, size->launcher, remedy);
        break;
    case -EINVAL:
        snprintf(text, size_bytes, "%s (%s) is not a number: unset it, or set it right", one->name,
                 one->launcher);
        break;
    case -ENODATA:
        snprintf(text, size_bytes, "%s=%u (%s), but no variable gives the %s: set %s", one->name,
                 one->value, one->launcher,
                 rank->name ? "number of processes" : "number of this process",
                 rank->name ? host_size : host_rank);
        break;
    default:
        snprintf(text, size_bytes, "%s", muster_status_text(status));
    }
    return 0;
}
