//! The one spelling of a line, and what is refused of any other.

use proptest::prelude::*;

use super::*;

fn parse(line: &[u8]) -> Result<Entry<'_>, Refusal> {
    Reader::default().read(line)
}

const LINE: &str = r#"{"basis":"order-17","category":"gambling","expires":"2027-11-22T00:00:00Z","issued":"2026-11-22T00:00:00Z","match":"subtree","name":"example.com","reference":"7ZK3M9Q2XW4T8RBC"}"#;

#[test]
fn a_canonical_line_is_read() {
    let entry = parse(LINE.as_bytes()).expect("canonical");
    let (basis, category, name) = (b"order-17".as_slice(), b"gambling".as_slice(), b"example.com".as_slice());
    assert_eq!((entry.basis, entry.category, entry.name), (basis, category, name));
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
        (r#","issued""#, r#","impact":"\u202e","issued""#, "malformed"),
        (r#","issued""#, r#","impact":"\u2028","issued""#, "malformed"),
        (r#","issued""#, r#","impact":"\udb40\udc41","issued""#, "malformed"),
        (r#","issued""#, ",\"impact\":\"\u{e4}\",\"issued\"", "malformed"),
    ] {
        let line = LINE.replace(from, to);
        assert_eq!(parse(line.as_bytes()).map_err(|(kind, _)| kind), Err(kind), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_was_read_before_changes_nothing(
        edits in prop::collection::vec((0..LINE.len(), 0..4usize, "[a-z\",:{}0-9.\\-_ ]{0,3}"), 0..3),
    ) {
        let mut line = LINE.to_owned();
        for (at, gone, text) in edits {
            let at = at.min(line.len());
            line.replace_range(at..(at + gone).min(line.len()), &text);
        }
        let mut reader = Reader::default();
        for other in [LINE, &line, LINE, &line] {
            prop_assert_eq!(reader.read(other.as_bytes()), parse(other.as_bytes()));
        }
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
