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

    @OptionGroup var forms: ReportForms

    func validate() throws { try forms.validate() }

    func run() throws {
        forms.color.apply()
        let report = try BenchReport(file: file)
        // With a file no text is wanted.
        if forms.paths.isEmpty { return report.print() }
        try forms.write(report)
    }
}
