//! Tables of decisions, compared with `docs/protocol.md`, section 12, or written into it.

use std::{fs, path::Path, sync::Mutex};

/// Lets one test at a time read or rewrite the document.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// A table in Markdown whose cells were computed.
pub(super) struct Table {
    text: String,
}

impl Table {
    pub(super) fn new(keys: &[&str], columns: &[&str]) -> Self {
        let mut table = Self { text: String::new() };
        let head: Vec<_> = keys.iter().chain(columns).map(|name| (*name).to_owned()).collect();
        table.line(&head);
        table.line(&vec!["---".to_owned(); head.len()]);
        table
    }

    pub(super) fn row(&mut self, keys: &[&str], cells: &[String]) {
        let keys = keys.iter().map(|key| (*key).to_owned());
        self.line(&keys.chain(cells.iter().cloned()).collect::<Vec<_>>());
    }

    fn line(&mut self, cells: &[String]) {
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// Asserts that the table stands behind `<!-- table: NAME -->` in the document. With
    /// `REWRITE=1` in the environment it is written there instead.
    #[track_caller]
    pub(super) fn compare(&self, name: &str) {
        let _alone = DOCUMENT.lock();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
        let document = fs::read_to_string(&path).expect("the document is there");
        let mark = format!("<!-- table: {name} -->\n");
        let start = document.find(&mark).expect("the document has a place for it") + mark.len();
        // A table that was never written has its mark only.
        let is_there = document[start..].starts_with('|');
        let end = document[start..].find("\n\n").map_or(document.len() - start, |end| end + 1);
        let length = if is_there { end } else { 0 };
        if std::env::var_os("REWRITE").is_some() {
            let end = start + length;
            let text = format!("{}{}{}", &document[..start], self.text, &document[end..]);
            fs::write(&path, text).expect("the document can be written");
            return;
        }
        assert_eq!(&document[start..start + length], self.text, "REWRITE=1 writes it anew");
    }
}
