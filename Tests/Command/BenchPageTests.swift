// BenchPageTests.swift - the page of a report in a real browser: headless Chromium lays it out, as wide as
// a desk's screen and as a telephone's, light and dark, and tells what it sees.

import Foundation
import Muster
import Testing

/// Where Chromium is; nil: not installed (apt-get install chromium).
private let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }

@Suite(
    "muster bench: the page, rendered",
    .enabled(if: chromium != nil, "needs Chromium: apt-get install chromium"), .serialized)
struct BenchPageTests {
    /// Measures the page once it is laid out, and leaves the result as its title.
    private static let probe = """
        <script>
        function boxes(selector, inside) {
            return [...inside.querySelectorAll(selector)].map(e => e.getBoundingClientRect());
        }
        function meet(a, b) {
            const slack = 1;
            return a.left < b.right - slack && b.left < a.right - slack
                && a.top < b.bottom - slack && b.top < a.bottom - slack;
        }
        let overlaps = 0, outside = 0, small = 1000, words = 0, faults = [];
        for (const plot of document.querySelectorAll("svg.plot")) {
            const frame = plot.getBoundingClientRect(), all = boxes("text", plot);
            const said = i => plot.getAttribute("aria-label") + ": "
                + plot.querySelectorAll("text")[i].textContent;
            words += all.length;
            all.forEach((a, i) => {
                small = Math.min(small, a.height);
                if (a.left < frame.left - 1 || a.right > frame.right + 1) outside++;
                all.forEach((b, j) => {
                    if (j <= i || !meet(a, b)) return;
                    overlaps++;
                    faults.push(said(i) + " on " + said(j));
                });
            });
        }
        const sections = boxes("section", document);
        sections.forEach((a, i) => sections.forEach((b, j) => { if (j > i && meet(a, b)) overlaps++; }));
        function luminance(color) {
            const c = color.match(/[0-9.]+/g).map(Number).slice(0, 3).map(v => v / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
        }
        const style = getComputedStyle(document.body);
        const [ink, paper] = [luminance(style.color), luminance(style.backgroundColor)];
        document.title = JSON.stringify({
            width: innerWidth, scroll: document.documentElement.scrollWidth, overlaps, outside, small, faults,
            words, plots: document.querySelectorAll("svg.plot").length,
            heats: document.querySelectorAll("table.heat").length, dark: paper < ink,
            contrast: (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05),
            requests: performance.getEntriesByType("resource").length,
        });
        </script>
        """

    private func render(
        _ page: String, width: Int, isDark: Bool, _ folder: TemporaryFolder
    ) throws -> [String: Any] {
        let probed = page.replacing("</body>", with: Self.probe + "</body>")
        let file = try folder.write("page.html", Array(probed.utf8))
        // A frame of the wanted width: a headless window is never narrower than some 500 pixels.
        let frame = """
            <!DOCTYPE html><title>none</title><body style="margin:0">
            <iframe id="page" src="page.html" style="width:\(width)px;height:3000px;border:0"></iframe>
            <script>page.onload = () => document.title = page.contentDocument.title</script>
            """
        _ = try folder.write("frame.html", Array(frame.utf8))
        let result = try CommandRunner.run(
            [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--allow-file-access-from-files", "--user-data-dir=\(folder.path("profile"))",
                "--window-size=\(max(width, 600)),3000", "--virtual-time-budget=4000",
                "--blink-settings=preferredColorScheme=\(isDark ? 0 : 1)", "--dump-dom",
                "file://" + file.replacing("page.html", with: "frame.html"),
            ], program: chromium!)
        let start = try #require(result.output.range(of: "<title>"), "\(result.errors)").upperBound
        let end = try #require(result.output.range(of: "</title>")).lowerBound
        let title = result.output[start..<end].replacing("&quot;", with: "\"")
        let value = try JSONSerialization.jsonObject(with: Data(title.utf8))
        return try #require(value as? [String: Any])
    }

    @Test(
        "Nothing overlaps, sticks out or is too small to read, and nothing is fetched",
        arguments: [1280, 400], [false, true])
    func layout(width: Int, isDark: Bool) throws {
        let folder = try TemporaryFolder()
        let page = try QuickTour.shared.get().file("tour.html")
        let seen = try render(page, width: width, isDark: isDark, folder)
        #expect(seen["width"] as? Int == width)
        #expect(seen["scroll"] as? Int ?? .max <= width, "the page is wider than its window")
        #expect(seen["overlaps"] as? Int == 0 && seen["outside"] as? Int == 0, "\(seen)")
        #expect(seen["plots"] as? Int ?? 0 >= 9 && seen["words"] as? Int ?? 0 > 100)
        #expect(seen["heats"] as? Int ?? 0 >= (try Topology.read().usableCPUCount > 1 ? 2 : 0))
        #expect(seen["small"] as? Double ?? 0 >= 9, "the height of the smallest text, in pixels")
        #expect(seen["dark"] as? Bool == isDark)
        #expect(seen["contrast"] as? Double ?? 0 >= 7)
        #expect(seen["requests"] as? Int == 0)
    }
}
