// swift-tools-version: 6.1
import PackageDescription

// Where Muster is cloned from; the tests give a clone of this repository.
let muster = Context.environment["MUSTER_URL"] ?? "URL of Muster's repository"

let package = Package(
    name: "normalize",
    dependencies: [.package(url: muster, branch: "main")],
    targets: [
        .executableTarget(
            name: "normalize", dependencies: [.product(name: "Muster", package: "muster")],
            path: "Sources")
    ]
)
