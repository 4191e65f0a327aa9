//! One canonical line of a document, read strictly: the one spelling that the issuer's half writes, nothing else.
//!
//! Enters: the bytes of a line without its line feed. Leaves: the fields, borrowed from it; or why it is refused.
//!
//! The order of the fields is fixed (sorted keys), so a line is read from left to right once. A second spelling of the
//! same entry would give one list two state hashes; that is why none is accepted. Times beyond what 32 bits of Unix
//! time can say (2106) are read as the last second that they can: far enough for an entry that no one renews.
//!
//! What stands before the name, the entries of one order have in common. A [`Reader`] that meets the octets of the line
//! before again knows what they say, and reads on from the name.
//!
//! A line of a sealed list has a digest after the category, and no name. What is refused there is not shown: a line that
//! has a name after all must not reach a log.

use super::digest::digest_of;
use super::key::is_label_byte;
use super::text::is_refused;
use super::types::{Compared, Matching};

/// No canonical line is longer, with its line feed.
pub(crate) const MAX_LINE: usize = 4096;

/// Why a line is refused: a code and a sentence.
pub(crate) type Refusal = (&'static str, String);

/// The 80 random bits of a reference.
pub(crate) type Reference = [u8; 10];

/// An entry as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub basis: &'a [u8],
    pub category: &'a [u8],
    pub expires: u32,
    pub issued: u32,
    pub matching: Matching,
    pub name: &'a [u8],
    pub reference: Reference,
}

/// What stands for an entry's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// The name itself.
    #[default]
    Named,
    /// The name's digest under the list's key.
    Sealed,
}

impl Form {
    pub fn of(sealed: bool) -> Self {
        if sealed { Self::Sealed } else { Self::Named }
    }
}

impl From<Compared> for Form {
    fn from(compared: Compared) -> Self {
        if compared == Compared::ByName { Self::Named } else { Self::Sealed }
    }
}

/// Reads canonical lines.
#[derive(Default)]
pub(crate) struct Reader {
    form: Form,
    /// What the last line began with, up to its name.
    opening: Vec<u8>,
    says: Option<Opening>,
}

/// What a line says before the name.
#[derive(Clone, Copy)]
struct Opening {
    /// Octets of the basis and of the category.
    words: (usize, usize),
    expires: u32,
    issued: u32,
    matching: Matching,
}

/// What stands before the basis, and between it and the category.
pub(crate) const BEFORE_BASIS: &[u8] = b"{\"basis\":\"";
pub(crate) const BEFORE_CATEGORY: &[u8] = b"\",\"category\":\"";
/// What stands between the category and the expiry of an entry with a name.
const BEFORE_EXPIRES: &[u8] = b"\",\"expires\":\"";
/// Octets of a time.
const TIME: usize = "2026-11-22T00:00:00Z".len();

impl Reader {
    pub fn of(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Read one line. The `name` of an entry of a sealed list is its digest, as 32 digits.
    pub fn read<'l>(&mut self, line: &'l [u8]) -> Result<Entry<'l>, Refusal> {
        if line.len() >= MAX_LINE {
            return Err(("malformed", format!("longer than {MAX_LINE} octets")));
        }
        match self.form {
            Form::Named => self.read_named(line),
            Form::Sealed => {
                read_sealed(line).map_err(|(kind, _)| (kind, "not a canonical line of a sealed list".into()))
            }
        }
    }

    fn read_named<'l>(&mut self, line: &'l [u8]) -> Result<Entry<'l>, Refusal> {
        let says = match self.says {
            Some(says) if line.starts_with(&self.opening) => says,
            _ => {
                let (says, octets) = opening(line)?;
                self.opening.clear();
                self.opening.extend_from_slice(&line[..octets]);
                *self.says.insert(says)
            }
        };
        let mut fields = Fields { rest: &line[self.opening.len()..] };
        let name = fields.until_quote().ok_or_else(|| misfit(line, "name"))?;
        check_name(name)?;
        let reference = ending(line, &mut fields)?;
        let Opening { words, expires, issued, matching } = says;
        let (basis, category) = split_words(line, words);
        Ok(Entry { basis, category, expires, issued, matching, name, reference })
    }
}

