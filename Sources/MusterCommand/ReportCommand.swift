// ReportCommand.swift - `muster report`: a saved report of `muster bench` again, as text, CSV or a page.

import ArgumentParser

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Shows a saved report of muster bench again.",
        discussion: """
            EXAMPLES
              muster report before.json                     as text
              muster report before.json --html before.html  as a page
              muster report before.json --csv -             as CSV
            """)

    @Argument(help: "What muster bench --save, or --json, has written.", completion: .file())
    var file: String

    @Option(help: ArgumentHelp("Write one self-contained page; -: to stdout.", valueName: "file"))
    var html: String?

    @Option(help: ArgumentHelp("Write a row a figure as CSV; -: to stdout.", valueName: "file"))
    var csv: String?

    @Option(help: "Colours: auto (a terminal, unless NO_COLOR is set), always, never.")
    var color: ColorChoice = .auto

    func run() throws {
        color.apply()
        let report = try BenchReport(file: file)
        // Who asks for a file wants no text beside it.
        if html != nil || csv != nil {
            try ReportFiles.write(report, csv: csv, html: html)
        } else {
            report.print()
        }
    }

    func validate() throws {
        if csv == "-" && html == "-" {
            throw ValidationError("--csv - and --html -: one of them has standard output")
        }
    }
}
