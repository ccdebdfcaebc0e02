import ArgumentParser

struct Bench: ParsableCommand {
    func run() throws { throw Failure.cannotRun("not in this build") }
}
