import ArgumentParser

struct TopologyCommand: ParsableCommand {
    func run() throws { throw Failure.cannotRun("not in this build") }
}
