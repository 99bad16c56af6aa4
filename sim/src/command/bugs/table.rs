//! The table of bugs and engines in a Markdown file. A run fills in the cells that it played and
//! leaves the others as they are, so that engines may be asked one by one.

use std::collections::BTreeMap;

use super::super::planted::{Engine, Verdict};

const BEGIN: &str = "<!-- the table -->\n";
const END: &str = "<!-- its end -->";

/// How a bug that an engine let pass is shown.
const NOT_CAUGHT: &str = "-";

/// The cells that a run has played, by bug and engine.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Table {
    pub(super) fn set(&mut self, bug: &str, engine: Engine, verdict: &Verdict) {
        let Verdict { caught_in, played, .. } = verdict;
        let cell = match caught_in {
            0 => NOT_CAUGHT.to_owned(),
            _ => format!("{caught_in}/{played}"),
        };
        self.rows.entry(bug.to_owned()).or_default().insert(engine.name(), cell);
    }

    /// Returns the text with these cells in the table between its two marks. Rows of bugs that are
    /// not among `names` are left out.
    ///
    /// # Errors
    /// The mark that is missing.
    pub(super) fn put_into(&self, text: &str, names: &[String]) -> Result<String, &'static str> {
        let (head, rest) = text.split_once(BEGIN).ok_or(BEGIN.trim_ascii())?;
        let (old, tail) = rest.split_once(END).ok_or(END)?;
        let old = rows(old);
        let engines: Vec<_> = Engine::all().map(Engine::name).collect();
        let mut table =
            format!("| bug | {} |\n|---|{}\n", engines.join(" | "), "---|".repeat(engines.len()));
        for name in names {
            let cells = engines.iter().map(|engine| {
                let played = self.rows.get(name).and_then(|row| row.get(engine));
                played.or_else(|| old.get(name)?.get(engine)).map_or("", String::as_str)
            });
            table.push_str(&format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        }
        Ok(format!("{head}{BEGIN}{table}{END}{tail}"))
    }
}

/// Reads a table as it was written.
fn rows(table: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let cells = |line: &str| -> Vec<String> {
        line.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = table.lines();
    let engines = lines.next().map(cells).unwrap_or_default();
    let row = |line: &str| {
        let cells = cells(line);
        let name = cells.first()?.clone();
        let named = engines.iter().cloned().zip(cells).skip(1);
        Some((name, named.filter(|(_, cell)| !cell.is_empty()).collect()))
    };
    lines.skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_were_not_played_stay_and_bugs_that_are_gone_leave() {
        let names = ["forgets".to_owned(), "repeats".to_owned()];
        let mut first = Table::default();
        let verdict = |caught_in| Verdict { caught_in, played: 9, first: None };
        for bug in ["forgets", "gone"] {
            first.set(bug, Engine::Logical, &verdict(3));
            first.set(bug, Engine::Kept, &verdict(1));
        }
        let empty = format!("# Bugs\n{BEGIN}{END}\nafter\n");
        let all = [&names[..], &["gone".to_owned()]].concat();
        let written = first.put_into(&empty, &all).expect("both marks");
        assert!(written.contains("| gone | 1/9 |  |  | 3/9 |"), "{written}");
        let mut second = Table::default();
        second.set("forgets", Engine::Logical, &verdict(0));
        second.set("repeats", Engine::Model, &verdict(2));
        let written = second.put_into(&written, &names).expect("both marks");
        assert!(written.contains("| forgets | 1/9 |  |  | - |"), "{written}");
        assert!(written.contains("| repeats |  |  | 2/9 |"), "{written}");
        assert!(!written.contains("gone"));
        assert!(written.starts_with("# Bugs\n") && written.ends_with("\nafter\n"));
        assert_eq!(Table::default().put_into("no table", &names), Err("<!-- the table -->"));
    }
}
