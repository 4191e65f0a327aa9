//! One canonical line of a document, read strictly: the one spelling that the issuer's half writes, nothing else.
//!
//! Enters: the bytes of a line without its line feed. Leaves: the fields, borrowed from it; or why it is refused.
//!
//! The order of the fields is fixed (sorted keys), so a line is read from left to right once. A second spelling of the
//! same entry would give one list two state hashes; that is why none is accepted. Times beyond what 32 bits of Unix
//! time can say (2106) are read as the last second that they can: far enough for an entry that no one renews.

use super::key::is_label_byte;
use super::types::Matching;

/// No canonical line is longer, with its line feed.
pub(crate) const MAX_LINE: usize = 4096;

/// Why a line is refused: a code and a sentence.
pub(crate) type Refusal = (&'static str, String);

/// The 80 random bits of a reference.
pub(crate) type Reference = [u8; 10];

/// An entry as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub basis: &'a str,
    pub category: &'a str,
    pub expires: u32,
    pub issued: u32,
    pub matching: Matching,
    pub name: &'a [u8],
    pub reference: Reference,
}

/// Read one canonical line.
pub(crate) fn parse(line: &[u8]) -> Result<Entry<'_>, Refusal> {
    if line.len() >= MAX_LINE {
        return Err(("malformed", format!("longer than {MAX_LINE} octets")));
    }
    let mut reader = Reader { rest: line };
    let basis = match reader.field(b"{\"basis\":\"") {
        Some(basis) => basis,
        None if line.starts_with(b"{\"category\":") => return Err(("no-basis", "no basis".into())),
        None => return Err(misfit(line, "basis")),
    };
    if !is_word(basis, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'.' | b'_' | b'-')) {
        let why = if basis.is_empty() { "no basis".into() } else { format!("basis {} is not a key", shown(basis)) };
        return Err(("no-basis", why));
    }
    let category = reader.field(b",\"category\":\"").ok_or_else(|| misfit(line, "category"))?;
    if !is_word(category, |byte| byte.is_ascii_digit() || byte.is_ascii_lowercase(), |byte| byte == b'-') {
        return Err(("category", format!("category {} is not a word of a-z, 0-9 and '-'", shown(category))));
    }
    let expires_text = match reader.field(b",\"expires\":\"") {
        Some(text) => text,
        None if !contains(line, b",\"expires\":\"") => return Err(("no-expiry", "no expiry".into())),
        None => return Err(misfit(line, "expires")),
    };
    let expires = time(expires_text).ok_or_else(|| bad_time("expires", expires_text))?;
    if let Some(after) = reader.rest.strip_prefix(b",\"impact\":\"") {
        reader.rest = impact(after)?;
    }
    let issued_text = reader.field(b",\"issued\":\"").ok_or_else(|| misfit(line, "issued"))?;
    let issued = time(issued_text).ok_or_else(|| bad_time("issued", issued_text))?;
    if expires_text <= issued_text {
        return Err((
            "no-expiry",
            format!("expires {} is not after issued {}", shown(expires_text), shown(issued_text)),
        ));
    }
    let matching = match reader.field(b",\"match\":\"").ok_or_else(|| misfit(line, "match"))? {
        b"below" => Matching::Below,
        b"exact" => Matching::Exact,
        b"subtree" => Matching::Subtree,
        other => return Err(("match", format!("match {} is none of exact, subtree, below", shown(other)))),
    };
    let name = reader.field(b",\"name\":\"").ok_or_else(|| misfit(line, "name"))?;
    check_name(name)?;
    let reference_text = reader.field(b",\"reference\":\"").ok_or_else(|| misfit(line, "reference"))?;
    let reference = decode_reference(reference_text).ok_or_else(|| {
        ("reference", format!("reference {} is not 16 characters of Crockford's base32", shown(reference_text)))
    })?;
    if reader.rest != b"}" {
        let text = reader.field(b",\"removal_requested\":\"").ok_or_else(|| misfit(line, "what follows reference"))?;
        time(text).ok_or_else(|| bad_time("removal_requested", text))?;
        if reader.rest != b"}" {
            return Err(misfit(line, "the end"));
        }
    }
    let (Ok(basis), Ok(category)) = (std::str::from_utf8(basis), std::str::from_utf8(category)) else {
        return Err(("malformed", "not text".into()));
    };
    Ok(Entry { basis, category, expires: clamp(expires), issued: clamp(issued), matching, name, reference })
}

