// OutputScenarios.swift - what kernels print, with the standard output of the leader a pipe or a file.

@preconcurrency import Glibc
import Muster

/// Prints a line in pieces, a dot without a line end and a line longer than a page a chunk; the first
/// process that is at the chunk of doom then leaves by `exit`.
struct Printing: Kernel {
    static let longBytes = 3000
    let doomed: Int

    func process(_ chunk: borrowing Chunk) throws {
        fputs("chunk ", stdout)
        print(chunk.index, terminator: " ")
        print("by a rank")
        print(String(repeating: "\(chunk.index % 10)", count: Printing.longBytes))
        fputs(".", stdout)
        if chunk.index == doomed {
            // The file tells the processes apart: ranks of a server share no other memory.
            let fuse = open("fuse", O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            if fuse >= 0 { exit(3) }
        }
    }
}

/// Arguments: pipe or file. What the output must be is for the test to say.
func outputOfKernels(_ arguments: [String]) throws {
    let isFile = arguments.first == "file"
    setvbuf(stdout, nil, _IOFBF, 0)  // as it is in any other program, where it is no terminal
    let pipe = dup(STDOUT_FILENO)
    if isFile {
        let file = open("output", O_RDWR | O_CREAT | O_TRUNC, 0o600)
        dup2(file, STDOUT_FILENO)
        close(file)
    }
    print("the leader's, before the team")
    let team = try Team(size: 3)
    let report = try team.run(Printing(doomed: 17), count: 40, grain: 1)
    unlink("fuse")
    print("the leader's, after the loop: \(report.deaths.count) deaths")
    fflush(stdout)
    if isFile {
        let text = contents(of: "output")
        unlink("output")
        dup2(pipe, STDOUT_FILENO)
        fputs(text, stdout)
        fflush(stdout)
    }
    close(pipe)
}
