//! The key of a name: its labels from the right, joined by a byte below all others, so that the order of keys is the
//! order of documents and a name's ancestors are prefixes of its key.

use crate::narrow::to_u8;

/// Stands between labels. Labels of listed names hold letters, digits, hyphen and underscore alone, all above it, and
/// 0 stays free to pad what is shorter than the slice it is compared in.
pub(crate) const SEPARATOR: u8 = 1;

/// Octets of the longest name in presentation form, and so of the longest key.
pub(crate) const MAX_KEY: usize = 253;

/// Append the key of a name in presentation form; the reverse of itself.
pub(crate) fn reverse(name: &[u8], from: u8, to: u8, out: &mut Vec<u8>) {
    for (index, label) in name.rsplit(|&byte| byte == from).enumerate() {
        if index > 0 {
            out.push(to);
        }
        out.extend_from_slice(label);
    }
}

/// The key of a name in presentation form.
pub(crate) fn from_name(name: &[u8], out: &mut Vec<u8>) {
    reverse(name, b'.', SEPARATOR, out);
}

/// The name of a key, in presentation form.
pub(crate) fn to_name(key: &[u8]) -> String {
    let mut name = Vec::with_capacity(key.len());
    reverse(key, SEPARATOR, b'.', &mut name);
    String::from_utf8_lossy(&name).into_owned()
}

/// May a label of a listed name hold this byte?
pub(crate) const fn is_label_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

/// Is this the key of a name that a document may hold?
pub(crate) fn is_key(key: &[u8]) -> bool {
    // no way out before the end: keys are right but for accidents, and there are a million of them
    let (mut right, mut label) = (key.len() <= MAX_KEY, 0);
    for &byte in key {
        if byte == SEPARATOR {
            right &= (1..=63).contains(&label);
            label = 0;
        } else {
            right &= LABEL_BYTES[usize::from(byte)];
            label += 1;
        }
    }
    right & (1..=63).contains(&label)
}

const LABEL_BYTES: [bool; 256] = {
    let mut may = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        may[byte] = is_label_byte(to_u8(byte));
        byte += 1;
    }
    may
};

/// Octets that two keys have in common at their start.
pub(crate) fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Is `ancestor` the key of the same name or of one above it?
pub(crate) fn is_at_or_above(ancestor: &[u8], key: &[u8]) -> bool {
    key.starts_with(ancestor) && (key.len() == ancestor.len() || key[ancestor.len()] == SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_name_from_the_right_and_back() {
        for name in ["com", "example.com", "a.b.example.com", "xn--a.x_y.z-1.org"] {
            let mut key = Vec::new();
            from_name(name.as_bytes(), &mut key);
            assert_eq!(to_name(&key), name);
        }
        let mut key = Vec::new();
        from_name(b"a.example.com", &mut key);
        assert_eq!(key, b"com\x01example\x01a");
    }

    #[test]
    fn a_key_is_labels_of_the_right_length_and_bytes() {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        let whole = [longest.as_str(); 4].join("\x01");
        for key in ["com", "com\x01a-b_9", &longest, &format!("com\x01{longest}\x01x"), &whole[..MAX_KEY]] {
            assert!(is_key(key.as_bytes()), "{key}");
        }
        for key in ["", "\x01", "com\x01", "\x01com", "com\x01\x01a", "Com", "a.b", "a b", "\u{e4}", &too_long, &whole]
        {
            assert!(!is_key(key.as_bytes()), "{key}");
        }
        assert!(!is_key(format!("com\x01{too_long}\x01x").as_bytes()));
    }

    #[test]
    fn only_whole_labels_make_an_ancestor() {
        assert!(is_at_or_above(b"com\x01example", b"com\x01example"));
        assert!(is_at_or_above(b"com\x01example", b"com\x01example\x01a"));
        assert!(!is_at_or_above(b"com\x01example", b"com\x01examples"));
        assert!(!is_at_or_above(b"com\x01example\x01a", b"com\x01example"));
    }
}
