//! The writers of one stream, as members of small sets.

/// A writer of a stream, by the order in which the writers appeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writer(u8);

impl Writer {
    /// The number of writers that a set can tell apart. Deployments have up to a dozen.
    const COUNT: u8 = 64;

    /// Returns the writer after `count` others. All those after the 64th are one: their rows are
    /// noted, and their tokens are not looked for.
    pub(super) fn after(count: usize) -> Self {
        Self(u8::try_from(count).unwrap_or(Self::COUNT).min(Self::COUNT))
    }

    pub(super) const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// Returns whether the writer is one of those that sets tell apart.
    pub(crate) const fn is_told_apart(self) -> bool {
        self.0 < Self::COUNT
    }
}

/// A set of writers of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Writers(u64);

impl Writers {
    const fn bit(writer: Writer) -> u64 {
        if writer.is_told_apart() { 1 << writer.0 } else { 0 }
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn has(self, writer: Writer) -> bool {
        self.0 & Self::bit(writer) != 0
    }

    pub(super) const fn insert(&mut self, writer: Writer) {
        self.0 |= Self::bit(writer);
    }

    pub(super) const fn remove(&mut self, writer: Writer) {
        self.0 &= !Self::bit(writer);
    }

    pub(super) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Iterates over the writers, those first that are named here and are members.
    pub(super) fn with_first(self, first: [Writer; 2]) -> impl Iterator<Item = Writer> {
        let [one, two] = first;
        let named = std::iter::once(one).chain((two != one).then_some(two));
        let others = (0..Writer::COUNT).map(Writer).filter(move |writer| !first.contains(writer));
        named.chain(others).filter(move |writer| self.has(*writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_named_come_first_and_each_member_comes_once() {
        let mut writers = Writers::default();
        for number in [0, 3, 5, 63] {
            writers.insert(Writer(number));
        }
        let order = |first: [u8; 2]| -> Vec<_> {
            writers.with_first(first.map(Writer)).map(|writer| writer.0).collect()
        };
        assert_eq!(order([5, 3]), [5, 3, 0, 63]);
        assert_eq!(order([5, 5]), [5, 0, 3, 63]);
        assert_eq!(order([1, 63]), [63, 0, 3, 5]);
        assert_eq!(writers.len(), 4);
    }

    #[test]
    fn writers_beyond_those_that_are_told_apart_are_no_members() {
        let mut writers = Writers::default();
        writers.insert(Writer::after(64));
        assert!(writers.is_empty() && Writer::after(64) == Writer::after(9_000));
        writers.insert(Writer::after(63));
        assert!(writers.has(Writer::after(63)) && writers.len() == 1);
        writers.remove(Writer::after(63));
        assert!(writers.is_empty());
    }
}
