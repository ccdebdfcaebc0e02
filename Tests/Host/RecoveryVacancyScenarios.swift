// RecoveryVacancyScenarios.swift - ranks that stay without a process, and what notices a broken recovery.

import MusterCore
import MusterCore.Testing
import Glibc
import Muster

/// Arguments: kind, schedule. Nobody can be started, so the others do a dead rank's work; later it has a
/// process again.
func vacant(_ arguments: [String]) throws {
    let kind = try Kind(arguments, 0)
    let schedule = try schedule(arguments, 1)
    try leavingNothing("vacant") {
        let team = try Debt.team(3)
        _ = try members(of: team)
        var threads = [pthread_t]()
        // A second thread: from then on no worker can be forked.
        let deadly = 150
        let gate = Tokens(0)
        var thread = pthread_t()
        let descriptor = UnsafeMutableRawPointer(bitPattern: Int(gate.ends.0) + 1)
        pthread_create(
            &thread, nil,
            { argument in
                var wanted = pollfd(
                    fd: Int32(Int(bitPattern: argument) - 1), events: Int16(POLLIN), revents: 0)
                poll(&wanted, 1, -1)
                return nil
            }, descriptor)
        threads.append(thread)
        var dead = -1
        try Trial(kind: kind, schedule: schedule, deadly: deadly, deaths: 1).run(team) {
            report, failure in
            try claim(failure == nil, "\(failure.map { "\($0)" } ?? "")")
            try claim(report.isClean, "\(report)")
            try claim(equal: report.deaths.map(\.chunk), [deadly], "deaths")
            dead = report.deaths[0].rank
            try claim(equal: report.vacantRanks, [dead], "\(report)")
            try claim("\(report)".contains("vacant: rank \(dead)"), "\(report)")
        }
        // Once more, now vacant from the start.
        try Trial(kind: kind, schedule: schedule).run(team) { report, failure in
            try claim(failure == nil && report.isClean, "\(report)")
            try claim(equal: report.vacantRanks, [dead], "\(report)")
        }
        _ = Glibc.write(gate.ends.1, "x", 1)
        pthread_join(thread, nil)
        gate.give()
        try Trial(kind: kind, schedule: schedule).run(team) { report, failure in
            try claim(failure == nil && report.isClean, "\(report)")
            try claim(report.vacantRanks.isEmpty, "\(report)")
        }
        _ = try members(of: team)
    }
}

/// A kernel that kills all its workers everywhere: an end, and a usable team.
func hopeless(_: [String]) throws {
    try leavingNothing("hopeless") {
        let team = try Debt.team(3)
        for schedule in Schedule.allCases {
            let error = try refusal("all die") {
                try team.run(DieAll(), count: 300, grain: 1, schedule: schedule)
            }
            try claim(equal: error.code, .quarantined, "\(error)")
            try claim(error.report!.quarantined.count >= 64, "\(error)")
            try claim(equal: error.report!.exactlyOnce, 0, "chunks")
            _ = try members(of: team)
        }
    }
}

/// Argument: enum muster_breakage. With the protocol broken so, the checks above must fail.
func canary(_ arguments: [String]) throws {
    let breakage = muster_breakage(UInt32(try number(arguments, 0)))
    muster_testing_break(breakage)
    defer { muster_testing_break(MUSTER_BROKEN_NOT) }
    var noticed = 0
    for kind in Kind.allCases {
        for schedule in [Schedule.static, .dynamic, .staticSteal] {
            for deadly in [1, 150] {
                let team = try Debt.team(3)
                do {
                    // A first loop, for what it leaves in the rolls.
                    try Trial(kind: .outOfPlace, schedule: .cyclic).run(team) { report, failure in
                        try expectClean(report, failure, deaths: 0...0, "the first loop")
                    }
                    try Trial(kind: kind, schedule: schedule, deadly: deadly, deaths: 1).run(team) {
                        report, failure in
                        try expectClean(report, failure, deaths: 1...1, "the second loop")
                    }
                } catch {
                    noticed += 1
                    print("\(kind.rawValue), \(schedule): \(error)")
                }
            }
        }
    }
    print("noticed \(noticed) times")
    try claim((noticed > 0) == (breakage != MUSTER_BROKEN_NOT), "noticed \(noticed) times")
}
