//! The edits of a planted bug: each replaces a piece of a source file, which is found by its text.

use serde::Deserialize;

/// The placeholder of the switch in replacement text.
const SWITCH: &str = "bug!()";

/// The replacement of one piece of a file by another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    /// The path of the file, relative to the root of the workspace.
    pub(super) file: String,
    /// The text to replace, which occurs exactly once in the clean file, white space ignored.
    find: String,
    /// The replacement, in which `bug!()` is true while the bug is on.
    put: String,
}

impl Edit {
    /// Returns whether the replacement reads the switch.
    pub(super) fn reads_switch(&self) -> bool {
        self.put.contains(SWITCH)
    }
}

/// Returns the clean text with all edits made. Each edit comes with the name of its bug.
///
/// # Errors
/// The reason: an edit does not fit the text exactly once, or two edits overlap.
pub(super) fn apply<'a>(
    text: &str,
    edits: impl Iterator<Item = (&'a str, &'a Edit)>,
) -> Result<String, String> {
    let (letters, places) = without_space(text);
    let mut made = Vec::new();
    for (bug, edit) in edits {
        let (wanted, _) = without_space(&edit.find);
        if wanted.is_empty() {
            return Err(format!("{bug}: an edit of {} finds nothing: `find` is empty", edit.file));
        }
        let mut found = letters.match_indices(&wanted).map(|(at, _)| at);
        let (Some(first), None) = (found.next(), found.next()) else {
            let count = letters.matches(&wanted).count();
            let (file, find) = (&edit.file, edit.find.trim());
            return Err(format!("{bug}: found {count} times in {file}, and must be once:\n{find}"));
        };
        let last = first + wanted.len() - 1;
        // The last character may have more than one byte.
        let end = text[places[last]..].chars().next().map_or(0, char::len_utf8) + places[last];
        made.push((places[first]..end, bug, edit));
    }
    made.sort_by_key(|(range, ..)| range.start);
    if let Some([(_, one, edit), (_, other, _)]) =
        made.array_windows().find(|[(one, ..), (other, ..)]| other.start < one.end)
    {
        return Err(format!("{one} and {other} edit the same lines of {}", edit.file));
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (range, bug, edit) in made {
        out.push_str(&text[copied..range.start]);
        out.push_str(&edit.put.trim().replace(SWITCH, &format!("crate::planted::is({bug:?})")));
        copied = range.end;
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// Returns the text without white space, and the original index of each of its bytes.
fn without_space(text: &str) -> (String, Vec<usize>) {
    let mut letters = String::with_capacity(text.len());
    let mut places = Vec::with_capacity(text.len());
    for (at, letter) in text.char_indices().filter(|(_, letter)| !letter.is_whitespace()) {
        letters.push(letter);
        places.extend(std::iter::repeat_n(at, letter.len_utf8()));
    }
    (letters, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(find: &str, put: &str) -> Edit {
        Edit { file: "a.rs".to_owned(), find: find.to_owned(), put: put.to_owned() }
    }

    #[test]
    fn white_space_does_not_count_and_the_rest_of_the_file_stays() {
        let text = "fn a() {\n    one(\"é\");\n    two();\n}\n";
        let edits = [edit("one( \"é\" ) ;", "if bug!() { one(\"e\") }"), edit("two()", "three()")];
        let made = apply(text, edits.iter().map(|edit| ("b", edit))).unwrap();
        let switched = "if crate::planted::is(\"b\") { one(\"e\") }";
        assert_eq!(made, format!("fn a() {{\n    {switched}\n    three();\n}}\n"));
    }

    #[test]
    fn what_is_not_there_exactly_once_is_an_error() {
        for (find, said) in [("four", "0 times"), ("o", "2 times"), (" ", "`find` is empty")] {
            let edit = edit(find, "");
            let error = apply("one two", [("b", &edit)].into_iter()).unwrap_err();
            assert!(error.contains(said), "{find:?}: {error}");
        }
    }

    #[test]
    fn edits_that_overlap_are_an_error() {
        let (one, other) = (edit("one two", ""), edit("two three", ""));
        let edits = [("b", &other), ("a", &one)];
        let error = apply("one two three", edits.into_iter()).unwrap_err();
        assert_eq!(error, "a and b edit the same lines of a.rs");
        let (one, other) = (edit("one", "1"), edit("two", "2"));
        assert_eq!(apply("one two", [("a", &one), ("b", &other)].into_iter()).unwrap(), "1 2");
    }
}
