//! Integers as they stand on the wire: decimal, an optional minus sign, nothing else (`protocol.md`
//! 2.1).

use bytes::{BufMut as _, BytesMut};

/// The reason why a text is not a usable integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadInteger {
    /// The text is empty, or holds something other than digits behind an optional minus sign.
    NotDecimal,
    /// The number is below or above the range of an `i64`.
    OutOfRange,
}

/// The most digits of which none can overflow an `i64`.
const SAFE_DIGITS: usize = 18;

/// Parses the whole text as an integer.
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

/// Parses text that is long, signed or wrong.
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

/// Appends an integer in decimal.
pub(super) fn append(value: i64, out: &mut BytesMut) {
    if value < 0 {
        out.put_u8(b'-');
    }
    append_digits(value.unsigned_abs(), out);
}

/// Appends a length in decimal.
pub(super) fn append_length(length: usize, out: &mut BytesMut) {
    append_digits(length as u64, out);
}

fn append_digits(mut rest: u64, out: &mut BytesMut) {
    let mut text = [0_u8; 20];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = DIGITS[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&text[start..]);
}

const DIGITS: &[u8; 10] = b"0123456789";

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
    fn the_ends_of_the_range_are_written() {
        for value in [i64::MIN, -1, 0, i64::MAX] {
            let mut text = BytesMut::new();
            append(value, &mut text);
            assert_eq!(text, value.to_string());
        }
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
            let mut text = BytesMut::new();
            append(value, &mut text);
            prop_assert_eq!(String::from_utf8(text.to_vec()).unwrap(), value.to_string());
            prop_assert_eq!(parse(&text), Ok(value));
        }
    }
}
