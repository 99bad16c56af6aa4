//! Integers as they stand on the wire: decimal, an optional minus sign, nothing else.

/// Why a piece of text is not an integer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadInteger {
    /// Empty, or holds something other than digits behind an optional minus sign.
    NotDecimal,
    /// Below or above what an `i64` holds.
    OutOfRange,
}

/// Digits that cannot overflow an `i64`, whatever they are.
const SAFE_DIGITS: usize = 18;

/// Reads a whole piece of text as an integer (`protocol.md` 2.1).
#[inline]
pub(super) fn parse(text: &[u8]) -> Result<i64, BadInteger> {
    if text.is_empty() || text.len() > SAFE_DIGITS {
        return parse_any(text);
    }
    let mut value = 0_i64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return parse_any(text);
        }
        value = value * 10 + i64::from(digit);
    }
    Ok(value)
}

/// The same for text that is long, signed or wrong.
#[cold]
fn parse_any(text: &[u8]) -> Result<i64, BadInteger> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadInteger::NotDecimal);
    }
    digits
        .iter()
        .try_fold(0_i64, |value, byte| {
            let digit = i64::from(byte - b'0');
            let value = value.checked_mul(10)?;
            if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
        })
        .ok_or(BadInteger::OutOfRange)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_range_are_read_and_what_lies_beyond_is_refused() {
        assert_eq!(parse(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse(b"9223372036854775808"), Err(BadInteger::OutOfRange));
        assert_eq!(parse(b"-9223372036854775809"), Err(BadInteger::OutOfRange));
        assert_eq!(parse(b"000000000000000000000000000000017"), Ok(17));
    }

    #[test]
    fn anything_but_digits_and_a_leading_minus_is_refused() {
        for text in ["", "-", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "--1", "0x10", "\u{661}"] {
            assert_eq!(parse(text.as_bytes()), Err(BadInteger::NotDecimal), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_is_read_back(value in any::<i64>()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }
    }
}
