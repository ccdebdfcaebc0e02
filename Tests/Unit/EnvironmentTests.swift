/// environment.h: every launcher of the table, what wins, what contradicts, and each error.

import MusterCore
import Glibc
import Testing

private struct Found {
    let status: Int32
    let hostRank: UInt32
    let hostSize: UInt32
    let rank: String?
    let size: String?
    let text: String
}

private func text(_ line: [CChar]) -> String {
    line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}

/// Reads an environment as if it were the process's.
private func read(_ variables: [String]) -> Found {
    var texts: [UnsafePointer<CChar>?] = variables.map { UnsafePointer(strdup($0)) }
    texts.append(nil)
    defer { for text in texts { free(UnsafeMutableRawPointer(mutating: text)) } }
    var found = muster_environment()
    let status = muster_environment_read(texts, &found)
    var line = [CChar](repeating: 0, count: 512)
    #expect(muster_environment_describe(status, &found, &line, line.count) == 0)
    return Found(
        status: status, hostRank: found.host_rank, hostSize: found.host_size,
        rank: found.rank.name.map { String(cString: $0) },
        size: found.size.name.map { String(cString: $0) }, text: text(line))
}

@Suite struct EnvironmentTests {
    @Test func withoutAnyLauncherThisIsTheOnlyHost() {
        for variables in [[], ["PATH=/bin", "OMPI_COMM_WORLD_RANKS=3", "PMI_RANK="]] {
            let found = read(variables)
            #expect(found.status == 0)
            #expect(found.hostRank == 0 && found.hostSize == 1 && found.rank == nil)
            #expect(found.text == "no other launcher")
        }
    }

