// nothing.swift - what any program in Swift does that has Foundation, as the tool has: what it can't do,
// the tool can't do either.
import Foundation

let words = CommandLine.arguments.map { "\($0.count)" }.sorted()
print(words.isEmpty ? "" : "alive")
