import ArgumentParser

struct Demo: ParsableCommand {
    func run() throws { throw Failure.cannotRun("not in this build") }
}
