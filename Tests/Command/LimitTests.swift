// LimitTests.swift - the tool under resource limits that Tests/Limits does not step through, or not in a
// debug build.

import Foundation
import Testing

@Suite struct LimitTests {
    @Test("CPU time that is used up is named, also where the kernel kills without a sign")
    func processorTime() throws {
        for (limit, words) in [
            ("ulimit -St 1", "signal 24 (SIGXCPU): it used more CPU time than RLIMIT_CPU allows"),
            ("ulimit -t 1", "to a program that has used 1 s of CPU time (ulimit -Ht)"),
        ] {
            let run = try CommandRunner.run(
                [
                    "-c", "\(limit); exec \"$0\" run -n 1 -- sh -c 'while :; do :; done'",
                    CommandRunner.muster,
                ], program: "/bin/sh")
            #expect(run.errors.contains(words), "\(run)")
        }
    }

    /// In a debug build the functions' frames are several times as large.
    @Test("A stack of 128 KiB is enough")
    func smallStack() throws {
        #if DEBUG
            let kibibytes = 192
        #else
            let kibibytes = 128
        #endif
        let folder = try TemporaryFolder()
        let file = folder.path("small.npy")
        let values = (0..<20_000).map(Double.init)
        try Data(StatsFiles.npy(values)).write(to: URL(fileURLWithPath: file))
        let run = try CommandRunner.run(
            [
                "-c", "ulimit -s \(kibibytes); exec \"$0\" stats -n 2 \"$1\"", CommandRunner.muster,
                file,
            ],
            program: "/bin/sh")
        #expect(run.status == 0 && run.output.contains("each exactly once"), "\(run)")
    }
}
