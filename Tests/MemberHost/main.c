/* main.c - one scenario of a member test: `muster-test-member SCENARIO [arguments] [DIRECTORY]`.
 *
 * A scenario exits 0 when what it claims held, 1 with the reason on stderr, 3 when its watchdog
 * ended a hang. Plain C, as members are.
 */
#include <string.h>

#include "support.h"

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int (*run)(int count, char **arguments);
    } scenarios[] = {
        {"join-errors", join_errors},
        {"raised-join", raised_join},
        {"call-errors", call_errors},
        {"loop-errors", loop_errors},
        {"launcher-errors", launcher_errors},
        {"callers", callers},
        {"joining", joining},
        {"notes", notes},
        {"giving-up", giving_up},
        {"guard", guard},
        {"deaths", deaths},
        {"adoption", adoption},
        {"recovery", recovery},
        {"replacement", replacement},
        {"rows", rows},
        {"stray", stray},
        {"symbols", symbols},
        {"grandchild", grandchild},
        {"launcher-death", launcher_death},
        {"history", history},
        {"faults", faults},
        {"example", example},
        {"interruption", interruption},
        {"launcher-gone", launcher_gone},
        {"supervision", supervision},
        {"copies", copies},
        {"bench", bench},
    };
    for (size_t i = 0; count > 1 && i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(arguments[1], scenarios[i].name) == 0)
            return scenarios[i].run(count - 2, arguments + 2);
    fprintf(stderr, "no scenario %s\n", count > 1 ? arguments[1] : "given");
    return 2;
}