/// Is this a name as entries spell it: lower-case A-labels, no IP address, no dot at the end?
pub(crate) fn check_name(name: &[u8]) -> Result<(), Refusal> {
    let refuse = |kind, what: &str| Err((kind, format!("{} {what}", shown(name))));
    let last = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix(b"0x").is_some_and(|rest| rest.iter().all(u8::is_ascii_hexdigit));
    if !last.is_empty() && (last.iter().all(u8::is_ascii_digit) || hexadecimal) || name.contains(&b':') {
        return refuse("ip-address", "is an IP address or ends like one: an address belongs to many sites");
    }
    if name.is_empty() {
        return Err(("name", "no name".into()));
    }
    if name.len() > super::key::MAX_KEY {
        return refuse("name", "is longer than 253 octets");
    }
    let mut start = 0;
    for at in 0..=name.len() {
        if at < name.len() && name[at] != b'.' {
            if !is_label_byte(name[at]) {
                return refuse("name", "has a character that no name in a list has");
            }
            continue;
        }
        if at == start {
            return refuse("name", "has an empty label");
        }
        if at - start > 63 {
            return refuse("name", "has a label of more than 63 octets");
        }
        if name[start] == b'-' || name[at - 1] == b'-' {
            return refuse("name", "has a label that starts or ends with a hyphen");
        }
        start = at + 1;
    }
    Ok(())
}

/// The 80 bits of 16 characters of Crockford's base32 in their one spelling: upper case, no I, L, O, U.
pub(crate) fn decode_reference(text: &[u8]) -> Option<Reference> {
    let text: &[u8; 16] = text.try_into().ok()?;
    let mut bits: u128 = 0;
    for &character in text {
        let value = VALUES[usize::from(character)];
        if value == NO_VALUE {
            return None;
        }
        bits = bits << 5 | u128::from(value);
    }
    let mut reference = Reference::default();
    reference.copy_from_slice(&bits.to_be_bytes()[6..]);
    Some(reference)
}

