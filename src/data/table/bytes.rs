//! Several bytes of a text at once.

/// Calls `mark` with the place of each delimiter and each line end: 64 bytes at a time, as there is one every few bytes.
pub(super) fn each_mark(bytes: &[u8], delimiter: u8, mut mark: impl FnMut(usize)) {
    let delimiters = u64::from_le_bytes([delimiter; 8]);
    let line_ends = u64::from_le_bytes([b'\n'; 8]);
    let (chunks, rest) = bytes.as_chunks::<64>();
    for (number, chunk) in chunks.iter().enumerate() {
        let mut marks = 0;
        for (i, word) in chunk.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let found = bytes_of_zero(word ^ delimiters) | bytes_of_zero(word ^ line_ends);
            // The highest bits of the eight bytes become eight adjacent bits.
            marks |= (found >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * i);
        }
        while marks != 0 {
            mark(64 * number + marks.trailing_zeros() as usize);
            marks &= marks - 1;
        }
    }
    let first = bytes.len() - rest.len();
    let is_mark = |byte: u8| byte == delimiter || byte == b'\n';
    (first..).zip(rest).filter(|(_, byte)| is_mark(**byte)).for_each(|(at, _)| mark(at));
}

/// The highest bit of each byte that is zero. No sum of a byte carries into the next.
pub(super) fn bytes_of_zero(word: u64) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
    !(((word & LOW) + LOW) | word | LOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Philox, Purpose};

    #[test]
    fn all_marks_are_found() {
        let random = Philox::new(6, Purpose::User, 0);
        let mut index = 0;
        let mut below = |bound: u64| {
            index += 1;
            random.below(index, bound) as usize
        };
        for length in 0..400 {
            let any = |_| b"ab,\n\x8a\xac\x0b\x2d"[below(8)];
            let text: Vec<u8> = (0..length).map(any).collect();
            let mut found = Vec::new();
            each_mark(&text, b',', |at| found.push(at));
            let expected: Vec<usize> =
                (0..length).filter(|&at| matches!(text[at], b',' | b'\n')).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