/// A line of a sealed list. Its digest differs from the line before, and stands before what lines have in common.
fn read_sealed(line: &[u8]) -> Result<Entry<'_>, Refusal> {
    let mut fields = Fields { rest: line };
    let (basis, category) = beginning(line, &mut fields)?;
    let name = fields.field(b",\"digest\":\"").ok_or_else(|| misfit(line, "digest"))?;
    if digest_of(name).is_none() {
        return Err(("digest", "not 32 lower-case hexadecimal digits".into()));
    }
    let (expires, issued, matching) = terms(line, Form::Sealed, &mut fields)?;
    let reference = ending(line, &mut fields)?;
    Ok(Entry { basis, category, expires, issued, matching, name, reference })
}

/// The reference, and what ends the line.
fn ending(line: &[u8], fields: &mut Fields<'_>) -> Result<Reference, Refusal> {
    let reference_text = fields.field(b",\"reference\":\"").ok_or_else(|| misfit(line, "reference"))?;
    let reference = decode_reference(reference_text).ok_or_else(|| {
        ("reference", format!("reference {} is not 16 characters of Crockford's base32", shown(reference_text)))
    })?;
    if fields.rest != b"}" {
        let text = fields.field(b",\"removal_requested\":\"").ok_or_else(|| misfit(line, "what follows reference"))?;
        time(text).ok_or_else(|| bad_time("removal_requested", text))?;
        if fields.rest != b"}" {
            return Err(misfit(line, "the end"));
        }
    }
    Ok(reference)
}

/// The basis and the category of a line, by their octets.
pub(crate) fn split_words(line: &[u8], (basis, category): (usize, usize)) -> (&[u8], &[u8]) {
    let start = BEFORE_BASIS.len();
    let then = start + basis + BEFORE_CATEGORY.len();
    (&line[start..start + basis], &line[then..then + category])
}

/// What a line says of its expiry, by the octets of its basis and category.
pub(crate) fn expires_text(line: &[u8], (basis, category): (usize, usize)) -> &[u8] {
    let start = BEFORE_BASIS.len() + basis + BEFORE_CATEGORY.len() + category + BEFORE_EXPIRES.len();
    &line[start..start + TIME]
}

/// What a line says before the name, and where the name starts.
fn opening(line: &[u8]) -> Result<(Opening, usize), Refusal> {
    let mut fields = Fields { rest: line };
    let (basis, category) = beginning(line, &mut fields)?;
    let (expires, issued, matching) = terms(line, Form::Named, &mut fields)?;
    let rest = fields.rest.strip_prefix(b",\"name\":\"").ok_or_else(|| misfit(line, "name"))?;
    let words = (basis.len(), category.len());
    Ok((Opening { words, expires, issued, matching }, line.len() - rest.len()))
}

/// The basis and the category, with which a line begins.
fn beginning<'l>(line: &'l [u8], fields: &mut Fields<'l>) -> Result<(&'l [u8], &'l [u8]), Refusal> {
    let basis = match fields.field(BEFORE_BASIS) {
        Some(basis) => basis,
        None if line.starts_with(b"{\"category\":") => return Err(("no-basis", "no basis".into())),
        None => return Err(misfit(line, "basis")),
    };
    if !is_word(basis, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'.' | b'_' | b'-')) {
        let why = if basis.is_empty() { "no basis".into() } else { format!("basis {} is not a key", shown(basis)) };
        return Err(("no-basis", why));
    }
    let category = fields.field(b",\"category\":\"").ok_or_else(|| misfit(line, "category"))?;
    if !is_word(category, |byte| byte.is_ascii_digit() || byte.is_ascii_lowercase(), |byte| byte == b'-') {
        return Err(("category", format!("category {} is not a word of a-z, 0-9 and '-'", shown(category))));
    }
    Ok((basis, category))
}