/// A reference as people read it.
pub(crate) fn encode_reference(reference: &Reference) -> [u8; 16] {
    let mut text = [0; 16];
    // Five octets are eight characters.
    for (five, eight) in reference.as_chunks::<5>().0.iter().zip(text.as_chunks_mut::<8>().0) {
        let bits = five.iter().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        *eight = std::array::from_fn(|index| ALPHABET[(bits >> (35 - 5 * index) & 31) as usize]);
    }
    text
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const NO_VALUE: u8 = 0xFF;
const VALUES: [u8; 256] = {
    let mut values = [NO_VALUE; 256];
    let mut value = 0;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The text between `opening` and the next quotation mark; no canonical value but `impact` holds one, or a `\`.
    fn field(&mut self, opening: &[u8]) -> Option<&'a [u8]> {
        let after = self.rest.strip_prefix(opening)?;
        let end = after.iter().position(|&byte| byte == b'"')?;
        self.rest = &after[end + 1..];
        Some(&after[..end])
    }
}

fn misfit(line: &[u8], expected: &str) -> Refusal {
    ("malformed", format!("not a canonical line: {expected} is not where it belongs in {}", shown(line)))
}

fn bad_time(field: &str, text: &[u8]) -> Refusal {
    let kind = if field == "expires" && text.is_empty() { "no-expiry" } else { "time" };
    (kind, format!("{field} {} is not a time such as 2026-11-22T00:00:00Z", shown(text)))
}

/// Bytes from a document, cut and escaped so that they may be printed.
fn shown(bytes: &[u8]) -> String {
    let (cut, dots) = if bytes.len() > 80 { (&bytes[..77], "...") } else { (bytes, "") };
    format!("'{}{dots}'", cut.escape_ascii())
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

fn is_word(text: &[u8], first: impl Fn(u8) -> bool, later: impl Fn(u8) -> bool) -> bool {
    text.len() <= 64
        && text.first().is_some_and(|&byte| first(byte))
        && text.iter().all(|&byte| first(byte) || later(byte))
}

fn clamp(time: i64) -> u32 {
    u32::try_from(time.max(0)).unwrap_or(u32::MAX)
}

/// Unix time of `YYYY-MM-DDTHH:MM:SSZ`, if it is one.
fn time(text: &[u8]) -> Option<i64> {
    let text: &[u8; 20] = text.try_into().ok()?;
    let number = |start: usize, digits: usize| {
        text[start..start + digits]
            .iter()
            .try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let marks = [text[4], text[7], text[10], text[13], text[16], text[19]];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if &marks != b"--T::Z" || year == 0 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // days since 1970-01-01, counted in years that start in March, so that the leap day comes last
    let shifted = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let since_0000 = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + of_year;
    Some((since_0000 - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Read an impact note up to its closing quotation mark, in the one spelling that `json.dumps` writes.
fn impact(text: &[u8]) -> Result<&[u8], Refusal> {
    let refuse = |why: &str| Err(("malformed", format!("impact {why}")));
    let mut rest = text;
    let mut characters = 0;
    loop {
        match rest {
            [b'"', after @ ..] if (1..=400).contains(&characters) => return Ok(after),
            [b'"', ..] => return refuse("is not 1 to 400 characters long"),
            [b'\\', b'"' | b'\\', after @ ..] => rest = after,
            [b'\\', b'u', after @ ..] => {
                let Some((first, after)) = escaped(after) else { return refuse("holds a strange escape") };
                rest = match (first, after) {
                    // two escapes make one character above U+FFFF (RFC 8259 section 7)
                    (0xD800..=0xDBFF, [b'\\', b'u', second @ ..]) => match escaped(second) {
                        Some((0xDC00..=0xDFFF, after)) => after,
                        _ => return refuse("holds half a character"),
                    },
                    (0xD800..=0xDFFF, _) => return refuse("holds half a character"),
                    (0..=0x9F, _) => return refuse("holds a control character or a needless escape"),
                    _ => after,
                };
            }
            [0x20..=0x7E, after @ ..] if rest[0] != b'\\' => rest = after,
            _ => return refuse("holds a byte that canonical JSON does not"),
        }
        characters += 1;
    }
}

/// The value of four lower-case hexadecimal digits, and what follows them.
fn escaped(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = text.split_at_checked(4)?;
    let value = digits.iter().try_fold(0, |value, &digit| match digit {
        b'0'..=b'9' => Some(value << 4 | u32::from(digit - b'0')),
        b'a'..=b'f' => Some(value << 4 | u32::from(digit - b'a' + 10)),
        _ => None,
    })?;
    Some((value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"basis":"order-17","category":"gambling","expires":"2027-11-22T00:00:00Z","issued":"2026-11-22T00:00:00Z","match":"subtree","name":"example.com","reference":"7ZK3M9Q2XW4T8RBC"}"#;

    #[test]
    fn a_canonical_line_is_read() {
        let entry = parse(LINE.as_bytes()).expect("canonical");
        assert_eq!((entry.basis, entry.category, entry.name), ("order-17", "gambling", b"example.com".as_slice()));
        assert_eq!((entry.matching, entry.issued, entry.expires), (Matching::Subtree, 1_795_305_600, 1_826_841_600));
        assert_eq!(&encode_reference(&entry.reference), b"7ZK3M9Q2XW4T8RBC");
    }

    #[test]
    fn impact_and_removal_are_read_over() {
        let line = LINE.replace(r#","issued""#, r#","impact":"a \"b\" \u00e4 \ud83d\ude00 c","issued""#);
        let line = line.replace(r#"RBC"}"#, r#"RBC","removal_requested":"2026-01-01T00:00:00Z"}"#);
        assert_eq!(parse(line.as_bytes()).map(|entry| entry.name.len()), Ok(11));
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        for (from, to, kind) in [
            (r#""basis":"order-17","#, "", "no-basis"),
            ("order-17", "", "no-basis"),
            ("order-17", "order 17", "no-basis"),
            (r#""expires":"2027-11-22T00:00:00Z","#, "", "no-expiry"),
            ("2027-11-22T00:00:00Z", "", "no-expiry"),
            ("2027-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "no-expiry"),
            ("2027-11-22T00:00:00Z", "2027-02-29T00:00:00Z", "time"),
            ("2027-11-22T00:00:00Z", "2027-11-22 00:00:00Z", "time"),
            ("2027-11-22T00:00:00Z", "2027-11-22T24:00:00Z", "time"),
            ("gambling", "Gambling", "category"),
            ("subtree", "all", "match"),
            ("example.com", "192.0.2.1", "ip-address"),
            ("example.com", "2001:db8::1", "ip-address"),
            ("example.com", "example.0x1f", "ip-address"),
            ("example.com", "Example.com", "name"),
            ("example.com", "example.com.", "name"),
            ("example.com", "example..com", "name"),
            ("example.com", "-example.com", "name"),
            ("example.com", "example-.com", "name"),
            ("example.com", "", "name"),
            ("7ZK3M9Q2XW4T8RBC", "7zk3m9q2xw4t8rbc", "reference"),
            ("7ZK3M9Q2XW4T8RBC", "7ZK3M9Q2XW4T8RBI", "reference"),
            ("7ZK3M9Q2XW4T8RBC", "7ZK3M9Q2XW4T8RB", "reference"),
            (r#","name""#, r#", "name""#, "malformed"),
            (r#"RBC"}"#, r#"RBC"} "#, "malformed"),
            (r#"RBC"}"#, r#"RBC","x":"y"}"#, "malformed"),
            (r#","issued""#, r#","impact":"","issued""#, "malformed"),
            (r#","issued""#, r#","impact":"\u0041","issued""#, "malformed"),
            (r#","issued""#, r#","impact":"\u00E4","issued""#, "malformed"),
            (r#","issued""#, r#","impact":"\ud83d","issued""#, "malformed"),
            (r#","issued""#, r#","impact":"\/","issued""#, "malformed"),
            (r#","issued""#, ",\"impact\":\"\u{e4}\",\"issued\"", "malformed"),
        ] {
            let line = LINE.replace(from, to);
            assert_eq!(parse(line.as_bytes()).map_err(|(kind, _)| kind), Err(kind), "{line}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2026-11-22T15:55:26Z", 1_795_362_926),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
        ] {
            assert_eq!(time(text.as_bytes()), Some(unix), "{text}");
        }
        assert_eq!(time(b"0000-01-01T00:00:00Z"), None);
    }

    #[test]
    fn labels_and_names_end_at_their_limits() {
        let label = "a".repeat(63);
        assert!(check_name(label.as_bytes()).is_ok());
        assert!(check_name(format!("{label}a").as_bytes()).is_err());
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        assert!(check_name(longest.as_bytes()).is_ok());
        assert!(check_name(format!("{longest}a").as_bytes()).is_err());
    }
}
