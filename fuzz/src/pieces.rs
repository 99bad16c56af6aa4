//! A byte stream and the pieces in which it arrives, decoded from a fuzz input.

use crate::choices::Choices;

/// A byte stream, as a socket would give it read by read.
pub(crate) struct Pieces {
    all: Vec<u8>,
    /// The ends of the pieces but the last, rising, within `all`. Equal ones make an empty piece.
    cuts: Vec<usize>,
}

impl Pieces {
    /// Decodes the number of cuts, the length of each piece but the last, and the bytes.
    pub(crate) fn read(choices: Choices<'_>) -> Self {
        Self::with_padding(0, choices)
    }

    /// Decodes the same, with `padding` times `x` in front, so that limits far above the length of
    /// an input are reached.
    pub(crate) fn with_padding(padding: usize, mut choices: Choices<'_>) -> Self {
        let count = choices.below(16);
        let lengths: Vec<_> = (0..count).map(|_| usize::from(choices.word())).collect();
        let mut all = vec![b'x'; padding];
        all.extend_from_slice(choices.rest());
        let mut end = 0;
        let cuts = lengths
            .into_iter()
            .map(|length| {
                end = (end + length).min(all.len());
                end
            })
            .collect();
        Self { all, cuts }
    }

    pub(crate) fn all(&self) -> &[u8] {
        &self.all
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain([self.all.len()]);
        starts.zip(ends).map(|(start, end)| &self.all[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_bytes_in_order() {
        let data = [3, 2, 0, 0, 0, 9, 0, b'a', b'b', b'c', b'd', b'e'];
        let pieces = Pieces::with_padding(1, Choices::new(&data));
        assert_eq!(pieces.all(), b"xabcde");
        assert_eq!(pieces.iter().collect::<Vec<_>>(), [&b"xa"[..], b"", b"bcde", b""]);
    }
}
