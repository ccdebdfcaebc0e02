import ArgumentParser

struct Hello: ParsableCommand {
    func run() throws { throw Failure.cannotRun("not in this build") }
}
