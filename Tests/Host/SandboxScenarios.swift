// SandboxScenarios.swift - other programs under a filter that refuses system calls.

import MusterCore.Testing
@preconcurrency import Glibc

/// `refused placement-refused|affinity-refused|residency-refused PROGRAM ARGUMENTS...`: becomes that
/// program, to which the kernel refuses placement, affinity, or to say where pages lie.
func refused(_ arguments: [String]) throws {
    try claim(arguments.count >= 2, "what is refused, and a program")
    let what =
        switch arguments[0] {
        case "affinity-refused": MUSTER_REFUSE_AFFINITY
        case "residency-refused": MUSTER_REFUSE_RESIDENCY
        default: MUSTER_REFUSE_PLACEMENT
        }
    try claim(equal: muster_testing_refuse(what), 0, "a seccomp filter")
    var pointers = arguments.dropFirst().map { strdup($0) } + [nil]
    execv(arguments[1], &pointers)
    throw Failure(description: "can't run \(arguments[1])")
}
