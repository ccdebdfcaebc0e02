import ArgumentParser

struct Stats: ParsableCommand {
    func run() throws { throw Failure.cannotRun("not in this build") }
}
