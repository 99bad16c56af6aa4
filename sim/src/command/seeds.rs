//! Ranges of seeds, as the command line writes them.

use std::{fmt, str::FromStr};

/// A range of at least one seed, from `first` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    first: u64,
    end: u64,
}

impl Seeds {
    pub(crate) const fn new(first: u64, end: u64) -> Self {
        Self { first, end }
    }

    /// Returns the range of one seed.
    pub(crate) const fn one(seed: u64) -> Self {
        Self { first: seed, end: seed.saturating_add(1) }
    }

    /// Returns the range as `A..B`, also if it has one seed.
    pub(crate) fn as_range(self) -> String {
        format!("{}..{}", self.first, self.end)
    }

    pub(crate) const fn count(self) -> u64 {
        self.end - self.first
    }

    /// Returns the seed at this index; `None` beyond the end.
    pub(crate) const fn at(self, index: u64) -> Option<u64> {
        if index < self.count() { Some(self.first + index) } else { None }
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            text.replace('_', "").parse::<u64>().map_err(|_| {
                format!("{text:?} is no seed; write one number, or A..B for A up to, not with, B")
            })
        };
        let seeds = match text.split_once("..") {
            None => {
                let first = number(text)?;
                Self { first, end: first.checked_add(1).ok_or("that seed is too large")? }
            }
            Some((first, end)) => match end.strip_prefix('=') {
                None => Self { first: number(first)?, end: number(end)? },
                Some(last) => {
                    let end = number(last)?.checked_add(1).ok_or("that seed is too large")?;
                    Self { first: number(first)?, end }
                }
            },
        };
        if seeds.first >= seeds.end {
            return Err(format!("{text} holds no seed; the first must be below the end"));
        }
        Ok(seeds)
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() == 1 {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}..{}", self.first, self.end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rust_writes_them() {
        for (text, first, end) in
            [("7", 7, 8), ("0..10_000", 0, 10_000), ("3..=3", 3, 4), ("0..1", 0, 1)]
        {
            assert_eq!(text.parse(), Ok(Seeds::new(first, end)), "{text}");
        }
    }

    #[test]
    fn a_range_without_seeds_is_refused() {
        for text in ["5..5", "6..5", "", "a..b", "1..", "..3", "-1", "18446744073709551615"] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_ends_before_its_end() {
        let seeds = Seeds::new(3, 5);
        assert_eq!([seeds.at(0), seeds.at(1), seeds.at(2)], [Some(3), Some(4), None]);
    }
}
