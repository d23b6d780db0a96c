//! What the browser runs: the files of `page/` as they stand.

/// A file of the page: its name, its type, its text.
pub(crate) type Asset = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: &[Asset] = &[
    ("", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("page.css", "text/css; charset=utf-8", include_str!("../page/page.css")),
    ("page.js", SCRIPT, include_str!("../page/page.js")),
    ("store.js", SCRIPT, include_str!("../page/store.js")),
    ("topology.js", SCRIPT, include_str!("../page/topology.js")),
    ("timeline.js", SCRIPT, include_str!("../page/timeline.js")),
    ("charts.js", SCRIPT, include_str!("../page/charts.js")),
    ("curves.js", SCRIPT, include_str!("../page/curves.js")),
    ("panels.js", SCRIPT, include_str!("../page/panels.js")),
    ("controls.js", SCRIPT, include_str!("../page/controls.js")),
    ("dom.js", SCRIPT, include_str!("../page/dom.js")),
];

/// The file of that name.
pub(crate) fn asset(name: &str) -> Option<Asset> {
    ASSETS.iter().find(|asset| asset.0 == name).copied()
}