    @Test(arguments: [
        ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "Open MPI"],
        ["PMI_RANK", "PMI_SIZE", "PMI"],
        ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "Slurm"],
        ["FLUX_TASK_RANK", "FLUX_JOB_SIZE", "Flux"],
        ["MUSTER_HOST_RANK", "MUSTER_HOST_SIZE", "set by hand"],
    ])
    func eachLauncherIsRecognised(names: [String]) {
        let found = read(["HOME=/", "\(names[0])=2", "\(names[1])=3", "TERM=dumb"])
        #expect(found.status == 0)
        #expect(found.hostRank == 2 && found.hostSize == 3)
        #expect(found.rank == names[0] && found.size == names[1])
        #expect(
            found.text
                == "host 2 of 3 by \(names[0]) and \(names[1]) (\(names[2]))")
        #expect(read(["\(names[0])=3", "\(names[1])=3"]).status == -ERANGE)
        #expect(read(["\(names[0])=x", "\(names[1])=3"]).status == -EINVAL)
        #expect(read(["\(names[0])=0", "\(names[1])=2147483648"]).status == -EINVAL)
        #expect(read(["\(names[0])=-1", "\(names[1])=3"]).status == -EINVAL)
        #expect(read(["\(names[0])=1 ", "\(names[1])=3"]).status == -EINVAL)
    }

    @Test func launchersThatGiveNoSizeTakeItFromOneThatDoes() {
        for name in ["PMIX_RANK", "JOB_COMPLETION_INDEX"] {
            let alone = read(["\(name)=1"])
            #expect(alone.status == -ENODATA && alone.rank == name && alone.size == nil)
            #expect(alone.text.contains("\(name)=1") && alone.text.contains("set MUSTER_HOST_SIZE"))
            let helped = read(["\(name)=1", "MUSTER_HOST_SIZE=4"])
            #expect(helped.status == 0 && helped.hostRank == 1 && helped.hostSize == 4)
        }
        let flux = read(["PMIX_RANK=1", "FLUX_TASK_RANK=1", "FLUX_JOB_SIZE=2"])
        #expect(flux.status == 0 && flux.rank == "PMIX_RANK" && flux.size == "FLUX_JOB_SIZE")
        #expect(flux.text == "host 1 of 2 by PMIX_RANK (PMIx) and FLUX_JOB_SIZE (Flux)")
    }

    @Test func launchersInOneAnotherAreOneWhereTheyAgree() {
        let found = read([
            "PMIX_RANK=1", "OMPI_COMM_WORLD_RANK=1", "SLURM_PROCID=1", "OMPI_COMM_WORLD_SIZE=2",
            "SLURM_STEP_NUM_TASKS=2",
        ])
        #expect(found.status == 0 && found.hostRank == 1 && found.hostSize == 2)
        #expect(found.rank == "OMPI_COMM_WORLD_RANK" && found.size == "OMPI_COMM_WORLD_SIZE")
    }

    @Test func aDisagreementNamesBoth() {
        let ranks = read([
            "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2", "SLURM_PROCID=0",
            "SLURM_STEP_NUM_TASKS=2",
        ])
        #expect(ranks.status == -ENOTUNIQ)
        #expect(ranks.rank == "OMPI_COMM_WORLD_RANK" && ranks.size == "SLURM_PROCID")
        #expect(
            ranks.text.hasPrefix(
                "OMPI_COMM_WORLD_RANK=1 (Open MPI) and SLURM_PROCID=0 (Slurm) disagree: unset "))
        let sizes = read(["PMI_RANK=1", "PMI_SIZE=2", "FLUX_TASK_RANK=1", "FLUX_JOB_SIZE=4"])
        #expect(sizes.status == -ENOTUNIQ)
        #expect(sizes.rank == "PMI_SIZE" && sizes.size == "FLUX_JOB_SIZE")
    }

    @Test func whatIsSetByHandEndsADisagreement() {
        let quarrel = ["PMI_RANK=0", "PMI_SIZE=2", "FLUX_TASK_RANK=1", "FLUX_JOB_SIZE=2"]
        #expect(read(quarrel).status == -ENOTUNIQ)
        let settled = read(quarrel + ["MUSTER_HOST_RANK=1"])
        #expect(settled.status == 0 && settled.hostRank == 1 && settled.hostSize == 2)
        #expect(settled.rank == "MUSTER_HOST_RANK" && settled.size == "PMI_SIZE")
        let sized = read(["MUSTER_HOST_SIZE=5", "PMI_RANK=0", "PMI_SIZE=bad"])
        #expect(sized.status == 0 && sized.hostSize == 5 && sized.rank == "PMI_RANK")
        let unranked = read(["MUSTER_HOST_SIZE=5"])
        #expect(unranked.status == -ENODATA && unranked.text.contains("set MUSTER_HOST_RANK"))
        #expect(unranked.rank == nil && unranked.size == "MUSTER_HOST_SIZE")
        // Another launcher's size without a rank is no launcher.
        let sizeOnly = read(["PMI_SIZE=2"])
        #expect(sizeOnly.status == 0 && sizeOnly.hostSize == 1 && sizeOnly.rank == nil)
    }

    /// sbatch gives its script SLURM_PROCID=0 and SLURM_NTASKS, though it is only one process.
    @Test func aBatchScriptIsNoTaskOfSlurm() {
        let found = read(["SLURM_PROCID=0", "SLURM_NTASKS=8", "SLURM_JOB_ID=7"])
        #expect(found.status == 0 && found.hostSize == 1 && found.rank == nil)
    }

    @Test func aTeamInATeamIsAHostOfIt() {
        let inner = [
            "MUSTER_TEAM=x", "MUSTER_GLOBAL_RANK=3", "MUSTER_GLOBAL_SIZE=4",
            "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2",
        ]
        let found = read(inner)
        #expect(found.status == 0 && found.hostRank == 3 && found.hostSize == 4)
        #expect(found.rank == "MUSTER_GLOBAL_RANK")
        #expect(read(inner + ["MUSTER_HOST_RANK=0", "MUSTER_HOST_SIZE=1"]).hostSize == 1)
        // Left over from a team that is not there, they say nothing.
        #expect(read(Array(inner.dropFirst())).hostRank == 1)
        #expect(read(["MUSTER_TEAM=x", "MUSTER_GLOBAL_RANK=y"]).status == -EINVAL)
    }

    @Test func aLineNeedsRoom() {
        var found = muster_environment()
        var line = [CChar](repeating: 1, count: 8)
        #expect(muster_environment_describe(0, &found, &line, 0) == -EINVAL)
        #expect(muster_environment_describe(0, &found, &line, 4) == 0)
        #expect(text(line) == "no ")
        #expect(muster_environment_describe(-ENOMEM, &found, &line, 8) == 0)
    }
}
