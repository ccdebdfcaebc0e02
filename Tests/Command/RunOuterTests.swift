// RunOuterTests.swift - `muster run` inside another launcher: mpirun of Open MPI and of MPICH, and what their
// like leave in the environment.

import Foundation
import Testing

/// The first of these programs that is there.
private func program(_ names: String...) -> String? {
    names.map { "/usr/bin/\($0)" }.first { access($0, X_OK) == 0 }
}

private let openMPI = program("mpirun.openmpi")
private let mpich = program("mpirun.mpich", "mpiexec.hydra")

@Suite struct RunOuterTests {
    private static let script =
        "echo $MUSTER_GLOBAL_RANK/$MUSTER_GLOBAL_SIZE $MUSTER_RANK/$MUSTER_SIZE"
    private static let lines = ["0/4 0/2", "1/4 1/2", "2/4 0/2", "3/4 1/2"]

    private func check(_ launcher: String, _ options: [String], _ variables: String) throws {
        let result = try CommandRunner.run(
            options + [
                "-n", "2", CommandRunner.muster, "run", "-n", "2", "--", "sh", "-c", Self.script,
            ],
            program: launcher)
        #expect(result.status == 0, "\(result)")
        #expect(result.output.split(separator: "\n").sorted().map(String.init) == Self.lines)
        for host in 0..<2 {
            let note =
                "muster: note: host \(host) of 2 by \(variables): global ranks "
                + "\(2 * host)-\(2 * host + 1) of 4"
            #expect(result.errorLines.contains(Substring(note)), "\(result.errors)")
        }
        // The exit status of a rank is the launcher's too.
        let failing = try CommandRunner.run(
            options + [
                "-n", "2", CommandRunner.muster, "run", "-n", "2", "--", "sh", "-c", "exit 5",
            ],
            program: launcher)
        #expect(failing.status == 5, "\(failing)")
        // Without `muster run` between there is no team, and that is said.
        let bare = try CommandRunner.run(
            options + ["-n", "2", testHost, "member", "leave", "/"], program: launcher)
        #expect(bare.status != 0 && bare.output == "", "\(bare)")
        #expect(bare.errors.contains("of 2 by \(variables)"), "\(bare.errors)")
        #expect(bare.errors.contains("mpirun -n HOSTS muster run -n RANKS -- PROGRAM"))
    }

    @Test(
        "Inside Open MPI's mpirun",
        .enabled(if: openMPI != nil, "Open MPI is not here (apt-get install openmpi-bin)"))
    func insideOpenMPI() throws {
        try check(
            openMPI!, ["--allow-run-as-root", "--oversubscribe"],
            "OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE (Open MPI)")
    }

    @Test(
        "Inside MPICH's mpirun",
        .enabled(if: mpich != nil, "MPICH is not here (apt-get install mpich)"))
    func insideMPICH() throws { try check(mpich!, [], "PMI_RANK and PMI_SIZE (PMI)") }

    @Test(
        "Inside others, by what they leave in the environment",
        arguments: [
            ["SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"],
            ["FLUX_TASK_RANK": "1", "FLUX_JOB_SIZE": "2", "PMI_RANK": "1", "PMI_SIZE": "2"],
            ["JOB_COMPLETION_INDEX": "1", "MUSTER_HOST_SIZE": "2"],
            ["PMIX_RANK": "1", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"],
        ])
    func environments(_ variables: [String: String]) throws {
        let result = try runShell(["-n", "2"], Self.script, environment: variables)
        #expect(result.status == 0, "\(result)")
        let lines = result.output.split(separator: "\n").sorted().map(String.init)
        #expect(lines == Array(Self.lines[2...]))
        #expect(result.errorLines.count == 1 && result.errors.contains("host 1 of 2 by "))
    }

    @Test("A team in a team is a host of it")
    func nested() throws {
        let result = try CommandRunner.run([
            "run", "-n", "2", "--", CommandRunner.muster, "run", "-n", "2", "--", "sh", "-c",
            Self.script,
        ])
        #expect(result.status == 0, "\(result)")
        #expect(result.output.split(separator: "\n").sorted().map(String.init) == Self.lines)
    }

    @Test("Launchers that disagree are refused, both named; what gives no size too")
    func disagreement() throws {
        let result = try runShell(
            ["-n", "2"], "echo started",
            environment: [
                "PMI_RANK": "0", "PMI_SIZE": "2", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2",
            ])
        #expect(result.status == 2 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains("PMI_RANK=0 (PMI) and SLURM_PROCID=1 (Slurm) disagree"))
        let sizeless = try runShell(["-n", "2"], "echo started", environment: ["PMIX_RANK": "0"])
        #expect(sizeless.status == 2 && sizeless.output == "")
        #expect(sizeless.errors.contains("set MUSTER_HOST_SIZE"), "\(sizeless.errors)")
    }

    @Test("On several hosts -n must be given")
    func sizeOnSeveralHosts() throws {
        let result = try runShell(
            [], "echo started", environment: ["PMI_RANK": "0", "PMI_SIZE": "2"])
        #expect(result.status == 64 && result.output == "" && result.errorLines.count == 1)
        #expect(result.errors.contains("-n is missing"))
    }
}
