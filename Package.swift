// swift-tools-version: 6.1
import PackageDescription

// Spans that are tied to a chunk need the Lifetimes feature; it is no unsafe flag, so packages that
// depend on this one by URL are not affected.
let settings: [SwiftSetting] = [.enableExperimentalFeature("Lifetimes")]

// The sanitizers' runs leave the tool out: it and its packages are most of a build.
let isLibraryOnly = Context.environment["MUSTER_LIBRARY_ONLY"] != nil

let package = Package(
    name: "muster",
    products: [
        .library(name: "Muster", targets: ["Muster"]),
        .library(name: "CMuster", type: .static, targets: ["CMuster"]),
        // C core and Swift in one, for C programs: CSources/install.sh makes libmuster.so of it.
        .library(name: "muster-dynamic", type: .dynamic, targets: ["Muster"]),
        .executable(name: "muster", targets: ["MusterCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/onevcat/Rainbow", from: "4.2.2"),
        .package(url: "https://github.com/ordo-one/TextTable", from: "0.0.2"),
    ],
    targets: [
        // CSources/include is a link to include/, so that headers stand at the top for C users too.
        .target(
            name: "CMuster", path: "CSources", exclude: ["install.sh", "install"],
            cSettings: [.headerSearchPath(".")],
            linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "Muster", dependencies: ["CMuster"], swiftSettings: settings),
        // What `muster run` is: users of the library don't link it.
        .target(name: "MusterLaunch", dependencies: ["Muster", "CMuster"]),
        .target(name: "MusterBench", dependencies: ["Muster", "CMuster"]),
        .executableTarget(
            name: "MusterCommand",
            dependencies: [
                "Muster", "MusterBench", "MusterLaunch", "Rainbow", "TextTable",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // What tests of all kinds share.
        .target(name: "TestSupport", path: "Tests/Support"),
        // Teams are forked, and a test runner has threads: team tests run in this helper program.
        .executableTarget(
            name: "muster-test-host",
            dependencies: ["Muster", "MusterLaunch", "CMuster", "TestSupport"],
            path: "Tests/Host",
            swiftSettings: settings),
        // Examples to read and to run; the Python one beside them needs no building.
        .executableTarget(
            name: "example-c-member", dependencies: ["CMuster"], path: "Tests/Examples/CMember"),
        .executableTarget(
            name: "example-cxx-member", dependencies: ["CMuster"], path: "Tests/Examples/CxxMember",
            linkerSettings: [.linkedLibrary("m")]),
        .executableTarget(
            name: "example-swift-member", dependencies: ["Muster"],
            path: "Tests/Examples/SwiftMember", swiftSettings: settings),
        .executableTarget(
            name: "example-swift-leader", dependencies: ["Muster"],
            path: "Tests/Examples/SwiftLeader", swiftSettings: settings),
        .executableTarget(
            name: "example-swift-stencil", dependencies: ["Muster"],
            path: "Tests/Examples/SwiftStencil", swiftSettings: settings),
        // Members are C programs with one thread, and so is what tests them.
        .executableTarget(
            name: "muster-test-member", dependencies: ["CMuster"], path: "Tests/MemberHost",
            cSettings: [.headerSearchPath("../../CSources")]),
        .testTarget(
            name: "UnitTests", dependencies: ["Muster", "CMuster", "TestSupport"],
            path: "Tests/Unit"),
        .testTarget(
            name: "ExhaustiveTests", dependencies: ["CMuster", "TestSupport"],
            path: "Tests/Exhaustive"),
        .testTarget(
            name: "ModelTests", dependencies: ["CMuster", "TestSupport"], path: "Tests/Model"),
        .testTarget(
            name: "RecordedHostTests", dependencies: ["CMuster", "TestSupport"],
            path: "Tests/RecordedHosts",
            exclude: ["Hosts"]),
        .testTarget(
            name: "FaultTests", dependencies: ["CMuster", "TestSupport", "muster-test-host"],
            path: "Tests/Fault"),
        .testTarget(
            name: "CrashTests",
            dependencies: ["CMuster", "TestSupport", "muster-test-host", "muster-test-member"],
            path: "Tests/Crash"),
        .testTarget(
            name: "StressTests", dependencies: ["Muster", "CMuster", "TestSupport"],
            path: "Tests/Stress",
            swiftSettings: settings),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "MusterCommand", "Muster", "TestSupport", "muster-test-host", "example-c-member",
                "example-cxx-member", "example-swift-member", "example-swift-leader",
                "example-swift-stencil",
            ],
            path: "Tests/Command",
            exclude: [
                "compare_numpy.py", "exact_arrays.py", "exact_kernels.py", "exact_statistics.py",
                "numpy_readers.py",
            ]),
    ],
    cxxLanguageStandard: .cxx17
)

if isLibraryOnly {
    let tool = [
        "MusterCommand", "CommandTests", "example-c-member", "example-cxx-member",
        "example-swift-member", "example-swift-leader", "example-swift-stencil",
    ]
    package.products.removeAll { $0.name == "muster" }
    package.targets.removeAll { tool.contains($0.name) }
    package.dependencies = []
}
