// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [.enableExperimentalFeature("Lifetimes")]

let package = Package(
    name: "muster",
    products: [
        .library(name: "Muster", targets: ["Muster"]),
        .library(name: "CMuster", type: .static, targets: ["CMuster"]),
        //.executable(name: "muster", targets: ["MusterCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/onevcat/Rainbow", from: "4.2.2"),
        .package(url: "https://github.com/ordo-one/TextTable", from: "0.0.2"),
    ],
    targets: [
        .target(
            name: "CMuster", path: "CSources",
            linkerSettings: [.linkedLibrary("numa"), .linkedLibrary("dl")]),
        .target(name: "Muster", dependencies: ["CMuster"], swiftSettings: settings),
    ]
)