/// When the entry expires and was issued, and its kind of match.
fn terms(line: &[u8], form: Form, fields: &mut Fields<'_>) -> Result<(u32, u32, Matching), Refusal> {
    let expires_text = match fields.field(b",\"expires\":\"") {
        Some(text) => text,
        None if !contains(line, b",\"expires\":\"") => return Err(("no-expiry", "no expiry".into())),
        None => return Err(misfit(line, "expires")),
    };
    let expires = time(expires_text).ok_or_else(|| bad_time("expires", expires_text))?;
    // free text could say a name
    if form == Form::Named
        && let Some(after) = fields.rest.strip_prefix(b",\"impact\":\"")
    {
        fields.rest = impact(after)?;
    }
    let issued_text = fields.field(b",\"issued\":\"").ok_or_else(|| misfit(line, "issued"))?;
    let issued = time(issued_text).ok_or_else(|| bad_time("issued", issued_text))?;
    if expires_text <= issued_text {
        return Err((
            "no-expiry",
            format!("expires {} is not after issued {}", shown(expires_text), shown(issued_text)),
        ));
    }
    let matching = match fields.field(b",\"match\":\"").ok_or_else(|| misfit(line, "match"))? {
        b"below" => Matching::Below,
        b"exact" => Matching::Exact,
        b"subtree" => Matching::Subtree,
        other => return Err(("match", format!("match {} is none of exact, subtree, below", shown(other)))),
    };
    Ok((clamp(expires), clamp(issued), matching))
}

/// Is this a name as entries spell it: lower-case A-labels, no IP address, no dot at the end?
pub(crate) fn check_name(name: &[u8]) -> Result<(), Refusal> {
    let problem = if name.is_empty() {
        Some("no name")
    } else if name.len() > super::key::MAX_KEY {
        Some("is longer than 253 octets")
    } else {
        name.split(|&byte| byte == b'.').find_map(wrong_with_label)
    };
    let last = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    if problem.is_none() && !last.first().is_some_and(u8::is_ascii_digit) {
        return Ok(());
    }
    let hexadecimal = last.strip_prefix(b"0x").is_some_and(|rest| rest.iter().all(u8::is_ascii_hexdigit));
    if !last.is_empty() && (last.iter().all(u8::is_ascii_digit) || hexadecimal) || name.contains(&b':') {
        let what = "is an IP address or ends like one: an address belongs to many sites";
        return Err(("ip-address", format!("{} {what}", shown(name))));
    }
    match problem {
        None => Ok(()),
        Some(problem) if name.is_empty() => Err(("name", problem.into())),
        Some(problem) => Err(("name", format!("{} {problem}", shown(name)))),
    }
}

fn wrong_with_label(label: &[u8]) -> Option<&'static str> {
    match label {
        _ if !label.iter().fold(true, |fine, &byte| fine & is_label_byte(byte)) => {
            Some("has a character that no name in a list has")
        }
        [] => Some("has an empty label"),
        _ if label.len() > 63 => Some("has a label of more than 63 octets"),
        [b'-', ..] | [.., b'-'] => Some("has a label that starts or ends with a hyphen"),
        _ => None,
    }
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

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The text between `opening` and the next quotation mark; no canonical value but `impact` holds one, or a `\`.
    fn field(&mut self, opening: &[u8]) -> Option<&'a [u8]> {
        self.rest = self.rest.strip_prefix(opening)?;
        self.until_quote()
    }

    fn until_quote(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'"')?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Some(text)
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
    let marks = [text[4], text[7], text[10], text[13], text[16], text[19]];
    let digits = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].map(|at: usize| text[at].wrapping_sub(b'0'));
    if &marks != b"--T::Z" || digits.iter().any(|&digit| digit > 9) {
        return None;
    }
    let two = |at: usize| i64::from(10 * digits[at] + digits[at + 1]);
    let (year, month, day) = (100 * two(0) + two(2), two(4), two(6));
    let (hour, minute, second) = (two(8), two(10), two(12));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if year == 0 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
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
                let (character, after) = match (first, after) {
                    // two escapes make one character above U+FFFF (RFC 8259 section 7)
                    (0xD800..=0xDBFF, [b'\\', b'u', second @ ..]) => match escaped(second) {
                        Some((low @ 0xDC00..=0xDFFF, after)) => {
                            (0x1_0000 + ((first - 0xD800) << 10 | (low - 0xDC00)), after)
                        }
                        _ => return refuse("holds half a character"),
                    },
                    (0xD800..=0xDFFF, _) => return refuse("holds half a character"),
                    (0..=0x7F, _) => return refuse("holds a control character or a needless escape"),
                    _ => (first, after),
                };
                if is_refused(character) {
                    return Err(("malformed", format!("impact holds U+{character:04X}, which no text in a list has")));
                }
                rest = after;
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
mod tests;
